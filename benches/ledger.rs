//! What a record costs: on the request's thread (seat to close), on the writer's (drain, chain,
//! pack) and in the database. CPU time, not wall time. `cargo bench --bench ledger` prints the
//! table. The house shows its rooms to nobody outside, so they are compiled in here once more.
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
    pub(crate) mod ledger;
    pub(crate) mod quota;
    pub(crate) mod refusal;
    pub mod secret;
    pub(crate) mod store;
}

#[path = "ledger/large.rs"]
mod large;

use house::ledger::{
    ActorKind, ActorRef, Begin, Counting, Filter, Kind, Lane, Ledger, Opening, Settings,
};
use house::{client, clock, crypto, failpoint, quota, refusal, secret, store};
use nix::time::{ClockId, clock_gettime};
use uuid::Uuid;

const RECORDS: u32 = 4_000;
const ROUNDS: usize = 40;

struct Round {
    request_ns: f64,
    writer_ns: f64,
    database_ns: f64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|word| word == "--large") {
        let records = words.get(at + 1).and_then(|word| word.parse().ok());
        return large::run(records.unwrap_or(10_000_000), words.iter().any(|word| word == "--bar"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock::Clock::system();
    let target = store::Target::Sqlite(folder.path().join("sealgate.db"));
    let store = store::Store::open(&store::Settings { target }, clock.clone()).await.unwrap();
    let (ledger, lanes) = Ledger::open(opening(&store, &clock, folder.path())).await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    let lane = lanes.first().unwrap();

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(lane, &ledger).await);
    }
    scale(&clock);
    print_rounds(&rounds);

    let before = process_ns();
    let verified = ledger.verify().await.unwrap();
    let verify_ns = (process_ns() - before) / verified.records as f64;
    assert!(verified.first_bad.is_none() && verified.records == u64::from(RECORDS) * 40);
    println!("  verify                                   {verify_ns:6.0}");
    assert!(verify_ns < 60e9 / 1e6, "fewer than a million records verified in a minute");
    let before = process_ns();
    let nobody = Filter { actor_id: Some(Uuid::nil()), ..Filter::default() };
    let page = ledger.query(&nobody, 100, None).await.unwrap();
    assert!(page.items.is_empty());
    let search_ns = (process_ns() - before) / verified.records as f64;
    println!("  search through                           {search_ns:6.0}");
    ledger.stop();
    writer.await.unwrap();
    let bytes = std::fs::metadata(folder.path().join("sealgate.db")).unwrap().len();
    println!(
        "bytes a record in the database             {:6.0}",
        bytes as f64 / verified.records as f64
    );
}

fn opening(store: &store::Store, clock: &clock::Clock, folder: &std::path::Path) -> Opening {
    let settings = Settings {
        folder: folder.join("journal"),
        retention_days: 90,
        archives: folder.join("archive"),
        is_strict: false,
        checkpoints: None,
        budget_bytes: 256 << 20,
    };
    let counting = Counting { window_ms: 3_600_000, time_zone: jiff::tz::TimeZone::UTC };
    Opening {
        settings,
        store: store.clone(),
        clock: clock.clone(),
        installation: Uuid::from_u128(1),
        node: "bench".to_owned(),
        workers: 1,
        meter: Box::new(|tally| drop(std::hint::black_box(tally.clone()))),
        counting,
        post: None,
    }
}

fn print_rounds(rounds: &[Round]) {
    let per = |pick: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!("ns of CPU a record, median of {ROUNDS} rounds of {RECORDS}:");
    println!("  request thread: seat, five steps, close  {:6.0}", per(|round| round.request_ns));
    println!("  writer: drain, chain, pack               {:6.0}", per(|round| round.writer_ns));
    println!("  SQLite: blocks, commits                  {:6.0}", per(|round| round.database_ns));
}

/// What this machine, as busy as it is now, needs for things whose cost is known.
fn scale(clock: &clock::Clock) {
    let per = |work: &mut dyn FnMut()| {
        let before = thread_ns();
        (0..100_000).for_each(|_| work());
        (thread_ns() - before) / 1e5
    };
    let read_ns = per(&mut || {
        std::hint::black_box(clock.monotonic_ns());
    });
    let hash_ns = per(&mut || {
        std::hint::black_box(crypto::sha256(&[7; 48]));
    });
    println!("for scale: a clock read {read_ns:.0} ns, SHA-256 of 48 bytes {hash_ns:.0} ns");
}

async fn round(lane: &Lane, ledger: &Ledger) -> Round {
    let before = thread_ns();
    for number in 0..RECORDS {
        call(lane, number);
    }
    let written = thread_ns() - before;
    let (thread, process) = (thread_ns(), process_ns());
    assert!(ledger.flush().await);
    let (thread, process) = (thread_ns() - thread, process_ns() - process);
    let per = |ns: f64| ns / f64::from(RECORDS);
    Round { request_ns: per(written), writer_ns: per(thread), database_ns: per(process - thread) }
}

/// A plain call, as the corridor writes it down.
fn call(lane: &Lane, number: u32) {
    let request_id = "01976c1e-7c5e-7b1a-9d2e-5f0a1b2c3d4e";
    let mut record = lane.seat().unwrap().open(&Begin {
        kind: Kind::Usage,
        actor: ActorRef {
            kind: ActorKind::Key,
            id: Some(Uuid::from_u128(u128::from(number % 10) + 1)),
            name: "nightly-batch",
        },
        address: Some([192, 0, 2, 7].into()),
        provider: "polygon",
        method: "GET",
        path: "/v2/aggs/ticker/AAPL/range/1/day/2024-01-01/2024-12-31",
        request_id,
    });
    record.secret(Uuid::from_u128(3), 4);
    record.upstream_began();
    record.forwarded(request_id);
    record.upstream_ended();
    record.answered(200, "0a1b2c3d4e5f60718293a4b5c6d7e8f9", None);
    record.bytes_out(512);
    record.complete();
}

fn thread_ns() -> f64 {
    cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn process_ns() -> f64 {
    cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_ns(clock: ClockId) -> f64 {
    let time = clock_gettime(clock).unwrap();
    time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64
}
