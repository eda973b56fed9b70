//! One authenticated call, as a route is handed it: the house, who calls, and its trace. Exists
//! only behind the guard; a route that asks for it anywhere else answers 500. Must never be made by
//! a route itself.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request;
use uuid::Uuid;

use super::caller::Caller;
use super::house::House;
use super::refused::Refused;
use super::sent::Sent;
use super::trace::Trace;
use crate::client::Role;
use crate::refusal::{Reason, Refusal};

pub(super) struct Call {
    pub(super) house: Arc<House>,
    pub(super) caller: Caller,
    pub(super) trace: Arc<Trace>,
}

impl FromRequestParts<Arc<House>> for Call {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut request::Parts,
        house: &Arc<House>,
    ) -> Result<Self, Refused> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let trace = parts.extensions.get::<Arc<Trace>>().cloned();
        match (caller, trace) {
            (Some(caller), Some(trace)) => Ok(Self { house: Arc::clone(house), caller, trace }),
            _ => Err(Refused::internal("a route stands outside the guard")),
        }
    }
}

impl FromRequestParts<Arc<House>> for Sent {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &Arc<House>,
    ) -> Result<Self, Refused> {
        let sent = parts.extensions.get::<Self>().cloned();
        sent.ok_or_else(|| Refused::internal("a route that takes a body stands outside its layer"))
    }
}

impl Call {
    /// What hurts is done by an operator who has shown a code within the last minutes. Keys are not
    /// asked: nobody leaves one at an open desk.
    pub(super) fn demand_step_up(&self) -> Result<(), Refused> {
        let Caller::Operator(signed) = &self.caller else { return Ok(()) };
        match signed.stepped_up_until(self.house.clock.unix_ms()) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(Reason::StepUpRequired, STEP_UP).into()),
        }
    }

    /// The same where it is about something of this role.
    pub(super) fn demand_step_up_for(&self, role: Role) -> Result<(), Refused> {
        if role == Role::Admin { self.demand_step_up() } else { Ok(()) }
    }
}

const STEP_UP: &str = "This is done with a fresh code alone: send one to POST \
                       /api/v1/session/step-up, then repeat the call within five minutes.";

/// What is no id names nothing, which is a 404 like any other id that names nothing.
pub(super) fn identified(text: &str, what: &str) -> Result<Uuid, Refused> {
    let id = Uuid::try_parse(text).ok().filter(|id| id.to_string() == text);
    id.ok_or_else(|| Refused::not_found(what))
}
