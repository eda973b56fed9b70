//! Admission by count: one window per client key in use, allocated when it is first used. The only
//! maker of an `Admission`.
//! Takes no lock that another call can hold, unless calls wait in line.

mod places;
mod tokens;

use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use self::places::{Place, Places};
use self::tokens::Tokens;
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
    /// Of tokens with a tier of their own.
    tokens: Tokens,
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
            tokens: Tokens::default(),
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

    pub(crate) fn window_seconds(&self) -> u64 {
        self.settings.window_seconds
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

    /// What is left at this moment; nothing is counted. None where limits are switched off.
    pub(crate) fn left(&self, client: &Client, now: Moment) -> Option<Figures> {
        if !self.settings.enabled {
            return None;
        }
        let quota = self.quota(client);
        let windows = self.windows.pin();
        let own = windows.get(&client.id).map(|window| window.look(quota, now.monotonic_ns));
        let figures = figures(quota, &own.unwrap_or_default(), now);
        let Some(quota) = self.token_quota(client) else { return Some(figures) };
        let window = self.tokens.window(client, now.unix_ms);
        let of_token = self::figures(quota, &window.look(quota, now.monotonic_ns), now);
        Some(figures.tighter(of_token))
    }

    /// A token with a tier of its own counts twice: in its own window and in that of its client
    /// key, or whoever makes many tokens would have many quotas.
    fn count(&self, client: &Client, now: Moment) -> Result<Figures, Refusal> {
        let Some(quota) = self.token_quota(client) else { return self.count_key(client, now) };
        self.check_quota(client, now)?;
        let window = self.tokens.window(client, now.unix_ms);
        let count = window.count(quota, now.monotonic_ns);
        if !count.admitted {
            return Err(self.refusal(quota, &count, now));
        }
        Ok(self.count_key(client, now)?.tighter(figures(quota, &count, now)))
    }

    fn count_key(&self, client: &Client, now: Moment) -> Result<Figures, Refusal> {
        let quota = self.quota(client);
        let count = {
            let windows = self.windows.pin();
            windows.get_or_insert_with(client.id, Arc::default).count(quota, now.monotonic_ns)
        };
        if count.admitted {
            return Ok(figures(quota, &count, now));
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
        match client.rights.limit {
            Some(calls) => Quota { calls, window_ns: self.window_ns(), unlimited: false },
            None => self.quota_of(client.rights.tier),
        }
    }

    fn token_quota(&self, client: &Client) -> Option<Quota> {
        let tier = client.token()?.tier?;
        Some(self.quota_of(tier)).filter(|quota| !quota.unlimited)
    }

    fn quota_of(&self, tier: Tier) -> Quota {
        let settings = &self.settings;
        let (calls, unlimited) = match tier {
            Tier::Unlimited => (UNLIMITED, true),
            Tier::Premium => (settings.premium, false),
            Tier::Standard => (settings.standard, false),
            Tier::Limited => (settings.limited, false),
        };
        Quota { calls, window_ns: self.window_ns(), unlimited }
    }

    fn window_ns(&self) -> u64 {
        self.settings.window_seconds.saturating_mul(1_000_000_000)
    }
}

impl Figures {
    pub(crate) fn remaining(&self) -> u64 {
        self.quota.saturating_sub(self.used)
    }

    /// Those of which less is left.
    fn tighter(self, other: Self) -> Self {
        if other.remaining() < self.remaining() { other } else { self }
    }
}

fn figures(quota: Quota, count: &Count, now: Moment) -> Figures {
    let reset_at_ms = reset_at_ms(count, now);
    let reset_unix_seconds = reset_at_ms.div_euclid(1000) + i64::from(reset_at_ms % 1000 > 0);
    Figures { quota: quota.calls, used: count.used, reset_unix_seconds }
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
