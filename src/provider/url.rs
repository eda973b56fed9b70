//! Base URLs taken apart once: scheme, host, port, path. Must never accept user info, a query or a
//! fragment, and plain http only where it cannot leave the house.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    fn default_port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }
}

/// Where a provider lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    pub scheme: Scheme,
    /// Lower case; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or begins with a slash and does not end with one.
    pub path: String,
}

impl BaseUrl {
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: http::Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some("ws") => Scheme::Ws,
            Some("wss") => Scheme::Wss,
            Some(_) | None => return Err(format!("`{text}` does not begin with https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("`{text}` names no host"))?;
        if authority.as_str().contains('@') {
            return Err(String::from("a URL with a user or a password is not accepted"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(format!("`{text}` carries a query or a fragment; give the base alone"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let path = uri.path().trim_end_matches('/');
        let dotted = path.split('/').any(|segment| segment == "." || segment == "..");
        if host.is_empty() || dotted || path.contains('%') {
            return Err(format!("`{text}` has no plain host and path"));
        }
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or_else(|| scheme.default_port()),
            path: path.to_owned(),
        })
    }

    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// One text for one destination.
    pub fn canonical(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        format!("{}://{}:{}{}", self.scheme.as_str(), self.bracketed(), self.port, path)
    }

    /// `host` or `host:port`, as a Host header and a URL write it.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.bracketed()
        } else {
            format!("{}:{}", self.bracketed(), self.port)
        }
    }

    /// Scheme and authority: what precedes the path in an absolute URL of this provider.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Does the host name, as written, stay on this machine or in a private network?
    pub fn is_private_literal(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => is_private(address),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

/// Loopback, private, link-local, carrier, documentation, multicast, unspecified; and the IPv6 forms
/// that carry such an IPv4 address inside.
pub fn is_private(address: IpAddr) -> bool {
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

    fn check(text: &str, canonical: &str) {
        assert_eq!(BaseUrl::parse(text).unwrap().canonical(), canonical);
    }

    #[test]
    fn one_destination_has_one_text() {
        check("https://API.Polygon.io", "https://api.polygon.io:443/");
        check("https://api.polygon.io:443/", "https://api.polygon.io:443/");
        check("https://localhost:5000/v1/api/", "https://localhost:5000/v1/api");
        check("wss://[::1]:9/x", "wss://[::1]:9/x");
    }

    #[test]
    fn what_is_no_base_is_refused() {
        let texts =
            ["api.polygon.io", "ftp://x", "https://a:b@c", "https://a/?q", "https://a/../b"];
        for text in texts {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
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
        ];
        for text in private {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
