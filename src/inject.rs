//! Permit + Opened + a clean head become an Outbound: the only place where a real key meets a
//! request. Whatever a client put into a slot is gone before; what is placed here is marked
//! sensitive and wiped when the last copy of the header is dropped. Must never take a destination
//! from anything a client sent.

mod body;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

pub(crate) use self::body::{BodyFault, OutboundBody};
use crate::policy::Permit;
use crate::provider::{Placement, Provider, Template};
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;
use crate::vault::Opened;

/// A request's head after it was made clean: no credential, nothing hop-by-hop, no Host.
pub(crate) struct Head {
    pub(crate) method: Method,
    /// What follows the provider: begins with a slash, holds no query.
    pub(crate) path: String,
    /// Without the credential parameters; empty where there is none.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

/// A call that may leave. Only this room makes one.
pub(crate) struct Outbound {
    provider: Arc<Provider>,
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    body: OutboundBody,
}

/// What must not come back: the values that were placed. Wiped with the answer.
pub(crate) struct Needles(Vec<SecretBytes>);

impl Outbound {
    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    pub(crate) fn into_parts(self) -> (Method, PathAndQuery, HeaderMap, OutboundBody) {
        (self.method, self.target, self.headers, self.body)
    }
}

impl Needles {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(SecretBytes::expose)
    }
}

/// Places the opened fields as the catalogue says; consumes them.
pub(crate) fn inject(
    head: Head,
    body: OutboundBody,
    permit: &Permit,
    opened: Opened,
) -> Result<(Outbound, Needles), Refusal> {
    let provider = Arc::clone(permit.provider());
    let Head { method, path, query, mut headers } = head;
    let mut parameters: Option<SecretBytes> = None;
    for placement in &provider.inject {
        let value = fill(placement.template(), &opened)?;
        match placement {
            Placement::Header { name, .. } => {
                headers.insert(name.clone(), sensitive(value)?);
            }
            Placement::Query { name, .. } => {
                parameters = Some(append_parameter(parameters, name, &value));
            }
        }
    }
    headers.insert(HOST, provider.host.clone());
    if !provider.rewrite.json_members.is_empty() {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let target = target(&provider, &path, &query, parameters)?;
    let needles = needles(&provider, &opened);
    Ok((Outbound { provider, method, target, headers, body }, needles))
}

fn fill(template: &Template, opened: &Opened) -> Result<SecretBytes, Refusal> {
    template.fill(|name| opened.field(name)).ok_or_else(|| {
        let detail = "The stored secret lacks a field that this provider needs; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })
}

/// The header owns the wiped bytes: they die with its last clone.
fn sensitive(value: SecretBytes) -> Result<HeaderValue, Refusal> {
    let shared = Bytes::from_owner(value.into_zeroizing());
    let mut header = HeaderValue::from_maybe_shared(shared).map_err(|_| {
        let detail = "The stored secret holds characters that no header may carry; enter it again.";
        Refusal::new(Reason::NoSecret, detail)
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Appended last, as the contract says. Exactly as long as needed, so that no copy is left behind.
fn append_parameter(before: Option<SecretBytes>, name: &str, value: &SecretBytes) -> SecretBytes {
    let before = before.as_ref().map_or(&[][..], SecretBytes::expose);
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
    parameters: Option<SecretBytes>,
) -> Result<PathAndQuery, Refusal> {
    let base = &provider.base.path;
    let placed = parameters.as_ref().map_or(&[][..], SecretBytes::expose);
    let mut target = Vec::with_capacity(base.len() + path.len() + query.len() + placed.len() + 2);
    target.extend_from_slice(base.as_bytes());
    target.extend_from_slice(path.as_bytes());
    for (part, mark) in [(query.as_bytes(), b'?'), (placed, b'&')] {
        if !part.is_empty() {
            target.push(if query.is_empty() { b'?' } else { mark });
            target.extend_from_slice(part);
        }
    }
    let bytes = match parameters {
        Some(_) => Bytes::from_owner(SecretBytes::new(target).into_zeroizing()),
        None => Bytes::from(target),
    };
    PathAndQuery::from_maybe_shared(bytes).map_err(|_| {
        Refusal::bad_request("The path or the query holds characters that no URL may carry.")
    })
}

/// Very short values would blank innocent text; no real key is that short.
const SHORTEST_NEEDLE: usize = 6;

fn needles(provider: &Provider, opened: &Opened) -> Needles {
    let mut needles = Vec::with_capacity(provider.fields.len());
    for value in provider.fields.iter().filter_map(|field| opened.field(&field.name)) {
        if value.len() >= SHORTEST_NEEDLE {
            needles.push(SecretBytes::copy_of(value));
            // Most keys read the same in a URL and in JSON, and need one needle.
            if !value.iter().all(|byte| is_plain(*byte)) {
                needles.extend(escaped(value));
            }
        }
    }
    Needles(needles)
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
