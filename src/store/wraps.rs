//! How often a key-encryption key has wrapped: the columns `wraps` and `wraps_seal` of the table
//! `keks`. Sealed by the key itself, and never below what this node has seen: an edited count is
//! told, and wraps nothing more. Must never seal a count anew that was sealed before.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use super::dialect::{Tx, changing, row_within};
use super::lenient::Cell;
use super::{Error, KekRow, Store};
use crate::crypto::{hmac_sha256, label};
use crate::secret::{self, Key};

/// No key-encryption key wraps more than this.
pub(crate) const MOST_WRAPS: u64 = 1 << 31;

/// By what counts are judged; shared by all who hold the store.
#[derive(Clone, Default)]
pub(super) struct Meters(Arc<RwLock<HashMap<Uuid, Meter>>>);

/// A wrap that is counted once its transaction is committed.
#[must_use]
pub(super) struct Wrapped(Option<(Uuid, u64)>);

#[derive(Clone, Default)]
struct Meter {
    key: Option<Arc<Key>>,
    /// The highest count that was seen under a seal.
    least: Option<u64>,
}

// Whoever else counts waits here, on either database.
const HOLD: &str = "UPDATE keks SET wraps = wraps WHERE id = $1 AND state = 'active'";
const READ: &str = "SELECT wraps, wraps_seal FROM keks WHERE id = $1";
const WRITE: &str = "UPDATE keks SET wraps = $1, wraps_seal = $2 WHERE id = $3";
const SEAL: &str =
    "UPDATE keks SET wraps_seal = $1 WHERE id = $2 AND wraps = $3 AND wraps_seal IS NULL";

impl Store {
    /// From now on this key's count is sealed and judged by it.
    pub(crate) fn measure(&self, id: Uuid, key: &Key) {
        let key = Key::copy_of(&hmac_sha256(key, &[label::KEK_WRAPS]));
        self.meters(|meters| meters.entry(id).or_default().key = Some(Arc::new(key)));
    }

    /// It had wrapped this often.
    pub(crate) fn has_wrapped(&self, id: Uuid, wraps: u64) {
        self.meters(|meters| {
            let least = &mut meters.entry(id).or_default().least;
            *least = (*least).max(Some(wraps));
        });
    }

    /// What stands is meant, though more was seen.
    pub(crate) fn forget_wraps(&self) {
        self.meters(|meters| meters.values_mut().for_each(|meter| meter.least = None));
    }

    /// The keys go with all others.
    pub(crate) fn measure_nothing(&self) {
        self.meters(HashMap::clear);
    }

    /// `Error::Miscounted` if the count is not as it was left; without its key nothing is told.
    pub(crate) fn judge_wraps(&self, kek: &KekRow) -> Result<(), Error> {
        judge(&self.meter(kek.id), kek.id, (kek.wraps, kek.wraps_seal.as_deref()))
    }

    /// The seal of a count; None where the key is not at hand.
    pub(crate) fn wraps_seal(&self, id: Uuid, wraps: i64) -> Option<Vec<u8>> {
        Some(made(self.meter(id).key.as_deref()?, id, wraps).to_vec())
    }

