//! The room of alerts, built with all that it looks at, and its way to webhooks, which
//! is that of every webhook.
//! Must never tell anybody in the time of one command.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{Mode, Rooms, webhook};
use crate::alerts::{self, Alerts, Posted};
use crate::config::Config;
use crate::telemetry;

impl Rooms {
    pub(super) fn alerts(
        &self,
        config: &Config,
        (mode, node): (Mode, &str),
    ) -> (Arc<Alerts>, impl Future<Output = ()> + use<>) {
        let way = Arc::new(webhook::Way::of(config));
        let post: alerts::Post = Arc::new(move |letter| {
            let way = Arc::clone(&way);
            Box::pin(async move {
                let url = webhook::parsed(&letter.url).ok_or("its URL cannot be read")?;
                let answer = way.post(&url, &letter.headers, letter.body).await?;
                let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok());
                let retry_after_seconds = wait.and_then(|wait| wait.trim().parse().ok());
                Ok(Posted { status: answer.status().as_u16(), retry_after_seconds })
            })
        });
        let alerts = Arc::new(Alerts::new(alerts::Parts {
            settings: config.alerts.clone(),
            store: self.store.clone(),
            ledger: self.ledger.clone(),
            vault: Arc::clone(&self.vault),
            roster: Arc::clone(&self.roster),
            limiter: Arc::clone(&self.limiter),
            tiers: config.limiter.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            node: node.to_owned(),
            backs_up: config.backup.every.is_some(),
            echoes: self.echoes.clone(),
            post,
            policies: config.rotation.policies.clone(),
        }));
        let tending = Arc::clone(&alerts);
        let telling = async move {
            if matches!(mode, Mode::Serve { .. }) {
                tending.tend().await;
            }
        };
        (alerts, telling.instrument(telemetry::job("alerts")))
    }
}
