//! What may be reached, how a key is placed there, and how it is checked. A provider is data: a
//! file of the catalogue, changed or added to by the settings. Pure: no I/O, no clock; serde only
//! in `file`.

mod emulation;
mod file;
mod format;
mod freshness;
mod hosts;
mod limits;
mod placement;
mod placing;
mod pointer;
mod price;
mod pricing;
mod probe;
mod raw;
mod rewrite;
mod socket;
mod url;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::emulation::{Canned, EmulatedRoute, EmulatedSocket, EmulatedWord, Emulation};
pub(crate) use self::file::{BadProvider, RESERVED_NAMES, is_provider_id};
pub(crate) use self::format::KeyFormat;
pub(crate) use self::freshness::{MOST_FRESH_SECONDS, is_event_stream};
pub(crate) use self::hosts::{Host, Hosts};
pub(crate) use self::limits::OwnLimits;
pub(crate) use self::placement::{Placement, Spot, Template};
pub(crate) use self::pointer::Pointer;
pub(crate) use self::price::{Places, Price, TokenKind, TokenPrices, Tokens, Told};
pub(crate) use self::probe::{Account, AccountKind, Permission, Probe, Says};
pub(crate) use self::rewrite::{Rewrite, escaped};
pub(crate) use self::socket::{Codec, Dialect, SocketWays, Word};
pub(crate) use self::url::BaseUrl;

/// One upstream API.
#[derive(Debug)]
pub(crate) struct Provider {
    pub id: Arc<str>,
    pub title: String,
    pub category: String,
    pub docs_url: Option<String>,
    pub hosts: Hosts,
    pub sockets: Option<Hosts>,
    pub socket: SocketWays,
    pub fields: Vec<Field>,
    pub inject: Vec<Placement>,
    pub slots: Slots,
    pub rewrite: Rewrite,
    pub probe: Option<Probe>,
    pub allow_private_network: bool,
    pub ca_file: Option<std::path::PathBuf>,
    pub max_wait: Duration,
    pub pool: bool,
    /// The plan's limit, as the settings say; None where they say nothing.
    pub requests_per_minute: Option<u32>,
    /// What holds for one secret, and how the answers tell it.
    pub limits: OwnLimits,
    /// Calls that wait for one secret's limit at once.
    pub max_waiting: usize,
    pub timeouts: Timeouts,
    pub http2: Http2,
    /// Calls at once; None: no bound.
    pub max_concurrent: Option<usize>,
    /// How long an answer holds that says nothing of it; 0: nobody knows.
    pub fresh_seconds: u32,
    pub price: Price,
    pub emulation: Option<Emulation>,
}

/// One member of a secret.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    pub format: KeyFormat,
}

/// Where this provider's own protocol carries a credential; all of these are emptied.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Lower case.
    pub headers: Vec<String>,
    /// Lower case: names compare percent-decoded and without case.
    pub query: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    /// None: no bound on the whole.
    pub total: Option<Duration>,
}

/// Over which protocol calls go to a provider that speaks both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Http2 {
    /// HTTP/2 for calls without a body and for gRPC, as it costs less there.
    #[default]
    Auto,
    Never,
    /// Wherever the provider speaks it.
    Always,
}

impl Http2 {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Never, Self::Always];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Always => "always",
        }
    }
}

/// Every provider of the house, by id, with the union of their credential slots.
#[derive(Debug)]
pub(crate) struct Catalogue {
    providers: BTreeMap<Arc<str>, Arc<Provider>>,
    /// What each was made of: one that is made of the same is the same.
    sources: BTreeMap<Arc<str>, toml::Table>,
    /// In the order of their names.
    header_slots: Vec<http::HeaderName>,
    query_slots: Vec<String>,
}

/// The stand-in that `serve --sandbox` adds; its name is known without it.
pub(crate) const SANDBOX: &str = "sandbox";

/// Entries of the settings, by id.
pub(crate) type Layer = Vec<(String, toml::Table)>;

/// An entry that operators wrote, its members as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub id: String,
    pub members: String,
}

/// Slots that hold a client's credential whatever the catalogue says.
const USUAL_HEADER_SLOTS: [&str; 11] = [
    "authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-api-token",
    "x-auth-token",
    "apca-api-key-id",
    "apca-api-secret-key",
    "x-finnhub-token",
    "x-goog-api-key",
    "proxy-authorization",
];
const USUAL_QUERY_SLOTS: [&str; 9] = [
    "apikey",
    "api_key",
    "api_token",
    "token",
    "secret",
    "key",
    "access_token",
    "auth_token",
    "appid",
];

