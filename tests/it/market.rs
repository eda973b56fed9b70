//! The history of tracked symbols, against a provider with a ledger of its own: what is stored is
//! that ledger to the digit, what was planted is what is told, nothing is asked for twice, and the
//! provider's limit is kept without one refusal.

mod kills;
mod runs;

use std::time::Duration;

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::crash::rounds;
use crate::house::{Bar, Bourse, Client, Dice, Ground, House, Kind, Plan, Plant};

const RUNS: &str = "/api/v1/admin/backfill";
const SYMBOLS: &str = "/api/v1/admin/symbols";

/// As the exchange publishes them, from January 2024 to January 2026.
const HOLIDAYS: [(i16, i8, i8); 22] = [
    (2024, 1, 15),
    (2024, 2, 19),
    (2024, 3, 29),
    (2024, 5, 27),
    (2024, 6, 19),
    (2024, 7, 4),
    (2024, 9, 2),
    (2024, 11, 28),
    (2024, 12, 25),
    (2025, 1, 1),
    (2025, 1, 9),
    (2025, 1, 20),
    (2025, 2, 17),
    (2025, 4, 18),
    (2025, 5, 26),
    (2025, 6, 19),
    (2025, 7, 4),
    (2025, 9, 1),
    (2025, 11, 27),
    (2025, 12, 25),
    (2026, 1, 1),
    (2024, 1, 1),
];

fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
    from.series(jiff::Span::new().days(1)).take_while(move |day| *day < to)
}

fn is_trading_day(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
        && !HOLIDAYS.contains(&(day.year(), day.month(), day.day()))
}

/// When the day begins in this zone, in milliseconds.
fn midnight(day: Date, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).unwrap();
    day.to_zoned(zone).unwrap().timestamp().as_millisecond()
}

/// Two years of days until the test's today, which is under way.
fn daily(dice: &mut Dice, is_crypto: bool, without: &[Date]) -> Vec<Bar> {
    let all = days(date(2024, 1, 16), date(2026, 1, 15));
    let traded = all.filter(|day| is_crypto || is_trading_day(*day));
    let zone = if is_crypto { "UTC" } else { "America/New_York" };
    traded.filter(|day| !without.contains(day)).map(|day| dice.bar(midnight(day, zone))).collect()
}

/// A month of minutes from nine thirty to four in New York.
fn minutes(dice: &mut Dice) -> Vec<Bar> {
    let traded = days(date(2025, 12, 15), date(2026, 1, 15)).filter(|day| is_trading_day(*day));
    let mut bars = Vec::new();
    for day in traded {
        let open = midnight(day, "America/New_York") + (9 * 60 + 30) * 60_000;
        bars.extend((0..390).map(|minute| dice.bar(open + minute * 60_000)));
    }
    bars
}

async fn house_of(bourse: &Bourse, database: Kind, more: &str) -> House {
    // The clock stands still, and whoever waits for the end of a run asks again and again.
    let settings = format!("{}[limits]\nadmin_per_minute = 100000\n", bourse.settings(more));
    let house = House::planned(Plan { database, settings, ..Plan::default() }).await;
    let secret = json!({
        "provider": "bourse", "fields": {"api_key": house.canary.plain()}, "validate": false,
    });
    assert_eq!(house.admin.post("/api/v1/admin/secrets").json(&secret).send().await.status, 201);
    let seeds = house.admin.get(SYMBOLS).send().await.json();
    for seed in seeds["items"].as_array().unwrap() {
        let path = format!("{SYMBOLS}/{}", seed["symbol"].as_str().unwrap());
        assert_eq!(house.admin.delete(&path).send().await.status, 204);
    }
    house
}

