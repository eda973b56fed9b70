//! The whole: builds every room in order, runs both doors, drains, lets key material
//! die. The one place that knows all rooms; nothing is decided here that a room could
//! decide.

mod alerting;
mod archiving;
mod aside;
mod background;
mod certificates;
mod doors;
mod expiry;
mod fault;
mod feed;
mod keys;
mod limits;
mod lock;
mod note;
mod proof;
mod rescue;
mod rotators;
mod sandbox;
mod setup;
mod space;
mod spent;
mod told;
mod watch;
mod ways;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::Instrument as _;

use self::aside::Settled;
use self::background::{protect_memory, workers};
pub use self::fault::StartError;
use self::lock::DataLock;
pub(crate) use self::proof::{
    examine, examine_trail, lost_master_key, prove_master_key, stray_master_key,
};
pub use self::rescue::{Opener, Rescue, Restored, prove, restore};
pub use self::setup::{AskPassphrase, Setup, Step};
pub(crate) use self::space::{Room, Space, folders, look as look_at_room};
use self::ways::Ways;
pub(crate) use self::ways::reach;
use crate::admin::{Admin, Doors, LocalSocket};
use crate::alerts::{Alerts, Echoes};
pub use crate::backup::{Step as RestoreStep, Verdict};
use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::config::Config;
use crate::emulator::Emulator;
use crate::kms;
use crate::ledger::{self, Counting, Lane, Ledger, Opening};
use crate::limiter::Limiter;
use crate::net::{self, Accepted, Binding, Crowd, Drain};
use crate::proxy::Proxy;
use crate::refusal::Reason;
use crate::roster::Roster;
use crate::secret::SecretBytes;
use crate::store::Store;
use crate::telemetry::{self, Metrics};
use crate::vault::{self, Vault, Warden};

/// Which doors to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Both faces and the local socket.
    Serve { sandbox: bool },
    /// The local socket alone, for the time of one command.
    SocketOnly,
}

/// The running house.
pub struct Running {
    proxy: Option<Proxy>,
    admin_address: Option<SocketAddr>,
    first_admin_key: Option<SecretBytes>,
    emulator: Option<Emulator>,
    stop_admin: tokio::sync::oneshot::Sender<()>,
    admin: tokio::task::JoinHandle<()>,
    /// Look after the certificates, the backups, the keys and the holder of the master key; end
    /// with the house, and a job on the keys that is cut goes on at the next start.
    background: [tokio::task::JoinHandle<()>; 9],
    alerts: Arc<Alerts>,
    limiter: Arc<Limiter>,
    ledger: Ledger,
    writer: tokio::task::JoinHandle<()>,
    store: Store,
    _lock: DataLock,
}

/// Sets the installation up without running it; safe to run again.
pub async fn initialise(
    config: &Config,
    clock: Clock,
    ask: AskPassphrase,
) -> Result<Setup, StartError> {
    let (ground, lock) = ground(config, clock, Some(ask)).await?;
    setup::bind(config, &ground).await?;
    let setup = ground.setup;
    ground.store.close().await;
    drop(lock);
    Ok(setup)
}

/// The description of the admin API, for which no server has to run.
pub fn openapi() -> String {
    Admin::openapi()
}

/// What everything else stands on.
struct Ground {
    clock: Clock,
    store: Store,
    metrics: Metrics,
    roster: Arc<Roster>,
    installation: uuid::Uuid,
    setup: Setup,
}

async fn ground(
    config: &Config,
    clock: Clock,
    ask: Option<AskPassphrase>,
) -> Result<(Ground, DataLock), StartError> {
    net::install_provider();
    if !clock.is_plausible() {
        return Err(StartError::Clock(crate::clock::rfc3339(clock.unix_ms())));
    }
    let mut lock = DataLock::take(&config.data_dir, &config.store.target)?;
    crate::backup::sweep(&config.data_dir);
    protect_memory(config);
    let metrics = Metrics::new(clock.clone(), Reason::ALL.iter().map(|reason| reason.code()));
    let store = Store::open(&config.store, clock.clone()).await?;
    // A restore that died between its commit and its end.
    match aside::settle(&config.data_dir, &config.ledger.folder, &store).await? {
        Settled::Finished => lock.begin_anew()?,
        Settled::Nothing | Settled::Forgotten | Settled::Elsewhere => {}
    }
    let roster = Roster::open(store.clone(), clock.clone(), metrics.clone()).await?;
    let roster = roster.slowing_beyond(config.free_failures_per_minute);
    let roster = Arc::new(roster.with_tokens_of(config.most_token_seconds));
    let base = (&store, &clock, &*roster);
    let (installation, setup) = setup::run(config, base, ask).await?;
    sweep_keys(config, &store).await;
    let ground = Ground { clock, store, metrics, roster, installation, setup };
    Ok((ground, lock))
}

