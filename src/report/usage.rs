//! The report on usage: what calls of a period came to, beside the period before, by day and by
//! whom. Read from the sums that are kept with the records, never from the records.
//! Must never add up what the sums do not say: of a client key at a provider nothing is known.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::document::{Cell, Column, Document, Fact, Section};
use super::{Asked, ReportError, ReportKind, Sources};
use crate::store::{Bucket, Dimension, UsageSum};

/// Sums of one thing, by when they begin.
type Row = (i64, String, UsageSum);

macro_rules! columns {
    ($name:literal, $title:literal $(; $more:expr)?) => {
        &[
            ($name, $title),
            $($more,)?
            ("requests", "Calls"),
            ("errors.client", "Errors: client"),
            ("errors.provider", "provider"),
            ("errors.us", "us"),
            ("p50_ms", "p50 (ms)"),
            ("p95_ms", "p95"),
            ("p99_ms", "p99"),
            ("bytes_in", "Bytes in"),
            ("bytes_out", "Bytes out"),
            ("tokens_in", "Tokens in"),
            ("tokens_out", "Tokens out"),
            ("cost", "Cost ($)"),
            ("cost_micros", ""),
            ("unpriced", "Unpriced"),
        ]
    };
}

const MOST_ROWS: u32 = 200_000;
/// So long ago hours are kept.
const HOURS_MS: i64 = 399 * 86_400_000;
const TOTALS: &[Column] = columns!["period", "Period"];
const DAYS: &[Column] = columns!["day", "Day"];
const PROVIDERS: &[Column] = columns!["provider", "Provider"];
const CLIENTS: &[Column] = columns!["name", "Client key"; ("id", "")];
const SECRETS: &[Column] = columns!["name", "Provider's key"; ("id", "")];
const STATUSES: &[Column] = columns!["status", "Status"];
const MODELS: &[Column] = columns!["model", "Model"; ("provider", "Provider")];
const NONE: &str = "No calls.";

impl Sources<'_> {
    pub(crate) async fn usage(&self, asked: &Asked) -> Result<Document, ReportError> {
        let names = self.names().await?;
        let (dimension, only) = narrowed(asked, &names);
        let (from_ms, whole) = self.sums(dimension, (asked.from_ms, asked.to_ms)).await?;
        let length = asked.to_ms.saturating_sub(from_ms);
        let (_, earlier) = self.sums(dimension, (from_ms.saturating_sub(length), from_ms)).await?;
        let now = of_one(whole, only.as_deref());
        let (present, past) = (added(&now), added(&of_one(earlier, only.as_deref())));
        let totals = vec![
            row(vec![Cell::text("this period")], &present),
            row(vec![Cell::text("the period before")], &past),
        ];
        let mut sections = vec![
            section(("totals", "Totals", TOTALS), totals),
            section(("days", "By day", DAYS), by_day(&now)),
        ];
        if only.is_none() {
            sections.extend(self.breakdown((from_ms, asked.to_ms), &names).await?);
        }
        Ok(Document {
            kind: ReportKind::Usage,
            title: "Usage",
            made_at_ms: self.now_ms,
            asked: Asked { from_ms, ..asked.clone() },
            settings: Vec::new(),
            summary: summary(&present, &past),
            sections,
        })
    }

    async fn breakdown(
        &self,
        span: (i64, i64),
        names: &HashMap<String, String>,
    ) -> Result<Vec<Section>, ReportError> {
        let mut sections = Vec::new();
        for (dimension, head) in [
            (Dimension::Provider, ("providers", "By provider", PROVIDERS)),
            (Dimension::Client, ("clients", "By client key", CLIENTS)),
            (Dimension::Secret, ("secrets", "By provider's key", SECRETS)),
            (Dimension::Status, ("statuses", "By status", STATUSES)),
            (Dimension::Model, ("models", "By model", MODELS)),
        ] {
            let (_, rows) = self.sums(dimension, span).await?;
            sections.push(section(head, by_name(&rows, dimension, names)));
        }
        Ok(sections)
    }

    /// By hours where there are not too many, else by days; and from when on they count.
    async fn sums(
        &self,
        dimension: Dimension,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<(i64, Vec<Row>), ReportError> {
        for bucket in [Bucket::Hour, Bucket::Day] {
            let is_gone = from_ms < self.now_ms.saturating_sub(HOURS_MS);
            if bucket == Bucket::Hour && is_gone {
                continue;
            }
            let start_ms = bucket.start_of(from_ms);
            let span = (start_ms, to_ms);
            if let Some(rows) = self.store.usage((bucket, dimension), span, MOST_ROWS).await? {
                return Ok((start_ms, rows));
            }
        }
        Err(ReportError::TooMuch)
    }

    /// What ids are called.
    async fn names(&self) -> Result<HashMap<String, String>, ReportError> {
        let keys = super::facts::every_key(self).await?;
        let mut names: HashMap<String, String> =
            keys.into_iter().map(|listed| (listed.key.id.to_string(), listed.key.name)).collect();
        for secret in self.vault.list().await? {
            let name = format!("{}/{}", secret.provider, secret.name);
            names.insert(secret.id.to_string(), name);
        }
        Ok(names)
    }
}

