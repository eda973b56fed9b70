//! The server is killed at every step of a renewal; the next one goes on, and at the end there is
//! one new key at the provider, which serves, and none that nobody knows of.
//! Must never be left with two, or with none.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use serde_json::Value;

use super::{SIGNING, WEBHOOK};
use crate::house::{Ground, Mint, Mood, PROJECT, Server};

const PLACES: [&str; 6] = [
    "renewal-begun",
    "renewal-made",
    "renewal-noted",
    "renewal-staged",
    "renewal-moves",
    "renewal-retired",
];

struct Site {
    ground: Ground,
    mint: Mint,
    _keys: tempfile::TempDir,
}

impl Site {
    async fn new(policy: &str) -> Self {
        let mint = Mint::open().await;
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("rotator.key"), SIGNING).unwrap();
        let policy = policy
            .replace("MINT", &mint.address.to_string())
            .replace("KEYS", keys.path().to_str().unwrap());
        let ground = Ground::new(&format!(
            "egress.allow_private_networks = true\n[rotation]\nretire_after_minutes = 0\n\
             [[rotation.policies]]\nprovider = \"mint\"\n{policy}\nsteps = [100]\n\
             hold_seconds = 0\n{}",
            mint.settings("mint")
        ));
        ground.json(&["init", "--json"]);
        let add = |name: &str, key: String| {
            let add = ["secret", "add", "mint", "--name", name, "--no-validate", "--json"];
            assert!(ground.run_with_input(&add, &format!("{key}\n")).status.success());
        };
        add("default", mint.by_hand());
        add("admin", mint.admin_key());
        ground.json(&["secret", "disable", "mint/admin", "--json"]);
        Self { ground, mint, _keys: keys }
    }

    fn renewed(&self) -> Value {
        self.ground.json(&["secret", "show", "mint", "--json"])["rotation_policy"].clone()
    }

    async fn until_ended(&self, place: &str) -> Value {
        for _ in 0..300 {
            let policy = self.renewed();
            if policy["state"].is_null() && policy["last_result"].is_string() {
                return policy;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("{place}: it does not end: {}", self.renewed());
    }

    async fn killed_at(&self, place: &str) -> Server {
        let mut server = self.ground.serve_until(place);
        // It may hear no answer.
        let _heard = self.ground.run(&["secret", "rotate", "mint", "--auto", "--json"]);
        let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
        assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");
        self.ground.serve(&[])
    }

    async fn is_served(&self, server: &Server, place: &str) {
        let made = self.ground.json(&["client", "create", "caller", "--json"]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = http.get(format!("{}/mint/x", server.proxy));
        let call = call.header("x-api-key", made["key"].as_str().unwrap());
        assert_eq!(call.send().await.unwrap().status(), 200, "{place}");
    }

    async fn is_killed_everywhere(&self) {
        // The first one leaves what was made by hand alone, so that all others have one to delete.
        let server = self.ground.serve(&[]);
        self.ground.json(&["secret", "rotate", "mint", "--auto", "--json"]);
        assert_eq!(self.until_ended("the first").await["last_result"], "former_left");
        server.stop();
        for place in PLACES {
            let before = self.mint.living();
            let server = self.killed_at(place).await;
            let policy = self.until_ended(place).await;
            assert_eq!(policy["last_result"], "done", "{place}: {policy}");
            let living = self.mint.living();
            assert_eq!(living.len(), 1, "{place}: {:?}", self.mint.coins());
            assert_ne!(living[0].value, before[0].value, "{place}: it is a new one");
            self.is_served(&server, place).await;
            server.stop();
        }
        let (before, place) = (self.mint.living(), "renewal-undone");
        self.mint.feels(Mood::Bad);
        let server = self.killed_at(place).await;
        let policy = self.until_ended(place).await;
        assert_eq!(policy["last_result"], "failed", "{policy}");
        let living = self.mint.living();
        assert_eq!((living.len(), &living[0].value), (1, &before[0].value));
        self.is_served(&server, place).await;
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_one_service_account_is_new_and_none_is_lost() {
    let openai = format!("kind = \"openai\"\nproject = \"{PROJECT}\"\nadmin_secret = \"admin\"\n");
    Site::new(&openai).await.is_killed_everywhere().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_a_webhook_has_made_one_key_and_none_is_lost() {
    Site::new(WEBHOOK).await.is_killed_everywhere().await;
}
