//! The table `alert_nodes`: what each node says of itself for whoever looks after alerts: that it
//! is there, whether it makes backups, and what its last examination has found.
//! Must never be judged by another node's clock: whether one is there shows in that its row moves.

use super::columns::Place;
use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// What a node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertNode {
    pub(crate) node: String,
    pub(crate) seen_at: i64,
    pub(crate) backs_up: bool,
    /// When the last examination began; 0: there was none.
    pub(crate) examined_at: i64,
    /// Sentences.
    pub(crate) found: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct RawNode {
    node: String,
    seen_at: i64,
    backs_up: i64,
    examined_at: i64,
    found: String,
}

const SAY: &str = "INSERT INTO alert_nodes (node, seen_at, backs_up, examined_at, found)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at, backs_up = excluded.backs_up,
        examined_at = excluded.examined_at, found = excluded.found";
const ALL: &str =
    "SELECT node, seen_at, backs_up, examined_at, found FROM alert_nodes ORDER BY node";
const FORGET: &str = "DELETE FROM alert_nodes WHERE node = $1 AND seen_at = $2";

impl Store {
    pub(crate) async fn say_alert_node(&self, row: &AlertNode) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(SAY)
                .bind(row.node.as_str())
                .bind(row.seen_at)
                .bind(i64::from(row.backs_up))
                .bind(row.examined_at)
                .bind(serde_json::json!(row.found).to_string())
        )?;
        Ok(tx.commit().await?)
    }

    /// One that cannot be read is as if it had said nothing.
    pub(crate) async fn alert_nodes(&self) -> Result<Vec<AlertNode>, Error> {
        let raw: Vec<Result<RawNode, Unread>> = rows!(self, "alert_nodes", sqlx::query(ALL));
        Ok(raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect())
    }

    /// Unless it has said something since.
    pub(crate) async fn forget_alert_node(&self, node: &str, seen_at: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FORGET).bind(node).bind(seen_at))?;
        Ok(tx.commit().await?)
    }
}

fn from_raw(raw: RawNode) -> Result<AlertNode, Error> {
    let place = Place { table: "alert_nodes", row: &raw.node };
    let found = serde_json::from_str(&raw.found);
    let found = found.map_err(|_| place.contradiction("found", "is not a JSON list of texts"))?;
    Ok(AlertNode {
        found,
        seen_at: raw.seen_at,
        backs_up: raw.backs_up != 0,
        examined_at: raw.examined_at,
        node: raw.node,
    })
}
