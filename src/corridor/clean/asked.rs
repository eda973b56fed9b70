//! What a request asks of a socket: the handshake, and where the client's key belongs on it.
//! A part of the cleaning, in a file of its own.
//! Must never let a key in the head pass where the provider wants it in a message.

use super::Inbound;
use crate::corridor::socket::{Handshake, Introduced};
use crate::provider::Dialect;
use crate::refusal::Refusal;

impl Inbound<'_> {
    /// A socket is asked for whose key comes later, in this manner; no key stands in the head.
    pub(in crate::corridor) fn greets(self) -> Option<(Dialect, Handshake)> {
        let knows_nobody = self.presented.as_bytes().is_none() && self.presented.open().is_empty();
        let handshake = self.handshake.filter(|_| knows_nobody)?;
        Some((handshake.speaks()?.0, handshake))
    }

    /// A client that shows its key in the head says it again where the provider asks for it, and
    /// that would go on to the provider: here it must wait to be asked.
    pub(in crate::corridor) fn demand_introduction(&self) -> Result<(), Refusal> {
        let speaks = self.handshake.as_ref().and_then(Handshake::speaks);
        if speaks.is_none() || self.parts.extensions.get::<Introduced>().is_some() {
            return Ok(());
        }
        let detail = "On this socket the client key stands in the first message, not in the head.";
        Err(Refusal::bad_request(detail).closing())
    }

    /// It asks for a socket on which more can be said than what is to be read.
    pub(in crate::corridor) fn wants_a_say(&self) -> bool {
        self.handshake.as_ref().is_some_and(|handshake| !handshake.reads_only())
    }

    /// Before the rest: a subprotocol may be a slot, and what is in it is not misplaced then.
    pub(super) fn clean_handshake(&mut self) -> Result<(), Refusal> {
        let Some(provider) = &self.provider else { return Ok(()) };
        let rest = self.parts.uri.path().get(self.rest_at..).unwrap_or_default();
        self.handshake = Handshake::asked(self.parts, provider, rest)?;
        let Some(handshake) = &mut self.handshake else { return Ok(()) };
        let mark = provider.socket.subprotocol.as_deref();
        handshake.clean_protocols(&mut self.parts.headers, mark, &mut self.presented)
    }
}
