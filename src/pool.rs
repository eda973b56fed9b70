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
use crate::probe::Prober;
use crate::store::{self, Health, LearntRow, PlaceRow, Store};
use crate::telemetry::Metrics;
use crate::vault::Vault;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What was learnt is written down every so many looks.
const WRITTEN_EVERY: u32 = 4;
/// The same kind as where a check finds a key refused: somebody has to look.
const ALERT: &str = "secret_refused";
const HOUSE: &str = "house";
/// In quarantine for so long, it is asked about once more, or let out where no check can tell;
/// twice as long each time.
const REST_MS: i64 = 600_000;
/// A door that is closed for less is not worth a row.
const WORTH_KEEPING_NS: u64 = 5_000_000_000;

/// What the room is built from.
pub(crate) struct Pools {
    pub(crate) vault: Arc<Vault>,
    pub(crate) prober: Arc<Prober>,
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

/// Why one serves again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Another version of it is in service.
    Version,
    /// A check has found it good.
    Good,
    /// Nobody can tell but those who call.
    Trial,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Version => "another version serves",
            Self::Good => "a check finds it good",
            Self::Trial => "on trial, as no check can tell",
        }
    }
}

/// Brings it about here at once, and on every other node with its next look.
pub(crate) async fn wish(
    (store, vault): (&Store, &Vault),
    id: Uuid,
    wish: Wish,
    (now_ms, by): (i64, &str),
) -> Result<(), store::Error> {
    store.change_secret_place(id, (wish.weight, wish.drained), (now_ms, by)).await?;
    let place = vault.secret_place(id);
    if wish.drained == Some(false) {
        store.release_secret(id, (now_ms, by)).await?;
        let _told = place.take_news();
        place.forget();
        // Whoever puts it back knows better than what was learnt.
        vault.supply(id).forget();
    }
    let places = store.secret_places().await?;
    if let Some(row) = places.iter().find(|row| row.secret_id == id) {
        let (is_drained, is_quarantined) = (row.drained_at.is_some(), row.quarantined_at.is_some());
        place.set(row.weight, is_drained, is_quarantined);
    }
    Ok(())
}

/// What one look knows of those before it.
#[derive(Default)]
struct Seen {
    written: HashMap<Uuid, LearntRow>,
    versions: HashMap<Uuid, u32>,
}

impl Pools {
    /// For ever; spawned once.
    pub(crate) async fn keep(self) {
        let mut seen = Seen::default();
        let (mut looks, mut was_open, mut told) = (0, false, false);
        loop {
            if !self.vault.is_sealed() {
                let is_first = !std::mem::replace(&mut was_open, true);
                let is_due = looks % WRITTEN_EVERY == 0;
                match self.look((is_first, is_due), &mut seen).await {
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
        seen: &mut Seen,
    ) -> Result<(), store::Error> {
        let now = self.clock.now();
        let in_use = self.vault.in_use();
        for (id, provider, version) in &in_use {
            self.renew((*id, *version), now, &mut seen.versions);
            self.hear((*id, *version), provider, now).await?;
        }
        let places = self.store.secret_places().await?;
        if is_first {
            let known = places.iter().map(|place| (place.secret_id, place.learnt));
            seen.written.extend(known);
        }
        for (id, provider, version) in &in_use {
            let row = places.iter().find(|place| place.secret_id == *id);
            let mut is_quarantined = row.is_some_and(|row| row.quarantined_at.is_some());
            let again = match row.and_then(|row| Some((row, row.quarantined_at?))) {
                Some((row, since)) => self.is_let_out((row, since), *version, now).await?,
                None => None,
            };
            if let Some(why) = again {
                is_quarantined = false;
                self.released((*id, why), provider, now).await?;
            }
            let is_drained = row.is_some_and(|row| row.drained_at.is_some());
            let weight = row.map_or(1, |row| row.weight);
            let place = self.vault.secret_place(*id);
            place.set(weight, is_drained, is_quarantined);
            match again {
                Some(Why::Good) => place.pardon(),
                Some(Why::Trial) => place.let_out(*version),
                Some(Why::Version) | None => {}
            }
        }
        if is_due {
            let ids = in_use.iter().map(|(id, ..)| *id);
            self.write_down(ids, now, &mut seen.written).await?;
        }
        Ok(())
    }

    /// Another version serves: what was said of the one before is nothing to it.
    fn renew(&self, (id, version): (Uuid, u32), now: Moment, versions: &mut HashMap<Uuid, u32>) {
        let before = versions.insert(id, version);
        if before.is_some_and(|before| before != version) {
            self.vault.supply(id).renew(now.monotonic_ns);
            self.vault.secret_place(id).forget();
        }
    }

    /// What calls have found; and where nobody could prove it, a check that says the same.
    async fn hear(
        &self,
        (id, version): (Uuid, u32),
        provider: &str,
        now: Moment,
    ) -> Result<(), store::Error> {
        let place = self.vault.secret_place(id);
        if place.is_suspect(version)
            && let Some(stands) = self.store.secret_health(id).await?
            && stands.health == Health::Refused
        {
            self.vault.quarantine(provider, (id, version));
        }
        let Some(refused) = place.take_news() else { return Ok(()) };
        let written = self.quarantined((id, refused), provider, now).await;
        if written.is_err() {
            place.keep_news(refused);
        }
        written
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
        self.ask(id).await;
        Ok(())
    }

    /// Why it serves again: another version of it does by now, or a check has found it good since,
    /// or nobody can check it and it has rested.
    async fn is_let_out(
        &self,
        (row, since): (&PlaceRow, i64),
        version: u32,
        now: Moment,
    ) -> Result<Option<Why>, store::Error> {
        if row.quarantined_version.is_some_and(|refused| refused != version) {
            return Ok(Some(Why::Version));
        }
        let id = row.secret_id;
        let stands = self.store.secret_health(id).await?;
        let is_good = |health| matches!(health, Health::Healthy | Health::Degraded);
        if stands.is_some_and(|stands| stands.checked_at > since && is_good(stands.health)) {
            return Ok(Some(Why::Good));
        }
        let place = self.vault.secret_place(id);
        let rest_ms = REST_MS << place.trials();
        if now.unix_ms.saturating_sub(since) < rest_ms {
            return Ok(None);
        }
        place.count_trial();
        Ok((!self.ask(id).await).then_some(Why::Trial))
    }

    /// Is the key good? False where no check can tell.
    async fn ask(&self, id: Uuid) -> bool {
        let Ok(Some(secret)) = self.vault.show(id).await else { return true };
        let can_tell = self.prober.can_tell(&secret);
        if can_tell {
            self.prober.ask_soon(id);
        }
        can_tell
    }

    async fn released(
        &self,
        (id, why): (Uuid, Why),
        provider: &str,
        now: Moment,
    ) -> Result<(), store::Error> {
        if self.store.release_secret(id, (now.unix_ms, HOUSE)).await? {
            let secret = json!({"id": id.to_string(), "provider": provider});
            let after = json!({"secret": secret, "pool": "out of quarantine", "why": why.as_str()});
            self.note(Kind::Change, json!({"after": after}));
        }
        Ok(())
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
