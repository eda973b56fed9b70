//! What the tables say of keys and of what is fetched with them: a provider that refuses one, an
//! end that is near, a rotation that went back, a symbol without its history.
//! Must never open anything: names and times are enough.

use super::Alerts;
use super::rule::{Found, seen, subject};
use crate::clock::rfc3339;
use crate::store::{
    self, AlertKind, BackfillStatus, Health, HealthRow, PlaceRow, RenewalRow, RotationState,
    SecretRow, Seen, Severity, StoredSecret, VersionRow, VersionState,
};

const A_DAY_MS: i64 = 86_400_000;
/// Days before the end, with the step that each is.
const STEPS: [(i64, i64, Severity); 3] =
    [(1, 3, Severity::Critical), (7, 2, Severity::Warning), (30, 1, Severity::Info)];

impl Alerts {
    /// Of providers' keys.
    pub(super) async fn secrets(&self, now_ms: i64) -> Result<Found, store::Error> {
        let store = &self.parts.store;
        let (healths, rotations) = (store.secret_healths().await?, store.rotations().await?);
        let places = store.secret_places().await?;
        let renewals = store.renewals().await?.unwrap_or_default();
        let renewals: Vec<RenewalRow> = renewals.into_iter().flatten().collect();
        let mut found = Vec::new();
        for stored in store.secrets().await?.rows {
            let renewal = renewals.iter().find(|row| row.secret_id == stored.secret.id);
            found.extend(renewal.and_then(|row| not_renewed(&stored, row, now_ms)));
            let age = self.age(&stored, now_ms);
            let in_use = |row: &&VersionRow| row.state == VersionState::Active;
            let serving = stored.versions.iter().rfind(in_use).map_or(0, |row| row.version);
            let secret = stored.secret;
            let health = healths.iter().find(|health| health.secret_id == secret.id);
            let told_end = health.and_then(|health| health.told_end);
            if secret.active {
                let end = secret.expires_at.into_iter().chain(told_end).min();
                let ends = end.and_then(|end| expiring(&secret, end, now_ms));
                found.extend(worse(ends, age));
            }
            let place = places.iter().find(|place| place.secret_id == secret.id);
            if secret.active {
                found.extend(refused(&secret, (health, place), now_ms));
            }
            let rotation = rotations.iter().find(|rotation| rotation.secret_id == secret.id);
            if let Some(rotation) = rotation
                && rotation.state == RotationState::RolledBack
                && rotation.concerns(serving)
            {
                let what = (AlertKind::RotationRolledBack, Severity::Warning);
                let why = rotation.why.as_deref().unwrap_or("by hand");
                let detail = format!(
                    "the rotation to version {} went back to version {}: {why}",
                    rotation.to_version, rotation.from_version
                );
                let level = i64::from(rotation.to_version);
                found.push(Seen { level, ..seen(what, of_secret(&secret), &detail, now_ms) });
            }
        }
        Ok(Found {
            kinds: &[
                AlertKind::SecretRefused,
                AlertKind::SecretExpiring,
                AlertKind::RotationRolledBack,
                AlertKind::RotationFailed,
            ],
            seen: found,
            over: "it is so no more",
        })
    }

    /// A key that is older than the settings want it, or about to be. One that is renewed by itself
    /// is told of when it was not.
    fn age(&self, stored: &StoredSecret, now_ms: i64) -> Option<Seen> {
        let secret = &stored.secret;
        let policy = self.parts.policies.of(&secret.provider, &secret.name)?;
        let in_use = |row: &&VersionRow| row.state == VersionState::Active;
        let made_at = stored.versions.iter().rfind(in_use)?.created_at;
        let end_ms = policy.too_old_at(made_at)?;
        let left_ms = end_ms.saturating_sub(now_ms);
        let grace_ms = if policy.is_automatic() { A_DAY_MS } else { 0 };
        // Where keys live for days, a month ahead would be always.
        let is_near = left_ms <= end_ms.saturating_sub(made_at) / 3;
        let is_due = if policy.is_automatic() { left_ms <= -grace_ms } else { is_near };
        let (_, level, severity) = step(left_ms).filter(|_| is_due)?;
        let days = policy.max_age_days.unwrap_or(0);
        let age = now_ms.saturating_sub(made_at) / A_DAY_MS;
        let detail = format!(
            "the provider's key is {age} days old, and the settings let it become {days}; rotate it"
        );
        let what = (AlertKind::SecretExpiring, severity);
        Some(Seen { level, ..seen(what, of_secret(secret), &detail, now_ms) })
    }

