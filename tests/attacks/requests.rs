//! What a request asks for beside its path: methods, upgrades, expectations, sizes, what a browser
//! says, and bodies in which the key is to stand.

use crate::case::{Ask, Case, Placement, Then, ask, fetch};
use crate::run::attack;
use crate::scene::MOST_BODY_BYTES;

const NO: Then = Then::No(400, "bad_request");
const NOT_THIS: Then = Then::No(405, "method_not_allowed");

pub(crate) fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["TRACE", "TRACK", "CONNECT", "trace", "Trace", "track", "connect"] {
        let then = Then::Any(vec![NOT_THIS, Then::Bare(400)]);
        let case = Case::ask("T17", method, ask(method, "{p}/x"), then);
        // CONNECT has another form there, and its parser says so.
        cases.push(case.over_h2(Then::Any(vec![NOT_THIS, NO, Then::Cut, Then::Bare(400)])));
    }
    let connect = "CONNECT gate.test:443 HTTP/1.1\r\n{host}{auth}\r\n";
    let then = Then::Any(vec![NOT_THIS, NO, Then::Bare(400)]);
    cases.push(Case::raw("T17", "CONNECT to an authority", connect, then.clone()));
    let connect = "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n{auth}\r\nGET {p}/x HTTP/1.1\r\n{host}{auth}\r\n";
    cases.push(Case::raw("T17", "CONNECT and more", connect, then));
    let preface = "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n";
    let then = Then::Any(vec![Then::Bare(400), NO, Then::Cut]);
    cases.push(Case::raw("T17", "half a preface of HTTP/2", preface, then));
    let pri = ask("PRI", "{p}/x");
    cases.push(Case::ask("T17", "PRI", pri, Then::Any(vec![Then::Passes, NOT_THIS])));
    for method in
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "get", "X"]
    {
        let call = ask(method, "{p}/x");
        let case = Case::ask("T17", &format!("plain {method}"), call, Then::Passes);
        cases.push(case.sees(&format!("{method} /base-")));
    }
    let head = ask("HEAD", "{p}/x");
    cases.push(Case::ask("T17", "plain HEAD", head, Then::Passes).sees("HEAD /base-"));
    for name in
        ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"]
    {
        let call = fetch("{p}/x").with(name, "DELETE");
        cases.push(Case::ask("T17", name, call, Then::Passes).sees("GET /base-"));
    }
    let call = fetch("{p}/x?_method=DELETE");
    cases.push(Case::ask("T17", "_method", call, Then::Passes).sees("GET /base-"));
    let long = "A".repeat(20_000);
    let then = Then::Any(vec![Then::Passes, NO, Then::Bare(400), Then::Bare(414), Then::Bare(431)]);
    cases.push(Case::raw(
        "T17",
        "a long method",
        format!("{long} {{p}}/x HTTP/1.1\r\n{{host}}{{auth}}\r\n"),
        then,
    ));
    cases
}

