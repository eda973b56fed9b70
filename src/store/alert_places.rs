//! The table `alert_places`: how far the trail of each node was read for alerts, by the first
//! number of the last block. Moves in the transaction that changes them.
//! Must never go back.

use super::columns::signed;
use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

const PUT: &str = "INSERT INTO alert_places (node, sequence) VALUES ($1, $2)
    ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence";
const ALL: &str = "SELECT node, sequence FROM alert_places ORDER BY node";

impl Store {
    /// One that cannot be read is as if the node's trail had never been read.
    pub(crate) async fn alert_places(&self) -> Result<Vec<(String, u64)>, Error> {
        let raw: Vec<Result<(String, i64), Unread>> = rows!(self, "alert_places", sqlx::query(ALL));
        let read = |raw: Result<(String, i64), Unread>| {
            let (node, sequence) = raw.ok()?;
            Some((node, u64::try_from(sequence).ok()?))
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }
}

pub(super) async fn put(tx: &mut Tx, places: &[(String, u64)]) -> Result<(), Error> {
    for (node, sequence) in places {
        changing!(tx, sqlx::query(PUT).bind(node.as_str()).bind(signed(*sequence)))?;
    }
    Ok(())
}
