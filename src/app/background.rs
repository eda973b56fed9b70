//! What the house does beside its calls: the memory and the threads that it takes at its start, the
//! backups that it makes by schedule, the records that it archives.
//! Must never keep the house from starting.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::archiving::Archivist;
use super::ways::Ways;
use super::{Mode, Rooms};
use crate::alerts::Alerts;
use crate::backup::{self, Schedule};
use crate::config::Config;
use crate::market::Desk;
use crate::net::Crowd;
use crate::pool::Pools;
use crate::probe::Prober;
use crate::rotation::Rotor;
use crate::{report, secret, telemetry};

/// Weaker memory is no reason not to start, but one to say so.
pub(super) fn protect_memory(config: &Config) {
    let protection = secret::prepare(config.vault.locked_memory_bytes);
    match protection.remedy() {
        None => tracing::debug!("{}", protection.sentence()),
        Some(remedy) => tracing::warn!(remedy, "{}", protection.sentence()),
    }
}

/// How often somebody looks whether silent clients have left much memory.
const TIDIED_EVERY: Duration = Duration::from_secs(5);

/// What clients leave behind goes back to the system.
pub(super) async fn tidy(crowd: Crowd) {
    loop {
        tokio::time::sleep(TIDIED_EVERY).await;
        if crowd.left_much_room() {
            // It cannot fail; where the house is at its end, there is nothing to tidy.
            let _done = tokio::task::spawn_blocking(secret::give_back).await;
        }
    }
}

/// Threads that carry traffic.
pub(super) fn workers(config: &Config, mode: Mode) -> usize {
    match (mode, config.proxy.workers) {
        (Mode::SocketOnly, _) => 1,
        (Mode::Serve { .. }, 0) => std::thread::available_parallelism().map_or(1, Into::into),
        (Mode::Serve { .. }, set) => set,
    }
}

/// Whom the admin face asks: for checks, moves and runs, and who is told.
pub(super) type Asked = ((Arc<Prober>, Arc<Rotor>, Desk), Arc<Alerts>);

impl Rooms {
    /// One command's app is not there long enough to keep a schedule.
    pub(super) fn schedule(
        &self,
        config: &Config,
        (mode, node): (Mode, &str),
    ) -> impl Future<Output = ()> + use<> {
        let mut settings = config.backup.clone();
        if mode == Mode::SocketOnly {
            settings.every = None;
        }
        backup::run_schedule(Schedule {
            settings,
            store: self.store.clone(),
            vault: Arc::clone(&self.vault),
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            node: node.to_owned(),
        })
        .instrument(telemetry::job("backup"))
    }

    /// Those who call providers by themselves: who may be asked, and what they do.
    pub(super) fn around(
        &self,
        config: &Config,
        ways: &Ways,
        (mode, node): (Mode, &str),
    ) -> (Asked, impl Future<Output = ()> + use<>) {
        let (prober, rotor) = self.key_keepers(config, ways, node);
        let watching = self.watch_keys(config, mode, (&prober, &rotor));
        let (desk, market) = self.market(config, ways, node);
        let fetching = market.tend(matches!(mode, Mode::Serve { .. }));
        let fetching = fetching.instrument(telemetry::job("backfill"));
        let (alerts, telling) = self.alerts(config, (mode, node));
        let sending = self.reports(config, (mode, node), &alerts);
        let working = async move {
            tokio::join!(watching, fetching, telling, sending);
        };
        (((prober, rotor, desk), alerts), working)
    }

    /// Nor to send reports.
    fn reports(
        &self,
        config: &Config,
        (mode, node): (Mode, &str),
        alerts: &Arc<Alerts>,
    ) -> impl Future<Output = ()> + use<> {
        let is_there = matches!(mode, Mode::Serve { .. });
        let sender = report::Sender {
            plans: if is_there { config.reports.clone() } else { Vec::new() },
            store: self.store.clone(),
            vault: Arc::clone(&self.vault),
            ledger: self.ledger.clone(),
            alerts: Arc::clone(alerts),
            clock: self.clock.clone(),
            backups: config.backup.clone(),
            node: node.to_owned(),
        };
        sender.keep().instrument(telemetry::job("reports"))
    }

    /// Nor to look after keys.
    fn watch_keys(
        &self,
        config: &Config,
        mode: Mode,
        (prober, rotor): (&Arc<Prober>, &Arc<Rotor>),
    ) -> impl Future<Output = ()> + use<> {
        let (prober, settings) = (Arc::clone(prober), config.probe.clone());
        let rotor = Arc::clone(rotor);
        let pools = Pools {
            vault: Arc::clone(&self.vault),
            prober: Arc::clone(&prober),
            store: self.store.clone(),
            ledger: self.ledger.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        async move {
            if matches!(mode, Mode::Serve { .. }) {
                let renewing = Arc::clone(&rotor).renew();
                tokio::join!(prober.watch(settings), rotor.keep(), renewing, pools.keep());
            }
        }
        .instrument(telemetry::job("probe"))
    }

    /// Nor to put anything into an archive.
    pub(super) fn archive(&self, config: &Config, mode: Mode) -> impl Future<Output = ()> + use<> {
        let settings = (config.ledger.archives.clone(), config.ledger.retention_days);
        let archivist =
            Archivist::of(self, settings).filter(|_| matches!(mode, Mode::Serve { .. }));
        async move {
            if let Some(archivist) = archivist {
                archivist.tend().await;
            }
        }
        .instrument(telemetry::job("archive"))
    }
}
