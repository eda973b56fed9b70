//! Windows, months and calls under way as arithmetic: who has used what, and when is the next call
//! free; and what a provider gives for one secret. Pure: no map, no I/O.
//! Must never let more calls through than the quota, in any window.

mod month;
mod slot;
mod supply;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use self::month::Period;
pub(crate) use self::slot::{Limits, Over, Said, Slot};
pub(crate) use self::supply::{Lesson, Notice, Source, Sources, Standing, Supply, Ticket, Wait};
pub(crate) use self::window::{Count, Quota, Window};

/// What the lock of a slot is made of; a model of it puts its own in their place.
mod sync {
    pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
}
