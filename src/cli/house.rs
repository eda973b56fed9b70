//! What the command line asks of the app: to run it, to set it up, to serve the local socket alone.
//! The one place where the two meet.
//! Must never set an installation up that nobody asked for: its first key would be lost.

use std::time::Duration;

use super::failure::Failure;
use super::{link, passphrase};
use crate::app::{
    self, AskPassphrase, Mode, Rescue, RestoreStep, Restored, Running, Setup, StartError, Verdict,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Target;

/// How often to look again while another process holds the data folder: a server that is about to
/// open its socket, or another command that is about to end.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The app without listeners, for the time of one command.
pub(super) struct Offline(Running);

impl Offline {
    /// Lets the app end in good order.
    pub(super) async fn close(self) {
        self.0.stop().await;
    }
}

/// None where a server turned out to run after all.
pub(super) async fn offline(config: &Config) -> Result<Option<Offline>, Failure> {
    stands(config)?;
    for _ in 0..LOOKS {
        match app::start(config.clone(), Clock::system(), Mode::SocketOnly).await {
            Ok(running) => return keep_first_key(running).map(Some),
            Err(StartError::InUse(_)) => {
                if link::answers(&config.socket)? {
                    return Ok(None);
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            Err(
                fault @ (StartError::Clock(_)
                | StartError::DataFolder { .. }
                | StartError::DatabaseInUse(_)
                | StartError::Room(_)),
            ) => return Err(failure(fault)),
        }
    }
    Err(Failure::new(format!(
        "another process holds {} and does not answer on its socket; wait for it, or end it",
        config.data_dir.display()
    )))
}

/// Starting the app sets up what is missing; a command that only looks must not.
fn stands(config: &Config) -> Result<(), Failure> {
    let database = match &config.store.target {
        Target::Sqlite(path) => path.exists(),
        Target::Postgres(_) => true,
    };
    if database && config.data_dir.exists() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "there is no installation in {}; run `sealgate init`, or set data_dir to its folder",
        config.data_dir.display()
    )))
}

/// A new installation gets its first admin at its start; that key is told here or nowhere.
fn keep_first_key(running: Running) -> Result<Offline, Failure> {
    use std::io::Write;
    if let Some(key) = running.first_admin_key().and_then(|key| key.expose_str()) {
        let mut err = std::io::stderr().lock();
        writeln!(err, "sealgate: the first admin key, shown this once: {key}")
            .map_err(unprinted)?;
    }
    Ok(Offline(running))
}

/// Asks for a passphrase only where a master key is made that needs one.
pub(super) fn initialise(config: &Config) -> Result<Setup, Failure> {
    // A running server has done all of it.
    if link::answers(&config.socket)? {
        let what = format!("installation in {}, served at present", config.data_dir.display());
        return Ok(Setup {
            steps: vec![app::Step { what, stood: true }],
            admin_key: None,
            admin_id: None,
            has_no_admin: false,
        });
    }
    let ask = ask_new_passphrase();
    runtime()?.block_on(app::initialise(config, Clock::system(), ask)).map_err(failure)
}

fn ask_new_passphrase() -> AskPassphrase {
    Box::new(|| {
        let typed = passphrase::new();
        typed.map_err(|failure| StartError::Room(failure.line().to_owned()))
    })
}

/// No server may run meanwhile: it would go on in a house that is not there any more.
pub(super) fn restore_backup(
    config: &Config,
    rescue: Rescue,
    told: &(dyn Fn(RestoreStep) + Sync),
) -> Result<Restored, Failure> {
    if link::answers(&config.socket)? {
        return Err(Failure::new(format!(
            "a server runs in {}; stop it, then restore",
            config.data_dir.display()
        )));
    }
    let clock = Clock::system();
    let ask = ask_new_passphrase();
    runtime()?.block_on(app::restore(config, clock, (rescue, ask), told)).map_err(failure)
}

pub(super) fn prove_backup(config: &Config, rescue: Rescue) -> Result<Verdict, Failure> {
    runtime()?.block_on(app::prove(config, Clock::system(), rescue)).map_err(failure)
}

/// Runs until a signal says stop; a second one ends at once what the drain would still wait for.
pub(super) fn serve(
    config: Config,
    sandbox: bool,
    announce: impl FnOnce(&Running) -> Result<(), Failure>,
) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let running =
            app::start(config, Clock::system(), Mode::Serve { sandbox }).await.map_err(failure)?;
        let announced = announce(&running);
        if announced.is_ok() {
            signals.next().await;
            tracing::info!("stopping: calls in flight finish, new ones are refused");
        }
        tokio::select! {
            () = running.stop() => announced,
            () = signals.next() => Err(Failure::new("stopped at once; calls in flight were cut")),
        }
    })
}

pub(super) fn openapi() -> String {
    app::openapi()
}

fn failure(fault: StartError) -> Failure {
    Failure::new(fault.to_string())
}

fn unprinted(error: std::io::Error) -> Failure {
    Failure::new(format!("cannot print: {error}"))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("house")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
