//! The master keys at hand: one that wraps what is new, and those that still open what they wrapped
//! before, while one takes over from the other.
//! Must never wrap under any but the active one.

use std::sync::Arc;

use super::{Context, KmsError, Master};
use crate::secret::Key;
use crate::store::{MasterId, MasterKind};

pub(crate) struct Masters {
    active: Arc<Master>,
    former: Vec<Arc<Master>>,
}

impl Masters {
    pub(crate) fn of(active: Master) -> Self {
        Self { active: Arc::new(active), former: Vec::new() }
    }

    /// Keeps another one at hand, for what it wrapped.
    #[must_use]
    pub(crate) fn beside(mut self, former: Master) -> Self {
        self.former.push(Arc::new(former));
        self
    }

    /// The same one wraps; this one is at hand too.
    pub(crate) fn with(&self, other: Arc<Master>) -> Self {
        let id = other.id();
        let is_known = self.all().any(|master| master.id() == id);
        let other = (!is_known).then_some(other);
        let former = self.former.iter().cloned().chain(other).collect();
        Self { active: Arc::clone(&self.active), former }
    }

    /// This one wraps from now on; all the others stay at hand.
    pub(crate) fn under(&self, active: Arc<Master>) -> Self {
        let id = active.id();
        let former = self.all().filter(|master| master.id() != id).cloned().collect();
        Self { active, former }
    }

    /// This one and no other.
    pub(crate) fn alone(active: Arc<Master>) -> Self {
        Self { active, former: Vec::new() }
    }

    pub(crate) fn active(&self) -> &Master {
        &self.active
    }

    /// The names of all that are at hand.
    pub(crate) fn ids(&self) -> Vec<MasterId> {
        self.all().map(|master| master.id()).collect()
    }

    /// The one of this name, if it is at hand.
    pub(crate) fn find(&self, id: &MasterId) -> Option<Arc<Master>> {
        self.all().find(|master| master.id() == *id).cloned()
    }

    /// Is it one that a passphrase has opened?
    pub(crate) fn opens_by_passphrase(&self, id: &str) -> bool {
        self.all()
            .map(|master| master.id())
            .any(|master| master.kind == MasterKind::Passphrase && master.id == id)
    }

    /// By whichever of them wrapped it.
    pub(crate) async fn unwrap(
        &self,
        context: &Context<'_>,
        wrapped_by: &MasterId,
        wrapped: &[u8],
    ) -> Result<Key, KmsError> {
        match self.all().find(|master| master.holds(wrapped_by)) {
            Some(master) => master.unwrap(context, wrapped_by, wrapped).await,
            None => Err(KmsError::OtherMaster(wrapped_by.clone())),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Master>> {
        std::iter::once(&self.active).chain(&self.former)
    }
}
