//! The table `alert_deliveries`: each event that a destination is to be told, until it has
//! confirmed it or is given up. A delivery is claimed before it is tried (`alert_claims`), so that
//! of several nodes one tries. Must never drop one that was not confirmed, nor give one that was to
//! be tried again.

use uuid::Uuid;

use super::columns::{Place, words};
use super::dialect::{Tx, changing, row, rows, rows_within};
use super::lenient::Unread;
use super::{Error, Store};

words! {
    /// What is told of an alert.
    Event {
        Raised = "raised",
        Resolved = "resolved",
        /// Somebody tries whether a destination works.
        Test = "test",
        /// A report that is due by itself.
        Report = "report",
    }
}

words! {
    DeliveryState {
        Waiting = "waiting",
        /// The destination has confirmed it.
        Delivered = "delivered",
        /// Nobody tries any more, until somebody asks for it.
        Dead = "dead",
    }
}

impl DeliveryState {
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) id: Uuid,
    pub(crate) destination_id: Uuid,
    /// None: a test, or a report.
    pub(crate) alert_id: Option<Uuid>,
    pub(crate) event: Event,
    pub(crate) state: DeliveryState,
    /// The same for each try.
    pub(crate) body: String,
    pub(crate) attempts: u64,
    pub(crate) next_at: i64,
    pub(crate) fault: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) ended_at: Option<i64>,
    /// The marks of those recipients that have confirmed, where it has several.
    pub(crate) told: Vec<String>,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Delivered,
    Again {
        at: i64,
        fault: String,
    },
    Dead {
        fault: String,
    },
    /// The destination does not want to be told of this.
    Unwanted,
}

#[derive(sqlx::FromRow)]
struct RawDelivery {
    id: String,
    destination_id: String,
    alert_id: Option<String>,
    event: String,
    state: String,
    body: String,
    attempts: i64,
    next_at: i64,
    fault: Option<String>,
    created_at: i64,
    ended_at: Option<i64>,
    told: Option<String>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, destination_id, alert_id, event, state, body, attempts, next_at, fault,
            created_at, ended_at, told FROM alert_deliveries d ",
            $rest
        )
    };
}

const DESTINATIONS: &str = "SELECT id FROM alert_destinations ORDER BY id";
// Not before what was raised is tried again: what stands behind it is no more due than that.
const INSERT: &str = "INSERT INTO alert_deliveries (id, destination_id, alert_id, event, state,
    body, attempts, next_at, claimed_by, claimed_until, created_at)
    VALUES ($1, $2, $3, $4, 'waiting', $5, 0, COALESCE((SELECT MAX(next_at)
        FROM alert_deliveries WHERE destination_id = $2 AND alert_id = $3
        AND state = 'waiting'), $6), $7, $8, $6)";
// What was resolved is told after it was raised.
macro_rules! due {
    ($when:literal) => {
        concat!(
            "SELECT id FROM alert_deliveries d WHERE destination_id = $1 AND state = 'waiting'
            AND ",
            $when,
            " AND claimed_by IS NULL AND NOT EXISTS (SELECT 1 FROM alert_deliveries e
                WHERE e.destination_id = d.destination_id AND e.alert_id = d.alert_id
                AND e.state = 'waiting' AND e.id < d.id)
            ORDER BY next_at, id LIMIT 1"
        )
    };
}
pub(super) const DUE: &str = due!("next_at <= $2");
/// A time that is far to come was written by a clock that was wrong.
pub(super) const DUE_BY_A_WRONG_CLOCK: &str = due!("next_at > $2");
pub(super) const DUE_ALL: &str = "SELECT o.id FROM alert_destinations o
    WHERE EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.destination_id = o.id
        AND d.state = 'waiting' AND d.next_at <= $1)
    OR EXISTS (SELECT 1 FROM alert_deliveries d WHERE d.destination_id = o.id
        AND d.state = 'waiting' AND d.next_at > $2) ORDER BY o.id";
const END: &str = "UPDATE alert_deliveries SET state = $3, fault = $4, next_at = $5, ended_at = $6,
    told = COALESCE($7, told), claimed_by = NULL, claimed_until = 0
    WHERE id = $1 AND claimed_by = $2 AND state = 'waiting'";
const REST_NOT_BEFORE: &str = "UPDATE alert_deliveries SET next_at = $2
    WHERE state = 'waiting' AND id > $1 AND next_at < $2
    AND destination_id = (SELECT o.destination_id FROM alert_deliveries o WHERE o.id = $1)
    AND alert_id = (SELECT o.alert_id FROM alert_deliveries o WHERE o.id = $1)";