impl Catalogue {
    /// The built-in files with the settings' `[providers.*]` laid over them.
    pub(crate) fn build(settings: &[(String, toml::Table)]) -> Result<Self, BadProvider> {
        Self::layered(&[], settings, None)
    }

    /// The built-in files, what operators wrote over them, and the settings over both. What is made
    /// as in `former` is taken from there.
    pub(crate) fn layered(
        stored: &[Stored],
        settings: &[(String, toml::Table)],
        former: Option<&Self>,
    ) -> Result<Self, BadProvider> {
        let built_in = file::built_in()?;
        let mut tables = built_in.clone();
        for entry in stored {
            file::overlay(&mut tables, &entry.id, &file::from_json(&entry.id, &entry.members)?)?;
        }
        for (id, table) in settings {
            file::overlay(&mut tables, id, table)?;
        }
        let mut sources = BTreeMap::new();
        let mut providers = Vec::with_capacity(tables.len());
        for (id, table) in tables {
            let known = former.and_then(|former| former.made_of(&id, &table));
            let provider = match known {
                Some(known) => known,
                None => Arc::new(file::provider(&id, table.clone(), built_in.get(&id))?),
            };
            sources.insert(Arc::clone(&provider.id), table);
            providers.push(provider);
        }
        Ok(Self { sources, ..Self::of(providers) })
    }

    fn made_of(&self, id: &str, table: &toml::Table) -> Option<Arc<Provider>> {
        self.sources.get(id).filter(|source| *source == table)?;
        self.providers.get(id).cloned()
    }

    /// The same catalogue with one provider replaced: the sandbox, once its port is known.
    pub(crate) fn with(self, provider: Arc<Provider>) -> Self {
        let mut providers: Vec<Arc<Provider>> = self.providers.values().cloned().collect();
        providers.retain(|other| other.id != provider.id);
        providers.push(provider);
        Self { sources: self.sources, ..Self::of(providers) }
    }

    /// Without the provider of that name.
    pub(crate) fn without(self, id: &str) -> Self {
        let kept = self.providers.values().filter(|provider| &*provider.id != id);
        Self { sources: self.sources.clone(), ..Self::of(kept.cloned().collect()) }
    }

