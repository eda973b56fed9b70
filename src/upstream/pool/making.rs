//! HTTP/2 connections in the making. Calls that could share one wait for it instead of making each
//! its own; the first waits for nobody and makes it.
//! Must never keep a call waiting for a connection that nobody makes any more.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::refusal::Refusal;

/// What became of it: nothing is said where it stands, or was given up; whoever waits looks around
/// again then.
type News = Option<Refusal>;

/// With whoever makes it. Dropped, it is made no longer.
pub(in super::super) struct Making(Arc<watch::Sender<News>>);

/// With whoever waits for it.
pub(in super::super) struct Awaited(watch::Receiver<News>);

/// Those to one host.
#[derive(Default)]
pub(super) struct Makings(Vec<Weak<watch::Sender<News>>>);

impl Making {
    /// Nobody who waits for it would fare better.
    pub(in super::super) fn fail(self, refusal: &Refusal) {
        self.0.send_replace(Some(refusal.clone()));
    }
}

impl Awaited {
    /// Until it stands, or nobody makes it any more.
    pub(in super::super) async fn end(mut self) -> Result<(), Refusal> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(refusal)) => Err(refusal.clone()),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

impl Makings {
    pub(super) fn count(&mut self) -> usize {
        self.0.retain(|making| making.strong_count() > 0);
        self.0.len()
    }

    pub(super) fn begin(&mut self) -> Making {
        let making = Arc::new(watch::Sender::new(None));
        self.0.push(Arc::downgrade(&making));
        Making(making)
    }

    /// The one that the fewest wait for, unless that is as many as it will have room for beside the
    /// call that makes it.
    pub(super) fn join(&mut self, room: usize) -> Option<Awaited> {
        let makings = self.0.iter().filter_map(Weak::upgrade);
        let emptiest = makings.min_by_key(|making| making.receiver_count())?;
        let has_room = emptiest.receiver_count().saturating_add(1) < room;
        has_room.then(|| Awaited(emptiest.subscribe()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_wait_as_there_will_be_room_for_and_all_hear_what_became_of_it() {
        let mut makings = Makings::default();
        assert!(makings.join(10).is_none());
        let making = makings.begin();
        let (first, second) = (makings.join(3).unwrap(), makings.join(3).unwrap());
        assert!(makings.join(3).is_none());
        making.fail(&Refusal::internal());
        assert!(first.end().await.is_err() && second.end().await.is_err());
        assert_eq!(makings.count(), 0);
    }

    #[tokio::test]
    async fn where_its_maker_hangs_up_another_call_makes_one() {
        let mut makings = Makings::default();
        let making = makings.begin();
        let waiting = makings.join(usize::MAX).unwrap();
        drop(making);
        assert!(waiting.end().await.is_ok());
        assert_eq!((makings.count(), makings.join(usize::MAX).is_none()), (0, true));
    }
}
