//! A long trail: how fast records reach the database, beside bare batched inserts of as many rows,
//! how long a page and a year of usage take then, and how fast all of it is verified.
//! `cargo bench --bench ledger -- --large [RECORDS] [--bar]`; on PostgreSQL, too, where
//! SEALGATE_TEST_POSTGRES names a server.

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use super::house::store::{
    Bucket, Counted, Dimension, Settings, Store, Target, UsageKey, UsageSum,
};
use super::*;

const SERVER: &str = "SEALGATE_TEST_POSTGRES";
const BARE_ROWS: u64 = 200_000;
const ROWS_A_STATEMENT: u64 = 2_000;
const STATEMENTS_A_COMMIT: u64 = 2;
const COLUMNS: u64 = 16;
const DAY_MS: i64 = 86_400_000;

/// What the bench asks for.
const LEAST_A_SECOND: f64 = 50_000.0;
const LEAST_RATIO: f64 = 0.3;
const MOST_PAGE_MS: f64 = 20.0;
const MOST_YEAR_MS: f64 = 50.0;
const LEAST_VERIFIED_A_MINUTE: f64 = 1_000_000.0;

pub(super) fn run(records: u64, has_bar: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sealgate.db");
        println!("{records} records, SQLite:");
        let bare = bare_sqlite(folder.path()).await;
        let on_sqlite = measure(Target::Sqlite(file), folder.path(), (records, bare)).await;
        drop(folder);
        let Some(server) = server() else {
            println!("PostgreSQL: not measured, {SERVER} names no server");
            assert!(on_sqlite || !has_bar, "a bar is missed on SQLite");
            return;
        };
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&server).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await.unwrap();
        let (host, _) = server.rsplit_once('/').unwrap();
        let url = format!("{host}/{name}");
        println!("{records} records, PostgreSQL:");
        let bare = bare_postgres(&url).await;
        let folder = tempfile::tempdir().unwrap();
        let secret = std::sync::Arc::new(secret::SecretBytes::copy_of(url.as_bytes()));
        let on_postgres = measure(Target::Postgres(secret), folder.path(), (records, bare)).await;
        let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
        sqlx::query(drop).execute(&mut admin).await.unwrap();
        assert!(on_sqlite && on_postgres || !has_bar, "a bar is missed");
    });
}

#[expect(clippy::disallowed_methods, reason = "the test command tells where its server is")]
fn server() -> Option<String> {
    std::env::var(SERVER).ok()
}

/// True if every bar is met.
async fn measure(target: Target, folder: &std::path::Path, (records, bare): (u64, f64)) -> bool {
    let clock = clock::Clock::system();
    let store = Store::open(&Settings { target }, clock.clone()).await.unwrap();
    let (ledger, lanes) = Ledger::open(opening(&store, &clock, folder)).await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    let lane = lanes.into_iter().next().unwrap();
    let begun_ns = clock.monotonic_ns();
    let calling = tokio::task::spawn_blocking(move || {
        (0..records).for_each(|number| patient_call(&lane, number));
    });
    calling.await.unwrap();
    assert!(ledger.flush().await);
    let rate = records as f64 / seconds(&clock, begun_ns);
    let mut is_met = told("records a second into it", rate, rate >= LEAST_A_SECOND);
    let ratio = rate / bare;
    is_met &= told("of bare batched inserts", ratio, ratio >= LEAST_RATIO);

    let middle = format!("r{}", records / 2);
    let all = Filter::default();
    let ends_ms =
        clock.unix_ms() - i64::try_from((clock.monotonic_ns() - begun_ns) / 2_000_000).unwrap();
    let searches = [
        ("the newest", all.clone()),
        ("from the middle of all", Filter { to_ms: Some(ends_ms), ..all.clone() }),
        ("one client's", Filter { actor_id: Some(Uuid::from_u128(3)), ..all.clone() }),
        ("one request of all", Filter { request_id: Some(middle), ..all.clone() }),
        ("of what is not there", Filter { actor_id: Some(Uuid::nil()), ..all.clone() }),
        ("of a status that is not there", Filter { status: Some(418), ..all }),
    ];
    for (name, filter) in searches {
        let (worst, pages) = slowest_page(&ledger, &clock, &filter).await;
        is_met &= told(
            &format!("ms, the slowest of {pages} pages: {name}"),
            worst,
            worst <= MOST_PAGE_MS,
        );
    }
    is_met &= year(&store, &clock).await;
    let begun_ns = clock.monotonic_ns();
    let verified = ledger.verify().await.unwrap();
    // Its own alerts are in the trail, too.
    assert_eq!(verified.first_bad, None);
    assert!(verified.records >= records, "{} of {records}", verified.records);
    let a_minute = verified.records as f64 / seconds(&clock, begun_ns) * 60.0;
    is_met &= told("records verified a minute", a_minute, a_minute >= LEAST_VERIFIED_A_MINUTE);
    ledger.stop();
    writer.await.unwrap();
    is_met
}

fn patient_call(lane: &Lane, number: u64) {
    let id = format!("r{number}");
    let begin = Begin {
        kind: Kind::Usage,
        actor: ActorRef {
            kind: ActorKind::Key,
            id: Some(Uuid::from_u128(u128::from(number % 1_000) + 1)),
            name: "nightly-batch",
        },
        address: Some([192, 0, 2, 7].into()),
        provider: "polygon",
        method: "GET",
        path: "/v2/aggs/ticker/AAPL/range/1/day/2024-01-01/2024-12-31",
        request_id: &id,
    };
    // The journal is full as long as the database is slower.
    let seat = loop {
        match lane.seat() {
            Some(seat) => break seat,
            None => std::thread::yield_now(),
        }
    };
    let mut record = seat.open(&begin);
    record.secret(Uuid::from_u128(3), 4);
    record.forwarded(&id);
    record.answered(200, &id, None);
    record.bytes_out(512);
    record.complete();
}

