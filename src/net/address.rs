//! Which addresses belong to no public network.
//! Judged on the address that is connected to, never on a name. Must know every IPv6 form that
//! hides an IPv4 address.

use std::net::IpAddr;

/// Loopback, private, link-local, carrier, documentation, multicast, unspecified; the IPv6 forms
/// that carry such an IPv4 address inside; and every IPv6 address that is no global unicast one.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match v6.segments() {
            // Mapped, translated (SIIT), NAT64 and 6to4 addresses carry an IPv4 address.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, _, _, _, _, _] => is_private_v4(v4_of(high, low)),
            // ISATAP hides one at its end, whatever network is before it.
            [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => true,
            // Teredo, benchmarks, ORCHID and what else the IETF keeps; documentation.
            [0x2001, 0..=0x01ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => true,
            [first, ..] => first & 0xe000 != 0x2000,
        },
    }
}

/// Of a webhook: `https://` and a host, or `http://` where that is this machine or a private
/// address, as everywhere.
pub(crate) fn is_webhook(url: &str) -> bool {
    let host = |scheme: &str| host_within(url.strip_prefix(scheme)?);
    let is_near = |host: &str| host == "localhost" || host.parse().is_ok_and(is_private);
    let is_plain = !url.chars().any(|sign| sign.is_control() || sign.is_whitespace());
    is_plain && (host("https://").is_some() || host("http://").is_some_and(is_near))
}

/// Does it name such an address itself, so that it is refused where those are?
pub(crate) fn is_private_webhook(url: &str) -> bool {
    let host = url.split_once("://").and_then(|(_, rest)| host_within(rest));
    host.is_some_and(|host| host == "localhost" || host.parse().is_ok_and(is_private))
}

/// Without port, brackets, and whoever signs in there.
fn host_within(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let authority = authority.rsplit('@').next()?;
    let end = authority.rfind(':').filter(|_| !authority.ends_with(']'));
    let host = authority.get(..end.unwrap_or(authority.len()))?.trim_matches(['[', ']']);
    (!host.is_empty()).then_some(host)
}

fn v4_of(high: u16, low: u16) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

fn is_private_v4(v4: std::net::Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        // The way to 6to4 relays.
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_reached_over_tls_or_nearby() {
        for (url, is_one, is_private) in [
            ("https://hooks.example/x", true, false),
            ("https://u:p@hooks.example:8443?x", true, false),
            ("https://127.0.0.1/x", true, true),
            ("https://[::1]:8443/x", true, true),
            ("http://127.0.0.1:9", true, true),
            ("http://localhost:9/x", true, true),
            ("http://[fd00::1]/x", true, true),
            ("http://hooks.example/x", false, false),
            ("http://127.0.0.1@hooks.example/x", false, false),
            ("https://", false, false),
            ("https:///x", false, false),
            ("https://a b/x", false, false),
            ("ftp://hooks.example/x", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_webhook(url), is_one, "{url}");
            assert_eq!(is_private_webhook(url), is_private, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_known_in_every_dress() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.88.99.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1:7f00:0:100::",
            "2002:a00:1::",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "2606:4700::5efe:7f00:1",
            "100::1",
            "5f00::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in private {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in
            ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
        {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