/// By what the sums are, and of what of it.
fn narrowed(asked: &Asked, names: &HashMap<String, String>) -> (Dimension, Option<String>) {
    match (&asked.client, &asked.provider) {
        (Some(client), _) => {
            let mut named = names.iter().filter(|(_, name)| *name == client);
            let id = named.next().map_or_else(|| client.clone(), |(id, _)| id.clone());
            (Dimension::Client, Some(id))
        }
        (None, Some(provider)) => (Dimension::Provider, Some(provider.clone())),
        (None, None) => (Dimension::All, None),
    }
}

fn of_one(mut rows: Vec<Row>, only: Option<&str>) -> Vec<Row> {
    rows.retain(|(_, name, _)| only.is_none_or(|only| name == only));
    rows
}

fn summary(now: &UsageSum, then: &UsageSum) -> Vec<Fact> {
    let calls = changed(now.requests, then.requests);
    vec![
        ("requests", "Calls", Cell::Count(now.requests)),
        ("requests_change", "Against the period before", calls),
        ("errors", "Errors", Cell::Count(now.errors.iter().sum())),
        ("cost", "Cost ($)", Cell::Cost(now.cost)),
        ("cost_micros", "In millionths", Cell::Count(now.cost)),
        ("cost_change", "Cost against the period before", changed(now.cost, then.cost)),
    ]
}

fn section(
    (name, title, columns): (&'static str, &'static str, &'static [Column]),
    rows: Vec<Vec<Cell>>,
) -> Section {
    Section { name, title, none: NONE, columns, rows }
}

fn added(rows: &[Row]) -> UsageSum {
    let mut sum = UsageSum::default();
    rows.iter().for_each(|(_, _, more)| sum.merge(more));
    sum
}

fn by_day(rows: &[Row]) -> Vec<Vec<Cell>> {
    let mut days: BTreeMap<i64, UsageSum> = BTreeMap::new();
    for (start, _, sum) in rows {
        days.entry(Bucket::Day.start_of(*start)).or_default().merge(sum);
    }
    days.iter().map(|(day, sum)| row(vec![Cell::Time(*day)], sum)).collect()
}

/// The busiest first.
fn by_name(rows: &[Row], dimension: Dimension, names: &HashMap<String, String>) -> Vec<Vec<Cell>> {
    let mut sums: BTreeMap<&str, UsageSum> = BTreeMap::new();
    for (_, name, sum) in rows {
        sums.entry(name.as_str()).or_default().merge(sum);
    }
    let mut sums: Vec<(&str, UsageSum)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.requests));
    let named = |(name, sum): &(&str, UsageSum)| {
        let known = Some(*name).filter(|name| !name.is_empty());
        let id = Cell::of(known, Cell::text);
        match dimension {
            Dimension::Client | Dimension::Secret => {
                // What is deleted has no name any more.
                let name = known.map(|id| names.get(id).cloned().unwrap_or_else(|| id.to_owned()));
                row(vec![Cell::of(name, Cell::Text), id], sum)
            }
            Dimension::Model => {
                let (provider, model) = name.split_once('/').unwrap_or(("", name));
                row(vec![Cell::text(model), Cell::text(provider)], sum)
            }
            Dimension::All | Dimension::Provider | Dimension::Status => row(vec![id], sum),
        }
    };
    sums.iter().map(named).collect()
}

fn row(mut cells: Vec<Cell>, sum: &UsageSum) -> Vec<Cell> {
    let [client, provider, us] = sum.errors;
    let quantile = |share| milliseconds(sum.durations.quantile(share));
    cells.extend([
        Cell::Count(sum.requests),
        Cell::Count(client),
        Cell::Count(provider),
        Cell::Count(us),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        Cell::Count(sum.bytes_in),
        Cell::Count(sum.bytes_out),
        Cell::Count(sum.tokens_in),
        Cell::Count(sum.tokens_out),
        Cell::Cost(sum.cost),
        Cell::Count(sum.cost),
        Cell::Count(sum.unpriced),
    ]);
    cells
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn milliseconds(ns: u64) -> Cell {
    let ms = (ns / 1000) as f64 / 1000.0;
    Cell::Told(json!(ms), vec![format!("{ms:.1}")])
}

/// In percent; nothing where there was nothing before.
#[expect(clippy::cast_precision_loss, reason = "told to a tenth of a percent")]
fn changed(now: u64, then: u64) -> Cell {
    if then == 0 {
        return Cell::Nothing;
    }
    let percent = ((now as f64 - then as f64) / then as f64 * 1000.0).round() / 10.0;
    Cell::Told(json!(percent), vec![format!("{percent:+.1} %")])
}
