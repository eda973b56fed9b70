//! The table `leases`: whose turn it is to do what nodes of one database must not do twice, and
//! when it was last done. A turn that nobody renews ends by itself.
//! Must never give one turn to two.

use super::dialect::{changing, reading};
use super::{Error, Store};

/// What is done by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Backup,
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
    WHERE (leases.held_until < $4 OR leases.holder = $2) AND leases.done_at <= $5";
const RENEW: &str =
    "UPDATE leases SET held_until = $1 WHERE name = $2 AND holder = $3 AND held_until > 0";
const DONE: &str = "UPDATE leases SET held_until = 0, done_at = $1 WHERE name = $2 AND holder = $3";
const GIVE_UP: &str = "UPDATE leases SET held_until = 0 WHERE name = $1 AND holder = $2";
const LAST: &str = "SELECT done_at FROM leases WHERE name = $1";

impl Turn {
    fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
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

    /// When it was last done, on whichever node.
    pub(crate) async fn last_turn(&self, turn: Turn) -> Result<Option<i64>, Error> {
        let name = turn.as_str();
        let done: Option<i64> =
            reading!(self, db => sqlx::query_scalar(LAST).bind(name).fetch_optional(db))?;
        Ok(done.filter(|done| *done > 0))
    }
}
