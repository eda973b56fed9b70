//! What the vault costs: opening a value, from its row and with its keys at hand, taking one that is kept
//! for the next moments, as a busy call does, and rewrapping beside bare one-row transactions of the same
//! database, in the same run. `cargo bench --bench vault -- --bar 0.5` fails where a bar is missed.
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
    pub(crate) mod catalogue;
    pub(crate) mod client;
    pub mod clock;
    pub(crate) mod crypto;
    pub(crate) mod failpoint;
    pub(crate) mod kms;
    pub(crate) mod net;
    pub(crate) mod policy;
    pub(crate) mod provider;
    pub(crate) mod quota;
    pub(crate) mod refusal;
    pub mod secret;
    pub(crate) mod store;
    pub(crate) mod vault;
}

use std::sync::Arc;
use std::time::Duration;

use house::vault::{Fresh, JobKind, JobState, NewSecret, Placed, PlacedValue, Vault};
use house::{
    catalogue, client, clock, crypto, failpoint, kms, net, policy, provider, quota, refusal,
    secret, store, vault,
};
use uuid::Uuid;

const SECRETS: usize = 200;
const ROUNDS: usize = 7;
const PATIENCE_S: u64 = 120;
const OPENINGS: u32 = 20_000;

/// What is promised.
const OPEN_NS: f64 = 5_000.0;
const KEPT_NS: f64 = 100.0;

struct Bench {
    vault: Arc<Vault>,
    store: store::Store,
    clock: clock::Clock,
    catalogue: Arc<provider::Catalogue>,
    _folder: tempfile::TempDir,
}

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--bar").skip(1);
    let bar: Option<f64> = arguments.next().map(|bar| bar.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let held = runtime.block_on(async {
        let bench = Bench::fill().await;
        let opened = bench.openings().await;
        bench.rewraps(bar.unwrap_or(0.5)).await && opened
    });
    match (held, bar) {
        (false, Some(_)) => std::process::ExitCode::FAILURE,
        (true, _) | (false, None) => std::process::ExitCode::SUCCESS,
    }
}

