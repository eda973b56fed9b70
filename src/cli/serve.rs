//! `serve`: runs both faces until it is told to stop.
//! On an empty data folder it does first what `init` does, and prints the first admin key.
//! Must never print another client key than that one, nor that one twice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;

use super::failure::Failure;
use super::output::Output;
use super::{Ground, Print, house};
use crate::app::Running;
use crate::config::Config;
use crate::telemetry;

#[derive(Args)]
pub(super) struct Serve {
    /// Add the provider `sandbox`: a local TLS API that demands a real key, already configured
    #[arg(long)]
    sandbox: bool,
}

/// What the announcement needs of the settings, which the app takes over.
struct Place {
    /// Empty where the port is chosen at the start.
    public_url: String,
    proxy_tls: bool,
    admin_tls: bool,
}

impl Serve {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let config = ground.config()?;
        telemetry::init(&config.log).map_err(|error| Failure::new(error.to_string()))?;
        let output = ground.output(Print { json: false });
        let place = Place::of(&config);
        house::serve(config, self.sandbox, |running| place.announce(output, running))
    }
}

impl Place {
    fn of(config: &Config) -> Self {
        Self {
            public_url: config.proxy.public_url.clone(),
            proxy_tls: config.proxy.tls.is_some(),
            admin_tls: config.admin.tls.is_some(),
        }
    }

    /// Where to look, and on the first run the admin key, this once.
    fn announce(&self, output: Output, running: &Running) -> Result<(), Failure> {
        let admin = url(self.admin_tls, running.admin_address());
        let proxy = match self.public_url.as_str() {
            "" => url(self.proxy_tls, running.proxy_address()),
            given => given.to_owned(),
        };
        output.line("Sealgate serves.")?;
        output.line(&format!("  proxy  {proxy}"))?;
        output.line(&format!("  admin  {admin}  (API description at {admin}/docs)"))?;
        if let Some(address) = running.sandbox_address() {
            let sealed = "its key is sealed already";
            output.line(&format!("  sandbox provider  https://{address}  ({sealed})"))?;
        }
        if let Some(key) = running.first_admin_key().and_then(|key| key.expose_str()) {
            output.line("\nThe first admin key, shown this once; keep it safe:\n")?;
            output.line(&format!("  export ADMIN_KEY={key}"))?;
        }
        if running.sandbox_address().is_none() {
            return Ok(());
        }
        output.line("\nTry it: make a client key, then call the sandbox with it.\n")?;
        output.line(&format!(
            "  curl -s {admin}/api/v1/admin/api-keys -H \"X-API-Key: $ADMIN_KEY\" \
             -H 'Content-Type: application/json' -d '{{\"name\":\"first\"}}'"
        ))?;
        let path = "v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09";
        let credential = "-H \"X-API-Key: $CLIENT_KEY\"";
        output.line(&format!("  curl -s {proxy}/sandbox/{path} {credential}\n"))
    }
}

/// A listener on every address is reached on loopback.
fn url(tls: bool, address: Option<SocketAddr>) -> String {
    let address = address.map(|address| reached(address).to_string()).unwrap_or_default();
    format!("{}://{address}", if tls { "https" } else { "http" })
}

/// Where a listener on every address is reached from the same machine.
fn reached(listen: SocketAddr) -> SocketAddr {
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
    fn a_listener_on_every_address_is_reached_on_loopback() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reached(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:8000", "127.0.0.1:8000");
        check("[::]:8000", "[::1]:8000");
        check("10.0.0.5:1", "10.0.0.5:1");
    }
}
