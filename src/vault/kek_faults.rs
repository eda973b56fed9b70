//! What the rows of key-encryption keys say that cannot be: sentences for people, each with a
//! remedy that works as things stand. The keys themselves are the keyring's. Must never name a
//! remedy that would lose a secret.

use super::VaultError;
use crate::store::{KekRow, KekState};

pub(super) fn miscalled(row: &KekRow) -> String {
    let KekRow { id, category, generation, .. } = row;
    format!(
        "the key-encryption key {id} (generation {generation} of category {category}) is called \
         destroyed and is not: its row in the table keks was edited; what hangs on it is served; \
         run `sealgate kek rotate --category {category}`, then `sealgate kek rewrap`"
    )
}

pub(super) fn miscounted(row: &KekRow) -> String {
    let KekRow { id, category, generation, .. } = row;
    format!(
        "the count of wraps of the key-encryption key {id} (generation {generation} of category \
         {category}) is not as Sealgate left it: its row in the table keks was edited; run \
         `sealgate kek rotate --category {category}`, then `sealgate kek rewrap`: the next \
         generation has a count of its own"
    )
}

pub(super) fn misdated(row: &KekRow) -> String {
    let KekRow { id, category, generation, .. } = row;
    format!(
        "the key-encryption key {id} (generation {generation} of category {category}) says of \
         another day than the one on which it was made (column created_at): its row in the table \
         keks was edited; it rotates by the day that its id says; run `sealgate kek rotate \
         --category {category}`, then `sealgate kek rewrap`"
    )
}

pub(super) fn in_capitals(row: &KekRow) -> String {
    let KekRow { id, category, generation, .. } = row;
    format!(
        "the key-encryption key {id} (generation {generation} of category {category}) names its \
         master key in other letters than Sealgate does (column master_id): its row in the table \
         keks was edited; what hangs on it is served; run `sealgate kek rotate --category \
         {category}`, then `sealgate kek rewrap`"
    )
}

/// A category that has generations and no active one: no change of its secrets can be sealed.
pub(super) fn inactive(rows: &[KekRow]) -> Vec<String> {
    let mut categories: Vec<&str> = rows.iter().map(|row| row.category.as_str()).collect();
    categories.dedup();
    let is_active = |category: &str| {
        rows.iter().any(|row| row.category == category && row.state == KekState::Active)
    };
    let lame = categories.into_iter().filter(|category| !is_active(category));
    lame.map(|category| VaultError::NoActiveKek(category.to_owned()).to_string()).collect()
}
