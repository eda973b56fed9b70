//! A JSON body in which a provider's key stands: read whole, because the key's place must be known
//! before the first byte leaves, and wiped when it has gone out. Must never change a byte outside
//! the member that is filled.

use bytes::Bytes;

use super::json::{self, Located};
use crate::provider::Pointer;
use crate::refusal::Refusal;
use crate::secret::SecretBytes;

/// What longer ones are refused beyond.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

pub(crate) struct Document {
    text: SecretBytes,
}

impl Document {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        Self { text: SecretBytes::new(text) }
    }

    pub(crate) fn len(&self) -> usize {
        self.text.expose().len()
    }

    /// What the client wrote there, where it is a string. A body that is not one plain JSON object
    /// is refused.
    pub(crate) fn member(&self, pointer: &Pointer) -> Result<Option<Vec<u8>>, Refusal> {
        let text = self.text.expose();
        match json::locate(text, pointer).map_err(refused)? {
            Located::Value(range) => Ok(text.get(range).and_then(json::string)),
            Located::Absent { .. } => Ok(None),
        }
    }

    /// `value` is written in JSON already.
    pub(super) fn with_member(self, pointer: &Pointer, value: &[u8]) -> Result<Self, Refusal> {
        let located = json::locate(self.text.expose(), pointer).map_err(refused)?;
        Ok(Self { text: json::filled(self.text.expose(), (pointer, &located), value) })
    }

    /// Wiped when the last of it has been sent.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.text.into_zeroizing())
    }
}

fn refused(fault: json::JsonFault) -> Refusal {
    Refusal::bad_request(fault.to_string())
}
