//! One queue: who waits for which secrets, in whose turn, and who hands out what is free.
//! Bounded in length; who leaves it, or may not be served yet, holds nobody up.
//! Must never give a turn to one that may not be served with that secret.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::line::Line;
use super::{Asking, Granted};
use crate::clock::Clock;
use crate::policy::Permit;
use crate::quota::{Source, Sources, Supply, Ticket, Wait};

/// How soon a clock that was set is noticed, and what an answer has changed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// So long behind a client's last call the house leaves room for the next one.
const EXPECTED_NS: u64 = 300_000_000_000;

#[derive(Default)]
pub(super) struct Counts {
    pub(super) waiting: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) waited_ns: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) full: AtomicU64,
}

pub(super) struct Queue {
    sources: Sources,
    lines: Mutex<Lines>,
}

struct Lines {
    clients: Line<Place>,
    house: Line<Place>,
    /// Somebody hands out turns.
    is_served: bool,
    /// When a client called last.
    client_ns: Option<u64>,
}

/// One that waits.
struct Place {
    wants: Wants,
    /// None: no secret serves him any more.
    turn: oneshot::Sender<Option<Granted>>,
}

/// Which secret a call may be served with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Any,
    This(Uuid),
}

/// Somebody in the queue; leaves it when he is dropped.
pub(super) struct Waiter<'a> {
    queue: &'a Queue,
    counts: &'a Counts,
    who: Uuid,
    is_house: bool,
    pub(super) turn: oneshot::Receiver<Option<Granted>>,
}

impl Wants {
    pub(super) fn of(permit: &Permit, asking: &Asking) -> Self {
        match permit.provider().pool && permit.secret().is_none() {
            true => Self::Any,
            false => Self::This(asking.secret),
        }
    }

    fn takes(self, source: &Source) -> bool {
        match self {
            Self::Any => source.serves_any,
            Self::This(secret) => source.secret == secret,
        }
    }
}

impl Lines {
    /// What one of the house may take leaves room for clients, where any is to be expected.
    fn take(&self, supply: &Arc<Supply>, is_house: bool, clock: &Clock) -> Option<Ticket> {
        supply.take_if(is_house && self.expects_clients(clock.monotonic_ns()), clock)
    }

    fn expects_clients(&self, now_ns: u64) -> bool {
        self.client_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < EXPECTED_NS)
    }

    fn length(&self) -> usize {
        self.clients.len() + self.house.len()
    }

    /// Does somebody wait for this one?
    fn wants(&self, source: &Source, with_house: bool) -> bool {
        let takes = |place: &Place| place.wants.takes(source);
        self.clients.has_any(takes) || with_house && self.house.has_any(takes)
    }

    /// When it is free for the first of those who wait for it.
    fn until_ns(&self, source: &Source, now_ns: u64) -> u64 {
        let is_house = !self.wants(source, false);
        let spares = is_house && self.expects_clients(now_ns);
        let wait = source.supply.wait_if(spares, now_ns);
        wait.map_or(0, |wait| wait.until_ns)
    }

    /// Clients first. Whoever left in this moment hands his turn on.
    fn give(&mut self, source: &Source, ticket: Ticket) {
        let takes = |place: &Place| place.wants.takes(source);
        let mut turn = Some((source.secret, ticket));
        while let Some(next) = self.clients.pop_where(takes).or_else(|| self.house.pop_where(takes))
        {
            match next.turn.send(turn) {
                Ok(()) => return,
                Err(refused) => turn = refused,
            }
        }
    }

    /// Whoever waits for a secret that serves nobody any more waits in vain.
    fn dismiss(&mut self, sources: &[Source]) {
        let in_vain = |place: &Place| !sources.iter().any(|source| place.wants.takes(source));
        while let Some(gone) =
            self.clients.pop_where(in_vain).or_else(|| self.house.pop_where(in_vain))
        {
            let _left = gone.turn.send(None);
        }
    }
}

impl Queue {
    pub(super) fn new(sources: &Sources, longest: usize) -> Arc<Self> {
        let (clients, house) = (Line::new(longest), Line::new(usize::MAX));
        let lines = Mutex::new(Lines { clients, house, is_served: false, client_ns: None });
        Arc::new(Self { sources: Arc::clone(sources), lines })
    }

    /// So many clients may wait from here on.
    pub(super) fn bound(&self, longest: usize) {
        self.lines().clients.bound(longest);
    }

    /// Clients that wait.
    pub(super) fn clients(&self) -> usize {
        self.lines().clients.len()
    }

