//! Guessing made slow: a few failures are free, then each further one makes the next wait, a second
//! at first, doubled each time, a quarter of an hour at most. What is counted is said by the key:
//! a name from one address, an address, an operator whose password was right. A guess is counted
//! before it is judged, so that many at once are no way around. Must never make somebody wait for
//! what a stranger did elsewhere.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const FIRST_NS: u64 = 1_000_000_000;
const MOST_NS: u64 = 900_000_000_000;
/// After so long without a failure all is forgotten.
const FORGOTTEN_AFTER_NS: u64 = MOST_NS * 2;
const MOST_KEPT: usize = 10_000;

pub(super) struct Guesses<K> {
    free: u32,
    tallies: Mutex<HashMap<K, Tally>>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    failures: u32,
    last_ns: u64,
    not_before_ns: u64,
}

impl<K: Hash + Eq> Guesses<K> {
    pub(super) fn new(free: u32) -> Self {
        Self { free, tallies: Mutex::default() }
    }

    /// How long to wait, if a guess must. Counts nothing.
    pub(super) fn wait(&self, key: &K, now_ns: u64) -> Option<Duration> {
        waits(&self.lock(), key, now_ns)
    }

    /// Counts a guess as failed, until somebody says that it was right.
    pub(super) fn take(&self, key: K, now_ns: u64) -> Result<(), Duration> {
        let mut tallies = self.lock();
        if let Some(wait) = waits(&tallies, &key, now_ns) {
            return Err(wait);
        }
        if tallies.len() >= MOST_KEPT {
            tallies.retain(|_, tally| !tally.is_forgotten(now_ns));
            if tallies.len() >= MOST_KEPT {
                tallies.clear();
            }
        }
        let tally = tallies.entry(key).or_default();
        if tally.is_forgotten(now_ns) {
            *tally = Tally::default();
        }
        tally.failures += 1;
        tally.last_ns = now_ns;
        if let Some(beyond) = tally.failures.checked_sub(self.free) {
            let doubled = FIRST_NS.checked_shl(beyond.min(20)).unwrap_or(MOST_NS);
            tally.not_before_ns = now_ns.saturating_add(doubled.min(MOST_NS));
        }
        Ok(())
    }

    /// It was right: nothing of what went before counts.
    pub(super) fn forgive(&self, key: &K) {
        self.lock().remove(key);
    }

    /// It was right, and says nothing of the others that are counted here.
    pub(super) fn give_back(&self, key: &K) {
        if let Some(tally) = self.lock().get_mut(key) {
            tally.failures = tally.failures.saturating_sub(1);
            tally.not_before_ns = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waits<K: Hash + Eq>(tallies: &HashMap<K, Tally>, key: &K, now_ns: u64) -> Option<Duration> {
    let wait_ns = tallies.get(key)?.not_before_ns.saturating_sub(now_ns);
    (wait_ns > 0).then(|| Duration::from_nanos(wait_ns))
}

impl Tally {
    fn is_forgotten(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_ns) > FORGOTTEN_AFTER_NS
    }
}

/// Whoever has one IPv6 address has all of its /64. At the machine itself there is none.
pub(super) fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    match address?.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn beyond_what_is_free_each_failure_doubles_the_wait() {
        let guesses = Guesses::new(3);
        for _ in 0..3 {
            assert_eq!(guesses.take("a", 0), Ok(()));
        }
        assert_eq!(guesses.take("a", 0), Err(Duration::from_secs(1)));
        assert_eq!(guesses.take("b", 0), Ok(()), "of somebody else");
        assert_eq!(guesses.take("a", SECOND), Ok(()));
        assert_eq!(guesses.take("a", SECOND), Err(Duration::from_secs(2)));
        let mut now = SECOND;
        for _ in 0..30 {
            now += guesses.wait(&"a", now).map_or(0, |wait| wait.as_nanos() as u64);
            assert_eq!(guesses.take("a", now), Ok(()));
        }
        assert_eq!(guesses.wait(&"a", now), Some(Duration::from_secs(900)));
        guesses.forgive(&"a");
        assert_eq!(guesses.wait(&"a", now), None);
    }

    #[test]
    fn time_forgets_and_a_right_one_is_given_back() {
        let guesses = Guesses::new(1);
        assert_eq!(guesses.take("a", 0), Ok(()));
        assert!(guesses.take("a", 0).is_err());
        assert_eq!(guesses.take("a", FORGOTTEN_AFTER_NS + 1), Ok(()));
        guesses.give_back(&"a");
        assert_eq!(guesses.take("a", FORGOTTEN_AFTER_NS + 1), Ok(()));
    }

    #[test]
    fn a_network_of_version_six_is_one_guesser() {
        let one = network("2001:db8::1".parse().ok());
        assert_eq!(one, network("2001:db8::ffff".parse().ok()));
        assert_ne!(one, network("2001:db8:0:1::1".parse().ok()));
        assert_eq!(network("::ffff:192.0.2.1".parse().ok()), "192.0.2.1".parse().ok());
    }
}
