//! Where a request goes: no path climbs out of the provider's base, no name is taken for another
//! provider's, and nothing that a client says moves the destination.

use crate::case::{Case, Placement, Then, ask, fetch};
use crate::run::attack;

const NO: Then = Then::No(400, "bad_request");
const UNKNOWN: Then = Then::No(404, "unknown_provider");

pub(crate) fn climbing() -> Vec<Case> {
    let mut cases = Vec::new();
    for rest in [
        "/..",
        "/../",
        "/../x",
        "/../../etc/passwd",
        "/x/../../y",
        "/.",
        "/./x",
        "/x/.",
        "/%2e%2e/x",
        "/%2E%2E/x",
        "/.%2e/x",
        "/%2e./x",
        "/%2e/x",
        "/%252e%252e/x",
        "/%25252e%25252e/x",
        "/..%2fx",
        "/..%2Fx",
        "/..%252fx",
        "/..%5cx",
        "/..\\x",
        "/x\\..\\..\\y",
        "/x%5c..%5cy",
        "/..;/x",
        "/..;a=b/x",
        "/.;/x",
        "/%2e%2e;/x",
        "/..%3b/x",
        "/%c0%ae%c0%ae/x",
        "/%c0%ae./x",
        "/%c0%af../x",
        "/x/..%c0%af",
        "/..%20/x",
        "/%20../x",
        "/..%09/x",
        "/..%0d/x",
        "/..%0a/x",
        "/..%00/x",
        "/x%00.json",
        "/x%2500",
        "/%252e%252e%252fx",
        "//../x",
        "/x//..//../y",
        "/.%C2%A0./..",
        "/x/%2e%2e%2f%2e%2e%2fy",
        "/%25%32%65%25%32%65/x",
        "/..%2f..%2f..%2f",
        "/%2525252525x",
    ] {
        let target = format!("{{p}}{rest}");
        cases.push(Case::ask("T07", rest, fetch(&target), NO));
    }
    for (rest, seen) in [
        ("/x%2Fy", "/x%2Fy"),
        ("/x%2fy", "/x%2fy"),
        ("//x", "//x"),
        ("/x//y/", "/x//y/"),
        ("/...", "/..."),
        ("/..x", "/..x"),
        ("/x..", "/x.."),
        ("/.well-known/x", "/.well-known/x"),
        ("/x;a=b/y", "/x;a=b/y"),
        ("/;x", "/;x"),
        ("/%41%zz", "/%41%zz"),
        ("/x%", "/x%"),
        ("/x@y:z", "/x@y:z"),
        ("/http://evil.test/x", "/http://evil.test/x"),
        ("/x%3F?y", "/x%3F?y"),
        ("/X%3ABTCUSD,$'()*+!~", "/X%3ABTCUSD,$'()*+!~"),
        ("/x%20y", "/x%20y"),
        ("/x%0d%0aHost:%20evil.test", "/x%0d%0aHost:%20evil.test"),
        ("", "/?"),
        ("?a=b", "?a=b"),
        ("?../..", "?../.."),
    ] {
        let target = format!("{{p}}{rest}");
        let case = Case::ask("T07", &format!("plain {rest}"), fetch(&target), Then::Passes);
        cases.push(if seen == "/?" { case } else { case.sees(seen) });
    }
    // What a browser would keep to itself.
    let name = "a fragment";
    let then = Then::Any(vec![NO, Then::Bare(400), Then::Passes]);
    let case = Case::ask("T07", name, fetch("{p}/x#y"), then);
    cases.push(case.over_h2(Then::Any(vec![NO, Then::Cut, Then::Passes])).misses("#"));
    for (name, target) in
        [("letters beyond ASCII", "{p}/\u{e4}"), ("fullwidth dots", "{p}/\u{ff0e}\u{ff0e}/x")]
    {
        let then = Then::Any(vec![NO, Then::Bare(400), Then::Passes, Then::Cut]);
        cases.push(Case::ask("T07", name, fetch(target), then));
    }
    cases
}

