//! Client keys as their rows stand, for people who look: with what is wrong of each, be it edited
//! in the database or unreadable. One such row hides no other. What is stopped here stays as wrong
//! as it was: restoring it makes no edit good.

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use super::changes::{self, Changed};
use super::client_key_guard::Guard;
use super::client_key_hashes::KeyPreview;
use super::client_key_row::ClientKeyRow;
use super::client_key_seals::{RawPart, RowKey, parts, verdict};
use super::client_keys::{RawClientKey, from_raw, key_columns};
use super::columns::ABOVE_ALL_IDS;
use super::dialect::{changing, row_within, rows};
use super::lenient::Unread;
use super::{Error, Store};
use crate::client::{Role, Tier};

/// A client key as lists show it; the present preview first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedClientKey {
    pub(crate) key: ClientKeyRow,
    pub(crate) previews: Vec<KeyPreview>,
    pub(crate) fault: Option<RowFault>,
}

/// One client key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StandingKey {
    /// Where a column cannot be read, the least stands here.
    pub(crate) key: ClientKeyRow,
    pub(crate) fault: Option<RowFault>,
}

/// Why a client key is no credential, whatever its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// Somebody has edited the row, or the digests beside it.
    Edited,
    /// It cannot be judged any more.
    Lost,
    /// It says what the model does not know.
    Unreadable { column: &'static str },
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => f.write_str(
                "The row of this client key is not as Sealgate left it: edited in the database, it \
                 is no credential. Look at it, then take it as it stands with `sealgate client \
                 accept`, or delete it.",
            ),
            Self::Lost => f.write_str(
                "The key that client keys are judged by is lost, so this one is no credential. \
                 `sealgate doctor` says what to do.",
            ),
            Self::Unreadable { column } => write!(
                f,
                "The row of this client key is not as Sealgate left it: its column {column} cannot be \
                 read, so it is no credential. Delete it."
            ),
        }
    }
}

// One statement, so that row, digests and seal are of one moment.
const BY_ID: &str = parts!("= $1");
const PAGE: &str = concat!(
    parts!("IN (SELECT id FROM client_keys WHERE id < $1 ORDER BY id DESC LIMIT $2)"),
    " ORDER BY k.id DESC"
);
const ACTIVE: &str = "SELECT active FROM client_keys WHERE id = $1";
const STOP: &str = "UPDATE client_keys SET active = 0, updated_at = $1 WHERE id = $2";

impl Store {
    pub(crate) async fn standing_client_key(&self, id: Uuid) -> Result<Option<StandingKey>, Error> {
        let query = id.to_string();
        let parts = rows!(self, "client_keys", sqlx::query(BY_ID).bind(query));
        let parts = parts.into_iter().collect::<Result<Vec<RawPart>, Unread>>()?;
        let fault = verdict(&self.row_key(), &parts);
        let Some(part) = parts.into_iter().next() else { return Ok(None) };
        standing(part, fault).map(Some)
    }

    /// Newest first. The next page comes after the last id of this one.
    pub(crate) async fn client_keys_page(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<ListedClientKey>, Error> {
        let below = after.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let read: Vec<Result<RawPart, Unread>> = rows!(
            self,
            "client_keys",
            sqlx::query(PAGE).bind(below.as_str()).bind(i64::from(limit))
        );
        // One of which a cell cannot be read hides no other; `doctor` names it.
        let unread: BTreeSet<String> =
            read.iter().filter_map(|part| Some(part.as_ref().err()?.text(0))).collect();
        let mut parts: Vec<RawPart> = read.into_iter().flatten().collect();
        parts.retain(|part| !unread.contains(&part.key.id));
        let mut previews = self.page_previews(&below, limit).await?;
        let row_key = self.row_key();
        let faults = faults(&row_key, &parts);
        parts.dedup_by(|next, before| next.key.id == before.key.id);
        let list = |(part, fault): (RawPart, Option<RowFault>)| {
            let previews = previews.remove(&part.key.id).unwrap_or_default();
            match standing(part, fault) {
                Ok(StandingKey { key, fault }) => Some(ListedClientKey { key, previews, fault }),
                // Without an id it cannot be named, and must not hide all others.
                Err(fault) => {
                    tracing::error!(%fault, "integrity: a client key is left out of the list");
                    None
                }
            }
        };
        Ok(parts.into_iter().zip(faults).filter_map(list).collect())
    }

    /// Stops a client key without a look at what else its row says, and seals nothing: what does
    /// not fit goes on not to fit. `Error::LastAdmin` as for any change. False if there is none.
    pub(crate) async fn stop_client_key(&self, id: Uuid) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let guard = Guard::begin(&mut tx, now_ms).await?;
        let stopped = changing!(&mut tx, sqlx::query(STOP).bind(now_ms).bind(id.to_string()))?;
        let active = row_within!(&mut tx, "client_keys", sqlx::query(ACTIVE).bind(id.to_string()))?;
        if active.is_some_and(|(active,): (i64,)| active != 0) {
            return Err(self.ignored(&id.to_string()));
        }
        guard.refuse_last(&mut tx).await?;
        changes::tell(&mut tx, Changed::ClientKey(id)).await?;
        tx.commit().await?;
        self.demand_ended(&id.to_string()).await?;
        Ok(stopped > 0)
    }
}

/// One for each row, in their order.
fn faults(key: &RowKey, parts: &[RawPart]) -> Vec<Option<RowFault>> {
    let rows = parts.chunk_by(|one, next| one.key.id == next.key.id);
    rows.map(|row| verdict(key, row)).collect()
}

fn standing(part: RawPart, fault: Option<RowFault>) -> Result<StandingKey, Error> {
    let (key, unread) = readable(part.key)?;
    let unreadable = unread.map(|column| RowFault::Unreadable { column });
    Ok(StandingKey { key, fault: unreadable.or(fault) })
}

/// Which column cannot be read.
pub(super) fn unread(raw: &RawClientKey) -> Option<&'static str> {
    readable(raw.clone()).map_or(Some("id"), |(_, column)| column)
}

/// The row as far as it can be read, with the least in the place of what cannot, and which column
/// that is. Fails where not even its id is one.
fn readable(mut raw: RawClientKey) -> Result<(ClientKeyRow, Option<&'static str>), Error> {
    let mut unread = None;
    loop {
        let fault = match from_raw(raw.clone()) {
            Ok(row) => return Ok((row, unread)),
            Err(fault) => fault,
        };
        let Error::Contradiction { column, .. } = fault else { return Err(fault) };
        if !put_the_least(&mut raw, column) {
            return Err(fault);
        }
        unread.get_or_insert(column);
    }
}

/// False where nothing can stand in for what was there.
fn put_the_least(raw: &mut RawClientKey, column: &str) -> bool {
    let nothing = || Some(String::from("[]"));
    match column {
        "role" => raw.role = Role::Guest.as_str().to_owned(),
        "tier" => raw.tier = Tier::Limited.as_str().to_owned(),
        "scopes" => raw.scopes = nothing(),
        "allowed_ips" => raw.allowed_ips = nothing(),
        "allowed_origins" => raw.allowed_origins = nothing(),
        "quota_limit" => raw.quota_limit = Some(0),
        "monthly_quota" => raw.monthly_quota = Some(0),
        "max_concurrent" => raw.max_concurrent = Some(0),
        "secrets" => raw.secrets = None,
        "active" => raw.active = 0,
        _ => return false,
    }
    true
}
