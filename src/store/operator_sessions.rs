//! The table `operator_sessions`: where operators are signed in, by the digest of what their
//! browser holds. Asked with every call of theirs, so that a session that was ended on one node is
//! ended on all.
//! Must never hold what the browser holds.

use uuid::Uuid;

use super::columns::{ABOVE_ALL_IDS, Place};
use super::dialect::{changing, row, rows};
use super::lenient::Unread;
use super::operators::OperatorRow;
use super::{Error, Store};
use crate::secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) digest: [u8; 32],
    pub(crate) operator_id: Uuid,
    pub(crate) created_at: i64,
    pub(crate) ends_at: i64,
    pub(crate) stepped_up_at: Option<i64>,
    pub(crate) last_seen_at: i64,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// A session and whose it is, as their rows stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) session: SessionRow,
    pub(crate) operator: OperatorRow,
    /// Of the session, as it was read.
    pub(crate) seal: Vec<u8>,
    /// Neither row was edited. False too while nothing can be judged.
    pub(crate) fits: bool,
}

/// A session as lists show it.
pub(crate) struct ListedSession {
    pub(crate) session: SessionRow,
    pub(crate) operator: String,
}

#[derive(sqlx::FromRow)]
struct RawSession {
    id: String,
    digest: Vec<u8>,
    operator_id: String,
    created_at: i64,
    ends_at: i64,
    stepped_up_at: Option<i64>,
    last_seen_at: i64,
    address: Option<String>,
    user_agent: Option<String>,
    seal: Vec<u8>,
}

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, digest, operator_id, created_at, ends_at, stepped_up_at, last_seen_at,
            address, user_agent, seal FROM operator_sessions ",
            $rest
        )
    };
}

const BY_DIGEST: &str = columns!("WHERE digest = $1");
const BY_ID: &str = columns!("WHERE id = $1");
const PAGE: &str = columns!("WHERE id < $1 AND ends_at > $2 ORDER BY id DESC LIMIT $3");
const PAGE_OF: &str =
    columns!("WHERE id < $1 AND ends_at > $2 AND operator_id = $4 ORDER BY id DESC LIMIT $3");
const INSERT: &str = "INSERT INTO operator_sessions (id, digest, operator_id, created_at, ends_at,
    stepped_up_at, last_seen_at, address, user_agent, seal)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const TOUCH: &str = "UPDATE operator_sessions SET last_seen_at = $1
    WHERE id = $2 AND last_seen_at < $1";
const DELETE: &str = "DELETE FROM operator_sessions WHERE id = $1";
const DROP_ENDED: &str = "DELETE FROM operator_sessions WHERE ends_at <= $1 OR last_seen_at <= $2";

impl Store {
    /// In the place of a former one where one is named; False where that is gone by now.
    pub(crate) async fn insert_session(
        &self,
        session: &SessionRow,
        operator: &OperatorRow,
        former: Option<Uuid>,
    ) -> Result<bool, Error> {
        let (id, of) = (session.id.to_string(), session.operator_id.to_string());
        let seal = self.seal_of_session(session, operator).ok_or_else(|| self.unsealable(&of))?;
        let mut tx = self.begin().await?;
        if let Some(former) = former
            && changing!(&mut tx, sqlx::query(DELETE).bind(former.to_string()))? == 0
        {
            return Ok(false);
        }
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(id.as_str())
                .bind(session.digest.as_slice())
                .bind(of.as_str())
                .bind(session.created_at)
                .bind(session.ends_at)
                .bind(session.stepped_up_at)
                .bind(session.last_seen_at)
                .bind(session.address.as_deref())
                .bind(session.user_agent.as_deref())
                .bind(seal.as_slice())
        )?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whose session this is, as the rows stand.
    pub(crate) async fn signed_in(&self, digest: &[u8; 32]) -> Result<Option<SignedIn>, Error> {
        let query = digest.as_slice();
        let raw: Option<RawSession> =
            row!(self, "operator_sessions", sqlx::query(BY_DIGEST).bind(query))?;
        let Some(raw) = raw else { return Ok(None) };
        let seal = raw.seal.clone();
        let session = from_raw(raw)?;
        let Some(standing) = self.standing_operator(session.operator_id).await? else {
            return Ok(None);
        };
        let own = self.seal_of_session(&session, &standing.row);
        let fits = standing.fits && own.is_some_and(|own| secret::same(&own, &seal));
        Ok(Some(SignedIn { session, operator: standing.row, seal, fits }))
    }

    /// For people who look; the newest first.
    pub(crate) async fn sessions_page(
        &self,
        of: Option<Uuid>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, Error> {
        let below = after.map_or_else(|| ABOVE_ALL_IDS.to_owned(), |id| id.to_string());
        let (now_ms, limit) = (self.clock.unix_ms(), i64::from(limit));
        let raw: Vec<Result<RawSession, Unread>> = match of {
            None => rows!(
                self,
                "operator_sessions",
                sqlx::query(PAGE).bind(below.as_str()).bind(now_ms).bind(limit)
            ),
            Some(of) => rows!(
                self,
                "operator_sessions",
                sqlx::query(PAGE_OF)
                    .bind(below.as_str())
                    .bind(now_ms)
                    .bind(limit)
                    .bind(of.to_string())
            ),
        };
        let mut listed = Vec::new();
        for session in raw.into_iter().flatten().filter_map(|raw| from_raw(raw).ok()) {
            let operator = self.standing_operator(session.operator_id).await;
            // What cannot be read is named elsewhere, and hides no other.
            let operator = operator.ok().flatten().map(|standing| standing.row.name);
            listed.push(ListedSession { session, operator: operator.unwrap_or_default() });
        }
        Ok(listed)
    }

    pub(crate) async fn session(&self, id: Uuid) -> Result<Option<SessionRow>, Error> {
        let raw: Option<RawSession> =
            row!(self, "operator_sessions", sqlx::query(BY_ID).bind(id.to_string()))?;
        raw.map(from_raw).transpose()
    }

    pub(crate) async fn touch_session(&self, id: Uuid, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(TOUCH).bind(now_ms).bind(id.to_string()))?;
        Ok(tx.commit().await?)
    }

    /// False if there is none.
    pub(crate) async fn end_session(&self, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let ended = changing!(&mut tx, sqlx::query(DELETE).bind(id.to_string()))?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// Those that are over, or were not used since.
    pub(crate) async fn drop_ended_sessions(&self, idle_since_ms: i64) -> Result<(), Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(DROP_ENDED).bind(now_ms).bind(idle_since_ms))?;
        Ok(tx.commit().await?)
    }
}

fn from_raw(raw: RawSession) -> Result<SessionRow, Error> {
    let place = Place { table: "operator_sessions", row: &raw.id };
    Ok(SessionRow {
        id: place.id("id", &raw.id)?,
        digest: place.digest("digest", &raw.digest)?,
        operator_id: place.id("operator_id", &raw.operator_id)?,
        created_at: raw.created_at,
        ends_at: raw.ends_at,
        stepped_up_at: raw.stepped_up_at,
        last_seen_at: raw.last_seen_at,
        address: raw.address,
        user_agent: raw.user_agent,
    })
}