    /// A count from before there were seals.
    pub(crate) async fn seal_wraps(&self, kek: &KekRow) -> Result<(), Error> {
        let Some(seal) = self.wraps_seal(kek.id, kek.wraps) else { return Ok(()) };
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(SEAL).bind(seal.as_slice()).bind(kek.id.to_string()).bind(kek.wraps)
        )?;
        Ok(tx.commit().await?)
    }

    /// `Error::Stale` if the key is not active any more, `Error::Worn` if it has wrapped enough.
    /// The count goes with the commit.
    pub(super) async fn count_wrap_in(&self, tx: &mut Tx, kek_id: Uuid) -> Result<Wrapped, Error> {
        let id = kek_id.to_string();
        if changing!(tx, sqlx::query(HOLD).bind(id.as_str()))? == 0 {
            return Err(Error::Stale);
        }
        let row = row_within!(&mut *tx, "keks", sqlx::query(READ).bind(id.as_str()))?;
        let (wraps, seal): (Cell<i64>, Cell<Option<Vec<u8>>>) = row.ok_or(Error::Stale)?;
        let (wraps, seal) = (wraps.or(-1), seal.or(Some(Vec::new())));
        let meter = self.meter(kek_id);
        judge(&meter, kek_id, (wraps, seal.as_deref()))?;
        if meter.key.is_none() && seal.as_ref().is_some_and(|seal| !seal.is_empty()) {
            // The vault was sealed meanwhile: nobody here can seal a count.
            return Err(Error::Stale);
        }
        if u64::try_from(wraps).is_ok_and(|wraps| wraps >= MOST_WRAPS) {
            return Err(Error::Worn);
        }
        let wraps = wraps.saturating_add(1);
        let seal = meter.key.as_deref().map(|key| made(key, kek_id, wraps).to_vec()).or(seal);
        changing!(tx, sqlx::query(WRITE).bind(wraps).bind(seal).bind(id))?;
        let is_sealed = meter.key.is_some();
        Ok(Wrapped(u64::try_from(wraps).ok().filter(|_| is_sealed).map(|wraps| (kek_id, wraps))))
    }

    /// From here on the count has been this high, whatever somebody makes of its row.
    pub(super) async fn commit_counted(&self, tx: Tx, wrapped: Wrapped) -> Result<(), Error> {
        tx.commit().await?;
        if let Some((id, wraps)) = wrapped.0 {
            self.has_wrapped(id, wraps);
        }
        Ok(())
    }

    /// The same for a list, which must be sealed whatever has become of the count. `Error::Stale`
    /// if the key itself is gone.
    pub(super) async fn count_list_in(&self, tx: &mut Tx, kek_id: Uuid) -> Result<Wrapped, Error> {
        match self.count_wrap_in(tx, kek_id).await {
            Err(Error::Stale | Error::Worn | Error::Miscounted { .. }) => {
                // Nobody destroys it meanwhile; what another node has destroyed before opens for
                // nobody who comes later.
                hold_any(tx, kek_id).await?;
                if is_gone(tx, kek_id).await? { Err(Error::Stale) } else { Ok(Wrapped(None)) }
            }
            outcome => outcome,
        }
    }

    fn meter(&self, id: Uuid) -> Meter {
        let meters = self.meters.0.read().unwrap_or_else(PoisonError::into_inner);
        meters.get(&id).cloned().unwrap_or_default()
    }

    fn meters(&self, change: impl FnOnce(&mut HashMap<Uuid, Meter>)) {
        change(&mut self.meters.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    #[cfg(test)]
    pub(crate) async fn count_wrap(&self, kek_id: Uuid) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let wrapped = self.count_wrap_in(&mut tx, kek_id).await?;
        self.commit_counted(tx, wrapped).await
    }
}

/// Keeps the key's row as it is until the transaction ends, whatever its state.
pub(super) async fn hold_any(tx: &mut Tx, kek_id: Uuid) -> Result<(), Error> {
    const HOLD_ANY: &str = "UPDATE keks SET wraps = wraps WHERE id = $1";
    changing!(tx, sqlx::query(HOLD_ANY).bind(kek_id.to_string()))?;
    Ok(())
}

/// Its row stands, and the key itself was overwritten.
async fn is_gone(tx: &mut Tx, kek_id: Uuid) -> Result<bool, Error> {
    const GONE: &str = "UPDATE keks SET wraps = wraps WHERE id = $1 AND length(wrapped) = 0";
    Ok(changing!(tx, sqlx::query(GONE).bind(kek_id.to_string()))? > 0)
}

fn judge(meter: &Meter, id: Uuid, (wraps, seal): (i64, Option<&[u8]>)) -> Result<(), Error> {
    let miscounted = |fault| Err(Error::Miscounted { kek: id.to_string(), fault });
    let Some(key) = &meter.key else { return Ok(()) };
    let Ok(counted) = u64::try_from(wraps) else { return miscounted("is below zero") };
    match (seal, meter.least) {
        (None, None) => Ok(()),
        (None, Some(_)) => miscounted("has lost its seal"),
        (Some(seal), _) if !secret::same(seal, &made(key, id, wraps)) => {
            miscounted("does not fit its seal")
        }
        (Some(_), Some(least)) if counted < least => miscounted("was put back"),
        (Some(_), _) => Ok(()),
    }
}

fn made(key: &Key, id: Uuid, wraps: i64) -> [u8; 32] {
    hmac_sha256(key, &[label::KEK_WRAPS, id.as_bytes(), &wraps.to_be_bytes()])
}
