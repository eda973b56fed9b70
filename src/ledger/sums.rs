//! Refusals beyond a bounded rate, summed up: the first of a minute are written down whole, the
//! rest become one record for each reason, actor and address, with a count. So whoever fires a
//! thousand bad requests fills neither trail nor disk, and no refusal is lost. The record is opened
//! when the summing begins: a killed process leaves it with an unknown end. Must never drop a
//! count: what finds no room in the journal waits here.

use std::net::IpAddr;

use uuid::Uuid;

use super::record::{ActorKind, ActorRef, Begin, Kind};
use super::seat::{Record, Seat};
use crate::clock;
use crate::refusal::Reason;

const WINDOW_NS: u64 = 60_000_000_000;
/// Written down whole in a window, of one sort and of all together. By a lane: each thread of the
/// proxy has one, the admin face another.
const WHOLE_OF_A_SORT: u64 = 10;
const WHOLE_OF_ALL: u64 = 60;
/// Sorts told apart in a window; what comes beyond is told apart by its reason alone.
const MOST_SORTS: usize = 64;

/// What one lane has refused since its window began.
#[derive(Default)]
pub(super) struct Sums {
    /// None: the next refusal begins one.
    window_since_ns: Option<u64>,
    whole: u64,
    sums: Vec<Sum>,
    /// Ever summed up, for the metrics.
    total: u64,
}

/// Refusals that differ in nothing but time and path.
struct Sum {
    sort: Sort,
    actor_name: String,
    whole: u64,
    /// Beyond the whole ones.
    count: u64,
    first_ms: i64,
    last_ms: i64,
    /// Open while it is being counted; None while the journal has no room for it.
    record: Option<Record>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Sort {
    reason: Reason,
    actor: ActorKind,
    actor_id: Option<Uuid>,
    address: Option<IpAddr>,
}

/// When a refusal was said, on both hands of the clock.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) ns: u64,
    pub(super) unix_ms: i64,
}

impl Sums {
    /// Writes the refusal down, or counts it. `seat` answers None where the journal is crowded.
    pub(super) fn note(
        &mut self,
        reason: Reason,
        begin: &Begin<'_>,
        now: Moment,
        mut seat: impl FnMut() -> Option<Seat>,
    ) {
        if self.is_due(now.ns) {
            self.settle(&mut seat);
        }
        self.window_since_ns.get_or_insert(now.ns);
        let may_be_whole = self.whole < WHOLE_OF_ALL;
        let Some(sum) = self.sum(reason, begin) else { return };
        if may_be_whole
            && sum.whole < WHOLE_OF_A_SORT
            && let Some(seat) = seat()
        {
            let mut record = seat.open(begin);
            record.answered(reason.status(), begin.request_id, Some(reason));
            record.complete();
            sum.whole += 1;
            self.whole += 1;
            return;
        }
        sum.add(now, &mut seat);
        self.total += 1;
    }

    /// The window is over, or something waits for room.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        match self.window_since_ns {
            Some(since) => now_ns.saturating_sub(since) >= WINDOW_NS,
            None => !self.sums.is_empty(),
        }
    }

    /// Ends the window: every count becomes a record. One that finds no room is kept.
    pub(super) fn settle(&mut self, mut seat: impl FnMut() -> Option<Seat>) {
        self.sums.retain_mut(|sum| !sum.settle(&mut seat));
        self.window_since_ns = None;
        self.whole = 0;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// There are few, and a flood comes from the first of them.
    fn sum(&mut self, reason: Reason, begin: &Begin<'_>) -> Option<&mut Sum> {
        let own = Sort::of(reason, begin);
        let is_crowded = self.sums.len() >= MOST_SORTS;
        let known = self.sums.iter().position(|sum| sum.sort == own);
        let (place, sort, name) = match known {
            None if is_crowded => {
                let any = Sort::any(reason);
                (self.sums.iter().position(|sum| sum.sort == any), any, "")
            }
            place => (place, own, begin.actor.name),
        };
        let place = place.unwrap_or_else(|| {
            self.sums.push(Sum::of(sort, name));
            self.sums.len() - 1
        });
        self.sums.get_mut(place)
    }
}

impl Sort {
    fn of(reason: Reason, begin: &Begin<'_>) -> Self {
        let actor = begin.actor;
        Self { reason, actor: actor.kind, actor_id: actor.id, address: begin.address }
    }

    /// Whoever it was, from wherever.
    fn any(reason: Reason) -> Self {
        Self { reason, actor: ActorKind::Guest, actor_id: None, address: None }
    }
}

impl Sum {
    fn of(sort: Sort, name: &str) -> Self {
        Self {
            sort,
            actor_name: name.to_owned(),
            whole: 0,
            count: 0,
            first_ms: 0,
            last_ms: 0,
            record: None,
        }
    }

    fn add(&mut self, now: Moment, seat: &mut impl FnMut() -> Option<Seat>) {
        if self.count == 0 {
            self.first_ms = now.unix_ms;
        }
        self.last_ms = now.unix_ms;
        self.count += 1;
        if self.record.is_none() {
            self.record = seat().map(|seat| self.open(seat));
        }
    }

    /// False if there is a count and no room for its record.
    fn settle(&mut self, seat: &mut impl FnMut() -> Option<Seat>) -> bool {
        self.whole = 0;
        if self.count == 0 {
            return true;
        }
        let record = self.record.take().or_else(|| seat().map(|seat| self.open(seat)));
        let Some(mut record) = record else { return false };
        let detail = serde_json::json!({
            "refusals": self.count,
            "from": clock::rfc3339(self.first_ms),
            "to": clock::rfc3339(self.last_ms),
        });
        record.put_detail(&detail, usize::MAX);
        record.complete();
        true
    }

    fn open(&self, seat: Seat) -> Record {
        let sort = self.sort;
        let mut record = seat.open(&Begin {
            kind: Kind::Access,
            actor: ActorRef { kind: sort.actor, id: sort.actor_id, name: &self.actor_name },
            address: sort.address,
            provider: "",
            method: "",
            path: "",
            request_id: "",
        });
        record.answered(sort.reason.status(), "", Some(sort.reason));
        record
    }
}

/// How many calls a record stands for: one, unless it is a sum.
pub(super) fn calls_of(kind: Kind, detail: Option<&[u8]>) -> u64 {
    let (Kind::Access, Some(detail)) = (kind, detail) else { return 1 };
    let detail: Option<serde_json::Value> = serde_json::from_slice(detail).ok();
    detail.and_then(|detail| detail.get("refusals")?.as_u64()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_counts_for_its_key_as_often_as_it_says() {
        assert_eq!(calls_of(Kind::Access, None), 1);
        assert_eq!(calls_of(Kind::Access, Some(br#"{"refusals":7}"#)), 7);
        assert_eq!(calls_of(Kind::Change, Some(br#"{"refusals":7}"#)), 1);
        assert_eq!(calls_of(Kind::Access, Some(b"{")), 1);
    }
}
