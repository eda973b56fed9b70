//! Deadlines without a timer each: what waits leaves its waker and its hour in a table, and one
//! ticker per thread looks through it ten times a second. Coarse on purpose: these bound minutes
//! and seconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;

const TICK: Duration = Duration::from_millis(100);

/// The table of one thread. The lock is only ever taken by that thread, so nobody waits for it.
#[derive(Clone)]
pub(crate) struct Deadlines(Arc<Table>);

struct Table {
    clock: Clock,
    /// As the ticker saw it last: who waits for seconds needs no finer one, and reads no clock.
    now_ns: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    due_ns: u64,
    waker: Option<Waker>,
}

/// The awaited thing took longer than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// One waiter's place in the table; gives it back when dropped.
pub(crate) struct Patience {
    deadlines: Deadlines,
    index: Option<usize>,
    limit_ns: u64,
    /// The end of everything, whatever moves meanwhile.
    end_ns: u64,
    /// None until the first wait.
    since_ns: Option<u64>,
}

impl Deadlines {
    pub(crate) fn new(clock: Clock) -> Self {
        let now_ns = AtomicU64::new(clock.monotonic_ns());
        Self(Arc::new(Table { clock, now_ns, entries: Mutex::default() }))
    }

    /// Wakes whoever is overdue, for ever; spawned once per thread. Whenever `stir` says another
    /// number than before, everybody is woken to look around.
    pub(crate) async fn tick(self, stir: impl Fn() -> u64) {
        let mut stirred = stir();
        loop {
            tokio::time::sleep(TICK).await;
            let now = stir();
            let all = std::mem::replace(&mut stirred, now) != now;
            self.wake(all);
        }
    }

    /// As the ticker saw it last.
    pub(crate) fn now_ns(&self) -> u64 {
        self.0.now_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn patience(&self, limit: Duration) -> Patience {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Patience {
            deadlines: self.clone(),
            index: None,
            limit_ns,
            end_ns: u64::MAX,
            since_ns: None,
        }
    }

    /// The future's answer, or `TimedOut` after about `limit`.
    pub(crate) async fn within<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, TimedOut> {
        let mut patience = self.patience(limit);
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| patience.poll(context, future.as_mut())).await
    }

    fn wake(&self, all: bool) {
        let now_ns = self.0.clock.monotonic_ns();
        self.0.now_ns.store(now_ns, Ordering::Relaxed);
        let mut entries = self.lock();
        for slot in &mut entries.slots {
            if (all || slot.due_ns <= now_ns)
                && let Some(waker) = slot.waker.take()
            {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patience {
    /// From this very moment on: a ticker that was held up must not take it for an old one.
    #[must_use]
    pub(crate) fn begun(mut self) -> Self {
        self.since_ns = Some(self.deadlines.0.clock.monotonic_ns());
        self
    }

    /// It ends then in any case, on the clock that never goes back.
    #[must_use]
    pub(crate) fn until(mut self, end_ns: Option<u64>) -> Self {
        self.end_ns = end_ns.unwrap_or(u64::MAX);
        self
    }

    /// Is it past its end, however much moves? Reads a clock only where there is such an end.
    pub(crate) fn has_ended(&self) -> bool {
        self.end_ns != u64::MAX && self.end_ns <= self.deadlines.0.clock.monotonic_ns()
    }

    /// From now on it is as long as this, counted from where it was.
    pub(crate) fn allow(&mut self, limit: Duration) {
        self.limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Something moved: the time counts anew.
    pub(crate) fn renew(&mut self) {
        self.since_ns = None;
    }

    /// To be asked whenever the awaited thing is not ready: is the patience at its end? If not, the
    /// task is woken when it is.
    pub(crate) fn is_over(&mut self, context: &Context<'_>) -> bool {
        let now_ns = self.deadlines.0.now_ns.load(Ordering::Relaxed);
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        let due_ns = since_ns.saturating_add(self.limit_ns).min(self.end_ns);
        if due_ns <= now_ns {
            return true;
        }
        let mut entries = self.deadlines.lock();
        let index = *self.index.get_or_insert_with(|| entries.take_place());
        if let Some(slot) = entries.slots.get_mut(index) {
            slot.due_ns = due_ns;
            match &mut slot.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        false
    }

    fn poll<F: Future>(
        &mut self,
        context: &mut Context<'_>,
        future: Pin<&mut F>,
    ) -> Poll<Result<F::Output, TimedOut>> {
        match future.poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.is_over(context) => Poll::Ready(Err(TimedOut)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            let mut entries = self.deadlines.lock();
            if let Some(slot) = entries.slots.get_mut(index) {
                slot.waker = None;
            }
            entries.free.push(index);
        }
    }
}

impl Entries {
    fn take_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_late_is_given_up_and_what_is_ready_is_not() {
        let deadlines = Deadlines::new(Clock::system());
        let ticker = tokio::spawn(deadlines.clone().tick(|| 0));
        let limit = Duration::from_millis(50);
        assert_eq!(deadlines.within(limit, std::future::pending::<()>()).await, Err(TimedOut));
        assert_eq!(deadlines.within(limit, std::future::ready(1)).await, Ok(1));
        let entries = deadlines.lock();
        assert_eq!(entries.free.len(), entries.slots.len());
        drop(entries);
        ticker.abort();
    }
}
