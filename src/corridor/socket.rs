//! A socket, from the provider's yes to its last byte: what the client says passes as it is, what
//! the provider says passes the search for the key. It is one call: its record and its place among
//! the calls in flight end with it. Must never outlive its client, its key or its provider.

mod ahead;
mod berths;
mod dialect;
mod door;
mod fanout;
mod flow;
mod frames;
mod greeting;
mod hail;
mod handshake;
mod keyed;
mod msgpack;
mod parley;
mod scrubbed;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT};
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

pub(super) use self::berths::Berth;
pub(crate) use self::berths::Berths;
pub(crate) use self::dialect::{No, greeting, refusal, understood, welcome, worded};
pub(crate) use self::fanout::Fanout;
pub(super) use self::fanout::Member;
use self::flow::{Dry, Flow};
pub(super) use self::greeting::Introduced;
pub(crate) use self::greeting::{Greeting, codec_of};
pub(super) use self::handshake::{Handshake, is_of_a_handshake};
use self::keyed::Keyed;
pub(crate) use self::parley::Parley;
use self::scrubbed::Scrubbed;
use super::answer::{Answer, AnswerBody};
use super::rewrite::Place;
use super::scrub::{self, blank_headers, drop_hop_by_hop};
use super::trace::{Ends, Trace};
use crate::client::{Client, Standing};
use crate::crypto;
use crate::inject::{Carried, Hail};
use crate::ledger::{BytesIn, Record};
use crate::limiter::Admission;
use crate::net::{Deadlines, Follower, Patience, Stream};
use crate::refusal::{Fault, Reason, Refusal};
use crate::upstream::Reply;

/// Both ends know each other, and nothing has passed.
pub(crate) struct Socket {
    provider: Stream,
    /// From the client to the provider.
    up: Flow,
    down: Flow,
    /// What came from the provider with its head.
    early: BytesMut,
    /// What shows the key, where that comes in a message.
    hail: Option<Hail>,
    /// The client has heard the first word already, from us.
    is_greeted: bool,
    /// What the client said behind its key are no frames.
    is_torn: bool,
    /// The provider did not take the key: once it is heard, it is over.
    is_refused: bool,
    idle: Duration,
    /// When the client key or token ends, on the clock that never goes back.
    ends_ns: Option<u64>,
    ends: Ends,
    record: Option<Record>,
    bytes_in: Arc<BytesIn>,
    _admission: Admission,
    _berth: Berth,
}

/// Why a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client went.
    Client,
    Provider,
    /// The provider did not take our key.
    Refused,
    /// Nothing passed for too long.
    Idle,
    /// The client key was revoked or has expired.
    Revoked,
    /// Its rights are others now: it has to ask again.
    Altered,
    /// The provider's key that it was opened with was taken away.
    Replaced,
    /// The house closes.
    Leaving,
    /// At once, and with no word.
    Cut,
    NoFrames(Side),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Provider,
}

/// How long a provider may take for a word on which everything waits.
const WORD_WITHIN: Duration = Duration::from_secs(10);
/// What is still to be said when a socket ends is said in this time, or not at all.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// What was found out for a socket before it could be opened.
pub(super) struct Opening {
    pub(super) handshake: Handshake,
    pub(super) berth: Berth,
    pub(super) ends_ns: Option<u64>,
}

impl Opening {
    /// It joins others, and opens nothing of its own.
    pub(super) fn is_shared(&self) -> bool {
        self.handshake.fans_out()
    }
}

