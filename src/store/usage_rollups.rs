//! The table `usage_rollups`: what calls added up to, by minute, hour and day, and by one thing at
//! a time: provider, secret, client, status, or all together. A node writes rows of its own alone,
//! in the transaction that counts its records. Must never stop the trail: a cell that somebody
//! edited counts for nothing.

use super::columns::signed;
use super::dialect::{Tx, changing, reading, rows, within};
use super::durations::Durations;
use super::lenient::Unread;
use super::{Error, Store};

/// What a row adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Dimension {
    All,
    Provider,
    Secret,
    Client,
    Status,
    /// Of the calls whose answer named one: `provider/model`.
    Model,
}

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Bucket {
    Minute,
    Hour,
    Day,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UsageKey {
    pub(crate) bucket: Bucket,
    /// When the bucket begins, in UTC.
    pub(crate) start_ms: i64,
    pub(crate) dimension: Dimension,
    /// The provider's id, the secret's, …; empty where there is none.
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsageSum {
    pub(crate) requests: u64,
    /// By whose fault: client, provider, us.
    pub(crate) errors: [u64; 3],
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
    /// In millionths of a dollar.
    pub(crate) cost: u64,
    /// Calls that cost something, and nobody knows what.
    pub(crate) unpriced: u64,
    pub(crate) durations: Durations,
}

#[derive(sqlx::FromRow)]
struct RawUsage {
    start: i64,
    name: String,
    requests: i64,
    client_errors: i64,
    provider_errors: i64,
    our_errors: i64,
    bytes_in: i64,
    bytes_out: i64,
    tokens_in: i64,
    tokens_out: i64,
    cost: i64,
    unpriced: i64,
    durations: Vec<u8>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT start, name, requests, client_errors, provider_errors, our_errors, bytes_in,
            bytes_out, tokens_in, tokens_out, cost, unpriced, durations FROM usage_rollups ",
            $rest
        )
    };
}

const HELD: &str =
    select!("WHERE bucket = $1 AND dimension = $2 AND start = $3 AND name = $4 AND node = $5");
const PUT: &str = "INSERT INTO usage_rollups (bucket, dimension, start, name, node, requests,
    client_errors, provider_errors, our_errors, bytes_in, bytes_out, tokens_in, tokens_out, cost,
    unpriced, durations)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (bucket, dimension, start, name, node) DO UPDATE SET
    requests = excluded.requests, client_errors = excluded.client_errors,
    provider_errors = excluded.provider_errors, our_errors = excluded.our_errors,
    bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
    tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, cost = excluded.cost,
    unpriced = excluded.unpriced, durations = excluded.durations";
const RANGE: &str = select!(
    "WHERE bucket = $1 AND dimension = $2 AND start >= $3 AND start < $4
    ORDER BY start, name LIMIT $5"
);
const REQUESTS: &str = "SELECT name,
        CAST(SUM(CASE WHEN requests BETWEEN 0 AND 1000000000000 THEN requests ELSE 0 END) AS BIGINT)
    FROM usage_rollups WHERE bucket = 'minute' AND dimension = 'client' AND start >= $1
        AND start < $2 GROUP BY name ORDER BY name";
const ADDED_UP: &str = "SELECT name,
        CAST(SUM(CASE WHEN requests BETWEEN 0 AND 1000000000000 THEN requests ELSE 0 END)
            AS BIGINT),
        CAST(SUM(CASE WHEN cost BETWEEN 0 AND 1000000000000 THEN cost ELSE 0 END) AS BIGINT)
    FROM usage_rollups WHERE bucket = $1 AND dimension = $2 AND start >= $3 AND start < $4
    GROUP BY name ORDER BY name";
const LAST: &str = "SELECT name, MAX(start) FROM usage_rollups
    WHERE bucket IN ('hour', 'day') AND dimension = $1 AND start < $2 GROUP BY name ORDER BY name";
const FORGET: &str =
    "DELETE FROM usage_rollups WHERE bucket = $1 AND dimension = $2 AND start < $3 AND node = $4";
/// More than anybody counts, and so little that no sum of them overflows.
const MOST: i64 = 1_000_000_000_000_000_000;

impl Dimension {
    pub(crate) const ALL: [Self; 6] =
        [Self::All, Self::Provider, Self::Secret, Self::Client, Self::Status, Self::Model];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Provider => "provider",
            Self::Secret => "secret",
            Self::Client => "client",
            Self::Status => "status",
            Self::Model => "model",
        }
    }
}

impl Bucket {
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub(crate) fn length_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Where the bucket of a moment begins.
    pub(crate) fn start_of(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.length_ms()).saturating_mul(self.length_ms())
    }

    /// How long its rows stay: minutes eight days, hours for more than a year, days for good.
    fn kept_ms(self) -> Option<i64> {
        match self {
            Self::Minute => Some(8 * 86_400_000),
            Self::Hour => Some(400 * 86_400_000),
            Self::Day => None,
        }
    }
}

impl UsageSum {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        for (held, more) in self.errors.iter_mut().zip(other.errors) {
            *held = held.saturating_add(more);
        }
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
        self.cost = self.cost.saturating_add(other.cost);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.durations.merge(&other.durations);
    }
}

