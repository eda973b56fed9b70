//! The table `client_keys`: who may call, with what rights, and when it was last seen.
//! Must never lose the last active admin through the guarded changes, whatever runs
//! beside them.

use uuid::Uuid;

use super::changes::{self, Changed};
use super::client_key_guard::{ACTIVE_ADMINS, Guard};
use super::client_key_hashes::{self, KeyPreview};
use super::client_key_row::ClientKeyRow;
use super::client_routes;
use super::columns::{Place, optional_signed, pairs_json, signed, texts_json};
use super::dialect::{Tx, changing, reading, row, row_within, within};
use super::{Error, Store, repeated_calls};
use crate::client::{Role, Tier};
use crate::clock;

/// What a batch of calls leaves on their client key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) id: Uuid,
    pub(crate) last_used_at: i64,
    pub(crate) endpoint: String,
    pub(crate) address: String,
    pub(crate) calls: u64,
}

#[derive(Clone, sqlx::FromRow)]
pub(super) struct RawClientKey {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) tier: String,
    pub(super) scopes: Option<String>,
    pub(super) allowed_ips: Option<String>,
    pub(super) allowed_origins: Option<String>,
    description: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) expires_at: Option<i64>,
    pub(super) quota_limit: Option<i64>,
    pub(super) monthly_quota: Option<i64>,
    pub(super) max_concurrent: Option<i64>,
    pub(super) secrets: Option<String>,
    pub(super) active: i64,
    created_at: i64,
    created_by: String,
    updated_at: i64,
    last_used_at: Option<i64>,
    last_used_endpoint: Option<String>,
    last_used_address: Option<String>,
    pub(super) request_count: i64,
}

macro_rules! key_columns {
    () => {
        "k.id, k.name, k.role, k.tier, k.scopes, k.allowed_ips, k.allowed_origins, k.description,
        k.owner, k.expires_at, k.quota_limit, k.monthly_quota, k.max_concurrent, k.secrets,
        k.active, k.created_at, k.created_by, k.updated_at, k.last_used_at, k.last_used_endpoint,
        k.last_used_address, k.request_count"
    };
}

pub(super) use key_columns;

pub(super) const BY_ID: &str =
    concat!("SELECT ", key_columns!(), " FROM client_keys k WHERE k.id = $1");
const INSERT: &str = "INSERT INTO client_keys (id, name, role, tier, scopes, allowed_ips,
    allowed_origins, description, owner, expires_at, quota_limit, monthly_quota, max_concurrent,
    secrets, active, created_at, created_by, updated_at, last_used_at, last_used_endpoint,
    last_used_address, request_count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22)";
const UPDATE: &str = "UPDATE client_keys SET name = $1, role = $2, tier = $3, scopes = $4,
    allowed_ips = $5, allowed_origins = $6, description = $7, owner = $8, expires_at = $9,
    quota_limit = $10, monthly_quota = $11, max_concurrent = $12, secrets = $13, active = $14,
    updated_at = $15,
    expiry_warned = CASE WHEN expires_at IS NOT DISTINCT FROM $9 THEN expiry_warned END
    WHERE id = $16";
/// More calls than anybody makes; sums with it overflow in neither database.
pub(super) const MOST_CALLS: i64 = 1 << 53;
// A count that is none begins anew.
macro_rules! counting {
    ($rest:literal) => {
        concat!(
            "UPDATE client_keys SET request_count = $1 + CASE
            WHEN request_count BETWEEN 0 AND 9007199254740992 THEN request_count ELSE 0 END",
            $rest
        )
    };
}
const TOUCH: &str = counting!(
    ", last_used_at = $2, last_used_endpoint = $3, last_used_address = $4
    WHERE id = $5 AND (last_used_at IS NULL OR last_used_at <= $2)"
);
const TOUCH_LATE: &str = counting!(" WHERE id = $2");
impl RawClientKey {
    /// None where what stands there is no count.
    fn calls(&self) -> Option<u64> {
        u64::try_from(self.request_count).ok().filter(|_| self.request_count <= MOST_CALLS)
    }

    /// Which of the columns that calls leave behind says nothing.
    pub(super) fn lost_track(&self) -> Option<&'static str> {
        match (self.calls(), self.last_used_at) {
            (None, _) => Some("request_count"),
            (Some(_), Some(at)) if !clock::is_in_range(at) => Some("last_used_at"),
            (Some(_), _) => None,
        }
    }
}

