//! The table `monthly_calls`: what each client key has used of its month, added up with the records
//! of those calls. Must never count into a month that is over: a call that ends late is that
//! month's no more.

use uuid::Uuid;

use super::columns::signed;
use super::dialect::{Tx, changing, row, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// Calls of a month that began at `start`, to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MonthlyCalls {
    pub(crate) client_id: Uuid,
    pub(crate) start: i64,
    pub(crate) calls: u64,
    /// It is no older than the month of the moment at which this is added. Where a later one is
    /// stored, a clock was set back: then these calls are of that one.
    pub(crate) is_running: bool,
}

/// What is stored of a client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredMonth {
    pub(crate) start: i64,
    pub(crate) calls: u64,
}

const ADD: &str = "INSERT INTO monthly_calls (client_id, start, calls) VALUES ($1, $2, $3)
    ON CONFLICT (client_id) DO UPDATE SET
        calls = excluded.calls
            + CASE WHEN monthly_calls.start >= excluded.start
                AND monthly_calls.calls BETWEEN 0 AND 1000000000000000
                THEN monthly_calls.calls ELSE 0 END,
        start = CASE WHEN monthly_calls.start > excluded.start
            THEN monthly_calls.start ELSE excluded.start END
    WHERE monthly_calls.start <= excluded.start
        OR ($4 = 1 AND monthly_calls.start <= (SELECT MAX(last_time) FROM record_blocks))";
const CALLS: &str = "SELECT start, calls FROM monthly_calls WHERE client_id = $1";
const IMPOSSIBLE: &str = "SELECT client_id FROM monthly_calls
    WHERE calls NOT BETWEEN 0 AND 1000000000000000 ORDER BY client_id LIMIT 100";
const USED: &str = "SELECT m.client_id, k.name, k.monthly_quota, m.start, m.calls
    FROM monthly_calls m JOIN client_keys k ON k.id = m.client_id
    WHERE k.active = 1 AND k.monthly_quota IS NOT NULL ORDER BY m.client_id";
/// More than anybody makes in a month, and so few that no sum of them overflows.
const MOST: u64 = 1_000_000_000_000_000;

/// What an active client key has used of its last month.
pub(crate) struct MonthUse {
    pub(crate) client_id: Uuid,
    pub(crate) name: String,
    pub(crate) quota: u64,
    pub(crate) start: i64,
    pub(crate) calls: u64,
}

impl Store {
    /// Of all that have a monthly quota. What cannot be is left out.
    pub(crate) async fn month_uses(&self) -> Result<Vec<MonthUse>, Error> {
        type Row = (String, String, i64, i64, i64);
        let raw: Vec<Result<Row, Unread>> = rows!(self, "monthly_calls", sqlx::query(USED));
        let read = |raw: Result<Row, Unread>| {
            let (id, name, quota, start, calls) = raw.ok()?;
            Some(MonthUse {
                client_id: Uuid::try_parse(&id).ok()?,
                name,
                quota: u64::try_from(quota).ok()?,
                start,
                calls: u64::try_from(calls).ok().filter(|calls| *calls <= MOST)?,
            })
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// The last month in which a client key was used. What cannot be counts for nothing.
    pub(crate) async fn monthly_calls(
        &self,
        client_id: Uuid,
    ) -> Result<Option<StoredMonth>, Error> {
        let row: Option<(i64, i64)> =
            match row!(self, "monthly_calls", sqlx::query(CALLS).bind(client_id.to_string())) {
                Err(Error::Contradiction { .. }) => None,
                read => read?,
            };
        let possible = |calls: &u64| *calls <= MOST;
        let read = |(start, calls)| StoredMonth {
            start,
            calls: u64::try_from(calls).ok().filter(possible).unwrap_or(0),
        };
        Ok(row.map(read))
    }

    /// A line for each row that says what cannot be.
    pub(crate) async fn impossible_months(&self) -> Result<Vec<String>, Error> {
        let ids = rows!(self, "monthly_calls", sqlx::query(IMPOSSIBLE));
        let sentence = |row: Result<(String,), Unread>| {
            let id = row.map_or_else(|unread| unread.text(0), |(id,)| id);
            let id: String = id.chars().take(100).collect();
            format!(
                "the table monthly_calls says of client key {id:?} what cannot be: somebody edited \
                 it; it counts for nothing, and the key's next call sets the row right"
            )
        };
        Ok(ids.into_iter().map(sentence).collect())
    }
}

pub(super) async fn add(tx: &mut Tx, calls: &[MonthlyCalls]) -> Result<(), Error> {
    // In one order everywhere, or two nodes could wait for each other's rows.
    let mut ordered: Vec<&MonthlyCalls> = calls.iter().collect();
    ordered.sort_by_key(|calls| (calls.client_id, calls.start));
    for one in ordered {
        changing!(
            tx,
            sqlx::query(ADD)
                .bind(one.client_id.to_string())
                .bind(one.start)
                .bind(signed(one.calls.min(MOST)))
                .bind(i64::from(one.is_running))
        )?;
    }
    Ok(())
}