    /// Of client keys; one that has ended is about to end no more.
    pub(super) async fn clients(&self, now_ms: i64) -> Result<Found, store::Error> {
        let until_ms = now_ms.saturating_add(30 * A_DAY_MS);
        let ending = self.parts.store.ending_client_keys(until_ms).await?;
        let alive = ending.into_iter().filter(|key| key.expires_at > now_ms);
        let warned = alive.filter_map(|key| {
            let (_, level, severity) = step(key.expires_at.saturating_sub(now_ms))?;
            let about = subject("client", &key.id.to_string(), &key.name);
            let detail = format!("the client key ends at {}", rfc3339(key.expires_at));
            let what = (AlertKind::ClientExpiring, severity);
            Some(Seen { level, ..seen(what, about, &detail, now_ms) })
        });
        Ok(Found {
            kinds: &[AlertKind::ClientExpiring],
            seen: warned.collect(),
            over: "it was prolonged, revoked or deleted, or it has ended",
        })
    }

    pub(super) async fn symbols(&self, now_ms: i64) -> Result<Found, store::Error> {
        let symbols = self.parts.store.symbols().await?;
        let failed = symbols
            .into_iter()
            .filter(|row| row.active && row.backfill_status == BackfillStatus::Failed);
        let told = failed.map(|row| {
            let why = row.backfill_error.as_deref().unwrap_or("see the run");
            let about = subject("symbol", &row.symbol, &row.symbol);
            let what = (AlertKind::BackfillFailed, Severity::Warning);
            seen(what, about, &format!("its history was not fetched: {why}"), now_ms)
        });
        Ok(Found {
            kinds: &[AlertKind::BackfillFailed],
            seen: told.collect(),
            over: "it was fetched, is being fetched, or is no longer tracked",
        })
    }
}

/// By a check, or, of a pool, by calls that another of its keys could serve.
fn refused(
    secret: &SecretRow,
    (health, place): (Option<&HealthRow>, Option<&PlaceRow>),
    now_ms: i64,
) -> Option<Seen> {
    let by_check = health.filter(|health| health.health == Health::Refused);
    let by_check = by_check.map(|health| format!("the provider refuses the key: {}", health.why));
    let quarantined = place.and_then(|place| place.quarantined_at);
    let by_calls = quarantined.map(|at| {
        let at = rfc3339(at);
        format!(
            "quarantined since {at}: the provider refuses this key again and again where it takes \
             another one of the pool. Check it, and rotate it"
        )
    });
    let detail = [by_check, by_calls].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let what = (AlertKind::SecretRefused, Severity::Critical);
    (!detail.is_empty()).then(|| seen(what, of_secret(secret), &detail, now_ms))
}

fn not_renewed(stored: &StoredSecret, row: &RenewalRow, now_ms: i64) -> Option<Seen> {
    let fault = row.fault.as_deref()?;
    // Somebody has entered a key meanwhile.
    let mut versions = stored.versions.iter();
    let is_newer = |version: &VersionRow| {
        version.state == VersionState::Active && Some(version.created_at) > row.started_at
    };
    if !row.is_open() && versions.any(is_newer) {
        return None;
    }
    let (kind, tries) = (&row.kind, row.tries);
    let detail = format!("the key is not renewed by {kind}, after {tries} tries: {fault}");
    let what = (AlertKind::RotationFailed, Severity::Warning);
    Some(seen(what, of_secret(&stored.secret), &detail, now_ms))
}

