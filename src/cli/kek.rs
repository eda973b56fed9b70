//! `kek`: the generations of key-encryption keys. Long work runs in the server; the command waits
//! for it and shows how far it is, or lets go of it. Must never leave somebody believing that work
//! was done which only began.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::{self, Link, encoded};
use super::output::Column;
use super::progress::Bar;
use super::{Ground, Reach};

const KEKS: &str = "/api/v1/admin/keks";
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

const COLUMNS: &[Column] = &[
    ("CATEGORY", "category"),
    ("GENERATION", "generation"),
    ("STATE", "state"),
    ("WRAPS", "wraps"),
    ("SECRETS", "secrets"),
    ("AGE (DAYS)", "age_days"),
    ("MASTER KEY", "master_kind"),
    ("CREATED AT", "created_at"),
];

const JOB: &[Column] = &[
    ("job", "id"),
    ("kind", "kind"),
    ("state", "state"),
    ("done", "done"),
    ("total", "total"),
    ("outcome", "outcome"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a new active generation; `kek rewrap` then moves what hangs on the old one
    Rotate {
        /// One category alone; all by default
        #[arg(long, value_name = "NAME")]
        category: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Every generation: its state, age, wraps, and how many secrets hang on it
    Status {
        #[command(flatten)]
        reach: Reach,
    },
    /// Move data keys from old generations to the active one; verified, the old ones are destroyed
    Rewrap(Long),
    /// New data keys for all secrets, and their values sealed anew under them
    Rekey(Long),
    /// End the job that runs, as failed; what it has moved stays moved, and a new one goes on there
    Cancel {
        #[command(flatten)]
        reach: Reach,
    },
}

/// Work that goes on in the background.
#[derive(Args)]
pub(super) struct Long {
    /// Do not wait for the end; `kek status` shows how far it is
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Rotate { category, reach } => {
                let body = json!({ "category": category });
                let made = link::with(ground, &reach, async |link| {
                    link.post(&format!("{KEKS}/rotate"), Some(body)).await
                })?;
                let output = ground.output(reach.print);
                output.list(&made, COLUMNS)?;
                output.remark("`sealgate kek rewrap` moves the data keys to these")
            }
            Self::Status { reach } => {
                let status = link::with(ground, &reach, async |link| link.get(KEKS).await)?;
                let output = ground.output(reach.print);
                output.list(&status, COLUMNS)?;
                let faults = status.get("faults").and_then(Value::as_array).into_iter().flatten();
                for fault in faults.filter_map(Value::as_str) {
                    output.remark(fault)?;
                }
                if let Some(fault) = status.get("job_fault").and_then(Value::as_str) {
                    output.remark(fault)?;
                }
                match status.get("job") {
                    Some(job) if !output.json && !job.is_null() => {
                        output.line("")?;
                        output.record(job, JOB)
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Self::Cancel { reach } => {
                let path = format!("{KEKS}/cancel");
                let answer = link::with(ground, &reach, async |link| link.post(&path, None).await)?;
                let output = ground.output(reach.print);
                if output.json {
                    return output.value(&answer);
                }
                let done = answer.get("cancelled").and_then(Value::as_bool).unwrap_or(true);
                output.line(if done { "cancelled" } else { "no job was running" })
            }
            Self::Rewrap(long) => long.run(ground, &format!("{KEKS}/rewrap"), None),
            Self::Rekey(long) => long.run(ground, &format!("{KEKS}/rekey"), None),
        }
    }
}

impl Long {
    /// Begins the job and, unless detached, stays until it has ended.
    pub(super) fn run(
        &self,
        ground: &Ground,
        path: &str,
        body: Option<Value>,
    ) -> Result<(), Failure> {
        let (job, offline) = link::with(ground, &self.reach, async |link| {
            let begun = link.post(path, body).await?;
            if self.detach {
                Ok((begun, link.is_offline()))
            } else {
                Ok((wait(link, begun).await?, false))
            }
        })?;
        let output = ground.output(self.reach.print);
        output.record(&job, JOB)?;
        if self.detach {
            return output.remark(if offline {
                "no server runs here: the job goes on as soon as one does"
            } else {
                "the server goes on with it; `sealgate kek status` shows how far it is"
            });
        }
        match text(&job, "state") {
            "done" => Ok(()),
            _ => Err(Failure::new(format!("the job has failed: {}", text(&job, "outcome")))),
        }
    }
}

async fn wait(link: &Link, begun: Value) -> Result<Value, Failure> {
    let path = format!("{KEKS}/jobs/{}", encoded(text(&begun, "id")));
    let bar = Bar::new();
    let mut job = begun;
    while text(&job, "state") == "running" {
        bar.show(number(&job, "done"), number(&job, "total"));
        tokio::time::sleep(BETWEEN_LOOKS).await;
        job = link.get(&path).await?;
    }
    Ok(job)
}

fn text<'a>(job: &'a Value, member: &str) -> &'a str {
    job.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn number(job: &Value, member: &str) -> u64 {
    job.get(member).and_then(Value::as_u64).unwrap_or_default()
}
