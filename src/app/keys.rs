//! What happens to keys without anybody asking goes to the trail, the log and the metrics; and the
//! task that looks after the hierarchy. Must never be told a key: what it is told are names, counts
//! and sentences.

use std::sync::Arc;

use serde_json::json;
use tracing::Instrument as _;

use crate::ledger::{ActorRef, Entry, Kind, Ledger};
use crate::telemetry::{self, Metrics};
use crate::vault::{self, Happening, JobRow, Teller, Vault};

/// Starts looking after the keys; ends when the handle is aborted.
pub(super) fn tend(
    vault: &Arc<Vault>,
    (ledger, metrics): (&Ledger, &Metrics),
    node: &str,
    settings: vault::Settings,
) -> tokio::task::JoinHandle<()> {
    vault.tell_to(teller(ledger.clone(), metrics.clone()));
    let tending = Arc::clone(vault).tend_keys(node.to_owned(), settings);
    tokio::spawn(tending.instrument(telemetry::job("keys")))
}

fn teller(ledger: Ledger, metrics: Metrics) -> Teller {
    Box::new(move |happening| match happening {
        Happening::Integrity(finding) => {
            metrics.alert_raised("integrity");
            ledger.found(json!({"alert": "integrity", "finding": finding}));
        }
        Happening::Wearing { category, generation, wraps } => {
            metrics.alert_raised("kek_wear");
            ledger.found(json!({
                "alert": "kek_wear", "category": category, "generation": generation, "wraps": wraps,
                "finding": "it has wrapped half of what one key may; run `sealgate kek rotate` and \
                    `sealgate kek rewrap`",
            }));
        }
        Happening::Rotated { category, generation, why } => {
            tracing::info!(category, generation, why, "a key-encryption key was rotated");
            let after = json!({"category": category, "generation": generation, "why": why});
            note(&ledger, "kek rotate", 201, &after);
        }
        Happening::Began(job) => note(&ledger, job.kind.as_str(), 202, &told(&job)),
        Happening::Ended(job) => ended(&ledger, &metrics, &job),
    })
}

fn ended(ledger: &Ledger, metrics: &Metrics, job: &JobRow) {
    let outcome = job.outcome.as_deref().unwrap_or_default();
    let (kind, state) = (job.kind.as_str(), job.state.as_str());
    tracing::info!(kind, state, outcome, "a job on the key hierarchy ended");
    let is_done = job.state == vault::JobState::Done;
    note(ledger, kind, if is_done { 200 } else { 500 }, &told(job));
    if !is_done {
        metrics.alert_raised("key_job_failed");
        ledger.found(json!({"alert": "key_job_failed", "finding": outcome}));
    }
}

fn told(job: &JobRow) -> serde_json::Value {
    json!({
        "id": job.id.to_string(),
        "kind": job.kind.as_str(),
        "state": job.state.as_str(),
        "done": job.done,
        "total": job.total,
        "outcome": job.outcome,
        "asked_by": job.created_by,
    })
}

/// A change that the house makes: one record, after it was made.
fn note(ledger: &Ledger, what: &str, status: u16, after: &serde_json::Value) {
    let entry = Entry {
        kind: Kind::Change,
        actor: ActorRef::house("keys"),
        address: None,
        method: "",
        endpoint: what,
        status,
        reason: None,
        request_id: "",
        detail: Some(json!({"after": after})),
    };
    if ledger.append(&entry).is_err() {
        tracing::error!(what, "the journal has no room for a change of the key hierarchy");
    }
}
