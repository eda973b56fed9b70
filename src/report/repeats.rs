//! Calls that client keys made for nothing: they asked for what they had, while it was still fresh.
//! Told by way, with what it costs by call and as a share of what the plan costs.
//! Must never count a call whose first answer did not say that it would hold, or was over.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::facts::Facts;
use super::finding::{About, Finding, FindingKind, Remedy, shell};
use super::hygiene::Limits;
use super::secrets::plan_cost;
use crate::store::{ClientKeyRow, ListedClientKey, Repeated, RepeatedCalls, Severity};

/// Where calls of a client key went: provider, and path as in a scope.
type Way<'a> = (&'a str, &'a str);

/// What repeats of a way come to, over all days and secrets.
struct Sum {
    all: Repeated,
    /// The part of what plans cost, in millionths of a dollar.
    plans: u64,
    first_day_ms: i64,
}

pub(super) fn findings(facts: &Facts<'_>, limits: &Limits) -> Vec<Finding> {
    let of_key = |listed: &ListedClientKey| {
        let ways = ways(facts, listed.key.id).into_iter();
        let many = ways.filter(|(_, sum)| sum.all.calls >= limits.repeats.max(1));
        many.map(|(way, sum)| finding(facts, &listed.key, way, &sum)).collect::<Vec<_>>()
    };
    facts.keys.iter().filter(|listed| listed.fault.is_none()).flat_map(of_key).collect()
}

fn ways<'a>(facts: &'a Facts<'_>, client_id: Uuid) -> BTreeMap<Way<'a>, Sum> {
    let wanted = facts.asked.provider.as_ref();
    let is_wanted = |(calls, _): &&(RepeatedCalls, Repeated)| {
        wanted.is_none_or(|named| *named == calls.provider)
    };
    let of_key = facts.repeated.get(&client_id).into_iter().flatten();
    let mut by_secret: BTreeMap<(Way<'_>, Option<Uuid>), (Repeated, i64)> = BTreeMap::new();
    for (calls, repeated) in of_key.filter(is_wanted) {
        let way = (calls.provider.as_str(), calls.path.as_str());
        let (held, first) = by_secret
            .entry((way, calls.secret_id))
            .or_insert((Repeated { calls: 0, bytes: 0, cost: 0, ..*repeated }, calls.day_ms));
        held.merge(repeated);
        *first = (*first).min(calls.day_ms);
    }
    let mut ways: BTreeMap<Way<'_>, Sum> = BTreeMap::new();
    for ((way, secret), (repeated, first_day_ms)) in by_secret {
        let plans = secret.map_or(0, |secret| share(facts, secret, repeated.calls));
        ways.entry(way)
            .and_modify(|sum| {
                sum.all.merge(&repeated);
                sum.plans = sum.plans.saturating_add(plans);
                sum.first_day_ms = sum.first_day_ms.min(first_day_ms);
            })
            .or_insert(Sum { all: repeated, plans, first_day_ms });
    }
    ways
}

/// Of what the secret's plan costs in the period: as much as these calls are of all of its calls.
fn share(facts: &Facts<'_>, secret_id: Uuid, calls: u64) -> u64 {
    let secret = facts.secrets.iter().find(|secret| secret.id == secret_id);
    let plan = secret.and_then(|secret| plan_cost(facts, secret));
    let all = facts.day_uses.get(&secret_id).copied().unwrap_or_default().max(calls);
    let part = |plan: u64| u128::from(plan) * u128::from(calls) / u128::from(all.max(1));
    plan.map_or(0, |plan| u64::try_from(part(plan)).unwrap_or(u64::MAX))
}

fn finding(facts: &Facts<'_>, key: &ClientKeyRow, way: Way<'_>, sum: &Sum) -> Finding {
    let (provider, path) = way;
    let Repeated { calls, bytes, cost, fresh_seconds } = sum.all;
    let of_calls = facts.client_calls.get(&key.id).copied().unwrap_or_default().max(calls);
    let spent = cost.saturating_add(sum.plans);
    let detail = format!(
        "asked {calls} times for what it had been told by GET {path} of {provider} and was still \
         fresh, and fetched {bytes} bytes anew"
    );
    let evidence = json!({
        "method": "GET", "path": path, "calls": calls, "of_calls": of_calls, "bytes": bytes,
        "fresh_seconds": fresh_seconds, "cost_of_calls_micros": cost,
        "cost_of_plan_micros": sum.plans,
    });
    let line = format!(
        "GET {path}: {calls} of the client key's {of_calls} calls, {bytes} bytes, fresh for \
         {fresh_seconds} s"
    );
    let what = format!(
        "Let the caller keep the answers of GET {path} for {fresh_seconds} seconds, by path, query \
         and Accept, and not ask again meanwhile; the command shows its calls."
    );
    let (id, provider_word) = (key.id, shell(provider));
    let command =
        format!("sealgate audit query --actor {id} --provider {provider_word} --status 200");
    Finding {
        kind: FindingKind::RepeatedCalls,
        severity: if spent > 0 { Severity::Warning } else { Severity::Info },
        subject: About { provider: Some(provider.to_owned()), ..About::client_key(key) },
        since_ms: Some(sum.first_day_ms),
        detail,
        remedy: Remedy { what: what.into(), command, call: None },
        cost: (spent > 0).then_some(spent),
        weight: calls,
        evidence: Some((evidence, vec![line])),
    }
}
