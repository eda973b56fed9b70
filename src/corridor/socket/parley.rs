//! Whole messages, one at a time: what is said on a socket before it is
//! known whether it may be one. Answers pings and goodbyes. Must never
//! hold more than one short message.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frames::{self, Speaker, Walker};
use crate::crypto;

pub(crate) struct Parley {
    walker: Walker,
    speaker: Speaker,
    /// What came and was not understood yet.
    heard: BytesMut,
    /// Of a message in several frames.
    begun: Vec<u8>,
    is_text: bool,
    /// What the other side said when it went.
    farewell: Option<Vec<u8>>,
    /// A longer message is none.
    longest: usize,
}

/// What came, with all its frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) is_text: bool,
    pub(crate) bytes: Vec<u8>,
}

/// There will be no further message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The other side has gone, or says that it goes.
    Gone,
    /// What it sent are no frames, or too many.
    Malformed,
}

/// Longer than anything that shows a key.
const LONGEST: usize = 16 * 1024;

impl Parley {
    /// With a client; `early` is what came already.
    pub(crate) fn with_client(early: BytesMut) -> Self {
        Self::with(Speaker::Client, early)
    }

    pub(super) fn with_provider(early: BytesMut) -> Self {
        Self::with(Speaker::Provider, early)
    }

    fn with(speaker: Speaker, heard: BytesMut) -> Self {
        let (walker, begun) = (Walker::of(speaker), Vec::new());
        Self { walker, speaker, heard, begun, is_text: false, farewell: None, longest: LONGEST }
    }

    /// What the other side said when it went, where it said anything.
    pub(super) fn farewell(&self) -> Option<&[u8]> {
        self.farewell.as_deref()
    }

    /// Whose frames they were, and how many.
    pub(super) fn walker(&self) -> &Walker {
        &self.walker
    }

    /// Nothing has begun that has not ended.
    pub(super) fn is_between(&self) -> bool {
        self.heard.is_empty() && self.begun.is_empty()
    }

    /// What came behind the last message.
    pub(super) fn into_rest(self) -> BytesMut {
        self.heard
    }

    pub(crate) async fn say<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        is_text: bool,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let opcode = if is_text { frames::TEXT } else { frames::BINARY };
        self.send(stream, opcode, bytes).await
    }

    pub(crate) async fn close<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        code: u16,
    ) -> std::io::Result<()> {
        self.send(stream, frames::CLOSE, &code.to_be_bytes()).await?;
        stream.shutdown().await
    }

    pub(crate) async fn hear<S>(&mut self, stream: &mut S) -> Result<Message, Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match self.next()? {
                None if self.is_full() => return Err(Lost::Malformed),
                None => match stream.read_buf(&mut self.heard).await {
                    Ok(0) | Err(_) => return Err(Lost::Gone),
                    Ok(_) => {}
                },
                Some(Heard::Message(message)) => return Ok(message),
                Some(Heard::Ping(payload)) => {
                    let sent = self.send(stream, frames::PONG, &payload).await;
                    sent.map_err(|_| Lost::Gone)?;
                }
                Some(Heard::Pong(_)) => {}
                Some(Heard::Close(payload)) => {
                    // It may have gone already.
                    let _gone = self.send(stream, frames::CLOSE, &payload).await;
                    self.farewell = Some(payload);
                    return Err(Lost::Gone);
                }
            }
        }
    }

    /// Messages may be as long as that.
    #[must_use]
    pub(super) fn up_to(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }

    /// Further bytes of the other side's.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    /// More than any message has come, and none of it was understood.
    pub(super) fn is_full(&self) -> bool {
        self.heard.len() > 2 * self.longest
    }

    /// What has come whole, if anything has.
    pub(super) fn next(&mut self) -> Result<Option<Heard>, Lost> {
        while let Some((first, payload)) = self.frame()? {
            let opcode = first & 0x0f;
            match opcode {
                frames::PING => return Ok(Some(Heard::Ping(payload))),
                frames::PONG => return Ok(Some(Heard::Pong(payload))),
                frames::CLOSE => return Ok(Some(Heard::Close(payload))),
                _ => {}
            }
            if opcode != frames::CONTINUATION {
                self.is_text = opcode == frames::TEXT;
            }
            self.begun.extend_from_slice(&payload);
            if self.begun.len() > self.longest {
                return Err(Lost::Malformed);
            }
            if first & 0x80 != 0 {
                let bytes = std::mem::take(&mut self.begun);
                return Ok(Some(Heard::Message(Message { is_text: self.is_text, bytes })));
            }
        }
        Ok(None)
    }

    /// The next frame, its payload without its mask, if it has come whole.
    fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, Lost> {
        let Some(first) = self.heard.first().copied() else { return Ok(None) };
        let mut walker = self.walker.clone();
        let step = walker.step(&self.heard).map_err(|_| Lost::Malformed)?;
        if !walker.is_between() {
            return Ok(None);
        }
        self.walker = walker;
        let frame = self.heard.split_to(step.taken);
        let (head, payload) = frame.split_at(step.taken - step.payload);
        let mut payload = payload.to_vec();
        if self.speaker == Speaker::Client
            && let Some(mask) = head.last_chunk::<4>()
        {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        }
        Ok(Some((first, payload)))
    }

    /// Masked where a provider gets it.
    async fn send<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        opcode: u8,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let mask = match self.speaker {
            Speaker::Client => None,
            Speaker::Provider => {
                Some(crypto::random_bytes().map_err(|_| std::io::ErrorKind::Other)?)
            }
        };
        stream.write_all(&frames::whole(opcode, payload, mask)).await?;
        stream.flush().await
    }
}

