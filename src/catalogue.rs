//! The catalogue in force: the built-in files, what operators laid over them, and the settings,
//! which win. The only one that swaps it; whoever asks twice may be answered by two. Must never let
//! an entry in that was not checked as strictly as settings, and never keep the house from opening
//! because of one: it is left out, and said.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::provider::{BadProvider, Catalogue, Layer, Provider, Stored};
use crate::store::{self, Judge, Judged, ProviderList, ProviderRow, RowKey, Store};

/// Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(crate) struct InForce(Arc<Inner>);

struct Inner {
    now: ArcSwap<Catalogue>,
    /// As the database had it when `now` was made.
    stored: Mutex<Vec<Stored>>,
    ground: Option<Ground>,
    /// What was wrong with what stood there, when `now` was made.
    doubts: Mutex<Doubts>,
    /// By what stored entries are judged.
    judge: Mutex<Judge>,
    /// A change reads, checks and writes; two at once must not undo each other.
    changing: tokio::sync::Mutex<()>,
}

/// What it is made from again when somebody changes something.
struct Ground {
    store: Store,
    settings: Layer,
    /// The stand-in's entry, where one runs; else none has the sandbox's name.
    sandbox: Option<Arc<Provider>>,
}

#[derive(Clone, Default)]
struct Doubts {
    /// Providers of which nobody can say what was meant.
    ids: BTreeSet<String>,
    faults: Vec<String>,
}

/// One that nobody changes.
impl From<Arc<Catalogue>> for InForce {
    fn from(catalogue: Arc<Catalogue>) -> Self {
        Self::new(catalogue, Vec::new(), None)
    }
}

impl InForce {
    fn new(catalogue: Arc<Catalogue>, stored: Vec<Stored>, ground: Option<Ground>) -> Self {
        Self(Arc::new(Inner {
            now: ArcSwap::new(catalogue),
            stored: Mutex::new(stored),
            ground,
            doubts: Mutex::default(),
            judge: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
        }))
    }

    pub(crate) async fn open(
        store: &Store,
        settings: Layer,
        sandbox: Option<Provider>,
    ) -> Result<Self, OpenError> {
        let sandbox = sandbox.map(Arc::new);
        let ground = Ground { store: store.clone(), settings, sandbox };
        let judged = ground.judged(&Judge::default()).await.map_err(OpenError::Store)?;
        let (stored, doubts, _) = parted(judged);
        let (catalogue, doubts) =
            ground.built(&stored, doubts, None).map_err(OpenError::Settings)?;
        let opened = Self::new(Arc::new(catalogue), stored, Some(ground));
        *locked(&opened.0.doubts) = doubts;
        Ok(opened)
    }

