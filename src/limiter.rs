//! Admission by count: what each client key has used, each token that has a tier of its own, and
//! each address of a page that calls with no key; allocated when it is first used and put away when
//! it rests. The only maker of an `Admission`.
//! Takes no lock that another caller's call can hold, unless calls wait in line.

mod asked;
mod berths;
mod counts;
mod line;
mod places;
mod presence;
mod refusing;
mod rows;
mod shared;
mod sharing;
mod slots;
mod turns;

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use self::asked::{Asked, Within};
use self::berths::{Berths, Stand};
use self::counts::{figures, look, of_month, reset_at_ms};
use self::places::Places;
use self::presence::Presence;
use self::shared::Shared;
pub(crate) use self::shared::{
    Bell, Parts as SharedParts, Settings as SharedSettings, Tidings, is_url, look_at,
};
use self::slots::Slots;
use self::turns::Turns;
pub(crate) use self::turns::{Asking, Granted};
use crate::client::Client;
use crate::clock::{Clock, Moment};
use crate::policy::Permit;
use crate::quota::{Limits, Period, Said, Slot};
use crate::refusal::{Reason, Refusal};
use crate::store::{self, Store};

/// What `unlimited` is reported as.
pub(crate) const UNLIMITED: u64 = 999_999;
/// Of what was admitted before the start.
const ROWS_AT_ONCE: u32 = 1000;
/// How often what rests is put away.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Settings {
    pub enabled: bool,
    pub window_seconds: u64,
    pub unlimited: u64,
    pub premium: u64,
    pub standard: u64,
    pub limited: u64,
    /// Of monthly quotas.
    pub time_zone: TimeZone,
    /// None where each node counts for itself.
    pub(crate) shared: Option<SharedSettings>,
}

/// What everybody has used.
pub(crate) struct Limiter {
    settings: Settings,
    clock: Clock,
    store: Store,
    slots: Slots,
    places: Arc<Places>,
    berths: Berths,
    turns: Turns,
    /// Where nodes share the limits, windows and months are counted there, and nowhere else.
    shared: Option<Arc<Shared>>,
    /// What the nodes know of each other through the database.
    presence: tokio::sync::Mutex<Option<Presence>>,
}

/// The right to make one counted call now; gives its places among the calls under way back on drop.
pub(crate) struct Admission {
    figures: Option<Figures>,
    /// Where the key bounds its own calls under way.
    _turn: Option<Turn>,
    _stand: Stand,
}

struct Turn(Arc<Slot>);

/// What the answer's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) quota: u64,
    /// By everybody, as far as this node knows.
    pub(crate) used: u64,
    /// What this node would let in still: less than the rest while it cannot ask the others.
    pub(crate) remaining: u64,
    pub(crate) reset_unix_seconds: i64,
}

/// What is left to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) window: Figures,
    /// Where there is a monthly quota.
    pub(crate) month: Option<Figures>,
}

