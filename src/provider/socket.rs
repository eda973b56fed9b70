//! How a provider's sockets carry keys, where that differs from its calls: where the real key goes
//! in the handshake, and in which subprotocol a client may bring his. Data alone: what is spoken on
//! a socket is the corridor's affair.

use super::placing::listed;
use super::raw::RawSocket;
use super::{BadProvider, Field, Placement, Spot, file::bad};

#[derive(Debug, Default)]
pub(crate) struct SocketWays {
    /// None: where calls have it.
    pub inject: Option<Vec<Placement>>,
    /// A client's key follows this in a subprotocol of the handshake.
    pub subprotocol: Option<String>,
}

impl SocketWays {
    pub(super) fn of(id: &str, raw: &RawSocket, fields: &[Field]) -> Result<Self, BadProvider> {
        let inject = raw.inject.as_deref();
        let inject =
            inject.map(|given| listed(id, ("socket.inject", given), fields)).transpose()?;
        let is_body = |placement: &Placement| matches!(placement.spot, Spot::Json { .. });
        if inject.iter().flatten().any(is_body) {
            return Err(bad(id, "socket.inject", "a handshake has no body to put a key into"));
        }
        let is_token = |text: &&String| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
        };
        if raw.subprotocol.as_ref().is_some_and(|text| !is_token(&text)) {
            return Err(bad(id, "socket.subprotocol", "is no beginning of a subprotocol's name"));
        }
        Ok(Self { inject, subprotocol: raw.subprotocol.clone() })
    }
}
