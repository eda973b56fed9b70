//! The looks: each node at itself, and one of them, by turns, at the trail and the tables. What a
//! look finds is written in one transaction with how far the trail was read. Must never end by a
//! fault: the next look finds the same again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::findings::{LOOK_BACK_MS, MOVED};
use super::here::Here;
use super::letter::telling;
use super::nodes::{self, NODE_IS_GONE, Nodes};
use super::{Alerts, rule};
use crate::store::{self, AlertKind, AlertNode, AlertRow, Move, Seen, Span, Subject, Turn};

/// How soon somebody is told; real time, so that a clock that is set is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a node may be silent before another one looks at the tables.
const HELD_MS: i64 = 15_000;
/// What the tables say is asked so often; or at once where the clock was set.
const LOOKS_BETWEEN: u32 = 5;
/// Looks of a node that has not the turn until it asks for it once more.
const LOOKS_FOR_A_TURN: u32 = 3;
/// So many reads of which nothing came until it is written down how far they went.
const READS_UNWRITTEN: u32 = 60;
/// So that the turn is not lost meanwhile.
const PAGES_A_LOOK: u32 = 100;
const CLOCK_WAS_SET_MS: i64 = 20_000;
const HOUR_MS: i64 = 3_600_000;
const A_DAY_MS: i64 = 24 * HOUR_MS;
/// How long what is over is kept for people.
const KEPT_MS: i64 = 90 * A_DAY_MS;

pub(super) const NEVER: i64 = i64::MIN / 2;

/// When what was done last.
pub(super) struct Done {
    looks: u32,
    looked_at_ms: i64,
    counted_at_ms: i64,
    swept_at_ms: i64,
    here: Here,
    /// None: another one has the turn.
    held: Option<Held>,
}

/// What whoever has the turn knows; the next one finds it out anew.
struct Held {
    since_ms: i64,
    /// How far the trail was read; and how many blocks' reads ago that was written down.
    places: Vec<(String, u64)>,
    unwritten: HashMap<String, u32>,
    nodes: Nodes,
}

impl Done {
    pub(super) fn nothing(node: &str, backs_up: bool) -> Self {
        Self {
            looks: 0,
            looked_at_ms: NEVER,
            counted_at_ms: NEVER,
            swept_at_ms: NEVER,
            here: Here::new(node, backs_up),
            held: None,
        }
    }
}

