//! Restoring a backup, and proving one: without a running house, under the data folder's lock. The
//! old journal belongs to the old database and is put aside before the new one stands. Must never
//! remove anything: what is put aside stays for whoever needs it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::StartError;
use super::background::protect_memory;
use super::lock::DataLock;
use crate::backup::{self, Step, Unlock, Verdict};
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::net;
use crate::secret::SecretBytes;
use crate::store::Store;

/// A backup, and what opens it.
pub struct Rescue {
    pub file: PathBuf,
    pub opener: Opener,
    /// Whatever the installation holds may go.
    pub replace: bool,
}

pub enum Opener {
    Passphrase(SecretBytes),
    /// The text of an identity file of age.
    Identity(SecretBytes),
}

/// Decrypts every envelope of a backup and checks its trail, in a scratch place.
pub async fn prove(config: &Config, clock: Clock, rescue: Rescue) -> Result<Verdict, StartError> {
    protect_memory(config);
    let (file, unlock) = open(rescue)?;
    Ok(backup::verify(file, unlock, (&config.data_dir, &clock)).await?)
}

/// Brings a backup into this installation. `step` is told how far it is.
pub async fn restore(
    config: &Config,
    clock: Clock,
    rescue: Rescue,
    step: &(dyn Fn(Step) + Sync),
) -> Result<Verdict, StartError> {
    net::install_provider();
    let _lock = DataLock::take(&config.data_dir)?;
    protect_memory(config);
    let replace = rescue.replace;
    let (file, unlock) = open(rescue)?;
    let store = Store::open(&config.store, clock.clone()).await?;
    kms::create_if_missing(&config.kms)?;
    let master = kms::open(&config.kms).await?;
    let target = backup::Target {
        store: &store,
        master: &master,
        folder: &config.data_dir,
        replace,
        clock: &clock,
    };
    let (journal, now_ms) = (config.ledger.folder.clone(), clock.unix_ms());
    let steps = |at: Step| {
        step(at);
        match at {
            Step::Loaded => put_aside(&config.data_dir, &journal, now_ms),
            Step::Unpacked | Step::Proven | Step::Emptied | Step::Committed => Ok(()),
        }
    };
    let restored = backup::restore(file, unlock, target, &steps).await;
    store.close().await;
    Ok(restored?)
}

fn open(rescue: Rescue) -> Result<(File, Unlock), StartError> {
    let file = File::open(&rescue.file).map_err(|cause| {
        StartError::Room(format!("cannot read the backup {}: {cause}", rescue.file.display()))
    })?;
    let unlock = match rescue.opener {
        Opener::Passphrase(passphrase) => Unlock::Passphrase(passphrase),
        Opener::Identity(text) => Unlock::identities(&text)?,
    };
    Ok((file, unlock))
}

/// The journal and the name of the node whose chain it carries on: the next start makes new ones,
/// so that no chain of the backup is continued from another place.
fn put_aside(data_dir: &Path, journal: &Path, now_ms: i64) -> std::io::Result<()> {
    if !journal.exists() {
        return Ok(());
    }
    for path in [journal, &data_dir.join("node")] {
        if path.exists() {
            let mut aside = path.as_os_str().to_owned();
            aside.push(format!(".before-restore-{now_ms}"));
            std::fs::rename(path, aside)?;
        }
    }
    Ok(())
}
