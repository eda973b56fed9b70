//! Places at which a test kills the process, to see that nothing is lost there. Compiled in with
//! the feature `failpoints` alone, which no release has; without it nothing of this is left. Must
//! never do anything but end the process.

/// Every place, in the order in which its job passes it.
pub(crate) mod place {
    pub(crate) const ROTATED: &str = "kek-rotated";
    pub(crate) const REWRAP_CLAIMED: &str = "rewrap-claimed";
    pub(crate) const REWRAP_ROW: &str = "rewrap-row";
    pub(crate) const REWRAP_ROWS: &str = "rewrap-rows";
    pub(crate) const REWRAP_LISTS: &str = "rewrap-lists";
    pub(crate) const REWRAP_VERIFIED: &str = "rewrap-verified";
    pub(crate) const REWRAP_DESTROYED: &str = "rewrap-destroyed";
    pub(crate) const REKEY_CLAIMED: &str = "rekey-claimed";
    pub(crate) const REKEY_ROW: &str = "rekey-row";
    pub(crate) const REKEY_ROWS: &str = "rekey-rows";
    pub(crate) const REKEY_VERIFIED: &str = "rekey-verified";
    pub(crate) const MASTER_WRITTEN: &str = "master-written";
    pub(crate) const MASTER_STAGED: &str = "master-staged";
    pub(crate) const MASTER_CLAIMED: &str = "master-claimed";
    pub(crate) const MASTER_ROW: &str = "master-row";
    pub(crate) const MASTER_ROWS: &str = "master-rows";
    pub(crate) const MASTER_VERIFIED: &str = "master-verified";
    pub(crate) const MASTER_KEPT: &str = "master-kept";
    pub(crate) const MASTER_PLACED: &str = "master-placed";
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        place: String,
        left: AtomicU32,
        die: fn(),
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// `place`, or `place:3` for the third time that it is passed. `die` does not come back.
    pub(crate) fn arm(wanted: &str, die: fn()) {
        let (place, times) = wanted.split_once(':').unwrap_or((wanted, "1"));
        let left = AtomicU32::new(times.parse().unwrap_or(1));
        // A second one is not armed: one process dies once.
        let _first = ARMED.set(Armed { place: place.to_owned(), left, die });
    }

    pub(crate) fn pass(place: &str) {
        let Some(armed) = ARMED.get().filter(|armed| armed.place == place) else { return };
        if armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            (armed.die)();
        }
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use self::armed::{arm, pass};

/// Here a test may end the process.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn pass(_place: &str) {}
