//! The callers' own paths, beside the providers: names that no provider may take. Answers health
//! and says no to the rest until somebody builds it. Must never forward anything, and never take a
//! path from a provider that is addressed by its host.

use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method};

use crate::corridor::{self, Answer, AnswerBody, Corridor};
use crate::provider::RESERVED_NAMES;
use crate::refusal::{Reason, Refusal};

/// None where the request is for a provider.
pub(super) fn answer(parts: &Parts, corridor: &Corridor) -> Option<Answer> {
    let domain = corridor.domain();
    // A preflight is never forwarded nor authenticated.
    let headers = &parts.headers;
    if parts.method == Method::OPTIONS
        && headers.contains_key(http::header::ORIGIN)
        && headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        let detail = "No page of this origin may call the proxy.";
        let no = || corridor::refused(&Refusal::new(Reason::Forbidden, detail));
        return Some(corridor.pages().preflight(headers).unwrap_or_else(no));
    }
    let path = parts.uri.path();
    let name = path.strip_prefix('/')?.split('/').next()?;
    if !RESERVED_NAMES.contains(&name) || (!domain.is_empty() && is_host_form(parts, domain)) {
        return None;
    }
    if path != "/healthz" {
        let detail = "There is nothing at this path.";
        return Some(corridor::refused(&Refusal::new(Reason::NotFound, detail)));
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let detail = "Only GET and HEAD are answered here.";
        let mut answer = corridor::refused(&Refusal::new(Reason::MethodNotAllowed, detail));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
        return Some(answer);
    }
    let mut answer = Answer::new(AnswerBody::own(br#"{"status":"ok"}"#.to_vec()));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Some(answer)
}

fn is_host_form(parts: &Parts, domain: &str) -> bool {
    let header = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(header);
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _port)| name));
    name.and_then(|name| name.strip_suffix(domain)).is_some_and(|under| under.ends_with('.'))
}
