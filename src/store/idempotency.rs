//! The table `idempotency`: which repeatable call is running or was answered, and with
//! what. Must never let two identical calls both run, and never hold a key or token in an
//! answer. An answer that is kept is bound to its call by a keyed hash, where the key is at hand:
//! what somebody has edited is answered to nobody.

use super::client_key_seals::RowKey;
use super::columns::Place;
use super::dialect::{changing, row_within};
use super::{Error, Store};
use crate::crypto::{Aad, hmac_sha256, label};
use crate::secret::{self, Key};

/// A claim that was never finished nor released belongs to a process that died. No call of the
/// admin face takes nearly as long, so the next one may run.
const ABANDONED_AFTER_MS: i64 = 10 * 60 * 1000;

/// Whose call it is, to what, under which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotentCall<'a> {
    pub(crate) actor: &'a str,
    pub(crate) route: &'a str,
    pub(crate) key: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is yours: run it, then `finish_idempotent` or `release_idempotent`.
    New,
    /// The same call is running at this moment.
    Running,
    /// It was answered. Another digest means another body under the same key.
    Done { body_digest: [u8; 32], status: u16, answer: String },
    /// It was answered, and somebody has edited what was kept.
    Edited,
}

#[derive(sqlx::FromRow)]
struct RawClaim {
    body_digest: Vec<u8>,
    status: Option<i64>,
    answer: Option<String>,
    created_at: i64,
}

/// Between the seal and what it seals.
const PARTED: char = ' ';
const INSERT: &str = "INSERT INTO idempotency
    (actor, route, idempotency_key, body_digest, status, answer, created_at)
    VALUES ($1, $2, $3, $4, NULL, NULL, $5)
    ON CONFLICT (actor, route, idempotency_key) DO NOTHING";
const SELECT: &str = "SELECT body_digest, status, answer, created_at FROM idempotency
    WHERE actor = $1 AND route = $2 AND idempotency_key = $3";
const TAKE_OVER: &str = "UPDATE idempotency SET body_digest = $4, created_at = $5
    WHERE actor = $1 AND route = $2 AND idempotency_key = $3 AND status IS NULL
    AND created_at = $6";
const FINISH: &str = "UPDATE idempotency SET status = $4, answer = $5
    WHERE actor = $1 AND route = $2 AND idempotency_key = $3";
const RELEASE: &str = "DELETE FROM idempotency
    WHERE actor = $1 AND route = $2 AND idempotency_key = $3 AND status IS NULL";
const PRUNE: &str = "DELETE FROM idempotency WHERE created_at < $1";

impl Store {
    /// Of several identical calls at once, exactly one gets `Claim::New`.
    pub(crate) async fn claim_idempotent(
        &self,
        call: IdempotentCall<'_>,
        body_digest: &[u8; 32],
    ) -> Result<Claim, Error> {
        let now_ms = self.clock.unix_ms();
        let digest = body_digest.as_slice();
        let mut tx = self.begin().await?;
        let inserted = changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(call.actor)
                .bind(call.route)
                .bind(call.key)
                .bind(digest)
                .bind(now_ms)
        )?;
        if inserted > 0 {
            tx.commit().await?;
            return Ok(Claim::New);
        }
        let raw: Option<RawClaim> = match row_within!(
            &mut tx,
            "idempotency",
            sqlx::query(SELECT).bind(call.actor).bind(call.route).bind(call.key)
        ) {
            Err(Error::Contradiction { .. }) => return Ok(Claim::Edited),
            read => read?,
        };
        // Released between the two statements: whoever asks again will get it.
        let Some(raw) = raw else { return Ok(Claim::Running) };
        if raw.status.is_some() {
            return Ok(done(&self.row_key(), call, raw).unwrap_or(Claim::Edited));
        }
        if now_ms.saturating_sub(raw.created_at) < ABANDONED_AFTER_MS {
            return Ok(Claim::Running);
        }
        let taken = changing!(
            &mut tx,
            sqlx::query(TAKE_OVER)
                .bind(call.actor)
                .bind(call.route)
                .bind(call.key)
                .bind(digest)
                .bind(now_ms)
                .bind(raw.created_at)
        )?;
        tx.commit().await?;
        Ok(if taken > 0 { Claim::New } else { Claim::Running })
    }

    /// Keeps the answer for repeats. It must be without the key or token that was shown once.
    pub(crate) async fn finish_idempotent(
        &self,
        call: IdempotentCall<'_>,
        status: u16,
        answer: &str,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        const DIGEST: &str = "SELECT body_digest FROM idempotency
            WHERE actor = $1 AND route = $2 AND idempotency_key = $3";
        let digest: Option<(Vec<u8>,)> = row_within!(
            &mut tx,
            "idempotency",
            sqlx::query(DIGEST).bind(call.actor).bind(call.route).bind(call.key)
        )?;
        let digest = digest.map(|(digest,)| digest);
        let answer = match (&*self.row_key(), digest) {
            (RowKey::Here(key), Some(digest)) => {
                let seal = sealed(key, call, (&digest, i64::from(status), answer));
                format!("{seal}{PARTED}{answer}")
            }
            (RowKey::Here(_) | RowKey::Absent | RowKey::Lost, _) => answer.to_owned(),
        };
        changing!(
            &mut tx,
            sqlx::query(FINISH)
                .bind(call.actor)
                .bind(call.route)
                .bind(call.key)
                .bind(i64::from(status))
                .bind(answer.as_str())
        )?;
        Ok(tx.commit().await?)
    }

    /// The call failed: it may be tried again. An answer that was kept stays.
    pub(crate) async fn release_idempotent(&self, call: IdempotentCall<'_>) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(&mut tx, sqlx::query(RELEASE).bind(call.actor).bind(call.route).bind(call.key))?;
        Ok(tx.commit().await?)
    }

    /// Forgets the calls that were claimed before a time; yields how many.
    pub(crate) async fn prune_idempotent(&self, older_than: i64) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let pruned = changing!(&mut tx, sqlx::query(PRUNE).bind(older_than))?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// In hexadecimal, before the answer.
fn sealed(key: &Key, call: IdempotentCall<'_>, kept: (&[u8], i64, &str)) -> String {
    let (digest, status, answer) = kept;
    let said = Aad::new("idempotency")
        .with(call.actor.as_bytes())
        .with(call.route.as_bytes())
        .with(call.key.as_bytes())
        .with(digest)
        .with(&status.to_be_bytes())
        .with(answer.as_bytes());
    let seal = hmac_sha256(key, &[label::KEPT_ANSWER, said.as_bytes()]);
    seal.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn done(key: &RowKey, call: IdempotentCall<'_>, raw: RawClaim) -> Result<Claim, Error> {
    let row = format!("{} {} {}", call.actor, call.route, call.key);
    let place = Place { table: "idempotency", row: &row };
    let status = raw.status.unwrap_or_default();
    let Some(answer) = raw.answer else {
        return Err(place.contradiction("answer", "is missing"));
    };
    let answer = match key {
        RowKey::Here(key) => {
            let (seal, answer) = answer.split_once(PARTED).unwrap_or_default();
            let made = sealed(key, call, (&raw.body_digest, status, answer));
            if !secret::same(seal.as_bytes(), made.as_bytes()) {
                return Err(place.contradiction("answer", "was edited"));
            }
            answer.to_owned()
        }
        RowKey::Absent => answer,
        RowKey::Lost => return Err(place.contradiction("answer", "cannot be judged")),
    };
    Ok(Claim::Done {
        body_digest: place.digest("body_digest", &raw.body_digest)?,
        status: place.small("status", status)?,
        answer,
    })
}
