//! `config show` and `config example`.
//! What is shown was masked before it came here.
//! Must never read a value anywhere but in what was masked.

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::{Ground, Print};
use crate::config::{Loaded, Shown, example};

#[derive(Subcommand)]
pub(super) enum Command {
    /// The settings in force, each with where it came from; secrets masked
    Show(Print),
    /// A commented settings file with every default
    Example,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Show(print) => show(ground.output(print), &ground.load()?),
            Self::Example => Output::new(false, true).line(example().trim_end()),
        }
    }
}

fn show(output: Output, loaded: &Loaded) -> Result<(), Failure> {
    let file = loaded.config.file.as_ref().map(|file| file.display().to_string());
    if output.json {
        let setting = |shown: &Shown| json!({ "key": shown.key, "value": shown.json(), "origin": shown.origin.as_str() });
        let settings: Vec<Value> = loaded.shown.iter().map(setting).collect();
        return output.value(&json!({ "file": file, "settings": settings }));
    }
    output.line(&match file {
        Some(file) => format!("# {file}"),
        None => String::from("# no settings file"),
    })?;
    let assignment = |shown: &Shown| shown.assignment();
    let width = loaded.shown.iter().map(|shown| assignment(shown).chars().count());
    let width = width.max().unwrap_or(0).min(72);
    loaded.shown.iter().try_for_each(|shown| {
        output.line(&format!("{:width$}  # {}", assignment(shown), shown.origin.as_str()))
    })
}
