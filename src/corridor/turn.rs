//! Waiting for one's turn: for the provider's own limit first, which holds nobody's place
//! meanwhile, then for a place among the calls under way. Boxed as a whole, so that the calls that
//! need not wait do not carry the room for it. Must never count a call that does not get its turn.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Corridor;
use super::trial::Sides;
use crate::clock::Moment;
use crate::limiter::{Admission, Asking};
use crate::policy::Permit;
use crate::refusal::{Reason, Refusal};
use crate::vault::Dealt;

/// Somebody may have changed the secret while it waited; nobody does so again and again.
const TRIES: usize = 3;

/// Who calls whom, and from where.
type Caller<'a> = (&'a Permit, IpAddr);
type Turned<'a> = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>>;

impl Corridor {
    /// None where it must wait. A secret of which no limit is known costs this one load.
    pub(super) fn admit_at_once(
        &self,
        (permit, address): Caller<'_>,
        moment: Moment,
        (selected, _): &Sides,
    ) -> Result<Option<Admission>, Refusal> {
        match selected.is_bound() {
            false => self.house.limiter.admit(permit, address, moment),
            true => Ok(None),
        }
    }

    /// `select` looks anew at what serves the call: while it waits that may become another version.
    pub(super) fn admit_in_turn<'a>(
        &'a self,
        (permit, address): Caller<'a>,
        sides: &'a mut Sides,
        select: impl Fn(Dealt) -> Result<Sides, Refusal> + Send + Sync + 'a,
    ) -> Turned<'a> {
        Box::pin(async move {
            let limiter = &self.house.limiter;
            if sides.0.is_bound() {
                limiter.look(permit, address, self.house.clock.now())?;
                self.ticketed(permit, sides, &select).await?;
            }
            if let Some(admission) = limiter.admit(permit, address, self.house.clock.now())? {
                return Ok(admission);
            }
            let admission = limiter.admit_in_turn(permit, address).await?;
            let held = sides.0.let_go();
            *sides = select(sides.0.dealt())?;
            if let Some((id, ticket)) = held
                && id == sides.0.secret_id()
            {
                sides.0.hold(ticket);
            }
            Ok(admission)
        })
    }

    /// With a ticket of the very secret that serves it.
    async fn ticketed(
        &self,
        permit: &Permit,
        sides: &mut Sides,
        select: &(impl Fn(Dealt) -> Result<Sides, Refusal> + Send + Sync),
    ) -> Result<(), Refusal> {
        let clock = &self.house.clock;
        let began_ns = clock.monotonic_ns();
        for _ in 0..TRIES {
            let (secret, supply) = sides.0.supply();
            let sources = self.house.vault.sources(permit.provider(), (secret, supply));
            let asking = Asking { secret, supply: Arc::clone(supply), sources };
            // Altogether it waits no longer than any other.
            let waited = Duration::from_nanos(clock.monotonic_ns().saturating_sub(began_ns));
            let at_most = permit.provider().max_wait.saturating_sub(waited);
            let turn = self.house.limiter.ticket(permit, &asking, at_most).await?;
            let dealt = match &turn {
                Some((served_by, _)) => sides.0.dealt().by(*served_by),
                None => sides.0.dealt(),
            };
            *sides = select(dealt)?;
            if let Some((served_by, ticket)) = turn
                && sides.0.secret_id() == served_by
            {
                sides.0.hold(ticket);
                return Ok(());
            }
        }
        let detail = "The secrets of this provider are being changed; send the call again.";
        Err(Refusal::new(Reason::Overloaded, detail))
    }
}