/// The answer to a handshake: a socket, or whatever else the provider says.
pub(super) async fn answered(
    reply: Reply,
    Carried { needles, hail }: Carried,
    (opening, place): (Opening, &Place<'_>),
    (trace, admission): (&mut Trace, Admission),
) -> Result<Answer, Refusal> {
    if reply.head.status != StatusCode::SWITCHING_PROTOCOLS {
        let mut answer = scrub::scrub(reply, needles, place, (trace, admission)).await?;
        // What the client sent ahead was meant for a socket, and is no request.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(answer);
    }
    let Opening { handshake, berth, ends_ns } = opening;
    handshake.check(&reply.head.headers)?;
    let mut headers = reply.head.headers.clone();
    drop_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(SEC_WEBSOCKET_ACCEPT);
    let hits = blank_headers(&mut headers, &needles);
    let (provider, early) = reply.into_stream().await.ok_or_else(|| {
        let detail = "The provider's connection broke while a socket was opened on it.";
        Refusal::new(Reason::UpstreamUnreachable, detail)
    })?;
    let down = Flow::of_provider(Scrubbed::new(needles));
    if hits > 0 {
        trace.scrub_hits(hits);
    }
    let bytes_in = trace.bytes_in();
    handshake.answer(&mut headers);
    let record = trace.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16(), &mut headers);
    let keyed = hail.as_ref().filter(|hail| hail.dialect.repeats().is_some()).cloned();
    let up = keyed.map_or_else(Flow::of_client, |hail| Flow::of_keyed_client(Keyed::new(hail)));
    let socket = Socket {
        provider,
        up,
        down,
        early: BytesMut::from(&early[..]),
        hail,
        is_greeted: false,
        is_torn: false,
        is_refused: false,
        ends_ns,
        idle: place.provider.timeouts.idle,
        ends: trace.take_ends(),
        record,
        bytes_in,
        _admission: admission,
        _berth: berth,
    };
    let mut answer = Answer::new(AnswerBody::Socket(Some(Box::new(socket))));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    Ok(answer)
}

impl Socket {
    /// Nobody gets it: the record says so.
    pub(super) fn refuse(&mut self, reason: Reason) {
        if let Some(record) = &mut self.record {
            record.answered(reason.status(), "", Some(reason));
            record.complete();
        }
    }

    /// The client was let in by a message; this is what it said behind it.
    #[must_use]
    fn greeted(mut self: Box<Self>, mut said: BytesMut) -> Box<Self> {
        self.is_greeted = true;
        self.is_torn = self.up.feed(&mut said).is_err();
        self
    }

    /// Until either end goes, or must.
    pub(crate) async fn run<L: AsyncRead + AsyncWrite + Unpin>(
        mut self: Box<Self>,
        line: &mut L,
        follower: &mut Follower,
        deadlines: &Deadlines,
    ) {
        let opened = heeding(follower, Box::pin(self.open(line, deadlines))).await;
        let end = match opened.and_then(|opened| opened) {
            Ok(()) => self.carry(line, follower, deadlines).await,
            Err(end) => end,
        };
        if end != End::Cut {
            let saying = self.say_goodbye(line, end);
            let _late = deadlines.within(LAST_WORDS_WITHIN, saying).await;
        }
        self.settle(end);
        if !matches!(end, End::Cut | End::Leaving) {
            let hearing = deadlines.within(LAST_WORDS_WITHIN, parley::heard_out(line));
            let _late = heeding(follower, hearing).await;
        }
    }

