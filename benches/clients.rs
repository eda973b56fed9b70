//! What knowing a caller costs: authentication and authorisation of a call with a million client keys known, the
//! first call of a key that is not in memory yet, the memory of one that is, and what a million of them in the
//! database cost at start-up. `cargo bench --bench clients -- --bar` fails where a bar is missed; `--keys N` takes
//! fewer, `--calls N` only makes that many warm calls, for a count of instructions.
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
    pub(crate) mod net;
    pub(crate) mod policy;
    pub(crate) mod provider;
    pub(crate) mod quota;
    pub(crate) mod refusal;
    pub(crate) mod roster;
    pub mod secret;
    pub(crate) mod store;
    pub(crate) mod telemetry;
}

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use house::client::{Client, Role, Tier};
use house::clock::Clock;
use house::crypto::token;
use house::policy::Whence;
use house::roster::{Place, Roster};
use house::store::{ClientKeyRow, ImportedKey, Settings, Store, Target};
use house::{
    client, clock, crypto, net, policy, provider, quota, refusal, secret, store, telemetry,
};
use uuid::Uuid;

const ROUNDS: usize = 9;
const CALLS: usize = 200_000;
const COLD: usize = 20_000;
const BATCH: usize = 10_000;
/// Requests that wait in the buffers while one is looked at.
const TOGETHER: usize = 64;
const PATH: &str = "v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09";

/// What is promised.
const CALL_NS: f64 = 700.0;
const COLD_NS: f64 = 100_000.0;
const KEY_BYTES: f64 = 1_200.0;
const START_NS: f64 = 1_000_000.0;

type Key = [u8; 50];

struct Bench {
    clock: Clock,
    catalogue: Arc<provider::Catalogue>,
    keys: Vec<Key>,
    order: Vec<usize>,
    folder: tempfile::TempDir,
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let held = runtime.block_on(async {
        let bench = Bench::fill(number("--keys").unwrap_or(1_000_000)).await;
        match number("--calls") {
            Some(calls) => bench.only_calls(calls).await,
            None => bench.measure().await,
        }
    });
    match held || !arguments.iter().any(|argument| argument == "--bar") {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}

impl Bench {
    /// Every second key has a scope; keys of the usual shape.
    async fn fill(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let store = open(folder.path(), &clock).await;
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH && keys.len() < count {
                let minted = token::mint().unwrap();
                let name = format!("caller {:07}", keys.len());
                let mut row = ClientKeyRow::new(&name, Role::User, Tier::Standard, "bench");
                row.id = Uuid::now_v7();
                if keys.len() % 2 == 1 {
                    row.scopes = Some(vec![String::from("polygon:GET:/v2/aggs/**")]);
                }
                keys.push(minted.key.expose().try_into().unwrap());
                batch.push(ImportedKey { row, digest: minted.digest });
            }
            store.import_client_keys(&batch).await.unwrap();
        }
        store.close().await;
        let catalogue = Arc::new(provider::Catalogue::build(&[]).unwrap());
        let order = shuffled(count);
        Self { clock, catalogue, keys, order, folder }
    }

    async fn measure(&self) -> bool {
        let started = self.starts().await;
        let roster = self.roster().await;
        let cold = self.first_calls(&roster).await;
        let memory = self.memory(&roster).await;
        let calls = self.calls(&roster).await;
        started && cold && memory && calls
    }

    async fn roster(&self) -> Roster {
        let store = open(self.folder.path(), &self.clock).await;
        let metrics = telemetry::Metrics::new(self.clock.clone(), []);
        Roster::open(store, self.clock.clone(), metrics).await.unwrap()
    }

    /// On an open database: what the room of the client keys asks for before it can serve.
    async fn starts(&self) -> bool {
        let small = tempfile::tempdir().unwrap();
        let stores =
            [open(small.path(), &self.clock).await, open(self.folder.path(), &self.clock).await];
        let mut took = [[0.0; ROUNDS]; 2];
        for round in 0..ROUNDS {
            for (store, took) in stores.iter().zip(&mut took) {
                let metrics = telemetry::Metrics::new(self.clock.clone(), []);
                let before = self.clock.monotonic_ns();
                let opening = Roster::open(store.clone(), self.clock.clone(), metrics);
                black_box(opening.await.unwrap());
                *took.get_mut(round).unwrap() = (self.clock.monotonic_ns() - before) as f64;
            }
        }
        let [none, all] = took.map(|mut took| median(&mut took));
        told("start-up, no key in the database", none, None)
            && told("start-up, all of them", all, Some(START_NS))
    }

    /// Each key's first call: from SQLite into the table.
    async fn first_calls(&self, roster: &Roster) -> bool {
        let mut took = Vec::with_capacity(COLD);
        for at in self.order.iter().take(COLD) {
            let before = self.clock.monotonic_ns();
            black_box(self.authenticate(roster, *at).await);
            took.push((self.clock.monotonic_ns() - before) as f64);
        }
        let mean = took.iter().sum::<f64>() / took.len() as f64;
        let fits = told("first call of a key, median", median(&mut took), Some(COLD_NS));
        told("first call of a key, mean", mean, Some(COLD_NS)) && fits
    }

