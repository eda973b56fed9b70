//! Settings in two stages: `Raw`, as written, to `Config`, the sum of every room's settings,
//! parsed, checked and checked against each other. All reading of settings files and of the
//! environment is here. Must never guess: what is unknown, of the wrong kind or contradictory is
//! one line that names the place, the key, what is wrong and the nearest right name.

mod alerts;
mod backfill;
mod browser;
mod environment;
mod example;
mod fault;
mod ground;
mod kind;
mod kubernetes;
mod layers;
mod limits;
mod listeners;
mod master_key;
mod nearest;
mod previous;
mod raw;
mod renewals;
mod reports;
mod setting;
mod show;
mod storage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::environment::Environment;
pub use self::example::example;
pub use self::fault::Fault;
pub use self::show::{MASK, Origin, Shown};

use self::ground::Ground;
use self::layers::Layers;
use self::raw::Raw;
use crate::provider::Catalogue;
use crate::secret::SecretBytes;
use crate::{
    admin, alerts as telling, backup, kms, ledger, limiter, market, net, probe, proxy, rotation,
    store, telemetry, vault,
};

/// The settings file in the current folder that is read where no other is named.
const FILE_NAME: &str = "sealgate.toml";
/// More than any settings need; a bound, so that a wrong path cannot fill the memory.
const MOST_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The settings as the rooms need them. No `Debug`: the database's URL may hold a password.
#[derive(Clone)]
pub struct Config {
    /// The settings file, where there is one.
    pub file: Option<PathBuf>,
    pub data_dir: PathBuf,
    /// Where the command line reaches a running server: `{data_dir}/sealgate.sock`.
    pub socket: PathBuf,
    pub log: telemetry::Settings,
    pub egress: net::EgressSettings,
    /// The providers of the catalogue with `[providers.*]` laid over them were checked; these are
    /// the settings' own tables, paths made absolute, for whoever builds the catalogue.
    pub providers: Vec<(String, toml::Table)>,
    pub(crate) store: store::Settings,
    pub(crate) kms: kms::Settings,
    /// The master key that `kms` takes over from.
    pub(crate) kms_previous: Option<kms::Settings>,
    pub vault: vault::Settings,
    pub probe: probe::Settings,
    pub rotation: rotation::Settings,
    pub limiter: limiter::Settings,
    /// For monthly quotas.
    /// Failed authentications of one address in a minute that are answered at once.
    pub free_failures_per_minute: u64,
    /// The longest life of a token.
    pub most_token_seconds: u64,
    /// Pages that may call the proxy with no key.
    pub(crate) pages: Vec<crate::corridor::PageSettings>,
    /// Reports that are sent by themselves.
    pub(crate) reports: Vec<crate::report::Plan>,
    pub ledger: ledger::Settings,
    /// To which the trail's checkpoints are posted.
    pub(crate) checkpoint_webhook: Option<Arc<SecretBytes>>,
    pub backup: backup::Settings,
    pub alerts: telling::Settings,
    pub(crate) backfill: market::Settings,
    /// Where `serve --sandbox` runs its stand-in provider; port 0: any.
    pub sandbox: SocketAddr,
    pub proxy: proxy::Settings,
    pub admin: admin::Settings,
}

impl Config {
    /// Where the master key is, and where it was before.
    pub(crate) fn master_place(&self) -> kms::Place {
        kms::Place { settings: self.kms.clone(), previous: self.kms_previous.clone() }
    }

    /// Must somebody type a passphrase before the vault opens: of the master key, or of the one
    /// that it takes over from?
    pub(crate) fn needs_typing(&self) -> bool {
        let previous = self.kms_previous.as_ref();
        self.kms.needs_typing() || previous.is_some_and(kms::Settings::needs_typing)
    }
}

/// The settings, and how each came to be.
pub struct Loaded {
    pub config: Config,
    /// Every value in force with its origin, secrets masked.
    pub shown: Vec<Shown>,
}

/// Reads and checks the settings. `named` is the file of `--config`; else `SEALGATE_CONFIG` names
/// it, else it is `sealgate.toml` in the current folder if there is one.
pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Loaded, Fault> {
    let file = settings_file(named, environment);
    let mut layers = Layers::new(file.clone());
    if let Some(file) = &file {
        layers.lay_file(&read(file)?)?;
    }
    layers.lay_environment(environment)?;
    let folder = file.as_deref().and_then(Path::parent).unwrap_or_else(|| environment.folder());
    layers.anchor_providers(folder);
    let config = check(&Ground { layers: &layers, environment, base: folder })?;
    layers.derive("proxy.public_url", config.proxy.public_url.clone().into());
    let shown = show::shown(&layers, folder, &config);
    Ok(Loaded { config, shown })
}

fn settings_file(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let folder = environment.folder();
    match named.map(Path::to_owned).or_else(|| environment.settings_file()) {
        Some(file) => Some(folder.join(file)),
        // A folder of that name is a mistake that deserves its line, hence not `is_file`.
        None => Some(folder.join(FILE_NAME)).filter(|file| file.exists()),
    }
}

