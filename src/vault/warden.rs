//! Who seals and unseals the vault: an administrator, the passphrase, or the absence of whoever
//! holds the master key. Guesses of a passphrase are slowed down. Must never unseal by itself what
//! an administrator sealed, and never say more to outsiders than which part is not ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::{Vault, VaultError};
use crate::clock::Clock;
use crate::kms::{self, KmsError, Masters, Settings};
use crate::secret::SecretBytes;
use crate::store::{JobRow, Store};

/// Whoever cuts calls answers when they are gone: true if all are.
pub(crate) type Cut = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// What the house does when the vault is sealed or unsealed.
pub(crate) struct Hooks {
    /// Ends every call under way.
    pub(crate) cut: Cut,
    /// Puts what happened into the trail.
    pub(crate) ring: Box<dyn Fn(Bell) + Send + Sync>,
}

/// What the trail and the figures are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bell {
    /// The house started sealed because it waits for somebody who types, as it always does.
    Waits(String),
    /// The house started sealed, or sealed itself; with the reason.
    Sealed(String),
    /// The same, because somebody has changed the row of the master key.
    Broken(String),
    /// By itself, because the holder of the master key is back; or by an administrator.
    Unsealed { by_itself: bool },
}

pub(crate) struct Warden {
    vault: Arc<Vault>,
    settings: Settings,
    store: Store,
    clock: Clock,
    installation: Uuid,
    hooks: Hooks,
    standing: Mutex<Standing>,
    /// One at a time seals or unseals; holds what is known of guesses.
    turn: tokio::sync::Mutex<Guesses>,
}

enum Standing {
    Open {
        /// When the holder of the master key last answered.
        proved_ns: u64,
    },
    Sealed(Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Starting,
    ByAdmin,
    Passphrase,
    /// The holder of the master key does not answer, or refuses.
    Master,
    /// The row of the master key is not as it was left.
    Lost,
}

#[derive(Default)]
struct Guesses {
    failed: u32,
    not_before_ns: u64,
}

#[derive(Debug)]
pub(crate) enum UnsealError {
    /// Too soon after a wrong passphrase.
    TooSoon {
        wait: Duration,
    },
    Vault(VaultError),
}

/// How long calls and changes under way may take to let go of what they hold.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_WAIT_SECONDS: u64 = 64;
/// How often the holder of the master key is asked at least.
const PROVE_EVERY: Duration = Duration::from_secs(300);
/// How often the clock is looked at; also the first pause between two tries.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Warden {
    pub(crate) fn new(
        vault: Arc<Vault>,
        settings: Settings,
        (store, clock, installation): (Store, Clock, Uuid),
        hooks: Hooks,
    ) -> Self {
        Self {
            vault,
            settings,
            store,
            clock,
            installation,
            hooks,
            standing: Mutex::new(Standing::Sealed(Why::Starting)),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The first unsealing. What can be waited for leaves the house sealed; anything else is an
    /// error, because a house with another master key must not start.
    pub(crate) async fn start(&self) -> Result<(), VaultError> {
        let _turn = self.turn.lock().await;
        let Err(fault) = self.open(None).await else { return Ok(()) };
        let fault = self.vault.explained(fault).await;
        let VaultError::Kms(kms) = &fault else { return Err(fault) };
        if !kms.is_awaited() {
            return Err(fault);
        }
        let told = fault.to_string();
        tracing::warn!(name: "vault.starts_sealed", %fault, "the vault starts sealed");
        let (why, bell) = if matches!(kms, KmsError::NeedsPassphrase) {
            (Why::Passphrase, Bell::Waits(told))
        } else if matches!(kms, KmsError::LostRow { .. }) {
            (Why::Lost, Bell::Broken(told))
        } else {
            (Why::Master, Bell::Sealed(told))
        };
        *self.standing() = Standing::Sealed(why);
        (self.hooks.ring)(bell);
        Ok(())
    }

    /// Why the vault is not open, for outsiders.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match *self.standing() {
            Standing::Open { .. } => None,
            Standing::Sealed(why) => Some(match why {
                Why::Starting => "The vault is not open yet.",
                Why::ByAdmin => "The vault is sealed: an administrator sealed it.",
                Why::Passphrase => "The vault is sealed: it waits for its passphrase.",
                Why::Master => {
                    "The vault is sealed: the holder of the master key does not answer, or refuses; \
                     the log says why."
                }
                Why::Lost => {
                    "The vault is sealed: the row of its master key is not as it was left; \
                     `sealgate doctor` says what to do."
                }
            }),
        }
    }

