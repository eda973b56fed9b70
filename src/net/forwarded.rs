//! Who called, where a proxy of ours stands in between: what `Forwarded` or `X-Forwarded-For` say,
//! believed only as far as trusted peers wrote it. Read from the right, because what stands left of
//! the first stranger was written by him. Must never believe a header of a peer whom nobody trusts.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An address and how many of its leading bits name the network.
type Network = (IpAddr, u8);

/// The caller's address: the peer's, unless a trusted peer names another. Headers that cannot be
/// read, or that name two different callers, name none.
pub(crate) fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_in(peer, trusted) {
        return peer;
    }
    let named = first_stranger(headers, &X_FORWARDED_FOR, plain_node, trusted);
    let described = first_stranger(headers, &FORWARDED, forwarded_for, trusted);
    match (named, described) {
        (Named::Nobody, Named::Nobody) => peer,
        (Named::Caller(caller), Named::Nobody) | (Named::Nobody, Named::Caller(caller)) => caller,
        (Named::Caller(one), Named::Caller(other)) if one == other => one,
        // A proxy that writes one of the two passes the other on as the caller wrote it.
        (Named::Caller(_), Named::Caller(_)) | (Named::Unclear, _) | (_, Named::Unclear) => peer,
    }
}

enum Named {
    /// There is no such header.
    Nobody,
    Caller(IpAddr),
    Unclear,
}

/// The rightmost address that is not ours; where all are, the one that came first.
fn first_stranger(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
    trusted: &[Network],
) -> Named {
    let mut found = Named::Nobody;
    // `get_all` cannot be walked from its end without being gathered.
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else { return Named::Unclear };
        for element in line.rsplit(',') {
            let Some(address) = read(element.trim()) else { return Named::Unclear };
            if !is_in(address, trusted) {
                return Named::Caller(address);
            }
            found = Named::Caller(address);
        }
    }
    found
}

/// `for=` of one element of `Forwarded` (RFC 7239), the only one of its name.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let bare = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?,
            None => value,
        };
        if found.replace(plain_node(bare)?).is_some() {
            return None;
        }
    }
    found
}

/// An address, with a port or without; one of the newer kind may stand in brackets.
fn plain_node(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| inner?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6));
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|with| with.ip()));
    address.map(|address| address.to_canonical())
}

pub(crate) fn is_in(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| holds(*network, address))
}

fn holds((network, prefix): Network, address: IpAddr) -> bool {
    let (network, address, bits): (u128, u128, u8) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = u32::from(bits).saturating_sub(u32::from(prefix));
    network.checked_shr(host_bits).unwrap_or(0) == address.checked_shr(host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let network = |text: &&str| {
            let (address, prefix) = text.split_once('/').unwrap();
            (address.parse().unwrap(), prefix.parse().unwrap())
        };
        let trusted: Vec<Network> = trusted.iter().map(network).collect();
        caller(peer.parse().unwrap(), &map, &trusted).to_string()
    }

    const XFF: &str = "x-forwarded-for";
    const OURS: &[&str] = &["10.0.0.0/8", "fd00::/8"];

    #[test]
    fn a_peer_that_is_not_trusted_is_the_caller_whatever_it_says() {
        assert_eq!(told("192.0.2.1", &[(XFF, "198.51.100.1")], &[]), "192.0.2.1");
        assert_eq!(told("192.0.2.1", &[(XFF, "198.51.100.1")], OURS), "192.0.2.1");
        assert_eq!(told("11.0.0.1", &[("forwarded", "for=198.51.100.1")], OURS), "11.0.0.1");
    }

    #[test]
    fn the_rightmost_address_that_is_not_ours_is_the_caller() {
        for (lines, caller) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["1.1.1.1", "198.51.100.1 ,10.0.0.2", "10.0.0.3"], "198.51.100.1"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1], fd00::7"], "2001:db8::1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            // What a stranger wrote before it is never looked at.
            (&["\"; <script>, 198.51.100.1"], "198.51.100.1"),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| (XFF, *line)).collect();
            assert_eq!(told("10.0.0.1", &headers, OURS), caller, "{lines:?}");
        }
        assert_eq!(told("::ffff:10.0.0.1", &[(XFF, "198.51.100.1")], OURS), "198.51.100.1");
        assert_eq!(told("fd00::1", &[(XFF, "198.51.100.1")], OURS), "198.51.100.1");
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        for (line, caller) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("For=\"198.51.100.1:80\";proto=https;by=10.0.0.1", "198.51.100.1"),
            ("proto=http; for=\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("for=1.1.1.1, for=198.51.100.1;host=a.example, for=10.0.0.2", "198.51.100.1"),
        ] {
            assert_eq!(told("10.0.0.1", &[("forwarded", line)], OURS), caller, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_names_nobody() {
        for (name, line) in [
            (XFF, ""),
            (XFF, "unknown"),
            (XFF, "198.51.100.1, "),
            (XFF, "198.51.100.1, nonsense, 10.0.0.2"),
            (XFF, "198.51.100.1:port"),
            (XFF, "198.51.100.1\u{e9}"),
            ("forwarded", "for=unknown"),
            ("forwarded", "for=_hidden"),
            ("forwarded", "proto=https"),
            ("forwarded", "for=198.51.100.1;for=198.51.100.2"),
            ("forwarded", "for=\"198.51.100.1"),
            ("forwarded", "198.51.100.1"),
        ] {
            assert_eq!(told("10.0.0.1", &[(name, line)], OURS), "10.0.0.1", "{line}");
        }
    }

    #[test]
    fn two_headers_that_differ_name_nobody() {
        let one = (XFF, "198.51.100.1");
        assert_eq!(told("10.0.0.1", &[one, ("forwarded", "for=1.2.3.4")], OURS), "10.0.0.1");
        assert_eq!(told("10.0.0.1", &[one, ("forwarded", "for=_x")], OURS), "10.0.0.1");
        let same = ("forwarded", "for=198.51.100.1");
        assert_eq!(told("10.0.0.1", &[one, same], OURS), "198.51.100.1");
    }

    #[test]
    fn a_network_is_its_leading_bits() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let (at, prefix) = network.split_once('/').unwrap();
            let network = (at.parse().unwrap(), prefix.parse().unwrap());
            assert_eq!(holds(network, address.parse().unwrap()), inside, "{at} {address}");
        }
    }
}
