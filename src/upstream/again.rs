//! Second tries: what is kept for one, and how many there may be. Only a call of which no byte was
//! sent, or that the provider says it did not look at, or one that may be repeated and whose
//! connection had served before and died. Must never keep a body, and never repeat what has an
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri};

use super::pool::Pool;
use crate::inject::OutboundBody;

/// How many there were, of all threads.
#[derive(Debug, Default)]
pub(super) struct Again {
    made: AtomicU64,
    denied: AtomicU64,
}

/// What a second try needs.
pub(super) struct Copy {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    /// Even where the provider may have seen it.
    pub(super) may_be_repeated: bool,
}

impl Again {
    pub(super) fn may(&self, pool: &Pool, host: &Arc<str>) -> bool {
        let may = pool.may_try_again(host);
        let counter = if may { &self.made } else { &self.denied };
        counter.fetch_add(1, Ordering::Relaxed);
        may
    }

    /// Made, and denied because there were too many.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.made.load(Ordering::Relaxed), self.denied.load(Ordering::Relaxed))
    }
}

impl Copy {
    /// Only of a call without a body, and only where it may come to a second try: where the
    /// connection may be closing at this moment and the method may be repeated, or over HTTP/2,
    /// where providers say what they have not looked at.
    pub(super) fn of(
        request: &Request<OutboundBody>,
        (is_h2, is_doubtful): (bool, bool),
    ) -> Option<Self> {
        let may_be_repeated = is_doubtful && request.method().is_idempotent();
        if !request.body().is_empty() || !(is_h2 || may_be_repeated) {
            return None;
        }
        Some(Self {
            may_be_repeated,
            method: request.method().clone(),
            target: request.uri().path_and_query()?.clone(),
            headers: request.headers().clone(),
        })
    }

    pub(super) fn request(self) -> Request<OutboundBody> {
        let mut request = Request::new(OutboundBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        request
    }
}
