//! The table `nodes`: who shares the limits, as each node says of itself, so that nodes which
//! cannot reach Redis know of each other.
//! Must never be taken for more than hearsay: only a node itself knows what it let in.

use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    /// The process.
    pub(crate) boot: String,
    pub(crate) seen_at: i64,
    /// The memory of Redis that knows all this node has counted there; empty: none.
    pub(crate) era: String,
    /// 0: it asks Redis.
    pub(crate) alone_since: i64,
    /// The processes with which it shares while it is alone.
    pub(crate) knows: String,
    /// What it had let in by itself when they came.
    pub(crate) spent: String,
}

const SAY: &str = "INSERT INTO nodes (node, boot, seen_at, era, alone_since, knows, spent)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (node) DO UPDATE SET boot = excluded.boot, seen_at = excluded.seen_at,
        era = excluded.era, alone_since = excluded.alone_since, knows = excluded.knows,
        spent = excluded.spent";
const ALL: &str = "SELECT node, boot, seen_at, era, alone_since, knows, spent FROM nodes
    ORDER BY node LIMIT 1000";
const FORGET: &str = "DELETE FROM nodes WHERE node = $1 AND seen_at <= $2";
const GIVE_UP: &str = "UPDATE nodes SET era = $1 WHERE node = $2 AND boot = $3 AND seen_at = $4";

impl Store {
    pub(crate) async fn say_node(&self, row: &NodeRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(SAY)
                .bind(row.node.as_str())
                .bind(row.boot.as_str())
                .bind(row.seen_at)
                .bind(row.era.as_str())
                .bind(row.alone_since)
                .bind(row.knows.as_str())
                .bind(row.spent.as_str())
        )?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        // One that cannot be read is no node; `doctor` names it.
        let rows: Vec<Result<NodeRow, Unread>> = rows!(self, "nodes", sqlx::query(ALL));
        Ok(rows.into_iter().flatten().collect())
    }

    /// A node that left, or that was last seen at this time.
    pub(crate) async fn forget_node(&self, node: &str, seen_at: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FORGET).bind(node).bind(seen_at))?;
        Ok(tx.commit().await?)
    }

    /// Nobody waits any more for a process that does not come back; unless it has.
    pub(crate) async fn give_up_node(&self, row: &NodeRow, era: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(GIVE_UP)
                .bind(era)
                .bind(row.node.as_str())
                .bind(row.boot.as_str())
                .bind(row.seen_at)
        )?;
        Ok(tx.commit().await?)
    }
}
