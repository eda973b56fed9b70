//! What this node says of itself: that it is there, whether it makes backups, and what stands amiss
//! as it sees it, looked at anew while a finding stands, beside everything else.
//! Must never spend more than a small part of its time on that.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Alerts;
use super::watch::{NEVER, is_due};
use crate::store::{self, AlertKind, AlertNode, AlertRow};

const MINUTE_MS: i64 = 60_000;
/// How often it says so though nothing is new.
const SAY_EVERY_MS: i64 = MINUTE_MS;
/// How often everything is examined anew while a finding stands; more seldom where that takes long.
const EXAMINE_EVERY_MS: i64 = 5 * MINUTE_MS;
/// So many times as long as it took.
const REST: i64 = 20;
/// Beyond so many sentences nobody reads them one by one.
pub(super) const MOST_FOUND: usize = 100;

pub(super) struct Here {
    row: AlertNode,
    said_at_ms: i64,
    examined_at_ms: i64,
    pause_ms: i64,
    under_way: Option<JoinHandle<Option<Examined>>>,
}

struct Examined {
    began_ms: i64,
    took_ms: i64,
    found: Vec<String>,
}

impl Here {
    pub(super) fn new(node: &str, backs_up: bool) -> Self {
        Self {
            row: AlertNode { node: node.to_owned(), backs_up, ..AlertNode::default() },
            said_at_ms: NEVER,
            examined_at_ms: NEVER,
            pause_ms: EXAMINE_EVERY_MS,
            under_way: None,
        }
    }
}

impl Alerts {
    pub(super) async fn say_here(
        self: &Arc<Self>,
        here: &mut Here,
        standing: &[AlertRow],
        now_ms: i64,
    ) -> Result<(), store::Error> {
        let ended = here.under_way.take_if(|task| task.is_finished());
        let examined = match ended {
            Some(task) => task.await.unwrap_or_default(),
            None => None,
        };
        let has_news = examined.is_some();
        if let Some(Examined { began_ms, took_ms, mut found }) = examined {
            found.truncate(MOST_FOUND);
            here.pause_ms = took_ms.saturating_mul(REST).max(EXAMINE_EVERY_MS);
            here.row = AlertNode { examined_at: began_ms, found, ..here.row.clone() };
        }
        let is_amiss = standing.iter().any(|row| row.kind == AlertKind::Integrity);
        let is_free = here.under_way.is_none() && !self.parts.vault.is_sealed();
        if is_amiss && is_free && is_due(&mut here.examined_at_ms, now_ms, here.pause_ms) {
            here.under_way = Some(tokio::spawn(Arc::clone(self).examine(now_ms)));
        }
        if has_news || is_due(&mut here.said_at_ms, now_ms, SAY_EVERY_MS) {
            here.row.seen_at = now_ms;
            let said = self.parts.store.say_alert_node(&here.row).await;
            // Said again at the next look.
            return said.inspect_err(|_| here.said_at_ms = NEVER);
        }
        Ok(())
    }

    /// None where it could not be looked at.
    async fn examine(self: Arc<Self>, began_ms: i64) -> Option<Examined> {
        let began_ns = self.parts.clock.monotonic_ns();
        let mut found = self.parts.vault.examine().await.ok()?;
        found.extend(self.parts.ledger.examine().await.ok()?);
        found.sort_unstable();
        found.dedup();
        let took_ns = self.parts.clock.monotonic_ns().saturating_sub(began_ns);
        let took_ms = i64::try_from(took_ns / 1_000_000).unwrap_or(i64::MAX);
        Some(Examined { began_ms, took_ms, found })
    }
}
