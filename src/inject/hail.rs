//! The message by which the real key is shown to a provider whose sockets
//! want it there, written once for each opening. Must never be taken from
//! anything a client said.

use std::sync::Arc;

use super::json::{self, Located};
use super::json_escaped;
use crate::provider::{Codec, Dialect, Pointer, Provider, Word};
use crate::refusal::{Reason, Refusal};
use crate::secret::{KeptBytes, SecretBytes};
use crate::vault::{Fresh, Placed};

/// One such message; its bytes are wiped with the last who holds the opening.
#[derive(Clone)]
pub(crate) struct Hail {
    pub(crate) dialect: Dialect,
    pub(crate) codec: Codec,
    placed: Arc<Placed>,
    at: usize,
}

impl Hail {
    pub(super) fn of(
        provider: &Provider,
        placed: &Arc<Placed>,
        (dialect, codec): (Dialect, Codec),
    ) -> Option<Self> {
        let at = provider.socket.hails().position(|known| known == (dialect, codec))?;
        Some(Self { dialect, codec, placed: Arc::clone(placed), at })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.placed.hails.get(self.at).map(KeptBytes::expose).unwrap_or_default()
    }

    /// What a client said, with the real key where its own stands; unchanged where none does. None
    /// where it is not plain where a key stands, or where each message has none.
    pub(crate) fn in_place_of_another(&self, said: &[u8]) -> Option<SecretBytes> {
        let member = self.dialect.repeats()?;
        let pointer = Pointer::to_member(member);
        let located = json::locate(said, &pointer).ok()?;
        match &located {
            Located::Value(_) => {
                Some(json::filled(said, (&pointer, &located), self.value_of(member)?))
            }
            Located::Absent { .. } => Some(SecretBytes::copy_of(said)),
        }
    }

    /// Of a message in JSON with one member: its value, in its quotes.
    fn value_of(&self, member: &str) -> Option<&[u8]> {
        let rest = self.bytes().strip_prefix(b"{\"")?.strip_prefix(member.as_bytes())?;
        rest.strip_prefix(b"\":")?.strip_suffix(b"}")
    }
}

/// All messages that this provider may be shown.
pub(super) fn all(provider: &Provider, fields: &Fresh) -> Result<Vec<KeptBytes>, Refusal> {
    let one = |(dialect, codec): (Dialect, Codec)| {
        written(dialect, codec, fields).ok_or_else(|| {
            let detail =
                "The stored secret lacks a field that this provider needs; enter it again.";
            Refusal::new(Reason::NoSecret, detail)
        })
    };
    provider.socket.hails().map(one).collect()
}

fn written(dialect: Dialect, codec: Codec, fields: &Fresh) -> Option<KeptBytes> {
    let members = dialect.hail();
    let mut values: Vec<(&str, &[u8])> = Vec::with_capacity(members.len());
    for (name, word) in members {
        let value = match word {
            Word::Text(text) => text.as_bytes(),
            Word::Field(field) => fields.field(field)?,
        };
        values.push((name, value));
    }
    // As much as it can come to: a vector that grows leaves copies behind.
    let most: usize = values.iter().map(|(name, value)| name.len() + 2 * value.len() + 8).sum();
    let mut message = Vec::with_capacity(most + 2);
    match codec {
        Codec::Json => json(&values, &mut message),
        Codec::Msgpack => msgpack(&values, &mut message)?,
    }
    let message = SecretBytes::new(message);
    Some(KeptBytes::copy_of(message.expose()))
}

/// Fields are printable, so quotes and backslashes are all that needs an escape.
fn json(values: &[(&str, &[u8])], message: &mut Vec<u8>) {
    for (index, (name, value)) in values.iter().enumerate() {
        message.push(if index == 0 { b'{' } else { b',' });
        message.push(b'"');
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(b"\":\"");
        value.iter().for_each(|byte| json_escaped(*byte, b"\"\\", message));
        message.push(b'"');
    }
    message.push(b'}');
}

fn msgpack(values: &[(&str, &[u8])], message: &mut Vec<u8>) -> Option<()> {
    message.push(0x80 | u8::try_from(values.len()).ok().filter(|count| *count < 16)?);
    for text in values.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
        match u8::try_from(text.len()) {
            Ok(short @ ..32) => message.push(0xa0 | short),
            Ok(short) => message.extend([0xd9, short]),
            Err(_) => {
                message.push(0xda);
                message.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
            }
        }
        message.extend_from_slice(text);
    }
    Some(())
}
