//! Admission by count: one window per client key in use, allocated when it is first used. The only
//! maker of an `Admission`.
//! Takes no lock that another call can hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use crate::client::{Client, Tier};
use crate::clock::{self, Moment};
use crate::policy::Permit;
use crate::quota::{Quota, Window};
use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};

/// What `unlimited` is reported as.
pub(crate) const UNLIMITED: u64 = 999_999;

#[derive(Clone, Debug)]
pub struct Settings {
    pub enabled: bool,
    pub window_seconds: u64,
    pub unlimited: u64,
    pub premium: u64,
    pub standard: u64,
    pub limited: u64,
}

/// Every window of the house.
pub(crate) struct Limiter {
    settings: Settings,
    windows: papaya::HashMap<Uuid, Arc<Window>>,
    in_flight: Arc<AtomicUsize>,
    max_in_flight: usize,
}

/// The right to make one counted call now; gives its place among the calls in flight back on drop.
pub(crate) struct Admission {
    figures: Option<Figures>,
    in_flight: Arc<AtomicUsize>,
}

/// What the answer's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) quota: u64,
    pub(crate) used: u64,
    pub(crate) reset_unix_seconds: i64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// None where limits are switched off.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.figures
    }
}

impl Limiter {
    pub(crate) fn new(settings: Settings, max_in_flight: usize) -> Self {
        Self {
            settings,
            windows: papaya::HashMap::new(),
            in_flight: Arc::new(AtomicUsize::new(0)),
            max_in_flight,
        }
    }

    /// Counts the call, or says when the next one would be admitted.
    pub(crate) fn admit(&self, permit: &Permit, now: Moment) -> Result<Admission, Refusal> {
        let figures = match self.settings.enabled {
            true => Some(self.count(permit.client(), now)?),
            false => None,
        };
        if self.in_flight.fetch_add(1, Ordering::AcqRel) >= self.max_in_flight {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            let detail =
                "As many calls are under way as proxy.max_concurrent allows; try again soon.";
            return Err(Refusal::new(Reason::Overloaded, detail));
        }
        Ok(Admission { figures, in_flight: Arc::clone(&self.in_flight) })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    fn count(&self, client: &Client, now: Moment) -> Result<Figures, Refusal> {
        let quota = self.quota(client);
        let count = {
            let windows = self.windows.pin();
            windows.get_or_insert_with(client.id, Arc::default).count(quota, now.monotonic_ns)
        };
        let reset_at_ms = now.unix_ms + milliseconds_up(count.free_in_ns);
        if count.admitted {
            let reset_unix_seconds =
                reset_at_ms.div_euclid(1000) + i64::from(reset_at_ms % 1000 > 0);
            return Ok(Figures { quota: quota.calls, used: count.used, reset_unix_seconds });
        }
        Err(self.exceeded(quota, count.used, reset_at_ms, now.unix_ms))
    }

    fn exceeded(&self, quota: Quota, used: u64, reset_at_ms: i64, now_ms: i64) -> Refusal {
        let wait_ms = reset_at_ms.saturating_sub(now_ms);
        let exceeded = Exceeded {
            limit: LimitKind::Client,
            quota: quota.calls,
            used,
            reset_at_ms: Some(reset_at_ms),
            retry_after_seconds: u64::try_from(wait_ms).unwrap_or(0).div_ceil(1000).max(1),
        };
        let detail = format!(
            "Limit: {} requests per {}. Current usage: {used}. Reset at: {}",
            quota.calls,
            span(self.settings.window_seconds),
            clock::rfc3339(reset_at_ms)
        );
        Refusal::rate_limited(exceeded, detail)
    }

    fn quota(&self, client: &Client) -> Quota {
        let settings = &self.settings;
        let (calls, unlimited) = match (client.limit, client.tier) {
            (Some(limit), _) => (limit, false),
            (None, Tier::Unlimited) => (UNLIMITED, true),
            (None, Tier::Premium) => (settings.premium, false),
            (None, Tier::Standard) => (settings.standard, false),
            (None, Tier::Limited) => (settings.limited, false),
        };
        Quota { calls, window_ns: settings.window_seconds.saturating_mul(1_000_000_000), unlimited }
    }
}

fn milliseconds_up(ns: u64) -> i64 {
    i64::try_from(ns.div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn span(seconds: u64) -> String {
    match seconds {
        3600 => String::from("hour"),
        60 => String::from("minute"),
        86_400 => String::from("day"),
        other => format!("{other} seconds"),
    }
}
