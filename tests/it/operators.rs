//! Operators of the console: the first one by an admin key, others by invitation; password and code
//! to sign in, a fresh code for what hurts; sessions that end when they should, on every node; and
//! what stands while the house is sealed.

use std::time::Duration;

use http::Method;
use sealgate::clock::Clock;
use serde_json::{Value, json};

use crate::backup::Site;
use crate::house::{
    Database, Desk, Ground, House, Kind, PASSWORD, Phone, Plan, cookie, offer, on_both,
};

const SESSION: &str = "/api/v1/session";
const OPERATORS: &str = "/api/v1/admin/operators";
const SESSIONS: &str = "/api/v1/admin/sessions";

async fn state(house: &House, cookie: &str) -> Value {
    let call = house.admin.bare(Method::GET, SESSION).header("cookie", cookie);
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Behind this many seconds, once everybody has seen the clock.
async fn later(house: &House, seconds: u64) {
    house.clock.advance(Duration::from_secs(seconds));
    tokio::time::sleep(Duration::from_millis(300)).await;
}

on_both! {
    async fn the_first_operator_comes_by_an_admin_key_and_the_key_signs_in_no_more(house: House) {
        assert_eq!(state(&house, "").await["state"], "first_run");
        let user = house.client_with(json!({"role": "operator"})).await;
        let by_key = async |key: &str| {
            let body = json!({"admin_key": key});
            house.admin.bare(Method::POST, SESSION).json(&body).send().await
        };
        by_key("mdw_nobody").await.is_refusal(401, "unauthorized");
        by_key(&user.key).await.is_refusal(403, "forbidden");
        let begun = by_key(&house.admin_key()).await;
        assert_eq!(begun.status, 200, "{}", begun.text());
        assert_eq!(begun.json()["state"], "set_up");
        let held = cookie(&begun).unwrap();
        assert_eq!(state(&house, &held).await["state"], "set_up");
        let with = |method: Method, path: &str| {
            house.admin.bare(method, path).header("cookie", &held)
        };
        // It does its one errand and nothing else.
        for path in ["/api/v1/admin/secrets", OPERATORS, SESSIONS, "/api/v1/admin/audit"] {
            with(Method::GET, path).send().await.is_refusal(403, "forbidden");
        }
        with(Method::POST, "/api/v1/admin/seal").json(&json!({})).send().await
            .is_refusal(403, "forbidden");
        let invite = |role: &str| {
            with(Method::POST, OPERATORS).json(&json!({"name": "Ada", "role": role}))
        };
        invite("operator").send().await.is_refusal(422, "invalid");
        let made = invite("admin").send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.json()["operator"]["state"], "invited");
        // There is one now, if only invited.
        invite("admin").send().await.is_refusal(401, "unauthorized");
        by_key(&house.admin_key()).await.is_refusal(403, "forbidden");
        assert_eq!(state(&house, "").await["state"], "signed_out");
        let desk = Desk::accept(&house, made.json()["invitation"].as_str().unwrap()).await;
        let session = state(&house, &desk.cookie).await;
        assert_eq!(session["state"], "signed_in");
        assert_eq!(session["operator"]["name"], "ada");
        assert_eq!(session["operator"]["role"], "admin");
        assert_eq!(session["operator"]["recovery_codes_left"], 10);
        assert_eq!(session["stepped_up_until"], Value::Null);
        assert_eq!(desk.get(&house, OPERATORS).await.json()["items"][0]["state"], "active");
        house.leave().await;
    }
}