    async fn carry<L: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut L,
        follower: &mut Follower,
        deadlines: &Deadlines,
    ) -> End {
        let mut idle = deadlines.patience(self.idle).until(self.ends_ns).begun();
        let carrying = std::future::poll_fn(|context| self.poll(line, &mut idle, context));
        heeding(follower, carrying).await.unwrap_or_else(|end| end)
    }

    /// What was true when it was opened, and is so no more.
    fn fallen(&self) -> Option<End> {
        let replaced = self.ends.lack_a_key().then_some(End::Replaced);
        fallen(self.ends.client()).or(replaced)
    }

    fn poll<L: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut L,
        idle: &mut Patience,
        context: &mut Context<'_>,
    ) -> Poll<End> {
        if let Some(end) = self.fallen() {
            return Poll::Ready(end);
        }
        let before = (self.up.came(), self.up.went(), self.down.came(), self.down.went());
        if let Poll::Ready(dry) = self.down.poll(&mut self.provider, line, context) {
            return Poll::Ready(match dry {
                Dry::Source if self.is_refused => End::Refused,
                Dry::Source => End::Provider,
                Dry::Mouth => End::Client,
                Dry::Malformed => End::NoFrames(Side::Provider),
            });
        }
        if self.is_refused {
            // Whatever the client says, nobody has let it in; it only hears why.
            return match self.down.is_between() || idle.is_over(context) {
                true => Poll::Ready(End::Refused),
                false => Poll::Pending,
            };
        }
        if let Poll::Ready(dry) = self.up.poll(line, &mut self.provider, context) {
            return Poll::Ready(match dry {
                Dry::Source => End::Client,
                Dry::Mouth => End::Provider,
                Dry::Malformed => End::NoFrames(Side::Client),
            });
        }
        if before != (self.up.came(), self.up.went(), self.down.came(), self.down.went()) {
            idle.renew();
        }
        match idle.is_over(context) {
            true if idle.has_ended() => Poll::Ready(End::Revoked),
            true => Poll::Ready(End::Idle),
            false => Poll::Pending,
        }
    }

    /// To whoever has not been told by the other end, and where a frame may stand.
    async fn say_goodbye<L: AsyncWrite + Unpin>(&mut self, line: &mut L, end: End) {
        if let Some((code, why)) = end.to_client().filter(|_| self.down.is_between())
            && !self.down.has_closed()
        {
            let _gone = line.write_all(&frames::close(code, why, None)).await;
        }
        if self.up.is_between() && !self.up.has_closed() && end != End::Provider {
            // Without randomness a mask hides nothing, and there is nothing to hide.
            let mask = crypto::random_bytes().unwrap_or_default();
            let close = frames::close(GOING_AWAY, "", Some(mask));
            let _gone = self.provider.write_all(&close).await;
        }
        let _gone = line.shutdown().await;
        let _gone = self.provider.shutdown().await;
    }

    fn settle(mut self: Box<Self>, end: End) {
        let passed = (self.up.messages(), self.down.messages());
        self.bytes_in.add(usize::try_from(self.up.came()).unwrap_or(usize::MAX));
        let hits = self.down.blanked();
        let is_said = self.up.has_closed() || self.down.has_closed();
        let Some(record) = &mut self.record else { return };
        record.bytes_out(self.down.went());
        record.messages(passed);
        if hits > 0 {
            record.scrub_hits(hits);
            let record = record.id();
            tracing::warn!(%record, hits, "a provider sent its key back; it did not go out");
        }
        match end.fault() {
            Some(fault) if !(is_said && end.is_of_one_end()) => record.fault(fault),
            Some(_) | None => record.complete(),
        }
    }
}

/// The work, unless the house closes meanwhile.
async fn heeding<T>(follower: &mut Follower, work: impl Future<Output = T>) -> Result<T, End> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        if follower.is_draining(context) {
            return Poll::Ready(Err(End::Leaving));
        }
        if follower.is_cut() {
            return Poll::Ready(Err(End::Cut));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

/// What has become of the client's rights, where they are not what they were.
fn fallen(client: Option<&Client>) -> Option<End> {
    match client.map_or(Standing::Good, Client::standing_of_a_stream) {
        Standing::Good => None,
        Standing::Altered => Some(End::Altered),
        Standing::Ended => Some(End::Revoked),
    }
}

const GOING_AWAY: u16 = 1001;
const LEAVING: &str = "Sealgate ends";

impl End {
    /// The code and the reason of our own word to the client, where it is ours to say one.
    fn to_client(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Client | Self::Provider | Self::Cut => None,
            Self::Idle => Some((GOING_AWAY, "nothing passed for too long")),
            Self::Revoked => Some((1008, "the client key has ended")),
            Self::Altered => {
                Some((1012, "the rights of this client key were changed; connect again"))
            }
            Self::Replaced => Some((1012, "the provider's key was replaced; connect again")),
            Self::Leaving => Some((GOING_AWAY, LEAVING)),
            Self::Refused => Some((1008, "the provider did not take the key")),
            Self::NoFrames(Side::Client) => Some((1002, "these are no frames")),
            Self::NoFrames(Side::Provider) => Some((1011, "the provider sent no frames")),
        }
    }

    /// One of the two went, and nobody made it go.
    fn is_of_one_end(self) -> bool {
        matches!(self, Self::Client | Self::Provider)
    }

    fn fault(self) -> Option<Fault> {
        match self {
            Self::Idle => None,
            Self::Client | Self::Revoked | Self::Altered | Self::NoFrames(Side::Client) => {
                Some(Fault::Client)
            }
            Self::Provider | Self::Refused | Self::NoFrames(Side::Provider) => {
                Some(Fault::Provider)
            }
            Self::Replaced | Self::Leaving | Self::Cut => Some(Fault::Us),
        }
    }
}
