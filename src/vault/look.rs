//! The truth about the rows as they stand in the database now: what a house that opened this moment
//! would serve, and what it would refuse and why. For lists, validation and `doctor`; changes
//! nothing. Must never call a row well that a start would close.

use std::sync::Arc;

use uuid::Uuid;

use super::anchor::Anchors;
use super::kek_faults::{in_capitals, misdated};
use super::keyring::Keyring;
use super::masters::lost_master;
use super::registry::Registry;
use super::rows::{judge_providers, row_key};
use super::signing::signing_faults;
use super::snapshot::Snapshot;
use super::standing::NO_ADMIN;
use super::stock::Stock;
use super::view::SecretView;
use super::{Vault, VaultError};
use crate::catalogue::InForce;
use crate::kms::Masters;
use crate::provider::Catalogue;
use crate::store::{Store, StoredSecret};

/// What a secret's rows are worth.
pub(crate) struct Checked {
    /// The rows are as Sealgate left them.
    pub(crate) untouched: bool,
    pub(crate) value: Value,
    pub(crate) active: bool,
    /// Why no call is served with it.
    pub(crate) fault: Option<&'static str>,
}

pub(crate) enum Value {
    /// No version is in service.
    None,
    DoesNotOpen,
    Opens,
}

/// What does not hold together in a house that is not running; one line each, with its remedy.
pub(crate) async fn examine(
    store: &Store,
    masters: Arc<Masters>,
    (catalogue, anchors): (&InForce, &Anchors),
    installation: Uuid,
) -> Result<Vec<String>, VaultError> {
    let lacking = store.lacking().await?;
    if !lacking.is_empty() {
        return Ok(lacking);
    }
    for (id, wraps) in anchors.wraps() {
        store.has_wrapped(id, wraps);
    }
    let keyring = Keyring::load(store, masters, installation).await?;
    keyring.refresh(store).await?;
    judge_providers((store, &keyring), catalogue, anchors).await?;
    findings(store, &keyring, catalogue, anchors).await
}

impl Vault {
    /// The same, of the house that runs; sealed, nothing can be told.
    pub(crate) async fn examine(&self) -> Result<Vec<String>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        let lacking = self.store.lacking().await?;
        if !lacking.is_empty() {
            return Ok(lacking);
        }
        keyring.refresh(&self.store).await?;
        let mut found = findings(&self.store, &keyring, &self.catalogue, &self.anchors).await?;
        // What is in memory opens though its row does so no more: the next start would find it.
        let (masters, installation) = (keyring.masters(), keyring.installation());
        if let Ok(anew) = Keyring::load(&self.store, masters, installation).await
            && anew.refresh(&self.store).await.is_ok()
        {
            let unknown = anew.findings().into_iter().filter(|line| !found.contains(line));
            found.extend(unknown.collect::<Vec<_>>());
        }
        Ok(found)
    }

    /// Rows of which a cell holds what it cannot, for the start to tell.
    pub(crate) async fn spoilt(&self) -> Result<Vec<String>, VaultError> {
        Ok(self.store.unreadable_cells().await?)
    }

    pub(crate) async fn list(&self) -> Result<Vec<SecretView>, VaultError> {
        let Some(unsealed) = self.opened.load_full() else {
            return Ok(self.store.secrets().await?.rows.iter().map(SecretView::of).collect());
        };
        let keyring = unsealed.keyring.share();
        drop(unsealed);
        let stock = Stock::look(&self.store, &keyring, &self.anchors).await?;
        let snapshot = prepared(&keyring, &self.catalogue.now(), &stock, &stock.loaded.rows);
        let view = |stored: &StoredSecret| SecretView {
            fault: snapshot.fault(stored.secret.id),
            ..SecretView::of(stored)
        };
        Ok(stock.loaded.rows.iter().map(view).collect())
    }

    pub(crate) async fn show(&self, id: Uuid) -> Result<Option<SecretView>, VaultError> {
        // A row that contradicts the model says so here, and is in no list.
        let Some(stored) = self.stored(id).await? else { return Ok(None) };
        if self.is_sealed() {
            return Ok(Some(SecretView::of(&stored)));
        }
        let keyring = self.unsealed()?.keyring.share();
        let stock = Stock::look(&self.store, &keyring, &self.anchors).await?;
        let mut rows = stock.loaded.rows.iter();
        let Some(stored) = rows.find(|stored| stored.secret.id == id) else { return Ok(None) };
        let snapshot =
            prepared(&keyring, &self.catalogue.now(), &stock, std::slice::from_ref(stored));
        Ok(Some(SecretView { fault: snapshot.fault(id), ..SecretView::of(stored) }))
    }

    /// Checks a stored secret as it lies in the database: judges its rows, opens its value, wipes
    /// it.
    pub(crate) async fn check_stored(&self, id: Uuid) -> Result<Option<Checked>, VaultError> {
        let keyring = self.unsealed()?.keyring.share();
        // One that cannot be read is in no list, and is not unknown.
        self.stored(id).await?;
        let stock = Stock::look(&self.store, &keyring, &self.anchors).await?;
        let mut rows = stock.loaded.rows.iter();
        let Some(stored) = rows.find(|stored| stored.secret.id == id) else { return Ok(None) };
        let snapshot =
            prepared(&keyring, &self.catalogue.now(), &stock, std::slice::from_ref(stored));
        let value = match self.open_stored(stored) {
            Ok(None) => Value::None,
            Ok(Some(_)) => Value::Opens,
            Err(VaultError::Crypto(_)) => Value::DoesNotOpen,
            Err(fault) => return Err(fault),
        };
        Ok(Some(Checked {
            untouched: stock.judge(stored),
            value,
            active: stored.secret.active,
            fault: snapshot.fault(id),
        }))
    }
}

