//! What is written down of a request: one log line, and one access record of whoever was let in or
//! turned away at the door. Closes itself when it is dropped, so that a caller who hangs up is
//! noted too.

use std::sync::Arc;

use axum::http::StatusCode;

use super::house::House;
use super::refused::Refused;
use super::trace::Trace;

pub(super) struct Noting {
    house: Arc<House>,
    trace: Arc<Trace>,
    /// None until the answer is ready to go out.
    answered: Option<(StatusCode, Option<Refused>)>,
}

impl Noting {
    pub(super) fn of(house: Arc<House>, trace: Arc<Trace>) -> Self {
        Self { house, trace, answered: None }
    }

    pub(super) fn finish(mut self, status: StatusCode, refused: Option<Refused>) {
        self.answered = Some((status, refused));
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        let trace = &self.trace;
        let passed_ns = self.house.clock.monotonic_ns().saturating_sub(trace.started_ns);
        let duration_ms = passed_ns / 1_000_000;
        let actor = trace.caller().map_or_else(|| String::from("-"), super::caller::Caller::actor);
        let status = self.answered.as_ref().map_or(0, |(status, _)| status.as_u16());
        let cause = self.answered.as_ref().and_then(|(_, refused)| refused.as_ref()?.cause());
        if let Some(cause) = cause {
            tracing::error!(
                name: "admin.failed",
                request_id = %trace.request_id,
                method = %trace.method,
                path = %trace.path,
                status,
                cause,
                "a call of the admin face failed"
            );
        } else {
            tracing::debug!(
                name: "admin.answered",
                request_id = %trace.request_id,
                method = %trace.method,
                path = %trace.path,
                actor,
                status,
                duration_ms,
                "answered"
            );
        }
    }
}
