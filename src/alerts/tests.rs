//! The looks, on a database and a trail of their own and a clock that is set; nobody is told
//! anything. Must never wait for a look: each is made by the test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::watch::Done;
use super::*;
use crate::client::{Role, Tier};
use crate::ledger;
use crate::provider::Catalogue;
use crate::roster::NewClient;
use crate::store::{
    AlertKind, AlertRow, AlertState, ClientKeyRow, Counted, Move, RecentCalls, Seen,
    Settings as StoreSettings, Severity, Subject, Target,
};
use crate::vault::{Hooks, Warden};

const NOW_MS: i64 = 1_768_487_400_000;

struct Bed {
    alerts: Arc<Alerts>,
    done: Done,
    store: Store,
    clock: Clock,
    roster: Arc<Roster>,
    _writer: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
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

async fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::settable(NOW_MS);
    let target = Target::Sqlite(folder.path().join("test.db"));
    let store = Store::open(&StoreSettings { target }, clock.clone()).await.unwrap();
    let base = (store.clone(), clock.clone(), Uuid::from_u128(7));
    let vault = unsealed(folder.path(), base).await;
    let metrics = Metrics::new(clock.clone(), []);
    let roster = Roster::open(store.clone(), clock.clone(), metrics.clone()).await.unwrap();
    let roster = Arc::new(roster);
    let ledger = trail(folder.path(), (&store, &clock)).await;
    let writer = tokio::spawn(ledger.writer());
    let limiter = Arc::new(Limiter::new(tiers(), (clock.clone(), store.clone()), 100));
    let alerts = Arc::new(Alerts::new(Parts {
        settings: Settings { auth_failures_per_minute: 0, mail: None, syslog: None },
        store: store.clone(),
        ledger,
        vault,
        roster: Arc::clone(&roster),
        limiter,
        tiers: tiers(),
        clock: clock.clone(),
        metrics,
        node: String::from("node-a"),
        backs_up: false,
        echoes: Echoes::default(),
        post: Arc::new(|_| Box::pin(async { Err(String::from("nobody is there")) })),
        policies: Policies::default(),
    }));
    let done = Done::nothing("node-a", false);
    Bed { alerts, done, store, clock, roster, _writer: writer, _folder: folder }
}

