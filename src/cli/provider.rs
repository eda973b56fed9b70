//! `provider list`, `show`, `add`, `set` and `remove`: the catalogue as the installation has it.
//! Asked of the admin API, like everything that reads or changes the installation.
//! Must never read the catalogue files by itself: settings may have changed them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::link::{self, encoded};
use super::output::Column;
use super::{Ground, Reach};
use crate::provider;

pub(super) const PROVIDERS: &str = "/api/v1/admin/providers";

const COLUMNS: &[Column] =
    &[("ID", "id"), ("CATEGORY", "category"), ("FIELDS", "fields"), ("BASE URL", "base_url")];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("title", "title"),
    ("category", "category"),
    ("base url", "base_url"),
    ("websocket url", "websocket_url"),
    ("hosts", "hosts"),
    ("paths", "paths"),
    ("fields", "fields"),
    ("formats", "formats"),
    ("inject", "inject"),
    ("slots", "slots"),
    ("rewrite", "rewrite"),
    ("ca file", "ca_file"),
    ("allow private network", "allow_private_network"),
    ("max wait seconds", "max_wait_seconds"),
    ("requests per minute", "requests_per_minute"),
    ("max concurrent", "max_concurrent"),
    ("fresh seconds", "fresh_seconds"),
    ("http2", "http2"),
    ("pool", "pool"),
    ("timeouts", "timeouts"),
    ("probe", "probe"),
    ("managed by", "managed_by"),
    ("documentation", "docs_url"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Every provider that can be reached
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// One provider
    Show {
        /// Its id, e.g. polygon
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// A new provider, in force at once on every node
    Add {
        /// Its id, which is the first part of its path here, e.g. acme
        id: String,
        #[command(flatten)]
        entry: Entry,
        #[command(flatten)]
        reach: Reach,
    },
    /// Change a provider that the settings do not name
    Set {
        /// Its id, e.g. polygon
        id: String,
        #[command(flatten)]
        entry: Entry,
        /// Take back what was set of this member; may be repeated
        #[arg(long, value_name = "MEMBER")]
        clear: Vec<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove a provider that was added, or take back every change of a built-in one
    Remove {
        /// Its id
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What is said of a provider; the rest is as in the catalogue.
#[derive(Args)]
pub(super) struct Entry {
    /// A file in the form of a catalogue file (TOML), - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What follows the provider's name in a path is appended to it
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Each category has its own key-encryption key
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Put the real key into this header, e.g. "Authorization=Bearer {api_key}"; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Put the real key into this parameter of the query; may be repeated
    #[arg(long = "query", value_name = "NAME")]
    parameters: Vec<String>,
    /// It is in a private network, or on this machine, and may be reached there
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    allow_private_network: Option<bool>,
    /// Believe these certificates too, a file (PEM) on the machine of every node
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
}

impl Entry {
    fn members(self) -> Result<Map<String, Value>, Failure> {
        let mut members = match &self.file {
            Some(path) => read(path)?,
            None => Map::new(),
        };
        let texts =
            [("base_url", self.base_url), ("category", self.category), ("ca_file", self.ca_file)];
        for (name, text) in texts {
            members.extend(text.map(|text| (name.to_owned(), Value::String(text))));
        }
        let private = self.allow_private_network.map(Value::Bool);
        members.extend(private.map(|allowed| (String::from("allow_private_network"), allowed)));
        let mut inject = Vec::with_capacity(self.headers.len() + self.parameters.len());
        for header in &self.headers {
            let Some((name, value)) = header.split_once('=') else {
                return Err(Failure::usage(format!("--header {header:?} has no =")));
            };
            inject.push(json!({"at": "header", "name": name, "value": value}));
        }
        inject.extend(self.parameters.iter().map(|name| json!({"at": "query", "name": name})));
        if !inject.is_empty() {
            members.insert(String::from("inject"), Value::Array(inject));
        }
        Ok(members)
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text =
        text.map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let entry = provider::read_file(&text)
        .map_err(|fault| Failure::new(format!("{} is no TOML: {fault}", path.display())))?;
    match entry {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Failure::new(format!("{} holds no members", path.display())))
        }
    }
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::List { reach } => {
                let list = link::with(ground, &reach, async |link| link.list(PROVIDERS).await)?;
                ground.output(reach.print).list(&list, COLUMNS)
            }
            Self::Show { id, reach } => {
                let path = format!("{PROVIDERS}/{}", encoded(&id));
                let provider = link::with(ground, &reach, async |link| link.get(&path).await)?;
                ground.output(reach.print).record(&provider, MEMBERS)
            }
            Self::Add { id, entry, reach } => {
                let mut members = entry.members()?;
                members.insert(String::from("id"), Value::String(id));
                let body = Some(Value::Object(members));
                let added =
                    link::with(ground, &reach, async |link| link.post(PROVIDERS, body).await)?;
                ground.output(reach.print).record(&added, MEMBERS)
            }
            Self::Set { id, entry, clear, reach } => {
                let mut members = entry.members()?;
                members.extend(clear.into_iter().map(|member| (member, Value::Null)));
                if members.is_empty() {
                    let line = "nothing to change; `sealgate provider set --help` lists it";
                    return Err(Failure::usage(line));
                }
                let path = format!("{PROVIDERS}/{}", encoded(&id));
                let body = Some(Value::Object(members));
                let changed = link::with(ground, &reach, async |link| link.put(&path, body).await)?;
                let output = ground.output(reach.print);
                output.record(&changed, MEMBERS)?;
                let note = "where its destinations changed, its secrets are closed until `sealgate \
                            secret reseal`";
                output.remark(note)
            }
            Self::Remove { id, reach } => {
                let path = format!("{PROVIDERS}/{}", encoded(&id));
                link::with(ground, &reach, async |link| link.delete(&path).await)?;
                ground.output(reach.print).remark(&format!("{id} is removed"))
            }
        }
    }
}
