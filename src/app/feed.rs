//! What other nodes change, taken over: told at once by the database, looked for twice a second in
//! case that nobody told. Ends where there can be no other node.
//! Must never take an outage for silence: what was missed is asked for when the database is back.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::Refresh;
use crate::roster::Roster;
use crate::store::{self, Changed, Ear, Store};

const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn follow(store: Store, roster: Arc<Roster>, refresh: Refresh) {
    // What was changed before the house opened, nobody here can hold.
    let mut revision = None;
    let mut ear: Option<Ear> = None;
    let mut said = false;
    loop {
        match look(&store, (&roster, &refresh), &mut revision, &mut ear).await {
            Ok(true) => said = false,
            Ok(false) => return,
            Err(fault) => {
                ear = None;
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%fault, "what other nodes change cannot be heard");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// One look, or one wait until something is told. False where there is no other node.
async fn look(
    store: &Store,
    (roster, refresh): (&Roster, &Refresh),
    revision: &mut Option<i64>,
    ear: &mut Option<Ear>,
) -> Result<bool, store::Error> {
    if ear.is_none() {
        *ear = store.listen().await?;
    }
    let Some(ear) = ear else { return Ok(false) };
    let Some(known) = *revision else {
        *revision = Some(store.change_revision().await?);
        // Between the house's opening and this moment something may have been told.
        roster.lost_track().await?;
        renew(refresh).await;
        return Ok(true);
    };
    let changes = store.changes_after(known).await?;
    if changes.items.is_empty() {
        ear.wait(LOOK_EVERY).await;
        return Ok(true);
    }
    if changes.has_gap {
        roster.lost_track().await?;
        renew(refresh).await;
    }
    for changed in changes.items {
        match changed {
            Changed::ClientKey(id) => roster.heard(id).await?,
            Changed::NewClientKeys => roster.heard_of_new_ones().await?,
            Changed::Providers => renew(refresh).await,
        }
    }
    // Only now: what failed half-way is heard once more.
    *revision = Some(changes.revision);
    Ok(true)
}

async fn renew(refresh: &Refresh) {
    if let Err(fault) = refresh().await {
        tracing::error!(fault, "changed providers could not be taken over");
    }
}