impl Bench {
    async fn fill() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock::Clock::system();
        let target = store::Target::Sqlite(folder.path().join("sealgate.db"));
        let place = store::Settings { target };
        let store = store::Store::open(&place, clock.clone()).await.unwrap();
        let catalogue = Arc::new(provider::Catalogue::build(&[]).unwrap());
        let key = secret::Key::copy_of(&[3; 32]);
        let master = kms::Master::local(store::MasterKind::File, key);
        let masters = Arc::new(kms::Masters::of(master));
        let (own, now) = (store.clone(), clock.clone());
        let installation = Uuid::from_u128(1);
        let vault =
            Vault::open_house(own, now, Arc::clone(&catalogue), masters, installation).await;
        let vault = Arc::new(vault.unwrap().keeping_opened(&settings()));
        // By which a house that has begun judges its jobs: else nobody works on them.
        store.seal_rows_by(store::RowKey::Here(secret::Key::copy_of(&[9; 32])));
        for number in 0..SECRETS {
            let value = format!("polygon-key-{number:020}");
            let fields = vec![(String::from("api_key"), secret::SecretBytes::from_string(value))];
            let new = NewSecret {
                provider: String::from("polygon"),
                name: format!("s{number}"),
                fields,
                expires_at_ms: None,
                owner: None,
                labels: Vec::new(),
                created_by: String::from("bench"),
            };
            vault.add(new).await.unwrap();
        }
        Self { vault, store, clock, catalogue, _folder: folder }
    }

    async fn openings(&self) -> bool {
        let rows = self.store.secrets().await.unwrap().rows;
        let row = rows.first().unwrap();
        let from_row = self.median_ns(&mut || {
            std::hint::black_box(self.vault.open_stored(row).unwrap());
        });
        // With every key above the value at hand, as they are while the house serves: a moment at
        // which nothing kept is fresh any more.
        let (permit, now) = (self.permit(), self.clock.now());
        let later = clock::Moment { monotonic_ns: u64::MAX, ..now };
        let warm = self.median_ns(&mut || {
            let selected = self.vault.select(&permit).ok().unwrap();
            std::hint::black_box(self.vault.open(&permit, &selected, later).ok().unwrap());
        });
        // As calls do it: once placed, a value serves the calls of the next moments.
        let kept = self.median_ns(&mut || {
            let selected = self.vault.select(&permit).ok().unwrap();
            let opened = self.vault.open(&permit, &selected, now).ok().unwrap();
            std::hint::black_box(opened.placed(place).unwrap());
        });
        println!("open from the row: two keys derived      {from_row:>7.0} ns, no bar");
        let first = told("open, warm hierarchy", warm, OPEN_NS);
        let second = told("select and take what is kept", kept, KEPT_NS);
        first && second
    }

    fn median_ns(&self, work: &mut dyn FnMut()) -> f64 {
        let mut rounds = [0.0; ROUNDS];
        for round in &mut rounds {
            let before = self.clock.monotonic_ns();
            (0..OPENINGS).for_each(|_| work());
            *round = (self.clock.monotonic_ns() - before) as f64 / f64::from(OPENINGS);
        }
        median(&mut rounds)
    }

    fn permit(&self) -> policy::Permit {
        let client = Arc::new(client::Client {
            id: Uuid::nil(),
            name: String::from("bench"),
            rights: Arc::new(client::Rights {
                role: client::Role::User,
                tier: client::Tier::Unlimited,
                scopes: None,
                allowed_ips: None,
                allowed_origins: None,
                limit: None,
                monthly_quota: None,
                max_concurrent: None,
                secrets: Vec::new(),
            }),
            expires_at_ms: None,
            active: true,
            shows: client::Shows::Key,
            fate: client::Fate::default(),
            allowance: std::sync::OnceLock::new(),
        });
        let from = policy::Whence { address: [127, 0, 0, 1].into(), origin: None };
        let provider = self.catalogue.get("polygon").unwrap();
        let secret = Some("s0");
        let request = policy::Request { provider, method: "GET", segments: &["v1"], secret, from };
        policy::authorize(&client, &request).ok().unwrap()
    }

    /// A bare transaction changes one row and commits; a rewrap does that, and reads, unwraps,
    /// wraps, counts and keeps its lease besides. The whole job is timed, its verify pass included.
    async fn rewraps(&self, bar: f64) -> bool {
        let tending = Arc::clone(&self.vault).tend_keys(String::from("bench"), settings());
        let tending = tokio::spawn(tending);
        let (mut bare, mut moved, mut ratios) = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
        for ((bare, moved), ratio) in bare.iter_mut().zip(&mut moved).zip(&mut ratios) {
            let rows = self.store.secrets().await.unwrap().rows;
            let before = self.clock.monotonic_ns();
            for row in &rows {
                assert!(self.store.update_secret(&row.secret, None).await.unwrap());
            }
            *bare = self.a_second(before);
            self.vault.rotate_keks(None).await.unwrap();
            let before = self.clock.monotonic_ns();
            let job = self.vault.start_job(JobKind::Rewrap, "bench", None).await.unwrap();
            let done = loop {
                let job = self.vault.job(job.id).await.unwrap().unwrap();
                if job.state != JobState::Running {
                    break job;
                }
                let waited_s = (self.clock.monotonic_ns() - before) / 1_000_000_000;
                assert!(waited_s < PATIENCE_S, "nobody works on it: {job:?}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            assert_eq!((done.state, done.done), (JobState::Done, SECRETS as u64), "{done:?}");
            *moved = self.a_second(before);
            *ratio = *moved / *bare;
        }
        tending.abort();
        let (bare, moved) = (median(&mut bare), median(&mut moved));
        let ratio = median(&mut ratios);
        println!("SQLite, synchronous=FULL, {SECRETS} rows, median of {ROUNDS} rounds:");
        println!("  bare one-row transactions        {bare:9.0} a second");
        println!("  rewrap, its verify pass included {moved:9.0} a second");
        println!("  ratio                            {ratio:9.2}  (bar {bar:.2})");
        ratio >= bar
    }

    fn a_second(&self, since_ns: u64) -> f64 {
        SECRETS as f64 * 1e9 / (self.clock.monotonic_ns() - since_ns) as f64
    }
}

fn settings() -> vault::Settings {
    let keep_opened = Duration::from_secs(60);
    vault::Settings { kek_max_age_days: 0, keep_opened, locked_memory_bytes: 0 }
}

/// A header of the value, as `Authorization` would be.
fn place(fields: &Fresh) -> Result<Placed, ()> {
    let value = secret::KeptBytes::copy_of(fields.field("api_key").ok_or(())?);
    let header = http::HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(value));
    Ok(Placed {
        hails: Vec::new(),
        values: vec![PlacedValue::Header(http::header::AUTHORIZATION, header.map_err(|_| ())?)],
        needles: Arc::new(secret::Needles::new(Vec::new())),
        may_stay: true,
    })
}

fn told(what: &str, ns: f64, bar_ns: f64) -> bool {
    println!("{what:36} {ns:7.0} ns, {:.2} of the bar of {bar_ns:.0} ns", ns / bar_ns);
    ns <= bar_ns
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
