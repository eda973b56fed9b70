//! Exports of the trail, packed: verified as they are, cut anywhere, and taken up again.

use std::path::Path;

use serde_json::{Value, json};

use crate::house::Ground;

fn verified(ground: &Ground, file: &Path, key: &str) -> Value {
    let file = file.to_str().unwrap();
    ground.json(&["audit", "verify", "--offline", file, "--public-key", key, "--json"])
}

#[test]
fn a_packed_export_is_verified_as_it_is_and_goes_on_where_it_was_cut() {
    let ground = Ground::new("");
    let server = ground.serve(&[]);
    for number in 0..24 {
        let made = ground.run(&["client", "create", &format!("desk-{number}")]);
        assert!(made.status.success());
    }
    let report = ground.json(&["audit", "verify", "--json"]);
    let key = report["nodes"][0]["public_key"].as_str().unwrap();
    for (how, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd][..])] {
        let file = ground.path().join(format!("trail.{how}"));
        let named = file.to_str().unwrap();
        let export = ["audit", "export", "--compress", how, "--output", named, "--json"];
        ground.json(&export);
        let bytes = std::fs::read(&file).unwrap();
        assert!(bytes.starts_with(magic));
        let whole = verified(&ground, &file, key);
        assert_eq!((&whole["ok"], &whole["first_bad"]), (&json!(true), &Value::Null), "{whole}");
        let records = whole["records"].as_u64().unwrap();
        assert!(records > 24);
        // One key in sixty-four begins so.
        let other = format!("-{}", "A".repeat(42));
        let told = ground.run(&["audit", "verify", "--offline", named, "--public-key", &other]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains("the trail is not whole"), "{told}");
        // Cut, it is not whole; taken up again, it is, with what has happened since.
        for part in [2, 3] {
            std::fs::write(&file, &bytes[..bytes.len() * part / 4]).unwrap();
            let cut = ground.run(&["audit", "verify", "--offline", named, "--public-key", key]);
            assert!(!cut.status.success());
            ground.json(&["audit", "export", "--resume", "--output", named, "--json"]);
            let again = verified(&ground, &file, key);
            assert_eq!(again["ok"], true, "{again}");
            assert!(again["records"].as_u64().unwrap() >= records);
        }
        // A flipped bit is found, or nothing can be unpacked any more.
        let mut edited = std::fs::read(&file).unwrap();
        let middle = edited.len() / 2;
        edited[middle] ^= 4;
        std::fs::write(&file, edited).unwrap();
        let told = ground.run(&["audit", "verify", "--offline", named, "--public-key", key]);
        assert!(!told.status.success());
    }
    // Unpacked it is the very same as the one that was never packed.
    let plain = ground.run(&["audit", "export", "--kind", "change"]).stdout;
    let packed = ground.run(&["audit", "export", "--kind", "change", "--compress", "zstd"]).stdout;
    assert_eq!(zstd::stream::decode_all(packed.as_slice()).unwrap(), plain);
    server.stop();
}

/// Made once, by the first version that had exports of this form: never to be made anew. Where this
/// fails, what a record's line shows has changed: that is another form, and this one stays readable.
const FORM_1: &str = include_str!("exports/form-1.ndjson");
const FORM_1_KEY: &str = "kS3hCf04VoATuJesx9Lf8dEJl2TmP2wgvkSHo1LUiA8";

#[test]
fn an_export_of_long_ago_is_verified_and_one_of_a_time_to_come_says_so() {
    let ground = Ground::new("");
    let file = ground.path().join("old.ndjson");
    std::fs::write(&file, FORM_1).unwrap();
    let held = verified(&ground, &file, FORM_1_KEY);
    assert_eq!((&held["ok"], &held["records"]), (&json!(true), &json!(11)), "{held}");
    std::fs::write(&file, FORM_1.replacen("\"export\":1", "\"export\":2", 1)).unwrap();
    let named = file.to_str().unwrap();
    let told =
        ground.run(&["audit", "verify", "--offline", named, "--public-key", FORM_1_KEY]).stderr;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("a form that this version does not know"), "{told}");
}
