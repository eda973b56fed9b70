//! A real Sealgate for one test: on ports and in a folder of its own, on SQLite or PostgreSQL, its
//! clock in the test's hand, a scripted provider behind it and a canary as that provider's key.
//! What any actor sees is kept; leaving the house searches all of it for the canary.

mod actor;
mod binary;
mod bourse;
mod canary;
mod database;
mod desk;
mod emulator;
mod exchange;
pub(crate) mod frames;
mod harbour;
mod logs;
mod mill;
mod mint;
#[cfg(feature = "aws-kms")]
mod moto;
mod outpost;
mod phone;
mod postgres;
mod raw;
#[cfg(feature = "aws-kms")]
mod relay;
mod sailor;
mod tollgate;
mod transit;
mod weir;
mod wreck;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sealgate::app::{self, Mode, Running};
use sealgate::clock::Clock;
use sealgate::config::{self, Environment};

pub(crate) use self::actor::{Admin, Answer, Client, Scribe, Stream};
pub(crate) use self::binary::{Ground, Server, one_line, private, send_signal};
pub(crate) use self::bourse::{Bar, Bourse, Dice, Plant};
pub(crate) use self::canary::Canary;
pub(crate) use self::database::{Database, Kind};
pub(crate) use self::desk::{Desk, PASSWORD, cookie, offer};
pub(crate) use self::emulator::Emulator;
pub(crate) use self::exchange::{Exchange, LISTED};
pub(crate) use self::harbour::{Harbour, header};
pub(crate) use self::logs::errors;
pub(crate) use self::mill::{Mill, event, packed_text};
pub(crate) use self::mint::{Letter, Mint, Mood, PROJECT};
#[cfg(feature = "aws-kms")]
pub(crate) use self::moto::Moto;
pub(crate) use self::outpost::{Certificate, Channel, Outpost, Speaks};
pub(crate) use self::phone::Phone;
pub(crate) use self::postgres::{Postgres, is_root};
#[cfg(feature = "aws-kms")]
pub(crate) use self::relay::Relay;
pub(crate) use self::sailor::{KEY, Sailor};
pub(crate) use self::tollgate::{Bucket, LAST_PIECE, Rule, Tollgate};
pub(crate) use self::transit::{TOKEN, Transit};
pub(crate) use self::weir::{Flow, Weir};
pub(crate) use self::wreck::{Act, Greeting, Wreck};

/// 2026-01-15T12:00:00Z, where every test's clock begins.
pub(crate) const NOON_MS: i64 = 1_768_478_400_000;

/// What a test wants of its house beside the usual.
pub(crate) struct Plan {
    pub database: Kind,
    pub speaks: Speaks,
    pub sandbox: bool,
    /// Appended to the settings file.
    pub settings: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            database: Kind::Sqlite,
            speaks: Speaks::Both,
            sandbox: false,
            settings: String::new(),
        }
    }
}

