//! One way of a socket: reads where there is something, looks at it, writes it on, and reads no
//! more than the other side takes. While nothing passes it holds no buffer. Must never write a byte
//! that was not looked at, nor keep the other way waiting while it has enough to do.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Malformed, Speaker, Walker};
use super::keyed::Keyed;
use super::scrubbed::{Ready, Scrubbed};

pub(super) struct Flow {
    eyes: Eyes,
    /// What was looked at and not taken yet.
    waiting: BytesMut,
    unflushed: bool,
    /// Where what was sent are no frames: did what went on before end with a frame?
    broke_between: Option<bool>,
    /// The source has said its last.
    is_over: bool,
    /// Bytes that came.
    came: u64,
    /// Bytes that went on.
    went: u64,
}

/// What looks at the bytes.
enum Eyes {
    /// Counts, and takes them as they are.
    Counting(Walker),
    Scrubbing(Box<Scrubbed>),
    /// Puts the real key where a client's stands.
    Keying(Box<Keyed>),
}

/// How a flow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dry {
    /// Its source has gone, and all that it said went on.
    Source,
    /// Nobody takes anything any more.
    Mouth,
    /// What was sent are no frames.
    Malformed,
}

impl From<Malformed> for Dry {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// As large as the records of TLS are at most.
const PIECE: usize = 16 * 1024;
/// Then the other way has its turn, and so has whoever may end the socket.
const PIECES_A_TURN: usize = 16;

impl Flow {
    pub(super) fn of_client() -> Self {
        Self::new(Eyes::Counting(Walker::of(Speaker::Client)))
    }

    /// Of one whose key stands in every message.
    pub(super) fn of_keyed_client(keyed: Keyed) -> Self {
        Self::new(Eyes::Keying(Box::new(keyed)))
    }

    /// `early` is what came before anybody looked.
    pub(super) fn of_provider(scrubbed: Scrubbed) -> Self {
        Self::new(Eyes::Scrubbing(Box::new(scrubbed)))
    }

    fn new(eyes: Eyes) -> Self {
        let waiting = BytesMut::new();
        Self {
            eyes,
            waiting,
            unflushed: false,
            broke_between: None,
            is_over: false,
            came: 0,
            went: 0,
        }
    }

    pub(super) fn came(&self) -> u64 {
        self.came
    }

    pub(super) fn went(&self) -> u64 {
        self.went
    }

    pub(super) fn messages(&self) -> u64 {
        self.walker().messages()
    }

    pub(super) fn has_closed(&self) -> bool {
        self.walker().has_closed()
    }

    pub(super) fn blanked(&self) -> usize {
        match &self.eyes {
            Eyes::Counting(_) | Eyes::Keying(_) => 0,
            Eyes::Scrubbing(scrubbed) => scrubbed.blanked(),
        }
    }

    /// May a frame of our own follow what went on?
    pub(super) fn is_between(&self) -> bool {
        let between = || match &self.eyes {
            Eyes::Counting(walker) => walker.is_between(),
            Eyes::Scrubbing(scrubbed) => scrubbed.is_between(),
            Eyes::Keying(keyed) => keyed.is_between(),
        };
        self.broke_between.unwrap_or_else(between) && self.waiting.is_empty()
    }

    fn walker(&self) -> &Walker {
        match &self.eyes {
            Eyes::Counting(walker) => walker,
            Eyes::Scrubbing(scrubbed) => scrubbed.walker(),
            Eyes::Keying(keyed) => keyed.walker(),
        }
    }

    /// Takes note of bytes that came before the first turn.
    pub(super) fn feed(&mut self, early: &mut [u8]) -> Result<(), Dry> {
        self.came += length(early);
        match self.look(early)? {
            Ready::First(count) => {
                self.waiting.extend_from_slice(early.get(..count).unwrap_or_default());
            }
            Ready::Own(bytes) => self.waiting.unsplit(bytes),
        }
        Ok(())
    }

