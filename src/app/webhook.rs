//! The way to webhooks: a POST over a client that judges the address it connects to as one of a
//! provider, whatever its name says, and follows no redirect. Checkpoints of the trail take it as
//! lines of JSON, confirmed by any 2xx; alerts take it, too. Must never let the URL into a message:
//! it may hold a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};

use crate::config::Config;
use crate::ledger::Post;
use crate::net;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const PRIVATE: &str = "its address is loopback, private or link-local; set \
                       egress.allow_private_networks if that is meant";

/// The client, and what it may reach.
pub(super) struct Way {
    client: Result<Client, String>,
    allow_private: bool,
}

impl Way {
    pub(super) fn of(config: &Config) -> Self {
        let allow_private = config.egress.allow_private_networks;
        Self { client: client(config, allow_private), allow_private }
    }

    pub(super) async fn post(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Response, String> {
        self.ask((url, ANSWER_WITHIN), headers, Some(body)).await
    }

    /// Without a body it is only asked whether somebody is there.
    pub(super) async fn ask(
        &self,
        (url, within): (&Url, Duration),
        headers: &[(&'static str, String)],
        body: Option<String>,
    ) -> Result<Response, String> {
        if !self.allow_private && literal(url).is_some_and(net::is_private) {
            return Err(PRIVATE.to_owned());
        }
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let sending = match &body {
            Some(_) => client.post(url.clone()),
            None => client.head(url.clone()),
        };
        let with = |sending: RequestBuilder, (name, value): &(&'static str, String)| {
            sending.header(*name, value.as_str())
        };
        let sending = headers.iter().fold(sending.timeout(within), with);
        let sending = match body {
            Some(body) => sending.body(body),
            None => sending,
        };
        sending.send().await.map_err(|fault| cause(fault.without_url()))
    }
}

pub(super) fn parsed(url: &str) -> Option<Url> {
    Url::parse(url).ok()
}

/// None where no webhook is set.
pub(super) fn post(config: &Config) -> Option<Post> {
    let url = config.checkpoint_webhook.as_ref()?;
    let url = Arc::new(url.expose_str().and_then(parsed));
    let way = Arc::new(Way::of(config));
    Some(Arc::new(move |lines: String| {
        let (url, way) = (Arc::clone(&url), Arc::clone(&way));
        Box::pin(async move {
            let url = url.as_ref().as_ref().ok_or("its URL cannot be read")?;
            let headers = [("content-type", String::from("application/x-ndjson"))];
            match way.post(url, &headers, lines).await?.status() {
                status if status.is_success() => Ok(()),
                status => Err(format!("it answered {}", status.as_u16())),
            }
        })
    }))
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn client(config: &Config, allow_private: bool) -> Result<Client, String> {
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Guarded { allow_private }))
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    if let Some(path) = &config.egress.ca_file {
        let pem = std::fs::read(path).map_err(|error| error.to_string())?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(cause)?;
        builder = builder.tls_certs_merge(trusted);
    }
    builder.build().map_err(cause)
}

fn cause(fault: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

struct Guarded {
    allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable = |at: &SocketAddr| allow_private || !net::is_private(at.ip());
            let usable: Vec<SocketAddr> = found.filter(usable).collect();
            if usable.is_empty() {
                return Err(PRIVATE.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}
