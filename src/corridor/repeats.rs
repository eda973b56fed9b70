//! Which calls ask once more for what their client key was told already, while that is still fresh.
//! Of an answer a hash is kept, under a key made at the start, and until when it holds: in a table
//! of so many places, which all cores share without a lock. What finds no place is forgotten, and
//! then less is counted, never more. Must never keep, log or hand on a path, a query or a header.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::clock::Moment;
use crate::crypto::Marking;
use crate::provider::MOST_FRESH_SECONDS;

/// 64 Ki answers in a mebibyte. A set is a line of the processor's cache, and one look.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 14;
const WAYS: usize = 4;
/// Of a word: for how long the answer was said to hold; before it stands until when.
const SECONDS_BITS: u32 = 24;
const SECONDS: u64 = (1 << SECONDS_BITS) - 1;

const _: () = assert!((MOST_FRESH_SECONDS as u64) < SECONDS, "it would not fit");

/// What clients were told, and until when it holds.
pub(crate) struct Repeats {
    sets: Box<[Set]>,
    marking: Marking,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Slot; WAYS]);

/// The word, and the hash over it: where two cores write at once and the halves are of two answers,
/// they fit no hash, and the place counts as empty.
#[derive(Default)]
struct Slot {
    mark: AtomicU64,
    word: AtomicU64,
}

/// What is asked for: two calls with the same are the same call.
pub(super) struct Wanted<'a> {
    pub(super) client: &'a Uuid,
    pub(super) provider: &'a str,
    pub(super) path: &'a str,
    /// As it was sent, without a credential.
    pub(super) query: Option<&'a str>,
    pub(super) accept: Option<&'a [u8]>,
}

/// A call that may be the same as an earlier one.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    hash: u64,
    pub(super) at: Moment,
    /// It is: what it asks for was told, to hold for so many seconds, and does.
    pub(super) again: Option<u32>,
}

/// What a client knows once it has the whole answer.
pub(super) struct Told {
    repeats: Arc<Repeats>,
    asked: Asked,
    seconds: u32,
}

impl Default for Repeats {
    fn default() -> Self {
        let sets = std::iter::repeat_with(Set::default).take(SETS).collect();
        Self { sets, marking: Marking::default() }
    }
}

impl Repeats {
    pub(super) fn ask(&self, wanted: &Wanted<'_>, at: Moment) -> Asked {
        let hash = wanted.hash(&self.marking);
        Asked { hash, at, again: self.find(hash, ms(at)) }
    }

    fn set(&self, hash: u64) -> &[Slot] {
        let place = usize::try_from(hash >> (u64::BITS - SET_BITS)).unwrap_or_default();
        self.sets.get(place).map_or(&[], |set| &set.0)
    }

    fn find(&self, hash: u64, now_ms: u64) -> Option<u32> {
        let word = self.set(hash).iter().find_map(|slot| slot.word_of(hash))?;
        let seconds = u32::try_from(word & SECONDS).ok()?;
        (word >> SECONDS_BITS > now_ms).then_some(seconds)
    }

    /// In its own place, or in that of the answer that is over first.
    fn put(&self, asked: Asked, seconds: u32) {
        // From when it was asked for on: it is not younger than that.
        let until_ms = ms(asked.at).saturating_add(u64::from(seconds) * 1_000);
        let word = until_ms << SECONDS_BITS | u64::from(seconds);
        let set = self.set(asked.hash);
        let own = set.iter().find(|slot| slot.word_of(asked.hash).is_some());
        let slot = own.or_else(|| set.iter().min_by_key(|slot| slot.word.load(Ordering::Relaxed)));
        if let Some(slot) = slot {
            slot.word.store(word, Ordering::Relaxed);
            slot.mark.store(asked.hash ^ word, Ordering::Relaxed);
        }
    }
}

impl Wanted<'_> {
    fn hash(&self, marking: &Marking) -> u64 {
        let Self { client, provider, path, query, accept } = self;
        let said = [u8::from(query.is_some()), u8::from(accept.is_some())];
        let (query, accept) = (query.unwrap_or_default(), accept.unwrap_or_default());
        let path = path.as_bytes();
        marking.mark(&[
            client.as_bytes(),
            &said,
            provider.as_bytes(),
            path,
            query.as_bytes(),
            accept,
        ])
    }
}

impl Slot {
    fn word_of(&self, hash: u64) -> Option<u64> {
        let word = self.word.load(Ordering::Relaxed);
        (self.mark.load(Ordering::Relaxed) ^ word == hash).then_some(word)
    }
}

impl Told {
    pub(super) fn new(repeats: &Arc<Repeats>, asked: Asked, seconds: u32) -> Self {
        Self { repeats: Arc::clone(repeats), asked, seconds }
    }

    /// The whole answer went out.
    pub(super) fn keep(self) {
        self.repeats.put(self.asked, self.seconds);
    }
}

