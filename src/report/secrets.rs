//! Providers' keys that somebody should look at: paid for and not used, never used, idle, without
//! an end, old, held twice, or over and still there. Told from metadata and sums of usage.
//! Must never open one: which of them are the same is the vault's to say.

use serde_json::json;

use super::facts::Facts;
use super::finding::{About, Finding, FindingKind, Remedy, listed};
use super::hygiene::{Limits, days_since, is_past};
use super::keys::some_day;
use crate::clock::rfc3339;
use crate::store::Severity;
use crate::vault::SecretView;

/// What a provider takes for a key in a month, in dollars, as operators wrote it down.
const MONTHLY_COST: &str = "monthly_cost";
/// A twelfth of a year.
const A_MONTH_MS: u64 = 2_629_800_000;
const ACTIVE: &str = "active";

pub(super) fn findings(facts: &Facts<'_>, limits: &Limits) -> Vec<Finding> {
    let of_secret = |secret: &SecretView| {
        let last = facts.last_uses.get(&secret.id).copied();
        let about_use = match secret.active {
            true => unused(secret, last, (facts.now_ms, limits)),
            false => disabled(secret, (facts.now_ms, limits)),
        };
        let about_value = secret
            .active
            .then(|| [no_expiry(facts, secret, limits), old(secret, (facts.now_ms, limits))]);
        let mut found: Vec<Finding> =
            about_value.into_iter().flatten().chain([about_use]).flatten().collect();
        found.extend(shared(facts, secret));
        found.extend(unused_paid(facts, secret, limits));
        found
    };
    facts.wanted_secrets().flat_map(of_secret).collect()
}

fn finding(
    (kind, severity): (FindingKind, Severity),
    secret: &SecretView,
    (since_ms, detail): (i64, String),
    remedy: Remedy,
) -> Finding {
    Finding {
        kind,
        severity,
        subject: About::secret(secret),
        since_ms: Some(since_ms),
        detail,
        remedy,
        cost: None,
        weight: 0,
        evidence: None,
    }
}

fn unused(secret: &SecretView, last: Option<i64>, at: (i64, &Limits)) -> Option<Finding> {
    let (now_ms, limits) = at;
    let disable = || {
        let what = "Stop using it; if nobody misses it, destroy it and give the plan up.";
        Remedy::secret(what, secret.id, ("disable ID", json!({"active": false})))
    };
    match last {
        None if is_past(now_ms, secret.created_at_ms, limits.new_days) => {
            let days = days_since(now_ms, secret.created_at_ms);
            let detail = format!("stored {days} days ago, and no call was ever made with it");
            let kind = (FindingKind::NeverUsed, Severity::Warning);
            Some(finding(kind, secret, (secret.created_at_ms, detail), disable()))
        }
        Some(last) if is_past(now_ms, last, limits.idle_days) => {
            let detail = format!("no call for {} days", days_since(now_ms, last));
            Some(finding((FindingKind::Idle, Severity::Warning), secret, (last, detail), disable()))
        }
        None | Some(_) => None,
    }
}

fn disabled(secret: &SecretView, (now_ms, limits): (i64, &Limits)) -> Option<Finding> {
    let since = secret.updated_at_ms;
    if !is_past(now_ms, since, limits.idle_days) {
        return None;
    }
    let days = days_since(now_ms, since);
    let detail = format!("disabled for {days} days, and its value is still held");
    let kind = (FindingKind::LeftOver, Severity::Info);
    Some(finding(kind, secret, (since, detail), destroy("Destroy it.", secret)))
}

fn destroy(what: &'static str, secret: &SecretView) -> Remedy {
    Remedy::secret(what, secret.id, ("destroy ID", json!({}))).by("DELETE", "")
}

/// What has no end, or is behind it.
fn no_expiry(facts: &Facts<'_>, secret: &SecretView, limits: &Limits) -> Option<Finding> {
    let stands = facts.healths.iter().find(|health| health.secret_id == secret.id);
    let told = stands.and_then(|stands| stands.told_end);
    let Some(end) = secret.expires_at_ms.into_iter().chain(told).min() else {
        let until = rfc3339(some_day(facts.now_ms, limits.old_days));
        let command = format!("set ID --expires-at {until}");
        let what = "Write down when it ends or is to be replaced; alerts tell of it before.";
        let remedy = Remedy::secret(what, secret.id, (&command, json!({"expires_at": until})));
        let detail =
            String::from("nobody wrote down when this key ends, and its provider says nothing");
        let kind = (FindingKind::NoExpiry, Severity::Info);
        return Some(finding(kind, secret, (secret.created_at_ms, detail), remedy));
    };
    (end <= facts.now_ms).then(|| {
        let detail = format!("ended at {}, and calls are still made with it", rfc3339(end));
        let kind = (FindingKind::Expired, Severity::Warning);
        finding(kind, secret, (end, detail), rotate(secret))
    })
}

