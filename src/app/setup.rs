//! What `init` does, and what every start does first: migrations are the store's; here the master
//! key, the installation, the first admin key and the core symbols. Safe to run again: says what
//! stood.

use std::sync::Arc;

use uuid::Uuid;

use super::StartError;
use crate::catalogue::InForce;
use crate::client::{Role, Tier};
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::roster::{NewClient, Roster};
use crate::secret::SecretBytes;
use crate::store::{AssetClass, ClientKeyRow, Installation, Store};
use crate::vault::{Anchors, NO_ADMIN, Vault, has_been_opened};

/// Asks somebody for the passphrase of a master key that is about to be made.
pub type AskPassphrase = Box<dyn FnOnce() -> Result<SecretBytes, StartError> + Send>;

/// What was done and what was found.
pub struct Setup {
    pub steps: Vec<Step>,
    /// The first admin key, on the first run alone.
    pub admin_key: Option<SecretBytes>,
    /// Its id: it was made before the house had its keys at hand.
    pub admin_id: Option<Uuid>,
    /// There were admin keys, and none is left.
    pub has_no_admin: bool,
}

pub struct Step {
    pub what: String,
    /// It was there already.
    pub stood: bool,
}

const CORE_SYMBOLS: [(&str, AssetClass); 8] = [
    ("AAPL", AssetClass::Stock),
    ("MSFT", AssetClass::Stock),
    ("GOOGL", AssetClass::Stock),
    ("AMZN", AssetClass::Stock),
    ("NVDA", AssetClass::Stock),
    ("SPY", AssetClass::Etf),
    ("X:BTCUSD", AssetClass::Crypto),
    ("X:ETHUSD", AssetClass::Crypto),
];

pub(super) async fn run(
    config: &Config,
    (store, clock, roster): (&Store, &Clock, &Roster),
    ask: Option<AskPassphrase>,
) -> Result<(Uuid, Setup), StartError> {
    let mut steps = Vec::new();
    let mut step = |what: String, stood: bool| steps.push(Step { what, stood });
    let known = standing(config, store).await?;
    if let Some(known) = &known {
        demand_own_id(config, (store, clock), known.id).await?;
    }
    step(format!("database: {}", store.describe()), known.is_some());

    // A new master key beside an old database would close every secret in it for good.
    // Beside the one that it takes over from, it closes nothing.
    let mut made = false;
    // A server starts sealed; whoever sets up is told that it cannot be made again.
    if ask.is_some()
        && let Some(lost) = kms::lost_row(store).await?
    {
        return Err(lost.into());
    }
    if known.is_none() || config.kms_previous.is_some() {
        let installation = known.as_ref().map_or(Uuid::nil(), |known| known.id);
        let ground = kms::Ground { store, clock, installation };
        let typed = match ask {
            Some(ask) if kms::lacks_typing(&config.kms, &ground).await? => Some(ask()?),
            Some(_) | None => None,
        };
        made = kms::create_if_missing(&config.kms, &ground, typed).await?;
    }
    if matches!(config.kms, kms::Settings::File { .. }) {
        kms::check(&config.kms)?;
    }
    step(format!("master key: {}", config.kms.describe()), !made);

    let stood = known.is_some();
    let installation = match known {
        Some(known) => known,
        None => create(config, store).await?,
    };
    step(format!("installation {}", installation.id), stood);

    let has_admin = store.count_active_admins().await? > 0;
    let is_emptied = !has_admin && stood && had_keys(config, store, installation.id).await?;
    let admin_key = match has_admin || is_emptied {
        false => Some(first_admin_key(roster).await?),
        true => None,
    };
    let (admin_id, admin_key) = admin_key.unzip();
    if is_emptied {
        tracing::error!(line = NO_ADMIN, "integrity");
        step(String::from(NO_ADMIN), true);
    } else {
        step(String::from("admin key"), admin_key.is_none());
    }

    let seeded = if stood { 0 } else { store.seed_symbols(&CORE_SYMBOLS).await? };
    step(String::from("core symbols"), seeded == 0);
    Ok((installation.id, Setup { steps, admin_key, admin_id, has_no_admin: is_emptied }))
}

/// A house gets its first admin key before it is ever opened: one that has been opened, by what its
/// data folder or its own keys tell, has had one, and somebody has taken it away.
async fn had_keys(config: &Config, store: &Store, id: Uuid) -> Result<bool, StartError> {
    let keks = store.keks().await?;
    let has_keks = !keks.rows.is_empty() || !keks.contradictions.is_empty();
    Ok(has_keks || has_been_opened(&config.data_dir, id))
}

