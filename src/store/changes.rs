//! The tables `changes` and `change_revision`: what one node tells the others, in the transaction
//! that changes it. On SQLite there are no others, and nothing is told. Must never number a change
//! before its transaction is the only one that numbers: a gap would be a change that nobody hears.

use std::time::Duration;

use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::columns::Place;
use super::dialect::{Pools, Tx, changing, reading, within};
use super::{Error, Store};

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    ClientKey(Uuid),
    /// Keys that nobody can know yet: new ones, or those of an older system.
    NewClientKeys,
    /// What operators laid over the catalogue; read again as a whole.
    Providers,
}

/// What was told after a revision.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The last one of these.
    pub(crate) revision: i64,
    pub(crate) items: Vec<Changed>,
    /// Some are no longer kept.
    pub(crate) has_gap: bool,
}

/// Hears of changes at once, while its connection lasts.
pub(crate) struct Ear(PgListener);

const CHANNEL: &str = "sealgate_changes";
const KEPT: i64 = 10_000;
const AT_ONCE: i64 = 1_000;

// The row is locked until the commit, so that numbers are in the order of the commits.
const NUMBER: &str = "UPDATE change_revision SET revision = revision + 1
    WHERE singleton = 1 RETURNING revision";
const INSERT: &str = "INSERT INTO changes (revision, kind, id) VALUES ($1, $2, $3)";
const PRUNE: &str = "DELETE FROM changes WHERE revision <= $1";
const NOTIFY: &str = "SELECT pg_notify($1, '')";
const LAST: &str = "SELECT revision FROM change_revision WHERE singleton = 1";
const AFTER: &str = "SELECT revision, kind, id FROM changes WHERE revision > $1
    ORDER BY revision LIMIT $2";

impl Store {
    /// None where no other node can change anything.
    pub(crate) async fn listen(&self) -> Result<Option<Ear>, Error> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Ear(listener)))
    }

    pub(crate) async fn change_revision(&self) -> Result<i64, Error> {
        Ok(reading!(self, db => sqlx::query_scalar(LAST).fetch_one(db))?)
    }

    /// What was told after that revision, the earliest first.
    pub(crate) async fn changes_after(&self, revision: i64) -> Result<Changes, Error> {
        let raw: Vec<(i64, String, String)> = reading!(self, db => {
            sqlx::query_as(AFTER).bind(revision).bind(AT_ONCE).fetch_all(db)
        })?;
        let first = raw.first().map(|(first, _, _)| *first);
        let has_gap = first.is_some_and(|first| first != revision.saturating_add(1));
        let last = raw.last().map_or(revision, |(last, _, _)| *last);
        let items = raw.into_iter().map(|(revision, kind, id)| read(revision, &kind, &id));
        Ok(Changes { revision: last, items: items.collect::<Result<_, _>>()?, has_gap })
    }
}

impl Ear {
    /// Until something is told, or the time is over: then whoever waits looks for himself.
    pub(crate) async fn wait(&mut self, most: Duration) {
        // A connection that is lost is made anew by the next look.
        let _heard = tokio::time::timeout(most, self.0.recv()).await;
    }
}

/// To be called last in a transaction: from here to its commit no other one numbers.
pub(super) async fn tell(tx: &mut Tx, changed: Changed) -> Result<(), Error> {
    if matches!(tx, Tx::Sqlite(_)) {
        return Ok(());
    }
    let revision: i64 = within!(&mut *tx, db => sqlx::query_scalar(NUMBER).fetch_one(db))?;
    let (kind, id) = match changed {
        Changed::ClientKey(id) => ("client_key", id.to_string()),
        Changed::NewClientKeys => ("new_client_keys", String::new()),
        Changed::Providers => ("providers", String::new()),
    };
    changing!(&mut *tx, sqlx::query(INSERT).bind(revision).bind(kind).bind(id.as_str()))?;
    changing!(&mut *tx, sqlx::query(PRUNE).bind(revision - KEPT))?;
    changing!(&mut *tx, sqlx::query(NOTIFY).bind(CHANNEL))?;
    Ok(())
}

fn read(revision: i64, kind: &str, id: &str) -> Result<Changed, Error> {
    let row = revision.to_string();
    let place = Place { table: "changes", row: &row };
    match kind {
        "client_key" => Ok(Changed::ClientKey(place.id("id", id)?)),
        "new_client_keys" => Ok(Changed::NewClientKeys),
        "providers" => Ok(Changed::Providers),
        _ => Err(place.contradiction("kind", "is no kind of change")),
    }
}
