//! A hash of 64 bits under a key that is drawn when it is made, for tables in memory that every
//! call looks into. It tells things apart for whoever cannot see or choose marks, and is no code of
//! authentication. Must never leave the process that drew its key.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

/// Every one has a key of its own.
#[derive(Default)]
pub(crate) struct Marking(RandomState);

impl Marking {
    /// Where one part ends and the next begins counts.
    pub(crate) fn mark(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.0.build_hasher();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hundred_thousand_near_twins_have_marks_of_their_own_evenly_spread() {
        let marking = Marking::default();
        let mut marks = HashSet::new();
        let mut sets = vec![0_u32; 64];
        for number in 0..100_000_u32 {
            let query = format!("ticker=AAPL&limit={number}");
            let mark = marking.mark(&[b"/v2/aggs", query.as_bytes()]);
            assert!(marks.insert(mark), "{query}");
            sets[usize::try_from(mark >> 58).unwrap()] += 1;
        }
        assert!(sets.iter().all(|count| (1_200..2_000).contains(count)), "{sets:?}");
    }

    #[test]
    fn where_a_part_ends_counts() {
        let marking = Marking::default();
        let texts = ["/aaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbb/c", "/v1/x"];
        for text in texts.map(str::as_bytes) {
            let cuts = (0..=text.len()).map(|at| marking.mark(&[&text[..at], &text[at..]]));
            let whole = marking.mark(&[text]);
            let all: HashSet<u64> = cuts.chain([whole]).collect();
            assert_eq!(all.len(), text.len() + 2);
        }
    }

    proptest! {
        #[test]
        fn the_same_has_the_same_mark_and_only_under_the_same_key(
            left in "[ -~]{0,60}", right in "[ -~]{0,60}",
        ) {
            let (marking, other) = (Marking::default(), Marking::default());
            let of = |marking: &Marking, text: &str| marking.mark(&[text.as_bytes()]);
            prop_assert_eq!(of(&marking, &left), of(&marking, &left));
            prop_assert_eq!(of(&marking, &left) == of(&marking, &right), left == right);
            prop_assert_ne!(of(&marking, &left), of(&other, &left));
        }
    }
}
