//! One of those who listen: its words go to the board, what is in its box goes to it. It is one
//! call of its own, with its record and its place among the calls in flight, which end with it.
//! Must never wait for another one, nor stay when its client key has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::super::parley::{self, Heard, Parley};
use super::super::{
    Berth, End, GOING_AWAY, LAST_WORDS_WITHIN, Side, WORD_WITHIN, fallen, frames, heeding,
};
use super::Trunk;
use super::mail::{Mail, Over};
use super::wants::Who;
use crate::client::Client;
use crate::ledger::{BytesIn, Record};
use crate::limiter::Admission;
use crate::net::{Deadlines, Follower, Patience};
use crate::refusal::{Fault, Reason};

pub(crate) struct Member {
    pub(super) seat: Seat,
    pub(super) mail: Arc<Mail>,
    /// What is on its way to the client, and whether that is more than a pong.
    pub(super) out: Bytes,
    pub(super) is_message: bool,
    /// It was asked whether it lives, and has not answered.
    pub(super) is_asked: bool,
    pub(super) parley: Parley,
    pub(super) idle: Duration,
    pub(super) ends_ns: Option<u64>,
    pub(super) client: Option<Arc<Client>>,
    pub(super) record: Option<Record>,
    pub(super) bytes_in: Arc<BytesIn>,
    pub(super) passed: Passed,
    pub(super) _admission: Admission,
    pub(super) _berth: Berth,
}

/// A place among those who listen; given back when it is dropped.
pub(super) struct Seat {
    pub(super) trunk: Arc<Trunk>,
    pub(super) who: Who,
}

#[derive(Default)]
pub(super) struct Passed {
    messages_in: u64,
    messages_out: u64,
    bytes_out: u64,
    /// Of these, in messages.
    told: u64,
}

/// Why it ends: as any socket, or by what the box says.
enum Parting {
    End(End),
    Over(Over),
    /// The provider has not taken the key in time.
    Late,
    /// What the client says has no end.
    TooLong,
}

const PIECE: usize = 4 * 1024;
/// Of one message: some subscribe to thousands at once.
pub(super) const LONGEST: usize = 1024 * 1024;

impl Drop for Seat {
    fn drop(&mut self) {
        self.trunk.leave(self.who);
    }
}

impl Member {
    /// Nobody gets it: the record says so.
    pub(in crate::corridor) fn refuse(&mut self, reason: Reason) {
        if let Some(record) = &mut self.record {
            record.answered(reason.status(), "", Some(reason));
            record.complete();
        }
    }

    /// Until either end goes, or must; `said` is what came behind the key.
    pub(in crate::corridor) async fn run<L: AsyncRead + AsyncWrite + Unpin>(
        mut self: Box<Self>,
        line: &mut L,
        said: BytesMut,
        (follower, deadlines): (&mut Follower, &Deadlines),
    ) {
        self.bytes_in.add(said.len());
        self.parley.take(&said);
        let mut idle = deadlines.patience(WORD_WITHIN).until(self.ends_ns).begun();
        let mut is_in = false;
        let carrying = std::future::poll_fn(|context| {
            if !is_in && self.mail.is_open() {
                is_in = true;
                idle.allow(self.idle / 2);
                idle.renew();
            }
            self.poll(line, (&mut idle, is_in), context)
        });
        let parting = heeding(follower, carrying).await.unwrap_or_else(Parting::End);
        let is_cut = matches!(parting, Parting::End(End::Cut));
        if !is_cut {
            let saying = self.say_goodbye(line, &parting);
            let _late = deadlines.within(LAST_WORDS_WITHIN, saying).await;
        }
        let is_leaving = matches!(parting, Parting::End(End::Leaving));
        self.settle(&parting);
        drop(self);
        if !is_cut && !is_leaving {
            let hearing = deadlines.within(LAST_WORDS_WITHIN, parley::heard_out(line));
            let _late = heeding(follower, hearing).await;
        }
    }

