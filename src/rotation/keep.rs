//! What moves rotations on, on every node: the share of each is taken over, what came of the calls
//! here is added to what came of them elsewhere and judged, a step that was held long enough and
//! has shown enough is followed by the next, what was begun and left by a dead process is brought
//! to its end. Must never move one on from where it is no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::judge::{Verdict, verdict};
use super::retire::LeftOver;
use super::{Parts, RotationError, Rotor};
use crate::probe::{Asked, Live};
use crate::store::{Cause, RotationRow, RotationState};
use crate::vault::{Score, Tally};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A call that goes wrong is looked at sooner, with those that follow at once.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// What is judged beside the whole step: the last so many looks.
const RECENT_LOOKS: usize = 40;
/// What came of calls is written down every so many looks, and at once where one went wrong.
const WRITTEN_EVERY: u32 = 4;
/// Old use is written down this often at most.
pub(super) const NOTED_EVERY_MS: i64 = 1_000;
/// A provider that says nothing of the key is asked again after so long.
const ASKED_EVERY_MS: i64 = 10_000;
/// The same, where another call was refused since.
const DOUBTED_EVERY_MS: i64 = 1_000;

/// What this node knows of a rotation's step.
#[derive(Default)]
struct Known {
    step: Option<(u32, i64)>,
    /// What the provider had done with the new version for calls here when the step began.
    done_at_step: u64,
    /// How much of what came of calls here is written down.
    written: Score,
    looks_unwritten: u32,
    /// The last looks, oldest first, of all nodes.
    looks: Vec<Score>,
    /// Calls of the step that were refused with the new version.
    doubts: u64,
    /// How often it was judged in the whole of the rotation, and by how many calls.
    judged: (u32, u64),
    new: Question,
    old: Question,
}

impl Known {
    /// How often it was judged before, by other calls than these.
    fn judge(&mut self, total: Score) -> u32 {
        let (judged, calls) = self.judged;
        let now = total.new.calls + total.old.calls;
        if now > calls {
            self.judged = (judged.saturating_add(1), now);
        }
        self.judged.0.saturating_sub(1)
    }
}

/// What the provider says of one of the two, asked from this node in this step.
#[derive(Default)]
struct Question {
    asked_at_ms: Option<i64>,
    /// Calls that were refused with the new one by then.
    doubts: u64,
    is_good: bool,
}

/// Of whom the provider is asked.
#[derive(Clone, Copy)]
enum About {
    New,
    Old,
}

