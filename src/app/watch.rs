//! What the house does when the vault is sealed or unsealed: cuts the calls under way, and tells
//! the trail and the figures. Must never keep a call alive that it waits for, and never count
//! one as gone that is still there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::note;
use crate::failpoint::{self, place};
use crate::ledger::Ledger;
use crate::limiter::{Bell as SharingBell, Limiter, Tidings};
use crate::net::Drain;
use crate::roster::Roster;
use crate::telemetry::Metrics;
use crate::vault::{Bell, Hooks, Vault};

/// How long calls may take to notice that they were cut.
const CUT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn hooks(
    (vault, roster): (&Arc<Vault>, &Arc<Roster>),
    (limiter, drain): (&Arc<Limiter>, &Drain),
    (ledger, metrics): (&Ledger, &Metrics),
) -> Hooks {
    let (limiter, drain) = (Arc::clone(limiter), drain.clone());
    let (vault, ledger, metrics) = (Arc::clone(vault), ledger.clone(), metrics.clone());
    let roster = Arc::clone(roster);
    Hooks {
        cut: Box::new(move || {
            let (limiter, drain) = (Arc::clone(&limiter), drain.clone());
            Box::pin(async move { cut(&limiter, &drain).await })
        }),
        ring: Box::new(move |bell| match bell {
            Bell::Waits(reason) => ledger.noted(serde_json::json!({"sealed": reason})),
            Bell::Sealed(reason) => {
                metrics.alert_raised("sealed");
                ledger.found(serde_json::json!({"alert": "sealed", "finding": reason}));
            }
            Bell::Broken(finding) => {
                metrics.alert_raised("integrity");
                ledger.found(serde_json::json!({"alert": "integrity", "finding": finding}));
            }
            Bell::Unsealed { by_itself } => {
                if by_itself {
                    let finding = "the holder of the master key is back: the vault is unsealed";
                    ledger.noted(serde_json::json!({"alert": "sealed", "resolved": finding}));
                }
                tell_findings(&vault, &ledger, &metrics);
                // Those that came in meanwhile were not judged.
                let roster = Arc::clone(&roster);
                tokio::spawn(async move {
                    if let Err(fault) = roster.lost_track().await {
                        tracing::error!(%fault, "client keys cannot be judged anew");
                    }
                });
            }
        }),
    }
}

/// What the start has mended stands until somebody has looked.
pub(super) fn tell_start(
    (vault, data_dir): (&Arc<Vault>, &Path),
    ledger: &Ledger,
    metrics: &Metrics,
    renamed: Option<String>,
) -> std::io::Result<()> {
    tell_restore(data_dir, ledger)?;
    if let Some(finding) = &renamed {
        ledger.found(serde_json::json!({"alert": "integrity", "finding": finding}));
    }
    for finding in ledger.found_at_start().iter().chain(&renamed) {
        metrics.alert_raised("integrity");
        vault.doubt_until_seen(finding);
    }
    // What stands further back is found while the house begins to serve.
    let (ledger, metrics, vault) = (ledger.clone(), metrics.clone(), Arc::clone(vault));
    tokio::spawn(async move {
        match vault.spoilt().await {
            Ok(findings) => {
                for finding in findings {
                    tracing::error!(finding, "integrity");
                    metrics.alert_raised("integrity");
                    ledger.found(serde_json::json!({"alert": "integrity", "finding": finding}));
                }
            }
            Err(fault) => tracing::error!(%fault, "the cells of the rows could not be looked at"),
        }
        match ledger.examine().await {
            Ok(findings) => {
                for finding in findings {
                    metrics.alert_raised("integrity");
                    ledger.found(serde_json::json!({"alert": "integrity", "finding": finding}));
                }
            }
            Err(fault) => tracing::error!(%fault, "the trail could not be looked at"),
        }
    });
    Ok(())
}

/// A restore that is in no trail yet: the first word of this node's new chain about its house.
fn tell_restore(data_dir: &Path, ledger: &Ledger) -> std::io::Result<()> {
    if let Some(detail) = note::record(data_dir)? {
        ledger.noted(serde_json::json!({"restored": detail}));
        failpoint::pass(place::RESTORE_TOLD);
        note::forget_record(data_dir)?;
    }
    Ok(())
}

/// A node that was never here before has nothing to compare with, and says so once; then what was
/// found.
pub(super) fn tell_arrival(vault: &Vault, (ledger, metrics): (&Ledger, &Metrics)) {
    if vault.is_new_here() {
        let finding = "this data folder is new, though the installation is not: what the database \
                       has of lists is taken as it stands";
        tracing::warn!(finding, "integrity");
        ledger.noted(serde_json::json!({"joined": finding}));
    }
    tell_findings(vault, ledger, metrics);
}

/// Redis went away, or is back: an alert, and its end.
pub(super) fn sharing_bell(ledger: &Ledger, metrics: &Metrics) -> SharingBell {
    const ALERT: &str = "limiter_degraded";
    let (ledger, metrics) = (ledger.clone(), metrics.clone());
    Box::new(move |tidings| match tidings {
        Tidings::Away(why) => {
            metrics.alert_raised(ALERT);
            let finding = format!(
                "limits are not shared, each node spends its share of the quotas. Redis: {}",
                why.sentence()
            );
            ledger.found(serde_json::json!({"alert": ALERT, "finding": finding}));
        }
        Tidings::Healed { key } => {
            metrics.alert_raised(ALERT);
            let finding = format!(
                "somebody else wrote the key {key} in Redis; it was thrown away and is counted \
                 from what the nodes know. Give Sealgate an account of its own there, and nobody \
                 else the right to write keys that begin with sealgate:"
            );
            let told = serde_json::json!({"alert": ALERT, "part": "key", "finding": finding});
            ledger.found(told);
        }
        Tidings::Lost => {
            metrics.alert_raised(ALERT);
            let finding = "the file limits.alone in the data folder, which said what this node \
                           let in while Redis was away, was lost or is damaged: it is counted up \
                           from the trail, and a damaged one is kept beside it as \
                           limits.damaged; see the disk";
            let told = serde_json::json!({"alert": ALERT, "part": "file", "finding": finding});
            ledger.found(told);
        }
        Tidings::Back => {
            let finding = "Redis is back: limits are shared again";
            ledger.noted(serde_json::json!({"alert": ALERT, "resolved": finding}));
        }
    })
}

/// What was found closed is an alert: a security record and a counter.
pub(super) fn tell_findings(vault: &Vault, ledger: &Ledger, metrics: &Metrics) {
    for finding in vault.findings() {
        metrics.alert_raised("integrity");
        ledger.found(serde_json::json!({"alert": "integrity", "finding": finding}));
    }
}

/// True once no call is under way. Nothing is admitted meanwhile: the vault is sealed.
async fn cut(limiter: &Limiter, drain: &Drain) -> bool {
    drain.cut();
    let gone = async {
        while limiter.in_flight() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(CUT_WITHIN, gone).await.is_ok()
}
