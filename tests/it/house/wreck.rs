//! A provider that misbehaves on purpose, byte by byte: it never answers, stalls, dies in the
//! middle, closes a connection in the moment in which it is used again. It keeps every request's
//! head, so that a test sees what was sent twice.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::outpost::{Certificate, Speaks, identity};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// 200, and the connection stays.
    Answer,
    /// 200, and the connection is closed as announced.
    AnswerAndClose,
    /// 200, once the test releases it.
    Gated,
    /// The connection is closed without a word.
    Die,
    /// Nothing, for ever.
    Silence,
    /// A head, and nothing behind it.
    Head,
    /// A head and a part of what it announced; then the connection is closed.
    Half,
    /// What is no HTTP.
    Noise,
    /// 503, as a provider says it.
    Refuse,
}

/// What happens to the connection itself, before there is a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    Tls,
    /// It is accepted, and nothing is said.
    Silence,
    /// It is accepted and closed.
    Close,
}

pub(crate) struct Wreck {
    pub address: SocketAddr,
    ca_file: PathBuf,
    stage: Arc<Stage>,
    _folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

struct Stage {
    heads: Mutex<Vec<String>>,
    connections: Mutex<(u64, u64)>,
    greeting: Mutex<Greeting>,
    script: Mutex<Script>,
    gate: Semaphore,
}

/// By the number of the connection and of the request on it, both from 1.
type Script = Box<dyn Fn(u64, u64) -> Act + Send>;

impl Wreck {
    pub(crate) async fn open(script: impl Fn(u64, u64) -> Act + Send + 'static) -> Self {
        let (ca_pem, acceptor) = identity(Speaks::Http1, Certificate::Right);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("wreck.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        let stage = Arc::new(Stage {
            heads: Mutex::default(),
            connections: Mutex::default(),
            greeting: Mutex::new(Greeting::Tls),
            script: Mutex::new(Box::new(script)),
            gate: Semaphore::new(0),
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&stage)));
        Self { address, ca_file, stage, _folder: folder, accepting }
    }

    /// Its entry in the settings, as `wreck`; `more` are further lines.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[providers.wreck]\nbase_url = \"https://localhost:{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\nca_file = \"{}\"\n\
             inject = [{{ at = \"header\", name = \"X-Wreck-Key\" }}]\n{more}\n",
            self.address.port(),
            self.ca_file.display()
        )
    }

    pub(crate) fn greet(&self, greeting: Greeting) {
        *self.stage.greeting.lock().unwrap_or_else(PoisonError::into_inner) = greeting;
    }

    pub(crate) fn act(&self, script: impl Fn(u64, u64) -> Act + Send + 'static) {
        *self.stage.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// Lets so many gated answers go.
    pub(crate) fn release(&self, answers: usize) {
        self.stage.gate.add_permits(answers);
    }

    /// The request lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heads = self.heads();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.stage.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Accepted sockets, and how many of them resumed an earlier TLS session.
    pub(crate) fn connections(&self) -> (u64, u64) {
        *self.stage.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn wait_for(&self, requests: usize) {
        for _ in 0..500 {
            if self.heads().len() >= requests {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} of {requests} requests arrived", self.heads().len());
    }
}

impl Drop for Wreck {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, stage: Arc<Stage>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let number = {
            let mut counts = stage.connections.lock().unwrap_or_else(PoisonError::into_inner);
            counts.0 += 1;
            counts.0
        };
        let greeting = *stage.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let (acceptor, stage) = (acceptor.clone(), Arc::clone(&stage));
        connections.spawn(async move {
            match greeting {
                Greeting::Close => {}
                Greeting::Silence => {
                    let _held = socket;
                    std::future::pending().await
                }
                Greeting::Tls => {
                    socket.set_nodelay(true).unwrap();
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let kind = stream.get_ref().1.handshake_kind();
                    if kind == Some(rustls::HandshakeKind::Resumed) {
                        let counts = &stage.connections;
                        counts.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
                    }
                    serve(stream, number, &stage).await;
                }
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, connection: u64, stage: &Stage) {
    for request in 1.. {
        let Some(head) = read_request(&mut stream).await else { return };
        let act = {
            let script = stage.script.lock().unwrap_or_else(PoisonError::into_inner);
            (*script)(connection, request)
        };
        stage.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        if act == Act::Gated {
            stage.gate.acquire().await.unwrap().forget();
        }
        let said = match act {
            Act::Answer | Act::Gated => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Act::AnswerAndClose => {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            }
            Act::Head => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            Act::Half => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ",
            Act::Noise => "SSH-2.0-wreck\r\n\r\n",
            Act::Refuse => "HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n",
            Act::Die | Act::Silence => "",
        };
        if stream.write_all(said.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match act {
            Act::Answer | Act::Gated | Act::Refuse => {}
            Act::Head | Act::Silence => std::future::pending().await,
            Act::AnswerAndClose | Act::Half | Act::Noise | Act::Die => {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }
}

/// The head; a body of announced length is read and thrown away.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; announced.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}
