//! What a node that has lost Redis says in its row of the database, what the others answer there,
//! and when it may let in its share: when it is shut out of Redis, so that its share is kept there
//! and it knows what was left, or when nobody counts by Redis who has not said that he stopped.
//! Pure. Must never find an accord that one of those who may be there has not said.

use crate::store::NodeRow;

/// A node that has lost Redis asks the others to keep its share. In its row, as words apart from
/// those that name processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Plea {
    /// The process and the last link it had: no other time without Redis has the same.
    pub(in super::super) name: String,
    /// It knows all that Redis had counted then.
    pub(in super::super) heard_us: u64,
    /// Among so many nodes it shares.
    pub(in super::super) of: u64,
    /// It has its share.
    pub(in super::super) is_granted: bool,
    /// It is about to count by Redis again, and spends nothing.
    pub(in super::super) is_leaving: bool,
    /// Of an earlier share it has let in calls that nobody was told of.
    pub(in super::super) owes: bool,
}

/// Redis keeps the share of a node for which it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Word {
    pub(in super::super) plea: String,
    pub(in super::super) share: Share,
}

/// What of a quota is a node's, while it cannot ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Share {
    pub(in super::super) of: u64,
    /// Those whose shares were kept before, and may be spent by now.
    pub(in super::super) absent: u64,
    /// By so many nodes each of these shares, at least.
    pub(in super::super) least: u64,
}

/// What was agreed on: the share, and whose rows say what was counted until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Accord<'a> {
    pub(in super::super) share: Share,
    pub(in super::super) told_by: Vec<&'a NodeRow>,
}

/// More than any number of nodes.
const ANY: u64 = 1 << 52;

impl Plea {
    pub(in super::super) fn of(row: &NodeRow) -> Option<Self> {
        row.knows.split(' ').find_map(|word| {
            let said = word.strip_prefix(['!', '+', '~'])?;
            let (is_granted, is_leaving) = (word.starts_with('+'), word.starts_with('~'));
            let mut parts = said.split('=');
            let name = parts.next()?.to_owned();
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (heard_us, of, owes) = (number()?, number()?, number()? != 0);
            Some(Self { name, heard_us, of, is_granted, is_leaving, owes })
        })
    }

    /// It has no share yet, and waits for one.
    pub(in super::super) fn is_asking(&self) -> bool {
        !self.is_granted && !self.is_leaving
    }

    pub(in super::super) fn said(&self) -> String {
        let sign = match (self.is_granted, self.is_leaving) {
            (_, true) => '~',
            (true, false) => '+',
            (false, false) => '!',
        };
        format!("{sign}{}={}={}={}", self.name, self.heard_us, self.of, u64::from(self.owes))
    }
}

impl Word {
    pub(in super::super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('=');
        let plea = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse().ok();
        let share = Share { of: number()?, absent: number()?, least: number()? };
        let is_name = plea.contains('.') && !plea.starts_with(['!', '+', '~']);
        is_name.then_some(Self { plea, share })
    }

    pub(in super::super) fn all_of(row: &NodeRow) -> impl Iterator<Item = Self> {
        row.knows.split(' ').filter_map(Self::read)
    }

    pub(in super::super) fn said(&self) -> String {
        let Share { of, absent, least } = self.share;
        format!("{}={of}={absent}={least}", self.plea)
    }
}

/// Whether this row says that it has seen a process, or the plea of one.
pub(in super::super) fn knows(row: &NodeRow, name: &str) -> bool {
    row.knows.split(' ').any(|word| word == name)
}

