//! A long trail: pages from its end, from its depth and by what every record has stay what they
//! are, a search for what no record has looks at a bounded part of it, and a year of usage is read
//! without it. A hundred thousand records every day, a million with `PROOF`.

use super::super::block::{Link, Packer};
use super::super::frame::{self, Birth, Closing};
use super::*;
use crate::store::{Bucket, Counted, Dimension, UsageKey, UsageSum};

/// What a debug build on a busy machine may take for a page; a release is far below it.
const PAGE_MS: u64 = if cfg!(debug_assertions) { 250 } else { 20 };
const YEAR_MS: u64 = if cfg!(debug_assertions) { 500 } else { 50 };
const DAY_MS: i64 = 86_400_000;

fn frames(number: u64) -> Vec<u8> {
    let request_id = format!("r{number}");
    let started_at_ms = 1_700_000_000_000 + i64::try_from(number).unwrap() * 10;
    let id = Uuid::from_u128(u128::from(number) + 1_000);
    let closing = Closing {
        complete: true,
        fault: None,
        retries: 0,
        duration_ns: number,
        upstream_ns: 3,
        bytes_in: 4,
        bytes_out: 5,
        scrub_hits: 0,
    };
    let birth = Birth { id, started_at_ms, started_at_ns: number };
    let mut bytes = frame::open(&begin("/v2/aggs", &request_id), &birth).bytes().to_vec();
    bytes.extend_from_slice(frame::answered((200, None), None, None, None).bytes());
    bytes.extend_from_slice(frame::closed(&closing).bytes());
    bytes
}

async fn filled(house: &House, records: u64) {
    let (mut packer, mut link) = (Packer::new("node-a"), Link::genesis("node-a"));
    let mut number = 0;
    while number < records {
        packer.restart(link);
        while !packer.is_full() && number < records {
            let frames = frames(number);
            let time = 1_700_000_000_000 + i64::try_from(number).unwrap() * 10;
            packer.add(|body| body.extend_from_slice(&frames), |_| time);
            number += 1;
        }
        link = packer.link();
        let block = packer.finish();
        let marks = marks::of(&block.body);
        let along = Along { marks: &marks, ..Along::default() };
        house.store.append_record_block(&block, &along).await.unwrap();
        packer.reclaim(block);
    }
}

/// Milliseconds that it took, the least of three: somebody else may have been busy.
async fn took<T>(mut work: impl AsyncFnMut() -> T) -> (u64, T) {
    let clock = Clock::system();
    let mut least = u64::MAX;
    loop {
        let begun_ns = clock.monotonic_ns();
        let done = work().await;
        let ms = (clock.monotonic_ns() - begun_ns) / 1_000_000;
        if ms >= least {
            return (least, done);
        }
        least = ms;
    }
}

#[tokio::test]
async fn pages_of_a_long_trail_stay_what_they_are() {
    let house = House::new().await;
    let records = if proof::rounds() > 50 { 1_000_000 } else { 100_000 };
    filled(&house, records).await;
    let (ledger, _lanes) = house.open().await.unwrap();
    let all = Filter::default();
    let polygon = Filter { provider: Some("polygon".to_owned()), ..Filter::default() };
    let client = Filter { actor_id: Some(KEY), ..Filter::default() };
    let answered = Filter { status: Some(200), kind: Some(Kind::Usage), ..Filter::default() };
    let middle = 1_700_000_000_000 + i64::try_from(records / 2).unwrap() * 10;
    let deep = Filter { to_ms: Some(middle), ..Filter::default() };
    let mut slowest = 0;
    for filter in [&all, &polygon, &client, &answered] {
        let mut cursor = None;
        for _ in 0..4 {
            let (ms, page) =
                took(async || ledger.query(filter, 100, cursor.as_ref()).await.unwrap()).await;
            assert_eq!(page.items.len(), 100);
            slowest = slowest.max(ms);
            // From the end, and then from far behind it.
            cursor = Some(Cursor::parse(&format!("{middle}.1.0.node-a")).unwrap());
        }
    }
    let (ms, page) = took(async || ledger.query(&deep, 100, None).await.unwrap()).await;
    assert_eq!(page.items.len(), 100);
    assert!(slowest.max(ms) <= PAGE_MS, "a page took {slowest} and {ms} ms");
    // One in all of them, wherever it is, and one that is not there.
    for number in [3, records / 3, records - 2, records + 5] {
        let wanted = Filter { request_id: Some(format!("r{number}")), ..Filter::default() };
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let (ms, page) =
                took(async || ledger.query(&wanted, 100, cursor.as_ref()).await.unwrap()).await;
            assert!(ms <= PAGE_MS, "{number}: {ms} ms");
            found.extend(page.items.into_iter().map(|item| item.sequence));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<u64> = if number < records { vec![number + 1] } else { Vec::new() };
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn marks_that_hide_a_record_are_found() {
    let house = House::new().await;
    filled(&house, 9_000).await;
    let (ledger, _lanes) = house.open().await.unwrap();
    let bad = async || ledger.verify().await.unwrap().first_bad.map(|bad| bad.sequence);
    let wanted = Filter { request_id: Some("r5000".to_owned()), ..Filter::default() };
    let found = async || ledger.query(&wanted, 9, None).await.unwrap().items.len();
    assert_eq!((bad().await, found().await), (None, 1));
    // A block without marks is read.
    house.store.tamper("CREATE TABLE kept AS SELECT * FROM record_marks").await;
    house.store.tamper("DELETE FROM record_marks").await;
    assert_eq!((bad().await, found().await), (None, 1));
    house.store.tamper("INSERT INTO record_marks SELECT * FROM kept").await;
    house.store.tamper("UPDATE record_marks SET marks = zeroblob(16384)").await;
    assert_eq!((bad().await, found().await), (Some(1), 0));
    house.store.tamper("UPDATE record_marks SET marks = zeroblob(3)").await;
    assert_eq!((bad().await, found().await), (Some(1), 1));
}

#[tokio::test]
async fn a_year_of_usage_is_read_without_the_trail() {
    let house = House::new().await;
    let mut usage = Vec::new();
    for day in 0..365 {
        for provider in 0..12 {
            let mut sum = UsageSum { requests: 9, ..UsageSum::default() };
            (1..60).for_each(|step| sum.durations.add(step * step * 90_000));
            let key = UsageKey {
                bucket: Bucket::Day,
                start_ms: day * DAY_MS,
                dimension: Dimension::Provider,
                name: format!("provider-{provider:02}"),
            };
            usage.push((key, sum));
        }
    }
    let counted = Counted { next_sequence: 1, usage, ..Counted::default() };
    house.store.count_records("node-a", &counted).await.unwrap();
    let (ms, rows) = took(async || {
        let of = (Bucket::Day, Dimension::Provider);
        house.store.usage(of, (0, 365 * DAY_MS), 50_000).await.unwrap().unwrap().len()
    })
    .await;
    assert_eq!(rows, 365 * 12);
    assert!(ms <= YEAR_MS, "{ms} ms");
}
