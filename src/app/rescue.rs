//! Restoring a backup, and proving one: without a running house, under the data folder's lock. The
//! old journal belongs to the old database and is put aside before the new one stands. Must never
//! remove anything: what is put aside stays for whoever needs it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::background::protect_memory;
use super::lock::DataLock;
use super::setup::AskPassphrase;
use super::{Mode, StartError};
use crate::backup::{self, Step, Unlock, Verdict};
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::net;
use crate::secret::SecretBytes;
use crate::store::Store;
use crate::vault::{ANCHORS, Anchors};

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

/// Brings a backup into this installation, asking for the passphrase of its own master key where it
/// is held by one. `step` is told how far it is.
pub async fn restore(
    config: &Config,
    clock: Clock,
    (rescue, ask): (Rescue, AskPassphrase),
    step: &(dyn Fn(Step) + Sync),
) -> Result<Verdict, StartError> {
    net::install_provider();
    let lock = DataLock::take(&config.data_dir, &config.store.target)?;
    backup::sweep(&config.data_dir);
    protect_memory(config);
    let replace = rescue.replace;
    let (file, unlock) = open(rescue)?;
    let store = Store::open(&config.store, clock.clone()).await?;
    let ground = kms::Ground { store: &store, clock: &clock, installation: uuid::Uuid::nil() };
    let typed = match &config.kms {
        kms::Settings::Passphrase { source: None } => Some(ask()?),
        kms::Settings::Passphrase { source: Some(_) }
        | kms::Settings::File { .. }
        | kms::Settings::AwsKms(_)
        | kms::Settings::VaultTransit(_) => None,
    };
    let again = typed.as_ref().map(|typed| SecretBytes::copy_of(typed.expose()));
    kms::create_if_missing(&config.kms, &ground, again).await?;
    let master = kms::open(&config.kms, &ground, typed).await?;
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
    // What stands now is meant, though this node has never seen it.
    if let Ok(restored) = &restored {
        Anchors::begin(&config.data_dir, restored.installation)?;
    }
    let has_admin = store.count_active_admins().await.is_ok_and(|admins| admins > 0);
    store.close().await;
    drop(lock);
    let restored = restored?;
    if has_admin {
        write_down(config, clock, &restored).await;
    }
    Ok(restored)
}

/// A security record, at the beginning of this node's new chain. The house stands without it too:
/// whatever keeps it from starting is told by the start that somebody waits for. (Without an admin
/// a start would make one, whose key nobody would see.)
async fn write_down(config: &Config, clock: Clock, restored: &Verdict) {
    let running = match super::start(config.clone(), clock, Mode::SocketOnly).await {
        Ok(running) => running,
        Err(fault) => {
            tracing::warn!(%fault, "the restored house did not start to write its restore down");
            return;
        }
    };
    running.ledger.noted(serde_json::json!({
        "restored": {
            "backup_of": crate::clock::rfc3339(restored.created_at_ms),
            "secrets": restored.secrets, "versions": restored.values,
            "records": restored.records, "faults": restored.faults,
        },
    }));
    running.stop().await;
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
    let aside = |path: &Path| {
        if !path.exists() {
            return Ok(());
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".before-restore-{now_ms}"));
        std::fs::rename(path, aside)
    };
    // Epochs of the database that goes; the restored ones are later than any of them anyway.
    aside(&data_dir.join(ANCHORS))?;
    if !journal.exists() {
        return Ok(());
    }
    aside(journal)?;
    aside(&data_dir.join("node"))
}
