//! The history of tracked symbols: which there are, runs that fetch it through the house's own key
//! and the provider's limit, candles that are judged before they are stored, and how whole they
//! are. Must never call a provider but by the way that every call takes, and never hold a key.

mod calendar;
mod call;
mod candle;
mod decimal;
mod desk;
mod json;
mod known;
mod page;
mod part;
mod plan;
mod quality;
mod run;
mod schedule;
mod span;
mod symbol;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use self::calendar::times as candle_times;
use self::call::Caller;
pub(crate) use self::decimal::is_number;
pub(crate) use self::desk::{AskFault, Desk, Wanted};
pub(crate) use self::known::tracked;
pub(crate) use self::span::Span;
pub(crate) use self::symbol::parse as parse_symbol;
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::limiter::Limiter;
use crate::net::Deadlines;
use crate::schedule::Schedule;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::upstream::{Origins, Upstream};
use crate::vault::Vault;

/// How soon a clock that was set is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where history comes from, unless a symbol says otherwise.
    pub(crate) provider: String,
    pub(crate) span: Span,
    /// How far back a symbol goes of which nothing is there.
    pub(crate) days: i64,
    /// Symbols at the same time.
    pub(crate) at_once: usize,
    /// None: when somebody asks.
    pub(crate) schedule: Option<Schedule>,
}

/// What the room is built from.
pub(crate) struct Parts {
    pub(crate) desk: Desk,
    pub(crate) vault: Arc<Vault>,
    pub(crate) catalogue: InForce,
    pub(crate) ledger: Ledger,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) metrics: Metrics,
    pub(crate) origins: Arc<Origins>,
    /// This node's own name, under which it takes its turn.
    pub(crate) node: String,
}

/// Fetches history, with connections of its own.
pub(crate) struct Market {
    store: Store,
    clock: Clock,
    settings: Settings,
    bell: Arc<Notify>,
    catalogue: InForce,
    vault: Arc<Vault>,
    ledger: Ledger,
    metrics: Metrics,
    caller: Caller,
    deadlines: Deadlines,
    node: String,
}

impl Market {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { desk, vault, catalogue, ledger, limiter, metrics, origins, node } = parts;
        let (store, clock, settings, bell) = desk.taken_apart();
        let deadlines = Deadlines::new(clock.clone());
        let upstream = Upstream::new(origins, deadlines.clone(), clock.clone());
        let caller = Caller {
            vault: Arc::clone(&vault),
            ledger: ledger.clone(),
            limiter,
            upstream,
            clock: clock.clone(),
        };
        Arc::new(Self {
            store,
            clock,
            settings,
            bell,
            catalogue,
            vault,
            ledger,
            metrics,
            caller,
            deadlines,
            node,
        })
    }

    /// Runs that were asked for, those that are due, and what its connections need. For ever;
    /// spawned once. Where nobody serves, nothing is fetched before it is asked for here.
    pub(crate) async fn tend(self: Arc<Self>, serves: bool) {
        if !serves {
            self.bell.notified().await;
            self.bell.notify_one();
        }
        let ticking = self.deadlines.clone().tick(|| 0);
        let sweeping = self.caller.upstream.sweep();
        let running = Arc::clone(&self).keep_running();
        let scheduling = self.keep_schedule(serves);
        tokio::join!(ticking, sweeping, running, scheduling);
    }
}
