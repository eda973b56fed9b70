//! `…/admin/alert-deliveries`: what was told, what waits, what nobody tries any more;
//! and once more, from the beginning.
//! Must never show more of a delivery than what came of it.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::Uri;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

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
use crate::store::{DeliveryRow, DeliveryState};

const WHAT: &str = "delivery";

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(resend))
}

/// One thing that a destination is told.
#[derive(Serialize, ToSchema)]
struct AlertDelivery {
    id: String,
    destination: String,
    /// Null: a test, or a report.
    alert: Option<String>,
    #[schema(value_type = words::AlertEvent)]
    event: &'static str,
    #[schema(value_type = words::DeliveryState)]
    state: &'static str,
    /// Tries so far.
    attempts: u64,
    /// Of the last try that failed.
    fault: Option<String>,
    /// When it is tried next.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

/// A page of deliveries, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct AlertDeliveries {
    items: Vec<AlertDelivery>,
    next_cursor: Option<String>,
}

/// List deliveries, newest first; `state=dead` lists what was given up.
#[utoipa::path(get, path = "/api/v1/admin/alert-deliveries", tag = "Alerts",
    params(("state" = Option<words::DeliveryState>, Query),
        ("destination" = Option<String>, Query, description = "The id of a destination."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = AlertDeliveries)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let state = query.word("state", &DeliveryState::ALL, DeliveryState::as_str).value();
    let named = query.text("destination").value();
    let destination = named.as_deref().map(Uuid::try_parse);
    if matches!(destination, Some(Err(_))) {
        query.fault("destination", "must be the id of a destination");
    }
    let limit = page::limit(&mut query);
    let before = page::after_id(&mut query);
    query.finish()?;
    let wanted = (state, destination.and_then(Result::ok));
    let rows = call.house.store.deliveries_page(wanted, before, limit + 1).await;
    let rows = rows.map_err(|fault| Refused::of_store(&fault))?;
    let (rows, next_cursor) = page::split(rows, limit, |row| row.id.to_string());
    let items: Vec<AlertDelivery> = rows.into_iter().map(AlertDelivery::of).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Send what was given up once more, under the same id.
#[utoipa::path(post, path = "/api/v1/admin/alert-deliveries/{id}/resend", tag = "Alerts",
    params(("id" = String, Path)),
    responses((status = 200, description = "It waits for its next try.", body = AlertDelivery)))]
async fn resend(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let row = found(&call, &id).await?;
    if row.state != DeliveryState::Dead {
        let state = row.state.as_str();
        return Err(Refused::conflict(format!("It is {state}; only what is dead is sent again.")));
    }
    let wanted = json!({"delivery": {"id": id, "destination": row.destination_id.to_string()}});
    let act = Act::begin(&call, "", Some(json!({"state": "dead"})), &wanted)?;
    match call.house.store.send_again(row.id, call.house.clock.unix_ms()).await {
        Ok(_) => {
            act.done(200, Some(&json!({"state": "waiting"})));
            Answer::ok(&AlertDelivery::of(found(&call, &id).await?))
        }
        Err(fault) => Err(act.refused(Refused::of_store(&fault))),
    }
}

async fn found(call: &Call, id: &str) -> Result<DeliveryRow, Refused> {
    let row = call.house.store.delivery(identified(id, WHAT)?).await;
    let row = row.map_err(|fault| Refused::of_store(&fault))?;
    row.ok_or_else(|| Refused::not_found(WHAT))
}

impl AlertDelivery {
    fn of(row: DeliveryRow) -> Self {
        let waits = row.state == DeliveryState::Waiting;
        Self {
            id: row.id.to_string(),
            destination: row.destination_id.to_string(),
            alert: row.alert_id.map(|id| id.to_string()),
            event: row.event.as_str(),
            state: row.state.as_str(),
            attempts: row.attempts,
            fault: row.fault,
            next_at: waits.then(|| rfc3339(row.next_at)),
            created_at: rfc3339(row.created_at),
            ended_at: row.ended_at.map(rfc3339),
        }
    }
}
