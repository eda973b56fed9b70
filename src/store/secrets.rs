//! The table `secrets`: one row for each set of a provider's credentials, with its
//! sealed data key. Must never hold a value: values are sealed, in
//! `secret_versions`.

use std::collections::HashMap;

use uuid::Uuid;

use super::archive::Snapshot;
#[cfg(test)]
use super::columns::ABOVE_ALL_IDS;
use super::columns::{Place, pairs_json};
use super::dialect::{Tx, changing, row, rows, rows_within};
use super::lenient::Unread;
use super::secret_versions::{self, RawVersion, VersionRow};
use super::{Error, InventoryRow, Listed, Store, inventories};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretRow {
    pub(crate) id: Uuid,
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) owner: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) active: bool,
    pub(crate) kek_id: Uuid,
    /// The data key's envelope, sealed under the key-encryption key.
    pub(crate) data_key: Vec<u8>,
    pub(crate) fingerprint: String,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) updated_at: i64,
}

/// A secret with its versions, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSecret {
    pub(crate) secret: SecretRow,
    pub(crate) versions: Vec<VersionRow>,
}

/// All rows of a table that is loaded at start. A row that contradicts the model does not keep the
/// house from starting: it is left out, and named for the alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded<T, E = Error> {
    pub(crate) rows: Vec<T>,
    pub(crate) contradictions: Vec<E>,
}

/// A secret of which a row contradicts the model. What it says of itself is checked by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Its id, as the column has it.
    pub(crate) row: String,
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) kek_id: String,
    pub(crate) data_key: Vec<u8>,
    pub(crate) fault: Error,
}

impl Unreadable {
    pub(crate) fn id(&self) -> Option<Uuid> {
        Uuid::try_parse(&self.row).ok()
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { row, provider, name, fault, .. } = self;
        write!(
            f,
            "{fault} It is the secret {name:?} of {provider:?}; what cannot be restored is \
             destroyed with `sealgate secret destroy {row}`, and the provider's key entered again."
        )
    }
}

impl<T, E> Loaded<T, E> {
    pub(super) fn collect(read: impl Iterator<Item = Result<T, E>>) -> Self {
        let mut loaded = Self { rows: Vec::new(), contradictions: Vec::new() };
        for row in read {
            match row {
                Ok(row) => loaded.rows.push(row),
                Err(error) => loaded.contradictions.push(error),
            }
        }
        loaded
    }
}

#[derive(Clone, sqlx::FromRow)]
pub(super) struct RawSecret {
    id: String,
    provider: String,
    name: String,
    category: String,
    owner: Option<String>,
    labels: Option<String>,
    expires_at: Option<i64>,
    active: i64,
    kek_id: String,
    data_key: Vec<u8>,
    fingerprint: String,
    created_at: i64,
    created_by: String,
    updated_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, provider, name, category, owner, labels, expires_at, active, kek_id,
            data_key, fingerprint, created_at, created_by, updated_at FROM secrets ",
            $rest
        )
    };
}

pub(super) use select;

macro_rules! select_versions {
    ($rest:literal) => {
        concat!(
            "SELECT secret_id, version, state, envelope, destinations, created_at, created_by,
            last_used_at FROM secret_versions ",
            $rest,
            " ORDER BY secret_id, version"
        )
    };
}

const INSERT: &str = "INSERT INTO secrets (id, provider, name, category, owner, labels, expires_at,
    active, kek_id, data_key, fingerprint, created_at, created_by, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const UPDATE: &str = "UPDATE secrets SET name = $1, owner = $2, labels = $3, expires_at = $4,
    active = $5, updated_at = $6 WHERE id = $7";
const WIPE: &str = "UPDATE secrets SET data_key = $1 WHERE id = $2";
const DELETE: &str = "DELETE FROM secrets WHERE id = $1 OR CAST(id AS TEXT) = $1";

