//! `client import`: the keys of an older system, out of a file of JSON, JSON Lines or CSV; the same
//! for symbols. Reads, sends in pieces, and tells of every line what became of it; a line that
//! cannot be read refuses only itself. Must never be given keys themselves, only their SHA-256.

mod csv;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::link::{self, Link};
use super::super::output::Column;
use super::super::{Ground, Reach};
use super::KEYS;

/// Lines of one call: an answer within seconds, whatever the database.
const AT_ONCE: usize = 5_000;
const MOST_NAMED: usize = 50;

const COLUMNS: &[Column] =
    &[("LINE", "line"), ("RESULT", "result"), ("ID", "id"), ("NAME", "name"), ("WHY", "detail")];

#[derive(Args)]
pub(crate) struct Import {
    /// JSON, JSON Lines or CSV with `key_hash` and `name`, and any other member of a client key;
    /// - for standard input
    file: PathBuf,
    #[command(flatten)]
    reach: Reach,
}

/// What is imported: the list of the REST call that takes it, and the column that a CSV must have.
pub(in super::super) struct Form {
    pub(in super::super) path: &'static str,
    pub(in super::super) list: &'static str,
    pub(in super::super) column: &'static str,
    /// For people, in the plural.
    pub(in super::super) what: &'static str,
    /// The members that are sent, where an older system has others that nobody needs here.
    pub(in super::super) members: Option<&'static [&'static str]>,
    /// What others write otherwise, as it is written here.
    pub(in super::super) tidy: fn(&str, &mut Value),
}

const OF_KEYS: Form = Form {
    path: KEYS,
    list: "keys",
    column: "key_hash",
    what: "client keys",
    members: None,
    tidy: |_, _| (),
};

/// A line of the file: where it stands, and what it asks for or why that cannot be read.
struct Line {
    number: usize,
    asked: Result<Value, String>,
}

impl Import {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        run((&self.file, &self.reach), ground, (&OF_KEYS, COLUMNS))
    }
}

/// Reads, sends, and tells of every line; exit 1 where any was refused.
pub(in super::super) fn run(
    (file, reach): (&Path, &Reach),
    ground: &Ground,
    (form, columns): (&Form, &[Column]),
) -> Result<(), Failure> {
    let text = read(file)?;
    let mut lines = lines(file, &text, form)?;
    let left_out = tidied(&mut lines, form);
    let output = ground.output(reach.print);
    if lines.is_empty() {
        let nothing = json!({"imported": 0, "refused": 0, "items": []});
        if output.json {
            return output.value(&nothing);
        }
        let (what, file) = (form.what, file.display());
        return output.remark(&format!("nothing was imported: there are no {what} in {file}"));
    }
    let results = link::with(ground, reach, async |link| send(link, lines, form).await)?;
    let is_ok = |item: &Value| item.get("ok") == Some(&Value::Bool(true));
    let imported = results.iter().filter(|item| is_ok(item)).count();
    let refused = results.len() - imported;
    output.list(&json!({"imported": imported, "refused": refused, "items": results}), columns)?;
    output.remark(&format!("\n{imported} imported, {refused} refused"))?;
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.into_iter().collect();
        let (names, what) = (names.join(", "), form.what);
        output.remark(&format!("left out, as {what} have no such member here: {names}"))?;
    }
    if refused > 0 {
        let all = imported + refused;
        return Err(Failure::new(format!(
            "{refused} of {all} lines were refused; correct them and import again, what is known \
             already is left alone"
        )));
    }
    Ok(())
}

/// Each line as it is written here. Tells which members were left out.
fn tidied(lines: &mut [Line], form: &Form) -> BTreeSet<String> {
    let mut left_out = BTreeSet::new();
    for line in lines {
        let Ok(Value::Object(asked)) = &mut line.asked else { continue };
        asked.retain(|name, value| {
            (form.tidy)(name, value);
            let is_known = form.members.is_none_or(|members| members.contains(&name.as_str()));
            if !is_known && left_out.len() < MOST_NAMED {
                left_out.insert(name.chars().filter(|sign| !sign.is_control()).take(40).collect());
            }
            is_known
        });
    }
    left_out
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))
}

fn lines(file: &Path, text: &str, form: &Form) -> Result<Vec<Line>, Failure> {
    let text = text.trim_start_matches('\u{feff}');
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match (extension, text.trim_start().bytes().next()) {
        ("csv", _) => csv::lines(text, form.column),
        (_, Some(b'[')) => whole(text, form.list),
        ("jsonl" | "ndjson", _) => Ok(json_lines(text)),
        // One object may be all of it, in several lines, or the first of many.
        (_, Some(b'{')) => whole(text, form.list).or_else(|_| Ok(json_lines(text))),
        (_, Some(_)) => csv::lines(text, form.column),
        (_, None) => Ok(Vec::new()),
    }
}