on_both! {
    async fn signing_in_takes_name_password_and_a_code_that_was_not_used(house: House) {
        let desk = Desk::open(&house, "ada", "admin").await;
        // The code that accepted the invitation is used up.
        let used = desk.phone.code();
        let bodies = [
            desk.sign_in(&house, PASSWORD, &used).await,
            desk.sign_in(&house, "seven quiet heron", &desk.next_code(&house).await).await,
            desk.sign_in(&house, PASSWORD, "000000").await,
        ];
        for answer in &bodies {
            answer.is_refusal(401, "unauthorized");
        }
        let body = json!({"name": "nobody", "password": PASSWORD, "code": used});
        let nobody = house.admin.bare(Method::POST, SESSION).json(&body).send().await;
        nobody.is_refusal(401, "unauthorized");
        let without_id = |answer: &crate::house::Answer| {
            let mut body = answer.json();
            body["request_id"] = Value::Null;
            body
        };
        assert_eq!(without_id(&nobody), without_id(&bodies[0]));
        let answer = desk.sign_in(&house, PASSWORD, &desk.phone.code()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let set = answer.header("set-cookie").unwrap();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
        assert!(!set.contains("Secure"), "off TLS, on loopback");
        assert_ne!(cookie(&answer).unwrap(), desk.cookie);
        // A recovery code stands in for the app, once.
        let code = &desk.recovery[2];
        assert_eq!(desk.sign_in(&house, PASSWORD, code).await.status, 200);
        desk.sign_in(&house, PASSWORD, code).await.is_refusal(401, "unauthorized");
        assert_eq!(state(&house, &desk.cookie).await["operator"]["recovery_codes_left"], 9);
        // The trail says whose it was, and what was wrong.
        let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.text();
        for said in ["sign_in_failed", "\"wrong\":\"code\"", "\"wrong\":\"password\"", "signed_in"] {
            assert!(trail.contains(said), "{said}: {trail}");
        }
        assert!(trail.contains("\"type\":\"operator\""), "{trail}");
        assert!(!trail.contains(PASSWORD) && !trail.contains(&used) && !trail.contains(code));
        house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_what_the_table_of_roles_says() {
    let house = House::open().await;
    let admin = Desk::open(&house, "ada", "admin").await;
    let operator = Desk::open(&house, "olga", "operator").await;
    let auditor = Desk::open(&house, "aude", "auditor").await;
    for (desk, path, status) in [
        (&operator, "/api/v1/admin/secrets", 200),
        (&operator, OPERATORS, 403),
        (&operator, "/api/v1/admin/audit/verify", 403),
        (&auditor, "/api/v1/admin/secrets", 200),
        (&auditor, "/api/v1/admin/audit/verify", 200),
        (&auditor, OPERATORS, 403),
        (&admin, OPERATORS, 200),
    ] {
        assert_eq!(desk.get(&house, path).await.status, status, "{} {path}", desk.name);
    }
    let keys = "/api/v1/admin/api-keys";
    assert_eq!(operator.post(&house, keys, make("user")).await.status, 201);
    operator.post(&house, keys, make("admin")).await.is_refusal(403, "forbidden");
    auditor.post(&house, keys, make("user")).await.is_refusal(403, "forbidden");
    assert_eq!(admin.post(&house, keys, make("operator")).await.status, 201);
    house.leave().await;
}

fn make(role: &str) -> Value {
    json!({"name": "made by an operator", "role": role})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hurts_takes_a_fresh_code_of_an_operator_and_none_of_a_key() {
    let house = House::open().await;
    let mut admin = Desk::open(&house, "ada", "admin").await;
    let operator = Desk::open(&house, "olga", "operator").await;
    let keys = "/api/v1/admin/api-keys";
    let other = json!({"name": "eve", "role": "admin"});
    let secrets = house.admin.get("/api/v1/admin/secrets").send().await.json();
    let secret = secrets["items"].as_array().unwrap().iter();
    let secret = secret.clone().find(|one| one["provider"] == "quill").unwrap();
    let secret = format!("/api/v1/admin/secrets/{}", secret["id"].as_str().unwrap());
    let backup = json!({"stream": true, "passphrase": "nine slow brown herons"});
    for (path, body) in [
        (keys, make("admin")),
        (OPERATORS, other.clone()),
        ("/api/v1/admin/seal", json!({})),
        ("/api/v1/admin/backups", backup),
    ] {
        admin.post(&house, path, body).await.is_refusal(403, "step_up_required");
    }
    admin.delete(&house, &secret).await.is_refusal(403, "step_up_required");
    let next = json!({"fields": {"api_key": "another"}, "now": true, "validate": false});
    let versions = format!("{secret}/versions");
    admin.post(&house, &versions, next).await.is_refusal(403, "step_up_required");
    let own = format!("{OPERATORS}/{}", admin.id);
    admin.delete(&house, &own).await.is_refusal(403, "step_up_required");
    admin
        .post(&house, &format!("{own}/reset"), json!({}))
        .await
        .is_refusal(403, "step_up_required");
    let made_admin = format!("{OPERATORS}/{}", operator.id);
    let call = admin.call(&house, Method::PUT, &made_admin).json(&json!({"role": "admin"}));
    call.send().await.is_refusal(403, "step_up_required");
    let wrong = admin.post(&house, "/api/v1/session/step-up", json!({"code": "000000"})).await;
    wrong.is_refusal(401, "unauthorized");
    // A recovery code is a way in, and no fresh code.
    let recovery = json!({"code": admin.recovery[0]});
    admin.post(&house, "/api/v1/session/step-up", recovery).await.is_refusal(401, "unauthorized");

    let before = admin.cookie.clone();
    admin.step_up(&house).await;
    assert_ne!(admin.cookie, before);
    assert_eq!(state(&house, &before).await["state"], "signed_out", "the id before is none");
    assert!(state(&house, &admin.cookie).await["stepped_up_until"].is_string());
    assert_eq!(admin.post(&house, keys, make("admin")).await.status, 201);
    assert_eq!(admin.post(&house, OPERATORS, other).await.status, 201);
    assert_eq!(admin.delete(&house, &secret).await.status, 204);
    later(&house, 301).await;
    admin.post(&house, keys, make("admin")).await.is_refusal(403, "step_up_required");
    // A key is not asked, and has no codes.
    let step_up = house.admin.post("/api/v1/session/step-up").json(&json!({"code": "000000"}));
    step_up.send().await.is_refusal(403, "forbidden");
    let made = house.admin.post(keys).json(&make("admin")).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    house.leave().await;
}

on_both! {
    async fn sessions_end_by_hand_by_rest_and_by_age(house: House) {
        let desk = Desk::open(&house, "ada", "admin").await;
        let again = async |desk: &Desk| again(&house, desk).await;
        let is_in = async |cookie: &str| is_in(&house, cookie).await;

        // By hand: one's own session elsewhere, and this one.
        let elsewhere = again(&desk).await;
        let listed = desk.get(&house, SESSIONS).await.json();
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.len(), 2, "{listed}");
        let there = items.iter().find(|one| one["current"] == false).unwrap();
        let path = format!("{SESSIONS}/{}", there["id"].as_str().unwrap());
        assert_eq!(desk.delete(&house, &path).await.status, 204);
        assert!(!is_in(&elsewhere).await && is_in(&desk.cookie).await);
        let out = desk.delete(&house, SESSION).await;
        assert_eq!(out.status, 204);
        assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert!(!is_in(&desk.cookie).await);

        // By rest, and by age.
        let idle = again(&desk).await;
        let use_it = async |cookie: &str, unattended: bool| {
            let call = house.admin.bare(Method::GET, SESSIONS).header("cookie", cookie);
            let call = if unattended { call.header("x-sealgate-unattended", "1") } else { call };
            call.send().await.status
        };
        later(&house, 1_700).await;
        assert_eq!(use_it(&idle, false).await, 200);
        later(&house, 1_700).await;
        // Neither a look nor what no hand asked for is a use of it.
        assert!(is_in(&idle).await);
        assert_eq!(use_it(&idle, true).await, 200);
        later(&house, 110).await;
        assert_eq!(use_it(&idle, false).await, 401);
        assert!(!is_in(&idle).await);
        let old = again(&desk).await;
        for _ in 0..25 {
            later(&house, 1_700).await;
            assert_eq!(use_it(&old, false).await, 200);
        }
        later(&house, 1_700).await;
        assert_eq!(use_it(&old, false).await, 401, "twelve hours, used or not");
        house.leave().await;
    }
}

async fn again(house: &House, desk: &Desk) -> String {
    let code = desk.next_code(house).await;
    let answer = desk.sign_in(house, PASSWORD, &code).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    cookie(&answer).unwrap()
}

/// At a server of its own: status, cookie, body.
async fn post(server: &str, path: &str, body: Value) -> (u16, Option<String>, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = http.post(format!("{server}{path}")).json(&body).send().await.unwrap();
    let cookie = sent.headers().get("set-cookie");
    let cookie = cookie.map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned());
    (sent.status().as_u16(), cookie, sent.json::<Value>().await.unwrap())
}

/// Whose session the cookie is there.
async fn who(server: &str, cookie: &str) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http.get(format!("{server}{SESSION}")).header("cookie", cookie);
    call.send().await.unwrap().json().await.unwrap()
}

/// By the clock of the machine.
async fn accepted(server: &str, made: &Value) -> (Phone, String) {
    let invitation = made["invitation"].as_str().unwrap();
    let path = "/api/v1/session/invitation";
    let (_, _, offered) = post(server, path, json!({"invitation": invitation})).await;
    let phone = Phone::of(offered["totp_secret"].as_str().unwrap(), &Clock::system());
    let body = json!({"invitation": invitation, "password": PASSWORD, "code": phone.code()});
    let (status, cookie, told) = post(server, &format!("{path}/accept"), body).await;
    assert_eq!(status, 200, "{told}");
    (phone, cookie.unwrap())
}

async fn is_in(house: &House, cookie: &str) -> bool {
    state(house, cookie).await["state"] == "signed_in"
}

on_both! {
    async fn another_password_role_or_reset_ends_sessions_and_so_does_removal(house: House) {
        let desk = Desk::open(&house, "ada", "admin").await;
        let again = async |desk: &Desk| again(&house, desk).await;
        let is_in = async |cookie: &str| is_in(&house, cookie).await;
        // By another password: every other one, and this one goes on under a new id.
        let (one, two) = (again(&desk).await, again(&desk).await);
        let change = json!({
            "old": PASSWORD, "new": "eleven louder herons", "code": desk.next_code(&house).await,
        });
        let call = house.admin.bare(Method::PUT, "/api/v1/session/password");
        let changed = call.header("cookie", &one).json(&change).send().await;
        assert_eq!(changed.status, 204, "{}", changed.text());
        let here = cookie(&changed).unwrap();
        assert!(is_in(&here).await && !is_in(&one).await && !is_in(&two).await);
        let code = desk.next_code(&house).await;
        desk.sign_in(&house, PASSWORD, &code).await.is_refusal(401, "unauthorized");

        // By another role, a reset, and removal.
        let olga = Desk::open(&house, "olga", "operator").await;
        let path = format!("{OPERATORS}/{}", olga.id);
        let call = house.admin.put(&path).json(&json!({"role": "auditor"}));
        assert_eq!(call.send().await.json()["role"], "auditor");
        assert!(!is_in(&olga.cookie).await);
        let cookie = again(&olga).await;
        let reset = house.admin.post(&format!("{path}/reset")).json(&json!({})).send().await;
        assert_eq!(reset.status, 201, "{}", reset.text());
        assert!(!is_in(&cookie).await);
        let code = olga.next_code(&house).await;
        olga.sign_in(&house, PASSWORD, &code).await.is_refusal(401, "unauthorized");
        let anew = Desk::accept(&house, reset.json()["invitation"].as_str().unwrap()).await;
        assert!(is_in(&anew.cookie).await);
        assert_eq!(house.admin.delete(&path).send().await.status, 204);
        assert!(!is_in(&anew.cookie).await);
        house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_good_once_and_not_for_ever_and_a_password_is_no_word() {
    let house = House::open().await;
    let invite = async |name: &str| {
        let body = json!({"name": name, "role": "auditor", "email": "aude@example.org"});
        house.admin.post(OPERATORS).json(&body).send().await
    };
    let made = invite("aude.martin").await;
    invite("Aude.Martin").await.is_refusal(409, "conflict");
    for bad in ["", "-x", "a b", "é"] {
        invite(bad).await.is_refusal(422, "invalid");
    }
    let body = json!({"name": "x", "role": "user"});
    house.admin.post(OPERATORS).json(&body).send().await.is_refusal(422, "invalid");
    let invitation = made.json()["invitation"].as_str().unwrap().to_owned();
    assert!(invitation.starts_with("sgi_") && invitation.len() == 47);
    let first = offer(&house.admin, &invitation).await;
    assert_eq!(offer(&house.admin, &invitation).await, first, "the same when asked again");
    assert_eq!((&first["name"], &first["role"]), (&json!("aude.martin"), &json!("auditor")));
    let phone = Phone::of(first["totp_secret"].as_str().unwrap(), &house.clock);
    let uri = first["totp_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Sealgate:aude.martin?secret="), "{uri}");
    let accept = async |password: &str, code: &str| {
        let body = json!({"invitation": invitation, "password": password, "code": code});
        let path = "/api/v1/session/invitation/accept";
        house.admin.bare(Method::POST, path).json(&body).send().await
    };
    for weak in ["short", "passwordpassword", "aude.martin!!", "123456789012"] {
        accept(weak, &phone.code()).await.is_refusal(422, "invalid");
    }
    accept(PASSWORD, "000000").await.is_refusal(401, "unauthorized");
    assert_eq!(accept(PASSWORD, &phone.code()).await.status, 200);
    later(&house, 60).await;
    accept(PASSWORD, &phone.code()).await.is_refusal(401, "unauthorized");
    let body = json!({"invitation": invitation});
    let path = "/api/v1/session/invitation";
    let again = house.admin.bare(Method::POST, path).json(&body).send().await;
    again.is_refusal(401, "unauthorized");
    let late = invite("late").await.json()["invitation"].as_str().unwrap().to_owned();
    later(&house, 259_201).await;
    let body = json!({"invitation": late});
    let again = house.admin.bare(Method::POST, path).json(&body).send().await;
    again.is_refusal(401, "unauthorized");
    let listed = house.admin.get(OPERATORS).send().await.json();
    assert_eq!(listed["items"][0]["state"], "expired", "{listed}");
    house.leave().await;
}

on_both! {
    async fn sealed_who_was_in_stays_nobody_signs_in_and_an_admin_key_unseals(house: House) {
        let mut desk = Desk::open(&house, "ada", "admin").await;
        desk.step_up(&house).await;
        let elsewhere = Desk::open(&house, "olga", "operator").await;
        assert_eq!(desk.post(&house, "/api/v1/admin/seal", json!({})).await.status, 200);
        let session = state(&house, &desk.cookie).await;
        assert_eq!((&session["state"], &session["sealed"]), (&json!("signed_in"), &json!(true)));
        assert_eq!(desk.get(&house, "/api/v1/admin/audit").await.status, 200);
        desk.get(&house, "/api/v1/admin/secrets").await.is_refusal(503, "sealed");
        let code = desk.next_code(&house).await;
        desk.sign_in(&house, PASSWORD, &code).await.is_refusal(503, "sealed");
        desk.post(&house, "/api/v1/session/step-up", json!({"code": code})).await
            .is_refusal(503, "sealed");
        // While nothing can be judged, what was edited is nobody's.
        house.database.tamper(
            "UPDATE operators SET role = 'admin' WHERE name = 'olga'",
        ).await;
        assert_eq!(state(&house, &elsewhere.cookie).await["state"], "signed_out");
        let body = json!({"admin_key": house.admin_key()});
        let begun = house.admin.bare(Method::POST, SESSION).json(&body).send().await;
        assert_eq!(begun.json()["state"], "unsealing");
        let held = cookie(&begun).unwrap();
        let with = |method: Method, path: &str| {
            house.admin.bare(method, path).header("cookie", &held)
        };
        with(Method::GET, "/api/v1/admin/audit").send().await.is_refusal(403, "forbidden");
        let unsealed = with(Method::POST, "/api/v1/admin/unseal").json(&json!({})).send().await;
        assert_eq!(unsealed.status, 200, "{}", unsealed.text());
        assert_eq!(state(&house, &held).await["state"], "signed_out", "its errand is done");
        assert_eq!(state(&house, &desk.cookie).await["state"], "signed_in");
        house.leave().await;
    }
}

/// Somebody who listens to the trail is cut off when his session ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_the_trail_is_let_go_when_his_session_ends() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    let mut stream = desk.call(&house, Method::GET, "/api/v1/admin/audit/stream").open().await;
    assert_eq!(stream.status, 200);
    let path = format!("{OPERATORS}/{}", desk.id);
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    let mut heard = String::new();
    let ends = async {
        while let Some(piece) = stream.next().await {
            heard.push_str(&String::from_utf8_lossy(&piece));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.unwrap();
    assert!(heard.contains("\"reason\":\"revoked\""), "{heard}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_tls_the_cookie_is_bound_to_its_host() {
    let settings = String::from("admin.behind_tls = true\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let desk = Desk::open(&house, "ada", "admin").await;
    assert!(desk.cookie.starts_with("__Host-sealgate="), "{}", desk.cookie);
    let answer = desk.sign_in(&house, PASSWORD, &desk.next_code(&house).await).await;
    let set = answer.header("set-cookie").unwrap();
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
    // The plain name is not taken under TLS.
    let plain = desk.cookie.replace("__Host-", "");
    assert_eq!(state(&house, &plain).await["state"], "signed_out");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_ends_is_ended_on_the_other_and_the_commands_do_it() {
    let database = Database::fresh(Kind::Postgres, std::path::Path::new("")).await;
    let settings = format!("proxy.workers = 1\n{}", database.settings());
    let first = Ground::new(&settings);
    let master = first.path().join("keys/master.key");
    let master = format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
    let second = Ground::new(&format!("{master}{settings}"));
    first.json(&["init", "--json"]);
    let (one, two) = (first.serve(&[]), second.serve(&[]));
    let made = first.json(&["operator", "add", "ada", "--role", "admin", "--json"]);
    let listed = second.json(&["operator", "list", "--json"]);
    assert_eq!(listed["items"][0]["state"], "invited", "{listed}");
    let (phone, cookie) = accepted(&one.admin, &made).await;
    assert_eq!(who(&two.admin, &cookie).await["operator"]["name"], "ada");
    // The code was used on the other node.
    let body = json!({"name": "ada", "password": PASSWORD, "code": phone.code()});
    assert_eq!(post(&two.admin, SESSION, body).await.0, 401);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sessions = http.get(format!("{}{SESSIONS}", one.admin)).header("cookie", &cookie);
    let sessions = sessions.send().await.unwrap().json::<Value>().await.unwrap();
    let id = sessions["items"][0]["id"].as_str().unwrap();
    let end = http.delete(format!("{}{SESSIONS}/{id}", one.admin)).header("cookie", &cookie);
    assert_eq!(end.send().await.unwrap().status().as_u16(), 204);
    assert_eq!(
        who(&two.admin, &cookie).await["state"],
        "signed_out",
        "at once, and not within a second"
    );
    let reset = second.json(&["operator", "reset", "ada", "--json"]);
    assert!(reset["invitation"].as_str().unwrap().starts_with("sgi_"));
    let gone = first.json(&["operator", "remove", "ada", "--json"]);
    assert_eq!(gone["removed"], true);
    assert_eq!(second.json(&["operator", "list", "--json"])["items"], json!([]));
    let told = first.fails(&["operator", "reset", "ada"]);
    assert!(told.contains("no operator has the id or name"), "{told}");
    one.stop();
    two.stop();
    database.drop_it().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_come_back_with_a_restore_and_sessions_do_not() {
    let site = Site::new().await;
    let first = site.ground("");
    let key = site.furnish(&first);
    let made = first.json(&["operator", "add", "ada", "--role", "admin", "--json"]);
    let server = first.serve(&[]);
    let (phone, cookie) = accepted(&server.admin, &made).await;
    server.stop();
    site.back_up(&first, "backup.age");
    let second = site.ground("");
    site.restored(&second, "backup.age", &[]);
    let server = second.serve(&[]);
    assert_eq!(who(&server.admin, &cookie).await["state"], "signed_out");
    // The next step, if not yet by the clock, then one that is taken before its time.
    let body = json!({"name": "ada", "password": PASSWORD, "code": phone.code_at(1)});
    let (status, _, session) = post(&server.admin, SESSION, body).await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(session["operator"]["role"], "admin");
    server.stop();
    site.assert_serves(&second, &key).await;
}
