//! Who calls: a client key with its role, tier and scopes, and the caller it makes. Pure: no
//! I/O, no clock of its own, no serde. The key itself never reaches this file, only its digest
//! does.

mod masked;
mod network;
mod origin;
mod role;
mod route;
mod scope;
mod token;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::clock::Clock;
use crate::quota::Slot;

pub(crate) use self::masked::{holds_key, masked};
pub(crate) use self::network::{BadNetwork, Networks};
pub(crate) use self::origin::fault_of_origin;
pub(crate) use self::role::{Right, Role, Tier};
pub(crate) use self::route::{Route, gathered, put_path};
pub(crate) use self::scope::{BadScope, Narrowed, Scopes};
pub(crate) use self::token::{Token, Wider};

/// One client key as the house knows it. Immutable but for its fate; a change makes a new one.
pub(crate) struct Client {
    pub id: Uuid,
    pub name: String,
    /// Most keys of a house have the same rights as others: one copy in memory for all of them.
    pub rights: Arc<Rights>,
    /// The sooner end where a token has one of its own.
    pub expires_at_ms: Option<i64>,
    pub active: bool,
    pub shows: Shows,
    pub fate: Fate,
    /// What it has used, once the limiter has found that: so nobody looks it up again.
    pub allowance: OnceLock<Arc<Slot>>,
}

/// What the caller shows for himself.
pub(crate) enum Shows {
    Key,
    /// A short-lived token of this client key; boxed, because nearly nobody has one.
    Token(Box<Token>),
    /// Nothing: a page of a listed origin, named by it.
    Page,
}

/// What a client key may do. Whoever was let in under other rights must ask again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

impl Rights {
    fn of_role(role: Role) -> Self {
        Self {
            role,
            tier: Tier::Standard,
            scopes: None,
            allowed_ips: None,
            allowed_origins: None,
            limit: None,
            monthly_quota: None,
            max_concurrent: None,
            secrets: Vec::new(),
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
    /// Nobody's key: the house itself, for one purpose. In no table, so nobody can show it.
    pub(crate) fn house(purpose: &'static str) -> Self {
        Self {
            id: Uuid::nil(),
            name: String::from(purpose),
            rights: Arc::new(Rights::of_role(Role::Guest)),
            expires_at_ms: None,
            active: true,
            shows: Shows::Page,
            fate: Fate::default(),
            allowance: OnceLock::new(),
        }
    }

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

    /// For what was begun in time, and goes on though a token has ended since.
    pub(crate) fn standing_of_a_stream(&self) -> Standing {
        match self.fate.0.load(Ordering::Acquire) {
            0 => Standing::Good,
            Fate::ALTERED => Standing::Altered,
            _ => Standing::Ended,
        }
    }

    /// Does it matter to this caller by which method he calls?
    pub(crate) fn is_narrow(&self) -> bool {
        self.scopes().next().is_some() || !self.rights.role.may(Right::Proxy)
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.shows {
            Shows::Token(token) => Some(token),
            Shows::Key | Shows::Page => None,
        }
    }

    pub(crate) fn is_page(&self) -> bool {
        matches!(self.shows, Shows::Page)
    }

    /// Every list of scopes that must allow a call.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scopes> {
        let of_token = self.token().and_then(|token| token.scopes.as_ref());
        self.rights.scopes.iter().chain(of_token)
    }

    /// Does it matter which page calls?
    pub(crate) fn asks_for_origin(&self) -> bool {
        self.rights.allowed_origins.is_some()
            || self.token().is_some_and(|token| token.origin.is_some())
    }

    /// What its role may do; a token changes nothing, and one that is for certain calls alone sees
    /// nothing else.
    pub(crate) fn may(&self, right: Right) -> bool {
        let by_token = match (self.token(), right) {
            (None, _) | (Some(_), Right::Proxy | Right::ProxyRead) => true,
            (Some(_), Right::Operate | Right::Administer) => false,
            (
                Some(token),
                Right::ReadMetadata
                | Right::ReadUsageTrail
                | Right::ReadTrail
                | Right::VerifyTrail
                | Right::ExplainPolicy,
            ) => token.scopes.is_none(),
        };
        by_token && self.rights.role.may(right)
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
            rights: Arc::new(Rights::of_role(role)),
            expires_at_ms: None,
            active: true,
            shows: Shows::Key,
            fate: Fate::default(),
            allowance: OnceLock::new(),
        }
    }
}
