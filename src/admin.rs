//! The admin face: the operators' REST API, health, metrics and the description of the API, on a
//! listener of its own and on the local socket. It carries no provider traffic, knows nothing of
//! the proxy, and must never answer with a secret's value.

mod act;
mod alerts;
mod answer;
mod audit;
mod backfills;
mod backups;
mod call;
mod caller;
mod change;
mod console;
mod cookie;
mod csrf;
mod deliveries;
mod describe;
mod destinations;
mod errands;
mod export;
mod frame;
mod guard;
mod house;
mod keks;
mod keys;
mod local;
mod members;
mod note;
mod open;
mod operators;
mod page;
mod pages;
mod policy;
mod providers;
mod rate;
mod records;
mod refused;
mod repeat;
mod reports;
mod routes;
mod sealing;
mod secrets;
mod sent;
mod serve;
mod session;
mod sessions;
mod stream;
mod symbols;
#[cfg(test)]
mod tests;
mod trace;
mod usage;
mod visit;
mod words;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, watch};

use self::errands::Errands;
use self::house::{House, MOST_CHANGES};
use self::pages::Pages;
use self::rate::Rate;
use crate::alerts::Alerts;
use crate::backup;
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::limiter::{self, Limiter};
use crate::market::Desk;
use crate::net::TlsFiles;
use crate::operators::{self as accounts, Operators};
use crate::probe::Prober;
use crate::roster::Roster;
use crate::rotation::Rotor;
use crate::store::Store;
use crate::vault::{Vault, Warden};

pub(crate) use self::export::shown;
pub(crate) use self::local::{LocalError, LocalSocket};
pub(crate) use self::open::{Figures, Part, Readiness};
pub(crate) use self::providers::Refresh;
pub(crate) use self::serve::Doors;

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub behind_tls: bool,
    pub tls: Option<TlsFiles>,
    pub frame_ancestors: Vec<String>,
    /// How callers reach the proxy; the console writes it into its examples.
    pub proxy_url: String,
    pub requests_per_minute: u64,
    pub operators: accounts::Settings,
}

/// How long changes whose callers have left may take to finish after the last connection.
const CHANGES_WITHIN: Duration = Duration::from_secs(5);

/// What the admin face is built from.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) roster: Arc<Roster>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) warden: Arc<Warden>,
    pub(crate) ledger: Ledger,
    pub(crate) catalogue: InForce,
    pub(crate) prober: Arc<Prober>,
    /// Where runs that fetch history are asked for.
    pub(crate) desk: Desk,
    pub(crate) rotor: Arc<Rotor>,
    /// Who is told what is amiss.
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) allow_private_webhooks: bool,
    /// What the tiers allow, to judge whether a grant stays below its granter's own.
    pub(crate) tiers: limiter::Settings,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) backups: backup::Settings,
    pub(crate) refresh: Refresh,
    pub(crate) figures: Figures,
    pub(crate) readiness: Readiness,
}

/// The admin face, ready to be served.
pub(crate) struct Admin {
    house: Arc<House>,
}

impl Admin {
    pub(crate) fn new(parts: Parts) -> Self {
        let pages = Pages::new(&parts.settings, Self::openapi());
        let Settings { operators, behind_tls, tls, .. } = parts.settings.clone();
        let (kept, clock) = (parts.store.clone(), parts.clock.clone());
        let house = House {
            operators: Operators::new(kept, clock, operators),
            errands: Errands::default(),
            is_under_tls: behind_tls || tls.is_some(),
            rate: Rate::new(parts.clock.clone(), parts.settings.requests_per_minute),
            clock: parts.clock,
            store: parts.store,
            roster: parts.roster,
            vault: parts.vault,
            warden: parts.warden,
            ledger: parts.ledger,
            catalogue: parts.catalogue,
            prober: parts.prober,
            desk: parts.desk,
            rotor: parts.rotor,
            alerts: parts.alerts,
            allow_private_webhooks: parts.allow_private_webhooks,
            tiers: parts.tiers,
            limiter: parts.limiter,
            backups: parts.backups,
            making: backups::Making::default(),
            refresh: parts.refresh,
            figures: parts.figures,
            readiness: parts.readiness,
            pages,
            tails: Arc::new(Semaphore::new(stream::MOST_TAILS)),
            leaving: watch::Sender::new(false),
            changes: Arc::new(Semaphore::new(MOST_CHANGES as usize)),
            key_changes: Mutex::new(()),
        };
        Self { house: Arc::new(house) }
    }

    pub(crate) fn router(&self) -> axum::Router {
        routes::router(Arc::clone(&self.house))
    }

    /// Runs until `shutdown`, then lets what is in flight finish, within bounds.
    pub(crate) async fn serve(self, doors: Doors, shutdown: impl Future<Output = ()>) {
        let leaving = async {
            shutdown.await;
            // Whoever follows the trail would hold up the drain.
            self.house.leaving.send_replace(true);
        };
        serve::serve(self.router(), doors, leaving).await;
        // A change whose caller left is still under way; it too may finish.
        let all = self.house.changes.acquire_many(MOST_CHANGES);
        if tokio::time::timeout(CHANGES_WITHIN, all).await.is_err() {
            tracing::warn!(name: "admin.changes_cut", "changes did not finish in time and are cut");
        }
    }

    /// The description of the API, for which no server has to run.
    pub(crate) fn openapi() -> String {
        format!("{:#}", routes::description())
    }
}
