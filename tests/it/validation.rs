//! Is a provider's key good? Asked before it is stored and whenever somebody asks again: good,
//! refused and untold are told apart, each step says what to do, and the key is in nothing that
//! comes of it. Must never reach a real provider.

use serde_json::{Value, json};

use crate::house::{Ground, House, Plan, Rule, Tollgate, on_both};

const SECRETS: &str = "/api/v1/admin/secrets";
const PROBE: &str = "probe = { path = \"/me?full=1\", expires = \"/ends\", limits = { day = \
    \"/plan/day\" }, account = { is = \"live\", at = \"/account\", paper = [\"PA\"] }, headers = { \
    x-version = \"2\" }, permissions = [{ name = \"wide\", path = \"/wide\" }, { name = \"narrow\", \
    path = \"/narrow\" }] }";

fn good() -> Value {
    json!({"account": "L1", "ends": "2027-01-01T00:00:00Z", "plan": {"day": 800}})
}

async fn scene(gate: &Tollgate) -> House {
    let settings = gate.settings("toll", PROBE);
    House::planned(Plan { settings, ..Plan::default() }).await
}

async fn add(house: &House, name: &str, key: &str) -> crate::house::Answer {
    let body = json!({"provider": "toll", "name": name, "fields": {"api_key": key}});
    house.admin.post(SECRETS).json(&body).send().await
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == name).unwrap_or(&Value::Null)
}

