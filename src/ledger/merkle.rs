//! The Merkle tree of a checkpoint, as RFC 6962 draws it, over the chain's hashes: whoever has a
//! record and the hashes on its way up can show that it was signed, without the records beside it.
//! Grows by one leaf at a time and keeps one hash a level. Must never take a leaf for a node.

use crate::crypto::sha256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    leaves: u64,
    /// Roots of the full trees so far, the largest first.
    peaks: Vec<[u8; 32]>,
}

impl Tree {
    pub(super) fn add(&mut self, leaf: &[u8; 32]) {
        let mut hash = hash_of_leaf(leaf);
        let mut level = self.leaves;
        while level & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = joined(&left, &hash);
            }
            level >>= 1;
        }
        self.peaks.push(hash);
        self.leaves += 1;
    }

    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    pub(super) fn root(&self) -> [u8; 32] {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return sha256(&[]) };
        peaks.fold(*smallest, |right, left| joined(left, &right))
    }
}

fn hash_of_leaf(leaf: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [0; 33];
    bytes.iter_mut().skip(1).zip(leaf).for_each(|(to, from)| *to = *from);
    sha256(&bytes)
}

fn joined(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [1; 65];
    let both = left.iter().chain(right);
    bytes.iter_mut().skip(1).zip(both).for_each(|(to, from)| *to = *from);
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RFC defines it, from above.
    fn defined(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [] => sha256(&[]),
            [one] => hash_of_leaf(one),
            many => {
                let split = many.len().next_power_of_two() / 2;
                joined(&defined(&many[..split]), &defined(&many[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_the_one_that_the_rfc_defines() {
        let leaves: Vec<[u8; 32]> = (0..70).map(|number| [number; 32]).collect();
        let mut tree = Tree::default();
        for count in 0..leaves.len() {
            assert_eq!(tree.root(), defined(&leaves[..count]), "{count} leaves");
            tree.add(&leaves[count]);
            assert_eq!(tree.leaves(), count as u64 + 1);
        }
    }

    #[test]
    fn a_node_is_never_taken_for_a_leaf() {
        let mut two = Tree::default();
        two.add(&[1; 32]);
        two.add(&[2; 32]);
        let mut one = Tree::default();
        one.add(&two.root());
        assert_ne!(one.root(), two.root());
    }
}
