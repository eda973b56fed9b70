//! What the rows of the other nodes say: who may be there, who has fallen silent, and whose share
//! is kept. By this node's own clock as well, as those of the others may differ from it.
//! Must never take a node for silent whose row has changed a moment ago.

use std::collections::HashMap;

use super::shared::{Kept, Plea, Shared, Word};
use crate::store::NodeRow;

/// A process that wrote no row for so long is not there; nodes' clocks differ by less.
const SILENT_AFTER_MS: i64 = 15_000;
/// And whatever its clock says, its row has not changed for so long.
const STILL_AFTER_NS: u64 = 4_000_000_000;

/// Since when each row has said the same.
#[derive(Default)]
pub(super) struct Seen(HashMap<String, (String, i64, u64)>);

impl Seen {
    pub(super) fn see(&mut self, rows: &[NodeRow], now_ns: u64) {
        self.0.retain(|node, _| rows.iter().any(|row| row.node == *node));
        for row in rows {
            let said = (row.boot.as_str(), row.seen_at);
            let known = self.0.get(&row.node);
            if known.is_none_or(|(boot, at, _)| (boot.as_str(), *at) != said) {
                self.0.insert(row.node.clone(), (row.boot.clone(), row.seen_at, now_ns));
            }
        }
    }

    pub(super) fn is_silent(&self, row: &NodeRow, (now_ms, now_ns): (i64, u64)) -> bool {
        let since_ns = self.0.get(&row.node).map_or(now_ns, |(_, _, since_ns)| *since_ns);
        let is_still = now_ns.saturating_sub(since_ns) >= STILL_AFTER_NS;
        is_still && is_old(row, now_ms)
    }

    /// A process that was here a moment ago, or one that may be spending its share.
    pub(super) fn is_there(&self, row: &NodeRow, now: (i64, u64)) -> bool {
        row.alone_since > 0 || !self.is_silent(row, now)
    }
}

fn is_old(row: &NodeRow, now_ms: i64) -> bool {
    (now_ms - row.seen_at).abs() >= SILENT_AFTER_MS
}

/// Those with whom a node shares that cannot ask Redis.
pub(super) fn sharing(rows: &[NodeRow], now_ms: i64) -> impl Iterator<Item = String> {
    let shares = move |row: &&NodeRow| row.alone_since > 0 || !is_old(row, now_ms);
    rows.iter().filter(shares).map(|row| row.node.clone())
}

/// What is kept in Redis for the node of this row, if anything.
pub(super) fn kept(row: &NodeRow, words: &[Word]) -> Option<Kept> {
    let plea = Plea::of(row).map(|plea| {
        let is_promised = words.iter().any(|word| word.plea == plea.name);
        Plea { is_granted: plea.is_granted || is_promised, ..plea }
    });
    (row.alone_since > 0).then(|| Kept { node: row.node.clone(), plea })
}

/// What those have not heard who ask for their share.
pub(super) fn told_to(shared: &Shared, pleas: &[Plea]) -> String {
    let asking = pleas.iter().filter(|plea| plea.is_asking());
    let heard_us = asking.map(|plea| plea.heard_us).min();
    heard_us.map_or_else(String::new, |heard_us| shared.spent_since(heard_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_silent_when_its_row_is_old_and_has_not_changed_either() {
        let row = |seen_at| NodeRow { node: "a".into(), seen_at, ..NodeRow::default() };
        let (mut seen, second) = (Seen::default(), 1_000_000_000);
        // Its clock is half a minute behind, and it is there.
        for beat in 0..10 {
            let row = row(30_000 + beat);
            seen.see(std::slice::from_ref(&row), u64::try_from(beat).unwrap() * second);
            let now = (60_000 + beat, u64::try_from(beat).unwrap() * second);
            assert!(!seen.is_silent(&row, now));
        }
        let last = row(30_009);
        assert!(!seen.is_silent(&last, (60_012, 12 * second)));
        assert!(seen.is_silent(&last, (60_013, 13 * second)));
        assert!(!seen.is_silent(&row(60_000), (60_013, 13 * second)), "its clock says otherwise");
    }
}
