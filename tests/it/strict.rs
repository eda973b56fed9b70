//! `audit.durability = "strict"`: nobody is answered before the record is on disk, and where the
//! disk fails nobody is told that it is.

use std::time::Duration;

use serde_json::json;

use crate::outages::{Answered, Site, assert_all_are_there, ready};
use crate::{crash::rounds, house::Ground};

const STRICT: &str = "audit.durability = \"strict\"\n";

async fn site() -> Site {
    Site::on(|more| Ground::new(&format!("{STRICT}{more}"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_house_that_is_killed_again_and_again_loses_no_answered_call() {
    let site = site().await;
    let mut answered: Vec<Answered> = Vec::new();
    for round in 0..rounds().min(100) {
        let server = site.ground.serve(&[]);
        ready(&server).await;
        let load = site.load(&server, 4, Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(600 + round * 37 % 300)).await;
        server.kill();
        answered.extend(load.end_of_killed().await);
    }
    assert!(!answered.is_empty());
    let trail = tokio::task::block_in_place(|| site.trail());
    assert_all_are_there(&answered, &trail);
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_fsync_fails_nobody_is_answered_and_afterwards_all_goes_on() {
    let site = site().await;
    let fault = site.ground.path().join("fault");
    let server = site.ground.serve_until(&format!("journal-sync@{}", fault.display()));
    ready(&server).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answered: Vec<Answered> = Vec::new();
    for round in 0..3 {
        for number in 0..20 {
            let is_failing = (5..15).contains(&number);
            match is_failing {
                true => std::fs::write(&fault, "").unwrap(),
                false => drop(std::fs::remove_file(&fault)),
            }
            let id = format!("call-{round}-{number}");
            let call = http.get(format!("{}/acme/x", server.proxy)).header("x-api-key", &site.key);
            let answer = call.header("x-request-id", &id).send().await.unwrap();
            let status = answer.status().as_u16();
            assert_eq!(status, if is_failing { 503 } else { 200 }, "{id}");
            if is_failing {
                assert_eq!(answer.headers()["x-sealgate-error"], "audit_unavailable");
                let changed = site.ground.run(&["client", "create", &format!("desk-{number}")]);
                assert!(!changed.status.success(), "a change was answered unrecorded");
            }
            answered.push((status, id, String::new()));
        }
    }
    // What went out and could not be answered stands there as what it was.
    let trail = tokio::task::block_in_place(|| site.trail());
    assert_all_are_there(&answered, &trail);
    let refused = trail.values().filter(|record| record["error_code"] == "audit_unavailable");
    let refused: Vec<_> = refused.filter(|record| record["kind"] == "usage").collect();
    assert_eq!(refused.len(), 30);
    assert!(refused.iter().all(|record| record["fault"] == json!("us")), "{refused:?}");
    server.stop();
}
