//! Lists of numbers and objects within an object, for the few calls that take one.
//! Taken out and judged like every member.
//! Must never repeat what was sent.

use super::node::Node;
use super::{Members, Patch};

/// How many numbers a list may have.
const MOST_NUMBERS: usize = 100;

impl Members {
    /// A list of whole numbers.
    pub(in super::super) fn wholes(
        &mut self,
        name: &str,
        (least, most): (u64, u64),
    ) -> Patch<Vec<u64>> {
        self.taken(name, |members, node| {
            let expected = format!("must be a list of whole numbers from {least} to {most}");
            let Node::List(items) = node else { return members.refuse(name, expected) };
            let number = |node: &Node| match node {
                Node::Whole(number) => Some(*number).filter(|n| (least..=most).contains(n)),
                Node::Null
                | Node::Flag(_)
                | Node::Number
                | Node::Text(_)
                | Node::List(_)
                | Node::Object(_) => None,
            };
            let numbers: Option<Vec<u64>> = items.iter().map(number).collect();
            let numbers = numbers.filter(|numbers| numbers.len() <= MOST_NUMBERS);
            numbers.or_else(|| members.refuse(name, expected))
        })
    }

    /// The members of a member; their faults are this object's, under its name.
    pub(in super::super) fn within<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Patch<T> {
        self.taken(name, |members, node| {
            let Node::Object(entries) = node else {
                return members.refuse(name, "must be an object");
            };
            let mut inner = Self::of_pairs(entries, false);
            let value = read(&mut inner);
            for (left, _) in std::mem::take(&mut inner.left) {
                inner.fault(&left, "is not a member of this request");
            }
            let is_sound = inner.faults.is_empty();
            for fault in inner.faults {
                members.fault(&format!("{name}.{}", fault.field), fault.fault);
            }
            value.filter(|_| is_sound)
        })
    }
}
