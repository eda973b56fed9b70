//! What calls add up to, as the tables say some seconds later: a quota that is nearly used, an hour
//! with far more calls than that hour has on other days, an address that a client key never came
//! from. Must never count a call itself.

use std::collections::HashMap;

use uuid::Uuid;

use super::Alerts;
use super::rule::{Found, is_held, seen, subject};
use crate::client::Tier;
use crate::clock::rfc3339;
use crate::limiter::Settings as Tiers;
use crate::quota::Period;
use crate::store::{self, AlertKind, AlertRow, Seen, Severity};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const A_DAY_MS: i64 = 24 * HOUR_MS;
/// Days with which an hour is compared.
const DAYS: i64 = 7;
/// So many times the median is unusual, and so many calls are never. What was told is over at less
/// than that, so that calls which go up and down about it are told once.
const TIMES: u64 = 5;
const USUAL: u64 = 100;
const TIMES_HELD: u64 = 4;
const USUAL_HELD: u64 = 80;
/// Percent of a quota.
const NEAR: u64 = 80;
const NEAR_HELD: u64 = 70;
/// How long an address is new.
const NEW_FOR_MS: i64 = A_DAY_MS;

impl Alerts {
    pub(super) async fn quotas(
        &self,
        standing: &[AlertRow],
        now_ms: i64,
    ) -> Result<Found, store::Error> {
        let (store, tiers) = (&self.parts.store, &self.parts.tiers);
        let held = |id: &str| is_held(standing, AlertKind::QuotaNear, id);
        let mut found = Vec::new();
        if tiers.enabled {
            let since_ms = now_ms.saturating_sub(tiers.window_ms());
            for used in store.window_uses(since_ms).await? {
                let Some(quota) = used.limit.or_else(|| of_tier(tiers, used.tier)) else {
                    continue;
                };
                let window = format!("{} seconds", tiers.window_seconds);
                let id = used.client_id.to_string();
                let calls = (used.calls, quota, held(&id));
                found.extend(near((&id, &used.name), calls, &window, now_ms));
            }
            for used in store.month_uses().await? {
                let month = Period::of(used.client_id, now_ms, &tiers.time_zone);
                if used.start != month.start_ms {
                    continue;
                }
                let id = used.client_id.to_string();
                let calls = (used.calls, used.quota, held(&id));
                let month = near((&id, &used.name), calls, "month", now_ms);
                month.into_iter().for_each(|month| worse_of(&mut found, month));
            }
        }
        Ok(Found {
            kinds: &[AlertKind::QuotaNear],
            seen: found,
            over: "less than seventy percent of the quota are used",
        })
    }

    pub(super) async fn volumes(
        &self,
        standing: &[AlertRow],
        now_ms: i64,
    ) -> Result<Found, store::Error> {
        let store = &self.parts.store;
        let held = |name: &str| is_held(standing, AlertKind::UnusualVolume, name);
        let end_ms = now_ms.div_euclid(MINUTE_MS).saturating_add(1).saturating_mul(MINUTE_MS);
        let hour = |days: i64| {
            let end_ms = end_ms.saturating_sub(days * A_DAY_MS);
            (end_ms.saturating_sub(HOUR_MS), end_ms)
        };
        let busy: Vec<(String, u64)> = store.calls_of_clients(hour(0)).await?;
        let busy: Vec<(String, u64)> =
            busy.into_iter().filter(|(name, calls)| is_unusual((*calls, 0), held(name))).collect();
        let mut before: HashMap<String, Vec<u64>> = HashMap::new();
        if !busy.is_empty() {
            for day in 1..=DAYS {
                for (name, calls) in store.calls_of_clients(hour(day)).await? {
                    before.entry(name).or_default().push(calls);
                }
            }
        }
        let mut found = Vec::new();
        for (name, calls) in busy {
            let median = median(before.remove(&name).unwrap_or_default());
            let Ok(id) = Uuid::try_parse(&name) else { continue };
            if is_unusual((calls, median), held(&name)) {
                let what = (AlertKind::UnusualVolume, Severity::Warning);
                let detail = format!(
                    "{calls} calls within an hour; the median of this hour of the last seven days \
                     is {median}"
                );
                let about = subject("client", &name, &self.name_of(id).await?);
                found.push(seen(what, about, &detail, now_ms));
            }
        }
        Ok(Found {
            kinds: &[AlertKind::UnusualVolume],
            seen: found,
            over: "the last hour is as others are",
        })
    }