impl Store {
    pub(crate) async fn insert_client_key(
        &self,
        key: &ClientKeyRow,
        digest: &[u8; 32],
        preview: Option<&str>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        insert(&mut tx, key).await?;
        let shown = KeyPreview {
            preview: preview.map(str::to_owned),
            created_at: key.created_at,
            valid_until: None,
        };
        client_key_hashes::insert(&mut tx, key.id, digest, &shown).await?;
        self.seal_row(&mut tx, &key.id.to_string()).await?;
        changes::tell(&mut tx, Changed::NewClientKeys).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn client_key(&self, id: Uuid) -> Result<Option<ClientKeyRow>, Error> {
        let query = id.to_string();
        let raw = row!(self, "client_keys", sqlx::query(BY_ID).bind(query))?;
        raw.map(from_raw).transpose()
    }

    /// Changes what an admin sets; what calls leave behind stays. False if there is no such key.
    #[cfg(test)]
    pub(crate) async fn update_client_key(&self, key: &ClientKeyRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let changed = update(&mut tx, key).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The same, but `Error::LastAdmin` instead of a house without an active admin key.
    pub(crate) async fn update_client_key_guarding_last_admin(
        &self,
        key: &ClientKeyRow,
    ) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let guard = Guard::begin(&mut tx, now_ms).await?;
        let id = key.id.to_string();
        guard.refuse_narrowing_last(&mut tx, &id, Some(key)).await?;
        self.demand_fit(&mut tx, &id).await?;
        let was_there = stands(&mut tx, &id).await?.is_some();
        let changed = update(&mut tx, key).await?;
        self.seal_row(&mut tx, &id).await?;
        // A trigger may undo what was set, and say that it was done.
        let stood = stands(&mut tx, &id).await?;
        if was_there && stood.is_none_or(|stands| !says_the_same(&stands, key)) {
            return Err(self.ignored(&id));
        }
        guard.refuse_last(&mut tx).await?;
        if key.expires_at.is_some() {
            guard.refuse_end_of_last(&mut tx).await?;
        }
        changes::tell(&mut tx, Changed::ClientKey(key.id)).await?;
        tx.commit().await?;
        if was_there && !key.active {
            self.demand_ended(&id).await?;
        }
        self.obeyed(&id);
        Ok(changed)
    }

    /// Its digests go with it. False if there is no such key.
    #[cfg(test)]
    pub(crate) async fn delete_client_key(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let deleted = delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// The same, but `Error::LastAdmin` instead of a house without an active admin key.
    pub(crate) async fn delete_client_key_guarding_last_admin(
        &self,
        id: Uuid,
    ) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let guard = Guard::begin(&mut tx, now_ms).await?;
        guard.refuse_narrowing_last(&mut tx, &id.to_string(), None).await?;
        let deleted = delete(&mut tx, id).await?;
        const LEFT: &str = "SELECT COUNT(*) FROM client_keys WHERE id = $1";
        let left: i64 =
            within!(&mut tx, db => sqlx::query_scalar(LEFT).bind(id.to_string()).fetch_one(db))?;
        if left > 0 {
            return Err(self.ignored(&id.to_string()));
        }
        guard.refuse_last(&mut tx).await?;
        changes::tell(&mut tx, Changed::ClientKey(id)).await?;
        tx.commit().await?;
        self.demand_ended(&id.to_string()).await?;
        Ok(deleted)
    }

    /// Once more, behind the commit: a trigger may wait for that.
    pub(super) async fn demand_ended(&self, id: &str) -> Result<(), Error> {
        const GOING: &str = "SELECT COUNT(*) FROM client_keys WHERE id = $1 AND active <> 0";
        let going: i64 = reading!(self, db => sqlx::query_scalar(GOING).bind(id).fetch_one(db))?;
        if going > 0 { Err(self.ignored(id)) } else { Ok(()) }
    }

    /// Active and not expired.
    pub(crate) async fn count_active_admins(&self) -> Result<u64, Error> {
        let now_ms = self.clock.unix_ms();
        let count: i64 =
            reading!(self, db => sqlx::query_scalar(ACTIVE_ADMINS).bind(now_ms).fetch_one(db))?;
        Ok(count.unsigned_abs())
    }
}

/// Adds the calls, and moves "last used" forward only. Keys that are gone are skipped.
pub(super) async fn touch(tx: &mut Tx, touches: &[Touch]) -> Result<(), Error> {
    // In one order everywhere, or two nodes could wait for each other's rows.
    let mut ordered: Vec<&Touch> = touches.iter().collect();
    ordered.sort_by_key(|touch| (touch.id, touch.last_used_at));
    for touch in ordered {
        let id = touch.id.to_string();
        let calls = signed(touch.calls);
        let moved = changing!(
            tx,
            sqlx::query(TOUCH)
                .bind(calls)
                .bind(touch.last_used_at)
                .bind(touch.endpoint.as_str())
                .bind(touch.address.as_str())
                .bind(id.as_str())
        )?;
        if moved == 0 {
            changing!(tx, sqlx::query(TOUCH_LATE).bind(calls).bind(id.as_str()))?;
        }
    }
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx, key: &ClientKeyRow) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(INSERT)
            .bind(key.id.to_string())
            .bind(key.name.as_str())
            .bind(key.role.as_str())
            .bind(key.tier.as_str())
            .bind(texts_json(key.scopes.as_deref()))
            .bind(texts_json(key.allowed_ips.as_deref()))
            .bind(texts_json(key.allowed_origins.as_deref()))
            .bind(key.description.as_deref())
            .bind(key.owner.as_deref())
            .bind(key.expires_at)
            .bind(optional_signed(key.quota_limit))
            .bind(optional_signed(key.monthly_quota))
            .bind(optional_signed(key.max_concurrent))
            .bind(pairs_json(&key.secrets))
            .bind(i64::from(key.active))
            .bind(key.created_at)
            .bind(key.created_by.as_str())
            .bind(key.updated_at)
            .bind(key.last_used_at)
            .bind(key.last_used_endpoint.as_deref())
            .bind(key.last_used_address.as_deref())
            .bind(signed(key.request_count))
    )?;
    Ok(())
}

