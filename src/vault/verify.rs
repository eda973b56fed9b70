//! The pass after which an old key may go: the hierarchy is unwrapped again from what is stored,
//! and every value is opened under it. What does not open keeps the old keys of its category where
//! they are. Must never use a key that is only in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::keyring::Keyring;
use super::{Vault, VaultError, fields};
use crate::kms::Masters;
use crate::store::{Loaded, StoredSecret, VersionRow};

/// What did not open.
#[derive(Default)]
pub(super) struct Flaws {
    pub(super) sentences: Vec<String>,
    categories: BTreeSet<String>,
    /// A row that cannot even be read may be of any category.
    all: bool,
    keys: bool,
}

impl Flaws {
    pub(super) fn spare(&self, category: &str) -> bool {
        !self.all && !self.categories.contains(category)
    }

    /// Does a key-encryption key itself not open?
    pub(super) fn of_keys(&self) -> bool {
        self.keys
    }

    pub(super) fn are_none(&self) -> bool {
        self.sentences.is_empty()
    }

    /// The first few, for people.
    pub(super) fn told(&self) -> String {
        let first: Vec<&str> = self.sentences.iter().take(3).map(String::as_str).collect();
        let more = self.sentences.len().saturating_sub(first.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}{more}", first.join("; "))
    }

    fn add(&mut self, category: &str, sentence: String) {
        self.categories.insert(category.to_owned());
        self.sentences.push(sentence);
    }
}

impl Vault {
    /// Opens every row with these master keys alone.
    pub(super) async fn verify(&self, masters: Arc<Masters>) -> Result<Flaws, VaultError> {
        // In this order, and each once: whatever others change meanwhile, a secret that was read
        // hangs on a key that is read after it.
        let secrets = self.store.secrets().await?;
        let keks = self.store.keks().await?;
        let fresh = Keyring::of(&keks.rows, masters, self.installation).await?;
        let mut flaws = Flaws::default();
        for kek in keks.rows.iter().filter(|kek| !kek.is_gone()) {
            if fresh.known(kek.id).is_none() {
                let sentence = format!(
                    "generation {} of category {} does not open",
                    kek.generation, kek.category
                );
                flaws.add(&kek.category, sentence);
                flaws.keys = true;
            }
        }
        unreadable(&mut flaws, &keks);
        unreadable(&mut flaws, &secrets);
        for stored in &secrets.rows {
            if let Err(what) = opens(&fresh, stored) {
                let secret = &stored.secret;
                let sentence = format!("{}/{} {what}", secret.provider, secret.name);
                flaws.add(&secret.category, sentence);
            }
        }
        Ok(flaws)
    }
}

fn unreadable<T, E: ToString>(flaws: &mut Flaws, loaded: &Loaded<T, E>) {
    flaws.all |= !loaded.contradictions.is_empty();
    flaws.sentences.extend(loaded.contradictions.iter().map(ToString::to_string));
}

pub(super) fn opens(keyring: &Keyring, stored: &StoredSecret) -> Result<(), String> {
    let unwrapped = keyring.unwrap_data_key(&stored.secret);
    let data_key =
        unwrapped.map_err(|fault| format!("has a data key that does not open: {fault}"))?;
    let value = |version: &VersionRow| match &version.envelope {
        None => Ok(()),
        Some(envelope) => {
            let sealed = (version.version, &version.destinations, envelope.as_slice());
            let installation = keyring.installation();
            fields::prepare(installation, &data_key, &stored.secret, sealed)
                .and_then(|prepared| fields::open(&prepared))
                .map(drop)
                .map_err(|fault| format!("version {} does not open: {fault}", version.version))
        }
    };
    stored.versions.iter().try_for_each(value)
}
