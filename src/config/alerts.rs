//! By which ways alerts are told: the mail server and the place of syslog, which the settings alone
//! name, and what is a burst.
//! Must never let a password leave over a line that is not encrypted.

use std::sync::Arc;

use super::fault::Fault;
use super::ground::Ground;
use super::raw::{RawAlerts, RawSmtp};
use crate::alerts::{Logger, MailSettings, Protection, Settings, is_mailbox};
use crate::net;

pub(super) fn alerts(
    ground: &Ground<'_>,
    raw: RawAlerts,
    ca_file: &str,
) -> Result<Settings, Fault> {
    const SYSLOG: &str = "alerts.syslog";
    let syslog = match raw.syslog.as_str() {
        "" => None,
        text => {
            let what = "must be udp://host:port, tcp://host:port or unix:/path";
            Some(Logger::parse(text).ok_or_else(|| ground.fault(SYSLOG, what))?)
        }
    };
    Ok(Settings {
        auth_failures_per_minute: raw.auth_failures_per_minute,
        mail: mail(ground, raw.smtp, ca_file)?,
        syslog,
    })
}

fn mail(ground: &Ground<'_>, raw: RawSmtp, ca_file: &str) -> Result<Option<MailSettings>, Fault> {
    let fault = |key: &str, what: &str| Err(ground.fault(&format!("alerts.smtp.{key}"), what));
    let password = ground.secret("alerts.smtp.password", raw.password)?;
    if raw.host.is_empty() {
        let is_bare = raw.user.is_empty() && raw.from.is_empty() && password.is_empty();
        return if is_bare { Ok(None) } else { fault("host", "is empty; name the mail server") };
    }
    if !is_mailbox(&raw.from) {
        return fault("from", "must be an address, like \"Sealgate <sealgate@example.org>\"");
    }
    let protection = match raw.tls.as_str() {
        "tls" => Protection::Tls,
        "none" => Protection::Nothing,
        _ => Protection::StartTls,
    };
    let is_near = raw.host == "localhost" || raw.host.parse().is_ok_and(net::is_private);
    if protection == Protection::Nothing && !is_near {
        return fault(
            "tls",
            "may be none where the host is this machine or a private address alone",
        );
    }
    let user = match (raw.user.is_empty(), password.is_empty()) {
        (true, true) => None,
        (false, false) if protection == Protection::Nothing => {
            return fault("tls", "is none, so the password would leave unencrypted");
        }
        (false, false) => Some((raw.user, Arc::new(password))),
        (false, true) => return fault("password", "is missing beside the user"),
        (true, false) => return fault("user", "is missing beside the password"),
    };
    let path = ground.certificates("egress.ca_file", ca_file)?;
    let ca_pem = path.and_then(|path| std::fs::read(path).ok());
    let (host, port, from) = (raw.host, raw.port, raw.from);
    Ok(Some(MailSettings { host, port, protection, user, from, ca_pem }))
}
