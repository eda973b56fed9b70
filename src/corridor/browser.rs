//! Pages that call with no key: listed origins, each with a guest's rights on a few routes. Answers
//! preflights and puts the CORS headers on whatever goes back to a listed page. Must never take an
//! origin for listed that is not written exactly so, and never allow credentials.

use std::sync::{Arc, OnceLock};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use uuid::Uuid;

use super::answer::{Answer, AnswerBody};
use crate::client::{BadScope, Client, Fate, Rights, Role, Scopes, Shows, Tier};
use crate::crypto;
use crate::refusal::{Reason, Refusal};

/// One `[[browser.origins]]` of the settings.
#[derive(Clone, Debug)]
pub(crate) struct PageSettings {
    pub(crate) origin: String,
    pub(crate) tier: Tier,
    /// Calls of all its visitors together in a window; 0: no such limit.
    pub(crate) limit: u64,
    /// Scopes; empty: nothing passes.
    pub(crate) routes: Vec<String>,
}

/// Every listed origin.
#[derive(Default)]
pub(crate) struct Pages(Vec<Page>);

struct Page {
    origin: HeaderValue,
    client: Arc<Client>,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_SEALGATE_ERROR: HeaderName = HeaderName::from_static("x-sealgate-error");
/// What a page may send and read beyond what every page may.
const SENT: &str = "Authorization, X-API-Key, Content-Type, Accept, X-Request-Id";
const READ: &str = "X-Request-Id, X-Sealgate-Error, Retry-After, X-Sealgate-RateLimit-Limit, \
                    X-Sealgate-RateLimit-Remaining, X-Sealgate-RateLimit-Used, \
                    X-Sealgate-RateLimit-Reset";
/// A guest's.
const READING: [&str; 2] = ["GET", "HEAD"];
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

impl Pages {
    pub(crate) fn compile(settings: &[PageSettings]) -> Result<Self, BadScope> {
        let page = |page: &PageSettings| {
            let scopes = Scopes::parse(&page.routes)?;
            let origin = HeaderValue::from_str(&page.origin)
                .unwrap_or_else(|_| HeaderValue::from_static("null"));
            Ok(Page { origin, client: Arc::new(guest(page, scopes)) })
        };
        settings.iter().map(page).collect::<Result<_, _>>().map(Self)
    }

    /// The listed origin of this request, as it is listed. Two origins are none.
    pub(crate) fn origin_of(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.page(headers).map(|page| page.origin.clone())
    }

    /// Who calls, where a listed page does with no key.
    pub(super) fn guest(
        &self,
        headers: &HeaderMap,
        hosts: &[String],
    ) -> Result<Option<Arc<Client>>, Refusal> {
        let Some(page) = self.page(headers) else { return Ok(None) };
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        let fits = match (sites.next().map(HeaderValue::as_bytes), sites.next()) {
            (None, _) | (Some(b"cross-site" | b"same-site"), None) => true,
            (Some(b"same-origin"), None) => is_of(page, hosts),
            (Some(_), _) => false,
        };
        if !fits {
            let detail = "Origin, Host and Sec-Fetch-Site of this request contradict each other.";
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        Ok(Some(Arc::clone(&page.client)))
    }

    /// What may be sent from a listed origin: with no key what its routes allow a guest, with one
    /// whatever the key allows.
    pub(super) fn preflight(&self, headers: &HeaderMap, with_key: bool) -> Option<Answer> {
        let page = self.page(headers)?;
        let mut answer = Answer::new(AnswerBody::own(Vec::new()));
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let fixed = |text| HeaderValue::from_static(text);
        let headers = answer.headers_mut();
        let own = page.client.rights.scopes.as_ref();
        let own = own.map(|routes| routes.methods_among(&READING).join(", ")).unwrap_or_default();
        let methods = if with_key { METHODS } else { own.as_str() };
        if let (false, Ok(methods)) = (methods.is_empty(), HeaderValue::from_str(methods)) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, fixed(SENT));
        headers.insert(ACCESS_CONTROL_MAX_AGE, fixed("600"));
        Some(answer)
    }

    fn page(&self, headers: &HeaderMap) -> Option<&Page> {
        if self.0.is_empty() {
            return None;
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        self.0.iter().find(|page| page.origin == *origin)
    }
}

/// What a listed page needs to read an answer, a refusal included. What the provider says of
/// origins is meant for others.
pub(crate) fn dress(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

/// What was refused may be allowed to another page: no cache may mix them up.
pub(crate) fn vary(answer: &mut Answer) {
    let is_refused = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_refused && answer.headers().contains_key(X_SEALGATE_ERROR) {
        answer.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Under which hosts a page of the same origin may call us: the one that it names, and ours. None
/// are looked for where nobody calls himself of the same origin.
pub(super) fn own_hosts(parts: &Parts, public_url: &str) -> Vec<String> {
    let is_same = |value: &HeaderValue| value.as_bytes() == b"same-origin";
    if !parts.headers.get(SEC_FETCH_SITE).is_some_and(is_same) {
        return Vec::new();
    }
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = parts.uri.authority().map(Authority::as_str).or(header);
    named.into_iter().chain(host_of(public_url)).map(str::to_owned).collect()
}

/// A page that is served from where it calls.
fn is_of(page: &Page, hosts: &[String]) -> bool {
    let own = page.origin.to_str().ok().and_then(host_of);
    own.is_some_and(|own| hosts.iter().any(|host| host.eq_ignore_ascii_case(own)))
}

/// With its port.
fn host_of(url: &str) -> Option<&str> {
    url.split_once("://").map(|(_, host)| host.split('/').next().unwrap_or(host))
}

fn guest(page: &PageSettings, scopes: Scopes) -> Client {
    let digest = crypto::sha256(page.origin.as_bytes());
    let id = digest.first_chunk::<16>().copied().unwrap_or_default();
    Client {
        id: Uuid::from_bytes(id),
        name: page.origin.clone(),
        rights: Arc::new(Rights {
            role: Role::Guest,
            tier: page.tier,
            scopes: Some(scopes),
            allowed_ips: None,
            allowed_origins: None,
            limit: (page.limit > 0).then_some(page.limit),
            monthly_quota: None,
            max_concurrent: None,
            secrets: Vec::new(),
        }),
        expires_at_ms: None,
        active: true,
        shows: Shows::Page,
        fate: Fate::default(),
        allowance: OnceLock::new(),
    }
}
