//! Permit + Opened + a clean head become an Outbound: the only place where a real key meets a
//! request. Whatever a client put into a slot is gone before; what is placed here is marked
//! sensitive and wiped when the last copy of the header is dropped. Must never take a destination
//! from anything a client sent.

mod body;
mod document;
mod hail;
mod json;
mod spare;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use base64::Engine as _;

pub(crate) use self::body::{Ahead, BodyFault, Flaw, OutboundBody};
pub(crate) use self::document::{Document, MOST_BYTES as MOST_DOCUMENT_BYTES};
pub(crate) use self::hail::Hail;
pub(crate) use self::spare::Spare;
use crate::policy::Permit;
use crate::provider::{Codec, Dialect, Host, Hosts, Placement, Provider, Spot, Template};
use crate::refusal::{Reason, Refusal};
use crate::secret::{KeptBytes, Needles, SecretBytes};
use crate::vault::{Fresh, Opened, Placed, PlacedValue};

/// A request's head after it was made clean: no credential, nothing hop-by-hop, no Host. It lies
/// where it came in.
pub(crate) struct Head<'r> {
    parts: &'r mut Parts,
    rest_at: usize,
    query: Option<String>,
    /// It is the handshake that opens a socket.
    socket: Option<Opener>,
}

/// What the handshake of a socket has that no call has.
struct Opener {
    /// Our own.
    key: HeaderValue,
    /// What is spoken behind it, where the real key comes in a message.
    speaks: Option<(Dialect, Codec)>,
}

/// What goes with a call beside what is sent.
pub(crate) struct Carried {
    /// What must not come back.
    pub(crate) needles: Arc<Needles>,
    /// What shows the key on a socket.
    pub(crate) hail: Option<Hail>,
}

/// A call that may leave. Only this room makes one.
pub(crate) struct Outbound {
    goal: Goal,
    request: Request<OutboundBody>,
}

/// The provider, and at which of its hosts: looked up, never computed.
#[derive(Clone)]
pub(crate) struct Goal {
    provider: Arc<Provider>,
    at: usize,
    is_socket: bool,
}

impl Goal {
    fn of(provider: &Arc<Provider>, path: &str, is_socket: bool) -> Self {
        let mut goal = Self { provider: Arc::clone(provider), at: 0, is_socket };
        goal.at = goal.hosts().of(path);
        goal
    }

    fn hosts(&self) -> &Hosts {
        // Who asks for a socket was asked before whether there are any.
        let sockets = self.provider.sockets.as_ref().filter(|_| self.is_socket);
        sockets.unwrap_or(&self.provider.hosts)
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.is_socket
    }

    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    pub(crate) fn host(&self) -> &Host {
        self.hosts().host(self.at)
    }
}

impl<'r> Head<'r> {
    /// `rest_at` is where in the path the provider ends; `query` is what is left of the query
    /// without the credential parameters: none, where that is nothing.
    pub(crate) fn new(parts: &'r mut Parts, rest_at: usize, query: Option<String>) -> Self {
        Self { parts, rest_at, query, socket: None }
    }

    pub(crate) fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// What follows the provider: begins with a slash, holds no query.
    pub(crate) fn path(&self) -> &str {
        match self.parts.uri.path().get(self.rest_at..) {
            Some("") | None => "/",
            Some(rest) => rest,
        }
    }

    /// What is left of the query without credentials.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.parts.headers.get(name)
    }

    /// It asks for a socket, with this key, and this is spoken on it.
    #[must_use]
    pub(crate) fn opening(mut self, key: HeaderValue, speaks: Option<(Dialect, Codec)>) -> Self {
        self.socket = Some(Opener { key, speaks });
        self
    }

    pub(crate) fn put(&mut self, name: HeaderName, value: HeaderValue) {
        self.parts.headers.insert(name, value);
    }
}

impl Outbound {
    pub(crate) fn into_parts(self) -> (Goal, Request<OutboundBody>) {
        (self.goal, self.request)
    }
}

