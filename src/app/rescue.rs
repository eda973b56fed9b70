//! Restoring a backup, and proving one: without a running house, under the data folder's lock. The
//! old journal belongs to the old database and is put aside once the new one stands. Must never
//! remove anything: what is put aside stays for whoever needs it.

use std::fs::File;
use std::path::PathBuf;

use super::aside::{self, Settled};
use super::background::protect_memory;
use super::lock::DataLock;
use super::note::{self, Note};
use super::setup::AskPassphrase;
use super::{Mode, StartError};
use crate::backup::{self, Step, Unlock, Verdict};
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::net;
use crate::secret::SecretBytes;
use crate::store::{Store, Target};

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

/// What was brought back, and where the file lies that was put aside for it.
pub struct Restored {
    pub verdict: Verdict,
    pub aside: Option<PathBuf>,
}

/// Decrypts every envelope of a backup and checks its trail, in a scratch place.
pub async fn prove(config: &Config, clock: Clock, rescue: Rescue) -> Result<Verdict, StartError> {
    protect_memory(config);
    let (file, unlock) = open(&rescue)?;
    Ok(backup::verify(file, unlock, (&config.data_dir, &clock)).await?)
}

/// Brings a backup into this installation, asking for the passphrase of its own master key where it
/// is held by one. `step` is told how far it is.
pub async fn restore(
    config: &Config,
    clock: Clock,
    (rescue, ask): (Rescue, AskPassphrase),
    step: &(dyn Fn(Step) + Sync),
) -> Result<Restored, StartError> {
    net::install_provider();
    let lock = DataLock::take(&config.data_dir, &config.store.target)?;
    backup::sweep(&config.data_dir);
    protect_memory(config);
    let replace = rescue.replace;
    let (store, aside) = usable_store(config, &clock, &rescue).await?;
    let (folder, journal) = (&config.data_dir, &config.ledger.folder);
    // One that was killed before this one.
    if aside::settle(folder, journal, &store).await? == Settled::Elsewhere {
        return Err(StartError::Room(String::from(WAITS)));
    }
    let (file, unlock) = open(&rescue)?;
    let master = own_master(config, (&store, &clock), ask).await?;
    let note = Note {
        mark: uuid::Uuid::now_v7().to_string(),
        begun_ms: clock.unix_ms(),
        former: store.last_restore().await?,
        place: store.describe().to_owned(),
    };
    let target = backup::Target {
        store: &store,
        master: &master,
        folder,
        replace,
        clock: &clock,
        mark: &note.mark,
    };
    let steps = |at: Step| {
        if at == Step::Loaded {
            note.leave(folder)?;
        }
        step(at);
        Ok(())
    };
    let restored = backup::restore(file, unlock, target, &steps).await;
    let settled = aside::settle(folder, journal, &store).await;
    let has_admin = store.count_active_admins().await.is_ok_and(|admins| admins > 0);
    store.close().await;
    let verdict = match (restored, &settled) {
        // The answer to its commit was lost on the way, and nothing else.
        (Err(fault), Ok(Settled::Finished)) => {
            return Err(StartError::Room(format!("{fault} {COMMITTED}")));
        }
        (restored, _) => restored?,
    };
    settled?;
    note::leave_record(folder, &told(&verdict))?;
    step(Step::PutAside);
    drop(lock);
    if has_admin {
        write_down(config, clock).await;
    }
    Ok(Restored { verdict, aside })
}

/// The master key of this installation, made where there is none.
async fn own_master(
    config: &Config,
    (store, clock): (&Store, &Clock),
    ask: AskPassphrase,
) -> Result<kms::Master, StartError> {
    let ground = kms::Ground { store, clock, installation: uuid::Uuid::nil() };
    let typed = match &config.kms {
        kms::Settings::Passphrase { source: None } => Some(ask()?),
        kms::Settings::Passphrase { source: Some(_) }
        | kms::Settings::File { .. }
        | kms::Settings::AwsKms(_)
        | kms::Settings::VaultTransit(_) => None,
    };
    let again = typed.as_ref().map(|typed| SecretBytes::copy_of(typed.expose()));
    kms::create_if_missing(&config.kms, &ground, again).await?;
    Ok(kms::open(&config.kms, &ground, typed).await?)
}

/// The database to restore into. A file that no program can use any more is put aside, whole and
/// with its journal, and a new one made: only where that is meant, and the backup was proven.
async fn usable_store(
    config: &Config,
    clock: &Clock,
    rescue: &Rescue,
) -> Result<(Store, Option<PathBuf>), StartError> {
    let fault = match Store::open(&config.store, clock.clone()).await {
        Err(fault) => fault,
        Ok(store) => match store.demand_whole().await {
            Ok(()) => return Ok((store, None)),
            Err(fault) => {
                store.close().await;
                fault
            }
        },
    };
    if !fault.calls_for_a_backup() {
        return Err(fault.into());
    }
    let Target::Sqlite(path) = &config.store.target else {
        return Err(StartError::Room(format!("{fault} {OTHER_DATABASE}")));
    };
    if !rescue.replace {
        return Err(StartError::Room(format!("{fault} {GIVE_REPLACE}")));
    }
    let (file, unlock) = open(rescue)?;
    backup::verify(file, unlock, (&config.data_dir, clock)).await?;
    let aside = aside::put_database_aside(path, clock.unix_ms())?;
    tracing::warn!(%fault, aside = %aside.display(), "the database was put aside for a backup");
    Ok((Store::open(&config.store, clock.clone()).await?, Some(aside)))
}

const GIVE_REPLACE: &str = "Nothing was changed; `sealgate backup restore --replace` puts the file \
                            aside, under another name, and restores into a new one.";
const OTHER_DATABASE: &str = "Nothing was changed; make an empty database, name it in \
                              database.url, and restore into that.";

const WAITS: &str = "A restore into another database was cut off here, and its note waits in \
                     data_dir (restore.pending). Nothing was changed; start Sealgate with that \
                     database once, or remove the note if it is not wanted any more.";
const COMMITTED: &str = "That was the answer to the last step, which was done all the same: the \
                         database holds the backup, and what was the former house's is put aside. \
                         Start the server.";

/// What the trail is to say of it.
fn told(restored: &Verdict) -> serde_json::Value {
    serde_json::json!({
        "backup_of": crate::clock::rfc3339(restored.created_at_ms),
        "secrets": restored.secrets, "versions": restored.values,
        "records": restored.records, "faults": restored.faults,
    })
}

/// A security record, at the beginning of this node's new chain: each start writes what is in none
/// yet. The house stands without it too: whatever keeps it from starting is told by the start that
/// somebody waits for. (Without an admin a start would make one, whose key nobody would see.)
async fn write_down(config: &Config, clock: Clock) {
    let running = match super::start(config.clone(), clock, Mode::SocketOnly).await {
        Ok(running) => running,
        Err(fault) => {
            tracing::warn!(%fault, "the restored house did not start to write its restore down");
            return;
        }
    };
    running.stop().await;
}

fn open(rescue: &Rescue) -> Result<(File, Unlock), StartError> {
    let file = File::open(&rescue.file).map_err(|cause| {
        StartError::Room(format!("cannot read the backup {}: {cause}", rescue.file.display()))
    })?;
    let unlock = match &rescue.opener {
        Opener::Passphrase(passphrase) => {
            Unlock::Passphrase(SecretBytes::copy_of(passphrase.expose()))
        }
        Opener::Identity(text) => Unlock::identities(text)?,
    };
    Ok((file, unlock))
}
