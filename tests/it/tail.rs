//! The trail as it grows: whoever follows it has every record once, until he may no longer.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for another process looks at the machine's own clock"
)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{Admin, Ground, House, Kind, Stream};

const SOON: Duration = Duration::from_secs(10);
const STREAM: &str = "/api/v1/admin/audit/stream";

/// Server-sent events as they come.
struct Events {
    stream: Stream,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Events {
    async fn of(admin: &Admin, query: &str) -> Self {
        let mut stream = admin.get(&format!("{STREAM}{query}")).open().await;
        assert_eq!(stream.status, 200);
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        // From now on nothing is missed.
        let first = tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap();
        let text = String::from_utf8(first.to_vec()).unwrap();
        Self { stream, text: text.split_once("\n\n").unwrap().1.to_owned() }
    }

    /// None once the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let member = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
                };
                let (id, name, data) = (member("id: "), member("event: "), member("data: "));
                self.text = rest.to_owned();
                if name.is_empty() {
                    continue;
                }
                return Some(Event { id, name, data: serde_json::from_str(&data).unwrap() });
            }
            let more = tokio::time::timeout(SOON, self.stream.next()).await.expect("nothing came");
            self.text.push_str(std::str::from_utf8(&more?).unwrap());
        }
    }

    /// The next so many records.
    async fn records(&mut self, count: usize) -> Vec<Event> {
        let mut records = Vec::new();
        while records.len() < count {
            records.push(self.next().await.expect("the stream ended"));
        }
        assert!(records.iter().all(|event| event.name == "record"), "{records:?}");
        records
    }
}

fn paths(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data["endpoint"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn whoever_follows_has_each_record_once_and_goes_on_where_he_was() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let house = House::on(kind).await;
        let client = house.client().await;
        client.get("/acme/echo/before").send().await;
        let mut events = Events::of(&house.admin, "?kind=usage&last=5").await;
        assert_eq!(paths(&events.records(1).await), ["/echo/before"]);
        for number in 0..300 {
            client.get(&format!("/acme/echo/{number}")).send().await;
        }
        let wanted: Vec<String> = (0..300).map(|number| format!("/echo/{number}")).collect();
        let came = events.records(300).await;
        assert_eq!(paths(&came), wanted);
        // As the list shows it.
        let list = house.admin.get("/api/v1/admin/audit?kind=usage&limit=1").send().await.json();
        assert_eq!(list["items"][0], came[299].data);
        drop(events);
        let cursor = format!("?kind=usage&cursor={}", came[120].id);
        let mut again = Events::of(&house.admin, &cursor).await;
        assert_eq!(paths(&again.records(179).await), wanted[121..]);
        client.get("/acme/echo/last").send().await;
        assert_eq!(paths(&again.records(1).await), ["/echo/last"]);
        drop(again);
        let wrong = house.admin.get(&format!("{STREAM}?cursor=nonsense")).send().await;
        wrong.is_refusal(422, "invalid");
        house.leave().await;
    }
}

#[tokio::test]
async fn a_revoked_reader_hears_no_more_and_a_sealed_house_ends_all() {
    let house = House::open().await;
    let client = house.client().await;
    let auditor = house.client_with(json!({"name": "eyes", "role": "auditor"})).await;
    let eyes = house.as_admin(&auditor);
    let mut theirs = Events::of(&eyes, "?kind=usage").await;
    let mut ours = Events::of(&house.admin, "?kind=usage").await;
    client.get("/acme/echo/1").send().await;
    assert_eq!(paths(&theirs.records(1).await), ["/echo/1"]);
    let key = format!("/api/v1/admin/api-keys/{}", auditor.id);
    let revoked = house.admin.put(&key).json(&json!({"active": false})).send().await;
    assert_eq!(revoked.status, 200);
    client.get("/acme/echo/2").send().await;
    let end = theirs.next().await.unwrap();
    assert_eq!((end.name.as_str(), &end.data), ("end", &json!({"reason": "revoked"})));
    assert_eq!(theirs.next().await, None);
    assert_eq!(paths(&ours.records(2).await), ["/echo/1", "/echo/2"]);
    let sealed = house.admin.post("/api/v1/admin/seal").json(&json!({})).send().await;
    assert_eq!(sealed.status, 200, "{}", sealed.text());
    let end = ours.next().await.unwrap();
    assert_eq!((end.name.as_str(), &end.data), ("end", &json!({"reason": "sealed"})));
    house.leave().await;
}

#[tokio::test]
async fn operators_follow_proxied_calls_alone_and_users_nothing() {
    let house = House::open().await;
    let client = house.client().await;
    let operator = house.client_with(json!({"name": "hands", "role": "operator"})).await;
    let hands = house.as_admin(&operator);
    let mut events = Events::of(&hands, "").await;
    house.client_with(json!({"name": "another"})).await;
    client.get("/acme/echo/1").send().await;
    assert_eq!(paths(&events.records(1).await), ["/echo/1"]);
    hands.get(&format!("{STREAM}?kind=change")).send().await.is_refusal(403, "forbidden");
    house.as_admin(&client).get(STREAM).send().await.is_refusal(403, "forbidden");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_takes_nothing_is_let_go_and_holds_nobody_up() {
    let house = House::open().await;
    let client = house.client().await;
    let mut others = Events::of(&house.admin, "?kind=usage").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(house.running().admin_address().unwrap()).await.unwrap();
    let head =
        format!("GET {STREAM} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n", house.admin_key());
    slow.write_all(head.as_bytes()).await.unwrap();
    let path = format!("/acme/echo/{}", "p".repeat(120));
    let calls = 6_000;
    for _ in 0..calls / 20 {
        let some = (0..20).map(|_| client.get(&path).send());
        let some: tokio::task::JoinSet<_> = some.collect();
        assert!(some.join_all().await.iter().all(|answer| answer.status == 200));
    }
    others.records(calls).await;
    // Long enough for whoever takes nothing; then what waited comes, and the end of it.
    tokio::time::sleep(Duration::from_secs(13)).await;
    let mut had = Vec::new();
    let reading = tokio::time::timeout(SOON, slow.read_to_end(&mut had)).await;
    let _ended = reading.expect("the connection stands");
    let records = had.windows(14).filter(|window| window == b"event: record\n").count();
    assert!((1..calls).contains(&records), "{records} of {calls}");
    house.leave().await;
}

#[test]
fn the_command_line_follows_until_the_server_stops() {
    let ground = Ground::new("");
    let server = ground.serve(&["--sandbox"]);
    for name in ["one", "two"] {
        ground.run(&["client", "create", name]);
    }
    let mut command = ground.command(&["audit", "tail", "-n", "2", "-f", "--json"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = {
        use std::io::BufRead;
        std::io::BufReader::new(child.stdout.take().unwrap()).lines()
    };
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(line["sequence"].is_number(), "{line}");
    }
    ground.run(&["client", "create", "followed"]);
    let seen = lines.by_ref().map(Result::unwrap).any(|line| line.contains("followed"));
    assert!(seen);
    let stopped = std::time::Instant::now();
    server.stop();
    assert!(stopped.elapsed() < Duration::from_secs(15), "it waited for the follower");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("the tail ended: the server stops"), "{said}");
}
