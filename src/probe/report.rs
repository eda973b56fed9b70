//! What a check found: its steps as they ended, and what follows from them for the key.
//! The words are for operators, and the same in answers, the trail and on a terminal.
//! Must never hold a value of a secret, nor a text of a provider's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Tell;
use crate::clock::Clock;
use crate::provider::AccountKind;
use crate::store::{Health, Outcome};

/// One step, when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// None: it was not taken, or nothing could be told.
    pub(crate) ok: Option<bool>,
    pub(crate) detail: String,
    pub(crate) remedy: Option<String>,
    pub(crate) ms: u64,
}

/// What the provider's answer says of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// It was not asked: its entry has no probe, or there was nothing to ask with.
    NotAsked,
    /// It answers whatever the key is.
    AnyString,
    Good,
    Refused,
    /// No answer came.
    Unreached,
    /// An answer came that says nothing of the key.
    Untold,
}

/// The whole of a check.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) steps: Vec<Step>,
    pub(crate) live: Live,
    pub(crate) permissions: BTreeMap<String, bool>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) account: Option<AccountKind>,
    pub(crate) told_end_ms: Option<i64>,
}

/// A check under way.
pub(super) struct Run<'a, 'b> {
    clock: Clock,
    tell: &'a mut Tell<'b>,
    began_ns: u64,
    pub(super) report: Report,
}

impl Step {
    pub(super) fn new(name: &'static str, ok: Option<bool>, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into(), remedy: None, ms: 0 }
    }

    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name, "ok": self.ok, "detail": self.detail, "remedy": self.remedy,
            "ms": self.ms,
        })
    }
}

impl<'a, 'b> Run<'a, 'b> {
    pub(super) fn new(clock: Clock, tell: &'a mut Tell<'b>) -> Self {
        let began_ns = clock.monotonic_ns();
        let report = Report {
            steps: Vec::new(),
            live: Live::NotAsked,
            permissions: BTreeMap::new(),
            limits: BTreeMap::new(),
            account: None,
            told_end_ms: None,
        };
        Self { clock, tell, began_ns, report }
    }

    /// The step took as long as it is since the one before it.
    pub(super) fn end(&mut self, mut step: Step) {
        let now_ns = self.clock.monotonic_ns();
        let since_ns = now_ns.saturating_sub(std::mem::replace(&mut self.began_ns, now_ns));
        step.ms = since_ns / 1_000_000;
        (self.tell)(&step);
        self.report.steps.push(step);
    }

    pub(super) fn report(self) -> Report {
        self.report
    }
}

impl Report {
    /// No step that was taken has failed.
    pub(crate) fn ok(&self) -> bool {
        self.steps.iter().all(|step| step.ok != Some(false))
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.live {
            Live::Good => Outcome::Good,
            Live::Refused => Outcome::Refused,
            Live::NotAsked | Live::AnyString | Live::Unreached | Live::Untold => Outcome::Unknown,
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self.outcome() {
            Outcome::Refused => Health::Refused,
            Outcome::Unknown => Health::Unknown,
            Outcome::Good if self.ok() => Health::Healthy,
            Outcome::Good => Health::Degraded,
        }
    }

    /// In one sentence: the first step that failed, else what the provider said.
    pub(crate) fn why(&self) -> String {
        let failed = self.steps.iter().find(|step| step.ok == Some(false));
        let live = || self.steps.iter().find(|step| step.name == "live");
        failed.or_else(live).map(|step| step.detail.clone()).unwrap_or_default()
    }

    pub(crate) fn steps_json(&self) -> Value {
        self.steps.iter().map(Step::json).collect()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "ok": self.ok(), "outcome": self.outcome().as_str(), "health": self.health().as_str(),
            "steps": self.steps_json(),
        })
    }

    /// For the trail.
    pub(crate) fn summary(&self) -> Value {
        let steps: BTreeMap<&str, Option<bool>> =
            self.steps.iter().map(|step| (step.name, step.ok)).collect();
        json!({
            "outcome": self.outcome().as_str(), "health": self.health().as_str(), "steps": steps,
        })
    }

    pub(super) fn permissions_json(&self) -> Option<String> {
        let granted = self.permissions.iter().filter(|(_, granted)| **granted);
        let names: Vec<&String> = granted.map(|(name, _)| name).collect();
        (!self.permissions.is_empty()).then(|| json!(names).to_string())
    }

    pub(super) fn limits_json(&self) -> Option<String> {
        (!self.limits.is_empty()).then(|| json!(self.limits).to_string())
    }
}
