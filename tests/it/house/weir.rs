//! A provider over HTTP/2, frame by frame: says how many calls at once it takes, holds answers
//! until the test releases them, turns calls away, goes away in the middle, ends streams early. It
//! counts what reached it, so that a test sees what was sent twice, and on how many connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use super::outpost::{Certificate, Speaks, identity};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// `:status: 200`, by its number in the static table.
const STATUS_200: &[u8] = &[0x88];
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// What happens to a request as soon as its head is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// 200 and a body.
    Answer,
    /// The same, once the test releases it.
    Gated,
    /// Its stream is turned away unseen.
    Refuse,
    /// Its stream is ended as something that failed.
    Fail,
    /// The provider goes away: it has seen no call behind the first of this connection, and answers
    /// that.
    GoAway,
    /// A whole answer, and no wish to hear the rest of the request.
    Early,
    /// A part of an answer, and its stream ended as if nothing were wrong.
    Short,
    /// A part of an answer, and its stream ended.
    Cancel,
}

pub(crate) struct Weir {
    address: SocketAddr,
    ca_file: PathBuf,
    stage: Arc<Stage>,
    _folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

struct Stage {
    at_once: Option<u32>,
    script: Mutex<Box<dyn Fn(u64, u64) -> Flow + Send>>,
    seen: Mutex<Counts>,
    gate: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub connections: u64,
    pub calls: u64,
    /// The most on one connection at once.
    pub at_once: u64,
}

impl Weir {
    /// `at_once`: what it says it takes. The script goes by the number of the connection and of the
    /// call on it, both from 1.
    pub(crate) async fn open(
        at_once: Option<u32>,
        script: impl Fn(u64, u64) -> Flow + Send + 'static,
    ) -> Self {
        let (ca_pem, acceptor) = identity(Speaks::Http2, Certificate::Right);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("weir.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        let stage = Arc::new(Stage {
            at_once,
            script: Mutex::new(Box::new(script)),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&stage)));
        Self { address, ca_file, stage, _folder: folder, accepting }
    }

    /// Its entry in the settings, as `weir`; `more` are further lines.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[providers.weir]\nbase_url = \"https://localhost:{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\nca_file = \"{}\"\n\
             inject = [{{ at = \"header\", name = \"X-Weir-Key\" }}]\n{more}\n",
            self.address.port(),
            self.ca_file.display()
        )
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.stage.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets so many gated answers go.
    pub(crate) fn release(&self, answers: usize) {
        self.stage.gate.add_permits(answers);
    }

    /// Until so many calls have arrived.
    pub(crate) async fn wait_for(&self, calls: u64) {
        for _ in 0..500 {
            if self.counts().calls >= calls {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{calls} calls were to arrive: {:?}", self.counts());
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, stage: Arc<Stage>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, stage) = (acceptor.clone(), Arc::clone(&stage));
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                // A connection that the other side ends is no fault of a test.
                let _ = serve(stream, stage).await;
            }
        });
    }
}

type Wire = TlsStream<TcpStream>;

/// One connection: what is read decides, and all that is written goes through one queue.
async fn serve(stream: Wire, stage: Arc<Stage>) -> std::io::Result<()> {
    let (mut reader, writer) = tokio::io::split(stream);
    let (frames, queue) = mpsc::unbounded_channel();
    let connection = {
        let mut seen = stage.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.connections += 1;
        seen.connections
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(write(writer, queue));
    let mut settings = Vec::new();
    if let Some(at_once) = stage.at_once {
        settings.extend_from_slice(&3u16.to_be_bytes());
        settings.extend_from_slice(&at_once.to_be_bytes());
    }
    let _ = frames.send(frame(SETTINGS, 0, 0, &settings));
    let mut preface = [0; PREFACE.len()];
    reader.read_exact(&mut preface).await?;
    assert_eq!(preface, PREFACE);
    let open = Arc::new(Mutex::new(0u64));
    let mut calls = 0;
    loop {
        let (kind, flags, stream, payload) = read(&mut reader).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => drop(frames.send(frame(SETTINGS, ACK, 0, &[]))),
            PING if flags & ACK == 0 => drop(frames.send(frame(PING, ACK, 0, &payload))),
            DATA if !payload.is_empty() => {
                let grant = u32::try_from(payload.len()).unwrap().to_be_bytes();
                drop(frames.send(frame(WINDOW_UPDATE, 0, 0, &grant)));
            }
            HEADERS => {
                calls += 1;
                stage.note(&open);
                let flow =
                    stage.script.lock().unwrap_or_else(PoisonError::into_inner)(connection, calls);
                let (frames, stage, open) = (frames.clone(), Arc::clone(&stage), Arc::clone(&open));
                tasks.spawn(async move {
                    if flow == Flow::Gated {
                        stage.gate.acquire().await.unwrap().forget();
                    }
                    *open.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                    for frame in flow.frames(stream) {
                        let _ = frames.send(frame);
                    }
                });
            }
            _ => {}
        }
    }
}

impl Stage {
    fn note(&self, open: &Mutex<u64>) {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        *open += 1;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls += 1;
        seen.at_once = seen.at_once.max(*open);
    }
}

impl Flow {
    fn frames(self, stream: u32) -> Vec<Vec<u8>> {
        let head = || frame(HEADERS, END_HEADERS, stream, STATUS_200);
        let whole = || frame(DATA, END_STREAM, stream, b"whole");
        let part = || frame(DATA, 0, stream, b"part");
        let reset = |reason: u32| frame(RST_STREAM, 0, stream, &reason.to_be_bytes());
        match self {
            Self::Answer | Self::Gated => vec![head(), whole()],
            Self::Refuse => vec![reset(REFUSED_STREAM)],
            Self::Fail => vec![reset(INTERNAL_ERROR)],
            Self::GoAway => {
                let mut last = 1u32.to_be_bytes().to_vec();
                last.extend_from_slice(&NO_ERROR.to_be_bytes());
                let first = frame(HEADERS, END_HEADERS, 1, STATUS_200);
                vec![frame(GOAWAY, 0, 0, &last), first, frame(DATA, END_STREAM, 1, b"whole")]
            }
            // In one go, so that the reset is there before the answer was read.
            Self::Early => vec![[head(), whole(), reset(NO_ERROR)].concat()],
            Self::Short => vec![[head(), part()].concat(), reset(NO_ERROR)],
            Self::Cancel => vec![[head(), part()].concat(), reset(CANCEL)],
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn read(reader: &mut ReadHalf<Wire>) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await?;
    Ok((head[3], head[4], stream, payload))
}

async fn write(mut writer: WriteHalf<Wire>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}
