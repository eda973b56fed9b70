//! Two nodes on one database that share the limits through Redis, which goes away and comes back.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealgate::clock::Clock;
use serde_json::{Value, json};

use crate::clients::second_node_with;
use crate::house::{Answer, Client, House, Kind, Plan, Relay, send_signal};

/// A Redis for one test, that it may stop.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut redis = Self { port, process: None };
        redis.boot().await;
        redis
    }

    async fn boot(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.process = Some(process);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&self, name: &str) {
        send_signal(self.process.as_ref().expect("it runs").id(), name);
    }

    /// STOP: connections hold, and nothing is answered. KILL: all is lost.
    pub(crate) fn end(&mut self, how: &str) {
        self.signal(how);
        if how == "KILL" {
            self.process.take().expect("it runs").wait().unwrap();
        }
    }

    pub(crate) async fn mend(&mut self, how: &str) {
        match how {
            "STOP" => self.signal("CONT"),
            _ => self.boot().await,
        }
    }

    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let asked = Command::new("redis-cli").args(["-p", &port]).args(command).output().unwrap();
        assert!(asked.status.success(), "{asked:?}");
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    pub(crate) fn settings(&self) -> String {
        format!(
            "limits.backend = \"redis\"\nlimits.redis_url = \"redis://127.0.0.1:{}\"\n",
            self.port
        )
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _killed = process.kill();
            let _status = process.wait();
        }
    }
}

async fn figure(house: &House, line: &str) -> bool {
    let page = house.admin.get("/metrics").send().await.text();
    page.lines().any(|found| found == line)
}

