//! Alerts: one for each cause, told when it is raised, again when it is worse, and once when it is
//! over. Must never ask what a destination is: that is the business of whoever tells.

use super::*;
use crate::client::Role;

fn told(row: &AlertRow, event: Event, _: i64) -> String {
    let detail = row.detail.as_str();
    format!("{} {} {} {detail}", event.as_str(), row.state.as_str(), row.severity.as_str())
}

fn seen(level: i64, severity: Severity, at: i64) -> Seen {
    let subject = Subject {
        sort: String::from("client"),
        id: String::from("a"),
        name: String::from("a client"),
    };
    let detail = format!("level {level}");
    Seen { kind: AlertKind::QuotaNear, severity, subject, level, detail, at }
}

async fn destination(store: &Store) -> Uuid {
    let row = DestinationRow {
        id: Uuid::now_v7(),
        name: Uuid::now_v7().to_string(),
        sealed: vec![1],
        created_at: NOW_MS,
        created_by: String::from("test"),
        updated_at: NOW_MS,
    };
    assert!(store.add_destination(&row).await.unwrap());
    row.id
}

/// Oldest first.
async fn deliveries(store: &Store) -> Vec<DeliveryRow> {
    let mut all = store.deliveries_page((None, None), None, 1000).await.unwrap();
    all.reverse();
    all
}

async fn bodies(store: &Store) -> Vec<String> {
    deliveries(store).await.into_iter().map(|row| row.body).collect()
}

async fn moved(store: &Store, one: Move) {
    store.move_alerts(&[one], &[], told).await.unwrap();
}

async fn what_becomes_worse_is_told_anew_under_one_id_and_ends_as_grave_as_it_was(bed: Bed) {
    let store = &bed.store;
    destination(store).await;
    moved(store, Move::IsSo(seen(1, Severity::Warning, NOW_MS))).await;
    let first = store.standing_alerts().await.unwrap().remove(0);
    assert!(store.acknowledge_alert(first.id, "somebody", NOW_MS).await.unwrap());
    moved(store, Move::IsSo(seen(2, Severity::Critical, NOW_MS))).await;
    // A little better is no other alert, nor a lesser one.
    for (level, severity) in [(1, Severity::Warning), (0, Severity::Warning)] {
        moved(store, Move::IsSo(seen(level, severity, NOW_MS))).await;
    }
    moved(store, Move::IsSo(seen(2, Severity::Critical, NOW_MS))).await;
    let stands = store.standing_alerts().await.unwrap();
    assert_eq!(stands.len(), 1);
    let is = (stands[0].id, stands[0].severity, stands[0].level, stands[0].count);
    assert_eq!(is, (first.id, Severity::Critical, 2, 1));
    // Whoever had seen it knew of less.
    assert_eq!((stands[0].state, stands[0].acknowledged_at), (AlertState::Open, None));
    let end = Move::Gone(AlertKind::QuotaNear, first.subject, String::from("over"), NOW_MS);
    moved(store, end.clone()).await;
    moved(store, end).await;
    let expected = [
        "raised open warning level 1",
        "raised open critical level 2",
        "resolved resolved critical over",
    ];
    assert_eq!(bodies(store).await, expected);
    assert_eq!(store.alerts_page((None, None), None, 10).await.unwrap().len(), 1);
}

async fn a_clock_that_was_ahead_leaves_no_time_that_is_still_to_come(bed: Bed) {
    let store = &bed.store;
    const AN_HOUR: i64 = 3_600_000;
    moved(store, Move::Happened(seen(0, Severity::Warning, NOW_MS + AN_HOUR))).await;
    let row = store.standing_alerts().await.unwrap().remove(0);
    assert_eq!((row.first_seen, row.last_seen), (NOW_MS, NOW_MS));
    // Written while the clock of the whole node was ahead.
    bed.tamper("UPDATE alerts SET last_seen = last_seen + 86400000").await;
    moved(store, Move::IsSo(seen(0, Severity::Warning, NOW_MS - 10))).await;
    let row = store.standing_alerts().await.unwrap().remove(0);
    assert_eq!((row.last_seen, row.count), (NOW_MS, 1));
    let end = Move::Gone(row.kind, row.subject, String::from("over"), NOW_MS + AN_HOUR);
    moved(store, end).await;
    assert_eq!(store.alert(row.id).await.unwrap().unwrap().resolved_at, Some(NOW_MS));
}

async fn due(store: &Store, to: Uuid, now_ms: i64) -> Option<DeliveryRow> {
    store.due_delivery(to, now_ms).await.unwrap()
}

async fn ended(store: &Store, row: &DeliveryRow, tried: &Tried) -> bool {
    store.end_delivery(row.id, "a", (tried, &[]), NOW_MS).await.unwrap()
}

