//! Where runs are asked for: by whoever stands at the doors, and by the schedule. A run that is
//! asked for waits in the database until some node takes it.
//! Must never fetch anything itself.

use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::{Settings, Span};
use crate::clock::Clock;
use crate::store::{self, BackfillStatus, RunCause, RunRow, Store};

/// The way to runs for those who do not make them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    store: Store,
    clock: Clock,
    settings: Settings,
    bell: Arc<Notify>,
}

/// What somebody wants to be fetched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// None: every active symbol.
    pub(crate) symbols: Option<Vec<String>>,
    pub(crate) from_ms: Option<i64>,
    pub(crate) to_ms: Option<i64>,
    pub(crate) span: Option<Span>,
}

#[derive(Debug)]
pub(crate) enum AskFault {
    /// So many wait already.
    TooMany,
    Store(store::Error),
}

/// Runs that have not ended.
const MOST_OPEN: i64 = 100;

impl Desk {
    pub(crate) fn new(store: Store, clock: Clock, settings: Settings) -> Self {
        Self { store, clock, settings, bell: Arc::default() }
    }

    pub(crate) async fn ask(
        &self,
        wanted: Wanted,
        (cause, by): (RunCause, &str),
    ) -> Result<RunRow, AskFault> {
        let now_ms = self.clock.unix_ms();
        let run = RunRow {
            id: Uuid::now_v7(),
            cause,
            asked_by: by.to_owned(),
            wanted: wanted.symbols,
            from_ms: wanted.from_ms,
            to_ms: wanted.to_ms.unwrap_or(now_ms),
            span: wanted.span.map(Span::seconds),
            state: BackfillStatus::Pending,
            error: None,
            cancelled_by: None,
            created_at: now_ms,
            started_at: None,
            finished_at: None,
        };
        if !self.store.add_run(&run, MOST_OPEN).await.map_err(AskFault::Store)? {
            return Err(AskFault::TooMany);
        }
        self.bell.notify_one();
        Ok(run)
    }

    /// When the next run is due by itself.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.settings.schedule.as_ref()?.next_fixed_after(self.clock.unix_ms())
    }

    pub(super) fn of(
        store: &Store,
        clock: &Clock,
        (settings, bell): (&Settings, &Arc<Notify>),
    ) -> Self {
        let (settings, bell) = (settings.clone(), Arc::clone(bell));
        Self { store: store.clone(), clock: clock.clone(), settings, bell }
    }

    pub(super) fn taken_apart(self) -> (Store, Clock, Settings, Arc<Notify>) {
        (self.store, self.clock, self.settings, self.bell)
    }
}
