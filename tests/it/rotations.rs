//! A provider's key is replaced while callers call: step by step, judged, rolled back by itself,
//! and no call fails that the old key would have served. The provider decides by the key alone,
//! and changes its mind. Must never depend on which version happens to serve a call.

mod crowds;
mod nodes;
mod verdicts;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Ground, House, Plan, Rule, Server, Tollgate, errors};

const SECRETS: &str = "/api/v1/admin/secrets";
const OLD: &str = "the-old-key-1";
const NEW: &str = "the-new-key-2";
const PROBE: &str = "probe = { path = \"/me\" }";

struct Scene {
    house: House,
    gate: Tollgate,
    id: String,
}

impl Scene {
    async fn new(new: Rule) -> Self {
        Self::of((Rule::Good, new), PROBE).await
    }

    /// `more` is what stands in the provider's entry beside the least.
    async fn of((old, new): (Rule, Rule), more: &str) -> Self {
        let gate = Tollgate::open(&[(OLD, old), (NEW, new)]).await;
        let settings = gate.settings("toll", more);
        let house = House::planned(Plan { settings, ..Plan::default() }).await;
        let body = json!({"provider": "toll", "fields": {"api_key": OLD}});
        let added = house.admin.post(SECRETS).json(&body).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let id = added.json()["id"].as_str().unwrap().to_owned();
        Self { house, gate, id }
    }

    fn path(&self) -> String {
        format!("{SECRETS}/{}", self.id)
    }

    async fn rotate(&self, more: Value) -> crate::house::Answer {
        let mut body = json!({"fields": {"api_key": NEW}});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let path = format!("{}/versions", self.path());
        self.house.admin.post(&path).json(&body).send().await
    }

    async fn ask(&self, what: &str) -> crate::house::Answer {
        self.house.admin.post(&format!("{}/rotation/{what}", self.path())).send().await
    }