impl Settings {
    pub(crate) fn window_ms(&self) -> i64 {
        i64::try_from(self.window_seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

impl Admission {
    fn of(figures: Option<Figures>, turn: Option<Turn>, stand: Stand) -> Self {
        Self { figures, _turn: turn, _stand: stand }
    }

    /// None where limits are switched off.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.figures
    }
}

impl Limiter {
    pub(crate) fn new(
        settings: Settings,
        (clock, store): (Clock, Store),
        max_in_flight: usize,
    ) -> Self {
        let (slots, places) = (Slots::default(), Places::new(max_in_flight));
        let (berths, presence) = (Berths::default(), tokio::sync::Mutex::default());
        let turns = Turns::default();
        Self { settings, clock, store, slots, places, berths, turns, shared: None, presence }
    }

    /// Counts the call, or says when the next one would be admitted. None where it must wait: as
    /// many calls are under way as may be, or nobody knows yet what was used this month. Then it
    /// has not been counted.
    pub(crate) fn admit(
        &self,
        permit: &Permit,
        address: IpAddr,
        now: Moment,
    ) -> Result<Option<Admission>, Refusal> {
        if self.shared.is_some() && self.settings.enabled {
            return Ok(None);
        }
        let asked = self.settings.asked(permit.client(), address);
        match self.stand(permit) {
            Some(stand) => self.counted(&asked, stand, now),
            // Whoever has used up his quota is told so and need not wait for it.
            None => self.judged(&asked, now, Slot::look).map(|_| None),
        }
    }

    /// Whoever has used up his quota is told so before he waits for a provider. Where nodes share
    /// the limits, that is asked once, behind it.
    pub(crate) fn look(
        &self,
        permit: &Permit,
        address: IpAddr,
        now: Moment,
    ) -> Result<(), Refusal> {
        if self.shared.is_some() {
            return Ok(());
        }
        self.judged(&self.settings.asked(permit.client(), address), now, Slot::look).map(drop)
    }

    /// After `admit` said to wait: admitted when it is this call's turn, within a short while.
    /// Boxed, so that the calls that need not wait do not carry the room for it.
    pub(crate) fn admit_in_turn<'a>(
        &'a self,
        permit: &'a Permit,
        address: IpAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let asked = self.settings.asked(permit.client(), address);
            if let Some(shared) = self.shared.as_ref().filter(|_| self.settings.enabled) {
                return self.admit_shared(shared, permit, &asked).await;
            }
            let mut stand = Some(self.stand_in_turn(permit, false).await?);
            // A month may end between the asking and the counting; two do not.
            for _ in 0..3 {
                self.learn_month(&asked).await?;
                let Some(held) = stand.take() else { break };
                if let Some(admission) = self.counted(&asked, held, self.clock.now())? {
                    return Ok(admission);
                }
                stand = Some(self.stand_in_turn(permit, false).await?);
            }
            Err(Refusal::new(Reason::Overloaded, "The month of this client key moves; try again."))
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.places.taken()
    }

    /// What a caller has used, with nothing counted. None where limits are switched off.
    pub(crate) async fn left(
        &self,
        client: &Client,
        address: IpAddr,
    ) -> Result<Option<Left>, store::Error> {
        if !self.settings.enabled {
            return Ok(None);
        }
        let now = self.clock.now();
        let asked = self.settings.asked(client, address);
        if let Some(shared) = &self.shared {
            return self.left_shared(shared, &asked).await.map(Some);
        }
        let slot = self.slots.held_by(client);
        let mut window = figures(&asked.limits, &look(slot.as_deref(), &asked.limits, now), now);
        if let Some((within, limits)) = &asked.within {
            let slot = self.slots.known_within(client.id, *within);
            window = window.tighter(figures(limits, &look(slot.as_deref(), limits, now), now));
        }
        let Some(quota) = asked.limits.monthly else {
            return Ok(Some(Left { window, month: None }));
        };
        let (used, period) = match slot.and_then(|slot| slot.month(now.unix_ms)) {
            Some(month) => month,
            None => {
                let (period, used) = self.month_used(client, now.unix_ms).await?;
                (used, period)
            }
        };
        Ok(Some(Left { window, month: Some(of_month(quota, used, &period)) }))
    }

    /// What is left to a client key, wherever it calls from.
    pub(crate) async fn left_to_key(&self, client: &Client) -> Result<Option<Left>, store::Error> {
        self.left(client, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await
    }

    pub(crate) fn window_seconds(&self) -> u64 {
        self.settings.window_seconds
    }

    /// What this node admitted before it was started, as far as it is in a window still.
    pub(crate) async fn remember(&self, node: &str) -> Result<(), store::Error> {
        if let Some(shared) = &self.shared {
            return self.remember_shared(shared, node).await;
        }
        let quota = self.settings.window(0, false);
        let mut behind = None;
        let trail_ms = self.store.newest_record().await?;
        loop {
            let page = self.store.recent_calls(node, behind.as_ref(), ROWS_AT_ONCE).await?;
            let now = self.clock.now();
            // What somebody has made up of the future counts for nobody. What the trail knows of
            // was made before the clock was set back, and counts as if it had just been.
            let latest_ms = now.unix_ms.max(trail_ms);
            for row in page.rows.iter().filter(|row| !row.is_to_come(latest_ms)) {
                // As if each had come at the end of its span: never too early.
                let age_ms = now.unix_ms.saturating_sub(row.end_at.saturating_sub(1));
                let age_ns = u64::try_from(age_ms).unwrap_or(0).saturating_mul(1_000_000);
                let calls = u32::try_from(row.calls).unwrap_or(u32::MAX);
                let slot = self.slots.of_id(row.client_id);
                slot.remember(quota, now.monotonic_ns, age_ns, calls);
            }
            let Some(last) = page.last else { return Ok(()) };
            behind = Some(last);
        }
    }

    /// Puts away what rests, now and then. Never ends.
    pub(crate) async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.slots.sweep(self.settings.window(0, false), self.clock.monotonic_ns());
            self.turns.sweep(&self.clock);
            if let Some(shared) = &self.shared {
                shared.sweep();
            }
        }
    }

