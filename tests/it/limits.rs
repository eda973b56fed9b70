//! Quotas: exact, told in every answer, freed by the clock alone.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;
use serde_json::json;

use crate::house::{Answer, Channel, Client, House, Kind, NOON_MS, Plan, Speaks, on_both};
use crate::shared::Redis;

const NOON: i64 = NOON_MS / 1000;

fn told(answer: &Answer, prefix: &str) -> [Option<i64>; 4] {
    ["Limit", "Remaining", "Used", "Reset"].map(|name| {
        let value = answer.header(&format!("{prefix}RateLimit-{name}"))?;
        Some(value.parse().unwrap())
    })
}

async fn limited(house: &House) -> Client {
    house.client_with(json!({"tier": "limited"})).await
}

#[tokio::test]
async fn a_quota_is_counted_down_and_its_refusal_says_when_to_come_back() {
    let house = House::open().await;
    let client = limited(&house).await;
    for used in 1..=10 {
        let answer = client.get("/acme/x").send().await;
        assert_eq!(answer.status, 200);
        let [limit, remaining, counted, reset] = told(&answer, "X-Sealgate-");
        assert_eq!((limit, remaining, counted), (Some(10), Some(10 - used), Some(used)));
        assert!((NOON + 3600..=NOON + 3660).contains(&reset.unwrap()), "{reset:?}");
        assert_eq!(told(&answer, "X-"), [limit, remaining, counted, reset]);
    }
    let answer = client.get("/acme/x").send().await;
    let [limit, remaining, used, reset] = told(&answer, "X-Sealgate-");
    assert_eq!((limit, remaining, used), (Some(10), Some(0), Some(10)));
    let reset = reset.unwrap();
    let body = answer.is_refusal(429, "rate_limited");
    assert_eq!(body["error"], "Rate limit exceeded");
    assert_eq!((&body["quota"], &body["limit"]), (&json!(10), &json!("client")));
    assert_eq!(body["reset_at"], sealgate::clock::rfc3339(reset * 1000));
    assert_eq!(answer.header("retry-after"), Some((reset - NOON).to_string().as_str()));
    assert_eq!(house.provider.seen().len(), 10);

    let wait = u64::try_from(reset - NOON).unwrap();
    house.clock.advance(Duration::from_secs(wait - 1));
    let early = client.get("/acme/x").send().await;
    early.is_refusal(429, "rate_limited");
    assert_eq!(early.header("retry-after"), Some("1"));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn callers_at_once_never_get_more_than_the_quota() {
    let house = House::open().await;
    let client = std::sync::Arc::new(limited(&house).await);
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move { client.get("/acme/slow?ms=50").send().await.status })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        match call.await.unwrap() {
            200 => admitted += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!((admitted, house.provider.seen().len()), (10, 10));
    house.leave().await;
}

#[tokio::test]
async fn what_a_provider_answers_counts_and_what_sealgate_refuses_does_not() {
    let house = House::open().await;
    let client = limited(&house).await;
    client.get("/nowhere/x").send().await.is_refusal(404, "unknown_provider");
    client.get("/polygon/x").send().await.is_refusal(503, "no_secret");
    let other = format!("Bearer {}", house.client().await.key);
    let two = client.get("/acme/x").header("authorization", other).send().await;
    two.is_refusal(400, "bad_request");
    for (used, status) in [(1, 500), (2, 401), (3, 404)] {
        let answer = client.get(&format!("/acme/status/{status}")).send().await;
        assert_eq!((answer.status, answer.header("x-sealgate-error")), (status, None));
        assert_eq!(told(&answer, "X-Sealgate-")[2], Some(used));
    }
    let head = client.call(Method::HEAD, "/acme/x").send().await;
    assert_eq!(told(&head, "X-Sealgate-")[2], Some(4));
    house.leave().await;
}

#[tokio::test]
async fn a_providers_own_limit_headers_pass_as_they_are() {
    let house = House::open().await;
    let client = limited(&house).await;
    let answer = client.get("/acme/status/429").send().await;
    assert_eq!((answer.status, answer.header("x-sealgate-error")), (429, None));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(told(&answer, "X-"), [Some(5), None, None, None]);
    assert_eq!(told(&answer, "X-Sealgate-")[..3], [Some(10), Some(9), Some(1)]);
    assert_eq!(answer.json(), json!({"provider_says": 429}));
    house.leave().await;
}

#[tokio::test]
async fn tiers_and_own_limits_are_what_the_settings_and_the_key_say() {
    let house = House::open().await;
    for (members, limit) in [
        (json!({"tier": "limited"}), 10),
        (json!({"tier": "standard"}), 100),
        (json!({"tier": "premium"}), 1000),
        (json!({"tier": "unlimited"}), 999_999),
        (json!({"tier": "limited", "limit": 3}), 3),
    ] {
        let client = house.client_with(members).await;
        let answer = client.get("/acme/x").send().await;
        assert_eq!(told(&answer, "X-Sealgate-")[..2], [Some(limit), Some(limit - 1)]);
    }
    let client = house.client_with(json!({"tier": "limited", "limit": 1})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(house.admin.put(&path).json(&json!({"limit": 2})).send().await.status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    house.leave().await;
}

#[tokio::test]
async fn more_calls_at_once_than_the_house_takes_are_refused_and_then_taken_again() {
    let settings = "proxy.max_concurrent = 1\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let mut held = client.get("/acme/events?n=1").open().await;
    assert_eq!(held.status, 200);
    // Waits its turn for a moment, then is told.
    client.get("/acme/x").send().await.is_refusal(503, "overloaded");
    // One that waits when the place is given back is answered.
    let waiting = tokio::spawn(client.get("/acme/x").try_send());
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.provider.release(1);
    while held.next().await.is_some() {}
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn the_queue_before_a_full_house_is_bounded_and_a_used_up_quota_does_not_wait_in_it() {
    let settings = "proxy.max_concurrent = 1\n".to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let small = house.client_with(json!({"limit": 1})).await;
    assert_eq!(small.get("/acme/x").send().await.status, 200);
    let held = client.get("/acme/events?n=1").open().await;
    small.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(client.get("/acme/x").try_send())).collect();
    let mut refused = 0;
    for call in crowd {
        refused += usize::from(call.await.unwrap().unwrap().status == 503);
    }
    assert_eq!(refused, 20, "nobody passes while the one place is taken");
    drop(held);
    house.provider.release(1);
    house.leave().await;
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_or_cut_and_never_passed_whole() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        bodies_are_bounded(speaks).await;
    }
}

async fn bodies_are_bounded(speaks: Speaks) {
    let settings = "proxy.max_body_bytes = 1000\n".to_owned();
    let house = House::planned(Plan { settings, speaks, ..Plan::default() }).await;
    let client = house.client().await;
    // By which such a call goes over HTTP/2.
    let post = || client.call(Method::POST, "/acme/x").header("content-type", "application/grpc");
    let whole = post().body(vec![b'x'; 1000]).send().await;
    assert_eq!(whole.status, 200);
    let announced = post().body(vec![b'x'; 1001]);
    announced.send().await.is_refusal(413, "too_large");

    let (sender, body) = Channel::open();
    let chunked = post().body(reqwest::Body::wrap(body));
    let chunked = tokio::spawn(chunked.try_send());
    for _ in 0..4 {
        // The other side may have given up already.
        let _ = sender.send(Ok(Frame::data(Bytes::from(vec![b'x'; 400])))).await;
    }
    drop(sender);
    if let Ok(answer) = chunked.await.unwrap() {
        answer.is_refusal(413, "too_large");
    }
    assert_eq!(post().body("x").send().await.status, 200, "nobody takes it ill");
    for seen in house.provider.seen() {
        assert!(seen.body.len() <= 1000, "{} bytes passed", seen.body.len());
    }
    house.leave().await;
}

fn month(answer: &Answer) -> (i64, i64) {
    let body = answer.is_refusal(429, "rate_limited");
    assert_eq!(body["limit"], "monthly", "{body}");
    let reset = body["reset_at"].as_str().unwrap();
    (body["quota"].as_i64().unwrap(), sealgate::clock::parse_rfc3339(reset).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_that_begins_while_the_database_is_away_is_let_in() {
    let redis = Redis::start().await;
    for settings in [String::new(), redis.settings()] {
        let plan = Plan { database: Kind::Postgres, settings, ..Plan::default() };
        let house = House::planned(plan).await;
        let client = house.client_with(json!({"monthly_quota": 2})).await;
        for _ in 0..2 {
            assert_eq!(client.get("/acme/x").send().await.status, 200);
        }
        month(&client.get("/acme/x").send().await);
        house.database.go_away().await;
        house.clock.advance(Duration::from_secs(32 * 86_400));
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..2 {
            let answer = client.get("/acme/x").send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        month(&client.get("/acme/x").send().await);
        house.database.come_back().await;
        house.leave().await;
    }
}

async fn a_month_is_counted_and_a_restart_forgets_none_of_it(kind: Kind) {
    let settings = "limits.time_zone = \"Europe/Berlin\"\n".to_owned();
    let mut house = House::planned(Plan { database: kind, settings, ..Plan::default() }).await;
    let client = house.client_with(json!({"monthly_quota": 3})).await;
    for _ in 0..2 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    house.restart().await;
    let client = house.holder(&client);
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    let (quota, reset) = month(&client.get("/acme/x").send().await);
    // Midnight of the fifteenth in Berlin.
    let end = sealgate::clock::parse_rfc3339("2026-02-14T23:00:00Z").unwrap();
    assert_eq!((quota, reset), (3, end));
    let until = u64::try_from(end - NOON_MS).unwrap();
    house.clock.advance(Duration::from_millis(until - 1));
    month(&client.get("/acme/x").send().await);
    house.clock.advance(Duration::from_millis(1));
    // Time-outs are reckoned from the last tick: a call within the one of the jump ends at once.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    month(&client.get("/acme/x").send().await);
    // A clock that is set back opens no month anew.
    house.clock.jump_wall(-86_400_000);
    month(&client.get("/acme/x").send().await);
    house.leave().await;
}

#[tokio::test]
async fn a_month_is_counted_from_the_day_of_the_key_on_sqlite() {
    a_month_is_counted_and_a_restart_forgets_none_of_it(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_month_is_counted_from_the_day_of_the_key_on_postgres() {
    a_month_is_counted_and_a_restart_forgets_none_of_it(Kind::Postgres).await;
}

on_both! {
async fn a_restart_gives_nobody_a_fresh_window(house: House) {
    let mut house = house;
    let client = limited(&house).await;
    for _ in 0..6 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    house.clock.advance(Duration::from_secs(1800));
    house.restart().await;
    let client = house.holder(&client);
    for used in 7..=10 {
        let answer = client.get("/acme/x").send().await;
        assert_eq!((answer.status, told(&answer, "X-Sealgate-")[2]), (200, Some(used)));
    }
    client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
    // What was before the restart leaves the window when its time has come, a sixtieth late at most.
    house.clock.advance(Duration::from_secs(1800 + 120));
    let answer = client.get("/acme/x").send().await;
    assert_eq!((answer.status, told(&answer, "X-Sealgate-")[2]), (200, Some(5)));
    house.leave().await;
}
}

#[tokio::test]
async fn a_key_has_no_more_calls_under_way_than_its_own_limit() {
    let house = House::open().await;
    let client = house.client_with(json!({"max_concurrent": 1})).await;
    let mut held = client.get("/acme/events?n=1").open().await;
    let over = client.get("/acme/x").send().await;
    assert_eq!(over.header("retry-after"), Some("1"));
    for prefix in ["X-Sealgate-", "X-"] {
        assert_eq!(told(&over, prefix), [Some(1), Some(0), Some(1), Some(NOON + 1)]);
    }
    let body = over.is_refusal(429, "rate_limited");
    assert_eq!((&body["limit"], &body["reset_at"]), (&json!("concurrency"), &json!(null)));
    assert_eq!(body["detail"], "Limit: 1 requests at once. Current usage: 1.");
    assert_eq!(house.client().await.get("/acme/x").send().await.status, 200, "others are free");
    house.provider.release(1);
    while held.next().await.is_some() {}
    drop(held);
    // The place is given back with the answer's body, a moment after its last byte.
    let mut status = 429;
    for _ in 0..100 {
        status = client.get("/acme/x").send().await.status;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status, 200);
    house.leave().await;
}

#[tokio::test]
async fn both_faces_say_their_limit_in_the_same_words() {
    for (seconds, span) in [(1, "second"), (60, "minute"), (3600, "hour"), (7, "7 seconds")] {
        let settings = format!("limits.window_seconds = {seconds}\nlimits.admin_per_minute = 20\n");
        let house = House::planned(Plan { settings, ..Plan::default() }).await;
        let client = house.client_with(json!({"limit": 2})).await;
        for _ in 0..2 {
            assert_eq!(client.get("/acme/x").send().await.status, 200);
        }
        let body = client.get("/acme/x").send().await.is_refusal(429, "rate_limited");
        let reset = body["reset_at"].as_str().unwrap();
        let said = format!("Limit: 2 requests per {span}. Current usage: 2. Reset at: {reset}");
        assert_eq!(body["detail"], said);
        let mut answer = house.admin.get("/api/v1/admin/providers").send().await;
        for _ in 0..20 {
            answer = house.admin.get("/api/v1/admin/providers").send().await;
        }
        let body = answer.is_refusal(429, "rate_limited");
        let reset = body["reset_at"].as_str().unwrap();
        let said = format!("Limit: 20 requests per minute. Current usage: 20. Reset at: {reset}");
        assert_eq!((&body["detail"], &body["limit"]), (&json!(said), &json!("client")));
        house.clock.advance(Duration::from_secs(120));
        house.leave().await;
    }
}

#[tokio::test]
async fn visitors_of_a_page_have_a_quota_each_and_one_together() {
    let settings = "limits.tiers.limited = 2\nproxy.trusted_proxies = [\"127.0.0.1/32\"]\n\
                    [[browser.origins]]\norigin = \"https://app.example\"\nlimit = 3\n\
                    routes = [\"acme:GET:/**\"]\n"
        .to_owned();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let visit = async |address: &str| {
        let call = client.bare("/acme/x").header("origin", "https://app.example");
        call.header("x-forwarded-for", address).send().await
    };
    for used in 1..=2 {
        let answer = visit("192.0.2.1").await;
        assert_eq!((answer.status, told(&answer, "X-Sealgate-")[2]), (200, Some(used)));
    }
    let over = visit("192.0.2.1").await.is_refusal(429, "rate_limited");
    assert_eq!((&over["limit"], &over["quota"]), (&json!("address"), &json!(2)));
    assert_eq!(visit("2001:db8::1").await.status, 200);
    let over = visit("2001:db8::2").await.is_refusal(429, "rate_limited");
    assert_eq!((&over["limit"], &over["quota"]), (&json!("origin"), &json!(3)));
    house.leave().await;
}

#[tokio::test]
async fn a_caller_is_told_what_is_left_of_his_month_before_and_after_it_was_asked_for() {
    let mut house = House::open().await;
    let client = house.client_with(json!({"tier": "limited", "monthly_quota": 3})).await;
    let left =
        async |client: &Client| client.get("/api/v1/me").send().await.json()["limits"].clone();
    let month = |used: u64| {
        let end = "2026-02-15T00:00:00Z";
        json!({"limit": 3, "used": used, "remaining": 3 - used, "reset_at": end})
    };
    assert_eq!(left(&client).await["month"], month(0));
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    assert_eq!(left(&client).await["month"], month(1));
    house.restart().await;
    let client = house.holder(&client);
    let told = left(&client).await;
    assert_eq!((&told["used"], &told["remaining"]), (&json!(1), &json!(9)), "{told}");
    assert_eq!(told["month"], month(1));
    house.leave().await;
}

#[tokio::test]
async fn an_operator_sees_what_is_left_to_a_key_on_both_faces_and_uses_nothing_by_looking() {
    let house = House::open().await;
    let client = house.client_with(json!({"tier": "limited", "monthly_quota": 3})).await;
    let path = format!("/api/v1/admin/api-keys/{}", client.id);
    let left = async || house.admin.get(&path).send().await.json()["limits"].clone();
    let before = left().await;
    assert_eq!(before["proxy"]["remaining"], 10, "{before}");
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    let [one, other] = [left().await, left().await];
    assert_eq!(one, other);
    let proxy = &one["proxy"];
    assert_eq!((&proxy["limit"], &proxy["used"]), (&json!(10), &json!(1)));
    assert_eq!((&proxy["remaining"], &proxy["window_seconds"]), (&json!(9), &json!(3600)));
    let own = client.get("/api/v1/me").send().await.json()["limits"].clone();
    assert_eq!(proxy, &own, "what the caller is told");
    assert_eq!(proxy["month"]["remaining"], 2);
    // The key itself never called the admin face; whoever looks has, and sees that.
    let most = &one["admin"]["limit"];
    assert_eq!((&one["admin"]["used"], &one["admin"]["remaining"]), (&json!(0), most));
    house.leave().await;
}

const INTEGRITY: &str = "/api/v1/admin/integrity";

/// The clock of a machine that was wrong until somebody set it right, or the other way round.
async fn a_clock_that_is_set_back_opens_nothing_anew(kind: Kind) {
    let mut house = House::planned(Plan { database: kind, ..Plan::default() }).await;
    let client = house.client_with(json!({"limit": 10, "monthly_quota": 8})).await;
    for _ in 0..6 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    let days = |days: i64| days * 86_400_000;
    for back in [days(2), days(40)] {
        house.clock.jump_wall(-back);
        house.restart().await;
        let client = house.holder(&client);
        let told = client.get("/api/v1/me").send().await.json()["limits"].clone();
        let used = told["used"].as_u64().unwrap();
        assert!(used >= 6, "{back}: {told}");
        assert_eq!(told["month"]["used"], used, "{back}: {told}");
        assert_eq!(client.get("/acme/x").send().await.status, 200, "{back}");
        let findings = house.admin.get(INTEGRITY).send().await.json()["findings"].clone();
        assert_eq!(findings, json!([]), "{back}");
    }
    house.restart().await;
    let client = house.holder(&client);
    // Six and one after each jump: the eighth was the month's last.
    month(&client.get("/acme/x").send().await);
    house.leave().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_opens_nothing_anew_on_sqlite() {
    a_clock_that_is_set_back_opens_nothing_anew(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_opens_nothing_anew_on_postgres() {
    a_clock_that_is_set_back_opens_nothing_anew(Kind::Postgres).await;
}

#[tokio::test]
async fn a_refusal_between_two_seconds_is_as_long_as_its_reset_says() {
    let house = House::open().await;
    let client = house.client_with(json!({"limit": 1})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    for _ in 0..10 {
        house.clock.advance(Duration::from_millis(700));
        house.clock.jump_wall(-590);
        let over = client.get("/acme/x").send().await;
        let reset_ms = told(&over, "X-Sealgate-")[3].unwrap() * 1000;
        let wait = (reset_ms - house.clock.unix_ms() + 999) / 1000;
        assert_eq!(over.header("retry-after"), Some(wait.to_string().as_str()));
        let body = over.is_refusal(429, "rate_limited");
        assert_eq!(body["reset_at"], sealgate::clock::rfc3339(reset_ms));
    }
    house.leave().await;
}

#[tokio::test]
async fn what_is_nearer_of_window_and_month_stands_in_the_headers() {
    let house = House::open().await;
    let client = house.client_with(json!({"limit": 10, "monthly_quota": 3})).await;
    for used in 1..=3 {
        let answer = client.get("/acme/x").send().await;
        let [limit, remaining, counted, reset] = told(&answer, "X-Sealgate-");
        assert_eq!((limit, remaining, counted), (Some(3), Some(3 - used), Some(used)));
        let end = sealgate::clock::parse_rfc3339("2026-02-15T00:00:00Z").unwrap() / 1000;
        assert_eq!(reset, Some(end));
    }
    month(&client.get("/acme/x").send().await);
    let wide = house.client_with(json!({"limit": 2, "monthly_quota": 30})).await;
    let answer = wide.get("/acme/x").send().await;
    assert_eq!(told(&answer, "X-Sealgate-")[..2], [Some(2), Some(1)]);
    house.leave().await;
}
