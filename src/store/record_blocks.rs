//! The table `record_blocks`: the trail, a drained batch of chained records in
//! each row. Must never change or replace a block: a number that is taken is an
//! error.

use super::checkpoints::{self, Checkpoint};
use super::columns::{Place, signed};
use super::counted_records::{self, Counted};
use super::dialect::{changing, row, rows};
use super::lenient::Unread;
use super::{Error, Store, record_marks};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordBlock {
    pub(crate) node: String,
    pub(crate) first_sequence: u64,
    pub(crate) records: u64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// The hash of its last record.
    pub(crate) head_hash: [u8; 32],
    pub(crate) body: Vec<u8>,
}

/// What is stored together with a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Along<'a> {
    /// What its calls leave on their client keys, if that is counted now.
    pub(crate) counted: Option<&'a Counted>,
    /// What was signed of it.
    pub(crate) checkpoints: &'a [Checkpoint],
    /// What searches go by; none: they read it.
    pub(crate) marks: &'a [u8],
}

/// Blocks, newest first.
#[derive(Debug)]
pub(crate) struct BlockPage {
    pub(crate) blocks: Vec<RecordBlock>,
    /// Before what time the next page lies. None: there is none.
    pub(crate) before: Option<i64>,
}

#[derive(sqlx::FromRow)]
pub(super) struct RawBlock {
    node: String,
    first_sequence: i64,
    records: i64,
    first_time: i64,
    last_time: i64,
    head_hash: Vec<u8>,
    body: Vec<u8>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT node, first_sequence, records, first_time, last_time, head_hash, body
            FROM record_blocks ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO record_blocks
    (node, first_sequence, records, first_time, last_time, head_hash, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const LAST: &str =
    select!("WHERE node = $1 AND first_sequence < $2 ORDER BY first_sequence DESC LIMIT 1");
const LAST_NUMBER: &str = "SELECT MAX(first_sequence) FROM record_blocks
    WHERE node = $1 AND first_sequence < $2";
const BACK: &str = "SELECT MIN(first_sequence) FROM (SELECT first_sequence FROM record_blocks
    WHERE node = $1 AND first_sequence < 9223372036854775807
    ORDER BY first_sequence DESC LIMIT $2) AS page";
const FROM: &str =
    select!("WHERE node = $1 AND first_sequence >= $2 ORDER BY first_sequence LIMIT $3");
// Down to the time of the last of `limit` blocks, so that blocks of one time are never torn apart.
const BEFORE: &str = select!(
    "WHERE last_time < $1 AND last_time >= COALESCE((
        SELECT MIN(last_time) FROM (SELECT last_time FROM record_blocks WHERE last_time < $1
        ORDER BY last_time DESC LIMIT $2) AS page), 0)
    ORDER BY last_time DESC, node, first_sequence DESC"
);
const BEFORE_OF_NODE: &str = select!(
    "WHERE node = $3 AND last_time < $1 AND last_time >= COALESCE((
        SELECT MIN(last_time) FROM (SELECT last_time FROM record_blocks
        WHERE node = $3 AND last_time < $1 ORDER BY last_time DESC LIMIT $2) AS page), 0)
    ORDER BY last_time DESC, first_sequence DESC"
);

