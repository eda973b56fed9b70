//! Opens everything that is sealed, each key and each version, and says what does not open: the
//! proof of a backup before anybody needs it.
//! Must never keep or hand out what it opened.

use std::sync::Arc;

use uuid::Uuid;

use super::inventory::{Inventory, Verdict};
use super::keyring::Keyring;
use super::{StoredSecret, Vault, VaultError, fields};
use crate::kms::Masters;
use crate::secret::Key;
use crate::store::{Store, VersionRow};

/// What was opened, and one line for each thing that was not.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub(crate) secrets: u64,
    pub(crate) versions: u64,
    pub(crate) faults: Vec<String>,
}

/// How often to look whether what does not open still does not.
const LOOKS: u32 = 3;

impl Vault {
    /// What of the stored rows does not open, or is not as it was left; one line for each. What a
    /// change has only just moved is looked at again.
    pub(crate) async fn damage(&self) -> Result<Vec<String>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        keyring.refresh(&self.store).await?;
        let mut faults = of(&self.store, &keyring).await?.faults;
        for _ in 0..LOOKS {
            if faults.is_empty() {
                break;
            }
            let again = of(&self.store, &keyring).await?.faults;
            faults.retain(|fault| again.contains(fault));
        }
        Ok(faults)
    }
}

/// Every envelope of a database, under these master keys.
pub(crate) async fn prove(
    store: &Store,
    masters: Arc<Masters>,
    installation: Uuid,
) -> Result<Proof, VaultError> {
    let keyring = Keyring::load(store, masters, installation).await?;
    of(store, &keyring).await
}

/// The same with keys that are at hand.
pub(super) async fn of(store: &Store, keyring: &Keyring) -> Result<Proof, VaultError> {
    let installation = keyring.installation();
    let keks = store.keks().await?;
    let secrets = store.secrets().await?;
    let of_keks = keks.contradictions.iter().map(ToString::to_string);
    let of_secrets = secrets.contradictions.iter().map(ToString::to_string);
    let mut proof = Proof { faults: of_keks.chain(of_secrets).collect(), ..Proof::default() };
    for row in keks.rows.iter().filter(|row| !row.is_gone() && keyring.known(row.id).is_none()) {
        let line = format!("key {} of category {} does not open", row.id, row.category);
        proof.faults.push(line);
    }
    for stored in &secrets.rows {
        let name = format!("secret {} of {}", stored.secret.name, stored.secret.provider);
        let Ok(data_key) = keyring.unwrap_data_key(&stored.secret) else {
            proof.faults.push(format!("{name}: its data key does not open"));
            continue;
        };
        proof.secrets += 1;
        for version in &stored.versions {
            let Some(envelope) = &version.envelope else { continue };
            if opens(installation, &data_key, stored, (version, envelope)) {
                proof.versions += 1;
            } else {
                proof.faults.push(format!("{name}: version {} does not open", version.version));
            }
        }
    }
    lists(store, keyring, &secrets.rows, &mut proof.faults).await?;
    Ok(proof)
}

/// Gives every list that opens an epoch that no node has seen yet, so that lists which come back
/// from a backup are not taken for ones that somebody put back. The rest stays as it is.
pub(crate) async fn lift_lists(
    store: &Store,
    masters: Arc<Masters>,
    (installation, epoch): (Uuid, u64),
) -> Result<(), VaultError> {
    let keyring = Keyring::load(store, masters, installation).await?;
    // Each list is a wrap of its key, whose count is sealed: with the keys at hand here alone.
    keyring.refresh(store).await?;
    for list in store.lists().await? {
        let Ok(row) = &list.row else { continue };
        let Some(kek) = keyring.known(row.kek_id) else { continue };
        let Ok(inventory) = Inventory::open(&keyring, row) else { continue };
        let lifted = inventory.sealed_as(epoch.max(row.epoch + 1), &keyring, &kek)?;
        store.replace_inventory(&lifted, Some(list.mark)).await?;
    }
    Ok(())
}

/// The sealed lists of what each category holds: do they open, and are the rows as they say?
async fn lists(
    store: &Store,
    keyring: &Keyring,
    secrets: &[StoredSecret],
    faults: &mut Vec<String>,
) -> Result<(), VaultError> {
    let listed = store.inventories().await?;
    faults.extend(listed.contradictions.iter().map(ToString::to_string));
    for row in &listed.rows {
        let Ok(inventory) = Inventory::open(keyring, row) else {
            faults.push(format!("the list of category {} does not open", row.category));
            continue;
        };
        let of_it = secrets.iter().filter(|stored| stored.secret.category == row.category);
        let is_touched = |stored: &&StoredSecret| match inventory.judge(stored) {
            Verdict::AsLeft | Verdict::AsLeftBefore => false,
            Verdict::Differs | Verdict::Unlisted => true,
        };
        for stored in of_it.filter(is_touched) {
            let (name, provider) = (&stored.secret.name, &stored.secret.provider);
            faults.push(format!("secret {name} of {provider} is not as it was left"));
        }
        let is_there = |id| secrets.iter().any(|stored| stored.secret.id == id);
        let missing = inventory.missing(&is_there).map(|id| format!("secret {id} is missing"));
        faults.extend(missing);
    }
    Ok(())
}

fn opens(
    installation: Uuid,
    data_key: &Key,
    stored: &StoredSecret,
    (version, envelope): (&VersionRow, &[u8]),
) -> bool {
    let sealed = (version.version, &version.destinations, envelope);
    let prepared = fields::prepare(installation, data_key, &stored.secret, sealed);
    prepared.and_then(|prepared| fields::open(&prepared)).is_ok()
}
