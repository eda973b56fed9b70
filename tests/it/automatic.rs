//! Keys that the house gets by itself: from a webhook, a program or OpenAI's service accounts, moved
//! in while callers call, and given back where they are not needed any more. Whatever the rotator
//! does, and whoever dies when, there is one new key and none that nobody knows of.
//! Must never take a rotator's word for a good key.

mod commands;
#[cfg(feature = "failpoints")]
mod kills;
mod remains;
mod schedules;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use crate::house::{Answer, House, Letter, Mint, Mood, PROJECT, Plan};

const SECRETS: &str = "/api/v1/admin/secrets";
/// 32 sevens.
pub(crate) const SIGNING: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const WEBHOOK: &str = "kind = \"webhook\"\nurl = \"http://MINT/rotate\"\nretire = true\n\
     signing_secret = { file = \"KEYS/rotator.key\" }\ntimeout_seconds = 2\n";
const STEPS: &str = "steps = [50, 100]\nhold_seconds = 3\n";

pub(crate) struct Scene {
    pub house: House,
    pub mint: Mint,
    pub id: String,
    pub keys: tempfile::TempDir,
}

impl Scene {
    async fn new(policy: &str) -> Self {
        let mint = Mint::open().await;
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("rotator.key"), SIGNING).unwrap();
        let policy = policy
            .replace("MINT", &mint.address.to_string())
            .replace("KEYS", keys.path().to_str().unwrap());
        let settings = format!(
            "egress.allow_private_networks = true\n[rotation]\nretire_after_minutes = 60\n\
             [[rotation.policies]]\nprovider = \"mint\"\n{policy}\n{}",
            mint.settings("mint")
        );
        let house = House::planned(Plan { settings, ..Plan::default() }).await;
        let body = json!({"provider": "mint", "fields": {"api_key": mint.by_hand()}});
        let added = house.admin.post(SECRETS).json(&body).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let id = added.json()["id"].as_str().unwrap().to_owned();
        Self { house, mint, id, keys }
    }

    fn path(&self) -> String {
        format!("{SECRETS}/{}", self.id)
    }

    async fn ask(&self, body: &Value) -> Answer {
        self.house.admin.post(&format!("{}/versions", self.path())).json(body).send().await
    }

    async fn renew(&self) -> Answer {
        self.ask(&json!({"auto": true})).await
    }

    async fn dry_run(&self) -> Value {
        let answer = self.ask(&json!({"auto": true, "dry_run": true})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    async fn shown(&self) -> Value {
        self.house.admin.get(&self.path()).send().await.json()
    }

    /// The clock goes on meanwhile, by so much at each look.
    async fn until(&self, what: &str, step: Duration, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let shown = self.shown().await;
            if is_so(&shown) {
                return shown;
            }
            self.house.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("did not happen: {what}: {}", self.shown().await);
    }

    async fn promoted(&self) {
        let promoted = |shown: &Value| shown["rotation"]["state"] == "promoted";
        self.until("promoted", Duration::from_secs(2), promoted).await;
    }

    /// The former version is destroyed. Calls that are under way would time out meanwhile.
    async fn ended(&self, result: &str) -> Value {
        let ended = |shown: &Value| {
            let policy = &shown["rotation_policy"];
            policy["state"].is_null() && policy["last_result"] == result
        };
        self.until("ended", Duration::from_secs(601), ended).await
    }

    /// Renewed while callers call, of whom none notices.
    async fn renewed_under_load(&self, result: &str) -> Value {
        let callers = Callers::begin(&self.house).await;
        let begun = self.renew().await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        assert_eq!(begun.json()["rotation"]["state"], "running");
        assert_eq!(begun.json()["rotation_policy"]["state"], "moving");
        self.renew().await.is_refusal(409, "conflict");
        self.promoted().await;
        callers.end().await;
        self.ended(result).await
    }

    /// The next try is due, and goes wrong like this.
    async fn fails_with(&self, words: &str) {
        let fails = |shown: &Value| {
            shown["rotation_policy"]["fault"].as_str().is_some_and(|fault| fault.contains(words))
        };
        self.until(words, Duration::from_secs(1_000), fails).await;
    }

    async fn alert(&self, state: &str) -> Value {
        for _ in 0..100 {
            let path = format!("/api/v1/admin/alerts?kind=rotation_failed&state={state}");
            let found = self.house.admin.get(&path).send().await.json();
            if let Some(one) = found["items"].as_array().and_then(|items| items.first()) {
                return one.clone();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("no alert rotation_failed is {state}");
    }

    /// No key that was ever made stands anywhere in plain.
    async fn leave(self) {
        for coin in self.mint.coins() {
            self.house.with_key("coin", &coin.value);
        }
        self.house.with_key("admin", &self.mint.admin_key());
        self.house.leave().await;
    }
}

/// Callers that call until they are told to stop; how many calls failed.
struct Callers {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    async fn begin(house: &House) -> Self {
        let client = Arc::new(house.client().await);
        let (stop, failed, served) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (client, stop) = (Arc::clone(&client), Arc::clone(&stop));
            let (failed, served) = (Arc::clone(&failed), Arc::clone(&served));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let counter = match client.get("/mint/x").send().await.status {
                        200 => &served,
                        _ => &failed,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
        Self { stop, failed, served, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let served = self.served.load(Ordering::Relaxed);
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "of {served}");
        assert!(served > 50, "{served} calls");
    }
}

fn body(letter: &Letter) -> Value {
    serde_json::from_str(&letter.body).unwrap()
}

fn assert_signed(letter: &Letter) {
    let text = |name: &str| letter.headers[name].to_str().unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
    let (id, time) = (text("webhook-id"), text("webhook-timestamp"));
    mac.update(format!("{id}.{time}.{}", letter.body).as_bytes());
    let made = base64::prelude::BASE64_STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(text("webhook-signature"), format!("v1,{made}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_makes_a_key_it_is_moved_in_under_load_and_the_former_one_is_given_back() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}schedule = \"every 30d\"")).await;
    let run = scene.dry_run().await;
    assert_eq!((&run["ok"], &run["kind"]), (&json!(true), &json!("webhook")), "{run}");
    assert!(run["would"][0].as_str().unwrap().contains("signed letter"), "{run}");
    assert_eq!((scene.mint.coins().len(), scene.mint.letters().len()), (1, 0), "nothing was made");
    assert!(scene.shown().await["rotation"].is_null(), "nothing has changed");
    let shown = scene.renewed_under_load("former_left").await;
    assert_eq!(
        (&shown["version"], &shown["versions"][0]["state"]),
        (&json!(2), &json!("destroyed"))
    );
    assert!(shown["rotation_policy"]["next_at"].is_string(), "{shown}");
    let by_hand = scene.mint.coins()[0].clone();
    assert!(by_hand.lives, "whoever made it by hand has to delete it");
    scene.renewed_under_load("done").await;
    let living = scene.mint.living();
    assert_eq!(living.len(), 1, "{:?}", scene.mint.coins());
    let letters = scene.mint.letters();
    letters.iter().for_each(assert_signed);
    let told: Vec<(Value, Value)> =
        letters.iter().map(body).map(|body| (body["action"].clone(), body["id"].clone())).collect();
    let [(first, one), (second, two), (third, three)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!([first, second, third], ["create", "create", "retire"]);
    assert!(one == three && one != two, "{told:?}");
    let trail = scene.house.admin.get("/api/v1/admin/audit?kind=change&limit=50").send().await;
    for word in ["begun", "made", "retired", "ended"] {
        assert!(trail.text().contains(&format!("\"renewal\":\"{word}\"")), "{word}");
    }
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_down_slow_or_mad_is_asked_again_under_the_same_id() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}")).await;
    scene.mint.feels(Mood::Status(500));
    let refused = scene.renew().await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert!(refused.text().contains("it answered 500"), "{}", refused.text());
    scene.renew().await.is_refusal(409, "conflict");
    let alert = scene.alert("open").await;
    assert!(alert["detail"].as_str().unwrap().contains("it answered 500"), "{alert}");
    for (mood, words) in [
        (Mood::Says("sk-garbage"), "is not JSON"),
        (Mood::Huge, "longer than 64 KiB"),
        (Mood::Says("{\"fields\":{}}"), "has no fields"),
        (Mood::Slow, "within 2 seconds"),
        (Mood::Status(302), "it answered 302"),
    ] {
        scene.mint.feels(mood);
        scene.fails_with(words).await;
    }
    assert!(!scene.shown().await.to_string().contains("sk-garbage"));
    scene.mint.feels(Mood::Well);
    let runs = |shown: &Value| shown["rotation"]["state"] == "running";
    scene.until("running", Duration::from_secs(1_000), runs).await;
    // The slow one may have made a key when nobody listened any more: it is the same.
    assert_eq!(scene.mint.living().len(), 1, "{:?}", scene.mint.coins());
    let letters = scene.mint.letters();
    let id = |letter: &Letter| (body(letter)["id"].clone(), letter.headers["webhook-id"].clone());
    assert!(letters.len() > 5 && letters.iter().all(|one| id(one) == id(&letters[0])));
    scene.alert("resolved").await;
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_key_is_not_moved_in_or_rolled_back_and_given_back() {
    let scene = Scene::new(&format!("{WEBHOOK}{STEPS}")).await;
    let callers = Callers::begin(&scene.house).await;
    scene.mint.feels(Mood::Bad);
    let refused = scene.renew().await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    let shown = scene.shown().await;
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1, "it was not stored: {shown}");
    assert_eq!(shown["rotation_policy"]["last_result"], "failed");
    let letters = scene.mint.letters();
    assert_eq!(body(letters.last().unwrap())["action"], "retire");
    scene.mint.feels(Mood::Well);
    let begun = scene.renew().await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let new = scene.mint.living().pop().unwrap();
    scene.mint.kill(&new.value);
    let back = |shown: &Value| shown["rotation_policy"]["last_result"] == "rolled_back";
    let shown = scene.until("rolled back", Duration::from_millis(1), back).await;
    assert_eq!(shown["rotation"]["state"], "rolled_back", "{shown}");
    assert_eq!(shown["version"], 1);
    callers.end().await;
    let last = body(scene.mint.letters().last().unwrap());
    assert_eq!((&last["action"], &last["id"]), (&json!("retire"), &json!(new.of)), "{last}");
    scene.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_accounts_are_made_and_deleted_by_an_admin_key_that_serves_nobody() {
    let openai = format!("kind = \"openai\"\nproject = \"{PROJECT}\"\nadmin_secret = \"admin\"\n");
    let scene = Scene::new(&format!("{openai}{STEPS}max_age_days = 90")).await;
    let said = |run: &Value| run["checks"][1]["detail"].as_str().unwrap().to_owned();
    let run = scene.dry_run().await;
    assert!(run["ok"] == false && said(&run).contains("is not stored"), "{run}");
    let admin = json!({"provider": "mint", "name": "admin", "validate": false,
        "fields": {"api_key": scene.mint.admin_key()}});
    let admin = scene.house.admin.post(SECRETS).json(&admin).send().await.json();
    let run = scene.dry_run().await;
    assert!(run["ok"] == false && said(&run).contains("is active"), "{run}");
    let path = format!("{SECRETS}/{}", admin["id"].as_str().unwrap());
    let off = scene.house.admin.put(&path).json(&json!({"active": false})).send().await;
    assert_eq!(off.status, 200, "{}", off.text());
    assert!(off.json()["rotation_policy"].is_null(), "{}", off.text());
    let run = scene.dry_run().await;
    assert!(run["ok"] == true && said(&run).contains("there are 1"), "{run}");
    assert_eq!(scene.mint.coins().len(), 1, "nothing was made");
    scene.renewed_under_load("former_left").await;
    let first = scene.mint.living().pop().unwrap();
    assert!(first.of.starts_with("sealgate-"), "{first:?}");
    scene.renewed_under_load("done").await;
    let living = scene.mint.living();
    assert!(living.len() == 1 && living[0].of != first.of, "{:?}", scene.mint.coins());
    assert!(scene.mint.coins()[0].lives, "what others made is left alone");
    // A bad one is deleted, too.
    scene.mint.feels(Mood::Bad);
    assert_eq!(scene.renew().await.status, 502);
    assert_eq!(scene.mint.coins().last().unwrap().id, "gone");
    scene.leave().await;
}
