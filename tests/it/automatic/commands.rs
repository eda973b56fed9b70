//! A program of this machine as the rotator: what it is given, what it may answer, and what is not
//! run at all. Must never leave one running that took too long.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{STEPS, Scene};

const COMMAND: &str = "kind = \"command\"\npath = \"KEYS/new-key\"\nargs = [\"a b\", \"$HOME\"]\n\
     retire = true\ntimeout_seconds = 2\n";

/// Written by another process: whoever has it open for writing keeps it from being run.
fn script(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.keys.path().join("new-key");
    let mut writing = Command::new("sh");
    writing.args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&path);
    let mut writing = writing.stdin(Stdio::piped()).spawn().unwrap();
    let text = format!("#!/bin/sh\ncd '{}'\n{text}\n", scene.keys.path().display());
    writing.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writing.wait().unwrap().success());
    path
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn read(scene: &Scene, name: &str) -> String {
    std::fs::read_to_string(scene.keys.path().join(name)).unwrap()
}

/// Gone, or dead and not yet buried by whoever adopted it.
fn is_gone(process: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{}/stat", process.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_run_with_nothing_around_it_and_ended_where_it_does_not_end() {
    let scene = Scene::new(&format!("{COMMAND}{STEPS}")).await;
    let run = scene.dry_run().await;
    assert!(run["ok"] == false, "there is no such file: {run}");
    let path = script(&scene, "echo sk-garbage >&2; exit 3");
    for wrong in [0o777, 0o722, 0o600] {
        mode(&path, wrong);
        assert_eq!(scene.dry_run().await["ok"], false, "{wrong:o}");
    }
    mode(&path, 0o700);
    mode(scene.keys.path(), 0o777);
    let run = scene.dry_run().await;
    let said = run["checks"][1]["detail"].as_str().unwrap().to_owned();
    assert!(run["ok"] == false && said.contains("may be written by others"), "{run}");
    mode(scene.keys.path(), 0o700);
    assert_eq!(scene.dry_run().await["ok"], true);
    assert_eq!(scene.mint.coins().len(), 1, "nothing was run");
    let refused = scene.renew().await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert!(refused.text().contains("it ended with 3"), "{}", refused.text());
    script(&scene, "echo sk-garbage");
    scene.fails_with("is not JSON").await;
    script(&scene, "head -c 200000 /dev/zero");
    scene.fails_with("longer than 64 KiB").await;
    script(&scene, "sleep 1000 & echo $! > child; wait");
    scene.fails_with("did not end within 2 seconds").await;
    mode(&path, 0o777);
    scene.fails_with("may be written by others").await;
    // It goes on in the background, and is ended with its group.
    let key = scene.mint.by_hand();
    let made = format!(
        "cat > input; env > env; echo \"$@\" > args; sleep 1000 & echo $! > child2\n\
         echo '{{\"fields\":{{\"api_key\":\"{key}\"}},\"handle\":\"h-1\",\
         \"expires_at\":\"2027-06-01T00:00:00Z\"}}'"
    );
    script(&scene, &made);
    let runs = |shown: &Value| shown["rotation"]["state"] == "running";
    scene.until("running", Duration::from_secs(1_000), runs).await;
    assert!(is_gone(&read(&scene, "child")) && is_gone(&read(&scene, "child2")));
    let input: Value = serde_json::from_str(&read(&scene, "input")).unwrap();
    assert_eq!(
        (&input["action"], &input["secret"]["provider"]),
        (&"create".into(), &"mint".into())
    );
    assert_eq!(read(&scene, "args").trim(), "a b $HOME");
    let names = read(&scene, "env");
    let mut names: Vec<&str> = names.lines().filter_map(|line| line.split('=').next()).collect();
    // The shell's own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(names, ["PATH"]);
    scene.promoted().await;
    let shown = scene.ended("former_left").await;
    assert_eq!(shown["expires_at"], "2027-06-01T00:00:00Z");
    scene.leave().await;
}
