//! The table `providers`: what operators laid over the catalogue, or added to it; and the sealed
//! list of its rows, so that one that somebody has edited, put there or taken away is known. Tells
//! the other nodes of every change.
//! Must never judge an entry: whoever reads it checks it as strictly as settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::changes::{self, Changed};
use super::client_key_seals::RowKey;
use super::columns::Place;
use super::dialect::{Tx, changing, rows_within};
use super::lenient::Unread;
use super::{Error, Store};
use crate::crypto::{Aad, hmac_sha256, label};
use crate::secret::{self, Key};

/// One entry: its members as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderRow {
    pub(crate) id: String,
    pub(crate) members: String,
}

/// The list as it is stored, and as nodes keep it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ProviderList {
    /// Grows with each change.
    pub(crate) epoch: i64,
    pub(crate) entries: String,
    pub(crate) seal: Vec<u8>,
}

/// By what rows are judged.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    pub(crate) key: Arc<RowKey>,
    /// The newest list that this node has seen.
    pub(crate) kept: Option<ProviderList>,
    /// Where there is no list: has there never been one?
    pub(crate) may_begin: bool,
}

/// The rows, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Those that are as the house left them.
    pub(crate) rows: Vec<ProviderRow>,
    /// Providers of which nobody can say what was meant.
    pub(crate) doubted: BTreeSet<String>,
    pub(crate) faults: Vec<String>,
    /// The newest list.
    pub(crate) list: Option<ProviderList>,
}

#[derive(sqlx::FromRow)]
struct RawProvider {
    id: String,
    members: String,
    updated_at: i64,
    updated_by: String,
}

/// A keyed hash for each row that the house wrote, by its provider's id.
type Entries = BTreeMap<String, String>;

/// What there is to judge by.
enum Basis {
    /// Nothing can be judged now.
    Unjudged,
    /// No row was ever listed.
    Never,
    Listed(ProviderList, Entries, Option<&'static str>),
    Lost(&'static str),
}

const ALL: &str = "SELECT id, members, updated_at, updated_by FROM providers ORDER BY id";
const PUT: &str = "INSERT INTO providers (id, members, updated_at, updated_by)
    VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE
    SET members = excluded.members, updated_at = excluded.updated_at,
        updated_by = excluded.updated_by";
const DROP: &str = "DELETE FROM providers WHERE id = $1";
const LIST: &str = "SELECT epoch, entries, seal FROM provider_list";
const WRITE: &str = "INSERT INTO provider_list (singleton, epoch, entries, seal)
    VALUES (1, $1, $2, $3) ON CONFLICT (singleton) DO UPDATE
    SET epoch = excluded.epoch, entries = excluded.entries, seal = excluded.seal";

const GONE: &str = "is not there";
const EDITED: &str = "was edited";
const BEHIND: &str = "was put back to an earlier state";
const KEYLESS: &str = "cannot be judged, because the key of the seals is lost";

impl Store {
    /// By id.
    pub(crate) async fn providers(&self, judge: &Judge) -> Result<Judged, Error> {
        let mut tx = self.begin().await?;
        let judged = judged(&mut tx, judge).await?;
        tx.commit().await?;
        Ok(judged)
    }

    /// What is written is meant, whatever stood there before.
    pub(crate) async fn put_provider(
        &self,
        row: &ProviderRow,
        by: &str,
        judge: &Judge,
    ) -> Result<(), Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let basis = basis(&mut tx, judge).await?;
        let (id, members) = (row.id.as_str(), row.members.as_str());
        changing!(&mut tx, sqlx::query(PUT).bind(id).bind(members).bind(now_ms).bind(by))?;
        list_anew(&mut tx, (judge, now_ms), basis, Some(id)).await?;
        changes::tell(&mut tx, Changed::Providers).await?;
        Ok(tx.commit().await?)
    }

    /// False where there is none.
    pub(crate) async fn drop_provider(&self, id: &str, judge: &Judge) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let basis = basis(&mut tx, judge).await?;
        let dropped = changing!(&mut tx, sqlx::query(DROP).bind(id))?;
        list_anew(&mut tx, (judge, now_ms), basis, Some(id)).await?;
        changes::tell(&mut tx, Changed::Providers).await?;
        tx.commit().await?;
        Ok(dropped > 0)
    }