/// Starts the house on the current runtime; the proxy's threads are its own.
pub async fn start(config: Config, clock: Clock, mode: Mode) -> Result<Running, StartError> {
    let (ground, mut lock) = ground(&config, clock, None).await?;
    let Ground { clock, store, metrics, roster, installation, setup } = ground;
    let (catalogue, sandbox) = sandbox::catalogue(&config, &store, mode).await?;
    let base = (store.clone(), clock.clone(), installation);
    let vault = Vault::sealed(store.clone(), clock.clone(), catalogue.clone(), installation);
    let vault = Arc::new(vault.keeping_opened(&config.vault).anchored(&config.data_dir));
    vault.master_lies_in(config.master_place());
    tokio::spawn(Arc::clone(&vault).tend());
    let workers = workers(&config, mode);
    let renamed = lock.settle(ledger::owner_of(&config.ledger, &store, installation).await?)?;
    let (meter, echoes) = told::meter(&metrics);
    let opening = Opening {
        settings: config.ledger.clone(),
        store: store.clone(),
        clock: clock.clone(),
        installation,
        node: lock.node().to_owned(),
        workers,
        meter,
        post: webhook::post(&config),
        counting: Counting {
            window_ms: config.limiter.window_ms(),
            time_zone: config.limiter.time_zone.clone(),
        },
    };
    let (ledger, lanes) = Ledger::open(opening).await?;
    watch::tell_start((&vault, &config.data_dir), &ledger, &metrics, renamed)?;
    let writer = tokio::spawn(ledger.writer().instrument(telemetry::job("ledger")));
    let (kept, seen) = ((&clock, &store), (&ledger, &metrics));
    let limiter = limits::limiter(&config, mode, kept, seen, (installation, lock.node())).await?;
    spent::recall(&ledger, (&vault, &catalogue), &clock).await?;
    let drain = Drain::default();
    let hooks = watch::hooks((&vault, &roster), (&limiter, &drain), (&ledger, &metrics));
    let warden = Arc::new(Warden::new(Arc::clone(&vault), config.kms.clone(), base, hooks));
    warden.start().await?;
    if let Some(id) = setup.admin_id {
        store.accept_client_key(id).await?;
    }
    let crowd = config.proxy.crowd();
    let rooms = Rooms {
        clock,
        store,
        metrics,
        roster,
        vault,
        warden,
        drain,
        crowd,
        catalogue,
        limiter,
        ledger,
        echoes,
    };
    let asked = (&rooms.ledger, &rooms.metrics);
    watch::tell_arrival(&rooms.vault, asked);
    let tending = keys::tend(&rooms.vault, asked, lock.node(), config.vault.clone());
    let emulator = sandbox::open(sandbox, &rooms).await?;
    rooms.open_doors(config, mode, (lanes, emulator, lock, [writer, tending], setup)).await
}

/// What interrupted writes have left beside the master key; nothing while a row that may name it
/// cannot be read.
async fn sweep_keys(config: &Config, store: &Store) {
    let all_legible = store.keks().await.is_ok_and(|keks| keks.contradictions.is_empty());
    match vault::named_masters(store).await {
        Ok(named) if all_legible => kms::sweep(&config.kms, &named),
        Ok(_) | Err(_) => tracing::warn!("what rotations have left was not looked at"),
    }
}

/// Every keeper of the house.
struct Rooms {
    clock: Clock,
    store: Store,
    metrics: Metrics,
    roster: Arc<Roster>,
    vault: Arc<Vault>,
    warden: Arc<Warden>,
    /// Ends the proxy's connections.
    drain: Drain,
    crowd: Crowd,
    catalogue: InForce,
    limiter: Arc<Limiter>,
    ledger: Ledger,
    /// Answers in which a real key stood.
    echoes: Echoes,
}

