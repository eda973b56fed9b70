//! Several nodes in one process, on a Redis of the test's own that is paused, killed, filled and
//! emptied under them. Counted is what was let in, by the test's own clock.

mod answers;
mod cut;
mod faults;
mod foreign;
mod relay;
mod server;

use std::sync::atomic::AtomicUsize;

use uuid::Uuid;

use self::server::Server;
use super::super::{Limiter, Settings as Tiers};
use super::*;
use crate::quota::{Period, Quota};
use crate::store::{self, Store};

/// A node, as far as limits go.
struct Node {
    shared: Arc<Shared>,
    keeping: tokio::task::JoinHandle<()>,
    tidings: Arc<Mutex<Vec<Tidings>>>,
    ground: Ground,
}

/// What outlives a process.
#[derive(Clone)]
struct Ground {
    url: String,
    timeout_ms: u64,
    nodes: u64,
    folder: Arc<tempfile::TempDir>,
    /// Over which the nodes know of each other; None: they do not.
    database: Option<Store>,
}

/// What all of a test's nodes share beside Redis.
struct Database {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Database {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = store::Target::Sqlite(folder.path().join("sealgate.db"));
        let store = Store::open(&store::Settings { target }, Clock::system()).await.unwrap();
        Self { store, _folder: folder }
    }
}

fn tiers() -> Tiers {
    Tiers {
        enabled: true,
        window_seconds: 3600,
        unlimited: 999_999,
        premium: 1000,
        standard: 100,
        limited: 10,
        time_zone: jiff::tz::TimeZone::UTC,
        shared: None,
    }
}

impl Node {
    async fn start(server: &Server, name: &str) -> Self {
        Self::planned(server.url(), name, (50, 0)).await
    }

    async fn planned(url: String, name: &str, (timeout_ms, nodes): (u64, u64)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::within(name, Ground { url, timeout_ms, nodes, folder, database: None }).await
    }

    /// As a process that is killed, and started again in the same folder.
    async fn kill_and_start(self) -> Self {
        let (name, ground) = (self.shared.node.clone(), self.ground.clone());
        drop(self);
        Self::within(&name, ground).await
    }

