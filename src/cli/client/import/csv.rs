//! CSV (RFC 4180) as lines of an import: the first record names the members, an empty cell is left
//! out. Flags, numbers and lists are read from text. Must never guess a column: what is named is
//! sent, and judged by the server.

use serde_json::{Map, Value, json};

use super::super::super::failure::Failure;
use super::Line;

/// Members that are lists; their items are separated by blanks or semicolons.
const LISTS: [&str; 3] = ["scopes", "allowed_ips", "allowed_origins"];
const NUMBERS: [&str; 3] = ["limit", "monthly_quota", "max_concurrent"];

pub(super) fn lines(text: &str, column: &str) -> Result<Vec<Line>, Failure> {
    let mut records = records(text).into_iter();
    let Some((_, Ok(head))) = records.next() else {
        return Err(Failure::new("the file's first line names no columns"));
    };
    let head: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    if !head.iter().any(|name| name == column) {
        return Err(Failure::new(format!(
            "the file is neither JSON nor a CSV whose first line names its columns, {column} among \
             them"
        )));
    }
    let line = |(number, record): (usize, Result<Vec<String>, String>)| Line {
        number,
        asked: record.and_then(|cells| asked(&head, cells)),
    };
    Ok(records.map(line).collect())
}

fn asked(head: &[String], cells: Vec<String>) -> Result<Value, String> {
    if cells.len() != head.len() {
        return Err(format!("has {} cells instead of {}", cells.len(), head.len()));
    }
    let filled = head.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
    Ok(Value::Object(
        filled.map(|(name, cell)| (name.clone(), value(name, cell))).collect::<Map<_, _>>(),
    ))
}

/// What cannot be read stays text, so that the server names it.
fn value(name: &str, cell: String) -> Value {
    if LISTS.contains(&name) {
        let items = cell.split([' ', ';']).filter(|item| !item.is_empty());
        return Value::from(items.collect::<Vec<_>>());
    }
    match (name, cell.to_ascii_lowercase().as_str()) {
        ("active", "true" | "1" | "yes" | "t") => json!(true),
        ("active", "false" | "0" | "no" | "f") => json!(false),
        (name, _) if NUMBERS.contains(&name) => match cell.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => Value::String(cell),
        },
        _ => Value::String(cell),
    }
}

/// Each record with the number of the line that it begins in; empty lines are none.
fn records(text: &str) -> Vec<(usize, Result<Vec<String>, String>)> {
    let mut records = Vec::new();
    let mut rest = text;
    let mut number = 1;
    while !rest.is_empty() {
        let (record, used) = record(rest);
        let (taken, after) = rest.split_at_checked(used).unwrap_or((rest, ""));
        let is_empty =
            matches!(&record, Ok(cells) if cells.len() == 1 && cells.concat().is_empty());
        if !is_empty {
            records.push((number, record));
        }
        number += taken.matches('\n').count();
        rest = after;
    }
    records
}

/// The cells of the first record, and how many bytes it takes, its line's end included. A record
/// that cannot be read takes its first line alone.
fn record(text: &str) -> (Result<Vec<String>, String>, usize) {
    let line = text.find('\n').map_or(text.len(), |at| at + 1);
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let Some(cell) = cells.last_mut() else { break };
        match (character, quoted) {
            ('"', true) if characters.next_if(|(_, next)| *next == '"').is_some() => cell.push('"'),
            ('"', true) => quoted = false,
            ('"', false) if cell.is_empty() => quoted = true,
            (',', false) => cells.push(String::new()),
            ('\r', false) if characters.peek().is_some_and(|(_, next)| *next == '\n') => {}
            ('\n', false) => return (Ok(cells), at + 1),
            (other, _) => cell.push(other),
        }
    }
    match quoted {
        true => (Err(String::from("has a quote that does not end")), line),
        false => (Ok(cells), text.len()),
    }
}
