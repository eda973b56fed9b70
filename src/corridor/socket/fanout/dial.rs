//! How the one socket is opened: as one of those who listen would have opened it alone, with a
//! secret that is selected and opened for it anew each time; the key is shown, and its bytes are
//! let go of. Must never open anything for a client that may not any more.

use std::sync::Arc;

use bytes::BytesMut;
use http::StatusCode;
use http::request::Parts;
use uuid::Uuid;

use super::super::Handshake;
use super::super::dialect::{self, No};
use super::super::parley::{Message, Parley};
use crate::corridor::framed::framed;
use crate::corridor::{Corridor, check_standing};
use crate::inject::{Hail, Head, OutboundBody, inject};
use crate::net::Stream;
use crate::policy::Permit;
use crate::provider::Codec;
use crate::refusal::{Reason, Refusal};
use crate::secret::Needles;

/// What a client brought, clean and without its key.
pub(super) struct Way {
    pub(super) parts: Parts,
    pub(super) rest_at: usize,
    pub(super) query: Option<String>,
    pub(super) handshake: Handshake,
    pub(super) permit: Permit,
}

/// A connection on which the provider has taken the key.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    pub(super) parley: Parley,
    pub(super) needles: Arc<Needles>,
    pub(super) version: (Uuid, u32),
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undialled {
    /// The provider did not take the key.
    Refused,
    /// It takes nobody more for now.
    Crowded,
    /// There is no such secret, or it may not go there.
    NoSecret,
    Failed,
}

/// Of data, at once.
const LONGEST: usize = 8 * 1024 * 1024;

impl Way {
    pub(super) fn is_in_standing(&self) -> bool {
        self.permit.client().standing_of_a_stream() == crate::client::Standing::Good
    }

    /// Which secret serves now, in which version.
    pub(super) fn version(&self, corridor: &Corridor) -> Result<(Uuid, u32), Refusal> {
        let selected = corridor.house.vault.select(&self.permit)?;
        selected.check_sockets(self.permit.provider())?;
        Ok((selected.secret_id(), selected.version()))
    }
}

pub(super) async fn dial(corridor: &Corridor, way: &Way) -> Result<Dialled, Undialled> {
    let (mut stream, early, hail, (needles, version)) =
        Box::pin(connected(corridor, way)).await.map_err(|refusal| {
            tracing::warn!(reason = refusal.reason.code(), "a shared socket could not be opened");
            let is = |reasons: &[Reason]| reasons.contains(&refusal.reason);
            if is(&[Reason::NoSecret, Reason::Sealed]) {
                Undialled::NoSecret
            } else if is(&[Reason::Unauthorized, Reason::Forbidden]) {
                Undialled::Refused
            } else if is(&[Reason::RateLimited]) {
                Undialled::Crowded
            } else {
                Undialled::Failed
            }
        })?;
    let mut parley = Parley::with_provider(early).up_to(LONGEST);
    introduced(&mut stream, &mut parley, &hail).await?;
    Ok(Dialled { stream, parley, needles, version })
}

type Connected = (Stream, BytesMut, Hail, (Arc<Needles>, (Uuid, u32)));

async fn connected(corridor: &Corridor, way: &Way) -> Result<Connected, Refusal> {
    let (house, permit) = (&corridor.house, &way.permit);
    let handshake = way.handshake.afresh()?;
    let mut parts = way.parts.clone();
    let mut head = Head::new(&mut parts, way.rest_at, way.query.clone());
    head = head.opening(handshake.key(), handshake.speaks());
    let selected = house.vault.select(permit)?;
    selected.check_sockets(permit.provider())?;
    let version = (selected.secret_id(), selected.version());
    let opened = house.vault.open(permit, &selected, house.clock.now())?;
    let (outbound, carried) = inject(head, OutboundBody::Empty, permit, opened)?;
    let mut may_leave = |_again: bool| check_standing(permit.client().standing_of_a_stream());
    let now_ns = house.clock.monotonic_ns();
    let reply = corridor.upstream.send(outbound, now_ns, &mut may_leave).await?;
    let reply = framed(reply, true)?;
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
    Ok((stream, BytesMut::from(&early[..]), hail, (carried.needles, version)))
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
                let is_crowded = said.is_some_and(|said| dialect::is_crowded(hail.dialect, &said));
                return Err(if is_crowded { Undialled::Crowded } else { Undialled::Refused });
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
            Self::NoSecret | Self::Failed => No::Failed,
        }
    }
}
