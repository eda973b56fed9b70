//! The only way a socket leaves the house: resolve once, judge every address, connect to one that
//! was judged, speak TLS.
//! Literal addresses pass the same judgement.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{Stream, Trust, is_private};

/// Where to connect, decided long before any request came.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) allow_private: bool,
    pub(crate) trust: Trust,
    pub(crate) patience: Duration,
}

/// Makes guarded connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connector {
    pub(crate) allow_private_networks: bool,
}

#[derive(Debug)]
pub(crate) enum ConnectError {
    Unresolved(String),
    /// Every address of the name is private, and that was not allowed.
    Forbidden,
    Unreachable(String),
    Tls(String),
    TimedOut,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unresolved(cause) => write!(formatter, "the name does not resolve: {cause}"),
            Self::Forbidden => formatter.write_str(
                "its address is private, loopback or link-local; set allow_private_network = true for \
                 this provider if that is meant",
            ),
            Self::Unreachable(cause) => write!(formatter, "no connection: {cause}"),
            Self::Tls(cause) => write!(formatter, "TLS failed: {cause}"),
            Self::TimedOut => formatter.write_str("no connection within the time-out"),
        }
    }
}

impl Connector {
    /// `wants_h2` offers HTTP/2 beside HTTP/1.1.
    pub(crate) async fn connect(
        &self,
        to: &Destination,
        wants_h2: bool,
    ) -> Result<Stream, ConnectError> {
        match tokio::time::timeout(to.patience, self.connect_unbounded(to, wants_h2)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ConnectError::TimedOut),
        }
    }

    async fn connect_unbounded(
        &self,
        to: &Destination,
        wants_h2: bool,
    ) -> Result<Stream, ConnectError> {
        let stream = self.open_socket(to).await?;
        stream.set_nodelay(true).map_err(|cause| ConnectError::Unreachable(cause.to_string()))?;
        if !to.tls {
            return Ok(Stream::Plain(stream));
        }
        let connector =
            to.trust.connector(wants_h2).map_err(|cause| ConnectError::Tls(cause.to_string()))?;
        let name = ServerName::try_from(to.host.clone()).map_err(|_| {
            ConnectError::Tls(String::from("the host is no name for a certificate"))
        })?;
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|cause| ConnectError::Tls(cause.to_string()))?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    async fn open_socket(&self, to: &Destination) -> Result<TcpStream, ConnectError> {
        let mut last = ConnectError::Forbidden;
        for address in resolve(&to.host, to.port).await? {
            if is_private(address.ip()) && !self.allow_private_networks && !to.allow_private {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(cause) => last = ConnectError::Unreachable(cause.to_string()),
            }
        }
        Err(last)
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(literal) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|cause| ConnectError::Unresolved(cause.to_string()))?;
    Ok(found.collect())
}
