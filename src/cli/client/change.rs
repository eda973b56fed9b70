//! The members of a client key as options of the command line, and the body that they make.
//! What they may be is the server's to judge; only what cannot be written as JSON is refused
//! here.

use clap::Args;
use serde_json::{Map, Value};

use super::super::failure::Failure;

/// What `client create` takes.
#[derive(Args)]
pub(crate) struct Fresh {
    /// What people call it; need not be unique
    #[arg(required_unless_present = "name")]
    client: Option<String>,
    /// The same, as an option
    #[arg(long, conflicts_with = "client")]
    name: Option<String>,
    #[command(flatten)]
    members: Members,
}

/// What `client set` takes.
#[derive(Args)]
pub(crate) struct Changes {
    /// A new name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    members: Members,
    /// Take a member back to nothing, e.g. --clear expires_at; may be repeated. There are scopes,
    /// allowed_ips, allowed_origins, expires_at, description, owner, limit, monthly_quota,
    /// max_concurrent and secrets
    #[arg(long, value_name = "MEMBER")]
    clear: Vec<String>,
}

#[derive(Args)]
struct Members {
    /// admin, operator, auditor, user or guest; a new client key is a user
    #[arg(long)]
    role: Option<String>,
    /// unlimited, premium, standard or limited; a new client key is standard
    #[arg(long)]
    tier: Option<String>,
    /// What it may call, e.g. polygon:GET:/v2/aggs/**; may be repeated; a new client key without:
    /// all that the role allows
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// An address or network it may come from; may be repeated
    #[arg(long = "allow-ip", value_name = "IP")]
    allowed_ips: Vec<String>,
    /// An origin it may come from; may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// When it ends, e.g. 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// Calls in a window, instead of the tier's
    #[arg(long, value_name = "CALLS")]
    limit: Option<u64>,
    /// Calls in a month
    #[arg(long, value_name = "CALLS")]
    monthly_quota: Option<u64>,
    /// Calls at once
    #[arg(long, value_name = "CALLS")]
    max_concurrent: Option<u64>,
    /// The secret that it uses at a provider; may be repeated
    #[arg(long = "secret", value_name = "PROVIDER=NAME")]
    secrets: Vec<String>,
}

impl Fresh {
    pub(crate) fn body(self) -> Result<Value, Failure> {
        let name = self.client.or(self.name).unwrap_or_default();
        let mut body = Map::from_iter([(String::from("name"), Value::String(name))]);
        self.members.add_to(&mut body)?;
        Ok(Value::Object(body))
    }
}

impl Changes {
    pub(crate) fn body(self) -> Result<Value, Failure> {
        let mut body = Map::new();
        if let Some(name) = self.name {
            body.insert(String::from("name"), Value::String(name));
        }
        self.members.add_to(&mut body)?;
        for member in self.clear {
            if body.insert(member.clone(), Value::Null).is_some() {
                return Err(Failure::usage(format!("{member} is both given and cleared")));
            }
        }
        if body.is_empty() {
            return Err(Failure::usage("nothing to change; `sealgate client set --help` lists it"));
        }
        Ok(Value::Object(body))
    }
}

impl Members {
    /// Only what was given: the server knows the defaults, and leaves the rest as it is.
    fn add_to(self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        let texts = [
            ("role", self.role),
            ("tier", self.tier),
            ("expires_at", self.expires_at),
            ("description", self.description),
            ("owner", self.owner),
        ];
        for (name, text) in texts {
            body.extend(text.map(|text| (name.to_owned(), Value::String(text))));
        }
        let lists = [
            ("scopes", self.scopes),
            ("allowed_ips", self.allowed_ips),
            ("allowed_origins", self.allowed_origins),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            body.insert(name.to_owned(), list.into());
        }
        let numbers = [
            ("limit", self.limit),
            ("monthly_quota", self.monthly_quota),
            ("max_concurrent", self.max_concurrent),
        ];
        for (name, number) in numbers {
            body.extend(number.map(|number| (name.to_owned(), Value::from(number))));
        }
        if !self.secrets.is_empty() {
            body.insert(String::from("secrets"), Value::Object(pairs("--secret", self.secrets)?));
        }
        Ok(())
    }
}

/// `NAME=VALUE` options as an object.
pub(crate) fn pairs(option: &str, given: Vec<String>) -> Result<Map<String, Value>, Failure> {
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), Value::String(value.to_owned())))
        }
        Some(_) | None => {
            // It may be a secret.
            Err(Failure::usage(format!(
                "{option} is written as NAME=VALUE; what stands there has no ="
            )))
        }
    };
    given.into_iter().map(pair).collect()
}