pub(crate) fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "{p}@evil.test/x",
        "{p}.evil.test/x",
        "{p};x/y",
        "{p}:443/x",
        "{p}%2fx",
        "{p}%2Fx/y",
        "{p}%00/x",
        "{p}%20/x",
        "{p}x/y",
        "{p}-/x",
        "/Bearer/x",
        "/BEARER/x",
        "/%62earer/x",
        "/nobody/x",
        "/nobody{p}/x",
        "//{p}/x",
        "//evil.test/x",
        "/",
        "/-/x",
        "/*/x",
        "/?{p}/x",
        "/bearer\\x",
        "/bearer,query/x",
    ] {
        let then = Then::Any(vec![UNKNOWN, NO]);
        cases.push(Case::ask("T08", target, fetch(target), then));
    }
    for target in ["/healthz", "/healthz/x", "/api/v1/nobody", "/readyz", "/.well-known/x"] {
        let passes = target == "/healthz";
        let then = if passes { Then::Own(200) } else { Then::No(404, "not_found") };
        cases.push(Case::ask("T08", target, fetch(target), then));
    }
    cases.push(Case::ask("T08", "a doubled prefix", fetch("{p}{p}/x"), Then::Passes).sees("/x"));
    let longer = fetch("{p}{p}x/y");
    cases.push(Case::ask("T08", "a doubled prefix and more", longer, Then::Passes).sees("x/y"));
    cases
}

pub(crate) fn destinations() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Server", "evil.test"),
        ("X-Forwarded-Proto", "evil"),
        ("X-Forwarded-Port", "6666"),
        ("X-Forwarded-Prefix", "/evil.test"),
        ("X-Forwarded-Scheme", "evil"),
        ("X_Forwarded_Host", "evil.test"),
        ("Forwarded", "for=10.0.0.1;host=evil.test;proto=http"),
        ("Via", "1.1 evil.test"),
        ("X-Real-IP", "10.66.66.66"),
        ("X-Forwarded-For", "10.66.66.66"),
        ("X-Sealgate-Anything", "evil.test"),
    ] {
        let call = fetch("{p}/x").with(name, value);
        cases.push(Case::ask("T06", name, call, Then::Passes).misses(name).misses("evil.test"));
    }
    for (name, value) in [
        ("X-Original-URL", "/evil.test"),
        ("X-Rewrite-URL", "/evil.test"),
        ("X-Host", "evil.test"),
        ("X-Api-Base", "https://evil.test"),
        ("Destination", "https://evil.test/"),
        ("Referer", "https://evil.test/"),
    ] {
        let call = fetch("{p}/x").with(name, value);
        cases.push(Case::ask("T06", name, call, Then::Passes).sees("/x"));
    }
    for query in ["api_base=https://evil.test", "url=http://evil.test", "host=evil.test&@evil.test"]
    {
        let call = fetch(&format!("{{p}}/x?{query}"));
        cases.push(Case::ask("T06", query, call, Then::Passes).sees(query));
    }
    let body = "{\"api_base\":\"https://evil.test\",\"base_url\":\"https://evil.test\"}";
    let call = ask("POST", "{p}/x").body(body);
    cases.push(Case::ask("T06", "a base in the body", call, Then::Passes).sees("evil.test"));
    for host in [
        "user@gate.test",
        "gate.test@evil.test",
        "evil.test, gate.test",
        "evil.test gate.test",
        "gate.test/evil",
        "gate.test?x",
        "gate.test#x",
        "gate.test\\evil",
        "gate.test%00",
        "gate.test%2eevil",
        "http://gate.test",
        "",
    ] {
        let call = fetch("{p}/x").with("Host", host);
        let case = Case::ask("T06", &format!("Host: {host}"), call, NO);
        cases.push(case.over_h2(Then::Any(vec![NO, Then::Bare(400), Then::Cut])));
    }
    for host in ["evil.test", "evil.test:6666", "127.0.0.1", "[::1]", "localhost", "a.b-c_d"] {
        let call = fetch("{p}/x").with("Host", host);
        let case = Case::ask("T06", &format!("a plain Host: {host}"), call, Then::Passes);
        cases.push(case.misses("evil.test"));
    }
    let raw =
        |name: &str, head: &str| Case::raw("T06", name, head, Then::Any(vec![NO, Then::Bare(400)]));
    cases.extend([
        raw("two hosts", "GET {p}/x HTTP/1.1\r\n{host}Host: evil.test\r\n{auth}\r\n"),
        raw("the same host twice", "GET {p}/x HTTP/1.1\r\n{host}{host}{auth}\r\n"),
        raw("a host and a folded one", "GET {p}/x HTTP/1.1\r\n{host} evil.test\r\n{auth}\r\n"),
        raw("an absolute target elsewhere", "GET http://evil.test/x HTTP/1.1\r\n{host}{auth}\r\n"),
        raw(
            "an absolute target under TLS",
            "GET https://evil.test{p}/x HTTP/1.1\r\n{host}{auth}\r\n",
        ),
        raw("a user before the host", "GET http://a:b@gate.test{p}/x HTTP/1.1\r\n{host}{auth}\r\n"),
        raw("an at sign for a target", "GET @evil.test/x HTTP/1.1\r\n{host}{auth}\r\n"),
    ]);
    let under = Case::raw(
        "T06",
        "a host with an underscore's framing",
        "GET {p}/x HTTP/1.1\r\n{host}H_ost: evil.test\r\n{auth}\r\n",
        Then::Passes,
    );
    cases.push(under);
    cases
}

