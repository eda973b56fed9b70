//! How the one socket is opened: as one of those who listen would have opened it alone, with a
//! secret that is selected and opened for it anew each time; the key is shown, and its bytes are
//! let go of. Must never open anything for a client that may not any more, nor with another secret.

use std::sync::Arc;

use bytes::BytesMut;
use http::StatusCode;
use http::request::Parts;
use uuid::Uuid;

use super::super::Handshake;
use super::super::dialect::{self, No};
use super::super::parley::{Message, Parley};
use crate::corridor::framed::framed;
use crate::corridor::trial::check_key;
use crate::corridor::{Corridor, check_standing};
use crate::inject::{Hail, Head, OutboundBody, inject};
use crate::net::Stream;
use crate::policy::Permit;
use crate::provider::Codec;
use crate::refusal::{Reason, Refusal};
use crate::secret::Needles;
use crate::vault::{Selected, Wanted};

/// What a client brought, clean and without its key.
pub(super) struct Way {
    /// The same for all who share: nothing of what one of them sent.
    pub(super) parts: Parts,
    pub(super) handshake: Handshake,
    pub(super) permit: Permit,
}

/// A connection on which the provider has taken the key.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    pub(super) parley: Parley,
    pub(super) needles: Arc<Needles>,
    pub(super) version: u32,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undialled {
    /// The provider did not take the key.
    Refused,
    /// It takes nobody more for now.
    Crowded,
    /// The secret does not open, or may not go there.
    NoSecret,
    /// Not as this client any more; another one may do.
    Elsewhere,
    Failed,
}

/// Of data, at once.
const LONGEST: usize = 8 * 1024 * 1024;

impl Way {
    pub(super) fn is_in_standing(&self) -> bool {
        self.permit.client().standing_of_a_stream() == crate::client::Standing::Good
    }

    /// The secret, where it is the one that serves this client still.
    pub(super) fn selected(&self, corridor: &Corridor, secret: Uuid) -> Result<Selected, Refusal> {
        let wanted = Wanted::Same(secret);
        let selected = corridor.house.vault.select_for(&self.permit, wanted)?;
        selected.check_sockets(self.permit.provider())?;
        if selected.secret_id() != secret {
            return Err(Refusal::new(Reason::NoSecret, "Another secret serves this client now."));
        }
        Ok(selected)
    }
}

pub(super) async fn dial(
    corridor: &Corridor,
    way: &Way,
    secret: Uuid,
) -> Result<Dialled, Undialled> {
    let selected = way.selected(corridor, secret).map_err(|_other| Undialled::Elsewhere)?;
    let connecting = Box::pin(connected(corridor, way, &selected));
    let (mut stream, early, hail, needles) = connecting.await.map_err(|refusal| {
        tracing::warn!(reason = refusal.reason.code(), "a shared socket could not be opened");
        let is = |reasons: &[Reason]| reasons.contains(&refusal.reason);
        if !way.is_in_standing() {
            Undialled::Elsewhere
        } else if is(&[Reason::NoSecret, Reason::Sealed]) {
            Undialled::NoSecret
        } else if is(&[Reason::Forbidden]) {
            Undialled::Refused
        } else if is(&[Reason::RateLimited]) {
            Undialled::Crowded
        } else {
            Undialled::Failed
        }
    })?;
    let mut parley = Parley::with_provider(early).up_to(LONGEST);
    let introduced = introduced(&mut stream, &mut parley, &hail).await;
    if introduced == Err(Undialled::Refused) {
        // Said in the provider's words, which are no status; the key is looked at all the same.
        selected.answered(StatusCode::UNAUTHORIZED.as_u16(), corridor.house.clock.now());
    }
    introduced?;
    Ok(Dialled { stream, parley, needles, version: selected.version() })
}

type Connected = (Stream, BytesMut, Hail, Arc<Needles>);

async fn connected(
    corridor: &Corridor,
    way: &Way,
    selected: &Selected,
) -> Result<Connected, Refusal> {
    let (house, permit) = (&corridor.house, &way.permit);
    let handshake = way.handshake.afresh()?;
    let mut parts = way.parts.clone();
    let mut head = Head::new(&mut parts, 0, None);
    head = head.opening(handshake.key(), handshake.speaks());
    let opened = house.vault.open(permit, selected, house.clock.now())?;
    let (outbound, carried) = inject(head, OutboundBody::Empty, permit, opened)?;
    let mut may_leave = |_again: bool| {
        check_standing(permit.client().standing_of_a_stream())?;
        check_key(selected)
    };
    let now_ns = house.clock.monotonic_ns();
    let reply = corridor.upstream.send(outbound, now_ns, &mut may_leave).await?;
    let reply = framed(reply, true)?;
    selected.answered(reply.head.status.as_u16(), house.clock.now());
    let no = |reason, detail: &'static str| Err(Refusal::new(reason, detail));
    match reply.head.status {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return no(Reason::Forbidden, "The provider did not take the key.");
        }
        StatusCode::TOO_MANY_REQUESTS => {
            return no(Reason::RateLimited, "The provider takes nobody more for now.");
        }
        _ => return no(Reason::UpstreamInvalid, "The provider opened no socket."),
    }
    handshake.check(&reply.head.headers)?;
    let broke = "The provider's connection broke while a socket was opened on it.";
    let Some((stream, early)) = reply.into_stream().await else {
        return no(Reason::UpstreamUnreachable, broke);
    };
    let Some(hail) = carried.hail else { return Err(Refusal::internal()) };
    Ok((stream, BytesMut::from(&early[..]), hail, carried.needles))
}

/// The provider's first word, the key, and the provider's yes.
async fn introduced(
    stream: &mut Stream,
    parley: &mut Parley,
    hail: &Hail,
) -> Result<(), Undialled> {
    let understood = |word: &Message| dialect::understood(hail.codec, &word.bytes);
    if dialect::greeting(hail.dialect).is_some() {
        let word = parley.hear(stream).await.map_err(|_lost| Undialled::Failed)?;
        let said = understood(&word);
        if said.and_then(|said| dialect::behind_greeting(hail.dialect, &said).map(drop)).is_none() {
            return Err(Undialled::Crowded);
        }
    }
    let is_text = hail.codec == Codec::Json;
    let shown = parley.say(stream, is_text, hail.bytes()).await;
    shown.map_err(|_gone| Undialled::Failed)?;
    for _ in 0..MOST_BEFORE {
        let word = parley.hear(stream).await.map_err(|_lost| Undialled::Failed)?;
        let said = understood(&word);
        match said.as_ref().and_then(|said| dialect::takes(hail.dialect, said)) {
            Some(true) => return Ok(()),
            Some(false) => {
                let why = said.map(|said| dialect::why_not(hail.dialect, &said));
                return Err(match why {
                    Some(No::Unknown) => Undialled::Refused,
                    Some(No::Crowded) => Undialled::Crowded,
                    Some(No::Unasked | No::Late | No::Failed) | None => Undialled::Failed,
                });
            }
            None => {}
        }
    }
    Err(Undialled::Failed)
}

/// Messages of something else before the provider's word on the key.
const MOST_BEFORE: usize = 16;

impl Undialled {
    pub(super) fn no(self) -> No {
        match self {
            Self::Refused => No::Unknown,
            Self::Crowded => No::Crowded,
            Self::NoSecret | Self::Elsewhere | Self::Failed => No::Failed,
        }
    }
}