/// What the others have agreed on with the one of this plea. `own` is its row, `others` those that
/// may be there; one that `is_silent` will not say any more what it knows. None: not yet.
pub(in super::super) fn found<'a>(
    plea: &Plea,
    own: &'a NodeRow,
    (others, is_silent): (&[&'a NodeRow], impl Fn(&NodeRow) -> bool),
) -> Option<Accord<'a>> {
    let word_for = |name: &str| {
        let all = others.iter().copied().chain([own]);
        all.flat_map(|row| Word::all_of(row).map(move |word| (row, word)))
            .find(|(_, word)| word.plea == name)
    };
    if let Some((row, Word { share, .. })) = word_for(&plea.name) {
        return Some(Accord {
            share: Share { of: share.of.max(plea.of), ..share },
            told_by: vec![row],
        });
    }
    let mut share = Share { of: plea.of, absent: 0, least: ANY };
    for row in others {
        let is_silent = is_silent(row);
        let theirs = Plea::of(row);
        let has_stopped = theirs.as_ref().is_some_and(|theirs| !theirs.is_leaving);
        if !(is_silent || has_stopped && knows(row, &plea.name)) {
            return None;
        }
        let word = theirs.as_ref().and_then(|theirs| word_for(&theirs.name));
        let of = match word {
            Some((_, word)) => word.share.of,
            None if is_silent || theirs.as_ref().is_some_and(|theirs| theirs.owes) => {
                theirs.map_or(plea.of, |theirs| theirs.of)
            }
            // It knows what this one knows, and shares the same with it.
            None => continue,
        };
        share.absent += 1;
        share.least = share.least.min(of.max(1));
    }
    Some(Accord { share, told_by: others.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three nodes whose steps, each of one write or one reading, come in any order.
    struct World {
        quota: u64,
        rows: Vec<NodeRow>,
        nodes: Vec<Node>,
        /// Counted there; and who is shut out of it, under which plea.
        counted: u64,
        shut: Vec<Option<Word>>,
        let_in: u64,
        pleas: u64,
    }

    #[derive(Clone, Default)]
    struct Node {
        reaches: bool,
        is_up: bool,
        is_coming: bool,
        plea: Option<Plea>,
        share: Option<Share>,
        known: u64,
        alone: u64,
        words: Vec<Word>,
        acks: Vec<String>,
        acked_as: String,
        /// Where it is in its round, and what it has read in it.
        step: usize,
        returns: bool,
        pleaded: Option<Plea>,
        read: Vec<NodeRow>,
    }

    impl World {
        fn new(quota: u64) -> Self {
            let node = Node { reaches: true, is_up: true, ..Node::default() };
            let row = |place: usize| NodeRow { node: place.to_string(), ..NodeRow::default() };
            Self {
                quota,
                rows: (0..3).map(row).collect(),
                nodes: vec![node; 3],
                counted: 0,
                shut: vec![None; 3],
                let_in: 0,
                pleas: 0,
            }
        }

        fn call(&mut self, at: usize) {
            let kept: u64 = self.shut.iter().flatten().map(|one| self.quota / one.share.of).sum();
            let node = &mut self.nodes[at];
            if node.is_up && node.reaches {
                if self.counted + kept < self.quota {
                    (self.counted, self.let_in) = (self.counted + 1, self.let_in + 1);
                }
                node.known = self.counted;
            } else if node.is_up {
                (node.is_up, node.is_coming) = (false, false);
            } else if let Some(share) = node.share {
                let of = share.of - share.absent.min(share.of - 1);
                let kept = share.absent * (self.quota / share.least.max(1));
                let weight = node.known + node.alone * of + kept;
                if weight + of <= self.quota && node.alone < self.quota / share.of {
                    (node.alone, self.let_in) = (node.alone + 1, self.let_in + 1);
                }
            }
        }

        fn say(&mut self, at: usize) {
            let node = &mut self.nodes[at];
            if !node.is_up && !node.is_coming && node.plea.is_none() {
                self.pleas += 1;
                let name = format!("{at}.{}", self.pleas);
                let owes = node.alone > 0;
                let (is_granted, is_leaving) = (false, false);
                node.plea = Some(Plea { name, heard_us: 0, of: 3, is_granted, is_leaving, owes });
            }
            let same = node.plea.as_ref().is_some_and(|plea| plea.name == node.acked_as);
            let acks = node.acks.iter().filter(|_| same).cloned();
            let words = node.words.iter().map(Word::said);
            let left = Plea::of(&self.rows[at]).filter(|_| node.is_coming && !node.is_up);
            let left = left.map(|plea| Plea { is_granted: false, is_leaving: true, ..plea });
            let own = node.plea.iter().chain(&left).map(Plea::said);
            self.rows[at].knows = own.chain(acks).chain(words).collect::<Vec<_>>().join(" ");
        }

        /// Shuts out whoever asks, and knows all that was counted until then.
        fn shut_out(&mut self, at: usize) -> bool {
            if !self.nodes[at].reaches {
                self.nodes[at].is_up = false;
                return false;
            }
            let before = self.shut.clone();
            for row in &self.nodes[at].read {
                let (place, Some(plea)) = (row.node.parse::<usize>().unwrap(), Plea::of(row))
                else {
                    continue;
                };
                let others = before.iter().enumerate().filter(|(other, _)| *other != place);
                let others: Vec<u64> =
                    others.filter_map(|(_, word)| Some(word.as_ref()?.share.of)).collect();
                let least = others.iter().copied().min().unwrap_or(ANY);
                let absent = u64::try_from(others.len()).unwrap();
                let word = Word { share: Share { of: plea.of, absent, least }, plea: plea.name };
                // One that is back is not shut out by what somebody read before.
                let is_here = self.nodes[place].is_up && self.shut[place].is_none();
                let is_known = self.shut[place].as_ref().is_some_and(|one| one.plea == word.plea);
                if !is_known && !is_here {
                    self.shut[place] = Some(word);
                }
            }
            let node = &mut self.nodes[at];
            node.known = node.known.max(self.counted);
            let has_read = |word: &Word| node.read.iter().any(|row| row.knows.contains(&word.plea));
            let words: Vec<Word> =
                self.shut.iter().flatten().filter(|one| has_read(one)).cloned().collect();
            node.words.extend(
                words.into_iter().filter(|one| !node.words.contains(one)).collect::<Vec<_>>(),
            );
            self.rows[at].spent = node.known.to_string();
            true
        }

        /// One step of a round of `Limiter::attend_once`.
        fn attend(&mut self, at: usize) {
            match self.nodes[at].step {
                0 => {
                    self.nodes[at].returns = self.nodes[at].is_coming;
                    self.say(at);
                    self.nodes[at].pleaded = Plea::of(&self.rows[at]).filter(Plea::is_asking);
                }
                1 => {
                    let others = self.rows.iter().enumerate().filter(|(place, _)| *place != at);
                    self.nodes[at].read = others.map(|(_, row)| row.clone()).collect();
                }
                2 => {
                    let node = &mut self.nodes[at];
                    let pleas: Vec<Plea> = node.read.iter().filter_map(Plea::of).collect();
                    node.words.retain(|word| pleas.iter().any(|plea| plea.name == word.plea));
                    let (is_up, returns) = (node.is_up, node.returns && node.is_coming);
                    let is_kept = (is_up || returns) && self.shut_out(at);
                    self.nodes[at].returns = returns && is_kept;
                    let own = Plea::of(&self.rows[at]).filter(|plea| !plea.is_leaving);
                    let own = own.map_or_else(String::new, |plea| plea.name);
                    let node = &mut self.nodes[at];
                    if !own.is_empty() {
                        node.acked_as = own;
                        node.acks = pleas.into_iter().map(|plea| plea.name).collect();
                        self.rows[at].spent = node.known.to_string();
                    }
                }
                3 => self.say(at),
                4 => self.end_round(at),
                _ => self.say(at),
            }
            self.nodes[at].step = (self.nodes[at].step + 1) % 6;
        }

        fn end_round(&mut self, at: usize) {
            let (own, read) = (self.rows[at].clone(), self.nodes[at].read.clone());
            let node = &mut self.nodes[at];
            if node.returns && node.is_coming && node.reaches {
                self.counted += std::mem::take(&mut node.alone);
                (node.is_up, node.known) = (true, self.counted);
                self.shut[at] = None;
                return;
            }
            let Some(plea) = node.pleaded.clone() else { return };
            let others: Vec<&NodeRow> = read.iter().collect();
            let accord = found(&plea, &own, (&others, |_: &NodeRow| false));
            if let (Some(accord), Some(own)) = (accord, node.plea.as_mut())
                && own.name == plea.name
            {
                let told = accord.told_by.iter().map(|row| row.spent.parse().unwrap_or(0));
                node.known = node.known.max(told.max().unwrap_or(0));
                own.is_granted = true;
                node.share = Some(accord.share);
            }
        }

        fn come(&mut self, at: usize) {
            let node = &mut self.nodes[at];
            if !node.is_up && node.reaches && !node.is_coming {
                (node.is_coming, node.plea, node.share) = (true, None, None);
            } else if !node.is_up && !node.reaches {
                node.is_coming = false;
            }
        }
    }

    /// The same numbers in every run.
    fn draws(mut seed: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
        }
    }

    #[test]
    fn no_order_of_steps_of_three_nodes_passes_the_quota() {
        let (mut draw, mut granted, mut returned) = (draws(0x1234_5678_9abc_def1), 0, 0);
        for walk in 0..3_000 {
            let mut world = World::new(u64::try_from(3 + draw(40)).unwrap());
            for _ in 0..250 {
                let at = draw(3);
                match draw(20) {
                    0 => world.nodes[at].reaches ^= true,
                    1 => world.come(at),
                    2..=6 => world.call(at),
                    7 => (0..6).for_each(|_| world.call(at)),
                    _ => world.attend(at),
                }
                let (sum, quota) = (world.let_in, world.quota);
                assert!(sum <= quota, "walk {walk}: {sum} of {quota}");
            }
            granted += world.nodes.iter().filter(|node| node.share.is_some()).count();
            returned += world.nodes.iter().filter(|node| node.is_up && node.is_coming).count();
        }
        assert!(granted > 1_000 && returned > 1_000, "{granted} {returned}");
    }

    #[test]
    fn what_a_row_says_is_read_as_it_was_said() {
        let name = String::from("ab.7");
        let (is_granted, is_leaving, owes) = (true, false, true);
        let plea = Plea { name, heard_us: 5, of: 3, is_granted, is_leaving, owes };
        let word = Word { plea: "cd.9".into(), share: Share { of: 3, absent: 1, least: 2 } };
        let knows = format!("{} ef.1 {}", plea.said(), word.said());
        let row = NodeRow { knows, ..NodeRow::default() };
        assert_eq!(Plea::of(&row), Some(plea));
        assert_eq!(Word::all_of(&row).collect::<Vec<_>>(), [word]);
        assert!(knows_all(&row, &["ef.1"]) && !knows_all(&row, &["ab.7", "cd.9"]));
        for odd in ["", "!", "!ab", "+ab.1=x=3", "ab=1=2=3", "ab.1=1=2", "!ab.1=1=2=3", "!ab.1=1=2"]
        {
            let row = NodeRow { knows: odd.to_owned(), ..NodeRow::default() };
            assert_eq!(Word::all_of(&row).count(), 0, "{odd}");
        }
    }

    fn knows_all(row: &NodeRow, names: &[&str]) -> bool {
        names.iter().all(|name| knows(row, name))
    }
}
