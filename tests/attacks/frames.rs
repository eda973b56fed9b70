//! A client of HTTP/2 that writes any frame and reads what comes back; it keeps the other side's
//! windows open and acknowledges what has to be, and nothing else.

use std::time::Duration;

use crate::hpack;
use crate::wire::{Heard, PATIENCE, Way, Wire};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Pairs of text as a header block.
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let pairs = headers.iter();
    let pairs = pairs.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    hpack::written(&pairs.collect::<Vec<_>>())
}

/// How a stream ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    Answered(Heard),
    Reset(Option<Heard>),
    /// The connection went.
    Gone,
    /// Nothing happened in the time a case has.
    Hung,
}

pub(crate) struct Frames {
    pub wire: Wire,
    reader: hpack::Reader,
    /// The GOAWAY that was read, if any.
    pub goaway: Option<u32>,
    open: Vec<(u32, Heard)>,
    /// A head that goes on in further frames.
    head: Vec<u8>,
    ends: bool,
    /// Head and end of streams that are over.
    done: Vec<(u32, Ended)>,
    /// What is decoded, for the search.
    pub decoded: Vec<u8>,
    pub grants: bool,
    /// How much the other side takes on the connection, and on a stream.
    window: i64,
    initial: i64,
    stream_window: i64,
    asking: u32,
}

impl Frames {
    pub(crate) async fn open(way: &Way) -> Self {
        let mut frames = Self::silent(way).await;
        frames.wire.send(PREFACE).await;
        frames.wire.send(&frame(SETTINGS, 0, 0, &[])).await;
        frames
    }

    /// Without the preface.
    pub(crate) async fn silent(way: &Way) -> Self {
        Self {
            wire: Wire::open(way).await,
            reader: hpack::Reader::default(),
            goaway: None,
            open: Vec::new(),
            head: Vec::new(),
            ends: false,
            done: Vec::new(),
            decoded: Vec::new(),
            grants: true,
            window: 65_535,
            initial: 65_535,
            stream_window: 65_535,
            asking: 0,
        }
    }

