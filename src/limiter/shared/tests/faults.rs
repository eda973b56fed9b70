//! Redis goes away in every way it can, and comes back.

use super::cut::Trio;
use super::*;

const LABELS: [(&str, Why); 3] =
    [("paused", Why::Slow), ("killed", Why::Unreachable), ("full", Why::Full)];

fn break_it(server: &mut Server, how: &str) {
    match how {
        "paused" => server.pause(),
        "killed" => server.kill(),
        _ => {
            server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        }
    }
}

fn mend_it(server: &mut Server, how: &str) {
    match how {
        "paused" => server.resume(),
        "killed" => server.boot(&[]),
        _ => {
            server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        }
    }
}

pub(super) async fn all_are_up(nodes: &[Node]) {
    for node in nodes {
        until(|| node.is_up()).await;
    }
    nodes[0].until_all_are_here(u64::try_from(nodes.len()).unwrap()).await;
}

pub(super) async fn uses(node: &Node, bucket: &Bucket, calls: u64) {
    let mut used = 0;
    for _ in 0..100 {
        used = node.used(bucket).await;
        if used == calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(used, calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_each_node_lets_in_its_share_of_what_was_left_and_tells_it_later() {
    for (how, why) in LABELS {
        let mut server = Server::start();
        let nodes = Node::three_that_wait(&server, 250).await;
        let (fresh, used, full) = (hourly(100), hourly(100), hourly(100));
        assert_eq!(burst(&nodes[..1], &used, 70).await, [70]);
        assert_eq!(burst(&nodes[1..2], &full, 100).await, [100]);
        break_it(&mut server, how);
        // One share each, though only one of them counted before.
        assert_eq!(burst(&nodes, &fresh, 300).await, [33, 33, 33], "{how}");
        assert_eq!(burst(&nodes, &used, 300).await, [10, 10, 10], "{how}");
        assert_eq!(burst(&nodes, &full, 300).await, [0, 0, 0], "{how}");
        for node in &nodes {
            until(|| !lock(&node.tidings).is_empty()).await;
            let heard = lock(&node.tidings).clone();
            assert_eq!(heard, [Tidings::Away(why)], "{how}");
        }
        mend_it(&mut server, how);
        all_are_up(&nodes).await;
        // What a paused Redis counted after all, for calls that did not wait for it, goes back.
        uses(&nodes[0], &fresh, 99).await;
        uses(&nodes[1], &used, 100).await;
        assert_eq!(burst(&nodes, &fresh, 30).await.iter().sum::<usize>(), 1, "{how}");
        assert_eq!(burst(&nodes, &used, 30).await.iter().sum::<usize>(), 0, "{how}");
        assert_eq!(burst(&nodes, &full, 30).await.iter().sum::<usize>(), 0, "{how}");
        let other = hourly(100);
        assert_eq!(burst(&nodes, &other, 300).await.iter().sum::<usize>(), 100, "{how}");
        for node in &nodes {
            assert_eq!(lock(&node.tidings).last(), Some(&Tidings::Back), "{how}");
        }
    }
}

/// What a caller is told by a node that cannot ask the others: the quota is his, what is used is
/// what is known of it, and what is left is what he gets here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_node_says_what_it_would_let_in_still_and_when() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 500).await;
    let bucket = window(Uuid::now_v7(), 100, 60);
    assert_eq!(burst(&nodes, &bucket, 70).await.iter().sum::<usize>(), 70);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    server.pause();
    for call in 1..=10 {
        let said = nodes[0].shared.admit(std::slice::from_ref(&bucket)).await;
        let Verdict::Counted(seen) = said else { panic!("a share of ten") };
        assert_eq!((seen[0].used, seen[0].left), (70 + call, 10 - call));
    }
    let said = nodes[0].shared.admit(std::slice::from_ref(&bucket)).await;
    let Verdict::Over(0, seen) = said else { panic!("no more than ten") };
    assert_eq!((seen.used, seen.left), (80, 0));
    // When the seventy leave, not the ten.
    let free_in = Duration::from_nanos(seen.free_in_ns);
    assert!((50..=59).contains(&free_in.as_secs()), "{free_in:?}");
    server.resume();
}

/// Whoever asks one of the others is told of a time at which it is surely right to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_smaller_than_the_number_of_nodes_is_served_by_one_of_them() {
    let mut server = Server::start();
    let nodes = Node::three_that_wait(&server, 500).await;
    let part = hourly(2);
    assert_eq!(burst(&nodes, &part, 1).await.iter().sum::<usize>(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    let mut owners = [0; 3];
    for _ in 0..20 {
        let tiny = window(Uuid::now_v7(), 2, 60);
        let admitted = burst(&nodes, &tiny, 30).await;
        assert_eq!(admitted.iter().sum::<usize>(), 2, "{admitted:?}");
        let owner = admitted.iter().position(|calls| *calls > 0).unwrap();
        assert_eq!(admitted[owner], 2, "{admitted:?}");
        owners[owner] += 1;
        for node in &nodes {
            let said = node.shared.admit(std::slice::from_ref(&tiny)).await;
            let Verdict::Over(0, seen) = said else { panic!("it is used up") };
            let free_in = Duration::from_nanos(seen.free_in_ns);
            assert!((59..=62).contains(&free_in.as_secs()), "{free_in:?}");
        }
    }
    assert!(owners.iter().all(|windows| *windows > 0), "each has some: {owners:?}");
    assert_eq!(burst(&nodes, &part, 30).await.iter().sum::<usize>(), 1);
    server.boot(&[]);
    all_are_up(&nodes).await;
    assert_eq!(burst(&nodes, &part, 30).await.iter().sum::<usize>(), 0);
}

/// Whatever ends it: what it let in by itself is in its folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_while_redis_is_away_spends_its_share_once_and_tells_it_after_all() {
    for how in ["paused", "killed"] {
        let mut server = Server::start();
        let mut nodes = Node::three(&server).await;
        let [fresh, used, idle] = [hourly(90), hourly(90), hourly(90)];
        assert_eq!(burst(&nodes[..1], &used, 30).await, [30]);
        assert_eq!(burst(&nodes[1..2], &idle, 60).await, [60]);
        break_it(&mut server, how);
        assert_eq!(burst(&nodes, &fresh, 300).await, [30, 30, 30], "{how}");
        assert_eq!(burst(&nodes[2..], &used, 5).await, [5], "{how}");
        // The third one notes what it knows of all the others, too, in the background.
        let diary = nodes[2].ground.folder.path().join("limits.alone");
        is_noted(&nodes[2], &idle).await;
        for more in [3, 50] {
            let third = nodes.pop().unwrap().kill_and_start().await;
            assert!(!third.is_up());
            nodes.push(third);
            assert_eq!(burst(&nodes[2..], &fresh, 50).await, [0], "{how}");
            assert_eq!(burst(&nodes[2..], &used, more).await, [more.min(12)], "{how}");
        }
        assert_eq!(burst(&nodes[2..], &idle, 50).await, [10], "{how}");
        // Stopped politely it cannot tell either.
        nodes[2].shared.leave().await;
        let third = nodes.pop().unwrap().kill_and_start().await;
        nodes.push(third);
        assert_eq!(burst(&nodes[2..], &idle, 50).await, [0], "{how}");
        mend_it(&mut server, how);
        all_are_up(&nodes).await;
        uses(&nodes[0], &fresh, 90).await;
        uses(&nodes[0], &used, 50).await;
        uses(&nodes[0], &idle, 70).await;
        until(|| std::fs::read_to_string(&diary).unwrap().starts_with("E ")).await;
        assert_eq!(burst(&nodes, &used, 90).await.iter().sum::<usize>(), 40, "{how}");
        assert_eq!(burst(&nodes, &fresh, 30).await.iter().sum::<usize>(), 0, "{how}");
        // What was told once is not told again.
        let third = nodes.pop().unwrap().kill_and_start().await;
        nodes.push(third);
        all_are_up(&nodes).await;
        assert_eq!(nodes[2].used(&idle).await, 70, "{how}");
    }
}

/// Redis may have been back while it was down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_down_for_long_counts_what_the_database_says_of_the_others() {
    let mut server = Server::start();
    let mut nodes = Node::three(&server).await;
    let bucket = hourly(90);
    assert_eq!(burst(&nodes[..1], &bucket, 30).await, [30]);
    server.kill();
    assert_eq!(burst(&nodes[2..], &bucket, 5).await, [5]);
    let third = nodes.pop().unwrap();
    is_noted(&third, &bucket).await;
    third.keeping.abort();
    let diary = third.ground.folder.path().join("limits.alone");
    let text = std::fs::read_to_string(&diary).unwrap();
    let former = Clock::system().unix_ms() - 60_000;
    let mut found = diary::Found::read(&text);
    found.began.as_mut().unwrap().unix_ms = former;
    found.last_ms = former;
    std::fs::write(&diary, found.write()).unwrap();
    let third = third.kill_and_start().await;
    assert!(!third.shared.is_recalled(&bucket) && third.shared.alone_since_ms().is_none());
    // All that the database knows; fifteen is what its own five weigh.
    third.shared.remember(&bucket, 1_000_000, 60);
    assert_eq!(burst(std::slice::from_ref(&third), &bucket, 50).await, [5]);
    server.boot(&[]);
    nodes.push(third);
    all_are_up(&nodes).await;
    assert!(nodes[0].used(&bucket).await >= 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_everything_gives_no_fresh_window() {
    let server = Server::start();
    let nodes = Node::three(&server).await;
    let bucket = hourly(100);
    assert_eq!(burst(&nodes, &bucket, 60).await.iter().sum::<usize>(), 60);
    for lost in [&["FLUSHALL"][..], &["DEL", &format!("{}{}", nodes[0].shared.prefix, bucket.name)]]
    {
        server.ask(lost);
        // Whoever asks first, and did not count all of it, knows all of it.
        assert_eq!(burst(&nodes[2..], &bucket, 10).await, [10]);
        all_are_up(&nodes).await;
    }
    assert_eq!(nodes[1].used(&bucket).await, 80);
    assert_eq!(burst(&nodes, &bucket, 90).await.iter().sum::<usize>(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_redis_time_opens_no_window_and_closes_none() {
    let server = Server::start();
    let nodes = Node::three(&server).await;
    let bucket = hourly(100);
    assert_eq!(burst(&nodes, &bucket, 60).await.iter().sum::<usize>(), 60);
    for jump_us in ["7200000000", "-14400000000"] {
        // As if the server's own clock had been set: what it adds to it stays the same.
        server.ask(&["HINCRBY", &format!("{}state", nodes[0].shared.prefix), "shift", jump_us]);
        assert_eq!(burst(&nodes[1..2], &bucket, 10).await, [10], "{jump_us}");
        all_are_up(&nodes).await;
    }
    assert_eq!(burst(&nodes, &bucket, 90).await.iter().sum::<usize>(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_is_made_anew_and_nobody_judges_alone() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 500).await;
    let bucket = hourly(1000);
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += burst(&nodes, &bucket, 50).await.iter().sum::<usize>();
        server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }
    admitted += burst(&nodes, &bucket, 900).await.iter().sum::<usize>();
    // An answer that was cut off was counted, and its call with it.
    assert!((980..=1000).contains(&admitted), "{admitted}");
    all_are_up(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_wrong_and_a_replica_are_away_and_say_why() {
    let mut server = Server::start();
    server.ask(&["CONFIG", "SET", "requirepass", "canary-of-redis"]);
    let url = server.url().replace("redis://", "redis://:wrong@");
    let node = Node::planned(url, "north", (50, 0)).await;
    assert_eq!(*lock(&node.tidings), [Tidings::Away(Why::Denied)]);
    assert!(node.admits(&hourly(10)).await);
    let url = server.url().replace("redis://", "redis://:canary-of-redis@");
    let node = Node::planned(url, "north", (50, 0)).await;
    assert!(node.is_up());
    assert!(!format!("{:?}", node.shared.settings).contains("canary"));
    drop(node);
    server.kill();
    server.boot(&["--replicaof", "127.0.0.1 1"]);
    let node = Node::start(&server, "north").await;
    assert_eq!(*lock(&node.tidings), [Tidings::Away(Why::ReadOnly)]);
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    until(|| node.is_up()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_redis_that_does_not_answer_more_than_once() {
    let server = Server::start();
    let nodes = Node::three(&server).await;
    let clock = Clock::system();
    server.pause();
    let mut waits = Vec::new();
    for _ in 0..200 {
        let before = clock.monotonic_ns();
        nodes[0].admits(&hourly(100)).await;
        waits.push(Duration::from_nanos(clock.monotonic_ns() - before));
    }
    waits.sort();
    assert!(waits[197] < Duration::from_millis(20), "{:?}", waits[197]);
    assert!(waits[199] < Duration::from_millis(150), "{:?}", waits[199]);
    server.resume();
}

/// The same numbers in every run.
pub(super) fn draws(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    }
}

/// What a window holds, by the test's own list of what was let in.
#[derive(Default)]
struct Model {
    calls: u64,
    admitted: u64,
    /// Alone, since Redis went away, by node; and what was used then.
    alone: [u64; 3],
    used_before: Option<u64>,
    /// Every node had read all that Redis told before it went away. One that had not may know of
    /// less use, and then has more of a share, never less.
    had_heard: bool,
}

/// Any order of calls on three nodes, of faults and of what mends them: the sum never passes the
/// quota; nothing is refused below it while Redis answers; and each node has its share without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_of_calls_and_faults_passes_the_quota() {
    let mut draw = draws(0x9e37_79b9_7f4a_7c15);
    let mut trio = Trio::start(250).await;
    for round in 0..runs(60, 6) {
        let mut model = Model { calls: 20 + draw(60), ..Model::default() };
        // Of a call that must pass both, the month has less.
        let bucket = if round % 2 == 0 { hourly(model.calls) } else { monthly(model.calls) };
        for step in 0..12 {
            match draw(7) {
                0 if model.used_before.is_none() => {
                    without_redis(&mut trio, (&bucket, &mut model), &mut draw).await;
                }
                1 => {
                    trio.server.ask(&["FLUSHALL"]);
                    exercise(&trio.nodes, &bucket, &mut model, 3).await;
                    trio.are_up().await;
                }
                2 => {
                    let jump_us = ["5400000000", "-7200000000"][usize::from(draw(2) == 0)];
                    let state = format!("{}state", trio.nodes[0].shared.prefix);
                    trio.server.ask(&["HINCRBY", &state, "shift", jump_us]);
                    exercise(&trio.nodes, &bucket, &mut model, 3).await;
                    trio.are_up().await;
                }
                3 => {
                    let place = usize::try_from(draw(3)).unwrap();
                    trio.nodes[place].shared.leave().await;
                    let node = trio.nodes.swap_remove(place);
                    trio.nodes.push(node.kill_and_start().await);
                    trio.are_up().await;
                }
                4 => cut_off(&mut trio, (&bucket, &mut model), &mut draw).await,
                _ => exercise(&trio.nodes, &bucket, &mut model, 6).await,
            }
            assert!(model.admitted <= model.calls, "round {round}, step {step}");
        }
        let rest = burst(&trio.nodes, &bucket, 200).await.iter().sum::<usize>();
        assert_eq!(model.admitted + u64::try_from(rest).unwrap(), model.calls, "round {round}");
    }
}

async fn without_redis(
    trio: &mut Trio,
    (bucket, model): (&Bucket, &mut Model),
    draw: &mut impl FnMut(u64) -> u64,
) {
    model.used_before = Some(model.admitted);
    model.alone = [0; 3];
    let how = ["paused", "killed", "full"][usize::try_from(draw(3)).unwrap()];
    model.had_heard = draw(3) > 0;
    if model.had_heard {
        hear(&trio.nodes, bucket, model.admitted).await;
    }
    break_it(&mut trio.server, how);
    exercise(&trio.nodes, bucket, model, 9).await;
    if draw(2) == 0 {
        let place = usize::try_from(draw(3)).unwrap();
        kill_one(&mut trio.nodes, place, (bucket, model)).await;
        exercise(&trio.nodes, bucket, model, 9).await;
    }
    mend_it(&mut trio.server, how);
    trio.are_up().await;
    model.used_before = None;
    uses(&trio.nodes[1], bucket, model.admitted).await;
}

/// One alone, under calls on all of them from that moment on; it may be killed meanwhile.
async fn cut_off(
    trio: &mut Trio,
    (bucket, model): (&Bucket, &mut Model),
    draw: &mut impl FnMut(u64) -> u64,
) {
    let callers = usize::try_from(3 + draw(60)).unwrap();
    let mut place = usize::try_from(draw(3)).unwrap();
    let is_killed = draw(3) == 0;
    let way = trio.way(place);
    let cutting = async {
        tokio::time::sleep(Duration::from_millis(draw(10))).await;
        way.close();
    };
    let mut admitted = vec![0; 3];
    match is_killed {
        // What a killed node was asking at that moment stays counted: it asks nothing.
        true => cutting.await,
        false => (admitted, ()) = tokio::join!(burst(&trio.nodes, bucket, callers), cutting),
    }
    let before = model.admitted;
    if is_killed {
        until(|| !trio.nodes[place].is_up()).await;
        let node = trio.nodes.swap_remove(place);
        trio.nodes.push(node.kill_and_start().await);
        place = 2;
    }
    for _ in 0..3 {
        let more = burst(&trio.nodes, bucket, callers).await;
        admitted.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        model.admitted = before + u64::try_from(admitted.iter().sum::<usize>()).unwrap();
        assert!(model.admitted <= model.calls, "{before}, {admitted:?} of {}", model.calls);
    }
    until(|| !trio.nodes[place].is_up()).await;
    let own = u64::try_from(admitted[place]).unwrap();
    let counted = trio.nodes[(place + 1) % 3].used(bucket).await;
    let least = model.calls.saturating_sub(counted) / 3;
    let least = least.min(u64::try_from(callers / 3).unwrap());
    assert!(own >= least, "{before}, {admitted:?} of {}: {counted}", model.calls);
    trio.way(place).open();
    trio.are_up().await;
    uses(&trio.nodes[1], bucket, model.admitted).await;
}

async fn hear(nodes: &[Node], bucket: &Bucket, calls: u64) {
    for node in nodes {
        uses(node, bucket, calls).await;
    }
}

/// What was known of it when Redis went away is in the folder of this node.
async fn is_noted(node: &Node, bucket: &Bucket) {
    is_written(node, &format!("k {} ", bucket.name)).await;
}

/// All that was known then, with this among it. Without that a new process knows that something
/// may be missing, and lets nobody in before it has heard of the others.
async fn is_written(node: &Node, line: &str) {
    let diary = node.ground.folder.path().join("limits.alone");
    let is_there = |text: String| text.contains(line) && text.contains("\nn #");
    until(|| std::fs::read_to_string(&diary).is_ok_and(is_there)).await;
}

async fn kill_one(nodes: &mut Vec<Node>, place: usize, (bucket, model): (&Bucket, &mut Model)) {
    let node = nodes.swap_remove(place);
    match model.used_before {
        None | Some(0) => is_written(&node, "").await,
        Some(_) => is_noted(&node, bucket).await,
    }
    nodes.push(node.kill_and_start().await);
    model.alone.swap(place, 2);
}

async fn exercise(nodes: &[Node], bucket: &Bucket, model: &mut Model, callers: usize) {
    let admitted = burst(nodes, bucket, callers * 3).await;
    let sum = u64::try_from(admitted.iter().sum::<usize>()).unwrap();
    model.admitted += sum;
    assert!(model.admitted <= model.calls, "{admitted:?}: {} of {}", model.admitted, model.calls);
    let callers = u64::try_from(callers).unwrap();
    match model.used_before {
        None => {
            let left = model.calls - (model.admitted - sum);
            assert_eq!(sum, left.min(callers * 3), "{admitted:?}");
        }
        Some(used) => {
            let share = (model.calls - used) / 3;
            for (alone, admitted) in model.alone.iter_mut().zip(&admitted) {
                let admitted = u64::try_from(*admitted).unwrap();
                let least = callers.min(share.saturating_sub(*alone));
                assert!(admitted >= least, "{admitted} of a share of {share}, had {alone}");
                assert!(!model.had_heard || admitted == least, "{admitted}, not {least}");
                *alone += admitted;
            }
        }
    }
}
