//! Taking stock: every secret of the house beside the sealed inventories of its categories, read so
//! that both belong to the same moment. What differs becomes a finding; the others are served.
//! Must never call a change that another node has just made a finding.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::anchor::Anchors;
use super::basis::{Basis, basis};
use super::inventory::{Inventory, Verdict};
use super::keyring::Keyring;
use super::list_faults::{behind, closed, keyless, lost, stray, to_be_begun};
use super::registry::Living;
use super::rows::CATEGORY as CLIENT_KEYS;
use super::{Happening, Vault, VaultError};
use crate::store::{InventoryRow, Listed, Loaded, Store, StoredSecret, Unreadable};

/// What stands, and what should.
pub(super) struct Stock {
    pub(super) loaded: Loaded<StoredSecret, Box<Unreadable>>,
    pub(super) findings: Vec<String>,
    /// The lists by which rows are judged.
    pub(super) inventories: HashMap<String, Inventory>,
    /// Categories without a list to judge by, which the next start begins anew from what stands.
    waiting: BTreeSet<String>,
    /// Those that have a key, legible or not, or a secret.
    known: BTreeSet<String>,
    /// Every key's row could be read: what has none there has none.
    all_legible: bool,
    /// Categories without a list that says anything, each with what stands in its place.
    lost: Vec<(String, Option<i64>, String)>,
    /// The rows of the lists that were found in order.
    sound: Vec<InventoryRow>,
    marks: HashMap<String, i64>,
}

/// How often to look again where another node begins the same lists.
const LOOKS: u32 = 5;

impl Stock {
    /// Looks, and changes nothing. The anchors are read first: so the database is never the older
    /// one, unless somebody has put it back.
    pub(super) async fn look(
        store: &Store,
        keyring: &Keyring,
        anchors: &Anchors,
    ) -> Result<Self, VaultError> {
        let kept = anchors.all();
        // Before the lists too: a category's first change brings a key's first wrap and its list.
        let generations = store.keks().await?;
        // Of one moment: however busy others are, a row is never judged by the list of another.
        let (loaded, lists) = store.secrets_and_lists().await?;
        let of_lists = lists.iter().filter_map(|list| Some(list.row.as_ref().ok()?.kek_id));
        let of_rows = loaded.rows.iter().map(|stored| stored.secret.kek_id);
        if of_lists.chain(of_rows).any(|id| keyring.known(id).is_none()) {
            // Of a generation that another node has only just made.
            keyring.refresh(store).await?;
        }
        let mut stock = Self {
            marks: lists.iter().map(|list| (list.category.clone(), list.mark)).collect(),
            loaded,
            findings: anchors.doubts(),
            inventories: HashMap::new(),
            waiting: BTreeSet::new(),
            known: BTreeSet::new(),
            all_legible: false,
            lost: Vec::new(),
            sound: Vec::new(),
        };
        let keks = &generations.rows;
        let lists: BTreeMap<&str, &Listed> =
            lists.iter().map(|list| (list.category.as_str(), list)).collect();
        // A category with a key that has wrapped something, with a secret or with an anchor has a
        // list, unless somebody took it away.
        let mut categories: BTreeSet<&str> = lists.keys().copied().collect();
        categories.extend(keks.iter().filter(|kek| kek.wraps != 0).map(|kek| &*kek.category));
        categories.extend(kept.keys().map(String::as_str));
        let loaded = std::mem::take(&mut stock.loaded.rows);
        categories.extend(loaded.iter().map(|stored| &*stored.secret.category));
        let of_keys = keks.iter().map(|kek| kek.category.clone());
        let of_secrets = loaded.iter().map(|stored| stored.secret.category.clone());
        stock.known = of_keys.chain(of_secrets).collect();
        stock.all_legible = generations.contradictions.is_empty();
        for category in categories {
            let list = lists.get(category).copied();
            stock.weigh(keyring, category, (list, kept.get(category)));
        }
        stock.loaded.rows = loaded;
        stock.name_the_missing();
        Ok(stock)
    }

