//! The catalogue in force: the built-in files, what operators laid over them, and the settings,
//! which win. The only one that swaps it; whoever asks twice may be answered by two. Must never let
//! an entry in that was not checked as strictly as settings, and never keep the house from opening
//! because of one: it is left out, and said.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::provider::{BadProvider, Catalogue, Layer, Provider, Stored};
use crate::store::{self, Store};

/// Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(crate) struct InForce(Arc<Inner>);

struct Inner {
    now: ArcSwap<Catalogue>,
    /// As the database had it when `now` was made.
    stored: Mutex<Vec<Stored>>,
    ground: Option<Ground>,
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
        let stored = ground.stored().await.map_err(OpenError::Store)?;
        let catalogue = ground.built(&stored, None).map_err(OpenError::Settings)?;
        Ok(Self::new(Arc::new(catalogue), stored, Some(ground)))
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
        let stored = ground.stored().await.map_err(|fault| fault.to_string())?;
        let former = self.0.now.load_full();
        let built = ground.built(&stored, Some(&former));
        let catalogue = built.map_err(|fault| fault.to_string())?;
        before(&catalogue)?;
        *self.0.stored.lock().unwrap_or_else(PoisonError::into_inner) = stored;
        self.0.now.store(Arc::new(catalogue));
        Ok(())
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
        let stored = self.0.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.iter().find(|entry| entry.id == id).cloned()
    }

    /// Is it named in the settings file? Then it is changed there.
    pub(crate) fn is_of_settings(&self, id: &str) -> bool {
        let settings = self.0.ground.iter().flat_map(|ground| &ground.settings);
        settings.into_iter().any(|(name, _)| name == id)
    }
}

impl Ground {
    async fn stored(&self) -> Result<Vec<Stored>, store::Error> {
        let rows = self.store.providers().await?;
        Ok(rows.into_iter().map(|row| Stored { id: row.id, members: row.members }).collect())
    }

    /// An entry that is none is left out; the settings' own faults are told.
    fn built(
        &self,
        stored: &[Stored],
        former: Option<&Catalogue>,
    ) -> Result<Catalogue, BadProvider> {
        let sound = |entry: &&Stored| {
            let checked =
                Catalogue::layered(std::slice::from_ref(*entry), &self.settings, None).map(drop);
            if let Err(fault) = &checked {
                tracing::error!(provider = entry.id, %fault, "a stored provider is left out");
            }
            checked.is_ok()
        };
        // The settings alone come first: what is wrong with them is nobody else's fault.
        let plain = Catalogue::layered(&[], &self.settings, former)?;
        let stored: Vec<Stored> = stored.iter().filter(sound).cloned().collect();
        let catalogue = match stored.as_slice() {
            [] => plain,
            [_, ..] => Catalogue::layered(&stored, &self.settings, former)?,
        };
        Ok(match &self.sandbox {
            Some(sandbox) => catalogue.with(Arc::clone(sandbox)),
            None => catalogue.without("sandbox"),
        })
    }
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
