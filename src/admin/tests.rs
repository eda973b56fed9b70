//! The admin face with real keepers behind it, called without a listener unless a test is about
//! one. Every answer is searched for the value of the one secret that the tests store; it must
//! never be there.

mod bounds;
mod doors;
mod frame;
mod keys;
mod rights;
mod sealing;
mod secrets;
mod trail;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::trace::Peer;
use super::*;
use crate::alerts;
use crate::client::{Role, Tier};
use crate::kms;
use crate::ledger;
use crate::provider::Catalogue;
use crate::roster::NewClient;
use crate::store::{AssetClass, ClientKeyRow, Settings as StoreSettings, Target};
use crate::telemetry::Metrics;
use crate::vault::Hooks;

/// Searched for in every answer.
const CANARY: &str = "canary-polygon-key-0123456789";

struct Face {
    admin: Admin,
    router: axum::Router,
    clock: Clock,
    store: Store,
    roster: Arc<Roster>,
    writer: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
    json: Value,
}

async fn face() -> Face {
    face_with(600).await
}

fn as_usual() -> accounts::Settings {
    accounts::Settings {
        session_idle_seconds: 1800,
        session_seconds: 43_200,
        invitation_seconds: 259_200,
    }
}

fn no_backups(folder: &Path) -> backup::Settings {
    backup::Settings {
        folder: folder.join("backups"),
        every: None,
        keep: 1,
        recipients: Vec::new(),
    }
}

fn allowing(requests_per_minute: u64) -> Settings {
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        behind_tls: false,
        tls: None,
        frame_ancestors: Vec::new(),
        proxy_url: String::from("http://127.0.0.1:8080"),
        requests_per_minute,
        operators: as_usual(),
    }
}

async fn face_with(requests_per_minute: u64) -> Face {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::settable(1_768_487_400_000);
    let target = Target::Sqlite(folder.path().join("test.db"));
    let store = Store::open(&StoreSettings { target }, clock.clone()).await.unwrap();
    store.seed_symbols(&[("SPY", AssetClass::Etf), ("AAPL", AssetClass::Stock)]).await.unwrap();
    let catalogue = Arc::new(Catalogue::build(&[]).unwrap());
    let installation = Uuid::from_u128(7);
    let base = (store.clone(), clock.clone(), installation);
    let (vault, warden) = unsealed(folder.path(), base, catalogue.clone()).await;
    let metrics = Metrics::new(clock.clone(), []);
    let roster = Arc::new(Roster::open(store.clone(), clock.clone(), metrics).await.unwrap());
    let opening = ledger::Opening {
        settings: ledger::Settings {
            folder: folder.path().join("journal"),
            retention_days: 90,
            archives: std::path::PathBuf::new(),
            is_strict: false,
            checkpoints: None,
            budget_bytes: 16 * 1024 * 1024,
        },
        store: store.clone(),
        clock: clock.clone(),
        installation,
        node: String::from("node-a"),
        workers: 1,
        meter: Box::new(|_| {}),
        counting: ledger::Counting { window_ms: 3_600_000, time_zone: jiff::tz::TimeZone::UTC },
        post: None,
    };
    let (ledger, _lanes) = Ledger::open(opening).await.unwrap();
    let writer = tokio::spawn(ledger.writer());
    let tiers = tiers();
    let prober = asks_nobody(&store, &clock, &catalogue, (&vault, &ledger));
    let limiter = Arc::new(Limiter::new(tiers.clone(), (clock.clone(), store.clone()), 100));
    let alerts = tells_nobody((&store, &clock), (&vault, &ledger), (&roster, &limiter), &tiers);
    let admin = Admin::new(Parts {
        settings: allowing(requests_per_minute),
        clock: clock.clone(),
        store: store.clone(),
        roster: roster.clone(),
        desk: Desk::new(store.clone(), clock.clone(), daily()),
        rotor: moves_nobody((&store, &clock), (&vault, &ledger), &prober),
        prober,
        vault,
        warden,
        ledger,
        catalogue: catalogue.into(),
        refresh: Arc::new(|| Box::pin(async { Ok(()) })),
        backups: no_backups(folder.path()),
        limiter,
        alerts,
        allow_private_webhooks: false,
        tiers,
        figures: Arc::new(|| String::from("# EOF\n")),
        readiness: Arc::new(|| Box::pin(async { Vec::new() })),
    });
    let router = admin.router();
    Face { admin, router, clock, store, roster, writer, folder }
}

fn tells_nobody(
    (store, clock): (&Store, &Clock),
    (vault, ledger): (&Arc<Vault>, &Ledger),
    (roster, limiter): (&Arc<Roster>, &Arc<Limiter>),
    tiers: &limiter::Settings,
) -> Arc<Alerts> {
    Arc::new(Alerts::new(alerts::Parts {
        settings: alerts::Settings { auth_failures_per_minute: 0, mail: None, syslog: None },
        store: store.clone(),
        ledger: ledger.clone(),
        vault: Arc::clone(vault),
        roster: Arc::clone(roster),
        limiter: Arc::clone(limiter),
        tiers: tiers.clone(),
        clock: clock.clone(),
        metrics: Metrics::new(clock.clone(), []),
        node: String::from("node-a"),
        backs_up: false,
        echoes: alerts::Echoes::default(),
        post: Arc::new(|_| Box::pin(async { Err(String::from("nobody is there")) })),
        policies: crate::rotation::Policies::default(),
    }))
}

fn daily() -> crate::market::Settings {
    crate::market::Settings {
        provider: String::from("polygon"),
        span: crate::market::Span::Day,
        days: 730,
        at_once: 8,
        schedule: None,
    }
}

