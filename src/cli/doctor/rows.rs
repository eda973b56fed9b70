//! The check of what is stored: are the rows as Sealgate left them, do they open? A server that
//! runs is asked, because it has the keys at hand; else this command looks by itself. Must
//! never mend anything, and never call a house well that is sealed.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::link;
use super::super::secret::INTEGRITY;
use super::check::{Check, database_stands};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;

const NAME: &str = "stored rows";
/// More lines tell nobody more.
const MOST: usize = 20;

/// Without the master key nothing can be told of what is sealed, and that has its own line.
pub(super) async fn check(
    config: &Config,
    clock: &Clock,
    (running, has_keys): (bool, bool),
) -> Vec<Check> {
    if !database_stands(config) || running && !has_keys {
        return Vec::new();
    }
    if running {
        return match ask(config).await {
            Ok(findings) => told(&findings),
            Err(failure) if failure.code() == Some("sealed") => {
                let detail = "the house is sealed: its rows cannot be checked";
                vec![Check::note(NAME, detail, "run `sealgate unseal`, then ask again")]
            }
            Err(failure) => vec![Check::red(NAME, failure.line(), LOG)],
        };
    }
    let trail = match app::examine_trail(config, clock.clone()).await {
        Ok(findings) => findings,
        Err(fault) => vec![fault.to_string()],
    };
    if !has_keys || config.needs_typing() {
        if !trail.is_empty() {
            return told(&trail);
        }
        let why =
            "not looked at: that takes the passphrase; ask again while an unsealed server runs";
        return has_keys.then(|| Check::green(NAME, why)).into_iter().collect();
    }
    match app::examine(config, clock.clone()).await {
        Ok(findings) => told(&[findings, trail].concat()),
        Err(fault) => {
            vec![Check::red(NAME, fault.to_string(), "see the line; docs/troubleshooting.md")]
        }
    }
}

async fn ask(config: &Config) -> Result<Vec<String>, Failure> {
    let answer = link::connect(config).await?.get(INTEGRITY).await?;
    let findings = answer.get("findings").and_then(Value::as_array).into_iter().flatten();
    Ok(findings.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn told(findings: &[String]) -> Vec<Check> {
    if findings.is_empty() {
        return vec![Check::green(NAME, "all as they were left, and everything opens")];
    }
    let mut checks: Vec<Check> =
        findings.iter().take(MOST).map(|finding| Check::red(NAME, finding, MEND)).collect();
    if let Some(more) = findings.len().checked_sub(MOST).filter(|more| *more > 0) {
        checks.push(Check::red(NAME, format!("and {more} more"), MEND));
    }
    checks
}

const LOG: &str = "see the server's log";
const MEND: &str =
    "do what the line says; docs/key-hierarchy.md tells what an edited database means";
