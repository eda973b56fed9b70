//! Several secrets of one provider that share its load: where each stands is in the database, so
//! that every node goes along and a restart forgets nothing; one that its provider refuses again
//! and again is put into quarantine and let out when it is good again. What was learnt of limits is
//! kept in the same place. Must never choose which secret serves a call: the vault does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::clock::{Clock, Moment};
use crate::ledger::{ActorRef, Entry, Kind, Ledger};
use crate::quota::Lesson;
use crate::store::{self, Health, LearntRow, PlaceRow, Store};
use crate::telemetry::Metrics;
use crate::vault::Vault;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What was learnt is written down every so many looks.
const WRITTEN_EVERY: u32 = 4;
/// The same kind as where a check finds a key refused: somebody has to look.
const ALERT: &str = "secret_refused";
const HOUSE: &str = "house";
/// A door that is closed for less is not worth a row.
const WORTH_KEEPING_NS: u64 = 5_000_000_000;

/// What the room is built from.
pub(crate) struct Pools {
    pub(crate) vault: Arc<Vault>,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
}

/// What somebody asks of a secret's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) weight: Option<u32>,
    /// Set aside, or (false) put back, out of quarantine too.
    pub(crate) drained: Option<bool>,
}

/// Brings it about here at once, and on every other node with its next look.
pub(crate) async fn wish(
    (store, vault): (&Store, &Vault),
    id: Uuid,
    wish: Wish,
    (now_ms, by): (i64, &str),
) -> Result<(), store::Error> {
    let places = store.secret_places().await?;
    let known = places.iter().find(|place| place.secret_id == id);
    let weight = wish.weight.or_else(|| known.map(|place| place.weight)).unwrap_or(1);
    let drained_at = match wish.drained {
        Some(true) => known.and_then(|place| place.drained_at).or(Some(now_ms)),
        Some(false) => None,
        None => known.and_then(|place| place.drained_at),
    };
    store.set_secret_place(id, (weight, drained_at), (now_ms, by)).await?;
    let mut is_quarantined = known.is_some_and(|place| place.quarantined_at.is_some());
    let place = vault.secret_place(id);
    if wish.drained == Some(false) {
        store.release_secret(id, (now_ms, by)).await?;
        let _told = place.take_news();
        is_quarantined = false;
    }
    place.set(weight, drained_at.is_some(), is_quarantined);
    Ok(())
}

