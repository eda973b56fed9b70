//! Short-lived tokens on the real house: never wider than their client key, ending with it, seen in
//! the trail as its doing; the signed ones of OAuth, which anybody can check; and what a caller is
//! told of himself.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};

use crate::house::{Answer, Client, House, Plan, on_both};

const KEYS: &str = "/api/v1/admin/api-keys";
const TOKENS: &str = "/api/v1/tokens";

async fn ask(client: &Client, wanted: &Value) -> Answer {
    client.call(Method::POST, TOKENS).json(wanted).send().await
}

/// Somebody who holds a fresh token of this client key.
async fn holder(house: &House, client: &Client, wanted: Value) -> Client {
    let answer = ask(client, &wanted).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("mdt_") && token.len() == 50, "{token}");
    house.with_key(&client.id, &token)
}

async fn oauth(client: &Client, form: &str) -> Answer {
    let form_type = "application/x-www-form-urlencoded";
    let call = client.bare_call(Method::POST, "/oauth/token").header("content-type", form_type);
    call.body(form.to_owned()).send().await
}

/// Somebody who holds a fresh signed token of this client key.
async fn signed_holder(house: &House, client: &Client, more: &str) -> Client {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}{more}",
        client.id, client.key
    );
    let answer = oauth(client, &form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    house.with_key(&client.id, body["access_token"].as_str().unwrap())
}

async fn passes(client: &Client) -> u16 {
    client.get("/acme/x").send().await.status
}

