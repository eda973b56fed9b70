//! `symbols`: what the house keeps history of: add, list, show, no longer track, take over from an
//! older warehouse. Asked of the admin API.
//! Must never judge a name itself.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::client::import::{self, Form};
use super::failure::Failure;
use super::link::{self, encoded};
use super::output::Column;
use super::{Ground, Reach};

const SYMBOLS: &str = "/api/v1/admin/symbols";
const OF_SYMBOLS: Form = Form {
    path: SYMBOLS,
    list: "symbols",
    column: "symbol",
    what: "symbols",
    members: Some(&["symbol", "asset_class", "active", "last_backfill", "provider", "interval"]),
    tidy,
};

const COLUMNS: &[Column] = &[
    ("SYMBOL", "symbol"),
    ("CLASS", "asset_class"),
    ("ACTIVE", "active"),
    ("STATUS", "backfill_status"),
    ("LAST BACKFILL", "last_backfill"),
    ("RECORDS", "record_count"),
    ("FIRST", "first"),
    ("LAST", "last"),
    ("ERROR", "backfill_error"),
];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("symbol", "symbol"),
    ("class", "asset_class"),
    ("active", "active"),
    ("added", "date_added"),
    ("provider", "provider"),
    ("interval", "interval"),
    ("status", "backfill_status"),
    ("error", "backfill_error"),
    ("last backfill", "last_backfill"),
    ("records", "record_count"),
    ("first", "first"),
    ("last", "last"),
    ("rejected", "rejected"),
    ("validation rate", "validation_rate"),
    ("gaps", "gaps"),
    ("series", "series"),
];

