//! From a request to the provider's answer: the key first, then what the caller demanded for a
//! test, then the catalogue's routes.
//! Must never be reached by the product's own data plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::Reel;
use super::candles::{self, Asked};
use super::key;
use super::seen::{Seen, SeenRequest};
use super::socket::Taken;
use crate::market::Span;
use crate::provider::{Canned, EmulatedRoute, Emulation, Provider};
use crate::secret::SecretBytes;

/// As much of a body as is looked at; the rest is read and counted alone.
const KEPT_BODY: usize = 64 * 1024;
const DEMAND: &str = "x-emulate";
const SLOW: Duration = Duration::from_secs(2);
/// Few, so that there are pages to follow; whoever asks for more gets them.
const USUAL_CANDLES: usize = 2;
const MOST_CANDLES: usize = 50_000;

/// What every connection of one stand-in shares.
pub(super) struct Stage {
    provider: Arc<Provider>,
    /// The secret that it demands, by field.
    fields: Vec<(String, SecretBytes)>,
    answered: AtomicU64,
    pub(super) seen: Seen,
    /// Where one socket is allowed and open.
    pub(super) taken: Taken,
}

/// What a caller may ask for in the parameter or header `x-emulate`.
enum Demand {
    TooMany,
    Unauthorized,
    Broken,
    Cut,
    Echo,
    Slow,
}

impl Stage {
    pub(super) fn new(provider: Arc<Provider>, fields: Vec<(String, SecretBytes)>) -> Self {
        Self {
            provider,
            fields,
            answered: AtomicU64::new(0),
            seen: Seen::default(),
            taken: Taken::default(),
        }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(super) fn fields(&self) -> &[(String, SecretBytes)] {
        &self.fields
    }
}

impl Demand {
    /// Unknown words are no demand: a provider ignores what it does not know.
    fn of(head: &Parts) -> Option<Self> {
        let header = head.headers.get(DEMAND).map(|value| value.as_bytes().to_vec());
        let query = head.uri.query().unwrap_or_default();
        match header.or_else(|| key::values_of(query, DEMAND).next())?.as_slice() {
            b"429" => Some(Self::TooMany),
            b"401" => Some(Self::Unauthorized),
            b"500" => Some(Self::Broken),
            b"cut" => Some(Self::Cut),
            b"echo" => Some(Self::Echo),
            b"slow" => Some(Self::Slow),
            _ => None,
        }
    }
}

/// One request, answered and noted.
pub(super) async fn to(stage: &Stage, request: Request<Incoming>) -> Response<Reel> {
    let (head, body) = request.into_parts();
    let (kept, body_len) = read(body).await;
    stage.seen.note(SeenRequest {
        method: head.method.clone(),
        path_and_query: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        body_len,
    });
    let mut response = match &stage.provider.emulation {
        Some(emulation) => answer(stage, emulation, &head, &kept).await,
        None => Response::new(Reel::whole("")),
    };
    sign(stage, &mut response);
    response
}

/// The first part of a body, and the length of the whole.
async fn read(mut body: Incoming) -> (Vec<u8>, u64) {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        length += data.len() as u64;
        let room = KEPT_BODY.saturating_sub(kept.len());
        kept.extend(data.iter().take(room));
    }
    (kept, length)
}

