//! The settings as written: the only form of them that serde reads. Every member is there, because
//! the defaults were laid first; unknown ones are an error here too, so that this form and the
//! table of settings cannot drift apart. Nothing outside this room sees it.

use std::net::SocketAddr;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) data_dir: String,
    pub(super) log: RawLog,
    pub(super) proxy: RawProxy,
    pub(super) admin: RawAdmin,
    pub(super) database: RawDatabase,
    pub(super) master_key: RawMasterKey,
    pub(super) vault: RawVault,
    pub(super) probe: RawProbing,
    pub(super) rotation: RawRotation,
    pub(super) limits: RawLimits,
    pub(super) auth: RawAuth,
    pub(super) audit: RawAudit,
    pub(super) egress: RawEgress,
    pub(super) backup: RawBackup,
    pub(super) alerts: RawAlerts,
    pub(super) backfill: RawBackfill,
    pub(super) sandbox: RawSandbox,
    pub(super) browser: RawBrowser,
    pub(super) reports: RawReports,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProxy {
    pub(super) listen: SocketAddr,
    pub(super) behind_tls: bool,
    pub(super) public_url: String,
    pub(super) domain: String,
    pub(super) tls: RawTls,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) max_head_bytes: usize,
    pub(super) max_body_bytes: u64,
    pub(super) max_concurrent: usize,
    pub(super) max_sockets: usize,
    pub(super) max_unauthenticated_sockets: usize,
    pub(super) max_connections: usize,
    pub(super) max_connections_per_address: usize,
    pub(super) workers: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) cert: String,
    pub(super) key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) listen: SocketAddr,
    pub(super) behind_tls: bool,
    pub(super) tls: RawTls,
    pub(super) frame_ancestors: Vec<String>,
    pub(super) session_idle_seconds: u64,
    pub(super) session_seconds: u64,
    pub(super) invitation_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDatabase {
    pub(super) url: RawSecret,
}

/// Text, or where the text is.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum RawSecret {
    Inline(String),
    File { file: String },
    Env { env: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMasterKey {
    pub(super) kind: String,
    pub(super) path: String,
    pub(super) previous: toml::Table,
    pub(super) passphrase: RawSecret,
    pub(super) key: String,
    pub(super) region: String,
    pub(super) profile: String,
    pub(super) endpoint: String,
    pub(super) address: String,
    pub(super) mount: String,
    pub(super) namespace: String,
    pub(super) token: RawSecret,
    pub(super) ca_file: String,
    pub(super) cache_seconds: u64,
}

impl RawMasterKey {
    /// Every member as it is where nobody gave it.
    pub(super) fn nothing() -> toml::Table {
        let texts = [
            "kind",
            "path",
            "passphrase",
            "key",
            "region",
            "profile",
            "endpoint",
            "address",
            "namespace",
            "token",
            "ca_file",
        ];
        let mut table = toml::Table::new();
        for text in texts {
            table.insert(text.to_owned(), toml::Value::String(String::new()));
        }
        table.insert(String::from("mount"), toml::Value::String(String::from("transit")));
        table.insert(String::from("cache_seconds"), toml::Value::Integer(86_400));
        table.insert(String::from("previous"), toml::Value::Table(toml::Table::new()));
        table
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVault {
    pub(super) kek_max_age_days: u32,
    pub(super) keep_opened_seconds: u64,
    pub(super) locked_memory_bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbing {
    pub(super) every_minutes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRotation {
    pub(super) retire_after_minutes: u64,
    pub(super) policies: Vec<toml::Value>,
}

/// An item of `rotation.policies`; which members go together is judged elsewhere.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPolicy {
    pub(super) provider: String,
    pub(super) secret: Option<String>,
    pub(super) kind: String,
    pub(super) schedule: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) max_age_days: Option<u32>,
    pub(super) steps: Option<Vec<u32>>,
    pub(super) hold_seconds: Option<u32>,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) project: Option<String>,
    pub(super) admin_secret: Option<String>,
    pub(super) url: Option<String>,
    pub(super) signing_secret: Option<RawSecret>,
    pub(super) retire: Option<bool>,
    pub(super) path: Option<String>,
    pub(super) args: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) enabled: bool,
    pub(super) backend: String,
    pub(super) redis_url: RawSecret,
    pub(super) redis_ca_file: String,
    pub(super) redis_timeout_ms: u64,
    pub(super) nodes: u64,
    pub(super) window_seconds: u64,
    pub(super) time_zone: String,
    pub(super) tiers: RawTiers,
    pub(super) admin_per_minute: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTiers {
    pub(super) unlimited: u64,
    pub(super) premium: u64,
    pub(super) standard: u64,
    pub(super) limited: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) free_failures_per_minute: u64,
    pub(super) max_token_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    pub(super) durability: String,
    pub(super) retention_days: u32,
    pub(super) journal_bytes: u64,
    pub(super) archive_folder: String,
    pub(super) checkpoint_file: String,
    pub(super) checkpoint_webhook: RawSecret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEgress {
    pub(super) allow_private_networks: bool,
    pub(super) ca_file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    pub(super) folder: String,
    pub(super) every_hours: u64,
    pub(super) keep: usize,
    pub(super) recipients: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlerts {
    pub(super) auth_failures_per_minute: u64,
    pub(super) syslog: String,
    pub(super) smtp: RawSmtp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSmtp {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: String,
    pub(super) user: String,
    pub(super) password: RawSecret,
    pub(super) from: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackfill {
    pub(super) provider: String,
    pub(super) interval: String,
    pub(super) days: i64,
    pub(super) at_once: usize,
    pub(super) schedule: String,
    pub(super) time_zone: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSandbox {
    pub(super) listen: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBrowser {
    pub(super) origins: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReports {
    pub(super) schedules: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReport {
    pub(super) kind: String,
    pub(super) schedule: String,
    #[serde(default = "utc")]
    pub(super) time_zone: String,
    #[serde(default = "a_month")]
    pub(super) days: u32,
    pub(super) to: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) provider: String,
}

fn utc() -> String {
    String::from("UTC")
}

fn a_month() -> u32 {
    30
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrigin {
    pub(super) origin: String,
    #[serde(default = "guest")]
    pub(super) role: String,
    #[serde(default = "limited")]
    pub(super) tier: String,
    #[serde(default = "origin_limit")]
    pub(super) limit: u64,
    #[serde(default)]
    pub(super) routes: Vec<String>,
}

fn guest() -> String {
    String::from("guest")
}

/// Whoever has many addresses must not spend a company's calls.
fn origin_limit() -> u64 {
    10_000
}

fn limited() -> String {
    String::from("limited")
}