/// Until the other side has closed, too: a line that ends with something unheard takes the last
/// words along.
pub(super) async fn heard_out<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut unheard = [0; 1024];
    while matches!(stream.read(&mut unheard).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn messages_come_whole_and_pings_are_answered() {
        let (mut ours, mut theirs) = duplex(64 * 1024);
        let mask = Some([1, 2, 3, 4]);
        let mut wire = frames::whole(frames::PING, b"there?", mask);
        let mut half = frames::whole(frames::TEXT, b"{\"a\":", mask);
        half[0] &= 0x7f;
        wire.extend(half);
        wire.extend(frames::whole(frames::PING, b"still?", mask));
        wire.extend(frames::whole(frames::CONTINUATION, b"1}", mask));
        wire.extend(frames::whole(frames::BINARY, b"behind", mask));
        tokio::spawn(async move {
            for byte in wire {
                theirs.write_all(&[byte]).await.unwrap();
            }
            let mut pongs = vec![0; 16];
            theirs.read_exact(&mut pongs).await.unwrap();
            assert_eq!(pongs[2..8], *b"there?");
            assert_eq!(pongs[10..], *b"still?");
        });
        let mut parley = Parley::with_client(BytesMut::new());
        let first = parley.hear(&mut ours).await.unwrap();
        assert_eq!(first, Message { is_text: true, bytes: b"{\"a\":1}".to_vec() });
        let second = parley.hear(&mut ours).await.unwrap();
        assert_eq!(second, Message { is_text: false, bytes: b"behind".to_vec() });
        assert_eq!(parley.hear(&mut ours).await, Err(Lost::Gone));
    }

    #[tokio::test]
    async fn what_never_ends_is_not_waited_for() {
        let (mut ours, _theirs) = duplex(64);
        let mask = Some([1, 2, 3, 4]);
        let long = frames::whole(frames::TEXT, &[b'x'; LONGEST + 1], mask);
        let mut parley = Parley::with_client(BytesMut::from(&long[..]));
        assert_eq!(parley.hear(&mut ours).await, Err(Lost::Malformed));
        let open = BytesMut::from(&long[..LONGEST]);
        let (mut gone, _) = duplex(64);
        assert_eq!(Parley::with_client(open).hear(&mut gone).await, Err(Lost::Gone));
    }
}
