//! Who holds the master key: the kinds behind one face. Local kinds wrap in an envelope of our own;
//! what a KMS wraps is kept as it returned it. Rows name the master key that wrapped them, so two
//! can be in use while one takes over from the other. Must never fall back to a key on disk.

#[cfg(feature = "aws-kms")]
mod aws;
mod fault;
mod file;
mod local;
mod masters;
mod passphrase;
mod rotation;
mod settings;
mod transit;

use uuid::Uuid;

pub(crate) use self::fault::KmsError;
use self::local::LocalKey;
pub(crate) use self::masters::Masters;
pub(crate) use self::passphrase::demand_strength;
pub(crate) use self::rotation::{
    Place, Staging, Target, gather, settle, stage, stray, sweep, unstage,
};
pub(crate) use self::settings::{AwsSettings, Settings, Source, TransitSettings};
use self::transit::Transit;
use crate::clock::Clock;
use crate::crypto::{self, Aad};
use crate::secret::{Key, SecretBytes};
use crate::store::{MasterId, Store};

/// What a master key stands on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a Store,
    pub(crate) clock: &'a Clock,
    pub(crate) installation: Uuid,
}

/// What a wrapped key is for. It opens for this alone, whichever kind wrapped it.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) installation: Uuid,
    pub(crate) category: &'a str,
    pub(crate) generation: u32,
    /// Of the key-encryption key.
    pub(crate) id: Uuid,
}

/// One master key.
pub(crate) enum Master {
    Local(LocalKey),
    #[cfg(feature = "aws-kms")]
    AwsKms(Box<aws::AwsKms>),
    VaultTransit(Box<Transit>),
}

impl Context<'_> {
    /// Of what is wrapped only to see that it can be.
    fn of_proof(installation: Uuid) -> Self {
        Self { installation, category: "proof", generation: 0, id: Uuid::nil() }
    }

    fn aad(&self) -> Aad {
        Aad::new("key-encryption-key")
            .with(self.installation.as_bytes())
            .with(self.category.as_bytes())
            .with_number(u64::from(self.generation))
            .with(self.id.as_bytes())
    }
}

impl Master {
    /// Of 32 bytes that are at hand.
    pub(crate) fn local(kind: crate::store::MasterKind, key: Key) -> Self {
        Self::Local(LocalKey::new(kind, key))
    }

    pub(crate) fn id(&self) -> MasterId {
        match self {
            Self::Local(local) => local.id(),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(aws) => aws.id(),
            Self::VaultTransit(transit) => transit.id(),
        }
    }

    /// Could it unwrap what this one wrapped? AWS KMS finds the key that a row names by itself.
    pub(crate) fn holds(&self, wrapped_by: &MasterId) -> bool {
        match self {
            Self::Local(local) => local.id() == *wrapped_by,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(aws) => aws.id().kind == wrapped_by.kind,
            Self::VaultTransit(transit) => transit.id() == *wrapped_by,
        }
    }

    pub(crate) async fn wrap(&self, context: &Context<'_>, key: &Key) -> Result<Vec<u8>, KmsError> {
        match self {
            Self::Local(local) => local.wrap(context, key),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(aws) => Box::pin(aws.wrap(context, key)).await,
            Self::VaultTransit(transit) => Box::pin(transit.wrap(context, key)).await,
        }
    }

    /// `wrapped_by` as the row says it.
    pub(crate) async fn unwrap(
        &self,
        context: &Context<'_>,
        wrapped_by: &MasterId,
        wrapped: &[u8],
    ) -> Result<Key, KmsError> {
        if !self.holds(wrapped_by) {
            return Err(KmsError::OtherMaster(wrapped_by.clone()));
        }
        match self {
            Self::Local(local) => local.unwrap(context, wrapped),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(aws) => Box::pin(aws.unwrap(context, wrapped_by, wrapped)).await,
            Self::VaultTransit(transit) => Box::pin(transit.unwrap(context, wrapped)).await,
        }
    }

    /// Does whoever holds it still wrap and unwrap for us?
    pub(crate) async fn prove(&self, installation: Uuid) -> Result<(), KmsError> {
        let context = Context::of_proof(installation);
        match self {
            Self::Local(_) => return Ok(()),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => {}
            Self::VaultTransit(transit) => transit.renew().await,
        }
        let key = Key::fill_with(crypto::fill_random)?;
        let wrapped = self.wrap(&context, &key).await?;
        self.unwrap(&context, &self.id(), &wrapped).await?;
        Ok(())
    }
}

