//! Guessing made slow: beyond so many failures of one address in a minute each further one is
//! answered later, 50 ms at first, doubled each time, a second at most. Counts failures alone, so
//! that a valid key is never delayed and nobody can be locked out. Must never keep more addresses
//! than it has room for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MINUTE_NS: u64 = 60_000_000_000;
const FIRST_MS: u64 = 50;
const MOST_MS: u64 = 1_000;
/// Addresses that failed within the last minute.
const MOST_ADDRESSES: usize = 100_000;
/// Addresses that are told by name.
const MOST_TOLD: usize = 20;
/// Answers that wait at once; beyond them waiting would cost us more than it costs the guesser.
const MOST_WAITING: usize = 10_000;

pub(super) struct Failures {
    free_per_minute: u64,
    addresses: Mutex<HashMap<IpAddr, Minute>>,
    waiting: AtomicUsize,
}

/// The failures of an address since the first of them.
#[derive(Clone, Copy)]
struct Minute {
    began_ns: u64,
    failures: u64,
}

impl Failures {
    pub(super) fn new(free_per_minute: u64) -> Self {
        Self { free_per_minute, addresses: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// Counts one, and waits where there were too many.
    pub(super) async fn slow_down(&self, address: IpAddr, now_ns: u64) {
        let Some(delay) = self.count(address, now_ns) else { return };
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            let _seat = Seat(&self.waiting);
            tokio::time::sleep(delay).await;
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts one for which nobody waits.
    pub(super) fn note(&self, address: IpAddr, now_ns: u64) {
        let _delay = self.count(address, now_ns);
    }

    /// The addresses with so many failures in their last minute, and all others together where they
    /// have ten times as many.
    pub(super) fn bursts(&self, least: u64, now_ns: u64) -> Vec<(Option<IpAddr>, u64)> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let is_now = |minute: &Minute| now_ns.saturating_sub(minute.began_ns) < MINUTE_NS;
        let (mut bursts, mut others) = (Vec::new(), 0_u64);
        for (address, minute) in addresses.iter().filter(|(_, minute)| is_now(minute)) {
            match minute.failures >= least {
                true => bursts.push((Some(*address), minute.failures)),
                false => others = others.saturating_add(minute.failures),
            }
        }
        drop(addresses);
        // Whoever comes from more addresses than anybody reads is one sentence.
        bursts.sort_by_key(|(_, failures)| std::cmp::Reverse(*failures));
        let rest: u64 = bursts.iter().skip(MOST_TOLD).map(|(_, failures)| failures).sum();
        bursts.truncate(MOST_TOLD);
        let others = others.saturating_add(rest);
        bursts.extend((others >= least.saturating_mul(10)).then_some((None, others)));
        bursts
    }

    fn count(&self, address: IpAddr, now_ns: u64) -> Option<Duration> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MOST_ADDRESSES {
            addresses.retain(|_, minute| now_ns.saturating_sub(minute.began_ns) < MINUTE_NS);
            if addresses.len() >= MOST_ADDRESSES {
                addresses.clear();
            }
        }
        let fresh = Minute { began_ns: now_ns, failures: 0 };
        let minute = addresses.entry(network(address)).or_insert(fresh);
        if now_ns.saturating_sub(minute.began_ns) >= MINUTE_NS {
            *minute = fresh;
        }
        minute.failures += 1;
        let beyond = minute.failures.checked_sub(self.free_per_minute + 1)?;
        let doubled = u32::try_from(beyond).ok().and_then(|beyond| FIRST_MS.checked_shl(beyond));
        let delay_ms = doubled.filter(|_| beyond < 8).unwrap_or(MOST_MS).min(MOST_MS);
        Some(Duration::from_millis(delay_ms))
    }
}

/// Gives its place back, however the wait ends.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_free_ones_each_failure_of_an_address_is_answered_later() {
        let failures = Failures::new(2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let delay = |address: IpAddr, now_ns| {
            failures.count(address, now_ns).map(|delay| delay.as_millis())
        };
        let delays: Vec<_> = (0..9).map(|_| delay(one, 1)).collect();
        let expected = [None, None, Some(50), Some(100), Some(200), Some(400), Some(800)];
        assert_eq!(delays[..7], expected);
        assert_eq!(delays[7..], [Some(1000), Some(1000)]);
        assert_eq!(delay("192.0.2.2".parse().unwrap(), 1), None);
        assert_eq!(delay("::ffff:192.0.2.1".parse().unwrap(), 1), Some(1000));
        assert_eq!(delay(one, MINUTE_NS + 1), None);
    }

    #[test]
    fn addresses_of_one_network_are_one_and_all_of_them_are_bounded() {
        let failures = Failures::new(1);
        assert!(failures.count("2001:db8::1".parse().unwrap(), 1).is_none());
        assert!(failures.count("2001:db8::2".parse().unwrap(), 1).is_some());
        assert!(failures.count("2001:db8:0:1::2".parse().unwrap(), 1).is_none());
        for number in 0..u32::try_from(MOST_ADDRESSES).unwrap() + 10 {
            failures.count(IpAddr::V4(number.into()), 1);
        }
        assert!(failures.addresses.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
