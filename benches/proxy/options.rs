//! What the bench was asked to do.
//! Read from its arguments alone.
//! Must never read the environment.

use crate::Outcome;

const HELP: &str = "\
cargo bench --bench proxy -- [OPTIONS]
  --rounds N           rounds of each measurement [9]
  --seconds N          seconds of load in a round [2]
  --connections A,B    connection counts of the main row [1,8,64]
  --bar RATIO          exit 1 if CPU time per request at 64 connections is above RATIO of nginx
  --h2                 also Sealgate over an HTTP/2 upstream
  --more               also 10 KB and 1 MB answers, event streams, a steady rate and memory
  --haproxy            also HAProxy
  --short              3 rounds of 1 second
  --sealgate FILE      another binary than the one that cargo has built
  --other FILE         a second binary beside it, to compare two builds in one run";

pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) connections: Vec<u32>,
    pub(crate) bar: Option<f64>,
    pub(crate) h2: bool,
    pub(crate) more: bool,
    pub(crate) haproxy: bool,
    pub(crate) sealgate: String,
    pub(crate) other: Option<String>,
}

impl Options {
    /// None if only help was wanted.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Option<Self>> {
        let mut options = Self {
            rounds: 9,
            seconds: 2,
            connections: vec![1, 8, 64],
            bar: None,
            h2: false,
            more: false,
            haproxy: false,
            sealgate: env!("CARGO_BIN_EXE_sealgate").to_owned(),
            other: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => options.rounds = number(&value()?)?,
                "--seconds" => options.seconds = number(&value()?)?,
                "--connections" => {
                    options.connections =
                        value()?.split(',').map(number).collect::<Outcome<_>>()?;
                }
                "--bar" => options.bar = Some(number(&value()?)?),
                "--h2" => options.h2 = true,
                "--more" => options.more = true,
                "--haproxy" => options.haproxy = true,
                "--short" => (options.rounds, options.seconds) = (3, 1),
                "--sealgate" => options.sealgate = whole_path(&value()?)?,
                "--other" => options.other = Some(whole_path(&value()?)?),
                "--help" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                // What cargo itself passes.
                "--bench" => {}
                other => return Err(format!("unknown argument {other}\n{HELP}")),
            }
        }
        options.rounds = options.rounds.max(1);
        options.seconds = options.seconds.max(1);
        Ok(Some(options))
    }
}

/// The binary runs in a folder of its own.
fn whole_path(text: &str) -> Outcome<String> {
    let path = std::fs::canonicalize(text).map_err(|cause| format!("{text}: {cause}"))?;
    Ok(path.display().to_string())
}

fn number<T: std::str::FromStr>(text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
