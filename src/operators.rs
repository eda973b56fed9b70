//! The console's operators: accounts apart from client keys, who is signed in, and how: a password
//! and a one-time code, both, always. Every look asks the database, so that what one node ended is
//! ended on all. While the vault is sealed nobody signs in; who was signed in on this node stays.
//! Must never tell a stranger whether there is somebody of a name.

mod accounts;
mod codes;
mod fault;
mod guesses;
mod passwords;
mod sessions;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use uuid::Uuid;

pub(crate) use self::accounts::{Invited, MOST_NAME, is_name};
use self::codes::Typed;
pub(crate) use self::fault::OperatorFault;
use self::guesses::{Guesses, network};
use self::passwords::Hashing;
pub(crate) use self::sessions::{Cookie, Signed};
use crate::clock::Clock;
use crate::crypto::{PasswordHash, sha256};
use crate::secret::SecretBytes;
use crate::store::{OperatorRow, SignedIn, Store};

/// How long sessions and invitations last.
#[derive(Clone, Debug)]
pub struct Settings {
    pub session_idle_seconds: u64,
    pub session_seconds: u64,
    pub invitation_seconds: u64,
}

/// How long after a code the dangerous things may be done.
pub(crate) const STEPPED_UP_MS: i64 = 300_000;
/// Wrong ones that cost nothing: a name's from one address, an address's, and of codes behind a
/// right password.
const FREE_OF_A_NAME: u32 = 5;
const FREE_OF_AN_ADDRESS: u32 = 50;
const FREE_CODES: u32 = 10;
/// How often to begin again when somebody else was faster.
const TRIES: u32 = 8;

pub(crate) struct Operators {
    store: Store,
    clock: Clock,
    settings: Settings,
    hashing: Hashing,
    names: Guesses<([u8; 32], Option<IpAddr>)>,
    addresses: Guesses<Option<IpAddr>>,
    codes: Guesses<Uuid>,
    /// What was found to fit while that could be judged, for when it cannot.
    known: Mutex<HashMap<[u8; 32], SignedIn>>,
}

/// From where somebody signs in, for people who look at sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whence {
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
}

/// What is typed to sign in.
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: SecretBytes,
    pub(crate) code: SecretBytes,
}

impl Operators {
    pub(crate) fn new(store: Store, clock: Clock, settings: Settings) -> Self {
        Self {
            store,
            clock,
            settings,
            hashing: Hashing::new(),
            names: Guesses::new(FREE_OF_A_NAME),
            addresses: Guesses::new(FREE_OF_AN_ADDRESS),
            codes: Guesses::new(FREE_CODES),
            known: Mutex::default(),
        }
    }

    /// A session for whoever knows name, password and code. What is wrong is told to the trail
    /// alone, and takes as long whatever it is.
    pub(crate) async fn sign_in(
        &self,
        typed: Credentials,
        from: &Whence,
    ) -> Result<Cookie, OperatorFault> {
        self.demand_open()?;
        let name = typed.name.trim().to_lowercase();
        let place = (sha256(name.as_bytes()), network(from.address));
        self.take_guess(&place)?;
        let row = self.by_name(&name).await?;
        let hash = row.as_ref().and_then(|row| row.password.as_deref());
        let hash = hash.and_then(PasswordHash::parse);
        // Hashed for nobody, too: that there is nobody of the name takes as long to find out.
        let is_right = self.hashing.is_of(hash, SecretBytes::copy_of(typed.password.expose()));
        let is_right = is_right.await?;
        let Some(row) = row else {
            return Err(OperatorFault::Wrong { who: None, what: "name" });
        };
        if !is_right {
            return Err(wrong(&row, "password"));
        }
        let code = Typed::of(&typed.code);
        let row = self.spend_code(row, &code, true).await?;
        let row = match hash.is_some_and(|hash| hash.is_outdated()) {
            true => self.strengthened(row, typed.password).await?,
            false => row,
        };
        self.names.forgive(&place);
        self.addresses.give_back(&place.1);
        self.new_session(&row, from, None).await
    }

    /// A new id for a session whose operator has just shown a code. Recovery codes are for those
    /// who have no other way in.
    pub(crate) async fn step_up(
        &self,
        signed: &Signed,
        code: &SecretBytes,
        from: &Whence,
    ) -> Result<Cookie, OperatorFault> {
        self.demand_open()?;
        let row = self.owner(signed).await?;
        let row = self.spend_code(row, &Typed::of(code), false).await?;
        self.new_session(&row, from, Some(signed)).await
    }

    /// Every other session of the operator ends, and this one goes on under another id.
    pub(crate) async fn change_password(
        &self,
        signed: &Signed,
        [old, new, code]: [SecretBytes; 3],
        from: &Whence,
    ) -> Result<Cookie, OperatorFault> {
        self.demand_open()?;
        let row = self.owner(signed).await?;
        passwords::demand(&new, [&row.name, row.email.as_deref().unwrap_or_default()])?;
        self.codes.take(row.id, self.clock.monotonic_ns()).map_err(too_soon)?;
        let hash = row.password.as_deref().and_then(PasswordHash::parse);
        if !self.hashing.is_of(hash, old).await? {
            return Err(wrong(&row, "password"));
        }
        self.codes.give_back(&row.id);
        let row = self.spend_code(row, &Typed::of(&code), false).await?;
        let password = Some(self.hashing.hash(new).await?);
        let row = self.changed(row.id, true, |row| row.password.clone_from(&password)).await?;
        self.new_session(&row, from, None).await
    }

