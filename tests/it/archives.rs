//! Records that grew old: out of the database, in a file, and still proven.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Ground, House, on_both};

const ARCHIVES: &str = "/api/v1/admin/audit/archives";
const A_DAY: Duration = Duration::from_secs(86_400);

on_both! {
    async fn old_records_leave_the_database_and_are_proven_by_their_file(house: House) {
        let client = house.client().await;
        for _ in 0..20 {
            assert_eq!(client.get("/acme/v1/quote").send().await.status, 200);
        }
        let key = house.admin.get("/api/v1/admin/audit/verify").send().await.json();
        let key = key["nodes"][0]["public_key"].as_str().unwrap().to_owned();
        assert_eq!(house.admin.get(ARCHIVES).send().await.json()["items"], json!([]));
        // What signs does so ten seconds after the records came.
        house.clock.advance(Duration::from_secs(11));
        tokio::time::sleep(Duration::from_millis(500)).await;
        house.clock.advance(A_DAY * 92);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(client.get("/acme/v1/quote").send().await.status, 200);
        let mut held = Value::Null;
        for _ in 0..200 {
            held = house.admin.get(ARCHIVES).send().await.json();
            if held["items"] != json!([]) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let archive = &held["items"][0];
        assert_eq!(archive["first"], 1, "{held}");
        let last = archive["last"].as_u64().unwrap();
        assert!(last >= 20, "{held}");
        let report = house.admin.get("/api/v1/admin/audit/verify").send().await.json();
        assert_eq!((&report["ok"], &report["nodes"][0]["archived"]), (&json!(true), &json!(last)));
        let found = house.admin.get("/api/v1/admin/audit?limit=1000").send().await.json();
        let sequences = found["items"].as_array().unwrap().iter().map(|one| one["sequence"].as_u64());
        assert!(sequences.min().unwrap() > Some(last), "{found}");
        let told = found["items"].as_array().unwrap().iter();
        assert!(told.clone().any(|one| one["detail"]["archived"] == archive["file"]), "{found}");

        let file = house.path().join("data/archive").join(archive["file"].as_str().unwrap());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let export = house.path().join("rest.ndjson");
        let lines = house.admin.get("/api/v1/admin/audit/export").send().await;
        std::fs::write(&export, lines.text()).unwrap();
        let ground = Ground::new("");
        let (file, export) = (file.to_str().unwrap(), export.to_str().unwrap());
        let judged = |files: &[&str]| {
            let mut words = vec!["audit", "verify", "--json", "--public-key", key.as_str()];
            words.push("--offline");
            words.extend_from_slice(files);
            let output = ground.run(&words);
            let told: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            (output.status.success(), told)
        };
        let (whole, told) = judged(&[file, export]);
        assert!(whole && told["nodes"][0]["archived"] == 0, "{told}");
        assert_eq!(told["records"], told["nodes"][0]["records"], "{told}");
        let (whole, told) = judged(&[export]);
        assert!(whole && told["nodes"][0]["archived"] == last, "{told}");
        let (whole, told) = judged(&[export, file]);
        assert!(!whole, "{told}");
        house.leave().await;
    }
}
