//! The proxy face.

use std::net::{IpAddr, SocketAddr};

use crate::net::TlsFiles;

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// A plain listener off loopback stands behind a TLS terminator.
    pub behind_tls: bool,
    /// Without a trailing slash.
    pub public_url: String,
    /// Empty: path addressing alone.
    pub domain: String,
    pub tls: Option<TlsFiles>,
    /// Networks (address, prefix length) whose forwarding headers are believed.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    pub max_head_bytes: usize,
    /// 0: no limit.
    pub max_body_bytes: u64,
    pub max_concurrent: usize,
    /// One data-plane thread each; 0: one per core.
    pub workers: usize,
}