/// One JSON value: a list, or the body of the REST call.
fn whole(text: &str, list: &str) -> Result<Vec<Line>, Failure> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::new(format!("the file is not JSON: see line {line} column {column}"))
    })?;
    let items = match value {
        Value::Array(items) => items,
        Value::Object(mut body) => match body.remove(list) {
            Some(Value::Array(items)) => items,
            Some(_) => return Err(Failure::new(format!("`{list}` in the file is no list"))),
            None => vec![Value::Object(body)],
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Failure::new("the file is neither a list nor an object"));
        }
    };
    let line = |(index, asked)| Line { number: index + 1, asked: Ok(asked) };
    Ok(items.into_iter().enumerate().map(line).collect())
}

fn json_lines(text: &str) -> Vec<Line> {
    let line = |(index, text): (usize, &str)| Line {
        number: index + 1,
        asked: serde_json::from_str::<Map<String, Value>>(text)
            .map(Value::Object)
            .map_err(|_| String::from("is no JSON object")),
    };
    text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()).map(line).collect()
}

/// A result for each line, in their order.
async fn send(link: &Link, lines: Vec<Line>, form: &Form) -> Result<Vec<Value>, Failure> {
    let mut results = Vec::with_capacity(lines.len());
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let mut unread = Vec::new();
        let (mut numbers, mut asked) = (Vec::new(), Vec::new());
        for line in lines.by_ref().take(AT_ONCE) {
            match line.asked {
                Ok(value) => {
                    numbers.push(line.number);
                    asked.push(value);
                }
                Err(fault) => unread.push((line.number, fault)),
            }
        }
        let mut some: Vec<Value> = unread
            .into_iter()
            .map(|(number, fault)| {
                json!({"line": number, "ok": false, "result": "refused", "id": null, "name": null,
                    "code": "invalid", "detail": fault})
            })
            .collect();
        if !asked.is_empty() {
            let body = json!({ form.list: asked });
            let answer = link.post(&format!("{}/import", form.path), Some(body)).await?;
            let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            some.extend(items.into_iter().zip(numbers).map(named));
        }
        some.sort_by_key(|item| item.get("line").and_then(Value::as_u64));
        results.extend(some);
    }
    Ok(results)
}

/// The server's result under the number that the line has in the file.
fn named((mut item, number): (Value, usize)) -> Value {
    let is_ok = item.get("ok") == Some(&Value::Bool(true));
    if let Some(members) = item.as_object_mut() {
        members.insert(String::from("line"), number.into());
        let result = if is_ok { "imported" } else { "refused" };
        members.insert(String::from("result"), result.into());
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(file: &str, text: &str) -> Vec<(usize, Result<Value, String>)> {
        let lines = lines(Path::new(file), text, &OF_KEYS).ok().unwrap();
        lines.into_iter().map(|line| (line.number, line.asked)).collect()
    }

    #[test]
    fn three_forms_say_the_same() {
        let one = json!({"key_hash": "aa", "name": "one, two", "active": false, "tier": "premium"});
        let two = json!({"key_hash": "bb", "name": "three"});
        let list = json!([one, two]).to_string();
        let expected = vec![(1, Ok(one.clone())), (2, Ok(two.clone()))];
        for (file, text) in [
            ("x.json", list.clone()),
            ("-", list),
            ("-", json!({"keys": [one, two]}).to_string()),
            ("x.jsonl", format!("{one}\n{two}\n")),
            ("-", format!("{one}\n{two}\n")),
        ] {
            assert_eq!(read_as(file, &text), expected, "{file} {text}");
        }
        let table = "key_hash,name,active,tier\r\naa,\"one, two\",false,premium\r\nbb,three,,\r\n";
        for file in ["x.csv", "-"] {
            assert_eq!(read_as(file, table), [(2, Ok(one.clone())), (3, Ok(two.clone()))]);
        }
    }

    #[test]
    fn a_broken_line_refuses_only_itself() {
        let read = read_as("x.jsonl", "{\"name\": \"a\"}\n{broken\n\n7\n{\"name\": \"b\"}");
        let numbers: Vec<_> = read.iter().map(|(number, asked)| (*number, asked.is_ok())).collect();
        assert_eq!(numbers, [(1, true), (2, false), (4, false), (5, true)]);
        let read = read_as("x.csv", "key_hash,name\naa,b,c\ndd,e\n\"ff,g\n");
        let numbers: Vec<_> = read.iter().map(|(number, asked)| (*number, asked.is_ok())).collect();
        assert_eq!(numbers, [(2, false), (3, true), (4, false)]);
        assert!(lines(Path::new("x.json"), "[{]", &OF_KEYS).is_err());
    }
}
