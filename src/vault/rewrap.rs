//! Rewrapping: every data key that hangs on an old generation moves to the active one, a row a
//! transaction; values are not touched. Then everything is verified, and only then the old
//! generations go. Killed anywhere, it goes on from the rows that are left. Must never destroy a
//! generation on which anything hangs.

use uuid::Uuid;

use super::jobs::{Outcome, Work};
use super::keyring::Keyring;
use super::{Vault, VaultError};
use crate::failpoint::{self, place};
use crate::store::{JobState, KekState, Rewrapped, SecretRow};

const PAGE: u32 = 100;
/// How often to look for rows that others have changed or added meanwhile.
const PASSES: u32 = 5;

impl Vault {
    pub(super) async fn rewrap(&self, work: Work<'_>) -> Result<Outcome, VaultError> {
        failpoint::pass(place::REWRAP_CLAIMED);
        let keyring = self.unsealed()?.keyring.share();
        keyring.refresh(&self.store).await?;
        let total = work.job.done + self.store.count_secrets_on_old_keks().await?;
        self.store.count_job(work.job.id, work.node, total).await?;
        let mut moved = 0;
        for _ in 0..PASSES {
            let (more, left) = self.rewrap_pass(&keyring, work).await?;
            moved += more;
            // A generation that another node has just made leaves more behind than was read.
            if !left && (more == 0 || self.store.count_secrets_on_old_keks().await? == 0) {
                break;
            }
            keyring.refresh(&self.store).await?;
        }
        failpoint::pass(place::REWRAP_ROWS);
        self.rewrap_lists(&keyring, work).await?;
        self.rewrap_signing_keys(&keyring, work).await?;
        failpoint::pass(place::REWRAP_LISTS);
        let flaws = self.verify(keyring.masters()).await?;
        self.keep_lease(work).await?;
        failpoint::pass(place::REWRAP_VERIFIED);
        let (mut gone, mut kept) = (0, 0);
        for kek in self.store.keks().await?.rows {
            if kek.state == KekState::Active || kek.is_gone() {
                continue;
            }
            if flaws.spare(&kek.category) && self.store.destroy_kek(kek.id).await? {
                gone += 1;
                failpoint::pass(place::REWRAP_DESTROYED);
            } else {
                kept += 1;
            }
        }
        for kek in keyring.rowless(&self.store.keks().await?) {
            if flaws.spare(kek.category()) {
                keyring.let_go(kek.id());
            }
        }
        let moved = moved + work.job.done;
        let sentence = format!(
            "{moved} data keys moved; every row verified; {gone} old generations destroyed"
        );
        if kept == 0 && flaws.are_none() {
            return Ok(Outcome { state: JobState::Done, sentence });
        }
        let why = if flaws.are_none() { "a row still hangs on them".into() } else { flaws.told() };
        let sentence = format!(
            "{moved} data keys moved; {gone} old generations destroyed and {kept} kept, because not \
             every row is well: {why}. Mend or destroy those secrets, then run `sealgate kek \
             rewrap` again"
        );
        Ok(Outcome { state: JobState::Failed, sentence })
    }

    /// One walk over what hangs on old generations; how many moved, and whether some are worth
    /// another walk.
    async fn rewrap_pass(
        &self,
        keyring: &Keyring,
        work: Work<'_>,
    ) -> Result<(u64, bool), VaultError> {
        let (mut after, mut moved, mut left) = (Uuid::nil(), 0, false);
        loop {
            let page = self.store.secrets_on_old_keks(after, PAGE).await?.rows;
            let Some(last) = page.last() else { return Ok((moved, left)) };
            after = last.id;
            for secret in &page {
                match self.rewrap_row(keyring, work, secret).await {
                    Ok(()) => moved += 1,
                    Err(VaultError::Stale) => left = true,
                    // Its own damage keeps its generation; the others move on.
                    Err(fault @ (VaultError::Crypto(_) | VaultError::NoActiveKek(_))) => {
                        tracing::error!(secret = %secret.id, %fault, "a data key cannot be moved");
                    }
                    Err(fault) => return Err(fault),
                }
                failpoint::pass(place::REWRAP_ROW);
            }
        }
    }

    async fn rewrap_row(
        &self,
        keyring: &Keyring,
        work: Work<'_>,
        secret: &SecretRow,
    ) -> Result<(), VaultError> {
        // Sealed meanwhile, the job lets go of its keys; it goes on when the vault is open again.
        drop(self.unsealed()?);
        let kek = keyring.demand_active(&secret.category)?;
        let data_key = keyring.unwrap_data_key(secret)?;
        let meaning = (secret.provider.as_str(), secret.id);
        let wrapped = kek.wrap(self.installation, meaning, &data_key)?;
        let row = Rewrapped { former: secret, kek_id: kek.id(), data_key: &wrapped };
        Ok(self.store.rewrap_secret(&row, &self.step(work, secret.id)).await?)
    }

    /// The inventories are sealed under generations too.
    async fn rewrap_lists(&self, keyring: &Keyring, work: Work<'_>) -> Result<(), VaultError> {
        for _ in 0..PASSES {
            let mut left = false;
            for row in self.store.inventories().await?.rows {
                let Some(kek) = keyring.known_active(&row.category) else { continue };
                if row.kek_id == kek.id() {
                    continue;
                }
                let _changing = self.changing.lock().await;
                let inventory = match self.inventory(keyring, &row.category).await {
                    Ok(inventory) => inventory,
                    // Set right just now, or written by another node: moved by the next walk.
                    Err(VaultError::Stale) => {
                        left = true;
                        continue;
                    }
                    // It keeps its generation; the finding stands.
                    Err(VaultError::Closed(_)) => continue,
                    Err(fault) => return Err(fault),
                };
                match self.store.put_inventory(&inventory.next(keyring, &kek)?).await {
                    Ok(()) => {}
                    Err(crate::store::Error::Stale) => left = true,
                    Err(fault) => return Err(fault.into()),
                }
            }
            self.keep_lease(work).await?;
            if !left {
                break;
            }
        }
        Ok(())
    }
}
