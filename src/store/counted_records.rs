//! The table `counted_records`: as far as a node's records are counted in the tables of client keys
//! and their calls. Moves in the transaction that counts them.
//! Must never let a record be counted twice.

use super::client_addresses::{self, CalledFrom};
use super::client_keys::{self, Touch};
use super::client_routes::{self, ClientRoute};
use super::columns::{Place, signed};
use super::dialect::{Tx, changing, row, rows};
use super::lenient::Unread;
use super::monthly_calls::{self, MonthlyCalls};
use super::recent_calls::{self, RecentCalls};
use super::repeated_calls::{self, Repeated, RepeatedCalls};
use super::secret_versions::{self, VersionUse};
use super::usage_rollups::{self, UsageKey, UsageSum};
use super::{Error, Store};

/// What records leave on client keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) touches: Vec<Touch>,
    pub(crate) monthly: Vec<MonthlyCalls>,
    pub(crate) recent: Vec<RecentCalls>,
    pub(crate) addresses: Vec<CalledFrom>,
    /// In one order everywhere.
    pub(crate) usage: Vec<(UsageKey, UsageSum)>,
    /// In one order everywhere.
    pub(crate) routes: Vec<ClientRoute>,
    /// In one order everywhere.
    pub(crate) repeated: Vec<(RepeatedCalls, Repeated)>,
    /// In one order everywhere.
    pub(crate) served: Vec<VersionUse>,
    /// The node's next record that is not among them.
    pub(crate) next_sequence: u64,
    /// What ended before this is in no window any more.
    pub(crate) forget_before: i64,
    /// Sums of usage that are too old by this moment go. None: it is not the time for that.
    pub(crate) forget_usage_at: Option<i64>,
}

const MOVE: &str = "INSERT INTO counted_records (node, next_sequence) VALUES ($1, $2)
    ON CONFLICT (node) DO UPDATE SET next_sequence = excluded.next_sequence
    WHERE counted_records.next_sequence <> excluded.next_sequence";
const NODES: &str = "SELECT node FROM counted_records ORDER BY node";
const NEXT: &str = "SELECT next_sequence FROM counted_records WHERE node = $1";

impl Store {
    /// Counts records that are stored already.
    pub(crate) async fn count_records(&self, node: &str, counted: &Counted) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        count(&mut tx, node, counted).await?;
        Ok(tx.commit().await?)
    }

    /// The nodes that have records, without a look at these.
    pub(crate) async fn counted_nodes(&self) -> Result<Vec<String>, Error> {
        let nodes: Vec<Result<(String,), Unread>> =
            rows!(self, "counted_records", sqlx::query(NODES));
        Ok(nodes.into_iter().filter_map(|row| row.ok().map(|(node,)| node)).collect())
    }

    /// The first record of a node that is not counted. None where none ever was.
    pub(crate) async fn counted_records(&self, node: &str) -> Result<Option<u64>, Error> {
        let next: Option<(i64,)> = row!(self, "counted_records", sqlx::query(NEXT).bind(node))?;
        let place = Place { table: "counted_records", row: node };
        next.map(|(next,)| place.count("next_sequence", next)).transpose()
    }
}

pub(super) async fn count(tx: &mut Tx, node: &str, counted: &Counted) -> Result<(), Error> {
    let next_sequence = signed(counted.next_sequence);
    let moved = changing!(tx, sqlx::query(MOVE).bind(node).bind(next_sequence))?;
    if moved == 0 {
        // An earlier try was committed after all.
        return Ok(());
    }
    client_keys::touch(tx, &counted.touches).await?;
    monthly_calls::add(tx, &counted.monthly).await?;
    recent_calls::add(tx, node, &counted.recent).await?;
    client_addresses::see(tx, &counted.addresses).await?;
    usage_rollups::add(tx, node, &counted.usage).await?;
    client_routes::add(tx, node, &counted.routes).await?;
    repeated_calls::add(tx, node, &counted.repeated).await?;
    secret_versions::touch(tx, &counted.served).await?;
    if let Some(now_ms) = counted.forget_usage_at {
        usage_rollups::forget(tx, node, now_ms).await?;
        client_routes::forget(tx, node, now_ms).await?;
        repeated_calls::forget(tx, node, now_ms).await?;
    }
    recent_calls::forget(tx, node, counted.forget_before).await
}
