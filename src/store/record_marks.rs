//! The table `record_marks`: beside each block what a search may find in it. A block without a row
//! is read by every search. What the marks mean is the ledger's.
//! Must never be believed by whoever verifies the trail.

use super::columns::{Place, signed};
use super::dialect::{Tx, changing, row, rows};
use super::lenient::Unread;
use super::record_blocks::{RecordBlock, from_raw};
use super::{Error, Store};

/// A block, without its records, as a search sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MarkedBlock {
    pub(crate) node: String,
    pub(crate) first_sequence: u64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// None: nobody knows what is in it.
    pub(crate) marks: Option<Vec<u8>>,
}

/// Newest first.
#[derive(Debug)]
pub(crate) struct MarkedPage {
    pub(crate) blocks: Vec<MarkedBlock>,
    /// Before what time the next page lies. None: there is none.
    pub(crate) before: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawMarked {
    node: String,
    first_sequence: i64,
    first_time: i64,
    last_time: i64,
    marks: Option<Vec<u8>>,
}

const INSERT: &str = "INSERT INTO record_marks (node, first_sequence, marks) VALUES ($1, $2, $3)
    ON CONFLICT (node, first_sequence) DO UPDATE SET marks = excluded.marks";
pub(super) const REMOVE: &str =
    "DELETE FROM record_marks WHERE node = $1 AND first_sequence BETWEEN $2 AND $3";
// Down to the time of the last of `limit` blocks, so that blocks of one time are never torn apart.
const BEFORE: &str = "SELECT b.node, b.first_sequence, b.first_time, b.last_time, m.marks
    FROM record_blocks b
    LEFT JOIN record_marks m ON m.node = b.node AND m.first_sequence = b.first_sequence
    WHERE b.last_time < $1 AND b.first_time < $3 AND b.last_time >= COALESCE((
        SELECT MIN(last_time) FROM (SELECT last_time FROM record_blocks
        WHERE last_time < $1 AND first_time < $3 ORDER BY last_time DESC LIMIT $2) AS page), 0)
    ORDER BY b.last_time DESC, b.node, b.first_sequence DESC";
const AFTER: &str = "SELECT b.node, b.first_sequence, b.first_time, b.last_time, m.marks
    FROM record_blocks b
    LEFT JOIN record_marks m ON m.node = b.node AND m.first_sequence = b.first_sequence
    WHERE b.node = $1 AND b.first_sequence > $2 ORDER BY b.first_sequence LIMIT $3";
const OF_NODE: &str = "SELECT node, first_sequence, marks FROM record_marks
    WHERE node = $1 AND first_sequence BETWEEN $2 AND $3 ORDER BY first_sequence";

impl Store {
    /// As `record_blocks_before`, without the records, and without blocks that begin at `to` or
    /// later.
    pub(crate) async fn marked_blocks_before(
        &self,
        before_time: Option<i64>,
        to: Option<i64>,
        limit: u32,
    ) -> Result<MarkedPage, Error> {
        let (before, to) = (before_time.unwrap_or(i64::MAX), to.unwrap_or(i64::MAX));
        let limit = i64::from(limit);
        let raw: Vec<Result<RawMarked, Unread>> =
            rows!(self, "record_blocks", sqlx::query(BEFORE).bind(before).bind(limit).bind(to));
        let before = raw.last().and_then(|last| match last {
            Ok(last) => Some(last.last_time),
            Err(unread) => unread.text(3).parse().ok(),
        });
        let blocks = raw.into_iter().filter_map(|raw| marked(raw.ok()?)).collect();
        Ok(MarkedPage { blocks, before })
    }

    /// Of one node, those that begin behind a number, in order; and where the last of them begins,
    /// whether it can be read or not.
    pub(crate) async fn marked_blocks_after(
        &self,
        node: &str,
        first_sequence: u64,
        limit: u32,
    ) -> Result<(Vec<MarkedBlock>, Option<u64>), Error> {
        let raw: Vec<Result<RawMarked, Unread>> = rows!(
            self,
            "record_blocks",
            sqlx::query(AFTER).bind(node).bind(signed(first_sequence)).bind(i64::from(limit))
        );
        let first = |raw: &Result<RawMarked, Unread>| match raw {
            Ok(raw) => u64::try_from(raw.first_sequence).ok(),
            Err(unread) => unread.text(1).parse().ok(),
        };
        let last = raw.iter().filter_map(first).max();
        Ok((raw.into_iter().filter_map(|raw| marked(raw.ok()?)).collect(), last))
    }

    /// A number behind which everything of a node since then begins; None where it has nothing.
    pub(crate) async fn place_of_news(&self, node: &str, since: i64) -> Result<Option<u64>, Error> {
        const BEHIND: &str = "SELECT COALESCE(
            (SELECT MIN(first_sequence) - 1 FROM record_blocks
                WHERE node = $1 AND last_time >= $2),
            (SELECT MAX(first_sequence) FROM record_blocks WHERE node = $1))";
        let behind: Option<(Option<i64>,)> =
            row!(self, "record_blocks", sqlx::query(BEHIND).bind(node).bind(since))?;
        let behind = behind.and_then(|(behind,)| behind);
        Ok(behind.map(|behind| u64::try_from(behind).unwrap_or(0)))
    }

    /// The one that begins at a number. None: it is not there, or contradicts the model.
    pub(crate) async fn record_block(
        &self,
        node: &str,
        first_sequence: u64,
    ) -> Result<Option<RecordBlock>, Error> {
        const ONE: &str =
            "SELECT node, first_sequence, records, first_time, last_time, head_hash, body
            FROM record_blocks WHERE node = $1 AND first_sequence = $2";
        let first = signed(first_sequence);
        match row!(self, "record_blocks", sqlx::query(ONE).bind(node).bind(first)) {
            Ok(raw) => Ok(raw.and_then(|raw| from_raw(raw).ok())),
            Err(Error::Contradiction { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Of the blocks of a node that begin between two numbers: where, and the marks.
    pub(crate) async fn record_marks(
        &self,
        node: &str,
        (from, to): (u64, u64),
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        type Row = (String, i64, Vec<u8>);
        let raw: Vec<Result<Row, Unread>> = rows!(
            self,
            "record_marks",
            sqlx::query(OF_NODE).bind(node).bind(signed(from)).bind(signed(to))
        );
        let one = |raw: Result<Row, Unread>| {
            let (node, first, marks) = raw?;
            let row = format!("{node} from {first}");
            let place = Place { table: "record_marks", row: &row };
            Ok((place.count("first_sequence", first)?, marks))
        };
        raw.into_iter().map(one).collect()
    }
}

fn marked(raw: RawMarked) -> Option<MarkedBlock> {
    Some(MarkedBlock {
        first_sequence: u64::try_from(raw.first_sequence).ok()?,
        node: raw.node,
        first_time: raw.first_time,
        last_time: raw.last_time,
        marks: raw.marks,
    })
}

pub(super) async fn add(tx: &mut Tx, block: &RecordBlock, marks: &[u8]) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(INSERT)
            .bind(block.node.as_str())
            .bind(signed(block.first_sequence))
            .bind(marks)
    )?;
    Ok(())
}
