//! The one writer: takes closed records out of the lanes, chains and packs them, stores them in
//! blocks, signs what it stores, and gives the slots back. Looks by itself, often while there is
//! much to do; nobody has to wake it. Must never give a slot back before its record is committed,
//! and never store a record twice.
//!
//! A store that fails may have committed all the same. So after every failure the writer asks the
//! database how the chain ends there before it packs again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::block::{Link, Packer};
use super::cover::Cover;
use super::end::{self, End};
use super::lane::Shared;
use super::recovery;
use super::tally::{Batch, Counting, Meter, Uses};
use super::view::View;
use super::{Inner, Served, lock, marks, push, room};
use crate::store::{self, Along, Checkpoint, Counted};

/// Between two looks: while calls come in by the thousand, and otherwise.
const BUSY: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_millis(100);
/// So many records in one look are "many".
const MANY: usize = 512;
const MOST_BACKOFF: Duration = Duration::from_secs(5);
/// How often last uses and sums of usage are written: they are rows of their own.
const USES_EVERY: Duration = Duration::from_secs(2);
const TRIES_WHEN_STOPPING: u32 = 3;
/// A failure that lasts so long is no hiccup.
const ALERT_AFTER_NS: u64 = 3_000_000_000;
const FORGET_EVERY_MS: i64 = 3_600_000;
const LAST_PUSH_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    meter: Meter,
    counting: Counting,
    packer: Packer,
    /// The end of the chain as far as it is stored.
    link: Link,
    /// What of it is not signed yet.
    cover: Cover,
    /// Drained and not stored, in the order in which they closed.
    waiting: VecDeque<Waiting>,
    batch: Batch,
    /// Uses of records that are stored, themselves not yet.
    due: Uses,
    /// The hour in which old sums of usage were last thrown away.
    forgot_in: Option<i64>,
    /// How long the writer has slept since uses were stored.
    uses_waited: Duration,
    /// A block that was given to the database and not confirmed.
    attempt: Option<Attempt>,
    failures: u32,
    /// When the present attempt began, and the first of those that failed.
    began_ns: u64,
    failing_since_ns: Option<u64>,
    /// The trail says that records wait.
    is_told: bool,
    scratch: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Waiting {
    closed_at_ns: u64,
    /// Its place among the lanes.
    lane: usize,
    slot: u32,
}

#[derive(Clone)]
struct Attempt {
    after: Link,
    records: usize,
    with_uses: bool,
    cover: Cover,
    checkpoints: Vec<Checkpoint>,
}

impl Writer {
    pub(super) fn new(
        (node, link, cover): (&str, Link, Cover),
        recovered: &Batch,
        (mut meter, counting): (Meter, Counting),
    ) -> Self {
        recovered.report(&mut meter);
        let span_ms = counting.span_ms();
        Self {
            meter,
            counting,
            packer: Packer::new(node),
            link,
            cover,
            waiting: VecDeque::new(),
            due: Uses::default(),
            batch: Batch::new(span_ms),
            forgot_in: None,
            uses_waited: USES_EVERY,
            attempt: None,
            failures: 0,
            began_ns: 0,
            failing_since_ns: None,
            is_told: false,
            scratch: Vec::new(),
        }
    }

    pub(super) async fn run(mut self: Box<Self>, inner: Arc<Inner>) {
        tokio::select! {
            () = self.drain_until_stopped(&inner) => {}
            () = room::make(&inner) => {}
            () = push::run(&inner) => {}
        }
        // The last of it, if the places are there; else the next start does it.
        let _in_time = tokio::time::timeout(LAST_PUSH_WITHIN, push::once(&inner, true)).await;
    }

    async fn drain_until_stopped(&mut self, inner: &Inner) {
        let mut served = 0;
        loop {
            let number = inner.asked.load(Ordering::Acquire);
            let stopping = inner.stopping.load(Ordering::Acquire);
            // Whoever waits for a flush reads last uses too.
            if number != served || stopping {
                self.uses_waited = USES_EVERY;
            }
            served = number;
            inner.settle_sums(inner.clock.monotonic_ns(), stopping);
            self.began_ns = inner.clock.monotonic_ns();
            let drained = self.drain(&inner.lanes);
            let all_stored =
                self.store_waiting(inner).await && self.sign_rest(inner, stopping).await;
            inner.served.send_replace(Served { number, all_stored });
            if stopping && (all_stored || self.failures >= TRIES_WHEN_STOPPING) {
                return;
            }
            if drained == 0 && all_stored {
                self.packer.shrink();
            }
            let pause = match all_stored {
                true if drained >= MANY => BUSY,
                true => QUIET,
                false => QUIET.saturating_mul(1 << self.failures.min(8)).min(MOST_BACKOFF),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => self.uses_waited += pause,
                () = inner.wake.notified() => {}
            }
        }
    }

