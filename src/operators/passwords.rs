//! Passwords: what may be one, and where they are hashed: on threads of their own, a few at a time
//! and a short queue behind them, so that guessing can starve nobody but other guessers.
//! Must never hash on a thread that serves calls, and never keep a password.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::OperatorFault;
use crate::crypto::{self, CryptoError, PasswordHash};
use crate::kms::demand_strength;
use crate::secret::SecretBytes;

/// Each takes 64 MiB while it lasts.
const AT_ONCE: usize = 2;
/// Whoever comes when so many wait is sent away.
const MOST_WAITING: usize = 32;
const LONGEST: usize = 1024;
const SHORTEST: usize = 12;
/// Of a name that is shorter than this a password may well hold the letters.
const TELLING: usize = 4;

pub(super) struct Hashing {
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self { seats: Arc::new(Semaphore::new(AT_ONCE)), waiting: AtomicUsize::new(0) }
    }

    pub(super) async fn hash(&self, password: SecretBytes) -> Result<String, OperatorFault> {
        self.apart(move || crypto::hash_password(&password)).await
    }

    /// Takes as long whoever it is, and whatever is wrong.
    pub(super) async fn is_of(
        &self,
        hash: Option<PasswordHash>,
        password: SecretBytes,
    ) -> Result<bool, OperatorFault> {
        let hash = hash.unwrap_or(PasswordHash::OF_NOBODY);
        self.apart(move || hash.is_of(&password)).await
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CryptoError> + Send + 'static,
    ) -> Result<T, OperatorFault> {
        let seat = self.seat().await?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work, not by whoever waits for it: he may have left.
            let _seat = seat;
            work()
        });
        Ok(done.await.map_err(|_| CryptoError::Malformed)??)
    }

    async fn seat(&self) -> Result<OwnedSemaphorePermit, OperatorFault> {
        let _waits = Waits::begin(&self.waiting)?;
        Arc::clone(&self.seats).acquire_owned().await.map_err(|_| OperatorFault::Busy)
    }
}

/// One in the queue, until it has a seat or has left.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Self, OperatorFault> {
        let waits = Self(waiting);
        match waits.0.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            true => Ok(waits),
            false => Err(OperatorFault::Busy),
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Long enough, and nothing that is tried first. No rule says which characters it must have.
pub(super) fn demand(password: &SecretBytes, names: [&str; 2]) -> Result<(), OperatorFault> {
    let weak = |what: &'static str| Err(OperatorFault::Weak(what));
    let Some(text) = password.expose_str() else { return weak("is no text") };
    if text.chars().count() < SHORTEST {
        return weak("has fewer than 12 characters; take several words");
    }
    if password.len() > LONGEST {
        return weak("has more than 1024 bytes");
    }
    let text = text.to_lowercase();
    let holds = |name: &str| {
        let name = name.split('@').next().unwrap_or_default().to_lowercase();
        name.len() >= TELLING && text.contains(&name)
    };
    if names.into_iter().any(holds) {
        return weak("holds the name or the address of who signs in with it");
    }
    if text.contains("sealgate") {
        return weak("holds the name of this program");
    }
    if demand_strength(password).is_err() {
        return weak("is among the first that are tried; take several words");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(password: &str) -> Option<&'static str> {
        let names = ["adalovelace", "ada@ex.org"];
        let judged = demand(&SecretBytes::copy_of(password.as_bytes()), names);
        if let Err(OperatorFault::Weak(what)) = judged { Some(what) } else { None }
    }

    #[test]
    fn a_password_is_long_and_none_of_those_that_are_tried_first() {
        for good in
            ["a long walk home", "correct horse battery", "пароль подлиннее", "xK2;vP9?qL5!"]
        {
            assert_eq!(verdict(good), None, "{good}");
        }
        for (bad, why) in [
            ("short", "fewer than 12"),
            ("elevenchars", "fewer than 12"),
            ("i am AdaLovelace!", "holds the name"),
            ("Sealgate-2026!", "this program"),
            ("passwordpassword", "first that are tried"),
            ("123456789012", "first that are tried"),
            ("qwertyuiop12", "first that are tried"),
        ] {
            assert!(
                verdict(bad).is_some_and(|what| what.contains(why)),
                "{bad}: {:?}",
                verdict(bad)
            );
        }
        assert!(verdict(&"long ".repeat(300)).is_some());
    }

    #[tokio::test]
    async fn whoever_comes_when_many_wait_is_sent_away_and_leaving_makes_room() {
        let hashing = Hashing::new();
        let held = Arc::clone(&hashing.seats).acquire_many_owned(2).await.unwrap();
        hashing.waiting.store(MOST_WAITING, Ordering::Relaxed);
        assert!(matches!(hashing.seat().await, Err(OperatorFault::Busy)));
        assert_eq!(hashing.waiting.load(Ordering::Relaxed), MOST_WAITING);
        hashing.waiting.store(0, Ordering::Relaxed);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), hashing.seat());
        assert!(waits.await.is_err());
        assert_eq!(hashing.waiting.load(Ordering::Relaxed), 0);
        drop(held);
        assert!(hashing.seat().await.is_ok());
    }
}
