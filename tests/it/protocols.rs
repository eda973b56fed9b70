//! HTTP/1.1 and HTTP/2 on either side, and messages that two readers could read in two ways.

use http::{Method, Version};

use crate::house::{House, Plan, Speaks};

async fn speaking(speaks: Speaks) -> House {
    House::planned(Plan { speaks, ..Plan::default() }).await
}

#[tokio::test]
async fn both_protocols_meet_both_protocols() {
    for (speaks, upstream) in [(Speaks::Http1, Version::HTTP_11), (Speaks::Http2, Version::HTTP_2)]
    {
        let house = speaking(speaks).await;
        let client = house.client().await;
        for (client, version) in
            [(client.over_http2(), Version::HTTP_2), (client, Version::HTTP_11)]
        {
            // Calls with a body prefer HTTP/1.1, and every provider of that kind speaks it.
            let (method, body) = match speaks {
                Speaks::Http1 => (Method::POST, "hello"),
                Speaks::Http2 | Speaks::Both => (Method::GET, ""),
            };
            let call = client.call(method, "/acme/x?a=b").header("x-own", "1").body(body);
            let answer = call.send().await;
            assert_eq!((answer.status, answer.version), (200, version), "{}", answer.text());
            let seen = house.provider.last();
            assert_eq!((seen.version, seen.path.as_str()), (upstream, "/base/x?a=b"));
            assert_eq!((seen.body.as_ref(), seen.header("x-own")), (body.as_bytes(), Some("1")));
            if version == Version::HTTP_2 {
                assert_eq!(answer.header("transfer-encoding"), None);
            }
        }
        house.leave().await;
    }
}

#[tokio::test]
async fn connections_to_a_provider_are_used_again() {
    let house = speaking(Speaks::Http1).await;
    let client = house.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/acme/x").send().await.status, 200);
    }
    assert_eq!(house.provider.connections(), 1);
    house.leave().await;
}

#[tokio::test]
async fn trailers_pass() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let house = speaking(speaks).await;
        let client = house.client().await;
        let request = format!(
            "GET /acme/trailers HTTP/1.1\r\nHost: gate.test\r\nConnection: close, TE\r\n\
             TE: trailers\r\nX-API-Key: {}\r\n\r\n",
            client.key
        );
        let answer = house.raw(&request).await;
        assert_eq!(answer.status, 200);
        let text = answer.text();
        assert!(
            text.replace("\r\n3\r\n", "").contains("ends like a key: can"),
            "{speaks:?}: {text}"
        );
        assert!(text.ends_with("x-checksum: abc\r\n\r\n"), "{speaks:?}: {text}");
        house.leave().await;
    }
}

#[tokio::test]
async fn trailers_of_a_request_pass_where_it_announces_them() {
    for (speaks, upstream) in [(Speaks::Http1, Version::HTTP_11), (Speaks::Http2, Version::HTTP_2)]
    {
        let house = speaking(speaks).await;
        let client = house.client().await;
        let chunked = |announced: &str, trailers: &str| {
            format!(
                "POST /acme/x HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\nX-API-Key: {}\r\n\
                 Content-Type: application/grpc\r\nTrailer: {announced}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers}\r\n",
                client.key
            )
        };
        let announced = "X-Checksum, Authorization, X-API-Key, Host";
        let trailers = "X-Checksum: abc\r\nX-Unsaid: 1\r\nAuthorization: x\r\nX-API-Key: y\r\n";
        let answer = house.raw(&chunked(announced, trailers)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = house.provider.last();
        assert_eq!((seen.version, seen.body.as_ref()), (upstream, b"{}".as_slice()));
        let trailers = seen.trailers.expect("trailers");
        assert_eq!(trailers.len(), 1, "{trailers:?}");
        assert_eq!(trailers.get("x-checksum").unwrap(), "abc");
        // A key has no business there, whatever the name.
        let trailers = format!("X-Checksum: {}\r\n", client.key);
        let answer = house.raw(&chunked("X-Checksum", &trailers)).await;
        assert_eq!(answer.status, 400, "{speaks:?} {}", answer.text());
        house.leave().await;
    }
}

#[tokio::test]
async fn a_question_mark_alone_passes() {
    let house = House::open().await;
    let client = house.client().await;
    for (target, seen) in [
        ("/acme/x?", "/base/x?"),
        ("/acme/x", "/base/x"),
        ("/acme/x??", "/base/x??"),
        ("/acme/x?&", "/base/x?&"),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\nX-API-Key: {}\r\n\r\n",
            client.key
        );
        assert_eq!(house.raw(&request).await.status, 200, "{target}");
        assert_eq!(house.provider.last().path, seen);
    }
    let keyed = format!("/acme/x?apikey={}", client.key);
    let request = format!("GET {keyed} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n");
    assert_eq!(house.raw(&request).await.status, 200);
    assert_eq!(house.provider.last().path, "/base/x", "what held the key leaves nothing");
    house.leave().await;
}

