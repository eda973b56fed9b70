//! Secrets and their versions: added, selected, opened, destroyed. Opening demands a `Permit`; only
//! this room makes an `Opened`. In memory lie prepared envelopes and expanded keys, and for a short
//! time the values that calls are using. Nothing here answers with a value, whatever the role.

mod anchor;
mod basis;
mod candidate;
mod changes;
mod doubt;
mod fields;
mod hierarchy;
mod inventory;
mod jobs;
mod kek_faults;
mod keyring;
mod list_faults;
mod look;
mod masters;
mod metadata;
mod place;
mod proof;
mod registry;
mod rekey;
mod remains;
mod remaster;
mod rewrap;
mod rows;
mod selected;
mod signing;
mod snapshot;
mod standing;
mod stock;
mod trial;
mod twins;
mod verify;
mod versions;
mod view;
mod warden;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use uuid::Uuid;

pub(crate) use self::anchor::{Anchors, FILE as ANCHORS};
pub(crate) use self::candidate::Candidate;
pub(crate) use self::fields::faults;
pub(crate) use self::fields::{Fresh, Placed, PlacedValue};
pub(crate) use self::hierarchy::{Happening, KekView, Teller};
use self::keyring::Keyring;
pub(crate) use self::look::{Checked, Value, examine};
pub(crate) use self::masters::{explained, lost_master};
pub(crate) use self::place::Wanted;
pub(crate) use self::proof::{lift_lists, prove};
pub(crate) use self::registry::Off;
use self::registry::{Living, Registry};
pub(crate) use self::remains::Remains;
pub(crate) use self::remaster::named_masters;
pub(crate) use self::selected::{Dealt, Selected, Twice};
pub(crate) use self::signing::Published;
pub(crate) use self::snapshot::Opened;
use self::snapshot::Snapshot;
pub(crate) use self::standing::{NO_ADMIN, has_been_opened};
pub(crate) use self::trial::{PROOFS, Score, Tally};
pub(crate) use self::view::{NewSecret, SecretPatch, SecretView, VaultError, VersionView};
pub(crate) use self::warden::{Bell, Hooks, UnsealError, Warden};
use crate::catalogue::InForce;
use crate::clock::{Clock, Moment};
use crate::crypto::{self, label};
use crate::kms::{KmsError, Master, Masters, Place};
use crate::policy::Permit;
use crate::provider::Provider;
use crate::refusal::{Reason, Refusal};
pub(crate) use crate::store::{JobKind, JobRow, JobState};
use crate::store::{KekRow, RowKey, Store, StoredSecret, VersionState};

#[derive(Clone, Debug)]
pub struct Settings {
    pub kek_max_age_days: u32,
    /// How long an opened value serves further calls before it is wiped; none: each opens its own.
    pub keep_opened: Duration,
    /// The most that key material may take of memory that is never swapped out.
    pub locked_memory_bytes: usize,
}

/// How often kept values are looked through at most.
const SHORTEST_ROUND_NS: u64 = 1_000_000_000;

/// The house's secrets. One for all threads; what changes is swapped as a whole.
pub(crate) struct Vault {
    store: Store,
    clock: Clock,
    catalogue: InForce,
    installation: Uuid,
    keep_ns: u64,
    /// The newest inventories that this node has seen.
    anchors: Anchors,
    /// None while sealed.
    opened: ArcSwapOption<Unsealed>,
    /// How often the vault was unsealed; whoever prepared something for an earlier time publishes
    /// nothing any more.
    times_unsealed: Mutex<u64>,
    /// One change at a time: each reloads what the next one builds on.
    changing: tokio::sync::Mutex<()>,
    teller: OnceLock<Teller>,
    master_place: OnceLock<Place>,
    /// What was found of client keys at the last unsealing.
    of_clients: Mutex<Vec<String>>,
    /// They could not be looked at, and must be.
    unjudged: AtomicBool,
    /// There is a job to look after.
    wake: tokio::sync::Notify,
    /// The public halves of the signing keys, and until when they need not be looked up.
    published: ArcSwapOption<(u64, Arc<[Published]>)>,
    registry: Registry,
}

struct Unsealed {
    keyring: Keyring,
    snapshot: Snapshot,
    /// Which time it is that the vault is unsealed.
    time: u64,
    /// What did not open when it was prepared, in words for operators.
    findings: Vec<String>,
    /// The inventories that this was built from, to see when another node has changed something.
    marks: HashMap<String, i64>,
    /// Secrets whose rows were deleted by nobody that we know of, with their categories.
    missing: Vec<(Uuid, String)>,
    /// Versions that have a value.
    living: Living,
}

