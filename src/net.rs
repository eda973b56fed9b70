//! Mechanism of the network: guarded resolve and connect, client TLS, listeners, certificate reload,
//! caps and drain. Knows nothing of providers, callers or HTTP.

use std::path::PathBuf;

/// What may be connected to at all.
#[derive(Clone, Debug, Default)]
pub struct EgressSettings {
    pub allow_private_networks: bool,
    /// Extra trust anchors, PEM.
    pub ca_file: Option<PathBuf>,
}

/// A certificate chain and its key; both files are read again when they change.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}
