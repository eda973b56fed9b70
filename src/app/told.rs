//! What the house tells of itself: whether every part is ready, and
//! what the ledger's writer has counted. Must never take a label of
//! a figure from a stranger.

use crate::admin::Part;
use crate::ledger::{Kind, Ledger, Meter};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::vault::Warden;

pub(super) async fn readiness(store: &Store, warden: &Warden, ledger: &Ledger) -> Vec<Part> {
    let part = |name, ready, missing: &str| Part {
        name,
        ready,
        detail: (!ready).then(|| missing.to_owned()),
    };
    let sealed = warden.reason();
    vec![
        part("database", store.ping().await.is_ok(), "The database does not answer."),
        part("vault", sealed.is_none(), sealed.unwrap_or_default()),
        part(
            "journal",
            ledger.degraded().is_none(),
            "Records wait in the journal because the database does not take them.",
        ),
    ]
}

/// What the ledger's writer has counted goes to the metrics.
pub(super) fn meter(metrics: &Metrics) -> Meter {
    let metrics = metrics.clone();
    Box::new(move |tally| {
        // Calls to providers alone; what strangers ask for must not become a label.
        if tally.kind != Kind::Usage {
            return;
        }
        for duration_ns in &tally.durations_ns {
            metrics.call(&tally.provider, tally.status, *duration_ns);
        }
    })
}
