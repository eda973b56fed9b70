//! Somebody else writes where the nodes count: whatever he leaves there, one key is counted anew, no
//! quota is passed, nobody is locked out, and it is told which key it was.

use super::faults::all_are_up;
use super::*;

/// What somebody may do to a key: the command, with `KEY` where the key stands.
const WINDOWS: [&[&str]; 15] = [
    &["SET", "KEY", "hello"],
    &["DEL", "KEY", ";", "LPUSH", "KEY", "x"],
    &["HSET", "KEY", "running", "-50"],
    &["HSET", "KEY", "past", "-100", "running", "-1"],
    &["HSET", "KEY", "running", "1e300"],
    &["HSET", "KEY", "past", "9007199254740993"],
    &["HSET", "KEY", "running", "nan", "past", "inf"],
    &["HSET", "KEY", "running", "0.5"],
    &["HSET", "KEY", "at", "99999999999"],
    &["HSET", "KEY", "at", "1"],
    &["HINCRBY", "KEY", "at", "-61"],
    &["HINCRBY", "KEY", "at", "500"],
    &["HSET", "KEY", "version", "-1", "running", "0"],
    &["HDEL", "KEY", "running"],
    &["HSET", "KEY", "oldest", "99999999999"],
];
const STATES: [&[&str]; 9] = [
    &["SET", "state", "hello"],
    &["HSET", "state", "shift", "nonsense"],
    &["HSET", "state", "last", "-5"],
    &["HSET", "state", "all", "0", "here", "1000"],
    &["HSET", "state", "all", "-3"],
    &["SET", "nodes", "hello"],
    &["SET", "active", "hello"],
    &["SET", "healed", "hello"],
    &["ZADD", "active", "9e15", "w3600:never", "9e15", "nonsense"],
];

fn meddle(server: &Server, prefix: &str, key: &str, command: &[&str]) {
    for command in command.split(|word| *word == ";") {
        let keyed = |(place, word): (usize, &&str)| match (place, *word) {
            (_, "KEY") => key.to_owned(),
            (1, name) => format!("{prefix}{name}"),
            (_, word) => word.to_owned(),
        };
        let words: Vec<String> = command.iter().enumerate().map(keyed).collect();
        server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn healed(node: &Node) -> Vec<String> {
    let heard = lock(&node.tidings).clone();
    heard
        .into_iter()
        .filter_map(|tidings| match tidings {
            Tidings::Healed { key } => Some(key),
            Tidings::Away(_) | Tidings::Back | Tidings::Lost => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_somebody_else_wrote_is_counted_anew_and_that_one_alone() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    let prefix = nodes[0].shared.prefix.clone();
    for command in WINDOWS {
        let (bucket, other) = (hourly(100), hourly(100));
        assert_eq!(burst(&nodes, &bucket, 60).await.iter().sum::<usize>(), 60);
        meddle(&server, &prefix, &format!("{prefix}{}", bucket.name), command);
        // Whichever node asks first, it did not count all of it.
        assert_eq!(burst(&nodes[2..], &bucket, 10).await, [10], "{command:?}");
        assert_eq!(burst(&nodes, &bucket, 90).await.iter().sum::<usize>(), 30, "{command:?}");
        assert_eq!(burst(&nodes, &other, 300).await.iter().sum::<usize>(), 100, "{command:?}");
        assert!(nodes.iter().all(Node::is_up), "{command:?}: nobody judged alone");
    }
    for node in &nodes {
        let keys = healed(node);
        assert_eq!(keys.len(), 1, "said once a minute: {keys:?}");
        assert!(keys[0].starts_with(&format!("{prefix}w3600:")), "{keys:?}");
        assert!(!lock(&node.tidings).iter().any(|heard| matches!(heard, Tidings::Away(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_a_time_to_come_locks_nobody_out() {
    let server = Server::start();
    let node = Node::planned(server.url(), "north", (1000, 0)).await;
    let period = Period { start_ms: 5, end_ms: i64::MAX / 2 };
    let month = Bucket::month(Uuid::now_v7(), period, 3);
    assert!(node.admits(&month).await);
    let key = format!("{}{}", node.shared.prefix, month.name);
    for command in
        [&["HSET", "KEY", "at", "4102444800000", "running", "3"][..], &["HSET", "KEY", "at", "1"]]
    {
        meddle(&server, &node.shared.prefix, &key, command);
        assert!(node.admits(&month).await, "{command:?}");
    }
    assert!(!node.admits(&month).await);
    assert_eq!(healed(&node), [key]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_beside_foreign_keys_learns_all_others() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    let prefix = nodes[0].shared.prefix.clone();
    let (broken, negative, sound) = (hourly(100), hourly(100), hourly(100));
    for bucket in [&broken, &negative, &sound] {
        assert_eq!(burst(&nodes[..1], bucket, 60).await, [60]);
    }
    meddle(&server, &prefix, &format!("{prefix}{}", broken.name), &["SET", "KEY", "hello"]);
    let command = ["HSET", "KEY", "running", "-60"];
    meddle(&server, &prefix, &format!("{prefix}{}", negative.name), &command);
    let fresh = Node::planned(server.url(), "east", (1000, 0)).await;
    assert!(fresh.is_up());
    // Nodes that hold what was lost tell it, those that never knew it ask.
    assert_eq!(burst(&nodes, &broken, 90).await.iter().sum::<usize>(), 40);
    assert_eq!(burst(&nodes, &negative, 90).await.iter().sum::<usize>(), 40);
    assert_eq!(burst(std::slice::from_ref(&fresh), &sound, 90).await, [40]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_nodes_agree_on_is_agreed_on_anew_where_somebody_else_wrote_it() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    let prefix = nodes[0].shared.prefix.clone();
    for command in STATES {
        let bucket = hourly(100);
        assert_eq!(burst(&nodes, &bucket, 60).await.iter().sum::<usize>(), 60);
        meddle(&server, &prefix, "", command);
        let more = burst(&nodes, &bucket, 60).await.iter().sum::<usize>();
        assert!(more <= 40, "{command:?}: {more}");
        all_are_up(&nodes).await;
        let rest = burst(&nodes, &bucket, 90).await.iter().sum::<usize>();
        assert_eq!(more + rest, 40, "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_nodes_are_counted_out() {
    let server = Server::start();
    let nodes = Node::three_that_wait(&server, 1000).await;
    let prefix = nodes[0].shared.prefix.clone();
    let far = "9999999999999999:0";
    for (name, said) in
        [("ghost", far), ("ghost two", "1:1"), ("", far), ("odd", "x"), ("worse", "1e9:1")]
    {
        server.ask(&["HSET", &format!("{prefix}nodes"), name, said]);
    }
    // One that looks like a node is taken for one until it has been silent for five seconds.
    let now_us = nodes[0].shared.time.now_us();
    server.ask(&["HSET", &format!("{prefix}nodes"), "mask", &format!("{now_us}:1")]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(nodes[0].shared.nodes.load(Ordering::Acquire), 4);
    nodes[0].until_all_are_here(3).await;
    for node in &nodes {
        until(|| node.shared.nodes.load(Ordering::Acquire) == 3).await;
    }
    let bucket = hourly(100);
    assert_eq!(burst(&nodes, &bucket, 300).await.iter().sum::<usize>(), 100);
}
