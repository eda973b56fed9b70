//! What the trail stands on goes away under load: PostgreSQL stopped, paused, killed mid-batch; a
//! disk without room. Every call that was answered has its record once, in a chain that holds, and
//! where the database alone is away no call fails. `PROOF` makes the outages a minute long.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for another process looks at the machine's own clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::crash::rounds;
use crate::full::Disk;
use crate::house::{Canary, Ground, Outpost, Postgres, Server, Speaks};

pub(crate) struct Site {
    pub ground: Ground,
    _provider: Outpost,
    pub key: String,
    pub canary: Canary,
}

/// Status, request id, and the code of a refusal.
pub(crate) type Answered = (u16, String, String);

/// Callers that go on until they are told to end.
pub(crate) struct Load {
    callers: JoinSet<Vec<Answered>>,
    is_over: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
}

static RUNS: AtomicU64 = AtomicU64::new(0);

impl Site {
    pub(crate) async fn on(ground: impl FnOnce(&str) -> Ground) -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let ca = std::path::Path::new("outpost.pem");
        let ground = ground(&provider.settings("acme", ca, bearer));
        std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        ground.json(&["init", "--json"]);
        let canary = Canary::hatch();
        let secret = format!("{}\n", canary.plain());
        let add = ["secret", "add", "acme", "--no-validate", "--json"];
        assert!(ground.run_with_input(&add, &secret).status.success());
        let make = ["client", "create", "caller", "--tier", "unlimited", "--json"];
        let key = ground.json(&make)["key"].as_str().unwrap().to_owned();
        Self { ground, _provider: provider, key, canary }
    }

    pub(crate) fn load(&self, server: &Server, callers: usize, pause: Duration) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(AtomicBool::new(false));
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let mut set = JoinSet::new();
        for caller in 0..callers {
            let (url, key) = (format!("{}/acme/x", server.proxy), self.key.clone());
            let (is_over, failed) = (Arc::clone(&is_over), Arc::clone(&failed));
            set.spawn(async move {
                let http = reqwest::Client::builder().no_proxy().build().unwrap();
                let mut had = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let id = format!("call-{run}-{caller}-{}", had.len());
                    let call = http.get(&url).header("x-api-key", &key).header("x-request-id", &id);
                    let Ok(answer) = call.send().await else {
                        // The server was killed.
                        failed.store(true, Ordering::Relaxed);
                        return had;
                    };
                    let code = answer.headers().get("x-sealgate-error");
                    let code = code.map_or(String::new(), |code| format!("{code:?}"));
                    had.push((answer.status().as_u16(), id, code));
                    if answer.bytes().await.is_err() {
                        failed.store(true, Ordering::Relaxed);
                        return had;
                    }
                    tokio::time::sleep(pause).await;
                }
                had
            });
        }
        Load { callers: set, is_over, failed }
    }

    /// Every record, by request id; each once, in a chain that holds.
    pub(crate) fn trail(&self) -> BTreeMap<String, Value> {
        let export = self.ground.run(&["audit", "export"]);
        let told = String::from_utf8_lossy(&export.stderr).into_owned();
        assert!(export.status.success(), "{told}");
        let mut records = BTreeMap::new();
        let mut last = 0;
        for line in String::from_utf8(export.stdout).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if !line["kind"].is_string() {
                continue;
            }
            let sequence = line["sequence"].as_u64().unwrap();
            assert_eq!(sequence, last + 1);
            last = sequence;
            // What the house itself finds answers no request.
            let id = match line["request_id"].as_str().unwrap() {
                "" => format!("record {sequence}"),
                id => id.to_owned(),
            };
            let twice = records.insert(id.clone(), line).is_some_and(|_| id.starts_with("call-"));
            assert!(!twice, "{id} is there twice");
        }
        let verified = self.ground.json(&["audit", "verify", "--json"]);
        assert_eq!((&verified["ok"], &verified["first_bad"]), (&json!(true), &json!(null)));
        assert!(verified["records"].as_u64().unwrap() >= last);
        records
    }
}

impl Load {
    async fn end(self) -> Vec<Answered> {
        self.is_over.store(true, Ordering::Relaxed);
        let answered = self.callers.join_all().await.into_iter().flatten().collect();
        assert!(!self.failed.load(Ordering::Relaxed), "a call had no answer");
        answered
    }

    /// The same, where the server was killed: what broke off was not answered.
    pub(crate) async fn end_of_killed(self) -> Vec<Answered> {
        self.is_over.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().flatten().collect()
    }
}