/// No provider is reached by it.
fn asks_nobody(
    store: &Store,
    clock: &Clock,
    catalogue: &Arc<Catalogue>,
    (vault, ledger): (&Arc<Vault>, &Ledger),
) -> Arc<Prober> {
    crate::net::install_provider();
    let connector = crate::net::Connector::new(false, clock.clone());
    let nowhere = Catalogue::build(&[]).unwrap();
    let nowhere = nowhere
        .iter()
        .fold(Catalogue::build(&[]).unwrap(), |rest, provider| rest.without(&provider.id));
    let trust = crate::net::Trust::new(&[]).unwrap();
    let ways = std::collections::HashMap::new();
    let origins = crate::upstream::Origins::new(connector, &nowhere, &trust, &ways);
    Arc::new(Prober::new(crate::probe::Parts {
        vault: Arc::clone(vault),
        catalogue: catalogue.clone().into(),
        store: store.clone(),
        ledger: ledger.clone(),
        metrics: Metrics::new(clock.clone(), []),
        clock: clock.clone(),
        origins: Arc::new(origins),
    }))
}

fn moves_nobody(
    (store, clock): (&Store, &Clock),
    (vault, ledger): (&Arc<Vault>, &Ledger),
    prober: &Arc<Prober>,
) -> Arc<Rotor> {
    Arc::new(Rotor::new(crate::rotation::Parts {
        vault: Arc::clone(vault),
        store: store.clone(),
        prober: Arc::clone(prober),
        ledger: ledger.clone(),
        metrics: Metrics::new(clock.clone(), []),
        clock: clock.clone(),
        settings: crate::rotation::Settings {
            retire_after: Duration::from_secs(60),
            policies: crate::rotation::Policies::default(),
        },
        catalogue: Arc::new(Catalogue::build(&[]).unwrap()).into(),
        ways: no_rotators(),
        node: String::from("node-a"),
    }))
}

fn no_rotators() -> crate::rotation::Ways {
    let nobody = || Err(String::from("nobody is there"));
    crate::rotation::Ways {
        post: Arc::new(move |_| Box::pin(async move { nobody() })),
        run: Arc::new(move |_| Box::pin(async move { nobody() })),
        look: Arc::new(|_| Ok(())),
    }
}

fn tiers() -> limiter::Settings {
    limiter::Settings {
        enabled: true,
        window_seconds: 3600,
        unlimited: 999_999,
        premium: 1000,
        standard: 100,
        limited: 10,
        time_zone: jiff::tz::TimeZone::UTC,
        shared: None,
    }
}

/// A vault whose master key is a file, open.
async fn unsealed(
    folder: &Path,
    (store, clock, installation): (Store, Clock, Uuid),
    catalogue: Arc<Catalogue>,
) -> (Arc<Vault>, Arc<Warden>) {
    let path = folder.join("master.key");
    std::fs::write(&path, [3; 32]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let vault = Vault::sealed(store.clone(), clock.clone(), catalogue, installation);
    let vault = Arc::new(vault);
    let hooks = Hooks { cut: Box::new(|| Box::pin(async { true })), ring: Box::new(|_| {}) };
    let settings = kms::Settings::File { path };
    let warden = Warden::new(vault.clone(), settings, (store, clock, installation), hooks);
    let warden = Arc::new(warden);
    warden.start().await.unwrap();
    (vault, warden)
}

impl Face {
    /// A client key made behind the face's back.
    async fn key(&self, role: Role, tier: Tier) -> String {
        self.key_of(ClientKeyRow::new(role.as_str(), role, tier, "test")).await
    }

    async fn key_of(&self, row: ClientKeyRow) -> String {
        let issued = self.roster.issue(NewClient { row }).await.unwrap();
        issued.key.expose_str().unwrap().to_owned()
    }

    async fn admin_key(&self) -> String {
        self.key(Role::Admin, Tier::Unlimited).await
    }

    async fn send(&self, method: &str, target: &str, key: &str, body: Option<Value>) -> Got {
        self.send_with(method, target, &[("x-api-key", key)], body).await
    }

    async fn get(&self, target: &str, key: &str) -> Got {
        self.send("GET", target, key, None).await
    }

    /// Through the socket at the machine itself.
    async fn local(&self, method: &str, target: &str, body: Option<Value>) -> Got {
        let mut request = Request::builder().method(method).uri(target).extension(Peer::Local);
        let body = body.map_or_else(Body::empty, |json| {
            request
                .headers_mut()
                .unwrap()
                .insert("content-type", "application/json".parse().unwrap());
            Body::from(json.to_string())
        });
        self.raw(request.body(body).unwrap()).await
    }

    async fn send_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Got {
        let mut request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(target)
            .extension(Peer::Address(([192, 0, 2, 7], 4711).into()));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        self.raw(request.body(body).unwrap()).await
    }

    async fn raw(&self, request: Request) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(CANARY), "a secret's value was answered: {text}");
        assert!(
            parts.headers.keys().all(|name| !name.as_str().starts_with("access-control")),
            "this face knows no CORS"
        );
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Got { status: parts.status, headers: parts.headers, text, json }
    }
}

impl Drop for Face {
    fn drop(&mut self) {
        self.writer.abort();
        let _ = self.folder.path();
    }
}

impl Got {
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text_of(&self, member: &str) -> String {
        self.json[member].as_str().unwrap_or_default().to_owned()
    }

    /// The faults of a 422, as `field: fault`.
    fn faults(&self) -> Vec<String> {
        let faults = self.json["fields"].as_array().cloned().unwrap_or_default();
        let line = |fault: &Value| {
            format!("{}: {}", fault["field"].as_str().unwrap(), fault["fault"].as_str().unwrap())
        };
        faults.iter().map(line).collect()
    }
}
