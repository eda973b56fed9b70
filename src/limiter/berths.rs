//! Calls at once to one provider, where its entry bounds them: places of its own, and a queue of
//! its own before them, so that a slow provider holds up nobody else's calls.
//! Must cost nothing where there is no bound.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::places::{Place, Places};
use super::{Admission, Limiter};
use crate::policy::Permit;
use crate::provider::Provider;
use crate::refusal::{Reason, Refusal};

/// Longer than a burst lasts, shorter than a caller's patience.
const WAIT_AT_MOST: Duration = Duration::from_secs(1);

/// How soon the house tries again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Berths(RwLock<HashMap<Arc<str>, Arc<Places>>>);

/// What a call holds while it is under way.
pub(super) struct Stand {
    _berth: Option<Place>,
    _place: Place,
}

impl Berths {
    /// None where this provider has no bound. One that changed begins anew; calls of before end on
    /// the former places.
    pub(super) fn of(&self, provider: &Provider) -> Option<Arc<Places>> {
        let most = provider.max_concurrent?;
        let known = self.known(provider).filter(|places| places.most() == most);
        Some(known.unwrap_or_else(|| self.made(provider, most)))
    }

    fn known(&self, provider: &Provider) -> Option<Arc<Places>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&provider.id).cloned()
    }

    fn made(&self, provider: &Provider, most: usize) -> Arc<Places> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let places = known.entry(Arc::clone(&provider.id)).or_insert_with(|| Places::new(most));
        if places.most() != most {
            *places = Places::new(most);
        }
        Arc::clone(places)
    }
}

impl Limiter {
    /// Where there is room among all calls, and among those to the provider.
    pub(super) fn stand(&self, permit: &Permit) -> Option<Stand> {
        let berth = match self.berths.of(permit.provider()) {
            Some(berths) => Some(berths.take()?),
            None => None,
        };
        Some(Stand { _berth: berth, _place: self.places.take()? })
    }

    /// First to the provider's queue: whoever waits there takes nobody's place meanwhile.
    /// Who has waited long already is not sent away because the queue is long.
    pub(super) async fn stand_in_turn(
        &self,
        permit: &Permit,
        has_waited: bool,
    ) -> Result<Stand, Refusal> {
        let (provider, who) = (permit.provider(), permit.client().id);
        let berth = match self.berths.of(provider) {
            None => None,
            Some(berths) => match berths.take() {
                Some(berth) => Some(berth),
                None => Some(berths.wait((who, has_waited), provider.max_wait).await.ok_or_else(|| {
                    let detail = format!(
                        "As many calls to {} are under way as its max_concurrent allows, and the \
                         queue before them is too long; try again soon.",
                        provider.title
                    );
                    Refusal::new(Reason::Overloaded, detail)
                })?),
            },
        };
        if let Some(place) = self.places.take() {
            return Ok(Stand { _berth: berth, _place: place });
        }
        let waited = Arc::clone(&self.places).wait((who, has_waited), WAIT_AT_MOST).await;
        let place = waited.ok_or_else(|| {
            let detail = "As many calls are under way as proxy.max_concurrent allows, and the \
                          queue before them is too long; try again soon.";
            Refusal::new(Reason::Overloaded, detail)
        })?;
        Ok(Stand { _berth: berth, _place: place })
    }

    /// A call of the house has its place whenever there is one, however long that takes.
    pub(crate) async fn admit_house(&self, permit: &Permit) -> Result<Admission, Refusal> {
        loop {
            match self.stand_in_turn(permit, true).await {
                Ok(stand) => return Ok(Admission::of(None, None, stand)),
                Err(refusal) if refusal.reason == Reason::Overloaded => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }
}
