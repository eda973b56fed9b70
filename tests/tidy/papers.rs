//! Papers that speak of the sources say what is true of them: the map in `ARCHITECTURE.md`, the
//! modules and tests that `SECURITY.md` names, the codes in `docs/errors.md`. Must never judge
//! their prose.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use crate::house::{House, Room};
use crate::source::Source;
use crate::tree::{Tree, Violation};

const MAP: &str = "map";
const SECURITY: &str = "security";
const CODES: &str = "codes";

const ARCHITECTURE_FILE: &str = "ARCHITECTURE.md";
const SECURITY_FILE: &str = "SECURITY.md";
const ERRORS_FILE: &str = "docs/errors.md";

/// The map and the `mod` list have the same rooms in the same order and storeys, a word on each.
pub(crate) fn check_map(tree: &Tree, house: &House) -> Vec<Violation> {
    let drawn = drawn(tree.text(ARCHITECTURE_FILE).unwrap_or_default());
    let list = |rooms: &[Room]| {
        let named = rooms.iter().map(|room| format!("{}/{}", room.storey, room.name));
        named.collect::<Vec<_>>().join(" ")
    };
    let what = format!(
        "the map shows\n  {}\nwhile src/lib.rs lists\n  {}",
        list(&drawn),
        list(&house.rooms)
    );
    let file = String::from(ARCHITECTURE_FILE);
    let differs = drawn != house.rooms;
    differs.then_some(Violation { rule: MAP, file, line: 0, what }).into_iter().collect()
}

/// The lines `storey  room  what it holds` of the first block under the heading Map, in columns that
/// two blanks or more set apart. A line that begins with a blank stays on its storey; one without a
/// description is no room.
fn drawn(text: &str) -> Vec<Room> {
    let section = text.lines().skip_while(|line| *line != "## Map");
    let block = section.skip_while(|line| !line.starts_with("```")).skip(1);
    let mut storey = "";
    let mut rooms = Vec::new();
    for line in block.take_while(|line| !line.starts_with("```")) {
        let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
        if !line.starts_with(' ') {
            storey = columns.next().unwrap_or_default();
        }
        if let (Some(name), Some(_)) = (columns.next(), columns.next()) {
            rooms.push(Room { storey: storey.to_owned(), name: name.to_owned() });
        }
    }
    rooms
}

/// In the tables of `SECURITY.md`, what stands in the column Where is a module and what stands in
/// the column Test is a test.
pub(crate) fn check_security(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let text = tree.text(SECURITY_FILE).unwrap_or_default();
    let modules: BTreeSet<String> = sources.iter().map(|source| module_of(&source.path)).collect();
    let tests = function_names(tree);
    let mut violations = Vec::new();
    for row in rows(text) {
        for name in quoted(&row.cell) {
            let missing = match row.column.as_str() {
                "Where" => !modules.contains(&name) && tree.text(&name).is_none(),
                "Test" => !tests.contains(&name),
                _ => false,
            };
            if missing {
                let what = format!("{name} is named under {} and does not exist", row.column);
                let file = String::from(SECURITY_FILE);
                violations.push(Violation { rule: SECURITY, file, line: row.line, what });
            }
        }
    }
    violations
}

/// Every code of a refusal has its row in `docs/errors.md`, and every row its code.
pub(crate) fn check_codes(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let mut codes = Codes::default();
    let refusal = sources.iter().find(|source| source.path == "src/refusal.rs");
    if let Some(source) = refusal {
        codes.visit_file(&source.syntax);
    }
    let text = tree.text(ERRORS_FILE).unwrap_or_default();
    let listed: BTreeSet<String> =
        rows(text).filter(|row| row.column == "code").flat_map(|row| quoted(&row.cell)).collect();
    let unlisted =
        codes.found.difference(&listed).map(|code| format!("the code {code} has no row"));
    let unknown =
        listed.difference(&codes.found).map(|code| format!("no refusal has the code {code}"));
    let file = || String::from(ERRORS_FILE);
    let violation = |what| Violation { rule: CODES, file: file(), line: 0, what };
    unlisted.chain(unknown).map(violation).collect()
}

/// The texts in `fn code` of `impl Reason`.
#[derive(Default)]
struct Codes {
    found: BTreeSet<String>,
    inside: bool,
}

