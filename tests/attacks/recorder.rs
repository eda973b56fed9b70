//! The provider: keeps every byte that it gets, reads requests as strictly as HTTP/1.1 can be read,
//! and answers what the script says. Must never be lenient: what could be read in two ways is an
//! oddity that fails the case.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How the provider answers the next requests.
#[derive(Clone)]
pub(crate) enum Script {
    /// 200 with the request's own mark.
    Usual,
    /// These steps; `{mark}` in them is the request's own mark.
    Play(Vec<Step>),
    /// The steps, said as soon as the head has come and before the body.
    Early(Vec<Step>),
}

#[derive(Clone)]
pub(crate) enum Step {
    Say(Vec<u8>),
    /// Milliseconds.
    Pause(u64),
    Close,
}

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub head: String,
    pub target: String,
    pub body: Vec<u8>,
}

/// What has come since it was last asked.
#[derive(Default)]
pub(crate) struct Taken {
    pub bytes: Vec<u8>,
    pub seen: Vec<Seen>,
    pub marks: Vec<String>,
    pub odd: Vec<String>,
    pub connections: usize,
}

pub(crate) struct Recorder {
    pub address: SocketAddr,
    shelf: Arc<Shelf>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shelf {
    lane: String,
    taken: Mutex<Taken>,
    script: Mutex<Script>,
    count: Mutex<u64>,
}

impl Recorder {
    pub(crate) async fn open(lane: &str, acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::new(Shelf {
            lane: lane.to_owned(),
            taken: Mutex::default(),
            script: Mutex::new(Script::Usual),
            count: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&shelf)));
        Self { address, shelf, accepting }
    }

    pub(crate) fn play(&self, script: Script) {
        *locked(&self.shelf.script) = script;
    }

    pub(crate) fn take(&self) -> Taken {
        std::mem::take(&mut *locked(&self.shelf.taken))
    }

    pub(crate) fn requests(&self) -> usize {
        locked(&self.shelf.taken).seen.len()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shelf: Arc<Shelf>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shelf) = (acceptor.clone(), Arc::clone(&shelf));
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { return };
            locked(&shelf.taken).connections += 1;
            let connection = Connection { stream, shelf, buffer: Vec::new() };
            let _ended = connection.serve().await;
        });
    }
}

struct Connection {
    stream: TlsStream<TcpStream>,
    shelf: Arc<Shelf>,
    buffer: Vec<u8>,
}

/// The connection is over.
struct Over;

impl Connection {
    async fn serve(mut self) -> Result<(), Over> {
        loop {
            let head = self.until(b"\r\n\r\n").await?;
            let head = String::from_utf8_lossy(&head).into_owned();
            let script = match head.contains("/usual-answer") {
                true => Script::Usual,
                false => locked(&self.shelf.script).clone(),
            };
            let mark = self.shelf.mark();
            if let Script::Early(steps) = &script {
                self.say(steps, &mark).await?;
            }
            let body = self.body(&head).await?;
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let is_head = head.starts_with("HEAD ");
            self.shelf.check(&head);
            locked(&self.shelf.taken).seen.push(Seen { head, target, body });
            match script {
                Script::Usual => self.write(&usual(&mark, is_head)).await?,
                Script::Play(steps) => self.say(&steps, &mark).await?,
                Script::Early(_) => {}
            }
        }
    }

    async fn say(&mut self, steps: &[Step], mark: &str) -> Result<(), Over> {
        for step in steps {
            match step {
                Step::Say(bytes) => {
                    let bytes = replaced(bytes, b"{mark}", mark.as_bytes());
                    self.write(&bytes).await?;
                }
                Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Step::Close => {
                    let _ended = self.stream.shutdown().await;
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.stream.write_all(bytes).await.map_err(|_cause| Over)?;
        self.stream.flush().await.map_err(|_cause| Over)
    }

    async fn body(&mut self, head: &str) -> Result<Vec<u8>, Over> {
        let lower = head.to_ascii_lowercase();
        let value = |name: &str| {
            lower.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned)
        };
        if value("transfer-encoding:").is_some() {
            return self.chunks().await;
        }
        let length = value("content-length:").map_or(0, |length| length.parse().unwrap_or(0));
        self.exactly(length).await
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Over> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.until(b"\r\n").await?).into_owned();
            let size = line.trim_end();
            let Ok(length) = usize::from_str_radix(size, 16) else {
                self.shelf.odd(format!("a chunk's size is {size:?}"));
                return Err(Over);
            };
            if length == 0 {
                let trailers = self.until(b"\r\n").await?;
                if trailers != b"\r\n" {
                    self.shelf.odd(String::from("a trailer went on to the provider"));
                }
                return Ok(body);
            }
            body.extend(self.exactly(length).await?);
            if self.exactly(2).await? != b"\r\n" {
                self.shelf.odd(String::from("a chunk is longer than its size"));
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Over> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Over> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn more(&mut self) -> Result<(), Over> {
        let mut piece = vec![0; 16 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => Err(Over),
            Ok(length) => {
                locked(&self.shelf.taken).bytes.extend_from_slice(&piece[..length]);
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }
}

impl Shelf {
    fn odd(&self, what: String) {
        locked(&self.taken).odd.push(what);
    }

    fn mark(&self) -> String {
        let mut count = locked(&self.count);
        *count += 1;
        let mark = format!("mark-{}-{count}.", self.lane);
        locked(&self.taken).marks.push(mark.clone());
        mark
    }

    /// What two servers could read in two ways.
    fn check(&self, head: &str) {
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let first = lines.next().unwrap_or_default();
        if first.split(' ').count() != 3 || !first.ends_with(" HTTP/1.1") {
            self.odd(format!("the request line is {first:?}"));
        }
        let mut framings = 0;
        let mut hosts = 0;
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, "\u{0}"));
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_name) {
                self.odd(format!("a header is called {name:?}"));
            }
            if value.chars().any(|letter| matches!(letter, '\r' | '\n' | '\u{0}')) {
                self.odd(format!("{name} holds a control character"));
            }
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    framings += 1;
                    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                        self.odd(format!("Content-Length is {value:?}"));
                    }
                }
                "transfer-encoding" => {
                    framings += 1;
                    if value != "chunked" {
                        self.odd(format!("Transfer-Encoding is {value:?}"));
                    }
                }
                "host" => hosts += 1,
                "upgrade" | "connection" | "keep-alive" | "proxy-connection" | "http2-settings"
                | "trailer" | "expect" => self.odd(format!("{name} went on to the provider")),
                _ => {}
            }
        }
        if framings > 1 || hosts != 1 {
            self.odd(format!("{framings} framings, {hosts} hosts"));
        }
    }
}

fn usual(mark: &str, is_head: bool) -> Vec<u8> {
    let length = mark.len();
    let body = if is_head { "" } else { mark };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    format!("{head}X-Mark: {mark}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub(crate) fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