#[tokio::test]
async fn large_heads_pass_and_larger_ones_are_refused() {
    let house = House::open().await;
    let client = house.client().await;
    let answer = client.get("/acme/heads?bytes=40000").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-large-39").map(str::len), Some(1000));
    let large = client.get("/acme/x").header("x-large", "l".repeat(40_000)).send().await;
    assert_eq!(large.status, 200);
    assert_eq!(house.provider.last().header("x-large").map(str::len), Some(40_000));
    let larger = client.get("/acme/x").header("x-large", "l".repeat(90_000)).send().await;
    assert_eq!(larger.status, 431);
    house.leave().await;
}

#[tokio::test]
async fn expectations_are_met_here() {
    let house = House::open().await;
    let client = house.client().await;
    let request = format!(
        "POST /acme/x HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\nX-API-Key: {}\r\n\
         Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}",
        client.key
    );
    let answer = house.raw(&request).await;
    // The interim answer may be left out where the body came along; the final one may not.
    let last = answer.text();
    assert!(answer.status == 200 || last.contains("HTTP/1.1 200"), "{} {last}", answer.status);
    assert_eq!(house.provider.last().header("expect"), None);
    assert_eq!(house.provider.last().body, "{}");
    house.leave().await;
}

#[tokio::test]
async fn ambiguous_messages_are_refused_and_their_connection_closed() {
    let house = House::open().await;
    let client = house.client().await;
    let own = format!("X-API-Key: {}\r\n", client.key);
    let host = "Host: gate.test\r\n";
    for head in [
        format!("GET /acme/x HTTP/1.1\r\n{own}\r\n"),
        format!("GET /acme/x HTTP/1.1\r\n{host}Host: other.test\r\n{own}\r\n"),
        format!("GET http://other.test/acme/x HTTP/1.1\r\n{host}{own}\r\n"),
        format!(
            "POST /acme/x HTTP/1.1\r\n{host}{own}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"
        ),
        format!(
            "POST /acme/x HTTP/1.1\r\n{host}{own}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST /acme/x HTTP/1.1\r\n{host}{own}Content-Length: +2\r\n\r\n{{}}"),
        format!("GET /acme/x HTTP/1.1\r\n{host}X Y: 1\r\n{own}\r\n"),
        format!("GET /acme/x HTTP/1.1\r\n{host}{own}X-Folded: a\r\n b\r\n\r\n"),
        format!("GET acme/x HTTP/1.1\r\n{host}{own}\r\n"),
    ] {
        // Without `Connection: close`: that the answer ends proves that the connection was closed.
        let answer = house.raw(&head).await;
        assert_eq!(answer.status, 400, "{head}{}", answer.text());
    }
    assert!(house.provider.seen().is_empty());
    house.leave().await;
}

/// The parser takes chunks for the truth, as the standard allows, and ends the connection: what a
/// reader by length would take for a second request, or for the end of the first, is never read.
#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let house = House::open().await;
    let client = house.client().await;
    let own = format!("Host: gate.test\r\nX-API-Key: {}\r\n", client.key);
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let first = format!("POST /acme/x HTTP/1.1\r\n{own}{framing}\r\n0\r\n\r\n");
        let second = format!("GET /acme/smuggled HTTP/1.1\r\n{own}\r\n");
        let answer = house.raw(&format!("{first}{second}")).await;
        assert!([200, 400].contains(&answer.status), "{}", answer.text());
    }
    for seen in house.provider.seen() {
        assert_eq!((seen.path.as_str(), seen.header("content-length")), ("/base/x", None));
    }
    house.leave().await;
}