type Carried =
    (Vec<Lane>, Option<sandbox::Sandbox>, DataLock, [tokio::task::JoinHandle<()>; 2], Setup);

impl Rooms {
    async fn open_doors(
        self,
        config: Config,
        mode: Mode,
        (lanes, sandbox, lock, [writer, tending], setup): Carried,
    ) -> Result<Running, StartError> {
        let ways =
            Arc::new(Ways::open((&config, &self.clock), &self.catalogue.now(), sandbox.as_ref())?);
        let renew = ways::refresh(&ways, &self.catalogue, &self.vault);
        let (proxy, binding) = match mode {
            Mode::SocketOnly => (None, None),
            Mode::Serve { .. } => {
                let admin = &config.admin;
                let binding = Binding::bind(admin.listen, 1, admin.tls.as_ref())?;
                (Some(self.start_proxy(&config, lanes, &ways)?), Some(binding))
            }
        };
        let certificates =
            [proxy.as_ref().and_then(Proxy::certificate), binding.as_ref().and_then(Binding::tls)];
        let refreshing =
            tokio::spawn(certificates::refresh(certificates.into_iter().flatten().collect()));
        let backups = tokio::spawn(self.schedule(&config, (mode, lock.node())));
        let expiring = expiry::Expiry::of(&self).tend().instrument(telemetry::job("expiry"));
        let archiving = self.archive(&config, mode);
        let told = (Arc::clone(&self.roster), Arc::clone(&self.vault));
        let feed = feed::follow(self.store.clone(), told, renew.clone());
        let feed = tokio::spawn(feed.instrument(telemetry::job("feed")));
        let keeping = Arc::clone(&self.warden).keep().instrument(telemetry::job("warden"));
        let admin_address = binding.as_ref().map(Binding::address);
        let network = binding.and_then(|mut binding| binding.take());
        let network = network.map(|(socket, tls)| Accepted::new(socket, tls)).transpose()?;
        let local = LocalSocket::bind(&config.socket)?;
        let (asked, working) = self.around(&config, &ways, (mode, lock.node()));
        let alerts = Arc::clone(&asked.1);
        let admin = Admin::new(self.admin_parts(&config, renew, ways.origins(), asked));
        let (stop_admin, stopped) = tokio::sync::oneshot::channel();
        let serving = admin.serve(Doors { network, local: Some(local) }, async {
            // A dropped sender means the house is gone, which is a stop too.
            let _stopped = stopped.await;
        });
        Ok(Running {
            proxy,
            admin_address,
            first_admin_key: setup.admin_key,
            emulator: sandbox.map(|sandbox| sandbox.emulator),
            stop_admin,
            admin: tokio::spawn(serving),
            background: [
                refreshing,
                backups,
                tending,
                tokio::spawn(expiring),
                feed,
                tokio::spawn(keeping),
                tokio::spawn(background::tidy(self.crowd.clone())),
                tokio::spawn(archiving),
                tokio::spawn(working),
            ],
            alerts,
            limiter: self.limiter,
            ledger: self.ledger,
            writer,
            store: self.store,
            _lock: lock,
        })
    }
}

impl Running {
    pub fn proxy_address(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().map(Proxy::address)
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// On the first run alone: the key that is shown once.
    pub fn first_admin_key(&self) -> Option<&SecretBytes> {
        self.first_admin_key.as_ref()
    }

    pub fn sandbox_address(&self) -> Option<SocketAddr> {
        self.emulator.as_ref().map(Emulator::address)
    }

    /// Calls in flight finish, new ones are refused, all records reach the database; then the doors
    /// close and key material dies with the rooms.
    pub async fn stop(self) {
        if let Some(proxy) = self.proxy {
            proxy.stop().await;
        }
        self.limiter.leave().await;
        // Nobody listens where the face ended by itself; then there is nothing to stop.
        let _sent = self.stop_admin.send(());
        if self.admin.await.is_err() {
            tracing::error!("the admin face ended in a panic");
        }
        if let Some(emulator) = self.emulator {
            emulator.stop().await;
        }
        self.alerts.leave().await;
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
        self.ledger.stop();
        if self.writer.await.is_err() {
            tracing::error!("the ledger's writer ended in a panic");
        }
        self.store.close().await;
    }
}
