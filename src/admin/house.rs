//! What every route of the admin face is handed: the keepers, and the little that this face keeps
//! for itself.
//! Cheap to share; holds no secret.

use std::sync::Arc;

use super::open::{Figures, Readiness};
use super::pages::Pages;
use super::rate::Rate;
use crate::clock::Clock;

pub(super) struct House {
    pub(super) clock: Clock,
    pub(super) figures: Figures,
    pub(super) readiness: Readiness,
    pub(super) rate: Rate,
    pub(super) pages: Pages,
}

impl House {
    pub(super) async fn authenticate(
        &self,
        _digest: &[u8; 32],
    ) -> Result<Option<Arc<crate::client::Client>>, super::refused::Refused> {
        Ok(None)
    }
}
