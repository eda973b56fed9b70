//! How a call goes out: as it is, while a new version of its secret is on trial, or where several
//! secrets of its provider share the load: then one that the provider refuses by count or by key is
//! sent once more with another that is free. Must never send a call twice that was not refused.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;

use super::Corridor;
use super::trace::Trace;
use super::trial::{Call, Sides, Try, Turn, may_repeat, whole};
use crate::inject::{Carried, Document, Head, OutboundBody};
use crate::refusal::{Fault, Refusal};
use crate::upstream::Reply;
use crate::vault::Selected;

const UNAUTHORIZED: u16 = 401;

/// A head, what goes with it, and whether it asks for a socket.
type Sent<'h> = (Head<'h>, (Option<Document>, Option<Incoming>), bool);

impl Corridor {
    pub(super) async fn send_out(
        &self,
        (head, (document, body), is_socket): Sent<'_>,
        call: Call<'_>,
        (selected, former): &Sides,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        if let Some(former) = former {
            // Boxed: met only while a new version of this secret is on trial.
            let sides = (selected, former);
            return Box::pin(self.send_on_trial((head, body), call, sides, trace)).await;
        }
        let is_pooled = call.0.provider().pool && call.0.secret().is_none();
        if is_pooled && may_repeat(body.as_ref(), document.is_some() || is_socket) {
            return Box::pin(self.send_in_pool((head, body), call, selected, trace)).await;
        }
        let body = self.outgoing(document, body, trace);
        let tried = Try { selected, is_socket, turn: Turn::Only };
        let sent = self.attempt((head, body), call, tried, trace).await;
        if is_pooled && let Ok((reply, _)) = &sent {
            match reply.head.status.as_u16() {
                UNAUTHORIZED => self.house.vault.refused_in_pool(call.0, selected, false),
                _ => selected.accepted(),
            }
        }
        sent
    }

    /// The answer with this secret, or with another one where the provider refuses it.
    async fn send_in_pool(
        &self,
        (head, body): (Head<'_>, Option<Incoming>),
        call: Call<'_>,
        selected: &Selected,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let (permit, provider) = (call.0, Arc::clone(call.0.provider()));
        let body = match body {
            Some(body) => Some(whole(body).await?),
            None => None,
        };
        trace.bytes_in().add(body.as_ref().map_or(0, Bytes::len));
        let kept = || body.clone().map_or(OutboundBody::Empty, OutboundBody::kept);
        let mut spare = head.spare();
        let tried = |selected, turn| Try { selected, is_socket: false, turn };
        let first = self.attempt((head, kept()), call, tried(selected, Turn::Only), trace).await?;
        let status = first.0.head.status.as_u16();
        let is_no = status == UNAUTHORIZED;
        if !is_no && !provider.limits.is_too_many(status) {
            selected.accepted();
            return Ok(first);
        }
        let Some(other) = self.house.vault.select_other(permit, selected.secret_id()) else {
            return Ok(first);
        };
        trace.secret(&other);
        let again = tried(&other, Turn::Again);
        let second = match self.attempt((spare.head(), kept()), call, again, trace).await {
            Ok(second) => second,
            // It may have been done: the first answer would say that it was not.
            Err(refusal) if refusal.reason.fault() == Fault::Provider => return Err(refusal),
            Err(_) => {
                trace.secret(selected);
                return Ok(first);
            }
        };
        let its_status = second.0.head.status.as_u16();
        if its_status == UNAUTHORIZED {
            // What the client asks for is nobody's with either key.
            return Ok(second);
        }
        other.accepted();
        // One that is out of order or of breath proves nothing.
        if is_no && !provider.limits.is_too_many(its_status) && its_status < 500 {
            self.house.vault.refused_in_pool(permit, selected, true);
        }
        Ok(second)
    }

    fn outgoing(
        &self,
        document: Option<Document>,
        body: Option<Incoming>,
        trace: &mut Trace,
    ) -> OutboundBody {
        let most = self.house.settings.max_body_bytes;
        match (document, body) {
            (Some(document), _) => OutboundBody::of_document(document, &trace.bytes_in()),
            (None, Some(incoming)) => OutboundBody::of(incoming, trace.bytes_in(), most),
            (None, None) => OutboundBody::Empty,
        }
    }
}
