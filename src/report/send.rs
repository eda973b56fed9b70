//! Reports that are due by themselves: one node makes each, for the time that the settings name,
//! and hands it over to a destination. What fell due while nobody was there is made once.
//! Must never send one twice, nor call one sent that nobody was handed.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{A_DAY_MS, Asked, Document, Limits, ReportError, ReportKind, Sources};
use crate::alerts::{Alerts, DestinationError, HandedOver, Parcel};
use crate::backup;
use crate::clock::Clock;
use crate::crypto::sha256;
use crate::ledger::Ledger;
use crate::schedule::Schedule;
use crate::store::{self, Span, Store, Turn};
use crate::vault::Vault;

/// A report that the settings want sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: ReportKind,
    pub(crate) schedule: Schedule,
    /// Of so many days until it is due.
    pub(crate) days: u32,
    /// The name of a destination.
    pub(crate) to: String,
    pub(crate) client: Option<String>,
    pub(crate) provider: Option<String>,
}

/// Who sends them.
pub(crate) struct Sender {
    pub(crate) plans: Vec<Plan>,
    pub(crate) store: Store,
    pub(crate) vault: Arc<Vault>,
    pub(crate) ledger: Ledger,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) clock: Clock,
    pub(crate) backups: backup::Settings,
    pub(crate) node: String,
}

#[derive(Debug)]
enum Fault {
    Report(ReportError),
    Destination(DestinationError),
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Making one takes as long as it takes; a node that died is followed by another one.
const HELD_MS: i64 = 10 * 60_000;
/// Behind a failure, and twice as long behind the next one.
const PAUSE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Times that passed while nobody was there: no more of them are looked at.
const MOST_MISSED: usize = 10_000;

impl Sender {
    /// For ever, where the settings name a report.
    pub(crate) async fn keep(self) {
        if self.plans.is_empty() {
            return;
        }
        let begun_ms = self.clock.unix_ms();
        // When they were last sent, as far as is known here: a look at the clock is enough then.
        let mut known_ms = None;
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now_ms = self.clock.unix_ms();
            if known_ms.is_some_and(|last| self.due(last, now_ms).is_empty()) {
                continue;
            }
            match self.send_due(begun_ms).await {
                Ok((last, false)) => (known_ms, pause) = (Some(last), PAUSE),
                Ok((last, true)) => {
                    // What can be made again and again may take long to make.
                    tokio::time::sleep(pause).await;
                    (known_ms, pause) = (Some(last), LONGEST_PAUSE.min(pause * 2));
                }
                Err(fault) => {
                    tracing::warn!(%fault, "reports that are due wait");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Until when all are sent now, and whether one waits that could not be.
    async fn send_due(&self, begun_ms: i64) -> Result<(i64, bool), store::Error> {
        let last = self.store.last_turn(Turn::Reports).await?.unwrap_or(begun_ms);
        let now_ms = self.clock.unix_ms();
        let due = self.due(last, now_ms);
        let Some(first_ms) = due.iter().map(|(_, due_ms)| *due_ms).min() else {
            return Ok((last, false));
        };
        let span = Span {
            now_ms,
            due_before_ms: first_ms.saturating_sub(1),
            held_until_ms: now_ms.saturating_add(HELD_MS),
        };
        if !self.store.take_turn(Turn::Reports, &self.node, span).await? {
            return Ok((last, false));
        }
        let mut waits = false;
        for (plan, due_ms) in due {
            // One that cannot be made keeps no other one from being sent.
            if let Err(fault) = self.send(plan, due_ms).await {
                let kind = plan.kind.as_str();
                tracing::warn!(kind, to = plan.to, %fault, "a report that is due waits");
                waits = true;
            }
        }
        if waits {
            // All of them are tried again, and what was handed over is not sent twice.
            self.store.end_turn(Turn::Reports, &self.node, None).await?;
            return Ok((last, true));
        }
        self.store.end_turn(Turn::Reports, &self.node, Some(now_ms)).await?;
        Ok((now_ms, false))
    }

    /// Each with the last time at which it fell due since then.
    fn due(&self, last_ms: i64, now_ms: i64) -> Vec<(&Plan, i64)> {
        let due = self.plans.iter().filter_map(|plan| {
            let times = std::iter::successors(plan.schedule.next_fixed_after(last_ms), |at| {
                plan.schedule.next_fixed_after(*at)
            });
            let due = times.take(MOST_MISSED).take_while(|at| *at <= now_ms).last()?;
            Some((plan, due))
        });
        due.collect()
    }

    async fn send(&self, plan: &Plan, due_ms: i64) -> Result<(), Fault> {
        let from_ms = due_ms.saturating_sub(i64::from(plan.days).saturating_mul(A_DAY_MS));
        let asked = Asked {
            from_ms,
            to_ms: due_ms,
            client: plan.client.clone(),
            provider: plan.provider.clone(),
        };
        let made = match self.made(plan.kind, &asked).await {
            Ok(made) => made,
            Err(fault @ ReportError::TooMuch) => {
                let kind = plan.kind.as_str();
                tracing::error!(kind, to = plan.to, %fault, "a report is due; name fewer days");
                return Ok(());
            }
            Err(fault @ (ReportError::Store(_) | ReportError::Vault(_))) => {
                return Err(Fault::Report(fault));
            }
        };
        let parcel = Parcel {
            kind: plan.kind.as_str(),
            title: made.title(),
            from_ms,
            to_ms: due_ms,
            report: made.to_json(),
            page: made.to_html(),
            name: made.file_name(),
        };
        let handed = self.alerts.hand_over(&plan.to, plan.id(due_ms), &parcel).await;
        let kind = plan.kind.as_str();
        match handed.map_err(Fault::Destination)? {
            HandedOver::Waiting => tracing::info!(kind, to = plan.to, "a report is on its way"),
            HandedOver::Nobody => {
                tracing::error!(kind, to = plan.to, "a report is due, and nobody has this name");
            }
            HandedOver::Syslog => {
                tracing::error!(kind, to = plan.to, "a report is due, and syslog takes none");
            }
        }
        Ok(())
    }

    async fn made(&self, kind: ReportKind, asked: &Asked) -> Result<Document, ReportError> {
        let sources = Sources {
            store: &self.store,
            vault: &self.vault,
            backups: &self.backups,
            now_ms: self.clock.unix_ms(),
        };
        match kind {
            ReportKind::Hygiene => sources.hygiene(asked, &Limits::USUAL).await,
            ReportKind::Usage => sources.usage(asked).await,
            ReportKind::Security => sources.security(asked, &self.ledger).await,
        }
    }
}

impl Plan {
    /// The same for each node and each try.
    fn id(&self, due_ms: i64) -> Uuid {
        let Self { kind, schedule: _, days, to, client, provider } = self;
        let text = format!("{}|{days}|{to}|{client:?}|{provider:?}|{due_ms}", kind.as_str());
        let digest = sha256(text.as_bytes());
        let random = digest.first_chunk::<10>().copied().unwrap_or_default();
        let due_ms = u64::try_from(due_ms).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(due_ms, &random).into_uuid()
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Report(fault) => fault.fmt(f),
            Self::Destination(DestinationError::Sealed) => f.write_str("the vault is sealed"),
            Self::Destination(_) => f.write_str("its destination cannot be read"),
        }
    }
}
