//! `report`: what is read from tables, sums and trail for people, as the admin face tells it: a
//! table here, or JSON, CSV or a page to print, to standard output or into a file.
//! Must never overwrite a file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::failure::Failure;
use super::link::{self, encoded};
use super::output::{Column, Output};
use super::{Ground, Reach};

const REPORTS: &str = "/api/v1/admin/reports";

macro_rules! of_usage {
    ($head:literal, $name:literal) => {
        &[
            ($head, $name),
            ("REQUESTS", "requests"),
            ("CLIENT", "errors.client"),
            ("PROVIDER", "errors.provider"),
            ("US", "errors.us"),
            ("P50", "p50_ms"),
            ("P95", "p95_ms"),
            ("P99", "p99_ms"),
            ("COST", "cost"),
            ("UNPRICED", "unpriced"),
        ]
    };
}

const FINDINGS: &[Column] = &[
    ("SEVERITY", "severity"),
    ("FINDING", "kind"),
    ("OF", "subject.type"),
    ("NAME", "subject.name"),
    ("PROVIDER", "provider"),
    ("SINCE", "since"),
    ("COST", "cost"),
    ("WHAT", "detail"),
    ("COMMAND", "remedy.command"),
];

const TOTALS: &[Column] = of_usage!("PERIOD", "period");
const PROVIDERS: &[Column] = of_usage!("PROVIDER", "provider");
const NAMED: &[Column] = of_usage!("NAME", "name");
const MODELS: &[Column] = &[
    ("MODEL", "model"),
    ("PROVIDER", "provider"),
    ("REQUESTS", "requests"),
    ("TOKENS IN", "tokens_in"),
    ("TOKENS OUT", "tokens_out"),
    ("COST", "cost"),
    ("UNPRICED", "unpriced"),
];
const REFUSALS: &[Column] =
    &[("STATUS", "status"), ("CODE", "code"), ("FACE", "face"), ("REFUSALS", "refusals")];
const ADDRESSES: &[Column] = &[
    ("ADDRESS", "address"),
    ("FAILURES", "failures"),
    ("FIRST", "first_seen"),
    ("LAST", "last_seen"),
];
const ALERTS: &[Column] = &[
    ("SEVERITY", "severity"),
    ("ALERT", "kind"),
    ("STATE", "state"),
    ("ABOUT", "subject.name"),
    ("COUNT", "count"),
    ("DETAIL", "detail"),
];
const CHANGES: &[Column] = &[
    ("WHEN", "timestamp"),
    ("WHO", "actor.name"),
    ("CHANGE", "what"),
    ("CALL", "endpoint"),
    ("STATUS", "status"),
];
const BACKUPS: &[Column] =
    &[("BACKUPS", "what"), ("RESULT", "result"), ("WHEN", "at"), ("DETAIL", "detail")];
const TRAIL: &[Column] =
    &[("NODE", "node"), ("SIGNED UP TO", "last_sequence"), ("AT", "signed_at")];

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Keys that somebody should look at: unused, idle, without an end, old, shared, too broad
    Hygiene,
    /// What calls came to, beside the period before, by day and by whom
    Usage,
    /// Refusals, alerts, changes, findings, backups, sessions, checkpoints
    Security,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Csv,
    Html,
}

#[derive(Args)]
pub(super) struct Report {
    kind: Kind,
    /// Else a table for people; of a file, what its name ends with
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// From this time on, e.g. 2026-01-15T00:00:00Z; the last 30 days if not said
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Of this client key alone: its id or its name
    #[arg(long)]
    client: Option<String>,
    /// Of this provider alone
    #[arg(long)]
    provider: Option<String>,
    #[command(flatten)]
    limits: Limits,
    /// A new file; standard output if not said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// What hygiene is judged by.
#[derive(Args)]
struct Limits {
    /// Of hygiene: idle is what was not used for so long [default: 30]
    #[arg(long, value_name = "DAYS")]
    idle_days: Option<u64>,
    /// Of hygiene: old is what has been the same for so long [default: 90]
    #[arg(long, value_name = "DAYS")]
    old_days: Option<u64>,
    /// Of hygiene: never used is told so long after a key was made [default: 7]
    #[arg(long, value_name = "DAYS")]
    new_days: Option<u64>,
    /// Of hygiene: scopes are judged once a key was watched for so long [default: 7]
    #[arg(long, value_name = "DAYS")]
    watch_days: Option<u64>,
    /// Of hygiene: shared is a client key used from more addresses than so many [default: 5]
    #[arg(long, value_name = "COUNT")]
    addresses: Option<u64>,
    /// Of hygiene: calls that asked again for what was fresh, from so many on [default: 100]
    #[arg(long, value_name = "COUNT")]
    repeats: Option<u64>,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hygiene => "hygiene",
            Self::Usage => "usage",
            Self::Security => "security",
        }
    }
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// As a file is called.
    fn of_file(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        [Self::Json, Self::Csv, Self::Html].into_iter().find(|format| format.as_str() == ending)
    }
}

