//! The table `record_archives`: what of the trail lies in files, and where in the database the
//! chain of each node therefore begins.
//! Must never remove a block that no row of this table speaks for.

use super::columns::{Place, signed};
use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store, record_marks};

/// A node's word for a file of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordArchive {
    pub(crate) node: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The chain's hash before `first`, and at `last`.
    pub(crate) before: [u8; 32],
    pub(crate) head: [u8; 32],
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// Its name, in whatever folder.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    pub(crate) created_at: i64,
    pub(crate) public_key: [u8; 32],
    pub(crate) signature: Vec<u8>,
}

/// A block without its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSpan {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
}

#[derive(sqlx::FromRow)]
struct RawArchive {
    node: String,
    first_sequence: i64,
    last_sequence: i64,
    hash_before: Vec<u8>,
    head_hash: Vec<u8>,
    first_time: i64,
    last_time: i64,
    file: String,
    bytes: i64,
    digest: Vec<u8>,
    created_at: i64,
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT node, first_sequence, last_sequence, hash_before, head_hash, first_time,
            last_time, file, bytes, digest, created_at, public_key, signature
            FROM record_archives ",
            $rest
        )
    };
}

const OF_NODE: &str = select!("WHERE node = $1 ORDER BY first_sequence");
const ALL: &str = select!("ORDER BY node, first_sequence");
const INSERT: &str =
    "INSERT INTO record_archives (node, first_sequence, last_sequence, hash_before,
    head_hash, first_time, last_time, file, bytes, digest, created_at, public_key, signature)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const REMOVE: &str =
    "DELETE FROM record_blocks WHERE node = $1 AND first_sequence BETWEEN $2 AND $3";
// The newest of them stays: the next one repeats its digest.
const REMOVE_SIGNED: &str = "DELETE FROM record_checkpoints
    WHERE node = $1 AND last_sequence < (
        SELECT MAX(last_sequence) FROM record_checkpoints WHERE node = $1 AND last_sequence <= $2)";
const SPANS: &str = "SELECT node, first_sequence, records, first_time, last_time FROM record_blocks
    WHERE node = $1 AND first_sequence >= $2 ORDER BY first_sequence LIMIT $3";

impl Store {
    /// From the first record on.
    pub(crate) async fn record_archives(&self, node: &str) -> Result<Vec<RecordArchive>, Error> {
        let raw: Vec<Result<RawArchive, Unread>> =
            rows!(self, "record_archives", sqlx::query(OF_NODE).bind(node));
        raw.into_iter().map(|raw| from_raw(raw?)).collect()
    }

    /// Of all nodes, those that can be read.
    pub(crate) async fn all_record_archives(&self) -> Result<Vec<RecordArchive>, Error> {
        let raw: Vec<Result<RawArchive, Unread>> = rows!(self, "record_archives", sqlx::query(ALL));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    /// The row comes and its records go, in one transaction. `Error::Duplicate` if another file
    /// speaks for the first of them.
    pub(crate) async fn archive_records(&self, archive: &RecordArchive) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let node = archive.node.as_str();
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(node)
                .bind(signed(archive.first))
                .bind(signed(archive.last))
                .bind(archive.before.as_slice())
                .bind(archive.head.as_slice())
                .bind(archive.first_time)
                .bind(archive.last_time)
                .bind(archive.file.as_str())
                .bind(signed(archive.bytes))
                .bind(archive.digest.as_slice())
                .bind(archive.created_at)
                .bind(archive.public_key.as_slice())
                .bind(archive.signature.as_slice())
        )?;
        let (first, last) = (signed(archive.first), signed(archive.last));
        changing!(&mut tx, sqlx::query(REMOVE).bind(node).bind(first).bind(last))?;
        changing!(&mut tx, sqlx::query(record_marks::REMOVE).bind(node).bind(first).bind(last))?;
        changing!(&mut tx, sqlx::query(REMOVE_SIGNED).bind(node).bind(last))?;
        Ok(tx.commit().await?)
    }

    /// Oldest first: what the blocks of a node span that begin at a number or above it.
    pub(crate) async fn block_spans(
        &self,
        node: &str,
        first: u64,
        limit: u32,
    ) -> Result<Vec<BlockSpan>, Error> {
        type Span = (String, i64, i64, i64, i64);
        let raw: Vec<Result<Span, Unread>> = rows!(
            self,
            "record_blocks",
            sqlx::query(SPANS).bind(node).bind(signed(first)).bind(i64::from(limit))
        );
        let span = |raw: Result<Span, Unread>| {
            let (node, first, records, first_time, last_time) = raw?;
            let row = format!("{node} from {first}");
            let place = Place { table: "record_blocks", row: &row };
            let first = place.count("first_sequence", first)?;
            let records = place.count("records", records)?;
            let last = first.saturating_add(records).saturating_sub(1);
            Ok(BlockSpan { first, last, first_time, last_time })
        };
        raw.into_iter().map(span).collect()
    }
}

fn from_raw(raw: RawArchive) -> Result<RecordArchive, Error> {
    let row = format!("{} from {}", raw.node, raw.first_sequence);
    let place = Place { table: "record_archives", row: &row };
    Ok(RecordArchive {
        first: place.count("first_sequence", raw.first_sequence)?,
        last: place.count("last_sequence", raw.last_sequence)?,
        before: place.digest("hash_before", &raw.hash_before)?,
        head: place.digest("head_hash", &raw.head_hash)?,
        bytes: place.count("bytes", raw.bytes)?,
        digest: place.digest("digest", &raw.digest)?,
        public_key: place.digest("public_key", &raw.public_key)?,
        node: raw.node,
        first_time: raw.first_time,
        last_time: raw.last_time,
        file: raw.file,
        created_at: raw.created_at,
        signature: raw.signature,
    })
}
