//! The checks that need only settings, files,
//! database, clock and ports. Each looks and none
//! repairs.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::super::{healthcheck, link};
use super::check::{Check, database_stands};
use super::{history, master, pages, rows};
use crate::app;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::limiter;
use crate::secret;
use crate::store::{self, Store, Target};

const SANDBOX: &str = "sandbox";

pub(super) async fn all(config: &Config, clock: &Clock) -> Vec<Check> {
    let running = link::answers(&config.socket).unwrap_or(false);
    let database = database(config, clock).await;
    let master = master::check(config, clock, database.ok).await;
    // What is wrong with the database as a whole has its line.
    let rows = match database.ok {
        true => rows::check(config, clock, (running, master.ok)).await,
        false => Vec::new(),
    };
    let mut checks = vec![
        clock_is_set(clock),
        data_folder(&config.data_dir),
        master,
        memory(config),
        database,
        server(config, running),
        port("proxy port", "proxy.listen", config.proxy.listen, running),
        port("admin port", "admin.listen", config.admin.listen, running),
    ];
    checks.extend(app::look_at_room(&app::folders(config)).into_iter().map(room));
    checks.extend(master::stray(config, clock).await);
    if let Some(shared) = &config.limiter.shared {
        checks.push(redis(shared, config, clock).await);
    }
    checks.extend(rows);
    checks.extend(pages::check(&config.pages));
    checks.extend(providers(config, clock, running).await);
    checks
}

/// One line for each provider that holds a secret. A database that does not open has its own line.
async fn providers(config: &Config, clock: &Clock, running: bool) -> Vec<Check> {
    const NAME: &str = "provider";
    if !database_stands(config) {
        return Vec::new();
    }
    let Ok(store) = Store::open(&config.store, clock.clone()).await else { return Vec::new() };
    let stored = store.secrets().await.map(|loaded| loaded.rows).unwrap_or_default();
    let symbols = store.symbols().await.unwrap_or_default();
    store.close().await;
    let mut named: Vec<String> = stored.into_iter().map(|stored| stored.secret.provider).collect();
    named.sort_unstable();
    named.dedup();
    let reached = match app::reach(config, &named).await {
        Ok(reached) => reached,
        Err(fault) => return vec![Check::red(NAME, fault.to_string(), "see the settings")],
    };
    let check = |(provider, fault): (String, Option<String>)| match fault {
        None => Check::green(NAME, format!("{provider} can be reached")),
        Some(fault) => Check::red(
            NAME,
            format!("{provider}: {fault}"),
            "check the network, DNS and egress settings of this machine",
        ),
    };
    let mut checks: Vec<Check> = reached.into_iter().filter(is_not_sandbox).map(check).collect();
    checks.extend(history::check(&config.backfill, &symbols, &named));
    if running && let Ok((_, said)) = healthcheck::readiness(config).await {
        let remedy = "it is tried again by itself; /metrics and the log say which address and why";
        checks.extend(left_alone(&said).map(|detail| Check::note(NAME, detail, remedy)));
    }
    if named.iter().any(|provider| provider == SANDBOX) {
        checks.push(sandbox(config, running));
    }
    checks
}

/// What a running server says of providers that fail just now.
fn left_alone(said: &Value) -> Option<&str> {
    let mut parts = said.get("parts")?.as_array()?.iter();
    let part = parts.find(|part| part.get("name").is_some_and(|name| name == "providers"))?;
    part.get("detail")?.as_str()
}

fn is_not_sandbox((provider, _): &(String, Option<String>)) -> bool {
    provider != SANDBOX
}

/// Its key is made anew at each `serve --sandbox`; without that there is nothing to reach.
fn sandbox(config: &Config, running: bool) -> Check {
    let listener = port(SANDBOX, "sandbox.listen", config.sandbox, running);
    match listener.ok {
        true => {
            Check::green(SANDBOX, "its key is sealed; it is there while `serve --sandbox` runs")
        }
        false => listener,
    }
}

