//! The admin face.

use std::net::SocketAddr;

use crate::net::TlsFiles;

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub behind_tls: bool,
    pub tls: Option<TlsFiles>,
    pub frame_ancestors: Vec<String>,
    pub requests_per_minute: u64,
}
