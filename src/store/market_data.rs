//! The table `market_data`: candles, each number as the provider wrote it, times in nanoseconds
//! since 1970. On PostgreSQL a partition a month, made when its first candle comes.
//! Must never count a page as stored before all of it is, its checkpoint included.

use std::fmt::Write as _;
use std::sync::LazyLock;

use sqlx::AssertSqlSafe;

use super::backfill_parts::{self, Progress};
use super::dialect::{Tx, changing, rows, within};
use super::lenient::Unread;
use super::{Error, Store, market_series};

/// A candle on its way in; its numbers are text of the page that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewCandle<'a> {
    /// When it begins.
    pub(crate) time: i64,
    pub(crate) open: &'a str,
    pub(crate) high: &'a str,
    pub(crate) low: &'a str,
    pub(crate) close: &'a str,
    pub(crate) volume: &'a str,
    pub(crate) vwap: Option<&'a str>,
    pub(crate) trades: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct CandleRow {
    symbol_id: i64,
    span: i64,
    pub(crate) time: i64,
    pub(crate) open: String,
    pub(crate) high: String,
    pub(crate) low: String,
    pub(crate) close: String,
    pub(crate) volume: String,
    pub(crate) vwap: Option<String>,
    pub(crate) trades: Option<i64>,
}

/// Where a page was read to, and what it came to.
pub(crate) struct PageEnd<'a> {
    pub(crate) run: uuid::Uuid,
    pub(crate) symbol_id: i64,
    pub(crate) span: i64,
    /// The checkpoint that this page began at: whoever has another one writes nothing.
    pub(crate) from: i64,
    pub(crate) progress: Progress<'a>,
}

const DAY_NS: i64 = 86_400_000_000_000;
/// Rows of one statement: one large text, one for the rest, both prepared once.
const MANY: usize = 500;
const FEW: usize = 25;

const COUNT: &str = "SELECT COUNT(*) FROM market_data
    WHERE symbol_id = $1 AND span = $2 AND time >= $3 AND time <= $4";
const PAGE: &str = "SELECT symbol_id, span, time, open, high, low, close, volume, vwap, trades
    FROM market_data WHERE symbol_id = $1 AND span = $2 AND time >= $3 AND time < $4
    ORDER BY time LIMIT $5";
const TIMES: &str = "SELECT (time - $5) / $6 AS part FROM market_data
    WHERE symbol_id = $1 AND span = $2 AND time >= $3 AND time < $4 GROUP BY 1 ORDER BY 1";

type Upserts = LazyLock<[(usize, String); 3]>;

static ON_SQLITE: Upserts = LazyLock::new(|| upserts(Parameters::InOrder));
static ON_POSTGRES: Upserts = LazyLock::new(|| upserts(Parameters::Numbered));

/// How the values of a statement are named. To SQLite a number is a name, and each one is looked
/// for among all of them: with thousands that takes longer than to store the rows.
#[derive(Clone, Copy)]
enum Parameters {
    InOrder,
    Numbered,
}

const VALUES: usize = 10;

fn upserts(parameters: Parameters) -> [(usize, String); 3] {
    [MANY, FEW, 1].map(|rows| (rows, upsert(rows, parameters)))
}

fn upsert(rows: usize, parameters: Parameters) -> String {
    let mut sql = String::from(
        "INSERT INTO market_data (symbol_id, span, time, open, high, low, close, volume, vwap,
        trades) VALUES ",
    );
    for row in 0..rows {
        for column in 0..VALUES {
            let before = match (row, column) {
                (0, 0) => "(",
                (_, 0) => ", (",
                _ => ", ",
            };
            let _infallible = match parameters {
                Parameters::InOrder => write!(sql, "{before}?"),
                Parameters::Numbered => write!(sql, "{before}${}", 1 + row * VALUES + column),
            };
        }
        sql.push(')');
    }
    sql.push_str(
        " ON CONFLICT (symbol_id, span, time) DO UPDATE SET open = excluded.open,
        high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, vwap = excluded.vwap, trades = excluded.trades",
    );
    sql
}

/// Binds the values of some candles of a series.
macro_rules! bound {
    ($sql:expr, $series:expr, $candles:expr) => {{
        let mut query = sqlx::query($sql);
        for candle in $candles {
            query = query
                .bind($series.0)
                .bind($series.1)
                .bind(candle.time)
                .bind(candle.open)
                .bind(candle.high)
                .bind(candle.low)
                .bind(candle.close)
                .bind(candle.volume)
                .bind(candle.vwap)
                .bind(candle.trades);
        }
        query
    }};
}

