//! The report on security: what was refused and from where, what alerts told, what operators
//! changed, what the house itself found, who may sign in, and how far the trail is signed.
//! Must never be shown to whoever may not read the whole trail.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Cell, Column, Document, Fact, Section};
use super::{Asked, ReportError, ReportKind, Sources, backups};
use crate::ledger::{Cursor, Filter, Kind, Ledger, StoredRecord};
use crate::store::AlertRow;

/// Of each kind; what is older is left out, and that is said.
const MOST_RECORDS: usize = 50_000;
const MOST_ROWS: usize = 500;
const PAGE: usize = 1_000;
const MOST_ALERTS: u32 = 1_000;

const REFUSALS: &[Column] =
    &[("status", "Status"), ("code", "Code"), ("face", "Face"), ("refusals", "Refusals")];
const ADDRESSES: &[Column] = &[
    ("address", "Address"),
    ("failures", "Failed authentications"),
    ("first_seen", "First"),
    ("last_seen", "Last"),
];
const ALERTS: &[Column] = &[
    ("id", ""),
    ("severity", "Severity"),
    ("kind", "Kind"),
    ("state", "State"),
    ("subject.type", "Of"),
    ("subject.id", ""),
    ("subject.name", "Name"),
    ("detail", "What"),
    ("count", "Count"),
    ("first_seen", "First"),
    ("last_seen", "Last"),
];
const CHANGES: &[Column] = &[
    ("timestamp", "When"),
    ("actor.type", "Who"),
    ("actor.id", ""),
    ("actor.name", "Name"),
    ("address", "From"),
    ("what", "What"),
    ("method", ""),
    ("endpoint", "Call"),
    ("status", "Status"),
    ("record", ""),
];
const FINDINGS: &[Column] = &[("timestamp", "When"), ("detail", "What"), ("record", "")];
const SESSIONS: &[Column] = &[
    ("operator", "Operator"),
    ("since", "Since"),
    ("last_seen", "Last seen"),
    ("address", "From"),
    ("user_agent", "With"),
];
const TRAIL: &[Column] =
    &[("node", "Node"), ("last_sequence", "Signed up to"), ("signed_at", "At")];

/// What was done, by the call that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    KeyMade,
    KeyChanged,
    KeyRotated,
    KeyDeleted,
    SecretAdded,
    SecretChanged,
    SecretRotated,
    RolledBack,
    SecretDestroyed,
    Hierarchy,
    Sealed,
    Unsealed,
    Operators,
    Backup,
    Other,
}

impl Deed {
    fn of(record: &StoredRecord) -> Self {
        let path = record.path.trim_start_matches("/api/v1/admin/");
        let mut parts = path.split('/');
        let (room, rest) = (parts.next().unwrap_or_default(), parts.skip(1).collect::<Vec<_>>());
        match (room, record.method.as_str(), rest.as_slice()) {
            ("api-keys", _, ["rotate"]) => Self::KeyRotated,
            ("api-keys", "POST", []) => Self::KeyMade,
            ("api-keys", "DELETE", _) => Self::KeyDeleted,
            ("api-keys", ..) => Self::KeyChanged,
            ("secrets", _, ["rotation", "rollback"]) => Self::RolledBack,
            ("secrets", _, ["versions"] | ["rotation", _]) => Self::SecretRotated,
            ("secrets", "POST", []) => Self::SecretAdded,
            ("secrets", "DELETE", _) => Self::SecretDestroyed,
            ("secrets", ..) => Self::SecretChanged,
            ("keks" | "master-key", ..) => Self::Hierarchy,
            ("seal", ..) => Self::Sealed,
            ("unseal", ..) => Self::Unsealed,
            ("operators" | "sessions", ..) => Self::Operators,
            ("backups", ..) => Self::Backup,
            (..) => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::KeyMade => "client_key_made",
            Self::KeyChanged => "client_key_changed",
            Self::KeyRotated => "client_key_rotated",
            Self::KeyDeleted => "client_key_deleted",
            Self::SecretAdded => "secret_added",
            Self::SecretChanged => "secret_changed",
            Self::SecretRotated => "secret_rotated",
            Self::RolledBack => "rotation_rolled_back",
            Self::SecretDestroyed => "secret_destroyed",
            Self::Hierarchy => "key_hierarchy",
            Self::Sealed => "sealed",
            Self::Unsealed => "unsealed",
            Self::Operators => "operators",
            Self::Backup => "backup",
            Self::Other => "other",
        }
    }
}

