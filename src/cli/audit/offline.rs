//! `audit verify --offline`: archives, an export and a public key, and
//! nothing else: no server, no settings, no data folder. Reads each file
//! twice and holds none of its records. Must never write.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::failure::Failure;
use crate::admin;
use crate::ledger::{Offline, public_key_of, public_key_text, read_lines, unpacked};

/// What is to be verified, by what.
pub(super) struct Evidence<'a> {
    /// In the order of their records.
    pub(super) files: &'a [PathBuf],
    pub(super) public_keys: &'a [String],
    pub(super) checkpoints: Option<&'a Path>,
}

/// A report in the form of the admin face's.
pub(super) fn report(evidence: &Evidence<'_>) -> Result<Value, Failure> {
    let keys: Vec<[u8; 32]> = evidence
        .public_keys
        .iter()
        .map(|text| public_key_of(text.trim()).ok_or_else(|| no_key(text)))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(Failure::usage(
            "name the key that signs with --public-key; `sealgate audit verify --json` of the \
             running house shows it",
        ));
    }
    let outside = match evidence.checkpoints {
        None => Vec::new(),
        Some(path) => {
            let held = read_lines(path).map_err(|error| unreadable(path, &error))?;
            held.into_values().flatten().collect()
        }
    };
    let mut offline = Offline::new(keys, outside, admin::shown);
    for file in evidence.files {
        offline.begin_file();
        let head = each_line(file, |line| {
            offline.take_voucher(line);
            true
        })?;
        let head: Value = serde_json::from_str(&head).unwrap_or(Value::Null);
        if head.get("whole") != Some(&Value::Bool(true)) {
            return Err(Failure::new(format!(
                "{} is not a whole export: only one in NDJSON and without a filter can be verified",
                file.display()
            )));
        }
        each_line(file, |line| offline.take(line))?;
    }
    let verified = offline.finish();
    let bad = verified.first_bad.as_ref().map(|bad| {
        let id = bad.id.map(|id| id.to_string());
        json!({"node": bad.node, "sequence": bad.sequence, "id": id, "reason": bad.reason})
    });
    let nodes: Vec<Value> = verified
        .nodes
        .iter()
        .map(|node| {
            json!({
                "node": node.node,
                "records": node.records,
                "archived": node.archived,
                "signed_through": node.signed_through,
                "pushed_through": node.pushed_through,
                "not_yet_covered": node.not_covered(),
                "public_key": node.public_key.as_ref().map(public_key_text),
            })
        })
        .collect();
    Ok(json!({
        "ok": verified.first_bad.is_none(),
        "records": verified.records,
        "first_bad": bad,
        "nodes": nodes,
    }))
}

/// Until one says no; answers the first.
fn each_line(path: &Path, mut take: impl FnMut(&str) -> bool) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = unpacked(file).map_err(|error| unreadable(path, &error))?;
    let (mut line, mut first) = (String::new(), String::new());
    loop {
        line.clear();
        let read = reader.read_line(&mut line).map_err(|error| unreadable(path, &error))?;
        if read == 0 {
            return Ok(first);
        }
        let trimmed = line.trim_end();
        if first.is_empty() {
            trimmed.clone_into(&mut first);
        }
        if !take(trimmed) {
            return Ok(first);
        }
    }
}

fn no_key(text: &str) -> Failure {
    Failure::usage(format!("{text:?} is no public key: it has 43 characters of base64url"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be read: {error}", path.display()))
}
