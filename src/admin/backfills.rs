//! Runs that fetch the history of symbols: asked for here, made elsewhere, told of with what each
//! symbol came to, page by page of those of before.
//! Must never wait for a run.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::act::Act;
use super::answer::Answer;
use super::call::{Call, identified};
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::sent::Sent;
use super::symbols::{self, Gap, interval, listed, share, time};
use super::words::{BackfillCause, BackfillStatus, Interval};
use crate::clock::rfc3339;
use crate::market::{AskFault, Span, Wanted};
use crate::store::{PartRow, RunCause, RunRow, RunSums};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(history)).routes(routes!(show))
}

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(cancel))
}

/// What is to be fetched; everything has a default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
struct BackfillBody {
    /// Every active symbol by default.
    symbols: Option<Vec<String>>,
    /// From the last backfill, or two years back, by default.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Until now by default.
    #[schema(format = DateTime)]
    to: Option<String>,
    interval: Option<Interval>,
}

/// A run.
#[derive(Serialize, ToSchema)]
struct Backfill {
    id: String,
    #[schema(value_type = BackfillStatus)]
    state: &'static str,
    /// Why it failed, or that there was nothing to do.
    error: Option<String>,
    /// Who wanted it to end before its time.
    cancelled_by: Option<String>,
    #[schema(value_type = BackfillCause)]
    cause: &'static str,
    asked_by: String,
    /// Null: every symbol that was active when it began.
    symbols: Option<Vec<String>>,
    #[schema(format = DateTime)]
    from: Option<String>,
    #[schema(format = DateTime)]
    to: String,
    #[schema(value_type = Option<Interval>)]
    interval: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    symbol_count: i64,
    completed: i64,
    failed: i64,
    candles: i64,
    rejected: i64,
    pages: i64,
}

/// A page of runs, the newest first.
#[derive(Serialize, ToSchema)]
struct Backfills {
    items: Vec<Backfill>,
    next_cursor: Option<String>,
    /// When the next run is due by schedule; null where there is none.
    #[schema(format = DateTime)]
    next_due: Option<String>,
}

/// A run with what each symbol came to.
#[derive(Serialize, ToSchema)]
struct BackfillShown {
    #[serde(flatten)]
    run: Backfill,
    parts: Vec<BackfillPart>,
}

/// One symbol of a run.
#[derive(Serialize, ToSchema)]
struct BackfillPart {
    symbol: String,
    provider: String,
    #[schema(value_type = Option<Interval>)]
    interval: Option<&'static str>,
    #[schema(value_type = BackfillStatus)]
    state: &'static str,
    error: Option<String>,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Everything before this is stored.
    #[schema(format = DateTime)]
    checkpoint: String,
    pages: i64,
    candles: i64,
    rejected: i64,
    /// How many were rejected for which reason.
    #[schema(value_type = Object)]
    reasons: Value,
    /// Of the days on which there is trade, or its hours for lengths below a day, those of which
    /// there are candles.
    coverage: Option<f64>,
    #[schema(value_type = Vec<Gap>)]
    gaps: Vec<Value>,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
}

/// Fetch the history of tracked symbols, in the background.
///
/// Runs wait for each other; a run that was broken off goes on by itself.
#[utoipa::path(post, path = "/api/v1/admin/backfill", tag = "Symbols",
    request_body = BackfillBody,
    responses((status = 202, description = "It waits, or has begun.", body = Backfill)))]
async fn ask(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let wanted = read(&call, &sent).await?;
    let intent = json!({"backfill": {
        "symbols": wanted.symbols, "from": wanted.from_ms.map(rfc3339),
        "to": wanted.to_ms.map(rfc3339), "interval": wanted.span.map(Span::as_str),
    }});
    let act = Act::begin(&call, "", None, &intent)?;
    let asked = call.house.desk.ask(wanted, (RunCause::Asked, &call.caller.actor())).await;
    match asked {
        Ok(run) => {
            act.done(StatusCode::ACCEPTED.as_u16(), Some(&json!({"run": run.id.to_string()})));
            Answer::accepted(&Backfill::of(&run, RunSums::default()))
        }
        Err(AskFault::TooMany) => Err(act.refused(Refused::conflict(
            "So many runs wait already that no other is taken; wait until some have ended.",
        ))),
        Err(AskFault::Store(fault)) => Err(act.refused(Refused::internal(fault))),
    }
}

/// End a run before its time.
///
/// What it has stored stays, and the next run goes on from there. One that waits ends at once, one
/// that is under way within seconds.
#[utoipa::path(post, path = "/api/v1/admin/backfill/{id}/cancel", tag = "Symbols",
    params(("id" = String, Path)),
    responses((status = 202, description = "It ends.", body = Backfill)))]
async fn cancel(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let (id, store) = (identified(&id, WHAT)?, &call.house.store);
    let before = store.run(id).await.map_err(Refused::internal)?;
    let before = before.ok_or_else(|| Refused::not_found(WHAT))?;
    let intent = json!({"cancel": id.to_string()});
    let act = Act::begin(&call, "", Some(json!({"state": before.state.as_str()})), &intent)?;
    match store.cancel_run(id, &call.caller.actor()).await {
        Ok(true) => {
            let run = store.run(id).await.map_err(Refused::internal)?.unwrap_or(before);
            let sums = store.run_sums(id).await.map_err(Refused::internal)?;
            act.done(StatusCode::ACCEPTED.as_u16(), Some(&intent));
            Answer::accepted(&Backfill::of(&run, sums))
        }
        Ok(false) => Err(act.refused(Refused::conflict("The run has ended already."))),
        Err(fault) => Err(act.refused(Refused::internal(fault))),
    }
}

