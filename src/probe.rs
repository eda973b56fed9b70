//! Is this provider key good? Its rows, its shape, a live call with the real key the way that every
//! call takes, what it may do, what limits it has, when it ends. Each step says what it found, how
//! long it took and what to do. Must never keep or tell what a provider's answer said beside
//! figures, and never send a key where a call could not go.

mod call;
mod errand;
mod live;
mod reading;
mod report;
mod steps;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use self::call::Caller;
pub(crate) use self::errand::{Errand, SERVES_CALLERS};
pub(crate) use self::report::{Live, Report, Step};
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::net::Deadlines;
use crate::provider::Provider;
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;
use crate::store::{Cause, CheckRow, Health, HealthRow, Outcome, Store, VersionState};
use crate::telemetry::Metrics;
use crate::upstream::{Origins, Upstream};
use crate::vault::{SecretView, Vault, VaultError};

/// As many as are kept.
const CHECKS: u32 = 50;
/// Checks at a time; others wait in line.
const AT_ONCE: usize = 8;
const SEALED_WITHIN: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub struct Settings {
    /// How often each key is asked about; None: when somebody asks.
    pub every: Option<Duration>,
}

/// What the room is built from.
pub(crate) struct Parts {
    pub(crate) vault: Arc<Vault>,
    pub(crate) catalogue: InForce,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) origins: Arc<Origins>,
}

/// Asks providers about keys, with connections of its own.
pub(crate) struct Prober {
    vault: Arc<Vault>,
    catalogue: InForce,
    store: Store,
    ledger: Ledger,
    metrics: Metrics,
    clock: Clock,
    caller: Caller,
    deadlines: Deadlines,
    /// Each check under way holds a key in plain.
    seats: Semaphore,
    /// Secrets that somebody wants to know of now.
    urgent: Mutex<Vec<Uuid>>,
}

/// Hears of each step when it has ended.
pub(crate) type Tell<'a> = dyn FnMut(&Step) + Send + 'a;

/// Why a check was made, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) cause: Cause,
    pub(crate) actor: &'a str,
}

