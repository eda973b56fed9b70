//! Two nodes on one database: a new key takes over on both, a bad one goes back on both, and a key
//! that has leaked is off on both within a second, with the streams that hang on it.
//! Must never depend on which node is asked.

#![expect(
    clippy::disallowed_methods,
    reason = "what takes a second is measured by this process's own time"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{NEW, OLD, PROBE};
use crate::house::{Database, Ground, Kind, Rule, Server, Tollgate};

const BAD: &str = "the-bad-key-3";
const FRESH: &str = "the-fresh-key-4";

struct Two {
    grounds: [Ground; 2],
    servers: [Server; 2],
    gate: Tollgate,
    database: Database,
    key: String,
    http: reqwest::Client,
}

/// Calls at both, until they are stopped.
struct Calling {
    is_over: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

fn given(ground: &Ground, arguments: &[&str], text: &str) -> Value {
    let done = tokio::task::block_in_place(|| ground.run_with_input(arguments, text));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

impl Two {
    async fn new() -> Self {
        let keys =
            [(OLD, Rule::Good), (NEW, Rule::Good), (BAD, Rule::Status(401)), (FRESH, Rule::Good)];
        let gate = Tollgate::open(&keys).await;
        let database = Database::fresh(Kind::Postgres, std::path::Path::new("")).await;
        let settings = format!("{}{}", database.settings(), gate.settings("toll", PROBE));
        let first = Ground::new(&settings);
        let master = first.path().join("keys/master.key");
        let master =
            format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
        let second = Ground::new(&format!("{master}{settings}"));
        first.json(&["init", "--json"]);
        given(&first, &["secret", "add", "toll", "--json"], &format!("{OLD}\n"));
        let client = first.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
        let key = client["key"].as_str().unwrap().to_owned();
        let grounds = [first, second];
        let servers = grounds.each_ref().map(|ground| ground.serve(&[]));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { grounds, servers, gate, database, key, http }
    }

    fn call(&self, node: usize, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.servers[node].proxy);
        self.http.get(url).header("x-api-key", &self.key)
    }

    fn rotate(&self, key: &str, more: &[&str]) -> Value {
        let mut arguments = vec!["secret", "rotate", "toll", "--json"];
        arguments.extend(more);
        given(&self.grounds[0], &arguments, &format!("{key}\n"))
    }

    async fn until(&self, state: &str) -> Value {
        for _ in 0..300 {
            // Whichever node is asked.
            let shown = given(&self.grounds[1], &["secret", "show", "toll", "--json"], "");
            if shown["rotation"]["state"] == state {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is not {state}");
    }

    fn calling(&self) -> Calling {
        let (is_over, failed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let tasks = (0..20).map(|caller| {
            let call = self.call(caller % 2, "/toll/x");
            let (is_over, failed) = (Arc::clone(&is_over), Arc::clone(&failed));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = call.try_clone().unwrap().send().await;
                    if !answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        let tasks = tasks.collect();
        Calling { is_over, failed, tasks }
    }

    /// Which of two keys serves the next call at each node?
    async fn serves(&self, key: &str, other: &str) -> [bool; 2] {
        let mut serve = [false; 2];
        for (node, serves) in serve.iter_mut().enumerate() {
            let before = (self.gate.calls(key), self.gate.calls(other));
            let answer = self.call(node, "/toll/x").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            *serves = self.gate.calls(key) > before.0 && self.gate.calls(other) == before.1;
        }
        serve
    }

    async fn close(self) {
        self.servers.into_iter().for_each(Server::kill);
        self.database.drop_it().await;
    }
}

impl Calling {
    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        assert_eq!(self.failed.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_takes_over_on_two_nodes_and_a_bad_one_goes_back_on_both() {
    let two = Two::new().await;
    let calling = two.calling();
    let begun = two.rotate(NEW, &["--steps", "50,100", "--hold", "2"]);
    assert_eq!(begun["rotation"]["state"], "running");
    let shown = two.until("promoted").await;
    let calls = &shown["rotation"]["calls"];
    assert!(calls["new"]["calls"].as_u64().unwrap() > 20, "{calls}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    calling.end().await;
    assert_eq!(two.serves(NEW, OLD).await, [true, true]);
    let calling = two.calling();
    two.rotate(BAD, &["--steps", "50,100", "--hold", "60", "--no-validate"]);
    let shown = two.until("rolled_back").await;
    assert!(shown["rotation"]["calls"]["repeated"].as_u64().unwrap() > 0, "{shown}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bad = two.gate.calls(BAD);
    tokio::time::sleep(Duration::from_millis(500)).await;
    calling.end().await;
    assert_eq!(two.gate.calls(BAD), bad, "it serves nobody any more");
    assert_eq!(two.serves(NEW, BAD).await, [true, true]);
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_key_is_off_on_both_nodes_within_a_second_with_its_streams() {
    let two = Two::new().await;
    let mut streams = Vec::new();
    for node in [0, 1] {
        let mut stream = two.call(node, "/toll/endless").send().await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        streams.push(stream);
    }
    let hearing = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            while let Ok(Some(_)) = stream.chunk().await {}
            Instant::now()
        })
    });
    let hearing: Vec<_> = hearing.collect();
    two.rotate(FRESH, &["--now"]);
    let replaced = Instant::now();
    for heard in hearing {
        let cut = tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap().unwrap();
        let late = cut.saturating_duration_since(replaced);
        assert!(late <= Duration::from_secs(1), "cut {late:?} after the answer");
    }
    assert_eq!(two.serves(FRESH, OLD).await, [true, true]);
    two.close().await;
}
