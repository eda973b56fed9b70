//! Those who wait, client by client: each client has a line of his own, and the lines take turns.
//! So a greedy client waits behind himself, and a full house turns away the one who has most in it.
//! Must never be long: it is searched.

use std::collections::VecDeque;

use uuid::Uuid;

pub(super) struct Line<T> {
    /// Whose turn is next stands first. None is empty.
    turns: VecDeque<(Uuid, VecDeque<T>)>,
    length: usize,
    longest: usize,
}

impl<T> Line<T> {
    pub(super) fn new(longest: usize) -> Self {
        Self { turns: VecDeque::new(), length: 0, longest }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// So many wait at most from here on; whoever waits already stays.
    pub(super) fn bound(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Behind the others of the same client. Where there is no room, the last of whoever has most
    /// is sent away for it: true if that is somebody else. What is sent away is dropped.
    pub(super) fn push(&mut self, who: Uuid, waiter: T) -> bool {
        if self.length >= self.longest && !self.make_room_for(who) {
            return false;
        }
        self.push_beyond(who, waiter)
    }

    /// However long it is.
    pub(super) fn push_beyond(&mut self, who: Uuid, waiter: T) -> bool {
        self.length += 1;
        match self.turns.iter_mut().find(|(other, _)| *other == who) {
            Some((_, own)) => own.push_back(waiter),
            None => self.turns.push_back((who, VecDeque::from([waiter]))),
        }
        true
    }

    /// The first of the client whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.pop_where(|_| true)
    }

    /// The same, of those who may; whoever may not keeps his place.
    pub(super) fn pop_where(&mut self, may: impl Fn(&T) -> bool) -> Option<T> {
        let mut turns = self.turns.iter().enumerate();
        let (at, within) =
            turns.find_map(|(at, (_, own))| Some((at, own.iter().position(&may)?)))?;
        let (who, mut own) = self.turns.remove(at)?;
        let found = own.remove(within);
        self.length = self.length.saturating_sub(1);
        if !own.is_empty() {
            self.turns.push_back((who, own));
        }
        found
    }

    pub(super) fn has_any(&self, may: impl Fn(&T) -> bool) -> bool {
        self.turns.iter().flat_map(|(_, own)| own).any(may)
    }

    /// Those of this client who are gone give up their places.
    pub(super) fn forget(&mut self, who: Uuid, is_gone: impl Fn(&T) -> bool) {
        let Some(at) = self.turns.iter().position(|(other, _)| *other == who) else { return };
        let Some((_, own)) = self.turns.get_mut(at) else { return };
        let before = own.len();
        own.retain(|waiter| !is_gone(waiter));
        self.length = self.length.saturating_sub(before - own.len());
        if own.is_empty() {
            self.turns.remove(at);
        }
    }

    fn make_room_for(&mut self, who: Uuid) -> bool {
        let of = |who: &Uuid| self.turns.iter().find(|(other, _)| other == who);
        let has = of(&who).map_or(0, |(_, own)| own.len());
        let most = self.turns.iter_mut().max_by_key(|(_, own)| own.len());
        // Nobody is sent away for one who would have as many.
        let Some((_, own)) = most.filter(|(_, own)| own.len() > has + 1) else { return false };
        own.pop_back();
        self.length = self.length.saturating_sub(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Uuid = Uuid::from_u128(1);
    const MODEST: Uuid = Uuid::from_u128(2);

    fn line(longest: usize, greedy: u32) -> Line<u32> {
        let mut line = Line::new(longest);
        for number in 0..greedy {
            assert!(line.push(GREEDY, number));
        }
        line
    }

    #[test]
    fn clients_take_turns_and_each_is_served_in_his_own_order() {
        let mut line = line(100, 5);
        assert!(line.push(MODEST, 100) && line.push(MODEST, 101));
        let served: Vec<u32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(served, [0, 100, 1, 101, 2, 3, 4]);
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn whoever_may_not_yet_keeps_his_place_and_holds_nobody_up() {
        let mut line = line(100, 3);
        assert!(line.push(MODEST, 100) && line.push(MODEST, 101));
        assert_eq!(line.pop_where(|number| *number >= 100), Some(100));
        assert_eq!(line.pop_where(|number| *number % 2 == 1), Some(1));
        assert!(line.has_any(|number| *number == 2) && !line.has_any(|number| *number == 1));
        let served: Vec<u32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!((served, line.len()), (vec![101, 0, 2], 0));
    }

    #[test]
    fn a_full_line_turns_away_whoever_has_most_in_it() {
        let mut line = line(4, 4);
        assert!(!line.push(GREEDY, 4), "he waits behind himself");
        assert!(line.push(MODEST, 100));
        assert!(line.push(MODEST, 101));
        assert!(!line.push(MODEST, 102), "both have as many");
        let served: Vec<u32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(served, [0, 100, 1, 101]);
    }

    #[test]
    fn whoever_is_gone_leaves_no_gap() {
        let mut line = line(4, 3);
        line.forget(GREEDY, |number| *number == 1);
        line.forget(MODEST, |_| true);
        assert_eq!((line.len(), line.pop(), line.pop(), line.pop()), (2, Some(0), Some(2), None));
        line.push(MODEST, 7);
        line.forget(MODEST, |_| true);
        assert_eq!((line.len(), line.pop()), (0, None));
    }
}
