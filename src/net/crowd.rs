//! How many connections may be open: in all, and from one address, so that one caller cannot take
//! the place of all others. Asked once when a connection comes and once when it goes. Must never
//! count a proxy of ours, which brings everybody's calls, as one caller.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::forwarded::is_in;

/// Of a host with IPv6, which has more addresses than anybody could count.
const HOST_BITS: u32 = 64;

/// Where people come in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Inner>);

struct Inner {
    most: usize,
    most_each: usize,
    /// Networks whose connections count in all alone.
    uncounted: Vec<(IpAddr, u8)>,
    open: AtomicUsize,
    /// Few places were left, and since then there were never many.
    is_pressed: AtomicBool,
    /// How often it came to that.
    presses: AtomicU64,
    each: Mutex<HashMap<IpAddr, usize>>,
    turned_away: [AtomicU64; Full::ALL.len()],
    /// Conversations that ended, and left room, since somebody asked.
    left: AtomicUsize,
}

/// One open connection's place; gives it back when dropped.
pub(crate) struct Place {
    crowd: Crowd,
    from: Option<IpAddr>,
}

/// Why there was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    House,
    Address,
}

impl Full {
    pub(crate) const ALL: [Self; 2] = [Self::House, Self::Address];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::House => "total",
            Self::Address => "address",
        }
    }
}

/// How many files and sockets this process may have open, after it has asked for all it may have.
pub(crate) fn descriptors() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return LEAST_DESCRIPTORS };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

/// A conversation leaves about 30 KiB: 2 MiB at least, and an eighth of what all open ones held.
const LEAST_ROOM: usize = 64;
const MUCH_ROOM: usize = 8;

/// What every system grants.
const LEAST_DESCRIPTORS: usize = 1024;

impl Crowd {
    pub(crate) fn new(most: usize, most_each: usize, uncounted: &[(IpAddr, u8)]) -> Self {
        let inner = Inner {
            most,
            most_each,
            uncounted: uncounted.to_vec(),
            open: AtomicUsize::new(0),
            is_pressed: AtomicBool::new(false),
            presses: AtomicU64::new(0),
            each: Mutex::default(),
            turned_away: Default::default(),
            left: AtomicUsize::new(0),
        };
        Self(Arc::new(inner))
    }

    pub(crate) fn enter(&self, address: IpAddr) -> Result<Place, Full> {
        let inner = &*self.0;
        let open = inner.open.fetch_add(1, Ordering::AcqRel);
        if open >= inner.most {
            return Err(self.turn_away(Full::House));
        }
        let are_few = open + 1 >= inner.most - inner.most / 4;
        if are_few && !inner.is_pressed.swap(true, Ordering::AcqRel) {
            inner.presses.fetch_add(1, Ordering::AcqRel);
        }
        let address = address.to_canonical();
        if address.is_loopback() || is_in(address, &inner.uncounted) {
            return Ok(Place { crowd: self.clone(), from: None });
        }
        let from = host_of(address);
        let mut each = inner.each();
        let count = each.entry(from).or_insert(0);
        if *count >= inner.most_each {
            drop(each);
            return Err(self.turn_away(Full::Address));
        }
        *count += 1;
        drop(each);
        Ok(Place { crowd: self.clone(), from: Some(from) })
    }

