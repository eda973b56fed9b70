//! The first rule of the house: a room names only rooms listed before it in `src/lib.rs`, and its
//! own children; strangers do not name each other at all. Must never excuse a path that is merely
//! unused: what is written is an arrow. Tests inside a room may look wherever they want.

use crate::house::House;
use crate::paths::Head;
use crate::source::Source;
use crate::tree::Violation;

const RULE: &str = "arrow";

pub(crate) fn check(
    house: &House,
    sources: &[Source],
    strangers: &[(&str, &str)],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.room != "lib") {
        let mut complain = |line, what| {
            violations.push(Violation { rule: RULE, file: source.path.clone(), line, what });
        };
        if house.height(&source.room).is_none() {
            complain(0, format!("the room {} is not in the mod list of src/lib.rs", source.room));
            continue;
        }
        for mention in source.mentions.iter().filter(|mention| !mention.test) {
            let verdict = match &mention.head {
                Head::Room(named) => judge(house, &source.room, named, strangers),
                Head::Root => Some(String::from(
                    "names the root of the crate as a whole; name the rooms it takes from",
                )),
                Head::Name(_) => None,
            };
            if let Some(what) = verdict {
                complain(mention.line, what);
            }
        }
    }
    violations
}

/// What is wrong with an arrow from one room to another.
fn judge(house: &House, from: &str, to: &str, strangers: &[(&str, &str)]) -> Option<String> {
    if from == to {
        return None;
    }
    let Some(target) = house.height(to) else {
        return Some(format!("crate::{to} is no room of src/lib.rs; the root holds rooms alone"));
    };
    if strangers.iter().any(|pair| *pair == (from, to) || *pair == (to, from)) {
        return Some(format!("{from} and {to} are strangers and name each other nowhere"));
    }
    (house.height(from) < Some(target)).then(|| {
        format!("{from} names {to}, which stands above it; move what both need below {from}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    const STRANGERS: &[(&str, &str)] = &[("proxy", "admin")];

    fn found(file: &str, text: &str) -> Vec<String> {
        let tree = Tree::lawful().grown(file, text);
        let violations = check(&House::read(&tree), &tree.sources(), STRANGERS);
        violations.into_iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn an_import_that_points_up_is_found() {
        assert_eq!(
            found("src/policy.rs", "use crate::vault::Opened;"),
            ["src/policy.rs:6: arrow: policy names vault, which stands above it; \
              move what both need below policy"]
        );
    }

    #[test]
    fn an_arrow_in_a_group_in_a_macro_or_by_super_is_found() {
        assert_eq!(found("src/policy.rs", "use crate::{secret::Key, vault::Opened};").len(), 1);
        assert_eq!(found("src/policy.rs", "fn f() { log!(crate::vault::x()) }").len(), 1);
        assert_eq!(found("src/policy.rs", "use super::vault::Opened;").len(), 1);
        assert_eq!(found("src/vault/keyring.rs", "use super::super::admin::x;").len(), 1);
    }

    #[test]
    fn strangers_are_kept_apart_in_both_directions() {
        assert_eq!(found("src/admin.rs", "use crate::proxy::Settings;").len(), 1);
        assert_eq!(found("src/proxy.rs", "use crate::admin::Settings;").len(), 1);
    }

    #[test]
    fn children_count_as_their_room() {
        assert_eq!(found("src/vault/keyring.rs", "use crate::admin::x;").len(), 1);
        assert!(found("src/vault/keyring.rs", "use crate::vault::Opened;").is_empty());
        assert!(found("src/vault.rs", "use crate::vault::keyring::Ring;").is_empty());
    }

    #[test]
    fn only_what_is_compiled_for_tests_may_look_up() {
        let tests = "#[cfg(test)]\nmod tests { use crate::admin::x; }";
        assert!(found("src/policy.rs", tests).is_empty());
        let not_tests = "#[cfg(any(test, unix))]\nmod tests { use crate::admin::x; }";
        assert_eq!(found("src/policy.rs", not_tests).len(), 1);
        let beside = "#[cfg(test)]\nmod tests {}\nfn f() { crate::admin::x(); }";
        assert_eq!(found("src/policy.rs", beside).len(), 1);
    }

    #[test]
    fn the_root_holds_rooms_alone() {
        assert_eq!(found("src/policy.rs", "use crate::Everything;").len(), 1);
        assert_eq!(found("src/policy.rs", "use crate as house;").len(), 1);
    }

    #[test]
    fn a_room_that_the_list_does_not_name_is_found() {
        let tree = Tree::lawful().with("src/cellar.rs", "");
        let violations = check(&House::read(&tree), &tree.sources(), STRANGERS);
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].file, "src/cellar.rs");
    }
}