impl Store {
    /// In order of time, then of name; those of several nodes added up. At most so many rows are
    /// read: None if there are more.
    pub(crate) async fn usage(
        &self,
        (bucket, dimension): (Bucket, Dimension),
        (from_ms, to_ms): (i64, i64),
        most: u32,
    ) -> Result<Option<Vec<(i64, String, UsageSum)>>, Error> {
        let raw: Vec<RawUsage> = reading!(self, db => {
            sqlx::query_as(RANGE)
                .bind(bucket.as_str())
                .bind(dimension.as_str())
                .bind(from_ms)
                .bind(to_ms)
                .bind(i64::from(most) + 1)
                .fetch_all(db)
        })?;
        if raw.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let mut items: Vec<(i64, String, UsageSum)> = Vec::new();
        for row in raw {
            let sum = sum_of(&row);
            match items.last_mut() {
                Some((start, name, held)) if *start == row.start && *name == row.name => {
                    held.merge(&sum);
                }
                Some(_) | None => items.push((row.start, row.name, sum)),
            }
        }
        Ok(Some(items))
    }

    /// Requests and cost by name, over whole buckets; those of several nodes together.
    pub(crate) async fn usage_by_name(
        &self,
        (bucket, dimension): (Bucket, Dimension),
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Vec<(String, u64, u64)>, Error> {
        let raw: AddedUp = rows!(
            self,
            "usage_rollups",
            sqlx::query(ADDED_UP)
                .bind(bucket.as_str())
                .bind(dimension.as_str())
                .bind(from_ms)
                .bind(to_ms)
        );
        let read = |(name, requests, cost): (String, i64, i64)| {
            Some((name, u64::try_from(requests).ok()?, u64::try_from(cost).ok()?))
        };
        Ok(raw.into_iter().flatten().filter_map(read).collect())
    }

    /// When the last hour began in which something was used, by name; of long ago the day.
    pub(crate) async fn last_uses(
        &self,
        dimension: Dimension,
        before_ms: i64,
    ) -> Result<Vec<(String, i64)>, Error> {
        let raw: Vec<Result<(String, i64), Unread>> = rows!(
            self,
            "usage_rollups",
            sqlx::query(LAST).bind(dimension.as_str()).bind(before_ms)
        );
        Ok(raw.into_iter().flatten().collect())
    }

    /// How many calls each client key made, by whole minutes.
    pub(crate) async fn calls_of_clients(
        &self,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Vec<(String, u64)>, Error> {
        let raw: Calls =
            rows!(self, "usage_rollups", sqlx::query(REQUESTS).bind(from_ms).bind(to_ms));
        let read = |raw: Result<(String, i64), Unread>| {
            let (name, calls) = raw.ok()?;
            Some((name, u64::try_from(calls).ok()?))
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }
}

/// What cannot be read counts for nothing.
type AddedUp = Vec<Result<(String, i64, i64), Unread>>;
type Calls = Vec<Result<(String, i64), Unread>>;

/// `usage` in an order that is the same everywhere.
pub(super) async fn add(
    tx: &mut Tx,
    node: &str,
    usage: &[(UsageKey, UsageSum)],
) -> Result<(), Error> {
    for (key, more) in usage {
        let held: Option<RawUsage> = within!(tx, db => {
            sqlx::query_as(HELD)
                .bind(key.bucket.as_str())
                .bind(key.dimension.as_str())
                .bind(key.start_ms)
                .bind(key.name.as_str())
                .bind(node)
                .fetch_optional(db)
        })?;
        let mut sum = more.clone();
        if let Some(held) = held {
            sum.merge(&sum_of(&held));
        }
        put(tx, node, (key, &sum)).await?;
    }
    Ok(())
}

async fn put(tx: &mut Tx, node: &str, (key, sum): (&UsageKey, &UsageSum)) -> Result<(), Error> {
    let number = |number: u64| signed(number).min(MOST);
    let [client, provider, us] = sum.errors;
    changing!(
        tx,
        sqlx::query(PUT)
            .bind(key.bucket.as_str())
            .bind(key.dimension.as_str())
            .bind(key.start_ms)
            .bind(key.name.as_str())
            .bind(node)
            .bind(number(sum.requests))
            .bind(number(client))
            .bind(number(provider))
            .bind(number(us))
            .bind(number(sum.bytes_in))
            .bind(number(sum.bytes_out))
            .bind(number(sum.tokens_in))
            .bind(number(sum.tokens_out))
            .bind(number(sum.cost))
            .bind(number(sum.unpriced))
            .bind(sum.durations.to_bytes())
    )?;
    Ok(())
}

/// This node's rows that nobody asks for any more.
pub(super) async fn forget(tx: &mut Tx, node: &str, now_ms: i64) -> Result<(), Error> {
    for bucket in Bucket::ALL {
        let Some(kept_ms) = bucket.kept_ms() else { continue };
        for dimension in Dimension::ALL {
            changing!(
                tx,
                sqlx::query(FORGET)
                    .bind(bucket.as_str())
                    .bind(dimension.as_str())
                    .bind(now_ms.saturating_sub(kept_ms))
                    .bind(node)
            )?;
        }
    }
    Ok(())
}

fn sum_of(raw: &RawUsage) -> UsageSum {
    let number =
        |number: i64| u64::try_from(number).ok().filter(|_| number < MOST).unwrap_or_default();
    UsageSum {
        requests: number(raw.requests),
        errors: [raw.client_errors, raw.provider_errors, raw.our_errors].map(number),
        bytes_in: number(raw.bytes_in),
        bytes_out: number(raw.bytes_out),
        tokens_in: number(raw.tokens_in),
        tokens_out: number(raw.tokens_out),
        cost: number(raw.cost),
        unpriced: number(raw.unpriced),
        durations: Durations::of_bytes(&raw.durations),
    }
}
