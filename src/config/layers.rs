//! Three layers, each over the one below: defaults, the settings file, environment variables. Every
//! value is checked for its kind as it is laid, and remembers where it came from. Must never let a
//! name pass that the table of settings does not have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::environment::{Environment, PREFIX};
use super::fault::Fault;
use super::kind::{Kind, kind_of};
use super::nearest::nearest;
use super::setting::{OF_A_PROVIDER, SETTINGS, Setting};
use crate::provider;

/// Where a value was given. A value that was never given is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    Variable(String),
}

/// All values by dotted key, defaults included; `providers` hold what was given alone.
pub(super) struct Layers {
    pub(super) file: Option<PathBuf>,
    values: BTreeMap<String, Value>,
    origins: BTreeMap<String, Origin>,
    providers: BTreeMap<String, Table>,
}

/// What a dotted name means.
enum Meaning<'a> {
    Setting(&'static Setting),
    /// A setting of the provider of that name.
    OfProvider(&'a str, &'static Setting),
    /// A table with settings in it.
    Section,
    Unknown,
}

impl Layers {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let value = |setting: &Setting| Some((setting.key.to_owned(), setting.default_value()?));
        Self {
            file,
            values: SETTINGS.iter().filter_map(value).collect(),
            origins: BTreeMap::new(),
            providers: BTreeMap::new(),
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// Was it given, and as something else than it is anyway?
    pub(super) fn is_changed(&self, key: &str) -> bool {
        let default = SETTINGS.iter().find(|setting| setting.key == key);
        let default = default.and_then(Setting::default_value);
        self.origins.contains_key(key) && self.values.get(key) != default.as_ref()
    }

    pub(super) fn providers(&self) -> &BTreeMap<String, Table> {
        &self.providers
    }

    /// A default that follows from other values.
    pub(super) fn derive(&mut self, key: &str, value: Value) {
        self.values.insert(key.to_owned(), value);
    }

    /// Everything but the providers as one table, as `Raw` reads it.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        for (key, value) in &self.values {
            insert(&mut table, key, value.clone());
        }
        table
    }

    /// A fault of the value under `key`, said of the place where it was given.
    pub(super) fn fault(&self, key: &str, what: impl Into<String>) -> Fault {
        match self.origins.get(key) {
            Some(Origin::Variable(name)) => Fault::new(name, Some(key), what),
            Some(Origin::File) | None => Fault::new(self.source(), Some(key), what),
        }
    }

    /// A fault of two values that contradict each other: said of `key` where it was given, else of
    /// the place where `other` was.
    pub(super) fn fault_beside(&self, key: &str, other: &str, what: impl Into<String>) -> Fault {
        let given = |key: &str| self.origins.get(key);
        match (given(key), given(other)) {
            (None, Some(Origin::Variable(name))) => Fault::new(name, Some(key), what),
            (Some(_) | None, _) => self.fault(key, what),
        }
    }

    fn source(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => String::from("built-in defaults"),
        }
    }

    /// Lays the settings file over the defaults.
    pub(super) fn lay_file(&mut self, text: &str) -> Result<(), Fault> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let place = error.span().map(|span| line_and_column(text, span.start));
            let place = place.unwrap_or_else(|| String::from("not TOML"));
            Fault::new(self.source(), None, format!("{place}: {}", error.message()))
        })?;
        self.lay_table("", table)
    }

    fn lay_table(&mut self, above: &str, table: Table) -> Result<(), Fault> {
        for (name, value) in table {
            let key = dotted(above, &name);
            match (meaning(&key), value) {
                (Meaning::Setting(setting), value) => {
                    setting.kind.check(&value).map_err(|what| self.fault(&key, what))?;
                    self.put(&key, value, Origin::File);
                }
                (Meaning::OfProvider(id, setting), value) => {
                    setting.kind.check(&value).map_err(|what| self.fault(&key, what))?;
                    let id = id.to_owned();
                    self.put_of_provider(&id, setting.key, value, Origin::File);
                }
                (Meaning::Section, Value::Table(inner)) => {
                    if above == "providers" {
                        self.provider_is_named_well(&key, &name)?;
                    }
                    self.lay_table(&key, inner)?;
                }
                (Meaning::Section, other) => {
                    let what = format!("expected a table, found {}", kind_of(&other));
                    return Err(self.fault(&key, what));
                }
                (Meaning::Unknown, _) => {
                    let what = format!("unknown setting; did you mean {}?", nearest_key(&key));
                    return Err(Fault::new(self.source(), Some(&key), what));
                }
            }
        }
        Ok(())
    }

    fn provider_is_named_well(&mut self, key: &str, id: &str) -> Result<(), Fault> {
        if !provider::is_provider_id(id) {
            let what = "a provider's name is a lower-case letter, then letters, digits and hyphens \
                        (63 at most), and none of the proxy's own names";
            return Err(Fault::new(self.source(), Some(key), what));
        }
        self.providers.entry(id.to_owned()).or_default();
        Ok(())
    }

    /// Lays the environment over file and defaults.
    pub(super) fn lay_environment(&mut self, environment: &Environment) -> Result<(), Fault> {
        let named = self.variables_named_by_the_file();
        for name in environment.overrides() {
            let Some(value) = environment.value(name) else { continue };
            let Some(key) = key_of_variable(name) else {
                if named.iter().any(|other| other == name) {
                    continue;
                }
                let near = nearest_variable(name);
                let what = format!("unknown variable; did you mean {near}?");
                return Err(Fault::new(name, None, what));
            };
            let fault = |what: String| Fault::new(name, Some(&key), what);
            let text = value.map_err(|_| fault(String::from("is not UTF-8")))?;
            self.lay_variable(name, &key, text).map_err(fault)?;
        }
        Ok(())
    }

    fn lay_variable(&mut self, name: &str, key: &str, text: &str) -> Result<(), String> {
        let origin = Origin::Variable(name.to_owned());
        match meaning(key) {
            Meaning::Setting(setting) => {
                let value = setting.kind.read(text)?;
                self.not_twice(key)?;
                self.put(key, value, origin);
            }
            Meaning::OfProvider(id, setting) => {
                let value = setting.kind.read(text)?;
                self.put_of_provider(id, setting.key, value, origin);
            }
            // A secret's own members: SEALGATE_DATABASE__URL__FILE.
            Meaning::Section | Meaning::Unknown => {
                let (secret, member) = key.rsplit_once('.').unwrap_or((key, ""));
                let mut reference = Table::new();
                reference.insert(member.to_owned(), Value::String(text.to_owned()));
                let reference = Value::Table(reference);
                Kind::Secret.check(&reference)?;
                self.not_twice(secret)?;
                self.put(secret, reference, origin);
            }
        }
        Ok(())
    }

    fn not_twice(&self, key: &str) -> Result<(), String> {
        match self.origins.get(key) {
            Some(Origin::Variable(other)) => {
                Err(format!("contradicts {other}, which gives the same setting; keep one of them"))
            }
            Some(Origin::File) | None => Ok(()),
        }
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) {
        self.values.insert(key.to_owned(), value);
        self.origins.insert(key.to_owned(), origin);
    }

    fn put_of_provider(&mut self, id: &str, member: &str, value: Value, origin: Origin) {
        insert(self.providers.entry(id.to_owned()).or_default(), member, value);
        self.origins.insert(format!("providers.{id}.{member}"), origin);
    }

    /// Variables that `{ env = "…" }` names are known, whatever they are called.
    fn variables_named_by_the_file(&self) -> Vec<String> {
        let name = |value: &Value| Some(value.get("env")?.as_str()?.to_owned());
        self.values.values().filter_map(name).collect()
    }

    /// The paths in the tables of providers, made to count from `base`.
    pub(super) fn anchor_providers(&mut self, base: &Path) {
        for table in self.providers.values_mut() {
            if let Some(Value::String(path)) = table.get_mut("ca_file")
                && !path.is_empty()
            {
                *path = base.join(&path).display().to_string();
            }
        }
    }
}