    /// Has one called of late?
    pub(super) fn expects_clients(&self, clock: &Clock) -> bool {
        self.lines().expects_clients(clock.monotonic_ns())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines().length() == 0
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without waiting, where nobody stands before him.
    pub(super) fn pass(
        &self,
        (wants, is_house): (Wants, bool),
        asking: &Asking,
        clock: &Clock,
    ) -> Option<Granted> {
        let mut lines = self.lines();
        if !is_house {
            lines.client_ns = Some(clock.monotonic_ns());
        }
        if lines.length() == 0
            && let Some(ticket) = lines.take(&asking.supply, is_house, clock)
        {
            return Some((asking.secret, ticket));
        }
        if lines.length() == 0 && wants != Wants::Any {
            return None;
        }
        let mut free = (self.sources)();
        free.retain(|source| wants.takes(source) && !lines.wants(source, is_house));
        free.iter()
            .find_map(|source| Some((source.secret, lines.take(&source.supply, is_house, clock)?)))
    }

    /// None where the queue is full.
    pub(super) fn enqueue<'a>(
        self: &'a Arc<Self>,
        (who, wants, is_house): (Uuid, Wants, bool),
        clock: &Clock,
        counts: &'a Counts,
    ) -> Option<Waiter<'a>> {
        let (sender, turn) = oneshot::channel();
        let place = Place { wants, turn: sender };
        let mut lines = self.lines();
        let is_in = match is_house {
            true => lines.house.push_beyond(who, place),
            false => lines.clients.push(who, place),
        };
        if !is_in {
            return None;
        }
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut lines.is_served, true) {
            tokio::spawn(serve(Arc::clone(self), clock.clone()));
        }
        drop(lines);
        Some(Waiter { queue: self, counts, who, is_house, turn })
    }

    /// Hands out what there is. None where nobody waits any more; else how long to sleep.
    fn hand_out(&self, clock: &Clock) -> Option<Duration> {
        let sources = (self.sources)();
        let mut lines = self.lines();
        lines.dismiss(&sources);
        for source in &sources {
            while lines.wants(source, true)
                && let Some(ticket) = lines.take(&source.supply, !lines.wants(source, false), clock)
            {
                lines.give(source, ticket);
            }
        }
        if lines.length() == 0 {
            lines.is_served = false;
            return None;
        }
        let now_ns = clock.monotonic_ns();
        let wanted = sources.iter().filter(|source| lines.wants(source, true));
        let until_ns = wanted.map(|source| lines.until_ns(source, now_ns)).min();
        let sleep = Duration::from_nanos(until_ns.unwrap_or(0).saturating_sub(now_ns));
        Some(sleep.clamp(SHORTEST_SLEEP, LOOK_EVERY))
    }

    /// When one of those that may serve him is free, and how many calls they take in a second.
    pub(super) fn outlook(&self, wants: Wants, now_ns: u64) -> (Option<Wait>, f64) {
        let mut sources = (self.sources)();
        sources.retain(|source| wants.takes(source));
        let waits: Option<Vec<Wait>> =
            sources.iter().map(|source| source.supply.wait(now_ns)).collect();
        let waits = waits.unwrap_or_default();
        let is_certain = waits.iter().all(|wait| wait.is_certain);
        let until_ns = waits.iter().map(|wait| wait.until_ns).min();
        let limits = sources.iter().filter_map(|source| source.supply.standing(now_ns).limit);
        let rate = limits.map(|(calls, seconds)| as_f64(calls) / as_f64(seconds.max(1))).sum();
        (until_ns.map(|until_ns| Wait { until_ns, is_certain }), rate)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls, and times that nobody waits for")]
pub(super) fn as_f64(number: u64) -> f64 {
    number as f64
}

/// As long as somebody waits.
async fn serve(queue: Arc<Queue>, clock: Clock) {
    while let Some(sleep) = queue.hand_out(&clock) {
        tokio::time::sleep(sleep).await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        // Whoever has his turn, or was sent away for it, is in the queue no more.
        self.turn.close();
        let mut lines = self.queue.lines();
        let line = if self.is_house { &mut lines.house } else { &mut lines.clients };
        line.forget(self.who, |place| place.turn.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const LONG: Duration = Duration::from_secs(30);

    fn queue(longest: usize) -> (Clock, Arc<Queue>, Arc<Counts>) {
        let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
        supply.allow(Some((1, SECOND_NS)));
        (clock, Queue::new(&sources(&[(&supply, true)]), longest), Arc::default())
    }

    /// Numbered from 0.
    fn sources(supplies: &[(&Arc<Supply>, bool)]) -> Sources {
        let own: Vec<(Arc<Supply>, bool)> =
            supplies.iter().map(|(supply, any)| (Arc::clone(supply), *any)).collect();
        let source = |(at, (supply, serves_any)): (usize, &(Arc<Supply>, bool))| Source {
            secret: Uuid::from_u128(at as u128),
            supply: Arc::clone(supply),
            serves_any: *serves_any,
        };
        Arc::new(move || own.iter().enumerate().map(source).collect())
    }

    fn asking(queue: &Queue, secret: usize) -> Asking {
        let mut all = (queue.sources)();
        let Source { secret, supply, .. } = all.swap_remove(secret);
        Asking { secret, supply, sources: Arc::clone(&queue.sources) }
    }

    fn pass(queue: &Queue, is_house: bool, clock: &Clock) -> Option<Ticket> {
        let turn = queue.pass((Wants::Any, is_house), &asking(queue, 0), clock)?;
        Some(turn.1)
    }

    /// Somebody who waits for one turn, and writes down that he had it.
    fn wait(
        (clock, queue, counts): (&Clock, &Arc<Queue>, &Arc<Counts>),
        (who, is_house): (u128, bool),
        served: &Arc<Mutex<Vec<u128>>>,
    ) -> tokio::task::JoinHandle<bool> {
        let (clock, queue, counts) = (clock.clone(), Arc::clone(queue), Arc::clone(counts));
        let served = Arc::clone(served);
        tokio::spawn(async move {
            let who_is = (Uuid::from_u128(who), Wants::Any, is_house);
            let Some(mut waiter) = queue.enqueue(who_is, &clock, &counts) else { return false };
            let Ok(Some((_, ticket))) = (&mut waiter.turn).await else { return false };
            ticket.leaves();
            served.lock().unwrap().push(who);
            ticket.answered(None);
            true
        })
    }

    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass_seconds(clock: &Clock, seconds: u32) {
        for _ in 0..seconds {
            clock.advance(Duration::from_millis(1_030));
            tokio::time::sleep(LOOK_EVERY * 2).await;
        }
    }

    #[tokio::test]
    async fn clients_take_turns_and_the_house_comes_behind_them() {
        let (clock, queue, counts) = queue(100);
        let served = Arc::default();
        let first = pass(&queue, false, &clock).unwrap();
        first.leaves();
        first.answered(None);
        let all = (&clock, &queue, &counts);
        let mut tasks = vec![wait(all, (9, true), &served)];
        settle().await;
        for who in [1, 1, 1, 2, 2] {
            tasks.push(wait(all, (who, false), &served));
            settle().await;
        }
        assert!(pass(&queue, true, &clock).is_none() && pass(&queue, false, &clock).is_none());
        pass_seconds(&clock, 7).await;
        for task in tasks {
            assert!(tokio::time::timeout(LONG, task).await.unwrap().unwrap());
        }
        assert_eq!(*served.lock().unwrap(), [1, 2, 1, 2, 1, 9]);
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_house_leaves_room_where_clients_have_called_of_late() {
        let (clock, supply) = (Clock::settable(0), Arc::new(Supply::default()));
        supply.allow(Some((5, 60 * SECOND_NS)));
        let queue = Queue::new(&sources(&[(&supply, true)]), 10);
        let take = |is_house| pass(&queue, is_house, &clock).map(|ticket| ticket.answered(None));
        let taken = |is_house| (0..10).filter(|_| take(is_house).is_some()).count();
        assert_eq!(taken(true), 5, "nobody else has called");
        clock.advance(Duration::from_secs(61));
        assert!(take(false).is_some());
        assert_eq!(taken(true), 3, "a fifth is left for the next one");
        assert!(queue.expects_clients(&clock));
        assert!(take(false).is_some() && take(false).is_none());
        clock.advance(Duration::from_nanos(EXPECTED_NS));
        assert!(!queue.expects_clients(&clock));
        assert_eq!(taken(true), 5);
    }

    #[tokio::test]
    async fn whoever_leaves_frees_his_place_and_loses_nobody_a_turn() {
        let (clock, queue, counts) = queue(3);
        let served = Arc::default();
        let held = pass(&queue, false, &clock).unwrap();
        let all = (&clock, &queue, &counts);
        let mut tasks = Vec::new();
        for who in [1, 2, 3] {
            tasks.push(wait(all, (who, false), &served));
            settle().await;
        }
        assert!(!wait(all, (4, false), &served).await.unwrap(), "the queue is full");
        tasks.remove(0).abort();
        settle().await;
        assert_eq!(queue.lines().length(), 2);
        tasks.push(wait(all, (4, false), &served));
        settle().await;
        drop(held);
        pass_seconds(&clock, 5).await;
        for task in tasks {
            assert!(tokio::time::timeout(LONG, task).await.unwrap().unwrap());
        }
        assert_eq!(*served.lock().unwrap(), [2, 3, 4]);
    }

    /// Two that share the load, and one that is set aside.
    fn pool() -> (Clock, Arc<Queue>, [Arc<Supply>; 3], Arc<Counts>) {
        let supplies: [Arc<Supply>; 3] = Default::default();
        for supply in &supplies {
            supply.allow(Some((1, 60 * SECOND_NS)));
        }
        let [one, other, aside] = &supplies;
        let sources = sources(&[(one, true), (other, true), (aside, false)]);
        (Clock::settable(0), Queue::new(&sources, 100), supplies, Arc::default())
    }

    #[tokio::test]
    async fn whoever_waits_for_a_pool_is_served_by_the_one_that_is_free_first() {
        let (clock, queue, supplies, counts) = pool();
        let held: Vec<_> = supplies.iter().map(|supply| supply.take(&clock).unwrap()).collect();
        assert!(queue.pass((Wants::Any, false), &asking(&queue, 0), &clock).is_none());
        let enter =
            |who, wants| queue.enqueue((Uuid::from_u128(who), wants, false), &clock, &counts);
        let mut named = enter(1, Wants::This(Uuid::from_u128(2))).unwrap();
        let (mut first, mut second) =
            (enter(2, Wants::Any).unwrap(), enter(3, Wants::Any).unwrap());
        // Selected for the first one, served by the second: that comes back.
        let mut held = held.into_iter();
        let (_one, other, aside) = (held.next(), held.next(), held.next());
        drop(other);
        let turn = tokio::time::timeout(LONG, &mut first.turn).await.unwrap().unwrap().unwrap();
        assert_eq!(turn.0, Uuid::from_u128(1));
        // One that is set aside serves those who name it, and nobody else.
        drop(aside);
        let turn_of_named = tokio::time::timeout(LONG, &mut named.turn).await.unwrap();
        let turn_of_named = turn_of_named.unwrap().unwrap();
        assert_eq!(turn_of_named.0, Uuid::from_u128(2));
        settle().await;
        assert!(second.turn.try_recv().is_err());
        drop((turn, turn_of_named));
        let turn = tokio::time::timeout(LONG, &mut second.turn).await.unwrap().unwrap().unwrap();
        assert_eq!(turn.0, Uuid::from_u128(1));
    }

    #[tokio::test]
    async fn whoever_waits_for_one_secret_holds_up_nobody_who_may_have_another() {
        let (clock, queue, supplies, counts) = pool();
        let [one, other, _] = &supplies;
        let busy = one.take(&clock).unwrap();
        let this = Wants::This(Uuid::from_u128(0));
        let named = queue.enqueue((Uuid::from_u128(1), this, false), &clock, &counts).unwrap();
        // Selected for the one that is busy, though the other is free by now.
        let turn = queue.pass((Wants::Any, false), &asking(&queue, 0), &clock).unwrap();
        assert_eq!(turn.0, Uuid::from_u128(1));
        assert!(other.take(&clock).is_none());
        let (wait, rate) = queue.outlook(Wants::Any, clock.monotonic_ns());
        assert!(wait.is_some() && (rate - 2.0 / 60.0).abs() < 1e-9, "{rate}");
        drop((busy, turn, named));
        settle().await;
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_secret_that_is_gone_is_told_so() {
        let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (supply, is_gone) = (Arc::<Supply>::default(), Arc::clone(&gone));
        supply.allow(Some((1, 60 * SECOND_NS)));
        let source = move || Source {
            secret: Uuid::nil(),
            supply: Arc::clone(&supply),
            serves_any: !is_gone.load(Ordering::Relaxed),
        };
        let sources: Sources = Arc::new(move || vec![source()]);
        let (clock, counts) = (Clock::settable(0), Counts::default());
        let queue = Queue::new(&sources, 10);
        let _held = pass(&queue, false, &clock).unwrap();
        let who = (Uuid::from_u128(1), Wants::Any, false);
        let mut waiter = queue.enqueue(who, &clock, &counts).unwrap();
        gone.store(true, Ordering::Relaxed);
        let told = tokio::time::timeout(LONG, &mut waiter.turn).await.unwrap().unwrap();
        assert!(told.is_none());
    }
}
