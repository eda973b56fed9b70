//! Permit + Opened + a clean head become an Outbound: the only place where a real key meets a
//! request. Whatever a client put into a slot is gone before; what is placed here is marked
//! sensitive and wiped when the last copy of the header is dropped. Must never take a destination
//! from anything a client sent.

mod body;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, Uri};

pub(crate) use self::body::{BodyFault, OutboundBody};
use crate::policy::Permit;
use crate::provider::{Placement, Provider, Template};
use crate::refusal::{Reason, Refusal};
use crate::secret::{KeptBytes, Needles, SecretBytes};
use crate::vault::{Fresh, Opened, Placed};

/// A request's head after it was made clean: no credential, nothing hop-by-hop, no Host. It lies
/// where it came in.
pub(crate) struct Head<'r> {
    parts: &'r mut Parts,
    rest_at: usize,
    query: String,
}

/// A call that may leave. Only this room makes one.
pub(crate) struct Outbound {
    provider: Arc<Provider>,
    request: Request<OutboundBody>,
}

impl<'r> Head<'r> {
    /// `rest_at` is where in the path the provider ends; `query` is what is left of the query
    /// without the credential parameters.
    pub(crate) fn new(parts: &'r mut Parts, rest_at: usize, query: String) -> Self {
        Self { parts, rest_at, query }
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

    pub(crate) fn put(&mut self, name: HeaderName, value: HeaderValue) {
        self.parts.headers.insert(name, value);
    }
}

impl Outbound {
    pub(crate) fn into_parts(self) -> (Arc<Provider>, Request<OutboundBody>) {
        (self.provider, self.request)
    }
}

/// Places the opened fields as the catalogue says. The needles are what must not come back.
pub(crate) fn inject(
    head: Head<'_>,
    body: OutboundBody,
    permit: &Permit,
    opened: Opened,
) -> Result<(Outbound, Arc<Needles>), Refusal> {
    let provider = Arc::clone(permit.provider());
    let placed = opened.placed(|fields| place(&provider, fields))?;
    let target = target(&provider, head.path(), &head.query, placed.parameters.expose())?;
    let mut request = Request::new(body);
    *request.method_mut() = std::mem::take(&mut head.parts.method);
    *request.uri_mut() = Uri::from(target);
    let headers = request.headers_mut();
    std::mem::swap(headers, &mut head.parts.headers);
    for (name, value) in &placed.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(HOST, provider.host.clone());
    if !provider.rewrite.members.is_empty() {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    Ok((Outbound { provider, request }, Arc::clone(&placed.needles)))
}

/// The same for every call of one opening.
fn place(provider: &Provider, fields: &Fresh) -> Result<Placed, Refusal> {
    let mut headers = Vec::with_capacity(provider.inject.len());
    let mut parameters = SecretBytes::new(Vec::new());
    let mut may_stay = true;
    for placement in &provider.inject {
        let value = fill(placement.template(), fields)?;
        match placement {
            Placement::Header { name, .. } => {
                let value = KeptBytes::copy_of(value.expose());
                may_stay &= value.may_stay();
                headers.push((name.clone(), sensitive(value)?));
            }
            Placement::Query { name, .. } => {
                parameters = append_parameter(&parameters, name, &value);
            }
        }
    }
    let parameters = KeptBytes::copy_of(parameters.expose());
    let needles = needles(provider, fields);
    may_stay &= parameters.may_stay() && needles.iter().all(KeptBytes::may_stay);
    Ok(Placed { headers, parameters, needles: Arc::new(Needles::new(needles)), may_stay })
}

fn fill(template: &Template, fields: &Fresh) -> Result<SecretBytes, Refusal> {
    template.fill(|name| fields.field(name)).ok_or_else(|| {
        let detail = "The stored secret lacks a field that this provider needs; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })
}

/// The header owns the wiped bytes: they die with its last clone.
fn sensitive(value: KeptBytes) -> Result<HeaderValue, Refusal> {
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).map_err(|_| {
        let detail = "The stored secret holds characters that no header may carry; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Appended last, as the contract says. Exactly as long as needed, so that no copy is left behind.
fn append_parameter(before: &SecretBytes, name: &str, value: &SecretBytes) -> SecretBytes {
    let before = before.expose();
    let encoded: usize =
        value.expose().iter().map(|byte| if is_plain(*byte) { 1 } else { 3 }).sum();
    let mut joined = Vec::with_capacity(before.len() + name.len() + encoded + 2);
    joined.extend_from_slice(before);
    if !before.is_empty() {
        joined.push(b'&');
    }
    joined.extend_from_slice(name.as_bytes());
    joined.push(b'=');
    for byte in value.expose() {
        if is_plain(*byte) {
            joined.push(*byte);
        } else {
            joined.extend_from_slice(&percent(*byte));
        }
    }
    SecretBytes::new(joined)
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

/// Base path + path + query, in one buffer that is wiped where it carries a key.
fn target(
    provider: &Provider,
    path: &str,
    query: &str,
    placed: &[u8],
) -> Result<PathAndQuery, Refusal> {
    let base = &provider.base.path;
    let mut target = Vec::with_capacity(base.len() + path.len() + query.len() + placed.len() + 2);
    target.extend_from_slice(base.as_bytes());
    target.extend_from_slice(path.as_bytes());
    for (part, mark) in [(query.as_bytes(), b'?'), (placed, b'&')] {
        if !part.is_empty() {
            target.push(if query.is_empty() { b'?' } else { mark });
            target.extend_from_slice(part);
        }
    }
    let bytes = match placed {
        [] => Bytes::from(target),
        [_, ..] => Bytes::from_owner(SecretBytes::new(target).into_zeroizing()),
    };
    PathAndQuery::from_maybe_shared(bytes).map_err(|_| {
        Refusal::bad_request("The path or the query holds characters that no URL may carry.")
    })
}

/// Very short values would blank innocent text; no real key is that short.
const SHORTEST_NEEDLE: usize = 6;

fn needles(provider: &Provider, fields: &Fresh) -> Vec<KeptBytes> {
    let mut needles = Vec::with_capacity(provider.fields.len());
    for value in provider.fields.iter().filter_map(|field| fields.field(&field.name)) {
        if value.len() >= SHORTEST_NEEDLE {
            needles.push(KeptBytes::copy_of(value));
            // Most keys read the same in a URL and in JSON, and need one needle.
            if !value.iter().all(|byte| is_plain(*byte)) {
                needles.extend(escaped(value).map(|form| KeptBytes::copy_of(form.expose())));
            }
        }
    }
    needles
}

/// A value as a provider may write it back within a URL or within JSON.
fn escaped(value: &[u8]) -> impl Iterator<Item = SecretBytes> {
    let url = |byte, small: bool, text: &mut Vec<u8>| match is_plain(byte) {
        true => text.push(byte),
        false if small => text.extend(percent(byte).map(|digit| digit.to_ascii_lowercase())),
        false => text.extend_from_slice(&percent(byte)),
    };
    let forms = [
        written(value, |byte, text| url(byte, false, text)),
        written(value, |byte, text| url(byte, true, text)),
        written(value, |byte, text| json(byte, b"\"\\", text)),
        written(value, |byte, text| json(byte, b"\"\\/", text)),
    ];
    forms.into_iter()
}

/// Some JSON writers escape the slash as well.
fn json(byte: u8, escaped: &[u8], text: &mut Vec<u8>) {
    if escaped.contains(&byte) {
        text.push(b'\\');
    }
    text.push(byte);
}

/// Room for the longest form at once: a vector that grows leaves copies behind.
fn written(value: &[u8], write: impl Fn(u8, &mut Vec<u8>)) -> SecretBytes {
    let mut text = Vec::with_capacity(value.len() * 3);
    for byte in value {
        write(*byte, &mut text);
    }
    SecretBytes::new(text)
}
