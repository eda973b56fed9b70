//! Calls by part of a window, as this node knows them. Pure; small, as most windows hold a few
//! parts with calls in them.
//! Must never forget a part that is in the window still.

/// A part and the calls that were counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Cell {
    pub(super) part: u64,
    pub(super) calls: u64,
}

/// Oldest first, none without calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Tally(Vec<Cell>);

impl Tally {
    /// Parts before this one have left the window.
    pub(super) fn forget_before(&mut self, oldest: u64) {
        self.0.retain(|cell| cell.part >= oldest);
    }

    pub(super) fn used(&self) -> u64 {
        self.0.iter().map(|cell| cell.calls).sum()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.0.first().map(|cell| cell.part)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn cells(&self) -> &[Cell] {
        &self.0
    }

    pub(in super::super) fn add(&mut self, part: u64, calls: u64) {
        self.put(part, |held| held.saturating_add(calls));
    }

    pub(super) fn take_off(&mut self, part: u64, calls: u64) {
        self.put(part, |held| held.saturating_sub(calls));
    }

    pub(super) fn set(&mut self, part: u64, calls: u64) {
        self.put(part, |_| calls);
    }

    pub(super) fn at_least(&mut self, part: u64, calls: u64) {
        self.put(part, |held| held.max(calls));
    }

    fn put(&mut self, part: u64, change: impl Fn(u64) -> u64) {
        match self.0.binary_search_by_key(&part, |cell| cell.part) {
            Ok(place) => {
                if let Some(cell) = self.0.get_mut(place) {
                    cell.calls = change(cell.calls);
                    if cell.calls == 0 {
                        self.0.remove(place);
                    }
                }
            }
            Err(place) => {
                let calls = change(0);
                if calls > 0 {
                    self.0.insert(place, Cell { part, calls });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_in_order_and_leave_from_the_oldest() {
        let mut tally = Tally::default();
        for (part, calls) in [(7, 2), (5, 1), (9, 4)] {
            tally.add(part, calls);
        }
        tally.at_least(7, 1);
        tally.take_off(5, 3);
        assert_eq!(tally.cells(), [Cell { part: 7, calls: 2 }, Cell { part: 9, calls: 4 }]);
        tally.set(7, 1);
        assert_eq!((tally.used(), tally.oldest()), (5, Some(7)));
        tally.forget_before(8);
        assert_eq!((tally.used(), tally.oldest()), (4, Some(9)));
    }
}
