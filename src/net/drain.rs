//! Ending well: everybody who serves a connection follows one signal to stop, and whoever sends
//! it can wait until the last one is gone. Another signal cuts the connections of the moment and
//! no later one. Following costs a connection two loads of atomics per turn.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

/// The signal; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Drain(Arc<Inner>);

#[derive(Default)]
struct Inner {
    draining: AtomicBool,
    /// How often connections were cut.
    cuts: AtomicU64,
    followers: AtomicUsize,
    ears: Mutex<Ears>,
    begun: Notify,
    cut: Notify,
    moved: Notify,
}

#[derive(Default)]
struct Ears {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// One connection's ear; counts as long as it lives.
pub(crate) struct Follower {
    drain: Drain,
    place: Option<usize>,
    /// Cuts of before this connection do not concern it.
    cuts: u64,
}

impl Drain {
    pub(crate) fn follow(&self) -> Follower {
        self.0.followers.fetch_add(1, Ordering::AcqRel);
        let cuts = self.cuts();
        Follower { drain: self.clone(), place: None, cuts }
    }

    /// Tells every follower of now to end at once. From any thread.
    pub(crate) fn cut(&self) {
        self.0.cuts.fetch_add(1, Ordering::SeqCst);
        self.0.cut.notify_waiters();
        for waker in self.ears().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// How often connections were cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.0.cuts.load(Ordering::SeqCst)
    }

    /// Waits until they were cut more often than that; says how often.
    pub(crate) async fn cut_after(&self, cuts: u64) -> u64 {
        loop {
            let cut = self.0.cut.notified();
            let now = self.cuts();
            if now != cuts {
                return now;
            }
            cut.await;
        }
    }

    /// Tells every follower. From any thread.
    pub(crate) fn begin(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.begun.notify_waiters();
        for waker in self.ears().wakers.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }

    /// Waits for the signal.
    pub(crate) async fn begun(&self) {
        loop {
            let begun = self.0.begun.notified();
            if self.0.draining.load(Ordering::SeqCst) {
                return;
            }
            // A signal between the two lines above is not lost: the ear was there before the look.
            begun.await;
        }
    }

    /// Waits until nobody follows any more, or the time is over; says how many are left.
    pub(crate) async fn finished(&self, within: Duration) -> usize {
        let all_gone = async {
            loop {
                let moved = self.0.moved.notified();
                if self.0.followers.load(Ordering::Acquire) == 0 {
                    return;
                }
                // Looked at again after a while, should a notice fall between look and wait.
                let _elapsed = tokio::time::timeout(Duration::from_millis(50), moved).await;
            }
        };
        let _elapsed = tokio::time::timeout(within, all_gone).await;
        self.0.followers.load(Ordering::Acquire)
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, Ears> {
        self.0.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Has the signal come? If not, the task is woken when it does.
    pub(crate) fn is_draining(&mut self, context: &Context<'_>) -> bool {
        if self.place.is_none() {
            let waker = context.waker().clone();
            self.place = Some(self.drain.ears().take_place(waker));
        }
        self.drain.0.draining.load(Ordering::SeqCst)
    }

    /// Must this connection end at once? The ear is that of `is_draining`.
    pub(crate) fn is_cut(&self) -> bool {
        self.drain.0.cuts.load(Ordering::SeqCst) != self.cuts
    }
}

impl Ears {
    fn take_place(&mut self, waker: Waker) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        });
        if let Some(slot) = self.wakers.get_mut(place) {
            *slot = Some(waker);
        }
        place
    }

    fn give_back(&mut self, place: usize) {
        if let Some(slot) = self.wakers.get_mut(place) {
            *slot = None;
        }
        self.free.push(place);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.drain.ears().give_back(place);
        }
        self.drain.0.followers.fetch_sub(1, Ordering::AcqRel);
        self.drain.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_signal_reaches_every_follower_and_the_last_one_is_waited_for() {
        let drain = Drain::default();
        let mut follower = drain.follow();
        let task = tokio::spawn(async move {
            std::future::poll_fn(|context| match follower.is_draining(context) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            })
            .await;
        });
        assert_eq!(drain.finished(Duration::from_millis(20)).await, 1);
        drain.begin();
        drain.begun().await;
        assert_eq!(drain.finished(Duration::from_secs(5)).await, 0);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_cut_ends_whoever_follows_now_and_nobody_later() {
        let drain = Drain::default();
        let mut follower = drain.follow();
        let task = tokio::spawn(async move {
            std::future::poll_fn(|context| {
                assert!(!follower.is_draining(context));
                if follower.is_cut() {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        });
        assert_eq!(drain.finished(Duration::from_millis(20)).await, 1);
        assert_eq!(drain.cuts(), 0);
        drain.cut();
        assert_eq!(drain.cut_after(0).await, 1);
        assert_eq!(drain.finished(Duration::from_secs(5)).await, 0);
        task.await.unwrap();
        assert!(!drain.follow().is_cut());
    }
}