fn meaning(key: &str) -> Meaning<'_> {
    if let Some(rest) = key.strip_prefix("providers.") {
        let Some((id, member)) = rest.split_once('.') else { return Meaning::Section };
        return match OF_A_PROVIDER.iter().find(|setting| setting.key == member) {
            Some(setting) => Meaning::OfProvider(id, setting),
            None if is_section(member, OF_A_PROVIDER) => Meaning::Section,
            None => Meaning::Unknown,
        };
    }
    match SETTINGS.iter().find(|setting| setting.key == key) {
        Some(setting) => Meaning::Setting(setting),
        None if key == "providers" || is_section(key, SETTINGS) => Meaning::Section,
        None => Meaning::Unknown,
    }
}

fn is_section(key: &str, settings: &[Setting]) -> bool {
    let inside = |setting: &Setting| setting.key.strip_prefix(key)?.strip_prefix('.').map(|_| ());
    settings.iter().any(|setting| inside(setting).is_some())
}

fn nearest_key(wrong: &str) -> String {
    let members = OF_A_PROVIDER.iter().map(|setting| setting.key);
    match wrong.strip_prefix("providers.").and_then(|rest| rest.split_once('.')) {
        Some((id, member)) => format!("providers.{id}.{}", nearest(member, members)),
        None => {
            let sections = SETTINGS.iter().filter_map(|setting| setting.key.split_once('.'));
            let sections = sections.map(|(section, _)| section).chain(["providers"]);
            // A whole section that is misspelt is told as a section.
            let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            nearest(wrong, known.into_iter().chain(sections)).to_owned()
        }
    }
}

