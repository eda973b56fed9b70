//! The kinds of values that settings have: what is accepted in a file, how the text of an
//! environment variable is read, and how either is told what was expected. Must never repeat a
//! secret's value.

use std::net::SocketAddr;

use super::nearest::nearest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Relative ones count from the settings file; empty: none.
    Path,
    /// Address and port to listen on.
    Address,
    Flag,
    Number {
        least: i64,
        most: i64,
    },
    Texts,
    Choice(&'static [&'static str]),
    /// Text that is masked, and may stand elsewhere: `{ file = "…" }`, `{ env = "…" }`.
    Secret,
    /// A table whose members its own room checks.
    Table,
    /// An array whose items their own room checks.
    Array,
}

impl Kind {
    /// Is the value of this kind? The fault says what is expected, and never repeats a secret.
    pub(super) fn check(self, value: &toml::Value) -> Result<(), String> {
        use toml::Value;
        match (self, value) {
            (Self::Text | Self::Path, Value::String(_))
            | (Self::Flag, Value::Boolean(_))
            | (Self::Table, Value::Table(_)) => Ok(()),
            (Self::Address, Value::String(text)) => address(text).map(|_| ()),
            (Self::Number { least, most }, Value::Integer(number)) => {
                if (least..=most).contains(number) {
                    return Ok(());
                }
                Err(format!("{number} is out of range; give a number {}", range(least, most)))
            }
            (Self::Choice(choices), Value::String(text)) => {
                if choices.contains(&text.as_str()) {
                    return Ok(());
                }
                let near = nearest(text, choices.iter().copied());
                Err(format!("{text:?} is none of {}; {near:?} is nearest", choices.join(", ")))
            }
            (Self::Texts, Value::Array(items)) if items.iter().all(Value::is_str) => Ok(()),
            (Self::Array, Value::Array(_)) => Ok(()),
            (Self::Secret, Value::String(_)) => Ok(()),
            (Self::Secret, Value::Table(table)) => reference(table),
            (_, found) => Err(format!("expected {}, found {}", self.expected(), kind_of(found))),
        }
    }

    /// Reads the value of an environment variable.
    pub(super) fn read(self, text: &str) -> Result<toml::Value, String> {
        use toml::Value;
        let value = match self {
            Self::Text | Self::Path | Self::Address | Self::Choice(_) | Self::Secret => {
                Value::String(text.to_owned())
            }
            Self::Flag => match text {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ => return Err(format!("expected true or false, found {text:?}")),
            },
            Self::Number { least, most } => match text.parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    let range = range(least, most);
                    return Err(format!("expected a whole number {range}, found {text:?}"));
                }
            },
            Self::Texts if !text.trim_start().starts_with('[') => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            Self::Texts | Self::Table | Self::Array => inline(text)
                .ok_or_else(|| format!("expected {}, written as in TOML", self.expected()))?,
        };
        self.check(&value).map(|()| value)
    }

    fn expected(self) -> String {
        match self {
            Self::Text => String::from("text"),
            Self::Path => String::from("a path"),
            Self::Address => String::from("an address and port like \"127.0.0.1:8080\""),
            Self::Flag => String::from("true or false"),
            Self::Number { least, most } => format!("a whole number {}", range(least, most)),
            Self::Texts => String::from("an array of text"),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Secret => String::from("text, { file = \"…\" } or { env = \"…\" }"),
            Self::Table => String::from("a table"),
            Self::Array => String::from("an array"),
        }
    }
}

/// One value as TOML writes it to the right of the equals sign.
pub(super) fn inline(text: &str) -> Option<toml::Value> {
    let mut table: toml::Table = format!("value = {text}").parse().ok()?;
    if table.len() > 1 {
        return None;
    }
    table.remove("value")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address and port; write it like \"127.0.0.1:8080\" or \
             \"[::1]:8080\""
        )
    })
}

/// `{ file = "…" }` or `{ env = "…" }`: exactly one, and not empty.
fn reference(table: &toml::Table) -> Result<(), String> {
    let mut members = table.iter();
    match (members.next(), members.next()) {
        (Some((name, toml::Value::String(text))), None)
            if matches!(name.as_str(), "file" | "env") && !text.is_empty() =>
        {
            Ok(())
        }
        _ => Err(String::from("give the value as text, or exactly one of file and env")),
    }
}

fn range(least: i64, most: i64) -> String {
    if most == i64::MAX { format!("from {least}") } else { format!("from {least} to {most}") }
}

pub(super) fn kind_of(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a decimal number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "an array",
        toml::Value::Table(_) => "a table",
    }
}
