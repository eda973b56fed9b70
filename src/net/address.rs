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
