//! When keys are renewed: by their schedule or age, by one of several nodes, and what is said of
//! those that somebody renews by hand.
//! Must never be asked twice for one key.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SIGNING, STEPS, Scene, WEBHOOK, body};
use crate::house::{Database, Ground, Kind, Mint};

const A_DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_renewed_by_its_schedule_and_its_age_and_one_of_a_hand_is_told_when_it_is_old() {
    let manual = "[[rotation.policies]]\nprovider = \"acme\"\nkind = \"manual\"\nmax_age_days = 90";
    let policy = format!(
        "{WEBHOOK}{STEPS}schedule = \"every 30d\"\nmax_age_days = 40\nsecret = \"default\"\n{manual}"
    );
    let scene = Scene::new(&policy).await;
    let shown = scene
        .until("noted", Duration::ZERO, |shown| shown["rotation_policy"]["next_at"].is_string());
    let policy = shown.await["rotation_policy"].clone();
    assert_eq!((&policy["kind"], &policy["schedule"]), (&json!("webhook"), &json!("every 30d")));
    assert_eq!((&policy["age_days"], &policy["max_age_days"]), (&json!(0), &json!(40)));
    assert!(policy["next_at"].as_str().unwrap().starts_with("2026-02-14T12:00"), "{policy}");
    scene.house.clock.advance(A_DAY * 29);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(scene.mint.letters().is_empty(), "it is not due yet");
    assert_eq!(scene.shown().await["rotation_policy"]["age_days"], 29);
    scene.house.clock.advance(A_DAY + Duration::from_secs(5));
    let runs = |shown: &Value| shown["rotation"]["state"] == "running";
    scene.until("running", Duration::ZERO, runs).await;
    scene.promoted().await;
    scene.ended("former_left").await;
    assert_eq!(scene.mint.letters().len(), 1);
    assert_eq!(scene.shown().await["rotation_policy"]["age_days"], 0);
    // What is old and nobody's to renew is told.
    scene.house.clock.advance(A_DAY * 61);
    let listed = scene.house.admin.get("/api/v1/admin/secrets").send().await.json();
    let acme = listed["items"].as_array().unwrap().iter().find(|one| one["provider"] == "acme");
    let acme = acme.unwrap();
    let policy = &acme["rotation_policy"];
    assert_eq!((&policy["kind"], &policy["age_days"]), (&json!("manual"), &json!(91)), "{acme}");
    assert!(policy["next_at"].as_str().unwrap().starts_with("2026-04-15T12:00"), "{policy}");
    let id = acme["id"].clone();
    for turn in 0.. {
        let path = "/api/v1/admin/alerts?kind=secret_expiring&state=open";
        let found = scene.house.admin.get(path).send().await.json();
        let told = found["items"].as_array().unwrap().iter().find(|one| one["subject"]["id"] == id);
        if let Some(told) = told {
            let detail = told["detail"].as_str().unwrap();
            assert!(detail.contains("91 days old") && detail.contains("become 90"), "{detail}");
            break;
        }
        assert!(turn < 100, "nobody was told: {found}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let path = format!("/api/v1/admin/secrets/{}/versions", id.as_str().unwrap());
    let refused = scene.house.admin.post(&path).json(&json!({"auto": true})).send().await;
    refused.is_refusal(409, "conflict");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_asks_for_a_key() {
    let mint = Mint::open().await;
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("rotator.key"), SIGNING).unwrap();
    let database = Database::fresh(Kind::Postgres, keys.path()).await;
    let policy = WEBHOOK
        .replace("MINT", &mint.address.to_string())
        .replace("KEYS", keys.path().to_str().unwrap());
    let settings = format!(
        "{}egress.allow_private_networks = true\n[rotation]\nretire_after_minutes = 0\n\
         [[rotation.policies]]\nprovider = \"mint\"\n{policy}steps = [100]\nhold_seconds = 0\n\
         schedule = \"* * * * *\"\n{}",
        database.settings(),
        mint.settings("mint")
    );
    let first = Ground::new(&settings);
    let master = first.path().join("keys/master.key");
    let master = format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
    let grounds = [first, Ground::new(&format!("{master}{settings}"))];
    grounds[0].json(&["init", "--json"]);
    let key = format!("{}\n", mint.by_hand());
    assert!(grounds[0].run_with_input(&["secret", "add", "mint", "--json"], &key).status.success());
    let servers = grounds.each_ref().map(|ground| ground.serve(&[]));
    // A whole minute, and as long again for a machine that has much to do.
    for turn in 0.. {
        if mint.letters().iter().any(|letter| body(letter)["action"] == "create") {
            break;
        }
        assert!(turn < 480, "nobody asked");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut asked: Vec<String> = Vec::new();
    for letter in mint.letters() {
        let time: i64 = letter.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        if body(&letter)["action"] == "create" {
            asked.push((time / 60).to_string());
        }
    }
    let all = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), all, "one key a minute: {asked:?}");
    servers.into_iter().for_each(|server| drop(server.stop()));
    database.drop_it().await;
}
