//! The console: its page and the files that the page loads, as they were built into the binary.
//! Every path below /console/ is the same page, so that links into it can be kept; what may run
//! in it is what was built, nothing else. Must never answer for a path of the API.

mod files;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;

use self::files::{FILES, File, INDEX};
use super::house::House;
use super::refused::Refused;
use crate::crypto;

/// What the page is told of this house, and who may embed it, as a policy says it.
pub(super) struct Console {
    index: Option<String>,
    ancestors: String,
}

const HOME: &str = "/console/";
/// Where the page has room for the nonce of an answer.
const NONCE: &str = "NONCE-OF-THIS-ANSWER";
/// Where it has room for the address at which callers reach the proxy.
const PROXY_URL: &str = "PROXY-URL-OF-THIS-HOUSE";
const NONCE_BYTES: usize = 16;
/// Names of files hold a digest of what is in them.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const FEATURES: HeaderName = HeaderName::from_static("permissions-policy");
const NO_FEATURES: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
const UNBUILT: &str = "<!doctype html><html lang=\"en\"><title>Sealgate</title>\
    <h1>This binary has no console</h1><p>It was built without one, which needs Node 20: \
    <code>make run</code> builds both; <code>make console</code> the console alone, to be \
    followed by <code>cargo build</code>.</p><p>The API is described at \
    <a href=\"/docs\">/docs</a>.</p></html>";

pub(super) fn router() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .route("/", get(async || Redirect::to(HOME)))
        .route("/console", get(async || Redirect::to(HOME)))
        .route(HOME, get(page))
        .route("/console/{*path}", get(page))
        .route("/console/assets/{name}", get(file))
}

async fn page(State(house): State<Arc<House>>) -> Result<Response, Refused> {
    let Some(index) = &house.pages.console.index else { return Ok(unbuilt()) };
    let nonce: [u8; NONCE_BYTES] = crypto::random_bytes().map_err(Refused::internal)?;
    let nonce = STANDARD.encode(nonce);
    let policy = house.pages.console.policy(&nonce);
    let policy = HeaderValue::from_str(&policy).map_err(Refused::internal)?;
    let mut response = html(StatusCode::OK, index.replace(NONCE, &nonce));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(FEATURES, HeaderValue::from_static(NO_FEATURES));
    Ok(response)
}

fn unbuilt() -> Response {
    html(StatusCode::NOT_FOUND, UNBUILT.to_owned())
}

fn html(status: StatusCode, text: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Err(Refused::of_status(StatusCode::NOT_FOUND));
    };
    let (coding, bytes) = file.taken_by(&headers);
    let mut response = Bytes::from_static(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_GOOD));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    Ok(response)
}

impl Console {
    pub(super) fn new(ancestors: &str, proxy_url: &str) -> Self {
        // The settings take no address with a quotation mark; an ampersand could still stand there.
        let told = proxy_url.replace('&', "&amp;").replace('"', "&quot;");
        let index = INDEX.map(|index| index.replace(PROXY_URL, &told));
        Self { index, ancestors: ancestors.to_owned() }
    }

    /// Scripts are files of ours; styles too, but for those that carry the nonce.
    fn policy(&self, nonce: &str) -> String {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
             img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors {}",
            self.ancestors
        )
    }
}

impl File {
    /// The smallest form that the caller takes.
    fn taken_by(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let forms = [("br", self.brotli), ("gzip", self.gzip)];
        let taken = forms.into_iter().find_map(|(coding, bytes)| {
            bytes.filter(|_| takes(headers, coding)).map(|bytes| (Some(coding), bytes))
        });
        taken.unwrap_or((None, self.plain))
    }

    fn kind(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("woff2") => "font/woff2",
            _ => "application/octet-stream",
        }
    }
}

/// Whether a coding stands in `Accept-Encoding` and is not weighed as nothing.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut offers =
        values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    offers.any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        is_it
            && !parts.any(|weight| {
                weight.replace(' ', "").trim_end_matches('0') == "q=0." || matches!(weight, "q=0")
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn the_smallest_form_that_the_caller_takes_is_sent() {
        let file = File { name: "a.js", plain: b"plain", brotli: Some(b"br"), gzip: Some(b"gz") };
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, br;q=0", Some("gzip")),
            ("BR", Some("br")),
            ("br; q=0.000, gzip;q=0.0", None),
            ("identity", None),
            ("brotli", None),
        ] {
            assert_eq!(file.taken_by(&accepting(accepted)).0, coding, "{accepted}");
        }
        let font = File { name: "a.woff2", plain: b"plain", brotli: None, gzip: None };
        assert_eq!(font.taken_by(&accepting("br")), (None, &b"plain"[..]));
        assert_eq!(font.kind(), "font/woff2");
    }

    #[test]
    fn a_policy_lets_nothing_run_that_was_not_built_here() {
        let policy = Console::new("https://a.example", "http://g").policy("abc");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(policy.contains("style-src 'self' 'nonce-abc'"), "{policy}");
        assert!(policy.ends_with("frame-ancestors https://a.example"), "{policy}");
    }
}
