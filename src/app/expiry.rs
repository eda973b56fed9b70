//! Client keys that end: warned of 30, 7 and 1 days before, put away once they have. A warning is a
//! security record, a figure and a line in the log, given once by whichever node is first. Must
//! never keep a key alive: the end itself needs nobody who looks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::{Clock, rfc3339};
use crate::ledger::{ActorRef, Entry, Kind, Ledger};
use crate::roster::Roster;
use crate::store::{self, EndingKey, Store};
use crate::telemetry::Metrics;

pub(super) struct Expiry {
    store: Store,
    roster: Arc<Roster>,
    ledger: Ledger,
    metrics: Metrics,
    clock: Clock,
}

const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days before the end, the earliest first.
const WARNINGS: [i64; 3] = [30, 7, 1];
const LOOK_EVERY_MS: i64 = 60_000;
/// How soon a clock that was set is noticed.
const PAUSE: Duration = Duration::from_millis(500);

impl Expiry {
    pub(super) fn of(rooms: &super::Rooms) -> Self {
        Self {
            store: rooms.store.clone(),
            roster: Arc::clone(&rooms.roster),
            ledger: rooms.ledger.clone(),
            metrics: rooms.metrics.clone(),
            clock: rooms.clock.clone(),
        }
    }

    pub(super) async fn tend(self) {
        let mut looked_at_ms = i64::MIN;
        loop {
            let now_ms = self.clock.unix_ms();
            if now_ms.abs_diff(looked_at_ms) >= LOOK_EVERY_MS.unsigned_abs() {
                let since_ms =
                    if looked_at_ms == i64::MIN { now_ms } else { looked_at_ms.min(now_ms) };
                looked_at_ms = now_ms;
                if let Err(fault) = self.roster.look_ahead(since_ms).await {
                    tracing::warn!(%fault, "the ends of client keys could not be looked up");
                }
                if let Err(fault) = self.look(now_ms).await {
                    tracing::warn!(%fault, "the ends of client keys could not be looked at");
                }
            }
            self.roster.end_expired().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self, now_ms: i64) -> Result<(), store::Error> {
        self.roster.put_ended_tokens_away().await?;
        let earliest = WARNINGS.iter().max().copied().unwrap_or(0);
        let until_ms = now_ms.saturating_add(earliest * A_DAY_MS);
        for key in self.store.ending_client_keys(until_ms).await? {
            let days = due(key.expires_at.saturating_sub(now_ms));
            if key.warned.is_none_or(|warned| warned > days)
                && self.store.claim_client_key_warning(&key, days).await?
            {
                self.tell(&key, days);
            }
        }
        Ok(())
    }

    fn tell(&self, key: &EndingKey, days: i64) {
        let expires_at = rfc3339(key.expires_at);
        let client = json!({"id": key.id.to_string(), "name": key.name, "owner": key.owner});
        let detail = if days == 0 {
            json!({"finding": "client_expired", "client": client, "expires_at": expires_at})
        } else {
            self.metrics.alert_raised("client_expiring");
            tracing::warn!(id = %key.id, expires_at, "a client key is about to expire");
            json!({"alert": "client_expiring", "client": client, "expires_at": expires_at,
                "days": days})
        };
        let entry = Entry {
            kind: Kind::Security,
            actor: ActorRef::house("clients"),
            address: None,
            method: "",
            endpoint: "",
            status: 0,
            reason: None,
            request_id: "",
            detail: Some(detail),
        };
        if self.ledger.append(&entry).is_err() {
            tracing::error!(id = %key.id, "the journal has no room for the end of a client key");
        }
    }
}

/// Which warning is due so long before the end: the closest one; 0 at the end.
fn due(left_ms: i64) -> i64 {
    if left_ms <= 0 {
        return 0;
    }
    let reached = WARNINGS.into_iter().filter(|days| left_ms <= days * A_DAY_MS);
    reached.min().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_warning_is_due() {
        let minute = 60_000;
        for (left_ms, days) in [
            (30 * A_DAY_MS, 30),
            (8 * A_DAY_MS, 30),
            (7 * A_DAY_MS, 7),
            (A_DAY_MS + minute, 7),
            (A_DAY_MS, 1),
            (minute, 1),
            (0, 0),
            (-minute, 0),
        ] {
            assert_eq!(due(left_ms), days, "{left_ms}");
        }
    }
}
