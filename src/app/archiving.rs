//! Old records out of the database: looks, now and then, whether there are enough of them, and
//! lets the ledger put them into a file. A fault is told once, and what failed is tried again.
//! Must never keep the house from anything else.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::Rooms;
use crate::admin;
use crate::ledger::{Archiving, Ledger, Unarchived};
use crate::telemetry::Metrics;

const A_DAY_MS: i64 = 86_400_000;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Others write, too.
const BETWEEN: Duration = Duration::from_secs(1);
/// After a start the places outside are still to be heard of.
const LOOKS_TO_HEAR: u32 = 12;
/// After a fault, and at most so long.
const MOST_PAUSE: Duration = Duration::from_secs(600);

pub(super) struct Archivist {
    ledger: Ledger,
    metrics: Metrics,
    archiving: Archiving,
}

impl Archivist {
    /// None where records stay for good.
    pub(super) fn of(rooms: &Rooms, (folder, days): (PathBuf, u32)) -> Option<Self> {
        let keep_ms = i64::from(days).saturating_mul(A_DAY_MS);
        let archiving = Archiving { folder, keep_ms, shown: admin::shown };
        let (ledger, metrics) = (rooms.ledger.clone(), rooms.metrics.clone());
        (days > 0).then_some(Self { ledger, metrics, archiving })
    }

    pub(super) async fn tend(self) {
        let (mut faults, mut unheard) = (0_u32, 0);
        loop {
            let pause = match self.ledger.archive(&self.archiving).await {
                Ok(Some(made)) => {
                    tracing::info!(
                        file = made.file,
                        bytes = made.bytes,
                        "old records were archived"
                    );
                    BETWEEN
                }
                Ok(None) => {
                    if std::mem::take(&mut faults) > 0 {
                        self.ledger.noted(json!({
                            "alert": "ledger_degraded", "part": "archive",
                            "resolved": "old records are archived again",
                        }));
                    }
                    LOOK_EVERY
                }
                Err(Unarchived::Unvouched { .. }) if unheard < LOOKS_TO_HEAR => {
                    unheard += 1;
                    LOOK_EVERY
                }
                Err(fault) => {
                    tracing::error!(%fault, "old records were not archived");
                    if faults == 0 {
                        self.metrics.alert_raised("ledger_degraded");
                        self.ledger.found(json!({
                            "alert": "ledger_degraded", "part": "archive",
                            "finding": fault.to_string(),
                        }));
                    }
                    faults = faults.saturating_add(1);
                    LOOK_EVERY.saturating_mul(1 << faults.min(8)).min(MOST_PAUSE)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}