async fn answer(stage: &Stage, emulation: &Emulation, head: &Parts, body: &[u8]) -> Response<Reel> {
    if !key::is_carried(&stage.provider, &stage.fields, (head, body)) {
        return canned(&emulation.unauthorized);
    }
    match Demand::of(head) {
        None => routed(emulation, head, body),
        Some(Demand::Unauthorized) => canned(&emulation.unauthorized),
        Some(Demand::TooMany) => {
            let mut response = canned(&emulation.too_many);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Some(Demand::Broken) => fault(StatusCode::INTERNAL_SERVER_ERROR, "failed on demand"),
        Some(Demand::Cut) => cut(routed(emulation, head, body)).await,
        Some(Demand::Echo) => json(StatusCode::OK, echo(head, body)),
        Some(Demand::Slow) => {
            tokio::time::sleep(SLOW).await;
            routed(emulation, head, body)
        }
    }
}

/// The first route whose method and path fit. HEAD is a GET whose body hyper leaves out.
fn routed(emulation: &Emulation, head: &Parts, body: &[u8]) -> Response<Reel> {
    let asked = if head.method == Method::HEAD { "GET" } else { head.method.as_str() };
    let fitting = emulation.routes.iter().filter(|route| route.method == asked);
    for route in fitting {
        if let Some(names) = names_in(&route.path, head.uri.path()) {
            return play(route, &names, head, body);
        }
    }
    canned(&emulation.not_found)
}

fn play(
    route: &EmulatedRoute,
    names: &[(&str, String)],
    head: &Parts,
    body: &[u8],
) -> Response<Reel> {
    if !route.events.is_empty() && wants_stream(body) {
        let reel = Reel::events(&route.events, route.event_gap_ms);
        return typed(route.answer.status, "text/event-stream", reel);
    }
    if route.candles {
        return made_up(route, names, head);
    }
    let page = page(route, head).min(route.pages.max(1));
    let follows = page < route.pages;
    let mut text = filled(&route.answer.body, names, (page, follows));
    if route.pages > 1 {
        match route.next.as_str() {
            "" => {}
            "next_url" if !follows => {}
            "next_url" => insert(&mut text, "next_url", &next_url(route, head, page + 1)),
            member if follows => insert(&mut text, member, &(page + 1).to_string().into()),
            member => insert(&mut text, member, &serde_json::Value::Null),
        }
    }
    typed(route.answer.status, &route.answer.content_type, Reel::whole(text))
}

/// A page of candles, or the route's own answer where it cannot be read what is asked for.
fn made_up(route: &EmulatedRoute, names: &[(&str, String)], head: &Parts) -> Response<Reel> {
    let query = head.uri.query().unwrap_or_default();
    let said = |name: &str| {
        let value = key::values_of(query, name).next()?;
        String::from_utf8(value).ok()
    };
    let named = |name: &str| {
        let found = names.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let length = format!("{}/{}", named("multiplier"), named("timespan"));
    let span = Span::ALL.into_iter().find(|span| span.asked() == length);
    let bound = |name: &str, is_end: bool| candles::bound(named(name), (named("ticker"), is_end));
    let bounds = bound("from", false).zip(bound("to", true));
    let (Some(span), Some(range)) = (span, bounds) else { return canned(&route.answer) };
    let limit = said("limit");
    let count = limit.as_ref().and_then(|text| text.parse().ok()).unwrap_or(USUAL_CANDLES);
    let asked = Asked {
        ticker: named("ticker"),
        span,
        range,
        newest_first: said("sort").as_deref() == Some("desc"),
        limit: count.clamp(1, MOST_CANDLES),
        page: page(route, head),
    };
    let made = candles::page(&asked);
    let (ticker, count, number) = (serde_json::Value::from(asked.ticker), made.count, asked.page);
    let mut text = format!(
        r#"{{"ticker":{ticker},"queryCount":{count},"resultsCount":{count},"adjusted":true,"results":[{}],"status":"OK","request_id":"emulated-{number}","count":{count}}}"#,
        made.list
    );
    if made.follows {
        let mut next = next_url(route, head, number.saturating_add(1));
        if let (serde_json::Value::String(next), Some(limit)) = (&mut next, limit) {
            next.push_str(&format!("&limit={}", limit.parse::<usize>().unwrap_or(USUAL_CANDLES)));
        }
        insert(&mut text, "next_url", &next);
    }
    typed(200, "application/json", Reel::whole(text))
}

/// The names of a pattern with the segments in their places; None if the path does not fit.
pub(super) fn names_in<'a>(pattern: &'a str, path: &str) -> Option<Vec<(&'a str, String)>> {
    let mut names = Vec::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        let name = wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(_) if segment.is_empty() => return None,
            Some(name) => {
                let plain = key::decoded(segment);
                names.push((name, String::from_utf8_lossy(&plain).into_owned()));
            }
            None if wanted != segment => return None,
            None => {}
        }
    }
    segments.next().is_none().then_some(names)
}

