//! What is known of one request while it is answered: its id, who sent it, and from where. Made by
//! the frame, filled in on the way, read again when the answer goes out. Holds no header, body or
//! query.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::{HeaderValue, Method};
use uuid::Uuid;

use super::caller::Caller;
use super::rate::Left;
use crate::client::masked;

/// How a connection came in; put into every request of it by the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Through the socket in the data folder, whose peer the kernel has named.
    Local,
    Address(SocketAddr),
}

pub(super) struct Trace {
    pub(super) request_id: String,
    /// None only where a router is called without a listener, as tests do.
    pub(super) peer: Option<Peer>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) started_ns: u64,
    caller: OnceLock<Caller>,
    left: OnceLock<Left>,
    has_change_record: AtomicBool,
}

/// Longer paths are cut in the record: no route of ours has one.
const LONGEST_PATH: usize = 512;

impl Trace {
    pub(super) fn begin(request: &Request, started_ns: u64) -> Self {
        let given = request.headers().get("x-request-id").and_then(acceptable_id);
        Self {
            request_id: given.unwrap_or_else(|| Uuid::now_v7().to_string()),
            peer: request.extensions().get::<Peer>().copied(),
            method: request.method().clone(),
            path: masked(request.uri().path()).chars().take(LONGEST_PATH).collect(),
            started_ns,
            caller: OnceLock::new(),
            left: OnceLock::new(),
            has_change_record: AtomicBool::new(false),
        }
    }

    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    pub(super) fn set_caller(&self, caller: Caller) {
        // Set once, by the guard; a second time cannot happen and would change nothing.
        let _ = self.caller.set(caller);
    }

    pub(super) fn left(&self) -> Option<Left> {
        self.left.get().copied()
    }

    pub(super) fn set_left(&self, left: Left) {
        let _ = self.left.set(left);
    }

    /// A change has its own record; the request needs no second one.
    pub(super) fn take_over(&self) {
        self.has_change_record.store(true, Ordering::Release);
    }

    pub(super) fn is_taken_over(&self) -> bool {
        self.has_change_record.load(Ordering::Acquire)
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.peer? {
            Peer::Local => None,
            Peer::Address(address) => Some(address.ip().to_canonical()),
        }
    }
}

/// `^[A-Za-z0-9._:-]{1,128}$`: what may be repeated in headers, logs and records as it came.
fn acceptable_id(value: &HeaderValue) -> Option<String> {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
    let bytes = value.as_bytes();
    let fits = (1..=128).contains(&bytes.len()) && bytes.iter().all(is_allowed);
    let text = String::from_utf8_lossy(bytes);
    // A client key has that shape too, and must be neither answered nor recorded.
    let is_key = text.contains("mdw_") || text.contains("mdt_");
    (fits && !is_key).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_request_id_is_kept_only_if_it_is_harmless() {
        for (given, kept) in [
            ("req-1:a.b_C", true),
            ("a", true),
            ("", false),
            ("with space", false),
            ("<script>", false),
        ] {
            assert_eq!(acceptable_id(&HeaderValue::from_static(given)).is_some(), kept, "{given}");
        }
        let long = HeaderValue::from_str(&"x".repeat(129)).unwrap();
        assert_eq!(acceptable_id(&long), None);
    }
}
