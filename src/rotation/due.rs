//! When a key is to be renewed: by its schedule, by its age, or once more after what went wrong.
//! Pure.
//! Must never make an old key a reason to try without a pause.

use super::policy::Policy;
use crate::store::{RenewalRow, RenewalState};

const A_DAY_MS: i64 = 86_400_000;
/// Seconds from one try that failed to the next.
const PAUSES: [i64; 7] = [5, 30, 120, 300, 900, 1_800, 3_600];

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at_ms: i64,
    pub(super) cause: &'static str,
}

pub(super) const BY_HAND: &str = "asked";

/// None where nothing ever is, or it is under way. A key that was made then; what was done before.
pub(super) fn next(policy: &Policy, row: &RenewalRow, made_at_ms: i64) -> Option<Due> {
    if row.state != RenewalState::Idle || !policy.is_automatic() {
        return None;
    }
    let begun_ms = row.started_at.unwrap_or(row.noted_at).max(row.noted_at);
    // A key that somebody entered meanwhile is a new one.
    let since_ms = begun_ms.max(made_at_ms);
    let scheduled = policy.schedule.as_ref().and_then(|schedule| schedule.next_after(since_ms));
    let aged = policy.too_old_at(made_at_ms).map(|at| match row.started_at {
        Some(started) => at.max(started.saturating_add(A_DAY_MS)),
        None => at,
    });
    let due = |at: Option<i64>, cause| at.map(|at_ms| Due { at_ms, cause });
    // The same after what went wrong: nobody waits for another one then.
    let is_theirs = row.started_at.is_some_and(|started| made_at_ms > started);
    let again = row.next_at.filter(|_| !is_theirs);
    let all = [due(again, "retry"), due(scheduled, "schedule"), due(aged, "age")];
    all.into_iter().flatten().min_by_key(|due| due.at_ms)
}

/// After so many tries that failed.
pub(super) fn again_at(now_ms: i64, tries: u32) -> i64 {
    let at = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let longest = PAUSES.last().copied().unwrap_or(3_600);
    let seconds = PAUSES.get(at).copied().unwrap_or(longest);
    now_ms.saturating_add(seconds.saturating_mul(1000))
}

/// After a rotation that went back.
pub(super) fn a_day_later(now_ms: i64) -> i64 {
    now_ms.saturating_add(A_DAY_MS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::super::Strategy;
    use super::super::policy::{Command, Way};
    use super::*;
    use crate::schedule::Schedule;

    fn policy(schedule: Option<&str>, max_age_days: Option<u32>) -> Policy {
        let command = Command { path: "/bin/true".into(), args: Vec::new(), retires: false };
        Policy {
            provider: String::from("acme"),
            secret: None,
            way: Way::Command(command),
            schedule: schedule.map(|text| Schedule::parse(text, TimeZone::UTC).unwrap()),
            schedule_text: schedule.map(str::to_owned),
            max_age_days,
            strategy: Strategy::default(),
            within: Duration::from_secs(30),
        }
    }

    fn due(policy: &Policy, row: &RenewalRow, made_at: i64) -> Option<(i64, &'static str)> {
        next(policy, row, made_at).map(|due| (due.at_ms / A_DAY_MS, due.cause))
    }

    #[test]
    fn a_schedule_counts_from_the_last_key_and_an_age_from_this_one() {
        let row = RenewalRow { noted_at: 10 * A_DAY_MS, ..RenewalRow::default() };
        let every = policy(Some("every 30d"), None);
        assert_eq!(due(&every, &row, A_DAY_MS), Some((40, "schedule")));
        assert_eq!(due(&every, &row, 20 * A_DAY_MS), Some((50, "schedule")));
        let aged = policy(None, Some(5));
        assert_eq!(due(&aged, &row, A_DAY_MS), Some((6, "age")));
        let both = policy(Some("every 30d"), Some(90));
        assert_eq!(due(&both, &row, A_DAY_MS), Some((40, "schedule")));
        assert_eq!(due(&policy(None, None), &row, A_DAY_MS), None);
    }

    #[test]
    fn what_was_tried_today_is_not_tried_for_its_age_again_and_what_runs_is_not_due() {
        let started_at = Some(50 * A_DAY_MS);
        let row = RenewalRow { started_at, ..RenewalRow::default() };
        let aged = policy(None, Some(5));
        assert_eq!(due(&aged, &row, A_DAY_MS), Some((51, "age")));
        let retry = RenewalRow { next_at: Some(50 * A_DAY_MS + 1), ..row.clone() };
        assert_eq!(due(&aged, &retry, A_DAY_MS), Some((50, "retry")));
        // Somebody has entered a key since.
        assert_eq!(due(&aged, &retry, 51 * A_DAY_MS), Some((56, "age")));
        let open = RenewalRow { state: RenewalState::Moving, ..row };
        assert_eq!(due(&aged, &open, A_DAY_MS), None);
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        assert_eq!(again_at(0, 1), 5_000);
        assert_eq!(again_at(0, 2), 30_000);
        assert_eq!(again_at(0, 100), 3_600_000);
    }
}
