//! Some nodes are cut off from Redis while the others count there: each has its share in the end,
//! and the sum never passes the quota, from the very moment of the cut.

use super::faults::{all_are_up, draws, uses};
use super::relay::Relay;
use super::*;

/// Three nodes on one database, each with a way of its own to Redis.
pub(super) struct Trio {
    pub(super) server: Server,
    relays: Vec<Relay>,
    pub(super) nodes: Vec<Node>,
    database: Database,
}

impl Trio {
    pub(super) async fn start(timeout_ms: u64) -> Self {
        let (server, database) = (Server::start(), Database::open().await);
        let mut trio = Self { server, relays: Vec::new(), nodes: Vec::new(), database };
        for name in ["north", "south", "west"] {
            trio.add(name, timeout_ms).await;
        }
        trio.are_up().await;
        trio
    }

    async fn add(&mut self, name: &str, timeout_ms: u64) {
        let relay = Relay::to(self.server.port()).await;
        self.add_behind(relay, name, timeout_ms).await;
    }

    async fn add_behind(&mut self, relay: Relay, name: &str, timeout_ms: u64) {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let database = Some(self.database.store.clone());
        let ground = Ground { url: relay.url(), timeout_ms, nodes: 0, folder, database };
        self.relays.push(relay);
        self.nodes.push(Node::within(name, ground).await);
    }

    pub(super) async fn are_up(&self) {
        all_are_up(&self.nodes).await;
        let count = u64::try_from(self.nodes.len()).unwrap();
        for node in &self.nodes {
            until(|| node.shared.nodes.load(Ordering::Acquire) == count).await;
            until(|| node.shared.standing().is_up).await;
        }
    }

    /// Of the node at this place, wherever it stands by now.
    pub(super) fn way(&self, place: usize) -> &Relay {
        let url = &self.nodes[place].ground.url;
        self.relays.iter().find(|relay| relay.url() == *url).unwrap()
    }
}

fn sum(admitted: &[usize]) -> u64 {
    u64::try_from(admitted.iter().sum::<usize>()).unwrap()
}

/// Calls are under way on all of them when some lose their way, at once or one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_cut_off_have_their_share_and_never_pass_the_quota() {
    let mut draw = draws(0x51ed_270b_4b1f_93a5);
    let trio = Trio::start(300).await;
    for round in 0..runs(100, 8) {
        let calls = 30 + draw(170);
        let bucket = if round % 2 == 0 { hourly(calls) } else { monthly(calls) };
        let before = sum(&burst(&trio.nodes, &bucket, usize::try_from(draw(30)).unwrap()).await);
        let cut = if draw(4) == 0 { 2 } else { 1 };
        let pause_ms = draw(3) * 20;
        let cutting = async {
            for place in 0..cut {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                trio.way(place).close();
            }
        };
        let callers = usize::try_from(30 + draw(300)).unwrap();
        let (mut admitted, ()) = tokio::join!(burst(&trio.nodes, &bucket, callers), cutting);
        for _ in 0..3 {
            let more = burst(&trio.nodes, &bucket, 90).await;
            admitted.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            let all = before + sum(&admitted);
            assert!(all <= calls, "round {round}: {before} and {admitted:?} of {calls}");
        }
        // Calls whose answers were lost with the way are counted there, until they are taken back.
        let counted = trio.nodes[2].used(&bucket).await;
        for place in 0..cut {
            until(|| !trio.nodes[place].is_up()).await;
            let own = u64::try_from(admitted[place]).unwrap();
            let least = calls.saturating_sub(counted) / 3;
            assert!(own >= least, "round {round}: {before}, {admitted:?} of {calls}: {counted}");
        }
        (0..cut).for_each(|place| trio.way(place).open());
        trio.are_up().await;
        uses(&trio.nodes[2], &bucket, before + sum(&admitted)).await;
        let rest = sum(&burst(&trio.nodes, &bucket, 300).await);
        assert_eq!(before + sum(&admitted) + rest, calls, "round {round}");
    }
}

/// One waits for the others to keep its share, and not much longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_a_node_that_is_cut_off_waits_for_a_moment_and_the_next_ones_do_not() {
    let trio = Trio::start(300).await;
    let clock = Clock::system();
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        trio.way(0).close();
        let mut waits = Vec::new();
        for _ in 0..30 {
            let before = clock.monotonic_ns();
            assert!(trio.nodes[0].admits(&hourly(100)).await);
            waits.push(Duration::from_nanos(clock.monotonic_ns() - before));
        }
        waits.sort();
        longest = longest.max(waits[29]);
        assert!(waits[29] < Duration::from_millis(1_500), "{waits:?}");
        assert!(waits[27] < Duration::from_millis(50), "{waits:?}");
        trio.way(0).open();
        trio.are_up().await;
    }
    tell(&format!("cut off alone, the first call waited {longest:?} at most"));
}

/// Whoever comes while another one is cut off counts beside what is kept for that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_while_another_one_is_cut_off_lets_nobody_pass_the_quota() {
    let mut trio = Trio::start(300).await;
    let (bucket, fresh) = (hourly(120), hourly(120));
    trio.way(0).close();
    until(|| !trio.nodes[0].is_up()).await;
    assert_eq!(burst(&trio.nodes[..1], &bucket, 60).await, [40], "one of three");
    trio.add("east", 300).await;
    let admitted = burst(&trio.nodes, &bucket, 800).await;
    assert_eq!(sum(&admitted), 80, "{admitted:?}");
    let admitted = burst(&trio.nodes, &fresh, 800).await;
    assert!(sum(&admitted) <= 120 && admitted[0] >= 30, "{admitted:?}");
}

/// Its process stood still, and the others have taken it for dead meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_nobody_need_have_kept_is_asked_for_anew() {
    let trio = Trio::start(300).await;
    let bucket = hourly(90);
    trio.way(0).close();
    until(|| !trio.nodes[0].is_up()).await;
    assert_eq!(burst(&trio.nodes[..1], &bucket, 10).await, [10]);
    let former = trio.nodes[0].shared.plea().unwrap();
    assert!(former.is_granted);
    trio.nodes[0].shared.renew(hand_ns());
    assert!(trio.nodes[0].shared.share().is_none(), "it is over");
    assert_eq!(burst(&trio.nodes[..1], &bucket, 50).await, [20]);
    assert_ne!(trio.nodes[0].shared.plea().unwrap().name, former.name);
    let admitted = burst(&trio.nodes, &bucket, 300).await;
    assert_eq!((admitted[0], sum(&admitted)), (0, 60));
}
