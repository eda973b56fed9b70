//! What each of the two doors is given: the proxy face its corridor and its lanes of the journal,
//! the admin face every keeper and the figures.
//! Must never hand one door anything of the other.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::Instrument as _;

use super::background::Asked;
use super::ways::Ways;
use super::{Rooms, StartError, rotators, space, told};
use crate::config::Config;
use crate::ledger::Lane;
use crate::market::{self, Desk, Market};
use crate::net::Binding;
use crate::probe::{self, Prober};
use crate::proxy::{self, Proxy};
use crate::rotation::{self, Rotor};
use crate::upstream::Origins;
use crate::{admin, corridor, telemetry};

impl Rooms {
    pub(super) fn start_proxy(
        &self,
        config: &Config,
        lanes: Vec<Lane>,
        ways: &Ways,
    ) -> Result<Proxy, StartError> {
        let settings = &config.proxy;
        let binding = Binding::bind(settings.listen, lanes.len(), settings.tls.as_ref())?;
        let house = corridor::House {
            catalogue: self.catalogue.clone(),
            roster: Arc::clone(&self.roster),
            vault: Arc::clone(&self.vault),
            limiter: Arc::clone(&self.limiter),
            sockets: corridor::SocketBerths::new((settings.max_sockets, "proxy.max_sockets")),
            strangers: corridor::SocketBerths::new((
                settings.max_unauthenticated_sockets,
                "proxy.max_unauthenticated_sockets",
            )),
            fanout: corridor::Fanout::default(),
            repeats: Arc::default(),
            // What cannot be compiled was refused with the settings.
            pages: corridor::Pages::compile(&config.pages).unwrap_or_default(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            settings: corridor::Settings {
                public_url: public_url(settings, binding.address()),
                domain: settings.domain.clone(),
                max_body_bytes: settings.max_body_bytes,
                trusted_proxies: settings.trusted_proxies.clone(),
                candle_seconds: config.backfill.span.seconds(),
            },
        };
        let parts = proxy::Parts {
            house: Arc::new(house),
            origins: ways.origins(),
            lanes,
            binding,
            max_head_bytes: settings.max_head_bytes,
            drain: self.drain.clone(),
            crowd: self.crowd.clone(),
        };
        Ok(Proxy::start(parts)?)
    }

    /// Asks providers about keys, on the runtime of all background work.
    fn prober(&self, ways: &Ways) -> Arc<Prober> {
        let prober = Prober::new(probe::Parts {
            vault: Arc::clone(&self.vault),
            catalogue: self.catalogue.clone(),
            store: self.store.clone(),
            ledger: self.ledger.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            origins: ways.origins(),
        });
        tokio::spawn(prober.tend().instrument(telemetry::job("probe")));
        Arc::new(prober)
    }

    /// The desk where runs are asked for, and the room that makes them.
    pub(super) fn market(&self, config: &Config, ways: &Ways, node: &str) -> (Desk, Arc<Market>) {
        let settings = config.backfill.clone();
        let desk = Desk::new(self.store.clone(), self.clock.clone(), settings);
        let market = Market::new(market::Parts {
            desk: desk.clone(),
            vault: Arc::clone(&self.vault),
            catalogue: self.catalogue.clone(),
            ledger: self.ledger.clone(),
            limiter: Arc::clone(&self.limiter),
            metrics: self.metrics.clone(),
            origins: ways.origins(),
            node: node.to_owned(),
        });
        (desk, market)
    }

    pub(super) fn key_keepers(
        &self,
        config: &Config,
        ways: &Ways,
        node: &str,
    ) -> (Arc<Prober>, Arc<Rotor>) {
        let prober = self.prober(ways);
        let rotor = self.rotor(config, &prober, node);
        (prober, rotor)
    }

    /// Moves new versions of keys in.
    fn rotor(&self, config: &Config, prober: &Arc<Prober>, node: &str) -> Arc<Rotor> {
        Arc::new(Rotor::new(rotation::Parts {
            vault: Arc::clone(&self.vault),
            store: self.store.clone(),
            prober: Arc::clone(prober),
            ledger: self.ledger.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            settings: config.rotation.clone(),
            catalogue: self.catalogue.clone(),
            ways: rotators::ways(config),
            node: node.to_owned(),
        }))
    }

    pub(super) fn admin_parts(
        &self,
        config: &Config,
        refresh: admin::Refresh,
        origins: Arc<Origins>,
        ((prober, rotor, desk), alerts): Asked,
    ) -> admin::Parts {
        let (metrics, ledger) = (self.metrics.clone(), self.ledger.clone());
        let limiter = Arc::clone(&self.limiter);
        let (vault, ways) = (Arc::clone(&self.vault), Arc::clone(&origins));
        let crowd = self.crowd.clone();
        let figures = Arc::new(move || {
            told::ways(&metrics, &ways);
            metrics.connections().set(crowd.open(), crowd.turned_away());
            let (taken, _made) = ledger.fill();
            metrics.seats_in_use(taken);
            metrics.in_flight(u64::try_from(limiter.in_flight()).unwrap_or(u64::MAX));
            metrics.waits().set(limiter.waits());
            metrics.refusals_summed(ledger.refusals_summed());
            metrics.ledger_degraded(ledger.degraded().is_some());
            metrics.sealed(vault.is_sealed());
            metrics.encode()
        });
        let asked = (self.store.clone(), Arc::clone(&self.warden), self.ledger.clone());
        admin::Parts {
            settings: config.admin.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            roster: Arc::clone(&self.roster),
            vault: Arc::clone(&self.vault),
            warden: Arc::clone(&self.warden),
            ledger: self.ledger.clone(),
            catalogue: self.catalogue.clone(),
            prober,
            rotor,
            desk,
            alerts,
            allow_private_webhooks: config.egress.allow_private_networks,
            refresh,
            tiers: config.limiter.clone(),
            limiter: Arc::clone(&self.limiter),
            backups: config.backup.clone(),
            figures,
            readiness: told::readiness(
                asked,
                (origins, Arc::clone(&self.limiter)),
                space::folders(config),
            ),
        }
    }
}

/// With port 0 and no URL set, the settings cannot know how clients reach us: it is the port given.
fn public_url(settings: &proxy::Settings, bound: SocketAddr) -> String {
    if !settings.public_url.is_empty() {
        return settings.public_url.clone();
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{bound}")
}