    /// The first list, of the rows as they stand; nothing where there is one, or was.
    pub(crate) async fn begin_provider_list(&self, judge: &Judge) -> Result<(), Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let basis = basis(&mut tx, judge).await?;
        match basis {
            Basis::Never => list_anew(&mut tx, (judge, now_ms), basis, None).await?,
            Basis::Unjudged | Basis::Listed(..) | Basis::Lost(_) => {}
        }
        Ok(tx.commit().await?)
    }
}

/// Those that can be read.
async fn rows(tx: &mut Tx) -> Result<Vec<RawProvider>, Error> {
    Ok(standing(tx).await?.into_iter().filter_map(Result::ok).collect())
}

async fn standing(tx: &mut Tx) -> Result<Vec<Result<RawProvider, Unread>>, Error> {
    Ok(rows_within!(tx, "providers", sqlx::query(ALL)))
}

async fn judged(tx: &mut Tx, judge: &Judge) -> Result<Judged, Error> {
    let (rows, basis) = (standing(tx).await?, basis(tx, judge).await?);
    let (rows, unread): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
    let rows: Vec<RawProvider> = rows.into_iter().flatten().collect();
    let unread: Vec<Unread> = unread.into_iter().filter_map(Result::err).collect();
    let plain = |row: RawProvider| ProviderRow { id: row.id, members: row.members };
    let (list, entries, what) = match basis {
        Basis::Unjudged | Basis::Never => {
            let rows = rows.into_iter().map(plain).collect();
            let mut judged = Judged { rows, ..Judged::default() };
            judged.leave_out(unread);
            return Ok(judged);
        }
        Basis::Listed(list, entries, what) => (Some(list), entries, what),
        Basis::Lost(what) => (None, Entries::new(), Some(what)),
    };
    let mut judged = Judged { list, ..Judged::default() };
    judged.faults.extend(what.map(|what| match judged.list {
        Some(_) => format!(
            "the list of stored providers {what}; this node judges by its own copy, and the next \
             change of a provider writes it again"
        ),
        None => format!(
            "the list of stored providers {what}: no row of the table providers is used until \
             somebody writes it again with `sealgate provider add`, or removes it"
        ),
    }));
    let mut there: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    there.extend(unread.iter().map(|unread| unread.text(0)));
    for row in rows {
        let fault = match entries.get(&row.id) {
            Some(listed) if fits(&judge.key, listed, &row) => {
                judged.rows.push(plain(row));
                continue;
            }
            Some(_) => "was edited outside Sealgate",
            None => "was put there outside Sealgate",
        };
        judged.doubt(row.id, fault);
    }
    for id in entries.into_keys().filter(|id| !there.contains(id)) {
        judged.doubt(id, "was deleted outside Sealgate");
    }
    judged.leave_out(unread);
    Ok(judged)
}

impl Judged {
    fn leave_out(&mut self, unread: Vec<Unread>) {
        for row in unread {
            self.doubt(row.text(0), "cannot be read: it was edited outside Sealgate");
        }
    }

    fn doubt(&mut self, id: String, fault: &str) {
        let shown: String = id.chars().take(200).collect();
        self.faults.push(format!(
            "the stored provider {shown:?} {fault} (table providers): it is not used, and no call \
             goes to a provider of that name; write it as it is meant with `sealgate provider add \
             {shown} --file`, or say `sealgate provider remove {shown}`"
        ));
        self.doubted.insert(id);
    }
}

