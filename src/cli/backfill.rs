//! `backfill`: asks for a run that fetches the history of symbols, waits for it with a bar, and
//! tells what it came to. The run is the server's: it goes on when this command is gone.
//! Must never tell of a run as done that has failed for any symbol.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::link::{self, Link, encoded};
use super::output::Column;
use super::progress::Bar;
use super::symbols::as_time;
use super::{Ground, Reach};

const BACKFILL: &str = "/api/v1/admin/backfill";
/// Gaps that a cell names.
const MOST_GAPS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

const RUNS: &[Column] = &[
    ("RUN", "id"),
    ("STATE", "state"),
    ("CAUSE", "cause"),
    ("SYMBOLS", "symbol_count"),
    ("COMPLETED", "completed"),
    ("FAILED", "failed"),
    ("CANDLES", "candles"),
    ("REJECTED", "rejected"),
    ("CREATED AT", "created_at"),
    ("FINISHED AT", "finished_at"),
    ("ERROR", "error"),
];

const PARTS: &[Column] = &[
    ("SYMBOL", "symbol"),
    ("INTERVAL", "interval"),
    ("STATE", "state"),
    ("FROM", "from"),
    ("CHECKPOINT", "checkpoint"),
    ("CANDLES", "candles"),
    ("REJECTED", "rejected"),
    ("REASONS", "reasons"),
    ("COVERAGE", "coverage"),
    ("MISSING", "missing"),
    ("ERROR", "error"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Fetch what is missing, and wait until that is done
    Run(Run),
    /// The runs there were, the newest first; or one of them, symbol by symbol
    Status {
        /// The id of a run
        run: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// End a run before its time; what it has stored stays
    Cancel {
        /// The id of a run
        run: String,
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Args)]
pub(super) struct Run {
    /// These symbols alone; every active one by default
    symbols: Vec<String>,
    /// From this time or day on, e.g. 2026-01-15 or 2026-01-15T09:30:00Z; by default from the last
    /// backfill, or as far back as backfill.days says
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time or day; now by default
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// 1m, 5m, 15m, 1h or 1d; by default as each symbol or backfill.interval says
    #[arg(long, value_name = "LENGTH")]
    interval: Option<String>,
    /// Do not wait: the server goes on with it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Run(run) => run.run(ground),
            Self::Status { run: None, reach } => {
                let (list, next) = link::with(ground, &reach, async |link| {
                    let next = link.get(&format!("{BACKFILL}?limit=1")).await?;
                    Ok((link.list(BACKFILL).await?, text(&next, "next_due").to_owned()))
                })?;
                let output = ground.output(reach.print);
                output.list(&list, RUNS)?;
                match next.as_str() {
                    "" => Ok(()),
                    next => output.remark(&format!("\nthe next run by schedule is due at {next}")),
                }
            }
            Self::Status { run: Some(run), reach } => {
                let path = format!("{BACKFILL}/{}", encoded(&run));
                let shown = link::with(ground, &reach, async |link| link.get(&path).await)?;
                tell(ground, &reach, &shown)
            }
            Self::Cancel { run, reach } => {
                let path = format!("{BACKFILL}/{}/cancel", encoded(&run));
                let ended = link::with(ground, &reach, async |link| link.post(&path, None).await)?;
                let output = ground.output(reach.print);
                if output.json {
                    return output.value(&ended);
                }
                output.remark(
                    "it ends; what it has stored stays, and the next run goes on from there",
                )
            }
        }
    }
}

impl Run {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        let (from, to) = (self.from.as_deref().map(as_time), self.to.as_deref().map(as_time));
        let said = [("from", from), ("to", to), ("interval", self.interval)];
        let mut body: Map<String, Value> = said
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect();
        if !self.symbols.is_empty() {
            body.insert(String::from("symbols"), json!(self.symbols));
        }
        let detach = self.detach;
        let shown = link::with(ground, &self.reach, async |link| {
            let begun = link.post(BACKFILL, Some(Value::Object(body))).await?;
            if detach { Ok(begun) } else { wait(link, &begun).await }
        })?;
        tell(ground, &self.reach, &shown)?;
        if detach {
            let note = "the server goes on with it; `sealgate backfill status` shows how far it is";
            return ground.output(self.reach.print).remark(note);
        }
        match text(&shown, "state") {
            "completed" => Ok(()),
            _ => Err(Failure::new(format!("the run has failed: {}", text(&shown, "error")))),
        }
    }
}

async fn wait(link: &Link, begun: &Value) -> Result<Value, Failure> {
    let path = format!("{BACKFILL}/{}", encoded(text(begun, "id")));
    let bar = Bar::new();
    loop {
        let run = link.get(&path).await?;
        if !matches!(text(&run, "state"), "pending" | "in_progress") {
            return Ok(run);
        }
        let ended = number(&run, "completed") + number(&run, "failed");
        bar.show(ended, number(&run, "symbol_count"));
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn tell(ground: &Ground, reach: &Reach, run: &Value) -> Result<(), Failure> {
    let output = ground.output(reach.print);
    if output.json {
        return output.value(run);
    }
    output.list(&json!({"items": [run]}), RUNS)?;
    match run.get("parts").and_then(Value::as_array) {
        Some(parts) if !parts.is_empty() => {
            let parts: Vec<Value> = parts.iter().cloned().map(with_missing).collect();
            output.line("")?;
            output.list(&json!({"items": parts}), PARTS)
        }
        Some(_) | None => Ok(()),
    }
}

/// The first gaps in a cell; all of them are in `--json`.
fn with_missing(mut part: Value) -> Value {
    let gaps = part.get("gaps").and_then(Value::as_array).cloned().unwrap_or_default();
    let told = gaps.iter().take(MOST_GAPS).map(|gap| match gap.get("begins") {
        Some(_) => format!("{}..{}", text(gap, "begins"), text(gap, "ends")),
        None if text(gap, "from") == text(gap, "to") => text(gap, "from").to_owned(),
        None => format!("{}..{}", text(gap, "from"), text(gap, "to")),
    });
    let mut told: Vec<String> = told.collect();
    if gaps.len() > MOST_GAPS {
        told.push(format!("and {} more", gaps.len() - MOST_GAPS));
    }
    if let Some(members) = part.as_object_mut() {
        members.insert(String::from("missing"), json!(told.join(" ")));
    }
    part
}

fn text<'a>(run: &'a Value, member: &str) -> &'a str {
    run.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn number(run: &Value, member: &str) -> u64 {
    run.get(member).and_then(Value::as_u64).unwrap_or_default()
}
