//! The version that will serve a call: chosen from the row alone, opened where the call is about to
//! leave. While a new version is on trial, which of the two it is, and what came of it.
//! Must never open for a provider that it was not sealed for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::response::Parts;
use uuid::Uuid;

use super::fields;
use super::place::SecretPlace;
use super::registry::Off;
use super::snapshot::{Entry, Given, NEW_TARGET, Opened, Usable};
use super::trial::{Trial, Which};
use crate::clock::{Clock, Moment};
use crate::crypto::CryptoError;
use crate::provider::Provider;
use crate::quota::{Supply, Ticket};
use crate::refusal::{Reason, Refusal};

/// The version that will serve a call. Only the vault makes one.
pub(crate) struct Selected {
    entry: Arc<Entry>,
    trial: Option<OnTrial>,
    /// Its right to one call, where the provider's limit is known.
    ticket: Option<Box<Ticket>>,
}

/// What was dealt out to a call, for when it looks anew after it has waited: it is dealt out once.
pub(crate) struct Dealt {
    secret: Uuid,
    on: Option<OnTrial>,
}

impl Dealt {
    pub(crate) fn secret(&self) -> Uuid {
        self.secret
    }

    /// Another secret of the pool was free sooner: what was dealt out of this one goes back.
    #[must_use]
    pub(crate) fn by(mut self, secret: Uuid) -> Self {
        if self.secret != secret {
            self.secret = secret;
            if let Some(on) = self.on.take() {
                on.trial.was_not_dealt();
            }
        }
        self
    }
}

/// On which side of a trial a call is.
#[derive(Clone)]
struct OnTrial {
    trial: Arc<Trial>,
    which: Which,
}

/// A call that is on its way; what is answered teaches how many more there may be.
pub(crate) struct Leave<'a> {
    by: LeftBy<'a>,
    /// A version that is on trial teaches nothing: what it is given may be another's.
    teaches: bool,
}

enum LeftBy<'a> {
    Held(&'a Ticket),
    Counted(Ticket),
    /// No limit is known.
    Free(&'a Supply),
}

impl Leave<'_> {
    /// It opened a socket, or was told that there are too many: that is another limit.
    pub(crate) fn came_back(self) {
        match self.by {
            LeftBy::Held(ticket) => ticket.failed(None),
            LeftBy::Counted(ticket) => ticket.failed(None),
            LeftBy::Free(_) => {}
        }
    }

    /// No answer came. Where nothing of the call has left, it is counted nowhere; else it may have
    /// been.
    pub(crate) fn got_lost(self, refusal: &Refusal) {
        match self.by {
            LeftBy::Held(ticket) if refusal.is_unsent() => ticket.stays(),
            LeftBy::Counted(ticket) if refusal.is_unsent() => ticket.stays(),
            LeftBy::Held(_) | LeftBy::Counted(_) | LeftBy::Free(_) => {}
        }
    }

    pub(crate) fn answered(self, provider: &Provider, head: &Parts, clock: &Clock) {
        let limits = &provider.limits;
        let notice = || limits.notice(head.status.as_u16(), &head.headers, || clock.unix_ms());
        let notice = if self.teaches { notice() } else { None };
        let is_failure = head.status.is_server_error() || !self.teaches;
        let came = |ticket: &Ticket| match is_failure {
            true => ticket.failed(notice),
            false => ticket.answered(notice),
        };
        match (self.by, notice) {
            (LeftBy::Held(ticket), _) => came(ticket),
            (LeftBy::Counted(ticket), _) => came(&ticket),
            (LeftBy::Free(supply), Some(notice)) => supply.heard(notice, clock.monotonic_ns()),
            (LeftBy::Free(_), None) => {}
        }
    }
}

/// Whether a call could be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    Yes,
    /// Where its body turns out to be small.
    Perhaps,
    No,
}