const DROP: &str = "DELETE FROM alert_deliveries WHERE id = $1 AND claimed_by = $2";
const BURY: &str = "UPDATE alert_deliveries SET state = 'dead', fault = $2, ended_at = $3,
    claimed_by = NULL, claimed_until = 0 WHERE id = $1 AND state = 'waiting'";
const OLD: &str = "SELECT id FROM alert_deliveries WHERE destination_id = $1
    AND state = 'waiting' AND created_at < $2 AND claimed_by IS NULL LIMIT 1";
const BURY_OLD: &str = "UPDATE alert_deliveries SET state = 'dead', fault = $2, ended_at = $3
    WHERE destination_id = $1 AND state = 'waiting' AND created_at < $4 AND claimed_by IS NULL";
const AGAIN: &str = "UPDATE alert_deliveries SET state = 'waiting', attempts = 0, next_at = $2,
    ended_at = NULL WHERE id = $1 AND state = 'dead'";
const FORGET: &str = "DELETE FROM alert_deliveries WHERE state <> 'waiting' AND ended_at < $1";
/// No try is put off for longer.
const LONGEST_WAIT_MS: i64 = 48 * 3_600_000;

impl Store {
    /// Who may be told something now.
    pub(crate) async fn destinations_due(&self, now_ms: i64) -> Result<Vec<Uuid>, Error> {
        let raw: Vec<Result<(String,), Unread>> = rows!(
            self,
            "alert_deliveries",
            sqlx::query(DUE_ALL).bind(now_ms).bind(now_ms.saturating_add(LONGEST_WAIT_MS))
        );
        Ok(raw.into_iter().flatten().filter_map(|(id,)| Uuid::try_parse(&id).ok()).collect())
    }