pub(crate) struct House {
    running: Option<Running>,
    pub clock: Clock,
    pub canary: Canary,
    pub provider: Outpost,
    pub admin: Admin,
    pub database: Database,
    folder: tempfile::TempDir,
    scribe: Scribe,
    /// Every client key that was minted here; known to no provider and kept nowhere.
    keys: Arc<Mutex<Vec<String>>>,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::planned(Plan::default()).await
    }

    pub(crate) async fn on(database: Kind) -> Self {
        Self::planned(Plan { database, ..Plan::default() }).await
    }

    pub(crate) async fn planned(plan: Plan) -> Self {
        logs::listen();
        let folder = tempfile::tempdir().unwrap();
        let provider = Outpost::open(plan.speaks).await;
        let database = Database::fresh(plan.database, folder.path()).await;
        let settings = settings(folder.path(), &provider, &database, &plan.settings);
        std::fs::write(folder.path().join("sealgate.toml"), settings).unwrap();
        let clock = Clock::settable(NOON_MS);
        let running = boot(folder.path(), &clock, plan.sandbox).await;
        let scribe = Scribe::default();
        let keys = Arc::new(Mutex::new(Vec::new()));
        let first = running.first_admin_key().expect("a fresh house tells its first admin key");
        let first = first.expose_str().unwrap();
        keys.lock().unwrap_or_else(PoisonError::into_inner).push(first.to_owned());
        let admin = Admin::new(running.admin_address().unwrap(), first, scribe.clone());
        let canary = Canary::hatch();
        for provider in ["acme", "quill"] {
            let secret = serde_json::json!({
                "provider": provider,
                "fields": {"api_key": canary.plain()},
                "validate": false,
            });
            let answer = admin.post("/api/v1/admin/secrets").json(&secret).send().await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        Self {
            running: Some(running),
            clock,
            canary,
            provider,
            admin,
            folder,
            database,
            scribe,
            keys,
        }
    }

    /// Ends the house and opens it again, on what it left; its ports are others then.
    pub(crate) async fn restart(&mut self) {
        self.running.take().expect("it runs").stop().await;
        let running = boot(self.path(), &self.clock, false).await;
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner)[0].clone();
        self.admin = Admin::new(running.admin_address().unwrap(), &key, self.scribe.clone());
        self.running = Some(running);
    }

    /// Ends the house; what it left may be changed until it is started again.
    pub(crate) async fn shut(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    /// After `shut`: opens it on what stands, or says why not.
    pub(crate) async fn try_start(&mut self) -> Result<(), String> {
        let running = try_boot(self.path(), &self.clock, false).await?;
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner)[0].clone();
        self.admin = Admin::new(running.admin_address().unwrap(), &key, self.scribe.clone());
        self.running = Some(running);
        Ok(())
    }

    /// An operator on this machine, for when no key is any good.
    pub(crate) fn local(&self) -> Admin {
        Admin::local(&self.path().join("data/sealgate.sock"), self.scribe.clone())
    }

    /// The same client key, at the present address.
    pub(crate) fn holder(&self, client: &Client) -> Client {
        let (id, key) = (client.id.clone(), client.key.clone());
        Client::new(self.proxy_address(), id, key, self.scribe.clone())
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("the house is open until it is left")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn proxy_address(&self) -> std::net::SocketAddr {
        self.running().proxy_address().expect("it serves")
    }

    /// How clients reach the proxy, as answers write it.
    pub(crate) fn public_url(&self) -> String {
        format!("http://{}", self.proxy_address())
    }

    /// A holder of a fresh client key.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(serde_json::json!({})).await
    }

    /// With further members of the call that makes a key.
    pub(crate) async fn client_with(&self, members: serde_json::Value) -> Client {
        let mut body = serde_json::json!({"name": "a test's caller", "tier": "unlimited"});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.admin.post("/api/v1/admin/api-keys").json(&body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = answer.json();
        let key = made["key"].as_str().unwrap().to_owned();
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        let id = made["id"].as_str().unwrap().to_owned();
        Client::new(self.proxy_address(), id, key, self.scribe.clone())
    }

    /// A holder of what was given out for this client key.
    pub(crate) fn with_key(&self, id: &str, key: &str) -> Client {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
        Client::new(self.proxy_address(), id.to_owned(), key.to_owned(), self.scribe.clone())
    }

    /// The holder of a client key, at the admin face.
    pub(crate) fn as_admin(&self, client: &Client) -> Admin {
        let address = self.running().admin_address().expect("it serves");
        Admin::new(address, &client.key, self.scribe.clone())
    }

    /// The first admin key.
    pub(crate) fn admin_key(&self) -> String {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)[0].clone()
    }

    /// Bytes as they are, on a connection of their own, to the proxy.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        let answer = raw::exchange(self.proxy_address(), request.as_bytes()).await;
        self.scribe.note(&answer);
        answer
    }

    /// Asks for a socket; `lines` are further headers, each with its end.
    pub(crate) async fn sail(&self, path: &str, lines: &str) -> Sailor {
        Sailor::call(self.proxy_address(), (path, lines), self.scribe.clone()).await
    }

    /// Bytes as they are, and the head that is answered.
    pub(crate) async fn sail_raw(&self, bytes: &[u8]) -> Sailor {
        Sailor::say_first(self.proxy_address(), bytes, self.scribe.clone()).await
    }

    /// The same, to the admin face.
    pub(crate) async fn raw_to_admin(&self, request: &str) -> Answer {
        let address = self.running().admin_address().expect("it serves");
        let answer = raw::exchange(address, request.as_bytes()).await;
        self.scribe.note(&answer);
        answer
    }

    /// Neither in its files, nor in its database or its log.
    pub(crate) async fn keeps_nowhere(&self, word: &str) {
        let word = Canary::of(word.to_owned());
        for (path, bytes) in files_below(self.path()) {
            word.is_nowhere_in(&path.display().to_string(), &bytes);
        }
        word.is_nowhere_in("the database", &self.database.dump().await);
        word.is_nowhere_in("the log", &logs::heard());
    }

    /// Ends the house and searches everything it leaves.
    pub(crate) async fn leave(mut self) {
        // While it runs, SQLite's write-ahead log still holds what was written last.
        self.search_files("while running");
        let running = self.running.take().expect("left once");
        running.stop().await;
        self.search_files("after the end");
        let dump = self.database.dump().await;
        self.search("the database", &dump);
        self.search("the log", &logs::heard());
        self.canary.is_nowhere_in("what an actor was answered", &self.scribe.all());
        for seen in self.provider.seen() {
            for key in self.all_keys() {
                key.is_nowhere_in("what reached the provider", &seen.bytes());
            }
        }
        self.database.drop_it().await;
    }

    /// The provider's key and every client key.
    fn search(&self, place: &str, hay: &[u8]) {
        self.canary.is_nowhere_in(place, hay);
        for key in self.all_keys() {
            key.is_nowhere_in(place, hay);
        }
    }

    fn search_files(&self, moment: &str) {
        for (path, bytes) in files_below(self.path()) {
            self.search(&format!("{} {moment}", path.display()), &bytes);
        }
    }

    fn all_keys(&self) -> Vec<Canary> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| Canary::of(key.clone())).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if self.running.is_some() && !std::thread::panicking() {
            panic!("a house must be left, so that it is searched");
        }
    }
}

