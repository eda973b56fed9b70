//! TLS on both sides, with one crypto provider.
//! The only place that names rustls. Must never offer a configuration that skips the verification
//! of a provider's certificate.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::TlsFiles;

/// Why TLS cannot be set up; one line each.
#[derive(Debug)]
pub(crate) enum TlsError {
    Unreadable { path: String, cause: String },
    NotPem { path: String },
    Unusable { cause: String },
    NoAnchors { cause: String },
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { path, cause } => write!(formatter, "cannot read {path}: {cause}"),
            Self::NotPem { path } => {
                write!(formatter, "{path} holds no PEM certificate or key; give a PEM file")
            }
            Self::Unusable { cause } => {
                write!(formatter, "the TLS certificate and key cannot be used: {cause}")
            }
            Self::NoAnchors { cause } => write!(
                formatter,
                "this machine has no trusted certificate authorities ({cause}); install the package \
                 ca-certificates or set egress.ca_file"
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// Chooses the crypto provider for the whole process; safe to call again.
pub(crate) fn install_provider() {
    // An error means that it was installed before, which is what is wanted.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Whether TLS itself failed somewhere in this: a certificate that is not trusted, or a peer that
/// speaks something else.
pub(crate) fn is_tls_fault(fault: &(dyn std::error::Error + 'static)) -> bool {
    type Shared = Arc<dyn std::error::Error + Send + Sync>;
    if fault.is::<rustls::Error>() {
        return true;
    }
    let shared = fault.downcast_ref::<Shared>().map(|shared| &**shared);
    let io = fault.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    shared.is_some_and(|inner| is_tls_fault(inner))
        || io.is_some_and(|inner| is_tls_fault(inner))
        || fault.source().is_some_and(is_tls_fault)
}

/// Which authorities a provider's certificate may come from: the platform's and extra ones.
#[derive(Clone)]
pub(crate) struct Trust {
    connectors: Arc<Result<Connectors, TlsError>>,
}

/// Two, because the protocol is agreed on while TLS is spoken.
struct Connectors {
    h1: TlsConnector,
    h1_or_h2: TlsConnector,
}

impl Trust {
    /// `extra_pem` are PEM texts or files already read. A machine without authorities is an error
    /// only when somebody wants to connect.
    pub(crate) fn new(extra_pem: &[Vec<u8>]) -> Result<Self, TlsError> {
        let extra = extra_pem
            .iter()
            .map(|pem| certificates(pem, "the extra trust anchors"))
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        Ok(Self { connectors: Arc::new(client_config(&extra).map(connectors_of)) })
    }

    pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
        let pem = read(path)?;
        certificates(&pem, &path.display().to_string())?;
        Ok(pem)
    }

    pub(super) fn connector(&self, wants_h2: bool) -> Result<&TlsConnector, &TlsError> {
        let connectors = self.connectors.as_ref().as_ref()?;
        Ok(if wants_h2 { &connectors.h1_or_h2 } else { &connectors.h1 })
    }
}

fn connectors_of(mut h1: ClientConfig) -> Connectors {
    let mut h1_or_h2 = h1.clone();
    h1.alpn_protocols = vec![b"http/1.1".to_vec()];
    h1_or_h2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Connectors {
        h1: TlsConnector::from(Arc::new(h1)),
        h1_or_h2: TlsConnector::from(Arc::new(h1_or_h2)),
    }
}

fn client_config(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let platform = if extra.is_empty() {
        ClientConfig::builder()
            .with_platform_verifier()
            .map(|builder| builder.with_no_client_auth())
    } else {
        let roots = rustls_platform_verifier::Verifier::new_with_extra_roots(
            extra.iter().cloned(),
            provider(),
        );
        roots.map(|verifier| {
            ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        })
    };
    match platform {
        Ok(config) => Ok(config),
        Err(cause) if extra.is_empty() => Err(TlsError::NoAnchors { cause: cause.to_string() }),
        Err(_) => only(extra),
    }
}

/// A machine without a bundle still reaches what its settings name.
fn only(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for anchor in extra {
        roots.add(anchor.clone()).map_err(unusable)?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server's identity from DER, for servers whose certificate is made at start.
pub(crate) fn server_tls(
    chain_der: Vec<Vec<u8>>,
    key_der: Vec<u8>,
    alpn: &[&[u8]],
) -> Result<TlsAcceptor, TlsError> {
    let chain = chain_der.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(key_der)
        .map_err(|cause| TlsError::Unusable { cause: cause.to_owned() })?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A listener's identity from two files; TLS 1.3 alone. Read again when either file changes.
pub(crate) struct ServerTls {
    files: TlsFiles,
    current: RwLock<Current>,
}

struct Current {
    stamp: Stamp,
    acceptor: TlsAcceptor,
}

/// Times and lengths of both files.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl ServerTls {
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let stamp = stamp(files);
        let acceptor = acceptor(files)?;
        Ok(Self { files: files.clone(), current: RwLock::new(Current { stamp, acceptor }) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Looks at the files; takes them over if they changed and are whole. Some(fault) if they are
    /// not: the former certificate stays in force.
    pub(crate) fn refresh(&self) -> Option<TlsError> {
        let seen = stamp(&self.files);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).stamp == seen {
            return None;
        }
        match acceptor(&self.files) {
            Ok(acceptor) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Current { stamp: seen, acceptor };
                tracing::info!(cert = %self.files.cert.display(), "certificate reloaded");
                None
            }
            Err(fault) => Some(fault),
        }
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.cert, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&read(&files.cert)?, &files.cert.display().to_string())?;
    let key_name = files.key.display().to_string();
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|_| TlsError::NotPem { path: key_name })?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(pem: &[u8], path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(TlsError::NotPem { path: path.to_owned() }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable {
        path: path.display().to_string(),
        cause: cause.to_string(),
    })
}

fn unusable(cause: rustls::Error) -> TlsError {
    TlsError::Unusable { cause: cause.to_string() }
}
