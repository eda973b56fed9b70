//! What was found once and mended by itself, and must not be forgotten: it stands as a finding,
//! across starts, until somebody who has looked says that what stands is meant. And what that
//! somebody sets right by saying so. Must never hold the house up: what cannot be kept is told all
//! the same.

use std::path::Path;

use uuid::Uuid;

use super::anchor::Anchors;
use super::stock::Stock;
use super::{Happening, Vault, VaultError};

/// For starts, findings and people.
pub(crate) const NO_ADMIN: &str = "no client key administers this house any more: somebody deleted \
     the admin keys, or edited them (table client_keys); none is made in their place. Stop the \
     server and restore a backup; or, if that is meant, make one on this machine with `sealgate \
     client create NAME --role admin`, which needs no key there";

/// Has this data folder seen a list, or lost what it had seen?
pub(crate) fn has_been_opened(folder: &Path, installation: Uuid) -> bool {
    let anchors = Anchors::read(folder, installation);
    !anchors.all().is_empty() || !anchors.doubts().is_empty()
}

impl Vault {
    /// A sentence of a closed set: whoever edits rows must not fill the data folder.
    pub(crate) fn doubt_until_seen(&self, sentence: &str) {
        if !self.anchors.doubt(sentence) && self.anchors.are_kept() {
            return;
        }
        if let Err(fault) = self.anchors.advance(&[]) {
            tracing::error!(%fault, "the anchors of the inventories cannot be written");
        }
        self.tell(Happening::Integrity(sentence.to_owned()));
    }

    /// What no row that is meant can need.
    pub(super) async fn set_right(&self) -> Result<(), VaultError> {
        self.mend_signing_keys().await?;
        self.store.mend_turns().await?;
        let keyring = self.unsealed()?.keyring.share();
        let stock = Stock::look(&self.store, &keyring, &self.anchors).await?;
        for category in stock.strays() {
            self.store.drop_stray_inventory(category).await?;
        }
        Ok(self.store.mend_changes().await?)
    }
}