impl Report {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let output = ground.output(self.reach.print);
        let of_file = self.output.as_deref().map(|to| Format::of_file(to).unwrap_or(Format::Json));
        let as_json = output.json.then_some(Format::Json);
        let format = self.format.or(of_file).or(as_json);
        let path = self.path(format.unwrap_or(Format::Json));
        let Some(format) = format.filter(|format| self.output.is_some() || *format != Format::Json)
        else {
            let found = link::with(ground, &self.reach, async |link| link.get(&path).await)?;
            return match format {
                Some(_) => output.value(&found),
                None => self.tell(output, &found),
            };
        };
        let mut bytes = Vec::new();
        link::with(ground, &self.reach, async |link| link.stream(&path, None, &mut bytes).await)?;
        match &self.output {
            None => {
                let text = String::from_utf8_lossy(&bytes);
                output.line(text.trim_end())
            }
            Some(to) => {
                write(to, &bytes)?;
                let told = serde_json::json!({
                    "file": to, "bytes": bytes.len(), "format": format.as_str(),
                });
                if output.json {
                    return output.value(&told);
                }
                output.remark(&format!("{} bytes written to {}", bytes.len(), to.display()))
            }
        }
    }

    fn path(&self, format: Format) -> String {
        let Limits { idle_days, old_days, new_days, watch_days, addresses, repeats } = self.limits;
        let texts = [
            ("from", &self.from),
            ("to", &self.to),
            ("client", &self.client),
            ("provider", &self.provider),
        ];
        let texts =
            texts.iter().filter_map(|(name, value)| Some((*name, encoded(value.as_ref()?))));
        let numbers = [
            ("idle_days", idle_days),
            ("old_days", old_days),
            ("new_days", new_days),
            ("watch_days", watch_days),
            ("addresses", addresses),
            ("repeats", repeats),
        ];
        let numbers =
            numbers.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.to_string())));
        let given: String =
            texts.chain(numbers).map(|(name, value)| format!("&{name}={value}")).collect();
        format!("{REPORTS}/{}?format={}{given}", self.kind.as_str(), format.as_str())
    }

    /// For people: a table, and what it comes to.
    fn tell(&self, output: Output, found: &Value) -> Result<(), Failure> {
        match self.kind {
            Kind::Hygiene => list(output, found, "findings", FINDINGS),
            Kind::Usage => {
                list(output, found, "totals", TOTALS)?;
                let more = [
                    ("providers", PROVIDERS),
                    ("clients", NAMED),
                    ("secrets", NAMED),
                    ("models", MODELS),
                ];
                let there = more.iter().filter(|(name, _)| found.get(name).is_some());
                for (name, columns) in there {
                    output.line("")?;
                    list(output, found, name, columns)?;
                }
                Ok(())
            }
            Kind::Security => {
                for (name, columns) in [
                    ("refusals", REFUSALS),
                    ("addresses", ADDRESSES),
                    ("alerts", ALERTS),
                    ("changes", CHANGES),
                    ("backups", BACKUPS),
                ] {
                    list(output, found, name, columns)?;
                    output.line("")?;
                }
                list(output, found, "trail", TRAIL)
            }
        }
    }
}

fn list(output: Output, found: &Value, name: &str, columns: &[Column]) -> Result<(), Failure> {
    let items = found.get(name).cloned().unwrap_or_default();
    output.list(&serde_json::json!({"items": items}), columns)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let broken = |error: std::io::Error| {
        Failure::new(format!("{} cannot be written: {error}", path.display()))
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(broken)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(broken)
}
