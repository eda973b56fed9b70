//! Backups that are being made at this moment, and how far each is: for whoever waits for one to
//! see its end. Counts rows alone, and knows nothing of what they hold.
//! Must never keep one alive, nor show one that has ended.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use uuid::Uuid;

use crate::backup::Progress;

/// Cheap to share.
#[derive(Default)]
pub(in super::super) struct Making(Mutex<Vec<(Uuid, Weak<Progress>)>>);

impl Making {
    /// Listed until the last holder of the progress lets go.
    pub(super) fn begin(&self) -> (Uuid, Arc<Progress>) {
        let (id, progress) = (Uuid::now_v7(), Arc::new(Progress::default()));
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, progress)| progress.strong_count() > 0);
        list.push((id, Arc::downgrade(&progress)));
        (id, progress)
    }

    /// Id, rows that were read, rows that there are.
    pub(super) fn list(&self) -> Vec<(Uuid, u64, u64)> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = list.iter().filter_map(|(id, progress)| Some((*id, progress.upgrade()?)));
        let row = |(id, progress): (Uuid, Arc<Progress>)| {
            let (rows, total) = progress.rows_of_total();
            (id, rows, total)
        };
        there.map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_made_is_listed_and_gone_when_it_has_ended() {
        let making = Making::default();
        let (id, progress) = making.begin();
        assert_eq!(making.list(), [(id, 0, 0)]);
        drop(progress);
        assert_eq!(making.list(), []);
    }
}
