//! Sealed and unsealed while it runs: by an administrator, by a passphrase, by a KMS that goes away
//! and comes back. Calls under way are cut, new ones refused, and nothing needs a restart.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Ground, House, Kind, Plan, TOKEN, Transit, on_both, private};

const SEAL: &str = "/api/v1/admin/seal";
const UNSEAL: &str = "/api/v1/admin/unseal";
const SOON: Duration = Duration::from_secs(10);

on_both! {
    async fn a_seal_cuts_what_is_under_way_and_unseal_opens_without_a_restart(house: House) {
        let client = house.client().await;
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        let mut under_way = Vec::new();
        for client in [client.over_http2(), client.over_new_connections()] {
            under_way.push((tokio::spawn(client.get("/acme/events?n=9").try_send()), Some(200)));
            under_way.push((tokio::spawn(client.get("/acme/slow?ms=60000").try_send()), None));
        }
        house.provider.wait_for(5).await;
        house.provider.release(4);
        tokio::time::sleep(Duration::from_millis(200)).await;

        let sealed = house.admin.post(SEAL).send().await;
        assert_eq!(sealed.json(), json!({"sealed": true, "changed": true}));
        // Answered when nothing is under way any more: the callers need only notice.
        for (call, status) in under_way {
            let ended = tokio::time::timeout(SOON, call).await.expect("not cut").unwrap();
            let (_, head) = ended.expect_err("a call went on while the house was sealed");
            assert_eq!(head, status);
        }
        let figures = house.admin.bare(Method::GET, "/metrics").send().await.text();
        assert!(figures.contains("sealgate_calls_in_flight 0"), "{figures}");
        assert!(figures.contains("sealgate_vault_sealed 1"), "{figures}");

        client.get("/acme/x").send().await.is_refusal(503, "sealed");
        client.get("/nowhere/x").send().await.is_refusal(404, "unknown_provider");
        client.bare("/acme/x").send().await.is_refusal(401, "unauthorized");
        house.admin.get("/api/v1/admin/secrets").send().await.is_refusal(503, "sealed");
        let detail = vault_part(&house).await;
        assert_eq!(detail.as_deref(), Some("The vault is sealed: an administrator sealed it."));

        let open = house.admin.post(UNSEAL).json(&json!({})).send().await;
        assert_eq!(open.json(), json!({"sealed": false, "changed": true}));
        assert_eq!(vault_part(&house).await, None);
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        let told = told(&house, "change").await;
        let of = |path: &str| told.iter().find(|item| item["endpoint"] == path).cloned();
        for path in [SEAL, UNSEAL] {
            let item = of(path).expect("a change record");
            assert_eq!(item["actor"]["name"], "first admin", "{item}");
            assert_eq!(item["status_code"], 200);
        }
        house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_in_a_file_opens_the_house_and_a_wrong_one_typed_is_slowed_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passphrase");
    private(&file, "correct horse battery staple\n");
    let settings = format!(
        "master_key = {{ kind = \"passphrase\", passphrase = {{ file = \"{}\" }} }}\n",
        file.display()
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.admin.post(SEAL).send().await;

    let guess = |text: &str| house.admin.post(UNSEAL).json(&json!({"passphrase": text})).send();
    let wrong = guess("incorrect horse battery").await;
    wrong.is_refusal(422, "invalid");
    assert_eq!(wrong.json()["fields"][0]["fault"], "opens no master key");
    // The right one too, for a while: whether it would be right is not told.
    let soon = guess("correct horse battery staple").await;
    assert_eq!(soon.is_refusal(429, "rate_limited")["limit"], "client");
    assert_eq!(soon.header("retry-after"), Some("1"));
    house.clock.advance(Duration::from_secs(1));
    guess("incorrect horse battery").await.is_refusal(422, "invalid");
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(guess("x").await.header("retry-after"), Some("1"), "twice as long by now");
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(guess("correct horse battery staple").await.status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);

    // Without a word, what the settings name is used.
    house.admin.post(SEAL).send().await;
    assert_eq!(house.admin.post(UNSEAL).send().await.status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    let text = told(&house, "change").await.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains("horse"), "{text}");
    house.leave().await;
}

#[test]
fn a_passphrase_that_is_typed_makes_each_start_a_sealed_one() {
    let ground = Ground::new("master_key = { kind = \"passphrase\" }\n");
    let line = ground.fails(&["serve"]);
    assert!(line.contains("run `sealgate init`"), "{line}");
    let short = ground.run_with_input(&["init"], "too short\n");
    assert_eq!(short.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&short.stderr).contains("fewer than 12 characters"));
    let made = ground.run_with_input(&["init", "--json"], "correct horse battery staple\n");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(ground.run(&["doctor"]).status.success());
    let line = ground.fails(&["unseal"]);
    assert!(line.contains("no server runs here"), "{line}");

    for _ in 0..2 {
        let server = ground.serve(&[]);
        let line = ground.fails(&["healthcheck"]);
        assert!(line.contains("it waits for its passphrase"), "{line}");
        let line = ground.fails(&["secret", "list"]);
        assert!(line.contains("an administrator has to unseal it"), "{line}");
        let wrong = ground.run_with_input(&["unseal"], "correct horse battery stable\n");
        let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(told.contains("passphrase: opens no master key"), "{told}");
        #[expect(clippy::disallowed_methods, reason = "a child process has no future to await")]
        std::thread::sleep(Duration::from_millis(1100));
        let right = ground.run_with_input(&["unseal"], "correct horse battery staple\n");
        assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
        assert_eq!(String::from_utf8_lossy(&right.stdout), "unsealed\n");
        assert!(ground.run(&["healthcheck"]).status.success());
        assert!(ground.run(&["secret", "list"]).status.success());
        assert!(ground.run(&["seal"]).status.success());
        assert!(!ground.run(&["healthcheck"]).status.success());
        let lines = server.stop();
        let errors: Vec<_> = lines.iter().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.is_empty(), "this is how such a house starts: {errors:?}");
    }
}

