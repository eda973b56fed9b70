//! Alerts: raised by real traffic and resolved when the cause is gone, one for each cause, told to
//! receivers that are down, slow, failing and back: nothing is lost, nothing comes again once it
//! was confirmed, over kills and on two nodes, and others' libraries find the signatures right.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever waits for another process looks at the machine's own clock"
)]

mod letters;
mod parcels;
mod rules;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::clients::second_node_with;
use crate::house::{Client, Database, Ground, House, Kind, Outpost, Plan, Server, Speaks};

const ALERTS: &str = "/api/v1/admin/alerts";
const DESTINATIONS: &str = "/api/v1/admin/alert-destinations";
const DELIVERIES: &str = "/api/v1/admin/alert-deliveries";
const LONG: Duration = Duration::from_secs(60);
const NEARBY: &str = "egress.allow_private_networks = true\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    Slow,
    Failing,
    /// Reads it all and hangs up.
    Mute,
    /// Wants nothing ever again.
    Gone,
}

/// One message as it came, and whether it was confirmed.
#[derive(Clone)]
struct Got {
    id: String,
    headers: HeaderMap,
    body: String,
    confirmed: bool,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Event and subject.
    fn about(&self) -> (String, String) {
        let json = self.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&json["type"]), text(&json["data"]["subject"]["id"]))
    }
}

/// Takes webhooks.
#[derive(Clone)]
struct Receiver {
    mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    fn new() -> Self {
        Self { mood: Arc::new(Mutex::new(Mood::Well)), got: Arc::default() }
    }

    fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn confirmed(&self) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.confirmed).collect()
    }

    fn listen(&self, listener: TcpListener) -> tokio::task::JoinHandle<()> {
        let receiver = self.clone();
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver.clone();
                connections.spawn(async move {
                    let answer = service_fn(move |request| receiver.clone().take(request));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        })
    }

    async fn take(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Empty<Bytes>>, &'static str> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| "broken off")?.to_bytes();
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        if mood == Mood::Slow {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let id = head.headers["webhook-id"].to_str().unwrap().to_owned();
        let confirmed = matches!(mood, Mood::Well | Mood::Slow);
        let body = String::from_utf8(body.to_vec()).unwrap();
        let got = Got { id, headers: head.headers, body, confirmed };
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(got);
        let mut answer = Response::new(Empty::new());
        match mood {
            Mood::Well | Mood::Slow => *answer.status_mut() = StatusCode::NO_CONTENT,
            Mood::Failing => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            Mood::Gone => *answer.status_mut() = StatusCode::GONE,
            Mood::Mute => return Err("hangs up"),
        }
        Ok(answer)
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Until it is so.
async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn listed(house: &House) -> Vec<Value> {
    let listed = house.admin.get(&format!("{ALERTS}?limit=1000")).send().await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    listed.json()["items"].as_array().unwrap().clone()
}

/// The newest alert of a kind about a subject, once it is in this state.
async fn alert(house: &House, (kind, about): (&str, &str), state: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{kind} of {about} {state}"), async || {
        let all = listed(house).await;
        let is = |one: &&Value| one["kind"] == kind && one["subject"]["id"] == about;
        found = all.iter().find(is).cloned().unwrap_or_default();
        found["state"] == state
    })
    .await;
    found
}

