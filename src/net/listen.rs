//! Listeners: one address, as many sockets as there are threads (SO_REUSEPORT), plain or TLS
//! 1.3. Must never take a port that somebody else listens on: the kernel would share it
//! silently.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::{ServerTls, Stream, TlsError, TlsFiles};

const BACKLOG: u32 = 4096;
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// A failing accept (out of descriptors) is tried again after this, not in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) enum ListenError {
    InUse(SocketAddr),
    Bind { address: SocketAddr, cause: String },
    Tls(TlsError),
}

impl std::fmt::Display for ListenError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(address) => write!(
                formatter,
                "cannot listen on {address}: the port is in use; stop the other program or choose \
                 another port"
            ),
            Self::Bind { address, cause } => {
                write!(formatter, "cannot listen on {address}: {cause}")
            }
            Self::Tls(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for ListenError {}

/// A bound address from which each thread takes a socket of its own.
pub(crate) struct Binding {
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    sockets: Vec<std::net::TcpListener>,
}

/// One thread's socket of a binding.
pub(crate) struct Accepted {
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
}

/// A connection whose TLS, if any, has yet to be spoken; that happens in the connection's own task.
pub(crate) struct PeerStream {
    pub(crate) peer: SocketAddr,
    stream: TcpStream,
    tls: Option<Arc<ServerTls>>,
}

impl Binding {
    /// Binds `sockets` times. Port 0 is chosen once and shared by all.
    pub(crate) fn bind(
        address: SocketAddr,
        sockets: usize,
        tls: Option<&TlsFiles>,
    ) -> Result<Self, ListenError> {
        let tls = tls.map(ServerTls::open).transpose().map_err(ListenError::Tls)?.map(Arc::new);
        // Without SO_REUSEPORT, so that a port in use is seen.
        let probe = std::net::TcpListener::bind(address).map_err(|cause| fault(address, &cause))?;
        let address = probe.local_addr().map_err(|cause| fault(address, &cause))?;
        drop(probe);
        let sockets = (0..sockets.max(1))
            .map(|_| shared_socket(address).map_err(|cause| fault(address, &cause)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { address, tls, sockets })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    /// One socket; None when all were taken. To be turned into a listener on the thread that uses
    /// it.
    pub(crate) fn take(&mut self) -> Option<(std::net::TcpListener, Option<Arc<ServerTls>>)> {
        Some((self.sockets.pop()?, self.tls.clone()))
    }
}

fn fault(address: SocketAddr, cause: &io::Error) -> ListenError {
    if cause.kind() == io::ErrorKind::AddrInUse {
        ListenError::InUse(address)
    } else {
        ListenError::Bind { address, cause: cause.to_string() }
    }
}

fn shared_socket(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = std_socket(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// tokio's socket can set SO_REUSEPORT but wants a runtime to listen; nix has no such want.
fn std_socket(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
        socket, sockopt,
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let descriptor = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    setsockopt(&descriptor, sockopt::ReusePort, &true)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &SockaddrStorage::from(address))?;
    listen(&descriptor, Backlog::new(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?)?;
    Ok(std::net::TcpListener::from(descriptor))
}

impl Accepted {
    /// On the thread whose runtime will serve it.
    pub(crate) fn new(
        socket: std::net::TcpListener,
        tls: Option<Arc<ServerTls>>,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(socket)?, tls })
    }

    pub(crate) async fn accept(&self) -> PeerStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // A socket that cannot be set up is dead already; its first read says so.
                    let _set = stream.set_nodelay(true);
                    return PeerStream { peer, stream, tls: self.tls.clone() };
                }
                Err(cause) => {
                    tracing::warn!(%cause, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl PeerStream {
    /// Speaks TLS where the listener wants it. None if the peer did not, or took too long.
    pub(crate) async fn open(self) -> Option<Stream> {
        let Some(tls) = self.tls else { return Some(Stream::Plain(self.stream)) };
        let handshake = tls.acceptor().accept(self.stream);
        let stream = tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await.ok()?.ok()?;
        Some(Stream::Tls(Box::new(stream.into())))
    }
}