    /// For the length of one look.
    pub(crate) fn now(&self) -> impl Deref<Target = Arc<Catalogue>> {
        self.0.now.load()
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Provider>> {
        self.0.now.load().get(id).cloned()
    }

    /// What was stored has changed, here or at another node. Entries that did not change stay the
    /// very same.
    /// Before the new one is in force, `before` makes ready for it.
    pub(crate) async fn reload(
        &self,
        before: impl FnOnce(&Catalogue) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(ground) = &self.0.ground else { return Ok(()) };
        let judge = self.judge();
        let judged = ground.judged(&judge).await.map_err(|fault| fault.to_string())?;
        let (stored, doubts, list) = parted(judged);
        let former = self.0.now.load_full();
        let built = ground.built(&stored, doubts, Some(&former));
        let (catalogue, doubts) = built.map_err(|fault| fault.to_string())?;
        before(&catalogue)?;
        self.saw(list);
        *locked(&self.0.stored) = stored;
        *locked(&self.0.doubts) = doubts;
        self.0.now.store(Arc::new(catalogue));
        Ok(())
    }

    /// The key of the seals is at hand, or gone: whoever says so reloads. `kept` is the newest list
    /// that this node has kept; without one, may rows be taken as they stand?
    pub(crate) fn judge_by(&self, key: RowKey, kept: Option<ProviderList>, may_begin: bool) {
        *locked(&self.0.judge) = Judge { key: Arc::new(key), kept, may_begin };
    }

    pub(crate) fn judge_nothing(&self) {
        locked(&self.0.judge).key = Arc::default();
    }

    /// The first list, of what stands, where there was never one.
    pub(crate) async fn begin_list(&self) -> Result<(), store::Error> {
        match &self.0.ground {
            Some(ground) => ground.store.begin_provider_list(&self.judge()).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn put(&self, row: &ProviderRow, by: &str) -> Result<(), store::Error> {
        match &self.0.ground {
            Some(ground) => ground.store.put_provider(row, by, &self.judge()).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn drop_stored(&self, id: &str) -> Result<bool, store::Error> {
        match &self.0.ground {
            Some(ground) => ground.store.drop_provider(id, &self.judge()).await,
            None => Ok(false),
        }
    }

    /// The newest list that was seen here.
    pub(crate) fn list(&self) -> Option<ProviderList> {
        locked(&self.0.judge).kept.clone()
    }

    /// What was wrong with stored entries when they were read last.
    pub(crate) fn faults(&self) -> Vec<String> {
        locked(&self.0.doubts).faults.clone()
    }

    /// What is wrong with them as they stand now.
    pub(crate) async fn look(&self) -> Result<Vec<String>, store::Error> {
        let Some(ground) = &self.0.ground else { return Ok(Vec::new()) };
        let (stored, doubts, _) = parted(ground.judged(&self.judge()).await?);
        let former = self.0.now.load_full();
        let built = ground.built(&stored, doubts, Some(&former));
        Ok(built.map(|(_, doubts)| doubts.faults).unwrap_or_default())
    }

    /// Was its row edited, put there or taken away outside?
    pub(crate) fn is_doubted(&self, id: &str) -> bool {
        locked(&self.0.doubts).ids.contains(id)
    }

    fn judge(&self) -> Judge {
        locked(&self.0.judge).clone()
    }

    fn saw(&self, list: Option<ProviderList>) {
        let mut judge = locked(&self.0.judge);
        let known = judge.kept.as_ref().map_or(0, |known| known.epoch);
        if let Some(list) = list.filter(|list| list.epoch > known) {
            judge.kept = Some(list);
        }
    }

    /// To be held over a change.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Would this entry be a provider?
    pub(crate) fn check(&self, entry: &Stored) -> Result<(), BadProvider> {
        let settings = self.0.ground.as_ref().map_or(&[][..], |ground| &ground.settings);
        Catalogue::layered(std::slice::from_ref(entry), settings, None).map(drop)
    }

    /// What operators wrote of it.
    pub(crate) fn stored(&self, id: &str) -> Option<Stored> {
        let stored = locked(&self.0.stored);
        stored.iter().find(|entry| entry.id == id).cloned()
    }

    /// Is it named in the settings file? Then it is changed there.
    pub(crate) fn is_of_settings(&self, id: &str) -> bool {
        let settings = self.0.ground.iter().flat_map(|ground| &ground.settings);
        settings.into_iter().any(|(name, _)| name == id)
    }
}

impl Ground {
    async fn judged(&self, judge: &Judge) -> Result<Judged, store::Error> {
        self.store.providers(judge).await
    }

    /// An entry that is none is left out; the settings' own faults are told.
    fn built(
        &self,
        stored: &[Stored],
        mut doubts: Doubts,
        former: Option<&Catalogue>,
    ) -> Result<(Catalogue, Doubts), BadProvider> {
        let mut sound = |entry: &Stored| {
            let checked =
                Catalogue::layered(std::slice::from_ref(entry), &self.settings, None).map(drop);
            if let Err(fault) = &checked {
                tracing::error!(provider = entry.id, %fault, "a stored provider is left out");
                doubts.faults.push(left_out(&entry.id, fault));
            }
            checked.is_ok()
        };
        // The settings alone come first: what is wrong with them is nobody else's fault.
        let plain = Catalogue::layered(&[], &self.settings, former)?;
        let stored: Vec<Stored> = stored.iter().filter(|entry| sound(entry)).cloned().collect();
        let mut catalogue = match stored.as_slice() {
            [] => plain,
            [_, ..] => Catalogue::layered(&stored, &self.settings, former)?,
        };
        // Not by what is built in either: somebody meant something else.
        let of_settings = |id: &str| self.settings.iter().any(|(name, _)| name == id);
        for id in doubts.ids.iter().filter(|id| !of_settings(id)) {
            catalogue = catalogue.without(id);
        }
        let catalogue = match &self.sandbox {
            Some(sandbox) => catalogue.with(Arc::clone(sandbox)),
            None => catalogue.without("sandbox"),
        };
        Ok((catalogue, doubts))
    }
}

fn parted(judged: Judged) -> (Vec<Stored>, Doubts, Option<ProviderList>) {
    let stored = judged.rows.into_iter().map(|row| Stored { id: row.id, members: row.members });
    let doubts = Doubts { ids: judged.doubted, faults: judged.faults };
    (stored.collect(), doubts, judged.list)
}

fn left_out(id: &str, fault: &BadProvider) -> String {
    let shown: String = id.chars().take(200).collect();
    format!(
        "the stored provider {shown:?} cannot be read and is left out ({fault}); write it again \
         with `sealgate provider add {shown}`, or say `sealgate provider remove {shown}`"
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) enum OpenError {
    Store(store::Error),
    Settings(BadProvider),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(fault) => fault.fmt(formatter),
            Self::Settings(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for OpenError {}
