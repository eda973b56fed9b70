//! A socket whose key comes in a message: Sealgate takes the handshake, says the provider's own
//! word, hears who is there, and only then walks the corridor as for any call; nothing leaves
//! before. Who shows no key in time, or a wrong one, hears it in the provider's words. Must never
//! pass on what was said before.

use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::berths::Berth;
use super::dialect::{self, No};
use super::parley::{Lost, Message, Parley, heard_out};
use super::{Handshake, Socket};
use crate::corridor::answer::{Answer, AnswerBody};
use crate::corridor::{Corridor, Raw, credential};
use crate::net::{Deadlines, Follower};
use crate::provider::{Codec, Dialect};

/// Whoever has not shown a key by then is let go.
const KEY_WITHIN: Duration = Duration::from_secs(10);
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Marks a request whose key was said in a message, not in the head.
#[derive(Clone, Copy)]
pub(in crate::corridor) struct Introduced;

/// A client of whom nobody knows yet who it is.
pub(crate) struct Greeting {
    /// As it asked, untouched.
    raw: Raw,
    dialect: Dialect,
    codec: Codec,
    _berth: Berth,
}

/// How it went.
enum Outcome {
    Aboard(Box<Socket>, BytesMut),
    No(No, u16),
    Gone,
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
    pub(in crate::corridor) fn answer(
        (parts, address): (Parts, std::net::IpAddr),
        dialect: Dialect,
        handshake: Handshake,
        berth: Berth,
    ) -> Answer {
        let codec = codec_of(&parts.headers);
        let raw = Raw { parts, body: None, address };
        let greeting = Self { raw, dialect, codec, _berth: berth };
        let mut answer = Answer::new(AnswerBody::Greeting(Some(Box::new(greeting))));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
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
        let mut patience = deadlines.patience(KEY_WITHIN).begun();
        let meeting = {
            let mut meeting = std::pin::pin!(self.meet(line, corridor));
            std::future::poll_fn(|context| {
                use std::task::Poll;
                if follower.is_draining(context) || follower.is_cut() {
                    return Poll::Ready(Outcome::Gone);
                }
                match meeting.as_mut().poll(context) {
                    Poll::Pending if patience.is_over(context) => {
                        Poll::Ready(Outcome::No(No::Late, POLICY))
                    }
                    polled @ (Poll::Ready(_) | Poll::Pending) => polled,
                }
            })
            .await
        };
        match meeting {
            Outcome::Aboard(socket, said) => {
                socket.greeted(said).run(line, follower, deadlines).await
            }
            Outcome::No(no, code) => {
                let parley = Parley::with_client(BytesMut::new());
                let word = dialect::worded(codec, dialect::refusal(dialect, no));
                let saying = async {
                    let _gone = parley.say(line, codec == Codec::Json, &word).await;
                    let _gone = parley.close(line, code).await;
                    heard_out(line).await;
                };
                let said = deadlines.within(super::LAST_WORDS_WITHIN, saying);
                let _late = super::heeding(follower, said).await;
            }
            Outcome::Gone => {}
        }
    }

    async fn meet<L: AsyncRead + AsyncWrite + Unpin>(
        self: Box<Self>,
        line: &mut L,
        corridor: &Corridor,
    ) -> Outcome {
        let Self { mut raw, dialect, codec, _berth } = *self;
        let mut parley = Parley::with_client(BytesMut::new());
        if let Some(word) = dialect::greeting(dialect) {
            let word = dialect::worded(codec, word);
            if parley.say(line, codec == Codec::Json, &word).await.is_err() {
                return Outcome::Gone;
            }
        }
        let message = match parley.hear(line).await {
            Ok(message) => message,
            Err(Lost::Gone) => return Outcome::Gone,
            Err(Lost::Malformed) => return Outcome::No(No::Unasked, MALFORMED),
        };
        let Message { bytes, .. } = message;
        let said = dialect::understood(codec, &bytes);
        let Some(key) = said.as_ref().and_then(|said| dialect::key_in(dialect, said)) else {
            return Outcome::No(No::Unasked, POLICY);
        };
        // Keys of older systems have two places, and this is neither.
        let shown = Some(key).filter(|key| credential::is_ours(key.as_bytes()));
        let Some(shown) = shown.and_then(|key| HeaderValue::from_str(key).ok()) else {
            corridor.stranger(raw.address).await;
            return Outcome::No(No::Unknown, POLICY);
        };
        raw.parts.headers.insert(X_API_KEY, shown);
        raw.parts.extensions.insert(Introduced);
        raw.parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        let mut answer = Box::pin(corridor.answer(raw)).await;
        match answer.body_mut().take_socket() {
            Some(socket) => Outcome::Aboard(socket, parley.into_rest()),
            None => no_of(answer.status()),
        }
    }
}

const POLICY: u16 = 1008;
const MALFORMED: u16 = 1002;
const TRY_LATER: u16 = 1013;

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
