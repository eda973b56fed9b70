//! Each outside crate has its homes: the rooms that may name it. Every dependency of `Cargo.toml`
//! stands in the table and every row of the table is a dependency, so that a new crate is a
//! decision. Must never guess: a crate that is not in the table is a violation, whoever uses it.

use std::collections::BTreeSet;

use crate::paths::Head;
use crate::source::Source;
use crate::tree::{Tree, Violation};

const RULE: &str = "home";

/// Where a crate may be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    Anywhere,
    In(&'static [&'static str]),
    NotIn(&'static [&'static str]),
    /// In no room, only in `tests/`, `benches/`, `examples/` and under `#[cfg(test)]`.
    TestsAlone,
}

impl Home {
    fn holds(self, room: &str) -> bool {
        match self {
            Self::Anywhere => true,
            Self::In(rooms) => rooms.contains(&room),
            Self::NotIn(rooms) => !rooms.contains(&room),
            Self::TestsAlone => false,
        }
    }

    fn described(self) -> String {
        match self {
            Self::Anywhere => String::from("anywhere"),
            Self::In(rooms) => format!("in {}", rooms.join(", ")),
            Self::NotIn(rooms) => format!("anywhere but in {}", rooms.join(", ")),
            Self::TestsAlone => String::from("in tests alone"),
        }
    }
}

pub(crate) fn check(tree: &Tree, sources: &[Source], homes: &[(&str, Home)]) -> Vec<Violation> {
    let mut violations = table(tree, homes);
    for source in sources {
        for mention in source.mentions.iter().filter(|mention| !mention.test) {
            let Head::Name(name) = &mention.head else { continue };
            let known = homes.iter().find(|(dependency, _)| dependency.replace('-', "_") == *name);
            if let Some((dependency, home)) = known.filter(|(_, home)| !home.holds(&source.room)) {
                let what = format!(
                    "{} names {dependency}, which lives {}; ask a room there for what is needed",
                    source.room,
                    home.described()
                );
                let file = source.path.clone();
                violations.push(Violation { rule: RULE, file, line: mention.line, what });
            }
        }
    }
    violations
}

/// The table against the manifest, both ways.
fn table(tree: &Tree, homes: &[(&str, Home)]) -> Vec<Violation> {
    let dependencies = dependencies(tree.text("Cargo.toml").unwrap_or_default());
    let listed: BTreeSet<String> = homes.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing = dependencies.difference(&listed).map(|name| {
        format!("{name} has no home; list it in tests/tidy.rs with the rooms that may name it")
    });
    let stale = listed.difference(&dependencies).map(|name| {
        format!("{name} is no dependency any more; strike it from the list in tests/tidy.rs")
    });
    let file = || String::from("Cargo.toml");
    let violation = |what| Violation { rule: RULE, file: file(), line: 0, what };
    missing.chain(stale).map(violation).collect()
}

/// Every name in every table of dependencies, those for one target included.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    fn collect(table: &toml::Table, names: &mut BTreeSet<String>) {
        for (key, value) in table {
            let toml::Value::Table(inner) = value else { continue };
            if key == "dependencies" || key.ends_with("-dependencies") {
                names.extend(inner.keys().cloned());
            } else {
                collect(inner, names);
            }
        }
    }
    let mut names = BTreeSet::new();
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    collect(&manifest, &mut names);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOMES: &[(&str, Home)] = &[("hyper", Home::In(&["proxy"]))];

    fn found(tree: &Tree, homes: &[(&str, Home)]) -> Vec<String> {
        check(tree, &tree.sources(), homes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_crate_away_from_its_home_is_found() {
        let tree = Tree::lawful().grown("src/vault.rs", "use hyper::Uri;");
        assert_eq!(
            found(&tree, HOMES),
            ["src/vault.rs:7: home: vault names hyper, which lives in proxy; \
              ask a room there for what is needed"]
        );
    }

    #[test]
    fn a_crate_named_inline_in_a_child_or_in_a_macro_is_found() {
        let inline =
            Tree::lawful().grown("src/vault/keyring.rs", "fn f() -> hyper::Uri { todo() }");
        assert_eq!(found(&inline, HOMES).len(), 1);
        let within = Tree::lawful().grown("src/vault.rs", "fn f() { log!(::hyper::Uri::new()) }");
        assert_eq!(found(&within, HOMES).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_home_is_found() {
        let manifest =
            "[target.'cfg(unix)'.dependencies]\nhyper = \"1\"\n[dev-dependencies]\nx = \"1\"";
        let found = found(&Tree::lawful().with("Cargo.toml", manifest), HOMES);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("x has no home"), "{found:?}");
    }

    #[test]
    fn a_home_without_a_dependency_is_found() {
        let homes = [("hyper", Home::Anywhere), ("axum", Home::Anywhere)];
        assert_eq!(found(&Tree::lawful(), &homes).len(), 1);
    }

    #[test]
    fn a_crate_for_tests_is_found_in_the_product_and_left_alone_in_tests() {
        let homes = [("hyper", Home::TestsAlone)];
        let tree = Tree::lawful().with("src/proxy.rs", "use hyper::Uri;");
        assert_eq!(found(&tree, &homes).len(), 1);
        let tree = tree.with("src/proxy.rs", "#[cfg(test)]\nmod tests { use hyper::Uri; }");
        assert!(found(&tree, &homes).is_empty());
    }

    #[test]
    fn a_hyphen_in_a_name_hides_no_crate() {
        let homes = [("aes-gcm", Home::In(&["crypto"]))];
        let tree = Tree::lawful()
            .with("Cargo.toml", "[dependencies]\naes-gcm = \"1\"")
            .grown("src/vault.rs", "use aes_gcm::Aes256Gcm;");
        assert_eq!(found(&tree, &homes).len(), 1);
    }
}