async fn hook(house: &House, name: &str, address: SocketAddr) -> Value {
    let url = format!("http://{address}/token-in-the-url");
    let body = json!({"name": name, "kind": "webhook", "url": url});
    let made = house.admin.post(DESTINATIONS).json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

/// A client key whose quota is used up, which is an alert.
async fn spent(house: &House) -> Client {
    let client = house.client_with(json!({"limit": 1})).await;
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    client
}

async fn delivered(house: &House, count: usize) {
    wait_until(&format!("{count} delivered"), async || {
        // Tries that wait come when the time has come.
        house.clock.advance(Duration::from_secs(1));
        let list = house.admin.get(&format!("{DELIVERIES}?state=delivered&limit=1000"));
        list.send().await.json()["items"].as_array().unwrap().len() >= count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_in_every_way_is_told_everything_in_the_end_once_confirmed() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let listening = receiver.listen(socket);
    let mut house = House::planned(Plan { settings: NEARBY.to_owned(), ..Plan::default() }).await;
    let made = hook(&house, "on-call", address).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{made}");
    let mut about = Vec::new();
    for mood in [Mood::Well, Mood::Slow, Mood::Failing, Mood::Mute] {
        receiver.feels(mood);
        let before = receiver.got().len();
        let client = spent(&house).await;
        alert(&house, ("quota_near", &client.id), "open").await;
        wait_until("a try", async || receiver.got().len() > before).await;
        about.push(client.id);
    }
    assert_eq!(receiver.confirmed().len(), 2);
    // Nobody listens, and the house is started anew meanwhile.
    listening.abort();
    let _gone = listening.await;
    let client = spent(&house).await;
    alert(&house, ("quota_near", &client.id), "open").await;
    about.push(client.id);
    house.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let socket = TcpListener::bind(address).await.unwrap();
    receiver.feels(Mood::Well);
    let _listening = receiver.listen(socket);
    delivered(&house, about.len()).await;
    house.restart().await;
    house.clock.advance(Duration::from_secs(90));
    tokio::time::sleep(Duration::from_secs(3)).await;

    // Each once, and what came before it was confirmed came as it was.
    let mut told = BTreeMap::new();
    for got in receiver.confirmed() {
        let (event, subject) = got.about();
        assert_eq!(event, "alert.raised");
        *told.entry(subject).or_insert(0) += 1;
        let alike = receiver.got().into_iter().filter(|other| other.id == got.id);
        assert!(alike.clone().all(|other| other.body == got.body));
    }
    about.sort();
    assert_eq!(told, about.into_iter().map(|id| (id, 1)).collect());
    let tries = receiver.got().len();
    assert!(tries >= told.len() + 2, "{tries}");
    // The secret was shown once, and the path of the URL never.
    let shown = house.admin.get(DESTINATIONS).send().await.text();
    let trail = house.admin.get("/api/v1/admin/audit?limit=1000").send().await.text();
    for text in [&shown, &trail] {
        assert!(!text.contains(&secret) && !text.contains("token-in-the-url"), "{text}");
    }
    assert!(shown.contains(&format!("\"address\":\"http://{address}\"")), "{shown}");
    let dump = String::from_utf8_lossy(&house.database.dump().await).into_owned();
    assert!(!dump.contains(&secret) && !dump.contains("token-in-the-url"));
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_lies_among_the_dead_until_somebody_sends_it_again() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let house = House::planned(Plan { settings: NEARBY.to_owned(), ..Plan::default() }).await;
    hook(&house, "on-call", address).await;
    receiver.feels(Mood::Failing);
    spent(&house).await;
    wait_until("a try", async || !receiver.got().is_empty()).await;
    let dead = async || {
        let dead = house.admin.get(&format!("{DELIVERIES}?state=dead")).send().await.json();
        dead["items"].as_array().unwrap().clone()
    };
    // Twelve tries, over more than a day.
    wait_until("given up", async || {
        house.clock.advance(Duration::from_secs(13 * 3600));
        tokio::time::sleep(Duration::from_millis(500)).await;
        !dead().await.is_empty()
    })
    .await;
    let of_quota = |got: &Got| got.json()["data"]["kind"] == "quota_near";
    let given_up = dead().await;
    let one = given_up.iter().find(|one| one["event"] == "raised").unwrap();
    assert_eq!((&one["attempts"], &one["fault"]), (&json!(12), &json!("it answered 500")));
    let first = receiver.got().into_iter().find(of_quota).unwrap();
    receiver.feels(Mood::Well);
    let resend = format!("{DELIVERIES}/{}/resend", one["id"].as_str().unwrap());
    let again = house.admin.post(&resend).send().await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("waiting")));
    wait_until("told", async || {
        receiver.confirmed().iter().any(|got| got.id == first.id && got.body == first.body)
    })
    .await;
    wait_until("noted", async || house.admin.post(&resend).send().await.status == 409).await;

    // One that is gone for good is not tried again.
    receiver.feels(Mood::Gone);
    let before = receiver.got().len();
    let client = spent(&house).await;
    wait_until("a try", async || receiver.got().len() > before).await;
    wait_until("given up at once", async || {
        let all = dead().await;
        all.iter().any(|one| one["fault"] == "it answered 410" && one["attempts"] == 1)
    })
    .await;
    alert(&house, ("quota_near", &client.id), "open").await;
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_is_tested_narrowed_changed_and_removed() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let listening = receiver.listen(socket);
    let house = House::planned(Plan { settings: NEARBY.to_owned(), ..Plan::default() }).await;
    let id = hook(&house, "on-call", address).await["id"].as_str().unwrap().to_owned();
    let one = format!("{DESTINATIONS}/{id}");
    let test = async || house.admin.post(&format!("{one}/test")).send().await.json();
    let tested = test().await;
    assert_eq!(tested["ok"], true, "{tested}");
    assert_eq!(receiver.got()[0].json()["type"], "alert.test");
    receiver.feels(Mood::Failing);
    let tested = test().await;
    assert_eq!((&tested["ok"], &tested["detail"]), (&json!(false), &json!("it answered 500")));
    receiver.feels(Mood::Well);
    let before = receiver.got().len();

    let same = json!({"name": "on-call", "kind": "syslog"});
    house.admin.post(DESTINATIONS).json(&same).send().await.is_refusal(409, "conflict");
    for (wrong, field) in [
        (json!({"name": "x", "kind": "webhook"}), "url"),
        (json!({"name": "x", "kind": "webhook", "url": "http://hooks.example/x"}), "url"),
        (json!({"name": "x", "kind": "pigeon"}), "kind"),
        (json!({"name": "x", "kind": "email", "to": ["nobody"]}), "to[0]"),
        (json!({"name": "x", "kind": "syslog", "url": "https://x.example"}), "url"),
        (json!({"name": "x", "kind": "syslog", "kinds": ["nothing"]}), "kinds[0]"),
    ] {
        let refused = house.admin.post(DESTINATIONS).json(&wrong).send().await;
        let refused = refused.is_refusal(422, "invalid");
        assert_eq!(refused["fields"][0]["field"], field, "{wrong}: {refused}");
    }
    // Of another kind alone: nothing of a quota.
    let narrow = json!({"kinds": ["integrity"]});
    assert_eq!(house.admin.put(&one).json(&narrow).send().await.status, 200);
    let client = spent(&house).await;
    alert(&house, ("quota_near", &client.id), "open").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.got().len(), before);
    let wide = json!({"kinds": null, "min_severity": "critical", "resolved": false});
    assert_eq!(house.admin.put(&one).json(&wide).send().await.status, 200);
    let client = spent(&house).await;
    wait_until("told", async || receiver.got().len() > before).await;
    assert_eq!(receiver.got()[before].about().1, client.id);
    // Of two URLs of one host the trail says that it is the other one, and not which.
    let other = json!({"url": format!("http://{address}/another-token")});
    assert_eq!(house.admin.put(&one).json(&other).send().await.status, 200);
    wait_until("in the trail", async || {
        let trail = house.admin.get("/api/v1/admin/audit?limit=50").send().await.text();
        trail.contains("another one") && !trail.contains("another-token")
    })
    .await;
    house.clock.advance(Duration::from_secs(4000));
    alert(&house, ("quota_near", &client.id), "resolved").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.got().len(), before + 1, "it did not ask for ends");
    // Whoever edits the row tells nobody by it, and it is named.
    house.database.tamper("UPDATE alert_destinations SET name = 'mine'").await;
    let shown = house.admin.get(&one).send().await.json();
    assert!(shown["kind"].is_null() && shown["fault"].is_string(), "{shown}");
    let found = house.admin.get("/api/v1/admin/integrity").send().await.text();
    assert!(found.contains("alert_destinations"), "{found}");
    assert_eq!(house.admin.delete(&one).send().await.status, 204);
    house.admin.get(&one).send().await.is_refusal(404, "not_found");
    listening.abort();
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_private_is_told_nothing_whatever_its_name() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let house = House::planned(Plan {
        settings: String::from("egress.allow_private_networks = false\n"),
        ..Plan::default()
    })
    .await;
    for url in [format!("http://{address}/x"), format!("https://{address}/x")] {
        let body = json!({"name": "x", "kind": "webhook", "url": url});
        let refused = house.admin.post(DESTINATIONS).json(&body).send().await;
        assert!(refused.is_refusal(422, "invalid").to_string().contains("private"));
    }
    // A name that leads here is found out when it is connected to.
    let url = format!("https://localhost.localdomain:{}/x", address.port());
    let body = json!({"name": "x", "kind": "webhook", "url": url});
    let made = house.admin.post(DESTINATIONS).json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let test = format!("{DESTINATIONS}/{}/test", made.json()["id"].as_str().unwrap());
    let tested = house.admin.post(&test).send().await.json();
    assert_eq!(tested["ok"], false, "{tested}");
    assert!(receiver.got().is_empty());
    house.leave().await;
}

