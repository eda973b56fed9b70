//! The rows that a passphrase opens, as far as they can be judged without it: each is compared with
//! what it said when it last opened here. So a row that somebody edited is told from a passphrase
//! that somebody mistyped. Must never take over what has not opened.

use super::{Anchors, Vault, VaultError};
use crate::kms::{self, KmsError};
use crate::store::Store;

const EDITED: &str = "is another one than when it last opened here (unless another node has made \
                      its guesses dearer since: then a restart tells)";

/// What is wrong with them. None: nothing that can be told.
pub(crate) async fn lost_master(
    store: &Store,
    anchors: &Anchors,
) -> Result<Option<KmsError>, KmsError> {
    if let Some(lost) = kms::lost_row(store).await? {
        return Ok(Some(lost));
    }
    let known = anchors.masters();
    let differs =
        |(id, digest): &(String, [u8; 32])| known.get(id).is_some_and(|was| was != digest);
    let edited = kms::row_digests(store).await?.into_iter().find(differs);
    Ok(edited.map(|(id, _)| KmsError::LostRow { id, fault: EDITED.to_owned() }))
}

/// The same, in the place of a fault that it explains.
pub(crate) async fn explained(store: &Store, anchors: &Anchors, fault: KmsError) -> KmsError {
    let may_be_explained = matches!(
        fault,
        KmsError::NeedsPassphrase
            | KmsError::WrongPassphrase
            | KmsError::Crypto(_)
            | KmsError::NotSetUp
    );
    if !may_be_explained {
        return fault;
    }
    match lost_master(store, anchors).await {
        Ok(Some(lost)) => lost,
        Ok(None) | Err(_) => fault,
    }
}

impl Vault {
    /// The rows as they are now have opened, or were written by this process.
    pub(super) async fn note_master_rows(&self) -> Result<(), VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let mut rows = kms::row_digests(&self.store).await?;
        rows.retain(|(id, _)| keyring.masters().opens_by_passphrase(id));
        self.anchors.have_opened(rows);
        if let Err(fault) = self.anchors.advance(&[]) {
            tracing::error!(%fault, "the anchors of the inventories cannot be written");
        }
        Ok(())
    }

    pub(super) async fn explained(&self, fault: VaultError) -> VaultError {
        let VaultError::Kms(fault) = fault else { return fault };
        VaultError::Kms(explained(&self.store, &self.anchors, fault).await)
    }
}