impl Alerts {
    pub(super) async fn watch(self: Arc<Self>) {
        let mut done = Done::nothing(&self.parts.node, self.parts.backs_up);
        let mut is_told = false;
        loop {
            match self.look(&mut done).await {
                Ok(()) => is_told = false,
                Err(fault) => {
                    // Nobody was seen meanwhile, and what was written is not known.
                    done.held = None;
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%fault, "alerts are not looked after; it is tried again");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) async fn look(self: &Arc<Self>, done: &mut Done) -> Result<(), store::Error> {
        let now_ms = self.now_ms();
        let standing = self.parts.store.standing_alerts().await?;
        let kinds = standing.iter().map(|row| row.kind.as_str());
        self.parts.metrics.alerts().stand(kinds);
        self.look_at_own(&standing, now_ms).await?;
        self.say_here(&mut done.here, &standing, now_ms).await?;
        let looks = done.looks;
        done.looks = looks.wrapping_add(1);
        self.hold_turn(&mut done.held, (looks, now_ms)).await?;
        let Some(held) = &mut done.held else { return Ok(()) };
        self.read_trail(held).await?;
        let was_set = now_ms.abs_diff(done.looked_at_ms) >= CLOCK_WAS_SET_MS.unsigned_abs();
        if was_set || looks.is_multiple_of(LOOKS_BETWEEN) {
            done.looked_at_ms = now_ms;
            self.look_at_tables(done, now_ms).await?;
        }
        Ok(())
    }

    /// Written to the database a few times a minute: one who has it knows so, one who has not waits
    /// a little.
    async fn hold_turn(
        &self,
        held: &mut Option<Held>,
        (looks, now_ms): (u32, i64),
    ) -> Result<(), store::Error> {
        let is_sure = match held {
            Some(held) => (0..HELD_MS / 2).contains(&now_ms.saturating_sub(held.since_ms)),
            None => !looks.is_multiple_of(LOOKS_FOR_A_TURN),
        };
        if is_sure {
            return Ok(());
        }
        let span =
            Span { now_ms, due_before_ms: now_ms, held_until_ms: now_ms.saturating_add(HELD_MS) };
        let store = &self.parts.store;
        let has_it = store.take_turn(Turn::Alerts, &self.parts.node, span).await?;
        match held {
            Some(held) if has_it => held.since_ms = now_ms,
            None if has_it => {
                let (unwritten, nodes) = (HashMap::new(), Nodes::new());
                let places = store.alert_places().await?;
                *held = Some(Held { since_ms: now_ms, places, unwritten, nodes });
            }
            Some(_) | None => *held = None,
        }
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
    async fn read_trail(&self, held: &mut Held) -> Result<(), store::Error> {
        let since_ms = self.now_ms().saturating_sub(LOOK_BACK_MS);
        // After a rest there is much of it, and what is new stands behind all of that.
        for _ in 0..PAGES_A_LOOK {
            if !self.read_on(held, since_ms).await? {
                break;
            }
        }
        Ok(())
    }

    /// False where nothing more stands behind what was read. Where nothing happened, the place may
    /// be written down later: whoever comes then reads of nothing once more.
    async fn read_on(&self, held: &mut Held, since_ms: i64) -> Result<bool, store::Error> {
        let mut has_more = false;
        for heeded in self.parts.ledger.heed(&held.places, since_ms).await? {
            has_more |= heeded.has_more;
            let moves = heeded.records.iter().filter_map(|record| self.move_of(record));
            let moves: Vec<Move> = moves.collect();
            let unwritten = held.unwritten.entry(heeded.node.clone()).or_default();
            *unwritten = unwritten.saturating_add(1);
            let place = (heeded.node, heeded.place);
            if !moves.is_empty() || heeded.has_more || *unwritten >= READS_UNWRITTEN {
                *unwritten = 0;
                let places = std::slice::from_ref(&place);
                self.parts.store.move_alerts(&moves, places, telling).await?;
            }
            held.places.retain(|(node, _)| *node != place.0);
            held.places.push(place);
        }
        Ok(has_more)
    }

    async fn look_at_tables(&self, done: &mut Done, now_ms: i64) -> Result<(), store::Error> {
        let store = &self.parts.store;
        let (standing, said) = (store.standing_alerts().await?, store.alert_nodes().await?);
        let Some(held) = &mut done.held else { return Ok(()) };
        held.nodes.look(&said, &standing);
        let (gone, there): (Vec<AlertNode>, Vec<AlertNode>) =
            said.into_iter().partition(|said| held.nodes.is_gone(&said.node));
        let mut moves = Self::quiet(&standing, now_ms);
        moves.extend(held.nodes.left_behind(&standing, now_ms));
        moves.extend(nodes::findings(&standing, &there, now_ms));
        let mut found = vec![
            self.secrets(now_ms).await?,
            self.clients(now_ms).await?,
            self.symbols(now_ms).await?,
            self.quotas(&standing, now_ms).await?,
            self.addresses(now_ms).await?,
        ];
        // Hours are long, and their minutes are many.
        if is_due(&mut done.counted_at_ms, now_ms, HOUR_MS / 60) {
            found.push(self.volumes(&standing, now_ms).await?);
        }
        for one in found {
            moves.extend(one.against(&standing, now_ms));
        }
        let is_backed_up = there.is_empty() || there.iter().any(|node| node.backs_up);
        moves.extend(self.done_about((&standing, is_backed_up), now_ms).await?);
        self.write(moves, &standing).await?;
        for node in gone {
            store.forget_alert_node(&node.node, node.seen_at).await?;
        }
        if is_due(&mut done.swept_at_ms, now_ms, HOUR_MS) {
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
        if !is_told_elsewhere || why == NODE_IS_GONE {
            self.parts.ledger.noted(json!({
                "alert": kind.as_str(), "resolved": why, MOVED: true,
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
            "alert": kind, "finding": rule::plain(&seen.detail), MOVED: true,
            "subject": {"type": about.sort, "id": about.id, "name": about.name},
        }));
    }
}

pub(super) fn is_due(done_at_ms: &mut i64, now_ms: i64, every_ms: i64) -> bool {
    let is_due = now_ms.abs_diff(*done_at_ms) >= every_ms.unsigned_abs();
    if is_due {
        *done_at_ms = now_ms;
    }
    is_due
}
