//! Each rule, raised by what it is about and resolved when that is over; counted, acknowledged, and
//! told apart. Must never wait for a rule longer than people would.

use serde_json::{Value, json};

use super::*;
use crate::house::{Rule, Tollgate};

const SECRETS: &str = "/api/v1/admin/secrets";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY)
}

async fn advance(house: &House, by: Duration) {
    house.clock.advance(by);
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Once so many calls of a client key are counted.
async fn counted(house: &House, client: &Client, calls: u64) {
    let one = format!("/api/v1/admin/api-keys/{}", client.id);
    wait_until(&format!("{calls} calls counted"), async || {
        house.admin.get(&one).send().await.json()["request_count"] == calls
    })
    .await;
}

/// A clock that was set is noticed within a second, and everything is looked at.
async fn looked(house: &House) {
    advance(house, Duration::from_secs(60)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

/// Those of a kind, newest first.
async fn of_kind(house: &House, kind: &str) -> Vec<Value> {
    listed(house).await.into_iter().filter(|one| one["kind"] == kind).collect()
}

/// The newest of a kind, once it is in this state.
async fn newest(house: &House, kind: &str, state: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{kind} {state}"), async || {
        found = of_kind(house, kind).await.first().cloned().unwrap_or_default();
        found["state"] == state
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_told_at_four_fifths_and_at_its_end_and_acknowledged_until_it_is_free() {
    let house = House::open().await;
    let client = house.client_with(json!({"limit": 10})).await;
    for _ in 0..8 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    let near = alert(&house, ("quota_near", &client.id), "open").await;
    assert_eq!((&near["severity"], &near["count"]), (&json!("warning"), &json!(1)), "{near}");
    assert_eq!(near["detail"], "8 of 10 calls of its 3600 seconds are used");
    let subject = json!({"type": "client", "id": client.id, "name": "a test's caller"});
    assert_eq!(near["subject"], subject);
    for _ in 0..2 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    let one = format!("{ALERTS}/{}", near["id"].as_str().unwrap());
    wait_until("told anew", async || {
        let full = house.admin.get(&one).send().await.json();
        full["severity"] == "critical" && full["state"] == "open"
    })
    .await;
    let ack = format!("{one}/ack");
    let known = house.admin.post(&ack).send().await.json();
    assert_eq!(known["state"], "acknowledged", "{known}");
    assert!(known["acknowledged_by"].is_string() && known["acknowledged_at"].is_string());
    // Once more changes nothing, and whoever may only look may not.
    assert_eq!(house.admin.post(&ack).send().await.json(), known);
    let auditor = house.client_with(json!({"role": "auditor"})).await;
    let auditor = house.as_admin(&auditor);
    auditor.post(&ack).send().await.is_refusal(403, "forbidden");
    assert_eq!(auditor.get(ALERTS).send().await.status, 200);
    let open = house.admin.get(&format!("{ALERTS}?state=open&kind=quota_near")).send().await;
    assert_eq!(open.json()["items"], json!([]));
    // It goes on, and is the same; then it is over.
    advance(&house, Duration::from_secs(60)).await;
    wait_until("another look", async || {
        let still = house.admin.get(&one).send().await.json();
        still["last_seen"] != known["last_seen"]
    })
    .await;
    assert_eq!(of_kind(&house, "quota_near").await.len(), 1);
    advance(&house, Duration::from_secs(2 * HOUR)).await;
    alert(&house, ("quota_near", &client.id), "resolved").await;
    house.admin.post(&ack).send().await.is_refusal(409, "conflict");
    let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
    assert!(trail.contains("quota_near") && trail.contains("\"resolved\""), "{trail}");
    // The month's is one, too.
    let monthly = house.client_with(json!({"monthly_quota": 2})).await;
    for _ in 0..2 {
        assert_eq!(monthly.get("/acme/x").send().await.status, 200);
    }
    let told = alert(&house, ("quota_near", &monthly.id), "open").await;
    assert_eq!(told["detail"], "2 of 2 calls of its month are used");
    wait_until("a figure", async || {
        let figures = house.admin.bare(http::Method::GET, "/metrics").send().await.text();
        figures.contains("sealgate_alerts_standing{kind=\"quota_near\"} 1")
    })
    .await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_is_an_alert_until_the_provider_takes_one() {
    let probe = "probe = { path = \"/me\" }";
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(json!({}));
    let settings = gate.settings("toll", probe);
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let body = json!({"provider": "toll", "fields": {"api_key": "a-good-key"}});
    let added = house.admin.post(SECRETS).json(&body).send().await.json();
    let id = added["id"].as_str().unwrap();
    let validate = format!("{SECRETS}/{id}/validate");
    gate.rule("a-good-key", Rule::Status(401));
    house.admin.post(&validate).send().await;
    let told = alert(&house, ("secret_refused", id), "open").await;
    assert_eq!(
        (&told["severity"], &told["subject"]["name"]),
        (&json!("critical"), &json!("toll/default"))
    );
    house.admin.post(&validate).send().await;
    gate.rule("a-good-key", Rule::Good);
    house.admin.post(&validate).send().await;
    alert(&house, ("secret_refused", id), "resolved").await;
    assert_eq!(of_kind(&house, "secret_refused").await.len(), 1);
    drop(gate);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_told_thirty_seven_and_one_day_before_and_not_again_in_between() {
    let house = House::open().await;
    let secrets = house.admin.get(SECRETS).send().await.json();
    let secret = secrets["items"][0]["id"].as_str().unwrap().to_owned();
    let put = async |path: &str, body: Value| {
        assert_eq!(house.admin.put(path).json(&body).send().await.status, 200, "{body}");
    };
    // Forty days from the noon at which the clock began.
    let end = json!({"expires_at": "2026-02-24T12:00:00Z"});
    put(&format!("{SECRETS}/{secret}"), end.clone()).await;
    let client = house.client_with(end).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    for kind in ["secret_expiring", "client_expiring"] {
        assert!(of_kind(&house, kind).await.is_empty(), "forty days are far");
    }
    for (wait, severity) in [(10, "info"), (23, "warning"), (6, "critical")] {
        advance(&house, days(wait)).await;
        for kind in ["secret_expiring", "client_expiring"] {
            wait_until(&format!("{kind} {severity}"), async || {
                let all = of_kind(&house, kind).await;
                assert!(all.len() <= 1, "{all:?}");
                all.len() == 1 && all[0]["severity"] == severity && all[0]["state"] == "open"
            })
            .await;
        }
    }
    put(&format!("{SECRETS}/{secret}"), json!({"expires_at": "2027-02-24T12:00:00Z"})).await;
    alert(&house, ("secret_expiring", &secret), "resolved").await;
    advance(&house, days(2)).await;
    let over = alert(&house, ("client_expiring", &client.id), "resolved").await;
    assert!(over["detail"].as_str().unwrap().contains("it has ended"), "{over}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_with_five_times_its_usual_calls_is_an_alert_and_a_busy_one_is_none() {
    let settings = String::from("limits.enabled = false\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let (quiet, busy) = (house.client().await, house.client().await);
    let calls = async |client: &Client, count: usize| {
        for _ in 0..count {
            assert_eq!(client.get("/acme/x").send().await.status, 200);
        }
    };
    for _ in 0..7 {
        calls(&quiet, 4).await;
        calls(&busy, 26).await;
        advance(&house, days(1)).await;
    }
    calls(&quiet, 90).await;
    counted(&house, &quiet, 7 * 4 + 90).await;
    looked(&house).await;
    assert!(of_kind(&house, "unusual_volume").await.is_empty(), "up to a hundred are never");
    calls(&quiet, 20).await;
    calls(&busy, 110).await;
    counted(&house, &quiet, 7 * 4 + 110).await;
    counted(&house, &busy, 7 * 26 + 110).await;
    advance(&house, Duration::from_secs(60)).await;
    let told = alert(&house, ("unusual_volume", &quiet.id), "open").await;
    assert_eq!(
        told["detail"],
        "110 calls within an hour; the median of this hour of the last seven days is 4"
    );
    assert_eq!(of_kind(&house, "unusual_volume").await.len(), 1, "26 times five are more than 110");
    advance(&house, Duration::from_secs(2 * HOUR)).await;
    alert(&house, ("unusual_volume", &quiet.id), "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_client_key_never_came_from_is_told_for_a_day() {
    let settings = String::from("proxy.trusted_proxies = [\"127.0.0.1/32\"]\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let from = async |address: &str, calls: u64| {
        let call = client.get("/acme/x").header("x-forwarded-for", address);
        assert_eq!(call.send().await.status, 200);
        counted(&house, &client, calls).await;
        looked(&house).await;
    };
    from("203.0.113.7", 1).await;
    from("203.0.113.7", 2).await;
    assert!(of_kind(&house, "new_address").await.is_empty(), "the first one is none");
    from("198.51.100.9", 3).await;
    let told = alert(&house, ("new_address", &client.id), "open").await;
    assert!(told["detail"].as_str().unwrap().contains("198.51.100.9"), "{told}");
    assert_eq!(told["severity"], "info");
    // Another one within the day is told anew, of the same alert.
    advance(&house, Duration::from_secs(HOUR)).await;
    from("198.51.100.200", 4).await;
    let again = alert(&house, ("new_address", &client.id), "open").await;
    let detail = again["detail"].as_str().unwrap();
    assert!(detail.contains("198.51.100.200") && detail.contains("2 new ones"), "{again}");
    assert_eq!(again["id"], told["id"]);
    advance(&house, days(2)).await;
    alert(&house, ("new_address", &client.id), "resolved").await;
    from("198.51.100.9", 5).await;
    assert_eq!(of_kind(&house, "new_address").await.len(), 1, "it is known by now");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_failed_authentications_is_told_on_either_face() {
    let settings = String::from("alerts.auth_failures_per_minute = 20\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let wrong = house.with_key("x", "mdw_0000000000000000000000000000000000000000aaaaaa");
    for _ in 0..18 {
        assert_eq!(wrong.get("/acme/x").send().await.status, 401);
    }
    // Who guesses passwords is no other than who guesses keys.
    let typed = json!({"name": "nobody", "password": "guessed-and-wrong", "code": "123456"});
    let sign_in = house.admin.bare(http::Method::POST, "/api/v1/session").json(&typed);
    sign_in.send().await.is_refusal(401, "unauthorized");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(of_kind(&house, "auth_failures").await.is_empty());
    house.as_admin(&wrong).get(ALERTS).send().await.is_refusal(401, "unauthorized");
    let told = alert(&house, ("auth_failures", "127.0.0.1"), "open").await;
    assert!(told["detail"].as_str().unwrap().starts_with("20 failed"), "{told}");
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    advance(&house, Duration::from_secs(700)).await;
    alert(&house, ("auth_failures", "127.0.0.1"), "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_comes_back_in_an_answer_and_a_history_that_fails_are_told() {
    let house = House::open().await;
    let client = house.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/acme/echo").send().await.status, 200);
    }
    let told = alert(&house, ("key_echoed", "acme"), "open").await;
    assert_eq!(told["severity"], "critical");
    assert!(!told.to_string().contains(house.canary.plain()));
    advance(&house, Duration::from_secs(HOUR + 60)).await;
    alert(&house, ("key_echoed", "acme"), "resolved").await;

    let asked = json!({"symbols": ["AAPL"]});
    let asked = house.admin.post("/api/v1/admin/backfill").json(&asked).send().await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let told = alert(&house, ("backfill_failed", "AAPL"), "open").await;
    assert_eq!(told["subject"]["type"], "symbol");
    assert_eq!(house.admin.delete("/api/v1/admin/symbols/AAPL").send().await.status, 204);
    alert(&house, ("backfill_failed", "AAPL"), "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_went_back_is_told_until_the_next_one() {
    let house = House::open().await;
    let secrets = house.admin.get(SECRETS).send().await.json();
    let secrets = secrets["items"].as_array().unwrap();
    let of_acme = secrets.iter().find(|one| one["provider"] == "acme").unwrap();
    let id = of_acme["id"].as_str().unwrap();
    let next = async |key: &str| {
        let strategy = json!({"steps": [1, 100], "hold_seconds": 604_800});
        let body = json!({"fields": {"api_key": key}, "validate": false, "strategy": strategy});
        let made = house.admin.post(&format!("{SECRETS}/{id}/versions")).json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
    };
    next("the-key-that-comes-next").await;
    let back = format!("{SECRETS}/{id}/rotation/rollback");
    let back = house.admin.post(&back).send().await;
    assert_eq!(back.status, 200, "{}", back.text());
    let told = alert(&house, ("rotation_rolled_back", id), "open").await;
    assert_eq!(told["subject"]["name"], "acme/default");
    next("another-key-then").await;
    alert(&house, ("rotation_rolled_back", id), "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_overdue_is_told_until_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    let keygen = ["backup", "keygen", "--to", identity.to_str().unwrap(), "--json"];
    let recipient = Ground::new("").json(&keygen)["public_key"].as_str().unwrap().to_owned();
    let settings = format!(
        "backup.every_hours = 1\nbackup.folder = \"kept\"\nbackup.recipients = \
         [\"{recipient}\"]\n"
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let kept = house.path().join("kept");
    let made = async || std::fs::read_dir(&kept).is_ok_and(|mut kept| kept.next().is_some());
    wait_until("a backup", made).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Where it goes is no folder any more.
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::write(&kept, "").unwrap();
    advance(&house, Duration::from_secs(3 * HOUR)).await;
    let told = newest(&house, "backup_overdue", "open").await;
    assert_eq!(
        (&told["severity"], &told["subject"]["type"]),
        (&json!("warning"), &json!("installation"))
    );
    std::fs::remove_file(&kept).unwrap();
    newest(&house, "backup_overdue", "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_row_is_told_until_nothing_of_the_kind_is_found() {
    let mut house = House::open().await;
    house.shut().await;
    let edit = "UPDATE secrets SET fingerprint = fingerprint || 'x' WHERE provider = 'quill'";
    house.database.tamper(edit).await;
    house.try_start().await.unwrap();
    let told = newest(&house, "integrity", "open").await;
    assert_eq!(told["severity"], "critical");
    house.shut().await;
    let mend = "UPDATE secrets SET fingerprint = substr(fingerprint, 1, length(fingerprint) - 1) \
                WHERE provider = 'quill'";
    house.database.tamper(mend).await;
    house.try_start().await.unwrap();
    advance(&house, Duration::from_secs(400)).await;
    newest(&house, "integrity", "resolved").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_waits_for_its_database_is_told_when_that_is_back() {
    let house = House::on(Kind::Postgres).await;
    let client = house.client().await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.database.go_away().await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    for _ in 0..6 {
        house.clock.advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    house.database.come_back().await;
    // What cannot be archived meanwhile is another part, told where that was tried just then.
    let is_of_part =
        |one: &Value| one["subject"]["id"].as_str().is_some_and(|id| id.ends_with("/database"));
    let mut all = Vec::new();
    wait_until("over", async || {
        all = of_kind(&house, "ledger_degraded").await;
        all.retain(is_of_part);
        all.iter().any(|one| one["state"] == "resolved")
    })
    .await;
    assert_eq!((all.len(), &all[0]["count"]), (1, &json!(1)), "{all:?}");
    house.leave().await;
}
