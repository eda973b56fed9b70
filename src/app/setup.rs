//! What `init` does, and what every start does first: migrations are the store's; here the master
//! key, the installation, the first admin key and the core symbols. Safe to run again: says what
//! stood.

use uuid::Uuid;

use super::StartError;
use crate::client::{Role, Tier};
use crate::clock::Clock;
use crate::config::Config;
use crate::kms;
use crate::roster::{NewClient, Roster};
use crate::secret::SecretBytes;
use crate::store::{AssetClass, ClientKeyRow, Store};

/// Asks somebody for the passphrase of a master key that is about to be made.
pub type AskPassphrase = Box<dyn FnOnce() -> Result<SecretBytes, StartError> + Send>;

/// What was done and what was found.
pub struct Setup {
    pub steps: Vec<Step>,
    /// The first admin key, on the first run alone.
    pub admin_key: Option<SecretBytes>,
    /// Its id: it was made before the house had its keys at hand.
    pub admin_id: Option<Uuid>,
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
    let known = store.installation().await?;
    step(format!("database: {}", store.describe()), known.is_some());

    // A new master key beside an old database would close every secret in it for good.
    // Beside the one that it takes over from, it closes nothing.
    let mut made = false;
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
        None => store.create_installation(Uuid::now_v7()).await?,
    };
    step(format!("installation {}", installation.id), stood);

    let admins = store.count_active_admins().await?;
    let admin_key = match admins {
        0 => Some(first_admin_key(roster).await?),
        _ => None,
    };
    let (admin_id, admin_key) = admin_key.unzip();
    step(String::from("admin key"), admin_key.is_none());

    let seeded = if stood { 0 } else { store.seed_symbols(&CORE_SYMBOLS).await? };
    step(String::from("core symbols"), seeded == 0);
    Ok((installation.id, Setup { steps, admin_key, admin_id }))
}

async fn first_admin_key(roster: &Roster) -> Result<(Uuid, SecretBytes), StartError> {
    let row = ClientKeyRow::new("first admin", Role::Admin, Tier::Unlimited, "house");
    let issued = roster.issue(NewClient { row }).await?;
    Ok((issued.row.id, issued.key))
}
