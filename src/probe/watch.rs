//! Keys that are looked after: asked about by a schedule with jitter, and when a provider has
//! refused a caller; warned of 30, 7 and 1 days before they end. Of several nodes one does it.
//! Must never ask all providers at the same moment, nor one again and again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::{Asked, Prober, Report, Settings};
use crate::clock::rfc3339;
use crate::crypto::random_bytes;
use crate::ledger::{ActorRef, Entry, Kind};
use crate::store::{Cause, HealthRow, Outcome};
use crate::vault::{SecretView, VaultError};

const A_DAY_MS: i64 = 86_400_000;
/// Days before the end, the earliest first.
const WARNINGS: [i64; 3] = [30, 7, 1];
/// How soon a clock that was set is noticed, and a refusal.
const PAUSE: Duration = Duration::from_millis(500);
/// Each look opens every row.
const LOOK_EVERY_MS: u64 = 60_000;
/// Refusals of callers raise a check this often at most, a secret each.
const BETWEEN_MS: i64 = 300_000;
/// As long as the key is good all the same, twice as long each time.
const LONGEST_MS: i64 = 6 * 3_600_000;
const HOUSE: &str = "house";

/// A secret with which callers were refused.
struct Refused {
    /// It is to be asked about.
    waits: bool,
    at_ms: Option<i64>,
    pause_ms: i64,
}

impl Default for Refused {
    fn default() -> Self {
        Self { waits: false, at_ms: None, pause_ms: BETWEEN_MS }
    }
}

impl Prober {
    /// For ever; spawned once.
    pub(crate) async fn watch(self: Arc<Self>, settings: Settings) {
        let mut looked_at_ms = i64::MIN;
        let mut refused = HashMap::new();
        let mut was_sealed = false;
        loop {
            tokio::time::sleep(PAUSE).await;
            let is_sealed = self.vault.is_sealed();
            if is_sealed && !std::mem::replace(&mut was_sealed, is_sealed) {
                self.caller.forget_connections();
            }
            was_sealed = is_sealed;
            if is_sealed {
                continue;
            }
            let now_ms = self.clock.unix_ms();
            self.after_refusals(now_ms, &mut refused).await;
            if now_ms.abs_diff(looked_at_ms) >= LOOK_EVERY_MS {
                looked_at_ms = now_ms;
                if let Err(fault) = self.look(now_ms, &settings).await {
                    tracing::warn!(%fault, "the keys of providers could not be looked after");
                }
            }
        }
    }

    /// A provider has refused a caller: is it the key? One that is asked about too soon waits.
    async fn after_refusals(&self, now_ms: i64, refused: &mut HashMap<Uuid, Refused>) {
        for id in self.vault.refused_secrets() {
            refused.entry(id).or_default().waits = true;
        }
        let urgent = self.urgent.lock().map(|mut urgent| std::mem::take(&mut *urgent));
        for id in urgent.unwrap_or_default() {
            let one = refused.entry(id).or_default();
            (one.waits, one.at_ms) = (true, None);
        }
        let is_due = |refused: &Refused| {
            refused.waits && refused.at_ms.is_none_or(|at| (now_ms - at).abs() >= refused.pause_ms)
        };
        let due: Vec<Uuid> =
            refused.iter().filter(|(_, one)| is_due(one)).map(|(id, _)| *id).collect();
        for id in due {
            let Ok(found) = self.vault.show(id).await else { continue };
            let Some(secret) = found.filter(|secret| self.has_probe(secret)) else {
                refused.remove(&id);
                continue;
            };
            let is_good = self.ask(&secret, Cause::Refusal).await;
            let one = refused.entry(id).or_default();
            // What callers are refused for is not the key, then: a plan, or a route of another one.
            one.pause_ms = if is_good { (one.pause_ms * 2).min(LONGEST_MS) } else { BETWEEN_MS };
            (one.waits, one.at_ms) = (false, Some(now_ms));
        }
    }

    async fn look(&self, now_ms: i64, settings: &Settings) -> Result<(), VaultError> {
        let secrets = self.vault.list().await?;
        let stands = self.store.secret_healths().await?;
        for secret in secrets.iter().filter(|secret| secret.active && secret.fault.is_none()) {
            let known = stands.iter().find(|stands| stands.secret_id == secret.id);
            self.warn(secret, known, now_ms).await?;
            let Some(every) = settings.every.filter(|_| self.has_probe(secret)) else { continue };
            let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
            let next_ms = now_ms.saturating_add(jittered(every_ms));
            if self.store.claim_check(secret.id, (now_ms, next_ms)).await? {
                let _said_yes = self.ask(secret, Cause::Schedule).await;
            }
        }
        Ok(())
    }

    pub(crate) fn has_probe(&self, secret: &SecretView) -> bool {
        self.catalogue.get(&secret.provider).is_some_and(|provider| provider.probe.is_some())
    }

