//! Sums of usage: exactly what the calls were, whatever dies between.

use super::super::record::{Metered, StoredMeter};
use super::*;
use crate::client::Route;
use crate::store::{Bucket, Dimension, UsageSum};

async fn sums(house: &House, bucket: Bucket, dimension: Dimension) -> Vec<(i64, String, UsageSum)> {
    house.store.usage((bucket, dimension), (0, i64::MAX), 1_000).await.unwrap().unwrap()
}

#[tokio::test]
async fn usage_tells_requests_errors_bytes_and_times_by_every_name() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    for number in 0..100 {
        let mut record = lanes[number % 2].seat().unwrap().open(&begin("/v2/aggs", "r"));
        record.secret(SECRET, 1);
        record.forwarded("r");
        house.clock.advance(Duration::from_millis(100));
        let status = if number < 10 { 502 } else { 200 };
        record.answered(status, "r", (number < 10).then_some(Reason::UpstreamUnreachable));
        record.bytes_out(7);
        record.complete();
    }
    let refused = Begin { kind: Kind::Access, ..begin("/x", "no") };
    lanes[0].refused(Reason::Unauthorized, &refused);
    assert!(ledger.flush().await);
    let all = sums(&house, Bucket::Day, Dimension::All).await;
    let (_, name, sum) = &all[0];
    assert_eq!((all.len(), name.as_str(), sum.requests, sum.bytes_out), (1, "", 100, 700));
    assert_eq!(sum.errors, [0, 10, 0]);
    let p50_ms = sum.durations.quantile(0.5) / 1_000_000;
    assert!((93..=107).contains(&p50_ms), "{p50_ms}");
    for (dimension, names) in [
        (Dimension::Provider, vec![String::from("polygon")]),
        (Dimension::Secret, vec![SECRET.to_string()]),
        (Dimension::Client, vec![KEY.to_string()]),
        (Dimension::Status, vec![String::from("200"), String::from("502")]),
    ] {
        let hours = sums(&house, Bucket::Hour, dimension).await;
        let found: Vec<_> = hours.iter().map(|(_, name, _)| name.clone()).collect();
        assert_eq!(found, names);
        assert_eq!(hours.iter().map(|(_, _, sum)| sum.requests).sum::<u64>(), 100);
    }
    // A second tenth of a second later each: 60 records may begin in a minute of ten seconds more.
    let minutes = sums(&house, Bucket::Minute, Dimension::All).await;
    assert_eq!(minutes.iter().map(|(_, _, sum)| sum.requests).sum::<u64>(), 100);
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn what_a_call_cost_finds_room_behind_the_longest_record() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let (long, path) = ("r".repeat(128), format!("/{}", "p".repeat(2_000)));
    let name = "n".repeat(200);
    let provider = "o".repeat(63);
    let actor = ActorRef { kind: ActorKind::Key, id: Some(KEY), name: &name };
    let address = Some("2001:db8::1".parse().unwrap());
    let (provider, path) = (provider.as_str(), path.as_str());
    let method = "M".repeat(32);
    let tokens = Some([1, 2, 3, 4, u64::MAX]);
    for (sent, model) in [("x".repeat(128), "m".repeat(80)), (long.clone(), "short".to_owned())] {
        let begin = Begin { actor, address, provider, method: &method, ..begin(path, &long) };
        let mut record = lanes[0].seat().unwrap().open(&begin);
        record.secret(SECRET, 1);
        record.forwarded(&sent);
        record.secret(Uuid::from_u128(99), 2);
        record.forwarded(&sent);
        record.answered(200, &"y".repeat(128), None);
        record.metered(&Metered { model: &model, tokens, cost: Some(17) });
        record.complete();
    }
    let mut record = lanes[0].seat().unwrap().open(&begin("/v1/x", "r"));
    record.forwarded("r");
    record.answered(200, "r", None);
    record.metered(&Metered { model: "m-1", tokens: None, cost: None });
    record.complete();
    drop(record);
    drain(&ledger).await;
    let page = ledger.query(&Filter::default(), 10, None).await.unwrap();
    let meters: Vec<_> = page.items.into_iter().map(|item| (item.end, item.meter)).collect();
    let most = Some([1, 2, 3, 4, u64::from(u32::MAX)]);
    let meter = |model: &str, tokens, cost| {
        (End::Complete, Some(StoredMeter { model: model.to_owned(), tokens, cost }))
    };
    let wanted =
        [meter("m-1", None, None), meter("short", most, Some(17)), meter("", most, Some(17))];
    assert_eq!(meters, wanted);
    let (_, _, sum) = &sums(&house, Bucket::Day, Dimension::All).await[0];
    let tokens_out = 2 * u64::from(u32::MAX);
    assert_eq!((sum.tokens_in, sum.tokens_out), (20, tokens_out));
    assert_eq!((sum.cost, sum.unpriced), (34, 1));
    let models = sums(&house, Bucket::Day, Dimension::Model).await;
    let models: Vec<_> = models.iter().map(|(_, name, sum)| (name.as_str(), sum.cost)).collect();
    assert_eq!(models, [(format!("{provider}/short").as_str(), 17), ("polygon/m-1", 0)]);
}

