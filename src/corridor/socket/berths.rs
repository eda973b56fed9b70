//! How many sockets are open, and how many may be.
//! A berth is given back when it is dropped.
//! Must never give out more than there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::refusal::{Reason, Refusal};

pub(crate) struct Berths {
    most: usize,
    /// The setting that says how many.
    setting: &'static str,
    taken: AtomicUsize,
}

/// The place of one socket.
pub(in super::super) struct Berth(Arc<Berths>);

impl Berths {
    pub(crate) fn new((most, setting): (usize, &'static str)) -> Arc<Self> {
        Arc::new(Self { most, setting, taken: AtomicUsize::new(0) })
    }

    pub(in super::super) fn take(self: &Arc<Self>) -> Result<Berth, Refusal> {
        if self.taken.fetch_add(1, Ordering::SeqCst) < self.most {
            return Ok(Berth(Arc::clone(self)));
        }
        self.taken.fetch_sub(1, Ordering::SeqCst);
        let detail = format!(
            "As many sockets are open as {} allows; close some, or raise it.",
            self.setting
        );
        Err(Refusal::new(Reason::Overloaded, detail))
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_are_and_what_is_dropped_is_free() {
        let berths = Berths::new((1, "x"));
        let held = berths.take().ok().unwrap();
        assert!(berths.take().is_err());
        drop(held);
        assert!(berths.take().is_ok());
    }
}