impl Pools {
    /// For ever; spawned once.
    pub(crate) async fn keep(self) {
        let mut written: HashMap<Uuid, LearntRow> = HashMap::new();
        let (mut looks, mut was_open, mut told) = (0, false, false);
        loop {
            if !self.vault.is_sealed() {
                let is_first = !std::mem::replace(&mut was_open, true);
                let is_due = looks % WRITTEN_EVERY == 0;
                match self.look((is_first, is_due), &mut written).await {
                    Ok(()) => told = false,
                    Err(fault) => {
                        was_open &= !is_first;
                        if !std::mem::replace(&mut told, true) {
                            tracing::error!(%fault, "the pools of secrets cannot be looked after");
                        }
                    }
                }
                looks += 1;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(
        &self,
        (is_first, is_due): (bool, bool),
        written: &mut HashMap<Uuid, LearntRow>,
    ) -> Result<(), store::Error> {
        let now = self.clock.now();
        let in_use = self.vault.in_use();
        for (id, provider, version) in &in_use {
            if self.vault.secret_place(*id).take_news()
                && let Err(fault) = self.quarantined((*id, *version), provider, now).await
            {
                self.vault.secret_place(*id).keep_news();
                return Err(fault);
            }
        }
        let places = self.store.secret_places().await?;
        if is_first {
            self.recall(&places, now, written);
        }
        for (id, provider, version) in &in_use {
            let row = places.iter().find(|place| place.secret_id == *id);
            let mut is_quarantined = row.is_some_and(|row| row.quarantined_at.is_some());
            if is_quarantined && self.is_good_again(row, *version).await? {
                is_quarantined = false;
                self.released(*id, provider, now).await?;
            }
            let is_drained = row.is_some_and(|row| row.drained_at.is_some());
            let weight = row.map_or(1, |row| row.weight);
            self.vault.secret_place(*id).set(weight, is_drained, is_quarantined);
        }
        if is_due {
            let ids = in_use.iter().map(|(id, ..)| *id);
            self.write_down(ids, now, written).await?;
        }
        Ok(())
    }

    /// One of several nodes says so.
    async fn quarantined(
        &self,
        (id, version): (Uuid, u32),
        provider: &str,
        now: Moment,
    ) -> Result<(), store::Error> {
        if !self.store.quarantine_secret((id, version), now.unix_ms).await? {
            return Ok(());
        }
        self.metrics.alert_raised(ALERT);
        tracing::warn!(secret = %id, provider, "a secret of a pool is refused and takes no calls");
        self.note(
            Kind::Security,
            json!({
                "alert": ALERT, "secret": {"id": id.to_string(), "provider": provider},
                "version": version, "finding": "quarantined: the provider refuses this key again \
                and again where it takes another one of the pool",
            }),
        );
        Ok(())
    }

    /// Another version serves by now, or a check has found it good since.
    async fn is_good_again(
        &self,
        row: Option<&PlaceRow>,
        version: u32,
    ) -> Result<bool, store::Error> {
        let Some((row, since)) = row.and_then(|row| Some((row, row.quarantined_at?))) else {
            return Ok(false);
        };
        if row.quarantined_version.is_some_and(|refused| refused != version) {
            return Ok(true);
        }
        let stands = self.store.secret_health(row.secret_id).await?;
        let is_good = |health| matches!(health, Health::Healthy | Health::Degraded);
        Ok(stands.is_some_and(|stands| stands.checked_at > since && is_good(stands.health)))
    }

    async fn released(&self, id: Uuid, provider: &str, now: Moment) -> Result<(), store::Error> {
        if self.store.release_secret(id, (now.unix_ms, HOUSE)).await? {
            let secret = json!({"id": id.to_string(), "provider": provider});
            let after = json!({"secret": secret, "pool": "out of quarantine"});
            self.note(Kind::Change, json!({"after": after}));
        }
        Ok(())
    }

    /// What was learnt before the house was started holds until something else is learnt.
    fn recall(&self, places: &[PlaceRow], now: Moment, written: &mut HashMap<Uuid, LearntRow>) {
        for place in places {
            let LearntRow { closed_until, rate, depth } = place.learnt;
            let closed_ms = closed_until.map(|until| until.saturating_sub(now.unix_ms));
            let closed_ms = closed_ms.and_then(|ms| u64::try_from(ms).ok());
            let figure = |number: Option<i64>| number.and_then(|n| u32::try_from(n).ok());
            let lesson = Lesson {
                closed_in_ns: closed_ms.map(|ms| ms.saturating_mul(1_000_000)),
                rate: figure(rate).zip(figure(depth)),
            };
            if lesson != Lesson::default() {
                self.vault.supply(place.secret_id).recall(lesson, now.monotonic_ns);
                written.insert(place.secret_id, place.learnt);
            }
        }
    }

    async fn write_down(
        &self,
        ids: impl Iterator<Item = Uuid>,
        now: Moment,
        written: &mut HashMap<Uuid, LearntRow>,
    ) -> Result<(), store::Error> {
        for id in ids {
            let lesson = self.vault.supply(id).lesson(now.monotonic_ns);
            let closed_ns = lesson.closed_in_ns.filter(|ns| *ns >= WORTH_KEEPING_NS);
            let known = written.get(&id).copied().unwrap_or_default();
            let learnt = LearntRow {
                closed_until: closed_ns.map(|ns| {
                    let until =
                        now.unix_ms.saturating_add(i64::try_from(ns / 1_000_000).unwrap_or(0));
                    // The same time, read a moment later.
                    known
                        .closed_until
                        .filter(|known| known.abs_diff(until) < 1_000)
                        .unwrap_or(until)
                }),
                rate: lesson.rate.map(|(rate, _)| i64::from(rate)),
                depth: lesson.rate.map(|(_, depth)| i64::from(depth)),
            };
            if learnt != known {
                self.store.learn_secret_limit(id, learnt, now.unix_ms).await?;
                written.insert(id, learnt);
            }
        }
        Ok(())
    }

    fn note(&self, kind: Kind, detail: serde_json::Value) {
        let entry = Entry {
            kind,
            actor: ActorRef::house("pool"),
            address: None,
            method: "",
            endpoint: "",
            status: 0,
            reason: None,
            request_id: "",
            detail: Some(detail),
        };
        if self.ledger.append(&entry).is_err() {
            tracing::error!("the journal has no room for what became of a secret of a pool");
        }
    }
}