async fn change(house: &House, client: &Client, members: Value) {
    let path = format!("{KEYS}/{}", client.id);
    let answer = house.admin.put(&path).json(&members).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

on_both! {
    async fn a_token_passes_wherever_its_key_does_and_its_calls_are_its_keys(house: House) {
        let client = house.client().await;
        let token = holder(&house, &client, json!({})).await;
        let signed = signed_holder(&house, &client, "").await;
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (name, value) in [
            ("x-api-key", token.key.clone()),
            ("authorization", format!("Bearer {}", token.key)),
            ("authorization", format!("Token {}", token.key)),
            ("authorization", basic(&format!("x:{}", token.key))),
            ("apca-api-key-id", token.key.clone()),
            ("authorization", format!("Bearer {}", signed.key)),
            ("x-api-key", signed.key.clone()),
        ] {
            let answer = client.bare("/acme/x").header(name, value).send().await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
        let query = format!("/quill/x?apikey={}", token.key);
        assert_eq!(client.bare(&query).send().await.status, 200);
        // Two that differ are ambiguous, key and token too; a misplaced one is refused.
        let both = client.get("/acme/x").header("authorization", format!("Bearer {}", token.key));
        both.send().await.is_refusal(400, "bad_request");
        let misplaced = token.get("/acme/x").header("x-note", token.key.clone());
        misplaced.send().await.is_refusal(400, "bad_request");
        let misplaced = signed.get("/acme/x").header("x-note", signed.key.clone());
        misplaced.send().await.is_refusal(400, "bad_request");
        // Not one that we made.
        let mut forged = signed.key.clone();
        forged.replace_range(forged.len() - 4.., "AAAA");
        let forged = client.bare("/acme/x").header("authorization", format!("Bearer {forged}"));
        forged.send().await.is_refusal(401, "unauthorized");

        let path = format!("{KEYS}/{}/audit?limit=50", client.id);
        let trail = house.admin.get(&path).send().await.json();
        let items = trail["items"].as_array().unwrap();
        let calls: Vec<&Value> = items.iter().filter(|item| item["kind"] == "usage").collect();
        assert_eq!(calls.len(), 8, "{trail}");
        for call in calls {
            assert_eq!(call["actor"]["type"], "token");
            assert_eq!(call["actor"]["id"], client.id.as_str());
        }
        let issued = |endpoint| items.iter().filter(|i| i["endpoint"] == endpoint).count();
        assert_eq!((issued(TOKENS), issued("/oauth/token")), (1, 1), "{trail}");
        house.leave().await;
    }
}

on_both! {
    async fn a_token_ends_with_its_key_however_that_ends(house: House) {
        let both = async |client: &Client| {
            let token = holder(&house, client, json!({})).await;
            let signed = signed_holder(&house, client, "").await;
            assert_eq!((passes(&token).await, passes(&signed).await), (200, 200));
            (token, signed)
        };
        let gone = async |(token, signed): &(Client, Client)| {
            token.get("/acme/x").send().await.is_refusal(401, "unauthorized");
            signed.get("/acme/x").send().await.is_refusal(401, "unauthorized");
        };
        let revoked = house.client().await;
        let tokens = both(&revoked).await;
        change(&house, &revoked, json!({"active": false})).await;
        gone(&tokens).await;
        ask(&revoked, &json!({})).await.is_refusal(401, "unauthorized");
        change(&house, &revoked, json!({"active": true})).await;
        assert_eq!(passes(&tokens.0).await, 200);

        let deleted = house.client().await;
        let tokens = both(&deleted).await;
        let path = format!("{KEYS}/{}", deleted.id);
        assert_eq!(house.admin.delete(&path).send().await.status, 204);
        gone(&tokens).await;

        let rotated = house.client().await;
        let tokens = both(&rotated).await;
        let path = format!("{KEYS}/{}/rotate", rotated.id);
        let overlap = house.admin.post(&path).json(&json!({"overlap_seconds": 60})).send().await;
        assert_eq!(overlap.status, 201);
        assert_eq!((passes(&tokens.0).await, passes(&tokens.1).await), (200, 200));
        // Made with the former key, they end with it.
        let late = holder(&house, &rotated, json!({})).await;
        house.clock.advance(Duration::from_secs(61));
        gone(&tokens).await;
        assert_eq!(passes(&late).await, 401);
        // Time-outs have seen the leap by then: none takes it for its own.
        tokio::time::sleep(Duration::from_millis(250)).await;

        let key = overlap.json()["key"].as_str().unwrap().to_owned();
        let rotated = house.with_key(&rotated.id, &key);
        let tokens = both(&rotated).await;
        let at_once = house.admin.post(&path).json(&json!({"overlap_seconds": 0})).send().await;
        assert_eq!(at_once.status, 201);
        gone(&tokens).await;

        // By itself, or when its key expires.
        let client = house.client_with(json!({"expires_at": "2026-01-15T12:10:00Z"})).await;
        let tokens = both_until_the_key_ends(&house, &client).await;
        let short = holder(&house, &client, json!({"ttl_seconds": 60})).await;
        assert_eq!(passes(&short).await, 200);
        house.clock.advance(Duration::from_secs(60));
        assert_eq!((passes(&short).await, passes(&tokens.0).await), (401, 200));
        house.clock.advance(Duration::from_secs(600));
        gone(&tokens).await;
        house.leave().await;
    }
}

/// Its key ends before they would.
async fn both_until_the_key_ends(house: &House, client: &Client) -> (Client, Client) {
    let token = holder(house, client, json!({})).await;
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        client.id, client.key
    );
    let body = oauth(client, &form).await.json();
    assert!(body["expires_in"].as_u64().unwrap() < 600, "{body}");
    // The first signing key is no finding.
    let integrity = house.admin.get("/api/v1/admin/integrity").send().await.json();
    assert_eq!(integrity, json!({"ok": true, "findings": []}));
    (token, house.with_key(&client.id, body["access_token"].as_str().unwrap()))
}

#[tokio::test]
async fn a_token_is_never_wider_than_its_key() {
    let settings = String::from("proxy.trusted_proxies = [\"127.0.0.1\"]\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house
        .client_with(json!({
            "tier": "standard",
            "scopes": ["acme:GET:/v1/**", "!acme:GET:/v1/private/**"],
        }))
        .await;
    for wider in [
        json!({"tier": "premium"}),
        json!({"scopes": ["acme:GET:/**"]}),
        json!({"scopes": ["*:GET:/v1/**"]}),
        json!({"scopes": ["acme:POST:/v1/**"]}),
    ] {
        ask(&client, &wider).await.is_refusal(403, "forbidden");
    }
    for wrong in [
        json!({"ttl_seconds": 901}),
        json!({"ttl_seconds": 0}),
        json!({"tier": "vip"}),
        json!({"scopes": ["acme:GET:/v1/ *:*:/**"]}),
        json!({"scopes": ["acme"]}),
        json!({"origin": "app.example"}),
        json!({"address": "here"}),
        json!({"role": "admin"}),
    ] {
        ask(&client, &wrong).await.is_refusal(422, "invalid");
    }
    let get = async |holder: &Client, path: &str| holder.get(path).send().await.status;
    let token = holder(&house, &client, json!({"scopes": ["acme:GET:/v1/a/**"]})).await;
    assert_eq!(get(&token, "/acme/v1/a/x").await, 200);
    assert_eq!(get(&token, "/acme/v1/b").await, 403);
    // What its key is denied it is denied too, though it asked for all of it.
    let whole = holder(&house, &client, json!({"scopes": ["acme:GET:/v1/**"]})).await;
    assert_eq!(get(&whole, "/acme/v1/private/x").await, 403);
    assert_eq!(get(&whole, "/acme/v1/b").await, 200);
    // Neither makes another one, whatever it is.
    let signed = signed_holder(&house, &client, "&scope=acme%3AGET%3A%2Fv1%2Fa%2F**").await;
    assert_eq!(get(&signed, "/acme/v1/a/x").await, 200);
    assert_eq!(get(&signed, "/acme/v1/b").await, 403);
    for holder in [&token, &signed] {
        ask(holder, &json!({})).await.is_refusal(403, "forbidden");
    }
    // Narrowed since, the key narrows its tokens.
    change(&house, &client, json!({"scopes": ["acme:GET:/v1/b"]})).await;
    assert_eq!((get(&token, "/acme/v1/a/x").await, get(&whole, "/acme/v1/b").await), (403, 200));
    change(&house, &client, json!({"scopes": null, "allowed_ips": ["192.0.2.0/24"]})).await;
    assert_eq!(get(&token, "/acme/v1/a/x").await, 403);

    let from = async |holder: &Client, address: &str| {
        holder.get("/acme/x").header("x-forwarded-for", address).send().await.status
    };
    let call = client.call(Method::POST, TOKENS).header("x-forwarded-for", "192.0.2.7");
    let wider = call.json(&json!({"address": "192.0.0.0/16"})).send().await;
    wider.is_refusal(403, "forbidden");
    let call = client.call(Method::POST, TOKENS).header("x-forwarded-for", "192.0.2.7");
    let made = call.json(&json!({"address": "192.0.2.7"})).send().await.json();
    let there = house.with_key(&client.id, made["token"].as_str().unwrap());
    assert_eq!((from(&there, "192.0.2.7").await, from(&there, "192.0.2.8").await), (200, 403));
    change(&house, &client, json!({"allowed_ips": null})).await;
    let page = holder(&house, &client, json!({"origin": "https://app.example"})).await;
    let of = async |origin: &str| page.get("/acme/x").header("origin", origin).send().await.status;
    assert_eq!((of("https://app.example").await, of("https://evil.example").await), (200, 403));
    assert_eq!(passes(&page).await, 403);
    house.leave().await;
}

#[tokio::test]
async fn many_tokens_have_one_quota_and_a_lower_tier_has_its_own_below_it() {
    let settings = String::from("limits.tiers = { standard = 6, limited = 2 }\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client_with(json!({"tier": "standard"})).await;
    let small = holder(&house, &client, json!({"tier": "limited"})).await;
    let first = small.get("/acme/x").send().await;
    assert_eq!(first.header("x-sealgate-ratelimit-limit"), Some("2"));
    assert_eq!(first.header("x-sealgate-ratelimit-remaining"), Some("1"));
    assert_eq!((passes(&small).await, passes(&small).await), (200, 429));
    let me = small.get("/api/v1/me").send().await.json();
    assert_eq!((&me["limits"]["limit"], &me["limits"]["remaining"]), (&json!(2), &json!(0)));
    for _ in 0..4 {
        let other = holder(&house, &client, json!({})).await;
        assert_eq!(passes(&other).await, 200);
    }
    assert_eq!(passes(&client).await, 429);
    let other = holder(&house, &client, json!({"tier": "limited"})).await;
    assert_eq!(passes(&other).await, 429);
    house.leave().await;
}

#[tokio::test]
async fn a_signed_token_passes_in_every_slot_and_never_goes_on() {
    let house = House::open().await;
    let client = house.client().await;
    let signed = signed_holder(&house, &client, "").await;
    let other = signed_holder(&house, &client, "").await;
    let jwt = signed.key.as_str();
    for (name, value) in [
        ("authorization", format!("Bearer {jwt}")),
        ("authorization", format!("Token {jwt}")),
        ("authorization", jwt.to_owned()),
        ("authorization", format!("Basic {}", STANDARD.encode(format!("x:{jwt}")))),
        ("x-api-key", jwt.to_owned()),
        ("apikey", jwt.to_owned()),
        ("apca-api-key-id", jwt.to_owned()),
        ("x-goog-api-key", jwt.to_owned()),
    ] {
        let answer = client.bare("/acme/x").header(name, &value).send().await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let me = client.bare("/api/v1/me").header(name, &value).send().await;
        assert_eq!(me.json()["shows"], "token", "{name}");
    }
    for name in ["apiKey", "token", "appid"] {
        let answer = client.bare(&format!("/acme/x?a=b&{name}={jwt}")).send().await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(house.provider.last().path, "/base/x?a=b");
    }
    let twice = signed.get(&format!("/acme/x?token={jwt}")).send().await;
    assert_eq!(twice.status, 200, "{}", twice.text());
    let seen = house.provider.seen().len();
    // Two that differ are ambiguous, and any that stands elsewhere would go on.
    let bearer = format!("Bearer {jwt}");
    for call in [
        client.get("/acme/x").header("authorization", &bearer),
        client.get(&format!("/acme/x?token={jwt}")),
        other.get("/acme/x").header("authorization", &bearer),
        client.get("/acme/x").header("x-note", jwt),
        client.get("/acme/x").header("x-note", format!("a {jwt} b")),
        client.get(&format!("/acme/{jwt}")),
        client.get(&format!("/acme/x?note={}", jwt.replace('.', "%2e"))),
        signed.get("/acme/x").header("x-note", jwt),
    ] {
        call.send().await.is_refusal(400, "bad_request");
    }
    assert_eq!(house.provider.seen().len(), seen);
    for seen in house.provider.seen() {
        assert!(!String::from_utf8_lossy(&seen.bytes()).contains(&jwt[..60]));
    }
    // A changed one is none, and somebody else's is no credential.
    let changed = format!("{}x", &jwt[..jwt.len() - 1]);
    let wrong = client.bare("/acme/x").header("apikey", &changed).send().await;
    wrong.is_refusal(401, "unauthorized");
    let foreign = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
    let dummy = client.get("/acme/x").header("apca-api-secret-key", foreign).send().await;
    assert_eq!(dummy.status, 200);
    house.leave().await;
}

on_both! {
    async fn a_signed_token_is_checked_by_anybody_with_the_published_key(house: House) {
        let client = house.client_with(json!({"scopes": ["acme:GET:/**"]})).await;
        let signed = signed_holder(&house, &client, "").await;
        let keys = client.bare("/.well-known/jwks.json").send().await;
        assert_eq!((keys.status, keys.header("cache-control")), (200, Some("public, max-age=300")));
        let first = keys.json()["keys"][0].clone();
        let (header, claims) = checked(&signed.key, &keys.json());
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
        assert_eq!(claims["iss"], house.public_url());
        assert_eq!(claims["sub"], client.id.as_str());
        assert_eq!(claims["scope"], "acme:GET:/**");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);

        // Renewed by age: published before it signs, and for as long after as a token lives.
        let day = Duration::from_secs(24 * 60 * 60);
        let kids = async || {
            let keys = client.bare("/.well-known/jwks.json").send().await.json();
            let keys = keys["keys"].as_array().unwrap().clone();
            keys.iter().map(|key| key["kid"].clone()).collect::<Vec<Value>>()
        };
        house.clock.advance(day * 31);
        let both = kids().await;
        assert_eq!((both.len(), &both[0]), (2, &first["kid"]));
        let still = signed_holder(&house, &client, "").await;
        let keys = client.bare("/.well-known/jwks.json").send().await.json();
        assert_eq!(checked(&still.key, &keys).0["kid"], both[0]);
        house.clock.advance(Duration::from_secs(660));
        let next = signed_holder(&house, &client, "").await;
        assert_eq!(checked(&next.key, &keys).0["kid"], both[1]);
        assert_eq!(passes(&next).await, 200);
        assert_eq!(kids().await.len(), 2);
        house.clock.advance(day + day / 4);
        assert_eq!(kids().await, both[1..]);

        // What seals it may be renewed under it.
        let rotate = house.admin.post("/api/v1/admin/keks/rotate").json(&json!({})).send().await;
        assert!(rotate.status < 300, "{}", rotate.text());
        let rewrap = house.admin.post("/api/v1/admin/keks/rewrap").json(&json!({})).send().await;
        assert!(rewrap.status < 300, "{}", rewrap.text());
        let mut destroyed = false;
        for _ in 0..100 {
            let keks = house.admin.get("/api/v1/admin/keks").send().await.json();
            let of = |kek: &&Value| kek["category"] == "signing-keys";
            let keks: Vec<Value> =
                keks["items"].as_array().unwrap().iter().filter(of).cloned().collect();
            destroyed = keks.len() == 2 && keks.iter().any(|kek| kek["state"] == "destroyed");
            if destroyed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(destroyed, "the former generation goes once nothing hangs on it");
        house.clock.advance(Duration::from_secs(2));
        assert_eq!(kids().await, both[1..]);
        house.leave().await;
    }
}

/// Header and claims, after the signature was verified under the key of its id.
fn checked(token: &str, keys: &Value) -> (Value, Value) {
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("it is published");
    let members = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"});
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&key[name], value);
    }
    let public = decoded(key["x"].as_str().unwrap());
    let key = UnparsedPublicKey::new(&ED25519, public);
    key.verify(signed.as_bytes(), &decoded(signature)).expect("the signature is right");
    (header, serde_json::from_slice(&decoded(claims)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_knows_the_tokens_and_the_keys_of_every_other() {
    let house = House::on(crate::house::Kind::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let other = crate::clients::second_node(&house, folder.path()).await;
    let client = house.client().await;
    let (token, signed) =
        (holder(&house, &client, json!({})).await, signed_holder(&house, &client, "").await);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let there = format!("http://{}", other.proxy_address().unwrap());
    let asks = async |key: &str| {
        let call = http.get(format!("{there}/nowhere/x")).bearer_auth(key);
        call.send().await.unwrap().status().as_u16()
    };
    // Known there, it is the provider that is none.
    assert_eq!((asks(&token.key).await, asks(&signed.key).await), (404, 404));
    let keys = http.get(format!("{there}/.well-known/jwks.json")).send().await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    checked(&signed.key, &keys);
    let here = client.bare("/.well-known/jwks.json").send().await.json();
    assert_eq!(here, keys);
    let made = http.post(format!("{there}{TOKENS}")).header("x-api-key", &client.key);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let theirs = house.with_key(&client.id, made["token"].as_str().unwrap());
    assert_eq!(passes(&theirs).await, 200);
    change(&house, &client, json!({"active": false})).await;
    assert_eq!(passes(&theirs).await, 401);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!((asks(&token.key).await, asks(&signed.key).await), (401, 401));
    other.stop().await;
    house.leave().await;
}

#[tokio::test]
async fn a_key_makes_so_many_tokens_in_a_minute_and_then_it_waits() {
    let house = House::open().await;
    let (client, other) = (house.client().await, house.client().await);
    let wanted = json!({"ttl_seconds": 1});
    for _ in 0..600 {
        assert_eq!(ask(&client, &wanted).await.status, 201);
    }
    let refused = ask(&client, &wanted).await;
    assert_eq!(refused.is_refusal(429, "rate_limited")["quota"], 600);
    let seconds = refused.header("retry-after").unwrap().parse::<u64>().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(ask(&other, &wanted).await.status, 201);
    house.clock.advance(Duration::from_secs(62));
    assert_eq!(ask(&client, &wanted).await.status, 201);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begun_with_a_token_ends_with_its_key() {
    let house = House::open().await;
    let client = house.client().await;
    let token = holder(&house, &client, json!({"ttl_seconds": 60})).await;
    let mut stream = token.get("/acme/events?n=99999").open().await;
    house.provider.release(1);
    assert!(stream.next().await.is_some());
    // Its own time is not the stream's.
    house.clock.advance(Duration::from_secs(61));
    house.provider.release(1);
    assert!(stream.next().await.is_some());
    assert_eq!(passes(&token).await, 401);
    change(&house, &client, json!({"active": false})).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.try_next()).await;
    assert!(ended.expect("still open").is_err());
    house.provider.release(9);
    house.leave().await;
}

#[tokio::test]
async fn oauth_refuses_in_its_own_words_and_in_ours() {
    let house = House::open().await;
    let client = house.client_with(json!({"scopes": ["acme:GET:/v1/**"]})).await;
    let other = house.client().await;
    let token = holder(&house, &client, json!({})).await;
    let form = |id: &str, key: &str, more: &str| {
        format!("grant_type=client_credentials&client_id={id}&client_secret={key}{more}")
    };
    let own = |more: &str| form(&client.id, &client.key, more);
    for (body, status, error, code) in [
        (own("&grant_type=x"), 400, "invalid_request", "bad_request"),
        (
            own("").replace("client_credentials", "password"),
            400,
            "unsupported_grant_type",
            "bad_request",
        ),
        (own("").replace("grant_type", "kind"), 400, "invalid_request", "bad_request"),
        (own("&scope=acme:POST:/v1/x"), 400, "invalid_scope", "bad_request"),
        (own("&scope=nonsense"), 400, "invalid_scope", "bad_request"),
        (form(&client.id, "mdw_x", ""), 401, "invalid_client", "unauthorized"),
        (form(&other.id, &client.key, ""), 401, "invalid_client", "unauthorized"),
        (form(&client.id, &token.key, ""), 401, "invalid_client", "unauthorized"),
        (String::from("grant_type=client_credentials"), 401, "invalid_client", "unauthorized"),
    ] {
        let answer = oauth(&client, &body).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["error"]), (status, &json!(error)), "{told}");
        assert_eq!(answer.header("x-sealgate-error"), Some(code));
        assert_eq!(told["code"], code);
        assert!(!told["error_description"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("www-authenticate").is_some(), error == "invalid_client");
    }
    // What is sent otherwise than OAuth has it is told so, under either name.
    let object = json!({"grant_type": "client_credentials", "client_id": client.id}).to_string();
    for kind in ["application/json", "application/x-www-form-urlencoded"] {
        let call = client.bare_call(Method::POST, "/oauth/token").header("content-type", kind);
        let told = call.body(object.clone()).send().await.json();
        assert_eq!(
            (&told["error"], &told["code"]),
            (&json!("invalid_request"), &json!("bad_request"))
        );
        assert!(told["detail"].as_str().unwrap().contains("x-www-form-urlencoded"), "{told}");
    }
    let told = oauth(&client, &form("desk", &client.key, "")).await.json();
    assert!(told["detail"].as_str().unwrap().contains("id of a client key"), "{told}");
    let basic = |id: &str, key: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{key}")));
    let call = |authorization: String| {
        let call = client.bare_call(Method::POST, "/oauth/token");
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        call.header("authorization", authorization).body("grant_type=client_credentials")
    };
    let granted = call(basic(&client.id, &client.key)).send().await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    assert_eq!(granted.json()["scope"], "acme:GET:/v1/**");
    let refused = call(basic(&other.id, &client.key)).send().await;
    assert_eq!(refused.json()["error"], "invalid_client");
    let got = client.bare("/oauth/token").send().await;
    got.is_refusal(405, "method_not_allowed");
    assert_eq!(got.header("allow"), Some("POST"));
    // Sealed, nothing is signed and nothing published.
    assert!(house.admin.post("/api/v1/admin/seal").json(&json!({})).send().await.status < 300);
    // A seal closes the connections that stand.
    let client = client.over_new_connections();
    let sealed = oauth(&client, &own("")).await;
    assert_eq!((sealed.status, &sealed.json()["error"]), (503, &json!("temporarily_unavailable")));
    client.bare("/.well-known/jwks.json").send().await.is_refusal(503, "sealed");
    house.leave().await;
}

#[tokio::test]
async fn a_caller_is_told_what_he_may_do_and_what_he_has_done_and_nobody_of_others() {
    let settings = String::from(
        "[[browser.origins]]\norigin = \"https://app.example\"\nroutes = [\"acme:GET:/v2/**\"]\n",
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house
        .client_with(json!({
            "name": "notebook", "role": "guest", "tier": "standard",
            "scopes": ["acme:GET:/**"], "allowed_ips": ["127.0.0.0/8"],
        }))
        .await;
    assert_eq!(passes(&client).await, 200);
    let me = client.get("/api/v1/me").send().await;
    assert_eq!(me.status, 200);
    assert!(me.header("x-request-id").is_some());
    let me = me.json();
    for (member, value) in [
        ("id", json!(client.id)),
        ("name", json!("notebook")),
        ("shows", json!("key")),
        ("role", json!("guest")),
        ("tier", json!("standard")),
        ("methods", json!(["GET", "HEAD"])),
        ("scopes", json!(["acme:GET:/**"])),
        ("allowed_ips", json!(["127.0.0.0/8"])),
        ("expires_at", Value::Null),
        ("token", Value::Null),
    ] {
        assert_eq!(me[member], value, "{member}");
    }
    assert_eq!((&me["limits"]["limit"], &me["limits"]["used"]), (&json!(100), &json!(1)));
    assert_eq!(me["limits"]["remaining"], 99);
    let token = holder(&house, &client, json!({"scopes": ["acme:GET:/v1/**"]})).await;
    let seen = token.get("/api/v1/me").send().await.json();
    assert_eq!((&seen["shows"], &seen["id"]), (&json!("token"), &json!(client.id)));
    assert_eq!(seen["token"]["scopes"], json!(["acme:GET:/v1/**"]));
    // What counts for it stands at the top: what it and its key both allow.
    assert_eq!(seen["scopes"], json!(["acme:GET:/v1/**"]));
    let narrow =
        json!({"address": "127.0.0.1", "origin": "https://app.example", "tier": "limited"});
    let narrow = holder(&house, &client, narrow).await;
    let call = narrow.get("/api/v1/me").header("origin", "https://app.example");
    let seen = call.send().await.json();
    assert_eq!(seen["token"]["address"], "127.0.0.1", "{seen}");
    assert_eq!(seen["allowed_ips"], json!(["127.0.0.1"]));
    assert_eq!(seen["allowed_origins"], json!(["https://app.example"]));
    assert_eq!((&seen["tier"], &seen["scopes"]), (&json!("limited"), &json!(["acme:GET:/**"])));
    assert_eq!(seen["expires_at"], "2026-01-15T12:15:00Z");

    client.bare("/api/v1/me").send().await.is_refusal(401, "unauthorized");
    let wrong = client.bare("/api/v1/stats").header("x-api-key", "mdw_wrong").send().await;
    wrong.is_refusal(401, "unauthorized");
    let page = client.bare("/api/v1/me").header("origin", "https://app.example").send().await;
    assert_eq!((page.status, &page.json()["shows"]), (200, &json!("page")));
    assert_eq!(page.header("access-control-allow-origin"), Some("https://app.example"));
    let page = client.bare_call(Method::POST, TOKENS).header("origin", "https://app.example");
    page.send().await.is_refusal(403, "forbidden");

    let figures = client.bare("/api/v1/stats").send().await;
    assert_eq!(figures.status, 200);
    let members: Vec<String> = figures.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["uptime_seconds", "providers", "calls_under_way"]);
    let mut own = Value::Null;
    for _ in 0..80 {
        own = client.get("/api/v1/stats").send().await.json();
        if own["last_used_endpoint"] == "/acme/x" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(own["requests"].as_u64().unwrap() >= 1, "{own}");
    // None of these counts.
    assert_eq!(own["limits"]["used"], 1);
    house.leave().await;
}

#[tokio::test]
async fn on_the_admin_face_a_token_is_made_and_sees_but_changes_nothing() {
    let house = House::open().await;
    let client = house.client_with(json!({"role": "admin"})).await;
    let path = format!("{KEYS}/{}/tokens", client.id);
    let made = house.admin.post(&path).json(&json!({"ttl_seconds": 60})).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["client_key_id"], client.id.as_str());
    assert_eq!(made.json()["expires_at"], "2026-01-15T12:01:00Z");
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let holder = house.with_key(&client.id, &token);
    assert_eq!(passes(&holder).await, 200);
    let admin = async |method: Method, path: &str, key: &str| {
        let call = house.admin.bare(method, path).header("x-api-key", key);
        call.json(&json!({"name": "x"})).send().await
    };
    assert_eq!(admin(Method::GET, KEYS, &token).await.status, 200);
    admin(Method::POST, KEYS, &token).await.is_refusal(403, "forbidden");
    admin(Method::POST, &path, &token).await.is_refusal(403, "forbidden");
    // One that is for certain calls alone sees nothing else.
    let narrow = ask(&client, &json!({"scopes": ["acme:GET:/**"]})).await.json();
    let narrow = narrow["token"].as_str().unwrap();
    admin(Method::GET, KEYS, narrow).await.is_refusal(403, "forbidden");
    let signed = signed_holder(&house, &client, "").await;
    let bearer = format!("Bearer {}", signed.key);
    let call = house.admin.bare(Method::GET, KEYS).header("authorization", bearer);
    assert_eq!(call.send().await.status, 200);
    // Only whoever may make the key makes its tokens.
    let operator = house.client_with(json!({"role": "operator"})).await;
    let call = house.admin.bare(Method::POST, &path).header("x-api-key", &operator.key);
    call.json(&json!({})).send().await.is_refusal(403, "forbidden");
    change(&house, &client, json!({"active": false})).await;
    let late = house.admin.post(&path).json(&json!({})).send().await;
    late.is_refusal(409, "conflict");
    house.leave().await;
}
