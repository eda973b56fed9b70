//! What is counted from a batch of records while it is packed: calls by provider and status for the
//! metrics, last use for the client keys and for the versions of providers' keys. Counted here, it
//! costs a request nothing. Must never count a batch before it is stored, nor twice: a batch that
//! has to be packed again is forgotten first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::record::{ActorKind, Kind};
use super::repeats::Repeats;
use super::rollup::Rollup;
use super::routes::Routes;
use super::served::Served;
use super::sums;
use super::view::View;
use crate::quota::Period;
use crate::store::{CalledFrom, Counted, MonthlyCalls, RecentCalls, Touch};

/// Calls of one batch that share kind, provider and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) kind: Kind,
    /// Empty where none was concerned.
    pub(crate) provider: String,
    /// 0 where no answer is known.
    pub(crate) status: u16,
    /// One for each call that ended.
    pub(crate) durations_ns: Vec<u64>,
    pub(crate) upstream_ns: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Answers in which the real key stood.
    pub(crate) echoes: u64,
}

/// Takes what was counted, batch by batch; wired to the metrics by whoever builds the house.
pub(crate) type Meter = Box<dyn FnMut(&Tally) + Send>;

/// Of one client key in one batch.
const MOST_ADDRESSES: usize = 32;

/// The counts of the batch at hand.
pub(super) struct Batch {
    tallies: Vec<Tally>,
    pub(super) uses: Uses,
    span_ms: i64,
}

/// How quotas are counted, so that a restart finds what was used.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) window_ms: i64,
    /// Of monthly quotas.
    pub(crate) time_zone: TimeZone,
}

/// What calls leave on their client keys.
#[derive(Clone, Default)]
pub(super) struct Uses {
    keys: HashMap<Uuid, Use>,
    rollup: Rollup,
    routes: Routes,
    repeats: Repeats,
    served: Served,
}

#[derive(Clone)]
struct Use {
    calls: u64,
    /// Those that counted against its quotas, by the end of the span in which they came.
    counted: Vec<(i64, u64)>,
    last_ms: i64,
    endpoint: String,
    address: Option<IpAddr>,
    /// Every one of the batch, and when it came last.
    addresses: Vec<(IpAddr, i64)>,
}

impl Counting {
    /// A sixtieth of the window, as quotas are counted.
    pub(super) fn span_ms(&self) -> i64 {
        (self.window_ms / 60).max(1)
    }
}

impl Batch {
    pub(super) fn new(span_ms: i64) -> Self {
        Self { tallies: Vec::new(), uses: Uses::default(), span_ms }
    }

    pub(super) fn forget(&mut self) {
        for tally in &mut self.tallies {
            tally.durations_ns.clear();
            (tally.upstream_ns, tally.bytes_in, tally.bytes_out) = (0, 0, 0);
            tally.echoes = 0;
        }
        self.uses.clear();
    }

    pub(super) fn add(&mut self, view: &View<'_>) {
        if let (Some(closing), Some(tally)) = (view.closing, self.tally(view)) {
            tally.durations_ns.push(closing.duration_ns);
            tally.upstream_ns += closing.upstream_ns;
            tally.bytes_in += closing.bytes_in;
            tally.bytes_out += closing.bytes_out;
            tally.echoes += u64::from(closing.scrub_hits > 0);
        }
        self.uses.rollup.add(view);
        self.uses.served.add(view);
        match view.actor_kind {
            ActorKind::Key | ActorKind::Token => self.uses.add(view, self.span_ms),
            ActorKind::Operator | ActorKind::Guest | ActorKind::Local | ActorKind::House => {}
        }
    }

    /// After the batch was stored.
    pub(super) fn report(&self, meter: &mut Meter) {
        for tally in self.tallies.iter().filter(|tally| !tally.durations_ns.is_empty()) {
            meter(tally);
        }
    }

    /// There are few, providers times statuses, and the common ones were found first.
    fn tally(&mut self, view: &View<'_>) -> Option<&mut Tally> {
        let status = view.answer.map_or(0, |answer| answer.status);
        let place = self.tallies.iter().position(|tally| {
            tally.status == status
                && tally.kind == view.kind
                && tally.provider.as_bytes() == view.provider
        });
        if place.is_none() {
            self.tallies.push(Tally {
                kind: view.kind,
                provider: String::from_utf8_lossy(view.provider).into_owned(),
                status,
                durations_ns: Vec::new(),
                upstream_ns: 0,
                bytes_in: 0,
                bytes_out: 0,
                echoes: 0,
            });
        }
        match place {
            Some(place) => self.tallies.get_mut(place),
            None => self.tallies.last_mut(),
        }
    }
}

