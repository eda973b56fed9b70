//! What resolves by itself though nobody says so: a state of this node that is over, one of a node
//! that is gone, an event that was not seen again for a while, a finding that no node finds.
//! Must never resolve what another node alone can judge, while that is there.

use std::collections::BTreeMap;

use super::Alerts;
use super::findings::{of_finding, severity};
use super::here::MOST_FOUND;
use super::rule::{gone, is_old, plain, seen};
use super::silence::Silence;
use crate::store::{
    self, AlertKind, AlertNode, AlertRow, JobState, MOST_WRAPS, Move, Seen, Subject, Turn,
};

const MINUTE_MS: i64 = 60_000;
/// How long a burst must be over.
const QUIET_BURST_MS: i64 = 10 * MINUTE_MS;
/// How long no such answer must have come, and nobody have written into Redis.
const QUIET_MS: i64 = 60 * MINUTE_MS;
/// So many looks at the tables, ten minutes, in which a node does not move: it is gone.
const GONE_LOOKS: u32 = 120;
pub(super) const NODE_IS_GONE: &str = "the node has not been seen for ten minutes";

/// Who is there, as it shows in what they say.
pub(super) struct Nodes {
    silence: Silence<String, Option<i64>>,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self { silence: Silence::new() }
    }

    /// One look: nodes that say something, and those of which alerts stand.
    pub(super) fn look(&mut self, said: &[AlertNode], standing: &[AlertRow]) {
        let of_alerts = standing.iter().filter(|row| is_of_node(row));
        let mut all: BTreeMap<String, Option<i64>> =
            of_alerts.map(|row| (row.subject.name.clone(), None)).collect();
        all.extend(said.iter().map(|row| (row.node.clone(), Some(row.seen_at))));
        self.silence.look(all);
    }

    pub(super) fn is_gone(&self, node: &str) -> bool {
        self.silence.is_silent(&node.to_owned(), GONE_LOOKS)
    }

    /// What nobody is there to end.
    pub(super) fn left_behind(&self, standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let left = standing.iter().filter(|row| is_of_node(row) && self.is_gone(&row.subject.name));
        left.map(|row| gone(row, NODE_IS_GONE, now_ms)).collect()
    }
}

fn is_of_node(row: &AlertRow) -> bool {
    row.subject.sort == "node"
}

