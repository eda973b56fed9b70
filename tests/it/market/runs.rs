//! What a run does to others and is done to: cancelled by hand, its symbols dropped, data that come
//! late, hours that are missing, and clients that call beside it.

use std::time::Duration;

use jiff::civil::date;
use serde_json::{Value, json};

use super::{
    RUNS, SYMBOLS, daily, ended, house_of, kept, lines, midnight, minutes, part, run, track,
};
use crate::house::{Bourse, Dice, Ground, House, Kind, Plant};

const LONG: Duration = Duration::from_secs(30);

async fn asked(house: &House, body: Value) -> String {
    let answer = house.admin.post(RUNS).json(&body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(LONG, waiting).await;
    assert!(came.is_ok(), "{what} never came");
}

async fn a_run_is_cancelled_by_hand(database: Kind) {
    let bourse = Bourse::open(40).await;
    let house = house_of(&bourse, database, "").await;
    let mut dice = Dice(29);
    let mut ledger = Vec::new();
    for symbol in ["ONE", "TWO"] {
        track(&house, symbol, "stock", "1d").await;
        ledger.push(daily(&mut dice, false, &[]));
        bourse.list(symbol, "1/day", ledger.last().unwrap().clone());
    }
    bourse.pause(Duration::from_millis(300));
    let first = asked(&house, json!({})).await;
    let second = asked(&house, json!({"symbols": ["TWO"]})).await;
    until("a page", async || {
        house.admin.get(&format!("{RUNS}/{first}")).send().await.json()["pages"] != 0
    })
    .await;
    let cancel = async |id: &str| house.admin.post(&format!("{RUNS}/{id}/cancel")).send().await;
    // One that waits ends at once.
    let gone = cancel(&second).await;
    assert_eq!(gone.status, 202, "{}", gone.text());
    assert_eq!(gone.json()["state"], "failed");
    let answer = cancel(&first).await;
    assert_eq!((answer.status, &answer.json()["cancelled_by"].is_string()), (202, &true));
    let done = tokio::time::timeout(LONG, ended(&house, &first)).await.unwrap();
    assert_eq!(done["state"], "failed", "{done:#}");
    let by = done["cancelled_by"].as_str().unwrap();
    assert_eq!(done["error"], format!("cancelled by {by}"));
    for symbol in ["ONE", "TWO"] {
        let part = part(&done, symbol);
        assert_eq!((&part["state"], &part["error"]), (&json!("failed"), &done["error"]));
        let shown = house.admin.get(&format!("{SYMBOLS}/{symbol}")).send().await.json();
        assert_eq!(shown["backfill_status"], "pending", "{shown:#}");
    }
    cancel(&first).await.is_refusal(409, "conflict");
    cancel("01a1ffe3-7fd5-7000-8001-9d3625fb0e96").await.is_refusal(404, "not_found");
    let metrics = house.admin.get("/metrics").send().await.text();
    let raised = metrics.lines().find(|line| line.contains("backfill_failed"));
    assert!(raised.is_none_or(|line| line.ends_with(" 0")), "{raised:?}");
    // What was stored is not asked for again, and the next run ends what this one began.
    bourse.pause(Duration::ZERO);
    let (stored, sent) = (done["candles"].as_u64().unwrap(), bourse.sent());
    assert!(stored > 0, "{done:#}");
    let again = run(&house, json!({})).await;
    assert_eq!(again["state"], "completed", "{again:#}");
    let all = ledger.iter().map(Vec::len).sum::<usize>();
    let most = all - usize::try_from(stored).unwrap() + 4;
    assert!(bourse.sent() - sent <= most, "{} of {most}", bourse.sent() - sent);
    let reader = house.client().await;
    for (symbol, bars) in ["ONE", "TWO"].iter().zip(&ledger) {
        assert_eq!(kept(&reader, symbol, "1d").await, lines(bars), "{symbol}");
    }
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_by_hand_on_sqlite() {
    Box::pin(a_run_is_cancelled_by_hand(Kind::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_by_hand_on_postgres() {
    Box::pin(a_run_is_cancelled_by_hand(Kind::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symbol_that_is_dropped_leaves_the_run_and_the_others_go_on() {
    let bourse = Bourse::open(40).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let mut dice = Dice(31);
    for symbol in ["KEPT", "GONE"] {
        track(&house, symbol, "stock", "1d").await;
        bourse.list(symbol, "1/day", daily(&mut dice, false, &[]));
    }
    bourse.pause(Duration::from_millis(300));
    let id = asked(&house, json!({})).await;
    until("a call", async || bourse.asked().len() >= 2).await;
    assert_eq!(house.admin.delete(&format!("{SYMBOLS}/GONE")).send().await.status, 204);
    let done = tokio::time::timeout(LONG, ended(&house, &id)).await.unwrap();
    assert_eq!(done["state"], "completed", "{done:#}");
    assert_eq!(part(&done, "KEPT")["state"], "completed");
    let gone = part(&done, "GONE");
    assert_eq!(
        (&gone["state"], &gone["error"]),
        (&json!("failed"), &json!("it is tracked no longer"))
    );
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_brings_late_is_stored_by_the_next_run() {
    let bourse = Bourse::open(500).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    track(&house, "SLOW", "stock", "1d").await;
    track(&house, "HOLE", "stock", "1d").await;
    let all = daily(&mut Dice(37), false, &[]);
    // Of one the last three days are not there yet, of the other one in the middle of them.
    let (mut short, mut holed) = (all.clone(), all.clone());
    short.truncate(all.len() - 3);
    holed.remove(all.len() - 3);
    bourse.list("SLOW", "1/day", short);
    bourse.list("HOLE", "1/day", holed);
    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let reader = house.client().await;
    assert_eq!(kept(&reader, "SLOW", "1d").await.len(), all.len() - 3);
    house.clock.advance(Duration::from_secs(3600));
    bourse.list("SLOW", "1/day", all.clone());
    bourse.list("HOLE", "1/day", all.clone());
    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    for symbol in ["SLOW", "HOLE"] {
        assert_eq!(kept(&reader, symbol, "1d").await, lines(&all), "{symbol}");
        let shown = house.admin.get(&format!("{SYMBOLS}/{symbol}")).send().await.json();
        assert_eq!(shown["gaps"], json!([]), "{shown:#}");
    }
    // A run of old times takes nothing from how far it is.
    let last = house.admin.get(&format!("{SYMBOLS}/SLOW")).send().await.json();
    let old =
        json!({"symbols": ["SLOW"], "from": "2024-02-01T00:00:00Z", "to": "2024-03-01T00:00:00Z"});
    assert_eq!(run(&house, old).await["state"], "completed");
    let shown = house.admin.get(&format!("{SYMBOLS}/SLOW")).send().await.json();
    assert_eq!(shown["last_backfill"], last["last_backfill"]);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_that_are_missing_of_a_day_are_told() {
    let bourse = Bourse::open(5000).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    track(&house, "MINT", "stock", "1m").await;
    let mut bars = minutes(&mut Dice(41));
    let open = midnight(date(2026, 1, 6), "America/New_York");
    let lost = open + 11 * 3_600_000..open + 13 * 3_600_000;
    bars.retain(|bar| !lost.contains(&bar.ms));
    bourse.list("MINT", "1/minute", bars);
    let done = run(&house, json!({"from": "2025-12-15T00:00:00Z"})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let gap = json!([{"from": "2026-01-06", "to": "2026-01-06", "days": 0, "hours": 2,
        "begins": "2026-01-06T16:00:00Z", "ends": "2026-01-06T18:00:00Z"}]);
    assert_eq!(part(&done, "MINT")["gaps"], gap, "{done:#}");
    // Twenty-one days of trade with seven hours each, the day before Christmas with four.
    let coverage = part(&done, "MINT")["coverage"].as_f64().unwrap();
    let (there, all) = (21.0 * 7.0 - 3.0 - 2.0, 21.0 * 7.0 - 3.0);
    assert!((coverage - there / all).abs() < 1e-9, "{coverage}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_finds_room_beside_a_run() {
    let bourse = Bourse::open(1000).await;
    let own = "requests_per_minute = 5\nmax_wait_seconds = 0\n";
    let house = house_of(&bourse, Kind::Sqlite, own).await;
    bourse.runs_on(&house.clock);
    bourse.limit(5);
    for number in 0..9 {
        let symbol = format!("SYM{number}");
        track(&house, &symbol, "stock", "1d").await;
        bourse.list(&symbol, "1/day", daily(&mut Dice(43), false, &[]).split_off(480));
    }
    let client = house.client().await;
    let call = async || {
        let path = "/bourse/v2/aggs/ticker/SYM0/range/1/day/1767000000000/1768000000000";
        client.get(path).send().await
    };
    assert_eq!(call().await.status, 200);
    let id = asked(&house, json!({"from": "2025-12-01T00:00:00Z"})).await;
    until("the run's calls", async || bourse.asked().len() == 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bourse.asked().len(), 4, "one is left for a client");
    assert_eq!(call().await.status, 200);
    call().await.is_refusal(429, "rate_limited");
    let hand = house.clock.clone();
    let passing = tokio::spawn(async move {
        loop {
            hand.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let done = ended(&house, &id).await;
    passing.abort();
    assert_eq!((&done["state"], bourse.refused()), (&json!("completed"), 0), "{done:#}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_wants_to_be_left_alone_for_hours_holds_no_run() {
    let bourse = Bourse::open(1000).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let bars = daily(&mut Dice(47), false, &[]);
    for symbol in ["AONE", "BTWO"] {
        track(&house, symbol, "stock", "1d").await;
        bourse.list(symbol, "1/day", bars.clone());
        bourse.plant(symbol, Some(Plant::Later));
    }
    let id = asked(&house, json!({})).await;
    let done = tokio::time::timeout(LONG, ended(&house, &id)).await.unwrap();
    assert_eq!(done["error"], "2 of 2 symbols failed", "{done:#}");
    for symbol in ["AONE", "BTWO"] {
        let error = part(&done, symbol)["error"].as_str().unwrap();
        assert!(error.contains("left alone"), "{error}");
        bourse.plant(symbol, None);
    }
    house.clock.advance(Duration::from_secs(2 * 3600 + 1));
    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    assert_eq!(kept(&house.client().await, "BTWO", "1d").await, lines(&bars));
    house.leave().await;
}

/// What a run found nothing of, or passed by, the next one asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_or_a_hole_costs_no_history() {
    let bourse = Bourse::open(1000).await;
    let house = house_of(&bourse, Kind::Sqlite, "").await;
    let bars = daily(&mut Dice(53), false, &[]);
    let planted = [
        ("VOID", Some(Plant::Unknown), "knows no candles"),
        ("BACK", Some(Plant::NewestFirst), "newest candles first"),
        ("NANS", Some(Plant::AllBad), "none of the"),
        ("HOLE", None, ""),
    ];
    for (symbol, plant, _) in planted {
        track(&house, symbol, "stock", "1d").await;
        bourse.list(symbol, "1/day", bars.clone());
        bourse.plant(symbol, plant);
    }
    let names = ["VOID", "BACK", "NANS"];
    let done = run(&house, json!({"symbols": names})).await;
    for (symbol, _, word) in &planted[..3] {
        let part = part(&done, symbol);
        assert_eq!(part["state"], "failed", "{part:#}");
        assert!(part["error"].as_str().unwrap().contains(word), "{part:#}");
        bourse.plant(symbol, None);
    }
    let late = json!({"symbols": ["HOLE"], "from": "2025-12-01T00:00:00Z"});
    assert_eq!(run(&house, late).await["state"], "completed");
    let done = run(&house, json!({})).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let reader = house.client().await;
    for (symbol, ..) in planted {
        assert_eq!(kept(&reader, symbol, "1d").await, lines(&bars), "{symbol}");
    }
    // What went well is not fetched again.
    let sent = bourse.sent();
    assert_eq!(run(&house, json!({})).await["state"], "completed");
    assert!(bourse.sent() - sent <= 4 * planted.len(), "{}", bourse.sent() - sent);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_no_call_of_the_last_minute() {
    let bourse = Bourse::open(1000).await;
    let mut house = house_of(&bourse, Kind::Sqlite, "requests_per_minute = 5\n").await;
    bourse.runs_on(&house.clock);
    bourse.limit(5);
    for number in 0..8 {
        let symbol = format!("SYM{number}");
        track(&house, &symbol, "stock", "1d").await;
        bourse.list(&symbol, "1/day", daily(&mut Dice(59), false, &[]).split_off(480));
    }
    let id = asked(&house, json!({"from": "2025-12-01T00:00:00Z"})).await;
    until("five calls", async || bourse.asked().len() == 5).await;
    house.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((bourse.asked().len(), bourse.refused()), (5, 0));
    let hand = house.clock.clone();
    let passing = tokio::spawn(async move {
        loop {
            hand.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let done = ended(&house, &id).await;
    passing.abort();
    assert_eq!((&done["state"], bourse.refused()), (&json!("completed"), 0), "{done:#}");
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_adds_changes_and_cancels() {
    let bourse = Bourse::open(100).await;
    let ground = Ground::new(&bourse.settings(""));
    ground.json(&["init", "--json"]);
    assert!(ground.run(&["symbols", "add", "IBM"]).status.success());
    let told =
        ground.run(&["symbols", "add", "GLD", "IBM", "A/B", "XOM", "--asset-class", "stock"]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("2 of 4 symbols were not added") && said.contains("IBM"), "{said}");
    for symbol in ["GLD", "XOM"] {
        assert_eq!(ground.json(&["symbols", "show", symbol, "--json"])["active"], true);
    }
    let set = ["symbols", "set", "gld", "--active", "false", "--interval", "1h", "--json"];
    let after = ground.json(&set);
    assert_eq!((&after["active"], &after["interval"]), (&json!(false), &json!("1h")));
    let after = ground.json(&["symbols", "set", "GLD", "--interval", "default", "--json"]);
    assert_eq!(after["interval"], Value::Null);
    assert_eq!(ground.run(&["symbols", "set", "GLD"]).status.code(), Some(1));
    std::fs::write(ground.path().join("seed.csv"), "symbol,last_backfill\nAAPL,2026-01-05\n")
        .unwrap();
    assert!(ground.run(&["symbols", "import", "seed.csv"]).status.success());
    let shown = ground.json(&["symbols", "show", "AAPL", "--json"]);
    assert_eq!(shown["last_backfill"], "2026-01-05T00:00:00Z");
    let list = "Symbol,Name,Asset_Class,last_backfill\norcl,Oracle,STOCK,2026-01-02\n";
    std::fs::write(ground.path().join("list.csv"), list).unwrap();
    let told = ground.run(&["symbols", "import", "list.csv"]);
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && said.contains("1 imported"), "{said}");
    assert!(said.contains("left out") && said.contains("name"), "{said}");
    let shown = ground.json(&["symbols", "show", "ORCL", "--json"]);
    assert_eq!(shown["last_backfill"], "2026-01-02T00:00:00Z");
    let id = "01a1ffe3-7fd5-7000-8001-9d3625fb0e96";
    let told = ground.run(&["backfill", "cancel", id]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("not_found"), "{told:?}");
}