impl Uses {
    fn add(&mut self, view: &View<'_>, span_ms: i64) {
        let Some(id) = view.actor_id else {
            return;
        };
        self.routes.add(id, view);
        self.repeats.add(id, view);
        let entry = self.keys.entry(id).or_insert_with(|| Use {
            calls: 0,
            counted: Vec::new(),
            last_ms: i64::MIN,
            endpoint: String::new(),
            address: None,
            addresses: Vec::new(),
        });
        if let Some(address) = view.address {
            entry.called_from(address, view.started_at_ms);
        }
        entry.calls += sums::calls_of(view.kind, view.detail);
        if view.kind == Kind::Usage && view.forwards > 0 {
            entry.count(end_of_span(view.started_at_ms, span_ms), 1);
        }
        if view.started_at_ms >= entry.last_ms {
            entry.last_ms = view.started_at_ms;
            entry.endpoint.clear();
            // As a caller writes it: the provider first.
            if view.kind == Kind::Usage && !view.provider.is_empty() {
                entry.endpoint.push('/');
                entry.endpoint.push_str(&String::from_utf8_lossy(view.provider));
            }
            entry.endpoint.push_str(&String::from_utf8_lossy(view.path));
            entry.address = view.address;
        }
    }

    /// Adds another's counts to these.
    pub(super) fn merge(&mut self, others: &Self) {
        self.rollup.merge(&others.rollup);
        self.routes.merge(&others.routes);
        self.repeats.merge(&others.repeats);
        self.served.merge(&others.served);
        for (id, other) in &others.keys {
            let held = self.keys.entry(*id).or_insert_with(|| Use {
                calls: 0,
                counted: Vec::new(),
                addresses: Vec::new(),
                ..other.clone()
            });
            held.calls += other.calls;
            for (end_at, calls) in &other.counted {
                held.count(*end_at, *calls);
            }
            for (address, at) in &other.addresses {
                held.called_from(*address, *at);
            }
            if other.last_ms > held.last_ms {
                held.last_ms = other.last_ms;
                held.endpoint.clone_from(&other.endpoint);
                held.address = other.address;
            }
        }
    }

    /// Both together, these left as they are.
    pub(super) fn with(&self, others: &Self) -> Self {
        let mut both = self.clone();
        both.merge(others);
        both
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.rollup.is_empty() && self.served.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.rollup.clear();
        self.routes.clear();
        self.repeats.clear();
        self.served.clear();
    }

    /// As it is stored, with the records up to `next_sequence`.
    pub(super) fn to_counted(
        &self,
        counting: &Counting,
        (next_sequence, now_ms): (u64, i64),
    ) -> Counted {
        let mut counted = Counted {
            next_sequence,
            forget_before: now_ms.saturating_sub(counting.window_ms + counting.span_ms()),
            usage: self.rollup.to_rows(),
            routes: self.routes.to_rows(),
            repeated: self.repeats.to_rows(),
            served: self.served.to_rows(),
            ..Counted::default()
        };
        for (id, held) in &self.keys {
            counted.touches.push(held.to_touch(*id));
            let recent = |(end_at, calls): &(i64, u64)| RecentCalls {
                end_at: *end_at,
                client_id: *id,
                calls: *calls,
            };
            counted.recent.extend(held.counted.iter().map(recent));
            let from = |(address, at): &(IpAddr, i64)| CalledFrom {
                client_id: *id,
                address: *address,
                at: *at,
            };
            counted.addresses.extend(held.addresses.iter().map(from));
            counted.monthly.extend(held.to_months(*id, (&counting.time_zone, now_ms)));
        }
        counted
    }
}

impl Use {
    /// Of a network where that is what somebody has; in one batch, so many.
    fn called_from(&mut self, address: IpAddr, at: i64) {
        let address = network(address);
        if let Some((_, last)) = self.addresses.iter_mut().find(|(held, _)| *held == address) {
            *last = (*last).max(at);
        } else if self.addresses.len() < MOST_ADDRESSES {
            self.addresses.push((address, at));
        }
    }

    fn count(&mut self, end_at: i64, calls: u64) {
        match self.counted.iter_mut().rev().find(|(held, _)| *held == end_at) {
            Some((_, held)) => *held += calls,
            None => self.counted.push((end_at, calls)),
        }
    }

    fn to_touch(&self, id: Uuid) -> Touch {
        Touch {
            id,
            last_used_at: self.last_ms,
            endpoint: self.endpoint.clone(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            calls: self.calls,
        }
    }

    fn to_months(&self, client_id: Uuid, (zone, now_ms): (&TimeZone, i64)) -> Vec<MonthlyCalls> {
        let running = Period::of(client_id, now_ms, zone);
        let mut months: Vec<(Period, MonthlyCalls)> = Vec::new();
        for (end_at, calls) in &self.counted {
            let at = end_at - 1;
            match months.iter_mut().find(|(month, _)| (month.start_ms..month.end_ms).contains(&at))
            {
                Some((_, held)) => held.calls += calls,
                None => {
                    let month = Period::of(client_id, at, zone);
                    let (start, is_running) = (month.start_ms, month.start_ms >= running.start_ms);
                    let counted = MonthlyCalls { client_id, start, calls: *calls, is_running };
                    months.push((month, counted));
                }
            }
        }
        months.into_iter().map(|(_, calls)| calls).collect()
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Spans end where quarters of an hour do, too: no month begins elsewhere.
fn end_of_span(at_ms: i64, span_ms: i64) -> i64 {
    const QUARTER_MS: i64 = 900_000;
    let end_of = |length: i64| (at_ms.div_euclid(length) + 1).saturating_mul(length);
    end_of(span_ms).min(end_of(QUARTER_MS))
}
