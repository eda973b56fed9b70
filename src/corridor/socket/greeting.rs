//! A socket whose key comes in a message: Sealgate takes the handshake, says the provider's own
//! word, hears who is there, and only then walks the corridor as for any call; nothing leaves
//! before. Who shows no key in time, or a wrong one, hears it in the provider's words. Must never
//! pass on what was said before.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::ahead::beside;
use super::berths::Berth;
use super::dialect::{self, No};
use super::parley::{Lost, Parley, heard_out};
use super::{End, Handshake, Member, Socket, frames, heeding};
use crate::corridor::answer::{Answer, AnswerBody};
use crate::corridor::{Corridor, Raw, credential, trace};
use crate::net::{Deadlines, Follower};
use crate::provider::{Codec, Dialect};
use crate::refusal::Reason;

/// Whoever has not shown a key by then is let go.
const KEY_WITHIN: Duration = Duration::from_secs(10);
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Marks a request whose key was said in a message, not in the head. Until the key is known to be
/// one, whoever said it has the place of a stranger.
#[derive(Clone)]
pub(in crate::corridor) struct Introduced {
    _berth: Arc<Berth>,
}

/// A client of whom nobody knows yet who it is.
pub(crate) struct Greeting {
    /// As it asked, but for the request's id, which is that of the answer.
    raw: Raw,
    dialect: Dialect,
    codec: Codec,
    berth: Berth,
}

/// How it went.
enum Outcome {
    Aboard(Box<Socket>, BytesMut),
    /// On a socket that many share.
    Joined(Box<Member>, BytesMut),
    No(No, u16),
    /// The house ends.
    Leaving,
    Gone,
}

/// A key of ours was said.
struct Shown {
    key: HeaderValue,
    /// The frame of it, where what shows the key asks for something, too, and goes on.
    again: Vec<u8>,
}

/// Why nobody walks: no key of ours came.
enum Unknown {
    /// With why it is written down, what is said, and the code behind it.
    No(Reason, No, u16),
    End(End),
}

/// By the header in which Alpaca's clients say it.
pub(crate) fn codec_of(headers: &HeaderMap) -> Codec {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match memchr::memmem::find(&kind.to_ascii_lowercase(), b"msgpack") {
        Some(_) => Codec::Msgpack,
        None => Codec::Json,
    }
}

impl Greeting {
    /// The 101 of our own, behind which it is listened to.
    pub(super) fn answer(
        mut raw: Raw,
        dialect: Dialect,
        handshake: Handshake,
        berth: Berth,
    ) -> Answer {
        let codec = codec_of(&raw.parts.headers);
        let id = trace::request_id(&raw.parts.headers);
        raw.parts.headers.insert(trace::X_REQUEST_ID, id.clone());
        let greeting = Self { raw, dialect, codec, berth };
        let mut answer = Answer::new(AnswerBody::Greeting(Some(Box::new(greeting))));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(trace::X_REQUEST_ID, id);
        handshake.answer(answer.headers_mut());
        answer
    }

    /// From the greeting to the socket's end.
    pub(crate) async fn run<L: AsyncRead + AsyncWrite + Unpin>(
        self: Box<Self>,
        line: &mut L,
        (corridor, follower): (&Corridor, &mut Follower),
        deadlines: &Deadlines,
    ) {
        let (dialect, codec) = (self.dialect, self.codec);
        let parting = match self.meet(line, (corridor, &mut *follower), deadlines).await {
            Outcome::Aboard(socket, said) => {
                return socket.greeted(said).run(line, follower, deadlines).await;
            }
            Outcome::Joined(member, said) => {
                return member.run(line, said, (follower, deadlines)).await;
            }
            Outcome::No(no, code) => {
                let word = dialect::worded(codec, dialect::refusal(dialect, no));
                let opcode = if codec == Codec::Json { frames::TEXT } else { frames::BINARY };
                [frames::whole(opcode, &word, None), frames::close(code, "", None)].concat()
            }
            Outcome::Leaving => frames::close(super::GOING_AWAY, super::LEAVING, None),
            Outcome::Gone => return,
        };
        let saying = async {
            let _gone = line.write_all(&parting).await;
            let _gone = line.shutdown().await;
        };
        let _late = deadlines.within(super::LAST_WORDS_WITHIN, saying).await;
        // Where the house ends, nobody is heard out.
        let hearing = deadlines.within(super::LAST_WORDS_WITHIN, heard_out(line));
        let _late = heeding(follower, hearing).await;
    }