impl Prober {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { vault, catalogue, store, ledger, metrics, clock, origins } = parts;
        let deadlines = Deadlines::new(clock.clone());
        let upstream = Upstream::new(origins, deadlines.clone(), clock.clone());
        let caller = Caller::new(upstream, clock.clone());
        let seats = Semaphore::new(AT_ONCE);
        let urgent = Mutex::default();
        Self { vault, catalogue, store, ledger, metrics, clock, caller, deadlines, seats, urgent }
    }

    fn unsealed(&self) -> Result<(), Refusal> {
        match self.vault.is_sealed() {
            true => Err(Refusal::new(Reason::Sealed, "The vault was sealed meanwhile.")),
            false => Ok(()),
        }
    }

    /// Ends when the vault is sealed: then no call of a check goes on, and no connection stays.
    async fn until_sealed(&self) -> Refusal {
        loop {
            tokio::time::sleep(SEALED_WITHIN).await;
            if let Err(refusal) = self.unsealed() {
                self.caller.forget_connections();
                return refusal;
            }
        }
    }

    /// What its connections need; for ever, spawned once.
    pub(crate) fn tend(&self) -> impl Future<Output = ()> + use<> {
        let (ticking, sweeping) = (self.deadlines.clone().tick(|| 0), self.caller.sweep());
        async move {
            tokio::join!(ticking, sweeping);
        }
    }

    /// A value that somebody has just entered; nothing is stored of it.
    pub(crate) async fn entered(
        &self,
        provider: &Arc<Provider>,
        (fields, expires_at_ms): (&[(String, SecretBytes)], Option<i64>),
        tell: &mut Tell<'_>,
    ) -> Result<Report, VaultError> {
        let _seat = self.seats.acquire().await;
        let candidate = self.vault.candidate(fields)?;
        let mut run = report::Run::new(self.clock.clone(), tell);
        let faults = candidate.faults(provider);
        let hint = self.catalogue.now().lookalike(provider, fields);
        run.end(steps::format(Some(&faults), (provider, hint)));
        if faults.is_empty() {
            live::steps(self, provider, (&candidate, expires_at_ms), &mut run).await;
        }
        Ok(run.report())
    }

    /// A stored secret: the version that calls use, or the one that is named. None where there is
    /// none.
    pub(crate) async fn stored(
        &self,
        (id, version): (Uuid, Option<u32>),
        asked: Asked<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<Option<(SecretView, Report)>, VaultError> {
        let _seat = self.seats.acquire().await;
        let Some(view) = self.vault.show(id).await? else { return Ok(None) };
        let Some(checked) = self.vault.check_stored(id).await? else { return Ok(None) };
        let provider = self.catalogue.get(&view.provider);
        let mut run = report::Run::new(self.clock.clone(), tell);
        let candidate = match &provider {
            Some(provider) => self.vault.candidate_of((id, provider), version).await,
            None => Ok(None),
        };
        steps::of_rows(&checked, version, &mut run);
        let number = match (provider, candidate) {
            (Some(provider), Ok(Some(candidate))) => {
                let fields = candidate.fields(&provider);
                let hint = self.catalogue.now().lookalike(&provider, &fields);
                drop(fields);
                let faults = candidate.faults(&provider);
                run.end(steps::format(Some(&faults), (&provider, hint)));
                run.end(steps::serve(&checked));
                let asked_about = (&candidate, view.expires_at_ms);
                live::steps(self, &provider, asked_about, &mut run).await;
                candidate.version()
            }
            (None, _) => {
                run.end(steps::unconfigured());
                run.end(steps::serve(&checked));
                version.unwrap_or(0)
            }
            (Some(_), Ok(None) | Err(_)) => {
                run.end(steps::serve(&checked));
                run.end(steps::unasked());
                version.unwrap_or(0)
            }
        };
        let report = run.report();
        self.note((&view, number), asked, &report).await;
        Ok(Some((view, report)))
    }

    /// Keeps what was found, and says so where a key has become a bad one or a good one again.
    pub(crate) async fn note(
        &self,
        (secret, version): (&SecretView, u32),
        asked: Asked<'_>,
        report: &Report,
    ) {
        let (id, now_ms) = (secret.id, self.clock.unix_ms());
        // A version on its way says nothing of the one that calls use.
        let mut versions = secret.versions.iter();
        let is_waiting = versions
            .any(|row| row.version == version && row.state != VersionState::Active.as_str());
        let was_refused = self.was_refused(secret).await;
        let check = CheckRow {
            id: Uuid::now_v7(),
            secret_id: id,
            version,
            checked_at: now_ms,
            cause: asked.cause,
            actor: asked.actor.to_owned(),
            outcome: report.outcome(),
            health: report.health(),
            report: report.steps_json().to_string(),
        };
        let stands = HealthRow {
            secret_id: id,
            health: report.health(),
            why: report.why(),
            since: now_ms,
            checked_at: now_ms,
            account: report.account.map(|kind| kind.as_str().to_owned()),
            permissions: report.permissions_json(),
            limits: report.limits_json(),
            told_end: report.told_end_ms,
        };
        if let Err(fault) = self.store.note_check(&check, (!is_waiting).then_some(&stands)).await {
            tracing::error!(%fault, secret = %id, "what a check found was not kept");
        }
        if !is_waiting {
            self.tell_turn(secret, was_refused, report);
        }
    }

    /// What the provider said of these versions when it said something last.
    async fn was_refused(&self, secret: &SecretView) -> bool {
        let waits = |check: &CheckRow| {
            let mut versions = secret.versions.iter();
            versions.any(|row| {
                row.version == check.version && row.state == VersionState::Pending.as_str()
            })
        };
        let checks = self.store.secret_checks(secret.id, None, CHECKS).await.unwrap_or_default();
        let told = checks.iter().find(|check| check.outcome != Outcome::Unknown && !waits(check));
        told.is_some_and(|check| check.outcome == Outcome::Refused)
    }

    /// An alert, and its end.
    fn tell_turn(&self, secret: &SecretView, was_refused: bool, report: &Report) {
        const ALERT: &str = "secret_refused";
        let subject = serde_json::json!({
            "id": secret.id.to_string(), "provider": secret.provider, "name": secret.name,
        });
        match (was_refused, report.health()) {
            (false, Health::Refused) => {
                self.metrics.alert_raised(ALERT);
                self.ledger.noted(serde_json::json!({
                    "alert": ALERT, "secret": subject, "finding": report.why(),
                }));
            }
            (true, Health::Healthy | Health::Degraded) => {
                self.ledger.noted(serde_json::json!({
                    "alert": ALERT, "secret": subject, "resolved": "the provider accepts the key",
                }));
            }
            (true, Health::Refused | Health::Unknown)
            | (false, Health::Healthy | Health::Degraded | Health::Unknown) => {}
        }
    }
}