impl<'ast> Visit<'ast> for Codes {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of_reason =
            matches!(&*item.self_ty, syn::Type::Path(path) if path.path.is_ident("Reason"));
        if of_reason {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.inside = item.sig.ident == "code";
        visit::visit_block(self, &item.block);
        self.inside = false;
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        if self.inside {
            self.found.insert(text.value());
        }
    }
}

/// `vault::keyring` for `src/vault/keyring.rs`.
fn module_of(path: &str) -> String {
    path.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::")
}

/// The name of every function in every Rust file.
fn function_names(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.rust() {
        for (at, _) in text.match_indices("fn ") {
            let rest = text[at + 3..].chars();
            names.insert(rest.take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names
}

/// One cell of a table, with the heading of its column.
struct Cell {
    line: usize,
    column: String,
    cell: String,
}

/// The cells of every table in a text, headings left out.
fn rows(text: &str) -> impl Iterator<Item = Cell> {
    let mut columns: Vec<String> = Vec::new();
    text.lines().enumerate().flat_map(move |(index, line)| {
        let cells = cells(line);
        if cells.is_empty() || columns.is_empty() {
            columns = cells;
            return Vec::new();
        }
        let named = columns.iter().cloned().zip(cells);
        named.map(|(column, cell)| Cell { line: index + 1, column, cell }).collect()
    })
}

/// The cells of a table's line; none where the line is of no table.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner
        .map(|cells| cells.split('|').map(|cell| cell.trim().to_owned()).collect())
        .unwrap_or_default()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_violations(tree: &Tree) -> usize {
        check_map(tree, &House::read(tree)).len()
    }

    fn edited(path: &str, from: &str, to: &str) -> Tree {
        let tree = Tree::lawful();
        let text = tree.text(path).unwrap().replace(from, to);
        tree.with(path, &text)
    }

    #[test]
    fn a_map_that_differs_from_the_list_is_found() {
        assert_eq!(map_violations(&Tree::lawful()), 0);
        let file = ARCHITECTURE_FILE;
        let lost = edited(file, "keepers   vault    secrets and their versions\n", "");
        assert_eq!(map_violations(&lost), 1);
        assert_eq!(map_violations(&edited(file, "refusal", "excuse")), 1);
        assert_eq!(map_violations(&edited(file, "keepers ", "cellar  ")), 1);
        assert_eq!(map_violations(&edited(file, "secrets and their versions", "")), 1);
        assert_eq!(map_violations(&edited("src/lib.rs", "mod admin;\n", "")), 1);
        let swapped = edited("src/lib.rs", "mod proxy;\nmod admin;", "mod admin;\nmod proxy;");
        assert_eq!(map_violations(&swapped), 1);
    }

    #[test]
    fn a_module_or_a_test_that_security_only_imagines_is_found() {
        let check = |row: &str| {
            let text = format!("text\n\n| Threat | Where | Test |\n| --- | --- | --- |\n{row}\n");
            let tree = Tree::lawful()
                .with(SECURITY_FILE, &text)
                .with("tests/it/x.rs", "#[test]\nfn it_holds() {}\n");
            check_security(&tree, &tree.sources()).len()
        };
        assert_eq!(check("| `anything` | `vault`, `vault::keyring` | `it_holds` |"), 0);
        assert_eq!(check("| theft | `vault::cellar` | `it_holds` |"), 1);
        assert_eq!(check("| theft | `vault` | `it_does_not` |"), 1);
        assert_eq!(check("| theft | `tests/it/x.rs` | `it_holds` |"), 0);
        assert_eq!(check("| theft | `tests/it/y.rs` | `it_holds` |"), 1);
        assert_eq!(check("| theft | not built | none yet |"), 0);
    }

    #[test]
    fn a_code_without_a_row_and_a_row_without_a_code_are_found() {
        let check = |tree: &Tree| check_codes(tree, &tree.sources()).len();
        assert_eq!(check(&Tree::lawful()), 0);
        assert_eq!(check(&edited(ERRORS_FILE, "`sealed`", "sealed")), 1);
        assert_eq!(check(&edited(ERRORS_FILE, "`sealed` |", "`sealed` |\n| `shut` |")), 1);
        assert_eq!(check(&edited("src/refusal.rs", "\"sealed\"", "\"shut\"")), 2);
    }
}