/// On the clock that never goes back.
fn ms(at: Moment) -> u64 {
    at.monotonic_ns / 1_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);

    fn at(seconds: u64) -> Moment {
        Moment { unix_ms: 0, monotonic_ns: seconds * 1_000_000_000 }
    }

    fn wanted(query: &str) -> Wanted<'_> {
        Wanted {
            client: &ONE,
            provider: "acme",
            path: "/v1/quotes",
            query: Some(query),
            accept: Some(b"application/json"),
        }
    }

    #[test]
    fn a_call_is_the_same_only_where_all_of_it_is_and_while_its_answer_holds() {
        let repeats = Repeats::default();
        let first = repeats.ask(&wanted("a=1"), at(10));
        assert_eq!(first.again, None);
        // Nobody knows an answer that is not there yet.
        assert_eq!(repeats.ask(&wanted("a=1"), at(11)).again, None);
        repeats.put(first, 60);
        for (now, again) in [(10, Some(60)), (69, Some(60)), (70, None), (71, None)] {
            assert_eq!(repeats.ask(&wanted("a=1"), at(now)).again, again, "{now}");
        }
        let other = Uuid::from_u128(2);
        for wanted in [
            Wanted { client: &other, ..wanted("a=1") },
            Wanted { provider: "quill", ..wanted("a=1") },
            Wanted { path: "/v1/quote", ..wanted("a=1") },
            Wanted { query: Some("a=2"), ..wanted("a=1") },
            Wanted { query: None, ..wanted("a=1") },
            Wanted { accept: None, ..wanted("a=1") },
            Wanted { path: "/v1/quotesa", query: Some("=1"), ..wanted("a=1") },
        ] {
            assert_eq!(repeats.ask(&wanted, at(11)).again, None);
        }
    }

    #[test]
    fn what_is_over_makes_room_first_and_a_full_table_forgets_and_invents_nothing() {
        let repeats = Repeats::default();
        let queries: Vec<String> = (0..SETS * WAYS * 2).map(|number| number.to_string()).collect();
        for query in &queries {
            let asked = repeats.ask(&wanted(query), at(1));
            assert_eq!(asked.again, None, "{query} was never asked before");
            repeats.put(asked, 60);
        }
        let known = |queries: &[String]| {
            let known = queries
                .iter()
                .filter(|query| repeats.find(hash(&repeats, query), 2_000) == Some(60));
            known.count()
        };
        assert!(known(&queries) > SETS * WAYS * 9 / 10, "{}", known(&queries));
        // What comes once they are over finds room: no place is lost.
        for query in &queries[..SETS] {
            repeats.put(repeats.ask(&wanted(query), at(100)), 10);
        }
        let fresh = |query: &&String| repeats.find(hash(&repeats, query), 101_000) == Some(10);
        let fresh = queries[..SETS].iter().filter(fresh).count();
        assert!(fresh > SETS * 98 / 100, "{fresh}");
    }

    fn hash(repeats: &Repeats, query: &str) -> u64 {
        wanted(query).hash(&repeats.marking)
    }

    #[test]
    fn another_process_hashes_otherwise() {
        let (one, other) = (Repeats::default(), Repeats::default());
        assert_ne!(hash(&one, "a=1"), hash(&other, "a=1"));
    }

    proptest! {
        /// As a list that forgets nothing would say.
        #[test]
        fn it_says_what_a_list_of_all_answers_says(
            calls in prop::collection::vec((0_usize..6, 0_u64..40, 1_u32..30), 1..60),
        ) {
            let repeats = Repeats::default();
            let (mut now, mut list) = (0, std::collections::HashMap::new());
            for (which, pause, seconds) in calls {
                now += pause;
                let query = which.to_string();
                let asked = repeats.ask(&wanted(&query), at(now));
                let held = list.get(&which).filter(|(until, _)| *until > now);
                prop_assert_eq!(asked.again, held.map(|(_, seconds)| *seconds));
                if asked.again.is_none() {
                    repeats.put(asked, seconds);
                    list.insert(which, (now + u64::from(seconds), seconds));
                }
            }
        }
    }

    /// Prints nothing: it fails where a call would cost more than is worth telling.
    #[test]
    #[ignore = "a timing: run it alone, in a build with optimisation"]
    fn a_look_costs_far_less_than_a_microsecond() {
        let repeats = Repeats::default();
        let queries: Vec<String> =
            (0..50_000).map(|n| format!("ticker=A{n}&from=2026-01-05&limit=100")).collect();
        for query in &queries {
            repeats.put(repeats.ask(&wanted(query), at(1)), 60);
        }
        let clock = crate::clock::Clock::system();
        let began = clock.monotonic_ns();
        let known =
            queries.iter().filter(|query| repeats.ask(&wanted(query), at(2)).again.is_some());
        let known = known.count();
        let each = (clock.monotonic_ns() - began) / 50_000;
        assert!(known > 40_000 && each < 400, "{known} known, {each} ns a look");
    }
}
