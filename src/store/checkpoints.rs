//! The table `record_checkpoints`: what the nodes have signed of the trail, beside the records that
//! it vouches for. Must never change or replace a row, nor keep the trail from going on because one
//! stands there already.

use super::columns::{Place, signed};
use super::dialect::{Tx, changing, reading, row, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// A node's word for its records from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) node: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The chain's hash at `last`.
    pub(crate) head: [u8; 32],
    /// Of the Merkle tree over the chain's hashes from `first` to `last`.
    pub(crate) root: [u8; 32],
    /// The digest of the checkpoint before it; zeros for the first.
    pub(crate) before: [u8; 32],
    pub(crate) inventory_epoch: u64,
    pub(crate) time_ms: i64,
    pub(crate) public_key: [u8; 32],
    pub(crate) signature: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct RawCheckpoint {
    node: String,
    last_sequence: i64,
    first_sequence: i64,
    head_hash: Vec<u8>,
    root: Vec<u8>,
    digest_before: Vec<u8>,
    inventory_epoch: i64,
    created_at: i64,
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT node, last_sequence, first_sequence, head_hash, root, digest_before, inventory_epoch,
            created_at, public_key, signature FROM record_checkpoints ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO record_checkpoints (node, last_sequence, first_sequence,
    head_hash, root, digest_before, inventory_epoch, created_at, public_key, signature)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (node, last_sequence) DO NOTHING";
const LAST: &str = select!("WHERE node = $1 ORDER BY last_sequence DESC LIMIT 1");
const WITHIN: &str = select!(
    "WHERE node = $1 AND last_sequence <= $2
    ORDER BY last_sequence DESC LIMIT 1"
);
const AFTER: &str =
    select!("WHERE node = $1 AND last_sequence > $2 ORDER BY last_sequence LIMIT $3");
// Each change of a secret makes it grow by one. What cannot be is left out.
const EPOCH: &str = "SELECT CAST(COALESCE(SUM(epoch), 0) AS BIGINT) FROM inventories
    WHERE epoch BETWEEN 0 AND 1000000000000000";
const NODES: &str = "SELECT DISTINCT node FROM record_checkpoints ORDER BY node";

impl Store {
    /// One that covers what is stored already.
    pub(crate) async fn add_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        add(&mut tx, std::slice::from_ref(checkpoint)).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn last_checkpoint(&self, node: &str) -> Result<Option<Checkpoint>, Error> {
        let raw = row!(self, "record_checkpoints", sqlx::query(LAST).bind(node))?;
        raw.map(from_raw).transpose()
    }

    /// The newest that ends at a number or before it.
    pub(crate) async fn checkpoint_within(
        &self,
        node: &str,
        last_sequence: u64,
    ) -> Result<Option<Checkpoint>, Error> {
        let last = signed(last_sequence);
        let raw = row!(self, "record_checkpoints", sqlx::query(WITHIN).bind(node).bind(last))?;
        raw.map(from_raw).transpose()
    }

    /// In order: those that end behind a number.
    pub(crate) async fn checkpoints_after(
        &self,
        node: &str,
        last_sequence: u64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>, Error> {
        let raw: Vec<Result<RawCheckpoint, Unread>> = rows!(
            self,
            "record_checkpoints",
            sqlx::query(AFTER).bind(node).bind(signed(last_sequence)).bind(i64::from(limit))
        );
        raw.into_iter().map(|raw| from_raw(raw?)).collect()
    }

    /// The nodes that have signed anything, by name.
    pub(crate) async fn checkpoint_nodes(&self) -> Result<Vec<String>, Error> {
        let nodes: Vec<Result<(String,), Unread>> = rows!(self, "nodes", sqlx::query(NODES));
        Ok(nodes.into_iter().filter_map(|row| row.ok().map(|(node,)| node)).collect())
    }

    /// How often the lists of what the vault holds were written, of all categories.
    pub(crate) async fn inventory_epoch(&self) -> Result<u64, Error> {
        let epoch: i64 = reading!(self, db => sqlx::query_scalar(EPOCH).fetch_one(db))?;
        Ok(u64::try_from(epoch).unwrap_or(0))
    }
}

pub(super) async fn add(tx: &mut Tx, checkpoints: &[Checkpoint]) -> Result<(), Error> {
    for one in checkpoints {
        changing!(
            tx,
            sqlx::query(INSERT)
                .bind(one.node.as_str())
                .bind(signed(one.last))
                .bind(signed(one.first))
                .bind(one.head.as_slice())
                .bind(one.root.as_slice())
                .bind(one.before.as_slice())
                .bind(signed(one.inventory_epoch))
                .bind(one.time_ms)
                .bind(one.public_key.as_slice())
                .bind(one.signature.as_slice())
        )?;
    }
    Ok(())
}

fn from_raw(raw: RawCheckpoint) -> Result<Checkpoint, Error> {
    let row = format!("{} to {}", raw.node, raw.last_sequence);
    let place = Place { table: "record_checkpoints", row: &row };
    Ok(Checkpoint {
        first: place.count("first_sequence", raw.first_sequence)?,
        last: place.count("last_sequence", raw.last_sequence)?,
        head: place.digest("head_hash", &raw.head_hash)?,
        root: place.digest("root", &raw.root)?,
        before: place.digest("digest_before", &raw.digest_before)?,
        inventory_epoch: place.count("inventory_epoch", raw.inventory_epoch)?,
        public_key: place.digest("public_key", &raw.public_key)?,
        node: raw.node,
        time_ms: raw.created_at,
        signature: place.signature("signature", raw.signature)?,
    })
}
