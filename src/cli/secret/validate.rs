//! `secret validate`: each step as it ends, with what to do; the checks that were made before.
//! Nothing is said twice: the report at the end is for programs.
//! Must never take an outage of the provider for a bad key.

use serde_json::{Value, json};

use super::super::Ground;
use super::super::events::Events;
use super::super::failure::Failure;
use super::super::link::{self, Link, encoded};
use super::super::output::{Column, Output};
use super::super::progress::Progress;
use super::{One, SECRETS, find};

const CHECKS: &[Column] = &[
    ("CHECKED AT", "checked_at"),
    ("VERSION", "version"),
    ("CAUSE", "cause"),
    ("ACTOR", "actor"),
    ("OUTCOME", "outcome"),
    ("HEALTH", "health"),
];

pub(super) fn run(one: &One, ground: &Ground) -> Result<(), Failure> {
    let output = ground.output(one.reach.print);
    let report = link::with(ground, &one.reach, async |link| {
        let id = find(link, &one.secret, one.name.as_deref()).await?;
        follow(link, &format!("{SECRETS}/{}/validate", encoded(&id)), output).await
    })?;
    if output.json {
        output.value(&report)?;
    } else {
        output.line(&ending(&report))?;
    }
    match report.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        Some(false) | None => {
            Err(Failure::new(format!("{} is not in order; see the steps", one.secret)))
        }
    }
}

pub(super) fn history(one: &One, ground: &Ground) -> Result<(), Failure> {
    let checks = one.call(ground, async |link, path| link.list(&format!("{path}/checks")).await)?;
    ground.output(one.reach.print).list(&checks, CHECKS)
}

/// Says each step when it has ended, and yields the whole.
async fn follow(link: &Link, path: &str, output: Output) -> Result<Value, Failure> {
    let progress = Progress::of("the key is checked");
    let mut events = Events::default();
    let mut report = Value::Null;
    link.post_events(path, &mut |piece| {
        events.take(piece)?;
        while let Some((name, data)) = events.next() {
            match name.as_str() {
                "step" if !output.json => {
                    progress.aside(|| output.line(&line(&data)))?;
                }
                "report" => report = data,
                "failed" => {
                    let body = json!({
                        "error": "The check failed", "code": data.get("code"),
                        "detail": data.get("detail"),
                    });
                    return Err(Failure::answered(500, &body));
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await?;
    match report.is_object() {
        true => Ok(report),
        false => Err(Failure::new("the check broke off; try again")),
    }
}

/// `live         no     412 ms  … (what to do)`
fn line(step: &Value) -> String {
    let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
    let ok = match step.get("ok").and_then(Value::as_bool) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let ms = step.get("ms").and_then(Value::as_u64).unwrap_or(0);
    let remedy = match text("remedy") {
        "" => String::new(),
        remedy => format!(" {remedy}"),
    };
    let line = format!("{:12} {ok:4} {ms:5} ms  {}{remedy}", text("name"), text("detail"));
    super::super::failure::one_line(&line)
}

fn ending(report: &Value) -> String {
    let text = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or("unknown");
    let said = match text("outcome") {
        "good" => "the provider accepts the key",
        "refused" => "the provider refuses the key",
        _ => "the provider has not said whether the key is good",
    };
    format!("{said}; health: {}", text("health"))
}
