//! Which ways client keys went: bounded, and none lost.

use super::*;
use crate::client::Route;
use crate::store::{ClientRoute, Counted, Gone};

const KEY: Uuid = Uuid::from_u128(7);

fn gone(path: &str, at: i64) -> ClientRoute {
    let route = Route {
        provider: String::from("acme"),
        method: String::from("GET"),
        path: path.to_owned(),
    };
    ClientRoute { client_id: KEY, route, gone: Gone { calls: 1, first: at, last: at } }
}

/// A name for each number, of letters alone.
fn name(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + u8::try_from(digit % 26).unwrap());
    [number / 676, number / 26, number].map(letter).iter().collect()
}

async fn went(bed: &Bed, paths: &[String], batch: u64) {
    let at = i64::try_from(batch).unwrap();
    let routes = paths.iter().map(|path| gone(path, at)).collect();
    let counted = Counted { routes, next_sequence: batch, ..Counted::default() };
    bed.store.count_records("node", &counted).await.unwrap();
}

async fn ways_beyond_the_bound_are_widened_and_none_is_lost(bed: Bed) {
    let values: Vec<String> = (0..400).map(|n| format!("/coins/{}/chart", name(n))).collect();
    let names: Vec<String> = (0..400).map(|n| format!("/{}", name(n))).collect();
    let all: Vec<String> = values.iter().chain(&names).cloned().collect();
    for (batch, paths) in (1..).zip(all.chunks(50)) {
        went(&bed, paths, batch).await;
        // The same once more: it was committed already.
        went(&bed, paths, batch).await;
    }
    let held = bed.store.client_routes(0, 1_000).await.unwrap().unwrap();
    assert!(held.len() <= 2 * 128, "{}", held.len());
    assert!(held.iter().any(|one| one.route.path == "/coins/*/chart"), "{held:?}");
    assert_eq!(held.iter().map(|one| one.gone.calls).sum::<u64>(), 800);
    for path in &all {
        let route = gone(path, 0).route;
        assert!(held.iter().any(|one| one.route.covers(&route)), "{path}");
    }
    let first = bed.store.routes_since().await.unwrap();
    assert_eq!(first, Some(1));
    assert_eq!(bed.store.client_routes(17, 1_000).await.unwrap(), Some(Vec::new()));
    assert_eq!(bed.store.client_routes(0, 3).await.unwrap(), None);
}

on_both!(ways_beyond_the_bound_are_widened_and_none_is_lost);