/// The real binary, on the machine's own clock.
struct Site {
    grounds: Vec<Ground>,
    database: Database,
    provider: Outpost,
    secret: String,
    id: String,
}

impl Site {
    async fn new(kind: Kind, nodes: usize, receiver: SocketAddr) -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let ca = Path::new("outpost.pem");
        let folder = tempfile::tempdir().unwrap();
        let database = Database::fresh(kind, folder.path()).await;
        let of_database = match kind {
            Kind::Postgres => database.settings(),
            Kind::Sqlite => String::new(),
        };
        let settings = format!("{of_database}{NEARBY}{}", provider.settings("acme", ca, bearer));
        let first = Ground::new(&settings);
        let master = first.path().join("keys/master.key");
        let master =
            format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
        let mut grounds = vec![first];
        grounds.extend((1..nodes).map(|_| Ground::new(&format!("{master}{settings}"))));
        for ground in &grounds {
            std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        }
        let first = &grounds[0];
        first.json(&["init", "--json"]);
        let add = ["secret", "add", "acme", "--no-validate", "--json"];
        assert!(first.run_with_input(&add, "a-real-key-of-acme\n").status.success());
        let add = ["alert", "destinations", "add", "on-call", "--json"];
        let made = first.run_with_input(&add, &format!("http://{receiver}/hook\n"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (secret, id) = (text("secret"), text("id"));
        Self { grounds, database, provider, secret, id }
    }

    /// A client key whose quota is used up at this server.
    async fn spend(&self, server: &Server) -> String {
        let made = self.grounds[0].json(&["client", "create", "caller", "--limit", "1", "--json"]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = http.get(format!("{}/acme/x", server.proxy));
        let call = call.header("x-api-key", made["key"].as_str().unwrap());
        assert_eq!(call.send().await.unwrap().status(), 200);
        made["id"].as_str().unwrap().to_owned()
    }

    /// Every confirmed message is right, says the reference library.
    fn verify(&self, got: &[Got]) {
        let lines: String = got
            .iter()
            .map(|got| {
                let header = |name: &str| got.headers[name].to_str().unwrap();
                let headers = json!({
                    "webhook-id": header("webhook-id"),
                    "webhook-timestamp": header("webhook-timestamp"),
                    "webhook-signature": header("webhook-signature"),
                });
                json!({"secret": self.secret, "headers": headers, "body": got.body}).to_string()
                    + "\n"
            })
            .collect();
        let said = letters::checked("verify", &lines);
        assert_eq!(said.trim(), got.len().to_string());
    }
}

fn confirmed_by_id(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut by_id = BTreeMap::new();
    for got in receiver.confirmed() {
        *by_id.entry(got.id).or_insert(0) += 1;
    }
    by_id
}

/// The ids under which an event of a subject came.
fn ids_about(receiver: &Receiver, event: &str, subject: &str) -> Vec<String> {
    let about = (event.to_owned(), subject.to_owned());
    let mut ids: Vec<String> = receiver
        .confirmed()
        .iter()
        .filter(|got| got.about() == about)
        .map(|g| g.id.clone())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_and_signatures_are_right() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let site = Site::new(Kind::Sqlite, 1, address).await;
    let mut about = Vec::new();
    let is_told = |id: &String| !ids_about(&receiver, "alert.raised", id).is_empty();
    for mood in [Mood::Failing, Mood::Well, Mood::Mute, Mood::Slow] {
        receiver.feels(mood);
        let server = site.grounds[0].serve(&[]);
        let before = receiver.got().len();
        about.push(site.spend(&server).await);
        if mood == Mood::Well {
            // The first pause is five seconds; the second one would be thirty.
            wait_until("both", async || about.iter().all(is_told)).await;
        } else if mood != Mood::Slow {
            // Who is slow has not answered yet when it is killed.
            wait_until("a try", async || receiver.got().len() > before).await;
        }
        server.kill();
    }
    receiver.feels(Mood::Well);
    let server = site.grounds[0].serve(&[]);
    wait_until("all are told", async || about.iter().all(is_told)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for id in &about {
        assert_eq!(ids_about(&receiver, "alert.raised", id).len(), 1, "one message, one id");
    }
    // Killed between a confirmation and its note, one may be told it once more, by its id.
    let most = confirmed_by_id(&receiver).into_values().max();
    assert!(most <= Some(2), "{most:?}");
    site.verify(&receiver.confirmed());
    // The command line knows them, and that somebody knows.
    let ground = &site.grounds[0];
    let listed = ground.json(&["alert", "list", "--json"]);
    let first = listed["items"][0]["id"].as_str().unwrap();
    let known = ground.json(&["alert", "ack", first, "--json"]);
    assert_eq!(
        (&known["state"], &known["acknowledged_by"]),
        (&json!("acknowledged"), &json!("local"))
    );
    let tested = ground.json(&["alert", "destinations", "test", "on-call", "--json"]);
    assert_eq!(tested["ok"], true, "{tested}");
    let removed = ground.json(&["alert", "destinations", "remove", "on-call", "--json"]);
    assert_eq!(removed, json!({"id": site.id, "removed": true}));
    server.stop();
    drop(site.provider);
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_confirmation_and_its_note_it_comes_again_under_its_id_alone() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let site = Site::new(Kind::Sqlite, 1, address).await;
    let mut server = site.grounds[0].serve_until("alert-sent");
    let about = site.spend(&server).await;
    tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert_eq!(receiver.confirmed().len(), 1);
    // Whoever had claimed it under this node's name is gone: it is tried at once.
    let server = site.grounds[0].serve(&[]);
    let since = Instant::now();
    while receiver.confirmed().len() < 2 {
        assert!(since.elapsed() < LONG + LONG, "never told again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let confirmed = receiver.confirmed();
    assert!(confirmed.iter().all(|got| got.id == confirmed[0].id));
    assert!(confirmed.iter().all(|got| got.body == confirmed[0].body && got.about().1 == about));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_of_one_database_tell_everything_once() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let site = Site::new(Kind::Postgres, 2, address).await;
    let servers: Vec<Server> = site.grounds.iter().map(|ground| ground.serve(&[])).collect();
    let mut about = Vec::new();
    for turn in 0..6 {
        // It fails now and then, and each of the two goes on with what the other began.
        receiver.feels(if turn % 3 == 1 { Mood::Failing } else { Mood::Well });
        about.push(site.spend(&servers[turn % 2]).await);
    }
    receiver.feels(Mood::Well);
    let is_told = |id: &String| !ids_about(&receiver, "alert.raised", id).is_empty();
    wait_until("all are told", async || about.iter().all(is_told)).await;
    // The node that looks is gone: the other one does, within a quarter of a minute.
    let mut servers = servers.into_iter();
    let (first, second) = (servers.next().unwrap(), servers.next().unwrap());
    first.kill();
    let made = site.grounds[1].json(&["client", "create", "caller", "--limit", "1", "--json"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http.get(format!("{}/acme/x", second.proxy));
    let call = call.header("x-api-key", made["key"].as_str().unwrap());
    assert_eq!(call.send().await.unwrap().status(), 200);
    about.push(made["id"].as_str().unwrap().to_owned());
    wait_until("told by the other", async || {
        !ids_about(&receiver, "alert.raised", about.last().unwrap()).is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for id in &about {
        assert_eq!(ids_about(&receiver, "alert.raised", id).len(), 1, "one message");
    }
    let twice: Vec<_> = confirmed_by_id(&receiver).into_iter().filter(|(_, n)| *n > 1).collect();
    assert_eq!(twice, [], "confirmed, and told again");
    site.verify(&receiver.confirmed());
    second.stop();
    site.database.drop_it().await;
}
