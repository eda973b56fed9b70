//! A report as CSV (RFC 4180): one table, with a first column that names the section where there
//! are several. What stands in a cell is text to whoever opens it.
//! Must never let a name that somebody chose be a spreadsheet's formula.

use super::document::{Cell, Document};

/// As RFC 4180 wants it; what a spreadsheet would take for a formula is told apart by a quote.
pub(crate) fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

pub(super) fn written(document: &Document) -> String {
    let has_many = document.sections.len() > 1;
    let mut columns: Vec<&str> = Vec::new();
    for (path, _) in document.sections.iter().flat_map(|section| section.columns) {
        if !columns.contains(path) {
            columns.push(path);
        }
    }
    let head = has_many.then_some("section").into_iter().chain(columns.iter().copied());
    let mut lines = vec![head.collect::<Vec<_>>().join(",")];
    for section in &document.sections {
        for row in &section.rows {
            let of = |column: &&str| {
                let mut cells = section.columns.iter().zip(row);
                let found = cells.find(|((path, _), _)| path == column);
                found.map_or_else(String::new, |(_, cell)| shown(cell))
            };
            let name = has_many.then(|| section.name.to_owned());
            let cells = name.into_iter().chain(columns.iter().map(of));
            lines.push(cells.collect::<Vec<_>>().join(","));
        }
    }
    lines.push(String::new());
    lines.join("\r\n")
}

/// Lists in one cell, a line for each.
fn shown(cell: &Cell) -> String {
    quoted(&cell.lines().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_formula_is_text_and_what_parts_cells_is_quoted() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-1", "'-1"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("=a,b", "\"'=a,b\""),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }
}