pub(crate) fn upgrades() -> Vec<Case> {
    let mut cases = Vec::new();
    let behind = "GET {p}/smuggled HTTP/1.1\r\n{host}\r\n";
    let nobody = Then::No(401, "unauthorized");
    for (name, lines) in [
        (
            "to a socket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        (
            "to h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("to h2c without settings", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        (
            "to h2c in disguise",
            "Connection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("to TLS", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"),
        ("to several", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"),
        ("that nobody nominates", "Upgrade: websocket\r\n"),
        ("to nothing", "Connection: Upgrade\r\nUpgrade: \r\n"),
    ] {
        let first = format!("GET {{p}}/x HTTP/1.1\r\n{{host}}{{auth}}{lines}\r\n");
        let turns = Then::Turns(vec![Then::Passes, nobody.clone()]);
        let case = Case::raw("T15", &format!("upgrade {name}"), first + behind, turns);
        cases.push(case.misses("upgrade").misses("http2-settings"));
    }
    for (name, value) in [("upgrade", "websocket"), ("http2-settings", "AAMAAABkAAQAAP__")] {
        let call = fetch("{p}/x").with(name, value);
        let case = Case::ask("T15", name, call, Then::Passes).misses(name);
        cases.push(case.over_h2(Then::Any(vec![Then::Passes, Then::Cut, NO])));
    }
    for (name, value) in [
        ("as it should be", "100-continue"),
        ("in capitals", "100-CONTINUE"),
        ("something else", "200-ok"),
        ("twice in one", "100-continue, 100-continue"),
        ("and something else", "x 100-continue"),
        ("nothing", ""),
    ] {
        let call = ask("POST", "{p}/x").body("{\"a\":1}").with("Expect", value);
        let then = Then::Any(vec![Then::Passes, NO]);
        let case = Case::ask("T16", &format!("expects {name}"), call, then.clone());
        cases.push(case.misses("expect"));
        let none = fetch("{p}/x").with("Expect", value);
        cases.push(
            Case::ask("T16", &format!("expects {name}, no body"), none, then).misses("expect"),
        );
    }
    let refused = ask("POST", "{p}/../x").body("{\"a\":1}").with("Expect", "100-continue");
    cases.push(Case::ask("T16", "an expectation that is refused", refused, NO));
    let older = "POST {p}/x HTTP/1.0\r\n{host}{auth}Expect: 100-continue\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    cases.push(Case::raw("T16", "an expectation of HTTP/1.0", older, Then::Passes));
    let zero = "GET {p}/x HTTP/1.1\r\n{host}{auth}Expect: 100-continue\r\nContent-Length: 0\r\n\r\nGET {p}/y HTTP/1.1\r\n{host}{auth}\r\n";
    let turns = Then::Turns(vec![Then::Passes; 2]);
    cases.push(Case::raw("T16", "an expectation, nothing, and a second", zero, turns));
    cases
}

pub(crate) fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    let over = |name: &str, call: Ask, status: u16, code: &'static str| {
        let then = vec![Then::No(status, code), Then::Bare(status), Then::Bare(431)];
        Case::ask("T18", name, call, Then::Any(then)).over_h2(Then::Any(vec![
            Then::No(status, code),
            Then::Bare(status),
            Then::Bare(431),
            Then::Cut,
        ]))
    };
    let long = |length: usize| "l".repeat(length);
    let target = |length: usize| fetch(&format!("{{p}}/{}", long(length)));
    cases.extend([
        over("a target of 70 KB", target(70_000), 414, "uri_too_long"),
        over(
            "a header of 90 KB",
            fetch("{p}/x").with("X-L", &long(90_000)),
            431,
            "headers_too_large",
        ),
        over(
            "a query of 100 KB",
            fetch(&format!("{{p}}/x?{}", long(100_000))),
            414,
            "uri_too_long",
        ),
    ]);
    let many = |count: usize| {
        (0..count).fold(fetch("{p}/x"), |call, at| call.with(&format!("X-{at}"), "v"))
    };
    cases.push(Case::ask("T18", "eighty headers", many(80), Then::Passes).sees("x-79"));
    cases.push(over("five thousand headers", many(5000), 431, "headers_too_large"));
    let name = fetch("{p}/x").with(&format!("X-{}", long(70_000)), "v");
    cases.push(over("a name of 70 KB", name, 431, "headers_too_large"));
    cases.push(Case::ask(
        "T18",
        "a header of 30 KB",
        fetch("{p}/x").with("X-L", &long(30_000)),
        Then::Passes,
    ));
    cases.push(Case::ask("T18", "a target of 20 KB", target(20_000), Then::Passes));
    // Announced, and coming along.
    let big = format!("{{\"a\":\"{}\"}}", long(MOST_BODY_BYTES));
    let too_large = || Then::No(413, "too_large");
    let announced = ask("POST", "{p}/x").body(big.clone());
    let then = Then::Any(vec![too_large(), NO]);
    cases.push(Case::ask("T18", "a body of more than may be", announced, then).streams());
    let claims = "POST {p}/x HTTP/1.1\r\n{host}{auth}Content-Length: 99999999999\r\n\r\n{";
    cases.push(Case::raw("T18", "a body that is said to be huge", claims, too_large()));
    let chunk = format!("10000\r\n{}\r\n", long(0x10000)).repeat(MOST_BODY_BYTES / 0x10000 + 2);
    let chunks = format!(
        "POST {{p}}/x HTTP/1.1\r\n{{host}}{{auth}}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    let then = Then::Any(vec![too_large(), NO]);
    cases.push(Case::raw("T18", "chunks beyond what may be", chunks, then).streams());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let deep = || ask("POST", "{p}/x").body(deep.clone());
    cases.push(Case::ask("T18", "lists 200,000 deep", deep(), NO).at(&[Placement::Json]));
    cases.push(
        Case::ask("T18", "lists, as they are", deep(), Then::Passes).not_at(&[Placement::Json]),
    );
    cases
}