    /// Takes what closed since the last look. Lanes are merged by the time of closing; within a
    /// lane the order is already that.
    pub(super) fn drain(&mut self, lanes: &[Arc<Shared>]) -> usize {
        let before = self.waiting.len();
        for (place, lane) in lanes.iter().enumerate() {
            self.scratch.clear();
            lane.take_closed(&mut self.scratch);
            let waiting = |slot: &u32| Waiting {
                closed_at_ns: lane.slot(*slot).closed_at_ns(),
                lane: place,
                slot: *slot,
            };
            self.waiting.extend(self.scratch.iter().map(waiting));
        }
        let all = self.waiting.make_contiguous();
        all.get_mut(before..).unwrap_or_default().sort_by_key(|waiting| waiting.closed_at_ns);
        self.waiting.len() - before
    }

    /// False if the database failed; then the rest keeps waiting.
    async fn store_waiting(&mut self, inner: &Inner) -> bool {
        while !self.waiting.is_empty() {
            if let Err(error) = self.store_block(inner).await {
                self.failed(inner, &error);
                return false;
            }
            self.succeeded(inner);
        }
        if self.uses_are_due() && !self.due.is_empty() {
            let counted = self.counted(inner, &self.due.clone(), self.link);
            if let Err(error) = inner.sink.store().count_records(&inner.node, &counted).await {
                self.failed(inner, &error);
                return false;
            }
            self.uses_stored();
            self.succeeded(inner);
        }
        true
    }

    /// What has waited long enough for its checkpoint, though no thousand came; all of it when the
    /// house stops.
    async fn sign_rest(&mut self, inner: &Inner, stopping: bool) -> bool {
        let now_ms = inner.clock.unix_ms();
        let is_asked = inner.sign_asked.swap(false, Ordering::AcqRel);
        if self.cover.is_empty() || !(stopping || is_asked || self.cover.is_due(now_ms)) {
            return true;
        }
        match self.sign_now(inner, now_ms).await {
            Ok(()) => self.succeeded(inner),
            Err(error) => {
                self.failed(inner, &error);
                return false;
            }
        }
        true
    }

    async fn sign_now(&mut self, inner: &Inner, now_ms: i64) -> Result<(), store::Error> {
        let store = inner.sink.store();
        let epoch = store.inventory_epoch().await?;
        let mut cover = self.cover.clone();
        let Some(checkpoint) = cover.close(&inner.proof.words(&inner.node, (epoch, now_ms))) else {
            return Ok(());
        };
        store.add_checkpoint(&checkpoint).await?;
        self.cover = cover;
        inner.proof.stored(&inner.journal, std::slice::from_ref(&checkpoint));
        Ok(())
    }

    /// What is signed together with the packed block, and what stays to be signed.
    async fn signing(&mut self, inner: &Inner) -> Result<(Cover, Vec<Checkpoint>), store::Error> {
        let ends = self.cover.ends_within(self.packer.records());
        let epoch = if ends { inner.sink.store().inventory_epoch().await? } else { 0 };
        let words = inner.proof.words(&inner.node, (epoch, inner.clock.unix_ms()));
        let mut cover = self.cover.clone();
        let add = |hash: &[u8; 32]| cover.add(hash, &words);
        let checkpoints = self.packer.hashes().iter().filter_map(add).collect();
        Ok((cover, checkpoints))
    }

    fn uses_are_due(&self) -> bool {
        self.uses_waited >= USES_EVERY
    }

    fn uses_stored(&mut self) {
        self.due.clear();
        self.uses_waited = Duration::ZERO;
    }

    async fn store_block(&mut self, inner: &Inner) -> Result<(), store::Error> {
        if let Some(after) = self.attempt.as_ref().map(|attempt| attempt.after) {
            let end = end::find(inner.sink.store(), &inner.node, Some(self.link)).await?;
            if let Some(attempt) = self.attempt.take()
                && end.link == after
                && end.broken.is_none()
            {
                self.stored(inner, attempt);
                return Ok(());
            }
            self.go_on_from(inner, &end);
        }
        let records = self.pack(&inner.lanes);
        let (after, with_uses) = (self.packer.link(), self.uses_are_due());
        let (cover, checkpoints) = self.signing(inner).await?;
        let attempt = Attempt { after, records, with_uses, cover, checkpoints };
        let uses = attempt.with_uses.then(|| self.due.with(&self.batch.uses));
        let counted = uses.map(|uses| self.counted(inner, &uses, attempt.after));
        let block = self.packer.finish();
        let marks = marks::of(&block.body);
        let (counted, checkpoints) = (counted.as_ref(), attempt.checkpoints.as_slice());
        let along = Along { counted, checkpoints, marks: &marks };
        let appended = inner.sink.append(&block, &along).await;
        self.packer.reclaim(block);
        match appended {
            Ok(()) => self.stored(inner, attempt),
            Err(error) => {
                self.attempt = Some(attempt);
                return Err(error);
            }
        }
        Ok(())
    }

