//! What goes wrong before a house stands: one clear line, exit 1, and nothing damaged.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use sealgate::app::{self, Mode};
use sealgate::clock::Clock;
use sealgate::config::{self, Environment};

use crate::house::{Database, Ground, Kind, one_line};

/// Every file below, with its content: what a failed start must leave as it was.
fn everything(ground: &Ground) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = vec![ground.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => all.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_settings_file_that_is_a_folder() {
    let ground = Ground::new("");
    std::fs::create_dir(ground.path().join("folder.toml")).unwrap();
    let before = everything(&ground);
    for command in [["serve", "--config", "folder.toml"], ["init", "--config", "folder.toml"]] {
        let line = ground.fails(&command);
        assert!(line.contains("folder.toml") && line.contains("is a folder"), "{line}");
    }
    let line = ground.fails(&["serve", "--config", "absent.toml"]);
    assert!(line.contains("absent.toml"), "{line}");
    assert_eq!(everything(&ground), before);
}

#[test]
fn a_setting_that_does_not_exist() {
    let ground = Ground::new("[limits]\nbackedn = \"memory\"\n");
    let line = ground.fails(&["serve"]);
    for part in ["sealgate.toml", "limits.backedn", "limits.backend"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!ground.data().exists());
}

#[test]
fn a_data_folder_that_cannot_be_written() {
    let ground = Ground::new("");
    std::fs::create_dir(ground.data()).unwrap();
    std::fs::set_permissions(ground.data(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = ground.command(&["serve"]);
    if nix::unistd::geteuid().is_root() {
        // For root every folder can be written, unless that power is taken away.
        let binary = env!("CARGO_BIN_EXE_sealgate");
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", "--", binary, "serve"]);
        command.current_dir(ground.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let line = one_line(command);
    assert!(line.contains("data"), "{line}");
    assert_eq!(std::fs::read_dir(ground.data()).unwrap().count(), 0);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for face in ["proxy", "admin"] {
        let ground = Ground::new("");
        ground.json(&["init", "--json"]);
        let mut command = ground.command(&["serve"]);
        let variable = format!("SEALGATE_{}__LISTEN", face.to_ascii_uppercase());
        command.env(variable, address.to_string());
        let line = one_line(command);
        assert!(line.contains(&address.to_string()) && line.contains("in use"), "{line}");
        ground.serve(&[]).stop();
        assert!(ground.run(&["doctor"]).status.success());
    }
}

#[test]
fn a_database_url_with_a_wrong_password() {
    let ground = Ground::new("");
    let url = wrong_password();
    let mut command = ground.command(&["serve"]);
    command.env("SEALGATE_DATABASE__URL", &url);
    let line = one_line(command);
    assert!(!line.contains("not-the-password"), "{line}");
    assert!(line.contains("PostgreSQL") || line.contains("database"), "{line}");
}

/// The test command's server, but as somebody it does not know.
fn wrong_password() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = runtime.block_on(Database::fresh(Kind::Postgres, folder.path()));
    let settings = database.settings();
    runtime.block_on(database.drop_it());
    let (_, rest) = settings.split_once("://").unwrap();
    let (rest, _) = rest.split_once('"').unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("postgres://nobody-known:not-the-password@{host}")
}

#[test]
fn a_truncated_database() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let path = ground.data().join("sealgate.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let half = std::fs::read(&path).unwrap();
    let line = ground.fails(&["serve"]);
    assert!(line.contains("sealgate.db"), "{line}");
    assert!(std::fs::read(&path).unwrap() == half, "the damaged file was changed");
    assert_eq!(ground.run(&["doctor"]).status.code(), Some(1));
    std::fs::write(&path, &whole).unwrap();
    assert!(ground.run(&["doctor"]).status.success());
}

#[test]
fn a_file_that_is_no_database() {
    let ground = Ground::new("");
    std::fs::create_dir(ground.data()).unwrap();
    let path = ground.data().join("sealgate.db");
    let text = b"Dear diary, today somebody mistook me for a database. ".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let line = ground.fails(&["serve"]);
    assert!(line.contains("sealgate.db"), "{line}");
    assert_eq!(std::fs::read(&path).unwrap(), text);
}

#[test]
fn two_processes_on_one_data_folder() {
    let ground = Ground::new("");
    let first = ground.serve(&[]);
    let line = ground.fails(&["serve"]);
    assert!(line.contains("data"), "{line}");
    let healthy = ground.run(&["healthcheck"]);
    assert!(healthy.status.success() || first.told.is_empty());
    first.stop();
    ground.serve(&[]).stop();
    assert!(ground.run(&["doctor"]).status.success());
}

#[test]
fn a_master_key_that_is_gone_or_another() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let path = ground.path().join("keys/master.key");
    let right = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let line = ground.fails(&["serve"]);
    assert!(line.contains("master.key"), "{line}");
    assert!(!path.exists(), "a new master key would hide the loss of the old one");

    // Another key is noticed by the first thing that was sealed under the right one.
    let put = |key: &[u8]| {
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put(&right);
    ground.serve(&["--sandbox"]).stop();
    let other = Ground::new("");
    other.json(&["init", "--json"]);
    put(&std::fs::read(other.path().join("keys/master.key")).unwrap());
    let line = ground.fails(&["serve"]);
    assert!(line.contains("bring the right file back"), "{line}");
    put(&right);
    assert!(ground.run(&["doctor"]).status.success());
}

#[tokio::test]
async fn a_clock_that_was_never_set() {
    let ground = Ground::new("");
    let environment = Environment::of(ground.path(), &[]);
    let loaded = config::load(None, &environment).unwrap();
    let mode = Mode::Serve { sandbox: false };
    let started = app::start(loaded.config, Clock::settable(1_000), mode).await;
    let fault = started.err().unwrap().to_string();
    assert!(fault.contains("clock") && fault.lines().count() == 1, "{fault}");
    assert!(!ground.data().join("sealgate.db").exists());
}
