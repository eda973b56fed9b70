//! Which client keys end within the next minutes, so that what is under way with them ends on time:
//! noted when a key is read, and looked up now and then for those that were read long before. Must
//! never end a key whose row says otherwise by then.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::Roster;
use crate::store::{self, ClientKeyRow};

/// What ends later is looked up before.
const AHEAD_MS: i64 = 120_000;

/// The soonest first.
#[derive(Default)]
pub(super) struct Ends(Mutex<BTreeSet<(i64, Uuid)>>);

impl Ends {
    pub(super) fn note(&self, row: &ClientKeyRow, now_ms: i64) {
        if let Some(expires_at) = row.expires_at {
            self.put(expires_at, row.id, now_ms);
        }
    }

    /// Of a key that is looked up: one that has ended is in nobody's hands, and stays known so.
    pub(super) fn note_to_come(&self, row: &ClientKeyRow, now_ms: i64) {
        if row.expires_at.is_some_and(|expires_at| expires_at > now_ms) {
            self.note(row, now_ms);
        }
    }

    fn put(&self, expires_at: i64, id: Uuid, now_ms: i64) {
        if expires_at <= now_ms.saturating_add(AHEAD_MS) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((expires_at, id));
        }
    }

    fn take_due(&self, now_ms: i64) -> Vec<Uuid> {
        let mut soon = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let later = soon.split_off(&(now_ms.saturating_add(1), Uuid::nil()));
        std::mem::replace(&mut *soon, later).into_iter().map(|(_, id)| id).collect()
    }
}

impl Roster {
    /// Looks up which keys end soon, or did so since then: on every node for itself.
    pub(crate) async fn look_ahead(&self, since_ms: i64) -> Result<(), store::Error> {
        let now_ms = self.clock.unix_ms();
        let until_ms = now_ms.saturating_add(AHEAD_MS);
        for (expires_at, id) in self.store.client_key_ends(since_ms, until_ms).await? {
            self.ends.put(expires_at, id, now_ms);
        }
        Ok(())
    }

    /// Ends what is under way with keys that have expired.
    pub(crate) async fn end_expired(&self) {
        let now_ms = self.clock.unix_ms();
        for id in self.ends.take_due(now_ms) {
            match self.store.client_key(id).await {
                // It was given a later end, or none.
                Ok(Some(row)) if row.expires_at.is_none_or(|end| end > now_ms) => {
                    self.ends.note(&row, now_ms);
                }
                // It had ended when it was last read.
                Ok(_) | Err(_) => self.put_away(id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_taken_once_and_what_ends_much_later_is_not_kept() {
        let ends = Ends::default();
        let [one, other] = [Uuid::now_v7(), Uuid::now_v7()];
        ends.put(1_000, one, 0);
        ends.put(2_000, other, 0);
        ends.put(AHEAD_MS + 1, one, 0);
        assert!(ends.take_due(999).is_empty());
        assert_eq!(ends.take_due(1_000), [one]);
        assert!(ends.take_due(1_000).is_empty());
        assert_eq!(ends.take_due(AHEAD_MS * 2), [other]);
    }
}
