//! Pages in a browser: the example page in Chromium against the real binary, and what a page, or somebody
//! who writes what only a browser should, may try beyond the few routes that are listed.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::house::{Ground, House, Plan};

/// Serves the example's files, told where the gate is, at two ports until the test's process ends.
struct Site {
    ports: [u16; 2],
    listeners: [TcpListener; 2],
}

const GATE: &str = "http://127.0.0.1:8080";
/// A page of the same origin, with a frame in which nothing has an origin.
const OUTER: &str = "<!doctype html><title>outer</title>";
const FRAME: &str = "<script>fetch(location.hash.slice(1)).then(() => 'read', fault => fault.name)\
                     .then(told => parent.postMessage(told, '*'))</script>";

impl Site {
    fn bind() -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap().port());
        Self { ports, listeners }
    }

    fn serve(self, gate: &str) {
        for listener in self.listeners {
            let gate = gate.to_owned();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    answer(stream, &gate);
                }
            });
        }
    }
}

/// One file and the end of the connection. A browser may open one and say nothing; it is not waited for.
fn answer(mut stream: TcpStream, gate: &str) {
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_millis(500)));
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    for line in lines {
        if line.is_empty() {
            break;
        }
    }
    let read = |name: &str| {
        let path = format!("{}/examples/browser/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let (kind, body) = match first.split(' ').nth(1).unwrap_or_default() {
        "/" => ("text/html", read("index.html").replace(GATE, gate)),
        "/style.css" => ("text/css", read("style.css")),
        "/chart.js" => ("text/javascript", read("chart.js")),
        "/outer.html" => ("text/html", OUTER.to_owned()),
        "/frame.html" => ("text/html", FRAME.to_owned()),
        _ => ("text/plain", String::new()),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

#[test]
fn the_example_page_draws_its_chart_in_chromium_where_its_origin_is_listed() {
    let site = Site::bind();
    let [port, other] = site.ports;
    let listed = format!("http://localhost:{port}");
    let ground = Ground::new(&format!(
        "[[browser.origins]]\norigin = \"{listed}\"\ntier = \"standard\"\n\
         routes = [\"sandbox:GET:/v2/aggs/**\"]\n"
    ));
    ground.json(&["init", "--json"]);
    let client = ground.json(&["client", "create", "page", "--json"]);
    let server = ground.serve(&["--sandbox"]);
    site.serve(&server.proxy);
    let key = client["key"].as_str().unwrap();
    let trip = Command::new("tests/browser/run.sh")
        .arg("chart")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SEALGATE_URL", &server.proxy)
        .env("SEALGATE_KEY", key)
        .env("PAGE", &listed)
        .env("PAGE_OTHER_HOST", format!("http://127.0.0.1:{port}"))
        .env("PAGE_OTHER_PORT", format!("http://localhost:{other}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trip.stdout).into_owned();
    assert!(trip.status.success(), "{said}{}", String::from_utf8_lossy(&trip.stderr));
    assert_eq!(said.trim_end(), "chromium: drawn, refused, no further");
    for line in server.stop() {
        assert!(!line.contains(key), "{line}");
    }
}

const LISTED: &str = "https://app.example";

async fn house_with_a_page() -> House {
    let settings = format!(
        "[[browser.origins]]\norigin = \"{LISTED}\"\n\
         routes = [\"acme:GET:/v2/aggs/**\", \"acme:POST:/v2/orders\"]\n"
    );
    House::planned(Plan { settings, ..Plan::default() }).await
}

/// A request as nobody's browser would write it.
fn request(line: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n{headers}\r\n")
}

const LINE: &str = "GET /acme/v2/aggs/x";
const ORIGIN: &str = "Origin: https://app.example";

#[tokio::test]
async fn an_origin_that_is_not_written_exactly_as_listed_is_nobody() {
    let house = house_with_a_page().await;
    for origin in [
        "https://app.example:443",
        "https://app.example:8443",
        "http://app.example",
        "https://app.example.",
        "https://app.example/",
        "https://APP.example",
        "HTTPS://app.example",
        "https://sub.app.example",
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://evil.example/https://app.example",
        "https://app.example https://app.example",
        "https://app.example, https://evil.example",
        "null",
        "*",
        "",
    ] {
        let answer = house.raw(&request(LINE, &[&format!("Origin: {origin}")])).await;
        answer.is_refusal(401, "unauthorized");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
        let asks = ["Access-Control-Request-Method: GET", &format!("Origin: {origin}")];
        let answer = house.raw(&request("OPTIONS /acme/v2/aggs/x", &asks)).await;
        if answer.status == 403 {
            assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
            assert!(answer.text().contains("[[browser.origins]]"), "{}", answer.text());
        }
    }
    for twice in [[ORIGIN, ORIGIN], [ORIGIN, "Origin: https://evil.example"]] {
        house.raw(&request(LINE, &twice)).await.is_refusal(401, "unauthorized");
    }
    for near in ["Referer: https://app.example/", "X-Origin: https://app.example"] {
        house.raw(&request(LINE, &[near])).await.is_refusal(401, "unauthorized");
    }
    assert!(house.provider.seen().is_empty());
    assert_eq!(house.raw(&request(LINE, &[ORIGIN])).await.status, 200);
    house.leave().await;
}

#[tokio::test]
async fn what_a_page_sends_widens_nothing() {
    let house = house_with_a_page().await;
    let refused = async |line: &str, headers: &[&str]| {
        let mut all = vec![ORIGIN];
        all.extend_from_slice(headers);
        house.raw(&request(line, &all)).await.is_refusal(403, "forbidden");
    };
    for site in ["none", "cross-origin", "", "SAME-SITE", "cross-site, same-origin"] {
        refused(LINE, &[&format!("Sec-Fetch-Site: {site}")]).await;
    }
    refused(LINE, &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"]).await;
    // A guest reads, even where a route says more.
    for method in ["POST", "PUT", "PATCH", "DELETE", "QUERY"] {
        refused(&format!("{method} /acme/v2/orders"), &["Content-Length: 0"]).await;
    }
    // A method that stands in a header is one, too: some providers do what it says.
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        refused(LINE, &[&format!("{name}: DELETE")]).await;
        refused(LINE, &[&format!("{name}: GET"), &format!("{name}: delete")]).await;
    }
    // Another path beside the listed one, however it is written or named.
    for path in
        ["/acme/v2", "/acme/v2/aggsx", "/acme/v2%2Faggs/x", "/acme//v2/aggs/x", "/quill/v2/aggs/x"]
    {
        refused(&format!("GET {path}"), &[]).await;
    }
    for name in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path"] {
        refused("GET /acme/v3/x", &[&format!("{name}: /acme/v2/aggs/x")]).await;
    }
    refused("GET /acme/v3/x", &["X-Forwarded-Host: acme.example", "Forwarded: host=acme"]).await;
    // A credential that is none does not fall back to the guest.
    for header in ["X-API-Key: mdw_x", "Authorization: Bearer mdt_x", "apikey: mdw_x"] {
        let answer = house.raw(&request(LINE, &[ORIGIN, header])).await;
        answer.is_refusal(401, "unauthorized");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    assert!(house.provider.seen().is_empty());

    // What passes is recorded as the page, at the address that it really has.
    let forged =
        ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9"];
    let passed = house.raw(&request(LINE, &[&[ORIGIN][..], &forged].concat())).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    let seen = String::from_utf8_lossy(&house.provider.last().bytes()).into_owned();
    assert!(!seen.contains("203.0.113.9"), "{seen}");
    let cookies = ["Cookie: sealgate_session=x; other=y", "X-HTTP-Method-Override: GET"];
    let passed = house.raw(&request(LINE, &[&[ORIGIN][..], &cookies].concat())).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.header("access-control-allow-credentials"), None);
    let mut records = serde_json::Value::Null;
    for _ in 0..50 {
        let call = house.admin.get("/api/v1/admin/audit?kind=usage&limit=5");
        records = call.send().await.json();
        if records["items"].as_array().is_some_and(|items| !items.is_empty()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let record = &records["items"][0];
    assert_eq!(record["address"], "127.0.0.1", "{records}");
    assert_eq!(record["actor"]["name"], LISTED, "{records}");
    house.leave().await;
}

#[tokio::test]
async fn a_narrow_key_cannot_name_another_method_in_a_header() {
    let house = House::open().await;
    let narrow = house.client_with(serde_json::json!({"scopes": ["acme:GET,POST:/**"]})).await;
    let guest = house.client_with(serde_json::json!({"role": "guest"})).await;
    let user = house.client().await;
    let named = async |client: &crate::house::Client, method: &str| {
        client.get("/acme/x").header("x-http-method-override", method).send().await.status
    };
    assert_eq!(named(&narrow, "POST").await, 200);
    assert_eq!(named(&narrow, "DELETE").await, 403);
    assert_eq!(named(&guest, "POST").await, 403);
    assert_eq!(named(&guest, "head").await, 200);
    assert_eq!(named(&user, "DELETE").await, 200);
    // However it is spelt, and the path as well.
    for name in [
        "X_HTTP_METHOD_OVERRIDE",
        "x-http_method",
        "x-original-method",
        "X-HTTP-Override",
        "HTTP-Method-Override",
        "X-Rewrite-Method",
        "_method",
    ] {
        let call = narrow.get("/acme/x").header(name, "DELETE");
        call.send().await.is_refusal(403, "forbidden");
    }
    for query in ["_method=DELETE", "a=b&%5Fmethod=%64elete", "_METHOD=DELETE&_method=GET"] {
        let path = format!("/acme/x?{query}");
        narrow.get(&path).send().await.is_refusal(403, "forbidden");
        guest.get(&path).send().await.is_refusal(403, "forbidden");
        assert_eq!(user.get(&path).send().await.status, 200);
    }
    assert_eq!(narrow.get("/acme/x?_method=post&method=DELETE").send().await.status, 200);
    for name in [
        "x-original-url",
        "X_Rewrite_URL",
        "X-Override-URL",
        "X-HTTP-Path-Override",
        "X-Envoy-Original-Path",
    ] {
        let moved = |client: &crate::house::Client| client.get("/acme/x").header(name, "/admin");
        moved(&narrow).send().await.is_refusal(403, "forbidden");
        assert_eq!(moved(&user).send().await.status, 200);
    }
    house.leave().await;
}

#[tokio::test]
async fn a_page_is_told_which_methods_it_has_and_what_it_is_refused_for() {
    let house = house_with_a_page().await;
    let methods = async |path: &str, asked: &str| {
        let asks = "Access-Control-Request-Method: GET";
        let headers = if asked.is_empty() { vec![ORIGIN, asks] } else { vec![ORIGIN, asks, asked] };
        let answer = house.raw(&request(&format!("OPTIONS {path}"), &headers)).await;
        assert_eq!(answer.status, 204, "{path}");
        answer.header("access-control-allow-methods").unwrap_or_default().to_owned()
    };
    assert_eq!(methods("/acme/v2/aggs/x", "").await, "GET, HEAD");
    let plain = "Access-Control-Request-Headers: content-type, x-request-id";
    assert_eq!(methods("/acme/v2/aggs/x", plain).await, "GET, HEAD");
    // With a key, the key says what may be.
    let all = "GET, HEAD, POST, PUT, PATCH, DELETE";
    let with_key = "Access-Control-Request-Headers: content-type, X-API-Key";
    assert_eq!(methods("/acme/v2/aggs/x", with_key).await, all);
    assert_eq!(methods("/acme/v2/aggs/x?apiKey=x", "").await, all);

    for line in ["GET /acme/v3/x", "POST /acme/v2/aggs/x"] {
        let answer = house.raw(&request(line, &[ORIGIN, "Content-Length: 0"])).await;
        let detail = answer.is_refusal(403, "forbidden")["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("page") && !detail.contains("client key"), "{detail}");
    }
    // What calls itself of the same origin is served from this host.
    let same = "Sec-Fetch-Site: same-origin";
    let contradicts = house.raw(&request(LINE, &[ORIGIN, same])).await;
    contradicts.is_refusal(403, "forbidden");
    let own = format!(
        "{LINE} HTTP/1.1\r\nHost: APP.example\r\nConnection: close\r\n{ORIGIN}\r\n{same}\r\n\r\n"
    );
    assert_eq!(house.raw(&own).await.status, 200);
    house.leave().await;
}
