//! A call of somebody who may have no credential yet: what the open routes of a session are handed.
//! Its body is read here, bounded and into a buffer that is wiped.
//! Must never be taken for a call of somebody who is known.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use serde_json::Value;

use super::act::no_room;
use super::house::House;
use super::refused::Refused;
use super::sent::Sent;
use super::trace::Trace;
use crate::ledger::{ActorRef, Entry, Kind};
use crate::operators::Whence;
use crate::refusal::Reason;

pub(super) struct Visit {
    pub(super) house: Arc<House>,
    pub(super) trace: Arc<Trace>,
    pub(super) headers: HeaderMap,
    pub(super) sent: Sent,
}

/// A name, a password, a code.
const LARGEST: usize = 16 * 1024;

impl FromRequest<Arc<House>> for Visit {
    type Rejection = Refused;

    async fn from_request(request: Request, house: &Arc<House>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let trace = parts.extensions.get::<Arc<Trace>>().cloned();
        let trace = trace.ok_or_else(|| Refused::internal("a route stands outside the frame"))?;
        let sent = Sent::read(&parts.headers, body, LARGEST).await?;
        Ok(Self { house: Arc::clone(house), trace, headers: parts.headers, sent })
    }
}

impl Visit {
    pub(super) fn whence(&self) -> Whence {
        whence(&self.trace, &self.headers)
    }

    /// What happened with a session goes into the trail, under whose it is.
    pub(super) fn note(
        &self,
        actor: ActorRef<'_>,
        outcome: (u16, Option<Reason>),
        detail: Value,
    ) -> Result<(), Refused> {
        note((&self.house, &self.trace), actor, outcome, detail)
    }
}

pub(super) fn whence(trace: &Trace, headers: &HeaderMap) -> Whence {
    let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok());
    Whence { address: trace.address(), user_agent: agent.map(str::to_owned) }
}

pub(super) fn note(
    (house, trace): (&House, &Trace),
    actor: ActorRef<'_>,
    (status, reason): (u16, Option<Reason>),
    detail: Value,
) -> Result<(), Refused> {
    let written = house.ledger.append(&Entry {
        kind: Kind::Security,
        actor,
        address: trace.address(),
        method: trace.method.as_str(),
        endpoint: &trace.path,
        status,
        reason,
        request_id: &trace.request_id,
        detail: Some(detail),
    });
    written.map_err(|full| no_room(&full))?;
    trace.take_over();
    Ok(())
}
