//! `emulate`: one provider's stand-in by itself, until it is told to end. For tests of official
//! SDKs and for trying the product without an account. Must never listen where other machines
//! reach it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::{Ground, Print, input};
use crate::emulator::{Emulator, Identity};
use crate::provider::{self, Provider};
use crate::secret::SecretBytes;

#[derive(Args)]
pub(super) struct Emulate {
    /// A provider of the catalogue, e.g. polygon
    provider: String,
    /// Where to listen, on this machine alone; port 0: any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Read the key that it demands from standard input, as `secret add` does
    #[arg(long, required = true)]
    key_stdin: bool,
    /// Where to write the authority that signed its certificate, for the provider's ca_file
    #[arg(long, value_name = "FILE")]
    ca_file_out: PathBuf,
    #[command(flatten)]
    print: Print,
}

impl Emulate {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        if !self.listen.ip().is_loopback() {
            let line = "an emulator listens on this machine alone; give a loopback address";
            return Err(Failure::usage(line));
        }
        let provider =
            provider::built_in(&self.provider).map_err(|bad| Failure::new(bad.to_string()))?;
        let fields = key(&provider)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
        runtime.block_on(self.serve(ground, provider, fields))
    }

    async fn serve(
        self,
        ground: &Ground,
        provider: Provider,
        fields: Vec<(String, SecretBytes)>,
    ) -> Result<(), Failure> {
        let fault = |fault: &dyn std::fmt::Display| Failure::new(fault.to_string());
        let identity = Identity::fresh().map_err(|error| fault(&error))?;
        let emulator = Emulator::start(Arc::new(provider), fields, self.listen, identity)
            .await
            .map_err(|error| fault(&error))?;
        std::fs::write(&self.ca_file_out, emulator.ca_pem()).map_err(|error| {
            Failure::new(format!("cannot write {}: {error}", self.ca_file_out.display()))
        })?;
        let base_url = format!("https://{}", emulator.address());
        let output = ground.output(self.print);
        match output.json {
            true => output.compact(&json!({ "base_url": base_url }))?,
            false => output.line(&base_url)?,
        }
        let told = told_to_end()
            .await
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")));
        emulator.stop().await;
        told
    }
}

/// What it demands, by field; the provider's own key belongs to nobody's stand-in, so a text is
/// enough.
fn key(provider: &Provider) -> Result<Vec<(String, SecretBytes)>, Failure> {
    let names: Vec<String> = provider.fields.iter().map(|field| field.name.clone()).collect();
    let values = input::piped(&names)?;
    let secret = |(name, value): (String, Value)| {
        let text = value.as_str().unwrap_or_default().trim();
        (name, SecretBytes::copy_of(text.as_bytes()))
    };
    Ok(values.into_iter().map(secret).collect())
}

async fn told_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
