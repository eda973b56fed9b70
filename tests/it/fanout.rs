//! One socket of a provider's for many clients: it never sees a second one, everybody gets what he
//! asked for and nothing else, in order, and what is lost is said. Short every day; `make proof`
//! sets PROOF to 1000, and it lasts an hour then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealgate::clock::Clock;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::house::frames::{self, CLOSE, PING, PONG, TEXT};
use crate::house::{Client, Exchange, House, LISTED, Plan, Sailor};
use crate::resilience::last_record;

async fn house_by(exchange: &Exchange, top: &str) -> House {
    let settings = format!("{top}{}", exchange.settings());
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "sea", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    house
}

async fn aboard(house: &House, client: &Client) -> Sailor {
    let mut socket = house.sail("/sea/stocks", "").await.aboard();
    assert!(socket.hear_text().await.contains("connected"));
    socket.text(&format!("{{\"action\":\"auth\",\"params\":\"{}\"}}", client.key)).await;
    let word = socket.hear_text().await;
    assert!(word.contains("auth_success"), "{word}");
    socket
}

fn ask(action: &str, topics: &str) -> String {
    json!({"action": action, "params": topics}).to_string()
}

/// The next message that holds this; what comes before it is looked through by `other`.
async fn until(socket: &mut Sailor, wanted: &str, mut other: impl FnMut(&Value)) -> Value {
    loop {
        let text = socket.hear_text().await;
        let said: Value = serde_json::from_str(&text).unwrap();
        if text.contains(wanted) {
            return said;
        }
        other(&said);
    }
}

