//! Which version of a provider's key was last sent with a call, and when, as a batch of records
//! says: for whoever wants to know whether a former one still serves.
//! Must never take a call that was not sent on for a use.

use std::collections::HashMap;

use uuid::Uuid;

use super::view::View;
use crate::store::VersionUse;

#[derive(Clone, Default)]
pub(super) struct Served {
    last_ms: HashMap<(Uuid, u32), i64>,
}

impl Served {
    pub(super) fn add(&mut self, view: &View<'_>) {
        if let Some(secret) = view.secret.filter(|_| view.forwards > 0) {
            self.see((secret.id, secret.version), view.started_at_ms);
        }
    }

    fn see(&mut self, version: (Uuid, u32), at_ms: i64) {
        let last_ms = self.last_ms.entry(version).or_insert(at_ms);
        *last_ms = at_ms.max(*last_ms);
    }

    pub(super) fn merge(&mut self, others: &Self) {
        for (version, at_ms) in &others.last_ms {
            self.see(*version, *at_ms);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last_ms.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.last_ms.clear();
    }

    /// In one order everywhere.
    pub(super) fn to_rows(&self) -> Vec<VersionUse> {
        let of = |(&(secret_id, version), &at): (&(Uuid, u32), &i64)| VersionUse {
            secret_id,
            version,
            at,
        };
        let mut rows: Vec<VersionUse> = self.last_ms.iter().map(of).collect();
        rows.sort_unstable_by_key(|used| (used.secret_id, used.version));
        rows
    }
}
