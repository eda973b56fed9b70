//! The sandbox: a provider's stand-in on this machine whose key is made at each start, sealed at
//! once and known to nobody but the vault and the stand-in. Must never be there without `serve
//! --sandbox`.

use std::sync::Arc;

use super::{Mode, Rooms, StartError};
use crate::catalogue::InForce;
use crate::config::Config;
use crate::crypto::token;
use crate::emulator::{Emulator, Identity};
use crate::provider;
use crate::secret::SecretBytes;
use crate::store::Store;
use crate::vault::{NewSecret, VaultError};

pub(super) const ID: &str = provider::SANDBOX;
const NAME: &str = "default";

/// The stand-in, and the key that it demands until it is sealed.
pub(super) struct Sandbox {
    pub(super) emulator: Emulator,
    key: Option<SecretBytes>,
}

/// The catalogue of this start, with the stand-in in it or not.
pub(super) async fn catalogue(
    config: &Config,
    store: &Store,
    mode: Mode,
) -> Result<(InForce, Option<Sandbox>), StartError> {
    let settings = config.providers.clone();
    if mode != (Mode::Serve { sandbox: true }) {
        return Ok((InForce::open(store, settings, None).await?, None));
    }
    let provider = provider::built_in(ID)?;
    // A key of ours has the right randomness; under another prefix, so that nobody mistakes it.
    let minted = token::mint()?;
    let random = minted.key.expose().get(4..).unwrap_or_default();
    let key = || SecretBytes::new([b"sandbox-".as_slice(), random].concat());
    let identity = Identity::fresh()?;
    let stage = Arc::new(provider::built_in(ID)?);
    let demanded = vec![(String::from("api_key"), key())];
    let emulator = Emulator::start(stage, demanded, config.sandbox, identity).await?;
    let own = provider.at_port(emulator.address().port());
    let catalogue = InForce::open(store, settings, Some(own)).await?;
    Ok((catalogue, Some(Sandbox { emulator, key: Some(key()) })))
}

/// Seals the stand-in's key like any other: as a new secret, or in the place of the last start's.
pub(super) async fn open(
    sandbox: Option<Sandbox>,
    rooms: &Rooms,
) -> Result<Option<Sandbox>, StartError> {
    let Some(mut sandbox) = sandbox else { return Ok(None) };
    let Some(key) = sandbox.key.take() else { return Ok(Some(sandbox)) };
    let fields = vec![(String::from("api_key"), key)];
    if rooms.vault.is_sealed() {
        tracing::warn!("the sandbox stays closed: the vault is sealed at this start");
        return Ok(Some(sandbox));
    }
    // A row that somebody has edited closes the sandbox alone; the house starts.
    if let Err(fault) = seal(rooms, fields).await {
        tracing::error!(%fault, "integrity: the sandbox's secret could not be sealed anew");
        rooms.metrics.alert_raised("integrity");
    }
    Ok(Some(sandbox))
}

async fn seal(rooms: &Rooms, fields: Vec<(String, SecretBytes)>) -> Result<(), VaultError> {
    let stored = rooms.store.secret_by_name(ID, NAME).await?;
    if let Some(stored) = stored {
        rooms.vault.replace(stored.secret.id, fields, "house").await?;
        return Ok(());
    }
    let new = NewSecret {
        provider: ID.to_owned(),
        name: NAME.to_owned(),
        fields,
        expires_at_ms: None,
        owner: None,
        labels: Vec::new(),
        created_by: String::from("house"),
    };
    rooms.vault.add(new).await?;
    Ok(())
}