    fn weigh(
        &mut self,
        keyring: &Keyring,
        category: &str,
        (list, anchor): (Option<&Listed>, Option<&InventoryRow>),
    ) {
        match basis(keyring, list, anchor) {
            Basis::Sound(inventory, row) => {
                self.inventories.insert(category.to_owned(), inventory);
                self.sound.push(row);
            }
            Basis::Copy(inventory, what) => {
                self.findings.push(behind(category, &what));
                self.inventories.insert(category.to_owned(), inventory);
            }
            Basis::Closed(what) => {
                self.findings.push(closed(category, &what));
            }
            Basis::Lost(what) => {
                self.lost(keyring, category, (list.map(|list| list.mark), what));
            }
            Basis::Never => {
                self.lost(keyring, category, (None, String::from("is not there")));
            }
        }
    }

    fn lost(&mut self, keyring: &Keyring, category: &str, (mark, what): (Option<i64>, String)) {
        // Without a key to begin a list with there is none by which a row could be judged.
        if keyring.known_active(category).is_some() {
            self.waiting.insert(category.to_owned());
        }
        self.lost.push((category.to_owned(), mark, what));
    }

    /// Is this row as it was left? What no list vouches for is not.
    pub(super) fn judge(&self, stored: &StoredSecret) -> bool {
        let category = &stored.secret.category;
        match self.inventories.get(category) {
            None => self.waiting.contains(category),
            Some(inventory) => match inventory.judge(stored) {
                Verdict::AsLeft | Verdict::AsLeftBefore => true,
                Verdict::Differs | Verdict::Unlisted => false,
            },
        }
    }

    pub(super) fn living(&self) -> Living {
        let of = |stored: &StoredSecret| {
            let there = stored.versions.iter().filter(|version| version.envelope.is_some());
            (stored.secret.id, there.map(|version| version.version).collect())
        };
        let unread = self.loaded.contradictions.iter();
        Living {
            versions: self.loaded.rows.iter().map(of).collect(),
            unread: unread.map(|unread| unread.id()).collect(),
        }
    }

    /// The category whose list has this secret.
    pub(super) fn listed_in(&self, id: Uuid) -> Option<&str> {
        let mut lists = self.inventories.iter();
        lists.find(|(_, inventory)| inventory.lists(id)).map(|(category, _)| category.as_str())
    }

    /// Each list's epoch as its column holds it.
    pub(super) fn marks(&self) -> HashMap<String, i64> {
        self.marks.clone()
    }

    pub(super) fn sound(&self) -> &[InventoryRow] {
        &self.sound
    }

    /// What a look alone says of the lists that are lost.
    pub(super) fn lost_lists(&self) -> impl Iterator<Item = String> {
        self.lost.iter().map(|(category, _, what)| match self.waiting.contains(category) {
            _ if self.is_stray(category) => stray(category),
            true => to_be_begun(category, what),
            false => keyless(category, what),
        })
    }

    /// Is there nothing that its list could be of?
    pub(super) fn is_stray(&self, category: &str) -> bool {
        self.all_legible && !self.known.contains(category)
    }

    /// Lists that nobody can have written, with what guards their rows.
    pub(super) fn strays(&self) -> impl Iterator<Item = &str> {
        let lost = self.lost.iter().filter(|(_, mark, _)| mark.is_some());
        lost.map(|(category, ..)| category.as_str()).filter(|category| self.is_stray(category))
    }

    pub(super) fn missing(&self) -> Vec<(Uuid, String)> {
        let there: BTreeSet<Uuid> =
            self.loaded.rows.iter().map(|stored| stored.secret.id).collect();
        let is_there = |id: Uuid| there.contains(&id);
        let mut missing = Vec::new();
        for (category, inventory) in &self.inventories {
            missing.extend(inventory.missing(&is_there).map(|id| (id, category.clone())));
        }
        missing.sort_unstable();
        missing
    }