    fn poll<L: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut L,
        (idle, is_in): (&mut Patience, bool),
        context: &mut Context<'_>,
    ) -> Poll<Parting> {
        if let Some(end) = fallen(self.client.as_deref()) {
            return Poll::Ready(Parting::End(end));
        }
        let before = (self.passed.told, self.bytes_in.count());
        if let Poll::Ready(parting) = self.poll_out(line, context) {
            return Poll::Ready(parting);
        }
        if let Poll::Ready(parting) = self.poll_in(line, is_in, context) {
            return Poll::Ready(parting);
        }
        if before != (self.passed.told, self.bytes_in.count()) {
            self.is_asked = false;
            idle.renew();
        }
        match idle.is_over(context) {
            true if idle.has_ended() => Poll::Ready(Parting::End(End::Revoked)),
            true if !is_in => Poll::Ready(Parting::Late),
            true if self.is_asked => Poll::Ready(Parting::End(End::Idle)),
            true => {
                // A market that sleeps says nothing, nor does who listens; one that lives answers.
                self.is_asked = true;
                self.mail.put_control(Bytes::from(frames::whole(frames::PING, b"", None)));
                idle.renew();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Pending,
        }
    }

    /// What is in the box.
    fn poll_out<L: AsyncWrite + Unpin>(
        &mut self,
        line: &mut L,
        context: &mut Context<'_>,
    ) -> Poll<Parting> {
        let gone = Poll::Ready(Parting::End(End::Client));
        loop {
            while !self.out.is_empty() {
                match Pin::new(&mut *line).poll_write(context, &self.out) {
                    Poll::Ready(Ok(count @ 1..)) => {
                        self.out.advance(count);
                        let count = u64::try_from(count).unwrap_or(u64::MAX);
                        self.passed.bytes_out += count;
                        self.passed.told += if self.is_message { count } else { 0 };
                    }
                    Poll::Ready(Ok(_) | Err(_)) => return gone,
                    Poll::Pending => {
                        let slow = self.mail.poll_too_slow(context);
                        return slow.map(|()| Parting::Over(Over::Slow));
                    }
                }
            }
            match self.mail.poll_next(context) {
                Poll::Ready(Ok(letter)) => {
                    self.passed.messages_out += u64::from(letter.is_message);
                    (self.out, self.is_message) = (letter.frame, letter.is_message);
                }
                Poll::Ready(Err(over)) => return Poll::Ready(Parting::Over(over)),
                Poll::Pending => break,
            }
        }
        match Pin::new(&mut *line).poll_flush(context) {
            Poll::Ready(Err(_)) => gone,
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// What the client says; before it is in, that waits.
    fn poll_in<L: AsyncRead + Unpin>(
        &mut self,
        line: &mut L,
        is_in: bool,
        context: &mut Context<'_>,
    ) -> Poll<Parting> {
        let mut room = [0; PIECE];
        loop {
            if self.seat.trunk.is_congested(self.seat.who, context) {
                return Poll::Pending;
            }
            if is_in && self.heard().is_err() {
                return Poll::Ready(Parting::End(End::NoFrames(Side::Client)));
            }
            if self.parley.is_full() {
                // Before it is in, nothing of it was looked at.
                return if is_in { Poll::Ready(Parting::TooLong) } else { Poll::Pending };
            }
            let mut piece = ReadBuf::new(&mut room);
            match Pin::new(&mut *line).poll_read(context, &mut piece) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    self.bytes_in.add(piece.filled().len());
                    self.parley.take(piece.filled());
                }
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(Parting::End(End::Client)),
            }
        }
    }

    fn heard(&mut self) -> Result<(), ()> {
        let control = |opcode, payload: &[u8]| Bytes::from(frames::whole(opcode, payload, None));
        loop {
            match self.parley.next().map_err(drop)? {
                None => return Ok(()),
                Some(Heard::Message(message)) => {
                    self.passed.messages_in += 1;
                    self.seat.trunk.said(self.seat.who, &message.bytes);
                }
                Some(Heard::Ping(payload)) => {
                    self.mail.put_control(control(frames::PONG, &payload));
                }
                Some(Heard::Pong(_)) => {}
                Some(Heard::Close(payload)) => {
                    self.mail.put_control(control(frames::CLOSE, &payload));
                    self.mail.end(Over::Client, None);
                    return Ok(());
                }
            }
        }
    }

    async fn say_goodbye<L: AsyncWrite + Unpin>(&mut self, line: &mut L, parting: &Parting) {
        // A frame that is half out is no place for another one.
        let mut last = std::mem::take(&mut self.out).to_vec();
        if matches!(parting, Parting::Over(_)) {
            last.extend(self.mail.rest());
        }
        if !last.is_empty() && line.write_all(&last).await.is_err() {
            return;
        }
        if let Some((code, why)) = parting.to_client() {
            let _gone = line.write_all(&frames::close(code, why, None)).await;
        }
        let _gone = line.shutdown().await;
    }

    fn settle(&mut self, parting: &Parting) {
        let Some(record) = &mut self.record else { return };
        record.bytes_out(self.passed.bytes_out);
        record.messages((self.passed.messages_in, self.passed.messages_out));
        record.scrub_hits(self.mail.hits());
        match parting.fault() {
            Some(fault) => record.fault(fault),
            None => record.complete(),
        }
    }
}

impl Parting {
    fn to_client(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::End(end) => end.to_client(),
            Self::Over(Over::Client) => None,
            Self::Over(Over::Slow) => Some((1008, "too much was waiting to be taken")),
            Self::Over(Over::Refused) => End::Refused.to_client(),
            Self::Over(Over::Altered) => Some((1012, "the provider's entry or secret has changed")),
            Self::Over(Over::No(_)) => Some((1013, "the provider could not be reached")),
            Self::TooLong => Some((1009, "the message is too long")),
            Self::Late => Some((GOING_AWAY, "the provider could not be reached in time")),
        }
    }

    fn fault(&self) -> Option<Fault> {
        match self {
            Self::End(end) => end.fault(),
            Self::Over(Over::Client) => None,
            Self::Over(Over::Slow) | Self::TooLong => Some(Fault::Client),
            Self::Over(Over::Altered) => Some(Fault::Us),
            Self::Over(Over::Refused | Over::No(_)) | Self::Late => Some(Fault::Provider),
        }
    }
}
