//! The looks: each node at itself, and one of them, by turns, at the trail and the tables. What a
//! look finds is written in one transaction with how far the trail was read. Must never end by a
//! fault: the next look finds the same again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::findings::LOOK_BACK_MS;
use super::letter::telling;
use super::nodes::EXAMINE_EVERY_MS;
use super::{Alerts, rule};
use crate::store::{self, AlertKind, AlertRow, Move, Seen, Span, Subject, Turn};

/// How soon somebody is told; real time, so that a clock that is set is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a node may be silent before another one looks at the tables.
const HELD_MS: i64 = 15_000;
/// What the tables say is asked so often; or at once where the clock was set.
const LOOKS_BETWEEN: u32 = 5;
/// So that the turn is not lost meanwhile.
const PAGES_A_LOOK: u32 = 100;
const CLOCK_WAS_SET_MS: i64 = 20_000;
const HOUR_MS: i64 = 3_600_000;
const A_DAY_MS: i64 = 24 * HOUR_MS;
/// How long what is over is kept for people.
const KEPT_MS: i64 = 90 * A_DAY_MS;

/// When what was done last.
struct Done {
    looks: u32,
    looked_at_ms: i64,
    counted_at_ms: i64,
    examined_at_ms: i64,
    swept_at_ms: i64,
    is_told: bool,
}

