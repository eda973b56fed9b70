//! Restores that end elsewhere than they began: killed while they put aside what was the former
//! house's, with the answer to their commit lost, beside a journal that cannot be moved, before
//! another database, overtaken by another node.

use std::path::Path;
use std::process::Command;

use crate::backup::{Site, belongings, call, die, set_aside};
use crate::house::{Database, Ground, Kind, Server, is_root};

/// A house's files in another place. What a server has open of them does not matter: none runs.
fn copied(site: &Site, furnished: &Ground) -> Ground {
    let ground = site.ground("");
    for part in ["data", "keys"] {
        let (from, to) = (furnished.path().join(part), ground.path().join(part));
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    }
    ground
}

fn restore(site: &Site, ground: &Ground) -> Command {
    let (file, identity) = (site.text("backup.age"), site.text("identity"));
    ground.command(&["backup", "restore", &file, "--identity", &identity, "--replace"])
}

/// What the trail says of restores.
fn told(ground: &Ground) -> usize {
    let query = ["audit", "query", "--kind", "security", "--limit", "1000", "--json"];
    ground.json(&query).to_string().matches("\"restored\"").count()
}

fn notes(ground: &Ground) -> Vec<String> {
    let entries = std::fs::read_dir(ground.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("restore.")).collect()
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_puts_aside_or_settles_a_restore_is_finished_by_the_next_start() {
    use std::os::unix::process::ExitStatusExt as _;
    const PLACES: [&str; 7] = [
        "restore-aside",
        "restore-aside:2",
        "restore-aside:3",
        "restore-anchored",
        "restore-written",
        "restore-settled",
        "restore-told",
    ];
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let furnished = site.ground("");
    site.furnish(&furnished);
    let killed = |mut command: Command, place: &str| {
        let ended = command.env("SEALGATE_TEST_FAILPOINT", place).output().unwrap();
        assert_eq!(ended.status.signal(), Some(9), "{place} was never passed: {ended:?}");
    };
    for place in PLACES {
        // Killed in the restore itself; and in the start that finishes one, twice if it comes by.
        for by_start in [false, true] {
            let ground = copied(&site, &furnished);
            if by_start {
                die(&site, ground.path(), "Committed");
                killed(ground.command(&["serve"]), place);
                if place != "restore-settled" {
                    killed(ground.command(&["serve"]), place);
                }
            } else {
                killed(restore(&site, &ground), place);
            }
            let server = ground.serve(&[]);
            assert_eq!(call(&server, &key).await, 200, "{place}");
            let lines = server.stop().join("\n");
            let is_settled = ["restore-settled", "restore-told"].contains(&place);
            let is_logged = lines.contains("a restore was finished");
            assert_eq!(is_logged, !is_settled, "{place}: {lines}");
            assert!(lines.contains("restored"), "{place}: {lines}");
            site.assert_serves(&ground, &key).await;
            assert_eq!(set_aside(&ground), ["anchors", "journal", "node"], "{place}");
            assert_eq!(notes(&ground), [""; 0], "{place}");
            // Twice where it died between the record and the note of it.
            let expected = if place == "restore-told" { 2..=3 } else { 1..=1 };
            assert!(expected.contains(&told(&ground)), "{place}: {}", told(&ground));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_the_next_start_finishes_is_in_its_log_and_in_the_trail() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    for at in ["Loaded", "Committed"] {
        let other = site.ground("");
        let own_key = site.furnish(&other);
        die(&site, other.path(), at);
        let server = other.serve(&[]);
        let is_new = at == "Committed";
        assert_eq!(call(&server, if is_new { &key } else { &own_key }).await, 200);
        let lines = server.stop().join("\n");
        assert_eq!(lines.contains("a restore was finished"), is_new, "{lines}");
        assert_eq!(lines.contains("a restore was never committed"), !is_new, "{lines}");
        assert_eq!(told(&other), usize::from(is_new));
        // Once, and not at each start.
        other.serve(&[]).stop();
        assert_eq!(told(&other), usize::from(is_new));
        assert_eq!(notes(&other), [""; 0]);
    }
}

/// A way to PostgreSQL on which the COMMIT of a restore is held up, and the client is cut off.
async fn holding_up_the_commit(behind: String) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move {
                let (mut from_near, mut to_near) = near.into_split();
                let (mut from_far, mut to_far) = far.into_split();
                let back = tokio::spawn(async move {
                    let _ended = tokio::io::copy(&mut from_far, &mut to_near).await;
                });
                let (mut bytes, mut is_restore) = (vec![0; 64 * 1024], false);
                while let Ok(count @ 1..) = from_near.read(&mut bytes).await {
                    let said = &bytes[..count];
                    is_restore |= memchr::memmem::find(said, b"done_at = $3").is_some();
                    if is_restore && memchr::memmem::find(said, b"COMMIT").is_some() {
                        back.abort();
                        drop(from_near);
                        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                        to_far.write_all(said).await.unwrap();
                        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                        return;
                    }
                    to_far.write_all(said).await.unwrap();
                }
                let _ended = to_far.shutdown().await;
                drop(back.await);
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_whose_commit_is_answered_to_nobody_is_finished_all_the_same() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let database = Database::fresh(Kind::Postgres, site.carried.path()).await;
    let settings = database.settings();
    let url = settings.trim().strip_prefix("database.url = ").unwrap().trim_matches('"');
    let mut url = reqwest::Url::parse(url).unwrap();
    let behind = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let way = holding_up_the_commit(behind).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(way.port())).unwrap();
    let other = site.ground(&format!("database.url = \"{url}\"\n"));
    site.furnish(&other);
    let ended = restore(&site, &other).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("which was done all the same"), "{said}");
    assert_eq!(set_aside(&other), ["anchors", "journal", "node"]);
    site.assert_serves(&other, &key).await;
    assert_eq!((told(&other), notes(&other)), (1, Vec::new()));
    database.drop_it().await;
}

/// The same command where the journal is a disk of its own.
fn beside_a_disk(command: &Command, journal: &Path, disk: &Path) -> Command {
    let mut within = Command::new("/usr/bin/unshare");
    let whoever = if is_root() { "--mount" } else { "-rm" };
    within.args([whoever, "--", "/bin/sh", "-c"]);
    within.arg("mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"");
    within.arg("sh").args([disk, journal]).arg(command.get_program()).args(command.get_args());
    within.current_dir(command.get_current_dir().unwrap()).env_clear();
    within.stdin(std::process::Stdio::null());
    within.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    within
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_on_a_disk_of_its_own_or_behind_a_link_is_emptied_where_it_lies() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let furnished = site.ground("");
    site.furnish(&furnished);
    for is_disk in [true, false] {
        let other = copied(&site, &furnished);
        let (journal, disk) = (other.data().join("journal"), other.path().join("disk"));
        std::fs::rename(&journal, &disk).unwrap();
        std::fs::create_dir(disk.join("lost+found")).unwrap();
        match is_disk {
            true => std::fs::create_dir(&journal).unwrap(),
            false => std::os::unix::fs::symlink(&disk, &journal).unwrap(),
        }
        let there = |command: &Command| match is_disk {
            true => beside_a_disk(command, &journal, &disk),
            false => {
                let mut same = Command::new(command.get_program());
                same.args(command.get_args()).current_dir(other.path()).env_clear();
                same.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
                same
            }
        };
        let mut restoring = there(&restore(&site, &other));
        // Killed between two files, the next start carries on.
        let is_killed = cfg!(feature = "failpoints") && !is_disk;
        if is_killed {
            restoring.env("SEALGATE_TEST_FAILPOINT", "restore-emptied:2");
        }
        let ended = restoring.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.success(), !is_killed, "{is_disk}: {said}");
        assert_eq!(notes(&other).is_empty(), !is_killed);
        let server = Server::of(there(&other.command(&["serve"])));
        assert_eq!(call(&server, &key).await, 200);
        server.stop();
        assert_eq!(notes(&other), [""; 0]);
        let entries = std::fs::read_dir(&disk).unwrap();
        let names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let aside = names.iter().find(|name| name.starts_with("journal.before-restore-")).unwrap();
        let head = |folder: &Path| std::fs::read(folder.join("head")).unwrap();
        let before = head(&furnished.data().join("journal"));
        assert_eq!(head(&disk.join(aside)), before, "the former journal");
        assert_ne!(head(&disk), before, "the present one");
        assert!(disk.join("lost+found").exists());
        assert_eq!(set_aside(&other), ["anchors", "node"]);
        assert_eq!(journal.is_symlink(), !is_disk);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_is_set_up_with_an_empty_disk_for_its_journal() {
    let site = Site::new().await;
    let ground = site.ground("");
    let disk = ground.path().join("disk");
    std::fs::create_dir_all(disk.join("lost+found")).unwrap();
    std::fs::create_dir(ground.data()).unwrap();
    std::os::unix::fs::symlink(&disk, ground.data().join("journal")).unwrap();
    let key = site.furnish(&ground);
    site.assert_serves(&ground, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_makes_nobody_forget_a_restore() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let other = site.ground("");
    site.furnish(&other);
    die(&site, other.path(), "Committed");
    let before = belongings(&other);
    let elsewhere = format!("sqlite://{}", site.path("elsewhere.db").display());
    for mut command in [other.command(&["serve"]), restore(&site, &other)] {
        let ended = command.env("SEALGATE_DATABASE__URL", &elsewhere).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(notes(&other), ["restore.pending"]);
        assert_eq!(belongings(&other), before);
    }
    let said = restore(&site, &other).env("SEALGATE_DATABASE__URL", &elsewhere).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("restore.pending"), "{said}");
    site.assert_serves(&other, &key).await;
    assert_eq!(set_aside(&other), ["anchors", "journal", "node"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_another_node_has_overtaken_is_left_to_whoever_knows() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    site.back_up(&first, "backup.age");
    let database = Database::fresh(Kind::Postgres, site.carried.path()).await;
    let one = site.ground(&database.settings());
    site.furnish(&one);
    for at in ["Loaded", "Committed"] {
        die(&site, one.path(), at);
        let before = belongings(&one);
        let master = one.path().join("keys/master.key");
        let master = format!("kind = \"file\", path = \"{}\"", master.display());
        let settings = database.settings();
        let two = site.ground(&format!("master_key = {{ {master} }}\n{settings}"));
        site.restored(&two, "backup.age", &["--replace"]);
        let ended = one.run(&["serve"]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{at}: {said}");
        assert!(said.contains("of another one since"), "{at}: {said}");
        assert_eq!(belongings(&one), before, "{at}: nothing was changed");
        // As it says.
        for name in ["journal", "node", "anchors", "restore.pending"] {
            let kept = site.path(&format!("{at}-{name}"));
            let done = Command::new("mv").arg(one.data().join(name)).arg(kept).status().unwrap();
            assert!(done.success());
        }
        site.assert_serves(&one, &key).await;
    }
    database.drop_it().await;
}