/// Findings as those that are there see them now: what is new, what goes on, and what nobody finds
/// who has looked since.
pub(super) fn findings(standing: &[AlertRow], there: &[AlertNode], now_ms: i64) -> Vec<Move> {
    let found: BTreeMap<String, Seen> = there
        .iter()
        .flat_map(|node| &node.found)
        .map(|sentence| {
            let what = (AlertKind::Integrity, severity(AlertKind::Integrity));
            let subject: Subject = of_finding(sentence);
            (subject.id.clone(), seen(what, subject, &plain(sentence), now_ms))
        })
        .collect();
    // There may be more than were written down.
    let is_whole = !there.is_empty() && there.iter().all(|node| node.found.len() < MOST_FOUND);
    let of_findings = || standing.iter().filter(|row| row.kind == AlertKind::Integrity);
    let mut moves = Vec::new();
    for row in of_findings().filter(|row| is_old(row, now_ms)) {
        let has_looked = |node: &AlertNode| node.examined_at >= row.last_seen;
        if is_whole && !found.contains_key(&row.subject.id) && there.iter().all(has_looked) {
            moves.push(gone(row, "nothing of the kind is found any more", now_ms));
        }
    }
    for (id, one) in found {
        let held = of_findings().find(|row| row.subject.id == id);
        if held.is_none_or(|row| is_old(row, now_ms)) {
            moves.push(Move::IsSo(one));
        }
    }
    moves
}

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
            if row.last_seen > now_ms.saturating_add(MINUTE_MS) {
                // Written by a clock that was ahead: from now on it is seen no more.
                return Some(Move::IsSo(as_it_stands(row, now_ms)));
            }
            let is_quiet = now_ms.saturating_sub(row.last_seen) >= quiet_ms;
            is_quiet.then(|| gone(row, "it was not seen again", now_ms))
        };
        standing.iter().filter_map(end).collect()
    }

    /// Of the installation: what was done about it.
    pub(super) async fn done_about(
        &self,
        (standing, is_backed_up): (&[AlertRow], bool),
        now_ms: i64,
    ) -> Result<Vec<Move>, store::Error> {
        let store = &self.parts.store;
        let mut moves = Vec::new();
        for row in standing {
            let why = if row.kind == AlertKind::BackupOverdue {
                let made = store.last_turn(Turn::Backup).await?;
                match made.is_some_and(|made| made >= row.first_seen) {
                    true => Some("a backup was made"),
                    false => (!is_backed_up).then_some("no node is to make any more"),
                }
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
}

fn as_it_stands(row: &AlertRow, at: i64) -> Seen {
    Seen {
        kind: row.kind,
        severity: row.severity,
        subject: row.subject.clone(),
        level: row.level,
        detail: row.detail.clone(),
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::row;
    use super::*;

    const NOW: i64 = 1_000_000;

    fn of_node(kind: AlertKind, node: &str) -> AlertRow {
        let subject = super::super::rule::subject("node", &format!("{node}/database"), node);
        AlertRow { subject, ..row(kind, 0, 0) }
    }

    fn says(node: &str, examined_at: i64, found: &[&str]) -> AlertNode {
        let found = found.iter().map(|one| (*one).to_owned()).collect();
        AlertNode { node: node.to_owned(), examined_at, found, ..AlertNode::default() }
    }

    fn finding(sentence: &str, last_seen: i64) -> AlertRow {
        AlertRow { subject: of_finding(sentence), ..row(AlertKind::Integrity, 0, last_seen) }
    }

    fn ends(moves: Vec<Move>) -> Vec<String> {
        let end = |one: Move| match one {
            Move::Gone(_, subject, ..) => Some(subject.id),
            Move::Happened(_) | Move::IsSo(_) => None,
        };
        moves.into_iter().filter_map(end).collect()
    }

    #[test]
    fn what_a_node_told_that_is_gone_ends_and_what_one_told_that_is_there_does_not() {
        let standing = [
            of_node(AlertKind::LedgerDegraded, "gone"),
            of_node(AlertKind::Sealed, "old"),
            of_node(AlertKind::LedgerDegraded, "there"),
        ];
        let mut nodes = Nodes::new();
        for look in 0..=GONE_LOOKS {
            assert!(nodes.left_behind(&standing, NOW).is_empty(), "{look}");
            let there = AlertNode { seen_at: i64::from(look), ..says("there", 0, &[]) };
            nodes.look(&[there, says("gone", 0, &[])], &standing);
        }
        // One of the release before never said anything.
        assert_eq!(ends(nodes.left_behind(&standing, NOW)), ["gone/database", "old/database"]);
        assert!(nodes.is_gone("gone") && !nodes.is_gone("there"));
    }

    #[test]
    fn a_finding_ends_when_every_node_that_is_there_has_looked_and_found_none() {
        let here = finding("a file of this node", 0);
        let (id, standing) = (here.subject.id.clone(), [here]);
        let other = says("b", 10, &["a file of this node"]);
        assert_eq!(ends(findings(&standing, &[says("a", 10, &[]), other], NOW)), [""; 0]);
        let late = says("b", -1, &[]);
        assert_eq!(ends(findings(&standing, &[says("a", 10, &[]), late], NOW)), [""; 0]);
        let both = [says("a", 10, &[]), says("b", 0, &[])];
        assert_eq!(ends(findings(&standing, &both, NOW)), [id]);
    }

    #[test]
    fn one_that_stays_for_ever_keeps_no_other_and_what_is_found_beside_is_told() {
        let standing = [finding("stays", 0), finding("mended", 0)];
        let found = findings(&standing, &[says("a", 10, &["stays", "is new"])], NOW);
        let so = found.iter().filter_map(|one| match one {
            Move::IsSo(seen) => Some((seen.detail.as_str(), seen.severity)),
            Move::Happened(_) | Move::Gone(..) => None,
        });
        let so: std::collections::BTreeSet<&str> = so.map(|(detail, _)| detail).collect();
        assert_eq!(so, ["is new", "stays"].into());
        assert_eq!(ends(found), [finding("mended", 0).subject.id]);
        // Of more than anybody reads, nobody knows which are gone.
        let many: Vec<String> = (0..MOST_FOUND).map(|one| format!("finding {one}")).collect();
        let many = AlertNode { found: many, ..says("a", 10, &[]) };
        assert_eq!(ends(findings(&standing, &[many], NOW)), [""; 0]);
    }

    #[test]
    fn what_a_clock_that_was_ahead_wrote_is_over_when_it_is_seen_no_more() {
        let ahead = row(AlertKind::AuthFailures, 0, NOW + QUIET_MS);
        let moves = Alerts::quiet(std::slice::from_ref(&ahead), NOW);
        assert!(matches!(&moves[..], [Move::IsSo(seen)] if seen.at == NOW), "{moves:?}");
        let right = AlertRow { last_seen: NOW, ..ahead };
        assert!(Alerts::quiet(std::slice::from_ref(&right), NOW + QUIET_BURST_MS - 1).is_empty());
        assert_eq!(Alerts::quiet(&[right], NOW + QUIET_BURST_MS).len(), 1);
    }
}