impl Rotor {
    /// For ever; spawned once.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut known: HashMap<(Uuid, u32), Known> = HashMap::new();
        let mut left_over = LeftOver::default();
        let mut told = false;
        let mut turns = tokio::time::interval(LOOK_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_turn = tokio::select! {
                biased;
                _ = turns.tick() => true,
                () = self.parts.vault.trouble() => false,
            };
            if self.parts.vault.is_sealed() {
                continue;
            }
            if !is_turn {
                tokio::time::sleep(LOOK_AFTER).await;
            }
            let looked = self.look((&mut known, is_turn)).await;
            if !is_turn {
                continue;
            }
            match looked.and(self.retire_left_over(&mut left_over).await) {
                Ok(()) => told = false,
                Err(fault) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(%fault, "rotations cannot be moved on");
                    }
                }
            }
        }
    }

    async fn look(
        &self,
        (known, is_turn): (&mut HashMap<(Uuid, u32), Known>, bool),
    ) -> Result<(), RotationError> {
        let open = self.parts.store.open_rotations().await?;
        known.retain(|key, _| open.iter().any(|row| (row.secret_id, row.to_version) == *key));
        // One that cannot be moved keeps no other from it.
        let mut moved = Ok(());
        for rotation in &open {
            let key = (rotation.secret_id, rotation.to_version);
            let known = known.entry(key).or_default();
            let looked_after = match rotation.state {
                RotationState::Running | RotationState::Paused => {
                    self.tend(rotation, (known, is_turn)).await
                }
                RotationState::Promoted => self.retire(rotation).await,
                RotationState::RolledBack => Ok(()),
            };
            moved = moved.and(looked_after);
        }
        moved.and(self.give_up_orphans(&open).await)
    }

    async fn tend(
        &self,
        rotation: &RotationRow,
        (known, is_turn): (&mut Known, bool),
    ) -> Result<(), RotationError> {
        let Parts { vault, clock, .. } = &self.parts;
        let (id, to) = (rotation.secret_id, rotation.to_version);
        let trial = vault.trial(id, to);
        trial.set_share(rotation.share());
        let (now_ms, here) = (clock.unix_ms(), trial.score());
        let total = Score::of_counts(rotation.counts).and(here.since(known.written));
        let step = (rotation.step, rotation.step_since);
        if known.step != Some(step) {
            let (written, judged) = (known.written, known.judged);
            *known = Known {
                step: Some(step),
                done_at_step: trial.done(),
                written,
                judged,
                ..Known::default()
            };
        }
        if is_turn {
            known.looks.push(total);
        }
        if known.looks.len() > RECENT_LOOKS {
            known.looks.remove(0);
        }
        self.write_down(rotation, (known, here), trial.old_used_ms()).await?;
        let in_step = total.since(Score::of_counts(rotation.at_step));
        let recent = known.looks.first().map(|first| total.since(*first)).unwrap_or_default();
        let judged = known.judge(total);
        for stretch in [in_step, recent] {
            match verdict(stretch, total, judged) {
                Verdict::Nothing => {}
                Verdict::Worse(why) => return self.roll_back(rotation, &why).await,
                Verdict::Fails(why) => {
                    // Where the old one is no better off, it is the provider.
                    if self.is_good(rotation, known, About::Old).await? {
                        return self.roll_back(rotation, &why).await;
                    }
                }
            }
        }
        // A refused call makes the provider be asked at once: its no ends the rotation.
        known.doubts = in_step.saved + in_step.lost;
        if known.doubts > known.new.doubts {
            self.is_good(rotation, known, About::New).await?;
        }
        self.weigh(rotation, known, (in_step, total), now_ms).await
    }

    /// Has the step shown enough, on this node too, to be followed by the next?
    async fn weigh(
        &self,
        rotation: &RotationRow,
        known: &mut Known,
        (in_step, total): (Score, Score),
        now_ms: i64,
    ) -> Result<(), RotationError> {
        let (id, to) = (rotation.secret_id, rotation.to_version);
        let held_ms = now_ms.saturating_sub(rotation.step_since);
        if rotation.state != RotationState::Running || held_ms < rotation.hold_ms / 2 {
            return Ok(());
        }
        // Where no call was done here, nothing is shown here: the provider is asked instead. Each
        // node asks, before any moves on: a provider may take a key from one of them alone.
        let done = self.parts.vault.trial(id, to).done().saturating_sub(known.done_at_step);
        let is_doubted = in_step.saved + in_step.lost > 0;
        let is_shown = done > 0 && !is_doubted || self.is_good(rotation, known, About::New).await?;
        if held_ms < rotation.hold_ms {
            return Ok(());
        }
        if !is_shown {
            return self.nothing_done(rotation, known, in_step.new).await;
        }
        self.write_all(rotation, known).await?;
        if is_doubted {
            // The provider takes the key, and yet refused a call with it: the step is held again.
            let again = RotationRow {
                step_since: now_ms,
                updated_at: now_ms,
                at_step: total.counts(),
                ..rotation.clone()
            };
            self.parts.store.move_rotation(rotation, &again).await?;
            return Ok(());
        }
        self.go_on(rotation, (now_ms, total)).await
    }

    /// The provider answers, does nothing with the new version, and takes the old one.
    async fn nothing_done(
        &self,
        rotation: &RotationRow,
        known: &mut Known,
        Tally { calls, refused, failed }: Tally,
    ) -> Result<(), RotationError> {
        let answered = calls.saturating_sub(refused.saturating_add(failed));
        if answered == 0 || !self.is_good(rotation, known, About::Old).await? {
            return Ok(());
        }
        let why = format!(
            "the provider did nothing with the new version ({answered} of {calls} calls were \
             answered with 4xx), and takes the old one"
        );
        self.roll_back(rotation, &why).await
    }

    /// What came of calls here, to the last one: nobody looks at the step again.
    async fn write_all(
        &self,
        rotation: &RotationRow,
        known: &mut Known,
    ) -> Result<(), RotationError> {
        let here = self.parts.vault.trial(rotation.secret_id, rotation.to_version).score();
        let more = here.since(known.written);
        if more != Score::default() {
            self.parts.store.count_rotation(rotation, more.counts()).await?;
            (known.written, known.looks_unwritten) = (here, 0);
        }
        Ok(())
    }

    async fn write_down(
        &self,
        rotation: &RotationRow,
        (known, here): (&mut Known, Score),
        used_ms: i64,
    ) -> Result<(), RotationError> {
        let store = &self.parts.store;
        if used_ms > rotation.old_used_at.unwrap_or(0).saturating_add(NOTED_EVERY_MS) {
            store.note_old_use(rotation, used_ms).await?;
        }
        let more = here.since(known.written);
        known.looks_unwritten += 1;
        let went_wrong = more.new.refused + more.new.failed + more.saved + more.lost > 0;
        if more != Score::default() && (went_wrong || known.looks_unwritten >= WRITTEN_EVERY) {
            store.count_rotation(rotation, more.counts()).await?;
            (known.written, known.looks_unwritten) = (here, 0);
        }
        Ok(())
    }

    /// Does the provider say that this version is good? Asked now and then, until it does.
    async fn is_good(
        &self,
        rotation: &RotationRow,
        known: &mut Known,
        about: About,
    ) -> Result<bool, RotationError> {
        let (question, version) = match about {
            About::New => (&mut known.new, rotation.to_version),
            About::Old => (&mut known.old, rotation.from_version),
        };
        let now_ms = self.parts.clock.unix_ms();
        let is_doubted = known.doubts > question.doubts;
        let pause_ms = if is_doubted { DOUBTED_EVERY_MS } else { ASKED_EVERY_MS };
        let is_soon = question.asked_at_ms.is_some_and(|at| (now_ms - at).abs() < pause_ms);
        // A provider that was well a while ago may be out of order by now.
        let is_known = question.is_good && !is_doubted && matches!(about, About::New);
        if is_soon || is_known {
            return Ok(question.is_good);
        }
        (question.asked_at_ms, question.doubts) = (Some(now_ms), known.doubts);
        let asked = Asked { cause: Cause::Rotation, actor: "house" };
        let of = (rotation.secret_id, Some(version));
        let found = self.parts.prober.stored(of, asked, &mut |_| {}).await?;
        let Some((secret, report)) = found else { return Ok(false) };
        question.is_good = match report.live {
            Live::Good | Live::AnyString => true,
            // There is nothing to ask with; else it could not be opened just now.
            Live::NotAsked => !self.parts.prober.has_probe(&secret),
            Live::Unreached | Live::Untold | Live::Refused => false,
        };
        let is_good = question.is_good;
        if let (About::New, Live::Refused) = (about, &report.live) {
            self.roll_back(rotation, &report.why()).await?;
        }
        Ok(is_good)
    }

    async fn go_on(
        &self,
        rotation: &RotationRow,
        (now_ms, total): (i64, Score),
    ) -> Result<(), RotationError> {
        let is_last = usize::try_from(rotation.step + 1).is_ok_and(|at| at >= rotation.steps.len());
        if is_last {
            return self.promote(rotation).await;
        }
        let next = RotationRow {
            step: rotation.step + 1,
            step_since: now_ms,
            updated_at: now_ms,
            at_step: total.counts(),
            ..rotation.clone()
        };
        if self.parts.store.move_rotation(rotation, &next).await? {
            self.parts.vault.trial(next.secret_id, next.to_version).set_share(next.share());
            self.note(&next, json!({"rotation": "step", "share": next.share()}));
        }
        Ok(())
    }
}
