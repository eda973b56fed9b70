//! `healthcheck`: for containers. Asks the admin face of this installation's settings whether it is
//! ready. No key is sent, so a certificate's name need not be checked where the machine asks
//! itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use super::output::Output;
use super::{Ground, link};
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(ground: &Ground) -> Result<(), Failure> {
    let config = ground.config()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    runtime.block_on(ask(&config))?;
    Output::new(false, true).line("ready")
}

async fn ask(config: &Config) -> Result<(), Failure> {
    let address = reached(config.admin.listen);
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE);
    let mut url = format!("http://{address}/readyz");
    if address.port() == 0 {
        // The port was chosen at the start; the socket is where it always is.
        client = client.unix_socket(config.socket.as_path());
        url = String::from("http://local/readyz");
    } else if config.admin.tls.is_some() {
        client = client.tls_danger_accept_invalid_certs(address.ip().is_loopback());
        url = format!("https://{address}/readyz");
    }
    let fault = |error: reqwest::Error| {
        let why = link::causes(&error);
        Failure::new(format!("not ready: no answer from the admin face at {address}: {why}"))
    };
    let answer = client.build().map_err(fault)?.get(url).send().await.map_err(fault)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body: Value =
        serde_json::from_slice(&answer.bytes().await.map_err(fault)?).unwrap_or_default();
    Err(Failure::new(format!("not ready: {}", reason(status.as_u16(), &body))))
}

/// Which parts are not ready, where the answer says so.
fn reason(status: u16, body: &Value) -> String {
    let parts = body.get("parts").and_then(Value::as_array).into_iter().flatten();
    let missing = parts.filter(|part| part.get("ready").and_then(Value::as_bool) == Some(false));
    let text = |part: &Value, member: &str| {
        part.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let told = missing.map(|part| match text(part, "detail") {
        detail if detail.is_empty() => text(part, "name"),
        detail => format!("{}: {detail}", text(part, "name")),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return format!("the admin face answered with status {status}");
    }
    told.join("; ")
}

/// Where a listener on every address is reached from the same machine.
pub(super) fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_are_not_ready_are_named() {
        let body = serde_json::json!({"ready": false, "parts": [
            {"name": "database", "ready": false, "detail": "The database does not answer."},
            {"name": "journal", "ready": true, "detail": null},
            {"name": "vault", "ready": false, "detail": null},
        ]});
        assert_eq!(reason(503, &body), "database: The database does not answer.; vault");
        assert_eq!(reason(500, &Value::Null), "the admin face answered with status 500");
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reached(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:8000", "127.0.0.1:8000");
        check("[::]:8000", "[::1]:8000");
        check("10.0.0.5:1", "10.0.0.5:1");
    }
}