impl Store {
    /// The secret and its first version; also counts the wrap of its data key.
    /// `Error::Duplicate` if the provider has a secret of this name, `Error::Stale` if the key or
    /// the inventory are not the present ones any more.
    pub(crate) async fn insert_secret(
        &self,
        secret: &SecretRow,
        version: &VersionRow,
        inventory: Option<&InventoryRow>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        noted(&mut tx, inventory).await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(secret.id.to_string())
                .bind(secret.provider.as_str())
                .bind(secret.name.as_str())
                .bind(secret.category.as_str())
                .bind(secret.owner.as_deref())
                .bind(pairs_json(&secret.labels))
                .bind(secret.expires_at)
                .bind(i64::from(secret.active))
                .bind(secret.kek_id.to_string())
                .bind(secret.data_key.as_slice())
                .bind(secret.fingerprint.as_str())
                .bind(secret.created_at)
                .bind(secret.created_by.as_str())
                .bind(secret.updated_at)
        )?;
        secret_versions::insert(&mut tx, version).await?;
        let wrapped = self.count_wrap_in(&mut tx, secret.kek_id).await?;
        self.commit_counted(tx, wrapped).await
    }

    pub(crate) async fn secret(&self, id: Uuid) -> Result<Option<StoredSecret>, Error> {
        const BY_ID: &str = select!("WHERE id = $1");
        let id = id.to_string();
        let raw = row!(self, "secrets", sqlx::query(BY_ID).bind(id.as_str()))?;
        self.with_its_versions(raw).await
    }

    pub(crate) async fn secret_by_name(
        &self,
        provider: &str,
        name: &str,
    ) -> Result<Option<StoredSecret>, Error> {
        const BY_NAME: &str = select!("WHERE provider = $1 AND name = $2");
        let raw = row!(self, "secrets", sqlx::query(BY_NAME).bind(provider).bind(name))?;
        self.with_its_versions(raw).await
    }

    /// Oldest first. A secret of which one row contradicts the model is left out as a whole.
    pub(crate) async fn secrets(&self) -> Result<Loaded<StoredSecret, Box<Unreadable>>, Error> {
        const ALL: &str = select!("ORDER BY id");
        const VERSIONS: &str = select_versions!("");
        let raw = rows!(self, "secrets", sqlx::query(ALL));
        let versions = rows!(self, "secret_versions", sqlx::query(VERSIONS));
        Ok(Loaded::collect(join(raw, versions)))
    }

    /// The same, and every category's list, as they stand at one moment: a change writes both in
    /// one transaction, so whatever differs was not Sealgate's.
    pub(crate) async fn secrets_and_lists(
        &self,
    ) -> Result<(Loaded<StoredSecret, Box<Unreadable>>, Vec<Listed>), Error> {
        const ALL: &str = select!("ORDER BY id");
        const VERSIONS: &str = select_versions!("");
        let Snapshot(mut tx) = self.snapshot().await?;
        let raw = rows_within!(&mut tx, "secrets", sqlx::query(ALL));
        let versions = rows_within!(&mut tx, "secret_versions", sqlx::query(VERSIONS));
        let lists = inventories::all(&mut tx).await?;
        Ok((Loaded::collect(join(raw, versions)), lists))
    }

    /// Newest first. The next page comes after the last id of this one.
    #[cfg(test)]
    pub(crate) async fn secrets_page(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<StoredSecret>, Error> {
        const PAGE: &str = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
        const VERSIONS: &str = select_versions!(
            "WHERE secret_id IN (SELECT id FROM secrets WHERE id < $1 ORDER BY id DESC LIMIT $2)"
        );
        let below = after.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let below = below.as_str();
        let limit = i64::from(limit);
        let raw = rows!(self, "secrets", sqlx::query(PAGE).bind(below).bind(limit));
        let versions =
            rows!(self, "secret_versions", sqlx::query(VERSIONS).bind(below).bind(limit));
        join(raw, versions).map(|read| read.map_err(|unread| unread.fault)).collect()
    }

    /// Changes name, owner, labels, expiry and `active`; provider, category and key material are
    /// bound to the sealed values and stay. False if there is no such secret.
    pub(crate) async fn update_secret(
        &self,
        secret: &SecretRow,
        inventory: Option<&InventoryRow>,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        noted(&mut tx, inventory).await?;
        let changed = changing!(
            &mut tx,
            sqlx::query(UPDATE)
                .bind(secret.name.as_str())
                .bind(secret.owner.as_deref())
                .bind(pairs_json(&secret.labels))
                .bind(secret.expires_at)
                .bind(i64::from(secret.active))
                .bind(secret.updated_at)
                .bind(secret.id.to_string())
        )?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Overwrites every envelope and the data key, then deletes the rows, all in one transaction.
    /// False if there is no such secret. By the id as its column has it: it need not be legible.
    pub(crate) async fn destroy_secret(
        &self,
        id: impl std::fmt::Display,
        inventory: Option<&InventoryRow>,
    ) -> Result<bool, Error> {
        let id = id.to_string();
        let mut tx = self.begin().await?;
        noted(&mut tx, inventory).await?;
        secret_versions::destroy_all(&mut tx, &id).await?;
        changing!(&mut tx, sqlx::query(WIPE).bind([0_u8; 0].as_slice()).bind(id.as_str()))?;
        let deleted = changing!(&mut tx, sqlx::query(DELETE).bind(id.as_str()))?;
        tx.commit().await?;
        self.forget_journal().await;
        Ok(deleted > 0)
    }

    async fn with_its_versions(
        &self,
        raw: Option<RawSecret>,
    ) -> Result<Option<StoredSecret>, Error> {
        const VERSIONS: &str = select_versions!("WHERE secret_id = $1");
        let Some(raw) = raw else { return Ok(None) };
        let id = raw.id.as_str();
        let versions = rows!(self, "secret_versions", sqlx::query(VERSIONS).bind(id));
        join(vec![Ok(raw)], versions).next().transpose().map_err(|unread| unread.fault)
    }
}

/// The category's list in its next epoch, as part of the change; None where a test keeps none.
pub(super) async fn noted(tx: &mut Tx, inventory: Option<&InventoryRow>) -> Result<(), Error> {
    match inventory {
        Some(next) => inventories::put(tx, next).await,
        None => Ok(()),
    }
}

/// Each secret with its versions. Versions of a secret that is not among them are left aside: it
/// was deleted between the two statements.
fn join(
    secrets: Vec<Result<RawSecret, Unread>>,
    versions: Vec<Result<RawVersion, Unread>>,
) -> impl Iterator<Item = Result<StoredSecret, Box<Unreadable>>> {
    let mut by_secret: HashMap<String, Vec<Result<RawVersion, Error>>> = HashMap::new();
    for version in versions {
        let of = version.as_ref().map_or_else(|unread| unread.text(0), |raw| raw.secret_id.clone());
        by_secret.entry(of).or_default().push(version.map_err(Error::from));
    }
    secrets.into_iter().map(move |read| {
        let raw = read.map_err(unread_secret)?;
        let versions = by_secret.remove(&raw.id).unwrap_or_default();
        let versions = versions
            .into_iter()
            .map(|raw| raw.and_then(secret_versions::from_raw))
            .collect::<Result<_, _>>();
        let unread = |fault| {
            Box::new(Unreadable {
                row: raw.id.clone(),
                provider: raw.provider.clone(),
                name: raw.name.clone(),
                kek_id: raw.kek_id.clone(),
                data_key: raw.data_key.clone(),
                fault,
            })
        };
        let versions = versions.map_err(unread)?;
        Ok(StoredSecret { secret: from_raw(raw.clone()).map_err(unread)?, versions })
    })
}

/// By the places that the statements give the columns.
fn unread_secret(unread: Unread) -> Box<Unreadable> {
    Box::new(Unreadable {
        row: unread.text(0),
        provider: unread.text(1),
        name: unread.text(2),
        kek_id: unread.text(8),
        data_key: unread.bytes(9),
        fault: unread.fault,
    })
}

pub(super) fn from_raw(raw: RawSecret) -> Result<SecretRow, Error> {
    let place = Place { table: "secrets", row: &raw.id };
    Ok(SecretRow {
        id: place.id("id", &raw.id)?,
        labels: place.pairs("labels", raw.labels.as_deref())?,
        active: place.flag("active", raw.active)?,
        kek_id: place.id("kek_id", &raw.kek_id)?,
        provider: raw.provider,
        name: raw.name,
        category: raw.category,
        owner: raw.owner,
        expires_at: raw.expires_at,
        data_key: raw.data_key,
        fingerprint: raw.fingerprint,
        created_at: raw.created_at,
        created_by: raw.created_by,
        updated_at: raw.updated_at,
    })
}