    /// What may be told to one of them now, the oldest first. What somebody has edited so that it
    /// cannot be read stands in the way of none.
    pub(crate) async fn due_delivery(
        &self,
        destination: Uuid,
        now_ms: i64,
    ) -> Result<Option<DeliveryRow>, Error> {
        const ONE: &str = select!("WHERE id = $1");
        while let Some(id) = self.first_due(destination, now_ms).await? {
            let read = row!(self, "alert_deliveries", sqlx::query(ONE).bind(id.as_str()));
            match read.and_then(|raw| raw.map(from_raw).transpose()) {
                Ok(row) => return Ok(row),
                Err(fault @ Error::Contradiction { .. }) => {
                    let mut tx = self.begin().await?;
                    let fault = fault.to_string();
                    changing!(
                        &mut tx,
                        sqlx::query(BURY).bind(id.as_str()).bind(fault.as_str()).bind(now_ms)
                    )?;
                    tx.commit().await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    async fn first_due(&self, destination: Uuid, now_ms: i64) -> Result<Option<String>, Error> {
        let to_come_ms = now_ms.saturating_add(LONGEST_WAIT_MS);
        for (sql, when_ms) in [(DUE, now_ms), (DUE_BY_A_WRONG_CLOCK, to_come_ms)] {
            let found: Option<(String,)> = row!(
                self,
                "alert_deliveries",
                sqlx::query(sql).bind(destination.to_string()).bind(when_ms)
            )?;
            if let Some((id,)) = found {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// What waits for a destination that tells nobody any more, and came before a moment.
    pub(crate) async fn bury_deliveries(
        &self,
        destination: Uuid,
        (fault, before_ms): (&str, i64),
        now_ms: i64,
    ) -> Result<(), Error> {
        let oldest: Option<(String,)> = row!(
            self,
            "alert_deliveries",
            sqlx::query(OLD).bind(destination.to_string()).bind(before_ms)
        )?;
        if oldest.is_none() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(BURY_OLD)
                .bind(destination.to_string())
                .bind(fault)
                .bind(now_ms)
                .bind(before_ms)
        )?;
        Ok(tx.commit().await?)
    }

    /// By whoever has claimed it; false where it is another's by now. `told` are those recipients
    /// that have confirmed, of several.
    pub(crate) async fn end_delivery(
        &self,
        id: Uuid,
        node: &str,
        (tried, told): (&Tried, &[String]),
        now_ms: i64,
    ) -> Result<bool, Error> {
        let (state, fault, next_at) = match tried {
            Tried::Delivered => (DeliveryState::Delivered, None, now_ms),
            Tried::Again { at, fault } => (DeliveryState::Waiting, Some(fault.as_str()), *at),
            Tried::Dead { fault } => (DeliveryState::Dead, Some(fault.as_str()), now_ms),
            Tried::Unwanted => {
                let mut tx = self.begin().await?;
                let gone = changing!(&mut tx, sqlx::query(DROP).bind(id.to_string()).bind(node))?;
                tx.commit().await?;
                return Ok(gone > 0);
            }
        };
        let ended_at = (state != DeliveryState::Waiting).then_some(now_ms);
        let mut tx = self.begin().await?;
        let ended = changing!(
            &mut tx,
            sqlx::query(END)
                .bind(id.to_string())
                .bind(node)
                .bind(state.as_str())
                .bind(fault)
                .bind(next_at)
                .bind(ended_at)
                .bind((!told.is_empty()).then(|| told.join(" ")))
        )?;
        if ended > 0 && state == DeliveryState::Waiting {
            changing!(&mut tx, sqlx::query(REST_NOT_BEFORE).bind(id.to_string()).bind(next_at))?;
        }
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// A test: tried by whoever asks for it, and by nobody else meanwhile.
    pub(crate) async fn add_test_delivery(
        &self,
        destination: Uuid,
        (id, body): (Uuid, &str),
        node: &str,
        (now_ms, until_ms): (i64, i64),
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(id.to_string())
                .bind(destination.to_string())
                .bind(None::<String>)
                .bind(Event::Test.as_str())
                .bind(body)
                .bind(now_ms)
                .bind(Some(node))
                .bind(until_ms)
        )?;
        Ok(tx.commit().await?)
    }

    /// Newest first, older than `before`.
    pub(crate) async fn deliveries_page(
        &self,
        (state, destination): (Option<DeliveryState>, Option<Uuid>),
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, Error> {
        const PAGE: &str = select!(
            "WHERE ($1 = '' OR state = $1) AND ($2 = '' OR destination_id = $2) AND id < $3
            ORDER BY id DESC LIMIT $4"
        );
        let before = before.map_or_else(|| String::from("~"), |id| id.to_string());
        let destination = destination.map(|id| id.to_string()).unwrap_or_default();
        let raw = rows!(
            self,
            "alert_deliveries",
            sqlx::query(PAGE)
                .bind(state.map_or("", DeliveryState::as_str))
                .bind(destination.as_str())
                .bind(before.as_str())
                .bind(i64::from(limit))
        );
        Ok(readable(raw))
    }

    pub(crate) async fn delivery(&self, id: Uuid) -> Result<Option<DeliveryRow>, Error> {
        const ONE: &str = select!("WHERE id = $1");
        let raw = row!(self, "alert_deliveries", sqlx::query(ONE).bind(id.to_string()))?;
        raw.map(from_raw).transpose()
    }

    /// From the beginning; false where it is not dead.
    pub(crate) async fn send_again(&self, id: Uuid, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = changing!(&mut tx, sqlx::query(AGAIN).bind(id.to_string()).bind(now_ms))?;
        tx.commit().await?;
        Ok(done > 0)
    }

    pub(crate) async fn forget_deliveries(&self, ended_before: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FORGET).bind(ended_before))?;
        Ok(tx.commit().await?)
    }
}

/// Whether a destination wants to know of it is judged when it is told: what it is cannot be read
/// while the vault is sealed.
pub(super) async fn add_to_all(
    tx: &mut Tx,
    (alert, event): (Uuid, Event),
    body: &str,
    now_ms: i64,
) -> Result<(), Error> {
    let raw: Vec<Result<(String,), Unread>> =
        rows_within!(tx, "alert_destinations", sqlx::query(DESTINATIONS));
    for (destination,) in raw.into_iter().flatten() {
        changing!(
            tx,
            sqlx::query(INSERT)
                .bind(Uuid::now_v7().to_string())
                .bind(destination)
                .bind(Some(alert.to_string()))
                .bind(event.as_str())
                .bind(body)
                .bind(now_ms)
                .bind(None::<String>)
                .bind(0_i64)
        )?;
    }
    Ok(())
}

fn readable(raw: Vec<Result<RawDelivery, Unread>>) -> Vec<DeliveryRow> {
    raw.into_iter().filter_map(|raw| from_raw(raw.ok()?).ok()).collect()
}

fn from_raw(raw: RawDelivery) -> Result<DeliveryRow, Error> {
    let place = Place { table: "alert_deliveries", row: &raw.id };
    Ok(DeliveryRow {
        id: place.id("id", &raw.id)?,
        destination_id: place.id("destination_id", &raw.destination_id)?,
        alert_id: raw.alert_id.as_deref().map(|id| place.id("alert_id", id)).transpose()?,
        event: place.word("event", &raw.event, Event::parse)?,
        state: place.word("state", &raw.state, DeliveryState::parse)?,
        attempts: place.count("attempts", raw.attempts)?,
        next_at: raw.next_at,
        created_at: raw.created_at,
        ended_at: raw.ended_at,
        fault: raw.fault,
        told: raw.told.iter().flat_map(|told| told.split(' ')).map(str::to_owned).collect(),
        body: raw.body,
    })
}
