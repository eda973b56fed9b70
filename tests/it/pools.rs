//! A provider's own limit, for each of its keys: what nobody tells is learnt, what waits is served
//! in turn, what waits too long is told when to come back. Several keys share the load, and one that
//! is out of breath, refused or set aside costs no caller anything. Must never burn a provider's
//! quota to find out what is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Bourse, Bucket, Client, House, Plan, Rule, Tollgate};

const SECRETS: &str = "/api/v1/admin/secrets";
const KEY: &str = "the-only-key-1";
const ONE: &str = "one-key-of-two-1";
const OTHER: &str = "other-key-of-two-2";
const TWO: [(&str, &str); 2] = [("default", ONE), ("other", OTHER)];

/// One provider, its keys in its own hands.
struct Scene {
    house: House,
    gate: Tollgate,
}

impl Scene {
    /// `keys`: name and value of each secret; `more` stands in the provider's entry.
    async fn of(keys: &[(&str, &str)], more: &str) -> Self {
        let rules: Vec<(&str, Rule)> = keys.iter().map(|(_, key)| (*key, Rule::Good)).collect();
        let gate = Tollgate::open(&rules).await;
        let settings = gate.settings("toll", more);
        let house = House::planned(Plan { settings, ..Plan::default() }).await;
        for (name, key) in keys {
            let fields = json!({"api_key": key});
            let body = json!({
                "provider": "toll", "name": name, "fields": fields, "validate": false,
            });
            let added = house.admin.post(SECRETS).json(&body).send().await;
            assert_eq!(added.status, 201, "{}", added.text());
        }
        Self { house, gate }
    }

    async fn alone(more: &str) -> Self {
        Self::of(&[("default", KEY)], more).await
    }