/// The usual settings: two providers, which are the same outpost with the key in different places.
fn settings(folder: &Path, provider: &Outpost, database: &Database, more: &str) -> String {
    let ca_file = folder.join("outpost.pem");
    std::fs::write(&ca_file, &provider.ca_pem).unwrap();
    let bearer = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let query = "[{ at = \"query\", name = \"apikey\" }, \
                 { at = \"header\", name = \"X-Quill-Key\", value = \"{api_key}\" }]";
    format!(
        "data_dir = \"data\"\nproxy.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         proxy.workers = 2\nsandbox.listen = \"127.0.0.1:0\"\n\
         {}{}{}\n{}{}",
        master_key(more),
        database.settings(),
        more,
        provider.settings("acme", &ca_file, bearer),
        provider.settings("quill", &ca_file, query),
    )
}

/// A file, unless the test says otherwise.
fn master_key(more: &str) -> &'static str {
    match more.contains("master_key") {
        true => "",
        false => "master_key = { kind = \"file\", path = \"keys/master.key\" }\n",
    }
}

async fn boot(folder: &Path, clock: &Clock, sandbox: bool) -> Running {
    try_boot(folder, clock, sandbox).await.unwrap()
}

async fn try_boot(folder: &Path, clock: &Clock, sandbox: bool) -> Result<Running, String> {
    let environment = Environment::of(folder, &[]);
    let loaded = config::load(None, &environment).unwrap();
    let started = app::start(loaded.config, clock.clone(), Mode::Serve { sandbox }).await;
    started.map_err(|fault| fault.to_string())
}

/// Every file below a folder, but for pages that nobody wrote yet.
pub(crate) fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            // Not read: a socket, or gone since it was listed.
            if let Ok(bytes) = std::fs::read(&path) {
                found.push((path, without_empty_pages(&bytes)));
            }
        }
    }
    found
}

/// Journal segments are mostly pages that nobody wrote yet.
fn without_empty_pages(bytes: &[u8]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let written = bytes.chunks(PAGE).filter(|page| *page != &[0; PAGE][..page.len()]);
    // What is left may join two pages: a search finds more that way, never less.
    written.flatten().copied().collect()
}

/// The same test on both databases.
macro_rules! on_both {
    (async fn $name:ident($house:ident: House) $body:block) => {
        mod $name {
            use super::*;

            async fn run($house: House) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run(House::on(crate::house::Kind::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                run(House::on(crate::house::Kind::Postgres).await).await;
            }
        }
    };
}
pub(crate) use on_both;