/// Milliseconds of the slowest page, of at most 20.
async fn slowest_page(ledger: &Ledger, clock: &clock::Clock, filter: &Filter) -> (f64, usize) {
    let (mut worst, mut pages, mut cursor) = (0_f64, 0, None);
    while pages < 20 {
        // Somebody else may have been busy.
        let mut least = f64::MAX;
        let mut next = None;
        for _ in 0..3 {
            let begun_ns = clock.monotonic_ns();
            let page = ledger.query(filter, 100, cursor.as_ref()).await.unwrap();
            least = least.min(seconds(clock, begun_ns) * 1_000.0);
            next = page.next;
        }
        (worst, pages) = (worst.max(least), pages + 1);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    (worst, pages)
}

async fn year(store: &Store, clock: &clock::Clock) -> bool {
    let mut usage = Vec::new();
    for day in 0..365 {
        for provider in 0..12 {
            let mut sum = UsageSum { requests: 9, ..UsageSum::default() };
            (1..60).for_each(|step| sum.durations.add(step * step * 90_000));
            let name = format!("provider-{provider:02}");
            let (bucket, dimension) = (Bucket::Day, Dimension::Provider);
            usage.push((UsageKey { bucket, start_ms: day * DAY_MS, dimension, name }, sum));
        }
    }
    let counted = Counted { next_sequence: 1, usage, ..Counted::default() };
    store.count_records("another-node", &counted).await.unwrap();
    let mut least = f64::MAX;
    for _ in 0..3 {
        let begun_ns = clock.monotonic_ns();
        let of = (Bucket::Day, Dimension::Provider);
        let rows = store.usage(of, (0, 365 * DAY_MS), 50_000).await.unwrap().unwrap();
        assert_eq!(rows.len(), 365 * 12);
        least = least.min(seconds(clock, begun_ns) * 1_000.0);
    }
    told("ms, a year of usage by day", least, least <= MOST_YEAR_MS)
}

/// SQLite takes `$1` and `?1` for names, which it looks for among all others, one by one.
fn statement(sign: char) -> String {
    let row = |row: u64| {
        let cell = |at| match sign {
            '?' => String::from(sign),
            _ => format!("{sign}{}", row * COLUMNS + at),
        };
        let cells: Vec<String> = (1..=COLUMNS).map(cell).collect();
        format!("({})", cells.join(","))
    };
    let rows: Vec<String> = (0..ROWS_A_STATEMENT).map(row).collect();
    format!("INSERT INTO bare VALUES {}", rows.join(","))
}

const BARE: &str = "CREATE TABLE bare (sequence BIGINT PRIMARY KEY, id TEXT, kind TEXT, at BIGINT,
    actor TEXT, name TEXT, address TEXT, provider TEXT, method TEXT, path TEXT, request_id TEXT,
    secret TEXT, status BIGINT, bytes_in BIGINT, bytes_out BIGINT, ns BIGINT)";

macro_rules! insert_bare {
    ($connection:expr, $clock:expr, $sign:literal) => {{
        let sql = statement($sign);
        let begun_ns = $clock.monotonic_ns();
        let mut number = 0_i64;
        for _ in 0..BARE_ROWS / (ROWS_A_STATEMENT * STATEMENTS_A_COMMIT) {
            let mut tx = $connection.begin().await.unwrap();
            for _ in 0..STATEMENTS_A_COMMIT {
                let mut query = sqlx::query(AssertSqlSafe(sql.as_str()));
                for _ in 0..ROWS_A_STATEMENT {
                    number += 1;
                    query = query
                        .bind(number)
                        .bind("0198c0de-7a11-7c0d-8e5a-5ea19a7e0001")
                        .bind("usage")
                        .bind(1_700_000_000_000_i64)
                        .bind("0198c0de-7a11-7c0d-8e5a-5ea19a7e0002")
                        .bind("nightly-batch")
                        .bind("192.0.2.7")
                        .bind("polygon")
                        .bind("GET")
                        .bind("/v2/aggs/ticker/AAPL/range/1/day/2024-01-01/2024-12-31")
                        .bind("0198c0de-7a11-7c0d-8e5a-5ea19a7e0003")
                        .bind("0198c0de-7a11-7c0d-8e5a-5ea19a7e0004")
                        .bind(200_i64)
                        .bind(0_i64)
                        .bind(512_i64)
                        .bind(9_000_000_i64);
                }
                query.execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
        let rate = BARE_ROWS as f64 / seconds(&$clock, begun_ns);
        println!("  {rate:12.0} rows a second, bare batched inserts");
        rate
    }};
}

async fn bare_sqlite(folder: &std::path::Path) -> f64 {
    let clock = clock::Clock::system();
    let url = format!("sqlite://{}?mode=rwc", folder.join("bare.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for sql in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", BARE] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    insert_bare!(connection, clock, '?')
}

async fn bare_postgres(url: &str) -> f64 {
    let clock = clock::Clock::system();
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(BARE).execute(&mut connection).await.unwrap();
    let rate = insert_bare!(connection, clock, '$');
    sqlx::query("DROP TABLE bare").execute(&mut connection).await.unwrap();
    rate
}

fn seconds(clock: &clock::Clock, since_ns: u64) -> f64 {
    (clock.monotonic_ns() - since_ns) as f64 / 1e9
}

fn told(what: &str, figure: f64, is_met: bool) -> bool {
    let digits = if figure < 100.0 { 2 } else { 0 };
    println!("  {figure:12.digits$} {what}{}", if is_met { "" } else { "   MISSED" });
    is_met
}
