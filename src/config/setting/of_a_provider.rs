//! The table of settings below `[providers.NAME]`, each with its kind, default and help.
//! Its defaults are those of a provider that the catalogue does not know.
//! Must never say how a provider is read: its own room checks what is written here.

use super::{PLENTY, Setting, number, setting};
use crate::config::kind::Kind;

pub(in crate::config) const OF_A_PROVIDER: &[Setting] = &[
    setting("title", Kind::Text, "\"Acme\"", "how people call it"),
    setting(
        "category",
        Kind::Text,
        "\"market-data\"",
        "each category has its own key-encryption key",
    ),
    setting("docs_url", Kind::Text, "\"https://acme.example/docs\"", "where its API is described"),
    setting(
        "base_url",
        Kind::Text,
        "\"https://api.acme.example/v1\"",
        "what follows /acme/ is appended",
    ),
    setting("websocket_url", Kind::Text, "\"\"", "joined like base_url"),
    setting("hosts", Kind::Table, "{}", "one of several hosts: NAME = \"https://…\""),
    setting(
        "paths",
        Kind::Array,
        "[]",
        "what is at which of them: { under = [\"/v2/stocks\"], host = \"NAME\" }",
    ),
    setting(
        "allow_private_network",
        Kind::Flag,
        "false",
        "this provider alone may be at a loopback or private address; needed for http://",
    ),
    setting("ca_file", Kind::Path, "\"\"", "trust anchors for this provider, PEM"),
    setting(
        "max_wait_seconds",
        number(0, 3_600),
        "5",
        "how long a call may wait for a limit of the provider's",
    ),
    setting("pool", Kind::Flag, "false", "several secrets share the load"),
    setting(
        "requests_per_minute",
        number(0, PLENTY),
        "0",
        "the plan's limit, where it is not the catalogue's; 0: as the catalogue says",
    ),
    setting(
        "max_waiting",
        number(0, 100_000),
        "1000",
        "calls that wait for one secret's limit at once",
    ),
    setting(
        "limits",
        Kind::Table,
        "{}",
        "of one secret: calls, window_seconds; headers that tell it: remaining, reset, …",
    ),
    setting(
        "max_concurrent",
        number(0, PLENTY),
        "0",
        "calls to it at once; beyond it they wait, at most max_wait_seconds; 0: no bound",
    ),
    setting(
        "fresh_seconds",
        number(0, 2_592_000),
        "0",
        "how long an answer holds that says nothing of it, for reports; 0: nobody knows",
    ),
    setting(
        "http2",
        Kind::Choice(&["auto", "never", "always"]),
        "\"auto\"",
        "auto: for calls without a body and gRPC, where the provider offers it",
    ),
    setting("timeouts.connect_seconds", number(1, 3_600), "5", "to connect"),
    setting("timeouts.first_byte_seconds", number(1, 86_400), "60", "until the answer begins"),
    setting("timeouts.idle_seconds", number(1, 86_400), "600", "between two parts of an answer"),
    setting("timeouts.total_seconds", number(0, 7 * 86_400), "0", "of a whole call; 0: no bound"),
    setting("fields", Kind::Texts, "[\"api_key\"]", "what a secret of this provider is made of"),
    setting("formats", Kind::Table, "{}", "how a field looks: prefixes, min_length, max_length"),
    setting(
        "inject",
        Kind::Array,
        "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]",
        "where the real key goes; every placement is filled",
    ),
    setting("slots", Kind::Table, "{}", "where clients may put their key: headers, query"),
    setting(
        "socket",
        Kind::Table,
        "{}",
        "how keys go on its sockets, where that differs: inject, subprotocol",
    ),
    setting("rewrite", Kind::Table, "{}", "JSON members of answers that hold the provider's URLs"),
    setting(
        "price",
        Kind::Table,
        "{}",
        "what calls and tokens cost, in dollars: per_call, models, …",
    ),
    setting("probe.method", Kind::Text, "\"GET\"", "the call that proves a key"),
    setting("probe.path", Kind::Text, "\"/me\"", "its path"),
    setting("probe.ok", Kind::Array, "[200]", "statuses that prove a key"),
    setting("probe.bad", Kind::Array, "[401, 403]", "statuses that refuse it"),
    setting("probe.bad_body", Kind::Text, "\"\"", "a pattern, for providers that refuse with 200"),
    setting(
        "probe.accepts_any",
        Kind::Flag,
        "false",
        "any key is answered: its yes proves nothing",
    ),
    setting("probe.headers", Kind::Table, "{}", "sent with it: NAME = \"value\""),
    setting(
        "probe.permissions",
        Kind::Array,
        "[]",
        "calls that a key must be allowed: { name = \"trading\", path = \"/orders\" }",
    ),
    setting("probe.limits", Kind::Table, "{}", "figures of its answer: NAME = \"/json/pointer\""),
    setting("probe.expires", Kind::Text, "\"\"", "where it tells the key's end: pointer or header"),
    setting("probe.account", Kind::Table, "{}", "paper or live: is, at, paper"),
];