impl Sources<'_> {
    pub(crate) async fn security(
        &self,
        asked: &Asked,
        ledger: &Ledger,
    ) -> Result<Document, ReportError> {
        let access = records(ledger, (Kind::Access, asked)).await?;
        let changes = records(ledger, (Kind::Change, asked)).await?;
        let found = records(ledger, (Kind::Security, asked)).await?;
        let alerts = self.alerts(asked).await?;
        // Wrong passwords and codes of operators stand among what concerns security.
        let refused: Vec<&StoredRecord> =
            access.iter().chain(&found).filter(|record| record.error_code.is_some()).collect();
        let summary = summary((&refused, &changes, &found), &alerts);
        Ok(Document {
            kind: ReportKind::Security,
            title: "Security",
            made_at_ms: self.now_ms,
            asked: asked.clone(),
            settings: Vec::new(),
            summary,
            sections: vec![
                section(("refusals", "Refusals", REFUSALS), refusals(&refused)),
                section(("addresses", "Failed authentications", ADDRESSES), addresses(&refused)),
                section(("alerts", "Alerts", ALERTS), alerts.iter().map(alert).collect()),
                section(("changes", "Changes", CHANGES), changes.iter().map(change).collect()),
                section(
                    ("found", "What the house found", FINDINGS),
                    found.iter().map(finding).collect(),
                ),
                section(
                    ("backups", "Backups", backups::COLUMNS),
                    self.of_backups(asked, ledger).await?,
                ),
                section(("sessions", "Signed in now", SESSIONS), self.signed_in().await?),
                section(
                    ("trail", "The trail, as far as it is signed", TRAIL),
                    self.signed().await?,
                ),
            ],
        })
    }

    /// Those that stood in the period; newest first.
    async fn alerts(&self, asked: &Asked) -> Result<Vec<AlertRow>, ReportError> {
        let mut alerts: Vec<AlertRow> = Vec::new();
        let mut before = None;
        loop {
            let page = self.store.alerts_page((None, None), before, MOST_ALERTS).await?;
            before = page.last().map(|last| last.id);
            let is_last = page.len() < usize::try_from(MOST_ALERTS).unwrap_or(usize::MAX);
            alerts.extend(page.into_iter().filter(|alert| {
                let is_over = alert.resolved_at.is_some_and(|at| at < asked.from_ms);
                alert.first_seen < asked.to_ms && !is_over
            }));
            if is_last {
                return Ok(alerts);
            }
        }
    }

    async fn signed_in(&self) -> Result<Vec<Vec<Cell>>, ReportError> {
        let listed = self.store.sessions_page(None, None, MOST_ALERTS).await?;
        let row = |one: &crate::store::ListedSession| {
            vec![
                Cell::text(one.operator.as_str()),
                Cell::Time(one.session.created_at),
                Cell::Time(one.session.last_seen_at),
                Cell::of(one.session.address.clone(), Cell::Text),
                Cell::of(one.session.user_agent.clone(), Cell::Text),
            ]
        };
        Ok(listed.iter().map(row).collect())
    }

    async fn signed(&self) -> Result<Vec<Vec<Cell>>, ReportError> {
        let mut rows = Vec::new();
        for node in self.store.checkpoint_nodes().await? {
            if let Some(last) = self.store.last_checkpoint(&node).await? {
                let row = vec![Cell::text(node), Cell::Count(last.last), Cell::Time(last.time_ms)];
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// Newest first; not more than a report holds.
async fn records(
    ledger: &Ledger,
    (kind, asked): (Kind, &Asked),
) -> Result<Vec<StoredRecord>, ReportError> {
    let filter = Filter {
        kind: Some(kind),
        from_ms: Some(asked.from_ms),
        to_ms: Some(asked.to_ms),
        ..Filter::default()
    };
    let mut records = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = ledger.query(&filter, PAGE, cursor.as_ref()).await?;
        records.extend(page.items);
        match page.next {
            None => return Ok(records),
            Some(_) if records.len() >= MOST_RECORDS => return Err(ReportError::TooMuch),
            next => cursor = next,
        }
    }
}

/// A record of many refusals counts as often as it says.
fn times(record: &StoredRecord) -> u64 {
    let said = record.detail.as_ref().and_then(|detail| detail.get("refusals"));
    said.and_then(Value::as_u64).unwrap_or(1)
}

fn refusals(refused: &[&StoredRecord]) -> Vec<Vec<Cell>> {
    let mut sums: BTreeMap<(u16, &str, &str), u64> = BTreeMap::new();
    for record in refused {
        let face = if record.path.starts_with("/api/v1/") { "admin" } else { "proxy" };
        let code = record.error_code.as_deref().unwrap_or_default();
        let sum = sums.entry((record.status.unwrap_or_default(), code, face)).or_default();
        *sum = sum.saturating_add(times(record));
    }
    let row = |((status, code, face), count): (&(u16, &str, &str), &u64)| {
        let status = Cell::Count(u64::from(*status));
        vec![status, Cell::text(*code), Cell::text(*face), Cell::Count(*count)]
    };
    sums.iter().map(row).collect()
}

/// Those that failed most.
fn addresses(refused: &[&StoredRecord]) -> Vec<Vec<Cell>> {
    let mut sums: BTreeMap<String, (u64, i64, i64)> = BTreeMap::new();
    for record in refused.iter().filter(|record| record.status == Some(401)) {
        let address = record.address.map_or_else(|| String::from("many"), |a| a.to_string());
        let at = record.started_at_ms;
        let (count, first, last) = sums.entry(address).or_insert((0, at, at));
        *count = count.saturating_add(times(record));
        (*first, *last) = ((*first).min(at), (*last).max(at));
    }
    let mut sums: Vec<(String, (u64, i64, i64))> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (count, ..))| std::cmp::Reverse(*count));
    let row = |(address, (count, first, last)): &(String, (u64, i64, i64))| {
        vec![
            Cell::text(address.as_str()),
            Cell::Count(*count),
            Cell::Time(*first),
            Cell::Time(*last),
        ]
    };
    sums.iter().take(MOST_ROWS).map(row).collect()
}

