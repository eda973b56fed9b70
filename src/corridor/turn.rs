//! Waiting for one's turn: for the provider's own limit first, which holds nobody's place
//! meanwhile, then for a place among the calls under way. Boxed as a whole, so that the calls that
//! need not wait do not carry the room for it. Must never count a call that does not get its turn.

use std::net::IpAddr;
use std::pin::Pin;

use super::Corridor;
use super::trial::Sides;
use crate::clock::Moment;
use crate::limiter::Admission;
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
        for _ in 0..TRIES {
            let waited_for = sides.0.secret_id();
            let ticket = self.house.limiter.ticket(permit, sides.0.supply()).await?;
            *sides = select(sides.0.dealt())?;
            if sides.0.secret_id() == waited_for {
                sides.0.hold(ticket);
                return Ok(());
            }
        }
        let detail = "The secrets of this provider are being changed; send the call again.";
        Err(Refusal::new(Reason::Overloaded, detail))
    }
}
