//! A provider's stand-in, made from its catalogue file: a local TLS server that demands the real
//! key in the right slot and answers in the provider's own shapes. For `--sandbox`, for tests, and
//! for trying the product without an account.
//! Must never hold a key that a real provider accepts: it remembers what it was sent.

mod body;
mod candles;
mod identity;
mod key;
mod reply;
mod seen;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::net::TlsAcceptor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) use self::identity::Identity;
#[cfg(test)]
use self::seen::SeenRequest;

use self::reply::Stage;
use crate::provider::Provider;
use crate::secret::SecretBytes;

/// Long enough for any client on this machine; a forgotten connection does not stay for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A stand-in that listens. Dropped or stopped, it ends with every connection it has.
pub(crate) struct Emulator {
    address: SocketAddr,
    ca_pem: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask what reached the stand-in"))]
    stage: Arc<Stage>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
pub enum EmulatorError {
    /// The catalogue file has no `[emulator]`.
    NoEmulation(Arc<str>),
    Listen(SocketAddr, std::io::Error),
    /// No certificate could be made, or TLS refuses it.
    Identity(String),
}

impl std::fmt::Display for EmulatorError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoEmulation(id) => write!(
                formatter,
                "provider `{id}` has no emulator: its catalogue file tells none; take one that \
                 does, such as polygon or openai"
            ),
            Self::Listen(address, cause) => write!(
                formatter,
                "the emulator cannot listen on {address}: {cause}; choose another port, or 0 for \
                 any"
            ),
            Self::Identity(fault) => {
                write!(formatter, "the emulator cannot make its TLS certificate: {fault}")
            }
        }
    }
}

impl std::error::Error for EmulatorError {}

impl Emulator {
    /// Listens at once and serves on the current runtime. `fields` are the secret that every
    /// request must carry, in every slot that the provider's `inject` names.
    pub(crate) async fn start(
        provider: Arc<Provider>,
        fields: Vec<(String, SecretBytes)>,
        listen: SocketAddr,
        identity: Identity,
    ) -> Result<Self, EmulatorError> {
        if provider.emulation.is_none() {
            return Err(EmulatorError::NoEmulation(Arc::clone(&provider.id)));
        }
        let failed = |cause| EmulatorError::Listen(listen, cause);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (ca_pem, acceptor) = identity.into_acceptor()?;
        let stage = Arc::new(Stage::new(provider, fields));
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&stage)));
        Ok(Self { address, ca_pem, stage, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that signed its certificate, for a provider's `ca_file`.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The last requests that reached it, oldest first, those it refused included.
    #[cfg(test)]
    pub(crate) fn seen(&self) -> Vec<SeenRequest> {
        self.stage.seen.list()
    }

    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        // An aborted task ends with an error by design.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Connections live in this task's set, so that aborting it ends them all.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&stage)));
            }
            // Out of descriptors, mostly: wait instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One connection. Its errors are the peer's affair: a stand-in has nobody to tell them to.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, stage: Arc<Stage>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let respond = service_fn(move |mut request| {
        let stage = Arc::clone(&stage);
        async move {
            Ok::<_, std::convert::Infallible>(match socket::answered(&stage, &mut request) {
                Some(response) => response,
                None => reply::to(&stage, request).await,
            })
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024);
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), respond).await;
}

#[cfg(test)]
mod tests;
