//! The seal of a client key: a keyed hash over what was set of it and over its digests, so that a
//! row that somebody has edited does not fit. The key comes from the vault and goes with it;
//! without it, nothing is sealed and nothing is judged. Must never seal anew what did not fit
//! before, unless an administrator says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use uuid::Uuid;

use super::client_key_row::ClientKeyRow;
use super::client_key_standing::{RowFault, unread};
use super::client_keys::{RawClientKey, from_raw, key_columns};
use super::columns::Place;
use super::dialect::{Tx, changing, rows, rows_within};
use super::lenient::Unread;
use super::{Error, InventoryRow, Store, inventories};
use crate::crypto::{Aad, hmac_sha256, label};
use crate::secret::{self, Key};

/// By what seals are judged.
#[derive(Default)]
pub(crate) enum RowKey {
    /// The vault is sealed: nothing can be judged, and everything is as without seals.
    #[default]
    Absent,
    Here(Key),
    /// There was a key, and it is lost: nothing fits.
    Lost,
}

/// Shared by all who hold the store.
#[derive(Clone, Default)]
pub(super) struct Seals(Arc<RwLock<Arc<RowKey>>>, Stopped);

/// Client keys that were to end, while the database ignored it.
type Stopped = Arc<Mutex<BTreeSet<String>>>;

/// One digest of a client key, beside everything else of it.
#[derive(sqlx::FromRow)]
pub(super) struct RawPart {
    #[sqlx(flatten)]
    pub(super) key: RawClientKey,
    seal: Option<Vec<u8>>,
    key_hash: Option<Vec<u8>>,
    valid_until: Option<i64>,
}

macro_rules! parts {
    ($which:literal) => {
        concat!(
            "SELECT ",
            key_columns!(),
            ", k.seal, h.key_hash, h.valid_until FROM client_keys k
            LEFT JOIN client_key_hashes h ON h.client_key_id = k.id WHERE k.id ",
            $which
        )
    };
}

pub(super) use parts;

// One statement, so that row, digests and seal are of one moment.
const BY_ID: &str = parts!("= $1");
const BY_DIGEST: &str =
    parts!("= (SELECT client_key_id FROM client_key_hashes WHERE key_hash = $1)");
const SEAL: &str = "UPDATE client_keys SET seal = $1 WHERE id = $2";
const IDS: &str = "SELECT id FROM client_keys ORDER BY id";

const UNFIT: &str = "somebody has edited it, or the digests beside it; look at the client key, then \
                     `sealgate client accept` it as it stands, or delete it";
const UNREADABLE: &str = "`sealgate client delete` it and make another, or restore a backup";
const IGNORED: &str = "the database ignored the change, by a trigger perhaps; this node refuses the client key \
                       until a change of it stands; `sealgate doctor` names triggers: drop them, \
                       then say it again";
const TRACK: &str = "the key itself passes; set the column to 0 (request_count) or NULL \
                     (last_used_at)";
const LOST: &str =
    "it cannot be judged, because the key of the seals is lost; `sealgate doctor` says why";

