//! Tracked files speak of the product alone: no number of a tracker's issue, no path of the machine
//! that they were written on, no host of a package registry. Must never read lock files, which
//! others write, nor this folder, which has to name what it forbids.

use crate::tree::{Tree, Violation};

const RULE: &str = "word";
const LOCKS: &[&str] = &["Cargo.lock", "package-lock.json", "npm-shrinkwrap.json", "LICENSE"];
const OWN: &str = "tests/tidy/";
const REGISTRIES: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "pypi.org",
    "pythonhosted.org",
    "npm.pkg.github.com",
];
const MACHINE_PATHS: &[&str] =
    &["/work/", "/home/", "/root/.cargo", "/root/.rustup", "/root/.cache", "/root/.pyenv"];
/// In sources these may be the path of a request, or a folder that a script asks for.
const MACHINE_PATHS_IN_PAPERS: &[&str] = &["/root/", "/tmp/"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.under("") {
        let name = path.rsplit('/').next().unwrap_or_default();
        if LOCKS.contains(&name) || path.starts_with(OWN) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(what) = fault(path, line) {
                let file = path.to_owned();
                violations.push(Violation { rule: RULE, file, line: index + 1, what });
            }
        }
    }
    violations
}

fn fault(path: &str, line: &str) -> Option<String> {
    if let Some(number) = issue_number(path, line) {
        return Some(format!("names the issue {number}; say the thing itself"));
    }
    let in_papers = if path.ends_with(".md") { MACHINE_PATHS_IN_PAPERS } else { &[] };
    if let Some(found) = MACHINE_PATHS.iter().chain(in_papers).find(|word| begins(line, word)) {
        return Some(format!("names {found}…, which only one machine has"));
    }
    let host = REGISTRIES.iter().find(|host| line.contains(*host))?;
    Some(format!("names the registry host {host}; clients know their own defaults"))
}

/// Whether a path stands in the line from its root on, not inside a longer one.
fn begins(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && !"./_-}>)*".contains(letter))
    })
}

/// `issue 12`, `issues #12`, and `#12` by itself where a number sign means nothing else.
fn issue_number(path: &str, line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    for word in ["issue ", "issues "] {
        for (at, _) in lower.match_indices(word) {
            let number = digits(lower[at + word.len()..].trim_start_matches('#'));
            let whole =
                lower[..at].chars().next_back().is_none_or(|letter| !letter.is_alphanumeric());
            if whole && !number.is_empty() {
                return Some(number);
            }
        }
    }
    let kind = path.rsplit('.').next().unwrap_or_default();
    if !["rs", "md", "toml", "sql", "Makefile"].contains(&kind) && !path.starts_with(".ci/") {
        return None;
    }
    line.match_indices('#').find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        let number = digits(&line[at + 1..]);
        let after = line[at + 1 + number.len()..].chars().next();
        let alone = before.is_none_or(|letter| " (\t".contains(letter))
            && after.is_none_or(|letter| !letter.is_alphanumeric() && letter != ';');
        (alone && !number.is_empty()).then_some(number)
    })
}

fn digits(text: &str) -> String {
    text.chars().take_while(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> usize {
        check(&Tree::default().with(path, line)).len()
    }

    #[test]
    fn an_issue_number_is_found() {
        for line in
            ["// see issue 12", "Closes Issues 3 and 4", "(#12)", "# built in #7, then", "#12"]
        {
            assert_eq!(found("src/vault.rs", line), 1, "{line}");
        }
    }

    #[test]
    fn numbers_that_name_no_issue_are_left_alone() {
        for line in
            ["r#\"{}\"#", "color: #123;", "## 12 months", "x#12", "reissue 12", "an issue here"]
        {
            assert_eq!(found("src/vault.rs", line), 0, "{line}");
        }
        assert_eq!(found("ui/x.css", "a { color: #123456 }"), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for line in ["cd /work/x", "\"/root/.cargo\"", "(/home/ann/x)"] {
            assert_eq!(found("src/vault.rs", line), 1, "{line}");
        }
        assert_eq!(found("docs/x.md", "in /tmp/x"), 1);
        assert_eq!(found("docs/x.md", "in /root/x"), 1);
        assert_eq!(found("tests/it/x.rs", "get(\"/root/x?a=b\")"), 0);
        assert_eq!(found(".ci/run", "mktemp -d /tmp/x.XXXX"), 0);
        assert_eq!(found("docs/x.md", "https://example.com/home/x and ./work/x"), 0);
    }

    #[test]
    fn a_registry_host_is_found() {
        assert_eq!(found("docs/x.md", "pip --index-url https://pypi.org/simple"), 1);
        assert_eq!(found(".npmrc", "registry=https://registry.npmjs.org/"), 1);
        assert_eq!(found("Cargo.lock", "https://registry.npmjs.org/"), 0);
    }
}