impl Store {
    /// The candles of a page, what is known of their series, and the checkpoint, all or nothing.
    /// `Error::LeaseLost` where somebody else has gone on from the same checkpoint.
    pub(crate) async fn store_page(
        &self,
        candles: &[NewCandle<'_>],
        end: &PageEnd<'_>,
    ) -> Result<(), Error> {
        let series = (end.symbol_id, end.span);
        let mut tx = self.begin().await?;
        if !backfill_parts::advance(&mut tx, end).await? {
            return Err(Error::LeaseLost);
        }
        let mut new = 0;
        if let (Some(first), Some(last)) = (candles.first(), candles.last()) {
            make_months(&mut tx, candles.iter().map(|candle| candle.time)).await?;
            let before = count(&mut tx, series, (first.time, last.time)).await?;
            write(&mut tx, series, candles).await?;
            new = count(&mut tx, series, (first.time, last.time)).await? - before;
        }
        let ends = candles.first().zip(candles.last());
        let ends = ends.map(|(first, last)| (first.time, last.time));
        market_series::grow(&mut tx, series, (new, ends), &end.progress).await?;
        Ok(tx.commit().await?)
    }

    /// Candles from one time on and before another, the oldest first.
    pub(crate) async fn candles(
        &self,
        (symbol_id, span): (i64, i64),
        (from, to): (i64, i64),
        limit: u32,
    ) -> Result<Vec<CandleRow>, Error> {
        let found = rows!(
            self,
            "market_data",
            sqlx::query(PAGE).bind(symbol_id).bind(span).bind(from).bind(to).bind(i64::from(limit))
        );
        found.into_iter().map(|row: Result<CandleRow, Unread>| Ok(row?)).collect()
    }

    /// The parts of time since 1970, days or hours, of which there is any candle, as they begin
    /// `offset` nanoseconds into those of UTC and last `length`.
    pub(crate) async fn candle_times(
        &self,
        (symbol_id, span): (i64, i64),
        (from, to): (i64, i64),
        (offset, length): (i64, i64),
    ) -> Result<Vec<i64>, Error> {
        let found = rows!(
            self,
            "market_data",
            sqlx::query(TIMES)
                .bind(symbol_id)
                .bind(span)
                .bind(from)
                .bind(to)
                .bind(offset)
                .bind(length)
        );
        found.into_iter().map(|row: Result<(i64,), Unread>| Ok(row?.0)).collect()
    }
}

async fn count(tx: &mut Tx, series: (i64, i64), (first, last): (i64, i64)) -> Result<i64, Error> {
    let counted: i64 = within!(tx, db => {
        sqlx::query_scalar(COUNT)
            .bind(series.0)
            .bind(series.1)
            .bind(first)
            .bind(last)
            .fetch_one(db)
    })?;
    Ok(counted)
}

async fn write(
    tx: &mut Tx,
    series: (i64, i64),
    mut candles: &[NewCandle<'_>],
) -> Result<(), Error> {
    let upserts = match tx {
        Tx::Sqlite(_) => &*ON_SQLITE,
        Tx::Postgres(_) => &*ON_POSTGRES,
    };
    for (rows, sql) in upserts {
        while let Some((some, rest)) = candles.split_at_checked(*rows) {
            changing!(tx, bound!(AssertSqlSafe(sql.as_str()), series, some))?;
            candles = rest;
        }
    }
    Ok(())
}

/// On PostgreSQL: the partitions of these times, where they are not there yet.
pub(super) async fn make_months(
    tx: &mut Tx,
    times: impl Iterator<Item = i64>,
) -> Result<(), Error> {
    const MAKE: &str = "SELECT market_data_month($1)";
    let Tx::Postgres(tx) = tx else { return Ok(()) };
    let mut made = None;
    for time in times {
        let month = month_start(time);
        if made != Some(month) {
            sqlx::query(MAKE).bind(month).execute(&mut **tx).await?;
            made = Some(month);
        }
    }
    Ok(())
}

/// The first nanosecond of the month, in UTC.
fn month_start(time: i64) -> i64 {
    let Ok(at) = jiff::Timestamp::from_nanosecond(i128::from(time)) else { return time };
    let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let into_month = i64::from(day.day()) - 1;
    (time.div_euclid(DAY_NS) - into_month) * DAY_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_with_its_first_nanosecond() {
        let at = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            i64::try_from(at.as_nanosecond()).unwrap()
        };
        for (time, month) in [
            ("2024-02-29T23:59:59.999999999Z", "2024-02-01T00:00:00Z"),
            ("2024-02-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-01T00:00:00Z"),
        ] {
            assert_eq!(month_start(at(time)), at(month), "{time}");
        }
    }

    #[test]
    fn a_statement_of_many_rows_numbers_its_values_through() {
        let numbered = upsert(2, Parameters::Numbered);
        assert!(numbered.contains("($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), ($11, $12, $13"));
        let in_order = upsert(2, Parameters::InOrder);
        assert!(in_order.contains("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?"), "{in_order}");
        assert_eq!(ON_SQLITE.each_ref().map(|(rows, _)| *rows), [MANY, FEW, 1]);
    }
}
