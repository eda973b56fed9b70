//! Who calls: a client key with its role, tier and scopes, and the caller it makes. Pure: no
//! I/O, no clock of its own, no serde. The key itself never reaches this file, only its digest
//! does.

mod network;
mod origin;
mod role;
mod scope;

use std::sync::atomic::{AtomicU8, Ordering};

use uuid::Uuid;

use crate::clock::Clock;

pub(crate) use self::network::{BadNetwork, Networks};
pub(crate) use self::origin::fault_of_origin;
pub(crate) use self::role::{Right, Role, Tier};
pub(crate) use self::scope::{BadScope, Scopes};

/// One client key as the house knows it. Immutable but for its fate; a change makes a new one.
pub(crate) struct Client {
    pub id: Uuid,
    pub name: String,
    pub rights: Rights,
    pub expires_at_ms: Option<i64>,
    pub active: bool,
    /// Nobody's key: a page of a listed origin, named by it.
    pub is_page: bool,
    pub fate: Fate,
}

/// What a client key may do. Whoever was let in under other rights must ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub role: Role,
    pub tier: Tier,
    /// None: all that the role allows.
    pub scopes: Option<Scopes>,
    /// None: from anywhere.
    pub allowed_ips: Option<Networks>,
    /// None: pages of any origin, and callers that are no page.
    pub allowed_origins: Option<Vec<String>>,
    /// Overrides the tier's quota in a window.
    pub limit: Option<u64>,
    pub monthly_quota: Option<u64>,
    pub max_concurrent: Option<u64>,
    /// Provider id to the name of the secret bound to this key.
    pub secrets: Vec<(String, String)>,
}

/// What became of a client key after somebody was handed it. Only ever gets worse.
#[derive(Default)]
pub(crate) struct Fate(AtomicU8);

/// What a client key is at a given moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Revoked,
    Expired,
}

/// May somebody who was handed a client key go on with it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Its rights are others now: what has not left yet must be asked for again.
    Altered,
    /// Revoked, deleted or expired: what is under way ends.
    Ended,
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

impl Fate {
    const ALTERED: u8 = 1;
    const ENDED: u8 = 2;

    pub(crate) fn alter(&self) {
        self.0.fetch_max(Self::ALTERED, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        self.0.fetch_max(Self::ENDED, Ordering::AcqRel);
    }

    /// One load: asked for every piece of an answer.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) >= Self::ENDED
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

    /// For whoever holds on to it after the look at the table.
    pub(crate) fn standing(&self, clock: &Clock) -> Standing {
        match self.fate.0.load(Ordering::Acquire) {
            0 if self.state(clock) == State::Active => Standing::Good,
            Fate::ALTERED => Standing::Altered,
            _ => Standing::Ended,
        }
    }

    /// The secret that this key uses at a provider, if it is bound to one.
    pub(crate) fn bound_secret(&self, provider: &str) -> Option<&str> {
        let bound = self.rights.secrets.iter().find(|(id, _)| id == provider);
        bound.map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
impl Client {
    pub(crate) fn of_role(role: Role) -> Self {
        Self {
            id: Uuid::nil(),
            name: String::from("test"),
            rights: Rights {
                role,
                tier: Tier::Standard,
                scopes: None,
                allowed_ips: None,
                allowed_origins: None,
                limit: None,
                monthly_quota: None,
                max_concurrent: None,
                secrets: Vec::new(),
            },
            expires_at_ms: None,
            active: true,
            is_page: false,
            fate: Fate::default(),
        }
    }
}
