//! Who tries a delivery of `alert_deliveries` at the moment: claimed before the try, given back
//! with what came of it. A claim ends by no clock: who has one that does not move may lose it.
//! Must never give one delivery to two.

use uuid::Uuid;

use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// A claim as it stands: it moves with each try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryClaim {
    pub(crate) delivery: Uuid,
    pub(crate) node: String,
    pub(crate) attempts: i64,
}

// Nodes of the release before judge by the time, which is therefore still written.
const CLAIM: &str = "UPDATE alert_deliveries
    SET claimed_by = $2, claimed_until = $3, attempts = attempts + 1
    WHERE id = $1 AND state = 'waiting' AND claimed_by IS NULL";
// What does not wait has none.
pub(super) const CLAIMS: &str =
    "SELECT id, claimed_by, attempts FROM alert_deliveries WHERE claimed_by IS NOT NULL";
const FREE: &str = "UPDATE alert_deliveries SET claimed_by = NULL, claimed_until = 0
    WHERE id = $1 AND claimed_by = $2 AND attempts = $3 AND state = 'waiting'";
const FREE_OF: &str = "UPDATE alert_deliveries SET claimed_by = NULL, claimed_until = 0
    WHERE claimed_by = $1 AND state = 'waiting'";

impl Store {
    /// False where another one has it.
    pub(crate) async fn claim_delivery(
        &self,
        id: Uuid,
        node: &str,
        until_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let claimed =
            changing!(&mut tx, sqlx::query(CLAIM).bind(id.to_string()).bind(node).bind(until_ms))?;
        tx.commit().await?;
        Ok(claimed > 0)
    }

    pub(crate) async fn delivery_claims(&self) -> Result<Vec<DeliveryClaim>, Error> {
        type Row = (String, String, i64);
        let raw: Vec<Result<Row, Unread>> = rows!(self, "alert_deliveries", sqlx::query(CLAIMS));
        let read = |raw: Result<Row, Unread>| {
            let (id, node, attempts) = raw.ok()?;
            Some(DeliveryClaim { delivery: Uuid::try_parse(&id).ok()?, node, attempts })
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// Unless it has moved.
    pub(crate) async fn free_claim(&self, claim: &DeliveryClaim) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let freed = changing!(
            &mut tx,
            sqlx::query(FREE)
                .bind(claim.delivery.to_string())
                .bind(claim.node.as_str())
                .bind(claim.attempts)
        )?;
        tx.commit().await?;
        Ok(freed > 0)
    }

    /// All of a node that has begun anew: whoever had them is gone.
    pub(crate) async fn free_claims_of(&self, node: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FREE_OF).bind(node))?;
        Ok(tx.commit().await?)
    }
}
