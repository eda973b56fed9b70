//! The tables `changes` and `change_revision`: what one node tells the others, in the transaction
//! that changes it. On SQLite there are no others, and nothing is told. Numbers that nodes cannot
//! have left are said to be so, and whoever tells next begins them anew. Must never number a change
//! before its transaction is the only one that numbers: a gap would be a change that nobody hears.

use std::time::Duration;

use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::dialect::{Pools, Tx, changing, reading, within};
use super::{Error, Store};
use crate::crypto;

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
pub(crate) enum Told {
    /// In order, the last one numbered so; none: nothing was.
    Changes { revision: i64, items: Vec<Changed> },
    /// More than is kept.
    TooMany { revision: i64 },
    /// What stands there no node has left: somebody edited it, and more may have been told than
    /// anybody hears. Where to go on, if that can be told.
    Impossible { revision: Option<i64>, fault: &'static str },
}

#[derive(sqlx::FromRow)]
struct RawTold {
    last: i64,
    revision: Option<i64>,
    kind: Option<String>,
    id: Option<String>,
}

/// Hears of changes at once, while its connection lasts.
pub(crate) struct Ear(PgListener);

const CHANNEL: &str = "sealgate_changes";
const KEPT: i64 = 10_000;
const AT_ONCE: i64 = 1_000;

/// No count of changes comes near this.
const MOST: i64 = 1 << 62;
/// Where numbers begin anew: at random, so that no node takes the first for the one it waits for.
const LEAST_ANEW: i64 = 1 << 40;

// The row is locked until the commit, so that numbers are in the order of the commits.
const NUMBER: &str = "UPDATE change_revision SET revision = revision + 1
    WHERE singleton = 1 AND revision >= 0 AND revision < $1 RETURNING revision";
// A statement of its own: it sees what was committed while the lock was waited for.
const TOLD: &str = "SELECT MAX(revision) FROM changes";
const ANEW: &str = "INSERT INTO change_revision (singleton, revision) VALUES (1, $1)
    ON CONFLICT (singleton) DO UPDATE SET revision = excluded.revision";
const FORGET: &str = "DELETE FROM changes";
const INSERT: &str = "INSERT INTO changes (revision, kind, id) VALUES ($1, $2, $3)";
const PRUNE: &str = "DELETE FROM changes WHERE revision <= $1";
const NOTIFY: &str = "SELECT pg_notify($1, '')";
const LAST: &str = "SELECT r.revision, (SELECT MAX(c.revision) FROM changes c)
    FROM change_revision r WHERE r.singleton = 1";
// One statement, so that number and rows are of one moment.
const AFTER: &str = "SELECT r.revision AS last, c.revision AS revision, c.kind AS kind, c.id AS id
    FROM change_revision r LEFT JOIN changes c ON c.revision > $1
    WHERE r.singleton = 1 ORDER BY c.revision LIMIT $2";

const GONE: &str = "is gone";
const BACK: &str = "was set back";
const AHEAD: &str = "says of changes that nobody told";
const STRANGE: &str = "does not fit the changes beside it";

impl Store {
    /// None where no other node can change anything.
    pub(crate) async fn listen(&self) -> Result<Option<Ear>, Error> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Ear(listener)))
    }

    /// Where whoever begins to listen goes on; what is wrong there, if anything is.
    pub(crate) async fn change_revision(&self) -> Result<Told, Error> {
        let found: Option<(i64, Option<i64>)> =
            reading!(self, db => sqlx::query_as(LAST).fetch_optional(db))?;
        let Some((revision, told)) = found else {
            return Ok(Told::Impossible { revision: None, fault: GONE });
        };
        if revision == told.unwrap_or(0) {
            return Ok(Told::Changes { revision, items: Vec::new() });
        }
        Ok(Told::Impossible { revision: Some(revision), fault: STRANGE })
    }

    /// What was told after that revision, the earliest first.
    pub(crate) async fn changes_after(&self, revision: i64) -> Result<Told, Error> {
        let raw: Vec<RawTold> = reading!(self, db => {
            sqlx::query_as(AFTER).bind(revision).bind(AT_ONCE).fetch_all(db)
        })?;
        Ok(judged(revision, &raw))
    }

    /// What nodes could not have left, as a sentence. Where there is no other node, nothing.
    pub(crate) async fn change_fault(&self) -> Result<Option<String>, Error> {
        if matches!(self.pools, Pools::Sqlite { .. }) {
            return Ok(None);
        }
        Ok(match self.change_revision().await? {
            Told::Changes { .. } | Told::TooMany { .. } => None,
            Told::Impossible { fault, .. } => Some(format!(
                "the number by which nodes tell each other of changes (table change_revision) {fault}: \
                 somebody edited it; every node reads all anew, and the next change of a client \
                 key, or `sealgate secret accept`, sets it right"
            )),
        })
    }

    /// Begins the numbers anew where they cannot be; every node reads all anew then.
    pub(crate) async fn mend_changes(&self) -> Result<(), Error> {
        if self.change_fault().await?.is_some() {
            let mut tx = self.begin().await?;
            tell(&mut tx, Changed::NewClientKeys).await?;
            tx.commit().await?;
        }
        Ok(())
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
    let revision = number(&mut *tx).await?;
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

/// The next one; where the last one cannot be, somewhere else, which every node notices.
async fn number(tx: &mut Tx) -> Result<i64, Error> {
    let next: Option<i64> =
        within!(&mut *tx, db => sqlx::query_scalar(NUMBER).bind(MOST).fetch_optional(db))?;
    let told: Option<i64> = within!(&mut *tx, db => sqlx::query_scalar(TOLD).fetch_one(db))?;
    if let Some(next) = next.filter(|next| next - 1 == told.unwrap_or(0)) {
        return Ok(next);
    }
    let random = crypto::random_bytes().map_err(|fault| Error::Failed { fault: fault.to_string() });
    let anew = LEAST_ANEW + i64::from(u32::from_be_bytes(random?)) * KEPT;
    tracing::error!(anew, "integrity: the numbers of changes cannot be, and are begun anew");
    changing!(&mut *tx, sqlx::query(ANEW).bind(anew))?;
    changing!(&mut *tx, sqlx::query(FORGET))?;
    Ok(anew)
}

fn judged(known: i64, raw: &[RawTold]) -> Told {
    let Some(last) = raw.first().map(|told| told.last) else {
        return Told::Impossible { revision: None, fault: GONE };
    };
    let impossible = |fault| Told::Impossible { revision: Some(last), fault };
    if last < known {
        return impossible(BACK);
    }
    let mut items = Vec::new();
    let mut revision = known;
    for told in raw {
        let Some(number) = told.revision else { break };
        if number != revision.saturating_add(1) {
            // Those before the first that is kept were thrown away, and nothing else is missing.
            let is_first_kept = revision == known && number == last.saturating_sub(KEPT - 1);
            return if is_first_kept {
                Told::TooMany { revision: last }
            } else {
                impossible(STRANGE)
            };
        }
        let Some(changed) = read(told) else { return impossible(STRANGE) };
        items.push(changed);
        revision = number;
    }
    let is_page_full = i64::try_from(items.len()).is_ok_and(|items| items >= AT_ONCE);
    match revision.cmp(&last) {
        std::cmp::Ordering::Equal => Told::Changes { revision, items },
        std::cmp::Ordering::Less if is_page_full => Told::Changes { revision, items },
        std::cmp::Ordering::Less => impossible(AHEAD),
        std::cmp::Ordering::Greater => impossible(STRANGE),
    }
}

/// None: it says of no change that there is.
fn read(told: &RawTold) -> Option<Changed> {
    let id = told.id.as_deref()?;
    match told.kind.as_deref()? {
        "client_key" => Uuid::try_parse(id).ok().map(Changed::ClientKey),
        "new_client_keys" => Some(Changed::NewClientKeys),
        "providers" => Some(Changed::Providers),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(last: i64, numbers: &[i64]) -> Vec<RawTold> {
        let row = |number: Option<i64>| RawTold {
            last,
            revision: number,
            kind: number.map(|_| String::from("providers")),
            id: number.map(|_| String::new()),
        };
        match numbers {
            [] => vec![row(None)],
            numbers => numbers.iter().map(|number| row(Some(*number))).collect(),
        }
    }

    #[test]
    fn numbers_that_no_node_has_left_are_seen() {
        let fine = |known, last, numbers: &[i64]| match judged(known, &told(last, numbers)) {
            Told::Changes { revision, items } => Some((revision, items.len())),
            Told::TooMany { .. } | Told::Impossible { .. } => None,
        };
        assert_eq!(fine(7, 7, &[]), Some((7, 0)));
        assert_eq!(fine(7, 9, &[8, 9]), Some((9, 2)));
        for (known, last, numbers) in [
            (7, 6, &[][..]),
            (7, 9, &[]),
            (7, 9, &[8]),
            (7, 9, &[9]),
            (7, 9, &[8, 10]),
            (7, 8, &[8, 9]),
            (7, 7, &[8]),
            (7, i64::MAX, &[]),
            (7, i64::MAX, &[i64::MAX]),
            (7, -1, &[]),
        ] {
            assert_eq!(fine(known, last, numbers), None, "{known} {last} {numbers:?}");
        }
        assert!(matches!(judged(7, &[]), Told::Impossible { revision: None, fault: GONE }));
        let away = judged(7, &told(20_000, &[10_001, 10_002]));
        assert!(matches!(away, Told::TooMany { revision: 20_000 }), "{away:?}");
        let mut unknown = told(8, &[8]);
        unknown[0].kind = Some(String::from("ghost"));
        assert!(matches!(judged(7, &unknown), Told::Impossible { .. }));
    }
}
