//! Nodes that share a database know of each other through it, so that those which cannot ask Redis
//! share what is left, and those which start where Redis knows nothing wait for what the others
//! have to tell. Four times a second at most, beside the calls.
//! Must never let a node that has just come spend anything before the others know of it, or before
//! they are given up.

use std::sync::Arc;
use std::time::Duration;

use super::Limiter;
use super::shared::{Shared, Standing};
use crate::crypto;
use crate::store::{self, NodeRow};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A row is written anew so many looks after the last time, or when it has changed.
const SAY_EVERY: u32 = 4;
/// Whoever does not come back within so many looks is given up: thirty seconds.
const PATIENT_LOOKS: u32 = 120;
/// A process that wrote no row for so long is not there; nodes' clocks differ by less.
const SILENT_AFTER_MS: i64 = 15_000;

const FOR_LONG_MS: i64 = 10_000;

/// What a node has said and seen.
pub(super) struct Presence {
    own: NodeRow,
    looks: u32,
    said_at: u32,
    /// It has just come, and has not been let into the sharing yet.
    is_held: bool,
    /// The memory of Redis that a former process met last.
    former_era: Option<String>,
    /// It goes on with a share that it had as it was killed.
    goes_on: bool,
}

impl Presence {
    pub(super) fn new(node: &str, former: Option<&NodeRow>, goes_on: bool) -> Self {
        // Without randomness it is at least another one than before.
        let boot = crypto::random_bytes::<8>().map(u64::from_le_bytes);
        let boot = format!("{:016x}", boot.unwrap_or_else(|_| std::process::id().into()));
        let former_era = former.map(|row| row.era.clone());
        let own = NodeRow {
            node: node.to_owned(),
            boot,
            era: former.map(|row| row.era.clone()).unwrap_or_default(),
            alone_since: former.map_or(0, |row| row.alone_since),
            ..NodeRow::default()
        };
        Self { own, former_era, looks: 0, said_at: 0, is_held: true, goes_on }
    }
}

impl Limiter {
    /// Before the doors open: says that this node comes, and sees who is there.
    pub(super) async fn arrive(&self, shared: &Arc<Shared>) {
        let mut held = self.presence.lock().await;
        let Some(presence) = held.as_mut() else { return };
        shared.hold(true);
        if let Err(fault) = self.attend_once(shared, presence).await {
            tracing::error!(%fault, "nodes cannot know of each other");
        }
    }

