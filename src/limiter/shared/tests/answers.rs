//! Answers of Redis that are late or lost: what was asked has been done, and is neither done again
//! nor left undone for it.

use super::faults::{all_are_up, draws, uses};
use super::relay::Relay;
use super::*;

/// Later than any poll of a test, and no sign of a slow Redis.
const LATE_MS: u64 = 60;

async fn through(relay: &Relay, name: &str, timeout_ms: u64) -> Node {
    Node::planned(relay.url(), name, (timeout_ms, 0)).await
}

/// What a window's running part holds, asked of Redis itself.
fn running(server: &Server, node: &Node, bucket: &Bucket) -> u64 {
    let key = format!("{}{}", node.shared.prefix, bucket.name);
    server.ask(&["HGET", &key, "running"]).parse().unwrap_or(0)
}

async fn until_running(server: &Server, node: &Node, (bucket, calls): (&Bucket, u64)) {
    for _ in 0..2_000 {
        if running(server, node, bucket) == calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} instead of {calls}", running(server, node, bucket));
}

/// The running part may end while it is looked at.
async fn early_in_a_part(node: &Node, bucket: &Bucket) {
    let part_us = bucket.span.part_us();
    let left_us = part_us - node.shared.time.now_us() % part_us;
    if left_us < 15_000_000 {
        tokio::time::sleep(Duration::from_micros(left_us + 1_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_of_a_lease_goes_back_goes_back_once_though_the_answer_is_lost() {
    let server = Server::start();
    let relay = Relay::to(server.port()).await;
    let node = through(&relay, "north", 500).await;
    for _ in 0..3 {
        let bucket = hourly(20_000);
        early_in_a_part(&node, &bucket).await;
        for _ in 0..5 {
            assert!(node.admits(&bucket).await);
        }
        assert_eq!(running(&server, &node, &bucket), 8, "a lease of eight");
        relay.delay_answers(LATE_MS);
        until_running(&server, &node, (&bucket, 5)).await;
        relay.cut();
        relay.delay_answers(0);
        tokio::time::sleep(Duration::from_millis(600)).await;
        all_are_up(std::slice::from_ref(&node)).await;
        assert_eq!(node.used(&bucket).await, 5, "three went back, and no more");
        assert_eq!(running(&server, &node, &bucket), 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_answers_are_lost_are_asked_again_and_counted_once() {
    let server = Server::start();
    let relay = Relay::to(server.port()).await;
    let node = through(&relay, "north", 1000).await;
    let nodes = std::slice::from_ref(&node);
    for quota in [100, 700] {
        let bucket = hourly(quota);
        early_in_a_part(&node, &bucket).await;
        relay.delay_answers(LATE_MS);
        let cutting = async {
            until_running(&server, &node, (&bucket, quota.min(500))).await;
            relay.cut();
            relay.delay_answers(0);
        };
        let (admitted, ()) = tokio::join!(burst(nodes, &bucket, 500), cutting);
        assert_eq!(admitted, [usize::try_from(quota.min(500)).unwrap()]);
        assert_eq!(node.used(&bucket).await, quota.min(500));
        let rest = burst(nodes, &bucket, 300).await;
        assert_eq!(rest, [usize::try_from(quota.saturating_sub(500)).unwrap()]);
    }
    assert!(node.is_up(), "nobody judged alone");
}

/// Nobody waited for them: the node let them in by itself, or the caller hung up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_waits_for_any_more_are_taken_back() {
    let mut server = Server::start();
    let relay = Relay::to(server.port()).await;
    let node = through(&relay, "north", 2_000).await;
    let bucket = hourly(100);
    early_in_a_part(&node, &bucket).await;
    relay.delay_answers(400);
    let mut hung_up = 0;
    for _ in 0..5 {
        let (shared, asked) = (Arc::clone(&node.shared), hourly(100));
        let buckets = [asked.clone()];
        let call = tokio::spawn(async move { shared.admit(&buckets).await });
        until_running(&server, &node, (&asked, 1)).await;
        call.abort();
        // On a busy machine it may have its answer.
        if call.await.is_err() {
            hung_up += 1;
            until_running(&server, &node, (&asked, 0)).await;
        }
    }
    assert!(hung_up > 0);
    relay.delay_answers(0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // They lie in its sockets while it stands still, and are counted when it goes on, or not.
    server.pause();
    assert_eq!(burst(std::slice::from_ref(&node), &bucket, 40).await, [40]);
    assert!(!node.is_up());
    server.resume();
    all_are_up(std::slice::from_ref(&node)).await;
    until_running(&server, &node, (&bucket, 40)).await;
    assert_eq!(burst(std::slice::from_ref(&node), &bucket, 90).await, [60]);
    server.kill();
}

/// The attempt that calls wait for ends after four time-outs, whatever it was about to tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_let_in_alone_is_told_however_long_that_takes() {
    let server = Server::start();
    let relay = Relay::to(server.port()).await;
    let node = through(&relay, "north", 250).await;
    let buckets: Vec<Bucket> = (0..40).map(|_| hourly(100)).collect();
    for bucket in &buckets {
        assert!(node.admits(bucket).await);
    }
    relay.delay_answers(50);
    relay.cut();
    until(|| !node.is_up()).await;
    // They wait for one time-out; to connect anew takes longer, and to tell of all longer still.
    let calls: Vec<_> = buckets
        .iter()
        .map(|bucket| {
            let (shared, bucket) = (Arc::clone(&node.shared), [bucket.clone()]);
            tokio::spawn(async move { shared.admit(&bucket).await })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), Verdict::Counted(_)), "alone");
    }
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    relay.delay_answers(0);
    until(|| node.shared.standing().is_up).await;
    for bucket in &buckets {
        assert_eq!(node.used(bucket).await, 2);
    }
    assert!(lock(&node.shared.news).is_empty());
}

/// It died while Redis was away; the others tell what it had written down, both of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_node_let_in_of_a_month_is_told_once_by_those_that_are_left() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    let (month, nobodys) = (monthly(90), monthly(90));
    assert_eq!(burst(&nodes, &month, 60).await.iter().sum::<usize>(), 60);
    for node in &nodes {
        until(|| node.shared.mirrors.find(&month.name).is_some()).await;
        let months = [(month.clone(), 20), (nobodys.clone(), 5)].into_iter();
        assert!(node.shared.tell_for(("east", "0000000000000001"), months).await);
    }
    assert_eq!(nodes[0].used(&month).await, 80);
    assert_eq!(nodes[0].used(&nobodys).await, 0);
    assert_eq!(burst(&nodes, &month, 60).await.iter().sum::<usize>(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_that_a_node_never_met_is_shared_as_well_when_redis_goes_away() {
    let mut server = Server::start();
    let mut nodes = Node::three_that_wait(&server, 500).await;
    let months: Vec<Bucket> = (0..3).map(|_| monthly(90)).collect();
    for (bucket, calls) in months.iter().zip([60, 90, 0]) {
        assert_eq!(burst(&nodes[..2], bucket, calls).await.iter().sum::<usize>(), calls);
    }
    // One that comes later finds it in Redis.
    nodes.pop();
    nodes.push(Node::planned(server.url(), "west", (500, 0)).await);
    all_are_up(&nodes).await;
    for node in &nodes {
        until(|| node.shared.nodes.load(Ordering::Acquire) == 3).await;
    }
    server.kill();
    for (bucket, share) in months.iter().zip([10, 0, 30]) {
        assert_eq!(burst(&nodes, bucket, 300).await, [share; 3]);
    }
    server.boot(&[]);
    all_are_up(&nodes).await;
    for bucket in &months {
        assert_eq!(burst(&nodes, bucket, 30).await.iter().sum::<usize>(), 0);
        assert_eq!(nodes[2].used(bucket).await, 90);
    }
}

/// Calls on three nodes, of a window or a month that is asked for and of one that is leased, while
/// answers are late and connections are cut: nothing is counted twice, lost or refused for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_of_calls_and_lost_answers_changes_what_is_counted() {
    let mut draw = draws(0x2545_f491_4f6c_dd1d);
    let server = Server::start();
    let relay = Relay::to(server.port()).await;
    let mut nodes = Vec::new();
    for name in ["north", "south", "west"] {
        nodes.push(through(&relay, name, 1000).await);
    }
    all_are_up(&nodes).await;
    for round in 0..runs(60, 4) {
        let calls = 20 + draw(200);
        let asked = match round % 2 {
            0 => vec![hourly(calls)],
            _ => vec![hourly(1_000), monthly(calls)],
        };
        let leased = hourly(20_000);
        let (mut admitted, mut spent) = (0, 0);
        for step in 0..8 {
            let callers = 3 * (1 + draw(30));
            let (how, when_ms) = (draw(3), draw(80));
            let fault = async {
                if how < 2 {
                    relay.delay_answers(how * 40);
                    tokio::time::sleep(Duration::from_millis(when_ms)).await;
                    relay.cut();
                    relay.delay_answers(0);
                }
            };
            let many = usize::try_from(callers).unwrap();
            let (own, of_lease, ()) =
                tokio::join!(burst_on(&nodes, &asked, many), burst(&nodes, &leased, many), fault);
            let sum = |admitted: &[usize]| u64::try_from(admitted.iter().sum::<usize>()).unwrap();
            let place = format!("round {round}, step {step}: {own:?} {of_lease:?}");
            assert_eq!(sum(&own), callers.min(calls - admitted), "{place}");
            assert_eq!(sum(&of_lease), callers, "{place}");
            (admitted, spent) = (admitted + sum(&own), spent + callers);
            all_are_up(&nodes).await;
        }
        for bucket in &asked {
            uses(&nodes[0], bucket, admitted).await;
        }
        uses(&nodes[1], &leased, spent).await;
    }
}