    async fn within(name: &str, ground: Ground) -> Self {
        let tidings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&tidings);
        let clock = Clock::system();
        let parts = Parts {
            settings: Settings {
                url: Arc::new(SecretBytes::copy_of(ground.url.as_bytes())),
                ca_file: None,
                timeout: Duration::from_millis(ground.timeout_ms),
                nodes: ground.nodes,
            },
            metrics: Metrics::new(clock.clone(), []),
            clock: clock.clone(),
            installation: Uuid::nil(),
            node: name.to_owned(),
            data_dir: ground.folder.path().to_owned(),
            bell: Box::new(move |tiding| lock(&heard).push(tiding)),
        };
        let Some(database) = ground.database.clone() else {
            let shared = Shared::new(parts);
            shared.begin().await;
            let keeping = tokio::spawn(Arc::clone(&shared).keep());
            return Self { shared, keeping, tidings, ground };
        };
        let limiter = Limiter::new(tiers(), (clock, database), 100).sharing(parts);
        limiter.remember(name).await.unwrap();
        limiter.begin().await;
        let shared = limiter.shared.clone().unwrap();
        let keeping = tokio::spawn(Arc::new(limiter).keep());
        Self { shared, keeping, tidings, ground }
    }

    async fn three(server: &Server) -> Vec<Self> {
        Self::three_that_wait(server, 50).await
    }

    /// What a busy machine does to the test is no fault of Redis.
    async fn three_that_wait(server: &Server, timeout_ms: u64) -> Vec<Self> {
        let mut nodes = Vec::new();
        for name in ["north", "south", "west"] {
            nodes.push(Self::planned(server.url(), name, (timeout_ms, 0)).await);
        }
        nodes[0].until_all_are_here(3).await;
        for node in &nodes {
            until(|| node.shared.nodes.load(Ordering::Acquire) == 3).await;
        }
        nodes
    }

    fn is_up(&self) -> bool {
        self.shared.link.load().is_some()
    }

    /// Since it was started it has judged no call by itself.
    fn was_never_alone(&self) -> bool {
        let page = self.shared.metrics.encode();
        self.is_up() && page.contains("\nsealgate_limiter_local_calls_total 0\n")
    }

    /// As Redis sees it.
    async fn until_all_are_here(&self, nodes: u64) {
        for _ in 0..400 {
            if let Some(link) = self.shared.link.load_full() {
                let mut state = redis::cmd("HMGET");
                state.arg(self.shared.key("state")).arg("all").arg("here");
                let state: Result<(u64, u64), Why> = link.ask(&state, Duration::from_secs(1)).await;
                if state == Ok((nodes, nodes)) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not all of {nodes} nodes are here");
    }

    async fn admits(&self, bucket: &Bucket) -> bool {
        matches!(self.shared.admit(std::slice::from_ref(bucket)).await, Verdict::Counted(_))
    }

    async fn used(&self, bucket: &Bucket) -> u64 {
        self.shared.look(std::slice::from_ref(bucket)).await[0].used
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// Of `limits.redis_timeout_ms`.
const DEFAULT_TIMEOUT_MS: u64 = 500;

fn hourly(calls: u64) -> Bucket {
    window(Uuid::now_v7(), calls, 3600)
}

/// A month that began yesterday.
fn monthly(calls: u64) -> Bucket {
    let start_ms = Clock::system().unix_ms() - 86_400_000;
    let period = Period { start_ms, end_ms: start_ms + 30 * 86_400_000 };
    Bucket::month(Uuid::now_v7(), period, calls)
}

fn window(client: Uuid, calls: u64, seconds: u64) -> Bucket {
    let window_ns = seconds * 1_000_000_000;
    Bucket::window(client, None, Quota { calls, window_ns, unlimited: false })
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..800 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came to pass");
}

/// So many callers at once, spread over the nodes: how many each node let in.
async fn burst(nodes: &[Node], bucket: &Bucket, callers: usize) -> Vec<usize> {
    burst_on(nodes, std::slice::from_ref(bucket), callers).await
}

/// Each call must pass all of these.
async fn burst_on(nodes: &[Node], buckets: &[Bucket], callers: usize) -> Vec<usize> {
    let admitted: Arc<Vec<AtomicUsize>> =
        Arc::new(nodes.iter().map(|_| AtomicUsize::new(0)).collect());
    let mut calls = Vec::new();
    for caller in 0..callers {
        let place = caller % nodes.len();
        let (shared, buckets) = (Arc::clone(&nodes[place].shared), buckets.to_vec());
        let admitted = Arc::clone(&admitted);
        calls.push(tokio::spawn(async move {
            if let Verdict::Counted(_) = shared.admit(&buckets).await {
                admitted[place].fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    admitted.iter().map(|count| count.load(Ordering::Relaxed)).collect()
}

/// How often the proofs run: shortened where nobody asks for the long figures.
#[expect(clippy::disallowed_methods, reason = "the proof command asks for more rounds")]
fn runs(long: usize, short: usize) -> usize {
    match std::env::var("PROOF").is_ok_and(|rounds| rounds == "1000") {
        true => long,
        false => short,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_callers_at_once_get_a_hundred_calls_on_one_node_and_on_three() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, DEFAULT_TIMEOUT_MS).await;
    let mut others = Vec::new();
    let rounds = runs(200, 20);
    for round in 0..rounds {
        let own = burst(&nodes[..1], &hourly(100), 500).await;
        let shared = hourly(100);
        let admitted = burst(&nodes, &shared, 500).await;
        let used = nodes[2].used(&shared).await;
        if own != [100] || admitted.iter().sum::<usize>() != 100 || used != 100 {
            others.push((round, own, admitted, used));
        }
        let (wide, month) = (hourly(1000), monthly(100));
        let admitted = burst_on(&nodes, &[wide.clone(), month.clone()], 500).await;
        let used = [&wide, &month].map(|bucket| nodes[1].used(bucket));
        let [wide, month] = used;
        let used = (wide.await, month.await);
        if admitted.iter().sum::<usize>() != 100 || used != (100, 100) {
            others.push((round, vec![100], admitted, used.1));
        }
    }
    assert!(others.is_empty(), "{} of {rounds} rounds: {others:?}", others.len());
    assert!(nodes.iter().all(Node::was_never_alone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_counted_in_all_its_windows_or_in_none() {
    let server = Server::start();
    let node = Node::start(&server, "north").await;
    let (wide, narrow) = (hourly(100), hourly(1));
    let period = Period { start_ms: 5, end_ms: i64::MAX / 2 };
    let month = Bucket::month(Uuid::now_v7(), period, 2);
    let all = [wide.clone(), narrow.clone(), month.clone()];
    let Verdict::Counted(seen) = node.shared.admit(&all).await else { panic!("there is room") };
    assert_eq!(seen.iter().map(|seen| seen.used).collect::<Vec<_>>(), [1, 1, 1]);
    let Verdict::Over(1, seen) = node.shared.admit(&all).await else { panic!("one is full") };
    assert_eq!(seen.used, 1);
    assert!((3_500..=3_660).contains(&(seen.free_in_ns / 1_000_000_000)), "{seen:?}");
    assert_eq!((node.used(&wide).await, node.used(&month).await), (1, 1));
    assert!(node.admits(&month).await);
    assert!(!node.admits(&month).await);
    // The next month is fresh; the former one does not come back.
    let next = Bucket { span: Span::Month(Period { start_ms: 9, ..period }), ..month.clone() };
    assert!(node.admits(&next).await);
    assert!(node.admits(&month).await, "counted into the newer one");
    assert!(!node.admits(&next).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_slides_and_takes_constant_room_and_its_key_expires() {
    let server = Server::start();
    let [north, south] = ["north", "south"].map(|name| Node::planned(server.url(), name, (500, 0)));
    let nodes = [north.await, south.await];
    let bucket = window(Uuid::now_v7(), 20, 2);
    let clock = Clock::system();
    let mut admitted: Vec<u64> = Vec::new();
    let mut refused = 0;
    for round in 0..600 {
        let before = clock.monotonic_ns();
        let is_in = nodes[round % 2].admits(&bucket).await;
        let after = clock.monotonic_ns();
        let inside = |age: u64, from: u64| admitted.iter().filter(|at| from - **at < age).count();
        if is_in {
            // As it can be seen from here: surely within the window.
            let strict = admitted.iter().filter(|at| after - **at < 1_990_000_000).count();
            assert!(strict < 20, "{strict} calls were in the window");
            admitted.push(before);
        } else {
            refused += 1;
            assert!(inside(2_100_000_000, before) >= 20, "a freed call is usable soon");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused > 100 && admitted.len() > 60, "{refused} {}", admitted.len());
    let key = format!("{}{}", nodes[0].shared.prefix, bucket.name);
    let fields: usize = server.ask(&["HLEN", &key]).parse().unwrap();
    assert!(fields <= 69, "{fields} fields");
    let ttl: i64 = server.ask(&["PTTL", &key]).parse().unwrap();
    assert!((1..=2_100).contains(&ttl), "{ttl} ms");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(server.ask(&["EXISTS", &key]), "0");
}

/// What leases let in, and nothing else: whoever waits so long does not judge alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_quotas_are_taken_in_leases_that_never_pass_them_and_come_back() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 10_000).await;
    let bucket = hourly(20_000);
    let asked = || -> u64 {
        let stats = server.ask(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
    };
    let before = asked();
    for _ in 0..30 {
        assert_eq!(burst(&nodes, &bucket, 300).await, [100, 100, 100]);
    }
    let scripts = asked() - before;
    assert!(scripts < 3_000, "{scripts} scripts for 9000 calls");
    // What nobody used goes back.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    assert!(nodes.iter().all(Node::was_never_alone));
    assert_eq!(nodes[1].used(&bucket).await, 9_000);
    let before = asked();
    let rest = burst(&nodes, &bucket, 14_000).await;
    let scripts = asked() - before;
    assert!(scripts < 3_000, "{scripts} scripts for 14000 calls, 3000 of them refused");
    let sum = rest.iter().sum::<usize>();
    assert!((10_780..=11_000).contains(&sum), "{sum}: at most one in a hundred is held elsewhere");
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    let last = burst(&nodes, &bucket, 600).await;
    assert_eq!(sum + last.iter().sum::<usize>(), 11_000, "and comes back");
    assert!(nodes.iter().all(Node::was_never_alone));
}

#[expect(clippy::disallowed_methods, reason = "the thread is to serve nobody")]
fn stand_still(for_ms: u64) {
    std::thread::sleep(Duration::from_millis(for_ms));
}

/// Works for a while, and stands in line again behind all others.
async fn busy(for_ms: u64, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        stand_still(for_ms);
        let mut has_waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut has_waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

/// Its only thread sleeps between question and answer; then it has so much to do that whoever
/// sends, reads and waits has his turn when the time-out is over.
#[test]
fn a_node_that_is_starved_by_its_own_process_does_not_give_redis_up() {
    // One turn of a task, one look at sockets and timers.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().event_interval(1).build().unwrap().block_on(starved());
}

async fn starved() {
    const TIMEOUT_MS: u64 = 800;
    let server = Server::start();
    let node = Node::planned(server.url(), "north", (TIMEOUT_MS, 0)).await;
    let bucket = hourly(1000);
    for _ in 0..2 {
        let call = tokio::spawn({
            let (shared, bucket) = (Arc::clone(&node.shared), bucket.clone());
            async move { shared.admit(&[bucket]).await }
        });
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        stand_still(2 * TIMEOUT_MS);
        assert!(matches!(call.await.unwrap(), Verdict::Counted(_)));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let busy = (0..3).map(|_| tokio::spawn(busy(TIMEOUT_MS / 4, Arc::clone(&is_over))));
    let busy: Vec<_> = busy.collect();
    let before_ns = hand_ns();
    let nodes = [node];
    assert_eq!(burst(&nodes, &bucket, 20).await, [20]);
    let took = Duration::from_nanos(hand_ns() - before_ns);
    is_over.store(true, Ordering::Relaxed);
    for one in busy {
        one.await.unwrap();
    }
    assert!(took > Duration::from_millis(TIMEOUT_MS), "{took:?}: it was not starved");
    assert!(nodes[0].was_never_alone());
    assert_eq!(nodes[0].used(&bucket).await, 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_on_an_empty_redis_give_no_fresh_window() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    for first in 0..3 {
        let bucket = hourly(100);
        for node in &nodes {
            node.shared.remember(&bucket, 5_000_000, 60);
        }
        assert_eq!(burst(&nodes[first..=first], &bucket, 5).await, [5]);
        assert_eq!(burst(&nodes, &bucket, 200).await.iter().sum::<usize>(), 35);
        assert_eq!(nodes[first].used(&bucket).await, 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_is_waited_for_by_nobody() {
    let server = Server::start();
    let nodes = Node::three(&server).await;
    nodes[2].shared.leave().await;
    nodes[2].keeping.abort();
    nodes[0].until_all_are_here(2).await;
    let bucket = hourly(10);
    assert_eq!(burst(&nodes[..2], &bucket, 40).await.iter().sum::<usize>(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_leased_and_not_spent_is_not_told_as_used() {
    let server = Server::start();
    let node = Node::planned(server.url(), "north", (500, 0)).await;
    let bucket = hourly(20_000);
    for used in 1..=5 {
        assert!(node.admits(&bucket).await);
        assert_eq!(node.used(&bucket).await, used);
    }
}

#[expect(clippy::print_stdout, reason = "the proof command shows its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}

/// Of a call, beside the way to Redis and back, and of a window in use there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_and_a_window_cost_in_redis_is_bounded() {
    const CALLS: u64 = 2_000;
    let server = Server::start();
    let node = Node::planned(server.url(), "north", (1000, 0)).await;
    let clock = Clock::system();
    let link = node.shared.link.load_full().unwrap();
    let (mut pings, mut calls) = (u64::MAX, u64::MAX);
    let bucket = hourly(10_000);
    server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..4 {
        let before = clock.monotonic_ns();
        for _ in 0..CALLS {
            let _pong: String = link.ask(&redis::cmd("PING"), DEFAULT_WAIT).await.unwrap();
        }
        let between = clock.monotonic_ns();
        for _ in 0..CALLS {
            assert!(node.admits(&bucket).await);
        }
        pings = pings.min((between - before) / CALLS);
        calls = calls.min((clock.monotonic_ns() - between) / CALLS);
    }
    let stats = server.ask(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    let there_us: f64 = line.split(['=', ',']).nth(5).unwrap().parse().unwrap();
    let key = format!("{}{}", node.shared.prefix, bucket.name);
    // As full as a window can be.
    let at: u64 = server.ask(&["HGET", &key, "at"]).parse().unwrap();
    for part in at - 60..at {
        server.ask(&["HSET", &key, &part.to_string(), "166"]);
    }
    let bytes: u64 = server.ask(&["MEMORY", "USAGE", &key]).parse().unwrap();
    let asked = format!("{}asked:north.{}.{}", node.shared.prefix, node.shared.process, link.id);
    let unheard: u64 = server.ask(&["HLEN", &asked]).parse().unwrap();
    tell(&format!(
        "a call {calls} ns, the way there and back {pings} ns, of the call in Redis {there_us} us; \
         a full window {bytes} bytes there; {unheard} calls noted"
    ));
    assert!(bytes <= 2_048, "{bytes} bytes");
    assert!(there_us <= 500.0, "{there_us} us");
    assert!(unheard <= 32, "{unheard} calls are noted still");
}

const DEFAULT_WAIT: Duration = Duration::from_secs(1);