fn symbols(said: &Value) -> BTreeSet<String> {
    let elements = said.as_array().unwrap().iter();
    elements.filter_map(|one| Some(one["sym"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn two_programs_share_one_socket_and_each_gets_its_own() {
    let exchange = Exchange::open().await;
    let house = house_by(&exchange, "").await;
    let (one, two) = (house.client().await, house.client().await);
    let (mut first, mut second) = (aboard(&house, &one).await, aboard(&house, &two).await);
    first.text(&ask("subscribe", "T.S1,T.S2")).await;
    second.text(&ask("subscribe", "T.S2,T.S3")).await;
    until(&mut first, "subscribed to: T.S2", |_| ()).await;
    until(&mut second, "subscribed to: T.S3", |_| ()).await;
    for (socket, own) in [(&mut first, ["S1", "S2"]), (&mut second, ["S2", "S3"])] {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let text = socket.hear_text().await;
            let said: Value = serde_json::from_str(&text).unwrap();
            seen.append(&mut symbols(&said));
        }
        assert_eq!(seen, BTreeSet::from(own.map(str::to_owned)));
    }
    assert_eq!(exchange.wanted(), BTreeSet::from(["T.S1", "T.S2", "T.S3"].map(str::to_owned)));
    first.frame(true, PING, b"there?").await;
    loop {
        let frame = first.hear().await;
        if frame.opcode == PONG {
            assert_eq!(frame.payload, b"there?");
            break;
        }
    }
    first.text("{\"action\":\"delete everything\"}").await;
    until(&mut first, "unknown action", |_| ()).await;
    first.text(&ask("unsubscribe", "T.S2")).await;
    until(&mut first, "unsubscribed to: T.S2", |_| ()).await;
    for _ in 0..10 {
        let said: Value = serde_json::from_str(&first.hear_text().await).unwrap();
        assert_eq!(symbols(&said), BTreeSet::from([String::from("S1")]));
    }
    first.frame(true, CLOSE, &1000_u16.to_be_bytes()).await;
    loop {
        let frame = first.hear().await;
        if frame.opcode == CLOSE {
            break;
        }
    }
    let without_s1 = BTreeSet::from(["T.S2", "T.S3"].map(str::to_owned));
    exchange.wait_until("the first's own is given up", |all| all.wanted() == without_s1).await;
    let record = last_record(&house, &one, 1).await;
    assert_eq!((&record["status_code"], &record["end"]), (&101.into(), &"complete".into()));
    assert_eq!(record["detail"]["messages_in"], 3, "{record}");
    assert!(record["detail"]["messages_out"].as_u64().unwrap() > 20, "{record}");
    assert!(record["bytes_out"].as_u64().unwrap() > 1_000, "{record}");
    // Whoever is revoked leaves at once, and with the last one the provider's socket ends.
    let path = format!("/api/v1/admin/api-keys/{}", two.id);
    assert_eq!(house.admin.delete(&path).send().await.status, 204);
    let gone = async {
        while second.hear().await.opcode != CLOSE {}
        exchange.wait_until("nobody is there", |all| all.open_now() == 0).await;
    };
    tokio::time::timeout(Duration::from_millis(1_500), gone).await.expect("it stays");
    let (most, kicked, logins) = exchange.seen();
    assert_eq!((most, kicked), (1, 0));
    assert_eq!(logins, [house.canary.plain()]);
    house.leave().await;
}

#[tokio::test]
async fn whoever_listens_to_a_quiet_market_is_asked_whether_he_lives() {
    let exchange = Exchange::open().await;
    let settings = exchange.settings() + "[providers.sea.timeouts]\nidle_seconds = 2\n";
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "sea", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    assert_eq!(house.admin.post("/api/v1/admin/secrets").json(&secret).send().await.status, 201);
    let client = house.client().await;
    let (mut lives, mut hangs) = (aboard(&house, &client).await, aboard(&house, &client).await);
    // Three times as long as the provider's idle time.
    for _ in 0..6 {
        house.clock.advance(Duration::from_millis(1_100));
        let asked = lives.hear().await;
        assert_eq!(asked.opcode, PING, "{asked:?}");
        lives.frame(true, PONG, &asked.payload).await;
        // Until it is heard.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(hangs.hear().await.opcode, PING);
    assert_eq!(hangs.hear().await.opcode, CLOSE, "it answered nothing");
    house.leave().await;
}

#[tokio::test]
async fn wildcards_and_what_the_plan_does_not_have_reach_those_who_asked() {
    let exchange = Exchange::open().await;
    exchange.bar("T.S9");
    let house = house_by(&exchange, "").await;
    let (one, two) = (house.client().await, house.client().await);
    let (mut all, mut some) = (aboard(&house, &one).await, aboard(&house, &two).await);
    some.text(&ask("subscribe", "T.S9,T.S1")).await;
    let no = until(&mut some, "not entitled", |_| ()).await;
    assert_eq!(no[0]["message"], "You are not entitled to T.S9.");
    all.text(&ask("subscribe", "T.*")).await;
    let told = until(&mut all, "subscribed to: T.*", |said| {
        assert!(!said.to_string().contains("entitled"), "{said}");
    });
    told.await;
    let everything = until(&mut all, "\"S7\"", |_| ()).await;
    assert_eq!(symbols(&everything).len(), LISTED);
    for _ in 0..10 {
        let said: Value = serde_json::from_str(&some.hear_text().await).unwrap();
        assert!(symbols(&said).iter().all(|symbol| symbol == "S1"), "{said}");
    }
    // What was asked for by name stays.
    all.leave().await;
    let own = BTreeSet::from([String::from("T.S1")]);
    exchange.wait_until("all is given up but one", |all| all.wanted() == own).await;
    until(&mut some, "\"S1\"", |_| ()).await;
    house.leave().await;
}

#[tokio::test]
async fn a_restart_of_the_provider_is_a_gap_that_is_said_and_nothing_more() {
    let exchange = Exchange::open().await;
    let house = house_by(&exchange, "").await;
    let client = house.client().await;
    let mut socket = aboard(&house, &client).await;
    socket.text(&ask("subscribe", "T.S1")).await;
    until(&mut socket, "\"S1\"", |_| ()).await;
    exchange.restart();
    until(&mut socket, "\"gap\"", |_| ()).await;
    let quiet = |said: &Value| assert!(!said.to_string().contains("subscribed"), "{said}");
    until(&mut socket, "\"gap_over\"", quiet).await;
    until(&mut socket, "\"S1\"", quiet).await;
    // While the provider takes nobody in, whoever is in waits, and whoever comes hears it.
    exchange.shut(true);
    exchange.restart();
    until(&mut socket, "\"gap\"", |_| ()).await;
    let other = house.client().await;
    let mut late = house.sail("/sea/stocks", "").await.aboard();
    late.hear_text().await;
    late.text(&format!("{{\"action\":\"auth\",\"params\":\"{}\"}}", other.key)).await;
    assert!(late.hear_text().await.contains("error"));
    assert_eq!(late.hear_close().await.0, 1013);
    exchange.shut(false);
    until(&mut socket, "\"gap_over\"", |_| ()).await;
    until(&mut socket, "\"S1\"", |_| ()).await;
    assert_eq!(exchange.seen().0, 1);
    house.leave().await;
}

#[tokio::test]
async fn a_secret_that_serves_no_more_ends_the_socket_and_everybody_asks_anew() {
    let exchange = Exchange::open().await;
    let house = house_by(&exchange, "").await;
    let client = house.client().await;
    let mut socket = aboard(&house, &client).await;
    socket.text(&ask("subscribe", "T.S1")).await;
    until(&mut socket, "\"S1\"", |_| ()).await;
    let secrets = house.admin.get("/api/v1/admin/secrets").send().await.json();
    let secret = secrets["items"].as_array().unwrap().iter().find(|one| one["provider"] == "sea");
    let id = secret.unwrap_or_else(|| panic!("{secrets}"))["id"].as_str().unwrap();
    let path = format!("/api/v1/admin/secrets/{id}");
    let off = house.admin.put(&path).json(&json!({"active": false})).send().await;
    assert_eq!(off.status, 200, "{}", off.text());
    let end = async {
        loop {
            let frame = socket.hear().await;
            if frame.opcode == CLOSE {
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(3), end).await.expect("it stays");
    assert_eq!(code, 1012);
    exchange.wait_until("nobody is there", |all| all.open_now() == 0).await;
    let on = house.admin.put(&path).json(&json!({"active": true})).send().await;
    assert_eq!(on.status, 200, "{}", on.text());
    drop(aboard(&house, &client).await);
    assert_eq!(exchange.seen().0, 1);
    house.leave().await;
}

#[tokio::test]
async fn an_escape_in_the_path_joins_nothing_that_the_scopes_do_not_allow() {
    let exchange = Exchange::open().await;
    let house = house_by(&exchange, "").await;
    let all = house.client().await;
    let narrow = house.client_with(json!({"scopes": ["sea:GET:/*", "sea:GET:/*/*/*"]})).await;
    let shown = async |path: &str, client: &Client| {
        let mut socket = house.sail(path, "").await.aboard();
        assert!(socket.hear_text().await.contains("connected"));
        socket.text(&json!({"action": "auth", "params": client.key}).to_string()).await;
        (socket.hear_text().await, socket)
    };
    let (word, _full) = shown("/sea/v2/sip", &all).await;
    assert!(word.contains("auth_success"), "{word}");
    let escaped = ["/sea/v2%2Fsip", "/sea/v2%2fsip", "/sea/v2%252Fsip", "/sea/v2%5Csip"];
    for path in escaped.into_iter().chain(["/sea/v2/sip", "/sea/v2/sip/"]) {
        let (word, _refused) = shown(path, &narrow).await;
        assert!(word.contains("\"status\"") && !word.contains("auth_success"), "{path}: {word}");
    }
    let (word, _refused) = shown("/sea/v2%2Fsip", &all).await;
    assert!(!word.contains("auth_success"), "{word}");
    // However a letter is written, it is the same socket.
    let (word, _same) = shown("/sea/%76%32/sip?of=one", &all).await;
    assert!(word.contains("auth_success"), "{word}");
    let (most, kicked, logins) = exchange.seen();
    assert_eq!((most, kicked, logins.len()), (1, 0, 1));
    house.leave().await;
}

#[tokio::test]
async fn whom_another_secret_serves_now_is_sent_away_and_the_socket_keeps_its_own() {
    let exchange = Exchange::open().await;
    let settings = exchange.settings();
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let stored = async |name: &str, key: &str| {
        let secret = json!({
            "provider": "sea", "name": name, "fields": {"api_key": key}, "validate": false,
        });
        let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
    };
    stored("first", house.canary.plain()).await;
    let bound = house.client_with(json!({"secrets": {"sea": "first"}})).await;
    let unbound = house.client().await;
    let mut stays = aboard(&house, &bound).await;
    let mut goes = aboard(&house, &unbound).await;
    for socket in [&mut stays, &mut goes] {
        socket.text(&ask("subscribe", "T.S1")).await;
        until(socket, "\"S1\"", |_| ()).await;
    }
    stored("default", "another-key-of-the-same-provider").await;
    let end = async {
        loop {
            let frame = goes.hear().await;
            if frame.opcode == CLOSE {
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(4), end).await.expect("it stays");
    assert_eq!(code, 1012);
    exchange.restart();
    until(&mut stays, "\"gap_over\"", |_| ()).await;
    until(&mut stays, "\"S1\"", |_| ()).await;
    let (most, kicked, logins) = exchange.seen();
    assert_eq!((most, kicked), (1, 0));
    assert_eq!(logins, [house.canary.plain(), house.canary.plain()], "with its own secret alone");
    house.leave().await;
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % most
    }
}

/// One of two hundred.
struct Desk {
    writing: OwnedWriteHalf,
    wants: BTreeSet<String>,
    ledger: Arc<Mutex<Ledger>>,
    hearing: tokio::task::JoinHandle<()>,
}

/// What a desk may hear, and what it heard.
#[derive(Default)]
struct Ledger {
    /// From the request to the word that it was given up; it may be asked for anew before that.
    allowed: BTreeMap<String, u32>,
    last: BTreeMap<String, u64>,
    trades: u64,
    gaps: u64,
    faults: Vec<String>,
}

impl Ledger {
    fn hear(&mut self, said: &Value) {
        for one in said.as_array().unwrap() {
            let message = one["message"].as_str().unwrap_or_default();
            if one["status"] == "gap" {
                self.gaps += 1;
                self.last.clear();
            } else if let Some(topic) = message.strip_prefix("unsubscribed to: ") {
                *self.allowed.entry(topic.to_owned()).or_default() -= 1;
                self.last.clear();
            } else if one["ev"] == "T" {
                let (symbol, number) = (one["sym"].as_str().unwrap(), one["n"].as_u64().unwrap());
                let topic = format!("T.{symbol}");
                let may = |topic: &str| self.allowed.get(topic).is_some_and(|times| *times > 0);
                if !may(&topic) && !may("T.*") {
                    self.faults.push(format!("nobody asked for {symbol}"));
                }
                let last = self.last.insert(symbol.to_owned(), number);
                if last.is_some_and(|last| number != last + 1) {
                    self.faults.push(format!("{symbol}: {number} behind {last:?}"));
                }
                self.trades += 1;
            }
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn hearing(mut reading: OwnedReadHalf, ledger: Arc<Mutex<Ledger>>) {
    while let Ok(frame) = frames::read(&mut reading).await {
        if frame.opcode == TEXT {
            lock(&ledger).hear(&serde_json::from_slice(&frame.payload).unwrap());
        }
    }
}

impl Desk {
    async fn open(house: &House, client: &Client) -> Self {
        let (reading, writing) = aboard(house, client).await.parted();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let hearing = tokio::spawn(hearing(reading, Arc::clone(&ledger)));
        Self { writing, wants: BTreeSet::new(), ledger, hearing }
    }

    async fn act(&mut self, dice: &mut Dice) {
        let topic = match dice.below(40) {
            0 => String::from("T.*"),
            _ => format!("T.S{}", dice.below(LISTED)),
        };
        let action = match self.wants.contains(&topic) {
            true => {
                self.wants.remove(&topic);
                "unsubscribe"
            }
            false => {
                self.wants.insert(topic.clone());
                *lock(&self.ledger).allowed.entry(topic.clone()).or_default() += 1;
                "subscribe"
            }
        };
        let text = ask(action, &topic);
        let frame = frames::written(true, TEXT, text.as_bytes(), Some([5, 6, 7, 8]));
        self.writing.write_all(&frame).await.unwrap();
    }
}

/// An hour where PROOF is 1000, a minute where it is less, and some seconds every day.
fn lasting() -> Duration {
    Duration::from_secs(match crate::crash::rounds() {
        ..30 => 6,
        30..1_000 => 60,
        _ => 3_600,
    })
}

#[expect(clippy::print_stdout, reason = "the figures are what the proof command is run for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_come_and_go_hear_exactly_their_own() {
    let exchange = Exchange::open().await;
    let house = house_by(&exchange, "").await;
    let client = house.client_with(json!({"tier": "unlimited", "max_concurrent": 1000})).await;
    let mut dice = Dice(7);
    let mut desks = Vec::new();
    for _ in 0..200 {
        desks.push(Desk::open(&house, &client).await);
    }
    let clock = Clock::system();
    let end_ns = clock.monotonic_ns() + u64::try_from(lasting().as_nanos()).unwrap();
    let (mut rounds, mut steps) = (0_u64, 0_u64);
    while clock.monotonic_ns() < end_ns || rounds < 3 {
        rounds += 1;
        if rounds % 2 == 0 {
            exchange.restart();
        }
        for _ in 0..400 {
            let at = dice.below(desks.len());
            if dice.below(40) == 0 {
                let gone = desks.swap_remove(at);
                gone.hearing.abort();
                drop(gone);
                desks.push(Desk::open(&house, &client).await);
            } else {
                desks[at].act(&mut dice).await;
            }
            steps += 1;
        }
        let union: BTreeSet<String> =
            desks.iter().flat_map(|desk| desk.wants.iter().cloned()).collect();
        exchange.wait_until("the union is the model's", |all| all.wanted() == union).await;
        for desk in &desks {
            let ledger = lock(&desk.ledger);
            assert!(ledger.faults.is_empty(), "{:?}", ledger.faults);
        }
    }
    let (most, kicked, logins) = exchange.seen();
    assert_eq!((most, kicked), (1, 0), "the provider saw a second socket");
    let trades: u64 = desks.iter().map(|desk| lock(&desk.ledger).trades).sum();
    let gaps: u64 = desks.iter().map(|desk| lock(&desk.ledger).gaps).sum();
    println!(
        "{rounds} rounds, {steps} steps, {} logins, {trades} trades, {gaps} gaps",
        logins.len()
    );
    assert!(trades > 1_000 && gaps > 0);
    drop(desks);
    exchange.wait_until("nobody is there", |all| all.open_now() == 0).await;
    house.leave().await;
}
