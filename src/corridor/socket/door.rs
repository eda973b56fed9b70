//! How a call comes to a socket: a place for it before anything leaves, and whoever asks for one on
//! which the key comes later. Must never tell anybody that a key was right before the corridor has
//! walked with it.

use std::net::IpAddr;

use super::{Greeting, Handshake, Opening};
use crate::corridor::clean::{self, Inbound};
use crate::corridor::{Answer, Corridor, Raw};
use crate::refusal::Refusal;

impl Corridor {
    /// The answer to whoever asks for a socket on which the key comes later. None for all others.
    pub(in crate::corridor) fn greeted(&self, raw: &Raw) -> Result<Option<Answer>, Refusal> {
        let mut parts = raw.parts.clone();
        let cleaned = clean::clean(&mut parts, raw.body.as_ref(), &self.house);
        let Some((dialect, handshake)) = cleaned.ok().and_then(Inbound::greets) else {
            return Ok(None);
        };
        let berth = self.house.strangers.take()?;
        let asked = (raw.parts.clone(), raw.address);
        Ok(Some(Greeting::answer(asked, dialect, handshake, berth)))
    }

    /// Somebody showed what is no key of ours.
    pub(super) async fn stranger(&self, address: IpAddr) {
        self.house.roster.missing();
        self.house.roster.slow_down(address).await;
    }

    /// A place for a socket, before anything leaves.
    pub(in crate::corridor) fn opening(&self, handshake: Handshake) -> Result<Opening, Refusal> {
        Ok(Opening { handshake, berth: self.house.sockets.take()? })
    }
}
