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
const OF_SYMBOLS: Form = Form { path: SYMBOLS, list: "symbols", column: "symbol", what: "symbols" };

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
                let added = link::with(ground, &reach, async |link| {
                    let mut added = Vec::with_capacity(bodies.len());
                    for body in bodies {
                        added.push(link.post(SYMBOLS, Some(body)).await?);
                    }
                    Ok(added)
                })?;
                let output = ground.output(reach.print);
                match added.as_slice() {
                    [one] => output.record(one, MEMBERS),
                    all => output.list(&json!({"items": all}), COLUMNS),
                }
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
