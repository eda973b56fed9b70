//! What is written down of a request: one log line, and one access record of whoever was let in or
//! turned away at the door. Closes itself when it is dropped, so that a caller who hangs up is
//! noted too.

use std::sync::Arc;

use axum::http::StatusCode;

use super::act::no_room;
use super::caller::Caller;
use super::house::House;
use super::refused::Refused;
use super::trace::Trace;
use crate::ledger::{ActorKind, ActorRef, Begin, Entry, Full, Kind};
use crate::refusal::Reason;

pub(super) struct Noting {
    house: Arc<House>,
    trace: Arc<Trace>,
    is_finished: bool,
}

/// The status of a call whose caller left before it was answered, as logs of web servers write it.
const CALLER_LEFT: u16 = 499;

/// Whoever presents no valid credential has no name.
const STRANGER: ActorRef<'static> = ActorRef { kind: ActorKind::Guest, id: None, name: "" };

impl Noting {
    pub(super) fn of(house: Arc<House>, trace: Arc<Trace>) -> Self {
        Self { house, trace, is_finished: false }
    }

    /// A refusal where the access could not be written down.
    pub(super) fn finish(
        mut self,
        status: StatusCode,
        refused: Option<Refused>,
    ) -> Result<(), Refused> {
        self.is_finished = true;
        let written = self.record(status.as_u16(), refused.as_ref());
        match written {
            Ok(()) => {
                self.log(status.as_u16(), refused.as_ref().and_then(Refused::cause));
                Ok(())
            }
            Err(full) => {
                let unwritten = no_room(&full);
                self.log(unwritten.refusal().reason.status(), unwritten.cause());
                Err(unwritten)
            }
        }
    }

    /// Changes have their own record, made before them; what is open to everybody has none.
    fn record(&self, status: u16, refused: Option<&Refused>) -> Result<(), Full> {
        let (trace, ledger) = (&self.trace, &self.house.ledger);
        if trace.is_taken_over() {
            return Ok(());
        }
        let reason = refused.map(|refused| refused.refusal().reason);
        match (trace.caller(), reason) {
            (Some(caller), Some(reason @ Reason::RateLimited)) => {
                ledger.refused(reason, &self.begin(caller.actor_ref()));
                Ok(())
            }
            (Some(caller), reason) => ledger.append(&Entry {
                kind: Kind::Access,
                actor: caller.actor_ref(),
                address: trace.address(),
                method: trace.method.as_str(),
                endpoint: &trace.path,
                status,
                reason,
                request_id: &trace.request_id,
                detail: None,
            }),
            (None, Some(reason @ Reason::Unauthorized)) => {
                // A flood of them is summed up, and cannot crowd out the rest.
                ledger.refused(reason, &self.begin(STRANGER));
                Ok(())
            }
            (None, Some(_) | None) => Ok(()),
        }
    }

    fn begin<'a>(&'a self, actor: ActorRef<'a>) -> Begin<'a> {
        Begin {
            kind: Kind::Access,
            actor,
            address: self.trace.address(),
            provider: "",
            method: self.trace.method.as_str(),
            path: &self.trace.path,
            request_id: &self.trace.request_id,
        }
    }

    fn log(&self, status: u16, cause: Option<&str>) {
        let trace = &self.trace;
        let passed_ns = self.house.clock.monotonic_ns().saturating_sub(trace.started_ns);
        let duration_ms = passed_ns / 1_000_000;
        let actor = trace.caller().map_or_else(|| String::from("-"), Caller::actor);
        match cause {
            Some(cause) => tracing::error!(
                name: "admin.failed",
                actor, status, duration_ms, cause, "a call of the admin face failed"
            ),
            None => tracing::debug!(
                name: "admin.answered",
                actor, status, duration_ms, "a call of the admin face was answered"
            ),
        }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nobody is there to be told that it could not be written.
            let _ = self.record(CALLER_LEFT, None);
            self.log(CALLER_LEFT, None);
        }
    }
}