impl Store {
    /// From now on seals are made and judged by this key, or by none.
    pub(crate) fn seal_rows_by(&self, key: RowKey) {
        *self.seals.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    pub(super) fn row_key(&self) -> Arc<RowKey> {
        Arc::clone(&self.seals.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that a digest proves, and until when this digest does. `Error::Contradiction` if it
    /// does not fit its seal.
    pub(crate) async fn client_key_by_digest(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<(ClientKeyRow, Option<i64>)>, Error> {
        let query = digest.as_slice();
        let parts = legible(rows!(self, "client_keys", sqlx::query(BY_DIGEST).bind(query)))?;
        judge(&self.row_key(), &parts)?;
        self.demand_going(&parts)?;
        if let Some((id, column)) = lost_track(&parts) {
            tracing::warn!(id, column, "what calls leave behind on a client key is lost");
        }
        let mut parts = parts.into_iter();
        let found = parts.find(|part| part.key_hash.as_deref() == Some(query));
        found.map(|part| Ok((from_raw(part.key)?, part.valid_until))).transpose()
    }

    /// The same, by its id.
    pub(crate) async fn fitting_client_key(&self, id: Uuid) -> Result<Option<ClientKeyRow>, Error> {
        let query = id.to_string();
        let parts = legible(rows!(self, "client_keys", sqlx::query(BY_ID).bind(query)))?;
        judge(&self.row_key(), &parts)?;
        self.demand_going(&parts)?;
        parts.into_iter().next().map(|part| from_raw(part.key)).transpose()
    }

    /// Seals a client key as it stands, whatever it is. False if there is none.
    pub(crate) async fn accept_client_key(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let is_there = self.seal_row(&mut tx, &id.to_string()).await?;
        tx.commit().await?;
        Ok(is_there)
    }

    /// The list whose presence says that client keys are sealed; and, the first time, each as it
    /// stands by this key, in one transaction. `Error::Stale` if another node was faster.
    pub(crate) async fn begin_client_key_seals(
        &self,
        as_they_stand: Option<&Key>,
        list: &InventoryRow,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        inventories::begin(&mut tx, list).await?;
        let wrapped = self.count_list_in(&mut tx, list.kek_id).await?;
        if let Some(key) = as_they_stand {
            let ids: Vec<Result<(String,), Unread>> =
                rows_within!(&mut tx, "client_keys", sqlx::query(IDS));
            for (id,) in ids.into_iter().flatten() {
                match seal(&mut tx, key, &id).await {
                    // It is none, and is named as that.
                    Ok(_) | Err(Error::Contradiction { .. }) => {}
                    Err(fault) => return Err(fault),
                }
            }
        }
        self.commit_counted(tx, wrapped).await
    }

    /// A line for each client key that does not fit, by this key.
    pub(crate) async fn unfit_client_keys(&self, key: &RowKey) -> Result<Vec<String>, Error> {
        let ids: Vec<Result<(String,), Unread>> = rows!(self, "client_keys", sqlx::query(IDS));
        let mut lines = Vec::new();
        for id in ids {
            let id = match id {
                Ok((id,)) => id,
                Err(unread) => {
                    lines.push(unread.fault.to_string());
                    continue;
                }
            };
            let parts = rows!(self, "client_keys", sqlx::query(BY_ID).bind(id.as_str()));
            let parts = match legible(parts) {
                Ok(parts) => parts,
                Err(fault) => {
                    lines.push(format!("{fault} Or `sealgate client delete` it."));
                    continue;
                }
            };
            if let Err(fault) = judge(key, &parts) {
                lines.push(fault.to_string());
            } else if let Some((id, column)) = lost_track(&parts) {
                lines.push(
                    Place { table: "client_keys", row: id }
                        .contradiction(
                            "seal",
                            format!(
                                "its column {column} says nothing, and is read as nothing; {TRACK}"
                            ),
                        )
                        .to_string(),
                );
            }
        }
        Ok(lines)
    }

    /// The database was told to change or delete it, and what stands is something else: it is not
    /// looked up again at this node until a change of it stands.
    pub(super) fn ignored(&self, id: &str) -> Error {
        self.seals.1.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        Place { table: "client_keys", row: id }.contradiction("active", IGNORED)
    }

    /// What was set stands: whatever was ignored before is settled.
    pub(super) fn obeyed(&self, id: &str) {
        self.seals.1.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn demand_going(&self, parts: &[RawPart]) -> Result<(), Error> {
        let Some(first) = parts.first() else { return Ok(()) };
        let stopped = self.seals.1.lock().unwrap_or_else(PoisonError::into_inner);
        match stopped.contains(&first.key.id) {
            true => {
                Err(Place { table: "client_keys", row: &first.key.id }
                    .contradiction("active", IGNORED))
            }
            false => Ok(()),
        }
    }

    /// Before a change: `Error::Contradiction` if what stands does not fit.
    pub(super) async fn demand_fit(&self, tx: &mut Tx, id: &str) -> Result<(), Error> {
        judge(&self.row_key(), &parts_of(tx, id).await?)
    }

    /// After it: the seal of what stands now. False if there is no such row.
    pub(super) async fn seal_row(&self, tx: &mut Tx, id: &str) -> Result<bool, Error> {
        match &*self.row_key() {
            RowKey::Here(key) => seal(tx, key, id).await,
            RowKey::Absent => Ok(true),
            // Nobody must believe that it was sealed.
            RowKey::Lost => {
                Err(Place { table: "client_keys", row: id }.contradiction("seal", LOST))
            }
        }
    }
}

async fn parts_of(tx: &mut Tx, id: &str) -> Result<Vec<RawPart>, Error> {
    legible(rows_within!(tx, "client_keys", sqlx::query(BY_ID).bind(id)))
}

/// All of one client key, or what cannot be read of it.
fn legible(parts: Vec<Result<RawPart, Unread>>) -> Result<Vec<RawPart>, Error> {
    Ok(parts.into_iter().collect::<Result<_, _>>()?)
}

async fn seal(tx: &mut Tx, key: &Key, id: &str) -> Result<bool, Error> {
    let parts = parts_of(tx, id).await?;
    let seal = made(key, &parts);
    Ok(changing!(tx, sqlx::query(SEAL).bind(seal.as_slice()).bind(id))? > 0)
}

fn judge(key: &RowKey, parts: &[RawPart]) -> Result<(), Error> {
    let (Some(first), Some(fault)) = (parts.first(), verdict(key, parts)) else { return Ok(()) };
    let fault = match fault {
        RowFault::Lost => LOST.to_owned(),
        // What cannot be read cannot be accepted either.
        RowFault::Edited | RowFault::Unreadable { .. } => match unread(&first.key) {
            Some(column) => format!("its column {column} cannot be read; {UNREADABLE}"),
            None => UNFIT.to_owned(),
        },
    };
    Err(Place { table: "client_keys", row: &first.key.id }.contradiction("seal", fault))
}

/// The client key of which nobody knows any more how it was used.
fn lost_track(parts: &[RawPart]) -> Option<(&str, &'static str)> {
    let key = &parts.first()?.key;
    key.lost_track().map(|column| (key.id.as_str(), column))
}

/// What is wrong with this row, by what seals it; None where nothing is, or nobody can tell now.
pub(super) fn verdict(key: &RowKey, parts: &[RawPart]) -> Option<RowFault> {
    let first = parts.first()?;
    match key {
        RowKey::Absent => None,
        RowKey::Lost => Some(RowFault::Lost),
        RowKey::Here(key) => match &first.seal {
            Some(seal) if secret::same(seal, &made(key, parts)) => None,
            Some(_) | None => Some(RowFault::Edited),
        },
    }
}

/// Over what decides who may do what. What calls leave behind, and what is there for people alone,
/// may change without it.
fn made(key: &Key, parts: &[RawPart]) -> [u8; 32] {
    let Some(first) = parts.first() else { return [0; 32] };
    let row = &first.key;
    let text = |text: &Option<String>| match text {
        None => vec![0],
        Some(text) => [&[1], text.as_bytes()].concat(),
    };
    let number = |number: Option<i64>| match number {
        None => vec![0],
        Some(number) => [&[1], number.to_be_bytes().as_slice()].concat(),
    };
    let mut said = Aad::new("client-key")
        .with(row.id.as_bytes())
        .with(row.name.as_bytes())
        .with(row.role.as_bytes())
        .with(row.tier.as_bytes())
        .with(&text(&row.scopes))
        .with(&text(&row.allowed_ips))
        .with(&text(&row.allowed_origins))
        .with(&text(&row.owner))
        .with(&number(row.expires_at))
        .with(&number(row.quota_limit))
        .with(&number(row.monthly_quota))
        .with(&number(row.max_concurrent))
        .with(&text(&row.secrets))
        .with(&row.active.to_be_bytes());
    let mut digests: Vec<(&[u8], Option<i64>)> = parts
        .iter()
        .filter_map(|part| Some((part.key_hash.as_deref()?, part.valid_until)))
        .collect();
    digests.sort_unstable();
    for (digest, valid_until) in digests {
        said = said.with(digest).with(&number(valid_until));
    }
    hmac_sha256(key, &[label::CLIENT_KEY_ROW, said.as_bytes()])
}
