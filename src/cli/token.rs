//! `token create`: a short-lived token of a client key, printed once.
//! Speaks the admin API like every other command.
//! Must never put the token anywhere but on standard output.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::link::{self, encoded};
use super::output::Column;
use super::{Failure, Ground, Reach, client};

const MEMBERS: &[Column] =
    &[("token", "token"), ("client key", "client_key_id"), ("expires at", "expires_at")];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a short-lived token of a client key; it is printed once
    Create(Create),
}

#[derive(Args)]
pub(super) struct Create {
    /// Id, name or preview of the client key; the token has at most its rights
    client: String,
    /// What alone it may call, e.g. `polygon:GET:/v2/aggs/**`; give it several times for several
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A tier of its own, no higher than the client key's
    #[arg(long)]
    tier: Option<String>,
    /// The one page that may use it
    #[arg(long)]
    origin: Option<String>,
    /// Where alone it may be used
    #[arg(long, value_name = "IP")]
    address: Option<String>,
    /// How long it lives [default: as long as auth.max_token_seconds allows]
    #[arg(long, value_name = "SECONDS")]
    ttl_seconds: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(ground),
        }
    }
}

impl Create {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        let body = self.body();
        let made = link::with(ground, &self.reach, async |link| {
            let id = client::find(link, &self.client).await?;
            let path = format!("{}/{}/tokens", client::KEYS, encoded(&id));
            link.post(&path, Some(body)).await
        })?;
        let output = ground.output(self.reach.print);
        output.record(&made, MEMBERS)?;
        output.remark("\nThe token is shown this once; it ends by itself, or with its client key.")
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("scopes", (!self.scopes.is_empty()).then(|| json!(self.scopes)));
        put("tier", self.tier.clone().map(Value::String));
        put("origin", self.origin.clone().map(Value::String));
        put("address", self.address.clone().map(Value::String));
        put("ttl_seconds", self.ttl_seconds.map(Value::from));
        Value::Object(body)
    }
}
