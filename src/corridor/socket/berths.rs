//! How many sockets are open, and how many may be; of strangers one address gets a share alone, so
//! that one of them cannot take the place of all others. A berth is given back when it is dropped.
//! Must never give out more than there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::net;
use crate::refusal::{Reason, Refusal};

pub(crate) struct Berths {
    most: usize,
    /// The setting that says how many.
    setting: &'static str,
    taken: AtomicUsize,
    each: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one socket.
pub(in super::super) struct Berth {
    berths: Arc<Berths>,
    /// Whose share it is a part of.
    of: Option<IpAddr>,
}

/// What one address may take of all, and what it may have at least.
const SHARE_OF_AN_ADDRESS: usize = 8;
const LEAST_OF_AN_ADDRESS: usize = 8;

impl Berths {
    pub(crate) fn new((most, setting): (usize, &'static str)) -> Arc<Self> {
        Arc::new(Self { most, setting, taken: AtomicUsize::new(0), each: Mutex::default() })
    }

    pub(in super::super) fn take(self: &Arc<Self>) -> Result<Berth, Refusal> {
        if self.taken.fetch_add(1, Ordering::SeqCst) < self.most {
            return Ok(Berth { berths: Arc::clone(self), of: None });
        }
        self.taken.fetch_sub(1, Ordering::SeqCst);
        let detail = format!(
            "As many sockets are open as {} allows; close some, or raise it.",
            self.setting
        );
        Err(Refusal::new(Reason::Overloaded, detail))
    }

    /// For somebody at this address; none where everybody comes from there.
    pub(super) fn take_for(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Berth, Refusal> {
        let mut berth = self.take()?;
        let Some(address) = address.map(net::host_of) else { return Ok(berth) };
        let most = (self.most / SHARE_OF_AN_ADDRESS).max(LEAST_OF_AN_ADDRESS);
        let mut each = self.each();
        let count = each.entry(address).or_insert(0);
        if *count >= most {
            drop(each);
            let detail = "As many sockets as one address may have wait for their key; show it on \
                          them, or close them.";
            return Err(Refusal::new(Reason::Overloaded, detail));
        }
        *count += 1;
        berth.of = Some(address);
        Ok(berth)
    }

    fn each(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.berths.taken.fetch_sub(1, Ordering::SeqCst);
        let Some(of) = self.of else { return };
        if let Entry::Occupied(mut count) = self.berths.each().entry(of) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
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

    #[test]
    fn an_address_has_a_share_and_leaves_the_rest_to_others() {
        let berths = Berths::new((100, "x"));
        let one = Some("2001:db8::1".parse().unwrap());
        let same = Some("2001:db8::2".parse().unwrap());
        let other = Some("192.0.2.1".parse().unwrap());
        let mut held: Vec<Berth> = Vec::new();
        for _ in 0..12 {
            held.push(berths.take_for(one).ok().unwrap());
        }
        assert!(berths.take_for(same).is_err(), "the same network");
        assert!(berths.take_for(other).is_ok());
        assert_eq!(berths.taken.load(Ordering::SeqCst), 12, "a no takes nothing");
        held.pop();
        assert!(berths.take_for(same).is_ok());
        drop(held);
        assert!(berths.each().is_empty());
    }
}
