//! Backups by schedule: one when the newest is old enough, made by one node of those that share a
//! database; the oldest thrown away, and a word when none could be made for too long.
//! Must never let a fault end it: the next turn tries again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Kept, Lock, Settings, Shelf, Source};
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::store::{Span, Store, Turn};
use crate::telemetry::Metrics;
use crate::vault::Vault;

/// A look into a folder; often enough that a changed clock is soon noticed.
const TURN: Duration = Duration::from_secs(5);
/// So many times the interval without a backup is an alert.
const OVERDUE: i64 = 2;
/// How long a node may be silent before another one makes the backup.
const HELD_MS: i64 = 60_000;
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// Everything that the schedule needs for as long as the house runs.
pub(crate) struct Schedule {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) vault: Arc<Vault>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// This node's own name, under which it takes its turn.
    pub(crate) node: String,
}

/// Until it is dropped.
pub(crate) async fn run(schedule: Schedule) {
    let Some(every) = schedule.settings.every else { return };
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let begun_ms = schedule.clock.unix_ms();
    let mut told = false;
    loop {
        let fault = schedule.turn(every_ms).await.err();
        if let Some(fault) = &fault {
            tracing::error!(%fault, "a scheduled backup was not made");
        }
        let now_ms = schedule.clock.unix_ms();
        // A clock that was ahead when this began holds no word back.
        let begun_ms = begun_ms.min(now_ms);
        let newest = schedule.newest_ms().await.unwrap_or(begun_ms).max(begun_ms);
        let age_ms = now_ms.saturating_sub(newest);
        let overdue = age_ms > every_ms.saturating_mul(OVERDUE);
        if overdue && !told {
            let why = fault.map_or_else(String::new, |fault| fault.to_string());
            schedule.metrics.alert_raised("backup_overdue");
            schedule.ledger.found(json!({
                "alert": "backup_overdue", "finding": "no backup was made for too long",
                "hours": age_ms / 3_600_000, "fault": why,
            }));
        }
        if told && !overdue {
            let resolved = "a backup was made";
            schedule.ledger.noted(json!({"alert": "backup_overdue", "resolved": resolved}));
        }
        told = overdue;
        tokio::time::sleep(TURN).await;
    }
}

impl Schedule {
    async fn turn(&self, every_ms: i64) -> Result<(), super::Fault> {
        let now_ms = self.clock.unix_ms();
        if self.newest_ms().await.is_some_and(|newest| now_ms < newest.saturating_add(every_ms)) {
            return Ok(());
        }
        let due_before_ms = now_ms.saturating_sub(every_ms);
        let span = Span { now_ms, due_before_ms, held_until_ms: now_ms.saturating_add(HELD_MS) };
        if !self.store.take_turn(Turn::Backup, &self.node, span).await? {
            return Ok(());
        }
        let made = tokio::select! {
            made = self.make() => made,
            never = self.hold_on() => match never {},
        };
        let done_at_ms = made.is_ok().then_some(now_ms);
        self.store.end_turn(Turn::Backup, &self.node, done_at_ms).await?;
        made
    }

    /// A backup may take longer than a turn lasts by itself.
    async fn hold_on(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let until_ms = self.clock.unix_ms().saturating_add(HELD_MS);
            if let Err(fault) = self.store.renew_turn(Turn::Backup, &self.node, until_ms).await {
                tracing::warn!(%fault, "the turn to make a backup could not be renewed");
            }
        }
    }

    async fn make(&self) -> Result<(), super::Fault> {
        let shelf = Shelf::new(&self.settings.folder);
        let lock = Lock::recipients(&self.settings.recipients)?;
        let source = Source {
            store: &self.store,
            vault: &self.vault,
            ledger: &self.ledger,
            clock: &self.clock,
            progress: Arc::default(),
        };
        let Kept { shelved: made, faults } = shelf.add(source, lock).await?;
        // Those from before something was damaged may be the last that are whole.
        let thrown_away = match faults.is_empty() {
            true => shelf.prune(self.settings.keep, self.clock.unix_ms())?,
            false => 0,
        };
        tracing::info!(file = made.name, bytes = made.bytes, thrown_away, "a backup was made");
        if let Some(first) = faults.first() {
            let damaged = faults.len();
            tracing::error!(damaged, first, "the house that was backed up is damaged");
        }
        self.ledger.noted(json!({
            "backup": made.name, "bytes": made.bytes, "thrown_away": thrown_away, "faults": faults,
        }));
        Ok(())
    }

    /// Of those that lie here, and of those that other nodes have made.
    async fn newest_ms(&self) -> Option<i64> {
        let shelved = Shelf::new(&self.settings.folder).list().unwrap_or_default();
        let now_ms = self.clock.unix_ms();
        let mut here = shelved.iter().map(|shelved| shelved.created_at_ms);
        // One that was made when the clock was wrong holds off none.
        let here = here.find(|made_ms| *made_ms <= now_ms);
        let anywhere = self.store.last_turn(Turn::Backup).await.ok().flatten();
        here.max(anywhere)
    }
}
