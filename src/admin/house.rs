//! What every route of the admin face is handed: the keepers, and the
//! little that this face keeps for itself. Cheap to share; holds no
//! secret.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, watch};

use super::backups::Making;
use super::errands::Errands;
use super::open::{Figures, Readiness};
use super::pages::Pages;
use super::providers::Refresh;
use super::rate::Rate;
use crate::alerts::Alerts;
use crate::backup;
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::limiter::{self, Limiter};
use crate::market::Desk;
use crate::operators::Operators;
use crate::probe::Prober;
use crate::roster::Roster;
use crate::rotation::Rotor;
use crate::store::Store;
use crate::vault::{Vault, Warden};

pub(super) struct House {
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) roster: Arc<Roster>,
    pub(super) vault: Arc<Vault>,
    pub(super) warden: Arc<Warden>,
    pub(super) ledger: Ledger,
    pub(super) catalogue: InForce,
    /// Asks providers about keys.
    pub(super) prober: Arc<Prober>,
    /// Where runs that fetch history are asked for.
    pub(super) desk: Desk,
    pub(super) rotor: Arc<Rotor>,
    pub(super) alerts: Arc<Alerts>,
    pub(super) allow_private_webhooks: bool,
    /// What the tiers allow, to judge whether a grant stays below its granter's own.
    pub(super) tiers: limiter::Settings,
    /// Asked what is left to a client key; admits nobody here.
    pub(super) limiter: Arc<Limiter>,
    pub(super) backups: backup::Settings,
    /// Those that are being made now.
    pub(super) making: Making,
    /// To be called when the entries of providers have changed.
    pub(super) refresh: Refresh,
    pub(super) figures: Figures,
    pub(super) readiness: Readiness,
    pub(super) rate: Rate,
    /// Who signs in with a password and a code.
    pub(super) operators: Operators,
    /// Sessions that an admin key made, on this node.
    pub(super) errands: Errands,
    /// Browsers reach this face over TLS.
    pub(super) is_under_tls: bool,
    pub(super) pages: Pages,
    /// A place for each reader who follows the trail.
    pub(super) tails: Arc<Semaphore>,
    /// The house stops.
    pub(super) leaving: watch::Sender<bool>,
    /// A seat for each change under way; the drain waits for all of them.
    pub(super) changes: Arc<Semaphore>,
    /// A change of a client key reads, alters and writes; two at once must not undo each other.
    pub(super) key_changes: Mutex<()>,
}

/// Changes at once; each holds a task and at most a mebibyte.
pub(super) const MOST_CHANGES: u32 = 256;