fn alert(row: &AlertRow) -> Vec<Cell> {
    vec![
        Cell::text(row.id.to_string()),
        Cell::text(row.severity.as_str()),
        Cell::text(row.kind.as_str()),
        Cell::text(row.state.as_str()),
        Cell::text(row.subject.sort.as_str()),
        Cell::text(row.subject.id.as_str()),
        Cell::text(row.subject.name.as_str()),
        Cell::text(row.detail.as_str()),
        Cell::Count(row.count),
        Cell::Time(row.first_seen),
        Cell::Time(row.last_seen),
    ]
}

fn change(record: &StoredRecord) -> Vec<Cell> {
    vec![
        Cell::Time(record.started_at_ms),
        Cell::text(record.actor.kind.as_str()),
        Cell::of(record.actor.id, |id| Cell::text(id.to_string())),
        Cell::text(record.actor.name.as_str()),
        Cell::of(record.address, |address| Cell::text(address.to_string())),
        Cell::text(Deed::of(record).as_str()),
        Cell::text(record.method.as_str()),
        Cell::text(format!("{} {}", record.method, record.path)),
        Cell::of(record.status, |status| Cell::Count(u64::from(status))),
        Cell::text(record.id.to_string()),
    ]
}

fn finding(record: &StoredRecord) -> Vec<Cell> {
    let detail = record.detail.clone().unwrap_or(json!({}));
    let line = detail.to_string();
    vec![
        Cell::Time(record.started_at_ms),
        Cell::Told(detail, vec![line]),
        Cell::text(record.id.to_string()),
    ]
}

fn summary(
    (refused, changes, found): (&[&StoredRecord], &[StoredRecord], &[StoredRecord]),
    alerts: &[AlertRow],
) -> Vec<Fact> {
    let count = |number: usize| Cell::Count(u64::try_from(number).unwrap_or(u64::MAX));
    let refused = |is: fn(&StoredRecord) -> bool| {
        let refused = refused.iter().filter(|record| is(record));
        Cell::Count(refused.map(|record| times(record)).fold(0, u64::saturating_add))
    };
    let done = |record: &&StoredRecord| record.status.is_some_and(|status| status < 300);
    let mut deeds: BTreeMap<Deed, u64> = BTreeMap::new();
    for record in changes.iter().filter(done) {
        *deeds.entry(Deed::of(record)).or_default() += 1;
    }
    let told = deeds.iter().map(|(deed, count)| format!("{}: {count}", deed.as_str())).collect();
    let deeds: serde_json::Map<String, Value> =
        deeds.iter().map(|(deed, count)| (deed.as_str().to_owned(), json!(count))).collect();
    let open = alerts.iter().filter(|alert| alert.resolved_at.is_none()).count();
    vec![
        ("failed_authentications", "Failed authentications", refused(|r| r.status == Some(401))),
        ("refusals", "Refusals", refused(|_| true)),
        ("alerts", "Alerts", count(alerts.len())),
        ("alerts_standing", "of them standing", count(open)),
        ("changes", "Changes that were made", Cell::Told(deeds.into(), told)),
        ("found", "Findings of the house", count(found.len())),
    ]
}

fn section(
    (name, title, columns): (&'static str, &'static str, &'static [Column]),
    rows: Vec<Vec<Cell>>,
) -> Section {
    Section { name, title, none: "Nothing of that in this period.", columns, rows }
}
