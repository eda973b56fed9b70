//! The proof that the master key is the right one: a key-encryption key opens under it. For
//! `doctor`, while nothing runs or beside a server that does. Must never make a key, nor keep what
//! it opened.

use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::store::Store;
use crate::vault::Vault;

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

async fn prove(
    config: &Config,
    store: &Store,
    clock: &Clock,
) -> Result<(usize, usize), StartError> {
    let Some(installation) = store.installation().await? else { return Ok((0, 0)) };
    let ground = kms::Ground { store, clock, installation: installation.id };
    let masters = Arc::new(kms::gather(&config.master_place(), &ground, None).await?);
    Ok(Vault::prove(store, masters, installation.id).await?)
}
