//! Every order in which threads can meet in a slot, tried one by one: loom stands where the locks of
//! the system do otherwise. The sources are the product's own.
#![expect(dead_code, unreachable_pub, reason = "the model calls a part of what it includes")]

#[path = "../src/clock.rs"]
mod clock;

#[path = "../src/quota"]
mod quota {
    mod month;
    mod slot;
    mod window;

    pub(crate) use self::month::Period;
    pub(crate) use self::slot::{Limits, Over, Said, Slot};
    pub(crate) use self::window::{Count, Quota, Window};

    mod sync {
        pub(super) use std::sync::PoisonError;

        pub(super) use loom::sync::{Arc, Mutex, MutexGuard};
    }
}

#[path = "../src/limiter/shared"]
mod shared {
    mod lease;
    mod mirror;
    mod span;
    mod tally;

    /// What else a bucket knows is no concern of a mirror.
    mod bucket {
        pub(super) use super::span::Span;

        pub(super) struct Bucket {
            pub(super) name: Box<str>,
            pub(super) span: Span,
            pub(super) quota: u64,
        }
    }

    mod sync {
        pub(super) use std::sync::PoisonError;

        pub(super) use loom::sync::{Mutex, MutexGuard};
    }

    use std::sync::Arc;

    use loom::thread;

    use self::bucket::Bucket;
    use self::mirror::{Mirror, Mirrors};
    use self::span::Span;

    /// Of a window that is leased, with a lease of so many calls besides the one that asked for it.
    fn leased(left: u64) -> Arc<Mirror> {
        let mirror = Mirrors::default().of(&bucket());
        mirror.held().lease(0, left + 1, 0);
        mirror
    }

    fn bucket() -> Bucket {
        let span = Span::Window { seconds: 3600 };
        Bucket { name: "w3600:1".into(), span, quota: 20_000 }
    }

    /// Two take of a lease of two, one of them has no use for it, and the keeper ends it meanwhile.
    #[test]
    fn every_call_of_a_lease_is_spent_or_goes_back_once() {
        loom::model(|| {
            let mirror = leased(2);
            let call = |mirror: Arc<Mirror>, is_made: bool| {
                move || {
                    let took = mirror.held().take_leased(&bucket(), 0);
                    if took && !is_made {
                        mirror.held().put_back(0);
                    }
                    u64::from(took && is_made)
                }
            };
            let other = thread::spawn(call(mirror.clone(), false));
            let keeper = thread::spawn({
                let mirror = mirror.clone();
                move || mirror.held().end_lease()
            });
            let own = call(mirror.clone(), true)();
            let spent = own + other.join().unwrap();
            keeper.join().unwrap();
            assert_eq!(spent + mirror.held().spare(), 2);
        });
    }

    /// The keeper tells what is not used, and its answer is lost each time but the last; meanwhile
    /// one more call is taken back. Redis does each correction once.
    #[test]
    fn what_is_told_again_is_the_same_and_what_came_later_is_told_after_it() {
        loom::model(|| {
            let mirror = leased(3);
            let call = thread::spawn({
                let mirror = mirror.clone();
                move || {
                    mirror.held().end_lease();
                    mirror.held().take_back(0);
                }
            });
            let (mut counted, mut last) = (4, 0);
            let mut tell = |is_heard: bool| {
                let Some(telling) = mirror.held().begin_telling() else { return };
                if telling.turn > last {
                    (counted, last) = (counted - telling.unused.used(), telling.turn);
                }
                if is_heard {
                    mirror.held().end_telling();
                }
            };
            tell(false);
            tell(true);
            call.join().unwrap();
            for is_heard in [false, true, true] {
                tell(is_heard);
            }
            assert_eq!((counted, mirror.held().has_news()), (0, false));
        });
    }
}

use clock::Moment;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use quota::{Limits, Over, Quota, Said, Slot};

const HOUR_NS: u64 = 3_600_000_000_000;

fn at(hours: u64) -> Moment {
    Moment { unix_ms: 0, monotonic_ns: 1 + hours * HOUR_NS }
}

fn limits(calls: u64) -> Limits {
    Limits::of_window(Quota { calls, window_ns: HOUR_NS, unlimited: false })
}

/// Who calls at once, with a quota that is too small for all.
#[test]
fn of_three_callers_at_once_the_quotas_two_are_admitted() {
    loom::model(|| {
        let slot = Arc::new(Slot::default());
        let admitted = Arc::new(AtomicU64::new(0));
        let call = |slot: Arc<Slot>, admitted: Arc<AtomicU64>| {
            move || {
                if let Said::Counted(_) = slot.admit(&limits(2), None, at(0)) {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let others = [(); 2].map(|()| thread::spawn(call(slot.clone(), admitted.clone())));
        call(slot.clone(), admitted.clone())();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(admitted.load(Ordering::Relaxed), 2);
    });
}

/// Two addresses of one page, which has room for one more call.
#[test]
fn two_slots_within_one_never_pass_its_quota_together() {
    loom::model(|| {
        let page = Arc::new(Slot::default());
        let call = |page: Arc<Slot>| {
            move || {
                let own = Slot::default();
                let said = own.admit(&limits(5), Some((&page, &limits(1))), at(0));
                let Said::Counted(seen) = own.look(&limits(5), None, at(0)) else {
                    panic!("its own slot has room")
                };
                let is_over = matches!(said, Said::OverOuter(Over::Window(_)));
                assert!(is_over || matches!(said, Said::CountedTwice(..)), "{said:?}");
                assert_eq!(seen.used, u64::from(!is_over));
                seen.used
            }
        };
        let other = thread::spawn(call(page.clone()));
        let own = call(page.clone())();
        assert_eq!(own + other.join().unwrap(), 1);
    });
}

/// A call meets the sweep: it is counted in a slot that stays, or told to ask for another one.
#[test]
fn no_call_is_counted_in_a_slot_that_is_put_away() {
    loom::model(|| {
        let slot = Arc::new(Slot::default());
        let Said::Counted(_) = slot.admit(&limits(5), None, at(0)) else { panic!("no room") };
        let held = slot.clone();
        let call = thread::spawn(move || held.admit(&limits(5), None, at(3)));
        let is_gone = Slot::retire(&slot, limits(5).window, at(3).monotonic_ns);
        let said = call.join().unwrap();
        if is_gone {
            assert_eq!(slot.admit(&limits(5), None, at(3)), Said::Gone);
        }
        assert!(matches!(said, Said::Counted(_) | Said::Gone), "{said:?}");
        assert_eq!(said == Said::Gone, is_gone, "a counted call is never forgotten");
    });
}

/// A place among the calls under way is taken by one of two, and by the other when it is free.
#[test]
fn calls_under_way_never_pass_their_limit() {
    loom::model(|| {
        let slot = Arc::new(Slot::default());
        let under_way = Arc::new(AtomicU64::new(0));
        let call = |slot: Arc<Slot>, under_way: Arc<AtomicU64>| {
            move || {
                let limits = Limits { concurrent: Some(1), ..limits(9) };
                let Said::Counted(_) = slot.admit(&limits, None, at(0)) else { return };
                assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0);
                under_way.fetch_sub(1, Ordering::SeqCst);
                slot.leave();
            }
        };
        let other = thread::spawn(call(slot.clone(), under_way.clone()));
        call(slot.clone(), under_way.clone())();
        other.join().unwrap();
        call(slot, under_way)();
    });
}
