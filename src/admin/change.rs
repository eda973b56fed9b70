//! The layer before every route that changes something: reads the body, recognises repeats, and
//! runs the change on a task of its own, so that a caller who hangs up, or a time-out, cannot cut
//! it in half. Must never let a change begin that the drain does not wait for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use tracing::Instrument;

use super::answer::Kept;
use super::caller::Caller;
use super::house::House;
use super::refused::Refused;
use super::repeat::Repeatable;
use super::sent::{self, Sent};
use crate::refusal::{Reason, Refusal};

pub(super) async fn change(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    if !matches!(*request.method(), Method::POST | Method::PUT | Method::DELETE) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
        return Err(Refused::internal("a change stands outside the guard"));
    };
    let most = sent::largest_body(parts.uri.path());
    let sent = Sent::read(&parts.headers, body, most).await?;
    let repeatable = if parts.method == Method::POST {
        let route = format!("POST {}", parts.uri.path());
        Repeatable::asked_for(&parts.headers, caller.actor(), route, &sent)?
    } else {
        None
    };
    parts.extensions.insert(sent);
    let request = Request::from_parts(parts, Body::empty());
    let Ok(seat) = Arc::clone(&house.changes).try_acquire_owned() else {
        let detail = "Too many changes are running at once; repeat this one in a moment.";
        return Err(Refusal::new(Reason::Overloaded, detail).into());
    };
    let running = tokio::spawn(
        async move {
            let _seat = seat;
            run(&house, repeatable, request, next).await
        }
        .in_current_span(),
    );
    match running.await {
        Ok(answered) => answered,
        // The panic hook has logged where; what it said may hold anything.
        Err(_) => Err(Refused::internal("a change panicked")),
    }
}

async fn run(
    house: &House,
    repeatable: Option<Repeatable>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let Some(repeatable) = repeatable else { return Ok(next.run(request).await) };
    if let Some(earlier) = repeatable.earlier(house).await? {
        return Ok(earlier);
    }
    // Caught here, so that a panic releases the claim.
    let running = tokio::spawn(next.run(request).in_current_span());
    let response = match running.await {
        Ok(response) => response,
        Err(_) => Refused::internal("a change panicked").into_response(),
    };
    let kept = response.extensions().get::<Kept>().cloned();
    repeatable.settle(house, response.status(), kept).await;
    Ok(response)
}
