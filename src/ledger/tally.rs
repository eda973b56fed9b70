//! What is counted from a batch of records while it is packed: calls by provider and status for the
//! metrics, last use for the client keys. Counted here, it costs a request nothing. Must never
//! count a batch before it is stored, nor twice: a batch that has to be packed again is forgotten
//! first.

use std::collections::HashMap;
use std::net::IpAddr;

use uuid::Uuid;

use super::record::{ActorKind, Kind};
use super::sums;
use super::view::View;
use crate::store::Touch;

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
}

/// Takes what was counted, batch by batch; wired to the metrics by whoever builds the house.
pub(crate) type Meter = Box<dyn FnMut(&Tally) + Send>;

/// The counts of the batch at hand.
#[derive(Default)]
pub(super) struct Batch {
    tallies: Vec<Tally>,
    pub(super) uses: Uses,
}

/// What calls leave on their client keys.
#[derive(Clone, Default)]
pub(super) struct Uses(HashMap<Uuid, Use>);

#[derive(Clone)]
struct Use {
    calls: u64,
    last_ms: i64,
    endpoint: String,
    address: Option<IpAddr>,
}

impl Batch {
    pub(super) fn forget(&mut self) {
        for tally in &mut self.tallies {
            tally.durations_ns.clear();
            (tally.upstream_ns, tally.bytes_in, tally.bytes_out) = (0, 0, 0);
        }
        self.uses.0.clear();
    }

    pub(super) fn add(&mut self, view: &View<'_>) {
        if let (Some(closing), Some(tally)) = (view.closing, self.tally(view)) {
            tally.durations_ns.push(closing.duration_ns);
            tally.upstream_ns += closing.upstream_ns;
            tally.bytes_in += closing.bytes_in;
            tally.bytes_out += closing.bytes_out;
        }
        match view.actor_kind {
            ActorKind::Key | ActorKind::Token => self.uses.add(view),
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
            });
        }
        match place {
            Some(place) => self.tallies.get_mut(place),
            None => self.tallies.last_mut(),
        }
    }
}

impl Uses {
    fn add(&mut self, view: &View<'_>) {
        let Some(id) = view.actor_id else {
            return;
        };
        let entry = self.0.entry(id).or_insert_with(|| Use {
            calls: 0,
            last_ms: i64::MIN,
            endpoint: String::new(),
            address: None,
        });
        entry.calls += sums::calls_of(view.kind, view.detail);
        if view.started_at_ms >= entry.last_ms {
            entry.last_ms = view.started_at_ms;
            entry.endpoint.clear();
            entry.endpoint.push_str(&String::from_utf8_lossy(view.path));
            entry.address = view.address;
        }
    }

    /// Adds another's counts to these.
    pub(super) fn merge(&mut self, others: &Self) {
        for (id, other) in &others.0 {
            let held = self.0.entry(*id).or_insert_with(|| Use { calls: 0, ..other.clone() });
            let calls = held.calls + other.calls;
            if other.last_ms > held.last_ms {
                held.clone_from(other);
            }
            held.calls = calls;
        }
    }

    /// Both together, these left as they are.
    pub(super) fn with(&self, others: &Self) -> Self {
        let mut both = self.clone();
        both.merge(others);
        both
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn to_touches(&self) -> Vec<Touch> {
        let touch = |(id, held): (&Uuid, &Use)| Touch {
            id: *id,
            last_used_at: held.last_ms,
            endpoint: held.endpoint.clone(),
            address: held.address.map(|address| address.to_string()).unwrap_or_default(),
            calls: held.calls,
        };
        self.0.iter().map(touch).collect()
    }
}
