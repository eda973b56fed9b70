//! Sessions: 256 random bits in a browser, their digest here. A new id at every sign-in and
//! step-up, an end that no use puts off, and one that use does. Judged by the seals of both rows;
//! while nothing can be judged, only what was known to fit, and stands unchanged, is taken.
//! Must never take a session over from somebody who had none.

use std::sync::PoisonError;

use uuid::Uuid;

use super::{OperatorFault, Operators, STEPPED_UP_MS, Whence};
use crate::client::Role;
use crate::crypto::{sha256, token};
use crate::secret::SecretBytes;
use crate::store::{ListedSession, OperatorRow, SessionRow, SignedIn};

/// A session that was just made: what its browser is to hold, known at this moment alone.
pub(crate) struct Cookie {
    pub(crate) value: SecretBytes,
    pub(crate) signed: Signed,
}

/// Who is signed in, as it was when he was looked up.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    session: SessionRow,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) role: Role,
    pub(crate) recovery_codes_left: usize,
}

/// Written down no more often than this.
const TOUCHED_EVERY_MS: i64 = 60_000;
/// The clocks of two nodes may differ by so much.
const AHEAD_MS: i64 = 60_000;
/// Sessions that are remembered for when nothing can be judged.
const MOST_KNOWN: usize = 4096;
const LONGEST_AGENT: usize = 200;

impl Signed {
    fn of(session: SessionRow, operator: &OperatorRow) -> Self {
        Self {
            session,
            name: operator.name.clone(),
            email: operator.email.clone(),
            role: operator.role,
            recovery_codes_left: super::codes::left(&operator.recovery),
        }
    }

    pub(crate) fn session_id(&self) -> Uuid {
        self.session.id
    }

    pub(crate) fn operator_id(&self) -> Uuid {
        self.session.operator_id
    }

    /// Until when what hurts may be done; None where no code was shown for it, or long ago.
    pub(crate) fn stepped_up_until(&self, now_ms: i64) -> Option<i64> {
        let until = self.session.stepped_up_at?.saturating_add(STEPPED_UP_MS);
        let is_fresh = now_ms < until && until <= now_ms + STEPPED_UP_MS + AHEAD_MS;
        is_fresh.then_some(until)
    }

    pub(crate) fn ends_at(&self) -> i64 {
        self.session.ends_at
    }
}

impl Operators {
    /// Who holds this, if it is a session that may be used now. What no hand asked for is no use of
    /// it, and puts off no end.
    pub(crate) async fn authenticate(
        &self,
        value: &[u8],
        is_use: bool,
    ) -> Result<Option<Signed>, OperatorFault> {
        if value.len() != token::WORD_BYTES {
            return Ok(None);
        }
        let digest = sha256(value);
        let found = match self.store.signed_in(&digest).await {
            Err(fault @ crate::store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: a session is refused");
                None
            }
            read => read?,
        };
        let Some(mut found) = found else {
            self.forget(&digest);
            return Ok(None);
        };
        if !self.fits(&found) {
            return Ok(None);
        }
        let now_ms = self.clock.unix_ms();
        if !self.lasts(&found.session, now_ms) {
            self.forget(&digest);
            self.store.end_session(found.session.id).await?;
            return Ok(None);
        }
        let is_due = now_ms.saturating_sub(found.session.last_seen_at) >= TOUCHED_EVERY_MS;
        if is_use && is_due {
            self.store.touch_session(found.session.id, now_ms).await?;
            found.session.last_seen_at = now_ms;
        }
        Ok(Some(Signed::of(found.session, &found.operator)))
    }

    /// May who was looked up go on with what he does? Asked where that takes long.
    pub(crate) async fn stands(&self, signed: &Signed) -> bool {
        let found = self.store.signed_in(&signed.session.digest).await;
        found.ok().flatten().is_some_and(|found| {
            found.operator.role == signed.role
                && self.fits(&found)
                && self.lasts(&found.session, self.clock.unix_ms())
        })
    }

    /// When it ends if nobody uses it.
    pub(crate) fn idle_until(&self, signed: &Signed) -> i64 {
        let idle_ms = self.settings.session_idle_seconds.saturating_mul(1000);
        let until = signed.session.last_seen_at.saturating_add_unsigned(idle_ms);
        until.min(signed.session.ends_at)
    }

    pub(crate) async fn end(&self, id: Uuid) -> Result<bool, OperatorFault> {
        Ok(self.store.end_session(id).await?)
    }

    pub(crate) async fn session(&self, id: Uuid) -> Result<Option<SessionRow>, OperatorFault> {
        Ok(self.store.session(id).await?)
    }

    /// Of one operator, or of all.
    pub(crate) async fn sessions(
        &self,
        of: Option<Uuid>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, OperatorFault> {
        self.store.drop_ended_sessions(self.idle_since()).await?;
        Ok(self.store.sessions_page(of, after, limit).await?)
    }

    /// In the place of a former one, which is none any more, or anew. What the browser held before
    /// is never taken over.
    pub(super) async fn new_session(
        &self,
        operator: &OperatorRow,
        from: &Whence,
        former: Option<&Signed>,
    ) -> Result<Cookie, OperatorFault> {
        let value = token::mint_word("")?;
        let now_ms = self.clock.unix_ms();
        let lasts_ms = self.settings.session_seconds.saturating_mul(1000);
        let agent = from.user_agent.as_deref();
        let session = SessionRow {
            id: Uuid::now_v7(),
            digest: sha256(value.expose()),
            operator_id: operator.id,
            // The end of a session is not put off by a step-up.
            created_at: former.map_or(now_ms, |former| former.session.created_at),
            ends_at: former.map_or_else(
                || now_ms.saturating_add_unsigned(lasts_ms),
                |former| former.session.ends_at,
            ),
            stepped_up_at: former.map(|_| now_ms),
            last_seen_at: now_ms,
            address: from.address.map(|address| address.to_string()),
            user_agent: agent.map(|agent| agent.chars().take(LONGEST_AGENT).collect()),
        };
        let former = former.map(|former| former.session.id);
        if !self.store.insert_session(&session, operator, former).await? {
            return Err(OperatorFault::Ended);
        }
        self.store.drop_ended_sessions(self.idle_since()).await?;
        Ok(Cookie { value, signed: Signed::of(session, operator) })
    }

    /// Judged by the seals; by memory where there are none at hand.
    fn fits(&self, found: &SignedIn) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store.judges_operators() {
            if !found.fits {
                known.remove(&found.session.digest);
                return false;
            }
            if known.len() >= MOST_KNOWN {
                let now_ms = self.clock.unix_ms();
                known.retain(|_, one| self.lasts(&one.session, now_ms));
            }
            if known.len() < MOST_KNOWN {
                known.insert(found.session.digest, found.clone());
            }
            return true;
        }
        known.get(&found.session.digest).is_some_and(|one| {
            one.seal == found.seal && one.operator == found.operator && {
                let last_seen_at = found.session.last_seen_at;
                SessionRow { last_seen_at, ..one.session.clone() } == found.session
            }
        })
    }

    fn forget(&self, digest: &[u8; 32]) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    fn lasts(&self, session: &SessionRow, now_ms: i64) -> bool {
        let seen = session.last_seen_at;
        let is_used = seen > self.idle_since() && seen <= now_ms.saturating_add(AHEAD_MS);
        now_ms < session.ends_at && is_used
    }

    fn idle_since(&self) -> i64 {
        let idle_ms = self.settings.session_idle_seconds.saturating_mul(1000);
        self.clock.unix_ms().saturating_sub_unsigned(idle_ms)
    }
}
