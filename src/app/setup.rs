//! What `init` does, and what every start does first: migrations are the store's; here the master
//! key, the installation, the first admin key and the core symbols. Safe to run again: says what
//! stood.

use std::sync::Arc;

use uuid::Uuid;

use super::StartError;
use crate::client::{Role, Tier};
use crate::config::Config;
use crate::kms::{self, Masters};
use crate::roster::{NewClient, Roster};
use crate::secret::SecretBytes;
use crate::store::{AssetClass, ClientKeyRow, Store};

/// What was done and what was found.
pub struct Setup {
    pub steps: Vec<Step>,
    /// The first admin key, on the first run alone.
    pub admin_key: Option<SecretBytes>,
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
    store: &Store,
    roster: &Roster,
) -> Result<(Uuid, Arc<Masters>, Setup), StartError> {
    let mut steps = Vec::new();
    let mut step = |what: String, stood: bool| steps.push(Step { what, stood });
    let known = store.installation().await?;
    step(format!("database: {}", store.describe()), known.is_some());

    // A new master key beside an old database would close every secret in it for good.
    let made = known.is_none() && kms::create_if_missing(&config.kms)?;
    let kms::Settings::File { path } = &config.kms;
    let masters = Arc::new(Masters::of(kms::open(&config.kms).await?));
    step(format!("master key: {}", path.display()), !made);

    let stood = known.is_some();
    let installation = match known {
        Some(known) => known,
        None => store.create_installation(Uuid::now_v7()).await?,
    };
    step(format!("installation {}", installation.id), stood);

    let admins = store.count_active_admins().await?;
    let admin_key = match admins {
        0 => Some(first_admin_key(roster).await?),
        _ => None,
    };
    step(String::from("admin key"), admin_key.is_none());

    let seeded = if stood { 0 } else { store.seed_symbols(&CORE_SYMBOLS).await? };
    step(String::from("core symbols"), seeded == 0);
    Ok((installation.id, masters, Setup { steps, admin_key }))
}

async fn first_admin_key(roster: &Roster) -> Result<SecretBytes, StartError> {
    let row = ClientKeyRow::new("first admin", Role::Admin, Tier::Unlimited, "house");
    let issued = roster.issue(NewClient { row }).await?;
    Ok(issued.key)
}
