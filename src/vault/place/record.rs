//! What is known of one secret beside the others of its provider: its part of the calls, whether
//! somebody has set it aside, and how often the provider has refused it, which version of it, and
//! whether that was proven. Must never take what a client asks for in vain for a bad key.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all threads and snapshots.
pub(crate) struct SecretPlace {
    weight: AtomicU32,
    is_drained: AtomicBool,
    is_quarantined: AtomicBool,
    noes: Mutex<Noes>,
    has_noes: AtomicBool,
    /// The version that was put into quarantine here, where nobody has written that down; 0: none.
    news: AtomicU32,
    /// Calls that the pool has dealt out; counted at its first secret.
    pub(super) dealt: AtomicU64,
}

/// What its provider has refused in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noes {
    /// Of this version of it.
    version: u32,
    /// It served the same call with another one.
    proven: u32,
    /// Nobody knows what it would have said to another one.
    unproven: u32,
    /// How often a check has found it good after all.
    pardons: u32,
    /// How often it was let out, or asked about, since it was put into quarantine first.
    trials: u32,
}

/// So many that were proven; twice as many for each time that a check has found it good.
const TOO_MANY_PROVEN: u32 = 3;
/// So many that were not proven, and a check is believed that says the same.
const TOO_MANY_UNPROVEN: u32 = 6;
const MOST_DOUBLINGS: u32 = 6;

impl Default for SecretPlace {
    fn default() -> Self {
        Self {
            weight: AtomicU32::new(1),
            is_drained: AtomicBool::new(false),
            is_quarantined: AtomicBool::new(false),
            noes: Mutex::default(),
            has_noes: AtomicBool::new(false),
            news: AtomicU32::new(0),
            dealt: AtomicU64::new(0),
        }
    }
}

impl SecretPlace {
    /// As it is stored.
    pub(crate) fn set(&self, weight: u32, is_drained: bool, is_quarantined: bool) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
        self.is_drained.store(is_drained, Ordering::Relaxed);
        if self.news.load(Ordering::Acquire) > 0 {
            return;
        }
        if self.is_quarantined.swap(is_quarantined, Ordering::Relaxed) && !is_quarantined {
            let mut noes = self.noes();
            (noes.proven, noes.unproven) = (0, 0);
        }
    }

    /// The version of which is to be written down, once, that it is in quarantine.
    pub(crate) fn take_news(&self) -> Option<u32> {
        Some(self.news.swap(0, Ordering::AcqRel)).filter(|version| *version > 0)
    }

    /// It could not be written down; whoever looks next tries again.
    pub(crate) fn keep_news(&self, version: u32) {
        self.news.store(version, Ordering::Release);
    }

    /// Nothing that was said of it before counts: somebody knows better, or another version serves.
    pub(crate) fn forget(&self) {
        *self.noes() = Noes::default();
    }

    /// A check has found it good though calls were refused: so it takes more of them.
    pub(crate) fn pardon(&self) {
        let mut noes = self.noes();
        noes.pardons = (noes.pardons + 1).min(MOST_DOUBLINGS);
    }

    /// It is let out to see whether it is good again: the next proven no is one too many.
    pub(crate) fn let_out(&self, version: u32) {
        self.noes().begin(version).proven = TOO_MANY_PROVEN << MOST_DOUBLINGS;
        self.has_noes.store(true, Ordering::Relaxed);
    }

    /// How often somebody has tried it since it was put into quarantine, this time with them.
    pub(crate) fn count_trial(&self) -> u32 {
        let mut noes = self.noes();
        noes.trials = (noes.trials + 1).min(MOST_DOUBLINGS);
        noes.trials
    }

    /// The same, without this time.
    pub(crate) fn trials(&self) -> u32 {
        self.noes().trials
    }

    /// Refused so often with this version that a check is to be believed.
    pub(crate) fn is_suspect(&self, version: u32) -> bool {
        self.has_noes.load(Ordering::Relaxed) && {
            let noes = self.noes();
            noes.version == version && noes.unproven >= TOO_MANY_UNPROVEN
        }
    }

    pub(super) fn serves(&self) -> bool {
        !self.is_drained.load(Ordering::Relaxed) && !self.is_quarantined.load(Ordering::Relaxed)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed)
    }

    pub(super) fn weight(&self) -> u64 {
        u64::from(self.weight.load(Ordering::Relaxed))
    }

    /// The provider took this version.
    pub(in super::super) fn accepted(&self, version: u32) {
        if self.has_noes.load(Ordering::Relaxed) {
            let mut noes = self.noes();
            if version >= noes.version {
                (noes.proven, noes.unproven) = (0, 0);
                self.has_noes.store(false, Ordering::Relaxed);
            }
        }
    }

    /// True where it is proven too often by now. Proven: another one served the same call.
    pub(super) fn refused(&self, version: u32, is_proven: bool) -> bool {
        let mut noes = self.noes();
        if version < noes.version {
            // It was on its way when another version came.
            return false;
        }
        let noes = noes.begin(version);
        let count = if is_proven { &mut noes.proven } else { &mut noes.unproven };
        *count = count.saturating_add(1);
        self.has_noes.store(true, Ordering::Relaxed);
        is_proven && noes.proven >= TOO_MANY_PROVEN << noes.pardons
    }

    pub(super) fn quarantine(&self, version: u32) {
        if !self.is_quarantined.swap(true, Ordering::Relaxed) {
            self.news.store(version, Ordering::Release);
        }
    }

    fn noes(&self) -> MutexGuard<'_, Noes> {
        self.noes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noes {
    /// Noes of another version are nothing to this one.
    fn begin(&mut self, version: u32) -> &mut Self {
        if self.version != version {
            *self = Self { version, ..Self::default() };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proven_noes_of_one_version_in_a_row_are_too_many_and_others_never() {
        let place = SecretPlace::default();
        assert!((0..1_000).all(|_| !place.refused(1, false)), "a client's doing, perhaps");
        assert!(place.is_suspect(1) && !place.is_suspect(2));
        assert!(!place.refused(1, true) && !place.refused(1, true));
        place.accepted(1);
        assert!(!place.is_suspect(1));
        assert!(!place.refused(1, true) && !place.refused(1, true));
        // Another version has nothing to do with it, and what comes late of the old one either.
        assert!(!place.refused(2, true) && !place.refused(2, true));
        assert!((0..10).all(|_| !place.refused(1, true)));
        place.accepted(1);
        assert!(place.refused(2, true));
    }

    #[test]
    fn one_that_checks_find_good_takes_more_noes_and_one_on_trial_takes_one() {
        let place = SecretPlace::default();
        let stands = || (0..100).take_while(|_| !place.refused(3, true)).count() + 1;
        let again = || {
            place.quarantine(3);
            assert_eq!((place.take_news(), place.take_news()), (Some(3), None));
            place.set(1, false, true);
            assert!(!place.serves());
            place.set(1, false, false);
        };
        assert_eq!(stands(), 3);
        again();
        place.pardon();
        assert_eq!(stands(), 6);
        again();
        place.let_out(3);
        assert_eq!(stands(), 1);
        place.forget();
        assert_eq!(stands(), 3);
    }
}
