//! The key hierarchy under the real binary: rotated, rewrapped, rekeyed, and killed on the way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Canary, Ground, Outpost, Speaks};
#[cfg(feature = "failpoints")]
use crate::house::{Database, Kind, Server, Transit};

const BEARER: &str =
    "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";

pub(crate) struct Site {
    pub ground: Ground,
    provider: Outpost,
    canary: Canary,
    /// Of an admin, who may call the proxy too.
    key: String,
}

impl Site {
    /// Set up, with this many secrets beside the canary's, on a server that has ended again.
    pub(crate) async fn new(secrets: usize, database: &str) -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let ca = std::path::Path::new("outpost.pem");
        let settings = provider.settings("acme", ca, BEARER);
        let ground = Ground::new(&format!("{database}{settings}"));
        std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        let told = ground.json(&["init", "--json"]);
        let key = told["admin_key"].as_str().unwrap().to_owned();
        let site = Self { ground, provider, canary: Canary::hatch(), key };
        let server = site.ground.serve(&[]);
        site.add(&server.admin, "acme", "default", site.canary.plain()).await;
        for number in 0..secrets {
            let value = format!("polygon-key-{number:012}");
            site.add(&server.admin, "polygon", &format!("s{number}"), &value).await;
        }
        server.stop();
        site
    }

    /// The same provider, secret and key before another installation.
    pub(crate) fn moved_to(self, ground: Ground) -> Self {
        Self { ground, ..self }
    }

    /// A second node of the same house: its settings, and a data folder of its own.
    pub(crate) fn beside(&self) -> Ground {
        let ground = Ground::new("");
        for file in ["sealgate.toml", "outpost.pem"] {
            std::fs::copy(self.ground.path().join(file), ground.path().join(file)).unwrap();
        }
        ground
    }

    async fn add(&self, admin: &str, provider: &str, name: &str, value: &str) {
        assert_eq!(self.adding(admin, (provider, name), value).await.0, 201);
    }

    /// What is answered to it.
    pub(crate) async fn adding(
        &self,
        admin: &str,
        (provider, name): (&str, &str),
        value: &str,
    ) -> (u16, Value) {
        let body = json!({"provider": provider, "name": name, "fields": {"api_key": value},
            "validate": false});
        let url = format!("{admin}/api/v1/admin/secrets");
        let answer = http().post(url).header("x-api-key", &self.key).json(&body).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, admin: &str, path: &str) -> Value {
        let url = format!("{admin}/api/v1/admin/{path}");
        let answer = http().get(url).header("x-api-key", &self.key).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// What was answered; None where the server died of it.
    pub(crate) async fn post(&self, admin: &str, path: &str) -> Option<u16> {
        let url = format!("{admin}/api/v1/admin/{path}");
        let answer = http().post(url).header("x-api-key", &self.key).send().await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// Every secret opens, and the canary reaches its provider.
    pub(crate) async fn assert_readable(&self, admin: &str, proxy: &str) {
        let secrets = self.get(admin, "secrets").await;
        for secret in secrets["items"].as_array().unwrap() {
            let id = secret["id"].as_str().unwrap();
            let url = format!("{admin}/api/v1/admin/secrets/{id}/validate");
            let answer = http().post(url).header("x-api-key", &self.key).send().await.unwrap();
            let report: Value = answer.json().await.unwrap();
            assert_eq!(report["ok"], true, "{}: {report}", secret["name"]);
        }
        let call = http().get(format!("{proxy}/acme/x")).header("x-api-key", &self.key);
        assert_eq!(call.send().await.unwrap().status(), 200);
        let placed = format!("Bearer {}", self.canary.plain());
        assert_eq!(self.provider.last().headers["authorization"], placed.as_str());
    }

    /// The job that began last, once it has ended.
    pub(crate) async fn ended(&self, admin: &str) -> Value {
        for _ in 0..300 {
            let status = self.get(admin, "keks").await;
            if status["job"]["state"] != "running" {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the job does not end");
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn generations(status: &Value, category: &str) -> Vec<(u64, String, u64)> {
    let items = status["items"].as_array().unwrap().iter();
    items
        .filter(|item| item["category"] == category)
        .map(|item| {
            let number = |member: &str| item[member].as_u64().unwrap();
            let state = item["state"].as_str().unwrap().to_owned();
            (number("generation"), state, number("secrets"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_rotates_rewraps_and_rekeys_with_and_without_a_server() {
    let site = Site::new(3, "").await;
    let rotated = site.ground.json(&["kek", "rotate", "--category", "market-data", "--json"]);
    assert_eq!(generations(&rotated, "market-data"), [(2, "active".into(), 0)]);
    let refused = site.ground.fails(&["kek", "rotate", "--category", "nothing"]);
    assert!(refused.contains("no key-encryption key yet"), "{refused}");
    // No server: the job begins here and waits for one.
    let left = site.ground.run(&["kek", "rewrap", "--detach"]);
    assert!(left.status.success());
    let server = site.ground.serve(&[]);
    let status = site.ended(&server.admin).await;
    assert_eq!(status["job"]["state"], "done", "{status}");
    let expected = [(1, "destroyed".into(), 0), (2, "active".into(), 3)];
    assert_eq!(generations(&status, "market-data"), expected);
    assert_eq!(generations(&status, "tests"), [(1, "active".into(), 1)]);
    site.assert_readable(&server.admin, &server.proxy).await;

    let done = site.ground.json(&["kek", "rekey", "--json"]);
    assert_eq!(
        (&done["state"], &done["done"], &done["total"]),
        (&json!("done"), &json!(4), &json!(4))
    );
    site.assert_readable(&server.admin, &server.proxy).await;
    let trail = site.ground.json(&["audit", "query", "--kind", "change", "--json"]);
    let trail = trail.to_string();
    for written in ["/api/v1/admin/keks/rekey", "every row verified"] {
        assert!(trail.contains(written), "{written} is not in {trail}");
    }
    server.stop();
    let done = site.ground.json(&["kek", "rewrap", "--json"]);
    assert_eq!(
        (&done["state"], &done["total"]),
        (&json!("done"), &json!(0)),
        "nothing is left to do"
    );
}

/// Where a job can be killed, and how often it passes there first.
#[cfg(feature = "failpoints")]
const REWRAP: [&str; 8] = [
    "kek-rotated",
    "rewrap-claimed",
    "rewrap-row",
    "rewrap-row:4",
    "rewrap-rows",
    "rewrap-lists",
    "rewrap-verified",
    "rewrap-destroyed",
];
#[cfg(feature = "failpoints")]
const REKEY: [&str; 5] =
    ["rekey-claimed", "rekey-row", "rekey-row:4", "rekey-rows", "rekey-verified"];

#[cfg(feature = "failpoints")]
async fn killed_everywhere(database: &str) {
    use std::os::unix::process::ExitStatusExt as _;
    let site = Site::new(5, database).await;
    let jobs = REWRAP.map(|place| ("rewrap", place)).into_iter();
    for (job, place) in jobs.chain(REKEY.map(|place| ("rekey", place))) {
        let mut server = site.ground.serve_until(place);
        site.post(&server.admin, "keks/rotate").await;
        site.post(&server.admin, &format!("keks/{job}")).await;
        let (status, _server) =
            tokio::task::spawn_blocking(move || (server.wait(), server)).await.unwrap();
        assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");

        let server = site.ground.serve(&[]);
        site.assert_readable(&server.admin, &server.proxy).await;
        if place == "kek-rotated" {
            assert_eq!(site.post(&server.admin, "keks/rewrap").await, Some(202));
        }
        let status = site.ended(&server.admin).await;
        assert_eq!(status["job"]["state"], "done", "{place}: {status}");
        site.assert_readable(&server.admin, &server.proxy).await;
        settled(&site, &server, job).await;
        server.stop();
    }
    let audit = site.ground.json(&["audit", "verify", "--json"]);
    assert_eq!(audit["ok"], true);
}

/// Everything hangs on the newest generation, and after a rewrap nothing older is left.
#[cfg(feature = "failpoints")]
async fn settled(site: &Site, server: &Server, job: &str) {
    let status = site.get(&server.admin, "keks").await;
    for category in ["market-data", "tests"] {
        let mut generations = generations(&status, category);
        let (_, state, secrets) = generations.pop().unwrap();
        let expected = if category == "tests" { 1 } else { 5 };
        assert_eq!((state.as_str(), secrets), ("active", expected), "{status}");
        let gone = |state: &str| job == "rekey" || state == "destroyed";
        assert!(generations.iter().all(|(_, state, _)| gone(state)), "{status}");
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_rewrap_or_rekey_every_secret_is_readable() {
    killed_everywhere("").await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_on_postgresql_every_secret_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh(Kind::Postgres, folder.path()).await;
    killed_everywhere(&database.settings()).await;
    database.drop_it().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_under_a_passphrase_every_secret_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    killed_everywhere(&passphrase(folder.path())).await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_under_vault_transit_every_secret_is_readable() {
    let transit = Transit::open().await;
    let folder = tempfile::tempdir().unwrap();
    killed_everywhere(&transit.settings(&folder.path().join("token"), 60)).await;
}

/// Settings of a house whose passphrase lies in a file.
pub(crate) fn passphrase(folder: &std::path::Path) -> String {
    let word = folder.join("word");
    crate::house::private(&word, "a long enough passphrase\n");
    let word = word.display();
    format!("master_key = {{ kind = \"passphrase\", passphrase = {{ file = \"{word}\" }} }}\n")
}
