//! What other nodes change, taken over: told at once by the database, looked for twice a second in
//! case that nobody told. Ends where there can be no other node. Numbers that no node can have left
//! are as good as none: all is read anew, and that it was stands until somebody has looked.
//! Must never take an outage for silence: what was missed is asked for when the database is back.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::Refresh;
use crate::roster::Roster;
use crate::store::{self, Changed, Ear, Store, Told};
use crate::vault::Vault;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who takes over what other nodes have changed.
struct Follower {
    store: Store,
    roster: Arc<Roster>,
    vault: Arc<Vault>,
    refresh: Refresh,
    /// What was changed before the house opened, nobody here can hold.
    known: Option<i64>,
    /// The number that cannot be and was answered for already, by reading all anew.
    lost: Option<Option<i64>>,
    ear: Option<Ear>,
}

pub(super) async fn follow(
    store: Store,
    (roster, vault): (Arc<Roster>, Arc<Vault>),
    refresh: Refresh,
) {
    let (known, lost, ear) = (None, None, None);
    let mut follower = Follower { store, roster, vault, refresh, known, lost, ear };
    let mut said = false;
    loop {
        match follower.look().await {
            Ok(true) => said = false,
            Ok(false) => return,
            Err(fault) => {
                follower.ear = None;
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%fault, "what other nodes change cannot be heard");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

impl Follower {
    /// One look, or one wait until something is told. False where there is no other node.
    async fn look(&mut self) -> Result<bool, store::Error> {
        if self.ear.is_none() {
            self.ear = self.store.listen().await?;
        }
        let Some(ear) = &mut self.ear else { return Ok(false) };
        let told = match self.known {
            Some(known) => self.store.changes_after(known).await?,
            None => self.store.change_revision().await?,
        };
        match told {
            Told::Changes { revision, items } if self.known.is_none() => {
                debug_assert!(items.is_empty(), "nothing is told before somebody listens");
                // Between the house's opening and this moment something may have been told.
                self.read_all().await?;
                (self.known, self.lost) = (Some(revision), None);
            }
            Told::Changes { items, .. } if items.is_empty() => {
                self.lost = None;
                ear.wait(LOOK_EVERY).await;
            }
            Told::Changes { revision, items } => {
                self.hear(items).await?;
                // Only now: what failed half-way is heard once more.
                (self.known, self.lost) = (Some(revision), None);
            }
            Told::TooMany { revision } => {
                self.read_all().await?;
                (self.known, self.lost) = (Some(revision), None);
            }
            Told::Impossible { revision, .. } if self.lost == Some(revision) => {
                ear.wait(LOOK_EVERY).await;
            }
            Told::Impossible { .. } if self.is_mended().await? => self.known = None,
            Told::Impossible { revision, fault } => {
                tracing::error!(revision, fault, "integrity: the number of changes cannot be");
                self.read_all().await?;
                // A number that is gone comes back as another one, which is noticed.
                self.known = revision.or(self.known).or(Some(0));
                self.lost = Some(revision);
                self.vault.doubt_until_seen(&format!(
                    "the number by which nodes tell each other of changes (table change_revision) \
                     {fault}: somebody edited it, so this node may have heard of a revocation \
                     late; it has read everything anew. Look through `sealgate client list`, \
                     then say with `sealgate secret accept` that what stands is meant"
                ));
            }
        }
        Ok(true)
    }

    /// Is what was told of already in order by now?
    async fn is_mended(&self) -> Result<bool, store::Error> {
        let now = self.store.change_revision().await?;
        Ok(self.lost.is_some() && matches!(now, Told::Changes { .. }))
    }

    async fn hear(&self, items: Vec<Changed>) -> Result<(), store::Error> {
        for changed in items {
            match changed {
                Changed::ClientKey(id) => self.roster.heard(id).await?,
                Changed::NewClientKeys => self.roster.heard_of_new_ones().await?,
                Changed::Providers => self.renew().await,
            }
        }
        Ok(())
    }

    /// More was changed elsewhere than can be told.
    async fn read_all(&self) -> Result<(), store::Error> {
        self.roster.lost_track().await?;
        self.renew().await;
        Ok(())
    }

    async fn renew(&self) {
        if let Err(fault) = (self.refresh)().await {
            tracing::error!(fault, "changed providers could not be taken over");
        }
    }
}