    async fn shown(&self) -> Value {
        self.house.admin.get(&self.path()).send().await.json()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..300 {
            let shown = self.shown().await;
            if is_so(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("did not happen: {what}: {}", self.shown().await);
    }

    /// The next step, where nothing speaks against it; calls under way do not time out by it.
    fn hold(&self) {
        self.house.clock.advance(Duration::from_secs(4));
    }
}

/// What callers got: served, and not served.
#[derive(Default)]
struct Got {
    served: AtomicU64,
    failed: AtomicU64,
}

/// So many callers, each with a key of its own or all with one, until told to stop.
async fn callers(
    house: &House,
    (number, clients): (usize, usize),
    stop: &Arc<AtomicBool>,
    got: &Arc<Got>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut keys = Vec::new();
    for _ in 0..clients {
        keys.push(Arc::new(house.client().await));
    }
    let mut tasks = Vec::new();
    for caller in 0..number {
        let client = Arc::clone(&keys[caller % clients]);
        let (stop, got) = (Arc::clone(stop), Arc::clone(got));
        tasks.push(tokio::spawn(async move {
            let mut turn = caller;
            // A crowd is not to keep a slow machine from everything else.
            let pause = Duration::from_millis(if number > 100 { 150 } else { 5 });
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let answer = match turn % 3 {
                    0 => client.call(http::Method::POST, "/toll/x").body("a body").send().await,
                    _ => client.get("/toll/x").send().await,
                };
                let counter = if answer.status == 200 { &got.served } else { &got.failed };
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        }));
    }
    tasks
}

async fn ended(tasks: Vec<tokio::task::JoinHandle<()>>, stop: &AtomicBool) {
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_key_takes_over_step_by_step_and_the_old_one_is_retired_with_proof() {
    let scene = Scene::new(Rule::Good).await;
    let (stop, got) = (Arc::default(), Arc::<Got>::default());
    let tasks = callers(&scene.house, (20, 3), &stop, &got).await;
    let begun = scene.rotate(json!({"strategy": {"hold_seconds": 3}})).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let begun = begun.json();
    assert_eq!(begun["rotation"]["state"], "running");
    assert_eq!((&begun["version"], &begun["versions"][1]["state"]), (&json!(1), &json!("pending")));
    scene.rotate(json!({})).await.is_refusal(409, "conflict");
    for share in [1, 10, 50, 100] {
        let shown = scene.until("a step", |shown| shown["rotation"]["share"] == share).await;
        assert_eq!(shown["versions"][0]["share"], 100 - share);
        let (old, new) = (scene.gate.calls(OLD), scene.gate.calls(NEW));
        let dealt = || (scene.gate.calls(OLD) - old, scene.gate.calls(NEW) - new);
        while dealt().0 + dealt().1 < 600 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Those that were on their way when the step began are of the one before.
        let (old, new) = dealt();
        let part = new * 100 / (old + new);
        assert!(part.abs_diff(share) <= 5, "{share}: {new} of {}", old + new);
        scene.hold();
    }
    // The row says so first; the versions follow it.
    let is_so = |shown: &Value| shown["rotation"]["state"] == "promoted" && shown["version"] == 2;
    let shown = scene.until("promoted", is_so).await;
    assert_eq!(shown["versions"][0]["state"], "retiring");
    scene.hold();
    ended(tasks, &stop).await;
    assert_eq!(got.failed.load(Ordering::Relaxed), 0, "of {:?}", got.served);
    let old = scene.gate.calls(OLD);
    scene.house.clock.advance(Duration::from_secs(3_601));
    // The value goes first, then it is said.
    let gone = |shown: &Value| shown["rotation"]["retired_at"].is_string();
    let shown = scene.until("destroyed", gone).await;
    assert_eq!(shown["versions"][0]["state"], "destroyed", "{shown}");
    assert_eq!(scene.gate.calls(OLD), old, "nobody used it meanwhile");
    let trail = scene.house.admin.get("/api/v1/admin/audit?kind=change&limit=20").send().await;
    assert!(trail.text().contains("\"destroyed_version\":1"), "{}", trail.text());
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_key_costs_no_caller_anything_and_is_rolled_back_by_itself() {
    let scene = Scene::new(Rule::Status(401)).await;
    scene.rotate(json!({})).await.is_refusal(422, "invalid");
    assert!(scene.shown().await["rotation"].is_null(), "a refused key is not stored");
    let (stop, got) = (Arc::default(), Arc::<Got>::default());
    let tasks = callers(&scene.house, (200, 150), &stop, &got).await;
    let begun = scene.rotate(json!({"validate": false})).await;
    assert_eq!(begun.status, 201, "{} {}", begun.text(), errors());
    let back = |shown: &Value| shown["rotation"]["state"] == "rolled_back";
    let shown = scene.until("rolled back", back).await;
    let why = shown["rotation"]["why"].as_str().unwrap();
    // Three calls prove it, or the provider says it when it is asked after the first.
    assert!(why.contains("with the new version") || why.contains("with 401"), "{why}");
    let retired = |shown: &Value| shown["versions"][1]["state"] == "retired";
    scene.until("retired", retired).await;
    ended(tasks, &stop).await;
    assert_eq!(got.failed.load(Ordering::Relaxed), 0, "of {:?}", got.served);
    assert!(scene.gate.calls(NEW) <= 50, "{} calls", scene.gate.calls(NEW));
    let figures = scene.house.admin.bare(http::Method::GET, "/metrics").send().await.text();
    let line = "sealgate_alerts_total{kind=\"rotation_rolled_back\"} 1";
    assert!(figures.contains(line), "{figures}");
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_turns_bad_half_way_is_rolled_back_within_fifty_calls() {
    let scene = Scene::new(Rule::Good).await;
    let (stop, got) = (Arc::default(), Arc::<Got>::default());
    let tasks = callers(&scene.house, (50, 5), &stop, &got).await;
    assert_eq!(scene.rotate(json!({"strategy": {"steps": [50, 100]}})).await.status, 201);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(scene.gate.calls(NEW) > 50, "{}", scene.gate.calls(NEW));
    let before = scene.gate.calls(NEW);
    scene.gate.rule(NEW, Rule::Status(403));
    let turned = Duration::from_secs(10);
    let back = |shown: &Value| shown["rotation"]["state"] == "rolled_back";
    tokio::time::timeout(turned, scene.until("rolled back", back)).await.unwrap();
    ended(tasks, &stop).await;
    assert_eq!(got.failed.load(Ordering::Relaxed), 0, "of {:?}", got.served);
    let late = scene.gate.calls(NEW) - before;
    assert!(late <= 50, "{late} calls with the new version after it turned");
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_paused_resumed_promoted_and_rolled_back_by_hand() {
    let scene = Scene::new(Rule::Good).await;
    for what in ["promote", "rollback", "pause", "resume"] {
        scene.ask(what).await.is_refusal(409, "conflict");
    }
    scene.rotate(json!({"strategy": {"steps": [10, 5]}})).await.is_refusal(422, "invalid");
    scene.rotate(json!({"strategy": {"steps": [10, 90]}})).await.is_refusal(422, "invalid");
    let begun = scene.rotate(json!({"strategy": {"steps": [10, 100], "hold_seconds": 60}})).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    assert_eq!(scene.ask("pause").await.json()["rotation"]["state"], "paused");
    scene.ask("pause").await.is_refusal(409, "conflict");
    scene.house.clock.advance(Duration::from_secs(61));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.shown().await["rotation"]["share"], 10, "it stays where it is");
    assert_eq!(scene.ask("resume").await.json()["rotation"]["state"], "running");
    assert_eq!(scene.ask("rollback").await.json()["rotation"]["state"], "rolled_back");
    let shown = scene.shown().await;
    assert_eq!((&shown["version"], &shown["versions"][1]["state"]), (&json!(1), &json!("retired")));
    let client = scene.house.client().await;
    let old = scene.gate.calls(OLD);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    assert_eq!(scene.gate.calls(OLD), old + 1);
    assert_eq!(scene.rotate(json!({})).await.status, 201, "once more");
    let promoted = scene.ask("promote").await.json();
    assert_eq!(
        (&promoted["version"], &promoted["rotation"]["state"]),
        (&json!(3), &json!("promoted"))
    );
    let new = scene.gate.calls(NEW);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    // The house asks about it, too.
    assert!(scene.gate.calls(NEW) > new);
    assert_eq!(scene.gate.calls(OLD), old + 1);
    // Also after it has taken over, as long as the former one is there.
    let back = scene.ask("rollback").await;
    assert_eq!(back.status, 200, "{}", back.text());
    let back = back.json();
    assert_eq!((&back["version"], &back["rotation"]["state"]), (&json!(1), &json!("rolled_back")));
    let states: Vec<&Value> =
        back["versions"].as_array().unwrap().iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["active", "retired", "retired"]);
    let old = scene.gate.calls(OLD);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    // The house asks about it, too.
    assert!(scene.gate.calls(OLD) > old);
    scene.ask("rollback").await.is_refusal(409, "conflict");
    assert_eq!(scene.rotate(json!({})).await.status, 201, "and once more");
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_key_is_off_at_once_and_its_open_streams_are_cut() {
    let house = House::open().await;
    let listed = house.admin.get(SECRETS).send().await.json();
    let acme = listed["items"].as_array().unwrap().iter().find(|one| one["provider"] == "acme");
    let id = acme.unwrap()["id"].as_str().unwrap().to_owned();
    let client = house.client().await;
    let mut stream = client.get("/acme/events?n=5").open().await;
    house.provider.release(1);
    assert!(stream.next().await.is_some());
    let body = json!({"fields": {"api_key": "another-acme-key"}, "now": true, "validate": false});
    let path = format!("{SECRETS}/{id}/versions");
    let replaced = house.admin.post(&path).json(&body).send().await;
    assert_eq!(replaced.status, 201, "{}", replaced.text());
    let replaced = replaced.json();
    assert_eq!((&replaced["version"], &replaced["state"]), (&json!(2), &json!("active")));
    assert_eq!(replaced["versions"][0]["state"], "destroyed");
    let cut = tokio::time::timeout(Duration::from_secs(1), stream.try_next()).await;
    assert!(cut.expect("within a second").is_err(), "the stream of the leaked key is cut");
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    let sent = house.provider.last();
    assert_eq!(sent.header("authorization"), Some("Bearer another-acme-key"));
    house.leave().await;
}

/// Two hundred who call wherever the server is now, until it has gone on for the last time.
struct Followers {
    at: Arc<Mutex<String>>,
    is_over: Arc<AtomicBool>,
    got: Arc<Got>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Followers {
    fn of(http: &reqwest::Client, key: &str, server: &Server) -> Self {
        let at = Arc::new(Mutex::new(server.proxy.clone()));
        let (is_over, got) = (Arc::<AtomicBool>::default(), Arc::<Got>::default());
        let tasks = (0..200).map(|caller| {
            let (at, is_over, got) = (Arc::clone(&at), Arc::clone(&is_over), Arc::clone(&got));
            let (http, key) = (http.clone(), key.to_owned());
            tokio::spawn(async move {
                let path = if caller % 4 == 0 { "stream" } else { "x" };
                while !is_over.load(Ordering::Relaxed) {
                    let url = format!("{}/toll/{path}", at.lock().unwrap());
                    // What a kill cuts short has no answer.
                    if let Ok(answer) = http.get(url).header("x-api-key", &key).send().await {
                        let is_served = answer.status().as_u16() == 200;
                        let counter = if is_served { &got.served } else { &got.failed };
                        counter.fetch_add(1, Ordering::Relaxed);
                        let _cut = answer.bytes().await;
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
        });
        let tasks = tasks.collect();
        Self { at, is_over, got, tasks }
    }

    fn follow(&self, server: &Server) {
        self.at.lock().unwrap().clone_from(&server.proxy);
    }

    async fn end(self) {
        ended(self.tasks, &self.is_over).await;
        assert_eq!(self.got.failed.load(Ordering::Relaxed), 0);
        assert!(self.got.served.load(Ordering::Relaxed) > 1_000, "{:?}", self.got.served);
    }
}

/// Killed at every step, it goes on behind the same step, and no call fails for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_survives_a_kill_in_each_step() {
    let gate = Tollgate::open(&[(OLD, Rule::Good), (NEW, Rule::Good)]).await;
    let ground = Ground::new(&gate.settings("toll", PROBE));
    ground.json(&["init", "--json"]);
    let client = ground.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
    let key = client["key"].as_str().unwrap().to_owned();
    let input = |arguments: &[&str], text: &str| {
        let done = tokio::task::block_in_place(|| ground.run_with_input(arguments, text));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    input(&["secret", "add", "toll", "--json"], &format!("{OLD}\n"));
    let serve = || tokio::task::block_in_place(|| ground.serve(&[]));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |server: &Server| {
        let call = http.get(format!("{}/toll/x", server.proxy)).header("x-api-key", &key);
        call.send().await.unwrap().status().as_u16()
    };
    let mut server = serve();
    let followers = Followers::of(&http, &key, &server);
    let rotate = ["secret", "rotate", "toll", "--steps", "1,10,50,100", "--hold", "8", "--json"];
    let begun = input(&rotate, &format!("{NEW}\n"));
    assert_eq!(begun["rotation"]["state"], "running");
    let mut steps = Vec::new();
    for _ in 0..600 {
        for _ in 0..10 {
            assert_eq!(call(&server).await, 200);
        }
        let shown = input(&["secret", "show", "toll", "--json"], "");
        let step = shown["rotation"]["step"].as_u64().unwrap();
        // The row says so first; the versions follow it.
        if shown["rotation"]["state"] == "promoted" && shown["version"] == 2 {
            break;
        }
        if !steps.contains(&step) {
            steps.push(step);
            server.kill();
            server = serve();
            followers.follow(&server);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(steps, [0, 1, 2, 3]);
    followers.end().await;
    // The house asks about the new one, too, so the old one tells who did not serve.
    let (old, new) = (gate.calls(OLD), gate.calls(NEW));
    assert_eq!(call(&server).await, 200);
    assert!(gate.calls(NEW) > new, "the new one serves");
    assert_eq!(gate.calls(OLD), old, "the old one does not");
    server.stop();
}
