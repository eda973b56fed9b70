//! Which node serves a quota that is too small to be shared while Redis is away: the one that all
//! nodes find when they ask. Pure; every node must find the same on every machine.
//! Must never name two for one window.

/// The one of these nodes to which this window falls; each has about as many of them.
pub(super) fn of<'a>(window: &str, nodes: &'a [String]) -> Option<&'a str> {
    let weighed = nodes.iter().map(|node| (weight(window, node), node.as_str()));
    weighed.max().map(|(_, node)| node)
}

/// FNV-1a, its bits mixed once more: names that differ in their last letter alone must not go to
/// the same node.
fn weight(window: &str, node: &str) -> u64 {
    let bytes = window.bytes().chain([0]).chain(node.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_find_the_same_owner_and_each_node_owns_its_part() {
        let nodes = ["north", "south", "west"].map(String::from);
        let turned = ["west", "north", "south"].map(String::from);
        let mut owned = [0; 3];
        for window in 0..3000 {
            let window = format!("w60:{window}");
            let owner = of(&window, &nodes).unwrap();
            assert_eq!(of(&window, &turned), Some(owner));
            owned[nodes.iter().position(|node| node == owner).unwrap()] += 1;
        }
        assert!(owned.iter().all(|windows| (800..1200).contains(windows)), "{owned:?}");
        assert_eq!(of("w60:1", &[]), None);
    }
}