    /// Time goes on, twice as fast as it does.
    fn ticking(&self) -> tokio::task::JoinHandle<()> {
        let hand = self.house.clock.clone();
        tokio::spawn(async move {
            loop {
                hand.advance(Duration::from_millis(4));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    }

    async fn id(&self, name: &str) -> String {
        let all = self.house.admin.get(SECRETS).send().await.json();
        let mut all = all["items"].as_array().unwrap().iter();
        let found = all.find(|one| one["provider"] == "toll" && one["name"] == name);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn shown(&self, name: &str) -> Value {
        let path = format!("{SECRETS}/{}", self.id(name).await);
        self.house.admin.get(&path).send().await.json()
    }

    async fn place(&self, name: &str, body: Value) -> Value {
        let path = format!("{SECRETS}/{}/pool", self.id(name).await);
        let placed = self.house.admin.put(&path).json(&body).send().await;
        assert_eq!(placed.status, 200, "{}", placed.text());
        placed.json()
    }

    async fn until_state(&self, name: &str, state: &str) -> Value {
        for _ in 0..200 {
            let shown = self.shown(name).await;
            if shown["pool"]["state"] == state {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} is never {state}: {}", self.shown(name).await);
    }

    fn calls(&self) -> [u64; 2] {
        [ONE, OTHER].map(|key| self.gate.calls(key))
    }

    async fn metric(&self, line: &str) -> bool {
        let page = self.house.admin.bare(Method::GET, "/metrics").send().await.text();
        page.lines().any(|found| found == line)
    }

    async fn until_metric(&self, line: &str) {
        for _ in 0..200 {
            if self.metric(line).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never so: {line}");
    }

    async fn leave(self) {
        self.house.leave().await;
    }
}

/// What each of ten clients got; the first calls with many more callers at once.
async fn ten_clients(house: &House, stop: &Arc<AtomicBool>) -> Vec<Arc<AtomicU64>> {
    let mut served = Vec::new();
    for number in 0..10 {
        let client = Arc::new(house.client().await);
        let got = Arc::<AtomicU64>::default();
        for _ in 0..if number == 0 { 12 } else { 3 } {
            let (client, stop, got) = (Arc::clone(&client), Arc::clone(stop), Arc::clone(&got));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if client.get("/toll/x").send().await.status == 200 {
                        got.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        served.push(got);
    }
    served
}

/// 1 where all have as much; a tenth where one has all.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (squares * shares.len() as f64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_nobody_tells_is_learnt_and_shared_evenly() {
    const RATE: f64 = 40.0;
    let scene = Scene::alone("max_wait_seconds = 30\n").await;
    let mut bucket = Bucket::new(RATE, 20.0, &scene.house.clock);
    bucket.retry_after = Some("1");
    scene.gate.bucket(KEY, bucket);
    let ticking = scene.ticking();
    let stop = Arc::<AtomicBool>::default();
    let served = ten_clients(&scene.house, &stop).await;
    let noted = || (scene.house.clock.monotonic_ns(), scene.gate.refused(KEY));
    // Until a while has passed without a refusal, and at most so long.
    let (mut since, began) = (noted(), noted().0);
    while noted().0 - since.0 < 20_000_000_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if noted().1 != since.1 {
            since = noted();
        }
        assert!(noted().0 - began < 120_000_000_000, "still refused after two minutes");
    }
    let count = || served.iter().map(|got| got.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let (before, (began_ns, refused)) = (count(), noted());
    while noted().0 - began_ns < 20_000_000_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (after, (ended_ns, refused_by_then)) = (count(), noted());
    stop.store(true, Ordering::Relaxed);
    let shares: Vec<f64> =
        after.iter().zip(&before).map(|(after, before)| (after - before) as f64).collect();
    let seconds = Duration::from_nanos(ended_ns - began_ns).as_secs_f64();
    let part = shares.iter().sum::<f64>() / (seconds * RATE);
    let line = format!("{part:.3} of it, Jain {:.3}, {refused} refused before", jain(&shares));
    assert_eq!(refused_by_then, refused, "{line}");
    assert!(part >= 0.95, "{line}");
    assert!(jain(&shares) >= 0.95, "{line}: {shares:?}");
    assert!(refused <= 60, "{line}");
    // Whoever waits is served before the house is left.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ticking.abort();
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_the_limit_that_the_entry_names_and_is_served_when_it_is_free() {
    let scene = Scene::alone("requests_per_minute = 3\nmax_wait_seconds = 20\n").await;
    let client = Arc::new(scene.house.client().await);
    for _ in 0..3 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    // The provider says so for certain, and it is longer than anybody may wait.
    let no = client.get("/toll/x").send().await;
    let body = no.is_refusal(429, "rate_limited");
    assert_eq!((&body["limit"], &body["quota"]), (&json!("provider"), &json!(3)), "{body}");
    assert_eq!(body["reset_at"], "2026-01-15T12:01:01Z");
    assert_eq!(no.header("retry-after"), Some("61"));
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("3 requests per minute") && detail.contains("pool = true"), "{detail}");
    assert_eq!(scene.gate.calls(KEY), 3);
    scene.house.clock.advance(Duration::from_secs(50));
    let waiting = Arc::clone(&client);
    let waiting = tokio::spawn(async move { waiting.get("/toll/x").send().await });
    scene.until_metric("sealgate_provider_waiting_calls 1").await;
    assert_eq!(scene.gate.calls(KEY), 3);
    scene.house.clock.advance(Duration::from_secs(11));
    let served = waiting.await.unwrap();
    assert_eq!(served.status, 200, "{}", served.text());
    // What was refused or waited was counted once, when it was let in.
    assert_eq!(served.header("x-sealgate-ratelimit-used"), Some("4"));
    for line in [
        "sealgate_provider_waiting_calls 0",
        "sealgate_provider_waited_calls_total 1",
        "sealgate_provider_refused_calls_total 1",
    ] {
        assert!(scene.metric(line).await, "{line}");
    }
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so_and_whoever_leaves_it_frees_his_place() {
    let more = "requests_per_minute = 1\nmax_wait_seconds = 120\nmax_waiting = 2\n";
    let scene = Scene::alone(more).await;
    let client = Arc::new(scene.house.client().await);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    let wait = || {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.get("/toll/x").send().await.status })
    };
    let (leaves, stays) = (wait(), wait());
    scene.until_metric("sealgate_provider_waiting_calls 2").await;
    let body = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert!(body["detail"].as_str().unwrap().contains("max_waiting"), "{body}");
    assert_eq!(body["limit"], "provider");
    assert!(scene.metric("sealgate_provider_full_queues_total 1").await);
    leaves.abort();
    scene.until_metric("sealgate_provider_waiting_calls 1").await;
    let comes = wait();
    scene.until_metric("sealgate_provider_waiting_calls 2").await;
    for _ in 0..2 {
        scene.house.clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!((stays.await.unwrap(), comes.await.unwrap()), (200, 200));
    assert_eq!(scene.gate.calls(KEY), 3, "nobody called for the one who left");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_quota_is_told_so_and_waits_for_nobody() {
    let scene = Scene::alone("requests_per_minute = 2\nmax_wait_seconds = 300\n").await;
    let client = scene.house.client_with(json!({"limit": 2})).await;
    for _ in 0..2 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    let body = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert_eq!(body["limit"], "client", "{body}");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_refusal_passes_as_it_is_and_closes_the_door_until_the_time_that_it_names() {
    let scene = Scene::alone("max_wait_seconds = 1\n").await;
    let mut bucket = Bucket::new(0.1, 1.0, &scene.house.clock);
    bucket.retry_after = Some("10");
    scene.gate.bucket(KEY, bucket);
    let client = scene.house.client().await;
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    let theirs = client.get("/toll/x").send().await;
    assert_eq!((theirs.status, theirs.header("x-sealgate-error")), (429, None));
    assert_eq!(theirs.json(), json!({"provider_says": 429}));
    assert_eq!(theirs.header("retry-after"), Some("10"));
    let body = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert_eq!(
        (&body["limit"], &body["reset_at"]),
        (&json!("provider"), &json!("2026-01-15T12:00:11Z"))
    );
    assert_eq!(scene.gate.calls(KEY), 2, "nothing was sent in vain");
    scene.house.clock.advance(Duration::from_secs(11));
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_house_comes_behind_the_calls_of_clients_and_waits_as_long_as_it_takes() {
    let bourse = Bourse::open(1000).await;
    let settings = bourse.settings("requests_per_minute = 1\nmax_wait_seconds = 600\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "bourse", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    assert_eq!(house.admin.post(SECRETS).json(&secret).send().await.status, 201);
    let client: Arc<Client> = Arc::new(house.client().await);
    let ask = |name: &'static str| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.get(name).send().await.status })
    };
    ask("/bourse/first").await.unwrap();
    let run = json!({"symbols": ["SPY"], "from": "2026-01-01T00:00:00Z"});
    let run = house.admin.post("/api/v1/admin/backfill").json(&run).send().await;
    assert_eq!(run.status, 202, "{}", run.text());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let clients = [ask("/bourse/second"), ask("/bourse/third")];
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for client in clients {
        client.await.unwrap();
    }
    let asked = bourse.asked();
    let of_the_house = asked.iter().position(|path| path.contains("SPY"));
    assert_eq!((asked.len(), of_the_house), (4, Some(3)), "{asked:?}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_a_pool_share_the_calls_by_their_weights() {
    let scene = Scene::of(&TWO, "pool = true\n").await;
    let client = scene.house.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls(), [5, 5]);
    let placed = scene.place("default", json!({"weight": 3})).await;
    assert_eq!(
        placed["pool"],
        json!({"weight": 3, "state": "serving", "since": null, "until": null})
    );
    for _ in 0..40 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls(), [35, 15]);
    // Whoever names one, or is bound to one, gets that one.
    let bound = scene.house.client_with(json!({"secrets": {"toll": "other"}})).await;
    for _ in 0..4 {
        let named = client.get("/toll/x").header("x-sealgate-secret", "other").send().await;
        assert_eq!((named.status, bound.get("/toll/x").send().await.status), (200, 200));
    }
    assert_eq!(scene.calls(), [35, 23]);
    let path = format!("{SECRETS}/{}/pool", scene.id("other").await);
    for wrong in [json!({"weight": 0}), json!({"drained": 1}), json!({"share": 2})] {
        scene.house.admin.put(&path).json(&wrong).send().await.is_refusal(422, "invalid");
    }
    let trail = scene.house.admin.get("/api/v1/admin/audit?kind=change&limit=5").send().await;
    assert!(trail.text().contains("\"weight\":3"), "{}", trail.text());
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_out_of_breath_rests_and_its_calls_are_served_by_another_one() {
    let scene = Scene::of(&TWO, "pool = true\nmax_wait_seconds = 1\n").await;
    let empty = |key| {
        let mut bucket = Bucket::new(0.05, 1.0, &scene.house.clock);
        bucket.retry_after = Some("20");
        scene.gate.bucket(key, bucket);
    };
    empty(ONE);
    let client = scene.house.client().await;
    for turn in 0..20 {
        let method = if turn % 2 == 0 { Method::POST } else { Method::GET };
        let answer = client.call(method, "/toll/x").body("once more").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // The first of its calls is served, the second one is refused and taught that.
    assert_eq!((scene.gate.refused(ONE), scene.calls()[0]), (1, 2));
    let shown = scene.shown("default").await;
    assert_eq!(shown["pool"]["state"], "cooling", "{shown}");
    assert_eq!(shown["pool"]["until"], "2026-01-15T12:00:20.02Z");
    assert_eq!(shown["provider_limit"]["closed_until"], shown["pool"]["until"]);
    let named = client.get("/toll/x").header("x-sealgate-secret", "default").send().await;
    assert_eq!(named.is_refusal(429, "rate_limited")["limit"], "provider");
    assert_eq!(scene.calls()[0], 2);
    // Where none is free the provider's own answer passes, and then nobody asks in vain.
    empty(OTHER);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    let theirs = client.get("/toll/x").send().await;
    assert_eq!((theirs.status, theirs.header("x-sealgate-error")), (429, None));
    let ours = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert_eq!(ours["limit"], "provider");
    scene.house.clock.advance(Duration::from_secs(21));
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    assert_eq!(scene.shown("default").await["pool"]["state"], "serving");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_secret_is_put_into_quarantine_costs_nobody_anything_and_comes_back_when_good() {
    let more = "pool = true\nprobe = { path = \"/me\" }\n";
    let mut scene = Scene::of(&TWO, more).await;
    let client = scene.house.client().await;
    scene.gate.rule(ONE, Rule::Status(401));
    let (stop, mut failed) = (40, 0);
    for _ in 0..stop {
        failed += u32::from(client.get("/toll/x").send().await.status != 200);
    }
    assert_eq!(failed, 0);
    let shown = scene.until_state("default", "quarantined").await;
    assert_eq!(shown["pool"]["since"], "2026-01-15T12:00:00Z", "{shown}");
    // It is set aside first, and told of then; a check of the house's may tell it, too.
    let mut is_told = false;
    for _ in 0..50 {
        for times in [1, 2] {
            let line = format!("sealgate_alerts_total{{kind=\"secret_refused\"}} {times}");
            is_told = is_told || scene.metric(&line).await;
        }
        if is_told {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_told);
    let trail = scene.house.admin.get("/api/v1/admin/audit?kind=security&limit=20").send().await;
    assert!(trail.text().contains("quarantined: the provider refuses"), "{}", trail.text());
    // Three of its calls, and what the house asks about the key by itself.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = scene.calls();
    assert!(before[0] <= 6, "{before:?}");
    scene.house.restart().await;
    let client = scene.house.holder(&client);
    for _ in 0..10 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls()[1] - before[1], 10, "a restart forgets nothing");
    // The last one stays, whatever is said of it.
    scene.gate.rule(OTHER, Rule::Status(401));
    for _ in 0..10 {
        assert_eq!(client.get("/toll/x").send().await.status, 401);
    }
    assert_eq!(scene.shown("other").await["pool"]["state"], "serving");
    scene.gate.rule(ONE, Rule::Good);
    scene.house.clock.advance(Duration::from_secs(5));
    let check = format!("{SECRETS}/{}/validate", scene.id("default").await);
    let report = scene.house.admin.post(&check).send().await;
    assert_eq!(report.json()["ok"], true, "{}", report.text());
    scene.until_state("default", "serving").await;
    for _ in 0..20 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_puts_no_good_key_into_quarantine_and_one_that_nobody_can_check_is_tried_again() {
    let scene = Scene::of(&TWO, "pool = true\n").await;
    let client = scene.house.client().await;
    scene.gate.rule(ONE, Rule::Status(401));
    // What the client asks for is nobody's: the other key is told so in other words.
    for status in [403, 404, 400] {
        scene.gate.rule(OTHER, Rule::Status(status));
        for _ in 0..10 {
            assert_eq!(client.get("/toll/x").send().await.status, status);
        }
    }
    // Nor does what cannot be sent twice prove anything.
    scene.gate.rule(OTHER, Rule::Good);
    let large = vec![b'x'; 70_000];
    let mut refused = 0;
    for _ in 0..20 {
        let answer = client.call(Method::POST, "/toll/x").body(large.clone()).send().await;
        refused += u32::from(answer.status == 401);
    }
    assert_eq!(refused, 10);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(scene.shown("default").await["pool"]["state"], "serving");
    // Three times the same call is served with another key.
    for _ in 0..8 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    scene.until_state("default", "quarantined").await;
    let before = scene.calls();
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    assert_eq!(scene.calls(), [before[0], before[1] + 1]);
    scene.house.clock.advance(Duration::from_secs(601));
    scene.until_state("default", "serving").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // One no is enough now.
    for _ in 0..4 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    scene.until_state("default", "quarantined").await;
    assert_eq!(scene.calls()[0], before[0] + 1);
    scene.gate.rule(ONE, Rule::Good);
    scene.house.clock.advance(Duration::from_secs(1_201));
    scene.until_state("default", "serving").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    for _ in 0..4 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls()[0], before[0] + 3);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_is_served_by_whichever_key_of_the_pool_is_free_first() {
    let more = "pool = true\nrequests_per_minute = 1\nmax_wait_seconds = 120\n";
    let scene = Scene::of(&TWO, more).await;
    let client = Arc::new(scene.house.client().await);
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    scene.house.clock.advance(Duration::from_secs(10));
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.get("/toll/x").send().await.status })
        })
        .collect();
    scene.until_metric("sealgate_provider_waiting_calls 2").await;
    // The first key is to be free first, for one of them; then the other is, long before that.
    for left in [1, 0] {
        scene.house.clock.advance(Duration::from_secs(if left == 1 { 52 } else { 10 }));
        scene.until_metric(&format!("sealgate_provider_waiting_calls {left}")).await;
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    assert_eq!(scene.calls(), [2, 2]);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_saves_a_call_that_neither_version_of_a_key_on_trial_can_serve() {
    const NEW: &str = "the-new-key-of-one-5";
    let scene = Scene::of(&TWO, "pool = true\n").await;
    let client = scene.house.client().await;
    let path = format!("{SECRETS}/{}/versions", scene.id("default").await);
    let strategy = json!({"steps": [50, 100], "hold_seconds": 600});
    let body = json!({"fields": {"api_key": NEW}, "validate": false, "strategy": strategy});
    scene.gate.rule(NEW, Rule::Status(401));
    scene.gate.rule(ONE, Rule::Status(401));
    assert_eq!(scene.house.admin.post(&path).json(&body).send().await.status, 201);
    for _ in 0..12 {
        let answer = client.call(Method::POST, "/toll/x").body("once more").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(scene.gate.calls(NEW) > 0, "it was on trial");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_of_a_place_leaves_the_rest_of_it_alone() {
    let scene = Scene::of(&TWO, "pool = true\n").await;
    let stands =
        |placed: &Value| (placed["pool"]["weight"].clone(), placed["pool"]["state"].clone());
    for (change, expected) in [
        (json!({"drained": true}), (json!(1), json!("drained"))),
        (json!({"weight": 7}), (json!(7), json!("drained"))),
        (json!({"drained": false}), (json!(7), json!("serving"))),
    ] {
        assert_eq!(stands(&scene.place("default", change).await), expected);
    }
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_set_aside_and_put_back_by_hand_and_a_restart_changes_nothing() {
    let mut scene = Scene::of(&TWO, "pool = true\n").await;
    let client = scene.house.client().await;
    let drained = scene.place("default", json!({"drained": true})).await;
    assert_eq!(drained["pool"]["state"], "drained", "{drained}");
    for _ in 0..6 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls(), [0, 6]);
    let named = client.get("/toll/x").header("x-sealgate-secret", "default").send().await;
    assert_eq!((named.status, scene.calls()), (200, [1, 6]));
    scene.house.restart().await;
    // From the first call on.
    let client = scene.house.holder(&client);
    for _ in 0..6 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!(scene.calls(), [1, 12]);
    scene.place("other", json!({"drained": true})).await;
    let none = client.get("/toll/x").send().await.is_refusal(503, "no_secret");
    assert!(none["detail"].as_str().unwrap().contains("secret pool --serve"), "{none}");
    scene.place("default", json!({"drained": false})).await;
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    assert_eq!(scene.calls(), [2, 12]);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_version_in_a_pool_is_rolled_back_and_no_call_fails() {
    const NEW: &str = "the-new-key-of-one-3";
    let scene = Scene::of(&TWO, "pool = true\nprobe = { path = \"/me\" }\n").await;
    scene.gate.rule(NEW, Rule::Status(401));
    let client = Arc::new(scene.house.client().await);
    let path = format!("{SECRETS}/{}/versions", scene.id("default").await);
    let body = json!({
        "fields": {"api_key": NEW}, "validate": false, "strategy": {"steps": [50, 100]},
    });
    assert_eq!(scene.house.admin.post(&path).json(&body).send().await.status, 201);
    for _ in 0..200 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    let mut shown = Value::Null;
    for _ in 0..100 {
        shown = scene.shown("default").await;
        if shown["rotation"]["state"] == "rolled_back" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shown["rotation"]["state"], "rolled_back", "{shown}");
    assert_eq!(shown["pool"]["state"], "serving", "its old version is as good as ever");
    assert!(scene.calls().iter().all(|calls| *calls >= 50), "{:?}", scene.calls());
    scene.leave().await;
}

#[tokio::test]
async fn a_call_with_a_key_whose_limit_is_known_is_dealt_its_version_once() {
    const NEW: &str = "the-new-key-of-one-4";
    let scene = Scene::alone("requests_per_minute = 6000\n").await;
    scene.gate.rule(NEW, Rule::Good);
    let client = scene.house.client().await;
    let path = format!("{SECRETS}/{}/versions", scene.id("default").await);
    let strategy = json!({"steps": [50, 100], "hold_seconds": 600});
    let body = json!({"fields": {"api_key": NEW}, "validate": false, "strategy": strategy});
    assert_eq!(scene.house.admin.post(&path).json(&body).send().await.status, 201);
    for _ in 0..40 {
        assert_eq!(client.get("/toll/x").send().await.status, 200);
    }
    assert_eq!((scene.gate.calls(KEY), scene.gate.calls(NEW)), (20, 20));
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_the_provider_has_closed_stays_closed_over_a_restart() {
    let mut scene = Scene::alone("max_wait_seconds = 1\n").await;
    let mut bucket = Bucket::new(0.01, 1.0, &scene.house.clock);
    bucket.retry_after = Some("100");
    scene.gate.bucket(KEY, bucket);
    let client = scene.house.client().await;
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    assert_eq!(client.get("/toll/x").send().await.status, 429);
    // Written down within two seconds.
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.house.restart().await;
    let client = scene.house.holder(&client);
    let body = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert_eq!(body["limit"], "provider", "{body}");
    assert_eq!(scene.gate.calls(KEY), 2, "nobody asked in vain");
    scene.house.clock.advance(Duration::from_secs(101));
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_house_asks_about_a_key_takes_its_part_of_the_limit() {
    let more = "requests_per_minute = 2\nprobe = { path = \"/me\" }\n";
    let scene = Scene::alone(more).await;
    let client = scene.house.client().await;
    assert_eq!(client.get("/toll/x").send().await.status, 200);
    let check = format!("{SECRETS}/{}/validate", scene.id("default").await);
    assert_eq!(scene.house.admin.post(&check).send().await.json()["ok"], true);
    let body = client.get("/toll/x").send().await.is_refusal(429, "rate_limited");
    assert_eq!(body["limit"], "provider", "{body}");
    let limit = &scene.shown("default").await["provider_limit"];
    assert_eq!((&limit["calls"], &limit["window_seconds"]), (&json!(2), &json!(60)), "{limit}");
    scene.leave().await;
}
