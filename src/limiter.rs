//! Admission by count: one window per client key in use, allocated when it is first used. The only
//! maker of an `Admission`.
//! Takes no lock that another call can hold, unless calls wait in line.

mod places;

use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use self::places::{Place, Places};
use crate::client::{Client, Tier};
use crate::clock::{self, Clock, Moment};
use crate::policy::Permit;
use crate::quota::{Count, Quota, Window};
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
    clock: Clock,
    windows: papaya::HashMap<Uuid, Arc<Window>>,
    places: Arc<Places>,
}

/// The right to make one counted call now; gives its place among the calls in flight back on drop.
pub(crate) struct Admission {
    figures: Option<Figures>,
    _place: Place,
}

/// What the answer's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) quota: u64,
    pub(crate) used: u64,
    pub(crate) reset_unix_seconds: i64,
}

impl Admission {
    /// None where limits are switched off.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.figures
    }
}

impl Limiter {
    pub(crate) fn new(settings: Settings, clock: Clock, max_in_flight: usize) -> Self {
        Self {
            settings,
            clock,
            windows: papaya::HashMap::new(),
            places: Places::new(max_in_flight),
        }
    }

    /// Counts the call, or says when the next one would be admitted. None where as many calls are
    /// under way as may be: then the call has not been counted, and may wait.
    pub(crate) fn admit(&self, permit: &Permit, now: Moment) -> Result<Option<Admission>, Refusal> {
        let client = permit.client();
        match self.places.take() {
            Some(place) => self.counted(client, place, now).map(Some),
            None => self.check_quota(client, now).map(|()| None),
        }
    }

    /// After `admit` had no place: one when it is this call's turn, within a short while. Boxed,
    /// so that the calls that need not wait do not carry the room for it.
    pub(crate) fn admit_in_turn<'a>(
        &'a self,
        permit: &'a Permit,
    ) -> Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>> {
        Box::pin(async move {
            match Arc::clone(&self.places).wait().await {
                Some(place) => self.counted(permit.client(), place, self.clock.now()),
                None => {
                    let detail = "As many calls are under way as proxy.max_concurrent allows, and \
                                  the queue before them is too long; try again soon.";
                    Err(Refusal::new(Reason::Overloaded, detail))
                }
            }
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.places.taken()
    }

    fn counted(&self, client: &Client, place: Place, now: Moment) -> Result<Admission, Refusal> {
        let figures = match self.settings.enabled {
            true => Some(self.count(client, now)?),
            false => None,
        };
        Ok(Admission { figures, _place: place })
    }

    /// Whoever has used up his quota is told so and need not wait for it.
    fn check_quota(&self, client: &Client, now: Moment) -> Result<(), Refusal> {
        let quota = self.quota(client);
        if !self.settings.enabled || quota.unlimited {
            return Ok(());
        }
        let windows = self.windows.pin();
        let window = windows.get_or_insert_with(client.id, Arc::default);
        match window.refusal(quota, now.monotonic_ns) {
            Some(count) => Err(self.refusal(quota, &count, now)),
            None => Ok(()),
        }
    }

    fn count(&self, client: &Client, now: Moment) -> Result<Figures, Refusal> {
        let quota = self.quota(client);
        let count = {
            let windows = self.windows.pin();
            windows.get_or_insert_with(client.id, Arc::default).count(quota, now.monotonic_ns)
        };
        if count.admitted {
            let reset_at_ms = reset_at_ms(&count, now);
            let reset_unix_seconds =
                reset_at_ms.div_euclid(1000) + i64::from(reset_at_ms % 1000 > 0);
            return Ok(Figures { quota: quota.calls, used: count.used, reset_unix_seconds });
        }
        Err(self.refusal(quota, &count, now))
    }

    fn refusal(&self, quota: Quota, count: &Count, now: Moment) -> Refusal {
        let (used, reset_at_ms) = (count.used, reset_at_ms(count, now));
        let wait_ms = reset_at_ms.saturating_sub(now.unix_ms);
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
        let (calls, unlimited) = match (client.rights.limit, client.rights.tier) {
            (Some(limit), _) => (limit, false),
            (None, Tier::Unlimited) => (UNLIMITED, true),
            (None, Tier::Premium) => (settings.premium, false),
            (None, Tier::Standard) => (settings.standard, false),
            (None, Tier::Limited) => (settings.limited, false),
        };
        Quota { calls, window_ns: settings.window_seconds.saturating_mul(1_000_000_000), unlimited }
    }
}

fn reset_at_ms(count: &Count, now: Moment) -> i64 {
    now.unix_ms + milliseconds_up(count.free_in_ns)
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