#[tokio::test]
async fn usage_adds_up_to_the_calls_whatever_dies_between() {
    for fault in [
        Fault::Silence { committed: false },
        Fault::Silence { committed: true },
        Fault::BeforeCommit,
        Fault::AfterCommit,
    ] {
        let house = House::new().await;
        let (ledger, lanes) = house.open().await.unwrap();
        for number in 0..50 {
            call(&lanes[number % 2], &format!("r{number}"));
        }
        ledger.0.sink.faults.lock().unwrap().push_back(fault);
        let writer = tokio::spawn(ledger.writer());
        match fault {
            Fault::Silence { .. } => {
                let within = Duration::from_millis(400);
                assert!(tokio::time::timeout(within, ledger.flush()).await.is_err());
                writer.abort();
                let _killed = writer.await;
            }
            Fault::BeforeCommit | Fault::AfterCommit => {
                while !ledger.flush().await {}
                ledger.stop();
                writer.await.unwrap();
            }
        }
        call(&lanes[0], "later");
        drop((ledger, lanes));
        house.trail_after_restart().await;
        house.trail_after_restart().await;
        let all = sums(&house, Bucket::Day, Dimension::All).await;
        assert_eq!(all.iter().map(|(_, _, sum)| sum.requests).sum::<u64>(), 51, "{fault:?}");
        let ways = house.store.client_routes(0, 1_000).await.unwrap().unwrap();
        let ways: Vec<_> =
            ways.into_iter().map(|one| (one.client_id, one.route, one.gone.calls)).collect();
        let way = |text: &str| text.to_owned();
        let route = Route { provider: way("polygon"), method: way("GET"), path: way("/v2/aggs") };
        assert_eq!(ways, [(KEY, route, 51)], "{fault:?}");
    }
}

#[tokio::test]
async fn edited_sums_stop_no_trail() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    call(&lanes[0], "first");
    assert!(ledger.flush().await);
    let edit = "UPDATE usage_rollups SET requests = -5, bytes_in = 9223372036854775807,
        durations = X'FFFFFFFF00'";
    assert!(house.store.tamper(edit).await > 0);
    call(&lanes[0], "second");
    assert!(ledger.flush().await);
    let all = sums(&house, Bucket::Day, Dimension::All).await;
    assert_eq!(all[0].2.requests, 1);
    ledger.stop();
    writer.await.unwrap();
}

#[tokio::test]
async fn calls_that_asked_again_are_counted_by_day_way_and_secret_and_say_so() {
    let house = House::new().await;
    let (ledger, lanes) = house.open().await.unwrap();
    let call = |path: &str, again: Option<u32>, status: u16| {
        let mut record = lanes[0].seat().unwrap().open(&begin(path, "r"));
        record.secret(SECRET, 1);
        record.forwarded("r");
        again.into_iter().for_each(|seconds| record.again(seconds));
        record.answered(status, "another", None);
        record.bytes_out(7);
        record.metered(&Metered { model: "", tokens: None, cost: Some(5) });
        record.complete();
    };
    call("/v2/aggs/AAPL", None, 200);
    call("/v2/aggs/AAPL", Some(90), 200);
    call("/v2/aggs/MSFT", Some(3_600), 200);
    // It was answered, and then nobody got the answer.
    let mut record = lanes[1].seat().unwrap().open(&begin("/v2/aggs/AAPL", "r"));
    record.again(60);
    record.answered(200, "r", None);
    record.answered(503, "r", Some(Reason::AuditUnavailable));
    drop(record);
    drain(&ledger).await;
    let held = house.store.repeated_calls((0, i64::MAX), 10).await.unwrap().unwrap();
    let [(calls, sum)] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!((calls.client_id, calls.secret_id), (KEY, Some(SECRET)));
    assert_eq!((calls.provider.as_str(), calls.path.as_str()), ("polygon", "/v2/aggs/*"));
    // Ninety seconds are a minute and more.
    assert_eq!((sum.calls, sum.bytes, sum.cost, sum.fresh_seconds), (2, 14, 10, 60));
    let page = ledger.query(&Filter::default(), 10, None).await.unwrap();
    let mut details: Vec<_> = page.items.into_iter().filter_map(|item| item.detail).collect();
    details.sort_by_key(|detail| detail["fresh_seconds"].as_u64());
    let detail = |seconds| serde_json::json!({"asked_again": true, "fresh_seconds": seconds});
    assert_eq!(details, [detail(60), detail(3_600)]);
}
