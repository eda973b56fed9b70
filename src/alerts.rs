//! What somebody has to know of: finds it, keeps one alert for each cause until that is gone, and
//! tells whoever is to be told until he has confirmed it. What happened is read from the trail,
//! what is so from the tables; of several nodes one looks, and each looks at itself.
//! Must never hold up a call, tell a secret, or lose what was not confirmed.

mod auth;
mod backoff;
mod deliver;
mod destination;
mod findings;
mod here;
mod keys;
mod letter;
mod mail;
mod nodes;
mod parcel;
mod rule;
mod silence;
mod syslog;
#[cfg(test)]
mod tests;
mod traffic;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) use self::deliver::Tested;
pub(crate) use self::destination::{Destination, DestinationError, Sort, Way};
pub(crate) use self::mail::{MailSettings, Protection, is_mailbox};
pub(crate) use self::parcel::{HandedOver, Parcel};
pub(crate) use self::syslog::Logger;
use crate::clock::Clock;
pub(crate) use crate::crypto::webhook_secret;
use crate::ledger::Ledger;
use crate::limiter::{self, Limiter};
use crate::roster::Roster;
use crate::rotation::Policies;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::vault::Vault;

#[derive(Clone)]
pub struct Settings {
    /// Failed authentications of one address in a minute that are a burst; 0: none are.
    pub auth_failures_per_minute: u64,
    /// Who carries e-mail; None: nobody.
    pub(crate) mail: Option<MailSettings>,
    /// Who takes messages of syslog; None: nobody.
    pub(crate) syslog: Option<Logger>,
}

/// What the room is built from.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) vault: Arc<Vault>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) tiers: limiter::Settings,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// This node's own name.
    pub(crate) node: String,
    /// It is this node's business, too.
    pub(crate) backs_up: bool,
    pub(crate) echoes: Echoes,
    pub(crate) post: Post,
    /// How old providers' keys may be.
    pub(crate) policies: Policies,
}

pub(crate) struct Alerts {
    parts: Parts,
    /// What this node found at its start is told anew where it is still so.
    began_ms: i64,
    /// Tries under way.
    seats: Semaphore,
    leaving: AtomicBool,
}

/// A message on its way to a webhook.
pub(crate) struct Letter {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What a webhook answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) status: u16,
    /// How long it wants to be left alone.
    pub(crate) retry_after_seconds: Option<u64>,
}

/// Sends a message to a webhook; how is decided by whoever builds the house.
pub(crate) type Post = Arc<dyn Fn(Letter) -> Posting + Send + Sync>;
type Posting = Pin<Box<dyn Future<Output = Result<Posted, String>> + Send>>;

/// Answers in which the real key stood, by provider; filled by whoever counts records.
#[derive(Clone, Default)]
pub(crate) struct Echoes(Arc<Mutex<BTreeMap<String, u64>>>);

impl Echoes {
    pub(crate) fn heard(&self, provider: &str, count: u64) {
        if count > 0 {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let held = heard.entry(provider.to_owned()).or_default();
            *held = held.saturating_add(count);
        }
    }

    fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Alerts {
    pub(crate) fn new(parts: Parts) -> Self {
        let began_ms = parts.clock.unix_ms();
        let seats = Semaphore::new(deliver::SEATS as usize);
        Self { parts, began_ms, seats, leaving: AtomicBool::new(false) }
    }

    /// For as long as the house runs: looks, and tells.
    pub(crate) async fn tend(self: Arc<Self>) {
        tokio::join!(Arc::clone(&self).watch(), self.deliver());
    }

    fn now_ms(&self) -> i64 {
        self.parts.clock.unix_ms()
    }

    fn installation(&self) -> Uuid {
        self.parts.vault.installation()
    }
}
