//! A stand-in's sockets: the handshake, the provider's own way to ask for the key, and what it says
//! when it is told something, as the catalogue file has it. Must never answer before it was shown
//! the right key.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::body::Reel;
use super::key::{self, value_of};
use super::reply::{self, Stage};
use crate::corridor::{self, No, Parley};
use crate::crypto;
use crate::provider::{Codec, Dialect, EmulatedSocket, Word};
use crate::secret::same;

type Line = TokioIo<Upgraded>;

/// None where no socket is asked for.
pub(super) fn answered(
    stage: &Arc<Stage>,
    request: &mut Request<Incoming>,
) -> Option<Response<Reel>> {
    let provider = stage.provider();
    let emulation = provider.emulation.as_ref().filter(|_| provider.sockets.is_some())?;
    let asked = request.headers().get(UPGRADE)?;
    if !asked.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return None;
    }
    let path = request.uri().path().to_owned();
    let fits = |socket: &&EmulatedSocket| reply::names_in(&socket.path, &path).is_some();
    let Some(socket) = emulation.sockets.iter().find(fits).cloned() else {
        return Some(reply::canned(&emulation.not_found));
    };
    let dialect = provider.socket.dialect(&path);
    let alone = provider.socket.fans_out(&path).then(|| path.clone());
    if dialect.is_none() && !key::opens(provider, stage.fields(), request) {
        return Some(reply::canned(&emulation.unauthorized));
    }
    let codec = corridor::codec_of(request.headers());
    let response = switching(request.headers());
    let upgrade = hyper::upgrade::on(request);
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let play = Play { stage, socket, dialect, codec, alone };
            // Whoever hangs up has his reasons.
            let _gone = play.on(TokioIo::new(upgraded)).await;
        }
    });
    Some(response)
}

/// The first subprotocol is as good as any other.
fn switching(asked: &HeaderMap) -> Response<Reel> {
    let mut response = Response::new(Reel::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let key = asked.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if let Ok(accept) = HeaderValue::try_from(crypto::socket_accept(key)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let offers = asked.get(SEC_WEBSOCKET_PROTOCOL).and_then(|offers| offers.to_str().ok());
    let first = offers.and_then(|offers| offers.split(',').next());
    if let Some(first) = first.and_then(|first| HeaderValue::try_from(first.trim()).ok()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, first);
    }
    if let Some(kind) = asked.get(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    response
}

/// One socket.
struct Play {
    stage: Arc<Stage>,
    socket: EmulatedSocket,
    dialect: Option<Dialect>,
    codec: Codec,
    /// The path, where the provider allows one socket.
    alone: Option<String>,
}

/// The paths on which the one socket is open that is allowed there.
#[derive(Default)]
pub(super) struct Taken(Mutex<HashSet<String>>);

/// Given back when it is dropped.
struct Turn<'t>(&'t Taken, &'t str);

impl Taken {
    fn paths(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<'t>(&'t self, path: &'t str) -> Option<Turn<'t>> {
        self.paths().insert(path.to_owned()).then(|| Turn(self, path))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.paths().remove(self.1);
    }
}

impl Play {
    async fn on(self, mut line: Line) -> std::io::Result<()> {
        let mut parley = Parley::with_client(BytesMut::new());
        let mut turn = None;
        if let Some(dialect) = self.dialect {
            if let Some(word) = corridor::greeting(dialect) {
                self.say(&parley, &mut line, word).await?;
            }
            let Ok(shown) = parley.hear(&mut line).await else { return Ok(()) };
            let shown = corridor::understood(self.codec, &shown.bytes).unwrap_or_default();
            if !self.is_right(dialect, &shown) {
                return self.refuse(&parley, &mut line, (dialect, No::Unknown)).await;
            }
            if let Some(path) = &self.alone {
                turn = self.stage.taken.take(path);
                if turn.is_none() {
                    return self.refuse(&parley, &mut line, (dialect, No::Crowded)).await;
                }
            }
            self.say(&parley, &mut line, corridor::welcome(dialect)).await?;
            if dialect.repeats().is_some() {
                // What shows the key asks for something, too.
                self.answer(&parley, &mut line, &shown).await?;
            }
        }
        for word in &self.socket.opens {
            self.say(&parley, &mut line, word).await?;
        }
        while let Ok(heard) = parley.hear(&mut line).await {
            let said = corridor::understood(self.codec, &heard.bytes).unwrap_or_default();
            let repeating = self.dialect.filter(|dialect| dialect.repeats().is_some());
            if let Some(dialect) = repeating.filter(|dialect| !self.is_right(*dialect, &said)) {
                return self.refuse(&parley, &mut line, (dialect, No::Unknown)).await;
            }
            self.answer(&parley, &mut line, &said).await?;
        }
        drop(turn);
        Ok(())
    }

    async fn answer(&self, parley: &Parley, line: &mut Line, said: &Value) -> std::io::Result<()> {
        let said = said.to_string();
        let answer = self.socket.answers.iter().find(|answer| said.contains(&answer.on));
        for word in answer.into_iter().flat_map(|answer| &answer.says) {
            self.say(parley, line, word).await?;
        }
        Ok(())
    }

    async fn refuse(
        &self,
        parley: &Parley,
        line: &mut Line,
        (dialect, no): (Dialect, No),
    ) -> std::io::Result<()> {
        self.say(parley, line, corridor::refusal(dialect, no)).await?;
        parley.close(line, 1000).await
    }

    async fn say(&self, parley: &Parley, line: &mut Line, word: &str) -> std::io::Result<()> {
        // Alpaca's trading stream writes JSON into binary frames.
        let is_text = self.codec == Codec::Json && self.dialect != Some(Dialect::AlpacaTrading);
        parley.say(line, is_text, &corridor::worded(self.codec, word)).await
    }

    /// Does it show the whole key, as the provider has it?
    fn is_right(&self, dialect: Dialect, shown: &Value) -> bool {
        dialect.hail().iter().all(|(name, word)| {
            let said = shown.get(name).and_then(Value::as_str).unwrap_or_default().as_bytes();
            let wanted = match word {
                Word::Text(text) => Some(text.as_bytes()),
                Word::Field(field) => value_of(self.stage.fields(), field),
            };
            wanted.is_some_and(|wanted| same(said, wanted))
        })
    }
}
