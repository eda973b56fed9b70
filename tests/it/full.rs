//! A disk that is full: changes are refused with the place and the remedy, `doctor` and `/readyz`
//! say it before and meanwhile, nothing half-made stays, and once there is room all goes on. Must
//! never fill a disk but one of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::house::Ground;

/// A small disk in memory, gone with the test.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// None where this user may mount nothing; what is refused there is shown by the rooms' tests.
    pub(crate) fn mount(place: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(place).unwrap();
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(place).output().ok()?;
        done.status.success().then(|| Self(place.to_owned()))
    }

    pub(crate) fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let target = format!("of={}", filler.display());
        let mut dd = Command::new("dd");
        // It ends when there is no room any more.
        let _full = dd.args(["if=/dev/zero", &target, "bs=4096"]).output().unwrap();
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn check(ground: &Ground, name: &str) -> Vec<(bool, String)> {
    let told: Value = serde_json::from_slice(&ground.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    let line = |check: &Value| (check["ok"] == true, check["detail"].as_str().unwrap().to_owned());
    checks.map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_with_its_remedy_and_leaves_nothing_half_made() {
    let ground = Ground::new("proxy.workers = 1\n");
    let Some(disk) = Disk::mount(&ground.data(), "120m") else { return };
    ground.json(&["init", "--json"]);
    assert!(check(&ground, "free space").iter().all(|(ok, _)| *ok));
    let server = ground.serve(&[]);
    let filler = disk.fill();
    let mut is_full = false;
    // What the database's journal has room for still goes in.
    for number in 0..200 {
        let name = format!("desk-{number}");
        let output = ground.run(&["client", "create", &name]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            assert!(told.contains("disk") && told.contains("ree space"), "{told}");
            is_full = true;
            break;
        }
    }
    assert!(is_full);
    let told = ground.fails(&["master-key", "rotate"]);
    assert!(told.contains("ree space") || told.contains("No space"), "{told}");
    let keys = std::fs::read_dir(ground.path().join("keys")).unwrap();
    let parts = keys
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".part-"));
    assert_eq!(parts.count(), 0);
    let told = check(&ground, "free space");
    assert!(told.iter().any(|(ok, line)| !ok && line.contains("disk full at")), "{told:?}");
    let ready = reqwest::get(format!("{}/readyz", server.admin)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let told = ready.text().await.unwrap();
    assert!(told.contains("\"disk\"") && told.contains("free space there"), "{told}");
    std::fs::remove_file(filler).unwrap();
    ground.json(&["client", "create", "later", "--json"]);
    server.stop();
    assert!(check(&ground, "free space").iter().all(|(ok, _)| *ok));
}
