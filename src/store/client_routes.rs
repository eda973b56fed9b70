//! The table `client_routes`: which ways the calls of each client key went, and since when. A node
//! writes rows of its own alone, in the transaction that counts its records; of one client key it
//! keeps so many, and gathers what looks alike where there are more.
//! Must never lose a way that was gone: it is widened, never dropped.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::columns::signed;
use super::dialect::{Tx, changing, rows, rows_within};
use super::lenient::Unread;
use super::{Error, Store};
use crate::client::{Route, gathered};

/// How often a way was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) calls: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A way that calls of a client key went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientRoute {
    pub(crate) client_id: Uuid,
    pub(crate) route: Route,
    pub(crate) gone: Gone,
}

const ADD: &str = "UPDATE client_routes SET calls = $6 + CASE
        WHEN calls BETWEEN 0 AND 9007199254740992 THEN calls ELSE 0 END,
    first_seen = CASE WHEN first_seen < $7 THEN first_seen ELSE $7 END,
    last_seen = CASE WHEN last_seen > $8 THEN last_seen ELSE $8 END
    WHERE client_id = $1 AND node = $2 AND provider = $3 AND method = $4 AND path = $5";
const INSERT: &str = "INSERT INTO client_routes
    (client_id, node, provider, method, path, calls, first_seen, last_seen)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const OF_CLIENT: &str = "SELECT client_id, provider, method, path, calls, first_seen, last_seen
    FROM client_routes WHERE client_id = $1 AND node = $2 ORDER BY provider, method, path";
const DROP: &str = "DELETE FROM client_routes WHERE client_id = $1 AND node = $2";
const SINCE: &str = "SELECT client_id, provider, method, path, calls, first_seen, last_seen
    FROM client_routes WHERE last_seen >= $1 ORDER BY client_id, provider, method, path LIMIT $2";
const BEGINNING: &str = "SELECT 'first', MIN(first_seen) FROM client_routes";
const FORGET: &str = "DELETE FROM client_routes WHERE node = $1 AND last_seen < $2";
const FORGET_CLIENT: &str = "DELETE FROM client_routes WHERE client_id = $1";
/// Of one client key on one node; no program has more.
pub(super) const MOST: usize = 128;
/// So long after a way was gone last.
const KEPT_MS: i64 = 400 * 86_400_000;
const MOST_CALLS: i64 = 1 << 53;

type RawRoute = (String, String, String, String, i64, i64, i64);

impl Gone {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Store {
    /// Those that were gone since, by client key; of several nodes added up. At most so many rows
    /// are read: None if there are more.
    pub(crate) async fn client_routes(
        &self,
        since_ms: i64,
        most: u32,
    ) -> Result<Option<Vec<ClientRoute>>, Error> {
        let limit = i64::from(most) + 1;
        let raw: Vec<Result<RawRoute, Unread>> =
            rows!(self, "client_routes", sqlx::query(SINCE).bind(since_ms).bind(limit));
        if raw.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let mut routes: Vec<ClientRoute> = Vec::new();
        for row in raw.into_iter().flatten().filter_map(from_raw) {
            match routes.last_mut() {
                Some(last) if last.client_id == row.client_id && last.route == row.route => {
                    last.gone.merge(&row.gone);
                }
                Some(_) | None => routes.push(row),
            }
        }
        Ok(Some(routes))
    }

