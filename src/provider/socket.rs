//! How a provider's sockets carry keys, where that differs from its calls: where the real key goes
//! in the handshake, in which subprotocol a client may bring his, and what is spoken where the key
//! comes in a message. Data alone: who speaks it is the corridor's affair.

use super::hosts::lies_under;
use super::placing::listed;
use super::raw::RawSocket;
use super::{BadProvider, Field, Placement, Spot, file::bad};

#[derive(Debug, Default)]
pub(crate) struct SocketWays {
    /// None: where calls have it.
    pub inject: Option<Vec<Placement>>,
    /// A client's key follows this in a subprotocol of the handshake.
    pub subprotocol: Option<String>,
    /// Where no dialect is spoken, nothing but reading can be asked for.
    reads_only: bool,
    dialects: Vec<Spoken>,
}

/// What is spoken under some paths; under all others, where it names none.
#[derive(Debug)]
struct Spoken {
    dialect: Dialect,
    under: Vec<String>,
    reads_only: bool,
    fan_out: bool,
}

/// How a socket is opened whose key comes in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Polygon,
    AlpacaData,
    AlpacaTrading,
    Tiingo,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Json,
    Msgpack,
}

/// What stands in the message that shows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Text(&'static str),
    /// A field of the secret.
    Field(&'static str),
}

impl Codec {
    pub(crate) const ALL: [Self; 2] = [Self::Json, Self::Msgpack];
}

impl Dialect {
    const ALL: [Self; 4] = [Self::Polygon, Self::AlpacaData, Self::AlpacaTrading, Self::Tiingo];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Polygon => "polygon",
            Self::AlpacaData => "alpaca-data",
            Self::AlpacaTrading => "alpaca-trading",
            Self::Tiingo => "tiingo",
        }
    }

    /// The members of the message by which a client shows who it is.
    pub(crate) fn hail(self) -> &'static [(&'static str, Word)] {
        match self {
            Self::Polygon => &[("action", Word::Text("auth")), ("params", Word::Field("api_key"))],
            Self::AlpacaData | Self::AlpacaTrading => &[
                ("action", Word::Text("auth")),
                ("key", Word::Field("key_id")),
                ("secret", Word::Field("secret_key")),
            ],
            Self::Tiingo => &[("authorization", Word::Field("api_key"))],
        }
    }

    /// The member in which a client's key stands in each of its messages, not in the first alone.
    pub(crate) fn repeats(self) -> Option<&'static str> {
        match self {
            Self::Polygon | Self::AlpacaData | Self::AlpacaTrading => None,
            Self::Tiingo => Some("authorization"),
        }
    }

    /// Whether many may share one socket: what is said on it is nobody's own.
    fn can_fan_out(self) -> bool {
        match self {
            Self::Polygon | Self::AlpacaData => true,
            Self::AlpacaTrading | Self::Tiingo => false,
        }
    }
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
        let mut dialects = Vec::with_capacity(raw.dialects.len());
        for (index, entry) in raw.dialects.iter().enumerate() {
            let wrong = |what: String| bad(id, &format!("socket.dialects[{index}]"), what);
            let known = Dialect::ALL.into_iter().find(|known| known.as_str() == entry.speaks);
            let dialect = known.ok_or_else(|| {
                let names = Dialect::ALL.map(Dialect::as_str).join(", ");
                wrong(format!("nobody here speaks `{}`; known are {names}", entry.speaks))
            })?;
            for (_, word) in dialect.hail() {
                if let Word::Field(name) = word
                    && !fields.iter().any(|field| field.name == *name)
                {
                    return Err(wrong(format!("wants the field `{name}`, which is none here")));
                }
            }
            if entry.fan_out && !dialect.can_fan_out() {
                return Err(wrong(String::from("is nobody's but the client's: it cannot fan out")));
            }
            let (under, reads_only) = (entry.under.clone(), entry.reads_only);
            dialects.push(Spoken { dialect, under, reads_only, fan_out: entry.fan_out });
        }
        let (subprotocol, reads_only) = (raw.subprotocol.clone(), raw.reads_only);
        Ok(Self { inject, subprotocol, reads_only, dialects })
    }

    /// What is spoken at this path; None where the key stands in the handshake.
    pub(crate) fn dialect(&self, path: &str) -> Option<Dialect> {
        self.spoken(path).map(|spoken| spoken.dialect)
    }

    /// Whatever is said on a socket at this path, it asks for nothing but reading.
    pub(crate) fn reads_only(&self, path: &str) -> bool {
        self.spoken(path).map_or(self.reads_only, |spoken| spoken.reads_only)
    }

    /// The provider allows one socket at this path, which all clients share.
    pub(crate) fn fans_out(&self, path: &str) -> bool {
        self.spoken(path).is_some_and(|spoken| spoken.fan_out)
    }

    fn spoken(&self, path: &str) -> Option<&Spoken> {
        let fits = |spoken: &&Spoken| {
            spoken.under.is_empty() || spoken.under.iter().any(|under| lies_under(path, under))
        };
        self.dialects.iter().find(fits)
    }

    /// Every message that shows the real key somewhere.
    pub(crate) fn hails(&self) -> impl Iterator<Item = (Dialect, Codec)> {
        let dialects = self.dialects.iter().map(|spoken| spoken.dialect);
        dialects.flat_map(|dialect| Codec::ALL.map(|codec| (dialect, codec)))
    }
}
