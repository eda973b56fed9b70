//! The settings in force, each with where it came from.
//! The value of a secret never reaches this form: it is masked when the form is made, not when it
//! is printed.

use std::path::Path;

use toml::Value;

use super::Config;
use super::kind::Kind;
use super::layers::{self, Layers};
use super::setting::{OF_A_PROVIDER, SETTINGS};

/// What stands where a secret is.
pub const MASK: &str = "********";

/// One setting in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Dotted.
    pub key: String,
    /// Paths are absolute; secrets are masked.
    pub value: Value,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    /// The environment variable's name.
    Variable(String),
}

impl Shown {
    /// As the settings file would write it, were it flat.
    pub fn assignment(&self) -> String {
        format!("{} = {}", self.key, self.value)
    }

    /// The value as JSON.
    pub fn json(&self) -> serde_json::Value {
        json(&self.value)
    }
}

impl Origin {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Variable(name) => name,
        }
    }
}

pub(super) fn shown(layers: &Layers, base: &Path, config: &Config) -> Vec<Shown> {
    let mut lines = Vec::new();
    for setting in SETTINGS {
        let Some(value) = layers.value(setting.key) else { continue };
        let value = match setting.key {
            "database.url" => database(layers, value, config),
            "rotation.policies" => policies(value),
            _ => displayed(setting.kind, value, base, layers.origin(setting.key).is_some()),
        };
        lines.push(Shown {
            key: setting.key.to_owned(),
            value,
            origin: origin(layers.origin(setting.key)),
        });
    }
    for (id, table) in layers.providers() {
        for setting in OF_A_PROVIDER {
            let Some(value) = member(table, setting.key) else { continue };
            let key = format!("providers.{id}.{}", setting.key);
            let origin = origin(layers.origin(&key));
            lines.push(Shown { value: displayed(setting.kind, value, base, true), key, origin });
        }
    }
    lines
}

fn displayed(kind: Kind, value: &Value, base: &Path, given: bool) -> Value {
    match (kind, value) {
        (Kind::Secret, _) if given => Value::String(MASK.to_owned()),
        (Kind::Path, Value::String(path)) if !path.is_empty() => {
            Value::String(base.join(path).display().to_string())
        }
        (_, value) => value.clone(),
    }
}

/// A path is no secret, and the one thing that is asked of this setting most often.
fn database(layers: &Layers, value: &Value, config: &Config) -> Value {
    match &config.store.target {
        crate::store::Target::Sqlite(path) => Value::String(format!("sqlite://{}", path.display())),
        crate::store::Target::Postgres(_) => {
            displayed(Kind::Secret, value, Path::new(""), layers.origin("database.url").is_some())
        }
    }
}

/// Where a webhook lives may be told, and what comes behind it may be a token.
fn policies(value: &Value) -> Value {
    let mut value = value.clone();
    let tables = value.as_array_mut().into_iter().flatten().filter_map(Value::as_table_mut);
    for url in tables.filter_map(|table| table.get_mut("url")) {
        let shown = url.as_str().and_then(host_alone);
        *url = Value::String(shown.unwrap_or_else(|| MASK.to_owned()));
    }
    value
}

fn host_alone(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, _) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    Some(format!("{scheme}://{host}/{MASK}"))
}

fn origin(origin: Option<&layers::Origin>) -> Origin {
    match origin {
        None => Origin::Default,
        Some(layers::Origin::File) => Origin::File,
        Some(layers::Origin::Variable(name)) => Origin::Variable(name.clone()),
    }
}

fn member<'a>(table: &'a toml::Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => member(table.get(section)?.as_table()?, rest),
    }
}

/// Dates, which no setting is, become text.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => serde_json::Value::String(text.clone()),
        Value::Integer(number) => serde_json::Value::from(*number),
        Value::Float(number) => serde_json::Value::from(*number),
        Value::Boolean(flag) => serde_json::Value::Bool(*flag),
        Value::Datetime(date) => serde_json::Value::String(date.to_string()),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Table(table) => {
            let member = |(name, inner): (&String, &Value)| (name.clone(), json(inner));
            serde_json::Value::Object(table.iter().map(member).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhook_the_host_is_shown_and_nothing_that_may_be_a_token() {
        for (url, shown) in [
            ("https://keys.example/rotate/t0ken?a=b", "https://keys.example/********"),
            ("https://user:pass@keys.example:8443#x", "https://keys.example:8443/********"),
            ("https://keys.example", "https://keys.example/********"),
            ("nonsense", "********"),
        ] {
            let list: toml::Table =
                format!("policies = [{{ provider = 'a', url = '{url}' }}]").parse().unwrap();
            let text = policies(&list["policies"]).to_string();
            assert!(text.contains(&format!("\"{shown}\"")), "{url}: {text}");
            assert!(!text.contains("t0ken") && !text.contains("pass"), "{text}");
        }
    }
}
