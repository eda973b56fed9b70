//! Which addresses belong to no public network.
//! Judged on the address that is connected to, never on a name. Must know every IPv6 form that
//! hides an IPv4 address.

use std::net::IpAddr;

/// Loopback, private, link-local, carrier, documentation, multicast, unspecified; and the IPv6
/// forms that carry such an IPv4 address inside.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_private_v4(v4);
            }
            let segments = v6.segments();
            match segments {
                // NAT64 and 6to4 carry an IPv4 address; Teredo hides one.
                [0x64, 0xff9b, _, _, _, _, high, low] => is_private_v4(v4_of(high, low)),
                [0x2002, high, low, _, _, _, _, _] => is_private_v4(v4_of(high, low)),
                [0x2001, 0, ..] | [0x2001, 0xdb8, ..] => true,
                [0, 0, 0, 0, 0, 0, _, _] => true,
                [first, ..] => {
                    v6.is_multicast()
                        || first & 0xfe00 == 0xfc00
                        || first & 0xffc0 == 0xfe80
                        || first & 0xffc0 == 0xfec0
                }
            }
        }
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
        ];
        for text in private {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
