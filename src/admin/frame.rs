//! What every answer of the admin face has in common: request id, time-out, the one error body, the
//! protective headers, one log line, and the access record. The outermost layer; nothing passes it
//! by.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use tracing::Instrument;

use super::act;
use super::house::House;
use super::note::Noting;
use super::rate::Left;
use super::refused::Refused;
use super::sent::is_import;
use super::trace::Trace;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::admin_call;

/// No call of this face takes longer; long work answers 202 and goes on by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// But for an import, which is as long as it is.
const IMPORT_WITHIN: Duration = Duration::from_secs(600);
const LONGEST_TARGET: usize = 8192;
/// By one route or another.
const TAKEN: &str = "GET,HEAD,POST,PUT,DELETE";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-sealgate-error");

pub(super) async fn frame(
    State(house): State<Arc<House>>,
    mut request: Request,
    next: Next,
) -> Response {
    let trace = Arc::new(Trace::begin(&request, house.clock.monotonic_ns()));
    request.extensions_mut().insert(Arc::clone(&trace));
    // Dropped with this future when the caller hangs up, and notes that too.
    let noting = Noting::of(Arc::clone(&house), Arc::clone(&trace));
    let route = route(&request);
    let span = admin_call(&trace.request_id, trace.method.as_str(), &route);
    let answered = answer(request, next).instrument(span.clone()).await;
    let answered = in_our_words(&trace, answered);
    // Nothing that was read goes out unless it stands in the trail who read it.
    let written = span.in_scope(|| noting.finish(answered.status(), refused(&answered)));
    let is_known = trace.caller().is_some() || trace.is_taken_over();
    let kept = if is_known { house.ledger.kept() } else { None };
    let written = match (written, kept) {
        (Ok(()), Some(kept)) => {
            let is_kept = kept.on_disk().instrument(span.clone()).await;
            is_kept.then_some(()).ok_or_else(act::no_disk)
        }
        (written, _) => written,
    };
    let mut response = match written {
        Ok(()) => answered,
        Err(unwritten) => in_our_words(&trace, unwritten.into_response()),
    };
    put_headers(&house, &trace, response.headers_mut());
    response
}

/// The pattern, never the path with its ids.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| String::from("none"), |matched| matched.as_str().to_owned())
}

async fn answer(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > LONGEST_TARGET {
        let detail = format!("The request target has more than {LONGEST_TARGET} bytes.");
        return Refused::from(Refusal::new(Reason::UriTooLong, detail)).into_response();
    }
    let is_never_taken = matches!(request.method().as_str(), "TRACE" | "TRACK" | "CONNECT");
    let is_import = is_import(request.uri().path());
    let within = if is_import { IMPORT_WITHIN } else { ANSWER_WITHIN };
    match tokio::time::timeout(within, next.run(request)).await {
        // Such a method is wrong everywhere, whether there is something at its path or not.
        Ok(response) if is_never_taken && response.status() != StatusCode::METHOD_NOT_ALLOWED => {
            let mut response = Refused::of_status(StatusCode::METHOD_NOT_ALLOWED).into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(TAKEN));
            response
        }
        Ok(response) => response,
        Err(_) => {
            let detail = "The answer was not ready in time; a change goes on by itself.";
            Refused::from(Refusal::new(Reason::Timeout, detail)).into_response()
        }
    }
}

/// The contract's body for a refusal of ours and for every error that the framework answered by
/// itself.
fn in_our_words(trace: &Trace, response: Response) -> Response {
    let refused = match response.extensions().get::<Refused>() {
        Some(refused) => refused.clone(),
        None if is_the_frameworks(&response) => Refused::of_status(response.status()),
        None => return response,
    };
    let refusal = refused.refusal();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert(ERROR_CODE, HeaderValue::from_static(refusal.reason.code()));
    if let Some(exceeded) = refusal.exceeded() {
        parts.headers.insert(header::RETRY_AFTER, exceeded.retry_after_seconds.into());
    }
    if refusal.close {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = Body::from(refusal.body(&trace.request_id));
    parts.extensions.insert(refused);
    Response::from_parts(parts, body)
}

/// Our own answers are JSON or have no error status.
fn is_the_frameworks(response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let json = HeaderValue::from_static("application/json");
    is_error && response.headers().get(header::CONTENT_TYPE) != Some(&json)
}

fn refused(response: &Response) -> Option<Refused> {
    response.extensions().get::<Refused>().cloned()
}

fn put_headers(house: &House, trace: &Trace, headers: &mut HeaderMap) {
    if let Ok(id) = HeaderValue::from_str(&trace.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // What a route has set for itself stands: the pages of /docs need more than nothing.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, house.pages.nothing_allowed.clone());
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(left) = trace.left() {
        put_quota(headers, left);
    }
}

/// The same four figures under our own names and under the plain ones.
fn put_quota(headers: &mut HeaderMap, left: Left) {
    let figures = [
        ("x-sealgate-ratelimit-limit", "x-ratelimit-limit", left.quota),
        (
            "x-sealgate-ratelimit-remaining",
            "x-ratelimit-remaining",
            left.quota.saturating_sub(left.used),
        ),
        ("x-sealgate-ratelimit-used", "x-ratelimit-used", left.used),
        ("x-sealgate-ratelimit-reset", "x-ratelimit-reset", reset_seconds(left.reset_at_ms)),
    ];
    for (ours, plain, figure) in figures {
        headers.insert(HeaderName::from_static(ours), figure.into());
        headers.insert(HeaderName::from_static(plain), figure.into());
    }
}

/// Rounded up: at the second that is named, the call is free.
fn reset_seconds(reset_at_ms: i64) -> u64 {
    u64::try_from(reset_at_ms).unwrap_or_default().div_ceil(1000)
}
