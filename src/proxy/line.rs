//! A client's connection between two conversations: bytes that were read to see what is spoken come
//! first, and a conversation that is put aside does not close it. Must never let a conversation be
//! put aside while something of it waits to be sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::calm::Calm;
use crate::net::{Deadlines, Patient};

/// What opens HTTP/2 where nobody agreed on it before.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Line {
    stream: Patient,
    early: BytesMut,
    ties: Arc<Ties>,
    /// Where frames are counted.
    calm: Option<(Box<Calm>, Deadlines)>,
}

/// What a conversation and its line know of each other.
#[derive(Default)]
pub(super) struct Ties {
    /// The client takes no more at this moment.
    stuck: AtomicBool,
    /// The conversation ends and the line stays.
    kept: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    H1,
    H2,
}

impl Line {
    pub(super) fn new(stream: Patient) -> Self {
        Self { stream, early: BytesMut::new(), ties: Arc::default(), calm: None }
    }

    pub(super) fn ties(&self) -> Arc<Ties> {
        Arc::clone(&self.ties)
    }

    /// From here on HTTP/2 is spoken, and its frames are counted.
    pub(super) fn counts_frames(&mut self, deadlines: &Deadlines) {
        let calm = Calm::new(PREFACE.len(), deadlines.now_ns());
        self.calm = Some((Box::new(calm), deadlines.clone()));
    }

    /// After a conversation was put aside; `unheard` is what it had read and not understood.
    /// Copied: it may be the last piece, even an empty one, of all the room that a head may take.
    pub(super) fn put_back(&mut self, unheard: &[u8]) {
        self.early = BytesMut::from(unheard);
        self.ties.kept.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_silent(&self) -> bool {
        self.early.is_empty()
    }

    /// What the client speaks, once his first bytes tell; an error where he is gone.
    pub(super) fn poll_spoken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Spoken>> {
        loop {
            match PREFACE.get(..self.early.len()) {
                Some(begun) if self.early == begun => {}
                Some(_) => return Poll::Ready(Ok(Spoken::H1)),
                None if self.early.starts_with(PREFACE) => return Poll::Ready(Ok(Spoken::H2)),
                None => return Poll::Ready(Ok(Spoken::H1)),
            }
            if self.early.len() == PREFACE.len() {
                return Poll::Ready(Ok(Spoken::H2));
            }
            let mut room = [0; PREFACE.len()];
            let wanted = room.get_mut(self.early.len()..).unwrap_or_default();
            let mut buffer = ReadBuf::new(wanted);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(())) => self.early.extend_from_slice(buffer.filled()),
            }
        }
    }

    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.early.len().min(buffer.remaining());
        buffer.put_slice(self.early.get(..count).unwrap_or_default());
        self.early.advance(count);
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.ties.stuck.store(polled.is_pending(), Ordering::Relaxed);
        if let (Some((calm, _)), Poll::Ready(Ok(bytes))) = (&mut self.calm, &polled) {
            calm.wrote(*bytes);
        }
        polled
    }
}

impl Ties {
    /// From now on the end of the conversation is not the end of the line. False where something
    /// of it still waits to be sent.
    pub(super) fn keep(&self) -> bool {
        let keeps = !self.stuck.load(Ordering::Relaxed);
        self.kept.store(keeps, Ordering::Relaxed);
        keeps
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = this.poll_bytes(context, buffer);
        if let (Some((calm, deadlines)), Poll::Ready(Ok(()))) = (&mut this.calm, &polled) {
            let came = buffer.filled().get(before..).unwrap_or_default();
            calm.read(came, deadlines.now_ns())?;
        }
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.ties.stuck.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ties.kept.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
