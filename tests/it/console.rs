//! The console in Chromium against the real binary, that it is built from the sources beside it,
//! and that its types are those of the API.
//! What is typed on the way is nowhere afterwards.

use std::net::TcpListener;
use std::process::Command;

use crate::house::Ground;

const BUILT: &str = env!("CARGO_MANIFEST_DIR");
/// How keys, passwords and a passphrase begin that are typed in Chromium.
const TYPED: [&str; 10] = [
    "acme-good-0123456789",
    "acme-bad-0000",
    "acme-next-0123456789",
    "acme-last-0123456789",
    "acme-left-0123456789",
    "acme-right-012345678",
    "four quiet herons",
    "a kettle that nobody",
    "seven lanterns above",
    "token-that-nobody-sees",
];

fn ui(arguments: &[&str]) -> (bool, String) {
    let mut build = Command::new("ui/build.sh");
    let said = build.args(arguments).current_dir(BUILT).output().unwrap();
    let text = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (said.status.success(), text.concat())
}

/// Of two listeners at once, so that they differ.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn the_console_is_built_from_the_sources_beside_it() {
    let (is_fresh, said) = ui(&["check"]);
    assert!(is_fresh, "{said}");
}

#[test]
fn the_types_of_the_console_are_those_of_the_api() {
    let ground = Ground::new("");
    let description = ground.run(&["openapi"]).stdout;
    let file = ground.path().join("openapi.json");
    std::fs::write(&file, description).unwrap();
    let (are_fresh, said) = ui(&["types-check", file.to_str().unwrap()]);
    assert!(are_fresh, "{said}");
}

#[test]
#[expect(clippy::print_stdout, reason = "how long each step takes is told there")]
fn every_screen_of_the_console_holds_in_chromium() {
    println!("{}", walk(&[]));
}

/// With a thousand client keys; ten million records where PROOF is 1000, a hundred thousand where
/// it is less, and some every day. Within a second, as it is shipped; what is not optimised has
/// three.
#[test]
#[expect(clippy::print_stdout, reason = "how long each screen takes is told there")]
#[expect(clippy::disallowed_methods, reason = "the proof says how many by the environment")]
fn no_screen_of_the_console_keeps_anybody_waiting() {
    let records = match std::env::var("PROOF").ok().as_deref() {
        Some("1000") => "10000000",
        Some(_) => "100000",
        None => "3000",
    };
    let most_ms = if cfg!(debug_assertions) { "3000" } else { "1000" };
    println!("{}", walk(&[("ONLY", "pace"), ("RECORDS", records), ("MOST_MS", most_ms)]));
}

/// What was said on the way. What was typed is in no line of the log and in no file of the house
/// afterwards.
fn walk(how: &[(&str, &str)]) -> String {
    let [port, syslog] = free_ports();
    let provider = |name: &str, more: &str| {
        format!(
            "[providers.{name}]\nbase_url = \"http://127.0.0.1:{port}\"\n\
             allow_private_network = true\ncategory = \"market-data\"\n\
             fields = [\"api_key\"]\n\
             inject = [{{ at = \"header\", name = \"X-Acme-Key\", value = \"{{api_key}}\" }}]\n\
             probe = {{ method = \"GET\", path = \"/v1/me\", ok = [200], bad = [401, 403] }}\n\
             {more}"
        )
    };
    let (alone, pooled) = (provider("acme", ""), provider("delta", "pool = true\n"));
    let alerts = format!("[alerts]\nsyslog = \"tcp://127.0.0.1:{syslog}\"\n");
    let ground = Ground::new(&format!("{alerts}{alone}{pooled}"));
    let made = ground.json(&["init", "--json"]);
    let server = ground.serve(&["--sandbox"]);
    let trip = Command::new("tests/browser/run.sh")
        .arg("console")
        .current_dir(BUILT)
        .env("ADMIN_URL", &server.admin)
        .env("SEALGATE_URL", &server.proxy)
        .env("SEALGATE_KEY", made["admin_key"].as_str().unwrap())
        .env("ACME_PORT", port.to_string())
        .env("SYSLOG_PORT", syslog.to_string())
        .envs(how.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trip.stdout).into_owned();
    assert!(trip.status.success(), "{said}{}", String::from_utf8_lossy(&trip.stderr));
    for line in server.stop() {
        for typed in TYPED {
            assert!(!line.contains(typed), "{line}");
        }
    }
    for (path, bytes) in crate::house::files_below(ground.path()) {
        for typed in TYPED {
            let found = bytes.windows(typed.len()).any(|window| window == typed.as_bytes());
            assert!(!found, "{typed} is in {}", path.display());
        }
    }
    said
}
