//! What is left of keys that the house has made: none for an outage, none of a secret that is gone.
//! Must never take a provider that is out of order for a bad key.

use std::time::Duration;

use serde_json::{Value, json};

use super::{STEPS, Scene, WEBHOOK, body};
use crate::house::Mood;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_when_the_new_key_is_looked_at_makes_no_second_key() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}")).await;
    scene.mint.feels(Mood::Closed);
    let begun = scene.renew().await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    assert_eq!(begun.json()["rotation"]["state"], "running");
    // Nothing has shown itself yet, however long that is.
    for _ in 0..4 {
        scene.house.clock.advance(Duration::from_secs(11));
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let shown = scene.shown().await;
    assert_eq!((&shown["rotation"]["state"], &shown["version"]), (&json!("running"), &json!(1)));
    scene.mint.feels(Mood::Well);
    scene.promoted().await;
    assert_eq!(scene.mint.living().len(), 1, "{:?}", scene.mint.coins());
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_a_secret_that_is_destroyed_is_given_back() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}")).await;
    assert_eq!(scene.renew().await.status, 201);
    scene.promoted().await;
    scene.ended("former_left").await;
    let own = scene.mint.living().pop().unwrap();
    assert_eq!(scene.house.admin.delete(&scene.path()).send().await.status, 204);
    for _ in 0..100 {
        if scene.mint.living().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let last = body(scene.mint.letters().last().unwrap());
    assert_eq!((&last["action"], &last["id"]), (&json!("retire"), &json!(own.of)), "{last}");
    assert!(scene.mint.living().is_empty(), "{:?}", scene.mint.coins());
    // Once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.mint.letters().len(), 2);
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotator_that_answers_the_key_in_use_is_not_told_to_retire_it() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}")).await;
    let by_hand = scene.mint.coins()[0].value.clone();
    let same = json!({"fields": {"api_key": by_hand}, "handle": "again"}).to_string();
    scene.mint.feels(Mood::Says(same.leak()));
    let refused = scene.renew().await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert!(refused.text().contains("the key that is in use"), "{}", refused.text());
    let letters = scene.mint.letters();
    assert!(letters.iter().all(|letter| body(letter)["action"] == "create"), "{letters:?}");
    let shown = scene.shown().await;
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1, "{shown}");
    scene.mint.feels(Mood::Well);
    let runs = |shown: &Value| shown["rotation"]["state"] == "running";
    scene.until("running", Duration::from_secs(1_000), runs).await;
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_somebody_enters_ends_the_tries_and_the_alert() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}max_age_days = 30")).await;
    scene.mint.feels(Mood::Status(500));
    assert_eq!(scene.renew().await.status, 502);
    scene.alert("open").await;
    // What a try may have made has to be given back.
    scene.mint.feels(Mood::Well);
    let by_hand = json!({"fields": {"api_key": scene.mint.by_hand()}, "now": true});
    assert_eq!(scene.ask(&by_hand).await.status, 201);
    let ended = |shown: &Value| {
        let policy = &shown["rotation_policy"];
        policy["state"].is_null() && policy["fault"].is_null()
    };
    let shown = scene.until("ended", Duration::from_secs(7), ended).await;
    assert_eq!(shown["version"], 2, "{shown}");
    scene.alert("resolved").await;
    let letters = scene.mint.letters().len();
    scene.house.clock.advance(Duration::from_secs(3_601));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.mint.letters().len(), letters, "nobody asks for another one");
    assert_eq!(scene.shown().await["version"], 2);
    scene.leave().await;
}
