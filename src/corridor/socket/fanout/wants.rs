//! Who of many wants what on one socket: subscriptions merged and counted, as sets alone. Pure: it
//! knows no dialect, no socket and no clock.
//! Must never lose a topic that somebody still wants, nor keep one that nobody does.

use std::collections::{BTreeMap, BTreeSet};

/// What can be subscribed to: a kind of message about a symbol. `*` stands for every one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Topic {
    pub(super) kind: String,
    pub(super) symbol: String,
}

/// One of those who listen.
pub(super) type Who = u64;

#[derive(Default)]
pub(super) struct Wants {
    by_topic: BTreeMap<Topic, BTreeSet<Who>>,
    by_who: BTreeMap<Who, BTreeSet<Topic>>,
}

pub(super) const EVERY: &str = "*";

impl Topic {
    pub(super) fn new(kind: &str, symbol: &str) -> Self {
        Self { kind: kind.to_owned(), symbol: symbol.to_owned() }
    }

    pub(super) fn is_for_all(&self) -> bool {
        self.symbol == EVERY
    }
}

impl Wants {
    /// Says which of them nobody wanted before.
    pub(super) fn add(&mut self, who: Who, topics: &[Topic]) -> Vec<Topic> {
        let mut fresh = Vec::new();
        for topic in topics {
            let listeners = self.by_topic.entry(topic.clone()).or_default();
            if listeners.is_empty() {
                fresh.push(topic.clone());
            }
            listeners.insert(who);
            self.by_who.entry(who).or_default().insert(topic.clone());
        }
        fresh
    }

    /// How many it would have with these.
    pub(super) fn count_with(&self, who: Who, topics: &[Topic]) -> usize {
        let own = self.by_who.get(&who);
        let is_new = |topic: &&Topic| own.is_none_or(|own| !own.contains(*topic));
        let fresh: BTreeSet<&Topic> = topics.iter().filter(is_new).collect();
        own.map_or(0, BTreeSet::len) + fresh.len()
    }

    /// Says which of them nobody wants any more.
    pub(super) fn remove(&mut self, who: Who, topics: &[Topic]) -> Vec<Topic> {
        let mut gone = Vec::new();
        for topic in topics {
            let Some(listeners) = self.by_topic.get_mut(topic) else { continue };
            if listeners.remove(&who) && listeners.is_empty() {
                self.by_topic.remove(topic);
                gone.push(topic.clone());
            }
            if let Some(own) = self.by_who.get_mut(&who) {
                own.remove(topic);
            }
        }
        gone
    }

    /// The same for all that somebody wanted.
    pub(super) fn leave(&mut self, who: Who) -> Vec<Topic> {
        let own: Vec<Topic> = self.of(who).cloned().collect();
        let gone = self.remove(who, &own);
        self.by_who.remove(&who);
        gone
    }

    pub(super) fn of(&self, who: Who) -> impl Iterator<Item = &Topic> {
        self.by_who.get(&who).into_iter().flatten()
    }

    /// All that anybody wants.
    pub(super) fn union(&self) -> impl Iterator<Item = &Topic> {
        self.by_topic.keys()
    }

    pub(super) fn holds(&self, topic: &Topic) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Adds whoever wants a message of this kind about this symbol.
    pub(super) fn audience(&self, kind: &str, symbol: &str, to: &mut BTreeSet<Who>) {
        let topics = [Topic::new(kind, symbol), Topic::new(kind, EVERY), Topic::new(EVERY, EVERY)];
        for topic in &topics {
            to.extend(self.by_topic.get(topic).into_iter().flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(Who, Vec<Topic>),
        Remove(Who, Vec<Topic>),
        Leave(Who),
    }

    fn topics() -> impl Strategy<Value = Vec<Topic>> {
        let topic = ("[TQ]", prop_oneof![Just("*"), Just("A"), Just("B"), Just("C")]);
        proptest::collection::vec(topic.prop_map(|(kind, symbol)| Topic::new(&kind, symbol)), 0..4)
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..5_u64, topics()).prop_map(|(who, topics)| Step::Add(who, topics)),
            3 => (0..5_u64, topics()).prop_map(|(who, topics)| Step::Remove(who, topics)),
            1 => (0..5_u64).prop_map(Step::Leave),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn the_union_is_that_of_a_naive_model_after_every_step(steps in steps()) {
            let mut wants = Wants::default();
            let mut model: BTreeMap<Who, BTreeSet<Topic>> = BTreeMap::new();
            // What a provider would have been told.
            let mut told: BTreeSet<Topic> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(who, topics) => {
                        for fresh in wants.add(who, &topics) {
                            prop_assert!(told.insert(fresh));
                        }
                        model.entry(who).or_default().extend(topics);
                    }
                    Step::Remove(who, topics) => {
                        for gone in wants.remove(who, &topics) {
                            prop_assert!(told.remove(&gone));
                        }
                        let own = model.entry(who).or_default();
                        own.retain(|topic| !topics.contains(topic));
                    }
                    Step::Leave(who) => {
                        for gone in wants.leave(who) {
                            prop_assert!(told.remove(&gone));
                        }
                        model.remove(&who);
                    }
                }
                let union: BTreeSet<Topic> = model.values().flatten().cloned().collect();
                prop_assert_eq!(&told, &union);
                prop_assert_eq!(wants.union().cloned().collect::<BTreeSet<_>>(), union);
                for (kind, symbol) in [("T", "A"), ("Q", "B"), ("X", "A")] {
                    let mut found = BTreeSet::new();
                    wants.audience(kind, symbol, &mut found);
                    let hears = |own: &BTreeSet<Topic>| {
                        own.contains(&Topic::new(kind, symbol)) || own.contains(&Topic::new(kind, "*"))
                    };
                    let wanted: BTreeSet<Who> = model
                        .iter()
                        .filter(|(_, own)| hears(own))
                        .map(|(who, _)| *who)
                        .collect();
                    prop_assert_eq!(found, wanted);
                }
            }
        }
    }
}
