//! What commands print on standard output: tables and lines for people, JSON for programs. Colours
//! on a terminal alone, and not where NO_COLOR is set. Text from the server loses its control
//! characters.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::failure::{Failure, one_line};

#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
    colour: bool,
}

/// A column: its head and the member, or path of members (`a.b`), that it shows.
pub(super) type Column = (&'static str, &'static str);

#[derive(Clone, Copy)]
pub(super) enum Colour {
    Green,
    Red,
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "\x1b[32m",
            Self::Red => "\x1b[31m",
            Self::Bold => "\x1b[1m",
        }
    }
}

impl Output {
    pub(super) fn new(json: bool, no_colour: bool) -> Self {
        Self { json, colour: !no_colour && std::io::stdout().is_terminal() }
    }

    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
        written.and_then(|()| out.flush()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                return Failure::unheard();
            }
            Failure::new(format!("cannot write to standard output: {error}"))
        })
    }

    pub(super) fn value(self, value: &Value) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
        self.line(&text)
    }

    /// One value in one line.
    pub(super) fn compact(self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// The items of a list: JSON as it is, or a table of the columns.
    pub(super) fn list(self, list: &Value, columns: &[Column]) -> Result<(), Failure> {
        if self.json {
            return self.value(list);
        }
        let items = list.get("items").and_then(Value::as_array);
        let row = |item: &Value| columns.iter().map(|(_, path)| cell(item, path)).collect();
        let rows: Vec<Vec<String>> = items.into_iter().flatten().map(row).collect();
        self.table(columns, &rows)
    }

    fn table(self, columns: &[Column], rows: &[Vec<String>]) -> Result<(), Failure> {
        let heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let widths = widths(&heads, rows);
        self.line(&self.paint(Colour::Bold, &aligned(&heads, &widths)))?;
        rows.iter().try_for_each(|row| self.line(&aligned(row, &widths)))
    }

    /// One resource: JSON as it is, or a line for each of the members that is there.
    pub(super) fn record(self, value: &Value, members: &[Column]) -> Result<(), Failure> {
        if self.json {
            return self.value(value);
        }
        let there = |member: &&Column| lookup(value, member.1).is_some();
        let members: Vec<&Column> = members.iter().filter(there).collect();
        let width = members.iter().map(|(head, _)| head.chars().count()).max().unwrap_or(0);
        members.iter().try_for_each(|(head, path)| {
            self.line(&format!("{head:width$}  {}", cell(value, path)))
        })
    }

    /// Something for people that is no data: not printed where a program reads.
    pub(super) fn remark(self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour { format!("{}{text}\x1b[0m", colour.code()) } else { text.to_owned() }
    }
}

fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, member| value.get(member))
}

/// What a cell shows. Never empty, so that columns can be told apart by programs too.
pub(super) fn cell(item: &Value, path: &str) -> String {
    let text = match lookup(item, path) {
        None | Some(Value::Null) => String::from("-"),
        Some(value) => plain(value),
    };
    if text.is_empty() { String::from("-") } else { one_line(&text) }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::from("-"),
        Value::Bool(true) => String::from("yes"),
        Value::Bool(false) => String::from("no"),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| format!("{name}={}", plain(value));
            members.iter().map(member).collect::<Vec<_>>().join(",")
        }
    }
}

fn widths(heads: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    widths
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(text, width)| format!("{text:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_show_every_kind_of_value_in_plain_words() {
        let item = json!({
            "a": null, "b": true, "c": [1, "x"], "d": {"e": "f\u{1b}[1m"}, "g": "", "h": 7,
        });
        let cells: Vec<String> =
            ["a", "b", "c", "d.e", "d", "g", "h", "z"].map(|path| cell(&item, path)).into();
        assert_eq!(cells, ["-", "yes", "1,x", "f [1m", "e=f [1m", "-", "7", "-"]);
    }

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_spaces() {
        let heads = vec![String::from("id"), String::from("name")];
        let rows = vec![vec![String::from("long-one"), String::from("x")]];
        let widths = widths(&heads, &rows);
        assert_eq!(aligned(&heads, &widths), "id        name");
        assert_eq!(aligned(&rows[0], &widths), "long-one  x");
    }
}