#[test]
fn a_passphrase_file_that_is_open_or_missing_is_refused_alike_by_doctor_and_server() {
    let ground =
        Ground::new("master_key = { kind = \"passphrase\", passphrase = { file = \"word\" } }\n");
    let word = ground.path().join("word");
    let line = ground.fails(&["init"]);
    assert!(line.contains("cannot read the passphrase of the master key from"), "{line}");
    private(&word, "correct horse battery staple\n");
    assert!(ground.run(&["init"]).status.success());
    let mode = |mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&word, mode).unwrap();
    };
    mode(0o644);
    let line = ground.fails(&["serve"]);
    assert!(line.contains("has mode 0644, others can read it; run: chmod 600"), "{line}");
    let looked = ground.run(&["doctor"]);
    let told = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(!looked.status.success() && told.contains("has mode 0644"), "{told}");
    mode(0o600);
    assert!(ground.run(&["doctor"]).status.success());
    ground.serve(&[]).stop();
    let ready = ground.fails(&["healthcheck", "--json"]);
    assert!(ready.contains("not ready"), "{ready}");
    let server = ground.serve(&[]);
    assert_eq!(ground.json(&["healthcheck", "--json"]), json!({"ready": true}));
    server.stop();
}

mod away_and_back {
    use super::*;

    async fn a_transit_engine_that_goes_away_seals_the_house_and_opens_it_when_it_is_back(
        database: Kind,
    ) {
        let transit = Transit::open().await;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let settings = transit.settings(&token, 3600);
        let mut house = House::planned(Plan { database, settings, ..Plan::default() }).await;
        let client = house.client().await;
        assert_eq!(client.get("/acme/x").send().await.status, 200);

        // Away for less than the keys may live: nothing changes.
        transit.seal(true);
        house.clock.advance(Duration::from_secs(1800));
        let asked = transit.asked();
        until("the engine is asked", async || transit.asked() > asked).await;
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        // For longer: sealed, said, and not to be talked out of it.
        house.clock.advance(Duration::from_secs(1801));
        until("the house seals itself", async || vault_part(&house).await.is_some()).await;
        client.get("/acme/x").send().await.is_refusal(503, "sealed");
        let refused = house.admin.post(UNSEAL).send().await;
        let detail = refused.is_refusal(503, "sealed")["detail"].to_string();
        assert!(detail.contains("Vault is sealed"), "{detail}");
        let alerts = told(&house, "security").await;
        assert!(alerts.iter().any(|item| item.to_string().contains("sealed")), "{alerts:?}");

        // A start without it is a sealed one, and heals as soon as it is back.
        house.restart().await;
        assert!(vault_part(&house).await.is_some());
        transit.seal(false);
        until("the house opens by itself", async || vault_part(&house).await.is_none()).await;
        let client = house.holder(&client);
        assert_eq!(client.get("/acme/x").send().await.status, 200);

        // What an administrator sealed stays sealed; a token that was taken away opens nothing.
        house.admin.post(SEAL).send().await;
        std::fs::write(&token, "another").unwrap();
        let refused = house.admin.post(UNSEAL).send().await;
        let detail = refused.is_refusal(503, "sealed")["detail"].to_string();
        assert!(detail.contains("permission denied") && !detail.contains(TOKEN), "{detail}");
        std::fs::write(&token, TOKEN).unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(vault_part(&house).await.is_some());
        assert_eq!(house.admin.post(UNSEAL).send().await.status, 200);
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        house.leave().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_sqlite() {
        a_transit_engine_that_goes_away_seals_the_house_and_opens_it_when_it_is_back(Kind::Sqlite)
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_postgres() {
        a_transit_engine_that_goes_away_seals_the_house_and_opens_it_when_it_is_back(
            Kind::Postgres,
        )
        .await;
    }
}

/// What `/readyz` says of the vault; None where it is ready.
async fn vault_part(house: &House) -> Option<String> {
    let ready = house.admin.bare(Method::GET, "/readyz").send().await.json();
    let parts = ready["parts"].as_array().unwrap().clone();
    let part = parts.iter().find(|part| part["name"] == "vault").unwrap();
    assert_eq!(part["ready"].as_bool(), Some(part["detail"].is_null()));
    part["detail"].as_str().map(str::to_owned)
}

/// The trail's records of this kind, once they have arrived.
async fn told(house: &House, kind: &str) -> Vec<Value> {
    let answer = house.admin.get(&format!("/api/v1/admin/audit?kind={kind}")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("did not happen within 30 s: {what}");
}