    fn adopt(&mut self, category: &str, what: &str, anew: Option<(Inventory, InventoryRow)>) {
        self.findings.push(lost(category, what));
        if let Some((inventory, row)) = anew {
            self.take(category, inventory, row);
        }
    }

    /// Judges by this list from now on.
    pub(super) fn take(&mut self, category: &str, inventory: Inventory, row: InventoryRow) {
        self.inventories.insert(category.to_owned(), inventory);
        self.marks.insert(category.to_owned(), i64::try_from(row.epoch).unwrap_or(i64::MAX));
        self.sound.push(row);
    }

    fn name_the_missing(&mut self) {
        // A row that contradicts the model has a line of its own, under its id if it has one.
        let unread = &self.loaded.contradictions;
        let has_line = |id| unread.iter().any(|row| row.id() == Some(id));
        for (id, category) in self.missing().into_iter().filter(|(id, _)| !has_line(*id)) {
            let doubt = if unread.is_empty() { "" } else { " or cannot be read" };
            self.findings.push(format!(
                "secret {id} of category {category} was deleted outside Sealgate{doubt}; restore a \
                 backup, or strike it off with `sealgate secret destroy {id}`"
            ));
        }
    }
}

impl Vault {
    /// Looks, and begins lists anew that nobody can read any more.
    pub(super) async fn take_stock(&self, keyring: &Keyring) -> Result<Stock, VaultError> {
        let mut looks = 0;
        let mut stock = loop {
            looks += 1;
            let mut stock = Stock::look(&self.store, keyring, &self.anchors).await?;
            if self.begin_lost(keyring, &mut stock).await? || looks == LOOKS {
                break stock;
            }
        };
        // Those that others keep on writing are judged by none: closed, until the next look.
        stock.waiting.clear();
        self.bind_metadata(keyring, &mut stock).await?;
        self.take_counts().await?;
        self.anchors.sees_providers(self.catalogue.list());
        // The house serves without it; what cannot be told later for want of it is in the papers.
        if let Err(fault) = self.anchors.advance(stock.sound()) {
            tracing::error!(%fault, "the anchors of the inventories cannot be written");
        }
        Ok(stock)
    }

    /// False where another node begins one of them at this moment: then look again.
    async fn begin_lost(&self, keyring: &Keyring, stock: &mut Stock) -> Result<bool, VaultError> {
        let mut all = true;
        for (category, mark, what) in std::mem::take(&mut stock.lost) {
            if stock.is_stray(&category) {
                stock.findings.push(stray(&category));
                continue;
            }
            if !stock.waiting.contains(&category) {
                stock.findings.push(keyless(&category, &what));
                continue;
            }
            let anew = self.begin_anew(keyring, &stock.loaded, (&category, mark)).await?;
            all &= anew.is_some();
            self.doubt(&category, &lost(&category, &what));
            stock.adopt(&category, &what, anew);
        }
        Ok(all)
    }

    /// Counts of wraps as they are now; those from before there were seals get one.
    async fn take_counts(&self) -> Result<(), VaultError> {
        for kek in self.store.keks().await?.rows {
            if kek.is_gone() || self.store.judge_wraps(&kek).is_err() {
                continue;
            }
            if kek.wraps_seal.is_none() {
                self.store.seal_wraps(&kek).await?;
            }
            self.anchors.has_wrapped(kek.id, kek.count());
            self.store.has_wrapped(kek.id, kek.count());
        }
        Ok(())
    }

    /// Said now, and by `doctor` until somebody has looked.
    fn take_as_it_stands(&self, category: &str, what: &str) {
        let sentence = lost(category, what);
        self.doubt(category, &sentence);
        self.tell(Happening::Integrity(sentence));
    }

    /// Of client keys nothing is taken over, and each that waits has a line of its own.
    fn doubt(&self, category: &str, sentence: &str) {
        if category != CLIENT_KEYS {
            let _is_new = self.anchors.doubt(sentence);
        }
    }

