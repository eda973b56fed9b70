//! What is left of keys that the house has made: none for an outage, none of a secret that is gone.
//! Must never take a provider that is out of order for a bad key.

use std::time::Duration;

use serde_json::json;

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
