//! The table `leases`: whose turn it is to do what nodes of one database must not do twice, and
//! when it was last done. A turn that nobody renews ends by itself.
//! A time that is still to come is nobody's doing, and holds nobody off.
//! Must never give one turn to two.

use std::time::Duration;

use super::dialect::{Tx, changing, row, row_within, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// What is done by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Backup,
    /// To fetch the history of symbols.
    Backfill,
    /// To ask for a run, by schedule.
    BackfillSchedule,
    /// To look what somebody has to know of.
    Alerts,
    /// To make the reports that are due by themselves.
    Reports,
}

/// When a turn may be taken, and until when it is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) now_ms: i64,
    /// Done after this, it is not due.
    pub(crate) due_before_ms: i64,
    pub(crate) held_until_ms: i64,
}

const TAKE: &str = "INSERT INTO leases (name, holder, held_until, done_at) VALUES ($1, $2, $3, 0)
    ON CONFLICT (name) DO UPDATE SET holder = $2, held_until = $3
    WHERE (leases.held_until < $4 OR leases.held_until > $6 OR leases.holder = $2)
        AND (leases.done_at <= $5 OR leases.done_at > $7)";
const RENEW: &str =
    "UPDATE leases SET held_until = $1 WHERE name = $2 AND holder = $3 AND held_until > 0";
const DONE: &str = "UPDATE leases SET held_until = 0, done_at = $1 WHERE name = $2 AND holder = $3";
const GIVE_UP: &str = "UPDATE leases SET held_until = 0 WHERE name = $1 AND holder = $2";
const TO_COME: &str = "SELECT name FROM leases WHERE held_until > $1 OR done_at > $1 ORDER BY name";
const MEND: &str = "UPDATE leases SET held_until = 0, done_at = 0
    WHERE held_until > $1 OR done_at > $1";
/// How far clocks of nodes may be apart.
pub(super) const SKEW_MS: i64 = 10 * 60_000;
const STRAY: &str = "DELETE FROM leases WHERE name NOT IN ($1, $2, $3, $4, $5, $6)";
const LAST: &str = "SELECT done_at FROM leases WHERE name = $1";
/// A transaction whose client is gone ends as soon as the database has noticed.
const RESTORE_ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Nobody waits for this turn: its row says which restore was the last one.
const RESTORE: &str = "restore";
const RESTORED: &str =
    "INSERT INTO leases (name, holder, held_until, done_at) VALUES ($1, $2, 0, $3)
    ON CONFLICT (name) DO UPDATE SET holder = $2, held_until = 0, done_at = $3";

impl Turn {
    const ALL: [Self; 5] =
        [Self::Backup, Self::Backfill, Self::BackfillSchedule, Self::Alerts, Self::Reports];

    fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Backfill => "backfill",
            Self::BackfillSchedule => "backfill_schedule",
            Self::Alerts => "alerts",
            Self::Reports => "reports",
        }
    }
}

