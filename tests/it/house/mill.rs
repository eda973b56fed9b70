//! A provider for long and heavy work: forgets what it was sent, streams as many answers as are
//! wanted at a test's word or at their own pace, takes and gives bodies of any size, packs answers.
//! Must never keep anything of a call that has ended.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::outpost::{Certificate, Channel, Speaks, identity};

pub(crate) struct Mill {
    address: SocketAddr,
    pub ca_pem: String,
    told: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Mill {
    pub(crate) async fn open(speaks: Speaks) -> Self {
        let (ca_pem, acceptor) = identity(speaks, Certificate::Right);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, heard) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, acceptor, heard));
        Self { address, ca_pem, told, accepting }
    }

    /// Its entry in the settings; `more` are further lines.
    pub(crate) fn settings(&self, id: &str, ca_file: &str, more: &str) -> String {
        format!(
            "[providers.{id}]\nbase_url = \"https://localhost:{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\nca_file = \"{ca_file}\"\n\
             inject = [{{ at = \"header\", name = \"X-Mill-Key\" }}]\n{more}\n",
            self.address.port(),
        )
    }

    /// Every stream sends its events up to this one, and not a further one.
    pub(crate) fn tell(&self, events: u64) {
        self.told.send_replace(events);
    }
}

impl Drop for Mill {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    heard: watch::Receiver<u64>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, heard) = (acceptor.clone(), heard.clone());
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let respond = service_fn(move |request| reply(heard.clone(), request));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            builder.http2().timer(TokioTimer::new());
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What the stream sends as its event of this number.
pub(crate) fn event(number: u64) -> String {
    format!("data: {{\"event\":{number}}}\n\n")
}

/// What is packed.
pub(crate) fn packed_text() -> String {
    (0..2_000).map(|row| format!("{{\"row\":{row},\"price\":{}}}\n", row * 7 % 1_000)).collect()
}

async fn reply(
    heard: watch::Receiver<u64>,
    request: Request<Incoming>,
) -> Result<Response<Channel>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut taken = 0;
    while let Some(Ok(frame)) = body.frame().await {
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
    let number = |name: &str| {
        let query = head.uri.query().unwrap_or_default();
        let given = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        given.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let (sender, body) = Channel::open();
    let mut response = Response::new(body);
    let kind = match head.uri.path() {
        "/told" => {
            tokio::spawn(told(sender, heard, number("n")));
            "text/event-stream"
        }
        "/ticks" => {
            tokio::spawn(ticks(sender, number("n"), Duration::from_millis(number("gap"))));
            "text/event-stream"
        }
        "/down" => {
            tokio::spawn(down(sender, number("bytes")));
            "application/octet-stream"
        }
        "/packed" => {
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, gzip);
            let fast = flate2::Compression::fast();
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), fast);
            packer.write_all(packed_text().as_bytes()).unwrap();
            whole(sender, packer.finish().unwrap());
            "application/x-ndjson"
        }
        "/late" => {
            tokio::time::sleep(Duration::from_millis(number("ms"))).await;
            whole(sender, b"{}".to_vec());
            "application/json"
        }
        _ => {
            whole(sender, format!("{{\"taken\":{taken}}}").into_bytes());
            "application/json"
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

type Pieces = tokio::sync::mpsc::Sender<super::outpost::Piece>;

fn whole(sender: Pieces, body: Vec<u8>) {
    sender.try_send(Ok(Frame::data(Bytes::from(body)))).unwrap();
}

async fn told(sender: Pieces, mut heard: watch::Receiver<u64>, count: u64) {
    for number in 1..=count {
        tokio::select! {
            () = sender.closed() => return,
            told = heard.wait_for(|told| *told >= number) => {
                if told.is_err() {
                    return;
                }
            }
        }
        if sender.send(Ok(Frame::data(Bytes::from(event(number))))).await.is_err() {
            return;
        }
    }
}

async fn ticks(sender: Pieces, count: u64, gap: Duration) {
    for number in 1..=count {
        if sender.send(Ok(Frame::data(Bytes::from(event(number))))).await.is_err() {
            return;
        }
        tokio::time::sleep(gap).await;
    }
}

async fn down(sender: Pieces, bytes: u64) {
    let block = Bytes::from(vec![b'd'; 64 * 1024]);
    let mut left = bytes;
    while left > 0 {
        let size = left.min(block.len() as u64);
        left -= size;
        let piece = block.slice(..usize::try_from(size).unwrap());
        if sender.send(Ok(Frame::data(piece))).await.is_err() {
            return;
        }
    }
}
