//! The places of calls in flight, and the short queue before them: a few callers wait for a moment,
//! clients in turn. Where there is room a place costs one addition and two looks.
//! Must never give out more places than there are, nor let anybody pass those who wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::line::Line;

/// A tenth of the places, within these bounds.
const LEAST_QUEUE: usize = 8;
const LONGEST_QUEUE: usize = 1_000;
/// So long whoever has waited elsewhere waits here, and whoever comes after him.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Places {
    most: usize,
    taken: AtomicUsize,
    /// How many in the queue had waited elsewhere before, all at once perhaps: until they are gone
    /// nobody is sent away because the queue is long.
    patient: AtomicUsize,
    /// How many stand in the queue: who finds one there takes no place by himself.
    waiting: AtomicUsize,
    queue: Mutex<Line<oneshot::Sender<Place>>>,
}

/// One of the places; goes to the first who waits, or back, when it is dropped.
pub(super) struct Place(Arc<Places>);

/// Somebody in the queue; leaves it when he is dropped.
struct Waiter {
    places: Arc<Places>,
    who: Uuid,
    is_patient: bool,
    turn: oneshot::Receiver<Place>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: AtomicUsize::new(0),
            patient: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Line::new((most / 10).clamp(LEAST_QUEUE, LONGEST_QUEUE))),
        })
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// A place, if there is one and nobody waits for it.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        if self.waiting.load(Ordering::SeqCst) > 0 { None } else { self.take_any() }
    }

    /// A place when it is this caller's turn. None if the queue is full or the wait too long.
    /// Whoever has waited elsewhere finds room in any queue.
    pub(super) async fn wait(
        self: Arc<Self>,
        (who, has_waited): (Uuid, bool),
        at_most: Duration,
    ) -> Option<Place> {
        let is_lenient = has_waited || self.patient.load(Ordering::SeqCst) > 0;
        let at_most = if is_lenient { at_most.max(PATIENCE) } else { at_most };
        if at_most.is_zero() {
            return None;
        }
        let mut waiter = self.enqueue(who, (has_waited, is_lenient))?;
        // A place that was given back while we stepped in line is nobody's yet.
        self.hand_out();
        let place = tokio::time::timeout(at_most, &mut waiter.turn).await;
        place.ok()?.ok()
    }

    fn take_any(self: &Arc<Self>) -> Option<Place> {
        if self.taken.fetch_add(1, Ordering::SeqCst) < self.most {
            return Some(Place(Arc::clone(self)));
        }
        self.taken.fetch_sub(1, Ordering::SeqCst);
        None
    }

    fn enqueue(
        self: &Arc<Self>,
        who: Uuid,
        (is_patient, is_lenient): (bool, bool),
    ) -> Option<Waiter> {
        let (sender, turn) = oneshot::channel();
        let mut queue = self.queue();
        let is_in = match is_lenient {
            true => queue.push_beyond(who, sender),
            false => queue.push(who, sender),
        };
        self.waiting.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        if is_in && is_patient {
            self.patient.fetch_add(1, Ordering::SeqCst);
        }
        is_in.then(|| Waiter { places: Arc::clone(self), who, is_patient, turn })
    }

    /// Free places go to those who wait, the first of them first.
    fn hand_out(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            let Some(mut place) = self.take_any() else { return };
            // Whoever left in this moment hands the place on.
            while let Some(next) = self.next_in_line() {
                match next.send(place) {
                    Ok(()) => break,
                    Err(refused) => place = refused,
                }
            }
        }
    }

    fn next_in_line(&self) -> Option<oneshot::Sender<Place>> {
        let mut queue = self.queue();
        let next = queue.pop();
        self.waiting.store(queue.len(), Ordering::SeqCst);
        next
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Line<oneshot::Sender<Place>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // In this order, as somebody who steps in line looks the other way round: one of the two
        // sees the other.
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.hand_out();
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.is_patient {
            self.places.patient.fetch_sub(1, Ordering::SeqCst);
        }
        self.turn.close();
        let mut queue = self.places.queue();
        queue.forget(self.who, oneshot::Sender::is_closed);
        self.places.waiting.store(queue.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_AT_MOST: Duration = Duration::from_secs(1);
    const WHO: Uuid = Uuid::nil();

    fn settled<T>(turn: &tokio::task::JoinHandle<T>) -> bool {
        turn.is_finished()
    }

    /// In line, and seen there.
    async fn in_line(places: &Arc<Places>) -> tokio::task::JoinHandle<Option<Place>> {
        let before = places.queue().len();
        let turn = tokio::spawn(Arc::clone(places).wait((WHO, false), WAIT_AT_MOST));
        while places.queue().len() == before && !settled(&turn) {
            tokio::task::yield_now().await;
        }
        turn
    }

    #[tokio::test]
    async fn a_place_goes_to_the_first_in_line_and_nobody_passes_by() {
        let places = Places::new(1);
        let held = places.take().unwrap();
        let first = in_line(&places).await;
        let second = in_line(&places).await;
        drop(held);
        assert!(places.take().is_none(), "nobody passes those who wait");
        let held = first.await.unwrap().unwrap();
        assert!(!settled(&second));
        drop(held);
        let held = second.await.unwrap().unwrap();
        assert_eq!(places.taken(), 1);
        drop(held);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test]
    async fn the_queue_is_short_and_so_is_the_wait() {
        let places = Places::new(1);
        let held = places.take().unwrap();
        let clock = crate::clock::Clock::system();
        let waited = || Duration::from_nanos(clock.monotonic_ns());
        let mut line = Vec::new();
        for _ in 0..LEAST_QUEUE {
            line.push(in_line(&places).await);
        }
        assert!(in_line(&places).await.await.unwrap().is_none());
        assert!(waited() < WAIT_AT_MOST, "a full queue says no at once");
        for turn in line {
            assert!(turn.await.unwrap().is_none());
        }
        assert!((WAIT_AT_MOST..WAIT_AT_MOST * 3).contains(&waited()), "{:?}", waited());
        drop(held);
        assert!(places.take().is_some(), "those who left are not waited for");
    }

    #[tokio::test]
    async fn whoever_has_waited_elsewhere_is_not_sent_away_nor_is_who_comes_behind_him() {
        let places = Places::new(1);
        let held = places.take().unwrap();
        let wait = |has_waited| Arc::clone(&places).wait((WHO, has_waited), Duration::ZERO);
        let many = 3 * LEAST_QUEUE;
        let line: Vec<_> = (0..many).map(|_| tokio::spawn(wait(true))).collect();
        while places.queue().len() < many {
            tokio::task::yield_now().await;
        }
        let behind = tokio::spawn(wait(false));
        while places.queue().len() == many {
            tokio::task::yield_now().await;
        }
        drop(held);
        for turn in line.into_iter().chain([behind]) {
            assert!(turn.await.unwrap().is_some());
        }
        assert_eq!((places.taken(), places.patient.load(Ordering::SeqCst)), (0, 0));
        let held = places.take().unwrap();
        assert!(wait(false).await.is_none(), "the queue is as it was");
        drop(held);
    }

    #[tokio::test]
    async fn whoever_leaves_the_line_loses_no_place() {
        let places = Places::new(1);
        let held = places.take().unwrap();
        let (first, second) = (in_line(&places).await, in_line(&places).await);
        first.abort();
        assert!(first.await.is_err());
        drop(held);
        assert!(second.await.unwrap().is_some());
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn never_more_places_than_there_are_and_none_is_lost() {
        let places = Places::new(3);
        let most = Arc::new(AtomicUsize::new(0));
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (places, most) = (Arc::clone(&places), Arc::clone(&most));
                tokio::spawn(async move {
                    for _ in 0..2_000 {
                        let place = match places.take() {
                            Some(place) => place,
                            None => {
                                Arc::clone(&places).wait((WHO, false), WAIT_AT_MOST).await.unwrap()
                            }
                        };
                        most.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        assert!(most.fetch_sub(1, Ordering::SeqCst) <= 3);
                        drop(place);
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!((places.taken(), places.queue().len()), (0, 0));
    }
}
