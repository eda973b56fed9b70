//! `emulate`: one provider's stand-in by itself, until it is told to end. For tests of official
//! SDKs and for trying the product without an account. Must never listen where other machines
//! reach it.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::{Ground, Print};
use crate::emulator::{Emulator, Identity};
use crate::provider;
use crate::secret::SecretBytes;

/// As long as the longest key that a secret may hold.
const MOST_KEY_BYTES: u64 = 8192;

#[derive(Args)]
pub(super) struct Emulate {
    /// A provider of the catalogue, e.g. polygon
    provider: String,
    /// Where to listen, on this machine alone; port 0: any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Read the key that it demands from standard input
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
        let key = key()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
        runtime.block_on(self.serve(ground, key))
    }

    async fn serve(self, ground: &Ground, key: SecretBytes) -> Result<(), Failure> {
        let fault = |fault: &dyn std::fmt::Display| Failure::new(fault.to_string());
        let provider = provider::built_in(&self.provider).map_err(|bad| fault(&bad))?;
        let identity = Identity::fresh().map_err(|error| fault(&error))?;
        let emulator = Emulator::start(Arc::new(provider), key, self.listen, identity)
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

fn key() -> Result<SecretBytes, Failure> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(MOST_KEY_BYTES).unwrap_or_default() + 1);
    let read = std::io::stdin().lock().take(MOST_KEY_BYTES + 1).read_to_end(&mut bytes);
    while bytes.last().is_some_and(u8::is_ascii_whitespace) {
        bytes.pop();
    }
    let key = SecretBytes::new(bytes);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    if key.is_empty() {
        return Err(Failure::new("standard input holds no key; pipe any text in"));
    }
    Ok(key)
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
