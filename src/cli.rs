//! The command line: what can be typed, and which file does it. One file a command. Commands that
//! read or change the installation speak the admin API through `link`, so that they and REST share
//! one way. Must never take a secret's value from an argument, and never print more than one line
//! for a failure.

mod alert;
mod audit;
mod backfill;
mod backup;
mod client;
mod completions;
mod config;
mod doctor;
mod emulate;
mod events;
mod failure;
mod healthcheck;
mod house;
mod init;
mod input;
mod kek;
mod link;
mod master_key;
mod openapi;
mod operator;
mod output;
mod passphrase;
mod process;
mod progress;
mod provider;
mod report;
mod seal;
mod secret;
mod serve;
mod symbols;
mod token;
mod usage;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::failure::Failure;
use self::output::Output;
use crate::config::{self as settings, Config, Environment, Loaded};
use crate::telemetry;

/// A vault for provider API keys and the proxy that uses them.
///
/// Start with `sealgate serve --sandbox`: it sets everything up in the current folder and prints
/// what to try. Settings are explained by `sealgate config example`, a broken installation by
/// `sealgate doctor`.
#[derive(Parser)]
#[command(name = "sealgate", version, max_term_width = 100)]
struct Cli {
    /// The settings file; else SEALGATE_CONFIG names it, else sealgate.toml in the current folder
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy and the admin face
    Serve(serve::Serve),
    /// Set up data folder, database, master key and the first admin key; safe to run again
    Init(init::Init),
    /// Check settings, files, database, clock, ports and providers; one line each, with the remedy
    Doctor(doctor::Doctor),
    /// Ask a running server whether it is ready: exit 0 or 1
    Healthcheck(healthcheck::Healthcheck),
    /// The settings in force, or an example file
    #[command(subcommand)]
    Config(config::Command),
    /// Client keys, which callers of the proxy hold
    #[command(subcommand)]
    Client(client::Command),
    /// Short-lived tokens of client keys
    #[command(subcommand)]
    Token(token::Command),
    /// Operators: who signs in to the console
    #[command(subcommand)]
    Operator(operator::Command),
    /// Secrets: the credentials of providers
    #[command(subcommand)]
    Secret(secret::Command),
    /// The keys that seal secrets: their generations, new ones, moving to them
    #[command(subcommand)]
    Kek(kek::Command),
    /// The key above them all: moving to another one
    #[command(subcommand)]
    MasterKey(master_key::Command),
    /// The catalogue of providers
    #[command(subcommand)]
    Provider(provider::Command),
    /// The trail of every request and change
    #[command(subcommand)]
    Audit(audit::Command),
    /// What somebody has to know of, and who is told
    #[command(subcommand)]
    Alert(alert::Command),
    /// What calls added up to, by minute, hour or day
    Usage(usage::Usage),
    /// Reports for people: keys that need a look, and what to do about them
    Report(report::Report),
    /// Tracked symbols: stocks, ETFs and crypto pairs
    #[command(subcommand)]
    Symbols(symbols::Command),
    /// Fetch the history of tracked symbols, and see how far that is
    #[command(subcommand)]
    Backfill(backfill::Command),
    /// Encrypted snapshots of everything: make, prove, bring back
    #[command(subcommand)]
    Backup(backup::Command),
    /// Cut every call under way and drop every key; the proxy answers 503 until it is unsealed
    Seal(seal::Seal),
    /// Take the master key up again; asks for its passphrase where it is held by one
    Unseal(seal::Unseal),
    /// Run one provider's stand-in by itself, for tests
    #[command(hide = true)]
    Emulate(emulate::Emulate),
    /// Print the description of the admin API
    Openapi,
    /// Print the completions for a shell
    Completions(completions::Completions),
}

/// How a command that prints data prints it.
#[derive(Args, Clone, Copy)]
struct Print {
    /// Print JSON instead of text for people
    #[arg(long)]
    json: bool,
}

/// Which installation a command speaks to, and how it prints.
#[derive(Args, Clone)]
struct Reach {
    /// A remote admin face, e.g. `https://gate.example:8000`, with the key in SEALGATE_KEY;
    /// else SEALGATE_URL names it, else the local installation is meant
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    print: Print,
}

/// What every command stands on.
struct Ground {
    environment: Environment,
    /// `--config`.
    named: Option<PathBuf>,
}

impl Ground {
    fn load(&self) -> Result<Loaded, Failure> {
        settings::load(self.named.as_deref(), &self.environment)
            .map_err(|fault| Failure::new(fault.to_string()))
    }

    fn config(&self) -> Result<Config, Failure> {
        Ok(self.load()?.config)
    }

    fn output(&self, print: Print) -> Output {
        Output::new(print.json, self.environment.no_colour())
    }
}

/// Parses, runs, and tells how it went: 0 done, 1 it failed, 2 wrong usage.
pub fn main() -> ExitCode {
    // Whatever goes wrong, be it what was typed, is told in the form that was asked for.
    let json = std::env::args_os().any(|argument| argument == "--json");
    let outcome = process::keep_out_of_core_files().and_then(|()| {
        telemetry::log_panics_without_payload();
        run(std::env::args_os())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}

fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<(), Failure> {
    let arguments: Vec<std::ffi::OsString> = arguments.into_iter().collect();
    input::refuse_keys(&arguments)?;
    let matches = Cli::command().try_get_matches_from(arguments).map_err(input::unrepeated)?;
    let typed = words::Typed::of(&Cli::command(), &matches);
    dispatch(Cli::from_arg_matches(&matches)?).map_err(|failure| failure.named_as_typed(&typed))
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let ground = Ground { environment: Environment::of_process(), named: cli.config };
    #[cfg(feature = "failpoints")]
    process::arm(ground.environment.failpoint());
    match cli.command {
        Command::Serve(serve) => serve.run(&ground),
        Command::Init(init) => init.run(&ground),
        Command::Doctor(doctor) => doctor.run(&ground),
        Command::Healthcheck(healthcheck) => healthcheck.run(&ground),
        Command::Config(command) => command.run(&ground),
        Command::Client(command) => command.run(&ground),
        Command::Token(command) => command.run(&ground),
        Command::Operator(command) => command.run(&ground),
        Command::Secret(command) => command.run(&ground),
        Command::Kek(command) => command.run(&ground),
        Command::MasterKey(command) => command.run(&ground),
        Command::Provider(command) => command.run(&ground),
        Command::Audit(command) => command.run(&ground),
        Command::Alert(command) => command.run(&ground),
        Command::Usage(usage) => usage.run(&ground),
        Command::Report(report) => report.run(&ground),
        Command::Symbols(command) => command.run(&ground),
        Command::Backfill(command) => command.run(&ground),
        Command::Backup(command) => command.run(&ground),
        Command::Seal(seal) => seal.run(&ground),
        Command::Unseal(unseal) => unseal.run(&ground),
        Command::Emulate(emulate) => emulate.run(&ground),
        Command::Openapi => openapi::run(),
        Command::Completions(completions) => completions.run(),
    }
}

#[cfg(test)]
mod tests;
