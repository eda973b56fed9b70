//! Sending, once or while a new version of a secret is on trial: then a call is kept whole where it
//! is small enough, sent with the version that it was dealt, and once more with the old one where
//! the provider refuses the new. Must never send a call twice that was not refused for its key.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::clean::Onward;
use super::framed::framed;
use super::pool::outbound;
use super::trace::Trace;
use super::{Corridor, House, check_standing};
use crate::client::Client;
use crate::clock::Moment;
use crate::inject::{Ahead, Carried, Head, OutboundBody, inject};
use crate::policy::Permit;
use crate::provider::{Provider, Says};
use crate::refusal::{Fault, Reason, Refusal};
use crate::upstream::Reply;
use crate::vault::{Dealt, Selected, Twice, Wanted};

/// What may be kept of a call, for a second time.
const MOST_BYTES: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// For a body whose length nobody knows: longer it is not held up.
const BRIEFLY: Duration = Duration::from_millis(500);
/// A no is short.
const LONGEST_NO: usize = 16 * 1024;

/// What every try of a call has in common.
pub(super) type Call<'a> = (&'a Permit, &'a Arc<Client>, Moment);
/// The version that serves a call, and the old one where that can serve it once more.
pub(super) type Sides = (Selected, Option<Selected>);

/// Could it be sent twice? Its body is small, and nothing in it is a key.
pub(super) fn twice(body: Option<&Incoming>, is_special: bool) -> Twice {
    match body.map(|body| body.size_hint().exact()) {
        _ if is_special => Twice::No,
        None => Twice::Yes,
        Some(None) => Twice::Perhaps,
        Some(Some(length)) if length <= MOST_BYTES => Twice::Yes,
        Some(Some(_)) => Twice::No,
    }
}

/// From the row alone; a socket wants one that was sealed for its address, too. `same`: what the
/// call has waited with.
pub(super) fn select(
    (house, permit): (&House, &Permit),
    onward: &Onward,
    twice: impl FnOnce() -> Twice,
    same: Option<Dealt>,
) -> Result<Sides, Refusal> {
    let wanted = match (&same, &onward.handshake) {
        (Some(dealt), _) => Wanted::Same(dealt.secret()),
        (None, Some(_)) => Wanted::Socket,
        (None, None) => Wanted::Any,
    };
    let selected = house.vault.select_for(permit, wanted)?;
    let sockets = onward.handshake.is_some().then_some(permit.provider());
    let sides = selected.staged(permit.client().id, sockets, twice, same.as_ref());
    if let Some(provider) = sockets {
        sides.0.check_sockets(provider)?;
    }
    Ok(sides)
}

/// Whatever was selected: its value may have been taken away while the call waited.
pub(super) fn check_key(selected: &Selected) -> Result<(), Refusal> {
    match selected.is_withdrawn() {
        false => Ok(()),
        true => {
            let detail = "The provider's key was replaced while this call was on its way; send it \
                          again.";
            Err(Refusal::new(Reason::Overloaded, detail))
        }
    }
}

/// One try of a call.
pub(super) struct Try<'a> {
    pub(super) selected: &'a Selected,
    pub(super) is_socket: bool,
    pub(super) turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// What came of it is counted at once.
    Only,
    /// The new version's, which the old one's answer explains.
    First,
    Second,
    /// With another secret of the pool; counted at once, too.
    Again,
}

