//! The guard of the last admin: no change of client keys leaves a house that nobody can administer
//! any more, now or some day, or in part alone: whoever is bound cannot free himself, because
//! nobody grants beyond his own. Must be begun before the change, and in its transaction.

use super::Error;
use super::client_key_row::ClientKeyRow;
use super::client_keys::{BY_ID, RawClientKey, from_raw};
use super::dialect::{Lock, Tx, rows_within, within};
use crate::client::Role;

// A list of networks or origins that holds nobody is as good as no key.
macro_rules! active_admins {
    ($whose:literal) => {
        concat!(
            "SELECT COUNT(*) FROM client_keys WHERE role = 'admin' AND active = 1
            AND COALESCE(allowed_ips, '') <> '[]' AND COALESCE(allowed_origins, '') <> '[]' AND ",
            $whose
        )
    };
}

pub(super) const ACTIVE_ADMINS: &str = active_admins!("(expires_at IS NULL OR expires_at > $1)");
const ENDLESS_ADMINS: &str = active_admins!("expires_at IS NULL");
const OTHER_ABLE: &str = active_admins!("expires_at IS NULL AND scopes IS NULL AND id <> $1");
const OTHER_UNBOUND: &str = active_admins!(
    "expires_at IS NULL AND scopes IS NULL AND allowed_ips IS NULL AND allowed_origins IS NULL
    AND id <> $1"
);

/// What stood before a change that must not leave the house without an admin key.
pub(super) struct Guard {
    now_ms: i64,
    active: i64,
    endless: i64,
}

impl Guard {
    /// Counts while nobody else can change the numbers by a guarded change.
    pub(super) async fn begin(tx: &mut Tx, now_ms: i64) -> Result<Self, Error> {
        tx.serialise(Lock::Admins).await?;
        let (active, endless) = (active_admins(tx, now_ms).await?, endless_admins(tx).await?);
        Ok(Self { now_ms, active, endless })
    }

    /// Before the change, which leaves this of the key: the last that can administer everything is
    /// not made less. Networks and pages may be set, as long as they hold somebody.
    pub(super) async fn refuse_narrowing_last(
        &self,
        tx: &mut Tx,
        id: &str,
        new: Option<&ClientKeyRow>,
    ) -> Result<(), Error> {
        let raw = rows_within!(&mut *tx, "client_keys", sqlx::query(BY_ID).bind(id));
        let raw: Option<RawClientKey> = raw.into_iter().next().and_then(Result::ok);
        // One that cannot be read administers nothing.
        let Some(old) = raw.and_then(|raw| from_raw(raw).ok()).filter(is_able) else {
            return Ok(());
        };
        if new.is_some_and(|new| is_able(new) && grants_as_much(new, &old)) {
            return Ok(());
        }
        // Others that are bound like it stand in for it.
        let is_bound = old.allowed_ips.is_some() || old.allowed_origins.is_some();
        let others = if is_bound { OTHER_ABLE } else { OTHER_UNBOUND };
        let count: i64 = within!(tx, db => sqlx::query_scalar(others).bind(id).fetch_one(db))?;
        if count == 0 { Err(Error::LastAdmin) } else { Ok(()) }
    }

    /// A house that had none before (all expired) is not kept from changing its other keys.
    pub(super) async fn refuse_last(&self, tx: &mut Tx) -> Result<(), Error> {
        if self.active > 0 && active_admins(tx, self.now_ms).await? == 0 {
            return Err(Error::LastAdmin);
        }
        Ok(())
    }

    /// The last admin key that has no end is given none: some day nobody could administer.
    pub(super) async fn refuse_end_of_last(&self, tx: &mut Tx) -> Result<(), Error> {
        if self.endless > 0 && endless_admins(tx).await? == 0 {
            return Err(Error::LastAdmin);
        }
        Ok(())
    }
}

/// Can this key administer everything, from somewhere, for ever?
fn is_able(key: &ClientKeyRow) -> bool {
    let holds_somebody = |list: &Option<Vec<String>>| list.as_ref().is_none_or(|l| !l.is_empty());
    key.role == Role::Admin
        && key.active
        && key.expires_at.is_none()
        && key.scopes.is_none()
        && holds_somebody(&key.allowed_ips)
        && holds_somebody(&key.allowed_origins)
}

/// Nobody grants above his own tier, nor more calls than his own.
fn grants_as_much(new: &ClientKeyRow, old: &ClientKeyRow) -> bool {
    let is_less =
        |new: Option<u64>, old: Option<u64>| new.is_some_and(|new| old.is_none_or(|old| new < old));
    new.tier.rank() >= old.tier.rank()
        && !is_less(new.quota_limit, old.quota_limit)
        && !is_less(new.monthly_quota, old.monthly_quota)
        && !is_less(new.max_concurrent, old.max_concurrent)
}

async fn active_admins(tx: &mut Tx, now_ms: i64) -> Result<i64, Error> {
    Ok(within!(tx, db => sqlx::query_scalar(ACTIVE_ADMINS).bind(now_ms).fetch_one(db))?)
}

async fn endless_admins(tx: &mut Tx) -> Result<i64, Error> {
    Ok(within!(tx, db => sqlx::query_scalar(ENDLESS_ADMINS).fetch_one(db))?)
}
