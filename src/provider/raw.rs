//! A provider's entry exactly as a file or the settings write it. Read strictly: an unknown member
//! is an error. What the members mean, and which of them fit together, is judged in `file`. Must
//! never be handed on as it is: only a checked `Provider` leaves this room.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) title: Option<String>,
    pub(super) category: Option<String>,
    pub(super) docs_url: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) websocket_url: Option<String>,
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) paths: Vec<RawPath>,
    #[serde(default)]
    pub(super) fields: Option<Vec<String>>,
    #[serde(default)]
    pub(super) formats: BTreeMap<String, RawFormat>,
    pub(super) inject: Option<Vec<RawPlacement>>,
    #[serde(default)]
    pub(super) slots: RawSlots,
    #[serde(default)]
    pub(super) socket: RawSocket,
    #[serde(default)]
    pub(super) rewrite: RawRewrite,
    pub(super) probe: Option<RawProbe>,
    #[serde(default)]
    pub(super) allow_private_network: bool,
    pub(super) ca_file: Option<String>,
    pub(super) max_wait_seconds: Option<u64>,
    #[serde(default)]
    pub(super) pool: bool,
    pub(super) requests_per_minute: Option<u32>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    pub(super) max_waiting: Option<u32>,
    pub(super) max_concurrent: Option<u32>,
    #[serde(default)]
    pub(super) fresh_seconds: u32,
    pub(super) http2: Option<String>,
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    #[serde(default)]
    pub(super) price: RawPrice,
    pub(super) emulator: Option<RawEmulation>,
}

/// Of one secret.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) calls: Option<u32>,
    pub(super) window_seconds: Option<u32>,
    /// Names of headers.
    pub(super) limit: Option<String>,
    pub(super) remaining: Option<String>,
    pub(super) used: Option<String>,
    pub(super) reset: Option<String>,
    /// The time of reset is when all of it is there again; it comes little by little.
    pub(super) refills: bool,
    /// Statuses of one call too many.
    pub(super) too_many: Vec<u16>,
}

/// In dollars.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPrice {
    pub(super) per_call: Option<f64>,
    /// `POST /v1/messages`: the calls whose answers tell tokens.
    pub(super) routes: Vec<String>,
    /// JSON pointers to the model's name.
    pub(super) model: Vec<String>,
    /// By kind of token.
    pub(super) tokens: BTreeMap<String, RawTokens>,
    /// By model; `*` stands for all others.
    pub(super) models: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTokens {
    /// JSON pointers to the count.
    pub(super) at: Vec<String>,
    /// The kind whose count this one is a part of.
    pub(super) within: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFormat {
    pub(super) prefixes: Vec<String>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlacement {
    pub(super) at: String,
    pub(super) name: Option<String>,
    pub(super) value: Option<String>,
    pub(super) pointer: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    #[serde(default)]
    pub(super) methods: Vec<String>,
}

/// What lies under these paths is at the host of that name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPath {
    pub(super) under: Vec<String>,
    pub(super) host: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSlots {
    pub(super) headers: Vec<String>,
    pub(super) query: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSocket {
    pub(super) inject: Option<Vec<RawPlacement>>,
    pub(super) subprotocol: Option<String>,
    /// Wherever no dialect is spoken.
    pub(super) reads_only: bool,
    pub(super) dialects: Vec<RawDialect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDialect {
    pub(super) speaks: String,
    /// Empty: wherever no other one is spoken.
    #[serde(default)]
    pub(super) under: Vec<String>,
    #[serde(default)]
    pub(super) reads_only: bool,
    #[serde(default)]
    pub(super) fan_out: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRewrite {
    pub(super) json: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbe {
    pub(super) method: Option<String>,
    pub(super) path: String,
    #[serde(default)]
    pub(super) ok: Vec<u16>,
    #[serde(default)]
    pub(super) bad: Vec<u16>,
    pub(super) bad_body: Option<String>,
    #[serde(default)]
    pub(super) accepts_any: bool,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) permissions: Vec<RawPermission>,
    /// Figures of the answer: JSON pointers by name.
    #[serde(default)]
    pub(super) limits: BTreeMap<String, String>,
    pub(super) expires: Option<String>,
    pub(super) account: Option<RawAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPermission {
    pub(super) name: String,
    pub(super) method: Option<String>,
    pub(super) path: String,
    pub(super) needed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccount {
    /// `paper` or `live`.
    pub(super) is: String,
    /// A JSON pointer to what names the account.
    pub(super) at: Option<String>,
    #[serde(default)]
    pub(super) paper: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTimeouts {
    pub(super) connect_seconds: Option<u64>,
    pub(super) first_byte_seconds: Option<u64>,
    pub(super) idle_seconds: Option<u64>,
    pub(super) total_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmulation {
    pub(super) unauthorized: Option<RawCanned>,
    pub(super) not_found: Option<RawCanned>,
    pub(super) too_many: Option<RawCanned>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) routes: Vec<RawRoute>,
    #[serde(default)]
    pub(super) sockets: Vec<RawEmulatedSocket>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmulatedSocket {
    pub(super) path: String,
    #[serde(default)]
    pub(super) opens: Vec<String>,
    #[serde(default)]
    pub(super) answers: Vec<RawEmulatedWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmulatedWord {
    pub(super) on: String,
    pub(super) says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCanned {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) method: Option<String>,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<String>,
    pub(super) body: String,
    pub(super) candles: Option<bool>,
    pub(super) pages: Option<u32>,
    pub(super) next: Option<String>,
    pub(super) cursor: Option<String>,
    #[serde(default)]
    pub(super) events: Vec<String>,
    pub(super) event_gap_ms: Option<u64>,
}
