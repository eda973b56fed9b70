//! Who holds the master key: the kinds behind one face. Local kinds wrap in an envelope of our own;
//! what a KMS wraps is kept as it returned it. Rows name the master key that wrapped them, so two
//! can be in use while one takes over from the other. Must never fall back to a key on disk.

mod fault;
mod file;
mod local;

use std::path::PathBuf;

use uuid::Uuid;

pub(crate) use self::fault::KmsError;
use self::local::LocalKey;
use crate::crypto::Aad;
use crate::secret::Key;
use crate::store::{MasterId, MasterKind};

/// Where the master key is. Other kinds are refused by config until they are built.
#[derive(Clone, Debug)]
pub enum Settings {
    File { path: PathBuf },
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
}

/// The master key that wraps what is new, and those that still open what they wrapped before.
pub(crate) struct Masters {
    active: Master,
    former: Vec<Master>,
}

impl Context<'_> {
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
    pub(crate) fn local(kind: MasterKind, key: Key) -> Self {
        Self::Local(LocalKey::new(kind, key))
    }

    pub(crate) fn id(&self) -> MasterId {
        match self {
            Self::Local(local) => local.id(),
        }
    }

    /// Could it unwrap what this one wrapped?
    pub(crate) fn holds(&self, wrapped_by: &MasterId) -> bool {
        match self {
            Self::Local(local) => local.id() == *wrapped_by,
        }
    }

    #[expect(clippy::unused_async, reason = "a KMS is asked over the network")]
    pub(crate) async fn wrap(&self, context: &Context<'_>, key: &Key) -> Result<Vec<u8>, KmsError> {
        match self {
            Self::Local(local) => local.wrap(context, key),
        }
    }

    /// `wrapped_by` as the row says it.
    #[expect(clippy::unused_async, reason = "a KMS is asked over the network")]
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
        }
    }
}

impl Masters {
    pub(crate) fn of(active: Master) -> Self {
        Self { active, former: Vec::new() }
    }

    /// Keeps another one at hand, for what it wrapped.
    #[must_use]
    pub(crate) fn beside(mut self, former: Master) -> Self {
        self.former.push(former);
        self
    }

    pub(crate) fn active(&self) -> &Master {
        &self.active
    }

    /// By whichever of them wrapped it.
    pub(crate) async fn unwrap(
        &self,
        context: &Context<'_>,
        wrapped_by: &MasterId,
        wrapped: &[u8],
    ) -> Result<Key, KmsError> {
        let mut all = std::iter::once(&self.active).chain(&self.former);
        match all.find(|master| master.holds(wrapped_by)) {
            Some(master) => master.unwrap(context, wrapped_by, wrapped).await,
            None => Err(KmsError::OtherMaster(wrapped_by.clone())),
        }
    }
}

/// The master key that the settings name, ready for use.
#[expect(clippy::unused_async, reason = "a KMS is asked over the network")]
pub(crate) async fn open(settings: &Settings) -> Result<Master, KmsError> {
    match settings {
        Settings::File { path } => Ok(Master::Local(file::load(path)?)),
    }
}

/// Is the master key at its place and fit for use? Looks without opening anything.
pub(crate) fn check(settings: &Settings) -> Result<(), KmsError> {
    match settings {
        Settings::File { path } => file::check(path),
    }
}

/// Makes the first master key; true if it was made, false if one already stood there.
pub(crate) fn create_if_missing(settings: &Settings) -> Result<bool, KmsError> {
    match settings {
        Settings::File { path } => file::create_if_missing(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
