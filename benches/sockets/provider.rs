//! The provider of the bench: TLS 1.3 and WebSockets by hand, on a thread of its own. `/flood/N/B`
//! says B bytes in frames of N, `/sink/0/B` says one word when it has heard B bytes, `/idle` says
//! nothing. Must never open a socket for whoever does not show the real key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Outcome;
use crate::frames::{block, frame};

pub(crate) const REAL_KEY: &str = "real-key-of-the-bench-0123456789abcdef";
const DEMANDED: &str = "Bearer real-key-of-the-bench-0123456789abcdef";
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub(crate) struct Provider {
    pub(crate) port: u16,
    pub(crate) ca_file: PathBuf,
}

impl Provider {
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let ca_file = folder.join("ca.pem");
        let (ca_pem, tls) = tls()?;
        std::fs::write(&ca_file, ca_pem).map_err(|cause| cause.to_string())?;
        let fault = |cause: std::io::Error| format!("the provider cannot listen: {cause}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let port = listener.local_addr().map_err(fault)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(fault)?;
        std::thread::spawn(move || runtime.block_on(accept(listener, tls)));
        Ok(Self { port, ca_file })
    }
}

fn tls() -> Outcome<(String, TlsAcceptor)> {
    let (ca_pem, chain, key) = identity().map_err(|cause| format!("no certificate: {cause}"))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(|cause| format!("no TLS: {cause}"))?;
    Ok((ca_pem, TlsAcceptor::from(Arc::new(config))))
}

fn identity() -> Result<(String, CertificateDer<'static>, Vec<u8>), rcgen::Error> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut above = CertificateParams::default();
    above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    above.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
    let authority = CertifiedIssuer::self_signed(above, KeyPair::generate()?)?;
    let leaf = CertificateParams::new(vec![String::from("localhost")])?;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.der().clone(), key.serialize_der()))
}

async fn accept(listener: std::net::TcpListener, tls: TlsAcceptor) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            if stream.set_nodelay(true).is_err() {
                return;
            }
            if let Ok(stream) = tls.accept(stream).await {
                // Whoever loads it sees that it ended early.
                let _ended = serve(stream).await;
            }
        });
    }
}

async fn serve(mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut heard = Vec::with_capacity(1024);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&heard, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut heard).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(heard.get(..end).unwrap_or_default()).into_owned();
    let mut early = heard.len() - end;
    drop(heard);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let (Some(key), true) = (key, head.contains(DEMANDED)) else {
        return stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await;
    };
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes());
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut words = path.split('/').skip(1);
    let what = words.next().unwrap_or_default().to_owned();
    let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    let (size, bytes) = (number(), number());
    match what.as_str() {
        "flood" => {
            let block = block(size, None);
            let mut said = 0;
            while said < bytes {
                stream.write_all(&block).await?;
                said += block.len();
            }
        }
        "sink" => {
            let mut room = vec![0; 64 * 1024];
            while early < bytes {
                let count = stream.read(&mut room).await?;
                if count == 0 {
                    return Ok(());
                }
                early += count;
            }
            stream.write_all(&frame(b"heard", None)).await?;
        }
        _ => {}
    }
    stream.flush().await?;
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
