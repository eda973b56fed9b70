//! Sessions that an admin key makes: to invite the first operator where there is none, and to
//! unseal where nobody's code can be checked. Short, on this node alone, and good for nothing else.
//! Must never outlive its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::Errand;
use crate::client::{Client, Standing};
use crate::clock::Clock;
use crate::crypto::{CryptoError, sha256, token};
use crate::secret::SecretBytes;

#[derive(Default)]
pub(super) struct Errands(Mutex<HashMap<[u8; 32], Held>>);

struct Held {
    client: Arc<Client>,
    errand: Errand,
    ends_at: i64,
}

const LASTS_MS: i64 = 15 * 60_000;
const MOST: usize = 64;

impl Errands {
    /// None where too many were begun just now.
    pub(super) fn begin(
        &self,
        client: Arc<Client>,
        errand: Errand,
        clock: &Clock,
    ) -> Result<Option<(SecretBytes, i64)>, CryptoError> {
        let value = token::mint_word("")?;
        let now_ms = clock.unix_ms();
        let mut held = self.lock();
        held.retain(|_, one| now_ms < one.ends_at);
        if held.len() >= MOST {
            return Ok(None);
        }
        let ends_at = now_ms + LASTS_MS;
        held.insert(sha256(value.expose()), Held { client, errand, ends_at });
        Ok(Some((value, ends_at)))
    }

    pub(super) fn of(&self, value: &[u8], clock: &Clock) -> Option<(Arc<Client>, Errand)> {
        let held = self.lock();
        let one = held.get(&sha256(value))?;
        let stands = one.client.standing(clock) == Standing::Good;
        let is_good = stands && clock.unix_ms() < one.ends_at;
        is_good.then(|| (Arc::clone(&one.client), one.errand))
    }

    pub(super) fn ends_at(&self, value: &[u8]) -> Option<i64> {
        self.lock().get(&sha256(value)).map(|one| one.ends_at)
    }

    pub(super) fn end(&self, value: &[u8]) {
        self.lock().remove(&sha256(value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
