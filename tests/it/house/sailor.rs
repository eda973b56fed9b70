//! A client's end of a socket, byte by byte: a handshake as the test writes it, then frames. What
//! it hears goes to the scribe.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::actor::Scribe;
use super::frames::{self, CLOSE, Frame, TEXT};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Sailor {
    stream: TcpStream,
    scribe: Scribe,
    pub head: String,
}

impl Sailor {
    /// `lines` are further headers, each with its end; whatever is answered is in `head`.
    pub(crate) async fn call(
        address: SocketAddr,
        (path, lines): (&str, &str),
        scribe: Scribe,
    ) -> Self {
        let usual = format!(
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}"
        );
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{usual}\r\n");
        Self::say_first(address, request.as_bytes(), scribe).await
    }

    pub(crate) async fn say_first(address: SocketAddr, bytes: &[u8], scribe: Scribe) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("no whole head"));
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("no head in time");
        scribe.note_bytes(&head);
        let head = String::from_utf8(head).unwrap();
        Self { stream, scribe, head }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        super::harbour::header(&self.head, name)
    }

    /// Asserts that it is a socket.
    pub(crate) fn aboard(self) -> Self {
        assert_eq!(self.status(), 101, "{}", self.head);
        assert_eq!(self.header("sec-websocket-accept"), Some(&*frames::accept_of(KEY)));
        self
    }

    pub(crate) async fn frame(&mut self, is_last: bool, opcode: u8, payload: &[u8]) {
        frames::write(&mut self.stream, is_last, opcode, payload, Some([9, 8, 7, 6]))
            .await
            .unwrap();
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.frame(true, TEXT, text.as_bytes()).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Frame {
        let frame = tokio::time::timeout(SOON, frames::read(&mut self.stream)).await;
        let frame = frame.expect("nothing was said in time").expect("the line is dead");
        self.scribe.note_bytes(&frame.payload);
        frame
    }

    /// The next message as text.
    pub(crate) async fn hear_text(&mut self) -> String {
        let frame = self.hear().await;
        assert!(frame.is_last && frame.opcode == TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The code and the reason of the goodbye that comes next, behind which the line ends.
    pub(crate) async fn hear_close(&mut self) -> (u16, String) {
        let frame = self.hear().await;
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        let (code, why) = frame.payload.split_first_chunk::<2>().unwrap();
        self.hear_the_end().await;
        (u16::from_be_bytes(*code), String::from_utf8(why.to_vec()).unwrap())
    }

    /// Nothing more is said, and the line ends.
    pub(crate) async fn hear_the_end(&mut self) {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(SOON, self.stream.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        let _ = end.expect("the line stays open");
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// The rest of an answer that is no socket, to the end of the line.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(SOON, self.stream.read_to_end(&mut rest)).await;
        let _ = end.expect("the line stays open");
        self.scribe.note_bytes(&rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Both ways apart, for whoever says and hears at once; nothing of it goes to the scribe.
    pub(crate) fn parted(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.stream.into_split()
    }

    pub(crate) async fn leave(mut self) {
        let _ = self.stream.shutdown().await;
    }
}
