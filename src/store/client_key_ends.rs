//! When client keys end: which do so soon, and which warning was given last. Every warning is
//! claimed before it is given, so that of several nodes one gives it. Must never warn of a key that
//! is revoked.

use uuid::Uuid;

use super::columns::Place;
use super::dialect::{changing, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// A client key whose end is near, or past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndingKey {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) owner: Option<String>,
    pub(crate) expires_at: i64,
    /// How many days before the end the last warning was; 0 once it has ended.
    pub(crate) warned: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawEnding {
    id: String,
    name: String,
    owner: Option<String>,
    expires_at: i64,
    expiry_warned: Option<i64>,
}

const ENDING: &str = "SELECT id, name, owner, expires_at, expiry_warned FROM client_keys
    WHERE expires_at IS NOT NULL AND (expiry_warned IS NULL OR expiry_warned > 0)
    AND expires_at <= $1 AND active = 1 ORDER BY expires_at";
const ENDS: &str = "SELECT expires_at, id FROM client_keys
    WHERE expires_at IS NOT NULL AND expires_at >= $1 AND expires_at <= $2 AND active = 1";
const CLAIM: &str = "UPDATE client_keys SET expiry_warned = $1
    WHERE id = $2 AND expires_at = $3 AND (expiry_warned IS NULL OR expiry_warned > $1)";

impl Store {
    /// The active client keys that end until then, soonest first, without those that were put away.
    pub(crate) async fn ending_client_keys(&self, until_ms: i64) -> Result<Vec<EndingKey>, Error> {
        let raw = rows!(self, "client_keys", sqlx::query(ENDING).bind(until_ms));
        // One that cannot be read is no credential, and is named as that.
        let read = |raw: Result<RawEnding, Unread>| from_raw(raw.ok()?).ok();
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// When the client keys end that do so in this time.
    pub(crate) async fn client_key_ends(
        &self,
        from_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<(i64, Uuid)>, Error> {
        let raw: Vec<Result<(i64, String), Unread>> =
            rows!(self, "client_keys", sqlx::query(ENDS).bind(from_ms).bind(until_ms));
        // One without an id is in nobody's hands.
        let end = |(at, id): (i64, String)| Some((at, Uuid::parse_str(&id).ok()?));
        Ok(raw.into_iter().flatten().filter_map(end).collect())
    }

    /// True for the one who is to give this warning.
    pub(crate) async fn claim_client_key_warning(
        &self,
        key: &EndingKey,
        days: i64,
    ) -> Result<bool, Error> {
        let id = key.id.to_string();
        let mut tx = self.begin().await?;
        let claimed = changing!(
            &mut tx,
            sqlx::query(CLAIM).bind(days).bind(id.as_str()).bind(key.expires_at)
        )?;
        tx.commit().await?;
        Ok(claimed > 0)
    }
}

fn from_raw(raw: RawEnding) -> Result<EndingKey, Error> {
    let place = Place { table: "client_keys", row: &raw.id };
    Ok(EndingKey {
        id: place.id("id", &raw.id)?,
        name: raw.name,
        owner: raw.owner,
        expires_at: raw.expires_at,
        warned: raw.expiry_warned,
    })
}