    async fn meet<L: AsyncRead + AsyncWrite + Unpin>(
        self: Box<Self>,
        line: &mut L,
        (corridor, follower): (&Corridor, &mut Follower),
        deadlines: &Deadlines,
    ) -> Outcome {
        let mut parley = Parley::with_client(BytesMut::new());
        // The time is for the key alone: what a provider takes for its handshake has its own.
        let mut patience = deadlines.patience(KEY_WITHIN).begun();
        let heard = {
            let mut hearing = std::pin::pin!(self.hear(line, &mut parley));
            let in_time = std::future::poll_fn(|context| match hearing.as_mut().poll(context) {
                Poll::Pending if patience.is_over(context) => {
                    Poll::Ready(Err(Unknown::No(Reason::Timeout, No::Late, POLICY)))
                }
                polled @ (Poll::Ready(_) | Poll::Pending) => polled,
            });
            heeding(&mut *follower, in_time).await.unwrap_or_else(|end| Err(Unknown::End(end)))
        };
        let Self { mut raw, berth, .. } = *self;
        let shown = match heard {
            Ok(shown) => shown,
            Err(Unknown::No(reason, no, code)) => {
                corridor.turned_away(&raw, reason);
                return Outcome::No(no, code);
            }
            Err(Unknown::End(end)) => return ended(end),
        };
        let Some(shown) = shown else {
            corridor.turned_away(&raw, Reason::Unauthorized);
            let slowed = heeding(&mut *follower, corridor.stranger(raw.address)).await;
            return slowed.map_or_else(ended, |()| Outcome::No(No::Unknown, POLICY));
        };
        raw.parts.headers.insert(X_API_KEY, shown.key);
        raw.parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        raw.parts.extensions.insert(Introduced { _berth: Arc::new(berth) });
        let mut said = BytesMut::from(&shown.again[..]);
        said.unsplit(parley.into_rest());
        let walking = beside(line, &mut said, Box::pin(corridor.answer(raw)));
        let mut answer = match heeding(follower, walking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(end)) | Err(end) => return ended(end),
        };
        if let Some(socket) = answer.body_mut().take_socket() {
            return Outcome::Aboard(socket, said);
        }
        if let Some(member) = answer.body_mut().take_member() {
            return Outcome::Joined(member, said);
        }
        answer.body_mut().forgo();
        no_of(answer.status())
    }

    /// The key that is shown; None where it is none of ours.
    async fn hear<L: AsyncRead + AsyncWrite + Unpin>(
        &self,
        line: &mut L,
        parley: &mut Parley,
    ) -> Result<Option<Shown>, Unknown> {
        if let Some(word) = dialect::greeting(self.dialect) {
            let word = dialect::worded(self.codec, word);
            let said = parley.say(line, self.codec == Codec::Json, &word).await;
            said.map_err(|_gone| Unknown::End(End::Client))?;
        }
        let message = parley.hear(line).await.map_err(|lost| match lost {
            Lost::Gone => Unknown::End(End::Client),
            Lost::Malformed => Unknown::No(Reason::BadRequest, No::Unasked, MALFORMED),
        })?;
        let said = dialect::understood(self.codec, &message.bytes);
        let Some(key) = said.as_ref().and_then(|said| dialect::key_in(self.dialect, said)) else {
            return Err(Unknown::No(Reason::Unauthorized, No::Unasked, POLICY));
        };
        // Keys of older systems have two places, and this is neither.
        let shown = Some(key).filter(|key| credential::is_ours(key.as_bytes()));
        let key = shown.and_then(|key| HeaderValue::from_str(key).ok());
        let again = self.dialect.repeats().map(|_| {
            let opcode = if message.is_text { frames::TEXT } else { frames::BINARY };
            frames::whole(opcode, &message.bytes, Some([0; 4]))
        });
        Ok(key.map(|key| Shown { key, again: again.unwrap_or_default() }))
    }
}

const POLICY: u16 = 1008;
const MALFORMED: u16 = 1002;
const TRY_LATER: u16 = 1013;

fn ended(end: End) -> Outcome {
    match end {
        End::Leaving => Outcome::Leaving,
        End::Client
        | End::Provider
        | End::Refused
        | End::Idle
        | End::Revoked
        | End::Altered
        | End::Replaced
        | End::Cut
        | End::NoFrames(_) => Outcome::Gone,
    }
}

/// A no of ours, or of the provider's handshake, in other words.
fn no_of(status: StatusCode) -> Outcome {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            Outcome::No(No::Unknown, POLICY)
        }
        StatusCode::TOO_MANY_REQUESTS => Outcome::No(No::Crowded, TRY_LATER),
        _ => Outcome::No(No::Failed, TRY_LATER),
    }
}
