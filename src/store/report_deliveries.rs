//! Reports in the table `alert_deliveries`: on their way like anything that a destination is told,
//! and of no alert.
//! Must never be put there twice under one id.

use uuid::Uuid;

use super::alert_deliveries::Event;
use super::dialect::changing;
use super::{Error, Store};

const INSERT_ONCE: &str =
    "INSERT INTO alert_deliveries (id, destination_id, alert_id, event, state,
    body, attempts, next_at, claimed_by, claimed_until, created_at)
    VALUES ($1, $2, NULL, $3, 'waiting', $4, 0, $5, NULL, 0, $5) ON CONFLICT (id) DO NOTHING";

impl Store {
    /// A report on its way; under this id once, however often it is handed over.
    pub(crate) async fn add_report_delivery(
        &self,
        destination: Uuid,
        (id, body): (Uuid, &str),
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(INSERT_ONCE)
                .bind(id.to_string())
                .bind(destination.to_string())
                .bind(Event::Report.as_str())
                .bind(body)
                .bind(now_ms)
        )?;
        Ok(tx.commit().await?)
    }
}
