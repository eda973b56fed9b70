//! Client keys that somebody should look at: never used, idle, without an end, old, used from many
//! places, or over and still there.
//! Must never judge one that it cannot read.

use serde_json::json;

use super::A_DAY_MS;
use super::facts::Facts;
use super::finding::{About, Finding, FindingKind, Remedy, options};
use super::hygiene::{Limits, days_since, is_past};
use crate::client::Role;
use crate::clock::rfc3339;
use crate::store::{ClientKeyRow, ListedClientKey, Severity};

pub(super) fn findings(facts: &Facts<'_>, limits: &Limits) -> Vec<Finding> {
    let of_key = |listed: &ListedClientKey| {
        let end = end_of(&listed.key, facts.now_ms);
        match end {
            Some(end_ms) => {
                left_over(&listed.key, (end_ms, facts.now_ms), limits).into_iter().collect()
            }
            None => alive(facts, listed, limits),
        }
    };
    facts.keys.iter().filter(|listed| listed.fault.is_none()).flat_map(of_key).collect()
}

/// Since when it is no credential any more.
fn end_of(key: &ClientKeyRow, now_ms: i64) -> Option<i64> {
    match (key.active, key.expires_at) {
        (false, _) => Some(key.updated_at),
        (true, Some(end)) if end <= now_ms => Some(end),
        (true, Some(_) | None) => None,
    }
}

fn alive(facts: &Facts<'_>, listed: &ListedClientKey, limits: &Limits) -> Vec<Finding> {
    let (key, now_ms) = (&listed.key, facts.now_ms);
    let present = listed.previews.iter().find(|preview| preview.valid_until.is_none());
    let made_at = present.map_or(key.created_at, |preview| preview.created_at);
    [
        unused(key, now_ms, limits),
        no_expiry(key, (now_ms, limits)),
        old(key, (made_at, now_ms), limits),
        shared(facts, key, limits),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn finding(
    (kind, severity): (FindingKind, Severity),
    key: &ClientKeyRow,
    (since_ms, detail): (i64, String),
    remedy: Remedy,
) -> Finding {
    Finding {
        kind,
        severity,
        subject: About::client_key(key),
        since_ms: Some(since_ms),
        detail,
        remedy,
        cost: None,
        weight: 0,
        evidence: None,
    }
}

fn unused(key: &ClientKeyRow, now_ms: i64, limits: &Limits) -> Option<Finding> {
    let revoke = |what| Remedy::client_key(what, key.id, ("revoke ID", json!({"active": false})));
    match key.last_used_at {
        None if is_past(now_ms, key.created_at, limits.new_days) => {
            let days = days_since(now_ms, key.created_at);
            let detail = format!("made {days} days ago, and never used since");
            let kind = (FindingKind::NeverUsed, Severity::Warning);
            let remedy = revoke("Revoke it; whoever misses it can have it restored.");
            Some(finding(kind, key, (key.created_at, detail), remedy))
        }
        Some(last) if is_past(now_ms, last, limits.idle_days) => {
            let detail = format!("not used for {} days", days_since(now_ms, last));
            let kind = (FindingKind::Idle, Severity::Warning);
            let remedy = revoke("Revoke it; whoever misses it can have it restored.");
            Some(finding(kind, key, (last, detail), remedy))
        }
        None | Some(_) => None,
    }
}

fn no_expiry(key: &ClientKeyRow, (now_ms, limits): (i64, &Limits)) -> Option<Finding> {
    if key.expires_at.is_some() {
        return None;
    }
    // What rules the house is not to be had for ever.
    let severity = match key.role {
        Role::Admin | Role::Operator => Severity::Warning,
        Role::Auditor | Role::User | Role::Guest => Severity::Info,
    };
    let until = rfc3339(some_day(now_ms, limits.old_days));
    let body = json!({"expires_at": until});
    let command = format!("set ID --expires-at {until}");
    let what = "Give it an end; alerts tell of it thirty days before.";
    let remedy = Remedy::client_key(what, key.id, (&command, body));
    let detail = format!("a key of the role {} that never ends", key.role.as_str());
    Some(finding((FindingKind::NoExpiry, severity), key, (key.created_at, detail), remedy))
}

/// The midnight behind so many days.
pub(super) fn some_day(now_ms: i64, days: u64) -> i64 {
    let days = i64::try_from(days).unwrap_or(i64::MAX);
    let today = now_ms.div_euclid(A_DAY_MS);
    today.saturating_add(days.max(1)).saturating_add(1).saturating_mul(A_DAY_MS)
}

fn old(key: &ClientKeyRow, (made_at, now_ms): (i64, i64), limits: &Limits) -> Option<Finding> {
    if !is_past(now_ms, made_at, limits.old_days) {
        return None;
    }
    let detail = format!("the same key for {} days", days_since(now_ms, made_at));
    let what = "Rotate it; the present key lives on for a day.";
    let remedy = Remedy::client_key(what, key.id, ("rotate ID", json!({}))).by("POST", "/rotate");
    Some(finding((FindingKind::Old, Severity::Warning), key, (made_at, detail), remedy))
}

fn shared(facts: &Facts<'_>, key: &ClientKeyRow, limits: &Limits) -> Option<Finding> {
    let addresses = facts.addresses.get(&key.id)?;
    let count = u64::try_from(addresses.len()).unwrap_or(u64::MAX);
    if count <= limits.addresses {
        return None;
    }
    let detail = format!("used from {count} addresses, as if it were many people's");
    let what =
        "Give each caller a key of its own; or, if these are all one's, bind the key to them.";
    let command = format!("set ID{}", options("allow-ip", addresses));
    let remedy = Remedy::client_key(what, key.id, (&command, json!({"allowed_ips": addresses})));
    let kind = (FindingKind::Shared, Severity::Warning);
    let mut found = finding(kind, key, (facts.asked.from_ms, detail), remedy);
    found.since_ms = None;
    found.evidence = Some((json!({"addresses": addresses}), addresses.clone()));
    Some(found)
}

fn left_over(key: &ClientKeyRow, (end_ms, now_ms): (i64, i64), limits: &Limits) -> Option<Finding> {
    if !is_past(now_ms, end_ms, limits.idle_days) {
        return None;
    }
    let how = if key.active { "expired" } else { "revoked" };
    let detail = format!("{how} for {} days, and still there", days_since(now_ms, end_ms));
    let what = "Delete it; its trail stays.";
    let remedy = Remedy::client_key(what, key.id, ("delete ID", json!({}))).by("DELETE", "");
    let kind = (FindingKind::LeftOver, Severity::Info);
    Some(finding(kind, key, (end_ms, detail), remedy))
}
