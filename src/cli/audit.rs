//! `audit`: reads and verifies the trail. What it shows has no
//! bodies, no headers and no queries, because the trail has
//! none.

mod export;
mod follow;
mod offline;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::{self, Link, encoded};
use super::output::{Column, Output};
use super::progress::Progress;
use super::{Ground, Reach};

const TRAIL: &str = "/api/v1/admin/audit";

const COLUMNS: &[Column] = &[
    ("TIME", "timestamp"),
    ("KIND", "kind"),
    ("ACTOR", "actor.name"),
    ("METHOD", "method"),
    ("ENDPOINT", "endpoint"),
    ("STATUS", "status_code"),
    ("ERROR", "error_code"),
    ("MS", "duration_ms"),
    ("PROVIDER", "provider"),
    ("SECRET", "secret"),
    ("REQUEST", "request_id"),
];

const ARCHIVES: &[Column] = &[
    ("NODE", "node"),
    ("FIRST", "first"),
    ("LAST", "last"),
    ("FROM", "from"),
    ("TO", "to"),
    ("BYTES", "bytes"),
    ("FILE", "file"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// The newest records, the newest last
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "RECORDS")]
        lines: u16,
        /// Go on as records come
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        reach: Reach,
    },
    /// Records that fit, newest first
    Query {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "RECORDS",
            value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
        #[command(flatten)]
        reach: Reach,
    },
    /// Prove that no record was changed, removed or inserted; exit 1 where one was
    Verify {
        /// Archives and an export, oldest first, verified without any server
        #[arg(long, value_name = "FILE", requires = "public_key", num_args = 1..)]
        offline: Vec<PathBuf>,
        /// The key that signs, of each node; only with --offline
        #[arg(long, value_name = "KEY", requires = "offline", allow_hyphen_values = true)]
        public_key: Vec<String>,
        /// Checkpoints that were pushed elsewhere: an older export is found by them
        #[arg(long, value_name = "FILE", requires = "offline")]
        checkpoints: Option<PathBuf>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Files with the records that are older than audit.retention_days
    Archives {
        #[command(flatten)]
        reach: Reach,
    },
    /// The trail as lines of JSON, with what proves it, or as CSV
    Export(export::Export),
}

#[derive(Args)]
pub(super) struct Filter {
    /// usage, access, change or security
    #[arg(long)]
    kind: Option<String>,
    /// Id of a key, a token or an operator
    #[arg(long)]
    actor: Option<String>,
    #[arg(long)]
    provider: Option<String>,
    /// Id of a secret
    #[arg(long)]
    secret: Option<String>,
    /// Status code of the answer
    #[arg(long)]
    status: Option<u16>,
    /// From this time on, e.g. 2026-01-15T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[arg(long)]
    request_id: Option<String>,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Tail { lines, follow: true, filter, reach } => {
                let (output, filter) = (ground.output(reach.print), filter.query());
                link::with(ground, &reach, async |link| {
                    follow::follow(link, output, (lines, &filter)).await
                })
            }
            Self::Tail { lines, filter, reach, .. } => {
                let (output, filter) = (ground.output(reach.print), filter.query());
                link::with(ground, &reach, async |link| tail(link, output, (lines, &filter)).await)
            }
            Self::Query { filter, limit, reach } => {
                let filter = filter.query();
                let found =
                    link::with(ground, &reach, async |link| search(link, (limit, &filter)).await)?;
                ground.output(reach.print).list(&found, COLUMNS)
            }
            Self::Export(export) => export.run(ground),
            Self::Verify { offline, public_key, checkpoints, reach } if !offline.is_empty() => {
                let checkpoints = checkpoints.as_deref();
                let evidence =
                    offline::Evidence { files: &offline, public_keys: &public_key, checkpoints };
                verdict(ground.output(reach.print), &offline::report(&evidence)?)
            }
            Self::Archives { reach } => {
                let path = format!("{TRAIL}/archives");
                let held = link::with(ground, &reach, async |link| link.get(&path).await)?;
                ground.output(reach.print).list(&held, ARCHIVES)
            }
            Self::Verify { reach, .. } => {
                let progress = Progress::of("the trail is verified");
                let path = format!("{TRAIL}/verify");
                let report = link::with(ground, &reach, async |link| link.get(&path).await)?;
                drop(progress);
                verdict(ground.output(reach.print), &report)
            }
        }
    }
}

