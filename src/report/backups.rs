//! What the report on security says of backups: the last one, the last good one, whether the next
//! is late, and the last time that a house came back from one. Told from the trail, the folder of
//! this node, and the turns of all. Must never call a backup good of which a fault was told.

use serde_json::Value;

use super::document::{Cell, Column};
use super::{Asked, ReportError, Sources};
use crate::backup::{Shelf, Shelved};
use crate::ledger::{Cursor, Filter, Kind, Ledger, StoredRecord};
use crate::store::Turn;

pub(super) const COLUMNS: &[Column] = &[
    ("what", "What"),
    ("result", "Result"),
    ("at", "When"),
    ("age_hours", "Hours ago"),
    ("name", "File"),
    ("bytes", "Bytes"),
    ("detail", ""),
];

/// So far back the trail is read, whatever the period is.
const MOST_RECORDS: usize = 5_000;
const PAGE: usize = 1_000;
const AN_HOUR_MS: i64 = 3_600_000;
/// So many times the interval without one is what alerts call overdue.
const OVERDUE: i64 = 2;

/// A backup that was made, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    at_ms: i64,
    name: Option<String>,
    bytes: Option<u64>,
    /// What was damaged in the house when it was made; None where nobody says.
    faults: Option<usize>,
}

/// A row, before it is cells.
struct Said {
    what: &'static str,
    result: &'static str,
    made: Option<Made>,
    detail: String,
}

impl Sources<'_> {
    pub(super) async fn of_backups(
        &self,
        asked: &Asked,
        ledger: &Ledger,
    ) -> Result<Vec<Vec<Cell>>, ReportError> {
        let now_ms = asked.to_ms.min(self.now_ms);
        let security = newest(ledger, (Kind::Security, asked)).await?;
        let changes = newest(ledger, (Kind::Change, asked)).await?;
        let told =
            security.iter().filter_map(by_schedule).chain(changes.iter().filter_map(by_hand));
        let mut made: Vec<Made> = told.collect();
        for shelved in self.shelved().await {
            if !made.iter().any(|one| one.name.as_ref() == Some(&shelved.name)) {
                made.push(Made::of(shelved));
            }
        }
        made.retain(|one| one.at_ms <= now_ms);
        made.sort_by_key(|one| std::cmp::Reverse(one.at_ms));
        let turn = self.store.last_turn(Turn::Backup).await?;
        let mut said = backups(&made);
        said.push(self.schedule((made.first(), turn), now_ms));
        said.push(drill(&security));
        Ok(said.into_iter().map(|said| said.cells(now_ms)).collect())
    }

    /// On this node; a folder that cannot be read has none.
    async fn shelved(&self) -> Vec<Shelved> {
        let shelf = Shelf::new(&self.backups.folder);
        let listed = tokio::task::spawn_blocking(move || shelf.list()).await;
        listed.ok().and_then(Result::ok).unwrap_or_default()
    }

    fn schedule(&self, (last, turn): (Option<&Made>, Option<i64>), now_ms: i64) -> Said {
        let Some(every) = self.backups.every else {
            let detail = String::from("no backup is made by schedule: set backup.every_hours");
            return Said { what: "schedule", result: "off", made: None, detail };
        };
        let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let newest = last.map(|made| made.at_ms).max(turn.filter(|at| *at <= now_ms));
        let age_ms = newest.map(|at| now_ms.saturating_sub(at));
        let result = match age_ms {
            None => "none_yet",
            Some(age) if age > every_ms.saturating_mul(OVERDUE) => "overdue",
            Some(age) if age > every_ms => "late",
            Some(_) => "in_time",
        };
        let (hours, keep) = (every_ms / AN_HOUR_MS, self.backups.keep);
        let due = newest.map(|at| at.saturating_add(every_ms));
        let due =
            due.map_or_else(String::new, |at| format!(", due at {}", crate::clock::rfc3339(at)));
        let detail = format!("every {hours} hours, the last {keep} are kept{due}");
        Said { what: "schedule", result, made: None, detail }
    }
}

/// Newest first, of the period and from before it.
async fn newest(
    ledger: &Ledger,
    (kind, asked): (Kind, &Asked),
) -> Result<Vec<StoredRecord>, ReportError> {
    let filter = Filter { kind: Some(kind), to_ms: Some(asked.to_ms), ..Filter::default() };
    let mut records = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = ledger.query(&filter, PAGE, cursor.as_ref()).await?;
        records.extend(page.items);
        match page.next {
            Some(next) if records.len() < MOST_RECORDS => cursor = Some(next),
            Some(_) | None => return Ok(records),
        }
    }
}

fn by_schedule(record: &StoredRecord) -> Option<Made> {
    let detail = record.detail.as_ref()?;
    Made::told(record, detail.get("backup")?.as_str(), detail)
}

