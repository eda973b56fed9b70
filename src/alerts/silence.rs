//! Who has not moved for so many looks: nodes that are gone, claims of which nothing becomes.
//! Judged by what changes from look to look, never by times: clocks of nodes are apart.
//! Must never take for silent what could not be looked at meanwhile. Pure.

use std::collections::HashMap;
use std::hash::Hash;

pub(super) struct Silence<K, V> {
    /// What was seen of each, and how many looks ago it was seen first.
    seen: HashMap<K, (V, u32)>,
}

impl<K: Eq + Hash, V: PartialEq> Silence<K, V> {
    pub(super) fn new() -> Self {
        Self { seen: HashMap::new() }
    }

    /// All that there are now. Whoever is not among them is forgotten.
    pub(super) fn look(&mut self, now: impl IntoIterator<Item = (K, V)>) {
        let mut before = std::mem::take(&mut self.seen);
        for (who, what) in now {
            let looks = match before.remove(&who) {
                Some((held, looks)) if held == what => looks.saturating_add(1),
                Some(_) | None => 0,
            };
            self.seen.insert(who, (what, looks));
        }
    }

    /// A look failed, or there was none for a while: everybody begins anew.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    pub(super) fn is_silent(&self, who: &K, looks: u32) -> bool {
        self.seen.get(who).is_some_and(|(_, held)| *held >= looks)
    }

    /// Those that have not moved for so many looks.
    pub(super) fn silent(&self, looks: u32) -> impl Iterator<Item = (&K, &V)> {
        let all = self.seen.iter().filter(move |(_, (_, held))| *held >= looks);
        all.map(|(who, (what, _))| (who, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_not_moved_for_so_many_looks_in_a_row_is_silent() {
        let mut silence = Silence::new();
        for _ in 0..3 {
            silence.look([("gone", 1), ("late", 1)]);
        }
        assert!(!silence.is_silent(&"gone", 3), "seen thrice, it has not moved for two");
        silence.look([("gone", 1), ("late", 2)]);
        assert!(silence.is_silent(&"gone", 3) && !silence.is_silent(&"late", 1));
        assert!(!silence.is_silent(&"nobody", 0));
        assert_eq!(silence.silent(3).collect::<Vec<_>>(), [(&"gone", &1)]);
        // What could not be looked at was not silent.
        silence.forget();
        silence.look([("gone", 1)]);
        assert!(!silence.is_silent(&"gone", 1));
        silence.look([("late", 2)]);
        assert!(!silence.is_silent(&"gone", 0), "forgotten with its row");
    }
}
