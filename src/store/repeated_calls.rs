//! The table `repeated_calls`: calls that asked again for what their client key had been told
//! shortly before, by day, way and secret. A node writes rows of its own alone, in the transaction
//! that counts its records; of one client key and day it keeps so many, and what comes beyond
//! stands for its whole provider. Must never hold a query, and must never lose a call.

use uuid::Uuid;

use super::columns::signed;
use super::dialect::{Tx, changing, rows, rows_within};
use super::lenient::Unread;
use super::{Error, Store};

/// Calls of a day that share everything by which they are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RepeatedCalls {
    pub(crate) client_id: Uuid,
    /// When the day begins, in UTC.
    pub(crate) day_ms: i64,
    pub(crate) secret_id: Option<Uuid>,
    pub(crate) provider: String,
    /// As in a scope.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    pub(crate) calls: u64,
    /// Of their answers.
    pub(crate) bytes: u64,
    /// Where calls have a price, in millionths of a dollar.
    pub(crate) cost: u64,
    /// All of these answers were to hold for so long, or longer.
    pub(crate) fresh_seconds: u32,
}

const ADD: &str = "UPDATE repeated_calls SET
    calls = $7 + CASE WHEN calls BETWEEN 0 AND 9007199254740992 THEN calls ELSE 0 END,
    bytes = $8 + CASE WHEN bytes BETWEEN 0 AND 9007199254740992 THEN bytes ELSE 0 END,
    cost = $9 + CASE WHEN cost BETWEEN 0 AND 9007199254740992 THEN cost ELSE 0 END,
    fresh_seconds = CASE WHEN fresh_seconds < $10 THEN fresh_seconds ELSE $10 END
    WHERE client_id = $1 AND node = $2 AND day = $3 AND secret_id = $4 AND provider = $5
    AND path = $6";
const INSERT: &str = "INSERT INTO repeated_calls
    (client_id, node, day, secret_id, provider, path, calls, bytes, cost, fresh_seconds)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const HELD: &str = "SELECT client_id, day, secret_id, provider, path FROM repeated_calls
    WHERE client_id = $1 AND node = $2 AND day = $3";
// A cell that somebody edited is left out, and no sum of what is left is too large for its type.
const WITHIN: &str = "SELECT client_id, MIN(day), secret_id, provider, path,
    CAST(SUM(CASE WHEN calls BETWEEN 0 AND 1125899906842624 THEN calls ELSE 0 END) AS BIGINT),
    CAST(SUM(CASE WHEN bytes BETWEEN 0 AND 1125899906842624 THEN bytes ELSE 0 END) AS BIGINT),
    CAST(SUM(CASE WHEN cost BETWEEN 0 AND 1125899906842624 THEN cost ELSE 0 END) AS BIGINT),
    MIN(fresh_seconds) FROM repeated_calls WHERE day >= $1 AND day < $2
    GROUP BY client_id, secret_id, provider, path
    ORDER BY client_id, provider, path, secret_id LIMIT $3";
const FORGET: &str = "DELETE FROM repeated_calls WHERE node = $1 AND day < $2";
const FORGET_CLIENT: &str = "DELETE FROM repeated_calls WHERE client_id = $1";
/// Of one client key on one day and node. Beyond it there is one row for each secret.
pub(super) const MOST: usize = 64;
const ANYWHERE: &str = "/**";
/// As long as the days of usage that are beside it in a report.
const KEPT_MS: i64 = 400 * 86_400_000;
const MOST_COUNT: i64 = 1 << 53;

type RawHeld = (String, i64, String, String, String);
type RawRepeated = (String, i64, String, String, String, i64, i64, i64, i64);

impl Repeated {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.cost = self.cost.saturating_add(other.cost);
        self.fresh_seconds = self.fresh_seconds.min(other.fresh_seconds);
    }
}

impl Store {
    /// The days that begin within the span together, each under the first of them; at most so many
    /// ways: None if there are more.
    pub(crate) async fn repeated_calls(
        &self,
        (from_ms, to_ms): (i64, i64),
        most: u32,
    ) -> Result<Option<Vec<(RepeatedCalls, Repeated)>>, Error> {
        let limit = i64::from(most) + 1;
        let raw: Vec<Result<RawRepeated, Unread>> = rows!(
            self,
            "repeated_calls",
            sqlx::query(WITHIN).bind(from_ms).bind(to_ms).bind(limit)
        );
        if raw.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        // A cell that somebody edited is of no call.
        Ok(Some(raw.into_iter().flatten().filter_map(from_raw).collect()))
    }
}

/// `repeated` in an order that is the same everywhere.
pub(super) async fn add(
    tx: &mut Tx,
    node: &str,
    repeated: &[(RepeatedCalls, Repeated)],
) -> Result<(), Error> {
    for (calls, more) in repeated {
        if write(tx, ADD, (node, calls, more)).await? > 0 {
            continue;
        }
        if held(tx, node, calls).await? < MOST {
            write(tx, INSERT, (node, calls, more)).await?;
            continue;
        }
        let wide = RepeatedCalls { path: ANYWHERE.to_owned(), ..calls.clone() };
        if write(tx, ADD, (node, &wide, more)).await? == 0 {
            write(tx, INSERT, (node, &wide, more)).await?;
        }
    }
    Ok(())
}

/// How many rows there are of its client key and day.
async fn held(tx: &mut Tx, node: &str, of: &RepeatedCalls) -> Result<usize, Error> {
    let raw: Vec<Result<RawHeld, Unread>> = rows_within!(
        &mut *tx,
        "repeated_calls",
        sqlx::query(HELD).bind(of.client_id.to_string()).bind(node).bind(of.day_ms)
    );
    Ok(raw.len())
}

async fn write(
    tx: &mut Tx,
    statement: &'static str,
    (node, of, more): (&str, &RepeatedCalls, &Repeated),
) -> Result<u64, Error> {
    let number = |number: u64| signed(number).min(MOST_COUNT);
    let secret_id = of.secret_id.map(|id| id.to_string()).unwrap_or_default();
    let changed = changing!(
        tx,
        sqlx::query(statement)
            .bind(of.client_id.to_string())
            .bind(node)
            .bind(of.day_ms)
            .bind(secret_id)
            .bind(of.provider.as_str())
            .bind(of.path.as_str())
            .bind(number(more.calls))
            .bind(number(more.bytes))
            .bind(number(more.cost))
            .bind(i64::from(more.fresh_seconds))
    )?;
    Ok(changed)
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

fn from_raw(
    (id, day_ms, secret, provider, path, calls, bytes, cost, fresh): RawRepeated,
) -> Option<(RepeatedCalls, Repeated)> {
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    let client_id = Uuid::try_parse(&id).ok()?;
    let secret_id = Uuid::try_parse(&secret).ok();
    let fresh_seconds = u32::try_from(fresh).ok()?;
    Some((
        RepeatedCalls { client_id, day_ms, secret_id, provider, path },
        Repeated { calls: number(calls), bytes: number(bytes), cost: number(cost), fresh_seconds },
    ))
}