    fn counted(&mut self, inner: &Inner, uses: &Uses, through: Link) -> Counted {
        let now_ms = inner.clock.unix_ms();
        let mut counted = uses.to_counted(&self.counting, (through.next_sequence, now_ms));
        let hour = now_ms / FORGET_EVERY_MS;
        counted.forget_usage_at = (self.forgot_in != Some(hour)).then_some(now_ms);
        self.forgot_in = Some(hour);
        counted
    }

    /// Fills one block from what waits. Stores nothing and frees nothing.
    pub(super) fn pack(&mut self, lanes: &[Arc<Shared>]) -> usize {
        self.batch.forget();
        self.packer.restart(self.link);
        for waiting in &self.waiting {
            if self.packer.is_full() {
                break;
            }
            let Some(lane) = lanes.get(waiting.lane) else {
                continue;
            };
            let slot = lane.slot(waiting.slot);
            let batch = &mut self.batch;
            self.packer.add(
                |body| {
                    slot.copy_frames(body);
                },
                |frames| match View::read(frames) {
                    Some(view) => {
                        batch.add(&view);
                        view.started_at_ms
                    }
                    None => 0,
                },
            );
        }
        self.packer.records()
    }

    /// After the commit: only now the slots are free and the counts count.
    fn stored(&mut self, inner: &Inner, attempt: Attempt) {
        self.link = attempt.after;
        self.cover = attempt.cover;
        *lock(&inner.head) = attempt.after;
        inner.stored.send_replace(attempt.after.next_sequence);
        inner.journal.remember(&attempt.after);
        inner.proof.stored(&inner.journal, &attempt.checkpoints);
        self.give_back(&inner.lanes, attempt.records);
        self.batch.report(&mut self.meter);
        match attempt.with_uses {
            true => self.uses_stored(),
            false => self.due.merge(&self.batch.uses),
        }
        self.batch.forget();
    }

    pub(super) fn give_back(&mut self, lanes: &[Arc<Shared>], records: usize) {
        for (place, lane) in lanes.iter().enumerate() {
            self.scratch.clear();
            let stored = self.waiting.iter().take(records);
            self.scratch.extend(stored.filter(|w| w.lane == place).map(|w| w.slot));
            lane.give_back(&self.scratch);
        }
        self.waiting.drain(..records.min(self.waiting.len()));
    }

    /// The database holds another chain than this node left there: an older copy was restored, or
    /// somebody wrote into it. The trail goes on from what is there, and says so.
    fn go_on_from(&mut self, inner: &Inner, end: &End) {
        let link = end.link;
        if let Some(bad) = &end.broken {
            inner.journal.note_cut(bad.sequence);
            inner.append_finding(recovery::trail_broken(bad));
        }
        if link != self.link {
            inner.append_finding(serde_json::json!({
                "finding": "chain_moved",
                "expected_next_sequence": self.link.next_sequence,
                "found_next_sequence": link.next_sequence,
            }));
            self.link = link;
            self.cover = self.cover.moved(&link);
        }
    }

    /// Said once in the log, not at every try.
    fn failed(&mut self, inner: &Inner, error: &store::Error) {
        self.failures = self.failures.saturating_add(1);
        let mut degraded = lock(&inner.degraded);
        if degraded.is_none() {
            tracing::error!(%error, "Records wait in the journal until the database takes them.");
        }
        *degraded = Some(error.to_string());
        drop(degraded);
        let since_ns = *self.failing_since_ns.get_or_insert(self.began_ns);
        let lasted_ns = inner.clock.monotonic_ns().saturating_sub(since_ns);
        if lasted_ns >= ALERT_AFTER_NS && !std::mem::replace(&mut self.is_told, true) {
            inner.append_finding(serde_json::json!({
                "alert": "ledger_degraded", "part": "database",
                "finding": format!("records wait in the journal, because the database does not take \
                                    them: {error}; calls go on while there is room"),
            }));
        }
    }

    fn succeeded(&mut self, inner: &Inner) {
        self.failing_since_ns = None;
        if std::mem::take(&mut self.is_told) {
            inner.append_noted(serde_json::json!({
                "alert": "ledger_degraded", "part": "database",
                "resolved": "the database takes records again",
            }));
        }
        if self.failures > 0 {
            self.failures = 0;
            *lock(&inner.degraded) = None;
            tracing::info!("The database takes records again.");
        }
    }
}
