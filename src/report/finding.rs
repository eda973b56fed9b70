//! A finding of hygiene: what is amiss with which key since when, what it costs, and what to do,
//! ready to be done. The same form for providers' keys and for client keys.
//! Must never propose what would let somebody do more than he may.

use std::borrow::Cow;

use serde_json::{Value, json};
use uuid::Uuid;

use super::document::{Cell, Column};
use crate::store::{ClientKeyRow, Severity};
use crate::vault::SecretView;

/// What is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FindingKind {
    UnusedPaid,
    Shared,
    OverBroad,
    Expired,
    NeverUsed,
    Idle,
    Old,
    LeftOver,
    NoExpiry,
    RepeatedCalls,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: FindingKind,
    pub(super) severity: Severity,
    pub(super) subject: About,
    /// Since when it is so.
    pub(super) since_ms: Option<i64>,
    pub(super) detail: String,
    pub(super) remedy: Remedy,
    /// In millionths of a dollar, over the period.
    pub(super) cost: Option<u64>,
    /// What makes one of a kind worse than another.
    pub(super) weight: u64,
    /// What it was found by, for programs and in lines for people.
    pub(super) evidence: Option<(Value, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) sort: &'static str,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) provider: Option<String>,
}

/// What to do: in a sentence, as a command, and as a call of the admin face.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Remedy {
    pub(super) what: Cow<'static, str>,
    pub(super) command: String,
    /// None where a value is needed that nobody here has.
    pub(super) call: Option<(&'static str, String, Option<Value>)>,
}

pub(super) const COLUMNS: &[Column] = &[
    ("severity", "Severity"),
    ("kind", "Finding"),
    ("subject.type", "Of"),
    ("subject.id", ""),
    ("subject.name", "Name"),
    ("provider", "Provider"),
    ("since", "Since"),
    ("detail", "What"),
    ("evidence", "Seen"),
    ("cost", "Cost ($)"),
    ("cost_micros", ""),
    ("remedy.what", "What to do"),
    ("remedy.command", "Command"),
    ("remedy.method", ""),
    ("remedy.path", ""),
    ("remedy.body", ""),
];

impl FindingKind {
    pub(super) const ALL: [Self; 10] = [
        Self::UnusedPaid,
        Self::Shared,
        Self::OverBroad,
        Self::Expired,
        Self::NeverUsed,
        Self::Idle,
        Self::Old,
        Self::LeftOver,
        Self::NoExpiry,
        Self::RepeatedCalls,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::UnusedPaid => "unused_paid",
            Self::Shared => "shared",
            Self::OverBroad => "over_broad",
            Self::Expired => "expired",
            Self::NeverUsed => "never_used",
            Self::Idle => "idle",
            Self::Old => "old",
            Self::LeftOver => "left_over",
            Self::NoExpiry => "no_expiry",
            Self::RepeatedCalls => "repeated_calls",
        }
    }
}

impl About {
    pub(super) fn secret(secret: &SecretView) -> Self {
        Self {
            sort: "secret",
            id: secret.id,
            name: secret.name.clone(),
            provider: Some(secret.provider.clone()),
        }
    }

    pub(super) fn client_key(key: &ClientKeyRow) -> Self {
        Self { sort: "client_key", id: key.id, name: key.name.clone(), provider: None }
    }
}

impl Remedy {
    /// A change of members of a client key.
    pub(super) fn client_key(what: &'static str, id: Uuid, (rest, body): (&str, Value)) -> Self {
        let path = format!("/api/v1/admin/api-keys/{id}");
        Self {
            what: what.into(),
            command: format!("sealgate client {}", rest.replace("ID", &id.to_string())),
            call: Some(("PUT", path, Some(body))),
        }
    }

    pub(super) fn secret(what: &'static str, id: Uuid, (rest, body): (&str, Value)) -> Self {
        let path = format!("/api/v1/admin/secrets/{id}");
        Self {
            what: what.into(),
            command: format!("sealgate secret {}", rest.replace("ID", &id.to_string())),
            call: Some(("PUT", path, Some(body))),
        }
    }

    /// The same by another call, or by none.
    pub(super) fn by(mut self, method: &'static str, below: &str) -> Self {
        if let Some((held, path, body)) = &mut self.call {
            *held = method;
            path.push_str(below);
            *body = None;
        }
        self
    }

    pub(super) fn by_hand(mut self) -> Self {
        self.call = None;
        self
    }
}

impl Finding {
    pub(super) fn cells(&self) -> Vec<Cell> {
        let call = self.remedy.call.as_ref();
        let body = call.and_then(|(_, _, body)| body.clone());
        vec![
            Cell::text(self.severity.as_str()),
            Cell::text(self.kind.as_str()),
            Cell::text(self.subject.sort),
            Cell::text(self.subject.id.to_string()),
            Cell::text(self.subject.name.as_str()),
            Cell::of(self.subject.provider.clone(), Cell::Text),
            Cell::of(self.since_ms, Cell::Time),
            Cell::text(self.detail.as_str()),
            Cell::of(self.evidence.clone(), |(value, lines)| Cell::Told(value, lines)),
            Cell::of(self.cost, Cell::Cost),
            Cell::of(self.cost, Cell::Count),
            Cell::text(&*self.remedy.what),
            Cell::text(self.remedy.command.as_str()),
            Cell::of(call, |(method, ..)| Cell::text(*method)),
            Cell::of(call, |(_, path, _)| Cell::text(path.as_str())),
            Cell::of(body, |body| {
                let line = body.to_string();
                Cell::Told(body, vec![line])
            }),
        ]
    }
}

/// A word of a command line, as any shell takes it.
pub(super) fn shell(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,=@+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Named as `--option VALUE`, each.
pub(super) fn options(name: &str, values: &[String]) -> String {
    let option = |value: &String| format!(" --{name} {}", shell(value));
    values.iter().map(option).collect()
}

/// The others of a group of secrets that are one.
pub(super) fn listed(secrets: &[&SecretView]) -> (Value, Vec<String>) {
    let one = |secret: &&SecretView| json!({"id": secret.id.to_string(), "provider": secret.provider, "name": secret.name});
    let values: Vec<Value> = secrets.iter().map(one).collect();
    let line = |secret: &&SecretView| format!("{}/{}", secret.provider, secret.name);
    (json!({"secrets": values}), secrets.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_commands_are_taken_by_a_shell_as_they_are() {
        for (word, wanted) in [
            ("polygon:GET:/v2/x", "polygon:GET:/v2/x"),
            ("polygon:GET:/v2/**", "'polygon:GET:/v2/**'"),
            ("!a:*:/x", "'!a:*:/x'"),
            ("a'b; rm", "'a'\\''b; rm'"),
            ("", "''"),
        ] {
            assert_eq!(shell(word), wanted);
        }
    }
}
