//! A key that is being checked: one that is not stored yet, or a stored version that may serve no
//! call. It opens for the house's own calls alone, as often as the check needs, and is wiped with
//! it. Must never open a row that is not as it was left, nor for a host it was not sealed for.

use std::sync::Arc;

use uuid::Uuid;

use super::snapshot::{NEW_TARGET, Opened};
use super::stock::Stock;
use super::{Fresh, Vault, VaultError, fields};
use crate::clock::Clock;
use crate::policy::Permit;
use crate::provider::Provider;
use crate::quota::{Supply, Ticket};
use crate::refusal::FieldFault;
use crate::secret::SecretBytes;
use crate::store::{VersionRow, VersionState};

/// What is asked about. Only the vault makes one.
pub(crate) struct Candidate {
    fresh: Arc<Fresh>,
    /// 0: it is not stored yet.
    version: u32,
    /// What its provider gives for it; none where it is not stored yet.
    supply: Option<Arc<Supply>>,
}

impl Candidate {
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// For one call of the house.
    pub(crate) fn open(&self, _permit: &Permit) -> Opened {
        Opened::checked(Arc::clone(&self.fresh))
    }

    /// A check waits for nobody, and the provider counts it: it is counted here, too.
    pub(crate) fn counted(&self, clock: &Clock) -> Option<Ticket> {
        let supply = self.supply.as_ref().filter(|supply| supply.is_bound())?;
        let ticket = supply.take_anyhow(clock);
        ticket.leaves();
        Some(ticket)
    }

    /// The provider takes it: it may be asked for more.
    pub(crate) fn proved(&self, clock: &Clock) {
        if let Some(supply) = &self.supply {
            supply.open(clock.monotonic_ns());
        }
    }

    /// What is wrong with its shape.
    pub(crate) fn faults(&self, provider: &Provider) -> Vec<FieldFault> {
        fields::faults(provider, &self.fields(provider))
    }

    /// Copies of its fields, wiped when they are dropped.
    pub(crate) fn fields(&self, provider: &Provider) -> Vec<(String, SecretBytes)> {
        self.fresh.copies(provider)
    }
}

impl Vault {
    /// A value that somebody has just entered.
    pub(crate) fn candidate(
        &self,
        fields: &[(String, SecretBytes)],
    ) -> Result<Candidate, VaultError> {
        self.unsealed()?;
        let fresh = Arc::new(fields::unsealed(fields)?);
        Ok(Candidate { fresh, version: 0, supply: None })
    }

    /// A stored version; the one that calls use where none is named. None where there is no such
    /// secret, or it has no such version with a value.
    pub(crate) async fn candidate_of(
        &self,
        (id, provider): (Uuid, &Provider),
        version: Option<u32>,
    ) -> Result<Option<Candidate>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let stock = Stock::look(&self.store, &keyring, &self.anchors).await?;
        let mut rows = stock.loaded.rows.iter();
        let Some(stored) = rows.find(|stored| stored.secret.id == id) else { return Ok(None) };
        if !stock.judge(stored) || stored.secret.provider != *provider.id {
            return Err(VaultError::Tampered);
        }
        let wanted = |row: &&VersionRow| match version {
            Some(number) => row.version == number,
            None => row.state == VersionState::Active,
        };
        let found = stored.versions.iter().rfind(wanted);
        let Some((row, envelope)) = found.and_then(|row| Some((row, row.envelope.as_ref()?)))
        else {
            return Ok(None);
        };
        let data_key = keyring.unwrap_data_key(&stored.secret)?;
        let sealed = (row.version, &row.destinations, envelope.as_slice());
        let prepared = fields::prepare(self.installation, &data_key, &stored.secret, sealed)?;
        let fresh = fields::open(&prepared)?;
        if !fields::covers(&fresh, provider) {
            return Err(VaultError::Closed(NEW_TARGET.to_owned()));
        }
        let supply = Some(self.registry.supply(id));
        Ok(Some(Candidate { fresh: Arc::new(fresh), version: row.version, supply }))
    }
}
