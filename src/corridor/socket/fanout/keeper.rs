//! Whoever keeps the one socket: opens it, carries words to it and from it, opens it again when it
//! breaks or its secret is another, and closes it when nobody listens any more. Must never begin
//! another one before the last is closed, nor wait for anybody who listens.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::super::frames;
use super::super::parley::{Heard, Parley};
use super::Trunk;
use super::board::MOST_OUT;
use super::dial::{Dialled, Undialled, Way, dial};
use super::mail::Over;
use crate::corridor::Corridor;
use crate::corridor::scrub::blank;
use crate::crypto;
use crate::net::Stream;
use crate::provider::Codec;
use crate::secret::Needles;

/// The provider's word on the key.
const OPENED_WITHIN: Duration = Duration::from_secs(20);
/// Between two tries, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// A connection that lived so long was a good one: the next waits are short again.
const GOOD_FROM_NS: u64 = 10_000_000_000;
/// How often it is looked whether the secret is the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Closing takes no longer.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Why a connection is not carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Nobody listens.
    Empty,
    Broke,
    /// The secret is another version.
    Rotated,
    /// The secret serves none of those who listen any more.
    Gone,
}

/// Until nobody listens any more.
pub(super) async fn keep(trunk: Arc<Trunk>, corridor: Arc<Corridor>) {
    let mut wait = FIRST_WAIT;
    while !corridor.house.fanout.forget_if_empty(&trunk) {
        let Some((way, _)) = trunk.way(&corridor) else {
            // Whoever is left is on the way out.
            let _woken = unless_empty(&trunk, sleep(FIRST_WAIT)).await;
            continue;
        };
        let dialling = timeout(OPENED_WITHIN, Box::pin(dial(&corridor, &way, trunk.key.secret)));
        let dialled = match unless_empty(&trunk, dialling).await {
            None => continue,
            Some(Err(_elapsed)) => Err(Undialled::Failed),
            Some(Ok(dialled)) => dialled,
        };
        let why = match dialled {
            Ok(line) => {
                trunk.inner().board.opened();
                let since_ns = corridor.house.clock.monotonic_ns();
                let why = Box::pin(carry(&trunk, (&corridor, &way), line)).await;
                let until_ns = corridor.house.clock.monotonic_ns();
                wait = wait_behind(wait, until_ns.saturating_sub(since_ns));
                why
            }
            Err(Undialled::Elsewhere) => {
                // The next look finds who may, and who is to go.
                let _woken = unless_empty(&trunk, sleep(FIRST_WAIT)).await;
                continue;
            }
            Err(undialled) => {
                let for_good = match undialled {
                    Undialled::Refused => Some(Over::Refused),
                    Undialled::NoSecret => Some(Over::Altered),
                    Undialled::Crowded | Undialled::Elsewhere | Undialled::Failed => None,
                };
                trunk.inner().board.failed(undialled.no(), for_good);
                Why::Broke
            }
        };
        if why == Why::Broke {
            let _woken = unless_empty(&trunk, sleep(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// A provider that takes the key and then closes is not asked again and again.
fn wait_behind(wait: Duration, lived_ns: u64) -> Duration {
    if lived_ns < GOOD_FROM_NS { wait } else { FIRST_WAIT }
}

/// The work, unless nobody listens any more; None then.
async fn unless_empty<T>(trunk: &Trunk, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if trunk.is_deserted(context) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

async fn carry(trunk: &Trunk, (corridor, way): (&Corridor, &Way), line: Dialled) -> Why {
    let Dialled { stream, parley, needles, version } = line;
    let idle = way.permit.provider().timeouts.idle;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let quiet = u32::try_from(idle.as_secs() / LOOK_EVERY.as_secs()).unwrap_or(u32::MAX);
    let mut line = Line { stream, parley, needles, out: BytesMut::new(), codec: trunk.codec };
    let mut silence = Silence { looks: 0, quiet: quiet.max(2) };
    let why = std::future::poll_fn(|context| {
        while look.poll_tick(context).is_ready() {
            silence.looks += 1;
            if silence.looks > silence.quiet {
                return Poll::Ready(Why::Broke);
            }
            if silence.looks == silence.quiet / 2 {
                // A market that sleeps says nothing; a connection that lives answers.
                line.queue(frames::PING, b"");
            }
            match trunk.way(corridor) {
                Some((_, now)) if now == version => {}
                Some(_) => return Poll::Ready(Why::Rotated),
                // Another secret is another socket.
                None => return Poll::Ready(Why::Gone),
            }
        }
        line.poll(trunk, &mut silence, context)
    })
    .await;
    trunk.broke();
    // Until it is closed, nobody opens another one.
    let _late = timeout(CLOSED_WITHIN, line.close()).await;
    why
}

/// How long the provider has said nothing, in looks.
struct Silence {
    looks: u32,
    quiet: u32,
}

const PIECE: usize = 4 * 1024;
/// Then others have their turn, and the board: each message may be for hundreds.
const PIECES_A_TURN: usize = 2;
/// A provider that asks for more answers than that, and takes none, is gone.
const MOST_UNTAKEN: usize = 4 * MOST_OUT;

/// The provider's end.
struct Line {
    stream: Stream,
    parley: Parley,
    needles: Arc<Needles>,
    out: BytesMut,
    codec: Codec,
}

impl Line {
    fn poll(
        &mut self,
        trunk: &Trunk,
        silence: &mut Silence,
        context: &mut Context<'_>,
    ) -> Poll<Why> {
        let takes = self.out.len() < MOST_OUT;
        let (words, is_empty) = trunk.outbox(takes, context);
        if is_empty {
            return Poll::Ready(Why::Empty);
        }
        let opcode = if self.codec == Codec::Json { frames::TEXT } else { frames::BINARY };
        words.iter().for_each(|word| self.queue(opcode, word));
        let mut room = [0; PIECE];
        for _ in 0..PIECES_A_TURN {
            if self.hear(trunk).is_err() || self.poll_write(context).is_err() {
                return Poll::Ready(Why::Broke);
            }
            if !takes && self.out.len() < MOST_OUT {
                // There is room again for what waits in the box.
                break;
            }
            let mut piece = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(context, &mut piece) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    silence.looks = 0;
                    self.parley.take(piece.filled());
                }
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(Why::Broke),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// All that has come whole.
    fn hear(&mut self, trunk: &Trunk) -> Result<(), ()> {
        loop {
            match self.parley.next().map_err(drop)? {
                // What is never whole is not waited for.
                None if self.parley.is_full() => return Err(()),
                None => return Ok(()),
                Some(Heard::Message(mut message)) => {
                    let (_, hits) = blank(&self.needles, &mut message.bytes, false);
                    if hits > 0 {
                        tracing::warn!(hits, "a provider sent its key back; it did not go out");
                    }
                    trunk.heard(&message.bytes, hits)?;
                }
                Some(Heard::Ping(_)) if self.out.len() > MOST_UNTAKEN => return Err(()),
                Some(Heard::Ping(payload)) => self.queue(frames::PONG, &payload),
                Some(Heard::Pong(_)) => {}
                Some(Heard::Close(payload)) => {
                    self.queue(frames::CLOSE, &payload);
                    return Err(());
                }
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), ()> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.out) {
                Poll::Ready(Ok(count @ 1..)) => self.out.advance(count),
                Poll::Ready(Ok(_) | Err(_)) => return Err(()),
                Poll::Pending => return Ok(()),
            }
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(_)) => Err(()),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn queue(&mut self, opcode: u8, payload: &[u8]) {
        // Without randomness a mask hides nothing, and there is nothing to hide.
        let mask = crypto::random_bytes().unwrap_or_default();
        self.out.extend_from_slice(&frames::whole(opcode, payload, Some(mask)));
    }

    /// Says goodbye, and waits until the provider has gone.
    async fn close(mut self) {
        self.queue(frames::CLOSE, &super::super::GOING_AWAY.to_be_bytes());
        let _gone = self.stream.write_all(&self.out).await;
        let _gone = self.stream.shutdown().await;
        let mut unheard = [0; 1024];
        while matches!(self.stream.read(&mut unheard).await, Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_lived_makes_the_next_wait_short() {
        let long = Duration::from_secs(4);
        assert_eq!(wait_behind(long, 0), long);
        assert_eq!(wait_behind(long, GOOD_FROM_NS - 1), long);
        assert_eq!(wait_behind(long, GOOD_FROM_NS), FIRST_WAIT);
    }
}
