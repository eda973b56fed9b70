//! Taking stock: every secret of the house beside the sealed inventories of its categories, read so
//! that both belong to the same moment. What differs becomes a finding; the others are served.
//! Must never call a change that another node has just made a finding.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::inventory::{Inventory, Verdict};
use super::keyring::Keyring;
use super::{Happening, Vault, VaultError};
use crate::store::{InventoryRow, Loaded, StoredSecret};

/// What stands, and what should.
pub(super) struct Stock {
    pub(super) loaded: Loaded<StoredSecret>,
    pub(super) findings: Vec<String>,
    inventories: HashMap<String, Inventory>,
    rows: Vec<InventoryRow>,
}

/// How often to read again while other nodes are busy changing secrets.
const LOOKS: u32 = 5;

impl Vault {
    pub(super) async fn take_stock(&self, keyring: &Keyring) -> Result<Stock, VaultError> {
        let mut looks = 0;
        let (loaded, rows, moved) = loop {
            looks += 1;
            let before = self.store.inventories().await?.rows;
            let loaded = self.store.secrets().await?;
            let after = self.store.inventories().await?.rows;
            let moved: Vec<String> = after
                .iter()
                .filter(|row| !before.contains(row))
                .map(|row| row.category.clone())
                .collect();
            if moved.is_empty() || looks == LOOKS {
                break (loaded, after, moved);
            }
        };
        let mut stock =
            Stock { loaded, findings: Vec::new(), inventories: HashMap::new(), rows: Vec::new() };
        for row in rows {
            // One that moves all the time is judged when it rests.
            if !moved.contains(&row.category) {
                match Inventory::open(keyring, &row) {
                    Ok(inventory) => {
                        stock.inventories.insert(row.category.clone(), inventory);
                    }
                    Err(fault) => {
                        let anew =
                            self.begin_anew(keyring, &stock.loaded, (&row.category, Some(&row)));
                        let what = format!("does not open ({fault})");
                        stock.adopt(&row.category, &what, anew.await?);
                    }
                }
            }
            stock.rows.push(row);
        }
        self.look_for_lost_lists(keyring, &mut stock).await?;
        stock.name_the_missing();
        Ok(stock)
    }

    /// A category with a key that has wrapped something has a list, unless somebody took it away.
    async fn look_for_lost_lists(
        &self,
        keyring: &Keyring,
        stock: &mut Stock,
    ) -> Result<(), VaultError> {
        let used = self.store.keks().await?.rows.into_iter().filter(|kek| kek.wraps > 0);
        let used: BTreeSet<String> = used.map(|kek| kek.category).collect();
        let listed = |category: &String| stock.rows.iter().any(|row| row.category == *category);
        let lost: Vec<String> = used.into_iter().filter(|category| !listed(category)).collect();
        for category in lost {
            let anew = self.begin_anew(keyring, &stock.loaded, (&category, None)).await?;
            stock.adopt(&category, "is not there", anew);
        }
        Ok(())
    }

    /// A list made of what stands, in the place of one that is lost. None where no key can seal it.
    async fn begin_anew(
        &self,
        keyring: &Keyring,
        loaded: &Loaded<StoredSecret>,
        (category, former): (&str, Option<&InventoryRow>),
    ) -> Result<Option<Inventory>, VaultError> {
        let Some(kek) = keyring.known_active(category) else { return Ok(None) };
        let of = |stored: &&StoredSecret| stored.secret.category == category;
        let secrets: Vec<&StoredSecret> = loaded.rows.iter().filter(of).collect();
        let inventory = Inventory::of(category, &secrets)?;
        let written = match former {
            Some(former) => {
                self.store.replace_inventory(&inventory.after(former, keyring, &kek)?).await
            }
            None => self.store.put_inventory(&inventory.next(keyring, &kek)?).await,
        };
        match written {
            // Another node has just done the same.
            Ok(()) | Err(crate::store::Error::Stale) => Ok(Some(inventory)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The category's list as it is now, for a change that builds on it. To be read before the rows
    /// that are to be changed: then its epoch guards them.
    pub(super) async fn inventory(
        &self,
        keyring: &Keyring,
        category: &str,
    ) -> Result<Inventory, VaultError> {
        if let Some(row) = self.store.inventory(category).await? {
            return Inventory::open(keyring, &row).map_err(VaultError::Crypto);
        }
        let loaded = self.store.secrets().await?;
        if loaded.rows.iter().any(|stored| stored.secret.category == category) {
            let finding = lost(category, "is not there");
            self.tell(Happening::Integrity(finding));
            self.begin_anew(keyring, &loaded, (category, None)).await?;
            return Err(VaultError::Stale);
        }
        Ok(Inventory::begin(category)?)
    }
}

impl Stock {
    /// Is this row as it was left?
    pub(super) fn judge(&self, stored: &StoredSecret) -> bool {
        match self.inventories.get(&stored.secret.category) {
            // Not judged now, or never: its category has no key that opens.
            None => true,
            Some(inventory) => match inventory.judge(stored) {
                Verdict::AsLeft => true,
                Verdict::Differs | Verdict::Unlisted => false,
            },
        }
    }

    pub(super) fn epochs(&self) -> HashMap<String, u64> {
        self.rows.iter().map(|row| (row.category.clone(), row.epoch)).collect()
    }

    pub(super) fn missing(&self) -> Vec<(Uuid, String)> {
        let there: BTreeSet<Uuid> =
            self.loaded.rows.iter().map(|stored| stored.secret.id).collect();
        let is_there = |id: Uuid| there.contains(&id);
        let mut missing = Vec::new();
        for (category, inventory) in &self.inventories {
            missing.extend(inventory.missing(&is_there).map(|id| (id, category.clone())));
        }
        missing
    }

    fn adopt(&mut self, category: &str, what: &str, anew: Option<Inventory>) {
        self.findings.push(lost(category, what));
        if let Some(inventory) = anew {
            self.inventories.insert(category.to_owned(), inventory);
        }
    }

    fn name_the_missing(&mut self) {
        // A row that contradicts the model is there, though it cannot be read; it has its own line.
        let unreadable = !self.loaded.contradictions.is_empty();
        for (id, category) in self.missing() {
            let doubt = if unreadable { " or cannot be read" } else { "" };
            self.findings.push(format!(
                "secret {id} of category {category} was deleted outside Sealgate{doubt}; restore a \
                 backup, or strike it off with `sealgate secret destroy {id}`"
            ));
        }
    }
}

fn lost(category: &str, what: &str) -> String {
    format!(
        "the inventory of category {category} {what}; it was begun anew from the rows that stand, \
         so what was deleted or put back before cannot be told any more"
    )
}
