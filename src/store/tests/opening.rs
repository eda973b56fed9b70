//! Opening: empty, twice at once, newer, cut, foreign, refused. Each failure is one line that says
//! what, why and what to do, and leaves what it refused as it was.
//! Must never accept a line in which a password, or a part of a URL that could be one, is seen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

async fn refusal(target: Target) -> String {
    let Err(error) = Store::open(&Settings { target }, Clock::settable(NOW_MS)).await else {
        panic!("it opened");
    };
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

async fn file_refusal(path: &Path) -> String {
    refusal(Target::Sqlite(path.to_owned())).await
}

async fn url_refusal(url: &str) -> String {
    let line = refusal(postgres_target(url)).await;
    assert!(!line.contains("hunter2"), "{line}");
    line
}

async fn many_may_open_an_empty_database_at_once(bed: Bed) {
    // The bed's own is open already; these race for a fresh one of the same kind.
    let (target, _home) = match &bed.home {
        Home::Folder(folder) => (Target::Sqlite(folder.path().join("fresh.db")), None),
        Home::Database { .. } => {
            let (url, home) = empty_database().await;
            (postgres_target(&url), Some(home))
        }
    };
    let settings = Settings { target };
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (settings, clock) = (settings.clone(), bed.clock.clone());
        opening.spawn(async move {
            let store = Store::open(&settings, clock).await?;
            let installation = store.create_installation(Uuid::now_v7()).await?;
            store.close().await;
            Ok::<_, Error>(installation.id)
        });
    }
    let ids = opening.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

async fn a_newer_database_is_refused_and_left_alone(bed: Bed) {
    bed.tamper(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        SELECT 9001, 'from the future', success, checksum, 0 FROM _sqlx_migrations
        WHERE version = 1",
    )
    .await;
    let known = migrate::SQLITE.iter().map(|step| step.version).max().unwrap();
    let Err(error) = bed.reopen().await else { panic!("it opened") };
    assert_eq!(
        error.to_string(),
        format!(
            "{} is newer than this program: it has schema 9001, this program knows up to {known}. \
             Start the newer program, or restore a backup from before the upgrade.",
            bed.store.describe()
        )
    );
    assert_eq!(bed.store.schema_version().await.unwrap(), 9001);
    bed.tamper("DELETE FROM _sqlx_migrations WHERE version = 9001").await;
    bed.reopen().await.unwrap();
}

async fn a_step_that_was_edited_is_refused(bed: Bed) {
    bed.tamper("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1").await;
    let Err(error) = bed.reopen().await else { panic!("it opened") };
    let told = error.to_string();
    let begin = format!(
        "{} cannot be opened: its schema step 1 is not the one that this program has, by the \
         checksum in the table _sqlx_migrations, where this program has ",
        bed.store.describe()
    );
    let sum = told.strip_prefix(&begin).unwrap_or_else(|| panic!("{told}"));
    assert!(sum[..96].bytes().all(|byte| byte.is_ascii_hexdigit()), "{told}");
    assert!(told.contains("somebody edited the row"), "{told}");
}

async fn it_answers_and_is_whole_until_it_is_closed(bed: Bed) {
    bed.store.ping().await.unwrap();
    bed.store.check_integrity().await.unwrap();
    bed.store.close().await;
    let error = bed.store.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    bed.reopen().await.unwrap().ping().await.unwrap();
}

on_both!(
    a_newer_database_is_refused_and_left_alone,
    a_step_that_was_edited_is_refused,
    it_answers_and_is_whole_until_it_is_closed,
    many_may_open_an_empty_database_at_once,
);

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    let bed = Bed::sqlite().await;
    bed.store.create_installation(Uuid::now_v7()).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", bed.file().display());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
    assert_eq!(bed.store.describe(), format!("SQLite at {}", bed.file().display()));
}

