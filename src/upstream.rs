//! The only way out: sends an `Outbound` to the provider it was made for and hands its answer back.
//! One per thread, with its own connections; nothing here is shared between threads. Follows no
//! redirect, tries again only what was never sent or may be sent twice.

mod pool;
mod reply;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;

use self::pool::{Lease, Pool, Unsent};
pub(crate) use self::reply::{Reply, ReplyBody, ReplyFault};
use crate::clock::Clock;
use crate::inject::{BodyFault, Goal, Outbound, OutboundBody};
use crate::net::{ConnectError, Connector, Deadlines, Destination, Trust};
use crate::provider::{Catalogue, Host, Provider};
use crate::refusal::{Reason, Refusal};

/// A pooled connection that lay idle this long may be closing at this moment: what is sent on it is
/// kept, so that it can be sent again.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(1);

/// Every provider's way out, decided once at start.
pub(crate) struct Origins {
    connector: Connector,
    /// Looked at when a connection is made; grows when the catalogue changes.
    destinations: RwLock<HashMap<Arc<str>, Destination>>,
}

/// One thread's way out.
pub(crate) struct Upstream {
    origins: Arc<Origins>,
    pool: Pool,
    deadlines: Deadlines,
}

/// What a second try needs.
struct Again {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
}

/// Why a try failed, and what can be sent again.
struct Failed {
    refusal: Refusal,
    again: Option<Request<OutboundBody>>,
}

impl Origins {
    /// `trusts` are the trust anchors by provider; `trust` is everybody else's.
    pub(crate) fn new(
        connector: Connector,
        catalogue: &Catalogue,
        trust: &Trust,
        trusts: &HashMap<Arc<str>, Trust>,
    ) -> Self {
        let origins = Self { connector, destinations: RwLock::default() };
        origins.take(catalogue, trust, trusts);
        origins
    }

    /// The ways of a catalogue that is about to be in force. Former ones stay for the calls that
    /// are under way; no later one leads there.
    pub(crate) fn take(
        &self,
        catalogue: &Catalogue,
        trust: &Trust,
        trusts: &HashMap<Arc<str>, Trust>,
    ) {
        let destination = |provider: &Provider, host: &Host| {
            let destination = Destination {
                host: host.base.host.clone(),
                port: host.base.port,
                tls: host.base.scheme.is_tls(),
                allow_private: provider.allow_private_network,
                trust: trusts.get(&provider.id).unwrap_or(trust).clone(),
                patience: provider.timeouts.connect,
            };
            (Arc::clone(&host.key), destination)
        };
        let destinations = catalogue
            .iter()
            .flat_map(|provider| provider.hosts.iter().map(|host| destination(provider, host)));
        self.destinations.write().unwrap_or_else(PoisonError::into_inner).extend(destinations);
    }

    /// Can this provider be reached at all, at every host it has? For `doctor`; sends nothing.
    pub(crate) async fn reach(&self, provider: &Provider) -> Result<(), ConnectError> {
        let hosts = provider.hosts.iter().filter_map(|host| self.of(&host.key));
        for destination in hosts {
            self.connector.connect(&destination, true).await?;
        }
        Ok(())
    }