/// List runs, the newest first.
#[utoipa::path(get, path = "/api/v1/admin/backfill", tag = "Symbols",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Backfills)))]
async fn history(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let before = page::after_id(&mut query);
    query.finish()?;
    let store = &call.house.store;
    let runs = store.runs(before, limit + 1).await.map_err(Refused::internal)?;
    let (runs, next_cursor) = page::split(runs, limit, |run| run.id.to_string());
    let mut items = Vec::with_capacity(runs.len());
    for run in &runs {
        let sums = store.run_sums(run.id).await.map_err(Refused::internal)?;
        items.push(Backfill::of(run, sums));
    }
    let next_due = call.house.desk.next_due_ms().map(rfc3339);
    Answer::ok(&Backfills { items, next_cursor, next_due })
}

/// Show a run and what each of its symbols came to.
#[utoipa::path(get, path = "/api/v1/admin/backfill/{id}", tag = "Symbols",
    params(("id" = String, Path)),
    responses((status = 200, description = "As far as it is.", body = BackfillShown)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let (id, store) = (identified(&id, WHAT)?, &call.house.store);
    let run = store.run(id).await.map_err(Refused::internal)?;
    let run = run.ok_or_else(|| Refused::not_found(WHAT))?;
    let parts = store.parts(id).await.map_err(Refused::internal)?;
    let sums = store.run_sums(id).await.map_err(Refused::internal)?;
    let parts = parts.iter().map(BackfillPart::of).collect();
    Answer::ok(&BackfillShown { run: Backfill::of(&run, sums), parts })
}

async fn read(call: &Call, sent: &Sent) -> Result<Wanted, Refused> {
    let mut members = sent.members()?;
    let named = members.texts("symbols").value();
    let from_ms = members.time("from").value();
    let to_ms = members.time("to").value();
    let span = interval(&mut members).value();
    let now_ms = call.house.clock.unix_ms();
    if to_ms.is_some_and(|to| to > now_ms) {
        members.fault("to", "must not lie in the future: nobody has traded there");
    }
    if from_ms.is_some_and(|from| from < symbols::EARLIEST_MS) {
        members.fault("from", symbols::TOO_EARLY);
    }
    let end_ms = to_ms.unwrap_or(now_ms);
    if from_ms.is_some_and(|from| from >= end_ms) {
        members.fault("from", "must be before `to`, which is now where it is not said");
    }
    let mut symbols = named.as_ref().map(|_| Vec::new());
    for (index, name) in named.into_iter().flatten().enumerate() {
        let field = format!("symbols[{index}]");
        match symbols::found(call, &name).await {
            Ok(row) if row.active => symbols.get_or_insert_default().push(row.symbol),
            Ok(_) => members.fault(&field, "is inactive"),
            Err(refused) if refused.refusal().reason.status() == 404 => {
                members.fault(&field, "is not tracked");
            }
            Err(refused) => return Err(refused),
        }
    }
    members.finish()?;
    Ok(Wanted { symbols, from_ms, to_ms, span })
}

impl Backfill {
    fn of(run: &RunRow, sums: RunSums) -> Self {
        Self {
            id: run.id.to_string(),
            state: run.state.as_str(),
            error: run.error.clone(),
            cancelled_by: run.cancelled_by.clone(),
            cause: run.cause.as_str(),
            asked_by: run.asked_by.clone(),
            symbols: run.wanted.clone(),
            from: run.from_ms.map(rfc3339),
            to: rfc3339(run.to_ms),
            interval: run.span.and_then(Span::of_seconds).map(Span::as_str),
            created_at: rfc3339(run.created_at),
            started_at: run.started_at.map(rfc3339),
            finished_at: run.finished_at.map(rfc3339),
            symbol_count: sums.symbols,
            completed: sums.completed,
            failed: sums.failed,
            candles: sums.candles,
            rejected: sums.rejected,
            pages: sums.pages,
        }
    }
}

impl BackfillPart {
    fn of(part: &PartRow) -> Self {
        Self {
            symbol: part.symbol.clone(),
            provider: part.provider.clone(),
            interval: Span::of_seconds(part.span).map(Span::as_str),
            state: part.state.as_str(),
            error: part.error.clone(),
            from: time(part.from),
            to: time(part.to),
            checkpoint: time(part.tally.next),
            pages: part.tally.pages,
            candles: part.tally.candles,
            rejected: part.tally.rejected,
            reasons: serde_json::from_str(&part.tally.reasons).unwrap_or_default(),
            coverage: share(part.quality.days_present, part.quality.days_expected),
            gaps: listed(&part.quality.gaps),
            started_at: part.started_at.map(rfc3339),
            finished_at: part.finished_at.map(rfc3339),
        }
    }
}

const WHAT: &str = "run";
