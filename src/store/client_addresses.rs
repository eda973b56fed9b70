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
// From where a key called that is older than what is known of it, shows within a week: until then
// another address of it is nothing new.
const NEW: &str = "SELECT client_id, address, first_seen FROM (
        SELECT a.client_id, a.address, a.first_seen, k.created_at,
            (SELECT MIN(b.first_seen) FROM client_addresses b WHERE b.client_id = a.client_id)
                AS since
        FROM client_addresses a JOIN client_keys k ON k.id = a.client_id
        WHERE a.first_seen > $1) n
    WHERE first_seen > since AND (since <= created_at + $2 OR first_seen > since + $3)
    ORDER BY first_seen, client_id, address";
// The last one stays, however long it is not used: who calls from elsewhere then is somebody new.
const FORGET: &str = "DELETE FROM client_addresses
    WHERE client_id NOT IN (SELECT id FROM client_keys) OR (last_seen < $1 AND EXISTS (
        SELECT 1 FROM client_addresses b WHERE b.client_id = client_addresses.client_id
        AND (b.last_seen > client_addresses.last_seen OR (b.last_seen = client_addresses.last_seen
            AND b.address > client_addresses.address))))";
const SINCE: &str = "SELECT client_id, address FROM client_addresses WHERE last_seen >= $1
    ORDER BY client_id, address";
const A_DAY_MS: i64 = 86_400_000;
/// So long after it was made, a key that has not called yet has called from somewhere.
const FRESH_MS: i64 = A_DAY_MS;
const LEARNT_MS: i64 = 7 * A_DAY_MS;

impl Store {
    /// Those from which a client key called first after this moment, though it had called from
    /// elsewhere before; oldest first.
    pub(crate) async fn new_addresses(
        &self,
        after: i64,
    ) -> Result<Vec<(Uuid, String, i64)>, Error> {
        type Row = (String, String, i64);
        let raw: Vec<Result<Row, Unread>> = rows!(
            self,
            "client_addresses",
            sqlx::query(NEW).bind(after).bind(FRESH_MS).bind(LEARNT_MS)
        );
        let read = |raw: Result<Row, Unread>| {
            let (id, address, at) = raw.ok()?;
            Some((Uuid::try_parse(&id).ok()?, address, at))
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// From where each client key has called since.
    pub(crate) async fn addresses_since(&self, since: i64) -> Result<Vec<(Uuid, String)>, Error> {
        let raw: Vec<Result<(String, String), Unread>> =
            rows!(self, "client_addresses", sqlx::query(SINCE).bind(since));
        let read = |(id, address): (String, String)| Some((Uuid::try_parse(&id).ok()?, address));
        Ok(raw.into_iter().flatten().filter_map(read).collect())
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
