//! `POST …/secrets/{id}/validate`: is this key still good? Its rows, its shape, a live call to its
//! provider, and what that tells. Whoever takes `text/event-stream` hears of each step as it ends.
//! Must never answer with anything that a provider wrote.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::act::Act;
use super::super::answer::{Answer, Page};
use super::super::backups::{Piece, Streamed};
use super::super::call::{Call, identified};
use super::super::members::Members;
use super::super::page;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::super::words::{Health, Outcome};
use super::{WHAT, refusal_of, shown};
use crate::clock::rfc3339;
use crate::probe::{self, Step};
use crate::store::{Cause, CheckRow};

/// More than a check has steps.
pub(super) const MOST_EVENTS: usize = 32;

#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `probe::Report` is answered")]
pub(super) struct Report {
    /// True if no step that was taken has failed.
    ok: bool,
    outcome: Outcome,
    health: Health,
    steps: Vec<StepView>,
}

#[derive(ToSchema)]
#[schema(as = Step)]
#[expect(dead_code, reason = "stands in the description alone; `probe::Step` is answered")]
pub(super) struct StepView {
    #[schema(example = "live")]
    name: String,
    /// Null: the step was not taken, or nothing could be told.
    ok: Option<bool>,
    detail: String,
    /// What to do.
    remedy: Option<String>,
    ms: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Check {
    id: String,
    version: u32,
    #[schema(format = DateTime)]
    checked_at: String,
    /// `asked`, `entry`, `schedule`, `refusal`, `rotation`.
    #[schema(value_type = String, example = "asked")]
    cause: &'static str,
    actor: String,
    #[schema(value_type = Outcome)]
    outcome: &'static str,
    #[schema(value_type = Health)]
    health: &'static str,
    #[schema(value_type = Vec<StepView>)]
    steps: Value,
}

/// A page of checks, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct Checks {
    items: Vec<Check>,
    next_cursor: Option<String>,
}

/// Check a secret: its rows, its shape, a live call, permissions, limits and end.
///
/// With `Accept: text/event-stream` each step comes as it ends, in an event `step`; the last event,
/// `report`, is the whole.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/validate", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "What each step found.", body = Report)))]
pub(in super::super) async fn validate(
    call: Call,
    Path(id): Path<String>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let id = identified(&id, WHAT)?;
    sent.members()?.finish()?;
    let before = shown(&call, id).await?;
    let subject = json!({"id": id.to_string(), "name": before.name});
    let act = Act::begin(&call, &before.provider, Some(subject), &json!({"validated": true}))?;
    if !takes_events(&headers) {
        let report = checked((call, id), act, &mut |_| {}).await?;
        return Ok(Answer::ok(&report)?.into_response());
    }
    let (sender, receiver) = mpsc::channel::<Piece>(MOST_EVENTS);
    let running = async move {
        let told = sender.clone();
        let mut tell = move |step: &Step| {
            // A reader who has left misses nothing: the check is kept.
            let _gone = told.try_send(Ok(event("step", &step.json())));
        };
        let last = match checked((call, id), act, &mut tell).await {
            Ok(report) => event("report", &report),
            Err(refused) => {
                let refusal = refused.refusal();
                let code = refusal.reason.code();
                event("failed", &json!({"code": code, "detail": refusal.detail}))
            }
        };
        let _gone = sender.send(Ok(last)).await;
    };
    tokio::spawn(running.in_current_span());
    Ok(of_events(receiver))
}

pub(super) fn of_events(events: mpsc::Receiver<Piece>) -> Response {
    let mut response = Response::new(Body::new(Streamed(events)));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn checked(
    (call, id): (Call, Uuid),
    act: Act,
    tell: &mut probe::Tell<'_>,
) -> Result<Value, Refused> {
    let actor = call.caller.actor();
    let asked = probe::Asked { cause: Cause::Asked, actor: &actor };
    match call.house.prober.stored((id, None), asked, tell).await {
        Ok(Some((_, report))) => {
            act.done(200, Some(&report.summary()));
            Ok(report.json())
        }
        Ok(None) => Err(act.refused(Refused::not_found(WHAT))),
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// List the checks of a secret, newest first; the last fifty are kept.
#[utoipa::path(get, path = "/api/v1/admin/secrets/{id}/checks", tag = "Secrets",
    params(("id" = String, Path),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Checks)))]
pub(in super::super) async fn checks(
    call: Call,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    query.finish()?;
    shown(&call, id).await?;
    let most = limit.saturating_add(1);
    let found = call.house.store.secret_checks(id, after, most).await;
    let found = found.map_err(|fault| Refused::of_store(&fault))?;
    let (found, next_cursor) = page::split(found, limit, |check| check.id.to_string());
    let items: Vec<Check> = found.iter().map(Check::of).collect();
    Answer::ok(&Page { items, next_cursor })
}

impl Check {
    fn of(row: &CheckRow) -> Self {
        Self {
            id: row.id.to_string(),
            version: row.version,
            checked_at: rfc3339(row.checked_at),
            cause: row.cause.as_str(),
            actor: row.actor.clone(),
            outcome: row.outcome.as_str(),
            health: row.health.as_str(),
            steps: serde_json::from_str(&row.report).unwrap_or(Value::Null),
        }
    }
}

pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|text| text.contains("text/event-stream"))
}

pub(super) fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