    /// True if it was sealed before.
    pub(crate) async fn unseal(&self, typed: Option<SecretBytes>) -> Result<bool, UnsealError> {
        let mut guesses = self.turn.lock().await;
        if !self.vault.is_sealed() {
            return Ok(false);
        }
        guesses.allow(typed.as_ref(), self.clock.monotonic_ns())?;
        let typed_one = typed.is_some();
        match self.open(typed).await {
            Ok(()) => {
                *guesses = Guesses::default();
                tracing::info!(name: "vault.unsealed", "the vault is unsealed");
                (self.hooks.ring)(Bell::Unsealed { by_itself: false });
                Ok(true)
            }
            Err(fault) => {
                guesses.judge(typed_one, &fault, self.clock.monotonic_ns());
                Err(UnsealError::Vault(self.vault.explained(fault).await))
            }
        }
    }

    /// Begins the move to another master key. A passphrase that is given for it is a guess like
    /// any other: here too a wrong one makes the next one wait.
    pub(crate) async fn rotate_master(
        &self,
        by: &str,
        typed: Option<SecretBytes>,
    ) -> Result<JobRow, UnsealError> {
        let mut guesses = self.turn.lock().await;
        guesses.allow(typed.as_ref(), self.clock.monotonic_ns())?;
        let typed_one = typed.is_some();
        self.vault.rotate_master(by, typed).await.map_err(|fault| {
            guesses.judge(typed_one, &fault, self.clock.monotonic_ns());
            UnsealError::Vault(fault)
        })
    }

    /// Ends every call under way, then drops every key. True if it was open before; an error if
    /// something still holds a key after a while: it is sealed all the same.
    pub(crate) async fn seal(&self) -> Result<bool, StillHeld> {
        let _turn = self.turn.lock().await;
        let was_open = !self.vault.is_sealed();
        self.close(Why::ByAdmin).await.map(|()| was_open)
    }

    /// Watches over the holder of the master key, for as long as the house stands.
    pub(crate) async fn keep(self: Arc<Self>) {
        let Some(cache) = self.settings.cache() else { return };
        let prove_every = (cache / 4).clamp(LOOK_EVERY, PROVE_EVERY);
        let (mut pause, mut asked_ns) = (LOOK_EVERY, self.clock.monotonic_ns());
        loop {
            tokio::time::sleep(pause).await;
            let now_ns = self.clock.monotonic_ns();
            let (is_waiting, proved_ns) = match *self.standing() {
                Standing::Open { proved_ns } => (false, proved_ns),
                Standing::Sealed(Why::Master) => (true, 0),
                Standing::Sealed(Why::Starting | Why::ByAdmin | Why::Passphrase | Why::Lost) => {
                    continue;
                }
            };
            if is_waiting {
                pause = if self.try_again().await { LOOK_EVERY } else { longer(pause) };
                asked_ns = self.clock.monotonic_ns();
            } else if elapsed(asked_ns, now_ns) >= prove_every {
                pause = LOOK_EVERY;
                asked_ns = now_ns;
                self.prove(proved_ns, cache).await;
            }
        }
    }

    async fn try_again(&self) -> bool {
        let _turn = self.turn.lock().await;
        if !matches!(*self.standing(), Standing::Sealed(Why::Master)) {
            return true;
        }
        match self.open(None).await {
            Ok(()) => {
                tracing::info!(name: "vault.unsealed", "the master key is back: the vault is unsealed");
                (self.hooks.ring)(Bell::Unsealed { by_itself: true });
                true
            }
            Err(fault) => {
                tracing::warn!(name: "vault.stays_sealed", %fault, "the vault stays sealed");
                false
            }
        }
    }