async fn findings(
    store: &Store,
    keyring: &Keyring,
    catalogue: &InForce,
    anchors: &Anchors,
) -> Result<Vec<String>, VaultError> {
    let stock = Stock::look(store, keyring, anchors).await?;
    let snapshot = prepared(keyring, &catalogue.now(), &stock, &stock.loaded.rows);
    let mut findings = keyring.findings();
    findings.extend(stock.loaded.contradictions.iter().map(ToString::to_string));
    findings.extend(stock.findings.iter().cloned());
    findings.extend(stock.lost_lists());
    findings.extend(snapshot.findings());
    findings.extend(snapshot.elsewhere());
    if let Some(key) = row_key(store, keyring, anchors).await? {
        findings.extend(store.unfit_client_keys(&key).await?);
        findings.extend(store.unfit_operators(&key).await.unwrap_or_else(|fault| {
            vec![format!("operators cannot be judged, so that nobody signs in: {fault}")]
        }));
        findings.extend(store.unfit_destinations(&key).await.unwrap_or_else(|fault| {
            vec![format!("destinations of alerts cannot be judged: {fault}")]
        }));
        if store.count_active_admins().await? == 0 {
            findings.push(NO_ADMIN.to_owned());
        }
    }
    findings.extend(catalogue.look().await?);
    findings.extend(store.change_fault().await?);
    findings.extend(store.turn_faults().await?);
    findings.extend(store.impossible_months().await?);
    findings.extend(store.strangers().await?);
    findings.extend(store.unreadable_cells().await?);
    findings.extend(store.symbol_faults().await?);
    findings.extend(store.run_faults().await?);
    let keks = store.keks().await?.rows;
    let living = keks.iter().filter(|kek| !kek.is_gone());
    findings.extend(living.filter(|kek| kek.is_misdated()).map(misdated));
    findings.extend(store.capital_keks().await?.iter().map(in_capitals));
    findings.extend(signing_faults(store, keyring, anchors).await?);
    findings.extend(lost_master(store, anchors).await?.map(|fault| fault.to_string()));
    match store.running_job().await {
        Ok(_) => {}
        Err(fault @ crate::store::Error::Contradiction { .. }) => {
            findings.push(format!("{fault} Or end it with `sealgate kek cancel`."));
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(findings)
}

fn prepared(
    keyring: &Keyring,
    catalogue: &Catalogue,
    stock: &Stock,
    rows: &[StoredSecret],
) -> Snapshot {
    // Nobody is served by it.
    Snapshot::prepare(keyring, catalogue, (stock, rows), &Registry::default())
}