fn clock_is_set(clock: &Clock) -> Check {
    let now = clock::rfc3339(clock.unix_ms());
    if clock.is_plausible() {
        return Check::green("clock", now);
    }
    let detail = format!("{now} cannot be: expiries would be judged wrongly");
    Check::red("clock", detail, "set the machine's clock, e.g. by starting its time service")
}

fn data_folder(folder: &Path) -> Check {
    const NAME: &str = "data folder";
    let place = folder.display();
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::red(NAME, format!("{place} is not there"), "run `sealgate init`");
        }
        Err(error) => {
            let remedy = "run this as the user that the server runs as";
            return Check::red(NAME, format!("{place}: {error}"), remedy);
        }
    };
    if !metadata.is_dir() {
        return Check::red(NAME, format!("{place} is not a folder"), "set data_dir to a folder");
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let detail = format!("{place} has mode {mode:04o}: others can look into it");
        return Check::red(NAME, detail, format!("run: chmod 700 {place}"));
    }
    let writable = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK);
    match writable {
        Ok(()) => Check::green(NAME, format!("{place}, mode {mode:04o}")),
        Err(errno) => {
            let detail = format!("{place} cannot be written: {}", errno.desc());
            Check::red(NAME, detail, "give the folder to the user that the server runs as")
        }
    }
}

fn room(found: app::Space) -> Check {
    const NAME: &str = "free space";
    const REMEDY: &str = "free space on that disk: older backups may go elsewhere, audit.retention_days \
                          may be less";
    match found.room {
        app::Room::Enough => Check::green(NAME, found.sentence),
        app::Room::Little => Check::note(NAME, found.sentence, REMEDY),
        app::Room::Gone => Check::red(NAME, found.sentence, REMEDY),
    }
}

/// As the server would get it, had it this shell's limits.
fn memory(config: &Config) -> Check {
    let protection = secret::prepare(config.vault.locked_memory_bytes);
    match protection.remedy() {
        None => Check::green("memory", protection.sentence()),
        Some(remedy) => Check::red("memory", protection.sentence(), remedy),
    }
}

async fn database(config: &Config, clock: &Clock) -> Check {
    const NAME: &str = "database";
    if let Target::Sqlite(path) = &config.store.target
        && !path.exists()
    {
        // Opening it would make it.
        return Check::red(NAME, format!("{} is not there", path.display()), "run `sealgate init`");
    }
    let remedy = "see database.url and the database's own log; a backup may be needed";
    let store = match Store::open(&config.store, clock.clone()).await {
        Ok(store) => store,
        Err(fault) => return Check::red(NAME, fault.to_string(), remedy),
    };
    let outcome = match store.check_integrity().await {
        Ok(()) => match store.lacking().await {
            Ok(lacking) if lacking.is_empty() => store.schema_version().await,
            Ok(lacking) => Err(store::Error::Lacking { fault: lacking.join(", ") }),
            Err(fault) => Err(fault),
        },
        Err(fault) => Err(fault),
    };
    let place = store.describe().to_owned();
    store.close().await;
    match outcome {
        Ok(version) => Check::green(NAME, format!("{place}, schema {version}, holds together")),
        Err(fault) => Check::red(NAME, fault.to_string(), remedy),
    }
}