async fn track(house: &House, symbol: &str, class: &str, interval: &str) {
    let body = json!({"symbol": symbol, "asset_class": class, "interval": interval});
    let answer = house.admin.post(SYMBOLS).json(&body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Asks for a run and waits for its end.
async fn run(house: &House, body: Value) -> Value {
    let answer = house.admin.post(RUNS).json(&body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    ended(house, answer.json()["id"].as_str().unwrap()).await
}

async fn ended(house: &House, id: &str) -> Value {
    let (mut pages, mut still) = (Value::Null, 0);
    while still < 3000 {
        let answer = house.admin.get(&format!("{RUNS}/{id}")).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let run = answer.json();
        if run["state"] == "completed" || run["state"] == "failed" {
            return run;
        }
        still = if run["pages"] == pages { still + 1 } else { 0 };
        pages = run["pages"].clone();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the run does not go on");
}

fn part<'a>(run: &'a Value, symbol: &str) -> &'a Value {
    let mut parts = run["parts"].as_array().unwrap().iter();
    parts.find(|part| part["symbol"] == symbol).unwrap()
}

async fn kept(client: &Client, symbol: &str, interval: &str) -> Vec<String> {
    let ask = async |path: String| {
        let answer = client.get(&path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    kept_by(ask, symbol, interval).await
}

/// Everything that is kept, page by page, as the text that was answered.
async fn kept_by(ask: impl AsyncFn(String) -> String, symbol: &str, interval: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = format!("/api/v1/market/{symbol}?interval={interval}&limit=700{cursor}");
        let text = ask(page).await;
        let (items, next) = text.split_once("],\"next_cursor\":").unwrap();
        let items = items.strip_prefix("{\"items\":[").unwrap();
        lines.extend(
            items
                .split("},{")
                .filter(|item| !item.is_empty())
                .map(|item| item.trim_start_matches('{').trim_end_matches('}').to_owned()),
        );
        match next.trim_end_matches('}') {
            "null" => return lines,
            next => cursor = format!("&cursor={}", next.trim_matches('"')),
        }
    }
}

/// The same on the other face, for the console: numbers as texts, page by page.
async fn seen(house: &House, symbol: &str, interval: &str) -> Vec<[String; 6]> {
    let mut candles = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{SYMBOLS}/{symbol}/candles?interval={interval}&limit=700{cursor}");
        let answer = house.admin.get(&path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        for item in page["items"].as_array().unwrap() {
            candles.push(
                ["open", "high", "low", "close", "volume", "vwap"]
                    .map(|name| item[name].as_str().unwrap().to_owned()),
            );
        }
        match page["next_cursor"].as_str() {
            None => return candles,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

fn line(bar: &Bar) -> String {
    let [open, high, low, close, volume, vwap] = &bar.texts;
    let time = sealgate::clock::rfc3339(bar.ms);
    format!(
        "\"time\":\"{time}\",\"open\":{open},\"high\":{high},\"low\":{low},\"close\":{close},\
         \"volume\":{volume},\"vwap\":{vwap},\"trades\":{}",
        bar.trades
    )
}

fn lines(bars: &[Bar]) -> Vec<String> {
    bars.iter().map(line).collect()
}

async fn the_ledger_is_stored_to_the_digit(database: Kind) {
    let bourse = Bourse::open(200).await;
    let house = house_of(&bourse, database, "").await;
    let mut dice = Dice(7);
    let lost = [date(2024, 6, 20), date(2024, 6, 21), date(2024, 6, 24), date(2025, 3, 3)];
    let mut expected = Vec::new();
    for (symbol, class, ticker, without) in [
        ("AAPL.Z", "stock", "AAPL.Z", &lost[..]),
        ("QQQ", "etf", "QQQ", &[]),
        ("SOL-USD", "crypto", "X:SOLUSD", &[date(2025, 5, 5)]),
    ] {
        track(&house, symbol, class, "1d").await;
        let bars = daily(&mut dice, class == "crypto", without);
        bourse.list(ticker, "1/day", bars.clone());
        expected.push((symbol, "1d", bars));
    }
    track(&house, "MINT", "stock", "1m").await;
    let bars = minutes(&mut dice);
    bourse.list("MINT", "1/minute", bars.clone());
    expected.push(("MINT", "1m", bars));

    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let candles: usize = expected.iter().map(|(.., bars)| bars.len()).sum();
    assert_eq!((&done["candles"], &done["rejected"]), (&json!(candles), &json!(0)));
    assert_eq!(
        part(&done, "AAPL.Z")["gaps"],
        json!([{"from": "2024-06-20", "to": "2024-06-24", "days": 3},
            {"from": "2025-03-03", "to": "2025-03-03", "days": 1}])
    );
    assert_eq!(part(&done, "QQQ")["gaps"], json!([]));
    assert_eq!(part(&done, "QQQ")["coverage"], json!(1.0));
    let gap = json!([{"from": "2025-05-05", "to": "2025-05-05", "days": 1}]);
    assert_eq!(part(&done, "SOL-USD")["gaps"], gap);
    assert_eq!(part(&done, "MINT")["gaps"], json!([]));

    let reader = house.client_with(json!({"scopes": ["market:GET:/**"]})).await;
    for (symbol, interval, bars) in &expected {
        assert_eq!(kept(&reader, symbol, interval).await, lines(bars), "{symbol}");
        let texts: Vec<[String; 6]> = bars.iter().map(|bar| bar.texts.clone()).collect();
        assert_eq!(seen(&house, symbol, interval).await, texts, "{symbol}");
        let shown = house.admin.get(&format!("{SYMBOLS}/{symbol}")).send().await.json();
        assert_eq!(shown["record_count"], bars.len(), "{shown:#}");
        assert_eq!(shown["backfill_status"], "completed");
        assert_eq!(shown["validation_rate"], json!(1.0));
        assert_eq!(shown["last"], sealgate::clock::rfc3339(bars.last().unwrap().ms));
    }
    // A second run asks for what may have been unfinished, and for nothing else.
    let sent = bourse.sent();
    let again = run(&house, json!({"symbols": ["QQQ", "sol-usd"]})).await;
    assert_eq!(again["state"], "completed", "{again:#}");
    assert!(bourse.sent() - sent <= 4, "{} again", bourse.sent() - sent);
    assert_eq!(kept(&reader, "QQQ", "1d").await, lines(&expected[1].2));
    reads_are_bounded(&house, &reader).await;
    house.leave().await;
}

async fn reads_are_bounded(house: &House, reader: &Client) {
    let csv =
        reader.get("/api/v1/market/QQQ?format=csv&from=2024-02-01&to=2024-02-03").send().await;
    let text = csv.text();
    let rows: Vec<&str> = text.trim_end().split("\r\n").collect();
    assert_eq!(rows[0], "time,open,high,low,close,volume,vwap,trades");
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows[1].starts_with("2024-02-01T05:00:00Z,"), "{text}");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let stranger = house.client_with(json!({"scopes": ["acme:GET:/**"]})).await;
    stranger.get("/api/v1/market/QQQ").send().await.is_refusal(403, "forbidden");
    reader.get("/api/v1/market/NONE").send().await.is_refusal(404, "not_found");
    // No other name of a pair leads around a scope, nor does one that is written otherwise refuse.
    let scopes = json!({"scopes": ["market:GET:/**", "!market:GET:/SOL-USD"]});
    let barred = house.client_with(scopes).await;
    for name in ["SOL-USD", "sol-usd", "SOLUSD", "X:SOLUSD", "SOL"] {
        let refused = barred.get(&format!("/api/v1/market/{name}")).send().await;
        refused.is_refusal(403, "forbidden");
    }
    let own = house.client_with(json!({"scopes": ["market:GET:/SOL-USD"]})).await;
    assert_eq!(own.get("/api/v1/market/X:SOLUSD").send().await.status, 200);
    assert_eq!(reader.get("/api/v1/market/QQQ?apiKey=other").send().await.status, 200);
    reader.get("/api/v1/market/QQQ?interval=2m").send().await.is_refusal(422, "invalid");
    reader.get("/api/v1/market/QQQ?limit=0").send().await.is_refusal(422, "invalid");
    reader.bare("/api/v1/market/QQQ").send().await.is_refusal(401, "unauthorized");
    // Whoever may make it may read it: every key without scopes.
    assert_eq!(house.client().await.get("/api/v1/market/qqq").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_stored_to_the_digit_on_sqlite() {
    Box::pin(the_ledger_is_stored_to_the_digit(Kind::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_stored_to_the_digit_on_postgres() {
    Box::pin(the_ledger_is_stored_to_the_digit(Kind::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_does_wrong_is_told_of_its_symbol_and_the_others_go_on() {
    let bourse = Bourse::open(100).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let mut dice = Dice(11);
    let mut ledger = Vec::new();
    for (symbol, plant) in [
        ("FINE", None),
        ("ERRS", Some(Plant::ErrorBody)),
        ("BADC", Some(Plant::BadCandles(120))),
        ("REPT", Some(Plant::Repeats)),
        ("LOOP", Some(Plant::Loops)),
        ("STUM", Some(Plant::Stumbles)),
        ("NONE", Some(Plant::Unknown)),
        ("ECHO", Some(Plant::EchoesKey)),
        ("FEWR", Some(Plant::Fewer)),
        ("GRID", Some(Plant::OffGrid(7))),
    ] {
        track(&house, symbol, "stock", "1d").await;
        let bars = daily(&mut dice, false, &[]);
        bourse.list(symbol, "1/day", bars.clone());
        bourse.plant(symbol, plant);
        ledger.push(bars);
    }
    let hand = house.clock.clone();
    let passing = tokio::spawn(async move {
        loop {
            hand.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let done = run(&house, json!({})).await;
    passing.abort();
    assert_eq!(done["state"], "failed", "{done:#}");
    assert_eq!(done["error"], "6 of 10 symbols failed");
    each_is_told(&house, &done).await;
    assert_eq!(part(&done, "BADC")["reasons"], json!({"not_a_number": 1, "negative": 1}));
    assert_eq!(part(&done, "GRID")["reasons"], json!({"off_grid": 1}));
    let reader = house.client().await;
    assert_eq!(kept(&reader, "FINE", "1d").await, lines(&ledger[0]));
    assert_eq!(kept(&reader, "STUM", "1d").await, lines(&ledger[5]));
    let mut good = lines(&ledger[2]);
    good.drain(120..122);
    assert_eq!(kept(&reader, "BADC", "1d").await, good);
    let shown = house.admin.get(&format!("{SYMBOLS}/BADC")).send().await.json();
    assert_eq!((&shown["rejected"], &shown["record_count"]), (&json!(2), &json!(good.len())));
    let gaps = shown["gaps"].as_array().unwrap();
    assert_eq!((gaps.len(), &gaps[0]["days"]), (1, &json!(2)));
    let metrics = house.admin.get("/metrics").send().await.text();
    assert!(metrics.contains("backfill_failed"), "{metrics}");
    // What was mended goes on where it stopped.
    let before = bourse.sent();
    bourse.plant("REPT", None);
    let again = run(&house, json!({"symbols": ["REPT"]})).await;
    assert_eq!(again["state"], "completed", "{again:#}");
    assert_eq!(kept(&reader, "REPT", "1d").await, lines(&ledger[3]));
    // The first page had been stored; of it comes what may have been unfinished.
    assert!(bourse.sent() - before <= ledger[3].len() - 100 + 4, "{}", bourse.sent() - before);
    house.leave().await;
}

async fn each_is_told(house: &House, done: &Value) {
    for (symbol, state, word) in [
        ("FINE", "completed", ""),
        ("ERRS", "failed", "not for your plan"),
        ("BADC", "completed", ""),
        ("REPT", "failed", "a page again"),
        ("LOOP", "failed", "again"),
        ("STUM", "completed", ""),
        ("NONE", "failed", "knows no candles"),
        // The house is searched for the key when it is left.
        ("ECHO", "failed", "is no good"),
        ("FEWR", "failed", "shorter than it says itself"),
        ("GRID", "completed", ""),
    ] {
        let part = part(done, symbol);
        assert_eq!(part["state"], state, "{part:#}");
        let shown = house.admin.get(&format!("{SYMBOLS}/{symbol}")).send().await.json();
        assert_eq!(shown["backfill_status"], state, "{shown:#}");
        assert_eq!(shown["last_backfill"].is_null(), state == "failed", "{shown:#}");
        assert!(part["error"].as_str().unwrap_or_default().contains(word), "{part:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_in_the_trail_and_a_key_that_turns_bad_is_told() {
    let bourse = Bourse::open(100).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let mut dice = Dice(13);
    for symbol in ["ONE", "TWO"] {
        track(&house, symbol, "stock", "1d").await;
        bourse.list(symbol, "1/day", daily(&mut dice, false, &[]));
    }
    bourse.turns_bad(Some(4));
    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "failed", "{done:#}");
    for symbol in ["ONE", "TWO"] {
        let error = part(&done, symbol)["error"].as_str().unwrap();
        assert!(error.contains("refuses the key") && error.contains("401"), "{error}");
    }
    bourse.turns_bad(None);
    let done = run(&house, json!({"from": "2024-01-16T00:00:00Z"})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    house.clock.advance(Duration::from_secs(11));
    let trail = house
        .admin
        .get("/api/v1/admin/audit?provider=bourse&kind=usage&limit=1000")
        .send()
        .await
        .json();
    let calls = trail["items"].as_array().unwrap();
    assert_eq!(calls.len(), bourse.asked().len());
    for call in calls {
        assert_eq!(
            (&call["actor"]["type"], &call["actor"]["name"]),
            (&json!("house"), &json!("backfill"))
        );
        assert_eq!((&call["kind"], &call["version"]), (&json!("usage"), &json!(1)));
    }
    assert!(calls.iter().any(|call| call["status_code"] == 401));
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_is_a_run_that_says_so_and_symbols_are_checked() {
    let bourse = Bourse::open(100).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let done = run(&house, json!({})).await;
    assert_eq!((&done["state"], &done["symbol_count"]), (&json!("completed"), &json!(0)));
    assert!(done["error"].as_str().unwrap().contains("no active symbol"), "{done}");
    assert_eq!(bourse.asked().len(), 0);
    let post = async |body: Value| house.admin.post(SYMBOLS).json(&body).send().await;
    let made = post(json!({"symbol": "tsla"})).await;
    assert_eq!((made.status, &made.json()["symbol"]), (201, &json!("TSLA")));
    assert_eq!(made.json()["backfill_status"], "pending");
    post(json!({"symbol": "TSLA"})).await.is_refusal(409, "conflict");
    // The seed, in another form.
    post(json!({"symbol": "BTC-USD"})).await.is_refusal(409, "conflict");
    for (symbol, class) in [("A/B", "stock"), ("", "stock"), ("B", "crypto"), ("AAPL", "bond")] {
        post(json!({"symbol": symbol, "asset_class": class})).await.is_refusal(422, "invalid");
    }
    post(json!({"symbol": "IBM", "provider": "nobody"})).await.is_refusal(422, "invalid");
    let put = |body: Value| house.admin.put(&format!("{SYMBOLS}/tsla")).json(&body).send();
    assert_eq!(put(json!({"active": false})).await.json()["active"], false);
    let asked = json!({"symbols": ["TSLA", "GONE"]});
    let no = house.admin.post(RUNS).json(&asked).send().await.is_refusal(422, "invalid");
    assert_eq!(no["fields"].as_object().map_or(2, serde_json::Map::len), 2, "{no}");
    // Times in which nobody has traded.
    for (from, to) in [
        ("0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2025-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
        ("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
    ] {
        let asked = json!({"from": from, "to": to});
        house.admin.post(RUNS).json(&asked).send().await.is_refusal(422, "invalid");
    }
    for last in ["1500-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let lines = json!({"symbols": [{"symbol": "OLD", "last_backfill": last}]});
        let done = house.admin.post(&format!("{SYMBOLS}/import")).json(&lines).send().await.json();
        assert_eq!(done["refused"], 1, "{done}");
    }
    let lines = json!({"symbols": [
        {"symbol": "IBM", "last_backfill": "2026-01-02T00:00:00Z"}, {"symbol": "tsla"},
        {"symbol": "??"}, {"symbol": "eth", "asset_class": "crypto"}, {"symbol": "DOGE-USD"},
    ]});
    let done = house.admin.post(&format!("{SYMBOLS}/import")).json(&lines).send().await.json();
    assert_eq!((&done["imported"], &done["refused"]), (&json!(2), &json!(3)), "{done}");
    let codes: Vec<&Value> =
        done["items"].as_array().unwrap().iter().map(|item| &item["code"]).collect();
    assert_eq!(
        codes,
        [&Value::Null, &json!("conflict"), &json!("invalid"), &json!("conflict"), &Value::Null]
    );
    bourse.list("IBM", "1/day", daily(&mut Dice(3), false, &[]));
    let done = run(&house, json!({"symbols": ["ibm"]})).await;
    assert_eq!(part(&done, "IBM")["from"], "2026-01-01T00:00:00Z", "{done:#}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_an_older_warehouse_comes_line_by_line() {
    let bourse = Bourse::open(100).await;
    let ground = Ground::new(&bourse.settings(""));
    ground.json(&["init", "--json"]);
    let list = "symbol,asset_class,active,last_backfill\n\
                ibm,stock,true,2026-01-02T00:00:00Z\n\
                A/B,stock,true,\n\
                DOGE-USD,,false,\n\
                IBM,etf,true,\n\
                GLD,etf,true,yesterday\n";
    std::fs::write(ground.path().join("list.csv"), list).unwrap();
    let told = ground.run(&["symbols", "import", "list.csv"]);
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = said.lines().map(words).collect();
    for line in ["2 imported", "3 refused", "4 imported", "5 refused", "6 refused", "2 imported,"] {
        assert!(lines.iter().any(|said| said == line), "{line}: {said}");
    }
    let listed = ground.json(&["symbols", "list", "--json"]);
    let shown = |symbol: &str| {
        let mut items = listed["items"].as_array().unwrap().iter();
        items.find(|item| item["symbol"] == symbol).cloned().unwrap_or_default()
    };
    assert_eq!(shown("IBM")["last_backfill"], "2026-01-02T00:00:00Z", "{listed:#}");
    assert_eq!((&shown("GLD"), &shown("A/B")), (&Value::Null, &Value::Null), "{listed:#}");
    let doge = ground.json(&["symbols", "show", "DOGE-USD", "--json"]);
    assert_eq!((&doge["asset_class"], &doge["active"]), (&json!("crypto"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_a_minute_are_kept_without_a_refusal_and_hardly_a_second_is_lost() {
    let bourse = Bourse::open(1000).await;
    let house = house_of(&bourse, Kind::Sqlite, "requests_per_minute = 5\n").await;
    bourse.runs_on(&house.clock);
    bourse.limit(5);
    let mut dice = Dice(17);
    for number in 0..30 {
        let symbol = format!("SYM{number}");
        track(&house, &symbol, "stock", "1d").await;
        let bars = daily(&mut dice, false, &[]).split_off(480);
        bourse.list(&symbol, "1/day", bars);
    }
    let hand = house.clock.clone();
    let passing = tokio::spawn(async move {
        loop {
            hand.advance(Duration::from_millis(250));
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    let done = run(&house, json!({"from": "2025-12-01T00:00:00Z"})).await;
    passing.abort();
    assert_eq!(done["state"], "completed", "{done:#}");
    assert_eq!((bourse.refused(), bourse.asked().len()), (0, 30));
    let came = bourse.came();
    let took = Duration::from_nanos(came[29] - came[0]).as_secs_f64();
    // Five at once, and five more each minute: the sixth five after five minutes.
    assert!((300.0..=315.0).contains(&took), "{took}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_due_by_schedule() {
    let bourse = Bourse::open(100).await;
    let schedule = "[backfill]\nschedule = \"30 17 * * 1-5\"\ntime_zone = \"America/New_York\"\n";
    let settings = bourse.settings("").replace("[backfill]\n", schedule);
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let runs = house.admin.get(RUNS).send().await.json();
    assert_eq!(runs["items"], json!([]));
    // From noon in UTC to half past ten in the evening, which is half past five in New York.
    house.clock.advance(Duration::from_secs(10 * 3600 + 30 * 60 + 1));
    for _ in 0..100 {
        let runs = house.admin.get(RUNS).send().await.json();
        if runs["items"] != json!([]) {
            assert_eq!(runs["items"][0]["cause"], "schedule");
            assert_eq!(runs["items"].as_array().unwrap().len(), 1);
            house.leave().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was due");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mixed_symbols_with_planted_faults_are_told_as_they_were_planted() {
    let bourse = Bourse::open(300).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let mut dice = Dice(23);
    let (mut planted, mut tickers) = (Vec::new(), Vec::new());
    for number in 0..100_u64 {
        let (symbol, class, ticker) = match number % 5 {
            0..=2 => (format!("ST{number}"), "stock", format!("ST{number}")),
            3 => (format!("EF{number}"), "etf", format!("EF{number}")),
            _ => (format!("C{number}-USD"), "crypto", format!("X:C{number}USD")),
        };
        track(&house, &symbol, class, "1d").await;
        let whole = daily(&mut dice, class == "crypto", &[]);
        let gap = 10 + usize::try_from(dice.roll(400)).unwrap();
        let gap = (number % 4 == 0).then_some(gap..gap + 3);
        let mut bars = whole;
        if let Some(gap) = &gap {
            bars.drain(gap.clone());
        }
        let bad = (number % 7 == 0).then(|| 450 + usize::try_from(dice.roll(20)).unwrap());
        bourse.plant(&ticker, bad.map(Plant::BadCandles));
        bourse.list(&ticker, "1/day", bars.clone());
        planted.push((symbol, bars, gap.is_some(), bad));
        tickers.push(ticker);
    }
    let done = run(&house, json!({})).await;
    assert_eq!((&done["state"], &done["symbol_count"]), (&json!("completed"), &json!(100)));
    let reader = house.client().await;
    for (symbol, bars, has_gap, bad) in &planted {
        let mut expected = lines(bars);
        if let Some(bad) = bad {
            expected.drain(*bad..bad + 2);
        }
        assert_eq!(kept(&reader, symbol, "1d").await, expected, "{symbol}");
        let part = part(&done, symbol);
        assert_eq!(part["rejected"], bad.map_or(0, |_| 2), "{part:#}");
        // Candles that were rejected are missing, too.
        let gaps = usize::from(*has_gap) + usize::from(bad.is_some());
        let days: i64 =
            part["gaps"].as_array().unwrap().iter().map(|g| g["days"].as_i64().unwrap()).sum();
        let lost = 3 * i64::from(*has_gap) + 2 * i64::from(bad.is_some());
        assert_eq!(days, lost, "{part:#}");
        assert!(part["gaps"].as_array().unwrap().len() <= gaps, "{part:#}");
    }
    // A month of minutes: of all of them in the proof.
    let minutely: Vec<usize> = if rounds() > 8 { (0..100).collect() } else { vec![0, 36, 74] };
    let mut months = Vec::new();
    for &number in &minutely {
        let month = minutes(&mut dice);
        bourse.plant(&tickers[number], None);
        bourse.list(&tickers[number], "1/minute", month.clone());
        months.push((&planted[number].0, month));
    }
    let names: Vec<&String> = months.iter().map(|(name, _)| *name).collect();
    let asked = json!({"symbols": names, "interval": "1m", "from": "2025-12-15T00:00:00Z"});
    let done = run(&house, asked).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    assert_eq!(done["candles"], months.len() * 21 * 390, "{:?}", done["candles"]);
    for (symbol, month) in &months {
        assert_eq!(kept(&reader, symbol, "1m").await, lines(month), "{symbol}");
    }
    house.leave().await;
}