impl Store {
    /// The block and what goes along with it, in one transaction: the point at which these records
    /// count as stored. `Error::Duplicate` if the block is there already.
    pub(crate) async fn append_record_block(
        &self,
        block: &RecordBlock,
        along: &Along<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(block.node.as_str())
                .bind(signed(block.first_sequence))
                .bind(signed(block.records))
                .bind(block.first_time)
                .bind(block.last_time)
                .bind(block.head_hash.as_slice())
                .bind(block.body.as_slice())
        )?;
        if let Some(counted) = along.counted {
            counted_records::count(&mut tx, &block.node, counted).await?;
        }
        checkpoints::add(&mut tx, along.checkpoints).await?;
        if !along.marks.is_empty() {
            record_marks::add(&mut tx, block, along.marks).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The last one that begins below a number.
    pub(crate) async fn last_record_block(
        &self,
        node: &str,
        below: u64,
    ) -> Result<Option<RecordBlock>, Error> {
        let below = signed(below);
        let raw = row!(self, "record_blocks", sqlx::query(LAST).bind(node).bind(below))?;
        raw.map(from_raw).transpose()
    }

    /// Where it begins, whatever else its row says.
    pub(crate) async fn last_sequence(&self, node: &str, below: u64) -> Result<Option<u64>, Error> {
        let below = signed(below);
        let last: Option<(Option<i64>,)> =
            row!(self, "record_blocks", sqlx::query(LAST_NUMBER).bind(node).bind(below))?;
        Ok(last.and_then(|(last,)| last).map(|last| u64::try_from(last).unwrap_or(0)))
    }

    /// Where the last few begin.
    pub(crate) async fn sequence_back(
        &self,
        node: &str,
        blocks: u32,
    ) -> Result<Option<u64>, Error> {
        let blocks = i64::from(blocks);
        let first: Option<(Option<i64>,)> =
            row!(self, "record_blocks", sqlx::query(BACK).bind(node).bind(blocks))?;
        Ok(first.and_then(|(first,)| first).map(|first| u64::try_from(first).unwrap_or(0)))
    }

    /// Newest first: the blocks whose last record is older than `before_time` (None: all). The next
    /// page is before the `last_time` of the last block of this one; a page is longer than `limit`
    /// where blocks share that time, so that none is skipped. A block in whose midst `before_time`
    /// falls is not among them: who looks for records adds the longest span that a block can have.
    /// A row that contradicts the model is left out: whoever verifies the trail names it.
    pub(crate) async fn record_blocks_before(
        &self,
        node: Option<&str>,
        before_time: Option<i64>,
        limit: u32,
    ) -> Result<BlockPage, Error> {
        let before = before_time.unwrap_or(i64::MAX);
        let limit = i64::from(limit);
        let raw: Vec<Result<RawBlock, Unread>> = match node {
            None => rows!(self, "record_blocks", sqlx::query(BEFORE).bind(before).bind(limit)),
            Some(node) => {
                rows!(
                    self,
                    "record_blocks",
                    sqlx::query(BEFORE_OF_NODE).bind(before).bind(limit).bind(node)
                )
            }
        };
        let before = raw.last().and_then(|last| match last {
            Ok(last) => Some(last.last_time),
            Err(unread) => unread.text(4).parse().ok(),
        });
        let blocks = raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect();
        Ok(BlockPage { blocks, before })
    }

    /// Oldest first, for verification: the blocks of a node that begin at a number or above it.
    pub(crate) async fn record_blocks_from(
        &self,
        node: &str,
        first_sequence: u64,
        limit: u32,
    ) -> Result<Vec<RecordBlock>, Error> {
        let raw: Vec<Result<RawBlock, Unread>> = rows!(
            self,
            "record_blocks",
            sqlx::query(FROM).bind(node).bind(signed(first_sequence)).bind(i64::from(limit))
        );
        raw.into_iter().map(|raw| from_raw(raw?)).collect()
    }

    /// When the newest record was made, of whichever node; 0 where there is none. A clock may have
    /// been set back since.
    pub(crate) async fn newest_record(&self) -> Result<i64, Error> {
        const NEWEST: &str = "SELECT MAX(last_time) FROM record_blocks";
        let newest: Option<(Option<i64>,)> = match row!(self, "nodes", sqlx::query(NEWEST)) {
            Err(Error::Contradiction { .. }) => None,
            read => read?,
        };
        let newest = newest.and_then(|(newest,)| newest);
        Ok(newest.unwrap_or(0))
    }

    /// The nodes that have left records, by name.
    pub(crate) async fn record_nodes(&self) -> Result<Vec<String>, Error> {
        const NODES: &str = "SELECT DISTINCT node FROM record_blocks ORDER BY node";
        let nodes: Vec<Result<(String,), Unread>> = rows!(self, "nodes", sqlx::query(NODES));
        Ok(nodes.into_iter().filter_map(|row| row.ok().map(|(node,)| node)).collect())
    }
}

pub(super) fn from_raw(raw: RawBlock) -> Result<RecordBlock, Error> {
    let row = format!("{} from {}", raw.node, raw.first_sequence);
    let place = Place { table: "record_blocks", row: &row };
    Ok(RecordBlock {
        first_sequence: place.count("first_sequence", raw.first_sequence)?,
        records: place.count("records", raw.records)?,
        head_hash: place.digest("head_hash", &raw.head_hash)?,
        node: raw.node,
        first_time: raw.first_time,
        last_time: raw.last_time,
        body: raw.body,
    })
}