impl Selected {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Self { entry, trial: None, ticket: None }
    }

    pub(crate) fn secret_id(&self) -> Uuid {
        self.entry.id
    }

    pub(crate) fn version(&self) -> u32 {
        self.entry.version
    }

    pub(crate) fn dealt(&self) -> Dealt {
        Dealt { secret: self.entry.id, on: self.trial.clone() }
    }

    /// The version that serves this call while a new one is on trial, and the old one where that
    /// can serve the call once more. Asks nothing where there is no trial. `sockets`: it opens one
    /// to this provider, and the new version must have been sealed for that.
    pub(crate) fn staged(
        self,
        client: Uuid,
        sockets: Option<&Arc<Provider>>,
        twice: impl FnOnce() -> Twice,
        dealt: Option<&Dealt>,
    ) -> (Self, Option<Self>) {
        let Some(next) = &self.entry.next else { return (self, None) };
        let twice = twice();
        let side = |entry: &Arc<Entry>, which| {
            let trial = Some(OnTrial { trial: Arc::clone(&next.trial), which });
            Self { entry: Arc::clone(entry), trial, ticket: None }
        };
        let (old, new) = (side(&self.entry, Which::Old), side(&next.entry, Which::New));
        let serves = match (&next.entry.state, sockets) {
            (Usable::No(_), _) => false,
            (Usable::Yes { .. }, None) => true,
            (Usable::Yes { .. }, Some(provider)) => new.check_sockets(provider).is_ok(),
        };
        let on = dealt.and_then(|dealt| dealt.on.as_ref());
        let dealt = on.filter(|on| Arc::ptr_eq(&on.trial, &next.trial)).map(|on| on.which);
        match next.trial.choose(client, twice == Twice::Yes, dealt) {
            Which::New if serves => (new, (twice != Twice::No).then_some(old)),
            Which::New | Which::Old => (old, None),
        }
    }

    /// Does any limit of the provider's hold for it? One load.
    pub(crate) fn is_bound(&self) -> bool {
        self.entry.supply.is_bound()
    }

    pub(crate) fn supply(&self) -> (Uuid, &Arc<Supply>) {
        (self.entry.id, &self.entry.supply)
    }

    pub(super) fn place(&self) -> &SecretPlace {
        &self.entry.place
    }

    /// The provider took it.
    pub(crate) fn accepted(&self) {
        self.entry.place.accepted(self.entry.version);
    }

    /// It has waited for its turn.
    pub(crate) fn hold(&mut self, ticket: Ticket) {
        self.ticket = Some(Box::new(ticket));
    }

    /// Its ticket, for whoever serves in its place, and of which secret it is.
    pub(crate) fn let_go(&mut self) -> Option<(Uuid, Ticket)> {
        let ticket = self.ticket.take()?;
        Some((self.entry.id, *ticket))
    }

    /// The call leaves. One without a ticket, where others need one, is counted all the same.
    pub(crate) fn leaves(&self, clock: &Clock) -> Leave<'_> {
        let teaches = self.trial.as_ref().is_none_or(|on| on.which == Which::Old);
        let by = match (&self.ticket, self.is_bound()) {
            (Some(ticket), _) => {
                ticket.leaves();
                LeftBy::Held(ticket)
            }
            (None, true) => {
                let ticket = self.entry.supply.take_anyhow(clock);
                ticket.leaves();
                LeftBy::Counted(ticket)
            }
            (None, false) => LeftBy::Free(&self.entry.supply),
        };
        Leave { by, teaches }
    }

    /// Its value was taken away: it serves nobody any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.entry.off.is_off()
    }

    /// What the provider has answered a call with it, which nobody compares. Somebody will look at
    /// a no.
    pub(crate) fn answered(&self, status: u16, now: Moment) {
        let is_no = matches!(status, 401..=403);
        if let Some(on) = &self.trial {
            match is_no {
                true => on.trial.refused(on.which, now.unix_ms),
                false => on.trial.note(on.which, Some(status), now.unix_ms),
            }
            if is_no && on.which == Which::New {
                on.trial.lost();
            }
        } else if is_no && !self.entry.refused.load(Ordering::Relaxed) {
            self.entry.refused.store(true, Ordering::Relaxed);
        }
    }

    /// What it said says nothing against the key.
    pub(crate) fn settled(&self, status: u16, now: Moment) {
        if let Some(on) = &self.trial {
            on.trial.note(on.which, Some(status), now.unix_ms);
        }
    }

    /// It was refused, and nobody can say more.
    pub(crate) fn refused(&self, now: Moment) {
        if let Some(on) = &self.trial {
            on.trial.refused(on.which, now.unix_ms);
        }
    }

    /// It was refused, and the old version served the same call.
    pub(crate) fn outdone(&self, now: Moment) {
        self.refused(now);
        if let Some(on) = &self.trial {
            on.trial.saved();
        }
    }

    /// No answer came.
    pub(crate) fn was_silent(&self, now: Moment) {
        if let Some(on) = &self.trial {
            on.trial.note(on.which, None, now.unix_ms);
        }
    }

    /// Tells when its value was taken away.
    pub(crate) fn off(&self) -> Arc<Off> {
        Arc::clone(&self.entry.off)
    }

    /// Was it sealed for the sockets of this very provider?
    pub(crate) fn check_sockets(&self, provider: &Arc<Provider>) -> Result<(), Refusal> {
        match &self.entry.state {
            Usable::Yes { reaches_sockets: true, .. } if self.was_judged_for(provider) => Ok(()),
            Usable::Yes { .. } | Usable::No(_) => Err(Refusal::new(Reason::NoSecret, NEW_TARGET)),
        }
    }

    pub(super) fn was_judged_for(&self, provider: &Arc<Provider>) -> bool {
        self.entry.judged_for.as_ref().is_some_and(|judged| Arc::ptr_eq(judged, provider))
    }

    /// The snapshot has already compared the sealed list of destinations with this provider's;
    /// where the catalogue has changed since, it is compared here, and nothing is kept.
    pub(super) fn open(
        &self,
        provider: &Arc<Provider>,
        now_ns: u64,
        keep_ns: u64,
    ) -> Result<Opened, CryptoError> {
        match &self.entry.state {
            Usable::Yes { prepared, kept, .. } if self.entry.provider == *provider.id => {
                let keep_ns = if self.was_judged_for(provider) { keep_ns } else { 0 };
                let kept = kept.load();
                let placed = kept.as_ref().filter(|kept| !kept.is_stale(now_ns, keep_ns));
                let state = match placed {
                    Some(kept) => Given::Kept(Arc::clone(&kept.placed)),
                    None => Given::Fresh(fields::open(prepared)?, Arc::clone(&self.entry)),
                };
                if let (0, Given::Fresh(fresh, _)) = (keep_ns, &state)
                    && !self.was_judged_for(provider)
                    && !fields::covers(fresh, provider)
                {
                    return Err(CryptoError::NotAuthentic);
                }
                Ok(Opened::of(state, (now_ns, keep_ns)))
            }
            Usable::Yes { .. } | Usable::No(_) => Err(CryptoError::NotAuthentic),
        }
    }
}