/// None in a new house alone: where one stood, its id is what all that is sealed is bound to, and
/// another one in its place would close everything.
pub(super) async fn standing(
    config: &Config,
    store: &Store,
) -> Result<Option<Installation>, StartError> {
    let known = match store.installation().await {
        Err(fault @ crate::store::Error::Contradiction { .. }) => {
            let Some(id) = Anchors::whose(&config.data_dir) else { return Err(fault.into()) };
            return Err(StartError::Room(edited_id("something that is no id", id)));
        }
        known => known?,
    };
    if known.is_some() {
        return Ok(known);
    }
    let is_blank = store.is_blank().await?;
    // Another node may have made it, and its rows, since.
    let known = store.installation().await?;
    if known.is_some() {
        return Ok(known);
    }
    let witness = match is_blank {
        false => "the database has rows of one",
        true if Anchors::tell_of_a_house(&config.data_dir) => "data_dir has the files of one",
        true => return Ok(None),
    };
    Err(StartError::Room(format!(
        "the database says of no installation (its table installation is empty), but {witness}: \
         somebody deleted the row, or this is another database; nothing was written; bring the \
         right one back with `sealgate backup restore`, or, for a new installation, name an empty \
         database and an empty data_dir"
    )))
}

/// Everything sealed is bound to the installation's id. Where the data folder knows another one,
/// and what is sealed opens under that alone, somebody has edited the row. What cannot be tried
/// now is found, under another name, by whoever opens the rows.
pub(super) async fn demand_own_id(
    config: &Config,
    (store, clock): (&Store, &Clock),
    found: Uuid,
) -> Result<(), StartError> {
    let Some(known) = Anchors::whose(&config.data_dir).filter(|known| *known != found) else {
        return Ok(());
    };
    if config.needs_typing() {
        return Ok(());
    }
    let opened = async |installation: Uuid| {
        let ground = kms::Ground { store, clock, installation };
        let masters = kms::gather(&config.master_place(), &ground, None).await.ok()?;
        let (_, opened) = Vault::prove(store, Arc::new(masters), installation).await.ok()?;
        Some(opened)
    };
    match (opened(found).await.unwrap_or(0), opened(known).await.unwrap_or(0)) {
        (0, 1..) => Err(StartError::Room(edited_id(&found.to_string(), known))),
        _ => Ok(()),
    }
}

fn edited_id(found: &str, known: Uuid) -> String {
    format!(
        "the table installation says {found}, but this data folder belongs to the installation \
         {known}, to which everything sealed is bound: somebody edited the row; nothing was \
         written. Put it back on the database itself (UPDATE installation SET id = '{known}'), or \
         restore a backup; if the database is another one on purpose, name another data_dir"
    )
}

/// Its beginning is noted in the data folder, where the database's owner cannot write: without that
/// no later start takes rows for those of a new house.
async fn create(config: &Config, store: &Store) -> Result<Installation, StartError> {
    let (id, is_blank) = (Uuid::now_v7(), store.is_blank().await?);
    let installation = store.create_installation(id).await?;
    // Of two nodes that start at once, one has made it.
    if is_blank && installation.id == id {
        Anchors::begin(&config.data_dir, id)?;
    }
    Ok(installation)
}

/// The first seals of client keys, while this process knows that all of them are its own: a node
/// with another data folder could not tell. What cannot be asked for the master key here is left
/// to the first start in this folder.
pub(super) async fn bind(config: &Config, ground: &super::Ground) -> Result<(), StartError> {
    let installation = ground.installation;
    let (store, clock) = (&ground.store, &ground.clock);
    let asked = kms::Ground { store, clock, installation };
    if ground.setup.admin_id.is_none() || config.needs_typing() {
        return Ok(());
    }
    let Ok(masters) = kms::gather(&config.master_place(), &asked, None).await else {
        return Ok(());
    };
    let catalogue = InForce::open(store, config.providers.clone(), None).await?;
    let vault = Vault::sealed(store.clone(), clock.clone(), catalogue, installation);
    let vault = vault.anchored(&config.data_dir);
    vault.unseal(Arc::new(masters)).await?;
    vault.judge_client_keys().await;
    Ok(())
}

async fn first_admin_key(roster: &Roster) -> Result<(Uuid, SecretBytes), StartError> {
    let row = ClientKeyRow::new("first admin", Role::Admin, Tier::Unlimited, "house");
    let issued = roster.issue(NewClient { row }).await?;
    Ok((issued.row.id, issued.key))
}
