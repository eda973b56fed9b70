//! A request made clean: one framing, one host, origin form, no climbing, one credential; then a
//! head in which nothing is left that is ours, hop-by-hop or a credential.
//! Rejects, never repairs.

mod asked;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, TE, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use hyper::body::{Body as _, Incoming};

use super::browser::own_hosts;
use super::credential::{self, Presented};
use super::names::{hyphened, is_ours_or_hop_by_hop};
use super::socket::{Handshake, Introduced, is_of_a_handshake};
use super::{House, codings, cookies, overrides, path, trailers};
use crate::client::Client;
use crate::inject::Head;
use crate::provider::{Catalogue, Provider};
use crate::refusal::{Reason, Refusal};

const X_SEALGATE_SECRET: HeaderName = HeaderName::from_static("x-sealgate-secret");

/// What callers ask for; not yet what may leave. The head stays where it came in and is worked on
/// there: moving it from step to step cost more than most of the steps.
pub(super) struct Inbound<'r> {
    parts: &'r mut Parts,
    /// None where no provider has the name that was asked for.
    provider: Option<Arc<Provider>>,
    /// Where in the path the provider ends.
    rest_at: usize,
    query: String,
    presented: Presented,
    secret: Option<String>,
    /// The host by which the client addressed this provider, in host form.
    host_form: Option<String>,
    /// What a page of the same origin may call us; nothing where no page says that it is one.
    hosts: Vec<String>,
    /// It asks for a socket.
    handshake: Option<Handshake>,
}

/// What is known of a request beside its head, for what comes back.
pub(super) struct Onward {
    pub(super) host_form: Option<String>,
    pub(super) handshake: Option<Handshake>,
}

/// After this, the request has exactly one meaning.
pub(super) fn clean<'r>(
    parts: &'r mut Parts,
    body: Option<&Incoming>,
    house: &House,
) -> Result<Inbound<'r>, Refusal> {
    check_method(&parts.method)?;
    check_framing(&parts.headers, parts.version)?;
    check_length(body, house.settings.max_body_bytes)?;
    let host = host(&parts.uri, &parts.headers, parts.version)?;
    let path = parts.uri.path();
    if !path.starts_with('/') {
        return Err(Refusal::bad_request("The request target is no path.").closing());
    }
    if let Some(fault) = path::fault(path) {
        return Err(Refusal::bad_request(format!("The path {}.", fault.words())));
    }
    let (provider, rest, host_form) = address(path, host, &house.settings.domain)?;
    let hosts = own_hosts(parts, &house.settings.public_url);
    // One view for the whole of it, however often it is changed meanwhile.
    let catalogue = house.catalogue.now();
    let mut inbound = Inbound {
        provider: catalogue.get(provider).cloned(),
        rest_at: path.len() - rest.len(),
        parts,
        query: String::new(),
        presented: Presented::default(),
        secret: None,
        host_form,
        hosts,
        handshake: None,
    };
    inbound.clean_handshake()?;
    inbound.clean_query(&catalogue)?;
    inbound.clean_headers(&catalogue, house.roster.takes_any_shape())?;
    if inbound.presented.stands_in(inbound.rest().as_bytes())
        || inbound.presented.stands_in(inbound.query.as_bytes())
    {
        return Err(misplaced(&catalogue));
    }
    Ok(inbound)
}

impl<'r> Inbound<'r> {
    pub(super) fn credential(&self) -> Option<&[u8]> {
        self.presented.as_bytes()
    }

    /// What may be a key of an older system, where no key of our own stands.
    pub(super) fn open_credentials(&self) -> &[Vec<u8>] {
        self.presented.open()
    }

