//! Sending, once or while a new version of a secret is on trial: then a call is kept whole where it
//! is small enough, sent with the version that it was dealt, and once more with the old one where
//! the provider refuses the new. Must never send a call twice that was not refused for its key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::framed::framed;
use super::trace::Trace;
use super::{Corridor, check_standing};
use crate::client::Client;
use crate::clock::Moment;
use crate::inject::{Carried, Head, OutboundBody, inject};
use crate::policy::Permit;
use crate::refusal::{Reason, Refusal};
use crate::upstream::Reply;
use crate::vault::Selected;

/// What may be kept of a call, for a second time.
const MOST_BYTES: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// What every try of a call has in common.
type Call<'a> = (&'a Permit, &'a Arc<Client>, Moment);

/// Could it be sent twice? Its body is small, its length is known, and nothing in it is a key.
pub(super) fn may_repeat(body: Option<&Incoming>, is_special: bool) -> bool {
    let is_small = |body: &Incoming| body.size_hint().exact().is_some_and(|n| n <= MOST_BYTES);
    !is_special && body.is_none_or(is_small)
}

impl Corridor {
    /// The new version's answer, or the old one's where the new one is refused.
    pub(super) async fn send_on_trial(
        &self,
        (head, body): (Head<'_>, Option<Incoming>),
        call: Call<'_>,
        (new, old): (&Selected, &Selected),
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let body = match body {
            Some(body) => Some(whole(body).await?),
            None => None,
        };
        trace.bytes_in().add(body.as_ref().map_or(0, Bytes::len));
        let kept = || body.clone().map_or(OutboundBody::Empty, OutboundBody::kept);
        let mut spare = head.spare();
        let first = self.attempt((head, kept()), call, (new, false, false), trace).await?;
        if !new.is_no(first.0.head.status.as_u16()) {
            return Ok(first);
        }
        // The provider has refused the key, so it has done nothing.
        drop(first);
        trace.secret(old);
        let second = self.attempt((spare.head(), kept()), call, (old, true, false), trace).await?;
        if !old.is_no(second.0.head.status.as_u16()) {
            old.has_saved();
        }
        Ok(second)
    }

    /// Opened, injected, sent; what came of it is counted where somebody wants to know.
    pub(super) async fn attempt(
        &self,
        (head, body): (Head<'_>, OutboundBody),
        (permit, client, moment): Call<'_>,
        (selected, again, is_socket): (&Selected, bool, bool),
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let house = &*self.house;
        let opened = house.vault.open(permit, selected, moment)?;
        let (outbound, carried) = inject(head, body, permit, opened)?;
        // Whoever was revoked while this call walked does not leave any more.
        check_standing(client.standing(&house.clock))?;
        let now_ns = match again {
            false => trace.forwarded(),
            true => {
                trace.forwarded_again();
                house.clock.monotonic_ns()
            }
        };
        let mut may_leave = |again| {
            check_standing(client.standing(&house.clock))?;
            if again {
                trace.forwarded_again();
            }
            Ok(())
        };
        let sent = self.upstream.send(outbound, now_ns, &mut may_leave).await;
        trace.upstream_ended();
        let reply = sent.inspect_err(|_| selected.was_silent(moment))?;
        let reply = framed(reply, is_socket)?;
        selected.answered(reply.head.status.as_u16(), moment);
        Ok((reply, carried))
    }
}

/// The client's own fault where it breaks off.
async fn whole(body: Incoming) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.map_err(|_elapsed| {
        Refusal::new(Reason::Timeout, "The body did not come in time.").closing()
    })?;
    let bytes = collected.map(http_body_util::Collected::to_bytes);
    bytes.map_err(|_| Refusal::new(Reason::BadRequest, "The body broke off."))
}