    /// Ten new recovery codes; those before are none any more.
    pub(crate) async fn renew_recovery(
        &self,
        signed: &Signed,
        code: &SecretBytes,
    ) -> Result<Vec<SecretBytes>, OperatorFault> {
        self.demand_open()?;
        let row = self.owner(signed).await?;
        let row = self.spend_code(row, &Typed::of(code), false).await?;
        let recovery = codes::fresh_recovery(row.id)?;
        self.changed(row.id, false, |row| row.recovery.clone_from(&recovery.kept)).await?;
        Ok(recovery.shown)
    }

    /// Counts a guess before it is judged.
    fn take_guess(&self, place: &([u8; 32], Option<IpAddr>)) -> Result<(), OperatorFault> {
        let now_ns = self.clock.monotonic_ns();
        if let Some(wait) = self.addresses.wait(&place.1, now_ns) {
            return Err(too_soon(wait));
        }
        self.names.take(*place, now_ns).map_err(too_soon)?;
        self.addresses.take(place.1, now_ns).map_err(too_soon)
    }

    /// A row that somebody has edited is nobody's.
    async fn by_name(&self, name: &str) -> Result<Option<OperatorRow>, OperatorFault> {
        match self.store.operator_by_name(name).await {
            Err(fault @ crate::store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: an operator is refused");
                Ok(None)
            }
            read => Ok(read?),
        }
    }

    /// Uses a code up. Whoever comes here knows the password or has a session, so that no stranger
    /// can use up what is counted.
    async fn spend_code(
        &self,
        row: OperatorRow,
        code: &Typed,
        may_recover: bool,
    ) -> Result<OperatorRow, OperatorFault> {
        self.codes.take(row.id, self.clock.monotonic_ns()).map_err(too_soon)?;
        let mut row = row;
        for _ in 0..TRIES {
            let Some(spent) = self.without_code(&row, code, may_recover)? else {
                return Err(wrong(&row, "code"));
            };
            if self.store.update_operator(&spent, false).await? {
                self.codes.forgive(&spent.id);
                return self.reread(spent.id).await;
            }
            // Somebody was faster, perhaps with the same code.
            row = self.reread(row.id).await?;
        }
        Err(OperatorFault::Busy)
    }

    /// The row once this code is used; None where it is none.
    fn without_code(
        &self,
        row: &OperatorRow,
        code: &Typed,
        may_recover: bool,
    ) -> Result<Option<OperatorRow>, OperatorFault> {
        let Some(envelope) = &row.totp else { return Ok(None) };
        let secret = self.store.opened_codes(row.id, envelope)?;
        let mut spent = row.clone();
        if let Some(step) = code.step(&secret, self.clock.unix_ms(), row.totp_step) {
            spent.totp_step = step;
            return Ok(Some(spent));
        }
        let rest = code.recovers(row.id, &row.recovery).filter(|_| may_recover);
        Ok(rest.map(|rest| {
            spent.recovery = rest;
            spent
        }))
    }

    /// Hashed anew for what a guess should cost today.
    async fn strengthened(
        &self,
        row: OperatorRow,
        password: SecretBytes,
    ) -> Result<OperatorRow, OperatorFault> {
        let password = Some(self.hashing.hash(password).await?);
        self.changed(row.id, true, |row| row.password.clone_from(&password)).await
    }

    /// Reads, alters and writes, again where somebody else was faster.
    async fn changed(
        &self,
        id: Uuid,
        ends_sessions: bool,
        change: impl Fn(&mut OperatorRow),
    ) -> Result<OperatorRow, OperatorFault> {
        for _ in 0..TRIES {
            let mut row = self.reread(id).await?;
            change(&mut row);
            row.updated_at = self.clock.unix_ms();
            if self.store.update_operator(&row, ends_sessions).await? {
                return self.reread(id).await;
            }
        }
        Err(OperatorFault::Busy)
    }

    async fn reread(&self, id: Uuid) -> Result<OperatorRow, OperatorFault> {
        self.store.operator(id).await?.ok_or(OperatorFault::NotFound)
    }

    /// Whose session it is, as he is now.
    async fn owner(&self, signed: &Signed) -> Result<OperatorRow, OperatorFault> {
        self.store.operator(signed.operator_id()).await?.ok_or(OperatorFault::Ended)
    }

    fn demand_open(&self) -> Result<(), OperatorFault> {
        if self.store.judges_operators() { Ok(()) } else { Err(OperatorFault::Sealed) }
    }
}

fn wrong(row: &OperatorRow, what: &'static str) -> OperatorFault {
    OperatorFault::Wrong { who: Some((row.id, row.name.clone())), what }
}

fn too_soon(wait: Duration) -> OperatorFault {
    OperatorFault::TooSoon { wait }
}