    fn of(providers: Vec<Arc<Provider>>) -> Self {
        let mut header_slots: Vec<String> = USUAL_HEADER_SLOTS.map(str::to_owned).to_vec();
        let mut query_slots: Vec<String> = USUAL_QUERY_SLOTS.map(str::to_owned).to_vec();
        for provider in &providers {
            header_slots.extend(provider.slots.headers.iter().cloned());
            query_slots.extend(provider.slots.query.iter().cloned());
        }
        for slots in [&mut header_slots, &mut query_slots] {
            slots.sort_unstable();
            slots.dedup();
        }
        // Settings are checked: a name that is none would not have come this far.
        let header_slots = header_slots.iter().filter_map(|slot| slot.parse().ok()).collect();
        let providers =
            providers.into_iter().map(|provider| (Arc::clone(&provider.id), provider)).collect();
        Self { providers, sources: BTreeMap::new(), header_slots, query_slots }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Provider>> {
        self.providers.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// The catalogue's copy of this lower-case name, if it is a place for credentials at any
    /// provider.
    pub(crate) fn header_slot(&self, name: &str) -> Option<&http::HeaderName> {
        let at = self.header_slots.binary_search_by(|slot| slot.as_str().cmp(name)).ok()?;
        self.header_slots.get(at)
    }

    /// Is this decoded, lower-case query name a place for credentials, at any provider?
    pub(crate) fn is_query_slot(&self, name: &str) -> bool {
        self.query_slots.binary_search_by(|slot| slot.as_str().cmp(name)).is_ok()
    }
}

impl Catalogue {
    /// Every place where a client's credential may stand, in the words of a refusal.
    pub(crate) fn slots(&self) -> String {
        let headers: Vec<&str> = self.header_slots.iter().map(http::HeaderName::as_str).collect();
        format!(
            "one of the headers {}, or one of the query parameters {}",
            headers.join(", "),
            self.query_slots.join(", ")
        )
    }
}

impl Provider {
    /// Everything a secret of this provider may be sent to and where it is placed, in one canonical
    /// text each. Sealed inside the secret; what is not in the sealed list is not served.
    pub(crate) fn destinations(&self) -> Vec<String> {
        let mut list = self.destinations_of_calls();
        list.extend(self.destinations_of_sockets());
        list.sort_unstable();
        list.dedup();
        list
    }

    /// The part of them that a plain call reaches: a socket's new address closes no call.
    pub(crate) fn destinations_of_calls(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|host| format!("to {}", host.base.canonical()));
        let mut list: Vec<String> = hosts.collect();
        list.extend(self.inject.iter().map(|placement| format!("at {}", placement.canonical())));
        list
    }

    /// The part that only a socket reaches.
    pub(crate) fn destinations_of_sockets(&self) -> Vec<String> {
        let sockets = self.sockets.iter().flat_map(Hosts::iter);
        let mut list: Vec<String> =
            sockets.map(|host| format!("to {}", host.base.canonical())).collect();
        let inject = self.socket.inject.iter().flatten();
        list.extend(inject.map(|placement| format!("at {}", placement.canonical())));
        let hails = self.socket.hails();
        list.extend(hails.map(|(dialect, _)| format!("at message {}", dialect.as_str())));
        list.dedup();
        list
    }

    /// Every placement, those of calls first, and whether it is one of sockets alone.
    pub(crate) fn placements(&self) -> impl Iterator<Item = (&Placement, bool)> + Clone {
        let of_sockets = self.socket.inject.iter().flatten();
        let of_calls = self.inject.iter().map(|placement| (placement, false));
        of_calls.chain(of_sockets.map(|placement| (placement, true)))
    }

    /// Does a socket's handshake have places of its own?
    fn has_places_of_sockets(&self) -> bool {
        self.socket.inject.is_some()
    }

    /// Is it filled in a call (or, true, in a socket's handshake) of this method?
    pub(crate) fn fills(
        &self,
        (placement, of_sockets): (&Placement, bool),
        (method, is_socket): (&http::Method, bool),
    ) -> bool {
        let meant = match is_socket {
            true => of_sockets == self.has_places_of_sockets(),
            false => !of_sockets,
        };
        meant && placement.is_for(method)
    }

    /// The sandbox's own entry, pointed at the port on which it listens.
    #[must_use]
    pub(crate) fn at_port(mut self, port: u16) -> Self {
        self.hosts = self.hosts.at_port(port);
        self.rewrite = self.rewrite.at(&[self.hosts.home().base.clone()]);
        self
    }

    /// Calls that one secret is good for, and the length of that window in nanoseconds.
    pub(crate) fn window(&self) -> Option<(u64, u64)> {
        self.limits.window
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Can a name that nobody knows be repeated? A value that was pasted in its place has capitals,
/// digits, or is longer than any name.
pub(crate) fn is_like_a_field(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    (1..=16).contains(&name.len()) && name.chars().all(is_letter)
}

/// An entry in the form of a catalogue file, as JSON.
pub(crate) fn read_file(text: &str) -> Result<serde_json::Value, String> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    serde_json::to_value(table).map_err(|error| error.to_string())
}

/// One built-in entry on its own, for its emulator.
pub(crate) fn built_in(id: &str) -> Result<Provider, BadProvider> {
    let mut tables = file::built_in()?;
    let table = tables.remove(id).ok_or_else(|| BadProvider {
        key: format!("providers.{id}"),
        fault: String::from("there is no built-in provider of that name"),
    })?;
    file::provider(id, table, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_file_is_a_provider() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let ids: Vec<&str> = catalogue.iter().map(|provider| &*provider.id).collect();
        assert_eq!(
            ids,
            [
                "alpaca",
                "alpaca-paper",
                "alphavantage",
                "anthropic",
                "coingecko",
                "coingecko-pro",
                "eodhd",
                "finnhub",
                "fmp",
                "fred",
                "ibkr",
                "massive",
                "nasdaq-data-link",
                "newsapi",
                "openai",
                "polygon",
                "sandbox",
                "taapi",
                "tiingo",
                "twelvedata",
            ]
        );
    }

    /// `/p/p/x` means `/p/x`: a path that began so would never be reached.
    #[test]
    fn no_path_of_a_built_in_file_begins_with_the_providers_name() {
        for provider in Catalogue::build(&[]).unwrap().iter() {
            let routes = provider.emulation.iter().flat_map(|emulation| &emulation.routes);
            let paths = routes.map(|route| route.path.to_string());
            let probes = provider.probe.iter().map(|probe| probe.path.clone());
            for path in paths.chain(probes) {
                let first = path.split(['/', '?']).nth(1).unwrap();
                assert_ne!(first, &*provider.id, "{path}");
            }
        }
    }

    #[test]
    fn settings_override_and_add_providers() {
        let polygon = "base_url = \"https://other.example/v9\"".parse().unwrap();
        let acme = r#"
            base_url = "https://api.acme.example/v1"
            category = "market-data"
            inject = [{ at = "query", name = "token" }]
        "#;
        let settings =
            [(String::from("polygon"), polygon), (String::from("acme"), acme.parse().unwrap())];
        let catalogue = Catalogue::build(&settings).unwrap();
        let polygon = catalogue.get("polygon").unwrap();
        assert_eq!(polygon.hosts.home().base.canonical(), "https://other.example:443/v9");
        let acme = catalogue.get("acme").unwrap();
        assert_eq!(acme.destinations(), ["at query token", "to https://api.acme.example:443/v1"]);
        assert!(catalogue.is_query_slot("token"));
    }

    #[test]
    fn the_documentation_lists_every_slot() {
        let page = include_str!("../docs/client-keys.md");
        let list = page.split("## Where a key may stand").nth(1).unwrap();
        let list = list.split("\n## ").next().unwrap();
        let mut documented: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        documented.sort_unstable();
        let catalogue = Catalogue::build(&[]).unwrap();
        let headers = catalogue.header_slots.iter().map(http::HeaderName::as_str);
        let known = headers.chain(catalogue.query_slots.iter().map(String::as_str));
        for slot in known {
            assert!(documented.binary_search(&slot).is_ok(), "{slot} is not in {documented:?}");
        }
    }

    #[test]
    fn a_table_of_paths_tells_hosts_apart() {
        let host = |catalogue: &Catalogue, path: &str| {
            let hosts = &catalogue.get("alpaca").unwrap().hosts;
            hosts.host(hosts.of(path)).base.canonical()
        };
        let catalogue = Catalogue::build(&[]).unwrap();
        assert_eq!(host(&catalogue, "/v2/account"), "https://api.alpaca.markets:443/");
        assert_eq!(host(&catalogue, "/v2/stocks/bars"), "https://data.alpaca.markets:443/");
        assert_eq!(host(&catalogue, "/v2/stocksy"), "https://api.alpaca.markets:443/");
        assert_eq!(host(&catalogue, "/v1beta3"), "https://data.alpaca.markets:443/");
        // A base URL of the settings is every REST host's, but for those that they name.
        let moved = |text: &str| {
            let settings = [(String::from("alpaca"), text.parse().unwrap())];
            let catalogue = Catalogue::build(&settings).unwrap();
            (host(&catalogue, "/v2/account"), host(&catalogue, "/v2/stocks/bars"))
        };
        let one = String::from("https://one.example:443/");
        let two = String::from("https://two.example:443/");
        assert_eq!(moved("base_url = \"https://one.example\""), (one.clone(), one.clone()));
        let named = "base_url = \"https://one.example\"\nhosts.data = \"https://two.example\"";
        assert_eq!(moved(named), (one, two));
    }

    #[test]
    fn a_wrong_entry_names_its_key() {
        let fault = |text: &str| {
            let settings = [(String::from("acme"), text.parse().unwrap())];
            Catalogue::build(&settings).unwrap_err().to_string()
        };
        let missing = fault("category = \"x\"");
        assert!(missing.starts_with("providers.acme.base_url: "), "{missing}");
        let plain = fault("base_url = \"http://api.example\"\ncategory = \"x\"\ninject = []");
        assert!(plain.starts_with("providers.acme.base_url: "), "{plain}");
        let unknown = fault("base_url = \"https://a.example\"\ncategory = \"x\"\nbase = 1");
        assert!(unknown.contains("unknown field `base`"), "{unknown}");
        let placed = |inject: &str| {
            fault(&format!(
                "base_url = \"https://a.example\"\ncategory = \"x\"\ninject = [{inject}]"
            ))
        };
        for (inject, wanted) in [
            ("{at = \"json\"}", "`pointer` is missing"),
            ("{at = \"json\", pointer = \"secret\"}", "`secret` is no JSON pointer"),
            ("{at = \"path\", prefix = \"bot\"}", "`bot` is no plain beginning"),
            ("{at = \"path\", prefix = \"/../{api_key}\"}", "is no plain beginning"),
            ("{at = \"basic\", name = \"x\"}", "`name` means nothing"),
            ("{at = \"basic\", user = \"a:b\"}", "has a colon"),
            ("{at = \"query\", name = \"k\", methods = [\"get\"]}", "`get` is no method"),
            ("{at = \"body\"}", "is no placement"),
            ("{at = \"query\", name = \"k\", value = \"{other}\"}", "`{other}` is no field"),
        ] {
            let said = placed(inject);
            assert!(
                said.starts_with("providers.acme.inject[0]: ") && said.contains(wanted),
                "{said}"
            );
        }
        let paths = "base_url = \"https://a.example\"\ncategory = \"x\"\ninject = []\n\
                     paths = [{ under = [\"/x\"], host = \"two\" }]";
        assert_eq!(
            fault(paths),
            "providers.acme.paths[0].host: `two` is no host: `hosts` names none"
        );
    }
}