    /// Whoever finds no place was counted and is not there.
    fn turn_away(&self, full: Full) -> Full {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        let count = self.0.turned_away.get(full as usize);
        let count = count.map_or(0, |count| count.fetch_add(1, Ordering::Relaxed) + 1);
        // Told less and less often: whoever fires connections must not fill the log.
        if count.is_power_of_two() {
            let (by, open) = (full.as_str(), self.open());
            tracing::warn!(by, open, count, "connections of clients find no place");
        }
        full
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    /// Few places are left: who does nothing should not keep one for long. So it stays until half
    /// of them are free.
    pub(crate) fn is_tight(&self) -> bool {
        self.0.is_pressed.load(Ordering::Acquire)
    }

    /// Another number than before: whoever waits in silence should look how long he may.
    pub(crate) fn presses(&self) -> u64 {
        self.0.presses.load(Ordering::Acquire)
    }

    /// Somebody ended a conversation: what it held is free.
    pub(crate) fn leaves_room(&self) {
        self.0.left.fetch_add(1, Ordering::Relaxed);
    }

    /// So many did that it is worth looking through all memory; then they are counted anew.
    pub(crate) fn left_much_room(&self) -> bool {
        let much = (self.open() / MUCH_ROOM).max(LEAST_ROOM);
        let left = self.0.left.load(Ordering::Relaxed);
        let is_much = left >= much;
        if is_much {
            self.0.left.fetch_sub(left, Ordering::Relaxed);
        }
        is_much
    }

    pub(crate) fn turned_away(&self) -> [(&'static str, u64); Full::ALL.len()] {
        Full::ALL.map(|full| {
            let count = self.0.turned_away.get(full as usize);
            (full.as_str(), count.map_or(0, |count| count.load(Ordering::Relaxed)))
        })
    }
}

impl Inner {
    fn each(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &*self.crowd.0;
        let open = inner.open.fetch_sub(1, Ordering::AcqRel);
        if open <= inner.most / 2 && inner.is_pressed.load(Ordering::Relaxed) {
            inner.is_pressed.store(false, Ordering::Release);
        }
        self.crowd.leaves_room();
        let Some(from) = self.from else { return };
        let mut each = inner.each();
        if let Entry::Occupied(mut count) = each.entry(from) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The address, or the network of one host.
pub(crate) fn host_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> HOST_BITS << HOST_BITS;
            IpAddr::V6(std::net::Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_has_more_places_than_his_share_and_all_have_no_more_than_there_are() {
        let crowd = Crowd::new(5, 2, &[]);
        let one = address("192.0.2.1");
        let first = crowd.enter(one).ok().unwrap();
        let _second = crowd.enter(one).ok().unwrap();
        assert_eq!(crowd.enter(one).err(), Some(Full::Address));
        assert_eq!(crowd.open(), 2);
        drop(first);
        let _again = crowd.enter(one).ok().unwrap();
        let _others: Vec<_> = (2..5)
            .map(|last| crowd.enter(address(&format!("192.0.2.{last}"))).ok().unwrap())
            .collect();
        assert!(crowd.is_tight());
        assert_eq!(crowd.presses(), 1);
        assert_eq!(crowd.enter(address("192.0.2.9")).err(), Some(Full::House));
        assert_eq!(crowd.open(), 5);
        assert_eq!(crowd.turned_away(), [("total", 1), ("address", 1)]);
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let crowd = Crowd::new(100, 50, &[]);
        let places: Vec<_> = (0..40).map(|_| crowd.enter(address("2001:db8::7"))).collect();
        assert_eq!(crowd.0.each().len(), 1);
        drop(places);
        assert_eq!(crowd.0.each().len(), 0);
        assert_eq!(crowd.open(), 0);
    }

    #[test]
    fn all_addresses_of_one_host_are_one_caller() {
        let crowd = Crowd::new(100, 2, &[]);
        let _one = crowd.enter(address("2001:db8::1")).ok().unwrap();
        let _two = crowd.enter(address("2001:db8::ffff:1")).ok().unwrap();
        assert_eq!(crowd.enter(address("2001:db8::2")).err(), Some(Full::Address));
        assert!(crowd.enter(address("2001:db8:0:1::1")).is_ok());
        // The same caller by either name.
        let _mapped = crowd.enter(address("::ffff:192.0.2.1")).ok().unwrap();
        let _plain = crowd.enter(address("192.0.2.1")).ok().unwrap();
        assert_eq!(crowd.enter(address("192.0.2.1")).err(), Some(Full::Address));
    }

    #[test]
    fn room_is_worth_a_look_when_many_left_it() {
        let crowd = Crowd::new(100, 1, &[]);
        for _ in 1..LEAST_ROOM {
            crowd.leaves_room();
        }
        assert!(!crowd.left_much_room());
        crowd.leaves_room();
        assert!(crowd.left_much_room());
        assert!(!crowd.left_much_room());
    }

    #[test]
    fn proxies_of_ours_and_this_machine_are_no_caller() {
        let crowd = Crowd::new(100, 1, &[(address("10.0.0.0"), 8)]);
        for text in ["10.1.2.3", "127.0.0.1", "::1"] {
            let places: Vec<_> = (0..10).map(|_| crowd.enter(address(text))).collect();
            assert!(places.iter().all(Result::is_ok), "{text}");
        }
    }
}