async fn until_figure(house: &House, line: &str) {
    for _ in 0..400 {
        if figure(house, line).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no line {line:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_let_in_one_quota_together_and_a_share_each_while_redis_is_away() {
    let mut redis = Redis::start().await;
    let settings = redis.settings();
    let plan = Plan { database: Kind::Postgres, settings: settings.clone(), ..Plan::default() };
    let house = House::planned(plan).await;
    let folder = tempfile::tempdir().unwrap();
    let inject = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let provider = house.provider.settings("acme", &house.path().join("outpost.pem"), inject);
    let other = second_node_with(&house, folder.path(), &format!("{settings}{provider}")).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let doors = [house.proxy_address(), other.proxy_address().unwrap()];
    let call = async |door: usize, key: &str| {
        let url = format!("http://{}/acme/x", doors[door]);
        let answer = http.get(&url).header("x-api-key", key).send().await.unwrap();
        answer.status().as_u16()
    };
    let spend = async |key: &str, each: usize| {
        let mut admitted = [0, 0];
        for caller in 0..each * 2 {
            match call(caller % 2, key).await {
                200 => admitted[caller % 2] += 1,
                status => assert_eq!(status, 429),
            }
        }
        admitted
    };
    let client = house.client_with(json!({"limit": 10, "monthly_quota": 100})).await;
    assert_eq!(spend(&client.key, 8).await, [5, 5]);
    let me = client.get("/api/v1/me").send().await.json();
    assert_eq!((&me["limits"]["used"], &me["limits"]["month"]["used"]), (&json!(10), &json!(10)));
    let refusal = client.get("/acme/x").send().await;
    let body = refusal.is_refusal(429, "rate_limited");
    assert_eq!((&body["limit"], &body["quota"]), (&json!("client"), &json!(10)));
    assert!(figure(&house, "sealgate_limiter_redis_up 1").await);

    for how in ["STOP", "KILL"] {
        let (fresh, part) =
            (house.client_with(json!({"limit": 10})).await, client_of(&house).await);
        assert_eq!(spend(&part.key, 3).await, [3, 3]);
        redis.end(how);
        assert_eq!(spend(&fresh.key, 9).await, [5, 5], "{how}");
        says_what_is_known(&house.holder(&fresh).get("/acme/x").send().await);
        assert_eq!(spend(&part.key, 9).await, [2, 2], "{how}");
        assert_eq!(spend(&client.key, 2).await, [0, 0], "{how}");
        assert!(figure(&house, "sealgate_limiter_redis_up 0").await);
        assert_eq!(house.admin.get("/readyz").send().await.status, 200, "{how}");
        redis.mend(how).await;
        until_figure(&house, "sealgate_limiter_redis_up 1").await;
        // The other node, too.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for used_up in [&fresh, &part, &client] {
            assert_eq!(spend(&used_up.key, 2).await, [0, 0], "{how}");
        }
        let next = house.client_with(json!({"limit": 10})).await;
        assert_eq!(spend(&next.key, 8).await, [5, 5], "{how}");
    }
    assert!(figure(&house, "sealgate_alerts_total{kind=\"limiter_degraded\"} 2").await);
    other.stop().await;
    house.leave().await;
}

/// Of a node that cannot ask the others and has let in its five of ten.
fn says_what_is_known(over: &Answer) {
    let told = ["limit", "remaining", "used"];
    let told = told.map(|name| over.header(&format!("x-sealgate-ratelimit-{name}")).unwrap());
    assert_eq!(told, ["10", "0", "5"], "what is known to be used");
    let detail = over.is_refusal(429, "rate_limited")["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Limit: 10 requests per hour. Current usage: 5. Reset at: "));
    assert!(detail.ends_with("kept for the other nodes, which cannot be asked now."));
}

async fn client_of(house: &House) -> Client {
    house.client_with(json!({"limit": 10})).await
}

const CALLERS: usize = 8;
const FAULTS: [&str; 5] = ["STOP", "TERM", "KILL", "slow", "full"];

/// What a stretch under load saw: how long each call took, in order, and the statuses that are
/// neither an answer nor a quota.
struct Load {
    took: Vec<Duration>,
    others: Vec<u16>,
}

impl Load {
    /// As many callers as there are, without a pause, for so long.
    async fn run(callers: &Arc<Vec<Client>>, length: Duration) -> Self {
        let (clock, is_over) = (Clock::system(), Arc::new(AtomicBool::new(false)));
        let calls: Vec<_> = (0..CALLERS)
            .map(|place| {
                let (callers, is_over) = (Arc::clone(callers), Arc::clone(&is_over));
                let clock = clock.clone();
                tokio::spawn(async move {
                    let mut seen = Self { took: Vec::new(), others: Vec::new() };
                    while !is_over.load(Ordering::Relaxed) {
                        let began = clock.monotonic_ns();
                        let status = callers[place].get("/acme/x").send().await.status;
                        seen.took.push(Duration::from_nanos(clock.monotonic_ns() - began));
                        if status != 200 && status != 429 {
                            seen.others.push(status);
                        }
                    }
                    seen
                })
            })
            .collect();
        tokio::time::sleep(length).await;
        is_over.store(true, Ordering::Relaxed);
        let mut all = Self { took: Vec::new(), others: Vec::new() };
        for call in calls {
            let seen = call.await.unwrap();
            all.took.extend(seen.took);
            all.others.extend(seen.others);
        }
        all.took.sort();
        all
    }

    fn p99(&self) -> Duration {
        self.took[self.took.len() * 99 / 100]
    }
}

#[expect(clippy::disallowed_methods, reason = "the proof command asks for longer stretches")]
fn length() -> Duration {
    let is_long = std::env::var("PROOF").is_ok_and(|rounds| rounds == "1000");
    Duration::from_millis(if is_long { 20_000 } else { 4_000 })
}

/// A Redis that is broken and mended while calls are made: none of them hears of it but by its
/// quota, and none waits for it but those that were asking at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_redis_under_load_no_call_fails_and_the_slowest_are_no_slower() {
    let mut redis = Redis::start().await;
    let relay = Relay::to(([127, 0, 0, 1], redis.port).into()).await;
    let settings =
        format!("limits.backend = \"redis\"\nlimits.redis_url = \"redis://{}\"\n", relay.address);
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(house.client_with(json!({"limit": 10_000})).await);
    }
    let callers = Arc::new(callers);
    Load::run(&callers, Duration::from_secs(1)).await;
    for how in FAULTS {
        let mut ratio = f64::INFINITY;
        // What a busy machine does to one run it does not do to three.
        for _ in 0..3 {
            let before = Load::run(&callers, length()).await;
            assert_eq!(before.others, [0; 0], "before {how}");
            let load = tokio::spawn({
                let callers = Arc::clone(&callers);
                async move { Load::run(&callers, length()).await }
            });
            tokio::time::sleep(length() / 3).await;
            break_under_load(&mut redis, &relay, how);
            let load = load.await.unwrap();
            assert_eq!(load.others, [0; 0], "{how}");
            assert!(figure(&house, "sealgate_limiter_redis_up 0").await, "{how}");
            mend_under_load(&mut redis, &relay, how).await;
            until_figure(&house, "sealgate_limiter_redis_up 1").await;
            let (p99, usual) = (load.p99(), before.p99());
            tell(&format!("{how}: p99 {p99:?}, before {usual:?}, {} calls", load.took.len()));
            ratio = ratio.min(p99.as_secs_f64() / usual.as_secs_f64());
            if ratio <= 2.0 {
                break;
            }
        }
        assert!(ratio <= 2.0, "{how}: {ratio:.2} of before");
    }
    house.leave().await;
}

#[expect(clippy::print_stdout, reason = "the proof command shows its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}