/// The master key that the settings name, ready for use. What was typed wins over what the settings
/// say.
pub(crate) async fn open(
    settings: &Settings,
    ground: &Ground<'_>,
    typed: Option<SecretBytes>,
) -> Result<Master, KmsError> {
    match settings {
        Settings::Passphrase { .. } => {}
        Settings::File { .. } | Settings::AwsKms(_) | Settings::VaultTransit(_) => {
            if typed.is_some() {
                return Err(KmsError::NoPassphraseHere);
            }
        }
    }
    match settings {
        Settings::File { path } => Ok(Master::Local(file::load(path)?)),
        Settings::Passphrase { source } => {
            let passphrase = said(source.as_ref(), typed)?;
            Ok(Master::Local(passphrase::open(ground, passphrase).await?))
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => {
            let opened = open_remote(settings, ground.installation).await?;
            opened.ok_or(KmsError::NotSetUp)
        }
    }
}

/// The KMS that the settings name, after a proof that it wraps and unwraps; None for local kinds.
pub(crate) async fn open_remote(
    settings: &Settings,
    installation: Uuid,
) -> Result<Option<Master>, KmsError> {
    let proof = Context::of_proof(installation);
    match settings {
        Settings::File { .. } | Settings::Passphrase { .. } => Ok(None),
        #[cfg(feature = "aws-kms")]
        Settings::AwsKms(aws) => {
            let opened = Box::pin(aws::AwsKms::open(aws, &proof)).await?;
            Ok(Some(Master::AwsKms(Box::new(opened))))
        }
        #[cfg(not(feature = "aws-kms"))]
        Settings::AwsKms(_) => Err(KmsError::NotBuilt),
        Settings::VaultTransit(transit) => {
            let opened = Box::pin(Transit::open(transit, &proof)).await?;
            Ok(Some(Master::VaultTransit(Box::new(opened))))
        }
    }
}

/// Is a local master key at its place and fit for use? Looks without opening anything; what only
/// asking could tell is not asked.
pub(crate) fn check(settings: &Settings) -> Result<(), KmsError> {
    match settings {
        Settings::File { path } => file::check(path),
        Settings::Passphrase { source: Some(source) } => source.read("passphrase").map(drop),
        Settings::VaultTransit(transit) => transit.token.read("token").map(drop),
        Settings::Passphrase { source: None } | Settings::AwsKms(_) => Ok(()),
    }
}

/// Makes the first master key; true if it was made, false if one already stood there. A KMS makes
/// its own: of that, the rights are proved.
pub(crate) async fn create_if_missing(
    settings: &Settings,
    ground: &Ground<'_>,
    typed: Option<SecretBytes>,
) -> Result<bool, KmsError> {
    match settings {
        Settings::File { path } => file::create_if_missing(path),
        Settings::Passphrase { source } => {
            if passphrase::stands(ground).await? {
                return Ok(false);
            }
            if source.is_none() && typed.is_none() {
                return Err(KmsError::NotSetUp);
            }
            let passphrase = said(source.as_ref(), typed)?;
            passphrase::create_if_missing(ground, passphrase).await
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => {
            open(settings, ground, None).await.map(|_| false)
        }
    }
}

/// Must somebody type a passphrase before `create_if_missing`? Not for one that stands.
pub(crate) async fn lacks_typing(
    settings: &Settings,
    ground: &Ground<'_>,
) -> Result<bool, KmsError> {
    Ok(settings.needs_typing() && !passphrase::stands(ground).await?)
}

/// The row of a master key that is gone, or that no passphrase can open any more; None: there is
/// none such. Needs no passphrase.
pub(crate) async fn lost_row(store: &Store) -> Result<Option<KmsError>, KmsError> {
    passphrase::lost(store).await
}

/// Each row that a passphrase opens, by its master key's id, and a digest of what it says.
pub(crate) async fn row_digests(store: &Store) -> Result<Vec<(String, [u8; 32])>, KmsError> {
    let rows = store.master_passphrases().await?.rows;
    Ok(rows.iter().map(|row| (row.master_id.clone(), passphrase::digest(row))).collect())
}

fn said(source: Option<&Source>, typed: Option<SecretBytes>) -> Result<SecretBytes, KmsError> {
    match (typed, source) {
        (Some(typed), _) => Ok(typed),
        (None, Some(source)) => source.read("passphrase"),
        (None, None) => Err(KmsError::NeedsPassphrase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MasterKind;

    fn context(category: &str) -> Context<'_> {
        Context { installation: Uuid::nil(), category, generation: 1, id: Uuid::nil() }
    }

    fn master(byte: u8) -> Master {
        Master::local(MasterKind::File, Key::copy_of(&[byte; 32]))
    }

    #[tokio::test]
    async fn each_of_two_masters_opens_what_it_wrapped_and_nothing_else() {
        let (old, new) = (master(1), master(2));
        let (old_id, key) = (old.id(), Key::copy_of(&[7; 32]));
        let before = old.wrap(&context("ai"), &key).await.unwrap();
        let after = new.wrap(&context("ai"), &key).await.unwrap();
        let both = Masters::of(new).beside(old);
        let new_id = both.active().id();
        for (id, bytes) in [(&old_id, &before), (&new_id, &after)] {
            let unwrapped = both.unwrap(&context("ai"), id, bytes).await.unwrap();
            assert_eq!(unwrapped.expose(), key.expose());
        }
        let swapped = both.unwrap(&context("ai"), &new_id, &before).await.err().unwrap();
        assert!(matches!(swapped, KmsError::Crypto(_)), "{swapped}");
        let elsewhere = both.unwrap(&context("trading"), &new_id, &after).await.err().unwrap();
        assert!(matches!(elsewhere, KmsError::Crypto(_)), "{elsewhere}");
        let alone = Masters::of(master(2));
        let foreign = alone.unwrap(&context("ai"), &old_id, &before).await.err().unwrap();
        assert!(matches!(foreign, KmsError::OtherMaster(_)), "{foreign}");
    }
}
