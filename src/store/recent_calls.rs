//! The table `recent_calls`: what each client key was admitted by a node within the last window, in
//! short spans, so that a restart gives nobody a fresh window.
//! Must never keep what is in no window any more.

use uuid::Uuid;

use super::columns::{Place, signed};
use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::{Error, Store};
use crate::client::Tier;

/// Calls of a short span that ends at `end_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecentCalls {
    pub(crate) end_at: i64,
    pub(crate) client_id: Uuid,
    pub(crate) calls: u64,
}

/// Rows of a node, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentPage {
    pub(crate) rows: Vec<RecentCalls>,
    /// Those that say what cannot be; they are left out.
    pub(crate) unread: usize,
    /// Where the next page begins: behind this row. None: there is none.
    pub(crate) last: Option<(i64, String)>,
}

impl RecentCalls {
    /// Does it say of calls that nobody can have made yet? Clocks of nodes differ a little.
    pub(crate) fn is_to_come(&self, now_ms: i64) -> bool {
        const SKEW_MS: i64 = 24 * 60 * 60 * 1000;
        self.end_at > now_ms.saturating_add(SKEW_MS)
    }
}

#[derive(sqlx::FromRow)]
struct RawCalls {
    end_at: i64,
    client_id: String,
    calls: i64,
}

const ADD: &str = "INSERT INTO recent_calls (node, end_at, client_id, calls)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (node, end_at, client_id)
    DO UPDATE SET calls = excluded.calls
        + CASE WHEN recent_calls.calls BETWEEN 0 AND 1000000000000000
            THEN recent_calls.calls ELSE 0 END";
const FORGET: &str = "DELETE FROM recent_calls WHERE node = $1 AND end_at < $2";
const PAGE: &str = "SELECT end_at, client_id, calls FROM recent_calls
    WHERE node = $1 AND (end_at > $2 OR (end_at = $2 AND client_id > $3))
    ORDER BY end_at, client_id LIMIT $4";
// Sums of what somebody may have edited overflow nowhere.
const NEAR: &str = "SELECT r.client_id, k.name, k.tier, k.quota_limit,
        CAST(SUM(CASE WHEN r.calls BETWEEN 0 AND 1000000000000 THEN r.calls ELSE 0 END) AS BIGINT)
    FROM recent_calls r JOIN client_keys k ON k.id = r.client_id
    WHERE k.active = 1 AND r.end_at > $1
    GROUP BY r.client_id, k.name, k.tier, k.quota_limit ORDER BY r.client_id";
const NODES: &str = "SELECT DISTINCT node FROM recent_calls ORDER BY node";

/// What an active client key has used of its window, on all nodes.
pub(crate) struct WindowUse {
    pub(crate) client_id: Uuid,
    pub(crate) name: String,
    pub(crate) tier: Tier,
    /// Its own limit, where it has one.
    pub(crate) limit: Option<u64>,
    pub(crate) calls: u64,
}

impl Store {
    /// Of all that called since a moment. What cannot be read is left out.
    pub(crate) async fn window_uses(&self, since_ms: i64) -> Result<Vec<WindowUse>, Error> {
        type Row = (String, String, String, Option<i64>, i64);
        let raw: Vec<Result<Row, Unread>> =
            rows!(self, "recent_calls", sqlx::query(NEAR).bind(since_ms));
        let read = |raw: Result<Row, Unread>| {
            let (id, name, tier, limit, calls) = raw.ok()?;
            Some(WindowUse {
                client_id: Uuid::try_parse(&id).ok()?,
                name,
                tier: Tier::parse(&tier)?,
                limit: limit.and_then(|limit| u64::try_from(limit).ok()),
                calls: u64::try_from(calls).ok()?,
            })
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// The nodes that have rows here.
    pub(crate) async fn counting_nodes(&self) -> Result<Vec<String>, Error> {
        let nodes: Vec<Result<(String,), Unread>> = rows!(self, "nodes", sqlx::query(NODES));
        Ok(nodes.into_iter().filter_map(|row| row.ok().map(|(node,)| node)).collect())
    }

    /// The next rows of a node behind the one that is given, oldest first.
    pub(crate) async fn recent_calls(
        &self,
        node: &str,
        behind: Option<&(i64, String)>,
        limit: u32,
    ) -> Result<RecentPage, Error> {
        let behind_of = behind;
        let (end_at, behind) = behind.map_or((i64::MIN, ""), |(end_at, id)| (*end_at, id));
        let raw: Vec<Result<RawCalls, Unread>> = rows!(
            self,
            "recent_calls",
            sqlx::query(PAGE).bind(node).bind(end_at).bind(behind).bind(i64::from(limit))
        );
        let last = raw.last().and_then(|raw| match raw {
            Ok(raw) => Some((raw.end_at, raw.client_id.clone())),
            Err(unread) => Some((unread.text(0).parse().ok()?, unread.text(1))),
        });
        // Behind a row whose place cannot be told, nothing more is asked for.
        let last = last.filter(|last| behind_of != Some(last));
        let read = |raw: Result<RawCalls, Unread>| -> Result<RecentCalls, Error> {
            let raw = raw?;
            let place = Place { table: "recent_calls", row: &raw.client_id };
            Ok(RecentCalls {
                end_at: raw.end_at,
                client_id: place.id("client_id", &raw.client_id)?,
                calls: place.count("calls", raw.calls)?,
            })
        };
        let found = raw.len();
        let rows: Vec<_> = raw.into_iter().filter_map(|raw| read(raw).ok()).collect();
        Ok(RecentPage { unread: found - rows.len(), rows, last })
    }
}

pub(super) async fn add(tx: &mut Tx, node: &str, calls: &[RecentCalls]) -> Result<(), Error> {
    for one in calls {
        changing!(
            tx,
            sqlx::query(ADD)
                .bind(node)
                .bind(one.end_at)
                .bind(one.client_id.to_string())
                .bind(signed(one.calls.min(1_000_000_000_000_000)))
        )?;
    }
    Ok(())
}

pub(super) async fn forget(tx: &mut Tx, node: &str, before: i64) -> Result<(), Error> {
    changing!(tx, sqlx::query(FORGET).bind(node).bind(before))?;
    Ok(())
}