async fn validate(house: &House, id: &str) -> Value {
    let answer = house.admin.post(&format!("{SECRETS}/{id}/validate")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn shown(house: &House, id: &str) -> Value {
    house.admin.get(&format!("{SECRETS}/{id}")).send().await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_asked_about_before_it_is_stored_and_what_is_told_is_shown() {
    let gate =
        Tollgate::open(&[("good-key-1", Rule::Good), ("bad-key-1", Rule::Status(401))]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let refused = add(&house, "default", "bad-key-1").await;
    let body = refused.is_refusal(422, "invalid");
    assert_eq!(step(&body["report"], "live")["ok"], false, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("refuses the key, with 401"), "{body}");
    let listed = house.admin.get(SECRETS).send().await.json();
    assert!(!listed.to_string().contains("toll"), "nothing is stored: {listed}");

    let added = add(&house, "default", "good-key-1").await;
    assert_eq!(added.status, 201, "{}", added.text());
    let added = added.json();
    let id = added["id"].as_str().unwrap();
    assert_eq!((&added["health"], &added["account"]), (&json!("healthy"), &json!("live")));
    assert_eq!(added["permissions"], json!(["narrow", "wide"]));
    assert_eq!(added["limits"], json!({"day": 800, "x-ratelimit-limit": 500}));
    assert!(added["checked_at"].is_string(), "{added}");

    let report = validate(&house, id).await;
    assert_eq!((&report["ok"], &report["outcome"]), (&json!(true), &json!("good")), "{report}");
    let names: Vec<&str> =
        report["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    let expected =
        ["rows", "open", "format", "serve", "live", "permissions", "account", "limits", "expiry"];
    assert_eq!(names, expected);
    let checks = house.admin.get(&format!("{SECRETS}/{id}/checks")).send().await.json();
    let causes: Vec<&str> =
        checks["items"].as_array().unwrap().iter().map(|c| c["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["asked", "entry"]);
    let trail = house.admin.get("/api/v1/admin/audit?kind=change&limit=3").send().await.text();
    assert!(trail.contains("\"outcome\":\"good\""), "{trail}");
    for text in [&trail, &checks.to_string(), &report.to_string(), &added.to_string()] {
        assert!(!text.contains("good-key") && !text.contains("bad-key"), "{text}");
    }
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_is_asked_about_before_it_serves_again() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let id = add(&house, "default", "a-good-key").await.json()["id"].as_str().unwrap().to_owned();
    let put =
        async |body: Value| house.admin.put(&format!("{SECRETS}/{id}")).json(&body).send().await;
    assert_eq!(put(json!({"active": false})).await.status, 200);
    gate.rule("a-good-key", Rule::Status(401));
    let body = put(json!({"active": true})).await.is_refusal(422, "invalid");
    assert!(body["detail"].as_str().unwrap().contains("It stays disabled"), "{body}");
    assert_eq!(step(&body["report"], "live")["ok"], false, "{body}");
    let shown = shown(&house, &id).await;
    assert_eq!((&shown["active"], &shown["health"]), (&json!(false), &json!("refused")));
    assert_eq!(put(json!({"active": true, "validate": false})).await.json()["active"], true);
    // What is in service already is asked about by nobody when its owner changes.
    assert_eq!(put(json!({"active": true, "owner": "ops"})).await.status, 200);
    assert_eq!(put(json!({"active": false})).await.status, 200);
    // An outage says nothing of the key.
    gate.rule("a-good-key", Rule::Status(503));
    assert_eq!(put(json!({"active": true})).await.json()["active"], true);
    assert_eq!(put(json!({"active": false})).await.status, 200);
    gate.rule("a-good-key", Rule::Good);
    assert_eq!(put(json!({"active": true})).await.json()["health"], "healthy");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_and_untold_are_told_apart_and_each_says_what_to_do() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let added = add(&house, "default", "a-good-key").await.json();
    let id = added["id"].as_str().unwrap();
    for (rule, ok, outcome, health, says) in [
        (Rule::Status(401), json!(false), "refused", "refused", "refuses the key, with 401"),
        (Rule::Status(402), json!(false), "refused", "refused", "refuses the key, with 402"),
        (Rule::Status(429), json!(null), "unknown", "unknown", "its limit is used up"),
        (Rule::Status(503), json!(null), "unknown", "unknown", "says nothing of the key"),
        (Rule::Status(302), json!(null), "unknown", "unknown", "does not explain"),
        (Rule::Good, json!(true), "good", "healthy", "accepts the key"),
        (Rule::Narrow, json!(true), "good", "degraded", "accepts the key"),
    ] {
        gate.rule("a-good-key", rule);
        let report = validate(&house, id).await;
        let live = step(&report, "live");
        assert_eq!((&live["ok"], report["outcome"].as_str()), (&ok, Some(outcome)), "{report}");
        assert!(live["detail"].as_str().unwrap().contains(says), "{live}");
        assert_eq!(live["remedy"].is_string(), ok != json!(true), "{live}");
        let shown = shown(&house, id).await;
        assert_eq!(shown["health"], health, "{rule:?}: {shown}");
        assert!(shown["health_detail"].is_string(), "{shown}");
    }
    assert_eq!(shown(&house, id).await["permissions"], json!(["wide"]));
    for rule in [Rule::Status(503), Rule::Status(429)] {
        gate.rule("another-key", rule);
        add(&house, "other", "another-key").await.is_refusal(502, "upstream_invalid");
    }
    let figures = house.admin.bare(http::Method::GET, "/metrics").send().await.text();
    assert!(figures.contains("sealgate_alerts_total{kind=\"secret_refused\"} 1"), "{figures}");
    let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
    assert!(trail.contains("secret_refused") && trail.contains("resolved"), "{trail}");
    drop(gate);
    tokio::task::yield_now().await;
    let report = validate(&house, id).await;
    assert!(step(&report, "live")["detail"].as_str().unwrap().contains("was not reached"));
    assert_eq!(report["outcome"], "unknown");
    add(&house, "other", "another-key").await.is_refusal(502, "upstream_unreachable");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_account_and_a_near_end_make_a_good_key_a_degraded_one() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let id = add(&house, "default", "a-good-key").await.json()["id"].as_str().unwrap().to_owned();
    // The clock of the house stands in January 2026.
    for (body, name, says) in [
        (json!({"account": "PA7"}), "account", "It is a paper account, and toll is for live"),
        (
            json!({"account": "L1", "ends": "2026-01-18T00:00:00Z"}),
            "expiry",
            "It ends at 2026-01-18",
        ),
        (json!({"account": "L1", "ends": 1_700_000_000}), "expiry", "It ended at 2023-11-14"),
    ] {
        gate.says(body);
        let report = validate(&house, &id).await;
        assert_eq!((&report["ok"], &report["health"]), (&json!(false), &json!("degraded")));
        let step = step(&report, name);
        assert!(step["detail"].as_str().unwrap().contains(says), "{step}");
        assert!(step["remedy"].is_string(), "{step}");
    }
    gate.says(json!({"account": "L1"}));
    let expiry = validate(&house, &id).await;
    let expiry = step(&expiry, "expiry");
    assert!(expiry["ok"].is_null() && expiry["remedy"].as_str().unwrap().contains("--expires-at"));
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_comes_as_it_ends_and_the_report_at_last() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let id = add(&house, "default", "a-good-key").await.json()["id"].as_str().unwrap().to_owned();
    let call = house.admin.post(&format!("{SECRETS}/{id}/validate"));
    let answer = call.header("accept", "text/event-stream").send().await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let text = answer.text();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events.len(), 10, "{text}");
    assert!(events.iter().take(9).all(|name| *name == "step") && events[9] == "report", "{text}");
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let report: Value = serde_json::from_str(last).unwrap();
    assert_eq!(report["steps"].as_array().unwrap().len(), 9);
    let checks = house.admin.get(&format!("{SECRETS}/{id}/checks?limit=1")).send().await.json();
    assert_eq!(checks["items"][0]["steps"], report["steps"]);
    assert!(checks["next_cursor"].is_string(), "{checks}");
    house.leave().await;
}

on_both! {
    async fn the_last_fifty_checks_are_kept_and_a_destroyed_secret_has_none(house: House) {
        let listed = house.admin.get(SECRETS).send().await.json();
        let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
        for _ in 0..53 {
            validate(&house, &id).await;
        }
        let checks = house.admin.get(&format!("{SECRETS}/{id}/checks?limit=1000")).send().await;
        assert_eq!(checks.json()["items"].as_array().unwrap().len(), 50);
        let gone = house.admin.delete(&format!("{SECRETS}/{id}")).send().await;
        assert_eq!(gone.status, 204);
        let checks = house.admin.get(&format!("{SECRETS}/{id}/checks")).send().await;
        checks.is_refusal(404, "not_found");
        let dump = house.database.dump().await;
        let dump = String::from_utf8_lossy(&dump);
        assert!(!dump.contains(&format!("secret_checks {id}")), "its checks are gone");
        house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_shows_each_step_and_says_by_its_status_what_came_of_it() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let ground = Ground::new(&gate.settings("toll", PROBE));
    ground.json(&["init", "--json"]);
    let add = |key: &str, more: &[&str]| {
        let command = [&["secret", "add", "toll"], more].concat();
        tokio::task::block_in_place(|| ground.run_with_input(&command, &format!("{key}\n")))
    };
    let refused = add("a-bad-key", &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("refuses the key") && !told.contains("a-bad-key"), "{told}");
    assert!(add("a-good-key", &[]).status.success());
    let run = |command: &[&str]| tokio::task::block_in_place(|| ground.run(command));
    let asked = run(&["secret", "validate", "toll"]);
    let told = String::from_utf8(asked.stdout).unwrap();
    assert!(asked.status.success(), "{told}");
    for part in ["live ", "permissions ", "accepts the key", "health: healthy"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    gate.rule("a-good-key", Rule::Status(403));
    let asked = run(&["secret", "validate", "toll", "--json"]);
    assert_eq!(asked.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(report["health"], "refused");
    let shown = run(&["secret", "show", "toll"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("refused") && shown.contains("refuses the key, with 403"), "{shown}");
    let history = run(&["secret", "validate", "toll", "--history", "--json"]);
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    assert_eq!(history["items"].as_array().unwrap().len(), 3);
}

/// Until it is so, or ten seconds have passed; the house looks twice a second.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("did not happen: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_asked_about_by_schedule_and_at_once_when_a_provider_refuses_a_caller() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Good)]).await;
    gate.says(good());
    let house = scene(&gate).await;
    let id = add(&house, "default", "a-good-key").await.json()["id"].as_str().unwrap().to_owned();
    let causes = async || {
        let checks = house.admin.get(&format!("{SECRETS}/{id}/checks")).send().await.json();
        let items = checks["items"].as_array().unwrap().clone();
        items.iter().map(|c| c["cause"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The first look plans; a round and its fifth later it is asked, once.
    house.clock.advance(std::time::Duration::from_secs(11));
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(causes().await, ["entry"]);
    house.clock.advance(std::time::Duration::from_secs(360 * 72));
    until("a check by schedule", async || causes().await.len() == 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(causes().await, ["schedule", "entry"]);
    // The provider has changed its mind, and a caller meets that first.
    gate.rule("a-good-key", Rule::Status(401));
    let client = house.client().await;
    assert_eq!(client.get("/toll/x").send().await.status, 401);
    until("a check", async || causes().await.len() == 3).await;
    assert_eq!(causes().await[0], "refusal");
    assert_eq!(shown(&house, &id).await["health"], "refused");
    // Not again and again.
    client.get("/toll/x").send().await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(causes().await.len(), 3);
    let trail = house.admin.get("/api/v1/admin/audit?kind=change").send().await.json();
    let ours = trail["items"].as_array().unwrap().iter();
    let ours: Vec<&Value> = ours.filter(|item| item["actor"]["name"] == "probe").collect();
    assert_eq!(ours.len(), 2, "{trail}");
    assert_eq!(ours[0]["actor"]["type"], "house");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_key_is_told_thirty_seven_and_one_days_before_once_each() {
    const A_DAY: u64 = 86_400;
    let gate = Tollgate::open(&[("a-good-key", Rule::Good), ("a-third-key", Rule::Good)]).await;
    gate.says(json!({"account": "L1"}));
    let house = scene(&gate).await;
    // Forty days from now, as was entered; and as the provider says.
    let fields = json!({"api_key": "a-good-key"});
    let body = json!({"provider": "toll", "fields": fields, "expires_at": "2026-02-24T12:00:00Z"});
    let added = house.admin.post(SECRETS).json(&body).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    gate.says(json!({"account": "L1", "ends": "2026-02-24T12:00:00Z"}));
    add(&house, "told", "a-third-key").await;
    let warnings = async || {
        let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.json();
        let items = trail["items"].as_array().unwrap().clone();
        let mut told: Vec<(String, i64)> = items
            .iter()
            .filter(|item| {
                item["detail"]["alert"] == "secret_expiring"
                    || item["detail"]["finding"] == "secret_expired"
            })
            .map(|item| {
                let name = item["detail"]["secret"]["name"].as_str().unwrap().to_owned();
                (name, item["detail"]["days"].as_i64().unwrap_or(0))
            })
            .collect();
        told.sort();
        told
    };
    let mut expected: Vec<(String, i64)> = Vec::new();
    for (days, warned) in
        [(9, None), (2, Some(30)), (10, None), (13, Some(7)), (5, Some(1)), (2, Some(0))]
    {
        house.clock.advance(std::time::Duration::from_secs(days * A_DAY));
        if let Some(days) = warned {
            expected.extend(["default", "told"].map(|name| (name.to_owned(), days)));
            expected.sort();
        }
        until("the warnings", async || warnings().await.len() >= expected.len()).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        assert_eq!(warnings().await, expected, "{warned:?}");
    }
    let figures = house.admin.bare(http::Method::GET, "/metrics").send().await.text();
    assert!(figures.contains("sealgate_alerts_total{kind=\"secret_expiring\"} 6"), "{figures}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_a_key_goes_where_a_call_may_go_and_nowhere_else() {
    let gate = Tollgate::open(&[("a-good-key", Rule::Status(307))]).await;
    let inner = format!(
        "[providers.inner]\nbase_url = \"https://127.0.0.1:{}\"\ncategory = \"tests\"\n\
         inject = [{{ at = \"header\", name = \"X-Toll\", value = \"{{api_key}}\" }}]\n\
         probe = {{ path = \"/me\" }}\n",
        gate.address.port()
    );
    let settings = gate.settings("toll", PROBE) + &inner;
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let body = json!({"provider": "inner", "fields": {"api_key": "a-good-key"}});
    let refused = house.admin.post(SECRETS).json(&body).send().await;
    refused.is_refusal(502, "upstream_unreachable");
    assert_eq!(gate.calls("a-good-key"), 0, "nothing leaves for a private address");
    // A redirect is an answer that nobody follows.
    add(&house, "default", "a-good-key").await.is_refusal(502, "upstream_invalid");
    assert_eq!(gate.calls("a-good-key"), 1);
    house.leave().await;
}
