//! What the command line asks of the app: to run it, to set it up, to serve the local socket alone.
//! The one place where the two meet.
//! Must never decide anything of its own.

use std::io::Write;

use super::failure::Failure;
use crate::app::{self, Mode, Running, StartError};
use crate::clock::Clock;
use crate::config::Config;

/// What `init` did and what it found.
pub(super) struct Setup {
    /// What was done, or already stood, in order.
    pub(super) steps: Vec<Step>,
    /// The first admin key, on the first run alone.
    pub(super) admin_key: Option<String>,
}

pub(super) struct Step {
    pub(super) what: String,
    /// It was there already.
    pub(super) stood: bool,
}

/// The app without listeners, for the time of one command.
pub(super) struct Offline(Running);

impl Offline {
    /// Lets the app end in good order.
    pub(super) async fn close(self) {
        self.0.stop().await;
    }
}

pub(super) async fn offline(config: Config) -> Result<Offline, Failure> {
    let running = app::start(config, Clock::system(), Mode::SocketOnly).await.map_err(failure)?;
    Ok(Offline(running))
}

pub(super) fn initialise(config: &Config) -> Result<Setup, Failure> {
    let setup = runtime()?.block_on(app::initialise(config, Clock::system())).map_err(failure)?;
    let admin_key = setup.admin_key.as_ref().and_then(|key| key.expose_str());
    Ok(Setup {
        admin_key: admin_key.map(str::to_owned),
        steps: setup
            .steps
            .into_iter()
            .map(|step| Step { what: step.what, stood: step.stood })
            .collect(),
    })
}

/// Runs until a signal says stop; a second one ends at once what the drain would still wait for.
pub(super) fn serve(config: Config, sandbox: bool) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let running =
            app::start(config, Clock::system(), Mode::Serve { sandbox }).await.map_err(failure)?;
        announce(&running).map_err(|error| Failure::new(format!("cannot print: {error}")))?;
        signals.next().await;
        tracing::info!("stopping: calls in flight finish, new ones are refused");
        tokio::select! {
            () = running.stop() => Ok(()),
            () = signals.next() => Err(Failure::new("stopped at once; calls in flight were cut")),
        }
    })
}

pub(super) fn openapi() -> Result<String, Failure> {
    Ok(app::openapi())
}

fn failure(fault: StartError) -> Failure {
    Failure::new(fault.to_string())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
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

/// Where to look, and on the first run the admin key, this once.
fn announce(running: &Running) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let proxy = running.proxy_address().map(|address| format!("http://{address}"));
    let proxy = proxy.unwrap_or_default();
    if let Some(admin) = running.admin_address() {
        writeln!(out, "Sealgate serves.")?;
        writeln!(out, "  proxy  {proxy}")?;
        writeln!(out, "  admin  http://{admin}  (API description at /docs)")?;
    }
    if let Some(address) = running.sandbox_address() {
        writeln!(out, "  sandbox provider  https://{address}  (its key is sealed already)")?;
    }
    let key = running.first_admin_key().and_then(|key| key.expose_str());
    if let Some(key) = key {
        writeln!(out, "\nThe first admin key, shown this once; keep it safe:\n")?;
        writeln!(out, "  export ADMIN_KEY={key}")?;
    }
    if let (Some(_), Some(admin)) = (running.sandbox_address(), running.admin_address()) {
        let path = "v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09";
        writeln!(out, "\nTry it: make a client key, then call the sandbox with it.\n")?;
        writeln!(
            out,
            "  curl -s http://{admin}/api/v1/admin/api-keys -H \"X-API-Key: $ADMIN_KEY\" \
             -H 'Content-Type: application/json' -d '{{\"name\":\"first\"}}'"
        )?;
        writeln!(out, "  curl -s {proxy}/sandbox/{path} -H \"X-API-Key: $CLIENT_KEY\"\n")?;
    }
    out.flush()
}