impl Vault {
    /// Sealed until `unseal`.
    pub(crate) fn sealed(
        store: Store,
        clock: Clock,
        catalogue: impl Into<InForce>,
        installation: Uuid,
    ) -> Self {
        Self {
            store,
            clock,
            catalogue: catalogue.into(),
            installation,
            keep_ns: 0,
            anchors: Anchors::none(installation),
            opened: ArcSwapOption::empty(),
            times_unsealed: Mutex::new(0),
            changing: tokio::sync::Mutex::new(()),
            teller: OnceLock::new(),
            master_place: OnceLock::new(),
            of_clients: Mutex::default(),
            unjudged: AtomicBool::new(false),
            wake: tokio::sync::Notify::new(),
            published: ArcSwapOption::empty(),
            registry: Registry::default(),
        }
    }

    /// For tests: open from the start.
    #[cfg(test)]
    pub(crate) async fn open_house(
        store: Store,
        clock: Clock,
        catalogue: impl Into<InForce>,
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<Self, VaultError> {
        let vault = Self::sealed(store, clock, catalogue, installation);
        vault.unseal(masters).await?;
        Ok(vault)
    }

    /// Unwraps the hierarchy under the master key and prepares every active version. A row that was
    /// tampered with does not keep the house from opening: its secret alone is closed.
    pub(crate) async fn unseal(&self, masters: Arc<Masters>) -> Result<(), VaultError> {
        let _changing = self.changing.lock().await;
        let time = *self.time() + 1;
        let keyring = Keyring::load(&self.store, masters, self.installation).await?;
        self.judge_providers(&keyring).await?;
        let prepared = self.prepared(keyring, time).await?;
        let mut latest = self.time();
        *latest = time;
        self.opened.store(Some(Arc::new(prepared)));
        Ok(())
    }

    /// Drops the hierarchy and everything that was prepared under it. What calls under way still
    /// hold of it is told by what comes back.
    pub(crate) fn seal(&self) -> Remains {
        let former = {
            let mut latest = self.time();
            *latest += 1;
            let former = self.opened.swap(None);
            // After the rest: whoever takes the key up at this moment looks once more.
            self.store.seal_rows_by(RowKey::Absent);
            self.catalogue.judge_nothing();
            self.store.measure_nothing();
            former
        };
        former.as_ref().map(Remains::of).unwrap_or_default()
    }

    /// Does whoever holds the master key still answer? Sealed, nobody is asked.
    pub(crate) async fn prove_master(&self) -> Result<(), KmsError> {
        let Some(unsealed) = self.opened.load_full() else { return Ok(()) };
        let masters = unsealed.keyring.masters();
        drop(unsealed);
        masters.active().prove(self.installation).await
    }

    /// Who is told what happens to keys without anybody having asked for it.
    pub(crate) fn tell_to(&self, teller: Teller) {
        if self.teller.set(teller).is_err() {
            tracing::error!("the vault was given two tellers; the first one is told");
        }
    }

    /// How long an opened value serves further calls; without this each call opens its own.
    #[must_use]
    pub(crate) fn keeping_opened(mut self, settings: &Settings) -> Self {
        self.keep_ns = u64::try_from(settings.keep_opened.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Where the newest inventories are kept that this node has seen; without this nowhere.
    #[must_use]
    pub(crate) fn anchored(mut self, folder: &std::path::Path) -> Self {
        self.anchors = Anchors::read(folder, self.installation);
        self
    }

    /// Does this node begin with a folder in which nothing ever was?
    pub(crate) fn is_new_here(&self) -> bool {
        self.anchors.are_new()
    }

    /// How many key-encryption keys are stored, and how many of them open under this master key.
    pub(crate) async fn prove(
        store: &Store,
        masters: Arc<Masters>,
        installation: Uuid,
    ) -> Result<(usize, usize), VaultError> {
        let stored = store.keks().await?.rows;
        let living = stored.iter().filter(|kek| !kek.is_gone()).count();
        let opened = Keyring::load(store, masters, installation).await?.len();
        Ok((living, opened))
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.opened.load().is_none()
    }

    /// Secrets that do not open although their rows are there: somebody changed them.
    pub(crate) fn findings(&self) -> Vec<String> {
        let unsealed = self.opened.load();
        let mut findings = unsealed.as_ref().map(|u| u.findings.clone()).unwrap_or_default();
        findings.extend(self.client_findings().iter().cloned());
        findings
    }

    fn client_findings(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.of_clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, for this call and those of the next moments; wiped when the last of them is over.
    pub(crate) fn open(
        &self,
        permit: &Permit,
        selected: &Selected,
        now: Moment,
    ) -> Result<Opened, Refusal> {
        let opened = selected.open(permit.provider(), now.monotonic_ns, self.keep_ns);
        opened.map_err(|fault| {
            tracing::error!(secret = %selected.secret_id(), %fault, "a selected version did not open");
            // Between a changed provider and the new judgement of its secrets.
            let detail = match selected.was_judged_for(permit.provider()) {
                true => snapshot::DAMAGED,
                false => snapshot::NEW_TARGET,
            };
            Refusal::new(Reason::NoSecret, detail)
        })
    }

    /// Wipes what was kept long enough and nobody asks for any more. For ever; spawned once.
    pub(crate) async fn tend(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_nanos(self.keep_ns.max(SHORTEST_ROUND_NS))).await;
            if let Some(unsealed) = self.opened.load().as_ref() {
                unsealed.snapshot.drop_stale(self.clock.monotonic_ns(), self.keep_ns);
            }
        }
    }

    /// From the row alone, with nothing prepared but the hierarchy.
    pub(crate) fn open_stored(&self, stored: &StoredSecret) -> Result<Option<Fresh>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let mut versions = stored.versions.iter();
        let active = versions.rfind(|version| version.state == VersionState::Active);
        let Some((version, envelope)) = active.and_then(|v| Some((v, v.envelope.as_ref()?))) else {
            return Ok(None);
        };
        let data_key = keyring.unwrap_data_key(&stored.secret)?;
        let sealed = (version.version, &version.destinations, envelope.as_slice());
        let prepared = fields::prepare(self.installation, &data_key, &stored.secret, sealed)?;
        Ok(Some(fields::open(&prepared)?))
    }

    /// A key-encryption key wrapped by another master key, for a backup.
    pub(crate) async fn wrap_for(
        &self,
        kek: &KekRow,
        master: &Master,
    ) -> Result<Vec<u8>, VaultError> {
        let unsealed = self.opened.load_full().ok_or(VaultError::Sealed)?;
        unsealed.keyring.wrap_for(kek, master).await
    }

    pub(crate) fn installation(&self) -> Uuid {
        self.installation
    }

    fn unsealed(&self) -> Result<Arc<Unsealed>, VaultError> {
        self.opened.load_full().ok_or(VaultError::Sealed)
    }

    /// The catalogue has changed: what was judged by the former one is judged anew.
    pub(crate) async fn judge_anew(&self) -> Result<(), VaultError> {
        let changing = self.changing.lock().await;
        self.reload_locked(&changing).await
    }

    async fn reload_locked(
        &self,
        _changing: &tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<(), VaultError> {
        let Some(unsealed) = self.opened.load_full() else { return Ok(()) };
        let (keyring, time) = (unsealed.keyring.share(), unsealed.time);
        let mut known = unsealed.findings.clone();
        // Told when it was found.
        known.extend(self.anchors.doubts());
        drop(unsealed);
        let prepared = self.prepared(keyring, time).await?;
        for finding in prepared.findings.iter().filter(|finding| !known.contains(finding)) {
            self.tell(Happening::Integrity(finding.clone()));
        }
        let latest = self.time();
        // Sealed meanwhile, it stays sealed.
        if *latest == time {
            let prepared = Arc::new(prepared);
            self.opened.store(Some(Arc::clone(&prepared)));
            self.registry.settle(&prepared.living);
        }
        Ok(())
    }

    async fn prepared(&self, keyring: Keyring, time: u64) -> Result<Unsealed, VaultError> {
        for (id, wraps) in self.anchors.wraps() {
            self.store.has_wrapped(id, wraps);
        }
        keyring.refresh(&self.store).await?;
        let stock = self.take_stock(&keyring).await?;
        self.place_all().await?;
        let rows = &stock.loaded.rows;
        let now = self.catalogue.now();
        let snapshot = Snapshot::prepare(&keyring, &now, (&stock, rows), &self.registry);
        let mut findings: Vec<String> =
            stock.loaded.contradictions.iter().map(ToString::to_string).collect();
        findings.extend(keyring.findings());
        findings.extend(snapshot.findings());
        findings.extend(stock.findings.iter().cloned());
        findings.extend(self.catalogue.faults());
        findings.extend(self.store.strangers().await?);
        let (marks, missing, living) = (stock.marks(), stock.missing(), stock.living());
        Ok(Unsealed { keyring, snapshot, time, findings, marks, missing, living })
    }

    fn time(&self) -> std::sync::MutexGuard<'_, u64> {
        self.times_unsealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, happening: Happening) {
        if let Some(teller) = self.teller.get() {
            teller(happening);
        }
    }
}

#[cfg(test)]
mod tests;
