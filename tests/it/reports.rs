//! Reports against the truth of what was generated: seeded callers, keys, routes and pauses go
//! through a real house, and the report says of them what the test knows, no more and no less.

mod repeats;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Answer, Client, Dice, House, Kind, Plan};

const DAY: Duration = Duration::from_secs(86_400);
const HYGIENE: &str = "/api/v1/admin/reports/hygiene";
/// What somebody might call a key.
const HOSTILE: &str = "=HYPERLINK(\"http://x\",\"y\"),<script>alert('1')</script>&amp;";

/// A way of the traffic: provider, method, and a path in which `#` varies.
const SHAPES: [(&str, &str, &str); 6] = [
    ("acme", "GET", "/v2/aggs/ticker/#/range/1/day/2026-01-0#"),
    ("acme", "GET", "/v3/reference/tickers/#"),
    ("acme", "POST", "/v1/orders"),
    ("acme", "DELETE", "/v1/orders/#"),
    ("quill", "GET", "/stable/quote"),
    ("quill", "GET", "/stable/income-statement/#"),
];
const TICKERS: [&str; 8] = ["AAPL", "MSFT", "BRK.B", "X:BTCUSD", "7", "SPY", "QQQ", "0700.HK"];

/// As the report must write it.
fn template(shape: usize) -> String {
    let (_, _, path) = SHAPES[shape];
    let part = |part: &str| {
        let varies = part.contains('#') || part == "1";
        if varies { String::from("*") } else { part.to_owned() }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn rule(shape: usize) -> String {
    let (provider, method, _) = SHAPES[shape];
    format!("{provider}:{method}:{}", template(shape))
}

/// A caller, and what is true of it.
struct Caller {
    client: Client,
    name: String,
    scopes: Option<Vec<String>>,
    /// Shapes and how often, before the pause and after it.
    early: BTreeMap<usize, u64>,
    late: BTreeMap<usize, u64>,
    addresses: u64,
    is_over: bool,
    has_end: bool,
    is_rotated: bool,
}

async fn house(database: Kind) -> House {
    let settings =
        String::from("proxy.trusted_proxies = [\"127.0.0.1\"]\nlimits.admin_per_minute = 100000\n");
    House::planned(Plan { database, settings, ..Plan::default() }).await
}

async fn hire(house: &House, dice: &mut Dice, number: usize) -> Caller {
    let name = if number == 0 { String::from(HOSTILE) } else { format!("caller {number}") };
    let scopes: Option<Vec<String>> = match dice.roll(4) {
        0 | 1 => None,
        2 => Some((0..SHAPES.len()).map(rule).collect()),
        _ => {
            Some(["acme:*:/**", "quill:GET:/stable/**", "!acme:*:/v9/**"].map(String::from).into())
        }
    };
    // A key that ends before the pause is over; one that ends long after it; one that never does.
    let ends = dice.roll(4);
    let expires_at = match ends {
        0 => json!("2026-01-20T12:00:00Z"),
        1 => json!("2027-01-15T12:00:00Z"),
        _ => Value::Null,
    };
    let members = json!({"name": name, "scopes": scopes, "expires_at": expires_at});
    let client = house.client_with(members).await;
    let is_over = ends == 0;
    let (early, late) = (dice.roll(3), if is_over { 0 } else { dice.roll(3) });
    let mut shapes = |calls: u64| {
        let mut shapes = BTreeMap::new();
        for _ in 0..calls * 4 {
            let shape = usize::try_from(dice.roll(6)).unwrap();
            *shapes.entry(shape).or_insert(0) += 1;
        }
        shapes
    };
    let (early, late) = (shapes(early), shapes(late));
    Caller {
        client,
        name,
        scopes,
        early,
        late,
        addresses: 1 + dice.roll(2) * 7,
        is_over,
        has_end: ends < 2,
        is_rotated: dice.roll(4) == 0,
    }
}

/// Goes these ways, from so many addresses in turn.
async fn go(caller: &Caller, ways: &BTreeMap<usize, u64>, dice: &mut Dice) {
    let mut sent = 0;
    for (shape, calls) in ways {
        let (provider, method, path) = SHAPES[*shape];
        for _ in 0..*calls {
            let mut whole = format!("/{provider}{path}");
            while whole.contains('#') {
                let value = TICKERS[usize::try_from(dice.roll(8)).unwrap()];
                let value = if whole.contains("-0#") { "5" } else { value };
                let at = whole.rfind('#').unwrap();
                whole.replace_range(at..=at, value);
            }
            let call = caller.client.call(method.parse::<Method>().unwrap(), &whole);
            let address = format!("203.0.113.{}", sent % caller.addresses);
            let answer = call.header("x-forwarded-for", address).send().await;
            assert_eq!(answer.status, 200, "{} {method} {whole}: {}", caller.name, answer.text());
            sent += 1;
        }
    }
}

async fn add_secret(house: &House, name: &str, more: Value) -> String {
    let mut body = json!({
        "provider": "acme", "name": name, "validate": false,
        "fields": {"api_key": format!("value-of-{name}-0123456789")},
    });
    for (member, value) in more.as_object().unwrap() {
        body[member] = value.clone();
    }
    let added = house.admin.post("/api/v1/admin/secrets").json(&body).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    added.json()["id"].as_str().unwrap().to_owned()
}

async fn report(house: &House, more: &str) -> Answer {
    let answer = house.admin.get(&format!("{HYGIENE}?old_days=35{more}")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

fn found(report: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |finding: &Value| {
        let (subject, provider) = (&finding["subject"], finding["provider"].as_str());
        let provider = provider.map(|provider| format!("{provider}/")).unwrap_or_default();
        (text(&finding["kind"]), text(&subject["type"]), provider + &text(&subject["name"]))
    };
    let findings = report["findings"].as_array().unwrap();
    let found: BTreeSet<_> = findings.iter().map(of).collect();
    assert_eq!(found.len(), findings.len(), "one finding of a kind for each key: {report}");
    found
}

/// What must be found of a caller, forty days later.
fn true_of(caller: &Caller) -> Vec<&'static str> {
    if caller.is_over {
        return vec!["left_over"];
    }
    let mut kinds = Vec::new();
    match (caller.early.is_empty(), caller.late.is_empty()) {
        (true, true) => kinds.push("never_used"),
        (false, true) => kinds.push("idle"),
        (_, false) => {}
    }
    if !caller.has_end {
        kinds.push("no_expiry");
    }
    if !caller.is_rotated {
        kinds.push("old");
    }
    let calls: u64 = caller.late.values().sum();
    if caller.addresses.min(calls) > 5 {
        kinds.push("shared");
    }
    let is_tight = caller.scopes.as_ref().is_some_and(|scopes| scopes.len() == SHAPES.len());
    let is_tight = is_tight && caller.late.len() == SHAPES.len();
    if !caller.late.is_empty() && !is_tight {
        kinds.push("over_broad");
    }
    kinds
}

fn finding_of<'a>(report: &'a Value, kind: &str, name: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let is_it = |one: &&Value| one["kind"] == kind && one["subject"]["name"] == name;
    findings.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {name}"))
}

/// A route of a caller as the report tells it: provider, method, path and calls.
fn used(finding: &Value) -> BTreeSet<(String, u64)> {
    let one = |used: &Value| {
        let text = |name: &str| used[name].as_str().unwrap().to_owned();
        let rule = format!("{}:{}:{}", text("provider"), text("method"), text("path"));
        (rule, used["calls"].as_u64().unwrap())
    };
    finding["evidence"]["used"].as_array().unwrap().iter().map(one).collect()
}

/// Secrets of every fate; the ids of the one that is paid for, and of the one that rests.
async fn store_secrets(house: &House) -> (String, String) {
    let paid = json!({"labels": {"monthly_cost": "$300"}, "expires_at": "2027-01-01T00:00:00Z"});
    let paid = add_secret(house, "spare", paid).await;
    add_secret(house, "ended", json!({"expires_at": "2026-01-20T00:00:00Z"})).await;
    let rested = add_secret(house, "rested", json!({})).await;
    let off = add_secret(house, "off", json!({})).await;
    let path = format!("/api/v1/admin/secrets/{off}");
    let answer = house.admin.put(&path).json(&json!({"active": false})).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let client = house.client_with(json!({"name": "a binder"})).await;
    let bound = client.get("/acme/v1/x").header("x-sealgate-secret", "rested").send().await;
    assert_eq!(bound.status, 200, "{}", bound.text());
    (paid, rested)
}

/// What the report must find, but for the first admin key.
fn truth(callers: &[Caller]) -> BTreeSet<(String, String, String)> {
    let mut expected = BTreeSet::new();
    let mut expect = |sort: &str, name: &str, kinds: &[&str]| {
        for kind in kinds {
            expected.insert(((*kind).to_owned(), sort.to_owned(), name.to_owned()));
        }
    };
    for caller in callers {
        expect("client_key", &caller.name, &true_of(caller));
    }
    expect("client_key", "a binder", &["idle", "no_expiry", "old"]);
    expect("secret", "acme/spare", &["unused_paid", "never_used", "old"]);
    expect("secret", "acme/ended", &["expired", "never_used", "old"]);
    expect("secret", "acme/rested", &["idle", "no_expiry", "old"]);
    expect("secret", "acme/off", &["left_over"]);
    // The providers of this house have the same key.
    expect("secret", "acme/default", &["no_expiry", "old", "shared"]);
    expect("secret", "quill/default", &["no_expiry", "old", "shared"]);
    expected
}

async fn the_report_is_the_truth(database: Kind) {
    let house = house(database).await;
    let mut dice = Dice(20_260_115);
    let mut callers = Vec::new();
    for number in 0..16 {
        callers.push(hire(&house, &mut dice, number).await);
    }
    let (paid, rested) = store_secrets(&house).await;
    for caller in &callers {
        go(caller, &caller.early, &mut dice).await;
    }
    report(&house, "").await;

    house.clock.advance(DAY * 40);
    tokio::time::sleep(Duration::from_millis(400)).await;
    for caller in &callers {
        go(caller, &caller.late, &mut dice).await;
        if caller.is_rotated && !caller.is_over {
            let path = format!("/api/v1/admin/api-keys/{}/rotate", caller.client.id);
            let answer = house.admin.post(&path).json(&json!({})).send().await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
    let json = report(&house, "").await.json();
    let (expected, mut found) = (truth(&callers), found(&json));
    let others: Vec<_> = found.iter().filter(|one| !expected.contains(*one)).cloned().collect();
    let others: Vec<_> =
        others.iter().map(|(kind, sort, _)| (kind.as_str(), sort.as_str())).collect();
    // The first admin key has no end.
    assert_eq!(others, [("no_expiry", "client_key"), ("old", "client_key")]);
    found.retain(|one| expected.contains(one));
    assert_eq!(found, expected);

    // Thirty days of a plan for 300 dollars a month.
    let finding = finding_of(&json, "unused_paid", "spare");
    let micros = 300_000_000_u64 * (30 * 86_400_000 - 1) / 2_629_800_000;
    assert_eq!(finding["cost_micros"], micros, "{finding}");
    assert_eq!(json["summary"]["cost_micros"], micros);
    assert_eq!(finding["remedy"]["path"], format!("/api/v1/admin/secrets/{paid}"));
    let idle = finding_of(&json, "idle", "rested");
    let told = (&idle["since"], &idle["subject"]["id"]);
    assert_eq!(told, (&json!("2026-01-15T12:00:00Z"), &json!(rested)));
    for caller in callers.iter().filter(|caller| true_of(caller).contains(&"over_broad")) {
        let finding = finding_of(&json, "over_broad", &caller.name);
        assert_eq!(late(caller, finding), caller.truth(), "{finding}");
        apply(&house, caller, finding, &mut dice).await;
    }
    let again = self::found(&report(&house, "").await.json());
    assert!(again.iter().all(|(kind, ..)| kind != "over_broad"), "{again:?}");
    house.leave().await;
}

impl Caller {
    /// The ways it went behind the pause, and how often.
    fn truth(&self) -> BTreeSet<(String, u64)> {
        self.late.iter().map(|(shape, calls)| (rule(*shape), *calls)).collect()
    }
}

/// The same as the report tells it. What went the same way before the pause counts there, too.
fn late(caller: &Caller, finding: &Value) -> BTreeSet<(String, u64)> {
    let early = |rule: &str| {
        let way = caller.early.iter().find(|(shape, _)| self::rule(**shape) == rule);
        way.map_or(0, |(_, calls)| *calls)
    };
    used(finding).into_iter().map(|(rule, calls)| (rule.clone(), calls - early(&rule))).collect()
}

/// The narrower rule is put in force as the report wrote it: everything that was called passes, and
/// nothing else does.
async fn apply(house: &House, caller: &Caller, finding: &Value, dice: &mut Dice) {
    let remedy = &finding["remedy"];
    assert_eq!(remedy["method"], "PUT");
    let put = house.admin.put(remedy["path"].as_str().unwrap()).json(&remedy["body"]);
    let answer = put.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["scopes"], finding["evidence"]["narrower"]);
    let command = remedy["command"].as_str().unwrap();
    let begin = format!("sealgate client set {} --scope ", caller.client.id);
    assert!(command.starts_with(&begin), "{command}");
    go(caller, &caller.late, dice).await;
    for path in ["/acme/v8/never", "/quill/v1/never"] {
        let answer = caller.client.get(path).send().await;
        assert_eq!(answer.status, 403, "{} {path}", caller.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_on_hygiene_is_the_truth_of_the_traffic_on_sqlite() {
    the_report_is_the_truth(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_on_hygiene_is_the_truth_of_the_traffic_on_postgres() {
    the_report_is_the_truth(Kind::Postgres).await;
}

/// RFC 4180, as any reader has it.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (vec![], vec![], String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !is_quoted, "it ends with its last row");
    rows
}

/// Every tag is closed in its turn; yields the text between them.
fn text_of_page(page: &str) -> String {
    let (mut open, mut text, mut rest) = (Vec::new(), String::new(), page);
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, behind) = tag.split_once('>').unwrap();
        rest = behind;
        let name = tag.split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{before}"),
            None if ["!DOCTYPE", "meta", "br"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    text + rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_says_the_same_in_every_form_whatever_keys_are_called() {
    let house = House::open().await;
    house.client_with(json!({"name": HOSTILE})).await;
    house.clock.advance(DAY * 8);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let json = report(&house, "").await.json();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(finding_of(&json, "never_used", HOSTILE)["severity"], "warning");

    let csv = report(&house, "&format=csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let named = csv.header("content-disposition").unwrap();
    assert_eq!(named, "attachment; filename=\"sealgate-hygiene-2026-01-23.csv\"");
    let table = rows(&csv.text());
    let column = |name: &str| table[0].iter().position(|head| head == name).unwrap();
    assert_eq!(table.len(), findings.len() + 1);
    for (row, finding) in table[1..].iter().zip(findings) {
        assert_eq!(row.len(), table[0].len());
        let name = finding["subject"]["name"].as_str().unwrap();
        // A quote before what a spreadsheet would run.
        let shown = if name == HOSTILE { format!("'{name}") } else { name.to_owned() };
        assert_eq!(row[column("subject.name")], shown);
        for (cell, member) in [("kind", "/kind"), ("remedy.command", "/remedy/command")] {
            assert_eq!(Some(row[column(cell)].as_str()), finding.pointer(member).unwrap().as_str());
        }
        let body = &row[column("remedy.body")];
        let body: Value = if body.is_empty() { Value::Null } else { body.parse().unwrap() };
        assert_eq!(body, finding["remedy"]["body"]);
    }

    let page = report(&house, "&format=html").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let text = text_of_page(&page.text());
    let escaped = "=HYPERLINK(&quot;http://x&quot;,&quot;y&quot;),&lt;script&gt;alert(&#39;1&#39;)\
                   &lt;/script&gt;&amp;amp;";
    assert!(text.contains(escaped) && !page.text().contains("<script"), "{text}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_narrowed_to_what_was_asked_and_refuses_what_it_does_not_know() {
    let house = House::open().await;
    let client = house.client_with(json!({"name": "one"})).await;
    house.client_with(json!({"name": "other"})).await;
    assert_eq!(client.get("/acme/v1/x").send().await.status, 200);
    house.clock.advance(DAY * 8);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let names = async |more: &str| {
        let found = found(&report(&house, more).await.json());
        found.into_iter().map(|(_, sort, name)| format!("{sort} {name}")).collect::<BTreeSet<_>>()
    };
    let one = BTreeSet::from([String::from("client_key one")]);
    assert_eq!(names("&client=one").await, one);
    assert_eq!(names(&format!("&client={}", client.id)).await, one);
    let acme = names("&provider=acme").await;
    assert_eq!(acme, BTreeSet::from(["client_key one", "secret acme/default"].map(String::from)));
    // Judged by what was asked for.
    let strict = found(&report(&house, "&idle_days=8").await.json());
    assert!(strict.iter().any(|(kind, _, name)| kind == "idle" && name == "one"), "{strict:?}");
    let mild = found(&report(&house, "&new_days=9&watch_days=9").await.json());
    assert!(mild.iter().all(|(kind, ..)| kind != "never_used" && kind != "over_broad"), "{mild:?}");
    for (more, field) in [
        ("?format=pdf", "format"),
        ("?idle_days=x", "idle_days"),
        ("?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("?colour=red", "colour"),
    ] {
        let answer = house.admin.get(&format!("{HYGIENE}{more}")).send().await;
        let body = answer.is_refusal(422, "invalid");
        assert!(body["fields"].to_string().contains(field), "{body}");
    }
    let unknown = house.admin.get("/api/v1/admin/reports/horoscope").send().await;
    unknown.is_refusal(404, "not_found");
    house.leave().await;
}

const USAGE: &str = "/api/v1/admin/reports/usage";
const SECURITY: &str = "/api/v1/admin/reports/security";

async fn ok(house: &House, path: &str) -> Value {
    let answer = house.admin.get(path).send().await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The day of a call, whether the client key is the one, the provider quill, and its answer cut.
type Made = (i64, bool, bool, bool);

/// Six days of calls, each at noon.
async fn six_days(house: &House) -> Vec<Made> {
    let mut dice = Dice(7);
    let (one, other) = (house.client_with(json!({"name": "one"})).await, house.client().await);
    let mut calls = Vec::new();
    for day in 0..6 {
        for _ in 0..=dice.roll(6) {
            let (is_one, is_quill, is_bad) =
                (dice.roll(2) > 0, dice.roll(2) > 0, dice.roll(5) == 0);
            let client = if is_one { &one } else { &other };
            let provider = if is_quill { "quill" } else { "acme" };
            let path = if is_bad { "cut" } else { "v1/x" };
            let answer = client.get(&format!("/{provider}/{path}")).try_send().await;
            assert_eq!(answer.is_err(), is_bad);
            calls.push((day, is_one, is_quill, is_bad));
        }
        house.clock.advance(DAY);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    calls
}

/// The calls of a row of a section; none where it has no such row.
fn requests(report: &Value, section: &str, (member, name): (&str, &str)) -> u64 {
    let mut rows = report[section].as_array().unwrap().iter();
    let row = rows.find(|row| row[member] == name);
    row.map_or(0, |row| row["requests"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_on_usage_adds_up_to_the_calls_of_a_period_beside_the_one_before() {
    let settings = String::from("[providers.quill.price]\nper_call = 0.002\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let calls = six_days(&house).await;
    // The clock stands at the noon behind them: three days, and the three before.
    let span = "from=2026-01-18T12:00:00Z&to=2026-01-21T12:00:00Z";
    let of = |from: i64, is: fn(&Made) -> bool| {
        let made = calls.iter().filter(|call| (from..from + 3).contains(&call.0) && is(call));
        u64::try_from(made.count()).unwrap()
    };
    let report = ok(&house, &format!("{USAGE}?{span}")).await;
    let totals = [&report["totals"][0], &report["totals"][1]];
    let told = totals.map(|row| row["requests"].as_u64().unwrap());
    assert_eq!(told, [of(3, |_| true), of(0, |_| true)]);
    let errors = json!({"client": 0, "provider": of(3, |call| call.3), "us": 0});
    assert_eq!(totals[0]["errors"], errors, "{report}");
    let micros = json!(2_000 * of(3, |call| call.2));
    assert_eq!(totals[0]["cost_micros"], micros);
    assert_eq!(report["summary"]["cost_micros"], micros);
    for (section, row, expected) in [
        ("providers", ("provider", "quill"), of(3, |call| call.2)),
        ("providers", ("provider", "acme"), of(3, |call| !call.2)),
        ("clients", ("name", "one"), of(3, |call| call.1)),
        ("secrets", ("name", "acme/default"), of(3, |call| !call.2)),
        ("statuses", ("status", "200"), of(3, |_| true)),
    ] {
        assert_eq!(requests(&report, section, row), expected, "{section} {row:?}");
    }
    let days = report["days"].as_array().unwrap().iter();
    let days: u64 = days.map(|day| day["requests"].as_u64().unwrap()).sum();
    assert_eq!(days, of(3, |_| true));
    let of_one = ok(&house, &format!("{USAGE}?{span}&client=one")).await;
    assert_eq!(of_one["totals"][0]["requests"], of(3, |call| call.1));
    assert_eq!(of_one.get("providers"), None);
    let of_quill = ok(&house, &format!("{USAGE}?{span}&provider=quill")).await;
    assert_eq!(of_quill["totals"][1]["requests"], of(0, |call| call.2));
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_on_usage_tells_the_models_that_answered_with_tokens_and_cost() {
    let settings = String::from(
        "[providers.acme.price]\nroutes = [\"POST /says\"]\nmodel = [\"/model\"]\n\
         tokens.input = { at = [\"/usage/input\"] }\ntokens.output = { at = [\"/usage/output\"] }\n\
         models.large = { input = 2.5, output = 10 }\n",
    );
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client().await;
    for (model, calls) in [("large", 3), ("unheard-of", 1)] {
        for _ in 0..calls {
            let answer = json!({"model": model, "usage": {"input": 1_000, "output": 100}});
            let call = client.call(Method::POST, "/acme/says?size=999");
            let call = call.header("x-says-content-type", "application/json");
            assert_eq!(call.body(answer.to_string()).send().await.status, 200);
        }
    }
    assert_eq!(client.get("/acme/v1/x").send().await.status, 200);
    let report = ok(&house, USAGE).await;
    let row = |row: &Value| {
        let number = |name: &str| row[name].as_u64().unwrap();
        let model = format!("{} of {}", row["model"].as_str().unwrap(), row["provider"]);
        let tokens = [number("tokens_in"), number("tokens_out")];
        (model, number("requests"), tokens, number("cost_micros"), number("unpriced"))
    };
    let models: Vec<_> = report["models"].as_array().unwrap().iter().map(row).collect();
    let wanted = [
        (String::from("large of \"acme\""), 3, [3_000, 300], 10_500, 0),
        (String::from("unheard-of of \"acme\""), 1, [1_000, 100], 0, 1),
    ];
    assert_eq!(models, wanted, "{report}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_several_sections_is_one_table_and_takes_no_limits_of_another_kind() {
    let house = House::open().await;
    assert_eq!(house.client().await.get("/acme/v1/x").send().await.status, 200);
    for more in ["client=a&provider=b", "idle_days=3"] {
        let answer = house.admin.get(&format!("{USAGE}?{more}")).send().await;
        answer.is_refusal(422, "invalid");
    }
    let csv = house.admin.get(&format!("{USAGE}?format=csv")).send().await;
    let table = rows(&csv.text());
    assert_eq!((table[0][0].as_str(), table[1][0].as_str()), ("section", "totals"));
    assert!(table.iter().all(|row| row.len() == table[0].len()));
    let page = house.admin.get(&format!("{USAGE}?format=html")).send().await;
    assert!(text_of_page(&page.text()).contains("By provider&#39;s key"));
    house.leave().await;
}

/// One that was made by hand, three hours ago.
async fn backups_are_told(house: &House) {
    let none = ok(house, SECURITY).await;
    assert_eq!(none["backups"][0]["result"], "none", "{none}");
    let asked = json!({"passphrase": "a quiet horse eats blue thistles"});
    let kept = house.admin.post("/api/v1/admin/backups").json(&asked).send().await;
    assert_eq!(kept.status, 201, "{}", kept.text());
    house.clock.advance(Duration::from_secs(3 * 3_600));
    let report = ok(house, SECURITY).await;
    let backup = &report["backups"][0];
    assert_eq!((&backup["what"], &backup["result"]), (&json!("last_backup"), &json!("good")));
    let told = (&backup["name"], &backup["bytes"], &backup["age_hours"], &backup["at"]);
    let (name, bytes) = (&kept.json()["name"], &kept.json()["bytes"]);
    assert_eq!(told, (name, bytes, &json!(3), &json!("2026-01-15T12:00:00Z")), "{report}");
    let others: Vec<&Value> = report["backups"].as_array().unwrap()[1..].iter().collect();
    let others: Vec<_> = others.iter().map(|row| (&row["what"], &row["result"])).collect();
    let wanted = [("schedule", "off"), ("last_restore", "none_known")];
    let wanted = wanted.map(|(what, result)| (json!(what), json!(result)));
    assert!(others.iter().zip(&wanted).all(|(row, (what, result))| *row == (what, result)));
    assert_eq!(others.len(), 2, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_on_security_counts_what_was_refused_and_changed_and_is_for_readers_of_the_trail()
 {
    let house = House::open().await;
    let client = house.client_with(json!({"name": "one"})).await;
    for _ in 0..7 {
        let stranger = house.admin.bare(Method::GET, "/api/v1/admin/secrets");
        assert_eq!(stranger.header("x-api-key", "mdw_nobody").send().await.status, 401);
    }
    assert_eq!(client.bare("/acme/v1/x").send().await.status, 401);
    let key = format!("/api/v1/admin/api-keys/{}", client.id);
    assert_eq!(
        house.admin.post(&format!("{key}/rotate")).json(&json!({})).send().await.status,
        201
    );
    assert_eq!(house.admin.put(&key).json(&json!({"active": false})).send().await.status, 200);
    assert_eq!(house.admin.delete(&key).send().await.status, 204);
    backups_are_told(&house).await;
    let report = ok(&house, SECURITY).await;
    let summary = &report["summary"];
    assert_eq!(summary["failed_authentications"], 8, "{report}");
    let changes = &summary["changes"];
    for (deed, count) in [
        ("client_key_made", 1),
        ("client_key_rotated", 1),
        ("client_key_changed", 1),
        ("client_key_deleted", 1),
        ("secret_added", 2),
    ] {
        assert_eq!(changes[deed], count, "{deed}: {changes}");
    }
    let refused = report["refusals"].as_array().unwrap();
    let of = |face: &str| {
        let is_it = |row: &&Value| row["face"] == face && row["code"] == "unauthorized";
        refused.iter().filter(is_it).map(|row| row["refusals"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(of("admin") + of("proxy"), 8, "{report}");
    let failed: u64 = report["addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["failures"].as_u64().unwrap())
        .sum();
    assert_eq!(failed, 8);
    assert!(
        text_of_page(&house.admin.get(&format!("{SECURITY}?format=html")).send().await.text())
            .contains("Changes")
    );
    for (role, status) in [("auditor", 200), ("operator", 403), ("user", 403)] {
        let holder = house.client_with(json!({"role": role})).await;
        let answer = house.as_admin(&holder).get(SECURITY).send().await;
        assert_eq!(answer.status, status, "{role}: {}", answer.text());
        let hygiene = house.as_admin(&holder).get(HYGIENE).send().await;
        assert_eq!(hygiene.status == 200, role != "user", "{role}");
    }
    house.leave().await;
}
