//! What the command line asks of the app: to run it, to set it up, to serve the local socket alone.
//! The one place where the two meet.
//! Must never decide anything of its own.

use super::failure::Failure;
use crate::config::Config;

/// What `init` did and what it found.
pub(super) struct Setup {
    /// What was done, or already stood, in order.
    pub(super) steps: Vec<Step>,
    /// The first admin key, on the first run alone.
    pub(super) admin_key: Option<String>,
}

pub(super) struct Step {
    pub(super) what: String,
    /// It was there already.
    pub(super) stood: bool,
}

/// The app without listeners, for the time of one command.
pub(super) struct Offline;

impl Offline {
    /// Lets the app end in good order.
    pub(super) async fn close(self) {}
}

pub(super) async fn offline(config: &Config) -> Result<Offline, Failure> {
    Err(Failure::new(format!(
        "no server runs on {}; start one with `sealgate serve`",
        config.data_dir.display()
    )))
}

pub(super) fn initialise(_: &Config) -> Result<Setup, Failure> {
    Err(not_available())
}

pub(super) fn serve(_: Config, _: bool) -> Result<(), Failure> {
    Err(not_available())
}

pub(super) fn openapi() -> Result<String, Failure> {
    Err(not_available())
}

fn not_available() -> Failure {
    Failure::new("this is not available in this build")
}