/// Kept, or sent to whoever asked for it.
fn by_hand(record: &StoredRecord) -> Option<Made> {
    let is_one = record.method == "POST" && record.path == "/api/v1/admin/backups";
    let is_done = record.status.is_some_and(|status| status < 300);
    let detail = record.detail.as_ref().filter(|_| is_one && is_done)?.get("after")?;
    Made::told(record, detail.get("name").and_then(Value::as_str), detail)
}

impl Made {
    fn told(record: &StoredRecord, name: Option<&str>, detail: &Value) -> Option<Self> {
        Some(Self {
            at_ms: record.started_at_ms,
            name: name.map(str::to_owned),
            bytes: detail.get("bytes").and_then(Value::as_u64),
            faults: detail.get("faults").and_then(Value::as_array).map(Vec::len),
        })
    }

    fn of(shelved: Shelved) -> Self {
        let Shelved { name, bytes, created_at_ms } = shelved;
        Self { at_ms: created_at_ms, name: Some(name), bytes: Some(bytes), faults: None }
    }
}

/// The last one, and the last good one where that is another.
fn backups(made: &[Made]) -> Vec<Said> {
    let Some(last) = made.first() else {
        let detail = String::from("no backup was ever made, as far as is known here");
        return vec![Said { what: "last_backup", result: "none", made: None, detail }];
    };
    let (result, detail) = match last.faults {
        Some(0) => ("good", String::from("nothing of the house was damaged when it was made")),
        Some(count) => ("damaged", format!("{count} things were damaged; keep an older one")),
        None => ("unknown", String::from("it lies in the folder; nobody says how the house was")),
    };
    let mut said = vec![Said { what: "last_backup", result, made: Some(last.clone()), detail }];
    if last.faults != Some(0) {
        let good = made.iter().find(|made| made.faults == Some(0)).cloned();
        let result = if good.is_some() { "good" } else { "none" };
        said.push(Said { what: "last_good_backup", result, made: good, detail: String::new() });
    }
    said
}

/// A drill is made on another machine, and this house hears nothing of it: what it knows is whether
/// it came back from a backup itself.
fn drill(security: &[StoredRecord]) -> Said {
    let restored = security.iter().find(|record| {
        let detail = record.detail.as_ref();
        detail.is_some_and(|detail| detail.get("restored").is_some())
    });
    let Some(record) = restored else {
        let detail = String::from(
            "a drill on another machine tells this house nothing; docs/backup.md says how one is \
             made, twice a year",
        );
        return Said { what: "last_restore", result: "none_known", made: None, detail };
    };
    let made = Made { at_ms: record.started_at_ms, name: None, bytes: None, faults: None };
    let detail = String::from("this house came back from a backup");
    Said { what: "last_restore", result: "restored", made: Some(made), detail }
}

impl Said {
    fn cells(self, now_ms: i64) -> Vec<Cell> {
        let made = self.made.as_ref();
        let hours = |made: &Made| {
            let hours = now_ms.saturating_sub(made.at_ms) / AN_HOUR_MS;
            Cell::Count(u64::try_from(hours).unwrap_or_default())
        };
        vec![
            Cell::text(self.what),
            Cell::text(self.result),
            Cell::of(made, |made| Cell::Time(made.at_ms)),
            Cell::of(made, hours),
            Cell::of(made.and_then(|made| made.name.clone()), Cell::Text),
            Cell::of(made.and_then(|made| made.bytes), Cell::Count),
            Cell::of(Some(self.detail).filter(|detail| !detail.is_empty()), Cell::Text),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(at_ms: i64, faults: Option<usize>) -> Made {
        Made { at_ms, name: None, bytes: None, faults }
    }

    /// What is said of them, and of which.
    fn said(all: &[Made]) -> Vec<(&'static str, &'static str, Option<i64>)> {
        let said = backups(all).into_iter();
        said.map(|one| (one.what, one.result, one.made.map(|made| made.at_ms))).collect()
    }

    #[test]
    fn a_backup_of_a_damaged_house_is_not_the_last_good_one() {
        assert_eq!(said(&[]), [("last_backup", "none", None)]);
        let good = [made(3, Some(0)), made(2, Some(4))];
        assert_eq!(said(&good), [("last_backup", "good", Some(3))]);
        let damaged = [made(3, Some(1)), made(2, None), made(1, Some(0))];
        let wanted = [("last_backup", "damaged", Some(3)), ("last_good_backup", "good", Some(1))];
        assert_eq!(said(&damaged), wanted);
        let unknown = [made(3, None)];
        let wanted = [("last_backup", "unknown", Some(3)), ("last_good_backup", "none", None)];
        assert_eq!(said(&unknown), wanted);
    }
}