    /// A head and its body, no faster than the other side takes it.
    pub(crate) async fn ask(
        &mut self,
        stream: u32,
        pairs: &[(Vec<u8>, Vec<u8>)],
        body: Option<&[u8]>,
    ) {
        let block = hpack::written(pairs);
        let ends = if body.is_none() { END_STREAM } else { 0 };
        let mut pieces = block.chunks(16_000).peekable();
        let (mut kind, mut bytes) = (HEADERS, Vec::new());
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let ends = if kind == HEADERS { ends } else { 0 };
            bytes.extend(frame(kind, last | ends, stream, piece));
            kind = CONTINUATION;
        }
        let Some(body) = body else {
            self.wire.send(&bytes).await;
            return;
        };
        (self.asking, self.stream_window) = (stream, self.initial);
        let mut left = body;
        loop {
            let room = self.window.min(self.stream_window).clamp(0, 16_000);
            let (piece, rest) = left.split_at(left.len().min(usize::try_from(room).unwrap()));
            if !piece.is_empty() || left.is_empty() {
                let ends = if rest.is_empty() { END_STREAM } else { 0 };
                bytes.extend(frame(DATA, ends, stream, piece));
                self.window -= i64::try_from(piece.len()).unwrap();
                self.stream_window -= i64::try_from(piece.len()).unwrap();
                left = rest;
            }
            let stands = !left.is_empty() && (room == 0 || bytes.len() > 100_000);
            if stands || left.is_empty() {
                self.wire.send(&std::mem::take(&mut bytes)).await;
            }
            let over = self.done.iter().any(|(known, _)| *known == stream);
            if left.is_empty() || over || self.wire.closed {
                return;
            }
            if room == 0 && !self.next(PATIENCE).await {
                return;
            }
        }
    }

    /// Until this stream is over.
    pub(crate) async fn end_of(&mut self, stream: u32) -> Ended {
        loop {
            if let Some(at) = self.done.iter().position(|(known, _)| *known == stream) {
                return self.done.remove(at).1;
            }
            if !self.next(PATIENCE).await {
                if self.wire.closed || self.goaway.is_some() {
                    return Ended::Gone;
                }
                return Ended::Hung;
            }
        }
    }

    /// Reads one frame; false where none came.
    pub(crate) async fn next(&mut self, patience: Duration) -> bool {
        loop {
            let unread = self.wire.unread();
            if unread.len() >= 9 {
                let length = u32::from_be_bytes([0, unread[0], unread[1], unread[2]]);
                let length = usize::try_from(length).unwrap();
                if unread.len() >= 9 + length {
                    let frame = self.wire.read(9 + length);
                    self.take(&frame).await;
                    return true;
                }
            }
            if !self.wire.more(patience).await {
                return false;
            }
        }
    }

    async fn take(&mut self, frame: &[u8]) {
        let (kind, flags) = (frame[3], frame[4]);
        let stream = u32::from_be_bytes([frame[5] & 127, frame[6], frame[7], frame[8]]);
        let payload = &frame[9..];
        let code = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        match kind {
            SETTINGS if flags & 1 == 0 => {
                let own = payload.chunks_exact(6).find(|setting| setting[1] == 4);
                if let Some(setting) = own {
                    let initial = i64::from(code(&setting[2..]));
                    self.stream_window += initial - self.initial;
                    self.initial = initial;
                }
                self.wire.send(&self::frame(SETTINGS, 1, 0, &[])).await;
            }
            PING if flags & 1 == 0 => {
                self.wire.send(&self::frame(PING, 1, 0, payload)).await;
            }
            HEADERS | CONTINUATION => {
                self.head.extend_from_slice(payload);
                self.ends |= kind == HEADERS && flags & END_STREAM != 0;
                if flags & END_HEADERS == 0 {
                    return;
                }
                let head = std::mem::take(&mut self.head);
                self.headers(stream, &head);
            }
            DATA => {
                self.heard(stream).body.extend_from_slice(payload);
                self.decoded.extend_from_slice(payload);
                if self.grants && !payload.is_empty() {
                    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
                    self.wire.send(&self::frame(WINDOW, 0, stream, &size)).await;
                    self.wire.send(&self::frame(WINDOW, 0, 0, &size)).await;
                }
            }
            RESET => {
                let at = self.open.iter().position(|(known, _)| *known == stream);
                let heard = at.map(|at| self.open.remove(at).1);
                self.done.push((stream, Ended::Reset(heard)));
            }
            WINDOW if stream == 0 => self.window += i64::from(code(payload)),
            WINDOW if stream == self.asking => self.stream_window += i64::from(code(payload)),
            GOAWAY => self.goaway = Some(code(&payload[4..])),
            _ => {}
        }
        let head_ended = kind != DATA && std::mem::take(&mut self.ends);
        if head_ended || (kind == DATA && flags & END_STREAM != 0) {
            let mut heard = std::mem::take(self.heard(stream));
            heard.whole = true;
            self.open.retain(|(known, _)| *known != stream);
            self.done.push((stream, Ended::Answered(heard)));
        }
    }

    fn headers(&mut self, stream: u32, payload: &[u8]) {
        let headers = self.reader.read(payload);
        for (name, value) in &headers {
            self.decoded.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
        let status = headers.iter().find(|(name, _)| name == ":status");
        let status = status.and_then(|(_, value)| value.parse().ok());
        let heard = self.heard(stream);
        match status {
            Some(status) => heard.status = status,
            None => headers.iter().for_each(|(name, value)| {
                heard.trailers.push_str(&format!("{name}: {value}\n"));
            }),
        }
        heard.headers.extend(headers);
    }

    fn heard(&mut self, stream: u32) -> &mut Heard {
        let at = self.open.iter().position(|(known, _)| *known == stream);
        let at = at.unwrap_or_else(|| {
            self.open.push((stream, Heard::default()));
            self.open.len() - 1
        });
        &mut self.open[at].1
    }
}