/// `SEALGATE_PROXY__LISTEN` for `proxy.listen`.
pub(super) fn variable_of(key: &str) -> String {
    let upper = key.to_ascii_uppercase().replace('-', "_").replace('.', "__");
    format!("{PREFIX}{upper}")
}

/// The dotted key that a variable overrides. None if it overrides nothing.
fn key_of_variable(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    let key = rest.split("__").collect::<Vec<_>>().join(".").to_ascii_lowercase();
    let key = match key.strip_prefix("providers.").and_then(|of| of.split_once('.')) {
        // A provider's id has hyphens, which few shells take in a variable's name.
        Some((id, member)) => format!("providers.{}.{member}", id.replace('_', "-")),
        None => key,
    };
    let known = match meaning(&key) {
        Meaning::Setting(_) | Meaning::OfProvider(..) => true,
        Meaning::Section | Meaning::Unknown => is_member_of_a_secret(&key),
    };
    (known && variable_of(&key) == name).then_some(key)
}

fn is_member_of_a_secret(key: &str) -> bool {
    let Some((secret, "file" | "env")) = key.rsplit_once('.') else { return false };
    SETTINGS.iter().any(|setting| setting.key == secret && setting.kind == Kind::Secret)
}

fn nearest_variable(wrong: &str) -> String {
    let lower = wrong.strip_prefix(PREFIX).unwrap_or(wrong).to_ascii_lowercase();
    let (id, members) = match lower.strip_prefix("providers__").and_then(|of| of.split_once("__")) {
        Some((id, _)) => (id, OF_A_PROVIDER),
        None => ("", [].as_slice()),
    };
    let own = SETTINGS.iter().map(|setting| variable_of(setting.key));
    let of_it =
        members.iter().map(|setting| variable_of(&format!("providers.{id}.{}", setting.key)));
    let known: Vec<String> = own.chain(of_it).collect();
    let exempt = ["SEALGATE_CONFIG", "SEALGATE_KEY", "SEALGATE_URL"];
    nearest(&wrong.to_ascii_uppercase(), known.iter().map(String::as_str).chain(exempt)).to_owned()
}

/// A name that TOML would have to quote stays quoted, so that no message breaks its line.
fn dotted(above: &str, name: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let plain = !name.is_empty() && name.chars().all(bare);
    let name = if plain { name.to_owned() } else { format!("{name:?}") };
    if above.is_empty() { name } else { format!("{above}.{name}") }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner =
                table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn line_and_column(text: &str, place: usize) -> String {
    let before = text.get(..place).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}