fn rotate(secret: &SecretView) -> Remedy {
    let what = "Have the provider make a new key, and move it in; the command asks for it.";
    Remedy::secret(what, secret.id, ("rotate ID", json!({}))).by_hand()
}

fn old(secret: &SecretView, (now_ms, limits): (i64, &Limits)) -> Option<Finding> {
    let in_use = secret.versions.iter().filter(|version| version.state == ACTIVE);
    let version = in_use.max_by_key(|version| version.version)?;
    if !is_past(now_ms, version.created_at_ms, limits.old_days) {
        return None;
    }
    let days = days_since(now_ms, version.created_at_ms);
    let detail = format!("version {} is in service for {days} days", version.version);
    let kind = (FindingKind::Old, Severity::Warning);
    Some(finding(kind, secret, (version.created_at_ms, detail), rotate(secret)))
}

fn shared(facts: &Facts<'_>, secret: &SecretView) -> Option<Finding> {
    let with = facts.twins.iter().filter(|group| group.contains(&secret.id)).flatten();
    let is_other =
        |other: &&SecretView| other.id != secret.id && with.clone().any(|id| *id == other.id);
    let others: Vec<&SecretView> = facts.secrets.iter().filter(is_other).collect();
    let (told, names) = listed(&others);
    if others.is_empty() {
        return None;
    }
    let detail = format!("holds the same value as {}", names.join(", "));
    let since = others.iter().map(|other| other.created_at_ms).min().unwrap_or_default();
    let since = since.max(secret.created_at_ms);
    let what = "Have the provider make one key for each; where one leaks, the other goes on.";
    let remedy = Remedy { what: what.into(), ..rotate(secret) };
    let kind = (FindingKind::Shared, Severity::Warning);
    let found = finding(kind, secret, (since, detail), remedy);
    Some(Finding { evidence: Some((told, names)), ..found })
}

fn unused_paid(facts: &Facts<'_>, secret: &SecretView, limits: &Limits) -> Option<Finding> {
    let cost = plan_cost(facts, secret)?;
    if !is_past(facts.now_ms, secret.created_at_ms, limits.new_days) {
        return None;
    }
    if facts.uses.get(&secret.id).is_some_and(|calls| *calls > 0) {
        return None;
    }
    let (since, lasted) = paid_for(facts, secret)?;
    let days = lasted / 86_400_000;
    let detail = format!("paid for, and no call was made with it in {days} days");
    let what = "Give the plan up at the provider, then destroy the key.";
    let kind = (FindingKind::UnusedPaid, Severity::Warning);
    let found = finding(kind, secret, (since, detail), destroy(what, secret));
    Some(Finding { cost: Some(cost), ..found })
}

/// What its plan cost in the period, or since it was stored, in millionths of a dollar; None where
/// nobody wrote a price down.
pub(super) fn plan_cost(facts: &Facts<'_>, secret: &SecretView) -> Option<u64> {
    let label = secret.labels.iter().find(|(name, _)| name == MONTHLY_COST);
    let monthly = millionths(&label?.1).filter(|monthly| *monthly > 0)?;
    let (_, lasted) = paid_for(facts, secret)?;
    let cost = u128::from(monthly) * u128::from(lasted) / u128::from(A_MONTH_MS);
    Some(u64::try_from(cost).unwrap_or(u64::MAX))
}

/// Since when, and for how many milliseconds; None where that is no time.
fn paid_for(facts: &Facts<'_>, secret: &SecretView) -> Option<(i64, u64)> {
    let since = facts.asked.from_ms.max(secret.created_at_ms);
    let lasted = u64::try_from(facts.asked.to_ms.min(facts.now_ms).saturating_sub(since)).ok()?;
    (lasted > 0).then_some((since, lasted))
}

/// `199`, `199.50`, `$199`, `199 USD`; None where it is no amount.
fn millionths(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix('$').or_else(|| text.strip_prefix("USD")).unwrap_or(text);
    let text = text.strip_suffix("USD").or_else(|| text.strip_suffix('$')).unwrap_or(text).trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 9
        || part.len() > 6
        || !are_digits(whole)
        || !are_digits(part)
    {
        return None;
    }
    format!("{whole}{part:0<6}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_as_people_write_it() {
        for (text, wanted) in [
            ("199", Some(199_000_000)),
            (" $199.50 ", Some(199_500_000)),
            ("0.000001 USD", Some(1)),
            ("USD 29", Some(29_000_000)),
            ("free", None),
            ("", None),
            ("-1", None),
            ("1,000", None),
            ("1.0000001", None),
        ] {
            assert_eq!(millionths(text), wanted, "{text}");
        }
    }
}
