//! A report as all kinds of them are made: what was asked, what it comes to, and sections of rows.
//! Written as JSON here, as CSV and as a page beside it, from the same cells.
//! Must never be written in two ways that say different things.

use serde_json::{Map, Value, json};

use super::{Asked, ReportKind};
use crate::clock::rfc3339;

pub(crate) struct Document {
    pub(super) kind: ReportKind,
    pub(super) title: &'static str,
    pub(super) made_at_ms: i64,
    pub(super) asked: Asked,
    /// What it was judged by.
    pub(super) settings: Vec<Fact>,
    /// What it comes to.
    pub(super) summary: Vec<Fact>,
    pub(super) sections: Vec<Section>,
}

/// A name, what people call it, and what it is.
pub(super) type Fact = (&'static str, &'static str, Cell);

pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Said where there is no row.
    pub(super) none: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A member, by its path with dots, and its head on a page; none: not shown there.
pub(super) type Column = (&'static str, &'static str);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Count(u64),
    /// In millionths of a dollar.
    Cost(u64),
    /// Milliseconds since 1970.
    Time(i64),
    /// For programs, and in lines for people.
    Told(Value, Vec<String>),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Nothing, cell)
    }

    fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) => json!(text),
            Self::Count(count) => json!(count),
            Self::Cost(millionths) => dollars(*millionths),
            Self::Time(at) => json!(rfc3339(*at)),
            Self::Told(value, _) => value.clone(),
        }
    }

    /// One line for each thing that is said.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Text(text) => vec![text.clone()],
            Self::Count(count) => vec![count.to_string()],
            Self::Cost(millionths) => vec![amount(*millionths)],
            Self::Time(at) => vec![rfc3339(*at)],
            Self::Told(_, lines) => lines.clone(),
        }
    }
}

impl Document {
    pub(crate) fn to_json(&self) -> Value {
        let facts = |facts: &[Fact]| -> Value {
            facts.iter().map(|(name, _, cell)| ((*name).to_owned(), cell.json())).collect()
        };
        let mut whole = Map::new();
        let about = [
            ("kind", json!(self.kind.as_str())),
            ("made_at", json!(rfc3339(self.made_at_ms))),
            ("from", json!(rfc3339(self.asked.from_ms))),
            ("to", json!(rfc3339(self.asked.to_ms))),
            ("client", json!(self.asked.client)),
            ("provider", json!(self.asked.provider)),
            ("settings", facts(&self.settings)),
            ("summary", facts(&self.summary)),
        ];
        whole.extend(about.map(|(name, value)| (name.to_owned(), value)));
        let sections = self.sections.iter();
        whole.extend(sections.map(|section| (section.name.to_owned(), section.to_json())));
        Value::Object(whole)
    }

    pub(crate) fn to_csv(&self) -> String {
        super::csv::written(self)
    }

    pub(crate) fn to_html(&self) -> String {
        super::html::written(self)
    }

    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    /// How a file of it is called, but for its ending.
    pub(crate) fn file_name(&self) -> String {
        let day = rfc3339(self.asked.to_ms.saturating_sub(1));
        let day = day.split('T').next().unwrap_or_default();
        format!("sealgate-{}-{day}", self.kind.as_str())
    }
}

impl Section {
    fn to_json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let mut object = Map::new();
            for ((path, _), cell) in self.columns.iter().zip(row) {
                put(&mut object, path, cell.json());
            }
            Value::Object(without_empty(object))
        };
        self.rows.iter().map(row).collect()
    }
}

/// `a.b` is the member `b` of the member `a`.
fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = object.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// An object of which nothing is known is null.
fn without_empty(object: Map<String, Value>) -> Map<String, Value> {
    let member = |(name, value): (String, Value)| match value {
        Value::Object(inner) if inner.values().all(Value::is_null) => (name, Value::Null),
        value @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => (name, value),
    };
    object.into_iter().map(member).collect()
}

/// As exact as it is known.
#[expect(clippy::cast_precision_loss, reason = "2^53 millionths are nine billion dollars")]
fn dollars(millionths: u64) -> Value {
    json!(millionths as f64 / 1e6)
}

/// The same as text, to the cent where there is no more.
pub(super) fn amount(millionths: u64) -> String {
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    let part = format!("{part:06}");
    let kept = part.trim_end_matches('0');
    format!("{whole}.{kept:0<2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_have_cents() {
        for (millionths, text) in
            [(0, "0.00"), (1, "0.000001"), (1_500_000, "1.50"), (199_000_000, "199.00")]
        {
            assert_eq!(amount(millionths), text);
        }
    }

    #[test]
    fn members_with_dots_are_members_of_members_and_what_is_empty_is_null() {
        let section = Section {
            name: "x",
            title: "X",
            none: "",
            columns: &[("a", "A"), ("b.c", "C"), ("b.d", ""), ("e.f", "F")],
            rows: vec![vec![Cell::Count(1), Cell::text("t"), Cell::Nothing, Cell::Nothing]],
        };
        assert_eq!(section.to_json(), json!([{"a": 1, "b": {"c": "t", "d": null}, "e": null}]));
    }
}