pub(crate) async fn ready(server: &Server) {
    let ready = format!("{}/readyz", server.admin);
    let since = Instant::now();
    while !reqwest::get(&ready).await.unwrap().status().is_success() {
        assert!(since.elapsed() < Duration::from_secs(30), "it is not ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A minute in the proof; every day longer than one try of the house to reach the database, so that
/// at least one has failed.
fn outage() -> Duration {
    Duration::from_secs(if rounds() > 8 { 60 } else { 14 })
}

pub(crate) fn assert_all_are_there(answered: &[Answered], trail: &BTreeMap<String, Value>) {
    let lost: Vec<_> = answered.iter().filter(|(_, id, _)| !trail.contains_key(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), answered.len());
    for (status, id, _) in answered {
        assert_eq!(trail[id]["status_code"], *status, "{id}");
    }
}

fn alerts(trail: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let details = trail.values().map(|record| &record["detail"]);
    let told = details.filter(|detail| detail["alert"] == "ledger_degraded");
    let word = |detail: &Value| match detail["resolved"].as_str() {
        Some(resolved) => format!("resolved: {resolved}"),
        None => detail["finding"].as_str().unwrap().to_owned(),
    };
    told.map(word).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stopped_paused_and_killed_fails_no_call_and_loses_no_record() {
    let mut postgres = Postgres::start().await;
    let database = format!("database.url = \"{}\"\n", postgres.url());
    let site = Site::on(|more| Ground::new(&format!("{database}{more}"))).await;
    let server = site.ground.serve(&[]);
    ready(&server).await;
    let load = site.load(&server, 4, Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(1)).await;

    postgres.stop("INT").await;
    tokio::time::sleep(outage()).await;
    postgres.go_on().await;
    tokio::time::sleep(Duration::from_secs(6)).await;

    postgres.signal_all("STOP");
    tokio::time::sleep(outage()).await;
    postgres.signal_all("CONT");
    tokio::time::sleep(Duration::from_secs(3)).await;

    // Killed again and again, so that some of it falls into a batch.
    for round in 0..6 {
        postgres.stop("QUIT").await;
        postgres.go_on().await;
        tokio::time::sleep(Duration::from_millis(150 + round * 170)).await;
    }
    let answered = load.end().await;
    let failed: Vec<_> = answered.iter().filter(|(status, ..)| *status != 200).collect();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), answered.len());
    assert!(answered.len() > 1_000, "{}", answered.len());
    ready(&server).await;
    let trail = tokio::task::block_in_place(|| site.trail());
    assert_all_are_there(&answered, &trail);
    let alerts = alerts(&trail);
    assert!(alerts.contains("resolved: the database takes records again"), "{alerts:?}");
    assert!(alerts.iter().any(|told| told.contains("wait in the journal")), "{alerts:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_refuses_calls_before_it_loses_one_and_recovers_by_itself() {
    let mut disk = None;
    let site = Site::on(|more| {
        let ground =
            Ground::new(&format!("proxy.workers = 1\naudit.journal_bytes = 16777216\n{more}"));
        disk = Disk::mount(&ground.data(), "120m");
        ground
    })
    .await;
    // Who may mount nothing shows it by the ledger's own tests.
    let Some(disk) = disk else { return };
    let server = site.ground.serve(&[]);
    ready(&server).await;
    let load = site.load(&server, 8, Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let filler = tokio::task::block_in_place(|| disk.fill());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = |id: &str| {
        let call = http.get(format!("{}/acme/x", server.proxy)).header("x-api-key", &site.key);
        call.header("x-request-id", id).send()
    };
    let since = Instant::now();
    let mut number = 0;
    let mut answered = Vec::new();
    // Until the journal is full; every call is answered or refused, none hangs.
    loop {
        number += 1;
        let id = format!("call-own-{number}");
        let answer = call(&id).await.unwrap();
        let (status, code) = (answer.status().as_u16(), answer.headers().get("x-sealgate-error"));
        if status == 503 {
            assert_eq!(code.unwrap(), "audit_unavailable");
            break;
        }
        assert_eq!(status, 200);
        answered.push((status, id, String::new()));
        assert!(since.elapsed() < Duration::from_secs(120), "never full");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(filler).unwrap();
    let since = Instant::now();
    while call("again").await.unwrap().status() != 200 {
        assert!(since.elapsed() < Duration::from_secs(30), "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    answered.extend(load.end().await);
    let (done, refused): (Vec<_>, Vec<_>) =
        answered.into_iter().partition(|(status, ..)| *status == 200);
    assert!(refused.iter().all(|(_, _, code)| code == "\"audit_unavailable\""), "{refused:?}");
    let trail = tokio::task::block_in_place(|| site.trail());
    assert_all_are_there(&done, &trail);
    let alerts = alerts(&trail);
    assert!(alerts.iter().any(|told| told.contains("cannot grow")), "{alerts:?}");
    assert!(alerts.contains("resolved: the journal has room again"), "{alerts:?}");
    server.stop();
}
