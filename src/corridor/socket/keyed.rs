//! What a client says where its key stands in every message: each is read whole, and goes on with
//! the real key in the place of the client's. Must never pass a message on in which it is not plain
//! where a key stands.

use bytes::BytesMut;

use super::frames::{self, Malformed, Walker};
use super::parley::{Heard, Parley};
use super::scrubbed::Ready;
use crate::crypto;
use crate::inject::Hail;

pub(super) struct Keyed {
    parley: Parley,
    hail: Hail,
}

impl Keyed {
    pub(super) fn new(hail: Hail) -> Self {
        Self { parley: Parley::with_client(BytesMut::new()), hail }
    }

    pub(super) fn walker(&self) -> &Walker {
        self.parley.walker()
    }

    pub(super) fn is_between(&self) -> bool {
        self.parley.is_between()
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<Ready, Malformed> {
        self.parley.take(bytes);
        let mut out = BytesMut::new();
        while let Some(heard) = self.parley.next().map_err(|_lost| Malformed)? {
            match heard {
                Heard::Message(message) => {
                    let said = self.hail.in_place_of_another(&message.bytes).ok_or(Malformed)?;
                    let opcode = if message.is_text { frames::TEXT } else { frames::BINARY };
                    put(&mut out, opcode, said.expose())?;
                }
                Heard::Ping(payload) => put(&mut out, frames::PING, &payload)?,
                Heard::Pong(payload) => put(&mut out, frames::PONG, &payload)?,
                Heard::Close(payload) => put(&mut out, frames::CLOSE, &payload)?,
            }
        }
        if self.parley.is_full() {
            return Err(Malformed);
        }
        Ok(Ready::Own(out))
    }
}

/// Masked anew: the client's mask belongs to what it wrote.
fn put(out: &mut BytesMut, opcode: u8, payload: &[u8]) -> Result<(), Malformed> {
    let mask = crypto::random_bytes().map_err(|_no_randomness| Malformed)?;
    out.extend_from_slice(&frames::whole(opcode, payload, Some(mask)));
    Ok(())
}
