//! Migrations are written twice, once for each database, and stay alike: the same files in both
//! folders, numbered from one without a gap. Must never read the SQL: whether the schemas agree is
//! for a test that runs them.

use std::collections::BTreeSet;

use crate::tree::{Tree, Violation};

const RULE: &str = "migration";
const FOLDERS: [&str; 2] = ["migrations/sqlite/", "migrations/postgres/"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let [left, right] = FOLDERS.map(|folder| files(tree, folder));
    let mut violations = Vec::new();
    let mut complain = |file: String, what: String| {
        violations.push(Violation { rule: RULE, file, line: 0, what });
    };
    for (here, there, folder) in [(&left, &right, FOLDERS[1]), (&right, &left, FOLDERS[0])] {
        for name in here.difference(there) {
            complain(
                format!("{folder}{name}"),
                String::from("missing: both databases migrate alike"),
            );
        }
    }
    for (index, name) in left.union(&right).enumerate() {
        let number = format!("{:04}_", index + 1);
        let plain = name.strip_suffix(".sql").is_some();
        if !name.starts_with(&number) || !plain {
            let what = format!("{number}….sql is due here: numbers begin at one and leave no gap");
            complain(format!("{}{name}", FOLDERS[0]), what);
        }
    }
    violations
}

fn files(tree: &Tree, folder: &'static str) -> BTreeSet<String> {
    let inside = tree.under(folder).map(|(path, _)| path.trim_start_matches(folder).to_owned());
    inside.filter(|name| !name.ends_with(".md")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_one_database_lacks_is_found() {
        let found = check(&Tree::lawful().with("migrations/sqlite/0002_more.sql", ""));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, "migrations/postgres/0002_more.sql");
    }

    #[test]
    fn a_gap_and_a_number_given_twice_are_found() {
        for name in ["0003_more.sql", "0001_more.sql", "2_more.sql", "0002_more.txt"] {
            let both = FOLDERS.map(|folder| format!("{folder}{name}"));
            let tree = both.iter().fold(Tree::lawful(), |tree, path| tree.with(path, ""));
            assert!(!check(&tree).is_empty(), "{name}");
        }
    }

    #[test]
    fn an_even_pair_is_left_alone() {
        let both = FOLDERS.map(|folder| format!("{folder}0002_more.sql"));
        let tree = both.iter().fold(Tree::lawful(), |tree, path| tree.with(path, ""));
        assert!(check(&tree.with("migrations/README.md", "")).is_empty());
    }
}
