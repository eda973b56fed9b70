//! What a rotation takes for a no and what not, with few calls as with many, and what becomes of
//! sockets, of calls that wait, and of the versions before.
//! Must never depend on which version happens to serve a call.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NEW, OLD, PROBE, SECRETS, Scene};
use crate::house::{Harbour, House, Plan, Rule};

const STEPS: [u64; 2] = [50, 100];

fn state(shown: &Value) -> &str {
    shown["rotation"]["state"].as_str().unwrap()
}

/// FRED and Nasdaq Data Link say so with 400, Alpha Vantage in a 200.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_no_in_its_own_way_is_understood_by_its_entry() {
    for (probe, rule) in [
        ("probe = { path = \"/me\", bad = [400] }", Rule::Status(400)),
        (
            "probe = { path = \"/me\", bad_body = '\"Error Message\"' }",
            Rule::Says("{\"Error Message\": \"the parameter apikey is invalid or missing\"}"),
        ),
    ] {
        let scene = Scene::of((Rule::Good, rule), probe).await;
        scene.rotate(json!({})).await.is_refusal(422, "invalid");
        let client = scene.house.client().await;
        let strategy = json!({"steps": STEPS, "hold_seconds": 600});
        let begun = scene.rotate(json!({"validate": false, "strategy": strategy})).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        for _ in 0..8 {
            let answer = client.get("/toll/x").send().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "null"), "{rule:?}");
        }
        assert!(scene.gate.calls(NEW) > 0);
        scene.until("rolled back", |shown| state(shown) == "rolled_back").await;
        scene.house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_neither_key_may_says_nothing_against_the_new_one() {
    let scene = Scene::of((Rule::Narrow, Rule::Narrow), PROBE).await;
    let client = scene.house.client().await;
    let strategy = json!({"steps": STEPS, "hold_seconds": 3});
    assert_eq!(scene.rotate(json!({"strategy": strategy})).await.status, 201);
    for _ in 0..2 {
        for _ in 0..40 {
            assert_eq!(client.get("/toll/narrow").send().await.status, 403);
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(state(&scene.shown().await), "running");
        scene.hold();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    scene.until("promoted", |shown| state(shown) == "promoted").await;
    scene.house.leave().await;
}

/// The new key lacks a route, and hardly anybody asks for it: one refused call holds the step, and
/// the third in the whole of the rotation ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_here_and_there_is_enough() {
    let scene = Scene::of((Rule::Good, Rule::Narrow), PROBE).await;
    let client = scene.house.client().await;
    let strategy = json!({"steps": STEPS, "hold_seconds": 3});
    assert_eq!(scene.rotate(json!({"strategy": strategy})).await.status, 201);
    for turn in 0..3 {
        let shown = scene.shown().await;
        assert_eq!((state(&shown), &shown["rotation"]["share"]), ("running", &json!(50)), "{turn}");
        for _ in 0..2 {
            assert_eq!(client.get("/toll/narrow").send().await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        scene.hold();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    scene.until("rolled back", |shown| state(shown) == "rolled_back").await;
    assert!(scene.gate.calls(NEW) >= 3);
    scene.house.leave().await;
}

/// It says 400 to everything, which may be the caller's fault or the key's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_which_nothing_is_done_goes_back_and_one_that_is_told_to_wait_slows_nobody() {
    for status in [400, 429] {
        let scene = Scene::new(Rule::Status(status)).await;
        let client = scene.house.client().await;
        let strategy = json!({"steps": STEPS, "hold_seconds": 3});
        let begun = scene.rotate(json!({"validate": false, "strategy": strategy})).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        for _ in 0..20 {
            client.get("/toll/x").send().await;
        }
        scene.hold();
        let shown = scene.until("rolled back", |shown| state(shown) == "rolled_back").await;
        let why = shown["rotation"]["why"].as_str().unwrap();
        assert!(why.contains("did nothing with the new version"), "{why}");
        // The clock stands still: whoever had to wait would be refused.
        for _ in 0..20 {
            assert_eq!(client.get("/toll/x").send().await.status, 200, "{status}");
        }
        scene.house.leave().await;
    }
}

/// No call of the old version is there to compare with at the last step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_fails_at_the_last_step_is_rolled_back_and_an_outage_is_none() {
    let scene = Scene::new(Rule::Good).await;
    let client = scene.house.client().await;
    let strategy = json!({"steps": [100], "hold_seconds": 600});
    assert_eq!(scene.rotate(json!({"strategy": strategy})).await.status, 201);
    for key in [OLD, NEW] {
        scene.gate.rule(key, Rule::Status(503));
    }
    for _ in 0..12 {
        assert_eq!(client.get("/toll/x").send().await.status, 503);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(state(&scene.shown().await), "running", "the provider is out of order, not the key");
    scene.gate.rule(OLD, Rule::Good);
    scene.house.clock.advance(Duration::from_secs(11));
    for _ in 0..6 {
        client.get("/toll/x").send().await;
    }
    scene.until("rolled back", |shown| state(shown) == "rolled_back").await;
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_key_serves_no_call_that_waited_for_its_turn() {
    let more = format!("max_concurrent = 8\nmax_wait_seconds = 30\n{PROBE}");
    let scene = Scene::of((Rule::Good, Rule::Good), &more).await;
    let clients = [scene.house.client().await, scene.house.client().await];
    // The key was asked about when it was stored.
    let asked = scene.gate.calls(OLD);
    let calls = (0..16).map(|at| tokio::spawn(clients[at % 2].get("/toll/slower").send()));
    let calls: Vec<_> = calls.collect();
    for _ in 0..100 {
        if scene.gate.calls(OLD) == asked + 8 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The other eight stand before it, and were selected before.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let replaced = scene.rotate(json!({"now": true, "validate": false})).await;
    assert_eq!(replaced.status, 201, "{}", replaced.text());
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!((scene.gate.calls(OLD) - asked, scene.gate.calls(NEW)), (8, 8));
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_a_leaked_key_is_closed_within_a_second_and_may_come_again() {
    let sea = Harbour::open().await;
    let house = House::planned(Plan { settings: sea.settings(""), ..Plan::default() }).await;
    let secret = json!({"provider": "sea", "fields": {"api_key": OLD}, "validate": false});
    let added = house.admin.post(SECRETS).json(&secret).send().await.json();
    let client = house.client().await;
    let lines = format!("X-API-Key: {}\r\n", client.key);
    let mut socket = house.sail("/sea/echo", &lines).await.aboard();
    socket.text("hello").await;
    assert_eq!(socket.hear_text().await, "hello");
    let body = json!({"fields": {"api_key": NEW}, "now": true, "validate": false});
    let path = format!("{SECRETS}/{}/versions", added["id"].as_str().unwrap());
    assert_eq!(house.admin.post(&path).json(&body).send().await.status, 201);
    let closed = tokio::time::timeout(Duration::from_secs(1), socket.hear_close()).await;
    let (code, why) = closed.expect("within a second");
    assert_eq!((code, why.as_str()), (1012, "the provider's key was replaced; connect again"));
    let mut socket = house.sail("/sea/echo", &lines).await.aboard();
    socket.text("again").await;
    assert_eq!(socket.hear_text().await, "again");
    drop(socket);
    house.leave().await;
}

/// Who came before a staged rotation stays with the old version, until it is destroyed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_the_former_key_has_a_deadline() {
    let more = format!("{PROBE}\n[rotation]\nretire_after_minutes = 1");
    let scene = Scene::of((Rule::Good, Rule::Good), &more).await;
    let client = scene.house.client().await;
    let mut stream = client.get("/toll/endless").open().await;
    assert!(stream.next().await.is_some());
    assert_eq!(scene.rotate(json!({})).await.status, 201);
    assert_eq!(scene.ask("promote").await.json()["version"], 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stream.next().await.is_some(), "it goes on");
    let mut newer = client.get("/toll/endless").open().await;
    assert!(newer.next().await.is_some());
    scene.house.clock.advance(Duration::from_secs(61));
    let cut = async { while let Ok(Some(_)) = stream.try_next().await {} };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("it is cut");
    assert!(newer.next().await.is_some(), "one of the new key is not");
    drop(newer);
    scene.house.leave().await;
}

/// A version that is retiring while another rotation begins is destroyed all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_retiring_for_ever() {
    let scene = Scene::new(Rule::Good).await;
    for (version, key) in [(2, NEW), (3, OLD)] {
        let fields = json!({"api_key": key});
        assert_eq!(scene.rotate(json!({"fields": fields})).await.status, 201);
        assert_eq!(scene.ask("promote").await.json()["version"], version);
    }
    let versions = |shown: &Value| {
        let states = shown["versions"].as_array().unwrap().iter();
        states.map(|row| row["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&scene.shown().await), ["retiring", "retiring", "active"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.house.clock.advance(Duration::from_secs(3_601));
    let gone = |shown: &Value| versions(shown) == ["destroyed", "destroyed", "active"];
    scene.until("destroyed", gone).await;
    scene.house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_a_key_is_that_of_the_one_that_calls_use() {
    let scene = Scene::new(Rule::Good).await;
    scene.gate.rule(OLD, Rule::Status(401));
    let path = format!("{}/validate", scene.path());
    assert_eq!(scene.house.admin.post(&path).send().await.json()["ok"], false);
    assert_eq!(scene.shown().await["health"], "refused");
    assert_eq!(scene.rotate(json!({})).await.status, 201);
    assert_eq!(scene.shown().await["health"], "refused", "the new one is not in service yet");
    assert_eq!(scene.ask("promote").await.status, 200);
    scene.until("healthy", |shown| shown["health"] != "refused").await;
    scene.house.leave().await;
}

/// To destroy is for admins, and so is to destroy by putting in what nobody has looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_replaces_at_once_only_with_what_the_provider_takes() {
    let scene = Scene::new(Rule::Good).await;
    let operator = scene.house.client_with(json!({"role": "operator"})).await;
    let operator = scene.house.as_admin(&operator);
    let path = format!("{}/versions", scene.path());
    let put = async |members: Value| operator.post(&path).json(&members).send().await;
    let fields = json!({"api_key": NEW});
    put(json!({"fields": fields, "now": true, "validate": false}))
        .await
        .is_refusal(403, "forbidden");
    assert_eq!(scene.shown().await["version"], 1);
    assert_eq!(put(json!({"fields": fields, "now": true})).await.status, 201);
    assert_eq!(scene.shown().await["version"], 2);
    // Nobody who enters the leaked key once more believes that it is off.
    for now in [true, false] {
        let same = put(json!({"fields": fields, "now": now})).await;
        same.is_refusal(422, "invalid");
        assert!(same.text().contains("in use already"), "{}", same.text());
    }
    assert_eq!(scene.shown().await["versions"].as_array().unwrap().len(), 2);
    // What was put in at once tells nothing of the rotation that it ended, and raises no alarm.
    assert_eq!(scene.rotate(json!({"fields": {"api_key": OLD}})).await.status, 201);
    let at_once = json!({"fields": {"api_key": "a-third-key"}, "now": true, "validate": false});
    let put_in = scene.rotate(at_once).await;
    assert_eq!((put_in.status, &put_in.json()["rotation"]), (201, &Value::Null));
    scene.house.clock.advance(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let alerts = scene.house.admin.get("/api/v1/admin/alerts").send().await;
    assert!(!alerts.text().contains("rotation_rolled_back"), "{}", alerts.text());
    scene.house.leave().await;
}
