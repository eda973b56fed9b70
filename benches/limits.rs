//! What a limit costs a call, with a million client keys in use: the admission, of a key that was
//! not seen for long and of keys that come again and again, beside a floor that nobody gets below;
//! and the memory of a window in use. `cargo bench --bench limits -- --bar` fails where a bar is
//! missed; `--keys N` takes fewer.
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
    pub(crate) mod limiter;
    pub(crate) mod net;
    pub(crate) mod policy;
    pub(crate) mod provider;
    pub(crate) mod quota;
    pub(crate) mod refusal;
    pub mod secret;
    pub(crate) mod store;
    pub(crate) mod telemetry;
}

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use house::client::{Client, Fate, Rights, Role, Shows, Tier};
use house::clock::{Clock, Moment};
use house::limiter::{Limiter, Settings};
use house::policy::{Permit, Request, Whence, authorize};
use house::store::{self, Store, Target};
use house::{client, clock, crypto, net, policy, provider, quota, refusal, secret, telemetry};
use uuid::Uuid;

const ROUNDS: usize = 9;
const CALLS: usize = 200_000;
/// So many callers are authenticated, then so many are admitted: what was just looked at of a
/// client key is near the processor, as it is where calls come in.
const TOGETHER: usize = 64;
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// What is promised.
const CALL_NS: f64 = 100.0;
const WINDOW_BYTES: f64 = 300.0;

struct Bench {
    clock: Clock,
    limiter: Limiter,
    permits: Vec<Permit>,
    order: Vec<usize>,
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--keys");
    let keys = at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let target = Target::Sqlite(folder.path().join("sealgate.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = store::Settings { target };
    let store = runtime.block_on(Store::open(&settings, clock.clone())).unwrap();
    let bench = Bench::fill(keys, clock, store);
    let held = bench.measure();
    match held || !arguments.iter().any(|argument| argument == "--bar") {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}

impl Bench {
    fn fill(keys: usize, clock: Clock, store: Store) -> Self {
        let settings = Settings {
            enabled: true,
            window_seconds: 3600,
            unlimited: 999_999,
            premium: 10_000,
            standard: 1000,
            limited: 100,
            time_zone: jiff::tz::TimeZone::UTC,
            shared: None,
        };
        let catalogue = provider::Catalogue::build(&[]).unwrap();
        let provider = catalogue.get("polygon").unwrap();
        let rights = Arc::new(rights());
        let permits = (0..keys).map(|_| permit(provider, &rights)).collect();
        let limiter = Limiter::new(settings, (clock.clone(), store), 10_000);
        Self { clock, limiter, permits, order: shuffled(keys) }
    }

    fn measure(&self) -> bool {
        let before = resident();
        self.order.iter().for_each(|at| self.admit(*at, self.clock.now()));
        let each = (resident() - before) / self.order.len() as f64;
        println!("{:44} {each:9.0} bytes (bar {WINDOW_BYTES:.0})", "memory of a window in use");
        let counters: Vec<std::sync::Mutex<Box<u64>>> =
            self.order.iter().map(|_| std::sync::Mutex::default()).collect();
        let (mut floor, mut all, mut few) = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
        let admit = |at, now| self.admit(at, now);
        for round in 0..ROUNDS {
            let count = |at: usize, _: Moment| **counters.get(at).unwrap().lock().unwrap() += 1;
            *floor.get_mut(round).unwrap() = self.each_ns(round, |at| at, count);
            *all.get_mut(round).unwrap() = self.each_ns(round, |at| at, admit);
            *few.get_mut(round).unwrap() = self.each_ns(round, |at| at % 1000, admit);
        }
        told("a lock, a counter behind it: the floor", median(&mut floor), None);
        told("admission, the same 1,000 callers", median(&mut few), Some(CALL_NS));
        let ratio = median(&mut all) / median(&mut floor);
        let fits = told("admission, any of them", median(&mut all), Some(CALL_NS));
        println!("{:44} {ratio:9.2} of the floor", "");
        fits && each <= WINDOW_BYTES
    }

    /// Time of the work alone, without the look at the client key before it.
    fn each_ns(
        &self,
        round: usize,
        which: impl Fn(usize) -> usize,
        work: impl Fn(usize, Moment),
    ) -> f64 {
        let calls = CALLS.min(self.order.len());
        let from = round * calls % (self.order.len() - calls + 1);
        let mut spent = 0;
        for callers in self.order.get(from..from + calls).unwrap().chunks(TOGETHER) {
            for at in callers {
                let client = self.permits.get(which(*at)).unwrap().client();
                black_box(client.fate.has_ended() || client.expires_at_ms.is_some());
                black_box(client.allowance.get().is_some());
            }
            let now = self.clock.now();
            let before = self.clock.monotonic_ns();
            callers.iter().for_each(|at| work(which(*at), now));
            spent += self.clock.monotonic_ns() - before;
        }
        spent as f64 / calls as f64
    }

    /// The clock is read once for a call, for its record and for all that is asked of it.
    fn admit(&self, at: usize, now: Moment) {
        let permit = self.permits.get(at).unwrap();
        black_box(self.limiter.admit(permit, ADDRESS, now).ok().unwrap().unwrap());
    }
}

fn permit(provider: &Arc<provider::Provider>, rights: &Arc<Rights>) -> Permit {
    let client = Arc::new(Client {
        id: Uuid::now_v7(),
        name: String::from("bench"),
        rights: Arc::clone(rights),
        expires_at_ms: None,
        active: true,
        shows: Shows::Key,
        fate: Fate::default(),
        allowance: OnceLock::new(),
    });
    let from = Whence { address: ADDRESS, origin: None };
    let request = Request { provider, method: "GET", segments: &["v1"], secret: None, from };
    authorize(&client, &request).ok().unwrap()
}

fn rights() -> Rights {
    Rights {
        role: Role::User,
        tier: Tier::Premium,
        scopes: None,
        allowed_ips: None,
        allowed_origins: None,
        limit: Some(1_000_000),
        monthly_quota: None,
        max_concurrent: None,
        secrets: Vec::new(),
    }
}

/// The same for every run, and no order that a cache likes.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x5EED_u64;
    for at in (1..count).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (at + 1);
        order.swap(at, other);
    }
    order
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = told.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

fn told(what: &str, ns: f64, bar_ns: Option<f64>) -> bool {
    let bar = bar_ns.map_or_else(String::new, |bar| format!(" (bar {bar:.0})"));
    println!("{what:44} {ns:9.1} ns{bar}");
    bar_ns.is_none_or(|bar| ns <= bar)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
