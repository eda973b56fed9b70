//! The table `renewals`: how far the house is with a key that it gets by itself, and which key at
//! the provider is its own. Shared by all nodes: one at a time claims a row, and of two changes
//! one is late. What a row says is sealed by a key of the vault's, because keys are deleted by it.
//! Must never hold a value, and never be believed where it does not fit its seal.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, row, rows};
use super::leases::SKEW_MS;
use super::lenient::Unread;
use super::{Error, RowKey, Store};
use crate::crypto::{hmac_sha256, label};
use crate::secret::{self, Key};

/// Where a renewal stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RenewalState {
    /// None is under way.
    #[default]
    Idle,
    /// The rotator is about to be asked, or was, and nobody knows what it said.
    Making,
    /// There is a key, and it is on its way into the vault.
    Storing,
    /// Its rotation is under way, or the former version is still to be destroyed.
    Moving,
    /// The former key is to be given back to its provider.
    Retiring,
    /// The new key is to be given back.
    Undoing,
}

/// What came of the last renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RenewalResult {
    Done,
    /// The new key is in use; the former one was nobody's of ours to delete.
    FormerLeft,
    RolledBack,
    Failed,
    /// The settings do not name it any more.
    PolicyGone,
}

/// A key at the provider that a renewal has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnKey {
    /// The renewal that made it.
    #[serde(with = "as_text")]
    pub(crate) run: Uuid,
    /// As the provider names it.
    pub(crate) handle: Option<String>,
    /// The version that it is stored as.
    pub(crate) version: u32,
    /// By whom it was made, and where; empty and none where an older row does not say.
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) place: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenewalRow {
    #[serde(skip)]
    pub(crate) secret_id: Uuid,
    /// Of the row; each change adds one.
    #[serde(skip)]
    pub(crate) revision: i64,
    pub(crate) state: RenewalState,
    /// Since when somebody wants it renewed.
    pub(crate) noted_at: i64,
    /// This renewal's, or the last one's.
    #[serde(with = "as_text")]
    pub(crate) run: Uuid,
    /// Of the secret, for when it is gone.
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Where keys of this kind are made, if there are several such places.
    #[serde(default)]
    pub(crate) place: Option<String>,
    pub(crate) cause: String,
    pub(crate) actor: String,
    pub(crate) started_at: Option<i64>,
    pub(crate) from_version: u32,
    pub(crate) to_version: Option<u32>,
    /// As the provider names the key that was made.
    pub(crate) handle: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) result: Option<RenewalResult>,
    pub(crate) ended_at: Option<i64>,
    /// Tries that failed since the last one that did not.
    pub(crate) tries: u32,
    /// Not before this.
    pub(crate) next_at: Option<i64>,
    pub(crate) fault: Option<String>,
    /// The key that is in use, where a renewal has made it.
    pub(crate) own: Option<OwnKey>,
}

mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Uuid, D::Error> {
        Uuid::try_parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl RenewalState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Making => "making",
            Self::Storing => "storing",
            Self::Moving => "moving",
            Self::Retiring => "retiring",
            Self::Undoing => "undoing",
        }
    }
}

impl RenewalResult {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::FormerLeft => "former_left",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::PolicyGone => "policy_gone",
        }
    }
}

impl RenewalRow {
    pub(crate) fn is_open(&self) -> bool {
        self.state != RenewalState::Idle
    }

