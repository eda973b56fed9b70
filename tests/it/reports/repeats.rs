//! Calls that ask again for what is fresh, against a list that the test keeps by itself: two client
//! keys, answers that say how long they hold, say it otherwise, not at all or forbid it, before and
//! after their end, beside other queries, posts, errors and answers that broke off.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{DAY, HYGIENE, ok, rows, text_of_page};
use crate::house::{Client, Dice, House, Kind, Plan};

/// Of a query and of a header; nothing of either is kept.
const WORD: &str = "zz9-Plural-Z-Alpha";
/// Headers of answers, and for how long those hold; None: they say nothing.
const SAYINGS: [Saying; 11] = [
    (&[], None),
    (&[], None),
    (&[("cache-control", "max-age=60")], Some(60)),
    (&[("cache-control", "private, max-age=300")], Some(300)),
    (&[("cache-control", "s-maxage=60")], Some(60)),
    (&[("cache-control", "max-age=100"), ("age", "40")], Some(60)),
    (
        &[("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("expires", "Thu, 01 Jan 2026 00:01:00 GMT")],
        Some(60),
    ),
    (&[("cache-control", "no-store")], Some(0)),
    (&[("cache-control", "no-cache, max-age=60")], Some(0)),
    (&[("cache-control", "max-age=0")], Some(0)),
    (&[("cache-control", "max-age=60"), ("vary", "x-tenant")], Some(0)),
];
const TICKERS: [&str; 3] = ["AAPL", "AAPL", "SPY"];
/// What the provider `scroll` has in its entry.
const SCROLL_SECONDS: u64 = 30;

type Saying = (&'static [(&'static str, &'static str)], Option<u64>);
/// What one way comes to: calls, bytes, and the shortest time that they were to hold.
type Sum = (u64, u64, u64);

/// The list: until when each answer holds, and for how long it was to.
#[derive(Default)]
struct Truth {
    now: u64,
    known: BTreeMap<String, (u64, u64)>,
    repeated: BTreeMap<(usize, &'static str), Sum>,
    /// All calls of each client key, and of each provider.
    calls: BTreeMap<usize, u64>,
    uses: BTreeMap<&'static str, u64>,
}

struct Scene {
    house: House,
    clients: [Client; 2],
    dice: Dice,
    truth: Truth,
}

impl Truth {
    /// A call that was answered with 200 to its end.
    fn note(&mut self, (client, provider): (usize, &'static str), call: &str, answer: (u64, u64)) {
        let (bytes, holds) = answer;
        let key = format!("{client} {provider} {call}");
        let fresh = self.known.get(&key).filter(|(until, _)| *until > self.now);
        match fresh {
            Some((_, seconds)) => {
                let sum = self.repeated.entry((client, provider)).or_insert((0, 0, u64::MAX));
                *sum = (sum.0 + 1, sum.1 + bytes, sum.2.min(*seconds));
            }
            None if holds > 0 => {
                self.known.insert(key, (self.now + holds, holds));
            }
            None => {
                self.known.remove(&key);
            }
        }
    }
}

impl Scene {
    async fn on(database: Kind) -> Self {
        let settings = String::from("[providers.quill.price]\nper_call = 0.002\n");
        let house = House::planned(Plan { database, settings, ..Plan::default() }).await;
        let entry = json!({
            "id": "scroll", "category": "tests", "allow_private_network": true,
            "base_url": format!("https://localhost:{}/base", house.provider.address.port()),
            "ca_file": house.path().join("outpost.pem"), "fresh_seconds": SCROLL_SECONDS,
            "inject": [{"at": "header", "name": "Authorization", "value": "Bearer {api_key}"}],
        });
        let added = house.admin.post("/api/v1/admin/providers").json(&entry).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        assert_eq!(added.json()["fresh_seconds"], SCROLL_SECONDS);
        let secret = json!({"provider": "scroll", "validate": false,
            "fields": {"api_key": house.canary.plain()}});
        let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let one = house.client_with(json!({"name": "one"})).await;
        let two = house.client_with(json!({"name": "two"})).await;
        let truth = Truth::default();
        Self { house, clients: [one, two], dice: Dice(20_260_931), truth }
    }

    fn wait(&mut self, seconds: u64) {
        self.truth.now += seconds;
        self.house.clock.advance(Duration::from_secs(seconds));
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.dice.roll(u64::try_from(of.len()).unwrap())).unwrap()]
    }

    fn mostly<T>(&mut self, usual: T, other: T) -> T {
        if self.dice.roll(6) > 0 { usual } else { other }
    }

    async fn call(&mut self) {
        let client = self.pick(&[0, 0, 1]);
        let provider = self.pick(&["acme", "acme", "quill", "scroll"]);
        let (headers, holds) = self.pick(&SAYINGS);
        let (ticker, limit) = (self.pick(&TICKERS), self.mostly("", "&limit=5"));
        let failing = self.pick(&["&status=404", "&status=500", "&cut=1"]);
        let more = self.mostly("", failing);
        let accept = self.mostly("application/json", "text/csv");
        let method = self.mostly(&Method::GET, &Method::POST).clone();
        let path = format!("/holds/quotes/{ticker}?mark={WORD}{limit}{more}");
        let mut call = self.clients[client].call(method.clone(), &format!("/{provider}{path}"));
        call = call.header("accept", format!("{accept};v={WORD}"));
        for (name, value) in headers {
            call = call.header(&format!("x-says-{name}"), value);
        }
        let answer = call.try_send().await;
        *self.truth.calls.entry(client).or_default() += 1;
        *self.truth.uses.entry(provider).or_default() += 1;
        let is_cut = more == "&cut=1";
        assert_eq!(answer.is_err(), is_cut, "{path}: {answer:?}");
        if is_cut {
            // Its connection is over; whoever takes that one for the next call fails, too.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let Some(answer) = answer.ok().filter(|answer| answer.status == 200) else { return };
        if method == Method::GET {
            let bytes = u64::try_from(answer.body.len()).unwrap();
            let unsaid = if provider == "scroll" { SCROLL_SECONDS } else { 0 };
            let holds = holds.unwrap_or(unsaid);
            self.truth.note((client, provider), &format!("{path} {accept}"), (bytes, holds));
        }
    }

    /// The first second of a fresh answer's life, its last, and the one behind it.
    async fn at_the_edge(&mut self) {
        let path = format!("/holds/edge?mark={WORD}");
        for pause in [0, 1, 58, 1, 59, 1, 0] {
            self.wait(pause);
            let call = self.clients[1].get(&format!("/acme{path}"));
            let call = call.header("x-says-cache-control", "max-age=60");
            let answer = call.send().await;
            *self.truth.calls.entry(1).or_default() += 1;
            *self.truth.uses.entry("acme").or_default() += 1;
            let bytes = u64::try_from(answer.body.len()).unwrap();
            self.truth.note((1, "edge"), &path, (bytes, 60));
        }
    }
}

/// As the report tells them: client key, provider or edge, and what it says in numbers.
fn told(report: &Value) -> BTreeMap<(usize, &'static str), Sum> {
    let findings = report["findings"].as_array().unwrap();
    let repeats = findings.iter().filter(|finding| finding["kind"] == "repeated_calls");
    let one = |finding: &Value| {
        let evidence = &finding["evidence"];
        let client = usize::from(finding["subject"]["name"] == "two");
        let provider = ["acme", "quill", "scroll"].into_iter();
        let provider = provider.into_iter().find(|name| finding["provider"] == *name).unwrap();
        let way = match evidence["path"].as_str().unwrap() {
            "/holds/edge" => "edge",
            "/holds/quotes/*" => provider,
            other => panic!("{other}"),
        };
        let number = |name: &str| evidence[name].as_u64().unwrap();
        ((client, way), (number("calls"), number("bytes"), number("fresh_seconds")))
    };
    repeats.map(one).collect()
}

async fn repeated_calls_are_told_as_they_were(database: Kind) {
    let mut scene = Scene::on(database).await;
    let paid = scene.house.admin.get("/api/v1/admin/secrets?limit=50").send().await.json();
    let is_acme = |secret: &&Value| secret["provider"] == "acme";
    let acme = paid["items"].as_array().unwrap().iter().find(is_acme).unwrap()["id"].clone();
    let path = format!("/api/v1/admin/secrets/{}", acme.as_str().unwrap());
    let labels = json!({"labels": {"monthly_cost": "300"}});
    assert_eq!(scene.house.admin.put(&path).json(&labels).send().await.status, 200);
    for round in 0..300 {
        scene.call().await;
        let pause = scene.pick(&[0, 0, 1, 5, 20]);
        scene.wait(pause);
        if round == 120 {
            // What was fresh is over, and a new day begins.
            scene.wait(DAY.as_secs());
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }
    scene.at_the_edge().await;
    let Scene { house, clients, truth, .. } = scene;
    // After 1 and 59 seconds; it is over at 60, then the same with the next.
    let edge = truth.repeated[&(1, "edge")];
    assert_eq!((edge.0, edge.2), (4, 60));
    assert!(truth.repeated.len() > 5 && truth.repeated.values().map(|sum| sum.0).sum::<u64>() > 30);

    let report = ok(&house, &format!("{HYGIENE}?repeats=1")).await;
    assert_eq!(told(&report), truth.repeated, "{report}");
    let findings = report["findings"].as_array().unwrap();
    let findings: Vec<&Value> =
        findings.iter().filter(|finding| finding["kind"] == "repeated_calls").collect();
    // A plan of 300 dollars a month, since the house began.
    let lasted = u64::try_from(house.clock.unix_ms() - crate::house::NOON_MS).unwrap();
    let plan = 300_000_000 * lasted / 2_629_800_000;
    for finding in &findings {
        let (evidence, calls) = (&finding["evidence"], finding["evidence"]["calls"].as_u64());
        let client = usize::from(finding["subject"]["name"] == "two");
        assert_eq!(evidence["of_calls"], truth.calls[&client]);
        let (of_calls, of_plan) = match finding["provider"].as_str().unwrap() {
            "quill" => (calls.unwrap() * 2_000, 0),
            "acme" => (0, plan * calls.unwrap() / truth.uses["acme"]),
            _ => (0, 0),
        };
        assert_eq!(evidence["cost_of_calls_micros"], of_calls, "{finding}");
        assert_eq!(evidence["cost_of_plan_micros"], of_plan, "{finding}");
        let cost = of_calls + of_plan;
        assert_eq!(finding["cost_micros"].as_u64().unwrap_or(0), cost);
        assert_eq!(finding["severity"], if cost > 0 { "warning" } else { "info" });
        let remedy = &finding["remedy"];
        let wanted = format!("{} seconds", evidence["fresh_seconds"]);
        assert!(remedy["what"].as_str().unwrap().contains(&wanted), "{remedy}");
        let actor = format!("--actor {} ", clients[client].id);
        assert!(remedy["command"].as_str().unwrap().contains(&actor), "{remedy}");
    }
    let costs: Vec<u64> = findings.iter().filter_map(|one| one["cost_micros"].as_u64()).collect();
    assert!(costs.len() > 2 && costs.is_sorted_by(|a, b| a >= b), "the worst first: {costs:?}");
    in_every_form(&house, &findings).await;
    narrowed(&house, &truth).await;
    in_the_trail(&house, &truth).await;
    house.keeps_nowhere(WORD).await;
    house.leave().await;
}

async fn in_every_form(house: &House, findings: &[&Value]) {
    let csv = house.admin.get(&format!("{HYGIENE}?repeats=1&format=csv")).send().await.text();
    let table = rows(&csv);
    let kind = table[0].iter().position(|head| head == "kind").unwrap();
    let told = table.iter().filter(|row| row[kind] == "repeated_calls").count();
    assert_eq!(told, findings.len());
    let page = house.admin.get(&format!("{HYGIENE}?repeats=1&format=html")).send().await.text();
    let text = text_of_page(&page);
    assert!(text.contains("GET /holds/quotes/*: "), "{text}");
}

async fn narrowed(house: &House, truth: &Truth) {
    let of = async |more: &str| told(&ok(house, &format!("{HYGIENE}?{more}")).await);
    assert_eq!(of("repeats=1000").await, BTreeMap::new());
    let quill: BTreeMap<_, _> =
        truth.repeated.iter().filter(|((_, way), _)| *way == "quill").collect();
    let asked = of("repeats=1&provider=quill").await;
    assert_eq!(asked.iter().collect::<BTreeMap<_, _>>(), quill);
    let two: BTreeMap<_, _> =
        truth.repeated.iter().filter(|((client, _), _)| *client == 1).collect();
    let asked = of("repeats=1&client=two").await;
    assert_eq!(asked.iter().collect::<BTreeMap<_, _>>(), two);
    // By whole days: yesterday's alone.
    assert!(of("repeats=1&to=2026-01-15T23:00:00Z").await.len() > 2);
    assert_eq!(of("repeats=1&to=2026-01-15T00:00:00Z").await, BTreeMap::new());
}

/// Each of them says so of itself, and nobody else does.
async fn in_the_trail(house: &House, truth: &Truth) {
    let (mut again, mut cursor) = (0, String::new());
    loop {
        let trail = ok(house, &format!("/api/v1/admin/audit?kind=usage{cursor}")).await;
        let records = trail["items"].as_array().unwrap().iter();
        again += records.filter(|record| record["detail"]["asked_again"] == true).count();
        let Some(next) = trail["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let calls: u64 = truth.repeated.values().map(|sum| sum.0).sum();
    assert_eq!(u64::try_from(again).unwrap(), calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_calls_are_told_as_they_were_on_sqlite() {
    Box::pin(repeated_calls_are_told_as_they_were(Kind::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_calls_are_told_as_they_were_on_postgres() {
    Box::pin(repeated_calls_are_told_as_they_were(Kind::Postgres)).await;
}
