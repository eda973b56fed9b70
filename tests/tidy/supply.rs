//! What comes in from outside and what must stay out: no key is ever tracked, Cargo takes from its
//! default index alone, and no lock file pins the machine that it was written on. Must never judge
//! versions or licences: `cargo deny` does.

use crate::tree::{Tree, Violation};

const RULE: &str = "supply";
const TRACKED_KEYS: &[&str] = &["keys/README.md", "keys/.gitignore"];
const DEFAULT_INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let keys = tree.under("keys/").filter(|(path, _)| !TRACKED_KEYS.contains(path));
    let keys = keys.map(|(path, _)| Violation {
        rule: RULE,
        file: path.to_owned(),
        line: 0,
        what: String::from("nothing in keys/ is tracked but its README and ignore file"),
    });
    let lock = lines(tree, "Cargo.lock").filter_map(|(file, line, text)| {
        let source = text.trim().strip_prefix("source = ")?.trim_matches('"');
        let what = format!("{source} is not the default index");
        (source != DEFAULT_INDEX).then_some(Violation { rule: RULE, file, line, what })
    });
    let packages = ["package-lock.json", "npm-shrinkwrap.json"];
    let resolved =
        packages.iter().flat_map(|name| lines(tree, name)).filter_map(|(file, line, text)| {
            let what =
                String::from("\"resolved\" pins a host; set omit-lockfile-registry-resolved");
            text.contains("\"resolved\"").then_some(Violation { rule: RULE, file, line, what })
        });
    keys.chain(lock).chain(resolved).collect()
}

/// The numbered lines of every file of one name, wherever it lies.
fn lines<'a>(tree: &'a Tree, name: &'a str) -> impl Iterator<Item = (String, usize, &'a str)> {
    let files = tree.under("").filter(move |(path, _)| path.rsplit('/').next() == Some(name));
    files.flat_map(|(path, text)| {
        text.lines().enumerate().map(move |(index, line)| (path.to_owned(), index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracked_key_is_found() {
        let found = check(&Tree::lawful().with("keys/master.key", "x"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, "keys/master.key");
    }

    #[test]
    fn a_source_other_than_the_default_index_is_found() {
        let lock = |source: &str| format!("[[package]]\nname = \"x\"\nsource = \"{source}\"\n");
        assert!(check(&Tree::lawful().with("Cargo.lock", &lock(DEFAULT_INDEX))).is_empty());
        let sources = ["git+https://example.com/x.git#1", "sparse+https://example.com/index/"];
        for source in sources {
            let found = check(&Tree::lawful().with("Cargo.lock", &lock(source)));
            assert_eq!(found.len(), 1, "{source}");
            assert_eq!(found[0].line, 3);
        }
    }

    #[test]
    fn a_resolved_address_in_any_package_lock_is_found() {
        let lock = "{\n \"resolved\": \"https://example.com/x.tgz\"\n}";
        for path in ["package-lock.json", "tests/sdk/package-lock.json", "ui/npm-shrinkwrap.json"] {
            assert_eq!(check(&Tree::lawful().with(path, lock)).len(), 1, "{path}");
        }
        assert!(check(&Tree::lawful().with("package-lock.json", "{}")).is_empty());
    }
}
