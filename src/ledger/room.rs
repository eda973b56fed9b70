//! Room in the journal: segments are made ahead of need, beside the writer, so that no call waits
//! for a file and a database that hangs does not keep the journal from growing. Where none can be
//! made any more it is told, once, and again when there is room.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Inner;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A second: a rush that the database swallows in time is no alert.
const LOOKS_BEFORE_IT_IS_TOLD: u32 = 10;

/// Makes segments ahead of need, beside the draining: a database that hangs must not keep the
/// journal from growing. Never ends.
pub(super) async fn make(inner: &Arc<Inner>) {
    let mut looks: u32 = 0;
    loop {
        let crowded = inner.lanes.iter().position(|lane| !lane.is_roomy());
        let Some(place) = crowded else {
            if std::mem::take(&mut looks) >= LOOKS_BEFORE_IT_IS_TOLD {
                inner.append_noted(json!({
                    "alert": "ledger_degraded", "part": "journal",
                    "resolved": "the journal has room again",
                }));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = inner.crowded.notified() => {}
            }
            continue;
        };
        let within = Arc::clone(inner);
        // Making a file may wait for the disk, so it is done where waiting is allowed.
        let made = tokio::task::spawn_blocking(move || {
            within.lanes.get(place).map_or(Ok(false), |lane| within.journal.extend(lane))
        });
        let why = match made.await {
            Ok(Ok(true)) => continue,
            Ok(Ok(false)) => String::from("it has reached audit.journal_bytes"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("the work was broken off"),
        };
        looks = looks.saturating_add(1);
        if looks == LOOKS_BEFORE_IT_IS_TOLD {
            let finding = format!(
                "the journal is more than half full and cannot grow: {why}; once it is full, calls \
                 are refused with audit_unavailable; free room on its disk, or bring the database \
                 back"
            );
            inner.append_finding(json!({
                "alert": "ledger_degraded", "part": "journal", "finding": finding,
            }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