impl Alerts {
    pub(super) async fn watch(self: Arc<Self>) {
        let never = i64::MIN / 2;
        let mut done = Done {
            looks: 0,
            looked_at_ms: never,
            counted_at_ms: never,
            examined_at_ms: never,
            swept_at_ms: never,
            is_told: false,
        };
        loop {
            match self.look(&mut done).await {
                Ok(()) => done.is_told = false,
                Err(fault) if !std::mem::replace(&mut done.is_told, true) => {
                    tracing::warn!(%fault, "alerts could not be looked after; it is tried again");
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, done: &mut Done) -> Result<(), store::Error> {
        let now_ms = self.now_ms();
        let standing = self.parts.store.standing_alerts().await?;
        let kinds = standing.iter().map(|row| row.kind.as_str());
        self.parts.metrics.alerts().stand(kinds);
        self.look_at_own(&standing, now_ms).await?;
        let span =
            Span { now_ms, due_before_ms: now_ms, held_until_ms: now_ms.saturating_add(HELD_MS) };
        if !self.parts.store.take_turn(Turn::Alerts, &self.parts.node, span).await? {
            return Ok(());
        }
        self.read_trail().await?;
        let was_set = now_ms.abs_diff(done.looked_at_ms) >= CLOCK_WAS_SET_MS.unsigned_abs();
        if was_set || done.looks.is_multiple_of(LOOKS_BETWEEN) {
            done.looked_at_ms = now_ms;
            self.look_at_tables(done, now_ms).await?;
        }
        done.looks = done.looks.wrapping_add(1);
        Ok(())
    }

    async fn look_at_own(&self, standing: &[AlertRow], now_ms: i64) -> Result<(), store::Error> {
        let mut moves = self.own_ends(standing, now_ms);
        moves.extend(self.bursts(standing, now_ms));
        let echoes = self.echoes(now_ms);
        moves.extend(echoes.iter().map(|(told, _)| told.clone()));
        let written = self.write(moves, standing).await;
        if written.is_err() {
            // Heard again at the next look.
            echoes.iter().for_each(|(_, (who, count))| self.parts.echoes.heard(who, *count));
        }
        written
    }

    /// What happened, block by block, each with the place behind it.
    async fn read_trail(&self) -> Result<(), store::Error> {
        let since_ms = self.now_ms().saturating_sub(LOOK_BACK_MS);
        // After a rest there is much of it, and what is new stands behind all of that.
        for _ in 0..PAGES_A_LOOK {
            if !self.read_on(since_ms).await? {
                break;
            }
        }
        Ok(())
    }

    /// False where nothing more stands behind what was read.
    async fn read_on(&self, since_ms: i64) -> Result<bool, store::Error> {
        let places = self.parts.store.alert_places().await?;
        let mut has_more = false;
        for heeded in self.parts.ledger.heed(&places, since_ms).await? {
            has_more |= heeded.has_more;
            let moves = heeded.records.iter().filter_map(|record| self.move_of(record));
            let place = (heeded.node.clone(), heeded.place);
            let moves: Vec<Move> = moves.collect();
            self.parts.store.move_alerts(&moves, &[place], telling).await?;
        }
        Ok(has_more)
    }

    async fn look_at_tables(&self, done: &mut Done, now_ms: i64) -> Result<(), store::Error> {
        let standing = self.parts.store.standing_alerts().await?;
        let mut moves = Self::quiet(&standing, now_ms);
        let mut found = vec![
            self.secrets(now_ms).await?,
            self.clients(now_ms).await?,
            self.symbols(now_ms).await?,
            self.quotas(now_ms).await?,
            self.addresses(now_ms).await?,
        ];
        // Hours are long, and their minutes are many.
        if is_due(&mut done.counted_at_ms, now_ms, HOUR_MS / 60) {
            found.push(self.volumes(now_ms).await?);
        }
        for one in found {
            moves.extend(one.against(&standing, now_ms));
        }
        moves.extend(self.done_about(&standing, now_ms).await?);
        if is_due(&mut done.examined_at_ms, now_ms, EXAMINE_EVERY_MS) {
            moves.extend(self.findings_ended(&standing, now_ms).await);
        }
        self.write(moves, &standing).await?;
        if is_due(&mut done.swept_at_ms, now_ms, HOUR_MS) {
            let store = &self.parts.store;
            store.forget_deliveries(now_ms.saturating_sub(KEPT_MS)).await?;
            store.forget_alerts(now_ms.saturating_sub(KEPT_MS)).await?;
            store.forget_addresses(now_ms.saturating_sub(KEPT_MS)).await?;
        }
        Ok(())
    }

    /// Moves that change nothing are none.
    async fn write(&self, moves: Vec<Move>, standing: &[AlertRow]) -> Result<(), store::Error> {
        if moves.is_empty() {
            return Ok(());
        }
        self.parts.store.move_alerts(&moves, &[], telling).await?;
        for one in &moves {
            match one {
                Move::Happened(seen) | Move::IsSo(seen) => self.tell_trail(seen, standing),
                Move::Gone(kind, about, why, _) => self.tell_end(*kind, about, why),
            }
        }
        Ok(())
    }

    /// What nobody else has written down when it ended.
    fn tell_end(&self, kind: AlertKind, about: &Subject, why: &str) {
        let is_told_elsewhere = matches!(
            kind,
            AlertKind::SecretRefused
                | AlertKind::BackfillFailed
                | AlertKind::LedgerDegraded
                | AlertKind::LimiterDegraded
        );
        if !is_told_elsewhere {
            self.parts.ledger.noted(json!({
                "alert": kind.as_str(), "resolved": why,
                "subject": {"type": about.sort, "id": about.id, "name": about.name},
            }));
        }
    }

    /// What nobody else has written down when it began.
    fn tell_trail(&self, seen: &Seen, standing: &[AlertRow]) {
        let is_of = |row: &&AlertRow| row.kind == seen.kind && row.subject == seen.subject;
        let is_worse = standing.iter().find(is_of).is_none_or(|row| row.level < seen.level);
        let is_told_elsewhere = matches!(
            seen.kind,
            AlertKind::SecretRefused
                | AlertKind::RotationRolledBack
                | AlertKind::SecretExpiring
                | AlertKind::ClientExpiring
                | AlertKind::BackfillFailed
        );
        if !is_worse || is_told_elsewhere {
            return;
        }
        let kind = seen.kind.as_str();
        if seen.kind != AlertKind::KeyEchoed {
            self.parts.metrics.alert_raised(kind);
        }
        let about = &seen.subject;
        self.parts.ledger.found(json!({
            "alert": kind, "finding": rule::plain(&seen.detail),
            "subject": {"type": about.sort, "id": about.id, "name": about.name},
        }));
    }
}

fn is_due(done_at_ms: &mut i64, now_ms: i64, every_ms: i64) -> bool {
    let is_due = now_ms.abs_diff(*done_at_ms) >= every_ms.unsigned_abs();
    if is_due {
        *done_at_ms = now_ms;
    }
    is_due
}
