//! What needs no credential: alive, ready, and the figures. Says which
//! part is not ready and never why in more words than an outsider may
//! read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::house::House;
use crate::telemetry;

/// One part of the house, as `/readyz` reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Part {
    /// `database`, `master_key`, `journal`, `proxy`, `admin`, …
    #[schema(value_type = String, example = "database")]
    pub(crate) name: &'static str,
    pub(crate) ready: bool,
    /// What is missing and what to do; free of anything secret, because the answer is public.
    pub(crate) detail: Option<String>,
}

/// Asks every part of the house whether it is ready.
pub(crate) type Readiness =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Part>> + Send>> + Send + Sync>;

/// The figures in Prometheus' text form.
pub(crate) type Figures = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Serialize, ToSchema)]
#[schema(as = Alive)]
struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    parts: Vec<Part>,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", tag = "Operation",
    responses((status = 200, description = "The process answers.", body = Health)))]
pub(super) async fn healthz() -> Json<impl Serialize> {
    Json(Health { status: "ok" })
}

/// Is every part ready for work?
#[utoipa::path(get, path = "/readyz", tag = "Operation", responses(
    (status = 200, description = "Every part is ready.", body = Ready),
    (status = 503, description = "At least one part is not ready; it is named.", body = Ready)))]
pub(super) async fn readyz(State(house): State<Arc<House>>) -> Response {
    let parts = (house.readiness)().await;
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, parts })).into_response()
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Operation", responses(
    (status = 200, description = "Prometheus text.", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(house): State<Arc<House>>) -> Response {
    let kind = HeaderValue::from_static(telemetry::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], (house.figures)()).into_response()
}
