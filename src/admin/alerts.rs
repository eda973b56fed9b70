//! `…/admin/alerts`: what somebody has to know of, and that somebody knows. An alert
//! resolves by itself when its cause is gone.
//! Must never resolve one by a call: that would hide a cause.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::Uri;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::act::Act;
use super::answer::{Answer, Page};
use super::call::{Call, identified};
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::sent::Sent;
use super::words;
use crate::clock::rfc3339;
use crate::store::{AlertKind, AlertRow, AlertState};

const WHAT: &str = "alert";

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(acknowledge))
}

/// What somebody has to know of.
#[derive(Serialize, ToSchema)]
struct Alert {
    id: String,
    #[schema(value_type = words::AlertKind)]
    kind: &'static str,
    #[schema(value_type = words::Severity)]
    severity: &'static str,
    #[schema(value_type = words::AlertState)]
    state: &'static str,
    subject: AlertSubject,
    /// For people: what is amiss, and what to do. Of a resolved one: why it is over.
    detail: String,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// How often it happened.
    count: u64,
    #[schema(format = DateTime)]
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
}

/// What an alert is about.
#[derive(Serialize, ToSchema)]
struct AlertSubject {
    /// `secret`, `client`, `provider`, `symbol`, `node`, `address`, `category`, `finding` or
    /// `installation`.
    r#type: String,
    id: String,
    name: String,
}

/// A page of alerts, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct Alerts {
    items: Vec<Alert>,
    next_cursor: Option<String>,
}

/// List alerts, newest first.
///
/// As they come, they are in the trail: `GET /api/v1/admin/audit/stream?kind=security`.
#[utoipa::path(get, path = "/api/v1/admin/alerts", tag = "Alerts",
    params(("state" = Option<words::AlertState>, Query),
        ("kind" = Option<words::AlertKind>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Alerts)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let state = query.word("state", &AlertState::ALL, AlertState::as_str).value();
    let kind = query.word("kind", &AlertKind::ALL, AlertKind::as_str).value();
    let limit = page::limit(&mut query);
    let before = page::after_id(&mut query);
    query.finish()?;
    let rows = call.house.store.alerts_page((state, kind), before, limit + 1).await;
    let rows = rows.map_err(|fault| Refused::of_store(&fault))?;
    let (rows, next_cursor) = page::split(rows, limit, |row| row.id.to_string());
    let items: Vec<Alert> = rows.into_iter().map(Alert::of).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show an alert.
#[utoipa::path(get, path = "/api/v1/admin/alerts/{id}", tag = "Alerts",
    params(("id" = String, Path)),
    responses((status = 200, description = "The alert.", body = Alert)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    Answer::ok(&Alert::of(found(&call, &id).await?))
}

/// Say that somebody knows of it.
///
/// It stands until its cause is gone. A resolved one is no more to be known of: 409.
#[utoipa::path(post, path = "/api/v1/admin/alerts/{id}/ack", tag = "Alerts",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now.", body = Alert)))]
async fn acknowledge(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let row = found(&call, &id).await?;
    match row.state {
        // By whom it was said first stays.
        AlertState::Acknowledged => return Answer::ok(&Alert::of(row)),
        AlertState::Resolved => {
            return Err(Refused::conflict("It is resolved: its cause is gone."));
        }
        AlertState::Open => {}
    }
    let about = json!({"alert": {
        "id": row.id.to_string(), "kind": row.kind.as_str(), "subject": row.subject.id,
    }});
    let act = Act::begin(&call, "", Some(json!({"state": "open"})), &about)?;
    let (by, now_ms) = (call.caller.actor(), call.house.clock.unix_ms());
    match call.house.store.acknowledge_alert(row.id, &by, now_ms).await {
        Ok(_) => {
            act.done(200, Some(&json!({"state": "acknowledged"})));
            Answer::ok(&Alert::of(found(&call, &id).await?))
        }
        Err(fault) => Err(act.refused(Refused::of_store(&fault))),
    }
}

async fn found(call: &Call, id: &str) -> Result<AlertRow, Refused> {
    let row = call.house.store.alert(identified(id, WHAT)?).await;
    let row = row.map_err(|fault| Refused::of_store(&fault))?;
    row.ok_or_else(|| Refused::not_found(WHAT))
}

impl Alert {
    fn of(row: AlertRow) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind.as_str(),
            severity: row.severity.as_str(),
            state: row.state.as_str(),
            subject: AlertSubject {
                r#type: row.subject.sort,
                id: row.subject.id,
                name: row.subject.name,
            },
            detail: row.detail,
            first_seen: rfc3339(row.first_seen),
            last_seen: rfc3339(row.last_seen),
            count: row.count,
            acknowledged_at: row.acknowledged_at.map(rfc3339),
            acknowledged_by: row.acknowledged_by,
            resolved_at: row.resolved_at.map(rfc3339),
        }
    }
}
