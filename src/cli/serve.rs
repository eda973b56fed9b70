//! `serve`: runs both faces until it is told to stop.
//! On an empty data folder it does first what `init`
//! does.

use clap::Args;

use super::failure::Failure;
use super::{Ground, house};
use crate::telemetry;

#[derive(Args)]
pub(super) struct Serve {
    /// Add the provider `sandbox`: a local TLS API that demands a real key, already configured
    #[arg(long)]
    sandbox: bool,
}

impl Serve {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let config = ground.config()?;
        telemetry::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
        house::serve(config, self.sandbox)
    }
}
