//! The sections of the two faces and of the sandbox: addresses, TLS, what the proxy believes and
//! accepts.
//! A listener that others can reach never speaks plain HTTP by accident.

use std::net::{IpAddr, SocketAddr};

use super::fault::Fault;
use super::ground::Ground;
use super::raw::{RawAdmin, RawProxy};
use crate::{admin, operators, proxy};

pub(super) fn proxy(ground: &Ground<'_>, raw: &RawProxy) -> Result<proxy::Settings, Fault> {
    let tls = ground.tls("proxy.tls", &raw.tls)?;
    stays_private(ground, "proxy", raw.listen, tls.is_some() || raw.behind_tls)?;
    let public_url = match raw.public_url.as_str() {
        "" => derived_url(raw.listen, tls.is_some()),
        text => public_url(text).map_err(|what| ground.fault("proxy.public_url", what))?,
    };
    if !raw.domain.is_empty() && !is_domain(&raw.domain) {
        let what =
            format!("{:?} is not a bare domain; write it like \"gate.internal\"", raw.domain);
        return Err(ground.fault("proxy.domain", what));
    }
    let mut trusted_proxies = Vec::with_capacity(raw.trusted_proxies.len());
    for text in &raw.trusted_proxies {
        let network = network(text).ok_or_else(|| {
            let what =
                format!("{text:?} is not an address or network; write it like \"10.0.0.0/8\"");
            ground.fault("proxy.trusted_proxies", what)
        })?;
        trusted_proxies.push(network);
    }
    Ok(proxy::Settings {
        listen: raw.listen,
        behind_tls: raw.behind_tls,
        public_url,
        domain: raw.domain.to_ascii_lowercase(),
        tls,
        trusted_proxies,
        max_head_bytes: raw.max_head_bytes,
        max_body_bytes: raw.max_body_bytes,
        max_concurrent: raw.max_concurrent,
        max_sockets: raw.max_sockets,
        max_unauthenticated_sockets: raw.max_unauthenticated_sockets,
        max_connections: raw.max_connections,
        max_connections_per_address: raw.max_connections_per_address,
        workers: raw.workers,
    })
}

pub(super) fn admin(
    ground: &Ground<'_>,
    raw: &RawAdmin,
    requests_per_minute: u64,
    proxy: &proxy::Settings,
) -> Result<admin::Settings, Fault> {
    let tls = ground.tls("admin.tls", &raw.tls)?;
    stays_private(ground, "admin", raw.listen, tls.is_some() || raw.behind_tls)?;
    for origin in &raw.frame_ancestors {
        if !is_origin(origin) {
            let what =
                format!("{origin:?} is not an origin; write it like \"https://intranet.example\"");
            return Err(ground.fault("admin.frame_ancestors", what));
        }
    }
    Ok(admin::Settings {
        listen: raw.listen,
        behind_tls: raw.behind_tls,
        tls,
        frame_ancestors: raw.frame_ancestors.clone(),
        proxy_url: proxy.public_url.clone(),
        requests_per_minute,
        operators: operators::Settings {
            session_idle_seconds: raw.session_idle_seconds,
            session_seconds: raw.session_seconds,
            invitation_seconds: raw.invitation_seconds,
        },
    })
}

/// Two listeners on one address: a firewall could not tell them apart, and the second could not
/// start.
pub(super) fn stay_apart(
    ground: &Ground<'_>,
    one: (&str, SocketAddr),
    other: (&str, SocketAddr),
) -> Result<(), Fault> {
    let ((one_key, one), (other_key, other)) = (one, other);
    let overlap =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    if one.port() == 0 || one.port() != other.port() || !overlap {
        return Ok(());
    }
    let what = format!("{one} is taken by {other_key} ({other}); give each its own port");
    Err(ground.layers.fault_beside(one_key, other_key, what))
}

fn stays_private(
    ground: &Ground<'_>,
    face: &str,
    listen: SocketAddr,
    sheltered: bool,
) -> Result<(), Fault> {
    if listen.ip().is_loopback() || sheltered {
        return Ok(());
    }
    let what = format!(
        "{listen} can be reached from outside and speaks plain HTTP; set {face}.tls, or \
         {face}.behind_tls = true where something in front of it speaks TLS"
    );
    Err(ground.fault(&format!("{face}.listen"), what))
}

/// Where the port is chosen at the start, the URL is only known then, and stays empty here.
fn derived_url(listen: SocketAddr, tls: bool) -> String {
    if listen.port() == 0 {
        return String::new();
    }
    let mut reached = listen;
    if listen.ip().is_unspecified() {
        let loopback = if listen.is_ipv4() {
            IpAddr::from([127, 0, 0, 1])
        } else {
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
        };
        reached.set_ip(loopback);
    }
    format!("{}://{reached}", if tls { "https" } else { "http" })
}

fn public_url(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(String::from("a URL with a user or a password is not accepted"));
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(authority) = rest else {
        return Err(format!("{text:?} must begin with https:// or http://"));
    };
    if authority.ends_with('/') {
        let bare = text.trim_end_matches('/');
        return Err(format!("{text:?} must not end with a slash; write {bare:?}"));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(format!("{text:?} must not have a path; give scheme, host and port alone"));
    }
    if !is_authority(authority) {
        return Err(format!(
            "{text:?} names no host and port; write it like \"https://gate.example\""
        ));
    }
    Ok(text.to_owned())
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(is_authority)
}

/// `host`, `host:port`, `[v6]:port`.
fn is_authority(text: &str) -> bool {
    let port_is_good = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port = port.strip_prefix(':');
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (rest.ends_with(']') || port.is_some_and(port_is_good));
    }
    match text.split_once(':') {
        Some((host, port)) => is_domain(host) && port_is_good(port),
        None => is_domain(text),
    }
}

/// Letters, digits and hyphens between dots, as names of hosts and IPv4 addresses are written.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some((address, length))
}
