//! The ways out of the house: where every provider is reached and which authorities its
//! certificate may come from. Built once at start; `doctor` tries them without sending
//! anything. Must never trust an authority for one provider because another one needs it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{StartError, sandbox};
use crate::config::Config;
use crate::net::{self, Connector, Trust};
use crate::provider::Catalogue;
use crate::upstream::Origins;

/// The way out to every provider, with the trust anchors that each one has.
pub(super) fn origins(
    config: &Config,
    catalogue: &Catalogue,
    sandbox: Option<&sandbox::Sandbox>,
) -> Result<Origins, StartError> {
    let shared = config.egress.ca_file.as_deref().map(Trust::read_file).transpose()?;
    let shared: Vec<Vec<u8>> = shared.into_iter().collect();
    let mut trusts = HashMap::new();
    for provider in catalogue.iter() {
        let mut anchors = shared.clone();
        if let Some(path) = &provider.ca_file {
            anchors.push(Trust::read_file(path)?);
        }
        if let Some(sandbox) = sandbox.filter(|_| &*provider.id == sandbox::ID) {
            anchors.push(sandbox.emulator.ca_pem().as_bytes().to_vec());
        }
        if anchors.len() > shared.len() {
            trusts.insert(Arc::clone(&provider.id), Trust::new(&anchors)?);
        }
    }
    let connector = Connector { allow_private_networks: config.egress.allow_private_networks };
    Ok(Origins::new(connector, catalogue, &Trust::new(&shared)?, &trusts))
}

/// Tries to connect to each of these providers, sending nothing. None: it can be reached.
pub(crate) async fn reach(
    config: &Config,
    providers: &[String],
) -> Result<Vec<(String, Option<String>)>, StartError> {
    net::install_provider();
    let catalogue = Catalogue::build(&config.providers)?;
    let origins = origins(config, &catalogue, None)?;
    let mut reached = Vec::with_capacity(providers.len());
    for provider in providers {
        if let Some(known) = catalogue.get(provider) {
            let outcome = origins.reach(known).await;
            reached.push((provider.clone(), outcome.err().map(|fault| fault.to_string())));
        }
    }
    Ok(reached)
}