    /// Does this credential stand in what would go on?
    pub(super) fn check_misplaced(
        &self,
        credential: &[u8],
        catalogue: &Catalogue,
    ) -> Result<(), Refusal> {
        let in_head = self.parts.headers.values().map(HeaderValue::as_bytes);
        let mut places = in_head.chain([self.rest().as_bytes(), self.query.as_bytes()]);
        if places.any(|place| credential::stands_within(credential, place)) {
            return Err(misplaced(catalogue));
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> &Parts {
        self.parts
    }

    /// What stands in the body where the key belongs; of the head it is asked what was asked of a
    /// credential there.
    pub(super) fn note_member(
        &mut self,
        value: &[u8],
        catalogue: &Catalogue,
    ) -> Result<(), Refusal> {
        self.presented.note(value)?;
        match self.presented.as_bytes() == Some(value) {
            true => self.check_misplaced(value, catalogue),
            false => Ok(()),
        }
    }

    pub(super) fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// What the caller would have a provider take for the method.
    pub(super) fn other_methods(&self) -> impl Iterator<Item = String> {
        overrides::methods(&self.parts.headers, &self.query)
    }

    /// Some providers serve what a header names instead of the path.
    pub(super) fn names_another_path(&self) -> bool {
        overrides::name_a_path(&self.parts.headers)
    }

    pub(super) fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    pub(super) fn guest(&self, house: &House) -> Result<Option<Arc<Client>>, Refusal> {
        house.pages.guest(&self.parts.headers, &self.hosts)
    }

    /// The page that calls, as its browser says; two of them are none that is listed.
    pub(super) fn origin(&self) -> Option<&[u8]> {
        let mut origins = self.parts.headers.get_all(ORIGIN).iter();
        origins.next().filter(|_| origins.next().is_none()).map(HeaderValue::as_bytes)
    }

    pub(super) fn wanted_secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Nothing where nobody asks: most keys have no scopes.
    pub(super) fn decoded_segments(&self, asked: bool) -> Vec<Cow<'_, str>> {
        if asked { path::decoded_segments(self.rest()) } else { Vec::new() }
    }

    /// The head that may go on, and what is kept for its answer.
    pub(super) fn into_head(self) -> (Head<'r>, Onward) {
        let is_bare = self.parts.uri.query() == Some("");
        let query = Some(self.query).filter(|query| is_bare || !query.is_empty());
        // It is known now who is there: the place of a stranger is free.
        self.parts.extensions.remove::<Introduced>();
        let mut head = Head::new(self.parts, self.rest_at, query);
        if let Some(handshake) = &self.handshake {
            let speaks = handshake.speaks();
            head = head.opening(handshake.key(), speaks);
        }
        (head, Onward { host_form: self.host_form, handshake: self.handshake })
    }

    /// What follows the provider in the path; empty where nothing does.
    fn rest(&self) -> &str {
        self.parts.uri.path().get(self.rest_at..).unwrap_or_default()
    }

    fn clean_query(&mut self, catalogue: &Catalogue) -> Result<(), Refusal> {
        let Some(query) = self.parts.uri.query() else { return Ok(()) };
        let own = self.provider.as_ref().map(|provider| &provider.slots.query);
        self.query = credential::clean_query(
            query,
            |name| catalogue.is_query_slot(name),
            |name| own.is_some_and(|slots| slots.iter().any(|slot| slot == name)),
            &mut self.presented,
        )?;
        Ok(())
    }

    /// One pass decides on every header; the second takes out what may not go on.
    fn clean_headers(&mut self, catalogue: &Catalogue, any_shape: bool) -> Result<(), Refusal> {
        let headers = &self.parts.headers;
        let mut dropped: Vec<HeaderName> = Vec::with_capacity(8);
        let mut nominates = false;
        let mut asks_for_trailers = false;
        let mut announces_trailers = false;
        for (name, value) in headers {
            if let Some(slot) = catalogue.header_slot(name.as_str()) {
                self.presented.note_header(value.as_bytes())?;
                self.presented.note_open(name.as_str(), value.as_bytes(), any_shape);
                // The catalogue's own copy of the name: cloning the request's costs an allocation.
                dropped.push(slot.clone());
            } else if is_ours_or_hop_by_hop(name.as_str())
                || (self.handshake.is_some() && is_of_a_handshake(name.as_str()))
            {
                nominates |= *name == CONNECTION;
                asks_for_trailers |= *name == TE;
                announces_trailers |= *name == TRAILER;
                dropped.push(name.clone());
            } else if let Some(hyphened) = hyphened(name.as_str())
                && (is_ours_or_hop_by_hop(&hyphened) || catalogue.header_slot(&hyphened).is_some())
            {
                dropped.push(name.clone());
            }
        }
        // A name comes in lower case: of a key in it only the beginning is still to be recognised.
        let misplaces = |(name, value): (&HeaderName, &HeaderValue)| {
            (self.presented.stands_in(value.as_bytes())
                || credential::is_ours(name.as_str().as_bytes()))
                && catalogue.header_slot(name.as_str()).is_none()
        };
        if headers.iter().any(misplaces) {
            return Err(misplaced(catalogue));
        }
        if nominates {
            let values = headers.get_all(CONNECTION).iter();
            let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            dropped.extend(names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
        }
        let wants_trailers = asks_for_trailers && headers.get_all(TE).iter().any(names_trailers);
        let announced =
            announces_trailers.then(|| trailers::announced(headers, catalogue)).flatten();
        // Of a key of any shape nobody knows behind the body any more what it looks like.
        let announced = announced.filter(|_| self.presented.open().is_empty());
        self.secret = self
            .parts
            .headers
            .get(X_SEALGATE_SECRET)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        for name in dropped {
            self.parts.headers.remove(name);
        }
        codings::narrow(&mut self.parts.headers);
        cookies::withhold(&mut self.parts.headers);
        if wants_trailers {
            // Our own word to the provider, which sends none to those who do not ask.
            self.parts.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if let Some(names) = announced {
            self.parts.headers.insert(TRAILER, names);
        }
        Ok(())
    }
}

fn check_length(body: Option<&Incoming>, most: u64) -> Result<(), Refusal> {
    let announced = body.map_or(0, |body| body.size_hint().lower());
    if most > 0 && announced > most {
        let detail = "The body is larger than proxy.max_body_bytes allows.";
        return Err(Refusal::new(Reason::TooLarge, detail).closing());
    }
    Ok(())
}

fn names_trailers(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|byte| *byte == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn misplaced(catalogue: &Catalogue) -> Refusal {
    Refusal::bad_request(format!(
        "The client key stands in a place of the request that is no slot for it; send it in one slot \
         alone: {}.",
        catalogue.slots()
    ))
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    // Some servers read methods in any case.
    let refused = ["TRACE", "TRACK", "CONNECT"];
    if refused.iter().any(|name| method.as_str().eq_ignore_ascii_case(name)) {
        let detail = "This method is not forwarded to any provider.";
        return Err(Refusal::new(Reason::MethodNotAllowed, detail).closing());
    }
    Ok(())
}

/// One exact framing. What the parser lets through beyond that is refused here.
fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let ambiguous = |what| Err(Refusal::bad_request(what).closing());
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if version != Version::HTTP_11 {
            return ambiguous("Transfer-Encoding belongs to HTTP/1.1 alone.");
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return ambiguous("Transfer-Encoding must be exactly `chunked`.");
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return ambiguous("Content-Length and Transfer-Encoding exclude each other.");
        }
    }
    if headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return ambiguous("Content-Length is given twice.");
    }
    Ok(())
}

/// The one host of the request: the authority of HTTP/2, the Host header of HTTP/1.
fn host<'a>(
    uri: &'a http::Uri,
    headers: &'a HeaderMap,
    version: Version,
) -> Result<&'a str, Refusal> {
    let wrong = |what| Err(Refusal::bad_request(what).closing());
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return wrong("Host is given twice.");
    }
    let is_plain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        !text.is_empty() && text.bytes().all(plain)
    };
    let header = match header.map(HeaderValue::to_str) {
        Some(Ok(text)) if !is_plain(text) => return wrong("Host is no plain host name."),
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return wrong("Host holds characters that no host has."),
        None => None,
    };
    let authority = uri.authority().map(http::uri::Authority::as_str);
    match (version, authority, header) {
        (Version::HTTP_2, Some(authority), Some(header)) if authority != header => {
            wrong("Host and :authority name different hosts.")
        }
        (Version::HTTP_2, Some(authority), _) if !authority.contains('@') => Ok(authority),
        (Version::HTTP_10 | Version::HTTP_11, None, Some(header)) => Ok(header),
        (Version::HTTP_10, None, None) => Ok(""),
        (_, Some(_), _) => wrong("The request target must be a path, not a whole URL."),
        (_, None, _) => wrong("The request names no host."),
    }
}

/// In host form the host names the provider and the whole path is the rest.
fn address<'a>(
    path: &'a str,
    host: &'a str,
    domain: &str,
) -> Result<(&'a str, &'a str, Option<String>), Refusal> {
    if !domain.is_empty() {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let under = name.strip_suffix(domain).and_then(|under| under.strip_suffix('.'));
        if let Some(provider) = under {
            return Ok((provider, path, Some(host.to_owned())));
        }
    }
    let Some((provider, rest)) = path::split_provider(path) else {
        return Err(Refusal::bad_request("The path names no provider."));
    };
    Ok((provider, path::without_doubled_prefix(provider, rest), None))
}
