//! Networks that a client key may come from: `10.0.0.0/8`, `2001:db8::/32`, or one address. IPv4
//! addresses, plain or mapped into IPv6, are one and the same. Compiled once; a look costs a few
//! instructions for each network. Must never take a network with bits set behind its prefix.

use std::net::{IpAddr, Ipv6Addr};

/// A list of networks; empty holds nobody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Networks(Vec<Network>);

/// IPv4 stands in its mapped form, so that one comparison serves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network {
    base: u128,
    mask: u128,
}

/// Which text is no network, by its place in the list, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadNetwork {
    pub(crate) index: usize,
    pub(crate) fault: &'static str,
}

impl Networks {
    pub(crate) fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, BadNetwork> {
        let one = |(index, text): (usize, &T)| {
            Network::parse(text.as_ref()).map_err(|fault| BadNetwork { index, fault })
        };
        texts.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// As they are written: the address alone where a network is one.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(Network::text).collect()
    }

    /// Does every address of the others lie in these?
    pub(crate) fn cover(&self, others: &Self) -> bool {
        let within = |inner: &Network| {
            self.0.iter().any(|outer| {
                outer.mask & inner.mask == outer.mask && inner.base & outer.mask == outer.base
            })
        };
        others.0.iter().all(within)
    }

    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        let address = mapped(address);
        self.0.iter().any(|network| (address ^ network.base) & network.mask == 0)
    }
}

impl Network {
    fn text(&self) -> String {
        let address = Ipv6Addr::from(self.base).to_canonical();
        let prefix = self.mask.leading_ones();
        let (bits, prefix) = match address {
            IpAddr::V4(_) if prefix >= 96 => (32, prefix - 96),
            IpAddr::V4(_) | IpAddr::V6(_) => (128, prefix),
        };
        if prefix == bits { address.to_string() } else { format!("{address}/{prefix}") }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "is neither an address nor a network such as 10.0.0.0/8";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| SHAPE)?;
        let (bits, before) = match address {
            IpAddr::V4(_) => (32_u32, 96_u32),
            IpAddr::V6(_) => (128, 0),
        };
        let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(text) => {
                let number = Some(text).filter(is_number).and_then(|text| text.parse().ok());
                number.filter(|number| *number <= bits).ok_or(SHAPE)?
            }
        };
        let host_bits = 128 - (before + prefix);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let base = mapped(address);
        if base & !mask != 0 {
            return Err("has bits set behind its prefix; write the network's own address");
        }
        Ok(Self { base, mask })
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_in_whatever_dress_it_comes() {
        for (networks, address, held) in [
            (&["10.0.0.0/8"][..], "10.255.0.1", true),
            (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8"], "11.0.0.1", false),
            (&["::ffff:10.0.0.0/104"], "10.9.9.9", true),
            (&["192.0.2.7"], "192.0.2.7", true),
            (&["192.0.2.7"], "192.0.2.8", false),
            (&["2001:db8::/32"], "2001:db8:ffff::1", true),
            (&["2001:db8::/32"], "2001:db9::1", false),
            (&["2001:db8::1"], "2001:db8::1", true),
            (&["0.0.0.0/0"], "203.0.113.9", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "203.0.113.9", true),
            (&["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.200", true),
            (&[], "10.0.0.1", false),
        ] {
            let compiled = Networks::parse(networks).unwrap();
            assert_eq!(compiled.hold(address.parse().unwrap()), held, "{networks:?} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in
            ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.1/8", "a/8"]
        {
            let bad = Networks::parse(&["10.0.0.0/8", text]).unwrap_err();
            assert_eq!(bad.index, 1, "{text}");
        }
    }
}
