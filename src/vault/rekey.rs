//! Rekeying: every secret gets a new data key, and all its values are sealed anew under it, a
//! secret a transaction. It remembers how far it came, so that after a kill no secret is left out.
//! Must never leave a value under a key that is not stored.

use uuid::Uuid;

use super::jobs::{Outcome, Work};
use super::keyring::Keyring;
use super::{Vault, VaultError, fields};
use crate::failpoint::{self, place};
use crate::store::{JobState, Resealed, Rewrapped};

const PAGE: u32 = 100;
const TRIES: u32 = 8;

impl Vault {
    /// Secrets that were added after it began have a new data key anyway.
    pub(super) async fn rekey(&self, work: Work<'_>) -> Result<Outcome, VaultError> {
        failpoint::pass(place::REKEY_CLAIMED);
        let keyring = self.unsealed()?.keyring.share();
        keyring.refresh(&self.store).await?;
        let last = work.job.id;
        let mut after = work.job.after.unwrap_or(Uuid::nil());
        let (mut done, mut skipped) = (work.job.done, 0);
        loop {
            let page = self.store.secret_ids((after, last), PAGE).await?;
            let Some(end) = page.last() else { break };
            after = *end;
            for id in page {
                match self.rekey_secret(&keyring, work, id).await {
                    Ok(true) => done += 1,
                    // Destroyed since the page was read.
                    Ok(false) => {}
                    Err(
                        fault @ (VaultError::Crypto(_)
                        | VaultError::Tampered
                        | VaultError::Closed(_)
                        | VaultError::NoActiveKek(_)
                        | VaultError::Unreadable(_)),
                    ) => {
                        tracing::error!(secret = %id, %fault, "a secret cannot be rekeyed");
                        skipped += 1;
                    }
                    Err(fault) => return Err(fault),
                }
                failpoint::pass(place::REKEY_ROW);
            }
        }
        failpoint::pass(place::REKEY_ROWS);
        let flaws = self.verify(keyring.masters()).await?;
        failpoint::pass(place::REKEY_VERIFIED);
        if skipped == 0 && flaws.are_none() {
            let sentence = format!("{done} secrets have new data keys; every row verified");
            return Ok(Outcome { state: JobState::Done, sentence });
        }
        let sentence = format!(
            "{done} secrets have new data keys, {skipped} were left as they are, because not every row \
             is well: {}. Mend or destroy those secrets, then run `sealgate kek rekey` again",
            flaws.told()
        );
        Ok(Outcome { state: JobState::Failed, sentence })
    }

    async fn rekey_secret(
        &self,
        keyring: &Keyring,
        work: Work<'_>,
        id: Uuid,
    ) -> Result<bool, VaultError> {
        let _changing = self.changing.lock().await;
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.rekey_once(keyring, work, id).await {
                Err(VaultError::Stale) if left > 0 => keyring.refresh(&self.store).await?,
                outcome => return outcome,
            }
        }
    }

    async fn rekey_once(
        &self,
        keyring: &Keyring,
        work: Work<'_>,
        id: Uuid,
    ) -> Result<bool, VaultError> {
        let Some((_, mut inventory, stored)) = self.read_for_change(id).await? else {
            return Ok(false);
        };
        let secret = &stored.secret;
        let kek = keyring.demand_active(&secret.category)?;
        let former_key = keyring.unwrap_data_key(secret)?;
        let (data_key, wrapped) = kek.new_data_key(self.installation, &secret.provider, id)?;
        let keys = (&former_key, &data_key);
        let mut values = Vec::new();
        let mut versions = stored.versions.clone();
        for (former, row) in stored.versions.iter().zip(&mut versions) {
            if let Some(envelope) = fields::rekeyed(self.installation, keys, secret, former)? {
                row.envelope = Some(envelope.clone());
                let destinations = former.destinations;
                values.push(Resealed { former, envelope, destinations });
            }
        }
        inventory.put(secret, &versions);
        let list = self.next_list(keyring, &inventory, &secret.category)?;
        let row = Rewrapped { former: secret, kek_id: kek.id(), data_key: &wrapped };
        let step = self.step(work, id);
        self.store.rekey_secret((&row, &values), &list, &step).await?;
        Ok(true)
    }
}
