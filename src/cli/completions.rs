//! `completions`: what a shell needs to complete our commands.
//! Made from the same description as `--help`, so it can miss no command.
//! Must never read settings: a shell asks for it before there are any.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;
use super::output::Output;

#[derive(Args)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sealgate", &mut script);
        Output::new(false, true).line(String::from_utf8_lossy(&script).trim_end())
    }
}
