//! The pass after which an old key may go: the hierarchy is unwrapped again from what is stored,
//! and every value, list and signing key is opened under it. What does not open keeps the old keys
//! of its category where they are. Must never use a key that is only in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::inventory::Inventory;
use super::keyring::Keyring;
use super::signing::{CATEGORY as SIGNING_KEYS, signing_seed};
use super::{Vault, VaultError, fields};
use crate::kms::Masters;
use crate::store::{Listed, Loaded, SigningKeyRow, StoredSecret, VersionRow};

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

    fn of_list(&mut self, keyring: &Keyring, list: &Listed) {
        let category = &list.category;
        let fault = match &list.row {
            Ok(row) => Inventory::open(keyring, row).err().map(|fault| fault.to_string()),
            Err(fault) => Some(fault.to_string()),
        };
        if let Some(fault) = fault {
            self.add(category, format!("the list of category {category} does not open: {fault}"));
        }
    }

    fn of_signing(&mut self, keyring: &Keyring, keys: &Loaded<SigningKeyRow>) {
        for row in &keys.rows {
            if let Err(fault) = signing_seed(keyring, row) {
                let number = row.number;
                self.add(SIGNING_KEYS, format!("signing key {number} does not open: {fault}"));
            }
        }
        for fault in &keys.contradictions {
            self.add(SIGNING_KEYS, fault.to_string());
        }
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
        let (secrets, lists) = self.store.secrets_and_lists().await?;
        let signing = self.store.signing_keys().await?;
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
        // A row that cannot be read may need whatever it was wrapped by.
        flaws.keys |= !keks.contradictions.is_empty();
        unreadable(&mut flaws, &keks);
        unreadable(&mut flaws, &secrets);
        for stored in &secrets.rows {
            if let Err(what) = opens(&fresh, stored) {
                let secret = &stored.secret;
                let sentence = format!("{}/{} {what}", secret.provider, secret.name);
                flaws.add(&secret.category, sentence);
            }
        }
        let has_key = |list: &&Listed| keks.rows.iter().any(|kek| kek.category == list.category);
        for list in lists.iter().filter(has_key) {
            flaws.of_list(&fresh, list);
        }
        flaws.of_signing(&fresh, &signing);
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
