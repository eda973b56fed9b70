//! Official SDKs, unmodified, against the real binary: base URL and key are all that they are told.

use std::process::{Child, Command, Stdio};

use std::io::{BufRead, BufReader, Write};

use crate::house::Ground;

const REAL_KEY: &str = "sk-emulated-real-key-0123456789";

/// `sealgate emulate` as a process of its own.
struct Emulator {
    child: Child,
    settings: String,
}

impl Emulator {
    fn of(provider: &str, folder: &std::path::Path) -> Self {
        let ca_file = folder.join(format!("{provider}.pem"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["emulate", provider, "--listen", "127.0.0.1:0", "--key-stdin", "--ca-file-out"])
            .arg(&ca_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(REAL_KEY.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let settings = format!(
            "[providers.{provider}]\nbase_url = \"{url}\"\nallow_private_network = true\n\
             ca_file = \"{}\"\n",
            ca_file.display()
        );
        Self { child, settings }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make_the_trip(provider: &str, told: &str) {
    let folder = tempfile::tempdir().unwrap();
    let emulator = Emulator::of(provider, folder.path());
    let ground = Ground::new(&emulator.settings);
    ground.json(&["init", "--json"]);
    let added = ground.run_with_input(&["secret", "add", provider, "--json"], REAL_KEY);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let client = ground.json(&["client", "create", "sdk", "--json"]);
    let server = ground.serve(&[]);
    let trip = Command::new("tests/sdk/run.sh")
        .arg(provider)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SEALGATE_URL", &server.proxy)
        .env("SEALGATE_KEY", client["key"].as_str().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trip.stdout).into_owned();
    assert!(trip.status.success(), "{said}{}", String::from_utf8_lossy(&trip.stderr));
    assert_eq!(said.trim_end(), told);
    for line in server.stop() {
        assert!(!line.contains(REAL_KEY), "{line}");
    }
}

#[test]
fn the_official_polygon_client_pages_through_the_proxy() {
    make_the_trip("polygon", "polygon-api-client: three pages, details, wrong key: as ever");
}

#[test]
fn the_official_openai_client_streams_through_the_proxy() {
    make_the_trip("openai", "openai: whole answer, stream, list, wrong key: as ever");
}