    fn of(&self, key: &Arc<str>) -> Option<Destination> {
        self.destinations.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

impl Upstream {
    pub(crate) fn new(origins: Arc<Origins>, deadlines: Deadlines, clock: Clock) -> Self {
        let pool = Pool::new(clock);
        Self { origins, pool, deadlines }
    }

    /// Closes what lies idle; a connection that serves a call is not here.
    pub(crate) fn forget_connections(&self) {
        self.pool.clear();
    }

    /// The provider's answer, whatever its status. `may_leave` is asked again once a connection was
    /// waited for.
    pub(crate) async fn send(
        &self,
        outbound: Outbound,
        now_ns: u64,
        may_leave: &(dyn Fn() -> Result<(), Refusal> + Sync),
    ) -> Result<Reply, Refusal> {
        let (goal, mut request) = outbound.into_parts();
        let wants_h2 = request.body().is_empty() || is_grpc(request.headers());
        let Some((mut lease, age)) = self.pool.take(&goal.host().key, wants_h2, now_ns) else {
            // Boxed, like the second try: what is rare must not swell every call.
            return Box::pin(self.send_afresh(&goal, request, wants_h2, may_leave)).await;
        };
        let again = if age >= DOUBTFUL_AFTER { Again::of(&request) } else { None };
        if lease.is_h2() {
            for_h2(&goal, &mut request)?;
        }
        let sending = lease.send(request);
        let failed = match self.sent(&goal, lease, sending).await {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        // A connection that had served before is doubted; a fresh one would have failed for good.
        let Some(request) = failed.again.or_else(|| again.map(Again::request)) else {
            return Err(failed.refusal);
        };
        Box::pin(self.send_afresh(&goal, request, wants_h2, may_leave)).await
    }

    /// On a connection that nobody has used.
    async fn send_afresh(
        &self,
        goal: &Goal,
        mut request: Request<OutboundBody>,
        wants_h2: bool,
        may_leave: &(dyn Fn() -> Result<(), Refusal> + Sync),
    ) -> Result<Reply, Refusal> {
        let mut lease = self.connect(goal, wants_h2).await?;
        may_leave()?;
        if lease.is_h2() {
            for_h2(goal, &mut request)?;
        }
        let sending = lease.send(request);
        self.sent(goal, lease, sending).await.map_err(|failed| failed.refusal)
    }

    async fn connect(&self, goal: &Goal, wants_h2: bool) -> Result<Lease, Refusal> {
        let provider = goal.provider();
        let key = &goal.host().key;
        let Some(destination) = self.origins.of(key) else {
            return Err(unreachable(provider, "it is not configured"));
        };
        let connecting = self.origins.connector.connect(&destination, wants_h2);
        let stream = connecting.await.map_err(|fault| match fault {
            ConnectError::TimedOut => {
                let detail = format!("{} did not accept a connection in time.", provider.title);
                Refusal::new(Reason::UpstreamTimeout, detail)
            }
            ConnectError::Unresolved(_)
            | ConnectError::Forbidden
            | ConnectError::Unreachable(_)
            | ConnectError::Tls(_) => unreachable(provider, &fault.to_string()),
        })?;
        let lease = self.pool.adopt(key, stream).await;
        lease.map_err(|fault| unreachable(provider, &fault.to_string()))
    }

    /// Awaits what was handed over before: what is awaited holds nothing of the request.
    async fn sent(
        &self,
        goal: &Goal,
        mut lease: Lease,
        sending: impl Future<Output = Result<Response<Incoming>, Unsent>>,
    ) -> Result<Reply, Failed> {
        let provider = goal.provider();
        match self.deadlines.within(provider.timeouts.first_byte, sending).await {
            Ok(Ok(response)) => {
                let patience = self.deadlines.patience(provider.timeouts.idle);
                Ok(Reply::new(response, lease, patience))
            }
            Ok(Err((fault, unsent))) => {
                lease.discard();
                Err(Failed { refusal: broken(provider, &fault), again: unsent.map(for_h1) })
            }
            Err(_timed_out) => {
                lease.discard();
                let detail = format!("{} did not begin to answer in time.", provider.title);
                Err(Failed { refusal: Refusal::new(Reason::UpstreamTimeout, detail), again: None })
            }
        }
    }
}

impl Again {
    /// Only a call without a body whose method may be repeated.
    fn of(request: &Request<OutboundBody>) -> Option<Self> {
        if !request.body().is_empty() || !request.method().is_idempotent() {
            return None;
        }
        Some(Self {
            method: request.method().clone(),
            target: request.uri().path_and_query()?.clone(),
            headers: request.headers().clone(),
        })
    }

    fn request(self) -> Request<OutboundBody> {
        let mut request = Request::new(OutboundBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        request
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// HTTP/2 names scheme and authority beside the path, and wants no Host header.
fn for_h2(goal: &Goal, request: &mut Request<OutboundBody>) -> Result<(), Refusal> {
    let host = goal.host();
    request.headers_mut().remove(http::header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if host.base.scheme.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority =
        Authority::from_maybe_shared(bytes::Bytes::copy_from_slice(host.header.as_bytes())).ok();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Refusal::internal())?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// Undoes `for_h2`, so that a second try may take either kind of connection.
fn for_h1(mut request: Request<OutboundBody>) -> Request<OutboundBody> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let authority = parts.authority.take();
    parts.scheme = None;
    if let Some(host) = authority.and_then(|authority| authority.as_str().parse().ok()) {
        request.headers_mut().entry(http::header::HOST).or_insert(host);
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    request
}

fn unreachable(provider: &Provider, cause: &str) -> Refusal {
    tracing::warn!(provider = %provider.id, cause, "a provider cannot be reached");
    let detail = format!("{} cannot be reached: {cause}.", provider.title);
    Refusal::new(Reason::UpstreamUnreachable, detail)
}

/// hyper's errors name no header and no body; still, the public sentence is our own.
fn broken(provider: &Provider, fault: &hyper::Error) -> Refusal {
    tracing::warn!(provider = %provider.id, cause = %Chain(fault), "a call to a provider failed");
    let source =
        std::error::Error::source(fault).and_then(|cause| cause.downcast_ref::<BodyFault>());
    match source {
        Some(BodyFault::TooLarge) => {
            let detail = "The request's body is larger than proxy.max_body_bytes allows.";
            return Refusal::new(Reason::TooLarge, detail).closing();
        }
        Some(BodyFault::Client(_)) => {
            let detail = "The request's body broke off, or its framing is wrong.";
            return Refusal::bad_request(detail).closing();
        }
        None => {}
    }
    if fault.is_parse() {
        let detail = format!("{} gave an answer that is no HTTP.", provider.title);
        return Refusal::new(Reason::UpstreamInvalid, detail);
    }
    let detail = format!("The connection to {} broke before it answered.", provider.title);
    Refusal::new(Reason::UpstreamUnreachable, detail)
}

/// An error with its sources, in one line.
struct Chain<'a>(&'a hyper::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