    async fn memory(&self, roster: &Roster) -> bool {
        let known = self.order.len().min(COLD);
        let before = resident();
        for at in self.order.iter().skip(known) {
            black_box(self.authenticate(roster, *at).await);
        }
        let count = self.order.len() - known;
        if count == 0 {
            return true;
        }
        let each = (resident() - before) / count as f64;
        println!("{:44} {each:9.0} bytes (bar {KEY_BYTES:.0})", "memory of a known key");
        each <= KEY_BYTES
    }

    /// Beside a floor that nobody gets below: the key's digest, looked up in a plain map.
    async fn calls(&self, roster: &Roster) -> bool {
        let mut plain: HashMap<[u8; 32], Arc<Client>> = HashMap::with_capacity(self.keys.len());
        for (at, key) in self.keys.iter().enumerate() {
            plain.insert(token::digest(key), self.authenticate(roster, at).await);
        }
        let (mut ours, mut floor, mut few) = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
        let calls = CALLS.min(self.order.len());
        for round in 0..ROUNDS {
            let from = round * calls % (self.order.len() - calls + 1);
            let order = self.order.get(from..from + calls).unwrap();
            let mut spent = 0;
            for chunk in order.chunks(TOGETHER) {
                let keys = self.presented(chunk, &|at| at);
                let before = cpu_ns();
                for key in keys {
                    black_box(plain.get(&token::digest(&key)).cloned());
                }
                spent += cpu_ns() - before;
            }
            *floor.get_mut(round).unwrap() = spent as f64 / calls as f64;
            *ours.get_mut(round).unwrap() = self.each_call(roster, order, |at| at).await;
            *few.get_mut(round).unwrap() = self.each_call(roster, order, |at| at % 1000).await;
        }
        let ratio = median(&mut ours) / median(&mut floor);
        told("digest and a plain map: the floor", median(&mut floor), None);
        told("the same 1,000 callers all the time", median(&mut few), None);
        let fits = told("authenticate and authorise", median(&mut ours), Some(CALL_NS));
        println!("{:44} {ratio:9.2} of the floor", "");
        fits
    }

    /// What came in with each request stands in that request, near the processor; here it is
    /// fetched before the time is taken.
    fn presented(&self, order: &[usize], which: &impl Fn(usize) -> usize) -> Vec<Key> {
        order.iter().map(|at| *self.key(which(*at))).collect()
    }

    async fn each_call(
        &self,
        roster: &Roster,
        order: &[usize],
        which: impl Fn(usize) -> usize,
    ) -> f64 {
        let mut spent = 0;
        for chunk in order.chunks(TOGETHER) {
            let keys = self.presented(chunk, &which);
            let before = cpu_ns();
            for key in keys {
                self.call(roster, &key).await;
            }
            spent += cpu_ns() - before;
        }
        spent as f64 / order.len() as f64
    }

    async fn only_calls(&self, calls: usize) -> bool {
        let roster = self.roster().await;
        for at in 0..self.keys.len() {
            self.call(&roster, self.key(at)).await;
        }
        for call in 0..calls {
            let at = *self.order.get(call % self.order.len()).unwrap();
            self.call(&roster, self.key(at)).await;
        }
        println!("{calls} calls");
        true
    }

    fn key(&self, at: usize) -> &Key {
        self.keys.get(at).unwrap()
    }

    async fn authenticate(&self, roster: &Roster, at: usize) -> Arc<Client> {
        authenticate(roster, self.key(at)).await
    }

    /// As the corridor does it, path included.
    async fn call(&self, roster: &Roster, key: &Key) {
        let client = authenticate(roster, key).await;
        let asked = client.rights.scopes.is_some();
        let mut segments = Vec::new();
        if asked {
            segments.reserve_exact(PATH.matches('/').count() + 1);
            segments.extend(PATH.split('/'));
        }
        let request = policy::Request {
            provider: self.catalogue.get("polygon").unwrap(),
            method: "GET",
            segments: &segments,
            secret: None,
            from: Whence { address: [192, 0, 2, 7].into(), origin: None },
        };
        black_box(policy::authorize(&client, &request).ok().unwrap());
    }
}

async fn authenticate(roster: &Roster, key: &Key) -> Arc<Client> {
    roster.authenticate(key, Place::Own).await.unwrap().unwrap()
}

/// What this thread has had of a processor: the calls wait for nothing, and others on the machine do not count.
fn cpu_ns() -> u64 {
    let spent = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    u64::try_from(spent.tv_sec() * 1_000_000_000 + spent.tv_nsec()).unwrap()
}

async fn open(folder: &Path, clock: &Clock) -> Store {
    let target = Target::Sqlite(folder.join("sealgate.db"));
    Store::open(&Settings { target }, clock.clone()).await.unwrap()
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
    println!("{what:44} {ns:9.0} ns{bar}");
    bar_ns.is_none_or(|bar| ns <= bar)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