    pub(super) async fn addresses(&self, now_ms: i64) -> Result<Found, store::Error> {
        let after = now_ms.saturating_sub(NEW_FOR_MS);
        let mut newest: HashMap<Uuid, (String, i64, usize)> = HashMap::new();
        for (client, address, at) in self.parts.store.new_addresses(after).await? {
            let held = newest.entry(client).or_insert_with(|| (String::new(), 0, 0));
            *held = (address, at, held.2 + 1);
        }
        let mut found = Vec::new();
        for (client, (address, at, count)) in newest {
            let what = (AlertKind::NewAddress, Severity::Info);
            let others = match count {
                1 => String::new(),
                more => format!("; {more} new ones within a day"),
            };
            let detail = format!("it called from {address} first at {}{others}", rfc3339(at));
            let about = subject("client", &client.to_string(), &self.name_of(client).await?);
            // Another one is told anew, once an hour at most.
            let level = at.div_euclid(HOUR_MS);
            found.push(Seen { level, ..seen(what, about, &detail, now_ms) });
        }
        Ok(Found {
            kinds: &[AlertKind::NewAddress],
            seen: found,
            over: "the address has been known for a day",
        })
    }

    /// Empty where it is gone, or cannot be read.
    async fn name_of(&self, client: Uuid) -> Result<String, store::Error> {
        match self.parts.store.client_key(client).await {
            Ok(row) => Ok(row.map(|row| row.name).unwrap_or_default()),
            Err(store::Error::Contradiction { .. }) => Ok(String::new()),
            Err(fault) => Err(fault),
        }
    }
}

/// One alert for each client key, of whichever of its quotas is nearer to its end.
fn worse_of(found: &mut Vec<Seen>, one: Seen) {
    match found.iter_mut().find(|held| held.subject == one.subject) {
        Some(held) if held.level < one.level => *held = one,
        Some(_) => {}
        None => found.push(one),
    }
}

/// None: it is never refused.
fn of_tier(tiers: &Tiers, tier: Tier) -> Option<u64> {
    match tier {
        Tier::Unlimited => None,
        Tier::Premium => Some(tiers.premium),
        Tier::Standard => Some(tiers.standard),
        Tier::Limited => Some(tiers.limited),
    }
}

/// At level 0 it is near enough for one that stands to stay, and would raise none.
fn near(
    (id, name): (&str, &str),
    (calls, quota, is_held): (u64, u64, bool),
    of: &str,
    now_ms: i64,
) -> Option<Seen> {
    let used = calls.saturating_mul(100);
    let (level, severity) = if used >= quota.saturating_mul(100) {
        (2, Severity::Critical)
    } else if used >= quota.saturating_mul(NEAR) {
        (1, Severity::Warning)
    } else if is_held && used >= quota.saturating_mul(NEAR_HELD) {
        (0, Severity::Warning)
    } else {
        return None;
    };
    let detail = format!("{calls} of {quota} calls of its {of} are used");
    let what = (AlertKind::QuotaNear, severity);
    Some(Seen { level, ..seen(what, subject("client", id, name), &detail, now_ms) })
}

fn is_unusual((calls, median): (u64, u64), is_held: bool) -> bool {
    let (usual, times) = if is_held { (USUAL_HELD, TIMES_HELD) } else { (USUAL, TIMES) };
    calls > usual && calls > median.saturating_mul(times)
}

/// Of seven days; one without a call counts as none.
fn median(mut calls: Vec<u64>) -> u64 {
    calls.resize(usize::try_from(DAYS).unwrap_or(0).max(calls.len()), 0);
    calls.sort_unstable();
    calls.get(calls.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_seven_days_counts_those_without_a_call() {
        assert_eq!(median(vec![]), 0);
        assert_eq!(median(vec![9, 9, 9]), 0);
        assert_eq!(median(vec![9, 3, 7, 5]), 3);
        assert_eq!(median(vec![7, 1, 2, 3, 4, 5, 6]), 4);
    }

    #[test]
    fn four_fifths_of_a_quota_are_near_its_end_and_all_of_it_is_the_end() {
        let level = |calls, quota| {
            near(("a", "n"), (calls, quota, false), "month", 0).map(|seen| seen.level)
        };
        assert_eq!(level(79, 100), None);
        assert_eq!(level(80, 100), Some(1));
        assert_eq!(level(99, 100), Some(1));
        assert_eq!(level(100, 100), Some(2));
        assert_eq!(level(7, 9), None);
        assert_eq!(level(8, 9), Some(1));
    }
    #[test]
    fn what_was_told_is_over_at_clearly_less_than_what_raised_it() {
        let level = |calls| near(("a", "n"), (calls, 100, true), "month", 0).map(|s| s.level);
        assert_eq!([79, 70, 69].map(level), [Some(0), Some(0), None]);
        assert_eq!([80, 100].map(level), [Some(1), Some(2)]);
        assert!(is_unusual((101, 20), false) && !is_unusual((100, 0), false));
        assert!(!is_unusual((105, 21), false) && !is_unusual((101, 21), false));
        assert!(is_unusual((101, 21), true) && is_unusual((81, 20), true));
        assert!(!is_unusual((80, 0), true) && !is_unusual((84, 21), true));
    }
}
