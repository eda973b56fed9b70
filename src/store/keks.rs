//! The table `keks`: the key-encryption keys of each category, wrapped by the
//! master key. Must never hold an unwrapped key, nor two active generations of one
//! category.

use uuid::Uuid;

use super::columns::{Place, words};
use super::dialect::{changing, row, rows};
use super::lenient::{Cell, Unread};
use super::secrets::Loaded;
use super::{Error, Store, master_passphrases, wraps};

words! {
    KekState {
        /// Wraps what is new.
        Active = "active",
        /// Unwraps what is old.
        Retired = "retired",
        /// Nothing hangs on it any more; the key itself is gone.
        Destroyed = "destroyed",
    }
}

words! {
    /// Who can hold a master key.
    MasterKind {
        File = "file",
        Passphrase = "passphrase",
        AwsKms = "aws-kms",
        VaultTransit = "vault-transit",
    }
}

/// Names one master key: what wrapped a row can be unwrapped by no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MasterId {
    pub(crate) kind: MasterKind,
    /// Hexadecimal for local kinds, else as the KMS names its key.
    pub(crate) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KekRow {
    pub(crate) id: Uuid,
    pub(crate) category: String,
    pub(crate) generation: u32,
    /// As the holder of the master key returned it.
    pub(crate) wrapped: Vec<u8>,
    /// The master key that wrapped it.
    pub(crate) master: MasterId,
    pub(crate) state: KekState,
    /// How many keys it has wrapped, as the column has it: somebody may have edited it.
    pub(crate) wraps: i64,
    pub(crate) wraps_seal: Option<Vec<u8>>,
    pub(crate) created_at: i64,
}

/// A KMS may take its time between the two.
const WITHIN_MS: u64 = 60 * 60_000;

impl KekRow {
    /// Only where the key itself is gone: the word alone, somebody may have written.
    pub(crate) fn is_gone(&self) -> bool {
        self.state == KekState::Destroyed && self.wrapped.is_empty()
    }

    /// Called destroyed, with its key still there.
    pub(crate) fn is_miscalled(&self) -> bool {
        self.state == KekState::Destroyed && !self.wrapped.is_empty()
    }

    /// Since when it is there: its id says so, too, and that is bound to its key.
    pub(crate) fn since_ms(&self) -> i64 {
        self.id_ms().map_or(self.created_at, |made| made.min(self.created_at))
    }

    /// Is `created_at` another moment than the one of its id?
    pub(crate) fn is_misdated(&self) -> bool {
        self.id_ms().is_some_and(|made| made.abs_diff(self.created_at) > WITHIN_MS)
    }

    fn id_ms(&self) -> Option<i64> {
        let (seconds, nanoseconds) = self.id.get_timestamp()?.to_unix();
        let ms = seconds.checked_mul(1000)?.checked_add(u64::from(nanoseconds / 1_000_000))?;
        i64::try_from(ms).ok()
    }

    /// For people, and for what is only a warning.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.wraps).unwrap_or(0)
    }
}

#[derive(sqlx::FromRow)]
struct RawKek {
    id: String,
    category: String,
    generation: i64,
    wrapped: Vec<u8>,
    master_kind: Option<String>,
    master_id: Option<String>,
    state: String,
    wraps: Cell<i64>,
    wraps_seal: Cell<Option<Vec<u8>>>,
    created_at: Cell<i64>,
}

const ALL: &str = "SELECT id, category, generation, wrapped, master_kind, master_id, state, wraps,
    wraps_seal, created_at FROM keks ORDER BY category, generation";
const ACTIVE: &str = "SELECT id, category, generation, wrapped, master_kind, master_id, state,
    wraps, wraps_seal, created_at FROM keks
    WHERE category = $1 AND state = 'active' ORDER BY generation DESC LIMIT 1";
const RETIRE: &str = "UPDATE keks SET state = 'retired' WHERE category = $1 AND state = 'active'";
const INSERT: &str = "INSERT INTO keks
    (id, category, generation, wrapped, master_kind, master_id, state, wraps, wraps_seal,
    created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const DESTROY: &str = "UPDATE keks SET state = 'destroyed', wrapped = $1
    WHERE id = $2 AND state IN ('retired', 'destroyed') AND length(wrapped) > 0
    AND NOT EXISTS (SELECT 1 FROM secrets WHERE kek_id = $2)
    AND NOT EXISTS (SELECT 1 FROM inventories WHERE kek_id = $2)
    AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE kek_id = $2)";