    async fn prove(&self, proved_ns: u64, cache: Duration) {
        let proved = self.vault.prove_master().await;
        let _turn = self.turn.lock().await;
        // Sealed meanwhile by somebody else.
        if !matches!(*self.standing(), Standing::Open { .. }) {
            return;
        }
        let now_ns = self.clock.monotonic_ns();
        let Err(fault) = proved else {
            *self.standing() = Standing::Open { proved_ns: now_ns };
            return;
        };
        let left = cache.saturating_sub(elapsed(proved_ns, now_ns));
        if !left.is_zero() {
            tracing::warn!(name: "vault.master_away", %fault, sealed_in_seconds = left.as_secs(),
                "the holder of the master key is away; unwrapped keys live on for now");
            return;
        }
        tracing::error!(name: "vault.sealed", %fault,
            "the holder of the master key was away for too long: the vault is sealed");
        if self.close(Why::Master).await.is_err() {
            tracing::error!("calls that were cut still hold keys");
        }
        (self.hooks.ring)(Bell::Sealed(fault.to_string()));
    }

    async fn open(&self, typed: Option<SecretBytes>) -> Result<(), VaultError> {
        let ground =
            kms::Ground { store: &self.store, clock: &self.clock, installation: self.installation };
        let masters = match self.vault.master_place() {
            Some(place) => kms::gather(place, &ground, typed).await?,
            None => Masters::of(kms::open(&self.settings, &ground, typed).await?),
        };
        self.vault.unseal(Arc::new(masters)).await?;
        if let Err(fault) = self.vault.note_master_rows().await {
            // Open and said to be sealed is neither: nobody would seal it, or prove its master key.
            let why = self.why();
            if self.close(why).await.is_err() {
                tracing::error!("calls that were cut still hold keys");
            }
            return Err(fault);
        }
        self.vault.judge_client_keys().await;
        *self.standing() = Standing::Open { proved_ns: self.clock.monotonic_ns() };
        Ok(())
    }

    async fn close(&self, why: Why) -> Result<(), StillHeld> {
        *self.standing() = Standing::Sealed(why);
        // First the keys, so that no new call gets one; then the calls that had one.
        let remains = self.vault.seal();
        let are_cut = (self.hooks.cut)().await;
        if are_cut && remains.gone(GONE_WITHIN).await { Ok(()) } else { Err(StillHeld) }
    }

    /// Why it was sealed until now.
    fn why(&self) -> Why {
        match *self.standing() {
            Standing::Open { .. } => Why::Starting,
            Standing::Sealed(why) => why,
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The vault is sealed, but a call or a change did not let go of its key in time.
#[derive(Debug)]
pub(crate) struct StillHeld;

impl std::fmt::Display for StillHeld {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the vault is sealed, but something under way still holds a key of it")
    }
}

impl Guesses {
    fn allow(&self, typed: Option<&SecretBytes>, now_ns: u64) -> Result<(), UnsealError> {
        match self.not_before_ns.checked_sub(now_ns) {
            Some(wait_ns) if wait_ns > 0 && typed.is_some() => {
                Err(UnsealError::TooSoon { wait: Duration::from_nanos(wait_ns) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What was typed and opened nothing was a guess, whatever else is wrong with the rows.
    fn judge(&mut self, typed_one: bool, fault: &VaultError, now_ns: u64) {
        let is_wrong = matches!(fault, VaultError::Kms(KmsError::WrongPassphrase))
            || typed_one && matches!(fault, VaultError::Kms(KmsError::Crypto(_)));
        if is_wrong {
            self.miss(now_ns);
            tracing::warn!(name: "vault.wrong_passphrase", failed = self.failed,
                "a passphrase that opens nothing");
        }
    }

    /// One second after the first, twice as long after each further one.
    fn miss(&mut self, now_ns: u64) {
        let seconds = 1_u64.checked_shl(self.failed).unwrap_or(u64::MAX).min(LONGEST_WAIT_SECONDS);
        self.failed = self.failed.saturating_add(1);
        self.not_before_ns = now_ns.saturating_add(seconds.saturating_mul(1_000_000_000));
    }
}

fn elapsed(since_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(since_ns))
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}
