//! What happened, as the trail has it: a security record that calls itself an alert, or its end.
//! Kinds that a table tells better are read there. Must never raise anything from what a stranger
//! can write: such records are the house's own alone.

use serde_json::Value;

use super::Alerts;
use super::rule::{plain, seen, subject};
use crate::crypto::sha256;
use crate::ledger::{ActorKind, StoredRecord};
use crate::store::{AlertKind, Move, Severity, Subject};

/// Of a node whose trail was never read, so much is read: what is older is history.
pub(super) const LOOK_BACK_MS: i64 = 24 * 3_600_000;
/// In a record of what an alert has become; the others are what becomes of alerts.
pub(super) const MOVED: &str = "moved";

impl Alerts {
    /// None where it is no alert, or one that is read elsewhere.
    pub(super) fn move_of(&self, record: &StoredRecord) -> Option<Move> {
        let detail = record.detail.as_ref()?;
        let kind = AlertKind::parse(detail.get("alert")?.as_str()?)?;
        // What was moved already, and is written down as that.
        let is_told = detail.get(MOVED).is_some();
        if record.actor.kind != ActorKind::House || is_told {
            return None;
        }
        let subject = self.subject_of(kind, (record, detail))?;
        let at = record.started_at_ms;
        if let Some(resolved) = detail.get("resolved").and_then(Value::as_str) {
            return Some(Move::Gone(kind, subject, plain(resolved), at));
        }
        let sentence = sentence(detail)?;
        Some(Move::Happened(seen((kind, severity(kind)), subject, &sentence, at)))
    }

    fn subject_of(
        &self,
        kind: AlertKind,
        (record, detail): (&StoredRecord, &Value),
    ) -> Option<Subject> {
        let text = |name: &str| detail.get(name).and_then(Value::as_str);
        let installation = || {
            let id = self.installation().to_string();
            subject("installation", &id, "")
        };
        match kind {
            AlertKind::LedgerDegraded | AlertKind::LimiterDegraded | AlertKind::Sealed => {
                let node = record.node.as_str();
                let id = match text("part") {
                    Some(part) => format!("{node}/{part}"),
                    None => node.to_owned(),
                };
                Some(subject("node", &id, node))
            }
            AlertKind::BackupOverdue | AlertKind::KeyJobFailed => Some(installation()),
            AlertKind::KekWear => {
                let category = text("category").unwrap_or_default();
                Some(subject("category", category, category))
            }
            AlertKind::Integrity => Some(of_finding(&sentence(detail)?)),
            // As the tables say, and what counts calls.
            AlertKind::SecretRefused
            | AlertKind::RotationRolledBack
            | AlertKind::RotationFailed
            | AlertKind::SecretExpiring
            | AlertKind::ClientExpiring
            | AlertKind::QuotaNear
            | AlertKind::UnusualVolume
            | AlertKind::NewAddress
            | AlertKind::AuthFailures
            | AlertKind::BackfillFailed
            | AlertKind::KeyEchoed => None,
        }
    }
}

/// Whoever finds the same finds it with the same words.
pub(super) fn of_finding(sentence: &str) -> Subject {
    let digest = sha256(sentence.as_bytes());
    let id: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    subject("finding", &id, "")
}

pub(super) fn severity(kind: AlertKind) -> Severity {
    match kind {
        AlertKind::SecretRefused
        | AlertKind::LedgerDegraded
        | AlertKind::KeyEchoed
        | AlertKind::Integrity
        | AlertKind::Sealed => Severity::Critical,
        AlertKind::NewAddress => Severity::Info,
        AlertKind::RotationRolledBack
        | AlertKind::RotationFailed
        | AlertKind::SecretExpiring
        | AlertKind::ClientExpiring
        | AlertKind::QuotaNear
        | AlertKind::UnusualVolume
        | AlertKind::AuthFailures
        | AlertKind::LimiterDegraded
        | AlertKind::BackupOverdue
        | AlertKind::BackfillFailed
        | AlertKind::KekWear
        | AlertKind::KeyJobFailed => Severity::Warning,
    }
}

/// For people: the finding, and what else the record says of it.
fn sentence(detail: &Value) -> Option<String> {
    let finding = detail.get("finding").and_then(Value::as_str)?;
    let beside = ["category", "generation", "wraps", "sequence", "reason", "hours", "fault"];
    let said = beside.iter().filter_map(|name| match detail.get(*name)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(format!("{name} {text}")),
        Value::Number(number) => Some(format!("{name} {number}")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return Some(finding.to_owned());
    }
    Some(format!("{finding} ({})", said.join(", ")))
}
