//! Every route of the admin face, grouped by the right that it demands.
//! The router and its description come from the same list, so that neither can know a route that
//! the other does not.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::frame::frame;
use super::guard::{Needs, guard};
use super::house::House;
use super::refused::Refused;
use super::{describe, open, pages};
use crate::client::Right;

pub(super) fn router(house: Arc<House>) -> Router {
    let (router, _) = all(Some(&house)).split_for_parts();
    router
        .merge(pages::router())
        .fallback(async || Refused::of_status(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Refused::of_status(StatusCode::METHOD_NOT_ALLOWED))
        .layer(CatchPanicLayer::custom(|_| -> Response {
            // The panic hook has logged where; what it said may hold anything.
            axum::response::IntoResponse::into_response(Refused::internal("a route panicked"))
        }))
        .layer(from_fn_with_state(Arc::clone(&house), frame))
        .with_state(house)
}

pub(super) fn description() -> OpenApi {
    let (_, description) = all(None).split_for_parts();
    description
}

fn all(house: Option<&Arc<House>>) -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::with_openapi(describe::common())
        .routes(routes!(open::healthz))
        .routes(routes!(open::readyz))
        .routes(routes!(open::metrics))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, header};
    use tower::ServiceExt;

    use super::super::{Admin, Parts, Settings};
    use super::*;
    use crate::clock::Clock;

    fn admin() -> Admin {
        Admin::new(Parts {
            settings: Settings {
                listen: ([127, 0, 0, 1], 0).into(),
                behind_tls: false,
                tls: None,
                frame_ancestors: Vec::new(),
                requests_per_minute: 600,
            },
            clock: Clock::settable(1_768_487_400_000),
            figures: Arc::new(|| String::from("# EOF\n")),
            readiness: Arc::new(|| Box::pin(async { Vec::new() })),
        })
    }

    async fn answered(method: &str, target: &str) -> (StatusCode, axum::http::HeaderMap, String) {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("x-request-id", "req-7")
            .body(Body::empty())
            .unwrap();
        let response = admin().router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn what_is_open_answers_without_a_credential() {
        for (path, kind) in [
            ("/healthz", "application/json"),
            ("/readyz", "application/json"),
            ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            ("/openapi.json", "application/json"),
            ("/docs", "text/html"),
            ("/docs/", "text/html"),
            ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ] {
            let (status, headers, body) = answered("GET", path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), kind, "{path}");
            assert_eq!(headers.get("x-request-id").unwrap(), "req-7");
            assert!(!body.is_empty(), "{path}");
        }
    }

    #[tokio::test]
    async fn the_frameworks_own_noes_have_the_contracts_body() {
        let (status, headers, body) = answered("GET", "/api/v1/nothing?x=secret").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers.get("x-sealgate-error").unwrap(), "not_found");
        assert_eq!(
            body,
            r#"{"error":"Not found","code":"not_found","detail":"There is nothing at this path; /openapi.json lists all.","request_id":"req-7"}"#
        );
        let (status, headers, body) = answered("DELETE", "/healthz").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers.get(header::ALLOW).unwrap(), "GET,HEAD");
        assert!(body.contains("method_not_allowed"), "{body}");
        let (status, headers, _) = answered("OPTIONS", "/healthz").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        let (status, _, body) = answered("GET", &format!("/{}", "x".repeat(9000))).await;
        assert_eq!(status, StatusCode::URI_TOO_LONG);
        assert!(body.contains("uri_too_long"), "{body}");
    }

    #[tokio::test]
    async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
        let (_, headers, body) = answered("GET", "/docs").await;
        let policy = headers.get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(!body.contains("http"), "{body}");
        for (_, rest) in
            body.match_indices("=\"/docs/").map(|(at, found)| (at, &body[at + found.len()..]))
        {
            let file = rest.split('"').next().unwrap();
            let (status, _, _) = answered("GET", &format!("/docs/{file}")).await;
            assert_eq!(status, StatusCode::OK, "{file}");
        }
        let (_, _, script) = answered("GET", "/docs/swagger-initializer.js").await;
        assert!(script.contains("/openapi.json"), "{script}");
        let (status, _, _) = answered("GET", "/docs/nothing.js").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
