//! A rule's findings against what stands: what is new, what has become worse, what is
//! gone. Pure.
//! Must never count what merely goes on.

use crate::store::{AlertKind, AlertRow, Move, Seen, Severity, Subject};

/// How often it is written down that something is still so.
const SAY_SO_EVERY_MS: i64 = 60_000;
const LONGEST: usize = 1000;

/// What one look at the house has found of some kinds: all there is of them.
pub(super) struct Found {
    pub(super) kinds: &'static [AlertKind],
    pub(super) seen: Vec<Seen>,
    /// What is said of those that are not there any more.
    pub(super) over: &'static str,
}

impl Found {
    /// What is to be written, given what stands.
    pub(super) fn against(self, standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let Self { kinds, seen, over } = self;
        let mut moves = Vec::new();
        for row in standing.iter().filter(|row| kinds.contains(&row.kind)) {
            if !seen.iter().any(|one| is_of(one, row)) {
                moves.push(gone(row, over, now_ms));
            }
        }
        for one in seen {
            match standing.iter().find(|row| is_of(&one, row)) {
                None => moves.push(Move::IsSo(one)),
                // What was told before is over.
                Some(row) if is_another(&one, row) => {
                    moves.push(gone(row, over, now_ms));
                    moves.push(Move::IsSo(one));
                }
                Some(row) if one.level > row.level || is_old(row, now_ms) => {
                    moves.push(Move::IsSo(one));
                }
                Some(_) => {}
            }
        }
        moves
    }
}

/// Or from a time that is still to come, by a clock that was ahead.
pub(super) fn is_old(row: &AlertRow, now_ms: i64) -> bool {
    now_ms.abs_diff(row.last_seen) >= SAY_SO_EVERY_MS.unsigned_abs()
}

pub(super) fn gone(row: &AlertRow, why: &str, now_ms: i64) -> Move {
    Move::Gone(row.kind, row.subject.clone(), why.to_owned(), now_ms)
}

/// An end was put off, another version was rolled back. A quota that is used a little less is as
/// near to its end as it was.
fn is_another(seen: &Seen, row: &AlertRow) -> bool {
    let has_end = matches!(row.kind, AlertKind::SecretExpiring | AlertKind::ClientExpiring);
    let is_of_version = row.kind == AlertKind::RotationRolledBack;
    (has_end && seen.level < row.level) || (is_of_version && seen.level != row.level)
}

/// Does one stand for it already?
pub(super) fn is_held(standing: &[AlertRow], kind: AlertKind, id: &str) -> bool {
    standing.iter().any(|row| row.kind == kind && row.subject.id == id)
}

fn is_of(seen: &Seen, row: &AlertRow) -> bool {
    seen.kind == row.kind
        && seen.subject.sort == row.subject.sort
        && seen.subject.id == row.subject.id
}

pub(super) fn subject(sort: &str, id: &str, name: &str) -> Subject {
    Subject { sort: sort.to_owned(), id: plain(id), name: plain(name) }
}

pub(super) fn seen(
    (kind, severity): (AlertKind, Severity),
    subject: Subject,
    detail: &str,
    at: i64,
) -> Seen {
    Seen { kind, severity, subject, level: 0, detail: plain(detail), at }
}

/// Names and sentences come from whoever may write them: one line, and not too long.
pub(super) fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split(char::is_control).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::AlertState;

    pub(in super::super) fn row(kind: AlertKind, level: i64, last_seen: i64) -> AlertRow {
        AlertRow {
            id: Uuid::nil(),
            kind,
            severity: Severity::Warning,
            state: AlertState::Open,
            subject: subject("client", "a", "n"),
            level,
            detail: String::new(),
            first_seen: 0,
            last_seen,
            count: 1,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
        }
    }

    fn moves(kind: AlertKind, level: Option<i64>, standing: &[AlertRow]) -> Vec<&'static str> {
        let one = seen((kind, Severity::Warning), subject("client", "a", "n"), "d", 10);
        let seen = level.map(|level| Seen { level, ..one }).into_iter().collect();
        let kinds: &'static [AlertKind] = if kind == AlertKind::QuotaNear {
            &[AlertKind::QuotaNear]
        } else if kind == AlertKind::RotationRolledBack {
            &[AlertKind::RotationRolledBack]
        } else {
            &[AlertKind::ClientExpiring]
        };
        let found = Found { kinds, seen, over: "over" };
        let name = |one: Move| match one {
            Move::Happened(_) => "happened",
            Move::IsSo(_) => "so",
            Move::Gone(..) => "gone",
        };
        found.against(standing, 10).into_iter().map(name).collect()
    }

    #[test]
    fn what_is_new_or_worse_is_told_what_goes_on_is_not_and_what_is_gone_is_resolved() {
        let (near, ends) = (AlertKind::QuotaNear, AlertKind::ClientExpiring);
        assert_eq!(moves(near, Some(1), &[]), ["so"]);
        assert_eq!(moves(near, Some(1), &[row(near, 1, 10)]), [""; 0]);
        assert_eq!(moves(near, Some(2), &[row(near, 1, 10)]), ["so"]);
        assert_eq!(moves(near, Some(1), &[row(near, 2, 10)]), [""; 0]);
        assert_eq!(moves(ends, Some(1), &[row(ends, 2, 10)]), ["gone", "so"]);
        assert_eq!(moves(ends, Some(3), &[row(ends, 2, 10)]), ["so"]);
        let back = AlertKind::RotationRolledBack;
        assert_eq!(moves(back, Some(3), &[row(back, 2, 10)]), ["gone", "so"]);
        assert_eq!(moves(near, None, &[row(near, 1, 10)]), ["gone"]);
        assert_eq!(moves(near, Some(1), &[row(near, 1, -60_000)]), ["so"]);
        // What another rule found is none of this one's.
        assert_eq!(moves(near, Some(1), &[row(ends, 1, 10)]), ["so"]);
    }
}