async fn update(tx: &mut Tx, key: &ClientKeyRow) -> Result<bool, Error> {
    let changed = changing!(
        tx,
        sqlx::query(UPDATE)
            .bind(key.name.as_str())
            .bind(key.role.as_str())
            .bind(key.tier.as_str())
            .bind(texts_json(key.scopes.as_deref()))
            .bind(texts_json(key.allowed_ips.as_deref()))
            .bind(texts_json(key.allowed_origins.as_deref()))
            .bind(key.description.as_deref())
            .bind(key.owner.as_deref())
            .bind(key.expires_at)
            .bind(optional_signed(key.quota_limit))
            .bind(optional_signed(key.monthly_quota))
            .bind(optional_signed(key.max_concurrent))
            .bind(pairs_json(&key.secrets))
            .bind(i64::from(key.active))
            .bind(key.updated_at)
            .bind(key.id.to_string())
    )?;
    Ok(changed > 0)
}

pub(super) async fn stands(tx: &mut Tx, id: &str) -> Result<Option<RawClientKey>, Error> {
    row_within!(tx, "client_keys", sqlx::query(BY_ID).bind(id))
}

/// In all that an admin sets and that decides anything.
fn says_the_same(stands: &RawClientKey, key: &ClientKeyRow) -> bool {
    stands.role == key.role.as_str()
        && stands.tier == key.tier.as_str()
        && stands.scopes == texts_json(key.scopes.as_deref())
        && stands.allowed_ips == texts_json(key.allowed_ips.as_deref())
        && stands.allowed_origins == texts_json(key.allowed_origins.as_deref())
        && stands.expires_at == key.expires_at
        && stands.active == i64::from(key.active)
}

pub(super) async fn delete(tx: &mut Tx, id: Uuid) -> Result<bool, Error> {
    const DELETE: &str = "DELETE FROM client_keys WHERE id = $1";
    client_routes::forget_client(tx, id).await?;
    repeated_calls::forget_client(tx, id).await?;
    Ok(changing!(tx, sqlx::query(DELETE).bind(id.to_string()))? > 0)
}

/// Fails where a column says what the model does not know.
pub(super) fn from_raw(raw: RawClientKey) -> Result<ClientKeyRow, Error> {
    let place = Place { table: "client_keys", row: &raw.id };
    Ok(ClientKeyRow {
        id: place.id("id", &raw.id)?,
        role: place.word("role", &raw.role, Role::parse)?,
        tier: place.word("tier", &raw.tier, Tier::parse)?,
        scopes: place.texts("scopes", raw.scopes.as_deref())?,
        allowed_ips: place.texts("allowed_ips", raw.allowed_ips.as_deref())?,
        allowed_origins: place.texts("allowed_origins", raw.allowed_origins.as_deref())?,
        quota_limit: place.optional_count("quota_limit", raw.quota_limit)?,
        monthly_quota: place.optional_count("monthly_quota", raw.monthly_quota)?,
        max_concurrent: place.optional_count("max_concurrent", raw.max_concurrent)?,
        secrets: place.pairs("secrets", raw.secrets.as_deref())?,
        active: place.flag("active", raw.active)?,
        // What is there for people alone closes no key: `doctor` names it.
        request_count: raw.calls().unwrap_or(0),
        name: raw.name,
        description: raw.description,
        owner: raw.owner,
        expires_at: raw.expires_at,
        created_at: raw.created_at,
        created_by: raw.created_by,
        updated_at: raw.updated_at,
        last_used_at: raw.last_used_at.filter(|at| clock::is_in_range(*at)),
        last_used_endpoint: raw.last_used_endpoint,
        last_used_address: raw.last_used_address,
    })
}
