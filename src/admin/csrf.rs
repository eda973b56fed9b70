//! What a page of another site sends along with an operator's cookie is refused: by what the
//! browser itself says of the page (`Sec-Fetch-Site`, `Origin`), before anybody is asked who calls.
//! Calls with a key are left alone: no page can add one that it does not know.
//! Must never be asked of one route and not of the next.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower::{Layer, ServiceExt};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::guard::presented;
use super::refused::Refused;
use super::trace::Peer;

pub(super) async fn csrf(request: Request, next: Next) -> Response {
    let is_local = request.extensions().get::<Peer>() == Some(&Peer::Local);
    // Two that differ are refused where they are read.
    let has_key = presented(request.headers()).map_or(true, |key| key.is_some());
    if is_local || has_key {
        return next.run(request).await;
    }
    match CsrfLayer::new().layer(next).oneshot(request).await {
        Ok(response) if response.extensions().get::<ProtectionError>().is_some() => {
            let detail =
                "A page of another site sent this; open the console itself and do it there.";
            Refused::forbidden(detail).into_response()
        }
        Ok(response) => response,
        Err(never) => match never {},
    }
}