impl Filter {
    fn query(&self) -> String {
        let members = [
            ("kind", self.kind.clone()),
            ("actor", self.actor.clone()),
            ("provider", self.provider.clone()),
            ("secret", self.secret.clone()),
            ("status", self.status.map(|status| status.to_string())),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("request_id", self.request_id.clone()),
        ];
        let given = members.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!("&{name}={}", encoded(value))).collect()
    }
}

/// So many records, or all that there are: a page may end before either.
async fn search(link: &Link, (limit, filter): (u16, &str)) -> Result<Value, Failure> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let left = usize::from(limit).saturating_sub(items.len()).clamp(1, 1_000);
        let behind = cursor.as_deref().map(|next| format!("&cursor={}", encoded(next)));
        let path = format!("{TRAIL}?limit={left}{filter}{}", behind.unwrap_or_default());
        let mut page = link.get(&path).await?;
        if let Some(Value::Array(some)) = page.get_mut("items") {
            items.append(some);
        }
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || items.len() >= usize::from(limit) {
            return Ok(json!({"items": items, "next_cursor": cursor}));
        }
    }
}

async fn tail(link: &Link, output: Output, (lines, filter): (u16, &str)) -> Result<(), Failure> {
    let page = search(link, (lines.clamp(1, 1_000), filter)).await?;
    let items = page.get("items").and_then(Value::as_array);
    for item in items.into_iter().flatten().rev() {
        if output.json { output.compact(item)? } else { output.line(&told(item))? }
    }
    Ok(())
}

/// One record in one line: columns cannot be aligned to what has not come yet.
fn told(item: &Value) -> String {
    COLUMNS.iter().map(|(_, path)| super::output::cell(item, path)).collect::<Vec<_>>().join("  ")
}

/// What nobody outside this machine vouches for yet.
fn uncovered(output: Output, report: &Value) -> Result<(), Failure> {
    for node in report.get("nodes").and_then(Value::as_array).into_iter().flatten() {
        let told = |member: &str| super::output::cell(node, member);
        if node.get("archived").and_then(Value::as_u64).is_some_and(|records| records > 0) {
            output.remark(&format!(
                "not looked at: the records up to {} of node {}, which lie in archives; verify \
                 them with --offline",
                told("archived"),
                told("node"),
            ))?;
        }
        if node.get("not_yet_covered").and_then(Value::as_u64).is_some_and(|records| records > 0) {
            output.remark(&format!(
                "not yet covered by a checkpoint outside: {} of {} records of node {}, those \
                 behind record {}",
                told("not_yet_covered"),
                told("records"),
                told("node"),
                told("pushed_through"),
            ))?;
        }
    }
    Ok(())
}

fn verdict(output: Output, report: &Value) -> Result<(), Failure> {
    let records = report.get("records").and_then(Value::as_u64).unwrap_or_default();
    let whole = report.get("ok").and_then(Value::as_bool) == Some(true);
    if output.json {
        output.value(report)?;
    }
    if whole {
        output.remark(&format!("the trail is whole: {records} records"))?;
        return uncovered(output, report);
    }
    let bad = |member: &str| super::output::cell(report, &format!("first_bad.{member}"));
    Err(Failure::new(format!(
        "the trail is not whole: record {} of node {} ({}): {}; keep the database and the \
         journal as they are",
        bad("sequence"),
        bad("node"),
        bad("id"),
        bad("reason")
    )))
}