    /// Could a check tell a good key of this provider from a bad one?
    pub(crate) fn can_tell(&self, secret: &SecretView) -> bool {
        let provider = self.catalogue.get(&secret.provider);
        let probe = provider.as_ref().and_then(|provider| provider.probe.as_ref());
        probe.is_some_and(|probe| !probe.accepts_any)
    }

    /// With the next look, whatever was asked a moment ago.
    pub(crate) fn ask_soon(&self, id: Uuid) {
        self.urgent.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// True if the provider said yes.
    async fn ask(&self, secret: &SecretView, cause: Cause) -> bool {
        let asked = Asked { cause, actor: HOUSE };
        match self.stored((secret.id, None), asked, &mut |_| {}).await {
            Ok(Some((_, report))) => {
                self.write_down(secret, cause, &report);
                report.outcome() == Outcome::Good
            }
            Ok(None) => false,
            Err(fault) => {
                tracing::warn!(%fault, secret = %secret.id, "a key was not checked");
                false
            }
        }
    }

    /// The house asked by itself.
    fn write_down(&self, secret: &SecretView, cause: Cause, report: &Report) {
        self.append(
            Kind::Change,
            json!({
                "secret": subject(secret), "cause": cause.as_str(), "after": report.summary(),
            }),
        );
    }

    fn append(&self, kind: Kind, detail: serde_json::Value) {
        let entry = Entry {
            kind,
            actor: ActorRef::house("probe"),
            address: None,
            method: "",
            endpoint: "",
            status: 0,
            reason: None,
            request_id: "",
            detail: Some(detail),
        };
        if self.ledger.append(&entry).is_err() {
            tracing::error!("the journal has no room for what a check found");
        }
    }

    /// The sooner of the two ends counts: what was entered, and what the provider says.
    async fn warn(
        &self,
        secret: &SecretView,
        known: Option<&HealthRow>,
        now_ms: i64,
    ) -> Result<(), VaultError> {
        let told = known.and_then(|known| known.told_end);
        let Some(end_ms) = secret.expires_at_ms.into_iter().chain(told).min() else {
            return Ok(());
        };
        let Some(days) = due(end_ms.saturating_sub(now_ms)) else { return Ok(()) };
        if !self.store.claim_secret_warning(secret.id, (end_ms, days), now_ms).await? {
            return Ok(());
        }
        let (subject, expires_at) = (subject(secret), rfc3339(end_ms));
        if days == 0 {
            let detail = json!({
                "finding": "secret_expired", "secret": subject, "expires_at": expires_at,
            });
            self.append(Kind::Security, detail);
            return Ok(());
        }
        const ALERT: &str = "secret_expiring";
        self.metrics.alert_raised(ALERT);
        tracing::warn!(secret = %secret.id, expires_at, days, "a provider's key is about to end");
        let detail = json!({
            "alert": ALERT, "secret": subject, "expires_at": expires_at, "days": days,
        });
        self.append(Kind::Security, detail);
        Ok(())
    }
}

fn subject(secret: &SecretView) -> serde_json::Value {
    json!({
        "id": secret.id.to_string(), "provider": secret.provider, "name": secret.name,
        "owner": secret.owner,
    })
}

/// Which warning is due so long before the end: the closest one; 0 at the end.
fn due(left_ms: i64) -> Option<i64> {
    if left_ms <= 0 {
        return Some(0);
    }
    WARNINGS.into_iter().filter(|days| left_ms <= days * A_DAY_MS).min()
}

/// Up to a fifth more or less, so that keys that were entered together are not asked about so.
fn jittered(every_ms: i64) -> i64 {
    // Without randomness there is no jitter, and the house has other troubles.
    let drawn = random_bytes::<2>().map(u16::from_be_bytes).unwrap_or(u16::MAX / 2);
    let fifth = every_ms / 5;
    let offset = i128::from(fifth) * 2 * i128::from(drawn) / i128::from(u16::MAX);
    every_ms.saturating_sub(fifth).saturating_add(i64::try_from(offset).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_warning_is_due() {
        let minute = 60_000;
        for (left_ms, days) in [
            (31 * A_DAY_MS, None),
            (30 * A_DAY_MS, Some(30)),
            (7 * A_DAY_MS + minute, Some(30)),
            (7 * A_DAY_MS, Some(7)),
            (A_DAY_MS, Some(1)),
            (1, Some(1)),
            (0, Some(0)),
        ] {
            assert_eq!(due(left_ms), days, "{left_ms}");
        }
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_differs() {
        let drawn: Vec<i64> = (0..50).map(|_| jittered(1_000_000)).collect();
        assert!(drawn.iter().all(|ms| (800_000..=1_200_000).contains(ms)), "{drawn:?}");
        assert!(drawn.iter().any(|ms| *ms != drawn[0]), "{drawn:?}");
    }
}
