//! Base URLs taken apart once: scheme, host, port, path.
//! Must never accept user info, a query or a fragment, and plain http only where it cannot leave
//! the house.

use std::net::IpAddr;

use crate::net::is_private;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    pub(super) fn is_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn default_port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }
}

/// Where a provider lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    pub scheme: Scheme,
    /// Lower case; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or begins with a slash and does not end with one.
    pub path: String,
}

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
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
    pub(crate) fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// One text for one destination.
    pub(crate) fn canonical(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        format!("{}://{}:{}{}", self.scheme.as_str(), self.bracketed(), self.port, path)
    }

    /// `host` or `host:port`, as a Host header and a URL write it.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.bracketed()
        } else {
            format!("{}:{}", self.bracketed(), self.port)
        }
    }

    /// Scheme and authority: what precedes the path in an absolute URL of this provider.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Does the host name, as written, stay on this machine or in a private network?
    pub(crate) fn is_private_literal(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => is_private(address),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
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
}
