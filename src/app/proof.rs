//! The proof that the master key is the right one: a key-encryption key opens under it; and that
//! every row is as it was left. For `doctor`, while nothing runs or beside a server that does. Must
//! never make a key, nor keep what it opened, nor mend anything.

use std::path::PathBuf;
use std::sync::Arc;

use super::{StartError, setup};
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::ledger;
use crate::store::Store;
use crate::vault::{self, Anchors, Vault};

/// How many key-encryption keys stand in the database, and how many of them open under the master
/// keys of these settings. An error says why none can be tried, or that it is another master key.
pub(crate) async fn prove_master_key(
    config: &Config,
    clock: Clock,
) -> Result<(usize, usize), StartError> {
    let store = Store::open(&config.store, clock.clone()).await?;
    let proof = prove(config, &store, &clock).await;
    store.close().await;
    proof
}

/// A key that lies where a rotation puts the new one, and that this house knows nothing of.
pub(crate) async fn stray_master_key(
    config: &Config,
    clock: Clock,
) -> Result<Option<PathBuf>, StartError> {
    let store = Store::open(&config.store, clock).await?;
    let named = vault::named_masters(&store).await;
    store.close().await;
    Ok(kms::stray(&config.kms, &named?))
}

async fn prove(
    config: &Config,
    store: &Store,
    clock: &Clock,
) -> Result<(usize, usize), StartError> {
    let Some(installation) = setup::standing(config, store).await? else { return Ok((0, 0)) };
    setup::demand_own_id(config, (store, clock), installation.id).await?;
    let ground = kms::Ground { store, clock, installation: installation.id };
    let masters = match kms::gather(&config.master_place(), &ground, None).await {
        Ok(masters) => Arc::new(masters),
        Err(fault) => {
            let anchors = Anchors::read(&config.data_dir, installation.id);
            return Err(vault::explained(store, &anchors, fault).await.into());
        }
    };
    Ok(Vault::prove(store, masters, installation.id).await?)
}

/// What is wrong with the row of a master key that a passphrase opens, without the passphrase.
pub(crate) async fn lost_master_key(
    config: &Config,
    clock: Clock,
) -> Result<Option<String>, StartError> {
    let store = Store::open(&config.store, clock).await?;
    let lost = match setup::standing(config, &store).await {
        Ok(Some(installation)) => {
            let anchors = Anchors::read(&config.data_dir, installation.id);
            vault::lost_master(&store, &anchors).await.map_err(StartError::from)
        }
        Ok(None) => Ok(None),
        Err(fault) => Err(fault),
    };
    store.close().await;
    Ok(lost?.map(|fault| fault.to_string()))
}

/// What of the stored rows is not as it was left or does not open; one line each. For a house that
/// does not run: one that does is asked itself.
pub(crate) async fn examine(config: &Config, clock: Clock) -> Result<Vec<String>, StartError> {
    let store = Store::open(&config.store, clock.clone()).await?;
    let found = look(config, &store, &clock).await;
    store.close().await;
    found
}

/// The same of trail, journal and counts, for which nobody needs a key.
pub(crate) async fn examine_trail(
    config: &Config,
    clock: Clock,
) -> Result<Vec<String>, StartError> {
    let kept = super::lock::node_of(&config.data_dir);
    let store = Store::open(&config.store, clock.clone()).await?;
    let found = match setup::standing(config, &store).await {
        Ok(Some(installation)) => {
            trail_of(config, (&store, clock.unix_ms()), (installation.id, kept)).await
        }
        Ok(None) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    };
    store.close().await;
    found
}

async fn trail_of(
    config: &Config,
    at: (&Store, i64),
    (installation, kept): (uuid::Uuid, Result<Option<String>, StartError>),
) -> Result<Vec<String>, StartError> {
    let known = ledger::owner_of(&config.ledger, at.0, installation).await?;
    let renamed = known.is_some() && kept.as_ref().ok() != Some(&known);
    let (node, what) = match (known, kept) {
        (Some(known), _) => {
            (known, "the journal knows the right one, and the next start writes it")
        }
        (None, Ok(Some(kept))) => (kept, ""),
        (None, Ok(None)) => return Ok(Vec::new()),
        (None, Err(fault)) => return Err(fault),
    };
    let mut found = ledger::examine(&config.ledger, at, (installation, &node)).await?;
    found.extend(renamed.then(|| super::lock::renamed(what)));
    Ok(found)
}

async fn look(config: &Config, store: &Store, clock: &Clock) -> Result<Vec<String>, StartError> {
    let Some(installation) = setup::standing(config, store).await? else { return Ok(Vec::new()) };
    let anchors = Anchors::read(&config.data_dir, installation.id);
    let ground = kms::Ground { store, clock, installation: installation.id };
    let masters = Arc::new(kms::gather(&config.master_place(), &ground, None).await?);
    let catalogue = InForce::open(store, config.providers.clone(), None).await?;
    Ok(vault::examine(store, masters, (&catalogue, &anchors), installation.id).await?)
}
