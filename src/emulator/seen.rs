//! What reached the stand-in, kept for tests.
//! Bounded: the oldest goes when a new one comes.
//! Must never leave the process: it holds the stand-in's key as it was sent.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

const KEPT: usize = 1024;

/// One request as it arrived, without its headers: they may carry a credential.
#[cfg_attr(not(test), expect(dead_code, reason = "tests ask what reached the stand-in"))]
#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    pub method: http::Method,
    pub path_and_query: String,
    pub body_len: u64,
}

#[derive(Default)]
pub(super) struct Seen(Mutex<VecDeque<SeenRequest>>);

impl Seen {
    pub(super) fn note(&self, request: SeenRequest) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(request);
    }

    #[cfg(test)]
    pub(super) fn list(&self) -> Vec<SeenRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