fn break_under_load(redis: &mut Redis, relay: &Relay, how: &str) {
    match how {
        "slow" => relay.slow_down(Duration::from_secs(5)),
        "full" => assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "1"]), "OK"),
        "STOP" | "KILL" => redis.end(how),
        _ => {
            redis.signal(how);
            redis.process.take().expect("it runs").wait().unwrap();
        }
    }
}

async fn mend_under_load(redis: &mut Redis, relay: &Relay, how: &str) {
    match how {
        "slow" => relay.slow_down(Duration::ZERO),
        "full" => assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "0"]), "OK"),
        _ => redis.mend(how).await,
    }
}

/// Nobody holds a place while he waits for Redis, nor is sent away because all come at once then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_fills_no_places_and_sends_nobody_away() {
    let mut redis = Redis::start().await;
    let settings = format!("{}proxy.max_concurrent = 2\n", redis.settings());
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let mut callers = Vec::new();
    for _ in 0..40 {
        callers.push(house.client_with(json!({"limit": 100})).await);
    }
    assert_eq!(callers[0].get("/acme/x").send().await.status, 200);
    redis.end("STOP");
    let calls: Vec<_> = callers
        .into_iter()
        .enumerate()
        .map(|(place, caller)| {
            tokio::spawn(async move {
                let place = u64::try_from(place).unwrap();
                tokio::time::sleep(Duration::from_millis(place * 15)).await;
                caller.get("/acme/x").send().await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    assert_eq!(statuses, [200; 40]);
    redis.mend("STOP").await;
    until_figure(&house, "sealgate_limiter_redis_up 1").await;
    house.leave().await;
}

/// The alert and its end are records of the trail, the metric counts it, and says how it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_goes_away_is_an_alert_and_its_return_ends_it() {
    let mut redis = Redis::start().await;
    let house = House::planned(Plan { settings: redis.settings(), ..Plan::default() }).await;
    let trail = async || {
        let path = "/api/v1/admin/audit?kind=security&limit=1000";
        house.admin.get(path).send().await.text()
    };
    let until_listed = async |state: &str| {
        for _ in 0..60 {
            let listed = house.admin.get("/api/v1/admin/alerts").send().await.json();
            let mut alerts = listed["items"].as_array().unwrap().iter();
            let is_it = |one: &Value| one["kind"] == "limiter_degraded" && one["state"] == state;
            if alerts.any(is_it) {
                return;
            }
            house.clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("no alert is {state}");
    };
    let until_told = async |said: &str| {
        for _ in 0..200 {
            if trail().await.contains(said) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {said:?} in {}", trail().await);
    };
    assert!(!trail().await.contains("limiter_degraded"));
    redis.end("KILL");
    until_figure(&house, "sealgate_limiter_redis_up 0").await;
    until_told("Redis: nobody answers there").await;
    assert!(trail().await.contains("limiter_degraded"));
    until_figure(&house, "sealgate_alerts_total{kind=\"limiter_degraded\"} 1").await;
    until_listed("open").await;
    redis.mend("KILL").await;
    until_figure(&house, "sealgate_limiter_redis_up 1").await;
    until_told("Redis is back: limits are shared again").await;
    assert!(figure(&house, "sealgate_alerts_total{kind=\"limiter_degraded\"} 1").await);
    until_listed("resolved").await;
    house.leave().await;
}

/// Just in time, again and again: each call waits once at most, and soon none does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_slow_but_in_time_holds_nobody_for_long() {
    let redis = Redis::start().await;
    let relay = Relay::to(([127, 0, 0, 1], redis.port).into()).await;
    let settings =
        format!("limits.backend = \"redis\"\nlimits.redis_url = \"redis://{}\"\n", relay.address);
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let clock = Clock::system();
    for (slow_ms, limit) in [(450, 100), (450, 20_000), (250, 100)] {
        let client = house.client_with(json!({"limit": limit, "monthly_quota": 30_000})).await;
        until_figure(&house, "sealgate_limiter_redis_up 1").await;
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        relay.slow_down(Duration::from_millis(slow_ms));
        let mut waits = Vec::new();
        for _ in 0..40 {
            let began = clock.monotonic_ns();
            assert_eq!(client.get("/acme/x").send().await.status, 200);
            waits.push(Duration::from_nanos(clock.monotonic_ns() - began));
        }
        assert!(waits.iter().all(|wait| wait.as_millis() < 700), "{slow_ms} {limit}: {waits:?}");
        let held = waits.iter().filter(|wait| wait.as_millis() >= 150).count();
        assert!(held <= 4, "{slow_ms} {limit}: {waits:?}");
        assert!(figure(&house, "sealgate_limiter_redis_up 0").await);
        relay.slow_down(Duration::ZERO);
    }
    house.leave().await;
}