const IMPORTED: &[Column] = &[
    ("LINE", "line"),
    ("RESULT", "result"),
    ("ID", "id"),
    ("SYMBOL", "symbol"),
    ("WHY", "detail"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Track symbols, e.g. AAPL BRK.B BTC-USD
    Add {
        #[arg(required = true)]
        symbols: Vec<String>,
        /// stock, etf or crypto; by default crypto where a name can only be a pair, else stock
        #[arg(long, value_name = "CLASS")]
        asset_class: Option<String>,
        /// Where their history comes from; else as backfill.provider says
        #[arg(long, value_name = "ID")]
        provider: Option<String>,
        /// 1m, 5m, 15m, 1h or 1d; else as backfill.interval says
        #[arg(long, value_name = "LENGTH")]
        interval: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Every symbol, and how far its history is
    List {
        /// Leave out those that are no longer tracked
        #[arg(long)]
        active_only: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// One symbol: how much of its history there is, and what is missing
    Show {
        symbol: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Change a symbol: track it again or no longer, or have its history from elsewhere
    Set {
        symbol: String,
        /// Track it (again), or no longer
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
        active: Option<bool>,
        /// Where its history comes from; `default` for what backfill.provider says
        #[arg(long, value_name = "ID")]
        provider: Option<String>,
        /// 1m, 5m, 15m, 1h or 1d; `default` for what backfill.interval says
        #[arg(long, value_name = "LENGTH")]
        interval: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Track a symbol no longer; its history stays
    Remove {
        symbol: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Take over the symbols of an older warehouse; a broken line refuses only itself
    Import {
        /// JSON, JSON Lines or CSV with `symbol`, and `asset_class`, `active`, `last_backfill`,
        /// `provider` or `interval` where they are known; - for standard input
        file: PathBuf,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Add { symbols, asset_class, provider, interval, reach } => {
                let said = [("asset_class", asset_class), ("provider", provider)];
                let said = said.into_iter().chain([("interval", interval)]);
                let more: Map<String, Value> = said
                    .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
                    .collect();
                let bodies = symbols.into_iter().map(|symbol| {
                    let mut body = more.clone();
                    body.insert(String::from("symbol"), Value::String(symbol));
                    Value::Object(body)
                });
                add(ground, &reach, bodies.collect())
            }
            Self::Set { symbol, active, provider, interval, reach } => {
                set(ground, &reach, &symbol, (active, provider, interval))
            }
            Self::List { active_only, reach } => {
                let path = if active_only {
                    format!("{SYMBOLS}?active_only=true")
                } else {
                    SYMBOLS.to_owned()
                };
                let list = link::with(ground, &reach, async |link| link.list(&path).await)?;
                ground.output(reach.print).list(&list, COLUMNS)
            }
            Self::Show { symbol, reach } => {
                let path = format!("{SYMBOLS}/{}", encoded(&symbol));
                let shown = link::with(ground, &reach, async |link| link.get(&path).await)?;
                ground.output(reach.print).record(&shown, MEMBERS)
            }
            Self::Remove { symbol, reach } => {
                let path = format!("{SYMBOLS}/{}", encoded(&symbol));
                link::with(ground, &reach, async |link| link.delete(&path).await)?;
                let line = format!("{symbol} is no longer tracked; its history stays");
                ground.output(reach.print).remark(&line)
            }
            Self::Import { file, reach } => {
                import::run((&file, &reach), ground, (&OF_SYMBOLS, IMPORTED))
            }
        }
    }
}

/// `default` is what the settings say.
fn set(
    ground: &Ground,
    reach: &Reach,
    symbol: &str,
    (active, provider, interval): (Option<bool>, Option<String>, Option<String>),
) -> Result<(), Failure> {
    let word = |text: String| match text.as_str() {
        "default" => Value::Null,
        _ => Value::String(text),
    };
    let said = [
        ("active", active.map(Value::Bool)),
        ("provider", provider.map(word)),
        ("interval", interval.map(word)),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let body: Map<String, Value> = said.collect();
    if body.is_empty() {
        return Err(Failure::new("nothing to change: give --active, --provider or --interval"));
    }
    let path = format!("{SYMBOLS}/{}", encoded(symbol));
    let after =
        link::with(ground, reach, async |link| link.put(&path, Some(Value::Object(body))).await)?;
    ground.output(reach.print).record(&after, MEMBERS)
}

/// Each by itself: one that is refused keeps no other back.
fn add(ground: &Ground, reach: &Reach, bodies: Vec<Value>) -> Result<(), Failure> {
    let all = bodies.len();
    let (added, mut refused) = link::with(ground, reach, async |link| {
        let (mut added, mut refused) = (Vec::with_capacity(all), Vec::new());
        for body in bodies {
            match link.post(SYMBOLS, Some(body)).await {
                Ok(row) => added.push(row),
                Err(failure) if matches!(failure.code(), Some("conflict" | "invalid")) => {
                    refused.push(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok((added, refused))
    })?;
    let output = ground.output(reach.print);
    match (added.as_slice(), refused.len()) {
        (_, 1) if all == 1 => {}
        ([one], 0) => output.record(one, MEMBERS)?,
        ([], _) if !output.json => {}
        (all, _) => output.list(&json!({"items": all}), COLUMNS)?,
    }
    if refused.len() < 2 && all < 2 {
        return refused.pop().map_or(Ok(()), Err);
    }
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = refused.iter().map(Failure::line).collect();
    let (count, lines) = (refused.len(), lines.join("; "));
    Err(Failure::new(format!("{count} of {all} symbols were not added: {lines}")))
}

/// A day is its first moment in UTC.
pub(super) fn as_time(said: &str) -> String {
    match said.parse::<jiff::civil::Date>() {
        Ok(day) if said.len() == 10 => format!("{day}T00:00:00Z"),
        Ok(_) | Err(_) => said.replacen(' ', "T", 1),
    }
}

/// What other warehouses write otherwise: capitals, and days without a time.
fn tidy(name: &str, value: &mut Value) {
    let Value::String(text) = value else { return };
    let said = text.trim();
    *text = match name {
        "asset_class" | "interval" => said.to_ascii_lowercase(),
        "last_backfill" => as_time(said),
        _ => return,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_warehouse_writes_is_read() {
        for (name, text, read) in [
            ("asset_class", "STOCK", "stock"),
            ("interval", "1D", "1d"),
            ("last_backfill", "2026-01-02", "2026-01-02T00:00:00Z"),
            ("last_backfill", "2026-01-02 10:00:00Z", "2026-01-02T10:00:00Z"),
            ("last_backfill", "yesterday", "yesterday"),
            ("symbol", "ibm", "ibm"),
        ] {
            let mut value = json!(text);
            tidy(name, &mut value);
            assert_eq!(value, json!(read), "{name}");
        }
    }
}