/// Of two ends one is told: the nearer.
fn worse(one: Option<Seen>, other: Option<Seen>) -> Option<Seen> {
    [one, other].into_iter().flatten().max_by_key(|seen| seen.level)
}

fn of_secret(secret: &SecretRow) -> store::Subject {
    let name = format!("{}/{}", secret.provider, secret.name);
    subject("secret", &secret.id.to_string(), &name)
}

/// What has ended is as near to its end as can be.
fn expiring(secret: &SecretRow, end_ms: i64, now_ms: i64) -> Option<Seen> {
    let (_, level, severity) = step(end_ms.saturating_sub(now_ms))?;
    let end = rfc3339(end_ms);
    let detail = match end_ms > now_ms {
        true => format!("the provider's key ends at {end}; rotate it before"),
        false => format!("the provider's key ended at {end}; rotate it"),
    };
    let what = (AlertKind::SecretExpiring, severity);
    Some(Seen { level, ..seen(what, of_secret(secret), &detail, now_ms) })
}

fn step(left_ms: i64) -> Option<(i64, i64, Severity)> {
    STEPS.into_iter().find(|(days, ..)| left_ms <= days * A_DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_seven_and_one_day_before_the_end_are_steps() {
        for (left_ms, level) in [
            (30 * A_DAY_MS + 1, None),
            (30 * A_DAY_MS, Some(1)),
            (7 * A_DAY_MS + 1, Some(1)),
            (7 * A_DAY_MS, Some(2)),
            (A_DAY_MS + 1, Some(2)),
            (A_DAY_MS, Some(3)),
            (-1, Some(3)),
        ] {
            assert_eq!(step(left_ms).map(|(_, level, _)| level), level, "{left_ms}");
        }
    }
    fn secret() -> SecretRow {
        SecretRow {
            id: uuid::Uuid::nil(),
            provider: String::from("acme"),
            name: String::from("default"),
            category: String::from("secrets"),
            owner: None,
            labels: Vec::new(),
            expires_at: None,
            active: true,
            kek_id: uuid::Uuid::nil(),
            data_key: Vec::new(),
            fingerprint: String::new(),
            created_at: 0,
            created_by: String::new(),
            updated_at: 0,
        }
    }

    fn place(quarantined_at: Option<i64>) -> PlaceRow {
        PlaceRow {
            secret_id: uuid::Uuid::nil(),
            weight: 1,
            drained_at: None,
            quarantined_at,
            quarantined_version: quarantined_at.map(|_| 1),
            updated_at: 0,
            actor: String::new(),
            learnt: store::LearntRow::default(),
        }
    }

    fn health(health: Health) -> HealthRow {
        HealthRow {
            secret_id: uuid::Uuid::nil(),
            health,
            why: String::from("it answered 401"),
            since: 0,
            checked_at: 0,
            account: None,
            permissions: None,
            limits: None,
            told_end: None,
        }
    }

    #[test]
    fn a_key_is_refused_by_a_check_or_by_calls_that_another_one_of_the_pool_could_serve() {
        let said = |stands: Option<Health>, quarantined: Option<i64>| {
            let (health, place) = (stands.map(health), place(quarantined));
            let seen = refused(&secret(), (health.as_ref(), Some(&place)), 9)?;
            assert_eq!((seen.kind, seen.severity), (AlertKind::SecretRefused, Severity::Critical));
            assert_eq!(seen.subject.name, "acme/default");
            Some(seen.detail)
        };
        assert_eq!(said(None, None), None);
        assert_eq!(said(Some(Health::Healthy), None), None);
        let by_check = "the provider refuses the key: it answered 401";
        assert_eq!(said(Some(Health::Refused), None).unwrap(), by_check);
        let by_calls = said(Some(Health::Healthy), Some(1_768_485_600_000)).unwrap();
        assert!(by_calls.starts_with("quarantined since 2026-01-15T14:00:00Z"), "{by_calls}");
        let both = said(Some(Health::Refused), Some(1)).unwrap();
        assert!(both.starts_with(by_check) && both.contains("; quarantined since"), "{both}");
    }
}
