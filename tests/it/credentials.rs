//! Where a client's credential may stand, that it is taken out everywhere, and where it may not
//! stand.

use base64::Engine;
use http::Method;

use crate::house::{Client, House};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn basic(user: &str, password: &str) -> String {
    let pair = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

#[tokio::test]
async fn every_credential_header_is_taken_and_emptied() {
    let house = House::open().await;
    let client = house.client().await;
    let key = client.key.as_str();
    let forms = [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer  {key}")),
        ("authorization", format!("Token {key}")),
        ("authorization", format!("apikey {key}")),
        ("authorization", key.to_owned()),
        ("authorization", basic(key, "")),
        ("authorization", basic(key, "x")),
        ("authorization", basic("", key)),
        ("authorization", basic("someone", key)),
        ("x-api-key", key.to_owned()),
        ("X-API-KEY", key.to_owned()),
        ("apikey", key.to_owned()),
        ("api-key", key.to_owned()),
        ("apca-api-key-id", key.to_owned()),
        ("x-finnhub-token", key.to_owned()),
        ("x-goog-api-key", key.to_owned()),
    ];
    let real = format!("Bearer {}", house.canary.plain());
    for (name, value) in forms {
        let answer = client.bare("/acme/x").header(name, &value).send().await;
        assert_eq!(answer.status, 200, "{name}: {value}: {}", answer.text());
        let seen = house.provider.last();
        assert_eq!(seen.header("authorization"), Some(real.as_str()), "{name}: {value}");
        if name != "authorization" {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
    house.leave().await;
}

#[tokio::test]
async fn every_credential_parameter_is_taken_and_the_rest_of_the_query_stays_byte_for_byte() {
    let house = House::open().await;
    let client = house.client().await;
    let key = client.key.as_str();
    let names = [
        "apiKey",
        "apikey",
        "api_key",
        "api_token",
        "token",
        "secret",
        "APIKEY",
        "api%5fkey",
        "key",
        "appid",
    ];
    for name in names {
        for value in [key.to_owned(), encoded(key), key.replace('_', "%5F")] {
            let answer =
                house.raw(&get(&format!("/acme/x?b=%7e&{name}={value}&c&d=+%20=&&e"), "")).await;
            assert_eq!(answer.status, 200, "{name}={value}: {}", answer.text());
            assert_eq!(house.provider.last().path, "/base/x?b=%7e&c&d=+%20=&&e", "{name}={value}");
        }
        let alone = house.raw(&get(&format!("/acme/x?{name}={key}"), "")).await;
        assert_eq!(alone.status, 200, "{name}");
        assert_eq!(house.provider.last().path, "/base/x", "{name}");
    }
    house.leave().await;
}

#[tokio::test]
async fn a_key_placed_in_the_query_is_encoded_and_stands_last() {
    let house = House::open().await;
    let client = house.client().await;
    let real = house.canary.plain().replace('+', "%2B").replace('/', "%2F").replace('"', "%22");
    for (asked, passed) in [
        ("/quill/x", format!("/base/x?apikey={real}")),
        ("/quill/x?a=b", format!("/base/x?a=b&apikey={real}")),
        ("/quill/x?apikey=mine&a=b", format!("/base/x?a=b&apikey={real}")),
        ("/quill/x?A%50IKEY=mine&a=b", format!("/base/x?a=b&apikey={real}")),
    ] {
        let answer = house.raw(&get(asked, &format!("X-API-Key: {}\r\n", client.key))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = house.provider.last();
        assert_eq!(seen.path, passed);
        assert_eq!(seen.header("x-quill-key"), Some(house.canary.plain()));
        assert_eq!(seen.header("authorization"), None);
    }
    // Another provider's slot with a value that is no Sealgate credential is an ordinary parameter.
    assert_eq!(client.get("/acme/x?apikey=theirs").send().await.status, 200);
    assert_eq!(house.provider.last().path, "/base/x?apikey=theirs");
    house.leave().await;
}

#[tokio::test]
async fn one_credential_twice_is_one_and_two_different_ones_are_none() {
    let house = House::open().await;
    let client = house.client().await;
    let other = house.client().await;
    let twice = client.get(&format!("/acme/x?token={}", client.key)).send().await;
    assert_eq!(twice.status, 200, "{}", twice.text());
    let seen = house.provider.seen().len();
    let bearer = format!("Bearer {}", other.key);
    client
        .get("/acme/x")
        .header("authorization", &bearer)
        .send()
        .await
        .is_refusal(400, "bad_request");
    let query = format!("/acme/x?apiKey={}", other.key);
    client.get(&query).send().await.is_refusal(400, "bad_request");
    let token = format!("mdt_{}", &other.key[4..]);
    client.get("/acme/x").header("apikey", &token).send().await.is_refusal(400, "bad_request");
    assert_eq!(house.provider.seen().len(), seen);

    // Alpaca's second slot: SDKs fill it with whatever they were given.
    let dummy = client.get("/acme/x").header("apca-api-secret-key", "dummy").send().await;
    assert_eq!(dummy.status, 200);
    assert_eq!(house.provider.last().header("apca-api-secret-key"), None);
    house.leave().await;
}

#[tokio::test]
async fn a_preflight_is_neither_forwarded_nor_authenticated() {
    let house = House::open().await;
    let client = house.client().await;
    let lines = format!(
        "X-API-Key: {}\r\nOrigin: https://page.test\r\nAccess-Control-Request-Method: GET\r\n",
        client.key
    );
    let preflight = get("/acme/x", &lines).replacen("GET ", "OPTIONS ", 1);
    let answer = house.raw(&preflight).await;
    answer.is_refusal(403, "forbidden");
    assert!(answer.header("access-control-allow-origin").is_none());
    assert!(house.provider.seen().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn a_credential_anywhere_else_in_the_head_is_refused() {
    let house = House::open().await;
    let client = house.client().await;
    let key = client.key.clone();
    let another = house.client().await.key.clone();
    let own = format!("X-API-Key: {key}\r\n");
    for target in [
        format!("/acme/x/{another}"),
        format!("/acme/{key}"),
        format!("/acme/x/{}", encoded(&key)),
        format!("/acme/x?note={key}"),
        format!("/acme/x?note=before{}after", key.replace('_', "%5f")),
        format!("/acme/x?{key}"),
    ] {
        house.raw(&get(&target, &own)).await.is_refusal(400, "bad_request");
    }
    for header in [
        format!("X-Note: {key}\r\n"),
        format!("Cookie: a=b; c={key}\r\n"),
        format!("Referer: http://gate.test/acme/x?note={}\r\n", encoded(&key)),
        format!("User-Agent: client/{key}\r\n"),
        format!("X-Request-Id: {key}\r\n"),
        format!("X-Forwarded-For: {key}\r\n"),
        format!("{key}: 1\r\n"),
        format!("X-Note: {another}\r\n"),
    ] {
        house.raw(&get("/acme/x", &format!("{own}{header}"))).await.is_refusal(400, "bad_request");
    }
    assert!(house.provider.seen().is_empty());
    house.leave().await;
}

#[tokio::test]
async fn dot_segments_are_refused_in_every_encoding() {
    let house = House::open().await;
    let client = house.client().await;
    let own = format!("X-API-Key: {}\r\n", client.key);
    for path in [
        "/acme/../quill/x",
        "/acme/..",
        "/acme/.",
        "/acme/./x",
        "/acme/x/..",
        "/acme/x/../y",
        "/acme/%2e%2e/x",
        "/acme/%2E%2e",
        "/acme/.%2e/x",
        "/acme/%2e/x",
        "/acme/..%2fx",
        "/acme/x%2f..%2fy",
        "/acme/x%2F%2e%2E%2Fy",
        "/acme/..%5cx",
        "/acme/..\\x",
        "/../acme/x",
        "/acme/%252e%252e/x",
    ] {
        let answer = house.raw(&get(path, &own)).await;
        answer.is_refusal(400, "bad_request");
    }
    assert!(house.provider.seen().is_empty());
    for (path, passed) in [
        ("/acme/a%2Fb", "/base/a%2Fb"),
        ("/acme/...", "/base/..."),
        ("/acme/a..b/.c", "/base/a..b/.c"),
        ("/acme//x//", "/base//x//"),
        ("/acme/x?a=../..", "/base/x?a=../.."),
        ("/acme/", "/base/"),
    ] {
        let answer = house.raw(&get(path, &own)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(house.provider.last().path, passed);
    }
    house.leave().await;
}

#[tokio::test]
async fn what_is_ours_or_nominated_by_the_connection_stays_here() {
    let house = House::open().await;
    let client: Client = house.client().await;
    let lines = format!(
        "X-API-Key: {}\r\nConnection: close, X-Nominated\r\nX-Nominated: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Authorization: Basic eDp5\r\nX-Kept: 1\r\nAccept: a\r\nAccept: b\r\n",
        client.key
    );
    let request = format!("GET /acme/x HTTP/1.1\r\nHost: gate.test\r\n{lines}\r\n");
    assert_eq!(house.raw(&request).await.status, 200);
    let seen = house.provider.last();
    for name in ["x-nominated", "keep-alive", "proxy-authorization", "x-api-key", "connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
    let accepts: Vec<_> = seen.headers.get_all("accept").iter().collect();
    assert_eq!(accepts, ["a", "b"]);
    let traced = client.call(Method::TRACE, "/acme/x").send().await;
    traced.is_refusal(405, "method_not_allowed");
    house.leave().await;
}

#[tokio::test]
async fn trace_track_and_connect_are_refused_on_both_faces_and_told_what_is_allowed() {
    let house = House::open().await;
    let rest = "HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n";
    for target in ["TRACE /acme/x", "TRACK /acme/x", "CONNECT gate.test:443", "TRACE /"] {
        let request = format!("{target} {rest}");
        let (proxy, admin) = (house.raw(&request).await, house.raw_to_admin(&request).await);
        for answer in [&proxy, &admin] {
            answer.is_refusal(405, "method_not_allowed");
        }
        assert!(proxy.header("allow").unwrap().starts_with("GET,HEAD,"), "{proxy:?}");
        let allowed = admin.header("allow").unwrap();
        // A page stands there, which is read and nothing else.
        match target {
            "TRACE /" => assert_eq!(allowed, "GET,HEAD"),
            _ => assert!(allowed.starts_with("GET,HEAD,"), "{admin:?}"),
        }
    }
    for method in ["POST", "TRACE"] {
        let request = format!("{method} /healthz {rest}");
        for answer in [house.raw(&request).await, house.raw_to_admin(&request).await] {
            answer.is_refusal(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"));
        }
    }
    assert_eq!(house.provider.seen().len(), 0);
    house.leave().await;
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n{lines}\r\n")
}