    /// What was used of this month before the house started.
    async fn learn_month(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let now_ms = self.clock.unix_ms();
        let client = asked.client;
        let knows = |slot: &Arc<Slot>| slot.month(now_ms).is_some();
        if asked.limits.monthly.is_none() || self.slots.held_by(client).as_ref().is_some_and(knows)
        {
            return Ok(());
        }
        let slot = self.slots.held_by(client);
        let (period, used) = match self.month_used(client, now_ms).await {
            Ok(month) => month,
            // Nobody has used any of a month before it begins.
            Err(_) if slot.is_some_and(|slot| slot.has_month()) => {
                (Period::of(client.id, now_ms, &self.settings.time_zone), 0)
            }
            Err(fault) => return Err(refusing::without_month(&fault)),
        };
        self.slots.of_client(client, |slot| {
            slot.tell_month(period, used);
            Said::MonthUnknown
        });
        Ok(())
    }

    fn counted(
        &self,
        asked: &Asked<'_>,
        stand: Stand,
        now: Moment,
    ) -> Result<Option<Admission>, Refusal> {
        if !self.settings.enabled {
            return Ok(Some(Admission::of(None, None, stand)));
        }
        let Some(figures) = self.judged(asked, now, Slot::admit)? else { return Ok(None) };
        let turn = asked.limits.concurrent.and_then(|_| self.slots.held_by(asked.client)).map(Turn);
        Ok(Some(Admission::of(Some(figures), turn, stand)))
    }

    /// None where the month is not known.
    fn judged(
        &self,
        asked: &Asked<'_>,
        now: Moment,
        judge: impl Fn(&Slot, &Limits, Option<(&Slot, &Limits)>, Moment) -> Said,
    ) -> Result<Option<Figures>, Refusal> {
        if !self.settings.enabled {
            return Ok(None);
        }
        let Asked { client, limits, within } = asked;
        let said = self.slots.of_client(client, |slot| match within {
            None => judge(slot, limits, None, now),
            Some((within, narrow)) => self.slots.of_within(client.id, *within, |inner| {
                judge(inner, narrow, Some((slot, limits)), now)
            }),
        });
        let (inner, outer) = asked.kinds();
        let inner = inner.unwrap_or((outer, *limits));
        match said {
            Said::Counted(count) => {
                Ok(Some(self.nearer(asked, figures(limits, &count, now), now.unix_ms)))
            }
            Said::CountedTwice(own, around) => {
                let own = figures(&inner.1, &own, now).tighter(figures(limits, &around, now));
                Ok(Some(self.nearer(asked, own, now.unix_ms)))
            }
            Said::MonthUnknown | Said::Gone | Said::OuterGone => Ok(None),
            Said::Over(over) => Err(self.refusal(inner, over, now)),
            Said::OverOuter(over) => Err(self.refusal((outer, *limits), over, now)),
        }
    }

    /// The month's figures where less is left of it than of the window.
    fn nearer(&self, asked: &Asked<'_>, window: Figures, now_ms: i64) -> Figures {
        let Some(quota) = asked.limits.monthly else { return window };
        let slot = self.slots.held_by(asked.client);
        match slot.and_then(|slot| slot.month(now_ms)) {
            Some((used, period)) => window.tighter(of_month(quota, used, &period)),
            None => window,
        }
    }

    /// The month in which a client key is, and what it had used of it when that was last written
    /// down. A clock that was set back opens none anew: the later month goes on.
    async fn month_used(
        &self,
        client: &Client,
        now_ms: i64,
    ) -> Result<(Period, u64), store::Error> {
        let zone = &self.settings.time_zone;
        let period = Period::of(client.id, now_ms, zone);
        let Some(month) = self.store.monthly_calls(client.id).await? else {
            return Ok((period, 0));
        };
        if month.start == period.start_ms {
            return Ok((period, month.calls));
        }
        // A time that the trail does not know of is somebody's invention.
        if month.start > period.start_ms && month.start <= self.store.newest_record().await? {
            return Ok((Period::of(client.id, month.start, zone), month.calls));
        }
        Ok((period, 0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.leave();
    }
}
