//! Opens everything that is sealed, each key and each version, and says what does not open: the
//! proof of a backup before anybody needs it.
//! Must never keep or hand out what it opened.

use std::sync::Arc;

use uuid::Uuid;

use super::keyring::Keyring;
use super::{StoredSecret, VaultError, VersionRow, fields};
use crate::kms::Masters;
use crate::secret::Key;
use crate::store::Store;

/// What was opened, and one line for each thing that was not.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub(crate) secrets: u64,
    pub(crate) versions: u64,
    pub(crate) faults: Vec<String>,
}

/// Every envelope of a database, under these master keys.
pub(crate) async fn prove(
    store: &Store,
    masters: Arc<Masters>,
    installation: Uuid,
) -> Result<Proof, VaultError> {
    let keks = store.keks().await?;
    let keyring = Keyring::load(store, masters, installation).await?;
    let secrets = store.secrets().await?;
    let contradictions = keks.contradictions.iter().chain(&secrets.contradictions);
    let mut proof =
        Proof { faults: contradictions.map(ToString::to_string).collect(), ..Proof::default() };
    for row in keks.rows.iter().filter(|row| !keyring.holds(row.id)) {
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
    Ok(proof)
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
