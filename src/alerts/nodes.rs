//! What resolves by itself though nobody says so: a state of this node that is over, an event that
//! was not seen again for a while, a finding of which nothing is left.
//! Must never resolve what another node alone can judge.

use super::rule::gone;
use super::{Alerts, rule};
use crate::store::{self, AlertKind, AlertRow, JobState, MOST_WRAPS, Move, Turn};

const MINUTE_MS: i64 = 60_000;
/// How long a burst must be over.
const QUIET_BURST_MS: i64 = 10 * MINUTE_MS;
/// How long no such answer must have come, and nobody have written into Redis.
const QUIET_MS: i64 = 60 * MINUTE_MS;
/// How often everything is examined anew while a finding stands.
pub(super) const EXAMINE_EVERY_MS: i64 = 5 * MINUTE_MS;

impl Alerts {
    /// Of this node: what is not so any more.
    pub(super) fn own_ends(&self, standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let parts = &self.parts;
        let own = |row: &&AlertRow| row.subject.sort == "node" && row.subject.name == parts.node;
        let end = |row: &AlertRow| {
            let part = row.subject.id.strip_prefix(parts.node.as_str())?.trim_start_matches('/');
            let is_over = match (row.kind, part) {
                (AlertKind::Sealed, "") => !parts.vault.is_sealed(),
                (AlertKind::LimiterDegraded, "") => parts.limiter.degraded().is_none(),
                (AlertKind::LedgerDegraded, "database") => parts.ledger.degraded().is_none(),
                // Told anew by a house that was started since, where it is still so.
                (AlertKind::LedgerDegraded, _) => row.last_seen < self.began_ms,
                _ => false,
            };
            is_over.then(|| gone(row, "it is so no more", now_ms))
        };
        standing.iter().filter(own).filter_map(end).collect()
    }

    /// Of all nodes: what was not seen again.
    pub(super) fn quiet(standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let end = |row: &AlertRow| {
            let is_event = row.kind == AlertKind::LimiterDegraded && row.subject.id.contains('/');
            let quiet_ms = if row.kind == AlertKind::AuthFailures {
                QUIET_BURST_MS
            } else if row.kind == AlertKind::KeyEchoed || is_event {
                QUIET_MS
            } else {
                return None;
            };
            let is_quiet = now_ms.saturating_sub(row.last_seen) >= quiet_ms;
            is_quiet.then(|| gone(row, "it was not seen again", now_ms))
        };
        standing.iter().filter_map(end).collect()
    }

    /// Of the installation: what was done about it.
    pub(super) async fn done_about(
        &self,
        standing: &[AlertRow],
        now_ms: i64,
    ) -> Result<Vec<Move>, store::Error> {
        let store = &self.parts.store;
        let mut moves = Vec::new();
        for row in standing {
            let why = if row.kind == AlertKind::BackupOverdue {
                let made = store.last_turn(Turn::Backup).await?;
                made.filter(|made| *made >= row.first_seen).map(|_| "a backup was made")
            } else if row.kind == AlertKind::KeyJobFailed {
                let job = store.latest_job().await?;
                let is_done = job.is_some_and(|job| job.state == JobState::Done);
                is_done.then_some("such work was done since")
            } else if row.kind == AlertKind::KekWear {
                let kek = store.active_kek(&row.subject.id).await?;
                let is_fresh = kek.is_none_or(|kek| kek.count() < MOST_WRAPS / 2);
                is_fresh.then_some("a fresh key wraps by now")
            } else {
                None
            };
            moves.extend(why.map(|why| gone(row, why, now_ms)));
        }
        Ok(moves)
    }

    /// Looks at everything, which is why it is done while a finding stands, and now and then.
    pub(super) async fn findings_ended(&self, standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let findings = standing.iter().filter(|row| row.kind == AlertKind::Integrity);
        let findings: Vec<&AlertRow> = findings.filter(|row| rule::is_old(row, now_ms)).collect();
        if findings.is_empty() || self.parts.vault.is_sealed() {
            return Vec::new();
        }
        let of_vault = self.parts.vault.examine().await;
        let of_ledger = self.parts.ledger.examine().await;
        let is_well = of_vault.is_ok_and(|found| found.is_empty())
            && of_ledger.is_ok_and(|found| found.is_empty());
        if !is_well {
            return Vec::new();
        }
        let why = "nothing of the kind is found any more";
        findings.into_iter().map(|row| gone(row, why, now_ms)).collect()
    }
}
