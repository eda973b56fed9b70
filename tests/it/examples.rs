//! The examples as they stand, with the official packages, against stand-ins behind the real binary.

use std::process::Command;

use crate::house::{Emulator, Ground};

const REAL_KEYS: [(&str, &str); 4] = [
    ("polygon", "emulated0real0key0000"),
    ("massive", "emulated0real0key0001"),
    ("openai", "sk-emulated-real-key-0123456789"),
    ("anthropic", "sk-ant-api03-emulated-real-key-0123456789"),
];

/// Of each, what it prints last.
const EXAMPLES: [(&str, &str); 7] = [
    ("curl.sh", "\"c\":184.25"),
    ("polygon_aggregates.py", "massive: 6 bars, the last at 184.25"),
    ("polygon_aggregates.mjs", "polygon: 6 bars, the last at "),
    ("openai_stream.py", "Hello from the emulator, café."),
    ("openai_stream.mjs", "Hello from the emulator, café."),
    ("anthropic_stream.py", "Hello"),
    ("anthropic_stream.mjs", "Hello"),
];

#[test]
fn every_example_runs_with_two_strings_of_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let stands = REAL_KEYS.map(|(id, key)| (id, key, Emulator::of(id, key, folder.path())));
    let settings: String = stands.iter().map(|(id, _, emulator)| emulator.settings(id)).collect();
    let ground = Ground::new(&settings);
    ground.json(&["init", "--json"]);
    for (id, key, _) in &stands {
        let add = ["secret", "add", id, "--no-validate", "--json"];
        assert!(ground.run_with_input(&add, key).status.success(), "{id}");
    }
    let client = ground.json(&["client", "create", "examples", "--json"]);
    let server = ground.serve(&[]);
    for (file, last) in EXAMPLES {
        let ran = Command::new("tests/sdk/run.sh")
            .args(["example", file])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("SEALGATE_URL", &server.proxy)
            .env("SEALGATE_KEY", client["key"].as_str().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{file}: {said}{complained}");
        let line = said.trim_end().lines().next_back().unwrap_or_default();
        assert!(line.starts_with(last), "{file}: {said}{complained}");
    }
    server.stop();
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let runs = EXAMPLES.iter().any(|(file, _)| *file == name);
        let elsewhere = ["README.md", "aggregates.rs", "browser"].contains(&name.as_str());
        assert!(runs || elsewhere, "{name} is run by no test");
    }
}
