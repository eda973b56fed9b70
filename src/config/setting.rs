//! Every setting there is: dotted name, kind, default, one line of help. This one table drives what
//! is accepted, the names of environment variables, the nearest name for a wrong one, `config show`
//! and
//! `config example`. Must never hold a default that the checks of this room refuse.

mod of_a_provider;
mod of_alerts;
mod of_backfill;
mod of_backup;
mod of_rotation;

pub(super) use self::of_a_provider::OF_A_PROVIDER;
use super::kind::{Kind, inline};

/// One setting by its full dotted name, or, in `OF_A_PROVIDER`, by its name below `providers.NAME`.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// As TOML writes it. Below a provider: an example, the default being the catalogue's.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, kind, default, help }
}

const fn number(least: i64, most: i64) -> Kind {
    Kind::Number { least, most }
}

/// A bound for numbers that have none by nature.
const PLENTY: i64 = 1_000_000_000;
const CENTURY_DAYS: i64 = 36_500;

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "data_dir",
        Kind::Path,
        "\"data\"",
        "where the journal, the socket and the embedded database lie",
    ),
    setting(
        "log.format",
        Kind::Choice(&["auto", "text", "json"]),
        "\"auto\"",
        "auto: text on a terminal, JSON lines otherwise; what is logged is RUST_LOG's business",
    ),
    setting(
        "proxy.listen",
        Kind::Address,
        "\"127.0.0.1:8080\"",
        "a plain listener off loopback needs behind_tls = true",
    ),
    setting(
        "proxy.behind_tls",
        Kind::Flag,
        "false",
        "something in front of this listener speaks TLS to the clients",
    ),
    setting(
        "proxy.public_url",
        Kind::Text,
        "\"\"",
        "how clients reach the proxy, e.g. \"https://gate.example\"; empty: made from proxy.listen",
    ),
    setting(
        "proxy.domain",
        Kind::Text,
        "\"\"",
        "set to e.g. \"gate.internal\" to serve polygon.gate.internal/… as well",
    ),
    setting(
        "proxy.tls.cert",
        Kind::Path,
        "\"\"",
        "certificate chain, PEM; TLS 1.3; read again when it changes",
    ),
    setting(
        "proxy.tls.key",
        Kind::Path,
        "\"\"",
        "its private key, PEM; read again when it changes",
    ),
    setting(
        "proxy.trusted_proxies",
        Kind::Texts,
        "[]",
        "peers (\"10.0.0.0/8\") whose X-Forwarded-For and Forwarded are believed",
    ),
    setting(
        "proxy.max_head_bytes",
        number(8_192, 1_048_576),
        "65536",
        "request line and headers together",
    ),
    setting("proxy.max_body_bytes", number(0, i64::MAX), "0", "0: no limit"),
    setting(
        "proxy.max_concurrent",
        number(1, 10_000_000),
        "10000",
        "calls at once; beyond it, and a short bounded queue, 503 overloaded",
    ),
    setting(
        "proxy.max_sockets",
        number(0, 10_000_000),
        "5000",
        "WebSockets at once, of which each is a call under way, too",
    ),
    setting(
        "proxy.max_unauthenticated_sockets",
        number(0, 10_000_000),
        "100",
        "beside them, those whose client has yet to show its key, for ten seconds at most",
    ),
    setting(
        "proxy.max_connections",
        number(0, 10_000_000),
        "0",
        "of clients; 0: half of what the system grants descriptors for, 65536 at most",
    ),
    setting(
        "proxy.max_connections_per_address",
        number(0, 10_000_000),
        "0",
        "not of this machine or trusted_proxies; 0: an eighth of them, 256 at least",
    ),
    setting("proxy.workers", number(0, 1_024), "0", "data-plane threads; 0: one a core"),
    setting(
        "admin.listen",
        Kind::Address,
        "\"127.0.0.1:8000\"",
        "REST, console, health and metrics; a plain listener off loopback needs behind_tls = true",
    ),
    setting(
        "admin.behind_tls",
        Kind::Flag,
        "false",
        "something in front of this listener speaks TLS to the operators",
    ),
    setting(
        "admin.tls.cert",
        Kind::Path,
        "\"\"",
        "certificate chain, PEM; TLS 1.3; read again when it changes",
    ),
    setting("admin.tls.key", Kind::Path, "\"\"", "its private key, PEM; read again on changes"),
    setting(
        "admin.frame_ancestors",
        Kind::Texts,
        "[]",
        "origins (\"https://intranet.example\") that may embed the console",
    ),
    setting("admin.session_idle_seconds", number(60, PLENTY), "1800", "unused, a session ends"),
    setting("admin.session_seconds", number(60, PLENTY), "43200", "used or not, it ends"),
    setting("admin.invitation_seconds", number(60, PLENTY), "259200", "of a new operator"),
    setting(
        "database.url",
        Kind::Secret,
        "\"\"",
        "sqlite://FILE or postgres://…, or { file = \"…\" }, { env = \"…\" }; empty: in data_dir",
    ),
    setting(
        "master_key.kind",
        Kind::Choice(&["file", "passphrase", "aws-kms", "vault-transit", "shamir", "pkcs11"]),
        "\"file\"",
        "who holds the master key; this version has the first four; docs/master-key.md compares them",
    ),
    setting(
        "master_key.path",
        Kind::Path,
        "\"keys/master.key\"",
        "the file of kind = \"file\"; keep a copy of it apart from the database's backups",
    ),
    setting(
        "master_key.previous",
        Kind::Table,
        "{}",
        "the master key that this one takes over from, by the same members, until `sealgate \
         master-key rotate` is done",
    ),
    setting(
        "master_key.passphrase",
        Kind::Secret,
        "\"\"",
        "{ file = \"…\" } or { env = \"…\" }; empty: the server starts sealed, `sealgate unseal`",
    ),
    setting(
        "master_key.key",
        Kind::Text,
        "\"\"",
        "aws-kms: key id, ARN or alias/NAME; vault-transit: the key's name",
    ),
    setting("master_key.region", Kind::Text, "\"\"", "aws-kms; empty: as AWS's SDK finds it"),
    setting("master_key.profile", Kind::Text, "\"\"", "aws-kms; empty: as AWS's SDK finds it"),
    setting(
        "master_key.endpoint",
        Kind::Text,
        "\"\"",
        "aws-kms: e.g. a VPC endpoint, \"https://vpce-….vpce.amazonaws.com\"; empty: AWS's own",
    ),
    setting(
        "master_key.address",
        Kind::Text,
        "\"\"",
        "vault-transit: \"https://vault.example:8200\"",
    ),
    setting("master_key.mount", Kind::Text, "\"transit\"", "vault-transit: where the engine is"),
    setting("master_key.namespace", Kind::Text, "\"\"", "vault-transit; empty: none"),
    setting(
        "master_key.token",
        Kind::Secret,
        "\"\"",
        "vault-transit: { file = \"…\" }, which is read for every call, or { env = \"…\" }",
    ),
    setting("master_key.ca_file", Kind::Path, "\"\"", "vault-transit: extra trust anchors, PEM"),
    setting(
        "master_key.cache_seconds",
        number(1, 365 * 86_400),
        "86400",
        "aws-kms, vault-transit: how long keys live on in memory while it is away; then sealed",
    ),
    setting(
        "vault.kek_max_age_days",
        number(0, CENTURY_DAYS),
        "365",
        "key-encryption keys rotate and rewrap by themselves at this age; 0: never",
    ),
    setting(
        "vault.keep_opened_seconds",
        number(0, 3600),
        "60",
        "how long an opened secret serves further calls before it is wiped; 0: opened for each call",
    ),
    setting(
        "vault.locked_memory_bytes",
        number(256 * 1024, 1 << 30),
        "4194304",
        "the most that key material takes of memory that is never swapped; the process' limit bounds it too",
    ),
    setting(
        "probe.every_minutes",
        number(0, 525_600),
        "360",
        "how often each provider's key is asked about, more or less a fifth; 0: when somebody asks",
    ),
    of_rotation::RETIRE_AFTER,
    of_rotation::POLICIES,
    setting("limits.enabled", Kind::Flag, "true", "false: nobody is refused by count"),
    setting(
        "limits.backend",
        Kind::Choice(&["memory", "redis"]),
        "\"memory\"",
        "where calls are counted; redis: several nodes share the limits",
    ),
    setting(
        "limits.redis_url",
        Kind::Secret,
        "\"redis://127.0.0.1:6379\"",
        "for backend = \"redis\"; or { file = \"…\" }, { env = \"…\" }",
    ),
    setting("limits.redis_ca_file", Kind::Path, "\"\"", "rediss://: whom to trust instead, PEM"),
    setting(
        "limits.redis_timeout_ms",
        number(5, 1000),
        "500",
        "how long a call waits for Redis before its node judges alone",
    ),
    setting(
        "limits.nodes",
        number(0, 1000),
        "0",
        "how many nodes share a quota while Redis is away; 0: as many as were seen there",
    ),
    setting(
        "limits.window_seconds",
        number(1, 31 * 86_400),
        "3600",
        "the sliding window of the tiers, 31 days at most",
    ),
    setting(
        "limits.time_zone",
        Kind::Text,
        "\"UTC\"",
        "for monthly quotas, e.g. \"Europe/Berlin\"",
    ),
    setting(
        "limits.tiers.unlimited",
        number(1, PLENTY),
        "999999",
        "what is reported; this tier is never refused",
    ),
    setting("limits.tiers.premium", number(1, PLENTY), "1000", "calls in a window"),
    setting("limits.tiers.standard", number(1, PLENTY), "100", "calls in a window"),
    setting("limits.tiers.limited", number(1, PLENTY), "10", "calls in a window"),
    setting(
        "limits.admin_per_minute",
        number(1, PLENTY),
        "600",
        "calls of one key on the admin face",
    ),
    setting(
        "auth.free_failures_per_minute",
        number(0, PLENTY),
        "1000",
        "by address; beyond it failures are answered later (50 ms doubling to 1 s)",
    ),
    setting(
        "auth.max_token_seconds",
        number(1, 86_400),
        "900",
        "the longest life of a token, and its life where none is asked for",
    ),
    setting(
        "audit.archive_folder",
        Kind::Path,
        "\"\"",
        "where records go that are older than audit.retention_days; empty: archive in data_dir",
    ),
    setting(
        "audit.checkpoint_file",
        Kind::Path,
        "\"\"",
        "a file where the database's owner cannot write; signed proofs of the trail are added to it",
    ),
    setting(
        "audit.checkpoint_webhook",
        Kind::Secret,
        "\"\"",
        "a URL to which the same proofs are posted, as lines of JSON",
    ),
    setting(
        "audit.durability",
        Kind::Choice(&["journal", "strict"]),
        "\"journal\"",
        "journal: an answered call's record outlives a killed process; strict: it is on disk before the answer",
    ),
    setting(
        "audit.journal_bytes",
        number(4 * 1_048_576, i64::MAX),
        "268435456",
        "what the journal may take of the disk while the database is away; then calls get a 503",
    ),
    setting(
        "audit.retention_days",
        number(0, CENTURY_DAYS),
        "90",
        "how long records stay in the database; older ones go into archives; 0: for good",
    ),
    setting(
        "egress.allow_private_networks",
        Kind::Flag,
        "false",
        "otherwise an upstream address that is loopback, private or link-local is refused",
    ),
    setting("egress.ca_file", Kind::Path, "\"\"", "extra trust anchors, PEM"),
    of_backup::FOLDER,
    of_backup::EVERY_HOURS,
    of_backup::KEEP,
    of_backup::RECIPIENTS,
    of_alerts::AUTH_FAILURES,
    of_alerts::SYSLOG,
    of_alerts::HOST,
    of_alerts::PORT,
    of_alerts::TLS,
    of_alerts::USER,
    of_alerts::PASSWORD,
    of_alerts::FROM,
    of_backfill::PROVIDER,
    of_backfill::INTERVAL,
    of_backfill::DAYS,
    of_backfill::AT_ONCE,
    of_backfill::SCHEDULE,
    of_backfill::TIME_ZONE,
    setting(
        "sandbox.listen",
        Kind::Address,
        "\"127.0.0.1:8090\"",
        "where `serve --sandbox` runs its stand-in provider",
    ),
    setting("reports.schedules", Kind::Array, "[]", "reports that are sent by themselves"),
    setting("browser.origins", Kind::Array, "[]", "pages that may call the proxy with no key"),
];

impl Setting {
    /// The default as a value. The table is checked by a test, so that none is missing.
    pub(super) fn default_value(&self) -> Option<toml::Value> {
        inline(self.default)
    }
}
