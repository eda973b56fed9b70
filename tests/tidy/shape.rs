//! The shape of a file: a header that says what it owns, at most four hundred lines before its
//! tests, lines that fit, `foo.rs` with `foo/` and never `mod.rs`, and `unsafe` only where it was
//! decided. Must never look into functions: clippy counts their lines and arguments.

use crate::source::Source;
use crate::tree::{Tree, Violation};

pub(crate) const HEADER: &str = "header";
const LENGTH: &str = "length";
const WIDTH: &str = "width";
const PLACE: &str = "place";
const UNSAFE: &str = "unsafe";

const MAX_LINES: usize = 400;
const MAX_WIDTH: usize = 100;

pub(crate) fn check(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        violations.extend(header(source));
        violations.extend(length(source));
        violations.extend(width(source));
    }
    violations.extend(places(tree, sources));
    violations
}

/// `lib.rs` has the map of the house instead. A file of tests says in a line what it tests.
fn header(source: &Source) -> Option<Violation> {
    let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    let least = if source.wholly_test { 1 } else { 3 };
    (source.room != "lib" && !(least..=10).contains(&lines)).then(|| Violation {
        rule: HEADER,
        file: source.path.clone(),
        line: 1,
        what: format!(
            "{lines} header lines; {least} to 10 lines of //! say what the file owns and must \
             never do"
        ),
    })
}

fn length(source: &Source) -> Option<Violation> {
    let lines = source.product_lines().count();
    (lines > MAX_LINES).then(|| Violation {
        rule: LENGTH,
        file: source.path.clone(),
        line: 0,
        what: format!(
            "{lines} lines before its tests, {MAX_LINES} at most: a second concept is hiding"
        ),
    })
}

/// Text that cannot be broken (a quoted sentence, an address) may stand out.
fn width(source: &Source) -> Vec<Violation> {
    let wide = source.product_lines().filter(|(_, line)| {
        line.chars().count() > MAX_WIDTH && !line.contains('"') && !line.contains("://")
    });
    let violation = |(line, text): (usize, &str)| Violation {
        rule: WIDTH,
        file: source.path.clone(),
        line,
        what: format!("{} characters, {MAX_WIDTH} at most", text.chars().count()),
    };
    wide.map(violation).collect()
}

/// Files must lie where their path says: neither `mod.rs` nor `#[path]` may bend it.
fn places(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let nameless = tree.rust().filter(|(path, _)| path.ends_with("/mod.rs")).map(|(path, _)| {
        let what = String::from("a folder's parent is the file beside it: foo.rs and foo/");
        Violation { rule: PLACE, file: path.to_owned(), line: 0, what }
    });
    let bent = sources.iter().filter(|source| source.text.contains("#[path")).map(|source| {
        let what = String::from("#[path] hides where a module lies");
        Violation { rule: PLACE, file: source.path.clone(), line: 0, what }
    });
    nameless.chain(bent).collect()
}

/// `unsafe` stands in the files that may hold it, and nowhere else.
pub(crate) fn check_unsafe(sources: &[Source], files: &[&str]) -> Vec<Violation> {
    let foreign = |source: &&Source| !files.contains(&source.path.as_str()) && has_unsafe(source);
    let violation = |source: &Source| {
        let what = format!("unsafe stands in {} alone", files.join(", "));
        Violation { rule: UNSAFE, file: source.path.clone(), line: 0, what }
    };
    sources.iter().filter(foreign).map(violation).collect()
}

fn has_unsafe(source: &Source) -> bool {
    fn within(stream: proc_macro2::TokenStream) -> bool {
        stream.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(word) => word == "unsafe",
            proc_macro2::TokenTree::Group(group) => within(group.stream()),
            proc_macro2::TokenTree::Punct(_) | proc_macro2::TokenTree::Literal(_) => false,
        })
    }
    within(source.tokens.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tree: &Tree) -> Vec<(&'static str, String)> {
        let violations = check(tree, &tree.sources());
        violations.into_iter().map(|violation| (violation.rule, violation.file)).collect()
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let tree =
            Tree::lawful().with("src/vault.rs", "//! Two lines\n//! alone.\nuse crate::secret;\n");
        assert_eq!(found(&tree), [(HEADER, String::from("src/vault.rs"))]);
        let long = "//! x\n".repeat(11);
        let tree = Tree::lawful().with("src/vault.rs", &long);
        assert_eq!(found(&tree), [(HEADER, String::from("src/vault.rs"))]);
    }

    #[test]
    fn a_file_of_tests_has_a_shorter_header_but_has_one() {
        let tree = Tree::lawful().grown("src/vault.rs", "#[cfg(test)]\nmod tests;");
        assert!(found(&tree.clone().with("src/vault/tests.rs", "//! Its tests.\n")).is_empty());
        let file = String::from("src/vault/tests.rs");
        assert_eq!(found(&tree.with("src/vault/tests.rs", "use super::*;\n")), [(HEADER, file)]);
    }

    #[test]
    fn a_file_that_is_too_long_before_its_tests_is_found() {
        let tree = Tree::lawful().grown("src/vault.rs", &"fn f() {}\n".repeat(400));
        assert_eq!(found(&tree), [(LENGTH, String::from("src/vault.rs"))]);
    }

    #[test]
    fn tests_do_not_count_and_do_not_hide_what_follows_them() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(400));
        assert!(found(&Tree::lawful().grown("src/vault.rs", &tests)).is_empty());
        let after = format!("{tests}{}", "fn f() {}\n".repeat(400));
        assert_eq!(found(&Tree::lawful().grown("src/vault.rs", &after)).len(), 1);
    }

    #[test]
    fn a_line_that_is_too_wide_is_found() {
        let tree = Tree::lawful().grown("src/vault.rs", &format!("// {}", "w".repeat(98)));
        assert_eq!(found(&tree), [(WIDTH, String::from("src/vault.rs"))]);
    }

    #[test]
    fn a_nameless_or_bent_module_is_found() {
        let tree = Tree::lawful().with("tests/it/mod.rs", "");
        assert_eq!(found(&tree), [(PLACE, String::from("tests/it/mod.rs"))]);
        let tree = Tree::lawful().grown("src/vault.rs", "#[path = \"x.rs\"]\nmod y;");
        assert_eq!(found(&tree), [(PLACE, String::from("src/vault.rs"))]);
    }

    #[test]
    fn unsafe_in_another_room_or_in_a_second_file_is_found() {
        let block = "fn f() { unsafe { g() } }";
        let tree = Tree::lawful().grown("src/vault.rs", block);
        assert_eq!(check_unsafe(&tree.sources(), &["src/policy.rs"]).len(), 1);
        assert!(check_unsafe(&tree.sources(), &["src/vault.rs"]).is_empty());
        let tree = tree.grown("src/vault/keyring.rs", block);
        assert_eq!(check_unsafe(&tree.sources(), &["src/vault.rs"]).len(), 1);
    }
}
