//! Runs that are due by themselves: one node asks for each, and what fell due while nobody was
//! there is asked for once.
//! Must never ask for a run while one that it asked for is still open.

use super::{Desk, Market, Wanted};
use crate::schedule::Schedule;
use crate::store::{self, RunCause, Span, Turn};

const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);
const HELD_MS: i64 = 60_000;
const HOUSE: &str = "house";

impl Market {
    /// For ever, where there is a schedule.
    pub(super) async fn keep_schedule(&self, serves: bool) {
        let Some(schedule) = self.settings.schedule.as_ref().filter(|_| serves) else { return };
        let begun_ms = self.clock.unix_ms();
        loop {
            if let Err(fault) = self.ask_when_due(schedule, begun_ms).await {
                tracing::warn!(%fault, "the schedule of runs could not be looked after");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn ask_when_due(&self, schedule: &Schedule, begun_ms: i64) -> Result<(), store::Error> {
        let now_ms = self.clock.unix_ms();
        let last = self.store.last_turn(Turn::BackfillSchedule).await?;
        let Some(next) = schedule.next_fixed_after(last.unwrap_or(begun_ms)) else { return Ok(()) };
        if now_ms < next {
            return Ok(());
        }
        let held_until_ms = now_ms.saturating_add(HELD_MS);
        let span = Span { now_ms, due_before_ms: next - 1, held_until_ms };
        if !self.store.take_turn(Turn::BackfillSchedule, &self.node, span).await? {
            return Ok(());
        }
        if !self.store.has_open_run(RunCause::Schedule).await? {
            let asked = self.desk().ask(Wanted::default(), (RunCause::Schedule, HOUSE)).await;
            if asked.is_err() {
                tracing::warn!(
                    "a run by schedule was not asked for: too many wait, or no database"
                );
            }
        }
        self.store.end_turn(Turn::BackfillSchedule, &self.node, Some(now_ms)).await
    }

    fn desk(&self) -> Desk {
        Desk::of(&self.store, &self.clock, (&self.settings, &self.bell))
    }
}