fn read(file: &Path) -> Result<String, Fault> {
    let fault = |what: &str| Fault::new(file.display().to_string(), None, what);
    let metadata = std::fs::metadata(file).map_err(|error| fault(&ground::reason(&error)))?;
    if metadata.is_dir() {
        return Err(fault("is a folder; name the settings file in it"));
    }
    if metadata.len() > MOST_FILE_BYTES {
        return Err(fault("is larger than 4 MiB, which no settings file is"));
    }
    let bytes = std::fs::read(file).map_err(|error| fault(&ground::reason(&error)))?;
    String::from_utf8(bytes).map_err(|_| fault("is not UTF-8 text"))
}

fn check(ground: &Ground<'_>) -> Result<Config, Fault> {
    let table = ground.layers.table();
    let raw: Raw = table.try_into().map_err(|error: toml::de::Error| {
        // The table of settings has checked names and kinds already; this is the belt to its
        // braces.
        Fault::new("settings", None, error.message())
    })?;
    let data_dir = storage::data_dir(ground, &raw.data_dir)?;
    let former = raw.master_key.previous.clone();
    let kms = master_key::master_key(ground, raw.master_key)?;
    let kms_previous = previous::previous(ground, &former, &kms)?;
    let mut limiter = limits::limits(ground, &raw.limits)?;
    let proxy = listeners::proxy(ground, &raw.proxy)?;
    let admin = listeners::admin(ground, &raw.admin, raw.limits.admin_per_minute, &proxy)?;
    listeners::stay_apart(ground, ("admin.listen", admin.listen), ("proxy.listen", proxy.listen))?;
    if ground.layers.origin("sandbox.listen").is_some() {
        let sandbox = ("sandbox.listen", raw.sandbox.listen);
        listeners::stay_apart(ground, sandbox, ("proxy.listen", proxy.listen))?;
        listeners::stay_apart(ground, sandbox, ("admin.listen", admin.listen))?;
    }
    let providers = providers(ground)?;
    let backfill = backfill::backfill(ground, &raw.backfill, &providers)?;
    limiter.shared = limits::shared(ground, raw.limits)?;
    Ok(Config {
        file: ground.layers.file.clone(),
        socket: data_dir.join("sealgate.sock"),
        log: log(ground.environment, &raw.log.format),
        egress: net::EgressSettings {
            allow_private_networks: raw.egress.allow_private_networks,
            ca_file: ground.certificates("egress.ca_file", &raw.egress.ca_file)?,
        },
        providers,
        store: storage::database(ground, raw.database.url, &data_dir)?,
        kms,
        kms_previous,
        vault: vault::Settings {
            kek_max_age_days: raw.vault.kek_max_age_days,
            keep_opened: Duration::from_secs(raw.vault.keep_opened_seconds),
            locked_memory_bytes: raw.vault.locked_memory_bytes,
        },
        probe: probe::Settings {
            every: Some(Duration::from_secs(raw.probe.every_minutes * 60)).filter(|t| !t.is_zero()),
        },
        rotation: rotation::Settings {
            retire_after: Duration::from_secs(raw.rotation.retire_after_minutes * 60),
            policies: renewals::policies(ground, &raw.rotation.policies, &raw.egress)?,
        },
        limiter,
        free_failures_per_minute: raw.auth.free_failures_per_minute,
        most_token_seconds: raw.auth.max_token_seconds,
        pages: browser::pages(ground, &raw.browser.origins)?,
        reports: reports::plans(ground, &raw.reports.schedules)?,
        ledger: storage::ledger(ground, &raw.audit, &data_dir),
        checkpoint_webhook: storage::webhook(ground, raw.audit.checkpoint_webhook)?.map(Arc::new),
        backup: storage::backup(ground, &raw.backup, &data_dir)?,
        alerts: alerts::alerts(ground, raw.alerts, &raw.egress.ca_file)?,
        backfill,
        sandbox: raw.sandbox.listen,
        proxy,
        admin,
        data_dir,
    })
}

fn log(environment: &Environment, format: &str) -> telemetry::Settings {
    telemetry::Settings {
        format: match format {
            "text" => telemetry::Format::Text,
            "json" => telemetry::Format::Json,
            _ => telemetry::Format::Auto,
        },
        filter: environment.log_filter().map(str::to_owned),
        colour: !environment.no_colour(),
    }
}

/// The tables of `[providers.*]`. What they mean is the provider room's to judge, so it is asked
/// here, where a fault can still be told with the file's name.
fn providers(ground: &Ground<'_>) -> Result<Vec<(String, toml::Table)>, Fault> {
    let mut providers = Vec::new();
    for (id, table) in ground.layers.providers() {
        let ca_file = table.get("ca_file").and_then(toml::Value::as_str).unwrap_or_default();
        ground.certificates(&format!("providers.{id}.ca_file"), ca_file)?;
        providers.push((id.clone(), table.clone()));
    }
    match Catalogue::build(&providers) {
        Ok(_) => Ok(providers),
        Err(bad) => Err(ground.fault(&bad.key, bad.fault)),
    }
}

#[cfg(test)]
mod tests;
