//! The words of the trail: what kinds of records there are, who acts, how a call ends, and a record
//! as it is read back.
//! Must never hold a body, a query value, a header value or a secret.

use std::net::IpAddr;

use uuid::Uuid;

use crate::refusal::Fault;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A proxied call.
    Usage,
    /// A log-in, a look-up, a refusal.
    Access,
    /// Anything that an operator alters, with before and after.
    Change,
    /// A failed verification, an anomaly.
    Security,
}

/// What sort of somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ActorKind {
    /// A client key.
    Key,
    /// A short-lived token.
    Token,
    Operator,
    /// A browser without a credential, from a listed origin.
    Guest,
    /// Whoever may use the local socket.
    Local,
    /// The house itself; the name is its purpose.
    House,
}

/// Who acts, as the caller of the ledger knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorRef<'a> {
    pub(crate) kind: ActorKind,
    pub(crate) id: Option<Uuid>,
    pub(crate) name: &'a str,
}

/// What is known of a call when it takes its seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin<'a> {
    pub(crate) kind: Kind,
    pub(crate) actor: ActorRef<'a>,
    pub(crate) address: Option<IpAddr>,
    /// Empty where none is concerned.
    pub(crate) provider: &'a str,
    pub(crate) method: &'a str,
    /// Without the query; what does not fit is cut and marked with an ellipsis.
    pub(crate) path: &'a str,
    /// The caller's own or a new one: what the call is answered with unless the provider sends
    /// another.
    pub(crate) request_id: &'a str,
}

/// What a call came to, as far as its answer told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metered<'a> {
    /// Empty where none was named.
    pub(crate) model: &'a str,
    pub(crate) tokens: Option<Tokens>,
    /// In millionths of a dollar; None where nobody knows.
    pub(crate) cost: Option<u64>,
}

/// Fresh input, read from a cache, written to it, written for longer, output: each token once.
pub(crate) type Tokens = [u64; 5];

/// How a call ended, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The whole answer went out.
    Complete,
    /// It was broken off.
    Cut,
    /// The process died first.
    Unknown,
}

/// Who acted, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) kind: ActorKind,
    pub(crate) id: Option<Uuid>,
    pub(crate) name: String,
}

/// A record as it is read back from the trail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRecord {
    pub(crate) node: String,
    /// From 1, without gaps, per node.
    pub(crate) sequence: u64,
    pub(crate) id: Uuid,
    pub(crate) kind: Kind,
    pub(crate) started_at_ms: i64,
    /// On the clock that never goes back, since the node's start.
    pub(crate) started_at_ns: u64,
    pub(crate) actor: Actor,
    pub(crate) address: Option<IpAddr>,
    pub(crate) provider: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// What was answered with; the caller's or the new one where no answer is known.
    pub(crate) request_id: String,
    /// What went upstream; None if nothing did.
    pub(crate) request_id_sent: Option<String>,
    pub(crate) secret_id: Option<Uuid>,
    pub(crate) version: Option<u32>,
    pub(crate) status: Option<u16>,
    pub(crate) error_code: Option<String>,
    pub(crate) fault: Option<Fault>,
    pub(crate) end: End,
    pub(crate) duration_ns: u64,
    pub(crate) upstream_ns: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// How often the call went upstream again.
    pub(crate) retries: u8,
    /// None where nothing was metered.
    pub(crate) meter: Option<StoredMeter>,
    /// How often the real key stood in the answer, and was blanked or ended it.
    pub(crate) scrub_hits: u16,
    /// Before and after, or what was found; never a secret.
    pub(crate) detail: Option<serde_json::Value>,
}

/// What a call came to, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMeter {
    pub(crate) model: String,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) cost: Option<u64>,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Usage, Self::Access, Self::Change, Self::Security];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Access => "access",
            Self::Change => "change",
            Self::Security => "security",
        }
    }

    /// Stable: it stands in every stored record.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Usage => 1,
            Self::Access => 2,
            Self::Change => 3,
            Self::Security => 4,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

impl ActorKind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Key, Self::Token, Self::Operator, Self::Guest, Self::Local, Self::House];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Operator => "operator",
            Self::Guest => "guest",
            Self::Local => "local",
            Self::House => "house",
        }
    }

    /// Stable: it stands in every stored record.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Key => 1,
            Self::Token => 2,
            Self::Operator => 3,
            Self::Guest => 4,
            Self::Local => 5,
            Self::House => 6,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

impl ActorRef<'static> {
    /// The house itself, for the purpose named.
    pub(crate) fn house(purpose: &'static str) -> Self {
        Self { kind: ActorKind::House, id: None, name: purpose }
    }
}

impl End {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Unknown => "unknown",
        }
    }
}

/// For how long an answer was said to hold that was asked for again: whole seconds up to a minute,
/// minutes up to an hour, hours up to a day, then days; rounded down. Stable: it stands in stored
/// records, where 0 is a call that was no repeat.
pub(super) fn lasting_byte(seconds: u32) -> u8 {
    let fits = |byte: &u8| lasting_from_byte(*byte).is_some_and(|lasts| lasts <= seconds);
    (1..=LONGEST).rev().find(fits).unwrap_or(0)
}

/// What nobody wrote here lasts as long as can be said.
pub(super) fn lasting_from_byte(byte: u8) -> Option<u32> {
    let (_, below, unit) = LASTING.into_iter().rev().find(|(first, ..)| byte >= *first)?;
    Some(u32::from(byte.min(LONGEST) - below) * unit)
}

/// The first byte of each unit, what is to be taken from it, and the unit in seconds.
const LASTING: [(u8, u8, u32); 4] =
    [(1, 0, 1), (61, 59, 60), (120, 118, 3_600), (143, 141, 86_400)];
/// Thirty days.
const LONGEST: u8 = 171;

/// Stable: it stands in every stored record; 0 is nobody's fault.
pub(super) fn fault_byte(fault: Option<Fault>) -> u8 {
    match fault {
        None => 0,
        Some(Fault::Client) => 1,
        Some(Fault::Provider) => 2,
        Some(Fault::Us) => 3,
    }
}

pub(super) fn fault_from_byte(byte: u8) -> Option<Fault> {
    [Fault::Client, Fault::Provider, Fault::Us]
        .into_iter()
        .find(|fault| fault_byte(Some(*fault)) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_holds_fits_a_byte_and_is_never_more_than_it_was() {
        assert_eq!((lasting_from_byte(0), lasting_byte(0)), (None, 0));
        let lasts: Vec<u32> = (1..=LONGEST).filter_map(lasting_from_byte).collect();
        assert_eq!(lasts.len(), usize::from(LONGEST));
        assert!(lasts.windows(2).all(|pair| pair[0] < pair[1]), "{lasts:?}");
        for seconds in [1, 5, 60, 120, 300, 900, 3_600, 7_200, 86_400, 7 * 86_400, 30 * 86_400] {
            assert_eq!(lasting_from_byte(lasting_byte(seconds)), Some(seconds));
        }
        for (seconds, wanted) in [(61, 60), (119, 60), (3_700, 3_600), (100_000, 86_400)] {
            assert_eq!(lasting_from_byte(lasting_byte(seconds)), Some(wanted));
        }
        assert_eq!(lasting_from_byte(lasting_byte(u32::MAX)), Some(30 * 86_400));
        assert_eq!(lasting_from_byte(u8::MAX), Some(30 * 86_400));
    }
}