    /// Since when ways are written down at all; None where none was gone.
    pub(crate) async fn routes_since(&self) -> Result<Option<i64>, Error> {
        let raw: Vec<Result<(String, Option<i64>), Unread>> =
            rows!(self, "client_routes", sqlx::query(BEGINNING));
        Ok(raw.into_iter().flatten().find_map(|(_, first)| first))
    }
}

/// `routes` in an order that is the same everywhere.
pub(super) async fn add(tx: &mut Tx, node: &str, routes: &[ClientRoute]) -> Result<(), Error> {
    for one in routes {
        if count(tx, node, one).await? {
            continue;
        }
        let mut held = of_client(tx, node, one.client_id).await?;
        let is_covered = |held: &[ClientRoute]| {
            held.iter().find(|held| held.route.covers(&one.route)).map(|held| held.route.clone())
        };
        let mut place = is_covered(&held);
        if place.is_none() && held.len() >= MOST {
            held = gather(tx, (node, one.client_id), &held).await?;
            place = is_covered(&held);
        }
        let route = place.unwrap_or_else(|| fitting(&held, &one.route));
        let fitted = ClientRoute { route, ..one.clone() };
        if !count(tx, node, &fitted).await? {
            insert(tx, node, &fitted).await?;
        }
    }
    Ok(())
}

/// As it is while there is room; else wider, and then as wide as can be.
fn fitting(held: &[ClientRoute], route: &Route) -> Route {
    match held.len() {
        fewer if fewer < MOST => route.clone(),
        fewer if fewer < MOST + MOST / 2 => route.blurred(),
        _ => route.anywhere(),
    }
}

/// What looks alike of one client key becomes one.
async fn gather(
    tx: &mut Tx,
    (node, client_id): (&str, Uuid),
    held: &[ClientRoute],
) -> Result<Vec<ClientRoute>, Error> {
    let routes: Vec<Route> = held.iter().map(|held| held.route.clone()).collect();
    let mut merged: BTreeMap<Route, Gone> = BTreeMap::new();
    for (route, held) in gathered(&routes).into_iter().zip(held) {
        merged.entry(route).and_modify(|gone| gone.merge(&held.gone)).or_insert(held.gone);
    }
    if merged.len() == held.len() {
        return Ok(held.to_vec());
    }
    changing!(&mut *tx, sqlx::query(DROP).bind(client_id.to_string()).bind(node))?;
    let merged = merged.into_iter().map(|(route, gone)| ClientRoute { client_id, route, gone });
    let merged: Vec<ClientRoute> = merged.collect();
    for one in &merged {
        insert(tx, node, one).await?;
    }
    Ok(merged)
}

/// False where no row is of this way.
async fn count(tx: &mut Tx, node: &str, one: &ClientRoute) -> Result<bool, Error> {
    Ok(write(tx, ADD, (node, one)).await? > 0)
}

async fn insert(tx: &mut Tx, node: &str, one: &ClientRoute) -> Result<(), Error> {
    write(tx, INSERT, (node, one)).await.map(|_| ())
}

async fn write(
    tx: &mut Tx,
    statement: &'static str,
    (node, one): (&str, &ClientRoute),
) -> Result<u64, Error> {
    let changed = changing!(
        tx,
        sqlx::query(statement)
            .bind(one.client_id.to_string())
            .bind(node)
            .bind(one.route.provider.as_str())
            .bind(one.route.method.as_str())
            .bind(one.route.path.as_str())
            .bind(signed(one.gone.calls).min(MOST_CALLS))
            .bind(one.gone.first)
            .bind(one.gone.last)
    )?;
    Ok(changed)
}

async fn of_client(tx: &mut Tx, node: &str, client_id: Uuid) -> Result<Vec<ClientRoute>, Error> {
    let raw: Vec<Result<RawRoute, Unread>> = rows_within!(
        &mut *tx,
        "client_routes",
        sqlx::query(OF_CLIENT).bind(client_id.to_string()).bind(node)
    );
    // A cell that somebody edited is of no way.
    Ok(raw.into_iter().flatten().filter_map(from_raw).collect())
}

/// This node's rows that nobody asks for any more.
pub(super) async fn forget(tx: &mut Tx, node: &str, now_ms: i64) -> Result<(), Error> {
    let before = now_ms.saturating_sub(KEPT_MS);
    changing!(tx, sqlx::query(FORGET).bind(node).bind(before))?;
    Ok(())
}

/// Of a client key that is deleted.
pub(super) async fn forget_client(tx: &mut Tx, client_id: Uuid) -> Result<(), Error> {
    changing!(tx, sqlx::query(FORGET_CLIENT).bind(client_id.to_string()))?;
    Ok(())
}

fn from_raw((id, provider, method, path, calls, first, last): RawRoute) -> Option<ClientRoute> {
    let calls = u64::try_from(calls).ok().filter(|_| calls <= MOST_CALLS).unwrap_or_default();
    Some(ClientRoute {
        client_id: Uuid::try_parse(&id).ok()?,
        route: Route { provider, method, path },
        gone: Gone { calls, first, last },
    })
}
