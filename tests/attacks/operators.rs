//! Attacks on the console's accounts: a planted session, a page of another site, a code that was
//! seen, codes that are guessed, rows that are edited or put back, and the cookie at the wrong door.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::it::house::{Desk, House, PASSWORD, cookie};

const SESSION: &str = "/api/v1/session";
const OPERATORS: &str = "/api/v1/admin/operators";

async fn state(house: &House, cookie: &str) -> Value {
    let call = house.admin.bare(Method::GET, SESSION).header("cookie", cookie);
    call.send().await.json()["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_session_is_never_taken_over() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    let planted = format!("sealgate={}", "A".repeat(43));
    let body = json!({
        "name": "ada", "password": PASSWORD, "code": desk.next_code(&house).await,
    });
    let call = house.admin.bare(Method::POST, SESSION).header("cookie", &planted);
    let answer = call.json(&body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_ne!(cookie(&answer).unwrap(), planted);
    assert_eq!(state(&house, &planted).await, "signed_out");
    // Beside the right one, it makes it ambiguous: nobody is signed in.
    let both = format!("{planted}; {}", desk.cookie);
    assert_eq!(state(&house, &both).await, "signed_out");
    let call = house.admin.bare(Method::GET, "/api/v1/admin/secrets").header("cookie", &both);
    call.send().await.is_refusal(401, "unauthorized");
    // Another operator's sign-in in the same browser leaves the first one's session to nobody new.
    assert_eq!(state(&house, &desk.cookie).await, "signed_in");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_does_nothing_with_the_cookie() {
    let house = House::open().await;
    let mut desk = Desk::open(&house, "ada", "admin").await;
    desk.step_up(&house).await;
    let address = house.running().admin_address().unwrap();
    let own = format!("http://{address}");
    let key = json!({"name": "by a page", "role": "user"});
    let path = "/api/v1/admin/api-keys";
    for (name, value, passes) in [
        ("origin", "https://evil.example", false),
        ("origin", "null", false),
        ("origin", "http://127.0.0.1:1", false),
        ("sec-fetch-site", "cross-site", false),
        ("sec-fetch-site", "same-site", false),
        ("sec-fetch-site", "same-origin", true),
        ("sec-fetch-site", "none", true),
        ("origin", own.as_str(), true),
    ] {
        let with = |method: Method, path: &str| desk.call(&house, method, path).header(name, value);
        let made = with(Method::POST, path).json(&key).send().await;
        if passes {
            assert_eq!(made.status, 201, "{name}: {value}: {}", made.text());
            continue;
        }
        made.is_refusal(403, "forbidden");
        with(Method::POST, "/api/v1/admin/seal")
            .json(&json!({}))
            .send()
            .await
            .is_refusal(403, "forbidden");
        with(Method::DELETE, SESSION).send().await.is_refusal(403, "forbidden");
        let other = format!("{OPERATORS}/{}", desk.id);
        with(Method::PUT, &other)
            .json(&json!({"role": "auditor"}))
            .send()
            .await
            .is_refusal(403, "forbidden");
        // Nor is somebody signed in as somebody else.
        let body = json!({"name": "ada", "password": PASSWORD, "code": desk.phone.code()});
        let call = house.admin.bare(Method::POST, SESSION).header(name, value);
        call.json(&body).send().await.is_refusal(403, "forbidden");
        // A key is none of the browser's: it passes as ever.
        let made = house.admin.post(path).header(name, value).json(&key).send().await;
        assert_eq!(made.status, 201, "{name}: {value}: {}", made.text());
    }
    assert_eq!(state(&house, &desk.cookie).await, "signed_in");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_was_seen_passes_for_nobody_and_two_at_once_are_one() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    let code = desk.next_code(&house).await;
    let (one, two) =
        tokio::join!(desk.sign_in(&house, PASSWORD, &code), desk.sign_in(&house, PASSWORD, &code));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    // An earlier one that was not used is none any more, either.
    let earlier = desk.phone.code_at(-1);
    desk.sign_in(&house, PASSWORD, &earlier).await.is_refusal(401, "unauthorized");
    let step_up = json!({"code": code});
    desk.post(&house, "/api/v1/session/step-up", step_up).await.is_refusal(401, "unauthorized");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_waits_and_locks_nobody_out_but_the_guesser() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    // Passwords of one name from here: five, then each waits, known name or not.
    let guess = async |name: &str| {
        let body = json!({"name": name, "password": "wrong wrong wrong", "code": "000000"});
        house.admin.bare(Method::POST, SESSION).json(&body).send().await
    };
    for name in ["ada", "nobody"] {
        for _ in 0..5 {
            guess(name).await.is_refusal(401, "unauthorized");
        }
        let refused = guess(name).await;
        refused.is_refusal(429, "rate_limited");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    // Who is in stays in, and steps up.
    assert_eq!(state(&house, &desk.cookie).await, "signed_in");
    // Time gives the next try back.
    house.clock.advance(Duration::from_secs(35));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = desk.sign_in(&house, PASSWORD, &desk.phone.code()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Codes behind a session: ten, then each waits.
    let mut refused = 0;
    for number in 0..12 {
        let code = json!({"code": format!("{:06}", 111_111 + number)});
        let answer = desk.post(&house, "/api/v1/session/step-up", code).await;
        match answer.status {
            401 => {}
            429 => refused += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(refused >= 1, "{refused}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edited_rows_sign_nobody_in() {
    let mut house = House::open().await;
    let ada = Desk::open(&house, "ada", "admin").await;
    let olga = Desk::open(&house, "olga", "operator").await;
    let rose = Desk::open(&house, "rose", "auditor").await;
    let edit = async |sql: String| house.database.tamper(&sql).await;
    // A password of the attacker's, a role of his choosing, a session moved to somebody else.
    edit(String::from(
        "UPDATE operators SET password = (SELECT password FROM operators WHERE name = 'ada')
         WHERE name = 'rose'",
    ))
    .await;
    edit(String::from("UPDATE operators SET role = 'admin' WHERE name = 'olga'")).await;
    for desk in [&olga, &rose] {
        assert_eq!(state(&house, &desk.cookie).await, "signed_out", "{}", desk.name);
        let code = desk.next_code(&house).await;
        desk.sign_in(&house, PASSWORD, &code).await.is_refusal(401, "unauthorized");
    }
    assert_eq!(state(&house, &ada.cookie).await, "signed_in");
    let sold = Desk::open(&house, "sold", "auditor").await;
    edit(format!(
        "UPDATE operator_sessions SET operator_id = '{}' WHERE operator_id = '{}'",
        ada.id, sold.id
    ))
    .await;
    assert_eq!(state(&house, &sold.cookie).await, "signed_out");
    let made_old = Desk::open(&house, "old", "auditor").await;
    edit(format!(
        "UPDATE operator_sessions SET ends_at = ends_at + 86400000, stepped_up_at = created_at
         WHERE operator_id = '{}'",
        made_old.id
    ))
    .await;
    assert_eq!(state(&house, &made_old.cookie).await, "signed_out");
    // The next start names both, and nothing is built on such a row.
    house.restart().await;
    let told = house.admin.get("/api/v1/admin/integrity").send().await.text();
    for desk in [&olga, &rose] {
        assert!(told.contains(&desk.id), "{}: {told}", desk.name);
    }
    assert!(!told.contains(&ada.id), "{told}");
    let path = format!("{OPERATORS}/{}", olga.id);
    let listed = house.admin.get(&path).send().await.json();
    assert!(listed["fault"].as_str().is_some_and(|fault| fault.contains("signs nobody in")));
    let reset = house.admin.post(&format!("{path}/reset")).json(&json!({})).send().await;
    reset.is_refusal(409, "conflict");
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_put_back_after_a_new_password_is_none() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    let save = "CREATE TABLE _kept AS SELECT * FROM operator_sessions";
    house.database.tamper(save).await;
    let change = json!({
        "old": PASSWORD, "new": "eleven louder herons", "code": desk.next_code(&house).await,
    });
    let call = desk.call(&house, Method::PUT, "/api/v1/session/password").json(&change);
    assert_eq!(call.send().await.status, 204);
    house.database.tamper("INSERT INTO operator_sessions SELECT * FROM _kept").await;
    house.database.tamper("DROP TABLE _kept").await;
    assert_eq!(state(&house, &desk.cookie).await, "signed_out");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_passes_the_proxy_in_neither_direction() {
    let house = House::open().await;
    let desk = Desk::open(&house, "ada", "admin").await;
    let caller = house.client().await;
    let value = desk.cookie.split_once('=').unwrap().1.to_owned();
    for sent in [desk.cookie.clone(), format!("a=1; __Host-sealgate={value}; b=2")] {
        let answer = caller.get("/acme/x").header("cookie", &sent).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for seen in house.provider.seen() {
        let bytes = String::from_utf8_lossy(&seen.bytes()).into_owned();
        assert!(!bytes.contains(&value), "{bytes}");
    }
    let last = house.provider.seen().pop().unwrap();
    let bytes = String::from_utf8_lossy(&last.bytes()).to_lowercase();
    assert!(bytes.contains("a=1; b=2"), "{bytes}");
    // Alone it is no credential there.
    let bare = caller.bare("/acme/x").header("cookie", &desk.cookie).send().await;
    bare.is_refusal(401, "unauthorized");
    // And neither a session nor a code is written down as it is.
    let dump = house.database.dump().await;
    let dump = String::from_utf8_lossy(&dump);
    assert!(!dump.contains(&value) && !dump.contains(&desk.recovery[0]));
    assert!(!dump.contains(PASSWORD));
    house.leave().await;
}
