//! The description of the API as JSON and as a page. The page's files are part of the
//! binary: it must never load anything from elsewhere, and its looser policy must never
//! leave /docs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::Settings;
use super::console::Console;
use super::house::House;
use super::refused::Refused;

/// What the pages are made of, worked out once.
pub(super) struct Pages {
    pub(super) nothing_allowed: HeaderValue,
    pub(super) console: Console,
    docs_policy: HeaderValue,
    description: Bytes,
}

impl Pages {
    pub(super) fn new(settings: &Settings, description: String) -> Self {
        let ancestors = match settings.frame_ancestors.as_slice() {
            [] => String::from("'none'"),
            origins => origins.join(" "),
        };
        let nothing = format!("default-src 'none'; frame-ancestors {ancestors}");
        // Swagger UI sets styles in its markup and shows icons from data URLs; scripts are its
        // files.
        let docs = format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors {ancestors}"
        );
        Self {
            nothing_allowed: policy(&nothing),
            console: Console::new(&ancestors, &settings.proxy_url),
            docs_policy: policy(&docs),
            description: Bytes::from(description),
        }
    }
}

/// An origin that is no header value has been refused by the settings; without them, none embeds.
fn policy(text: &str) -> HeaderValue {
    HeaderValue::from_str(text)
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

pub(super) fn router() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(description))
        .routes(routes!(front_page))
        .route("/docs/", get(front_page))
        .route("/docs/{file}", get(file))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "Operation", responses(
    (status = 200, description = "OpenAPI 3.1.", content_type = "application/json")))]
async fn description(State(house): State<Arc<House>>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], house.pages.description.clone()).into_response()
}

/// This description as a page.
#[utoipa::path(get, path = "/docs", tag = "Operation", responses(
    (status = 200, description = "The page.", content_type = "text/html")))]
async fn front_page(State(house): State<Arc<House>>) -> Result<Response, Refused> {
    page(&house, "index.html")
}

async fn file(
    State(house): State<Arc<House>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    page(&house, &name)
}

fn page(house: &House, name: &str) -> Result<Response, Refused> {
    let config = Arc::new(Config::from("/openapi.json"));
    let found = utoipa_swagger_ui::serve(name, config).map_err(Refused::internal)?;
    let Some(SwaggerFile { bytes, content_type, gzpipped, .. }) = found else {
        return Err(Refused::of_status(StatusCode::NOT_FOUND));
    };
    let bytes = match name {
        // So that the same page works with and without the slash at the end of its address.
        "index.html" => {
            let text = String::from_utf8_lossy(&bytes);
            Bytes::from(
                text.replace("\"./", "\"/docs/").replace("=\"index.css", "=\"/docs/index.css"),
            )
        }
        _ => Bytes::from(bytes.into_owned()),
    };
    let kind = HeaderValue::from_str(&content_type).map_err(Refused::internal)?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, house.pages.docs_policy.clone()),
    ];
    let mut response = (headers, bytes).into_response();
    if gzpipped {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(response)
}