#[tokio::test]
async fn a_cut_file_is_refused_and_left_as_it_is() {
    let bed = Bed::sqlite().await;
    bed.store.create_installation(Uuid::now_v7()).await.unwrap();
    bed.store.close().await;
    let whole = fs::read(bed.file()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for cut in [1, 15, 99, 100, 4095, 4096, 10_000, whole.len() - 4096, whole.len() - 1] {
        let path = folder.path().join(format!("{cut}.db"));
        fs::write(&path, &whole[..cut]).unwrap();
        let fault = if cut < 100 {
            String::from("it is not an SQLite database")
        } else {
            format!("it is cut short, {cut} of {} bytes are there", whole.len())
        };
        assert_eq!(
            file_refusal(&path).await,
            format!(
                "SQLite at {} cannot be opened: {fault}. It was left as it is; restore it from a \
                 backup, or name another file.",
                path.display()
            )
        );
        assert_eq!(fs::read(&path).unwrap(), &whole[..cut]);
    }
    // Nothing was put beside any of them.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 9);
}

#[tokio::test]
async fn an_emptied_file_does_not_cost_its_journal() {
    let bed = Bed::sqlite().await;
    bed.store.create_installation(Uuid::now_v7()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emptied.db");
    let journal = folder.path().join("emptied.db-wal");
    fs::write(&path, b"").unwrap();
    fs::copy(format!("{}-wal", bed.file().display()), &journal).unwrap();
    let before = fs::read(&journal).unwrap();
    assert!(!before.is_empty());
    let line = file_refusal(&path).await;
    assert!(line.contains("it is empty, but has a journal"), "{line}");
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[tokio::test]
async fn a_first_start_that_was_killed_can_be_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealgate.db");
    // As a kill leaves it between the rollback journal and the first page: the journal's magic, no
    // records, a file of no pages.
    fs::write(&path, b"").unwrap();
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    journal.resize(512, 0);
    fs::write(folder.path().join("sealgate.db-journal"), journal).unwrap();
    let settings = Settings { target: Target::Sqlite(path) };
    let store = Store::open(&settings, Clock::settable(NOW_MS)).await.unwrap();
    store.create_installation(Uuid::now_v7()).await.unwrap();
    store.check_integrity().await.unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |path: &Path| format!("SQLite at {} cannot be opened: ", path.display());

    let line = file_refusal(folder.path()).await;
    let expected = "it is a folder. Name a file in it, such as sealgate.db.";
    assert_eq!(line, shown(folder.path()) + expected);

    let text = folder.path().join("notes.txt");
    fs::write(&text, "x".repeat(500)).unwrap();
    let line = file_refusal(&text).await;
    assert!(line.starts_with(&(shown(&text) + "it is not an SQLite database. It was")), "{line}");
    assert_eq!(fs::read_to_string(&text).unwrap(), "x".repeat(500));

    let homeless = folder.path().join("nowhere/sealgate.db");
    let expected = "its folder does not exist. Create the folder, or name another.";
    assert_eq!(file_refusal(&homeless).await, shown(&homeless) + expected);

    let device = Path::new("/dev/null");
    let expected = "it is not a regular file. Name another file.";
    assert_eq!(file_refusal(device).await, shown(device) + expected);
}

#[tokio::test]
async fn a_file_that_was_damaged_inside_fails_its_check() {
    let bed = Bed::sqlite().await;
    bed.store.close().await;
    let mut bytes = fs::read(bed.file()).unwrap();
    let end = bytes.len();
    bytes[end - 2 * 4096..].fill(0xa5);
    fs::write(bed.file(), bytes).unwrap();
    let error = bed.reopen().await.unwrap().check_integrity().await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n') && line.contains("restore a backup"), "{line}");
}

#[tokio::test]
async fn a_url_that_cannot_be_read_without_doubt_is_refused_unshown() {
    let remedy = "Write postgres://user:password@host:5432/name, with / ? # @ : % in the password \
                  percent-encoded.";
    for (url, fault) in [
        ("mysql://u:hunter2@h/db", "its URL begins with neither postgres:// nor postgresql://"),
        ("postgres://u:hunter2/x@h/db", "its URL cannot be read without doubt"),
        ("postgres://u:5432/hunter2@h", "its URL cannot be read without doubt"),
        ("postgres://u:a@hunter2@h/db", "its URL cannot be read without doubt"),
        ("postgres://u:12#hunter2@h/db", "its URL cannot be read without doubt"),
        ("postgres://u:12?hunter2@h/db", "its URL has a parameter that is not known"),
        ("postgres://u@h/db?pasword=hunter2", "its URL has a parameter that is not known"),
        ("postgres://u@h:hunter2/db", "its URL cannot be read"),
        ("postgres://u@h/db?sslmode=hunter2", "its URL cannot be read"),
    ] {
        let line = url_refusal(url).await;
        assert_eq!(line, format!("PostgreSQL cannot be opened: {fault}. {remedy}"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_has_no_such_database_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let line = url_refusal(&format!("postgres://u:hunter2@127.0.0.1:{port}/db")).await;
    let shown = format!("PostgreSQL at 127.0.0.1:{port}/db cannot be opened: ");
    assert!(line.starts_with(&shown), "{line}");
    assert!(line.ends_with(
        "Check host and port in database.url, and that the server runs and lets us in."
    ));

    let server = server_url();
    let (base, _) = server.rsplit_once('/').unwrap();
    let line = url_refusal(&format!("{base}/sealgate_absent")).await;
    assert!(line.contains("/sealgate_absent cannot be opened: the server has no such database."));
}

#[tokio::test]
async fn a_wrong_password_is_said_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(refuse_password(listener));
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/db?sslmode=disable");
    assert_eq!(
        url_refusal(&url).await,
        format!(
            "PostgreSQL at 127.0.0.1:{port}/db cannot be opened: the server refused the user name \
             or the password. Check user and password in database.url, and the server's \
             pg_hba.conf."
        )
    );
    assert_eq!(server.await.unwrap(), b"hunter2\0");
}

/// A PostgreSQL server as far as its refusal; yields the password that it was sent. The throw-away
/// server of the tests lets everybody in, so it cannot show this.
async fn refuse_password(listener: TcpListener) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let length = socket.read_u32().await.unwrap();
    let mut startup = vec![0; usize::try_from(length).unwrap() - 4];
    socket.read_exact(&mut startup).await.unwrap();
    socket.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap(); // asks for the plain password
    assert_eq!(socket.read_u8().await.unwrap(), b'p');
    let length = socket.read_u32().await.unwrap();
    let mut password = vec![0; usize::try_from(length).unwrap() - 4];
    socket.read_exact(&mut password).await.unwrap();
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0";
    socket.write_u8(b'E').await.unwrap();
    socket.write_u32(u32::try_from(fields.len()).unwrap() + 4).await.unwrap();
    socket.write_all(fields).await.unwrap();
    password
}

#[tokio::test]
async fn after_a_disk_was_full_for_a_moment_it_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Sqlite(folder.path().join("full.db"));
    let store = Store::open(&Settings { target }, Clock::settable(NOW_MS)).await.unwrap();
    let Pools::Sqlite { writer, .. } = &store.pools else { panic!("this is SQLite") };
    sqlx::query("CREATE TABLE filler (bytes BLOB)").execute(writer).await.unwrap();
    // As small as it is now: the next page is one too many.
    sqlx::query("PRAGMA max_page_count = 1").execute(writer).await.unwrap();
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let filled = sqlx::query("INSERT INTO filler VALUES (zeroblob(10000000))").execute(&mut *tx);
    let told = filled.await.unwrap_err().to_string();
    assert!(told.contains("full"), "{told}");
    drop(tx);
    // The limit belonged to the connection that is closed now.
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO filler VALUES (zeroblob(10000))").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_with_its_place_and_the_change_is_not_kept() {
    let bed = Bed::sqlite().await;
    let Pools::Sqlite { writer, .. } = &bed.store.pools else { panic!("not SQLite") };
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await.unwrap();
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit).execute(writer).await.unwrap();
    let mut fault = None;
    for number in 0..2000 {
        let symbol = format!("S{number}");
        let seeded = bed.store.seed_symbols(&[(&symbol, AssetClass::Stock)]).await;
        if let Err(full) = seeded {
            fault = Some(full);
            break;
        }
    }
    let fault = fault.unwrap();
    assert!(matches!(fault, Error::Full { .. }), "{fault:?}");
    assert!(fault.to_string().contains("free space there"), "{fault}");
    sqlx::query("PRAGMA max_page_count = 1000000").execute(writer).await.unwrap();
    bed.store.seed_symbols(&[("LATER", AssetClass::Stock)]).await.unwrap();
}