/// The query's slot is emptied, and filled with the key where the provider wants it there.
pub(crate) fn slots() -> Vec<Case> {
    let mut cases = Vec::new();
    let at_query = [Placement::Query, Placement::Several];
    for query in [
        "apikey=dummy",
        "apiKey=dummy",
        "APIKEY=dummy",
        "api%6bey=dummy",
        "%61%70%69%6b%65%79=dummy",
        "%41pikey=dummy",
        "apikey=dummy&apikey=dummy2",
        "a=b&apikey=dummy&c=d",
        "apikey",
        "apikey=",
        "apikey==dummy",
        "apikey=dummy=dummy",
        "&apikey=dummy&",
        "apikey=%64ummy",
        "a=b;apikey=dummy",
        "apikey=dummy;c=d",
        "apikey=dummy;apikey=dummy2",
        "a=b&c=d;apikey=dummy",
    ] {
        let call = fetch(&format!("{{p}}/x?{query}"));
        let case = Case::ask("T11", &format!("slot {query}"), call, Then::Passes);
        cases.push(case.at(&at_query).misses("dummy"));
        let elsewhere = fetch(&format!("{{p}}/x?{query}"));
        let case = Case::ask("T11", &format!("no slot {query}"), elsewhere, Then::Passes);
        cases.push(case.not_at(&at_query).sees(query));
    }
    for query in [
        "a=b&&c=%20%2B+&d",
        "=",
        "&",
        "a=b?c=d",
        "a[]=1&a[]=2",
        "apikeys=1&xapikey=2",
        "api_key=dummy&token=page2",
        "%2561pikey=dummy",
        "a=%00&b=%0d%0a",
        "q=a;b;c",
    ] {
        let call = fetch(&format!("{{p}}/x?{query}"));
        cases.push(Case::ask("T11", &format!("query {query}"), call, Then::Passes).sees(query));
    }
    for (name, value) in [
        ("Authorization", "Bearer dummy"),
        ("Authorization", "Basic ZHVtbXk6ZHVtbXk="),
        ("Authorization", "dummy"),
        ("Authorization", ""),
        ("Proxy-Authorization", "Basic ZHVtbXk6ZHVtbXk="),
        ("X-Provider-Key", "dummy"),
        ("x-provider-KEY", "dummy"),
        ("Api-Key", "dummy"),
        ("ApiKey", "dummy"),
        ("X-Api-Token", "dummy"),
        ("X-Auth-Token", "dummy"),
        ("APCA-API-KEY-ID", "dummy"),
        ("APCA-API-SECRET-KEY", "dummy"),
        ("X-Goog-Api-Key", "dummy"),
        ("X-Finnhub-Token", "dummy"),
    ] {
        let call = fetch("{p}/x").with(name, value);
        let case = Case::ask("T11", &format!("{name}: {value}"), call, Then::Passes);
        cases.push(case.misses("dummy").misses("ZHVtbXk"));
        let twice = fetch("{p}/x").with(name, value).with(name, "dummy2");
        let case = Case::ask("T11", &format!("twice {name}: {value}"), twice, Then::Passes);
        cases.push(case.misses("dummy").misses("ZHVtbXk"));
        let under = name.replace('-', "_");
        if under != name {
            let call = fetch("{p}/x").with(&under, value);
            let case = Case::ask("T11", &format!("{under}: {value}"), call, Then::Passes);
            cases.push(case.misses("dummy").misses("ZHVtbXk"));
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_where_the_catalogue_says_with_the_providers_key_alone() {
    attack([climbing(), names(), destinations(), slots()].concat()).await;
}
