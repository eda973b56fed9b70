//! The report on hygiene: every key that somebody should look at, the worst first, with what it
//! was judged by.
//! Must never call well what was not looked at.

use std::cmp::Reverse;

use super::document::{Cell, Document, Fact, Section};
use super::facts::Facts;
use super::finding::{COLUMNS, Finding, FindingKind};
use super::{A_DAY_MS, Asked, ReportError, ReportKind, Sources, broad, keys, repeats, secrets};
use crate::store::Severity;

/// From when on something is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Not used for so long.
    pub(crate) idle_days: u64,
    /// The same value for so long.
    pub(crate) old_days: u64,
    /// So long after it was made, a key that nobody used is one that nobody needs.
    pub(crate) new_days: u64,
    /// So long a key must have been watched before its scopes are judged.
    pub(crate) watch_days: u64,
    /// From more addresses than so many a client key is shared.
    pub(crate) addresses: u64,
    /// From so many on in the period, calls that asked again for what was fresh are told.
    pub(crate) repeats: u64,
}

impl Limits {
    pub(crate) const USUAL: Self = Self {
        idle_days: 30,
        old_days: 90,
        new_days: 7,
        watch_days: 7,
        addresses: 5,
        repeats: 100,
    };

    fn facts(&self) -> Vec<Fact> {
        vec![
            ("idle_days", "Idle after days", Cell::Count(self.idle_days)),
            ("old_days", "Old after days", Cell::Count(self.old_days)),
            ("new_days", "New for days", Cell::Count(self.new_days)),
            ("watch_days", "Watched for days", Cell::Count(self.watch_days)),
            ("addresses", "Addresses of one caller", Cell::Count(self.addresses)),
            ("repeats", "Repeated calls", Cell::Count(self.repeats)),
        ]
    }
}

/// Is it longer ago than so many days?
pub(super) fn is_past(now_ms: i64, at_ms: i64, days: u64) -> bool {
    let days = i64::try_from(days).unwrap_or(i64::MAX);
    now_ms.saturating_sub(at_ms) >= days.saturating_mul(A_DAY_MS)
}

/// Whole days until now.
pub(super) fn days_since(now_ms: i64, at_ms: i64) -> i64 {
    now_ms.saturating_sub(at_ms).max(0) / A_DAY_MS
}

impl Sources<'_> {
    pub(crate) async fn hygiene(
        &self,
        asked: &Asked,
        limits: &Limits,
    ) -> Result<Document, ReportError> {
        let facts = Facts::read(self, asked).await?;
        let mut findings = keys::findings(&facts, limits);
        findings.extend(broad::findings(&facts, limits));
        findings.extend(secrets::findings(&facts, limits));
        findings.extend(repeats::findings(&facts, limits));
        findings.sort_by(|left, right| order(left).cmp(&order(right)));
        Ok(Document {
            kind: ReportKind::Hygiene,
            title: "Hygiene of keys",
            made_at_ms: self.now_ms,
            asked: asked.clone(),
            settings: limits.facts(),
            summary: summary(&facts, &findings),
            sections: vec![Section {
                name: "findings",
                title: "Findings",
                none: "Nothing was found amiss.",
                columns: COLUMNS,
                rows: findings.iter().map(Finding::cells).collect(),
            }],
        })
    }
}

/// The worst first, then by kind, what it costs, how much of it there is, and name.
type Order<'a> = (u8, FindingKind, Reverse<(Option<u64>, u64)>, &'a str, &'a str, uuid::Uuid);

fn order(finding: &Finding) -> Order<'_> {
    let severity = match finding.severity {
        Severity::Critical => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    };
    let about = &finding.subject;
    let worse = Reverse((finding.cost, finding.weight));
    (severity, finding.kind, worse, about.sort, about.name.as_str(), about.id)
}

fn summary(facts: &Facts<'_>, findings: &[Finding]) -> Vec<Fact> {
    let count = |number: usize| Cell::Count(u64::try_from(number).unwrap_or(u64::MAX));
    let kinds: serde_json::Map<String, serde_json::Value> = FindingKind::ALL
        .into_iter()
        .map(|kind| {
            let of_it = findings.iter().filter(|finding| finding.kind == kind).count();
            (kind.as_str().to_owned(), of_it.into())
        })
        .collect();
    let told = kinds.iter().filter(|(_, count)| count.as_u64() != Some(0));
    let told = told.map(|(kind, count)| format!("{kind}: {count}")).collect();
    let cost = findings.iter().filter_map(|finding| finding.cost).fold(0, u64::saturating_add);
    vec![
        ("client_keys", "Client keys looked at", count(facts.keys.len())),
        ("secrets", "Providers' keys looked at", count(facts.wanted_secrets().count())),
        ("findings", "Findings", count(findings.len())),
        ("by_kind", "By kind", Cell::Told(kinds.into(), told)),
        ("cost", "Spent for nothing ($)", Cell::Cost(cost)),
        ("cost_micros", "In millionths", Cell::Count(cost)),
    ]
}
