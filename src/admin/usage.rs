//! `GET …/usage`: what proxied calls added up to, by minute, hour or day. Read from sums that are
//! kept with the records, so that a chart never scans the trail. Must never show who called to
//! whoever may not read metadata.

use std::sync::Arc;

use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Page};
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::records;
use super::refused::Refused;
use crate::clock::rfc3339;
use crate::refusal::Refusal;
use crate::store::{Bucket, Dimension, UsageSum};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(usage))
}

/// More than any chart shows.
const MOST_ROWS: u32 = 50_000;
const GROUPS: [Dimension; 4] =
    [Dimension::Provider, Dimension::Secret, Dimension::Client, Dimension::Status];

#[derive(Serialize, ToSchema)]
struct Usage {
    /// When the bucket begins.
    #[schema(format = DateTime)]
    bucket: String,
    /// The provider, the id of the secret or of the client key, the status; null without
    /// `group_by`, and where there was none.
    group: Option<String>,
    requests: u64,
    errors: Errors,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    bytes_in: u64,
    bytes_out: u64,
    /// Of models: all that went in, from a cache or not, and what came out.
    tokens_in: u64,
    tokens_out: u64,
    /// In dollars.
    cost: f64,
    /// The same in whole millionths of a dollar.
    cost_micros: u64,
    /// Calls that cost something and whose cost nobody knows: no count of tokens in the answer, or
    /// no price for the model.
    unpriced: u64,
}

/// By whose fault.
#[derive(Serialize, ToSchema)]
struct Errors {
    client: u64,
    provider: u64,
    us: u64,
}

/// What calls added up to, oldest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct UsageList {
    items: Vec<Usage>,
    next_cursor: Option<String>,
}

/// What proxied calls added up to.
///
/// Without `from` the last day, of days the last 30. Minutes are kept for eight days, hours for 400
/// days, days for good. Times are in UTC. Percentiles hold within seven in a hundred.
#[utoipa::path(get, path = "/api/v1/admin/usage", tag = "Usage",
    params(("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime, description = "Before this moment."),
        ("group_by" = Option<String>, Query,
            description = "`provider`, `secret`, `client` or `status`; else all together."),
        ("bucket" = Option<String>, Query,
            description = "`minute`, `hour` (if not said) or `day`.")),
    responses((status = 200, description = "The sums.", body = UsageList)))]
async fn usage(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let (from, to) = (query.time("from").value(), query.time("to").value());
    let group = query.word("group_by", &GROUPS, Dimension::as_str).value();
    let bucket = query.word("bucket", &Bucket::ALL, Bucket::as_str).value();
    query.finish()?;
    let bucket = bucket.unwrap_or(Bucket::Hour);
    let dimension = group.unwrap_or(Dimension::All);
    let to_ms = to.unwrap_or_else(|| call.house.clock.unix_ms().saturating_add(1));
    let back_ms = match bucket {
        Bucket::Minute | Bucket::Hour => Bucket::Day.length_ms(),
        Bucket::Day => Bucket::Day.length_ms() * 30,
    };
    let from_ms = bucket.start_of(from.unwrap_or_else(|| to_ms.saturating_sub(back_ms)));
    records::settled(&call).await;
    let span = (from_ms, to_ms);
    let found = call.house.store.usage((bucket, dimension), span, MOST_ROWS).await;
    let Some(found) = found.map_err(|fault| Refused::of_store(&fault))? else {
        let what = "is too long ago: there are more sums than one answer holds; ask for a shorter \
                    time, or for a larger bucket";
        return Err(Refusal::invalid_field("from", what).into());
    };
    let items: Vec<Usage> = found.into_iter().map(shown).collect();
    Answer::ok(&Page { items, next_cursor: None })
}

fn shown((start_ms, name, sum): (i64, String, UsageSum)) -> Usage {
    let [client, provider, us] = sum.errors;
    let quantile = |share| milliseconds(sum.durations.quantile(share));
    Usage {
        bucket: rfc3339(start_ms),
        group: Some(name).filter(|name| !name.is_empty()),
        requests: sum.requests,
        errors: Errors { client, provider, us },
        p50_ms: quantile(0.5),
        p95_ms: quantile(0.95),
        p99_ms: quantile(0.99),
        bytes_in: sum.bytes_in,
        bytes_out: sum.bytes_out,
        tokens_in: sum.tokens_in,
        tokens_out: sum.tokens_out,
        cost: dollars(sum.cost),
        cost_micros: sum.cost,
        unpriced: sum.unpriced,
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "2^53 millionths are nine billion dollars")]
pub(super) fn dollars(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}
