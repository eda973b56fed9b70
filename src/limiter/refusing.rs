//! What a caller is told who has no call left: which limit it was, how much of it is used, and when
//! to come back.
//! Must never name a time that nobody knows.

use super::{Limiter, reset_at_ms};
use crate::clock::Moment;
use crate::quota::{Limits, Over};
use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};

/// Nobody knows when one of the calls under way ends.
const TRY_AGAIN_AFTER_MS: i64 = 1000;
const KEPT: &str = "The rest of it is kept for the other nodes, which cannot be asked now.";

const NO_MONTH: &str = "The database does not answer, so what this key has used of its monthly \
                        quota cannot be looked up; try again.";

/// What was used of a month is in the database.
pub(super) fn without_month(fault: &impl std::fmt::Display) -> Refusal {
    tracing::error!(%fault, "a monthly quota could not be looked up");
    Refusal::new(Reason::Overloaded, NO_MONTH)
}

impl Limiter {
    pub(super) fn refusal(
        &self,
        (own, limits): (LimitKind, Limits),
        over: Over,
        now: Moment,
    ) -> Refusal {
        let soon_ms = now.unix_ms.saturating_add(TRY_AGAIN_AFTER_MS);
        let (limit, quota, used, free_at_ms) = match over {
            Over::Window(count) => (own, limits.window.calls, count.used, reset_at_ms(&count, now)),
            Over::Concurrency { used } => {
                (LimitKind::Concurrency, limits.concurrent.unwrap_or_default(), used, soon_ms)
            }
            Over::Month { used, until_ms } => {
                (LimitKind::Monthly, limits.monthly.unwrap_or_default(), used, until_ms)
            }
        };
        let exceeded = Exceeded::at(limit, (quota, used), (free_at_ms, now.unix_ms));
        Refusal::rate_limited(exceeded, self.sentence(&exceeded))
    }

    fn sentence(&self, over: &Exceeded) -> String {
        let span = span(self.settings.window_seconds);
        let said = over.sentence(&match over.limit {
            LimitKind::Concurrency => String::from("requests at once"),
            LimitKind::Monthly => String::from("requests per month"),
            LimitKind::Client | LimitKind::Provider => format!("requests per {span}"),
            LimitKind::Address => format!("requests per {span} from one address"),
            LimitKind::Origin => {
                format!("requests per {span} from all visitors of this page together")
            }
        });
        match over.used < over.quota {
            true => format!("{said}. {KEPT}"),
            false => said,
        }
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        3600 => String::from("hour"),
        1 => String::from("second"),
        60 => String::from("minute"),
        86_400 => String::from("day"),
        other => format!("{other} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_called_as_people_call_it() {
        assert_eq!([1, 60, 3600, 86_400].map(span), ["second", "minute", "hour", "day"]);
        assert_eq!([2, 7200].map(span), ["2 seconds", "7200 seconds"]);
    }
}