async fn unsealed(folder: &Path, base: (Store, Clock, Uuid)) -> Arc<Vault> {
    let path = folder.join("master.key");
    std::fs::write(&path, [3; 32]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (store, clock, installation) = base.clone();
    let catalogue = Arc::new(Catalogue::build(&[]).unwrap());
    let vault = Arc::new(Vault::sealed(store, clock, catalogue, installation));
    let hooks = Hooks { cut: Box::new(|| Box::pin(async { true })), ring: Box::new(|_| {}) };
    let settings = crate::kms::Settings::File { path };
    let warden = Warden::new(Arc::clone(&vault), settings, base, hooks);
    warden.start().await.unwrap();
    vault
}

async fn trail(folder: &Path, (store, clock): (&Store, &Clock)) -> Ledger {
    let opening = ledger::Opening {
        settings: ledger::Settings {
            folder: folder.join("journal"),
            retention_days: 90,
            archives: PathBuf::new(),
            is_strict: false,
            checkpoints: None,
            budget_bytes: 16 * 1024 * 1024,
        },
        store: store.clone(),
        clock: clock.clone(),
        installation: Uuid::from_u128(7),
        node: String::from("node-a"),
        workers: 1,
        meter: Box::new(|_| {}),
        counting: ledger::Counting { window_ms: 3_600_000, time_zone: jiff::tz::TimeZone::UTC },
        post: None,
    };
    Ledger::open(opening).await.unwrap().0
}

impl Bed {
    /// After a moment at which the tables are looked at, too.
    async fn look(&mut self) {
        self.clock.advance(Duration::from_secs(20));
        self.alerts.look(&mut self.done).await.unwrap();
    }

    async fn all(&self) -> Vec<AlertRow> {
        self.store.alerts_page((None, None), None, 100).await.unwrap()
    }

    async fn tamper(&self, sql: &str) -> u64 {
        self.store.tamper(Box::leak(sql.to_owned().into_boxed_str())).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_about_which_calls_go_up_and_down_is_one_alert_that_ends_clearly_below() {
    let mut bed = bed().await;
    let row = ClientKeyRow {
        quota_limit: Some(100),
        ..ClientKeyRow::new("caller", Role::User, Tier::Standard, "test")
    };
    let client_id = bed.roster.issue(NewClient { row }).await.unwrap().row.id;
    let recent = vec![RecentCalls { end_at: NOW_MS + 60_000, client_id, calls: 79 }];
    let counted = Counted { recent, next_sequence: 1, ..Counted::default() };
    bed.store.count_records("node-b", &counted).await.unwrap();
    bed.look().await;
    assert!(bed.all().await.is_empty());
    let mut seen = Vec::new();
    for calls in [80, 79, 81, 71, 100, 99, 101, 75, 100, 70] {
        bed.tamper(&format!("UPDATE recent_calls SET calls = {calls}")).await;
        bed.look().await;
        let all = bed.all().await;
        assert_eq!((all.len(), all[0].state), (1, AlertState::Open), "{calls}");
        seen.push(all[0].severity);
    }
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    assert_eq!(seen[..4], [warning; 4]);
    assert_eq!(seen[4..], [critical; 6]);
    bed.tamper("UPDATE recent_calls SET calls = 69").await;
    bed.look().await;
    let all = bed.all().await;
    assert_eq!((all.len(), all[0].state, all[0].severity), (1, AlertState::Resolved, critical));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_turn_writes_so_a_few_times_a_minute_and_not_at_every_look() {
    let mut bed = bed().await;
    bed.alerts.look(&mut bed.done).await.unwrap();
    let is_held_since = async |bed: &Bed, ms: i64| {
        let until = NOW_MS + ms + 15_000;
        let row = format!("UPDATE leases SET name = name WHERE held_until = {until}");
        bed.tamper(&row).await == 1
    };
    assert!(is_held_since(&bed, 0).await);
    for seconds in 1..8 {
        bed.clock.advance(Duration::from_secs(1));
        bed.alerts.look(&mut bed.done).await.unwrap();
        assert!(is_held_since(&bed, 0).await, "{seconds}");
    }
    bed.clock.advance(Duration::from_secs(1));
    bed.alerts.look(&mut bed.done).await.unwrap();
    assert!(is_held_since(&bed, 8_000).await);
    // Another one has it: it is asked for now and then, and nothing is looked at meanwhile.
    bed.tamper("UPDATE leases SET holder = 'node-b'").await;
    bed.clock.advance(Duration::from_secs(8));
    bed.alerts.look(&mut bed.done).await.unwrap();
    assert!(is_held_since(&bed, 8_000).await);
    bed.clock.advance(Duration::from_secs(16));
    for _ in 0..3 {
        bed.alerts.look(&mut bed.done).await.unwrap();
    }
    assert!(is_held_since(&bed, 32_000).await, "whoever had it is late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_nobody_is_to_make_any_more_is_not_overdue() {
    let mut bed = bed().await;
    let seen = Seen {
        kind: AlertKind::BackupOverdue,
        severity: Severity::Warning,
        subject: Subject { sort: "installation".into(), id: "7".into(), name: String::new() },
        level: 0,
        detail: String::from("none for too long"),
        at: NOW_MS,
    };
    let telling = letter::telling;
    bed.store.move_alerts(&[Move::Happened(seen)], &[], telling).await.unwrap();
    // Another node that is there makes them.
    let other = crate::store::AlertNode {
        node: String::from("node-b"),
        seen_at: NOW_MS,
        backs_up: true,
        ..crate::store::AlertNode::default()
    };
    bed.store.say_alert_node(&other).await.unwrap();
    bed.look().await;
    assert_eq!(bed.all().await[0].state, AlertState::Open);
    bed.store.say_alert_node(&crate::store::AlertNode { backs_up: false, ..other }).await.unwrap();
    bed.look().await;
    assert_eq!(bed.all().await[0].state, AlertState::Resolved);
}