    /// What was looked at goes on before anything else is read; false where nobody takes it.
    pub(super) async fn pass_on<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> bool {
        let passed = std::future::poll_fn(|context| {
            if let Err(dry) = ready!(self.poll_waiting(to, context)) {
                return Poll::Ready(Err(dry));
            }
            Pin::new(&mut *to).poll_flush(context).map_err(|_gone| Dry::Mouth)
        });
        let is_taken = passed.await.is_ok();
        self.unflushed &= !is_taken;
        is_taken
    }

    /// As much as passes now; ready when nothing ever will again.
    pub(super) fn poll<R, W>(
        &mut self,
        from: &mut R,
        to: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<Dry>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut room = [const { MaybeUninit::<u8>::uninit() }; PIECE];
        for _ in 0..PIECES_A_TURN {
            if let Err(dry) = ready!(self.poll_waiting(to, context)) {
                return Poll::Ready(dry);
            }
            if self.is_over {
                // Whether it arrives is not ours to say any more.
                let _ = ready!(Pin::new(&mut *to).poll_flush(context));
                return Poll::Ready(Dry::Source);
            }
            let mut piece = ReadBuf::uninit(&mut room);
            match Pin::new(&mut *from).poll_read(context, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    if let Err(dry) = self.pass(piece.filled_mut(), to, context) {
                        return Poll::Ready(dry);
                    }
                }
                Poll::Ready(Ok(())) | Poll::Ready(Err(_)) => self.is_over = true,
                Poll::Pending => {
                    if self.unflushed {
                        match ready!(Pin::new(&mut *to).poll_flush(context)) {
                            Ok(()) => self.unflushed = false,
                            Err(_) => return Poll::Ready(Dry::Mouth),
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_waiting<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Dry>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(context, &self.waiting)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Dry::Mouth)),
                Ok(count) => self.took(count),
            }
            if self.waiting.is_empty() {
                self.waiting = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Straight from where they were read, as far as they are taken at once.
    fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        bytes: &mut [u8],
        to: &mut W,
        context: &mut Context<'_>,
    ) -> Result<(), Dry> {
        self.came += length(bytes);
        let count = match self.look(bytes)? {
            Ready::First(count) => count,
            Ready::Own(bytes) => {
                self.waiting = bytes;
                return Ok(());
            }
        };
        let mut left = bytes.get(..count).unwrap_or_default();
        while !left.is_empty() {
            match Pin::new(&mut *to).poll_write(context, left) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Dry::Mouth),
                Poll::Ready(Ok(count)) => {
                    self.unflushed = true;
                    self.went += u64::try_from(count).unwrap_or(u64::MAX);
                    left = left.get(count..).unwrap_or_default();
                }
                Poll::Pending => {
                    self.waiting.extend_from_slice(left);
                    break;
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, bytes: &mut [u8]) -> Result<Ready, Malformed> {
        let before = self.is_between();
        let looked = match &mut self.eyes {
            Eyes::Counting(walker) => walker.walk(bytes).map(|()| Ready::First(bytes.len())),
            Eyes::Scrubbing(scrubbed) => scrubbed.pass(bytes),
            Eyes::Keying(keyed) => keyed.pass(bytes),
        };
        if looked.is_err() {
            // Nothing of these bytes goes on.
            self.broke_between = Some(before);
        }
        looked
    }

    fn took(&mut self, count: usize) {
        self.unflushed = true;
        self.went += u64::try_from(count).unwrap_or(u64::MAX);
        self.waiting.advance(count);
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole frames without an end, at once.
    struct Endless(usize);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            const FRAME: [u8; 6] = [0x82, 0x80, 0, 0, 0, 0];
            while into.remaining() > 0 {
                into.put_slice(&[FRAME[self.0 % FRAME.len()]]);
                self.0 += 1;
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_never_stops_keeps_the_other_way_waiting_for_a_turn_alone() {
        let (mut flow, mut source) = (Flow::of_client(), Endless(0));
        let mut mouth = tokio::io::sink();
        let mut turns = 0;
        std::future::poll_fn(|context| {
            assert!(flow.poll(&mut source, &mut mouth, context).is_pending());
            turns += 1;
            assert_eq!(flow.went(), turns * (PIECE * PIECES_A_TURN) as u64);
            if turns == 5 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