async fn redis(shared: &limiter::SharedSettings, config: &Config, clock: &Clock) -> Check {
    const NAME: &str = "redis";
    let lost = config.data_dir.join("limits.damaged");
    if lost.exists() {
        let lost = lost.display();
        let detail = format!(
            "what this node let in while Redis was away was noted in a file that was lost or \
             damaged, and was counted up from the trail; see {lost}"
        );
        return Check::red(NAME, detail, format!("look at the disk, then remove {lost}"));
    }
    let look = match limiter::look_at(shared, installation(config, clock).await).await {
        Ok(look) => look,
        Err(why) => {
            let detail = "limits are not shared: each node spends its share of the quotas";
            return Check::red(NAME, detail, why.sentence());
        }
    };
    let nodes = match look.nodes.as_slice() {
        [] => String::from("no node counts there now"),
        nodes => format!("nodes: {}", nodes.join(", ")),
    };
    if !look.healed.is_empty() {
        let keys = look.healed.join(", ");
        let detail = format!("answers; somebody else wrote {keys}, which was thrown away; {nodes}");
        let remedy = "give Sealgate an account of its own in Redis, and nobody else the right to \
                      write keys that begin with sealgate:; the line goes after a day";
        return Check::note(NAME, detail, remedy);
    }
    // Windows that are thrown out when memory is short would begin anew.
    if look.policy != "noeviction" {
        let detail = format!("answers; its maxmemory-policy is {}; {nodes}", look.policy);
        let remedy = "set Redis's maxmemory-policy to noeviction, so that it forgets no window";
        return Check::note(NAME, detail, remedy);
    }
    Check::green(NAME, format!("answers, and forgets nothing when its memory is full; {nodes}"))
}

/// None where the database does not say it, which has its line.
async fn installation(config: &Config, clock: &Clock) -> Option<uuid::Uuid> {
    if !database_stands(config) {
        return None;
    }
    let store = Store::open(&config.store, clock.clone()).await.ok()?;
    let installation = store.installation().await.ok().flatten();
    store.close().await;
    installation.map(|installation| installation.id)
}

fn server(config: &Config, running: bool) -> Check {
    let place = config.socket.display();
    let detail = if running { format!("runs, at {place}") } else { String::from("does not run") };
    Check::green("server", detail)
}

fn port(name: &'static str, key: &str, listen: SocketAddr, running: bool) -> Check {
    if listen.port() == 0 {
        return Check::green(name, format!("{listen}: chosen at the start"));
    }
    if running {
        return Check::green(name, format!("{listen}: held by our own server"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Check::green(name, format!("{listen}: free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let remedy = format!("stop the other program, or set {key} to a free port");
            Check::red(name, format!("{listen}: another program holds it"), remedy)
        }
        Err(error) => {
            let remedy = format!("set {key} to an address of this machine");
            Check::red(name, format!("{listen}: {error}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_running_server_leaves_alone_is_told() {
        let said = |detail: Value| {
            let parts = [("vault", Value::Null), ("providers", detail)];
            let part = |(name, detail)| serde_json::json!({"name": name, "detail": detail});
            serde_json::json!({"parts": parts.map(part)})
        };
        assert_eq!(left_alone(&said(Value::Null)), None);
        assert_eq!(left_alone(&said("acme rests".into())), Some("acme rests"));
        assert_eq!(left_alone(&Value::Null), None);
    }

    #[test]
    fn a_clock_that_was_never_set_is_red() {
        assert!(!clock_is_set(&Clock::settable(0)).ok);
        assert!(clock_is_set(&Clock::settable(1_768_487_400_000)).ok);
    }

    #[test]
    fn a_data_folder_is_there_private_and_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let missing = data_folder(&data);
        assert_eq!((missing.ok, missing.remedy.as_deref()), (false, Some("run `sealgate init`")));
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        let open = data_folder(&data);
        assert_eq!(open.remedy, Some(format!("run: chmod 700 {}", data.display())));
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(data_folder(&data).ok);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(!data_folder(&folder.path().join("file")).ok);
    }

    #[test]
    fn a_port_is_free_ours_or_somebody_elses() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let check = port("proxy port", "proxy.listen", address, false);
        assert!(!check.ok && check.remedy.unwrap().contains("proxy.listen"));
        assert!(port("proxy port", "proxy.listen", address, true).ok);
        drop(held);
        assert!(port("proxy port", "proxy.listen", address, false).ok);
    }
}