/// Puts names, `{page}` and `{more}` into a body. Any other brace is the JSON's own.
fn filled(body: &str, names: &[(&str, String)], page: (u32, bool)) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        rest = after;
        let name = after.split_once('}').map(|(name, tail)| (replacement(name, names, page), tail));
        match name {
            Some((Some(value), tail)) => {
                text.push_str(&value);
                rest = tail;
            }
            Some((None, _)) | None => text.push('{'),
        }
    }
    text.push_str(rest);
    text
}

fn replacement(
    name: &str,
    names: &[(&str, String)],
    (page, follows): (u32, bool),
) -> Option<String> {
    match name {
        "page" => return Some(page.to_string()),
        "more" => return Some(follows.to_string()),
        _ => {}
    }
    let (_, value) = names.iter().find(|(known, _)| *known == name)?;
    let quoted = serde_json::Value::from(value.as_str()).to_string();
    // It stands within quotes already.
    Some(quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

fn page(route: &EmulatedRoute, head: &Parts) -> u32 {
    let query = head.uri.query().unwrap_or_default();
    let cursor = key::values_of(query, &route.cursor).next().unwrap_or_default();
    let cursor = String::from_utf8(cursor).unwrap_or_default();
    let digits = cursor.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    match digits.parse::<u32>() {
        // It names the last that the caller has seen.
        Ok(seen) if route.next.is_empty() => seen.saturating_add(1),
        Ok(page) => page.max(1),
        Err(_) => 1,
    }
}

/// Absolute, on the host that the caller named.
fn next_url(route: &EmulatedRoute, head: &Parts, page: u32) -> serde_json::Value {
    let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| head.uri.authority().map(|host| host.as_str()));
    let host = host.unwrap_or_default();
    format!("https://{host}{}?{}={page}", head.uri.path(), route.cursor).into()
}

/// As the last member of the object.
fn insert(text: &mut String, member: &str, value: &serde_json::Value) {
    let Some(object) = text.trim_end().strip_suffix('}') else {
        return;
    };
    let comma = if object.trim_end().ends_with('{') { "" } else { "," };
    *text = format!("{object}{comma}\"{member}\":{value}}}");
}

fn wants_stream(body: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.and_then(|body| body.get("stream")?.as_bool()).unwrap_or(false)
}

/// The request as it arrived, so that a test sees what was passed and what comes back scrubbed.
fn echo(head: &Parts, body: &[u8]) -> serde_json::Value {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<(&str, String)> =
        head.headers.iter().map(|(name, value)| (name.as_str(), lossy(value.as_bytes()))).collect();
    serde_json::json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers,
        "body": lossy(body),
    })
}

async fn cut(response: Response<Reel>) -> Response<Reel> {
    let (head, reel) = response.into_parts();
    let whole = match reel.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Response::from_parts(head, Reel::cut(whole))
}

fn fault(status: StatusCode, sentence: &str) -> Response<Reel> {
    json(status, serde_json::json!({"status": "ERROR", "error": sentence}))
}

fn json(status: StatusCode, body: serde_json::Value) -> Response<Reel> {
    typed(status.as_u16(), "application/json", Reel::whole(body.to_string()))
}

pub(super) fn canned(answer: &Canned) -> Response<Reel> {
    typed(answer.status, &answer.content_type, Reel::whole(answer.body.clone()))
}

fn typed(status: u16, content_type: &str, reel: Reel) -> Response<Reel> {
    let mut response = Response::new(reel);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// The provider's own headers, and a request id where they bring none.
fn sign(stage: &Stage, response: &mut Response<Reel>) {
    let number = stage.answered.fetch_add(1, Ordering::Relaxed) + 1;
    let id = HeaderValue::try_from(format!("emulated-{number}"));
    if let Ok(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    let own = stage.provider.emulation.iter().flat_map(|emulation| &emulation.headers);
    for (name, value) in own {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
}
