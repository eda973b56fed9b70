//! A client's side of one connection, plain or under TLS: sends any bytes, keeps every byte that
//! came back, and reads answers of HTTP/1.1 out of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::this_machine;

/// Nothing may take longer, but for what is slow on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How a client reaches the house.
#[derive(Clone)]
pub(crate) struct Way {
    pub address: SocketAddr,
    /// None: plain.
    pub tls: Option<tokio_rustls::TlsConnector>,
}

pub(crate) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

pub(crate) struct Wire {
    stream: Box<dyn Both>,
    /// Everything that ever came.
    pub got: Vec<u8>,
    /// What has been read out of it.
    at: usize,
    pub closed: bool,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: String,
    /// It came to its end as its framing says.
    pub whole: bool,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Everything in it, as a reader of the answer sees it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (name, value) in &self.headers {
            all.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
        all.extend_from_slice(&self.body);
        all.extend_from_slice(self.trailers.as_bytes());
        all
    }
}

impl Wire {
    pub(crate) async fn open(way: &Way) -> Self {
        let stream = TcpStream::connect(way.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Both> = match &way.tls {
            Some(tls) => Box::new(tls.connect(this_machine(), stream).await.unwrap()),
            None => Box::new(stream),
        };
        Self { stream, got: Vec::new(), at: 0, closed: false }
    }

    /// Whoever refuses early may have closed before everything was sent.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(tokio::time::timeout(PATIENCE, sending).await, Ok(Ok(())))
    }

    /// False when nothing more came in this time, or ever will.
    pub(crate) async fn more(&mut self, patience: Duration) -> bool {
        let mut piece = vec![0; 16 * 1024];
        if self.closed {
            return false;
        }
        match tokio::time::timeout(patience, self.stream.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => {
                self.closed = true;
                false
            }
            Ok(Ok(length)) => {
                self.got.extend_from_slice(&piece[..length]);
                true
            }
            Err(_elapsed) => false,
        }
    }

    /// Does the other side close by itself?
    pub(crate) async fn until_closed(&mut self, patience: Duration) -> bool {
        let _late =
            tokio::time::timeout(patience, async { while self.more(patience).await {} }).await;
        self.closed
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.got[self.at..]
    }

    pub(crate) fn read(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.unread()[..length].to_vec();
        self.at += length;
        bytes
    }

    /// The next final answer; None when the connection ended, or stood still, before its head.
    pub(crate) async fn answer(&mut self, is_head: bool) -> Option<Heard> {
        loop {
            let head = self.until(b"\r\n\r\n").await?;
            let mut heard = parsed(&head);
            // An answer that changes the protocol is a last one.
            if heard.status < 200 && heard.status != 101 {
                continue;
            }
            let without = is_head || matches!(heard.status, 204 | 304);
            let chunked = heard.header("transfer-encoding").is_some_and(|value| value == "chunked");
            let length = heard.header("content-length").and_then(|value| value.parse().ok());
            heard.whole = match (without, chunked, length) {
                (true, ..) => true,
                (_, true, _) => self.chunks(&mut heard).await.is_some(),
                (.., Some(length)) => self.exactly(length, &mut heard.body).await.is_some(),
                (.., None) => {
                    self.until_closed(PATIENCE).await;
                    let length = self.unread().len();
                    heard.body = self.read(length);
                    self.closed
                }
            };
            return Some(heard);
        }
    }

    async fn chunks(&mut self, heard: &mut Heard) -> Option<()> {
        loop {
            let line = self.until(b"\r\n").await?;
            let size = String::from_utf8_lossy(&line);
            let length = usize::from_str_radix(size.trim().split(';').next()?, 16).ok()?;
            if length == 0 {
                loop {
                    let line = self.until(b"\r\n").await?;
                    if line == b"\r\n" {
                        return Some(());
                    }
                    heard.trailers.push_str(&String::from_utf8_lossy(&line));
                }
            }
            self.exactly(length, &mut heard.body).await?;
            self.exactly(2, &mut Vec::new()).await?;
        }
    }

    async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        while self.unread().len() < length {
            if !self.more(PATIENCE).await {
                let rest = self.unread().len();
                into.extend(self.read(rest));
                return None;
            }
        }
        into.extend(self.read(length));
        Some(())
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(self.unread(), end) {
                return Some(self.read(at + end.len()));
            }
            if !self.more(PATIENCE).await {
                return None;
            }
        }
    }
}

fn parsed(head: &[u8]) -> Heard {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = lines.map(|line| line.split_once(':').unwrap_or((line, "")));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Heard { status, headers: headers.collect(), ..Heard::default() }
}
