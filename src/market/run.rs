//! A run from its first symbol to its last: planned when it begins, its parts side by side, gone on
//! with after whatever broke it off, by one node at a time. Tells how it went.
//! Must never end a run of which a part is open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::Instrument as _;

use super::part::{Job, Stop};
use super::{Market, Span};
use crate::store::{self, BackfillStatus, PartRow, Quality, RunRow, SymbolRow, Turn};

/// How soon a run that another node was asked for is seen.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// How long a node may be silent before another one goes on.
const HELD_MS: i64 = 60_000;
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How soon a run that somebody cancels ends, and a part whose symbol is tracked no longer.
const WATCH_EVERY: Duration = Duration::from_secs(1);
const MS_NS: i64 = 1_000_000;
const UNTRACKED: &str = "it is tracked no longer";
/// Symbols that an alert names.
const NAMED: usize = 20;

impl Market {
    pub(super) async fn keep_running(self: Arc<Self>) {
        loop {
            let market = Arc::clone(&self);
            match alone(async move { market.run_next().await }).await {
                Some(Ok(())) => {}
                Some(Err(fault)) => {
                    tracing::warn!(%fault, "runs that fetch history could not be looked after");
                }
                None => {
                    tracing::error!("a bug ended a run that fetches history; it is tried again")
                }
            }
            // A run that stopped for a while is looked at again, and so is what others were asked.
            tokio::select! {
                () = self.bell.notified() => {}
                () = tokio::time::sleep(ASKED_EVERY) => {}
            }
        }
    }