async fn what_is_over_is_told_after_it_was_raised_and_no_sooner_than_that_is_tried(bed: Bed) {
    let store = &bed.store;
    let to = destination(store).await;
    let gone =
        |row: &AlertRow| Move::Gone(row.kind, row.subject.clone(), String::from("over"), NOW_MS);
    moved(store, Move::IsSo(seen(1, Severity::Warning, NOW_MS))).await;
    let first = store.standing_alerts().await.unwrap().remove(0);
    moved(store, gone(&first)).await;
    assert_eq!(store.destinations_due(NOW_MS).await.unwrap(), [to]);
    let raised = due(store, to, NOW_MS).await.unwrap();
    assert_eq!(raised.event, Event::Raised);
    assert!(store.claim_delivery(raised.id, "a", NOW_MS).await.unwrap());
    assert!(!store.claim_delivery(raised.id, "b", NOW_MS).await.unwrap(), "one tries");
    assert_eq!(due(store, to, NOW_MS).await, None, "what was raised is on its way");
    let again = Tried::Again { at: NOW_MS + 5_000, fault: String::from("busy") };
    assert!(ended(store, &raised, &again).await);
    assert!(!ended(store, &raised, &again).await, "given back");
    // Put off with it, so that nobody looks at it in vain meanwhile; and so is what comes later.
    moved(store, Move::IsSo(seen(1, Severity::Warning, NOW_MS))).await;
    assert_eq!(due(store, to, NOW_MS).await.unwrap().body, "raised open warning level 1");
    let second = store.standing_alerts().await.unwrap().remove(0);
    let other = due(store, to, NOW_MS).await.unwrap();
    assert_eq!(other.alert_id, Some(second.id));
    assert!(store.claim_delivery(other.id, "a", NOW_MS).await.unwrap());
    assert!(ended(store, &other, &Tried::Again { at: NOW_MS + 9_000, fault: String::new() }).await);
    moved(store, gone(&second)).await;
    assert!(store.destinations_due(NOW_MS).await.unwrap().is_empty());
    let all = deliveries(store).await;
    let next: Vec<i64> = all.iter().map(|row| row.next_at - NOW_MS).collect();
    assert_eq!(next, [5_000, 5_000, 9_000, 9_000]);
    // A clock that was wrong holds nothing off.
    bed.tamper("UPDATE alert_deliveries SET next_at = 9000000000000000").await;
    let first_of = |all: &[DeliveryRow]| all[0].id;
    assert_eq!(due(store, to, NOW_MS).await.unwrap().id, first_of(&all));
}

async fn a_claim_moves_with_each_try_and_is_freed_of_whoever_is_gone(bed: Bed) {
    let store = &bed.store;
    let to = destination(store).await;
    moved(store, Move::IsSo(seen(1, Severity::Warning, NOW_MS))).await;
    let row = due(store, to, NOW_MS).await.unwrap();
    assert!(store.claim_delivery(row.id, "a", NOW_MS).await.unwrap());
    let held = store.delivery_claims().await.unwrap();
    assert_eq!((held.len(), held[0].node.as_str()), (1, "a"));
    // However old by another's clock.
    assert_eq!(due(store, to, NOW_MS + 3_600_000).await, None);
    store.free_claims_of("b").await.unwrap();
    assert_eq!(store.delivery_claims().await.unwrap(), held);
    store.free_claims_of("a").await.unwrap();
    assert!(store.claim_delivery(row.id, "b", NOW_MS).await.unwrap());
    assert!(!store.free_claim(&held[0]).await.unwrap(), "it is another one by now");
    assert!(!ended(store, &row, &Tried::Delivered).await, "whoever lost it ends nothing");
    let held = store.delivery_claims().await.unwrap();
    assert!(store.free_claim(&held[0]).await.unwrap());
    assert!(store.claim_delivery(row.id, "a", NOW_MS).await.unwrap());
    let told = [String::from("first"), String::from("second")];
    let again = Tried::Again { at: NOW_MS, fault: String::from("one is left") };
    assert!(store.end_delivery(row.id, "a", (&again, &told), NOW_MS).await.unwrap());
    let row = due(store, to, NOW_MS).await.unwrap();
    assert_eq!((row.attempts, row.told.as_slice()), (3, told.as_slice()));
}

