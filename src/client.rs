//! Who calls: a client key with its role, tier and scopes, and the caller it makes. Pure: no
//! I/O, no clock of its own, no serde. The key itself never reaches this file, only its digest
//! does.

mod role;
mod scope;

use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use crate::clock::Clock;

pub(crate) use self::role::{Right, Role, Tier};
pub(crate) use self::scope::{BadScope, Scopes};

/// One client key as the house knows it. Immutable; a change makes a new one and supersedes this.
pub(crate) struct Client {
    pub id: Uuid,
    pub name: String,
    pub role: Role,
    pub tier: Tier,
    /// None: all that the role allows.
    pub scopes: Option<Scopes>,
    /// Overrides the tier's quota in a window.
    pub limit: Option<u64>,
    pub expires_at_ms: Option<i64>,
    /// Provider id to the name of the secret bound to this key.
    pub secrets: Vec<(String, String)>,
    pub active: bool,
    /// Raised when a newer copy took this one's place; whoever cached it must look again.
    pub superseded: AtomicBool,
}

/// What a client key is at a given moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Revoked,
    Expired,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Client {
    /// The clock is read only where an expiry asks for it.
    pub(crate) fn state(&self, clock: &Clock) -> State {
        if !self.active {
            return State::Revoked;
        }
        match self.expires_at_ms {
            Some(expires_at_ms) if expires_at_ms <= clock.unix_ms() => State::Expired,
            Some(_) | None => State::Active,
        }
    }

    /// The secret that this key uses at a provider, if it is bound to one.
    pub(crate) fn bound_secret(&self, provider: &str) -> Option<&str> {
        let bound = self.secrets.iter().find(|(id, _)| id == provider);
        bound.map(|(_, name)| name.as_str())
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }
}