/// Places the opened fields as the catalogue says.
pub(crate) fn inject(
    mut head: Head<'_>,
    mut body: OutboundBody,
    permit: &Permit,
    opened: Opened,
) -> Result<(Outbound, Carried), Refusal> {
    let socket = head.socket.take();
    let goal = Goal::of(permit.provider(), head.path(), socket.is_some());
    let provider = goal.provider();
    let placed = opened.placed(|fields| place(provider, fields))?;
    let method = std::mem::take(&mut head.parts.method);
    let filled = placed_for(&placed, (provider, socket.is_some()), &method);
    let target = target(&goal, (head.path(), head.query.as_deref()), filled.clone())?;
    let headers = &mut head.parts.headers;
    for (placement, value) in filled {
        match (&placement.spot, value) {
            (_, PlacedValue::Header(name, value)) => {
                headers.insert(name.clone(), value.clone());
            }
            (Spot::Json { pointer, .. }, PlacedValue::Text(value)) => {
                body = body.with_member(pointer, value.expose())?;
            }
            // They stand in the target.
            (_, PlacedValue::Text(_)) => {}
        }
    }
    headers.insert(HOST, goal.host().header.clone());
    let speaks = socket.as_ref().and_then(|opener| opener.speaks);
    let hail = speaks.and_then(|speaks| Hail::of(provider, &placed, speaks));
    if let Some(Opener { key, .. }) = socket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    if !provider.rewrite.members.is_empty() {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let mut body = body.ready();
    if let Some(names) = headers.get(TRAILER) {
        body = body.trailed_by(names.clone());
        if !body.is_of_unknown_length() {
            // Nothing comes behind it.
            headers.remove(TRAILER);
        }
    }
    if body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        // Some front ends answer 411 where these say nothing of a body that they do not have.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if matches!(method, Method::GET | Method::HEAD) && body.is_of_unknown_length() {
        // Left to itself, hyper sends no body with these methods unless its length is known.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    std::mem::swap(request.headers_mut(), &mut head.parts.headers);
    let carried = Carried { needles: Arc::clone(&placed.needles), hail };
    Ok((Outbound { goal, request }, carried))
}

/// What is filled in a call of this method.
fn placed_for<'p>(
    placed: &'p Placed,
    (provider, is_socket): (&'p Provider, bool),
    method: &Method,
) -> impl Iterator<Item = (&'p Placement, &'p PlacedValue)> + Clone {
    let pairs = provider.placements().zip(&placed.values);
    let meant = pairs.filter(move |(placement, _)| provider.fills(*placement, (method, is_socket)));
    meant.map(|((placement, _), value)| (placement, value))
}

/// The same for every call of one opening.
fn place(provider: &Provider, fields: &Fresh) -> Result<Placed, Refusal> {
    let mut values = Vec::with_capacity(provider.placements().count());
    let needles = needles(provider, fields);
    let mut may_stay = true;
    for (placement, _) in provider.placements() {
        let value = fill(placement.template(), fields)?;
        let mut header = |name: &HeaderName, value: &SecretBytes| {
            let (value, fits) = sensitive(value)?;
            may_stay &= fits;
            Ok::<_, Refusal>(PlacedValue::Header(name.clone(), value))
        };
        let text = |value: SecretBytes| PlacedValue::Text(KeptBytes::copy_of(value.expose()));
        values.push(match &placement.spot {
            Spot::Header { name, .. } => header(name, &value)?,
            Spot::Basic { .. } => header(&AUTHORIZATION, &basic(&value))?,
            Spot::Query { name, .. } => text(parameter(name, &value)),
            Spot::Json { .. } => text(quoted(&value)),
            Spot::Path { .. } => text(in_path(&value)),
        });
    }
    let fits = |value: &PlacedValue| match value {
        PlacedValue::Header(..) => true,
        PlacedValue::Text(value) => value.may_stay(),
    };
    let hails = hail::all(provider, fields)?;
    may_stay &= hails.iter().all(KeptBytes::may_stay);
    may_stay &= values.iter().all(fits) && needles.may_stay();
    Ok(Placed { values, hails, needles: Arc::new(needles), may_stay })
}

fn fill(template: &Template, fields: &Fresh) -> Result<SecretBytes, Refusal> {
    template.fill(|name| fields.field(name)).ok_or_else(|| {
        let detail = "The stored secret lacks a field that this provider needs; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })
}

/// The header owns the wiped bytes: they die with its last clone. False where they are too long to
/// be kept.
fn sensitive(value: &SecretBytes) -> Result<(HeaderValue, bool), Refusal> {
    let value = KeptBytes::copy_of(value.expose());
    let may_stay = value.may_stay();
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).map_err(|_| {
        let detail = "The stored secret holds characters that no header may carry; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })?;
    header.set_sensitive(true);
    Ok((header, may_stay))
}

const BASIC: &[u8] = b"Basic ";

/// The header's value; exactly as long as needed, so that no copy is left behind.
fn basic(pair: &SecretBytes) -> SecretBytes {
    let length = BASIC.len() + pair.expose().len().div_ceil(3) * 4;
    let mut whole = vec![0; length];
    let (scheme, encoded) = whole.split_at_mut(BASIC.len());
    scheme.copy_from_slice(BASIC);
    // It fits: the length is that of the encoding.
    let _ = base64::engine::general_purpose::STANDARD.encode_slice(pair.expose(), encoded);
    SecretBytes::new(whole)
}

/// `name=value`, escaped.
fn parameter(name: &str, value: &SecretBytes) -> SecretBytes {
    let lead = [name.as_bytes(), b"="].concat();
    escaped_behind(&lead, value.expose(), is_plain)
}

/// Between the base path and the rest. The file's own slashes stay; a key's would be segments.
fn in_path(value: &SecretBytes) -> SecretBytes {
    escaped_behind(b"", value.expose(), |byte| is_plain(byte) || matches!(byte, b'/' | b':'))
}

/// Exactly as long as needed: a vector that grows leaves copies behind.
fn escaped_behind(lead: &[u8], value: &[u8], is_plain: impl Fn(u8) -> bool) -> SecretBytes {
    let encoded: usize = value.iter().map(|byte| if is_plain(*byte) { 1 } else { 3 }).sum();
    let mut text = Vec::with_capacity(lead.len() + encoded);
    text.extend_from_slice(lead);
    for byte in value {
        if is_plain(*byte) {
            text.push(*byte);
        } else {
            text.extend_from_slice(&percent(*byte));
        }
    }
    SecretBytes::new(text)
}

/// As a JSON string. Fields and templates are printable, so quotes and backslashes are all that
/// needs an escape.
fn quoted(value: &SecretBytes) -> SecretBytes {
    let value = value.expose();
    let mut text = Vec::with_capacity(value.len() * 2 + 2);
    text.push(b'"');
    for byte in value {
        json_escaped(*byte, b"\"\\", &mut text);
    }
    text.push(b'"');
    SecretBytes::new(text)
}

/// What a query carries unescaped.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

fn percent(byte: u8) -> [u8; 3] {
    [b'%', hex(byte >> 4), hex(byte & 15)]
}

fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

/// Base path, placed beginning, path, query, placed parameters; in one buffer that is wiped where
/// it carries a key.
fn target<'p>(
    goal: &Goal,
    (path, query): (&str, Option<&str>),
    filled: impl Iterator<Item = (&'p Placement, &'p PlacedValue)> + Clone,
) -> Result<PathAndQuery, Refusal> {
    let base = &goal.host().base.path;
    let text = |wanted: fn(&Spot) -> bool| {
        filled.clone().filter_map(move |(placement, value)| match value {
            PlacedValue::Text(value) if wanted(&placement.spot) => Some(value.expose()),
            PlacedValue::Text(_) | PlacedValue::Header(..) => None,
        })
    };
    let prefixes = || text(|spot| matches!(spot, Spot::Path { .. }));
    let parameters = || text(|spot| matches!(spot, Spot::Query { .. }));
    let placed: usize = prefixes().chain(parameters()).map(|text| text.len() + 1).sum();
    let length = base.len() + path.len() + query.map_or(0, str::len) + placed + 1;
    let mut target = Vec::with_capacity(length);
    target.extend_from_slice(base.as_bytes());
    prefixes().for_each(|prefix| target.extend_from_slice(prefix));
    target.extend_from_slice(path.as_bytes());
    let own = query.map(str::as_bytes).filter(|query| !query.is_empty());
    let parts = || own.into_iter().chain(parameters());
    if query.is_some() && parts().next().is_none() {
        // A mark with nothing behind it is still the client's.
        target.push(b'?');
    }
    for (index, part) in parts().enumerate() {
        target.push(if index == 0 { b'?' } else { b'&' });
        target.extend_from_slice(part);
    }
    let bytes = match placed {
        0 => Bytes::from(target),
        _ => Bytes::from_owner(SecretBytes::new(target).into_zeroizing()),
    };
    PathAndQuery::from_maybe_shared(bytes).map_err(|_| {
        Refusal::bad_request("The path or the query holds characters that no URL may carry.")
    })
}

/// Very short values would blank innocent text; no real key is that short.
const SHORTEST_NEEDLE: usize = 6;

fn needles(provider: &Provider, fields: &Fresh) -> Needles {
    let values = provider.fields.iter().filter_map(|field| fields.field(&field.name));
    let long = values.filter(|value| value.len() >= SHORTEST_NEEDLE);
    Needles::new(long.map(KeptBytes::copy_of).collect())
}

fn json_escaped(byte: u8, escaped: &[u8], text: &mut Vec<u8>) {
    if escaped.contains(&byte) {
        text.push(b'\\');
    }
    text.push(byte);
}
