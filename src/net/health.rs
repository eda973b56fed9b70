//! What is known of the addresses behind one destination: which of them answer, which are left
//! alone for a while, in which order they are tried (RFC 8305). Asked when a connection is made,
//! never by a call that finds one. Must never forget an address that fails because the name did not
//! bring it this time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::breaker::{Breaker, Try};

/// Names that bring other addresses each time are not remembered for ever.
const MOST_REMEMBERED: usize = 64;

/// One destination's, shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Of the look-up of its name.
    pub(super) name: Breaker,
    known: Mutex<Vec<Known>>,
    /// Why the last attempt failed, for whoever is told to come later.
    cause: Mutex<String>,
}

#[derive(Clone, Debug)]
struct Known {
    address: SocketAddr,
    breaker: Arc<Breaker>,
    /// The name brought it last time.
    is_current: bool,
}

/// One address, as somebody is about to try it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    pub(super) breaker: Arc<Breaker>,
    pub(super) is_probe: bool,
}

/// For the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) address: SocketAddr,
    pub(crate) is_open: bool,
    pub(crate) openings: u64,
}

impl Health {
    /// For how long it makes no sense to connect: every known address rests. Nothing is resolved
    /// for that.
    pub(super) fn rest(&self, now_ns: u64) -> Option<Duration> {
        let known = self.lock();
        let mut rests = known.iter().filter(|known| known.is_current);
        let first = rests.next()?.breaker.rest(now_ns)?;
        rests.try_fold(first, |least, known| Some(least.min(known.breaker.rest(now_ns)?)))
    }

    /// The addresses in the order in which they are to be tried. A resting one comes last, and not
    /// at all where all rest: then for how long.
    pub(super) fn candidates(
        &self,
        found: Vec<SocketAddr>,
        now_ns: u64,
    ) -> Result<Vec<Candidate>, Duration> {
        let current = self.remember(&interleaved(found));
        let (mut first, mut doubtful, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let mut least = Duration::MAX;
        let mut probe = None;
        for Known { address, breaker, .. } in current {
            // One probe is enough for one call.
            let said = match (&probe, breaker.rest(now_ns)) {
                (Some(_), None) if !breaker.is_closed() => Try::Rests(Duration::ZERO),
                _ => breaker.ask(now_ns),
            };
            let is_doubtful = breaker.is_doubtful();
            let candidate = Candidate { address, breaker, is_probe: said == Try::Probe };
            match said {
                Try::Probe => probe = Some(candidate),
                Try::Closed if is_doubtful => doubtful.push(candidate),
                Try::Closed => first.push(candidate),
                Try::Rests(rest) => {
                    least = least.min(rest);
                    last.push(candidate);
                }
            }
        }
        let mut all: Vec<Candidate> = probe.into_iter().chain(first).chain(doubtful).collect();
        if all.is_empty() {
            return Err(least);
        }
        all.append(&mut last);
        Ok(all)
    }

    pub(super) fn note(&self, cause: String) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    pub(super) fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = |known: &Known| Seen {
            address: known.address,
            is_open: !known.breaker.is_closed(),
            openings: known.breaker.openings(),
        };
        self.lock().iter().map(seen).collect()
    }

    fn remember(&self, found: &[SocketAddr]) -> Vec<Known> {
        let mut known = self.lock();
        for known in known.iter_mut() {
            known.is_current = found.contains(&known.address);
        }
        let mut current = Vec::with_capacity(found.len());
        for address in found {
            if let Some(known) = known.iter().find(|known| known.address == *address) {
                current.push(known.clone());
                continue;
            }
            let fresh = Known { address: *address, breaker: Arc::default(), is_current: true };
            known.push(fresh.clone());
            current.push(fresh);
        }
        if known.len() > MOST_REMEMBERED {
            known.retain(|known| known.is_current || known.breaker.is_doubtful());
            known.truncate(MOST_REMEMBERED);
        }
        current
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The families in turn, beginning with the one that the resolver put first; each address once.
fn interleaved(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        found.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order: Vec<SocketAddr> = Vec::new();
    loop {
        let turn = [preferred.next(), other.next()];
        if turn == [None, None] {
            return order;
        }
        for address in turn.into_iter().flatten() {
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
    }

    fn order(health: &Health, found: &[&str], now_ns: u64) -> Vec<String> {
        let candidates = health.candidates(addresses(found), now_ns).unwrap();
        candidates.iter().map(|candidate| candidate.address.ip().to_string()).collect()
    }

    fn breaker(health: &Health, text: &str) -> Arc<Breaker> {
        let address = addresses(&[text]).remove(0);
        let known = health.lock();
        Arc::clone(&known.iter().find(|known| known.address == address).unwrap().breaker)
    }

    #[test]
    fn families_take_turns() {
        let found = ["2600::1", "2600::2", "2600::3", "1.1.1.1", "1.1.1.2", "2600::1"];
        let wanted = ["2600::1", "1.1.1.1", "2600::2", "1.1.1.2", "2600::3"];
        assert_eq!(order(&Health::default(), &found, 1), wanted);
        assert_eq!(order(&Health::default(), &["1.1.1.1", "2600::1"], 1), ["1.1.1.1", "2600::1"]);
    }

    #[test]
    fn what_fails_comes_later_rests_last_and_is_probed_first() {
        let health = Health::default();
        let found = ["1.1.1.1", "1.1.1.2", "1.1.1.3"];
        order(&health, &found, 1);
        breaker(&health, "1.1.1.1").failed(1, false);
        assert_eq!(order(&health, &found, 1), ["1.1.1.2", "1.1.1.3", "1.1.1.1"]);
        for _ in 0..5 {
            breaker(&health, "1.1.1.2").failed(1, false);
        }
        assert_eq!(order(&health, &found, 1), ["1.1.1.3", "1.1.1.1", "1.1.1.2"]);
        assert_eq!(health.rest(1), None);
        // It is remembered though the name did not bring it for once.
        order(&health, &["1.1.1.3"], 1);
        let later = 2_000_000_001;
        assert_eq!(order(&health, &found, later), ["1.1.1.2", "1.1.1.3", "1.1.1.1"]);
        assert_eq!(order(&health, &found, later), ["1.1.1.3", "1.1.1.1", "1.1.1.2"]);
    }

    #[test]
    fn where_all_rest_nobody_tries() {
        let health = Health::default();
        let found = ["1.1.1.1", "1.1.1.2"];
        order(&health, &found, 1);
        for (text, now_ns) in [("1.1.1.1", 1), ("1.1.1.2", 500_000_001)] {
            for _ in 0..5 {
                breaker(&health, text).failed(now_ns, false);
            }
        }
        let rest = Duration::from_millis(500);
        let now_ns = 500_000_001;
        assert_eq!(health.rest(now_ns), Some(rest));
        assert_eq!(health.candidates(addresses(&found), now_ns).unwrap_err(), rest);
        assert_eq!(health.seen().iter().filter(|seen| seen.is_open).count(), 2);
    }
}
