//! The limiter as the settings want it: what it remembers of before, and whether it is shared with
//! other nodes.
//! Must never let a call in before what was admitted earlier is known.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{Mode, StartError, watch};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::limiter::{Limiter, SharedParts};
use crate::store::Store;
use crate::telemetry::{self, Metrics};

pub(super) async fn limiter(
    config: &Config,
    mode: Mode,
    (clock, store): (&Clock, &Store),
    (ledger, metrics): (&Ledger, &Metrics),
    (installation, node): (uuid::Uuid, &str),
) -> Result<Arc<Limiter>, StartError> {
    let limiter = Limiter::new(
        config.limiter.clone(),
        (clock.clone(), store.clone()),
        config.proxy.max_concurrent,
    );
    let limiter = match (config.limiter.shared.clone(), mode) {
        (Some(settings), Mode::Serve { .. }) => limiter.sharing(SharedParts {
            settings,
            clock: clock.clone(),
            metrics: metrics.clone(),
            installation,
            node: node.to_owned(),
            data_dir: config.data_dir.clone(),
            bell: watch::sharing_bell(ledger, metrics),
        }),
        // One command's app carries no calls.
        (None, _) | (_, Mode::SocketOnly) => limiter,
    };
    limiter.remember(node).await?;
    limiter.begin().await;
    let limiter = Arc::new(limiter);
    // Both end with their runtime.
    let _sweeping = tokio::spawn(Arc::clone(&limiter).sweep().instrument(telemetry::job("limits")));
    let _keeping = tokio::spawn(Arc::clone(&limiter).keep().instrument(telemetry::job("limits")));
    Ok(limiter)
}
