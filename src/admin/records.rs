//! The trail as it is read: a record in the contract's form, and the search that both the trail's
//! own route and a client key's share. Whoever may read proxied calls alone is shown nothing else.
//! Must never widen what a caller asked for.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{Answer, Page};
use super::call::Call;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::usage::dollars;
use super::words::{ActorType, Fault, RecordKind};
use crate::client::Right;
use crate::clock::rfc3339;
use crate::ledger::{Cursor, Filter, Kind, StoredRecord};

#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    id: String,
    #[schema(value_type = RecordKind)]
    kind: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    request_id: String,
    actor: Actor,
    address: Option<String>,
    provider: Option<String>,
    /// The id of the secret that was used.
    secret: Option<String>,
    version: Option<u32>,
    method: String,
    /// The path without its query.
    endpoint: String,
    status_code: Option<u16>,
    #[schema(value_type = Option<Fault>)]
    fault: Option<&'static str>,
    error_code: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    upstream_ms: f64,
    /// How often the call was sent to the provider again.
    retries: u8,
    /// How often the provider sent the real key back: it was blanked, or the answer cut.
    scrub_hits: u16,
    node: String,
    /// The place in its node's chain.
    sequence: u64,
    /// What answered, where the provider prices by tokens.
    model: Option<String>,
    /// Null where nothing was told.
    tokens: Option<TokenCounts>,
    /// In dollars; null where the call costs nothing, or nobody knows what.
    cost: Option<f64>,
    /// The same in whole millionths of a dollar.
    cost_micros: Option<u64>,
    /// `complete`, `cut` (broken off) or `unknown` (the process died first).
    #[schema(value_type = String)]
    end: &'static str,
    /// Before and after of a change, or what was found.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

/// Each token counts once.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenCounts {
    input: u64,
    /// Read from the provider's cache.
    cached: u64,
    /// Written into it,
    written: u64,
    /// and there for an hour.
    written_long: u64,
    output: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Actor {
    #[serde(rename = "type")]
    #[schema(value_type = ActorType)]
    kind: &'static str,
    id: Option<String>,
    name: String,
}

/// A page of records, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct Records {
    items: Vec<Record>,
    next_cursor: Option<String>,
}

/// How long a reader waits for what has just happened to reach the database.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

impl Record {
    pub(super) fn of(record: StoredRecord) -> Self {
        let meter = record.meter;
        let cost_micros = meter.as_ref().and_then(|meter| meter.cost);
        let tokens = meter.as_ref().and_then(|meter| meter.tokens);
        Self {
            id: record.id.to_string(),
            kind: record.kind.as_str(),
            timestamp: rfc3339(record.started_at_ms),
            request_id: record.request_id,
            actor: Actor {
                kind: record.actor.kind.as_str(),
                id: record.actor.id.map(|id| id.to_string()),
                name: record.actor.name,
            },
            address: record.address.map(|address| address.to_string()),
            provider: Some(record.provider).filter(|provider| !provider.is_empty()),
            secret: record.secret_id.map(|id| id.to_string()),
            version: record.version,
            method: record.method,
            endpoint: record.path,
            status_code: record.status,
            fault: record.fault.map(crate::refusal::Fault::as_str),
            error_code: record.error_code,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            duration_ms: milliseconds(record.duration_ns),
            upstream_ms: milliseconds(record.upstream_ns),
            retries: record.retries,
            scrub_hits: record.scrub_hits,
            node: record.node,
            sequence: record.sequence,
            model: meter.map(|meter| meter.model).filter(|model| !model.is_empty()),
            tokens: tokens.map(TokenCounts::of),
            cost: cost_micros.map(dollars),
            cost_micros,
            end: record.end.as_str(),
            detail: record.detail,
        }
    }
}

impl TokenCounts {
    fn of([input, cached, written, written_long, output]: [u64; 5]) -> Self {
        Self { input, cached, written, written_long, output }
    }
}

/// What of the trail this caller may be shown: all of it, or proxied calls alone.
pub(super) fn narrowed(call: &Call, filter: &mut Filter) -> Result<(), Refused> {
    if call.caller.may(Right::ReadTrail) {
        return Ok(());
    }
    match filter.kind {
        None | Some(Kind::Usage) => {
            filter.kind = Some(Kind::Usage);
            Ok(())
        }
        Some(Kind::Access | Kind::Change | Kind::Security) => {
            let role = call.caller.role().as_str();
            Err(Refused::forbidden(format!(
                "A key of the role {role} may read proxied calls alone."
            )))
        }
    }
}

/// `cursor` of a search in the trail.
pub(super) fn cursor(query: &mut Members) -> Option<Cursor> {
    let text = page::after_text(query)?;
    let cursor = Cursor::parse(&text);
    if cursor.is_none() {
        query.fault("cursor", "is not one that this list gave out");
    }
    cursor
}

pub(super) async fn search(
    call: &Call,
    filter: &Filter,
    limit: u32,
    cursor: Option<&Cursor>,
) -> Result<Answer, Refused> {
    settled(call).await;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = call.house.ledger.query(filter, limit, cursor).await.map_err(Refused::internal)?;
    let next_cursor = found.next.as_ref().map(Cursor::to_text);
    let items: Vec<Record> = found.items.into_iter().map(Record::of).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// What was closed before this call is in the database now, unless the database takes nothing: then
/// the answer is what there is.
pub(super) async fn settled(call: &Call) {
    if tokio::time::timeout(FLUSH_WITHIN, call.house.ledger.flush()).await != Ok(true) {
        tracing::warn!(name: "admin.trail_behind", "the trail was read before it was complete");
    }
}

/// Rounded to microseconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}