async fn an_edited_row_stops_nobody_and_what_nobody_can_be_told_is_given_up_in_the_end(bed: Bed) {
    let store = &bed.store;
    let to = destination(store).await;
    moved(store, Move::IsSo(seen(1, Severity::Warning, NOW_MS))).await;
    bed.tamper("UPDATE alert_deliveries SET event = 'sold'").await;
    let other = Seen { kind: AlertKind::Sealed, ..seen(0, Severity::Critical, NOW_MS) };
    moved(store, Move::Happened(other)).await;
    let row = due(store, to, NOW_MS).await.unwrap();
    assert_eq!(row.body, "raised open critical level 0");
    let dead = "UPDATE alert_deliveries SET event = 'raised' WHERE state = 'dead'";
    assert_eq!(bed.tamper(dead).await, 1);
    let buried = store.deliveries_page((Some(DeliveryState::Dead), None), None, 9).await.unwrap();
    assert!(buried[0].fault.as_ref().unwrap().contains("column event"), "{buried:?}");
    store.bury_deliveries(to, ("edited", NOW_MS), NOW_MS).await.unwrap();
    assert_eq!(due(store, to, NOW_MS).await, Some(row), "no older than that");
    store.bury_deliveries(to, ("edited", NOW_MS + 1), NOW_MS).await.unwrap();
    assert_eq!(due(store, to, NOW_MS).await, None);
    let buried = store.deliveries_page((Some(DeliveryState::Dead), None), None, 9).await.unwrap();
    assert_eq!(buried[0].fault.as_deref(), Some("edited"));
}

/// What is asked each second, whatever there is.
async fn what_is_asked_each_second_goes_through_no_table(bed: Bed) {
    let Pools::Sqlite { writer, .. } = &bed.store.pools else { return };
    for (sql, table) in [
        ("SELECT id FROM alerts WHERE standing IS NOT NULL ORDER BY id", "alerts"),
        (alert_deliveries::DUE, "alert_deliveries"),
        (alert_deliveries::DUE_BY_A_WRONG_CLOCK, "alert_deliveries"),
        (alert_deliveries::DUE_ALL, "alert_deliveries"),
        (alert_claims::CLAIMS, "alert_deliveries"),
    ] {
        let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explained).fetch_all(writer).await.unwrap();
        let plan: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let is_bare = |line: &&String| {
            let goes = line.starts_with("SCAN") || line.contains("TEMP B-TREE");
            goes && !line.contains("INDEX") && !line.contains(" o")
        };
        assert_eq!(plan.iter().find(is_bare), None, "{table}: {plan:#?}");
    }
}

async fn seen_from(store: &Store, next: u64, client_id: Uuid, from: (&str, i64)) {
    let address = from.0.parse().unwrap();
    let addresses = vec![CalledFrom { client_id, address, at: from.1 }];
    let counted = Counted { next_sequence: next, addresses, ..Counted::default() };
    store.count_records("a", &counted).await.unwrap();
}

async fn the_last_address_of_a_key_is_never_forgotten_and_an_old_key_has_a_week_to_show(bed: Bed) {
    const A_DAY: i64 = 86_400_000;
    let store = &bed.store;
    let fresh = client_keys::stored(store, "fresh", Role::User).await.id;
    let old = client_keys::stored(store, "old", Role::User).await.id;
    // One of which nothing is known before an update.
    let began = NOW_MS + 90 * A_DAY;
    seen_from(store, 1, fresh, ("192.0.2.1", NOW_MS)).await;
    seen_from(store, 2, fresh, ("192.0.2.2", NOW_MS + 1)).await;
    seen_from(store, 3, old, ("192.0.2.1", began)).await;
    seen_from(store, 4, old, ("192.0.2.2", began + 6 * A_DAY)).await;
    seen_from(store, 5, old, ("192.0.2.3", began + 8 * A_DAY)).await;
    let new = async || {
        let new = store.new_addresses(0).await.unwrap();
        new.into_iter().map(|(client, address, _)| (client, address)).collect::<Vec<_>>()
    };
    let (second, third) = (String::from("192.0.2.2"), String::from("192.0.2.3"));
    assert_eq!(new().await, [(fresh, second.clone()), (old, third.clone())]);
    // After a year in which nobody used it, an address is as new as any.
    store.forget_addresses(began + 400 * A_DAY).await.unwrap();
    let late = began + 401 * A_DAY;
    seen_from(store, 6, fresh, ("198.51.100.9", late)).await;
    assert_eq!(new().await, [(fresh, String::from("198.51.100.9"))]);
    assert_eq!(store.counted_nodes().await.unwrap(), ["a"]);
}

on_both!(
    what_becomes_worse_is_told_anew_under_one_id_and_ends_as_grave_as_it_was,
    a_clock_that_was_ahead_leaves_no_time_that_is_still_to_come,
    what_is_over_is_told_after_it_was_raised_and_no_sooner_than_that_is_tried,
    a_claim_moves_with_each_try_and_is_freed_of_whoever_is_gone,
    an_edited_row_stops_nobody_and_what_nobody_can_be_told_is_given_up_in_the_end,
    what_is_asked_each_second_goes_through_no_table,
    the_last_address_of_a_key_is_never_forgotten_and_an_old_key_has_a_week_to_show,
);