impl Store {
    /// One that comes as active retires the category's former one. `Error::Duplicate` if this
    /// generation is there already: another node was faster, and its key is the one to use.
    pub(crate) async fn insert_kek(&self, kek: &KekRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        master_passphrases::hold(&mut tx, &kek.master).await?;
        match kek.state {
            KekState::Active => {
                changing!(&mut tx, sqlx::query(RETIRE).bind(kek.category.as_str()))?;
            }
            KekState::Retired | KekState::Destroyed => {}
        }
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(kek.id.to_string())
                .bind(kek.category.as_str())
                .bind(i64::from(kek.generation))
                .bind(kek.wrapped.as_slice())
                .bind(kek.master.kind.as_str())
                .bind(kek.master.id.as_str())
                .bind(kek.state.as_str())
                .bind(kek.wraps)
                .bind(kek.wraps_seal.as_deref())
                .bind(kek.created_at)
        )?;
        Ok(tx.commit().await?)
    }

    /// By category and generation.
    pub(crate) async fn keks(&self) -> Result<Loaded<KekRow>, Error> {
        let raw = rows!(self, "keks", sqlx::query(ALL));
        let read = |raw: Result<RawKek, Unread>| from_raw(raw?);
        Ok(Loaded::collect(raw.into_iter().map(read)))
    }

    /// Those whose master key's id is in other letters than the house writes.
    pub(crate) async fn capital_keks(&self) -> Result<Vec<KekRow>, Error> {
        const IDS: &str = "SELECT id FROM keks WHERE master_kind IN ('file', 'passphrase')
            AND master_id <> lower(master_id) AND length(wrapped) > 0";
        let ids = rows!(self, "keks", sqlx::query(IDS));
        let id = |row: Result<(String,), Unread>| row.ok().map(|(id,)| id);
        let ids: Vec<String> = ids.into_iter().filter_map(id).collect();
        let mut rows = self.keks().await?.rows;
        rows.retain(|row| ids.contains(&row.id.to_string()));
        Ok(rows)
    }

    pub(crate) async fn active_kek(&self, category: &str) -> Result<Option<KekRow>, Error> {
        let raw = row!(self, "keks", sqlx::query(ACTIVE).bind(category))?;
        raw.map(from_raw).transpose()
    }

    /// Overwrites a retired key on which nothing hangs any more. False if something does.
    pub(crate) async fn destroy_kek(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        // A list that another node is just sealing under it is seen once that is done.
        wraps::hold_any(&mut tx, id).await?;
        let destroyed = changing!(
            &mut tx,
            sqlx::query(DESTROY).bind([0_u8; 0].as_slice()).bind(id.to_string())
        )?;
        tx.commit().await?;
        self.forget_journal().await;
        Ok(destroyed > 0)
    }
}

fn from_raw(raw: RawKek) -> Result<KekRow, Error> {
    let place = Place { table: "keks", row: &raw.id };
    let missing = |column| place.contradiction(column, "is missing");
    let kind = raw.master_kind.as_deref().ok_or_else(|| missing("master_kind"))?;
    let kind = place.word("master_kind", kind, MasterKind::parse)?;
    let id = raw.master_id.ok_or_else(|| missing("master_id"))?;
    let master = match kind {
        // Ours are hexadecimal, whoever has written them in capitals.
        MasterKind::File | MasterKind::Passphrase => MasterId { kind, id: id.to_ascii_lowercase() },
        MasterKind::AwsKms | MasterKind::VaultTransit => MasterId { kind, id },
    };
    Ok(KekRow {
        master,
        id: place.id("id", &raw.id)?,
        generation: place.small("generation", raw.generation)?,
        state: place.word("state", &raw.state, KekState::parse)?,
        // What cannot be read of them is as wrong as an edited number, and closes no secret.
        wraps: raw.wraps.or(-1),
        wraps_seal: raw.wraps_seal.or(Some(Vec::new())),
        created_at: raw.created_at.or(i64::MAX),
        category: raw.category,
        wrapped: raw.wrapped,
    })
}