async fn basis(tx: &mut Tx, judge: &Judge) -> Result<Basis, Error> {
    let list = rows_within!(&mut *tx, "provider_list", sqlx::query(LIST)).into_iter().next();
    let was_there = list.is_some();
    let stored: Option<ProviderList> = list.and_then(Result::ok);
    let key = match &*judge.key {
        RowKey::Absent => return Ok(Basis::Unjudged),
        RowKey::Lost if rows(tx).await?.is_empty() => return Ok(Basis::Unjudged),
        RowKey::Lost => return Ok(Basis::Lost(KEYLESS)),
        RowKey::Here(key) => key,
    };
    let kept = judge.kept.clone().and_then(|kept| opened(key, kept));
    let stored = stored.and_then(|stored| opened(key, stored));
    Ok(match (stored, kept) {
        (Some((list, _)), Some((kept, entries))) if list.epoch < kept.epoch => {
            Basis::Listed(kept, entries, Some(BEHIND))
        }
        (Some((list, entries)), _) => Basis::Listed(list, entries, None),
        (None, Some((kept, entries))) => {
            Basis::Listed(kept, entries, Some(if was_there { EDITED } else { GONE }))
        }
        (None, None) if judge.may_begin && judge.kept.is_none() && !was_there => Basis::Never,
        // Whoever took the list's key away has no row to hide behind it.
        (None, None) if rows(tx).await?.is_empty() => Basis::Never,
        (None, None) => Basis::Lost(if was_there { EDITED } else { GONE }),
    })
}

/// The list after a change of this one row; of all that stand, where none was ever listed.
async fn list_anew(
    tx: &mut Tx,
    (judge, now_ms): (&Judge, i64),
    basis: Basis,
    changed: Option<&str>,
) -> Result<(), Error> {
    let key = match &*judge.key {
        RowKey::Here(key) => key,
        RowKey::Absent => return Ok(()),
        RowKey::Lost => {
            let place = Place { table: "providers", row: changed.unwrap_or_default() };
            return Err(place.contradiction("members", KEYLESS));
        }
    };
    let kept = judge.kept.as_ref().map_or(0, |kept| kept.epoch);
    let (epoch, mut entries, all) = match basis {
        Basis::Listed(list, entries, _) => (list.epoch, entries, false),
        // Later than any list that another node may have seen.
        Basis::Lost(_) => (kept.max(now_ms), Entries::new(), false),
        Basis::Never | Basis::Unjudged => (kept.max(now_ms), Entries::new(), true),
    };
    if let Some(id) = changed {
        entries.remove(id);
    }
    for row in rows(tx).await? {
        if all || changed == Some(row.id.as_str()) {
            entries.insert(row.id.clone(), hex(&seal_of(key, &row)));
        }
    }
    let epoch = epoch.saturating_add(1);
    let entries = serde_json::json!(entries).to_string();
    let seal = sealed(key, epoch, &entries);
    changing!(tx, sqlx::query(WRITE).bind(epoch).bind(entries.as_str()).bind(seal.as_slice()))?;
    Ok(())
}

fn opened(key: &Key, list: ProviderList) -> Option<(ProviderList, Entries)> {
    let is_ours = secret::same(&list.seal, &sealed(key, list.epoch, &list.entries));
    let entries = serde_json::from_str(&list.entries).ok()?;
    is_ours.then_some((list, entries))
}

fn sealed(key: &Key, epoch: i64, entries: &str) -> [u8; 32] {
    let said = Aad::new("provider-list").with(&epoch.to_be_bytes()).with(entries.as_bytes());
    hmac_sha256(key, &[label::PROVIDER_LIST, said.as_bytes()])
}

fn fits(key: &RowKey, listed: &str, row: &RawProvider) -> bool {
    match key {
        RowKey::Here(key) => secret::same(listed.as_bytes(), hex(&seal_of(key, row)).as_bytes()),
        RowKey::Absent | RowKey::Lost => false,
    }
}

fn seal_of(key: &Key, row: &RawProvider) -> [u8; 32] {
    let said = Aad::new("provider")
        .with(row.id.as_bytes())
        .with(row.members.as_bytes())
        .with(&row.updated_at.to_be_bytes())
        .with(row.updated_by.as_bytes());
    hmac_sha256(key, &[label::PROVIDER_LIST, said.as_bytes()])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
