//! Two handshakes of which one asks and one answers: the client's with us, ours with the provider.
//! Each has a key of its own, and neither knows of the other's. Must never offer an extension: it
//! would hide from the search what is said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::super::credential::{self, Presented};
use super::greeting::codec_of;
use crate::crypto;
use crate::provider::{Codec, Dialect, Provider};
use crate::refusal::{Reason, Refusal};

/// What a page offers beside its key: a browser gives a socket up on which nothing of what it
/// offered is chosen, and a key must not stand in an answer.
const OURS: &str = "sealgate";

/// A client's wish for a socket.
pub(in super::super) struct Handshake {
    /// What the client wants to see.
    accept: HeaderValue,
    /// What we send to the provider.
    key: HeaderValue,
    /// What of the client's offers goes on.
    protocols: Vec<String>,
    /// It offers the name that is ours, beside its key.
    offers_ours: bool,
    /// What is spoken behind it, where the key comes in a message.
    speaks: Option<(Dialect, Codec)>,
    /// Whatever is said behind it, it asks for nothing but reading.
    reads_only: bool,
    /// The provider allows one socket there, which all share.
    fans_out: bool,
}

impl Handshake {
    /// None where no socket is asked for, or this provider has none.
    pub(in super::super) fn asked(
        parts: &Parts,
        provider: &Provider,
        path: &str,
    ) -> Result<Option<Self>, Refusal> {
        let headers = &parts.headers;
        let asks = parts.version == Version::HTTP_11
            && only(headers, &UPGRADE).is_some_and(|value| is(value, b"websocket"))
            && nominates_upgrade(headers);
        if provider.sockets.is_none() || !asks {
            return Ok(None);
        }
        let wrong = |what: &'static str| Err(Refusal::bad_request(what).closing());
        if parts.method != Method::GET {
            return wrong("A socket is opened with GET.");
        }
        if headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
        {
            return wrong("The handshake of a socket has no body.");
        }
        if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return wrong("Sockets are opened with Sec-WebSocket-Version 13.");
        }
        let key = only(headers, &SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
        let Some(key) = key.filter(is_key) else {
            return wrong("Sec-WebSocket-Key is not sixteen bytes in base64, once.");
        };
        let accept = crypto::socket_accept(key);
        Ok(Some(Self {
            accept: HeaderValue::try_from(accept).map_err(|_| Refusal::internal())?,
            key: own_key()?,
            protocols: Vec::new(),
            offers_ours: false,
            speaks: provider.socket.dialect(path).map(|dialect| (dialect, codec_of(headers))),
            reads_only: provider.socket.reads_only(path),
            fans_out: provider.socket.fans_out(path),
        }))
    }

    /// A subprotocol may carry the client's key; what does goes no further.
    pub(in super::super) fn clean_protocols(
        &mut self,
        headers: &mut HeaderMap,
        mark: Option<&str>,
        presented: &mut Presented,
    ) -> Result<(), Refusal> {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let offers = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for offer in offers.map(<[u8]>::trim_ascii).filter(|offer| !offer.is_empty()) {
            match mark.and_then(|mark| offer.strip_prefix(mark.as_bytes())) {
                Some(carried) => presented.note(carried)?,
                None if credential::is_ours(offer) => presented.note(offer)?,
                None if offer == OURS.as_bytes() => self.offers_ours = true,
                None => self.protocols.push(String::from_utf8_lossy(offer).into_owned()),
            }
        }
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if !self.protocols.is_empty() {
            let offers = HeaderValue::try_from(self.protocols.join(", "));
            let wrong = |_| Refusal::bad_request("Sec-WebSocket-Protocol is no list of names.");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offers.map_err(wrong)?);
        }
        Ok(())
    }

    pub(in super::super) fn speaks(&self) -> Option<(Dialect, Codec)> {
        self.speaks
    }

    /// The same wish once more, with a key of its own.
    pub(super) fn afresh(&self) -> Result<Self, Refusal> {
        let (accept, protocols) = (self.accept.clone(), self.protocols.clone());
        let Self { offers_ours, speaks, reads_only, fans_out, .. } = *self;
        let key = own_key()?;
        Ok(Self { accept, key, protocols, offers_ours, speaks, reads_only, fans_out })
    }

    /// The same of which nothing is the client's: its offers are its own.
    pub(super) fn shared(&self) -> Result<Self, Refusal> {
        Ok(Self { protocols: Vec::new(), offers_ours: false, ..self.afresh()? })
    }

    pub(super) fn fans_out(&self) -> bool {
        self.fans_out
    }

    pub(in super::super) fn reads_only(&self) -> bool {
        self.reads_only
    }

    pub(in super::super) fn key(&self) -> HeaderValue {
        self.key.clone()
    }

    /// Is this the answer to our handshake, and to no other?
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let wanted = crypto::socket_accept(self.key.as_bytes());
        let is_proven = only(headers, &SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| accept.as_bytes() == wanted.as_bytes());
        let is_socket = only(headers, &UPGRADE).is_some_and(|value| is(value, b"websocket"));
        let is_extended = headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        let chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut chosen = chosen.map(HeaderValue::as_bytes);
        let is_offered = match (chosen.next(), chosen.next()) {
            (None, _) => true,
            (Some(one), None) => self.protocols.iter().any(|offer| offer.as_bytes() == one),
            (Some(_), Some(_)) => false,
        };
        if is_proven && is_socket && nominates_upgrade(headers) && !is_extended && is_offered {
            return Ok(());
        }
        let detail = "The provider opened a socket that is not the one it was asked for.";
        Err(Refusal::new(Reason::UpstreamInvalid, detail))
    }

    /// The rest of the answer's head is the provider's.
    pub(super) fn answer(self, headers: &mut HeaderMap) {
        if self.offers_ours && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(OURS));
        }
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
    }
}

fn own_key() -> Result<HeaderValue, Refusal> {
    let nonce: [u8; 16] = crypto::random_bytes().map_err(|_| Refusal::internal())?;
    HeaderValue::try_from(STANDARD.encode(nonce)).map_err(|_| Refusal::internal())
}

/// What only a handshake of a socket has; ours has its own.
pub(in super::super) fn is_of_a_handshake(name: &str) -> bool {
    matches!(
        name,
        "sec-websocket-key"
            | "sec-websocket-version"
            | "sec-websocket-extensions"
            | "sec-websocket-accept"
    )
}

fn nominates_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is(value: &HeaderValue, word: &[u8]) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(word)
}
