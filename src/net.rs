//! Mechanism of the network: guarded resolve and connect, client TLS; listeners, certificate
//! reload, deadlines; who called, behind a proxy of ours. Knows nothing of providers or callers'
//! keys. Must never connect to an address that it has not judged, and never resolve a name again
//! between the judgement and the connect.

mod address;
mod breaker;
mod connect;
mod crowd;
mod deadline;
mod drain;
mod forwarded;
mod health;
mod listen;
mod patient;
mod race;
mod stream;
mod tls;

use std::path::PathBuf;

/// Named here, so that whoever accepts TLS needs no TLS crate.
pub(crate) use tokio_rustls::TlsAcceptor;

pub(crate) use self::address::{is_private, is_private_webhook, is_webhook};
pub(crate) use self::connect::{
    ConnectError, Connected, Connector, Destination, Line, whole_seconds,
};
pub(crate) use self::crowd::{Crowd, Place, descriptors, host_of};
pub(crate) use self::deadline::{Deadlines, Patience, TimedOut};
pub(crate) use self::drain::{Drain, Follower};
pub(crate) use self::forwarded::{caller, is_in};
pub(crate) use self::health::Seen;
pub(crate) use self::listen::{Accepted, Binding, ListenError, PeerStream};
pub(crate) use self::patient::Patient;
pub(crate) use self::stream::Stream;
pub(crate) use self::tls::{
    ServerTls, TlsError, Trust, install_provider, is_tls_fault, server_tls,
};

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