    /// The key that this renewal has made.
    pub(crate) fn made(&self) -> OwnKey {
        OwnKey {
            run: self.run,
            handle: self.handle.clone(),
            version: self.to_version.unwrap_or(0),
            kind: self.kind.clone(),
            place: self.place.clone(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct RawRenewal {
    secret_id: String,
    revision: i64,
    body: String,
    seal: Vec<u8>,
}

const ALL: &str = "SELECT secret_id, revision, body, seal FROM renewals ORDER BY secret_id";
const ONE: &str = "SELECT secret_id, revision, body, seal FROM renewals WHERE secret_id = $1";
const INSERT: &str = "INSERT INTO renewals (secret_id, revision, body, seal)
    VALUES ($1, $2, $3, $4) ON CONFLICT (secret_id) DO NOTHING";
const UPDATE: &str = "UPDATE renewals SET revision = $2, body = $3, seal = $4
    WHERE secret_id = $1 AND revision = $5";
const FORGET: &str = "DELETE FROM renewals WHERE secret_id = $1";
const CLAIM: &str = "UPDATE renewals SET claimed_by = $2, claimed_until = $3
    WHERE secret_id = $1
        AND (claimed_by IS NULL OR claimed_until IS NULL OR claimed_until < $4
            OR claimed_until > $5)";
const RELEASE: &str = "UPDATE renewals SET claimed_by = NULL, claimed_until = NULL
    WHERE secret_id = $1 AND claimed_by = $2";
const RELEASE_ALL: &str = "UPDATE renewals SET claimed_by = NULL, claimed_until = NULL
    WHERE claimed_by = $1";

/// A row, or the secret whose row is not as it was left; what stands as its id, where that is none.
pub(crate) type ReadRenewal = Result<RenewalRow, String>;

impl Store {
    /// None while the vault is sealed: nothing can be believed.
    pub(crate) async fn renewals(&self) -> Result<Option<Vec<ReadRenewal>>, Error> {
        let RowKey::Here(key) = &*self.row_key() else { return Ok(None) };
        let raw: Vec<Result<RawRenewal, Unread>> = rows!(self, "renewals", sqlx::query(ALL));
        let read = |raw: Result<RawRenewal, Unread>| match raw {
            Ok(raw) => of_raw(key, &raw).ok_or(raw.secret_id),
            Err(unread) => Err(unread.text(0)),
        };
        Ok(Some(raw.into_iter().map(read).collect()))
    }

    pub(crate) async fn renewal(&self, secret: Uuid) -> Result<Option<RenewalRow>, Error> {
        let RowKey::Here(key) = &*self.row_key() else { return Ok(None) };
        let raw: Result<Option<RawRenewal>, Error> =
            row!(self, "renewals", sqlx::query(ONE).bind(secret.to_string()));
        match raw {
            Ok(raw) => Ok(raw.and_then(|raw| of_raw(key, &raw))),
            Err(Error::Contradiction { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What it is now, if nobody has changed it meanwhile. A new row has no revision yet.
    pub(crate) async fn put_renewal(&self, row: &RenewalRow) -> Result<Option<RenewalRow>, Error> {
        let next = RenewalRow { revision: row.revision.saturating_add(1), ..row.clone() };
        let Some((body, seal)) = self.sealed(&next) else { return Ok(None) };
        let id = row.secret_id.to_string();
        let mut tx = self.begin().await?;
        let changed = match row.revision {
            0 => changing!(
                &mut tx,
                sqlx::query(INSERT)
                    .bind(id.as_str())
                    .bind(next.revision)
                    .bind(body.as_str())
                    .bind(seal.as_slice())
            )?,
            former => changing!(
                &mut tx,
                sqlx::query(UPDATE)
                    .bind(id.as_str())
                    .bind(next.revision)
                    .bind(body.as_str())
                    .bind(seal.as_slice())
                    .bind(former)
            )?,
        };
        tx.commit().await?;
        Ok((changed > 0).then_some(next))
    }

    /// By what stands as its id.
    pub(crate) async fn forget_renewal(&self, id: &str) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let gone = changing!(&mut tx, sqlx::query(FORGET).bind(id))?;
        tx.commit().await?;
        Ok(gone > 0)
    }

    /// True for the one who may go on with it.
    pub(crate) async fn claim_renewal(
        &self,
        secret: Uuid,
        node: &str,
        (now_ms, until_ms): (i64, i64),
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let claimed = changing!(
            &mut tx,
            sqlx::query(CLAIM)
                .bind(secret.to_string())
                .bind(node)
                .bind(until_ms)
                .bind(now_ms)
                .bind(until_ms.saturating_add(SKEW_MS))
        )?;
        tx.commit().await?;
        Ok(claimed > 0)
    }

    pub(crate) async fn release_renewal(&self, secret: Uuid, node: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(RELEASE).bind(secret.to_string()).bind(node))?;
        Ok(tx.commit().await?)
    }

    /// Whoever had them under this name is gone: one process at a time has it.
    pub(crate) async fn release_renewals_of(&self, node: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(RELEASE_ALL).bind(node))?;
        Ok(tx.commit().await?)
    }

    fn sealed(&self, row: &RenewalRow) -> Option<(String, [u8; 32])> {
        let RowKey::Here(key) = &*self.row_key() else { return None };
        let body = serde_json::to_string(row).ok()?;
        let seal = seal_of(key, (&row.secret_id.to_string(), row.revision), &body);
        Some((body, seal))
    }
}

fn seal_of(key: &Key, (id, revision): (&str, i64), body: &str) -> [u8; 32] {
    let key = Key::copy_of(&hmac_sha256(key, &[label::RENEWAL_ROW]));
    // The id has one length, and so has the number.
    hmac_sha256(&key, &[id.as_bytes(), &revision.to_be_bytes(), body.as_bytes()])
}

fn of_raw(key: &Key, raw: &RawRenewal) -> Option<RenewalRow> {
    let place = Place { table: "renewals", row: &raw.secret_id };
    let secret_id = place.id("secret_id", &raw.secret_id).ok()?;
    let seal = seal_of(key, (&raw.secret_id, raw.revision), &raw.body);
    if !secret::same(&seal, &raw.seal) {
        return None;
    }
    let row: RenewalRow = serde_json::from_str(&raw.body).ok()?;
    Some(RenewalRow { secret_id, revision: raw.revision, ..row })
}
