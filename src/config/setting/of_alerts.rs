//! The settings of alerts, each with its kind, default and help; they stand in the one table beside
//! this file.
//! Must never name a default that the checks of this room refuse.

use super::{PLENTY, Setting, number, setting};
use crate::config::kind::Kind;

pub(super) const AUTH_FAILURES: Setting = setting(
    "alerts.auth_failures_per_minute",
    number(0, PLENTY),
    "100",
    "failed authentications of one address that are a burst; 0: none are",
);
pub(super) const SYSLOG: Setting = setting(
    "alerts.syslog",
    Kind::Text,
    "\"\"",
    "for destinations of kind syslog: \"udp://host:514\", \"tcp://host:601\" or \"unix:/dev/log\"",
);
pub(super) const HOST: Setting = setting(
    "alerts.smtp.host",
    Kind::Text,
    "\"\"",
    "the mail server, for destinations of kind email; empty: none",
);
pub(super) const PORT: Setting =
    setting("alerts.smtp.port", number(1, 65_535), "587", "of the mail server");
pub(super) const TLS: Setting = setting(
    "alerts.smtp.tls",
    Kind::Choice(&["starttls", "tls", "none"]),
    "\"starttls\"",
    "tls: from the first byte, as on port 465; none: on this machine or a private address alone",
);
pub(super) const USER: Setting =
    setting("alerts.smtp.user", Kind::Text, "\"\"", "empty: the mail server asks for none");
pub(super) const PASSWORD: Setting = setting(
    "alerts.smtp.password",
    Kind::Secret,
    "\"\"",
    "{ file = \"…\" } or { env = \"…\" }; never sent over a line without TLS",
);
pub(super) const FROM: Setting = setting(
    "alerts.smtp.from",
    Kind::Text,
    "\"\"",
    "from whom mail comes, e.g. \"Sealgate <sealgate@example.org>\"",
);