    /// What stands is meant: lists that were put back, and those that were begun anew. Rows that do
    /// not fit a list that stands are no part of it. Back come the sentences that are settled.
    pub(crate) async fn accept_lists(&self) -> Result<Vec<String>, VaultError> {
        let before = self.examine().await?;
        let changing = self.changing.lock().await;
        self.unsealed()?;
        self.set_right().await?;
        self.anchors.forget();
        self.store.forget_wraps();
        self.reload_locked(&changing).await?;
        // What had to be begun anew just now was meant, too.
        self.anchors.forget();
        self.reload_locked(&changing).await?;
        drop(changing);
        self.judge_client_keys().await;
        let after = self.examine().await?;
        Ok(before.into_iter().filter(|finding| !after.contains(finding)).collect())
    }

    /// A list made of what stands, in the place of one that is lost. None where no key can seal it,
    /// or where another node has just done the same.
    pub(super) async fn begin_anew(
        &self,
        keyring: &Keyring,
        loaded: &Loaded<StoredSecret, Box<Unreadable>>,
        (category, mark): (&str, Option<i64>),
    ) -> Result<Option<(Inventory, InventoryRow)>, VaultError> {
        let Some(kek) = keyring.known_active(category) else { return Ok(None) };
        let of = |stored: &&StoredSecret| stored.secret.category == category;
        let secrets: Vec<&StoredSecret> = loaded.rows.iter().filter(of).collect();
        let inventory = Inventory::of(category, &secrets)?;
        // Epochs count changes, so that the time is later than any: a column that was edited is
        // not built on, and no node takes the new list for an old one.
        let epoch = u64::try_from(self.clock.unix_ms()).unwrap_or(1);
        let row = inventory.sealed_as(epoch, keyring, &kek)?;
        match self.store.replace_inventory(&row, mark).await {
            Ok(()) => Ok(Some((inventory, row))),
            Err(crate::store::Error::Stale) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The category's list as it is now, for a change that builds on it. To be read before the rows
    /// that are to be changed: then its epoch guards them. One that is not in order is set right
    /// first, and told; the change begins again on that.
    pub(super) async fn inventory(
        &self,
        keyring: &Keyring,
        category: &str,
    ) -> Result<Inventory, VaultError> {
        let anchor = self.anchors.of(category);
        let list = self.store.list_of(category).await?;
        let sealed_by = list.as_ref().and_then(|list| Some(list.row.as_ref().ok()?.kek_id));
        if sealed_by.is_some_and(|id| keyring.known(id).is_none()) {
            // Of a generation that another node has only just made: no reason to doubt the list.
            keyring.refresh(&self.store).await?;
        }
        let mark = list.as_ref().map(|list| list.mark);
        match basis(keyring, list.as_ref(), anchor.as_ref()) {
            Basis::Sound(inventory, _) => Ok(inventory),
            Basis::Copy(inventory, what) => {
                self.tell(Happening::Integrity(behind(category, &what)));
                let kek = keyring.demand_active(category)?;
                let next = inventory.next(keyring, &kek)?;
                self.store.replace_inventory(&next, mark).await?;
                Err(VaultError::Stale)
            }
            Basis::Closed(what) => Err(VaultError::Closed(closed(category, &what))),
            Basis::Lost(what) => {
                self.take_as_it_stands(category, &what);
                let loaded = self.store.secrets().await?;
                keyring.demand_active(category)?;
                self.begin_anew(keyring, &loaded, (category, mark)).await?;
                Err(VaultError::Stale)
            }
            Basis::Never => {
                let loaded = self.store.secrets().await?;
                if loaded.rows.iter().any(|stored| stored.secret.category == category) {
                    self.take_as_it_stands(category, "is not there");
                    keyring.demand_active(category)?;
                    self.begin_anew(keyring, &loaded, (category, None)).await?;
                    return Err(VaultError::Stale);
                }
                Ok(Inventory::begin(category)?)
            }
        }
    }
}