impl Store {
    /// False while another one has it, or where it was done already.
    pub(crate) async fn take_turn(
        &self,
        turn: Turn,
        holder: &str,
        span: Span,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let taken = changing!(
            &mut tx,
            sqlx::query(TAKE)
                .bind(turn.as_str())
                .bind(holder)
                .bind(span.held_until_ms)
                .bind(span.now_ms)
                .bind(span.due_before_ms)
                .bind(span.held_until_ms.saturating_add(SKEW_MS))
                .bind(span.now_ms.saturating_add(SKEW_MS))
        )?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    pub(crate) async fn renew_turn(
        &self,
        turn: Turn,
        holder: &str,
        held_until_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let renewed = changing!(
            &mut tx,
            sqlx::query(RENEW).bind(held_until_ms).bind(turn.as_str()).bind(holder)
        )?;
        tx.commit().await?;
        Ok(renewed > 0)
    }

    /// Ends a turn: done at this time, or given up so that another one may try.
    pub(crate) async fn end_turn(
        &self,
        turn: Turn,
        holder: &str,
        done_at_ms: Option<i64>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        match done_at_ms {
            Some(done) => {
                changing!(&mut tx, sqlx::query(DONE).bind(done).bind(turn.as_str()).bind(holder))?
            }
            None => changing!(&mut tx, sqlx::query(GIVE_UP).bind(turn.as_str()).bind(holder))?,
        };
        Ok(tx.commit().await?)
    }

    /// The mark of the last restore that was committed here. No other is on its way any more: the
    /// one whose COMMIT went out, and whose answer was lost, holds the row until it has ended, so
    /// whoever asks writes it, too, and waits for that.
    pub(crate) async fn last_restore(&self) -> Result<Option<String>, Error> {
        const HOLD: &str = "INSERT INTO leases (name, holder, held_until, done_at)
            VALUES ($1, '', 0, 0) ON CONFLICT (name) DO UPDATE SET holder = leases.holder";
        const MARK: &str = "SELECT holder FROM leases WHERE name = $1";
        let mut tx = self.begin().await?;
        tx.wait_no_longer_than(RESTORE_ENDS_WITHIN).await?;
        changing!(&mut tx, sqlx::query(HOLD).bind(RESTORE))?;
        let mark = match row_within!(&mut tx, "leases", sqlx::query(MARK).bind(RESTORE)) {
            // What somebody has edited is no mark of ours.
            Err(Error::Contradiction { .. }) => None,
            read => read?.map(|(mark,): (String,)| mark),
        };
        // Dropped here, it leaves the row as it was.
        drop(tx);
        Ok(mark.filter(|mark| !mark.is_empty()))
    }

    /// When it was last done, on whichever node.
    pub(crate) async fn last_turn(&self, turn: Turn) -> Result<Option<i64>, Error> {
        let name = turn.as_str();
        let done: Option<(i64,)> = match row!(self, "leases", sqlx::query(LAST).bind(name)) {
            // As if it had never been.
            Err(Error::Contradiction { .. }) => None,
            read => read?,
        };
        let done = done.map(|(done,)| done);
        let latest = self.clock.unix_ms().saturating_add(SKEW_MS);
        Ok(done.filter(|done| (1..=latest).contains(done)))
    }

    /// Turns that are held, or were done, at a time that is still to come; and rows that are no
    /// turn of this house.
    pub(crate) async fn turn_faults(&self) -> Result<Vec<String>, Error> {
        let mut faults = self.turns_to_come().await?;
        let stray = |name: String| {
            format!(
                "the row {name:?} of the table leases is no turn that is known here: somebody \
                 renamed it, and what it stood for may be done once more; `sealgate secret accept` \
                 removes it"
            )
        };
        faults.extend(self.stray_turns().await?.into_iter().map(stray));
        Ok(faults)
    }

    async fn stray_turns(&self) -> Result<Vec<String>, Error> {
        const NAMES: &str = "SELECT name FROM leases ORDER BY name";
        let names = rows!(self, "leases", sqlx::query(NAMES));
        let known =
            |name: &str| name == RESTORE || Turn::ALL.iter().any(|turn| turn.as_str() == name);
        let read = |row: Result<(String,), Unread>| row.ok().map(|(name,)| name);
        let names = names.into_iter().filter_map(read).filter(|name| !known(name));
        Ok(names.map(|name| name.chars().take(100).collect()).collect())
    }

    async fn turns_to_come(&self) -> Result<Vec<String>, Error> {
        let latest = self.latest_turn();
        let names = rows!(self, "leases", sqlx::query(TO_COME).bind(latest));
        let sentence = |row: Result<(String,), Unread>| {
            let name = row.map_or_else(|unread| unread.text(0), |(name,)| name);
            let name: String = name.chars().take(100).collect();
            format!(
                "the row {name:?} of the table leases says of a time that is still to come: somebody \
                 edited it, or a clock was wrong; what is done by turns is done all the same, and \
                 the next turn, or `sealgate secret accept`, sets the row right"
            )
        };
        Ok(names.into_iter().map(sentence).collect())
    }

    pub(crate) async fn mend_turns(&self) -> Result<(), Error> {
        let latest = self.latest_turn();
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(MEND).bind(latest))?;
        let [first, second, third, fourth, fifth] = Turn::ALL.map(Turn::as_str);
        changing!(
            &mut tx,
            sqlx::query(STRAY)
                .bind(RESTORE)
                .bind(first)
                .bind(second)
                .bind(third)
                .bind(fourth)
                .bind(fifth)
        )?;
        Ok(tx.commit().await?)
    }

    fn latest_turn(&self) -> i64 {
        self.clock.unix_ms().saturating_add(2 * SKEW_MS)
    }
}

/// Part of the transaction that brings the rows in.
pub(super) async fn note_restore(tx: &mut Tx, mark: &str, now_ms: i64) -> Result<(), Error> {
    changing!(tx, sqlx::query(RESTORED).bind(RESTORE).bind(mark).bind(now_ms))?;
    Ok(())
}
