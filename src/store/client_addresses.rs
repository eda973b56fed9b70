//! The table `client_addresses`: from where each client key has called, and since when.
//! Filled with the records of those calls.
//! Must never take an address for known before a call came from it.

use std::net::IpAddr;

use uuid::Uuid;

use super::dialect::{Tx, changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// A client key called from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CalledFrom {
    pub(crate) client_id: Uuid,
    pub(crate) address: IpAddr,
    pub(crate) at: i64,
}

const SEE: &str = "INSERT INTO client_addresses (client_id, address, first_seen, last_seen)
    VALUES ($1, $2, $3, $3)
    ON CONFLICT (client_id, address) DO UPDATE SET last_seen = excluded.last_seen";
const NEW: &str = "SELECT a.client_id, a.address, a.first_seen FROM client_addresses a
    WHERE a.first_seen > $1 AND EXISTS (SELECT 1 FROM client_addresses b
        WHERE b.client_id = a.client_id AND b.first_seen < a.first_seen)
    ORDER BY a.first_seen";
const FORGET: &str = "DELETE FROM client_addresses
    WHERE last_seen < $1 OR client_id NOT IN (SELECT id FROM client_keys)";

impl Store {
    /// Those from which a client key called first after this moment, though it had called from
    /// elsewhere before; oldest first.
    pub(crate) async fn new_addresses(
        &self,
        after: i64,
    ) -> Result<Vec<(Uuid, String, i64)>, Error> {
        type Row = (String, String, i64);
        let raw: Vec<Result<Row, Unread>> =
            rows!(self, "client_addresses", sqlx::query(NEW).bind(after));
        let read = |raw: Result<Row, Unread>| {
            let (id, address, at) = raw.ok()?;
            Some((Uuid::try_parse(&id).ok()?, address, at))
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// What was not used since, and what is of client keys that are gone.
    pub(crate) async fn forget_addresses(&self, unused_since: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(FORGET).bind(unused_since))?;
        Ok(tx.commit().await?)
    }
}

pub(super) async fn see(tx: &mut Tx, seen: &[CalledFrom]) -> Result<(), Error> {
    for one in seen {
        changing!(
            tx,
            sqlx::query(SEE)
                .bind(one.client_id.to_string())
                .bind(one.address.to_string())
                .bind(one.at)
        )?;
    }
    Ok(())
}
