//! How a call goes out: as it is, while a new version of its secret is on trial, or where several
//! secrets of its provider share the load: then one that the provider refuses by count or by key is
//! sent once more with another that is free. Must never send a call twice that was not refused.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};

use super::Corridor;
use super::trace::Trace;
use super::trial::{Call, Kept, Sides, Try, Turn, begun, twice, whole};
use crate::inject::{Carried, Document, Head, OutboundBody, Spare};
use crate::refusal::{Fault, Refusal};
use crate::upstream::Reply;
use crate::vault::{Selected, Twice};

const UNAUTHORIZED: u16 = 401;

/// A head, what goes with it, and whether it asks for a socket.
type Sent<'h> = (Head<'h>, (Option<Document>, Option<Incoming>), bool);

/// What a call is sent once more with.
type Again = (Spare, Option<Bytes>);

impl Corridor {
    pub(super) async fn send_out(
        &self,
        (head, (document, body), is_socket): Sent<'_>,
        call: Call<'_>,
        (selected, former): &Sides,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let is_pooled = call.0.provider().pool && call.0.secret().is_none();
        if let Some(former) = former {
            // Boxed: met only while a new version of this secret is on trial.
            let sides = (selected, former);
            let sending = self.send_on_both((head, body), (call, is_pooled), sides, trace);
            return Box::pin(sending).await;
        }
        let twice = || twice(body.as_ref(), document.is_some() || is_socket);
        if is_pooled && twice() == Twice::Yes {
            return Box::pin(self.send_in_pool((head, body), call, selected, trace)).await;
        }
        let body = self.outgoing(document, body, trace);
        self.send_once((head, body), (call, is_pooled), (selected, is_socket), trace).await
    }

    async fn send_once(
        &self,
        sent: (Head<'_>, OutboundBody),
        (call, is_pooled): (Call<'_>, bool),
        (selected, is_socket): (&Selected, bool),
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let tried = Try { selected, is_socket, turn: Turn::Only };
        let sent = self.attempt(sent, call, tried, trace).await;
        if is_pooled && let Ok((reply, _)) = &sent {
            match reply.head.status.as_u16() {
                // Nobody knows what another one would have been told.
                UNAUTHORIZED => self.house.vault.refused_in_pool(call.0, selected, false),
                _ => selected.accepted(),
            }
        }
        sent
    }

    /// With the new version of a secret, with its old one where that is refused, and with another
    /// secret of the pool where that is, too.
    async fn send_on_both(
        &self,
        (head, body): (Head<'_>, Option<Incoming>),
        (call, is_pooled): (Call<'_>, bool),
        (new, old): (&Selected, &Selected),
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let most = self.house.settings.max_body_bytes;
        let kept = match body {
            Some(body) if body.size_hint().exact().is_none() => Some(begun(body, most).await?),
            Some(body) => Some(Kept::Whole(whole(body).await?)),
            None => None,
        };
        let body = match kept {
            Some(Kept::Begun(ahead, body)) => {
                let body = self.outgoing(None, Some(body), trace).behind(ahead);
                return self.send_once((head, body), (call, is_pooled), (new, false), trace).await;
            }
            Some(Kept::Whole(body)) => Some(body),
            None => None,
        };
        trace.bytes_in().add(body.as_ref().map_or(0, Bytes::len));
        let spare = is_pooled.then(|| head.spare());
        let sent = self.send_on_trial((head, body.clone()), call, (new, old), trace).await?;
        match spare {
            Some(spare) => self.or_another((sent, old), (spare, body), call, trace).await,
            None => Ok(sent),
        }
    }

    /// The answer with this secret, or with another one where the provider refuses it.
    async fn send_in_pool(
        &self,
        (head, body): (Head<'_>, Option<Incoming>),
        call: Call<'_>,
        selected: &Selected,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let body = kept(body, trace).await?;
        let spare = head.spare();
        let tried = Try { selected, is_socket: false, turn: Turn::Only };
        let sent = self.attempt((head, outbound(body.clone())), call, tried, trace).await?;
        self.or_another((sent, selected), (spare, body), call, trace).await
    }

    /// This answer, or another secret's where it is a no.
    async fn or_another(
        &self,
        (first, selected): ((Reply, Carried), &Selected),
        (mut spare, body): Again,
        call: Call<'_>,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let (permit, provider) = (call.0, Arc::clone(call.0.provider()));
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
        let again = Try { selected: &other, is_socket: false, turn: Turn::Again };
        let second = match self.attempt((spare.head(), outbound(body)), call, again, trace).await {
            Ok(second) => second,
            // It may have been done: the first answer would say that it was not.
            Err(refusal) if refusal.reason.fault() == Fault::Provider && !refusal.is_unsent() => {
                return Err(refusal);
            }
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
        // A no of another kind may be the client's doing, and would have been the first one's too.
        if is_no && (200..300).contains(&its_status) {
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

/// The whole of it, for as often as it is sent.
async fn kept(body: Option<Incoming>, trace: &mut Trace) -> Result<Option<Bytes>, Refusal> {
    let body = match body {
        Some(body) => Some(whole(body).await?),
        None => None,
    };
    trace.bytes_in().add(body.as_ref().map_or(0, Bytes::len));
    Ok(body)
}

pub(super) fn outbound(body: Option<Bytes>) -> OutboundBody {
    body.map_or(OutboundBody::Empty, OutboundBody::kept)
}
