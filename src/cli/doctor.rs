//! `doctor`: checks the installation, one line a check, each with its remedy where
//! it is red. Changes nothing: what is missing stays missing until somebody asks
//! for it.

mod check;
mod checks;
mod history;
mod master;
mod pages;
mod rows;

use clap::Args;
use serde_json::{Value, json};

use self::check::Check;
use super::failure::Failure;
use super::output::{Colour, Output};
use super::progress::Progress;
use super::{Ground, Print};
use crate::clock::Clock;

#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    print: Print,
}

impl Doctor {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let progress = Progress::of("checking");
        let checks = checks(ground)?;
        drop(progress);
        let output = ground.output(self.print);
        tell(output, &checks)?;
        let red = checks.iter().filter(|check| !check.ok).count();
        match red {
            0 => Ok(()),
            1 => Err(Failure::new("one check failed; its remedy stands beside it")),
            _ => Err(Failure::new(format!("{red} checks failed; the remedy stands beside each"))),
        }
    }
}

fn checks(ground: &Ground) -> Result<Vec<Check>, Failure> {
    let loaded = match ground.load() {
        Ok(loaded) => loaded,
        // Nothing else can be judged by settings that cannot be read.
        Err(failure) => return Ok(vec![Check::red("settings", failure.line(), EDIT)]),
    };
    let file = match &loaded.config.file {
        Some(file) => file.display().to_string(),
        None => String::from("defaults and environment, no settings file"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let mut all = vec![Check::green("settings", file)];
    all.extend(runtime.block_on(checks::all(&loaded.config, &Clock::system())));
    Ok(all)
}

const EDIT: &str = "change the setting that is named; `sealgate config example` shows all";

fn tell(output: Output, checks: &[Check]) -> Result<(), Failure> {
    if output.json {
        let check = |check: &Check| {
            json!({
                "name": check.name, "ok": check.ok, "detail": check.detail, "remedy": check.remedy,
            })
        };
        let ok = checks.iter().all(|check| check.ok);
        let checks: Vec<Value> = checks.iter().map(check).collect();
        return output.value(&json!({ "ok": ok, "checks": checks }));
    }
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    checks.iter().try_for_each(|check| {
        let mark = match check.ok {
            true if check.remedy.is_some() => output.paint(Colour::Green, "note"),
            true => output.paint(Colour::Green, "ok  "),
            false => output.paint(Colour::Red, "FAIL"),
        };
        let remedy = check.remedy.as_ref().map(|remedy| format!(" -> {remedy}"));
        let (name, detail) = (&check.name, &check.detail);
        output.line(&format!("{mark}  {name:width$}  {detail}{}", remedy.unwrap_or_default()))
    })
}
