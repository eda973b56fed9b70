//! Client keys on the real house, seen from both faces: keys of older systems, where a key may come
//! from, what is known of its use, and its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Ground, House, Plan, Stream, on_both};

const KEYS: &str = "/api/v1/admin/api-keys";

fn hash(key: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn shown(house: &House, id: &str) -> Value {
    house.admin.get(&format!("{KEYS}/{id}")).send().await.json()
}

on_both! {
    async fn a_key_of_an_older_system_passes_once_it_is_imported(house: House) {
        let old = "old/system+key==.of.any-shape";
        let stranger = house.client().await;
        let call = async |name: &str, value: &str| {
            stranger.bare("/acme/x").header(name, value).send().await
        };
        call("x-api-key", old).await.is_refusal(401, "unauthorized");
        let keys = json!({"keys": [
            {"key_hash": hash(old), "name": "charts", "tier": "premium"},
            {"key_hash": hash("other"), "name": "revoked", "active": false},
        ]});
        let done = house.admin.post(&format!("{KEYS}/import")).json(&keys).send().await;
        assert_eq!(done.status, 200, "{}", done.text());
        assert_eq!(done.json()["imported"], 2);
        assert_eq!(call("x-api-key", old).await.status, 200);
        assert_eq!(call("authorization", &format!("Bearer {old}")).await.status, 200);
        let seen = house.provider.last();
        assert!(!String::from_utf8_lossy(&seen.bytes()).contains(old));
        call("apikey", old).await.is_refusal(401, "unauthorized");
        call("authorization", &format!("Token {old}")).await.is_refusal(401, "unauthorized");
        call("x-api-key", "other").await.is_refusal(401, "unauthorized");
        // Beside a key of ours any other value is none, as before.
        let both = stranger.get("/acme/x").header("authorization", format!("Bearer {old}"));
        assert_eq!(both.send().await.status, 200);
        // Anywhere else it would go on to the provider.
        let leaked = stranger.bare("/acme/x").header("x-api-key", old).header("x-note", old);
        leaked.send().await.is_refusal(400, "bad_request");

        let id = done.json()["items"][0]["id"].as_str().unwrap().to_owned();
        let told = async || shown(&house, &id).await["request_count"].as_u64().unwrap();
        for _ in 0..60 {
            if told().await >= 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let row = shown(&house, &id).await;
        assert!(row["request_count"].as_u64().unwrap() >= 2, "{row}");
        assert_eq!(row["last_used_endpoint"], "/acme/x");
        assert_eq!(row["last_used_address"], "127.0.0.1");
        assert_eq!(row["key_preview"], Value::Null);
        house.leave().await;
    }
}

#[tokio::test]
async fn a_key_with_networks_and_origins_passes_from_there_alone() {
    let settings = String::from("proxy.trusted_proxies = [\"127.0.0.1\"]\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let networks = json!({"allowed_ips": ["192.0.2.0/24", "2001:db8::/32"]});
    let client = house.client_with(networks).await;
    for (from, status) in [
        ("192.0.2.9", 200),
        ("::ffff:192.0.2.9", 200),
        ("2001:db8::9", 200),
        ("198.51.100.1, 192.0.2.9", 200),
        ("192.0.2.9, 198.51.100.1", 403),
        ("2001:db9::9", 403),
    ] {
        let answer = client.get("/acme/x").header("x-forwarded-for", from).send().await;
        assert_eq!(answer.status, status, "{from}: {}", answer.text());
    }
    client.get("/acme/x").send().await.is_refusal(403, "forbidden");
    let page = house.client_with(json!({"allowed_origins": ["https://app.example"]})).await;
    for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403)] {
        let answer = page.get("/acme/x").header("origin", origin).send().await;
        assert_eq!(answer.status, status, "{origin}");
    }
    page.get("/acme/x").send().await.is_refusal(403, "forbidden");
    // Changed, it counts from the next call on.
    let target = format!("{KEYS}/{}", page.id);
    let freed = house.admin.put(&target).json(&json!({"allowed_origins": null})).send().await;
    assert_eq!(freed.status, 200);
    assert_eq!(page.get("/acme/x").send().await.status, 200);
    house.leave().await;
}

on_both! {
    async fn the_end_of_a_key_is_warned_of_three_times_and_then_it_is_put_away(house: House) {
        let client = house.client_with(json!({"expires_at": "2026-02-24T12:00:00Z"})).await;
        let day = Duration::from_secs(24 * 60 * 60);
        let warnings = async || {
            let trail = house.admin.get("/api/v1/admin/audit?kind=security").send().await.json();
            let of_clients = |item: &Value| item["actor"]["name"] == "clients";
            trail["items"].as_array().unwrap().iter().filter(|item| of_clients(item)).count()
        };
        assert_eq!(client.get("/acme/x").send().await.status, 200);
        // 40 days are left at first; then 30, 29, 7, 1 and none.
        for (days, expected) in [(10, 1), (1, 1), (22, 2), (6, 3), (1, 4)] {
            house.clock.advance(day * days);
            for _ in 0..50 {
                if warnings().await >= expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(warnings().await, expected, "after {days} days more");
        }
        client.get("/acme/x").send().await.is_refusal(401, "unauthorized");
        assert_eq!(shown(&house, &client.id).await["state"], "expired");
        let figures = house.admin.get("/metrics").send().await.text();
        assert!(figures.contains("client_expiring"), "{figures}");
        house.leave().await;
    }
}

/// A second in which this process could run: while the machine is busy with others, both the house
/// and this count stand still, so that what is measured is the house alone.
async fn a_second_of_this_process() {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next event of this stream. Streams stand in line for what is released, and another one may
/// have taken this one's.
async fn event(house: &House, stream: &mut Stream) {
    for _ in 0..50 {
        house.provider.release(3);
        let event = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
        if let Ok(event) = event {
            return assert!(event.is_some(), "the stream goes on");
        }
    }
    panic!("no event came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_of_a_revoked_key_end_within_a_second() {
    let house = House::open().await;
    let (revoked, kept) = (house.client().await, house.client().await);
    let mut streams = Vec::new();
    for client in [&revoked, &revoked.over_http2(), &kept] {
        streams.push(client.get("/acme/events?n=99999").open().await);
    }
    for stream in &mut streams {
        event(&house, stream).await;
    }
    // A new name takes nothing away.
    let target = format!("{KEYS}/{}", revoked.id);
    let renamed = house.admin.put(&target).json(&json!({"name": "renamed"})).send().await;
    assert_eq!(renamed.status, 200);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let answer = house.admin.put(&target).json(&json!({"active": false})).send().await;
    assert_eq!(answer.status, 200);
    let mut kept = streams.pop().unwrap();
    let ending = async {
        for mut stream in streams {
            // What was on its way already may still come.
            while let Ok(event) = stream.try_next().await {
                assert!(event.is_some(), "it was cut, not finished");
            }
        }
    };
    tokio::select! {
        biased;
        () = ending => {}
        () = a_second_of_this_process() => panic!("still open after a second"),
    }
    event(&house, &mut kept).await;
    drop(kept);
    house.provider.release(99);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_of_a_key_that_expires_end_within_a_second() {
    let house = House::open().await;
    let short = house.client_with(json!({"expires_at": "2026-01-15T12:00:30Z"})).await;
    let longer = house.client_with(json!({"expires_at": "2026-01-15T12:00:30Z"})).await;
    let mut streams = Vec::new();
    for client in [&short, &short.over_http2(), &longer] {
        streams.push(client.get("/acme/events?n=99999").open().await);
    }
    for stream in &mut streams {
        event(&house, stream).await;
    }
    // One is given more time, and goes on with what it has begun.
    let target = format!("{KEYS}/{}", longer.id);
    let body = json!({"expires_at": "2026-01-15T18:00:00Z"});
    assert_eq!(house.admin.put(&target).json(&body).send().await.status, 200);
    house.clock.advance(Duration::from_secs(31));
    let mut kept = streams.pop().unwrap();
    let ending = async {
        for mut stream in streams {
            while let Ok(event) = stream.try_next().await {
                assert!(event.is_some(), "it was cut, not finished");
            }
        }
    };
    tokio::select! {
        biased;
        () = ending => {}
        () = a_second_of_this_process() => panic!("still open after a second"),
    }
    event(&house, &mut kept).await;
    drop(kept);
    house.provider.release(99);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forwarded_once_a_revocation_was_acknowledged() {
    let house = House::open().await;
    let client = std::sync::Arc::new(house.client().await);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let out = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..200 {
        let (client, stop, out) = (client.clone(), stop.clone(), out.clone());
        callers.push(tokio::spawn(async move {
            let (mut passed, mut refused, mut cut) = (0, 0, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                match client.get("/acme/x").try_send().await.map(|answer| answer.status) {
                    Ok(200) => passed += 1,
                    Ok(401) => {
                        if refused == 0 {
                            out.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                        refused += 1;
                    }
                    Ok(other) => panic!("{other}"),
                    // An answer that was under way.
                    Err(_) => cut += 1,
                }
            }
            (passed, refused, cut)
        }));
    }
    house.provider.wait_for(500).await;
    let target = format!("{KEYS}/{}", client.id);
    let answer = house.admin.put(&target).json(&json!({"active": false})).send().await;
    assert_eq!(answer.status, 200);
    // What left before may still be on its way to the provider, until each caller has had his first
    // no; nothing leaves after.
    for _ in 0..3000 {
        if out.load(std::sync::atomic::Ordering::Relaxed) == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(out.load(std::sync::atomic::Ordering::Relaxed), 200, "all are refused");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let forwarded = house.provider.seen().len();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut passed, mut refused, mut cut) = (0, 0, 0);
    for caller in callers {
        let told = caller.await.unwrap();
        passed += told.0;
        refused += told.1;
        cut += told.2;
    }
    assert_eq!(house.provider.seen().len(), forwarded);
    assert!(passed >= 200 && refused >= 200, "{passed} passed, {refused} were refused");
    assert!((passed..=passed + cut).contains(&forwarded), "{passed} passed, {cut} were cut");
    house.leave().await;
}

#[tokio::test]
async fn failures_wait_and_a_valid_key_beside_them_does_not() {
    let settings = String::from("auth.free_failures_per_minute = 3\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let fail = async || {
        let clock = sealgate::clock::Clock::system();
        let wrong = client.bare("/acme/x").header("x-api-key", "mdw_wrong").send().await;
        wrong.is_refusal(401, "unauthorized");
        Duration::from_nanos(clock.monotonic_ns())
    };
    for _ in 0..8 {
        fail().await;
    }
    assert!(fail().await >= Duration::from_secs(1));
    let failing = async { fail().await };
    let passing = async {
        let clock = sealgate::clock::Clock::system();
        for _ in 0..5 {
            assert_eq!(client.get("/acme/x").send().await.status, 200);
        }
        Duration::from_nanos(clock.monotonic_ns())
    };
    let (failed, passed) = tokio::join!(failing, passing);
    assert!(failed >= Duration::from_secs(1) && passed < failed, "{failed:?} {passed:?}");
    house.leave().await;
}

/// A second node of a house on PostgreSQL: its own folder, the same database and master key.
pub(crate) async fn second_node(house: &House, folder: &std::path::Path) -> sealgate::app::Running {
    second_node_with(house, folder, "").await
}

/// With further settings.
pub(crate) async fn second_node_with(
    house: &House,
    folder: &std::path::Path,
    more: &str,
) -> sealgate::app::Running {
    let master = house.path().join("keys/master.key");
    let settings = format!(
        "data_dir = \"data\"\nproxy.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         proxy.workers = 1\nmaster_key = {{ kind = \"file\", path = \"{}\" }}\n{}{more}",
        master.display(),
        house.database.settings(),
    );
    std::fs::write(folder.join("sealgate.toml"), settings).unwrap();
    let environment = sealgate::config::Environment::of(folder, &[]);
    let config = sealgate::config::load(None, &environment).unwrap().config;
    let mode = sealgate::app::Mode::Serve { sandbox: false };
    sealgate::app::start(config, house.clock.clone(), mode).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_another_node_within_a_second() {
    let house = House::on(crate::house::Kind::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let other = second_node(&house, folder.path()).await;
    let client = house.client().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/nowhere/x", other.proxy_address().unwrap());
    let asks = async |key: &str| {
        http.get(&url).header("x-api-key", key).send().await.unwrap().status().as_u16()
    };
    // Known there, it is the provider that is none.
    assert_eq!(asks(&client.key).await, 404);
    assert_eq!(asks("older").await, 401);
    let target = format!("{KEYS}/{}", client.id);
    let answer = house.admin.put(&target).json(&json!({"active": false})).send().await;
    assert_eq!(answer.status, 200);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(asks(&client.key).await, 401);
    let keys = json!({"keys": [{"key_hash": hash("older"), "name": "older"}]});
    assert_eq!(house.admin.post(&format!("{KEYS}/import")).json(&keys).send().await.status, 200);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(asks("older").await, 404);
    other.stop().await;
    house.leave().await;
}

const ROLES: [&str; 5] = ["admin", "operator", "auditor", "user", "guest"];

/// Which roles may, in their order; whatever is not named here takes what its method says.
fn may(method: &str, path: &str) -> [bool; 5] {
    let path = path.trim_start_matches("/api/v1/admin");
    let reads = [true, true, true, false, false];
    let operates = [true, true, false, false, false];
    let administers = [true, false, false, false, false];
    let rooms = ["/backups", "/seal", "/unseal", "/master-key", "/integrity/accept", "/operators"];
    match (method, path) {
        ("GET", "/audit/verify" | "/audit/archives") => [true, false, true, false, false],
        ("POST", "/policy/explain") | ("DELETE", "/sessions/{id}") => reads,
        ("DELETE", "/secrets/{id}") | ("POST", "/api-keys/{id}/accept") => administers,
        (_, path) if rooms.iter().any(|room| path.starts_with(room)) => administers,
        ("POST", path) if path.starts_with("/keks") => administers,
        ("GET", _) => reads,
        _ => operates,
    }
}

/// The callers' own API is everybody's: whoever holds a key may ask what it is.
async fn walk_the_callers_own(house: &House, role: &str) {
    for (method, path, status) in
        [("GET", "/api/v1/me", 200), ("GET", "/api/v1/stats", 200), ("POST", "/api/v1/tokens", 201)]
    {
        let fresh = house.client_with(json!({"role": role})).await;
        let answer = fresh.call(method.parse().unwrap(), path).send().await;
        assert_eq!(answer.status, status, "{role} {method} {path}: {}", answer.text());
        if path == "/api/v1/me" {
            assert_eq!(answer.json()["role"], role);
        }
    }
}

#[tokio::test]
async fn every_role_on_every_route_of_both_faces_is_as_the_table_says() {
    // The walk makes more calls in a minute than one key may.
    let settings = String::from("limits.admin_per_minute = 100000\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let address = house.running().admin_address().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |method: &str, path: &str, key: &str| {
        let call = http.request(method.parse().unwrap(), format!("http://{address}{path}"));
        let call = call.header("x-api-key", key);
        let call = if method == "GET" { call } else { call.json(&json!({})) };
        call.send().await.unwrap().status().as_u16()
    };
    let description = house.admin.get("/openapi.json").send().await.json();
    let mut walked = 0;
    for (place, role) in ROLES.into_iter().enumerate() {
        let own = house.client_with(json!({"role": role})).await;
        for (path, item) in description["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                if !path.starts_with("/api/v1/admin") {
                    continue;
                }
                let allowed = may(&method, path)[place];
                // What an admin may do to the whole house is not done to this one.
                if allowed && may(&method, path) == [true, false, false, false, false] {
                    continue;
                }
                let admin = house.client_with(json!({"role": "admin"})).await;
                let user = house.client_with(json!({"role": "user"})).await;
                let objects = [&own, &admin, &user];
                for (object, is_admins) in objects.into_iter().zip([role == "admin", true, false]) {
                    let object = object.id.clone();
                    // Its own end would end the walk.
                    if object == own.id && method == "DELETE" {
                        continue;
                    }
                    let status = send(&method, &path.replace("{id}", &object), &own.key).await;
                    let touches = path.contains("api-keys/{id}") && method != "GET";
                    let is_higher = is_admins || (object == own.id && place < 3);
                    let expected = allowed && !(touches && is_higher && role != "admin");
                    assert_ne!(status, 401, "{role} {method} {path}");
                    assert_eq!(status != 403, expected, "{role} {method} {path}: {status}");
                    walked += 1;
                    if !path.contains("{id}") {
                        break;
                    }
                }
            }
        }
        walk_the_callers_own(&house, role).await;
        for (method, allowed) in [
            ("GET", role != "auditor"),
            ("HEAD", role != "auditor"),
            ("POST", !["auditor", "guest"].contains(&role)),
            ("DELETE", !["auditor", "guest"].contains(&role)),
        ] {
            // A rotation may have given it another key meanwhile; the proxy is asked as a fresh one.
            let fresh = house.client_with(json!({"role": role})).await;
            let answer = fresh.call(method.parse().unwrap(), "/acme/x").send().await;
            assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{role} {method}");
        }
    }
    assert!(walked > 200, "{walked}");
    house.leave().await;
}

#[tokio::test]
async fn a_listed_page_calls_with_no_key_what_is_listed_and_nothing_else() {
    let settings = String::from(
        "[[browser.origins]]\norigin = \"https://app.example\"\ntier = \"premium\"\n\
         routes = [\"acme:GET:/v2/aggs/**\", \"acme:POST:/v2/aggs/**\"]\n",
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    let page = "https://app.example";
    let allowed = |answer: &crate::house::Answer| {
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let passed = client.bare("/acme/v2/aggs/x").header("origin", page).send().await;
    assert_eq!((passed.status, allowed(&passed).as_deref()), (200, Some(page)));
    assert_eq!(passed.header("vary"), Some("Origin"));
    assert!(passed.header("access-control-allow-credentials").is_none());
    // Refusals can be read by the page, too.
    let other = client.bare("/acme/v3/x").header("origin", page).send().await;
    other.is_refusal(403, "forbidden");
    assert_eq!(allowed(&other).as_deref(), Some(page));
    let lines = |more: &str| format!("Host: gate.test\r\nConnection: close\r\n{more}\r\n");
    let posts = lines("Origin: https://app.example\r\nContent-Length: 0\r\n");
    let posted = house.raw(&format!("POST /acme/v2/aggs/x HTTP/1.1\r\n{posts}")).await;
    posted.is_refusal(403, "forbidden");
    for origin in
        ["https://evil.example", "https://app.example.evil.example", "null", "HTTPS://app.example"]
    {
        let answer = client.bare("/acme/v2/aggs/x").header("origin", origin).send().await;
        answer.is_refusal(401, "unauthorized");
        assert_eq!(allowed(&answer), None, "{origin}");
    }
    client.bare("/acme/v2/aggs/x").send().await.is_refusal(401, "unauthorized");
    let odd =
        client.bare("/acme/v2/aggs/x").header("origin", page).header("sec-fetch-site", "none");
    odd.send().await.is_refusal(403, "forbidden");
    // A wrong key does not become a guest.
    let wrong = client.bare("/acme/v2/aggs/x").header("origin", page).header("x-api-key", "mdw_x");
    let wrong = wrong.send().await;
    wrong.is_refusal(401, "unauthorized");
    assert_eq!(allowed(&wrong).as_deref(), Some(page));

    let asks = |origin: &str| {
        let more = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
        format!("OPTIONS /acme/v2/aggs/x HTTP/1.1\r\n{}", lines(&more))
    };
    let seen = house.provider.seen().len();
    let preflight = house.raw(&asks(page)).await;
    assert_eq!((preflight.status, allowed(&preflight).as_deref()), (204, Some(page)));
    assert_eq!(preflight.header("vary"), Some("Origin"));
    let stranger = house.raw(&asks("https://evil.example")).await;
    stranger.is_refusal(403, "forbidden");
    assert_eq!(allowed(&stranger), None);
    assert_eq!(house.provider.seen().len(), seen);
    house.leave().await;
}

#[test]
fn the_commands_say_what_became_of_a_client_key_in_words_that_can_be_typed() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let made = ground.json(&["client", "create", "desk", "--json"]);
    let said = |arguments: &[&str]| {
        let output = ground.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!said(&["client", "revoke", "desk"]).contains("already"));
    assert!(said(&["client", "revoke", "desk"]).contains("desk was revoked already"));
    let refused = ground.fails(&["client", "rotate", "desk"]);
    assert!(refused.contains("client restore"), "{refused}");
    assert!(!said(&["client", "restore", "desk"]).contains("already"));
    assert!(said(&["client", "restore", "desk"]).contains("desk was active already"));
    let refused = ground.fails(&["client", "set", "desk", "--allow-ip", "10.0.0.1/8"]);
    assert!(refused.contains("--allow-ip: has bits set"), "{refused}");
    let refused = ground.fails(&["client", "explain", "desk", "GET", "/openai/a/../b"]);
    assert!(refused.contains("PATH: holds a dot segment"), "{refused}");
    let refused = ground.fails(&["client", "set", "desk", "--scope", "polygone:GET:/**"]);
    assert!(
        refused.contains("--scope: names no provider") && refused.contains("polygon"),
        "{refused}"
    );
    let empty = ground.run_with_input(&["client", "import", "-"], "[]");
    assert!(String::from_utf8_lossy(&empty.stdout).contains("nothing was imported"), "{empty:?}");
    let help = said(&["client", "set", "--help"]);
    assert!(!help.contains("[default: user]") && help.contains("--clear expires_at"), "{help}");
    let gone = ground.json(&["client", "delete", "desk", "--json"]);
    assert_eq!(gone, json!({"id": made["id"], "deleted": true}));
}
