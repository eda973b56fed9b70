//! How fast candles get from a provider's answer to committed rows on SQLite: read, judged, stored
//! page by page with their checkpoint, beside bare batched inserts of as many rows.
//! `cargo bench --bench market -- --bar` fails where a bar is missed.
//! The house shows its rooms to nobody outside, so they are compiled in here once more.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and ends where it fails"
)]

#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the bench calls what it measures and nothing else"
)]
#[path = "../src"]
mod house {
    pub(crate) mod client;
    pub mod clock;
    pub(crate) mod crypto;
    pub(crate) mod failpoint;
    pub(crate) mod quota;
    pub(crate) mod refusal;
    pub mod secret;
    pub(crate) mod store;

    pub(crate) mod market {
        mod calendar;
        mod candle;
        mod decimal;
        mod json;
        mod page;
        mod span;

        use crate::store::{NewCandle, PageEnd, PartProgress, Store};

        /// What the market's room does with each page.
        pub(crate) async fn take(store: &Store, body: &[u8], mut end: PageEnd<'_>) -> usize {
            let page = page::read(body).unwrap();
            let mut judge = candle::Judge::of(span::Span::Minute, (0, i64::MAX));
            let good: Vec<NewCandle<'_>> =
                page.candles.iter().map(|written| judge.judge(written).unwrap()).collect();
            end.progress = PartProgress {
                next: good.last().unwrap().time + 1,
                candles: i64::try_from(good.len()).unwrap(),
                ..end.progress
            };
            store.store_page(&good, &end).await.unwrap();
            good.len()
        }
    }
}

use std::fmt::Write as _;
use std::path::Path;

use house::store::{
    BackfillStatus, PageEnd, PartProgress, PartRow, Quality, RunCause, RunRow, Settings, Store,
    Tally, Target,
};
use house::{client, clock, crypto, quota, secret, store};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use uuid::Uuid;

const PAGES: usize = 6;
const PAGE: usize = 50_000;
const ROUNDS: usize = 3;
const MINUTE_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_704_067_200_000;

/// What the bench asks for.
const LEAST_A_SECOND: f64 = 20_000.0;
const LEAST_RATIO: f64 = 0.4;

fn main() {
    let has_bar = std::env::args().any(|argument| argument == "--bar");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bodies: Vec<String> = (0..PAGES).map(body).collect();
    let (mut ours, mut bare) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        ours = ours.max(runtime.block_on(stored(folder.path(), &bodies)));
        bare = bare.max(runtime.block_on(inserted(folder.path())));
    }
    let ratio = ours / bare;
    println!("{ours:.0} candles a second, from a parsed answer to committed rows");
    println!("{bare:.0} rows a second, bare batched inserts; ratio {ratio:.2}");
    let is_met = ours >= LEAST_A_SECOND && ratio >= LEAST_RATIO;
    assert!(is_met || !has_bar, "a bar is missed");
}

fn ms(page: usize, index: usize) -> i64 {
    BEGIN_MS + i64::try_from(page * PAGE + index).unwrap() * MINUTE_MS
}

fn body(page: usize) -> String {
    let mut text = String::from(r#"{"ticker":"A","adjusted":true,"results":["#);
    for index in 0..PAGE {
        let comma = if index == 0 { "" } else { "," };
        let (cents, time) = (index % 90 + 10, ms(page, index));
        write!(
            text,
            r#"{comma}{{"v":{index}.25,"vw":187.1{cents},"o":187.{cents},"c":187.15{cents},"h":188.44,"l":183.885,"t":{time},"n":1008}}"#
        )
        .unwrap();
    }
    text.push_str(r#"],"status":"OK"}"#);
    text
}

/// Candles a second.
async fn stored(folder: &Path, bodies: &[String]) -> f64 {
    let target = Target::Sqlite(folder.join("ours.db"));
    let clock = clock::Clock::system();
    let store = Store::open(&Settings { target }, clock.clone()).await.unwrap();
    let run = begun(&store).await;
    let begun_ns = clock.monotonic_ns();
    let (mut taken, mut from) = (0, 0);
    for (page, body) in bodies.iter().enumerate() {
        let progress = PartProgress { next: 0, candles: 0, rejected: 0, reasons: "{}" };
        let end = PageEnd { run, symbol_id: 1, span: 60, from, progress };
        taken += house::market::take(&store, body.as_bytes(), end).await;
        from = ms(page, PAGE - 1) * 1_000_000 + 1;
    }
    let rate = taken as f64 / seconds(&clock, begun_ns);
    store.close().await;
    rate
}

async fn begun(store: &Store) -> Uuid {
    let id = Uuid::now_v7();
    let run = RunRow {
        id,
        cause: RunCause::Asked,
        asked_by: String::new(),
        wanted: None,
        from_ms: None,
        to_ms: 0,
        span: None,
        state: BackfillStatus::Pending,
        error: None,
        cancelled_by: None,
        created_at: 0,
        started_at: None,
        finished_at: None,
    };
    assert!(store.add_run(&run, 1).await.unwrap());
    let gaps = String::from("[]");
    let part = PartRow {
        run: id,
        symbol_id: 1,
        symbol: String::from("A"),
        provider: String::from("polygon"),
        span: 60,
        state: BackfillStatus::Pending,
        error: None,
        from: 0,
        to: i64::MAX,
        tally: Tally { next: 0, pages: 0, candles: 0, rejected: 0, reasons: String::from("{}") },
        quality: Quality { days_expected: 0, days_present: 0, gaps },
        started_at: None,
        finished_at: None,
    };
    assert!(store.begin_run(id, std::slice::from_ref(&part)).await.unwrap());
    assert!(store.begin_part(&part).await.unwrap());
    id
}

/// Rows a second, of the same form and into the same kind of table, with as many in a commit.
async fn inserted(folder: &Path) -> f64 {
    const TABLE: &str = "CREATE TABLE bare (symbol_id INTEGER NOT NULL, span INTEGER NOT NULL,
        time INTEGER NOT NULL, open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL,
        close TEXT NOT NULL, volume TEXT NOT NULL, vwap TEXT, trades INTEGER,
        PRIMARY KEY (symbol_id, span, time)) WITHOUT ROWID, STRICT";
    const ROWS: usize = 500;
    let url = format!("sqlite://{}?mode=rwc", folder.join("bare.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for sql in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", TABLE] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    // Numbered, each would be looked for among all of them.
    let marks = ["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; ROWS].join(", ");
    let sql = format!("INSERT INTO bare VALUES {marks}");
    let clock = clock::Clock::system();
    let begun_ns = clock.monotonic_ns();
    for page in 0..PAGES {
        let mut tx = connection.begin().await.unwrap();
        for first in (0..PAGE).step_by(ROWS) {
            let mut query = sqlx::query(AssertSqlSafe(sql.as_str()));
            for index in first..first + ROWS {
                query = query.bind(1_i64).bind(60_i64).bind(ms(page, index) * 1_000_000);
                for text in ["187.15", "188.44", "183.885", "187.1510", "1008.25", "187.110"] {
                    query = query.bind(text);
                }
                query = query.bind(1008_i64);
            }
            query.execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    (PAGES * PAGE) as f64 / seconds(&clock, begun_ns)
}

fn seconds(clock: &clock::Clock, begun_ns: u64) -> f64 {
    (clock.monotonic_ns() - begun_ns) as f64 / 1e9
}
