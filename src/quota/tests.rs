//! What one slot says, call by call; `tests/model.rs` tries every order of calls at once.

use std::sync::Arc;

use super::*;
use crate::clock::Moment;

const HOUR: Quota = Quota { calls: 3, window_ns: 3_600_000_000_000, unlimited: false };

fn at(ms: i64) -> Moment {
    Moment { unix_ms: ms, monotonic_ns: u64::try_from(ms).unwrap() * 1_000_000 }
}

fn counted(said: Said) -> u64 {
    let (Said::Counted(count) | Said::CountedTwice(count, _)) = said else { panic!("{said:?}") };
    count.used
}

#[test]
fn a_call_is_counted_by_all_limits_or_by_none() {
    let (address, origin) = (Slot::default(), Slot::default());
    let wide = Limits::of_window(HOUR);
    let narrow = Limits::of_window(Quota { calls: 2, ..HOUR });
    for used in 1..=2 {
        assert_eq!(counted(address.admit(&wide, Some((&origin, &narrow)), at(1))), used);
    }
    let refused = address.admit(&wide, Some((&origin, &narrow)), at(1));
    assert!(matches!(refused, Said::OverOuter(Over::Window(_))), "{refused:?}");
    assert_eq!(counted(address.look(&wide, None, at(1))), 2);
    let other = Slot::default();
    let over =
        other.admit(&Limits::of_window(Quota { calls: 0, ..HOUR }), Some((&origin, &wide)), at(1));
    assert!(matches!(over, Said::Over(Over::Window(_))), "{over:?}");
    assert_eq!(counted(origin.look(&wide, None, at(1))), 2);
}

#[test]
fn calls_under_way_bound_the_next_until_they_end() {
    let slot = Slot::default();
    let limits = Limits { concurrent: Some(1), ..Limits::of_window(HOUR) };
    assert_eq!(counted(slot.admit(&limits, None, at(1))), 1);
    let over = Said::Over(Over::Concurrency { used: 1 });
    assert_eq!(slot.admit(&limits, None, at(1)), over);
    slot.leave();
    assert_eq!(counted(slot.admit(&limits, None, at(1))), 2, "the refused one is not counted");
}

#[test]
fn a_month_is_asked_for_once_and_again_when_it_is_over() {
    let slot = Slot::default();
    let limits = Limits { monthly: Some(5), ..Limits::of_window(HOUR) };
    assert_eq!(slot.admit(&limits, None, at(1)), Said::MonthUnknown);
    slot.tell_month(Period { start_ms: 0, end_ms: 10 }, 4);
    slot.tell_month(Period { start_ms: 0, end_ms: 10 }, 0);
    assert_eq!(counted(slot.admit(&limits, None, at(2))), 1);
    let over = Said::Over(Over::Month { used: 5, until_ms: 10 });
    assert_eq!(slot.admit(&limits, None, at(3)), over);
    assert_eq!(slot.admit(&limits, None, at(10)), Said::MonthUnknown);
    slot.tell_month(Period { start_ms: 10, end_ms: 20 }, 0);
    assert_eq!(counted(slot.admit(&limits, None, at(11))), 2);
    // A clock that is set back opens no month anew.
    assert_eq!(slot.month(5).unwrap().0, 1);
}

#[test]
fn a_slot_is_put_away_only_when_nothing_of_it_is_needed() {
    let slot = Arc::new(Slot::default());
    let limits = Limits::of_window(HOUR);
    counted(slot.admit(&limits, None, at(1)));
    assert!(!Slot::retire(&slot, HOUR, at(2).monotonic_ns), "its window is in use");
    let later = at(2 * 3_600_000);
    let held = Arc::clone(&slot);
    assert!(!Slot::retire(&slot, HOUR, later.monotonic_ns), "somebody holds it");
    drop(held);
    assert!(Slot::retire(&slot, HOUR, later.monotonic_ns));
    assert_eq!(slot.admit(&limits, None, later), Said::Gone);
}

/// With the table's share of it, see the limiter.
#[test]
fn a_slot_is_small() {
    assert!(size_of::<Slot>() <= 176, "{}", size_of::<Slot>());
}