impl Corridor {
    /// The new version's answer, or the old one's where the new one is refused.
    pub(super) async fn send_on_trial(
        &self,
        (mut head, body): (Head<'_>, Option<Bytes>),
        call: Call<'_>,
        (new, old): (&Selected, &Selected),
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let (provider, now) = (Arc::clone(call.0.provider()), call.2);
        let kept = || outbound(body.clone());
        let is_safe = [Method::GET.as_str(), Method::HEAD.as_str()].contains(&head.method());
        if is_safe && provider.refuses_in_bodies() {
            // What is packed cannot be looked at.
            head.put(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let mut spare = head.spare();
        let tried = |selected, turn| Try { selected, is_socket: false, turn };
        let mut first = self.attempt((head, kept()), call, tried(new, Turn::First), trace).await?;
        let status = first.0.head.status.as_u16();
        let said = said(&provider, &mut first.0).await;
        // A no by its status says that nothing was done; a yes with a no in it says no such thing.
        if said == Says::Nothing || status < 300 && !is_safe {
            new.settled(status, now);
            return Ok(first);
        }
        trace.secret(old);
        let again = tried(old, Turn::Second);
        let second = self.attempt((spare.head(), kept()), call, again, trace).await;
        let mut second = match (second, said) {
            (Ok(second), _) => second,
            (Err(_), Says::Perhaps) => {
                new.settled(status, now);
                trace.secret(new);
                return Ok(first);
            }
            (Err(refusal), Says::No | Says::Nothing) => {
                new.refused(now);
                return Err(refusal);
            }
        };
        drop(first);
        let status = second.0.head.status.as_u16();
        match self::said(&provider, &mut second.0).await {
            // What the client asks for is nobody's with either key.
            Says::No | Says::Perhaps => new.settled(status, now),
            // An old one that is out of order or of breath proves nothing.
            Says::Nothing if status == 429 || status >= 500 => new.refused(now),
            Says::Nothing => new.outdone(now),
        }
        old.settled(status, now);
        Ok(second)
    }

    /// Opened, injected, sent; what came of it is counted where somebody wants to know.
    pub(super) async fn attempt(
        &self,
        (head, body): (Head<'_>, OutboundBody),
        (permit, client, moment): Call<'_>,
        Try { selected, is_socket, turn }: Try<'_>,
        trace: &mut Trace,
    ) -> Result<(Reply, Carried), Refusal> {
        let house = &*self.house;
        check_key(selected)?;
        let opened = house.vault.open(permit, selected, moment)?;
        let (outbound, carried) = inject(head, body, permit, opened)?;
        // Whoever was revoked while this call walked does not leave any more.
        check_standing(client.standing(&house.clock))?;
        let now_ns = match turn {
            Turn::Only | Turn::First => trace.forwarded(),
            Turn::Second | Turn::Again => {
                trace.forwarded_again();
                house.clock.monotonic_ns()
            }
        };
        let mut may_leave = |again| {
            check_standing(client.standing(&house.clock))?;
            check_key(selected)?;
            if again {
                trace.forwarded_again();
            }
            Ok(())
        };
        let leave = selected.leaves(&house.clock);
        let sent = self.upstream.send(outbound, now_ns, &mut may_leave).await;
        trace.upstream_ended();
        let reply = match sent {
            Ok(reply) => reply,
            Err(refusal) => {
                leave.got_lost(&refusal);
                // What a client breaks off says nothing of a key.
                if refusal.reason.fault() == Fault::Provider {
                    selected.was_silent(moment);
                }
                return Err(refusal);
            }
        };
        match is_socket {
            true => leave.came_back(),
            false => leave.answered(permit.provider(), &reply.head, &house.clock),
        }
        let reply = framed(reply, is_socket)?;
        if matches!(turn, Turn::Only | Turn::Again) {
            selected.answered(reply.head.status.as_u16(), moment);
        }
        Ok((reply, carried))
    }
}

/// What the provider says of the key, by its entry in the catalogue. A short answer is looked at
/// where that may tell.
async fn said(provider: &Provider, reply: &mut Reply) -> Says {
    let status = reply.head.status.as_u16();
    let by_status = provider.says(status);
    let Some(text) = provider.no_in_body(status).filter(|_| by_status == Says::Nothing) else {
        return by_status;
    };
    if reply.head.headers.contains_key(CONTENT_ENCODING) {
        return Says::Nothing;
    }
    match reply.body.begins_with_a(text.as_bytes(), LONGEST_NO).await {
        true => Says::Perhaps,
        false => Says::Nothing,
    }
}

/// What there is of a body when it has to leave.
pub(super) enum Kept {
    Whole(Bytes),
    /// It goes on.
    Begun(Ahead, Incoming),
}

/// A body whose length nobody knows, whole where it is small and comes without hesitation. `most`
/// is the settings' bound; 0 is none.
pub(super) async fn begun(mut body: Incoming, most: u64) -> Result<Kept, Refusal> {
    let most = if most == 0 { MOST_BYTES } else { most.min(MOST_BYTES) };
    let (mut ahead, mut bytes) = (Ahead::new(), BytesMut::new());
    let mut end = std::pin::pin!(tokio::time::sleep(BRIEFLY));
    loop {
        let next = tokio::select! {
            biased;
            next = body.frame() => next,
            () = &mut end => return Ok(Kept::Begun(ahead, body)),
        };
        let Some(frame) = next.transpose().map_err(|_broken| broke_off())? else {
            return Ok(Kept::Whole(bytes.freeze()));
        };
        let data = frame.data_ref().map(|data| bytes.extend_from_slice(data));
        let is_more = u64::try_from(bytes.len()).is_ok_and(|length| length > most);
        ahead.push_back(frame);
        // Trailers would be lost in what is sent twice.
        if is_more || data.is_none() {
            return Ok(Kept::Begun(ahead, body));
        }
    }
}

fn broke_off() -> Refusal {
    Refusal::new(Reason::BadRequest, "The body broke off.")
}

/// The client's own fault where it breaks off.
pub(super) async fn whole(body: Incoming) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.map_err(|_elapsed| {
        Refusal::new(Reason::Timeout, "The body did not come in time.").closing()
    })?;
    let bytes = collected.map(http_body_util::Collected::to_bytes);
    bytes.map_err(|_broken| broke_off())
}
