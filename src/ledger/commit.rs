//! `durability = "strict"`: what was written into the journal is on disk before anybody is answered.
//! One thread carries it there for all who wait at that moment, so a hundred of them cost one trip.
//! Must never call a record kept whose trip failed, nor one that came after it began.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::lane::Shared;

/// What waits for the disk.
#[derive(Default)]
pub(super) struct Commit {
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Default)]
struct Asked {
    waiting: Vec<oneshot::Sender<bool>>,
    is_over: bool,
}

/// Ends the thread with the ledger.
pub(super) struct Committing(Arc<Commit>);

/// Tells whether what was written before it was asked for is on disk.
#[must_use]
pub(crate) struct Kept(oneshot::Receiver<bool>);

impl Kept {
    /// False if it is not, or nobody knows.
    pub(crate) async fn on_disk(self) -> bool {
        self.0.await.unwrap_or(false)
    }
}

impl Commit {
    pub(super) fn ask(&self) -> Kept {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.push(sender);
        self.wake.notify_one();
        Kept(receiver)
    }

    /// Carries the lanes' slots to disk whenever somebody waits for it.
    pub(super) fn begin(self: &Arc<Self>, lanes: Vec<Arc<Shared>>) -> io::Result<Committing> {
        let commit = Arc::clone(self);
        let thread = std::thread::Builder::new().name(String::from("commit"));
        thread.spawn(move || commit.run(&lanes))?;
        Ok(Committing(Arc::clone(self)))
    }

    fn run(&self, lanes: &[Arc<Shared>]) {
        let mut has_failed = false;
        while let Some(waiting) = self.next() {
            // Every lane, whatever becomes of another.
            let mut fault = None;
            for lane in lanes {
                fault = lane.sync().err().or(fault);
            }
            match &fault {
                Some(error) if !has_failed => {
                    tracing::error!(%error, "The journal does not reach its disk; calls are refused.");
                }
                None if has_failed => tracing::info!("The journal reaches its disk again."),
                Some(_) | None => {}
            }
            has_failed = fault.is_some();
            for one in waiting {
                // Whoever has left is not told.
                let _left = one.send(!has_failed);
            }
        }
    }

    /// Everybody who waits now; None once it is over.
    fn next(&self) -> Option<Vec<oneshot::Sender<bool>>> {
        let mut asked = self.lock();
        loop {
            if !asked.waiting.is_empty() {
                return Some(std::mem::take(&mut asked.waiting));
            }
            if asked.is_over {
                return None;
            }
            asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing behind it is left half-changed by a panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wake.notify_one();
    }
}
