//! What the house tells of itself: whether every part is ready, and
//! what the ledger's writer has counted. Must never take a label of
//! a figure from a stranger.

use std::path::PathBuf;
use std::sync::Arc;

use super::space::{self, Room};
use crate::admin::{Part, Readiness};
use crate::alerts::Echoes;
use crate::ledger::{Kind, Ledger, Meter};
use crate::limiter::Limiter;
use crate::net::Seen;
use crate::store::Store;
use crate::telemetry::{Address, Metrics};
use crate::upstream::Origins;
use crate::vault::Warden;

/// Asked whenever somebody wants to know whether the house can serve.
pub(super) fn readiness(
    (store, warden, ledger): (Store, Arc<Warden>, Ledger),
    (origins, limiter): (Arc<Origins>, Arc<Limiter>),
    folders: Vec<PathBuf>,
) -> Readiness {
    Arc::new(move || {
        let (store, warden, ledger) = (store.clone(), Arc::clone(&warden), ledger.clone());
        let (providers, limits) = (providers(&origins), limits(&limiter));
        let disk = disk(&folders);
        Box::pin(async move {
            let mut parts = parts(&store, &warden, &ledger).await;
            parts.extend([providers, limits, disk]);
            parts
        })
    })
}

async fn parts(store: &Store, warden: &Warden, ledger: &Ledger) -> Vec<Part> {
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

/// Ready while there is room at all; said where it becomes little.
fn disk(folders: &[PathBuf]) -> Part {
    let found = space::look(folders);
    let told: Vec<&str> = found
        .iter()
        .filter(|space| space.room != Room::Enough)
        .map(|space| space.sentence.as_str())
        .collect();
    let ready = found.iter().all(|space| space.room != Room::Gone);
    Part { name: "disk", ready, detail: (!told.is_empty()).then(|| told.join("; ")) }
}

/// Which providers are left alone, in part or as a whole. The house is ready all the same: it is
/// not at fault, and another node would fare no better.
fn providers(origins: &Origins) -> Part {
    let resting = origins.addresses().into_iter().filter(|(_, seen)| seen.is_open);
    let mut resting: Vec<String> = resting.map(|(provider, _)| provider).collect();
    resting.dedup();
    let detail = (!resting.is_empty()).then(|| {
        let names = resting.join(", ");
        format!("Left alone for a while, in part or as a whole, because calls failed: {names}.")
    });
    Part { name: "providers", ready: true, detail }
}

/// The keeper writes to Redis four times a second, as every call does. The house is ready all the
/// same: each node has its share of the quotas.
fn limits(limiter: &Limiter) -> Part {
    let detail = limiter.degraded().map(|why| {
        format!("Limits are not shared, each node spends its share of the quotas. Redis: {why}.")
    });
    Part { name: "limits", ready: true, detail }
}

/// The figures of the way out.
pub(super) fn ways(metrics: &Metrics, origins: &Origins) {
    let address = |(provider, seen): (String, Seen)| Address {
        provider,
        address: seen.address.to_string(),
        is_resting: seen.is_open,
        rests: seen.openings,
    };
    let addresses = origins.addresses().into_iter().map(address).collect();
    metrics.upstream().set(addresses, origins.second_tries());
}

/// What the ledger's writer has counted goes to the metrics, and what echoed to whoever tells.
pub(super) fn meter(metrics: &Metrics) -> (Meter, Echoes) {
    let (metrics, echoes) = (metrics.clone(), Echoes::default());
    let heard = echoes.clone();
    let meter: Meter = Box::new(move |tally| {
        // Calls to providers alone; what strangers ask for must not become a label.
        if tally.kind != Kind::Usage {
            return;
        }
        for duration_ns in &tally.durations_ns {
            metrics.call(&tally.provider, tally.status, *duration_ns);
        }
        heard.heard(&tally.provider, tally.echoes);
        (0..tally.echoes).for_each(|_| metrics.alert_raised("key_echoed"));
    });
    (meter, echoes)
}