    /// Never ends.
    pub(super) async fn attend(self: Arc<Self>, shared: Arc<Shared>) {
        let mut is_said = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shared.stirred() => {}
            }
            let mut held = self.presence.lock().await;
            let Some(presence) = held.as_mut() else { return };
            match self.attend_once(&shared, presence).await {
                Ok(()) => is_said = false,
                Err(fault) => {
                    if !is_said {
                        tracing::error!(%fault, "nodes cannot know of each other");
                    }
                    is_said = true;
                    // Without a database nobody comes who has to be waited for.
                    if presence.is_held && presence.looks >= PATIENT_LOOKS {
                        presence.is_held = false;
                        shared.hold(false);
                    }
                }
            }
        }
    }

    /// Nobody need wait for this node, nor keep its share. It stays known while it has something
    /// to tell.
    pub(super) async fn depart(&self, has_told_all: bool) {
        let Some(presence) = self.presence.lock().await.take() else { return };
        if !has_told_all {
            return;
        }
        if let Err(fault) = self.store.forget_node(&presence.own.node, i64::MAX).await {
            tracing::error!(%fault, "the other nodes are not told that this one left");
        }
    }

    async fn attend_once(
        &self,
        shared: &Arc<Shared>,
        presence: &mut Presence,
    ) -> Result<(), store::Error> {
        presence.looks = presence.looks.saturating_add(1);
        let now_ms = self.clock.unix_ms();
        // Whoever comes is seen by all who come after it.
        self.say(shared, presence, &[]).await?;
        let mut others = self.store.nodes().await?;
        others.retain(|row| row.node != presence.own.node);
        let standing = shared.standing();
        let oldest_ms = now_ms.saturating_sub(self.settings.window_ms()).saturating_sub(60_000);
        for gone in others.iter().filter(|row| row.seen_at < oldest_ms) {
            // What it let in by itself has left the windows, and not the months.
            let is_told = gone.alone_since == 0 || self.tell_for(shared, gone).await?;
            if is_told {
                self.store.forget_node(&gone.node, gone.seen_at).await?;
            }
        }
        others.retain(|row| row.seen_at >= oldest_ms);
        let is_there =
            |row: &&NodeRow| row.alone_since > 0 || (now_ms - row.seen_at).abs() < SILENT_AFTER_MS;
        let there: Vec<&NodeRow> = others.iter().filter(is_there).collect();
        let kept: Vec<&NodeRow> = there.iter().copied().filter(|row| row.alone_since > 0).collect();
        // Where Redis went away for all, some notice it sooner.
        let for_long = |row: &&&NodeRow| row.alone_since < now_ms - FOR_LONG_MS;
        let absent = kept.iter().filter(for_long).count();
        shared.keep_for(kept.iter().map(|row| row.node.clone()).collect(), absent);
        if !standing.is_up {
            shared.count_with(there.iter().map(|row| row.node.clone()));
        }
        self.say(shared, presence, &there).await?;
        if presence.is_held {
            self.settle(shared, presence, &others).await?;
        }
        Ok(())
    }

    /// The own row, where it has something new to say or has not been said for long.
    async fn say(
        &self,
        shared: &Shared,
        presence: &mut Presence,
        there: &[&NodeRow],
    ) -> Result<(), store::Error> {
        let Standing { is_up, era } = shared.standing();
        let mut row = presence.own.clone();
        if is_up {
            row.era = era;
            (row.alone_since, row.knows, row.spent) = (0, String::new(), String::new());
        } else {
            if row.alone_since == 0 {
                // In the data folder first: who finds this row and no file there lacks something.
                shared.begin_diary();
                row.alone_since = self.clock.unix_ms();
            }
            let boots: Vec<&str> = there.iter().map(|row| row.boot.as_str()).collect();
            let is_known = |boot: &&str| row.knows.split(' ').any(|known| known == *boot);
            if !there.is_empty() && !boots.iter().all(is_known) {
                // After it counts with them: what it lets in from here on is of the smaller share.
                (row.knows, row.spent) = (boots.join(" "), shared.spent());
            }
        }
        let is_new = row != presence.own || presence.own.seen_at == 0;
        if !is_new && presence.looks.saturating_sub(presence.said_at) < SAY_EVERY {
            return Ok(());
        }
        row.seen_at = self.clock.unix_ms();
        self.store.say_node(&row).await?;
        (presence.own, presence.said_at) = (row, presence.looks);
        Ok(())
    }

    /// Lets this node into the sharing where nobody is left to be waited for.
    async fn settle(
        &self,
        shared: &Arc<Shared>,
        presence: &mut Presence,
        others: &[NodeRow],
    ) -> Result<(), store::Error> {
        let Standing { is_up, era } = shared.standing();
        let own = presence.own.boot.as_str();
        let is_waited_for = |row: &&NodeRow| match is_up {
            // What it counted before is in Redis, or in the database by now.
            true => row.era != era,
            false => !presence.goes_on && !row.knows.split(' ').any(|known| known == own),
        };
        let waited_for: Vec<&NodeRow> = others.iter().filter(is_waited_for).collect();
        if !waited_for.is_empty() && presence.looks < PATIENT_LOOKS {
            return Ok(());
        }
        if is_up {
            for row in waited_for {
                self.store.give_up_node(row, &era).await?;
            }
        }
        let has_lost_it = presence.former_era.as_ref().is_some_and(|former| *former != era);
        if presence.looks > 1 || has_lost_it {
            // More is known by now than when this node began.
            self.remember_others(shared, (&presence.own.node, None)).await?;
            shared.forget_months();
        }
        if !is_up && !presence.goes_on {
            shared.learn_spent(others.iter().map(|row| row.spent.as_str()));
        }
        shared.tell_known().await;
        // Redis went away or came back meanwhile: then somebody else is to be waited for.
        if shared.standing() == (Standing { is_up, era }) {
            presence.is_held = false;
            shared.hold(false);
        }
        Ok(())
    }
}
