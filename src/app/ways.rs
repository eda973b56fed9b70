//! The ways out of the house: where every provider is reached and which authorities its
//! certificate may come from. Built once at start; `doctor` tries them without sending
//! anything. Must never trust an authority for one provider because another one needs it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{StartError, sandbox};
use crate::admin::Refresh;
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::config::Config;
use crate::net::{self, Connector, TlsError, Trust};
use crate::provider::Catalogue;
use crate::upstream::Origins;
use crate::vault::Vault;

/// The ways out, and what they are made from again when the catalogue changes.
pub(super) struct Ways {
    shared: Vec<Vec<u8>>,
    /// The authority of the stand-in.
    sandbox: Option<Vec<u8>>,
    origins: Arc<Origins>,
}

impl Ways {
    /// An authority that the settings name and that cannot be read keeps the house from starting.
    pub(super) fn open(
        (config, clock): (&Config, &Clock),
        catalogue: &Catalogue,
        sandbox: Option<&sandbox::Sandbox>,
    ) -> Result<Self, StartError> {
        let shared = config.egress.ca_file.as_deref().map(Trust::read_file).transpose()?;
        let shared: Vec<Vec<u8>> = shared.into_iter().collect();
        let sandbox = sandbox.map(|sandbox| sandbox.emulator.ca_pem().as_bytes().to_vec());
        let (trusts, faults) = trusts(catalogue, &shared, sandbox.as_deref());
        let of_settings = |id: &str| config.providers.iter().any(|(name, _)| name == id);
        for (provider, fault) in faults {
            if of_settings(&provider) {
                return Err(fault.into());
            }
            tracing::error!(%provider, %fault, "a provider's authority cannot be read");
        }
        let allows_private = config.egress.allow_private_networks;
        let connector = Connector::new(allows_private, clock.clone());
        let origins = Origins::new(connector, catalogue, &Trust::new(&shared)?, &trusts);
        Ok(Self { shared, sandbox, origins: Arc::new(origins) })
    }

    pub(super) fn origins(&self) -> Arc<Origins> {
        Arc::clone(&self.origins)
    }

    fn take(&self, catalogue: &Catalogue) -> Result<(), TlsError> {
        let (trusts, faults) = trusts(catalogue, &self.shared, self.sandbox.as_deref());
        for (provider, fault) in faults {
            tracing::error!(%provider, %fault, "a provider's authority cannot be read");
        }
        self.origins.take(catalogue, &Trust::new(&self.shared)?, &trusts);
        Ok(())
    }
}

/// What follows a changed entry: its ways first, then the entry, then its secrets.
pub(super) fn refresh(ways: &Arc<Ways>, catalogue: &InForce, vault: &Arc<Vault>) -> Refresh {
    let (ways, catalogue, vault) = (Arc::clone(ways), catalogue.clone(), Arc::clone(vault));
    Arc::new(move || {
        let (ways, catalogue, vault) = (Arc::clone(&ways), catalogue.clone(), Arc::clone(&vault));
        Box::pin(async move {
            let before = |next: &Catalogue| ways.take(next).map_err(|fault| fault.to_string());
            catalogue.reload(before).await?;
            vault.judge_anew().await.map_err(|fault| fault.to_string())
        })
    })
}

type Trusts = HashMap<Arc<str>, Trust>;

/// The trust anchors that each provider has beside the shared ones, and what cannot be read.
fn trusts(
    catalogue: &Catalogue,
    shared: &[Vec<u8>],
    sandbox: Option<&[u8]>,
) -> (Trusts, Vec<(Arc<str>, TlsError)>) {
    let (mut trusts, mut faults) = (HashMap::new(), Vec::new());
    for provider in catalogue.iter() {
        let mut anchors = shared.to_vec();
        let read = provider.ca_file.as_ref().map(|path| Trust::read_file(path)).transpose();
        match read {
            Ok(read) => anchors.extend(read),
            Err(fault) => faults.push((Arc::clone(&provider.id), fault)),
        }
        anchors.extend(sandbox.filter(|_| &*provider.id == sandbox::ID).map(<[u8]>::to_vec));
        if anchors.len() > shared.len() {
            match Trust::new(&anchors) {
                Ok(trust) => drop(trusts.insert(Arc::clone(&provider.id), trust)),
                Err(fault) => faults.push((Arc::clone(&provider.id), fault)),
            }
        }
    }
    (trusts, faults)
}

/// Tries to connect to each of these providers, sending nothing. None: it can be reached.
pub(crate) async fn reach(
    config: &Config,
    providers: &[String],
) -> Result<Vec<(String, Option<String>)>, StartError> {
    net::install_provider();
    let catalogue = Catalogue::build(&config.providers)?;
    let origins = Ways::open((config, &Clock::system()), &catalogue, None)?.origins();
    let mut reached = Vec::with_capacity(providers.len());
    for provider in providers {
        if let Some(known) = catalogue.get(provider) {
            let outcome = origins.reach(known).await;
            reached.push((provider.clone(), outcome.err().map(|fault| fault.to_string())));
        }
    }
    Ok(reached)
}