    async fn run_next(self: &Arc<Self>) -> Result<(), store::Error> {
        if self.vault.is_sealed() {
            return Ok(());
        }
        while let Some(run) = self.store.next_run().await? {
            let now_ms = self.clock.unix_ms();
            let held_until_ms = now_ms.saturating_add(HELD_MS);
            let span = store::Span { now_ms, due_before_ms: i64::MAX, held_until_ms };
            if !self.store.take_turn(Turn::Backfill, &self.node, span).await? {
                return Ok(());
            }
            let outcome = tokio::select! {
                outcome = self.run(&run) => outcome,
                () = self.hold_on() => Ok(false),
            };
            self.store.end_turn(Turn::Backfill, &self.node, None).await?;
            if !outcome? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends when the turn is lost.
    async fn hold_on(&self) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let until_ms = self.clock.unix_ms().saturating_add(HELD_MS);
            match self.store.renew_turn(Turn::Backfill, &self.node, until_ms).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => tracing::warn!(%fault, "the turn to fetch history was not renewed"),
            }
        }
    }

    /// True where it has ended; else it is gone on with later.
    async fn run(self: &Arc<Self>, run: &RunRow) -> Result<bool, store::Error> {
        if let Some(by) = &run.cancelled_by {
            return self.cancel(run, by).await;
        }
        let symbols = self.store.symbols().await?;
        if run.state == BackfillStatus::Pending {
            let parts = self.plan(run, &symbols).await?;
            // Cancelled in this moment, or begun by another node: it is looked at anew.
            if !self.store.begin_run(run.id, &parts).await? {
                return Ok(true);
            }
        }
        let symbols: HashMap<i64, SymbolRow> =
            symbols.into_iter().map(|symbol| (symbol.id, symbol)).collect();
        let mut open = self.store.parts(run.id).await?;
        open.retain(|part| is_open(part.state));
        let mut open = open.into_iter();
        let mut working: JoinSet<bool> = JoinSet::new();
        let mut handles: HashMap<i64, AbortHandle> = HashMap::new();
        let mut watch = tokio::time::interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut goes_on = true;
        loop {
            while goes_on && working.len() < self.settings.at_once {
                let Some(part) = open.next() else { break };
                let (id, symbol) = (part.symbol_id, symbols.get(&part.symbol_id).cloned());
                let own = Arc::clone(self);
                let is_default = run.from_ms.is_none();
                let work = async move { own.work_alone((part, symbol), is_default).await };
                handles.insert(id, working.spawn(work));
            }
            tokio::select! {
                ended = working.join_next() => match ended {
                    Some(Ok(may_go_on)) => goes_on &= may_go_on,
                    Some(Err(fault)) => goes_on &= fault.is_cancelled(),
                    None => break,
                },
                _ = watch.tick() => {
                    if let Some(by) = self.store.run_cancelled_by(run.id).await? {
                        working.shutdown().await;
                        return self.cancel(run, &by).await;
                    }
                    self.let_go(run, &handles).await?;
                }
            }
        }
        self.conclude(run).await
    }

    /// Ends what is open of a run that somebody wants no more. What is stored stays, and the next
    /// run goes on from there.
    async fn cancel(&self, run: &RunRow, by: &str) -> Result<bool, store::Error> {
        let line = format!("cancelled by {by}");
        for part in self.store.parts(run.id).await? {
            if is_open(part.state) {
                self.end_early(part, &line, run.from_ms.is_none()).await?;
            }
        }
        self.store.end_run(run.id, BackfillStatus::Failed, Some(&line)).await?;
        Ok(true)
    }

    /// Ends the parts of symbols that are tracked no longer.
    async fn let_go(
        &self,
        run: &RunRow,
        handles: &HashMap<i64, AbortHandle>,
    ) -> Result<(), store::Error> {
        let untracked = self.store.untracked_parts(run.id).await?;
        if untracked.is_empty() {
            return Ok(());
        }
        for part in self.store.parts(run.id).await? {
            if untracked.contains(&part.symbol_id) && is_open(part.state) {
                if let Some(working) = handles.get(&part.symbol_id) {
                    working.abort();
                }
                self.end_early(part, UNTRACKED, run.from_ms.is_none()).await?;
            }
        }
        Ok(())
    }

    async fn end_early(
        &self,
        mut part: PartRow,
        line: &str,
        is_default: bool,
    ) -> Result<(), store::Error> {
        (part.state, part.error) = (BackfillStatus::Failed, Some(line.to_owned()));
        self.store.end_part(&part, &nothing(), is_default).await?;
        self.store.note_backfill(part.symbol_id, (BackfillStatus::Pending, None), None).await
    }

    /// A bug in one ends no other.
    async fn work_alone(
        self: Arc<Self>,
        (part, symbol): (PartRow, Option<SymbolRow>),
        is_default: bool,
    ) -> bool {
        let (own, kept) = (Arc::clone(&self), part.clone());
        let worked = alone(async move { own.work((part, symbol), is_default).await }).await;
        match worked {
            Some(goes_on) => goes_on,
            None => self.broke(kept).await,
        }
    }

    /// True unless the whole run is to stop.
    async fn work(
        &self,
        (mut part, symbol): (PartRow, Option<SymbolRow>),
        is_default: bool,
    ) -> bool {
        match self.worked(&mut part, symbol.as_ref(), is_default).await {
            Ok(goes_on) => goes_on,
            Err(fault) => {
                tracing::warn!(%fault, symbol = part.symbol, "a part of a run is left for later");
                false
            }
        }
    }

    /// A bug ended it, and would again: it ends there, and the others go on.
    async fn broke(&self, mut part: PartRow) -> bool {
        const LINE: &str = "a bug in Sealgate ended it; the log says where";
        tracing::error!(symbol = part.symbol, "a bug ended a part of a run");
        part.state = BackfillStatus::Failed;
        part.error = Some(LINE.to_owned());
        let ended = async {
            self.store.end_part(&part, &nothing(), false).await?;
            let stands = (BackfillStatus::Failed, Some(LINE));
            self.store.note_backfill(part.symbol_id, stands, None).await
        };
        match ended.await {
            Ok(()) => true,
            Err(fault) => {
                tracing::warn!(%fault, symbol = part.symbol, "a part of a run is left for later");
                false
            }
        }
    }

    async fn worked(
        &self,
        part: &mut PartRow,
        symbol: Option<&SymbolRow>,
        is_default: bool,
    ) -> Result<bool, store::Error> {
        if !self.store.begin_part(part).await? {
            return Ok(true);
        }
        let (id, status) = (part.symbol_id, BackfillStatus::InProgress);
        self.store.note_backfill(id, (status, None), None).await?;
        let provider = self.catalogue.get(&part.provider);
        let span = Span::of_seconds(part.span);
        let (fetched, whole) = match (symbol, provider, span) {
            (Some(symbol), Some(provider), Some(span)) => {
                let job = Job { part, symbol, span, provider };
                match self.fetch(&job).await {
                    Ok(quality) => (Ok(quality), self.whole(&job).await),
                    Err(stop) => (Err(stop), Ok(nothing())),
                }
            }
            (None, ..) => (failed("the symbol is gone"), Ok(nothing())),
            (_, None, _) => (failed("its provider is not configured"), Ok(nothing())),
            (_, _, None) => (failed("there are no candles of this length"), Ok(nothing())),
        };
        let (quality, whole) = match (fetched, whole) {
            (Err(Stop::Later), _) | (_, Err(Stop::Later)) => return Ok(false),
            (Ok(quality), Ok(whole)) => (Ok(quality), whole),
            (Err(Stop::Failed(line)), _) | (_, Err(Stop::Failed(line))) => (Err(line), nothing()),
        };
        part.state = match quality {
            Ok(_) => BackfillStatus::Completed,
            Err(_) => BackfillStatus::Failed,
        };
        match quality {
            Ok(quality) => part.quality = quality,
            Err(line) => part.error = Some(line),
        }
        let is_from_the_beginning = is_default || part.from <= self.far_back(part.to);
        self.store.end_part(part, &whole, is_from_the_beginning).await?;
        let done_at = (part.state == BackfillStatus::Completed).then_some(part.to / MS_NS);
        let stands = (part.state, part.error.as_deref());
        self.store.note_backfill(id, stands, done_at).await?;
        Ok(true)
    }

    /// True where no part is open any more.
    async fn conclude(&self, run: &RunRow) -> Result<bool, store::Error> {
        let parts = self.store.parts(run.id).await?;
        if parts.iter().any(|part| is_open(part.state)) {
            return Ok(false);
        }
        let has_failed = |part: &&PartRow| {
            part.state == BackfillStatus::Failed && part.error.as_deref() != Some(UNTRACKED)
        };
        let failed: Vec<&PartRow> = parts.iter().filter(has_failed).collect();
        let was_failed = self.former_failed(run).await?;
        let all = parts.len();
        if failed.is_empty() {
            let note = (all == 0).then_some("there was no active symbol to fetch");
            self.store.end_run(run.id, BackfillStatus::Completed, note).await?;
        } else {
            let line = format!("{} of {all} symbols failed", failed.len());
            self.store.end_run(run.id, BackfillStatus::Failed, Some(&line)).await?;
        }
        self.tell(run, &failed, was_failed).await;
        Ok(true)
    }

    /// Did the last run that ended before this one fail?
    async fn former_failed(&self, run: &RunRow) -> Result<bool, store::Error> {
        let former = self.store.runs(Some(run.id), 10).await?;
        let is_over = |former: &&RunRow| !is_open(former.state) && former.cancelled_by.is_none();
        let ended = former.iter().find(is_over);
        Ok(ended.is_some_and(|former| former.state == BackfillStatus::Failed))
    }

    /// Does the history of any symbol still wait for a run that succeeds?
    async fn is_any_failed(&self) -> bool {
        let symbols = self.store.symbols().await.unwrap_or_default();
        let has_failed = |row: &SymbolRow| row.backfill_status == BackfillStatus::Failed;
        symbols.iter().any(|row| row.active && has_failed(row))
    }

    /// An alert, and its end.
    async fn tell(&self, run: &RunRow, failed: &[&PartRow], was_failed: bool) {
        const ALERT: &str = "backfill_failed";
        let id = run.id.to_string();
        if failed.is_empty() {
            if was_failed && !self.is_any_failed().await {
                self.ledger
                    .noted(json!({"alert": ALERT, "run": id, "resolved": "all was fetched"}));
            }
            return;
        }
        self.metrics.alert_raised(ALERT);
        let one = |part: &&PartRow| json!({"symbol": part.symbol, "error": part.error});
        let some: Vec<serde_json::Value> = failed.iter().take(NAMED).map(one).collect();
        self.ledger.found(json!({
            "alert": ALERT, "run": id, "failed": failed.len(), "symbols": some,
        }));
    }
}

/// None where it panicked; what waits for it and is dropped ends it.
async fn alone<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let mut one = JoinSet::new();
    one.spawn(work.in_current_span());
    one.join_next().await.and_then(Result::ok)
}

fn is_open(state: BackfillStatus) -> bool {
    match state {
        BackfillStatus::Pending | BackfillStatus::InProgress => true,
        BackfillStatus::Completed | BackfillStatus::Failed => false,
    }
}

fn failed(line: &str) -> Result<Quality, Stop> {
    Err(Stop::Failed(line.to_owned()))
}

pub(super) fn nothing() -> Quality {
    Quality { days_expected: 0, days_present: 0, gaps: String::from("[]") }
}
