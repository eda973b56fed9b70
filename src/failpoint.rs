//! Places at which a test kills the process, or lets a step fail while a file exists, to see that
//! nothing is lost there. Compiled in with the feature `failpoints` alone, which no release has;
//! without it nothing of this is left. Must never do anything else.

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
    pub(crate) const RESTORE_ASIDE: &str = "restore-aside";
    pub(crate) const RESTORE_EMPTIED: &str = "restore-emptied";
    pub(crate) const RESTORE_ANCHORED: &str = "restore-anchored";
    pub(crate) const RESTORE_WRITTEN: &str = "restore-written";
    pub(crate) const RESTORE_SETTLED: &str = "restore-settled";
    pub(crate) const RESTORE_TOLD: &str = "restore-told";
    pub(crate) const ALERT_SENT: &str = "alert-sent";
    pub(crate) const RENEWAL_BEGUN: &str = "renewal-begun";
    pub(crate) const RENEWAL_MADE: &str = "renewal-made";
    pub(crate) const RENEWAL_NOTED: &str = "renewal-noted";
    pub(crate) const RENEWAL_STAGED: &str = "renewal-staged";
    pub(crate) const RENEWAL_MOVES: &str = "renewal-moves";
    pub(crate) const RENEWAL_RETIRED: &str = "renewal-retired";
    pub(crate) const RENEWAL_UNDONE: &str = "renewal-undone";
    pub(crate) const JOURNAL_SYNC: &str = "journal-sync";
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        place: String,
        left: AtomicU32,
        die: fn(),
        /// It fails while this exists, and nobody dies.
        while_there: Option<PathBuf>,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// `place`, or `place:3` for the third time that it is passed; `place@FILE` fails while the
    /// file exists. `die` does not come back.
    pub(crate) fn arm(wanted: &str, die: fn()) {
        let (wanted, file) = wanted.split_once('@').map_or((wanted, None), |(w, f)| (w, Some(f)));
        let (place, times) = wanted.split_once(':').unwrap_or((wanted, "1"));
        let left = AtomicU32::new(times.parse().unwrap_or(1));
        // A second one is not armed: one process dies once.
        let _first = ARMED.set(Armed {
            place: place.to_owned(),
            left,
            die,
            while_there: file.map(PathBuf::from),
        });
    }

    pub(crate) fn fails(place: &str) -> bool {
        let armed = ARMED.get().filter(|armed| armed.place == place);
        armed.and_then(|armed| armed.while_there.as_ref()).is_some_and(|file| file.exists())
    }

    pub(crate) fn pass(place: &str) {
        let kills = |armed: &&Armed| armed.place == place && armed.while_there.is_none();
        let Some(armed) = ARMED.get().filter(kills) else { return };
        if armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            (armed.die)();
        }
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use self::armed::{arm, fails, pass};

/// Here a test may let a step fail.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn fails(_place: &str) -> bool {
    false
}

/// Here a test may end the process.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn pass(_place: &str) {}