pub(crate) fn documents() -> Vec<Case> {
    let mut cases = Vec::new();
    let json = &[Placement::Json];
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    for (name, body) in [
        ("a list", "[1]"),
        ("a word", "\"a\""),
        ("a number", "1"),
        ("nothing of JSON", "a=b&secret=dummy"),
        ("a mark of byte order", "\u{feff}{\"a\":1}"),
        ("the member twice", "{\"secret\":\"dummy\",\"secret\":\"dummy2\"}"),
        ("the member in another spelling", "{\"secret\":\"dummy\",\"s\\u0065cret\":\"d\"}"),
        ("the member in capitals", "{\"SECRET\":\"dummy\"}"),
        ("two objects", "{\"a\":1}{\"secret\":\"dummy\"}"),
        ("an object and a comma", "{\"a\":1},"),
        ("a comment", "{\"a\":1/*,\"secret\":\"dummy\"*/}"),
        ("a comma at the end", "{\"a\":1,}"),
        ("single quotes", "{'secret':'dummy'}"),
        ("a name without quotes", "{secret:\"dummy\"}"),
        ("a line end in a string", "{\"a\":\"\n\"}"),
        ("a zero byte", "{\"a\":\"\0\"}"),
        ("something behind", "{\"a\":1}\0"),
        ("a bad escape", "{\"a\":\"\\x41\"}"),
        ("not a number", "{\"a\":NaN}"),
        ("nothing", " "),
        ("half of it", "{\"secret\":\"dummy\""),
        ("more than 1 MiB", &large),
    ] {
        let call = ask("POST", "{p}/x").body(body);
        let case = Case::ask("T11", &format!("a body of {name}"), call, NO);
        cases.push(case.at(json));
        let other = ask("POST", "{p}/x").body(body);
        let case = Case::ask("T11", &format!("as it is: {name}"), other, Then::Passes);
        cases.push(case.not_at(json));
    }
    for (name, body, seen) in [
        ("the member", "{\"secret\":\"dummy\"}", "\"secret\""),
        ("an empty object", "{}", "{\"secret\""),
        ("the member as a list", "{\"secret\":[\"dummy\"]}", "\"secret\""),
        ("the member as an object", "{\"secret\":{\"secret\":\"dummy\"}}", "\"secret\""),
        ("the member as nothing", "{\"a\":1.0e5,\"secret\":null}", "1.0e5"),
        ("another of that name inside", "{\"b\":{\"secret\":\"kept\"}}", "\"kept\""),
        ("blanks around", " \t{ \"a\" : [ 1 ] }\r\n ", "[ 1 ] }\r\n "),
        ("the name with an escape", "{\"s\\u0065cret\":\"dummy\"}", "s\\u0065cret"),
    ] {
        let call = ask("POST", "{p}/x").body(body);
        let case = Case::ask("T11", &format!("filled: {name}"), call, Then::Passes).sees(seen);
        cases.push(case.misses("dummy").at(json));
    }
    for (name, body) in [
        ("in its member", "{\"secret\":\"{key}\"}"),
        ("in its member, and more", "{\"a\":[],\"secret\":\"{key}\"}"),
    ] {
        let call = ask("POST", "{p}/x").bare().body(body);
        cases.push(
            Case::ask("T09", &format!("the client's key {name}"), call, Then::Passes).at(json),
        );
    }
    let two = ask("POST", "{p}/x").body("{\"secret\":\"{other}\"}");
    cases.push(Case::ask("T10", "another key in the member", two, NO).at(json));
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x", ""] {
        let call = ask("POST", "{p}/x").body("{\"a\":1}").with("Content-Encoding", coding);
        cases.push(Case::ask("T11", &format!("a body in {coding}"), call, NO).at(json));
        let other = ask("POST", "{p}/x").body("{\"a\":1}").with("Content-Encoding", coding);
        let case = Case::ask("T11", &format!("as it is, in {coding}"), other, Then::Passes);
        cases.push(case.not_at(json).sees("{\"a\":1}"));
    }
    let wide: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let call =
        ask("POST", "{p}/x").body(wide).with("Content-Type", "application/json; charset=utf-16");
    cases.push(Case::ask("T11", "a body in UTF-16", call, NO).at(json));
    let parts = "--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\ndummy\r\n--b--\r\n";
    let call =
        || ask("POST", "{p}/x").body(parts).with("Content-Type", "multipart/form-data; boundary=b");
    cases.push(Case::ask("T11", "a form in parts, where JSON is due", call(), NO).at(json));
    cases.push(Case::ask("T11", "a form in parts", call(), Then::Passes).not_at(json).sees(parts));
    cases
}

pub(crate) fn browsers() -> Vec<Case> {
    let mut cases = Vec::new();
    for origin in [
        "null",
        "https://evil.test",
        "https://gate.test",
        "https://app.test.evil.test",
        "https://a:b@app.test",
        "file://",
        "",
        "*",
    ] {
        let with_key = fetch("{p}/x").with("Origin", origin);
        cases.push(Case::ask(
            "T28",
            &format!("Origin: {origin}, with a key"),
            with_key,
            Then::Passes,
        ));
        let without = fetch("{p}/x").bare().with("Origin", origin);
        let then = Then::No(401, "unauthorized");
        cases.push(Case::ask("T28", &format!("Origin: {origin}, without"), without, then));
        let preflight = ask("OPTIONS", "{p}/x")
            .bare()
            .with("Origin", origin)
            .with("Access-Control-Request-Method", "GET");
        let then = Then::No(403, "forbidden");
        cases.push(Case::ask("T28", &format!("Origin: {origin}, asking before"), preflight, then));
    }
    for (name, value) in [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1, 10.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Client-IP", "127.0.0.1"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Cookie", "sealgate_session=abc"),
    ] {
        let call = fetch("{p}/x").bare().with(name, value).with("Origin", "https://evil.test");
        let then = Then::No(401, "unauthorized");
        cases.push(Case::ask("T28", &format!("{name}: {value}, without a key"), call, then));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_turns_the_house_into_something_else() {
    attack([methods(), upgrades(), sizes(), documents(), browsers()].concat()).await;
}
