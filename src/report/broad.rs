//! Client keys that may do more than they do: the routes that each has used against those that it
//! is allowed, and the narrower scopes that would do, ready to be put in force.
//! Must never propose scopes that would refuse what was seen.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::Facts;
use super::finding::{About, Finding, FindingKind, Remedy, options};
use super::hygiene::{Limits, days_since, is_past};
use crate::client::{Narrowed, Right, Role, Route, Scopes};
use crate::clock::rfc3339;
use crate::store::{ClientKeyRow, ClientRoute, Gone, Severity};

/// For people; programs get all of them.
const MOST_LINES: usize = 12;

pub(super) fn findings(facts: &Facts<'_>, limits: &Limits) -> Vec<Finding> {
    let sound = facts.keys.iter().filter(|listed| listed.fault.is_none());
    sound.filter_map(|listed| of_key(facts, &listed.key, limits)).collect()
}

fn of_key(facts: &Facts<'_>, key: &ClientKeyRow, limits: &Limits) -> Option<Finding> {
    let is_alive = key.active && key.expires_at.is_none_or(|end| end > facts.now_ms);
    if !is_alive || !key.role.may(Right::ProxyRead) {
        return None;
    }
    let watched_ms = key.created_at.max(facts.routes_since?);
    if !is_past(facts.now_ms, watched_ms, limits.watch_days) {
        return None;
    }
    let gone = facts.routes.get(&key.id).filter(|gone| !gone.is_empty())?;
    let held = held(key)?;
    let used: Vec<Route> = gone.iter().map(|one| one.route.clone()).collect();
    let narrowed = held.narrowed(&used)?;
    let body = json!({"scopes": narrowed.scopes});
    let command = format!("set ID{}", options("scope", &narrowed.scopes));
    let what = "Let it do what it does, and no more; look first whether that is all it needs.";
    Some(Finding {
        kind: FindingKind::OverBroad,
        severity: severity(key, &narrowed),
        subject: About::client_key(key),
        since_ms: Some(watched_ms.max(facts.asked.from_ms)),
        detail: detail(key, (&narrowed, gone), (watched_ms.max(facts.asked.from_ms), facts.now_ms)),
        remedy: Remedy::client_key(what, key.id, (&command, body)),
        cost: None,
        weight: 0,
        evidence: Some(evidence(key, &narrowed, gone)),
    })
}

/// What it may do now, as scopes.
fn held(key: &ClientKeyRow) -> Option<Scopes> {
    match (&key.scopes, key.role) {
        (Some(scopes), _) => Scopes::parse(scopes).ok(),
        (None, Role::Guest) => Scopes::parse(&["*:GET:/**"]).ok(),
        (None, _) => Scopes::parse(&["*:*:/**"]).ok(),
    }
}

/// Everything, any provider, or rules that nobody needs weigh more than a path that could be
/// longer.
fn severity(key: &ClientKeyRow, narrowed: &Narrowed) -> Severity {
    let any_provider = |scopes: &Vec<String>| scopes.iter().any(|scope| scope.starts_with("*:"));
    match key.scopes.as_ref().is_none_or(any_provider) || !narrowed.unused.is_empty() {
        true => Severity::Warning,
        false => Severity::Info,
    }
}

fn detail(
    key: &ClientKeyRow,
    (narrowed, gone): (&Narrowed, &[ClientRoute]),
    (since_ms, now_ms): (i64, i64),
) -> String {
    let held = match &key.scopes {
        None => format!("all that the role {} allows", key.role.as_str()),
        Some(scopes) => format!("{} scopes", scopes.len()),
    };
    let unused = match narrowed.unused.as_slice() {
        [] => String::new(),
        unused => format!("; never used: {}", unused.join(" ")),
    };
    let days = days_since(now_ms, since_ms);
    format!("holds {held}, and went {} ways in {days} days{unused}", ways(gone).len())
}

/// For people a GET and a HEAD are two.
fn ways(gone: &[ClientRoute]) -> BTreeMap<&Route, Gone> {
    let mut ways: BTreeMap<&Route, Gone> = BTreeMap::new();
    // What only may be said on a socket was no call.
    for one in gone.iter().filter(|one| one.gone.calls > 0) {
        let held = ways.entry(&one.route);
        held.and_modify(|held| held.merge(&one.gone)).or_insert(one.gone);
    }
    ways
}

fn evidence(key: &ClientKeyRow, narrowed: &Narrowed, gone: &[ClientRoute]) -> (Value, Vec<String>) {
    let ways = ways(gone);
    let used = ways.iter().map(|(route, gone)| {
        json!({
            "provider": route.provider, "method": route.method, "path": route.path,
            "calls": gone.calls, "first_seen": rfc3339(gone.first), "last_seen": rfc3339(gone.last),
        })
    });
    let used: Vec<Value> = used.collect();
    let line = |(route, gone): (&&Route, &Gone)| {
        format!("{} {}{}: {}", route.method, route.provider, route.path, gone.calls)
    };
    let mut lines: Vec<String> = ways.iter().take(MOST_LINES).map(line).collect();
    if ways.len() > MOST_LINES {
        lines.push(format!("and {} more", ways.len() - MOST_LINES));
    }
    let told = json!({
        "allowed": key.scopes, "used": used, "unused": narrowed.unused, "narrower": narrowed.scopes,
    });
    (told, lines)
}
