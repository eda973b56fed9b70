//! Catalogue files and the settings' `[providers.*]`: one raw form, read strictly,
//! checked, and turned into a `Provider`. The only place of this room that knows
//! TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hosts::Kind;
use super::placing::{placements, slots};
use super::pricing::price;
use super::raw::{Raw, RawEmulatedSocket, RawEmulatedWord, RawEmulation, RawRoute, RawTimeouts};
use super::{
    BaseUrl, Canned, EmulatedRoute, EmulatedSocket, EmulatedWord, Emulation, Field, Hosts, Http2,
    KeyFormat, MOST_FRESH_SECONDS, OwnLimits, Probe, Provider, Rewrite, SocketWays, Timeouts,
};

const FILES: [(&str, &str); 20] = [
    ("alpaca", include_str!("catalogue/alpaca.toml")),
    ("alpaca-paper", include_str!("catalogue/alpaca-paper.toml")),
    ("alphavantage", include_str!("catalogue/alphavantage.toml")),
    ("anthropic", include_str!("catalogue/anthropic.toml")),
    ("coingecko", include_str!("catalogue/coingecko.toml")),
    ("coingecko-pro", include_str!("catalogue/coingecko-pro.toml")),
    ("eodhd", include_str!("catalogue/eodhd.toml")),
    ("finnhub", include_str!("catalogue/finnhub.toml")),
    ("fmp", include_str!("catalogue/fmp.toml")),
    ("fred", include_str!("catalogue/fred.toml")),
    ("ibkr", include_str!("catalogue/ibkr.toml")),
    ("massive", include_str!("catalogue/massive.toml")),
    ("nasdaq-data-link", include_str!("catalogue/nasdaq-data-link.toml")),
    ("newsapi", include_str!("catalogue/newsapi.toml")),
    ("openai", include_str!("catalogue/openai.toml")),
    ("polygon", include_str!("catalogue/polygon.toml")),
    ("sandbox", include_str!("catalogue/sandbox.toml")),
    ("taapi", include_str!("catalogue/taapi.toml")),
    ("tiingo", include_str!("catalogue/tiingo.toml")),
    ("twelvedata", include_str!("catalogue/twelvedata.toml")),
];

/// Calls that wait for one secret's limit at once.
const MOST_WAITING: usize = 1_000;

/// First path segments of the proxy face that no provider may take.
pub(crate) const RESERVED_NAMES: [&str; 6] =
    ["api", "oauth", "healthz", "readyz", ".well-known", "market"];

/// A wrong entry, by its dotted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadProvider {
    pub key: String,
    pub fault: String,
}

impl std::fmt::Display for BadProvider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.key, self.fault)
    }
}

impl std::error::Error for BadProvider {}

/// `^[a-z][a-z0-9-]{0,62}$`, and not one of the proxy face's own names.
pub(crate) fn is_provider_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !RESERVED_NAMES.contains(&text)
}

/// The built-in files, parsed but not yet checked, by id.
pub(super) fn built_in() -> Result<BTreeMap<String, toml::Table>, BadProvider> {
    FILES.iter().map(|(id, text)| Ok(((*id).to_owned(), parse(id, text)?))).collect()
}

fn parse(id: &str, text: &str) -> Result<toml::Table, BadProvider> {
    text.parse().map_err(|error: toml::de::Error| bad(id, "", error.message()))
}

/// A null has no meaning in a file; whoever writes an entry leaves the member out.
pub(super) fn from_json(id: &str, members: &str) -> Result<toml::Table, BadProvider> {
    serde_json::from_str(members).map_err(|error| bad(id, "", error.to_string()))
}

/// Lays the settings of one provider over the catalogue's, member by member, tables merged.
pub(super) fn overlay(
    tables: &mut BTreeMap<String, toml::Table>,
    id: &str,
    settings: &toml::Table,
) -> Result<(), BadProvider> {
    if !is_provider_id(id) {
        let fault = "a provider id is a lower-case letter, then letters, digits and hyphens (63 at most), \
                     and none of the proxy's own names";
        return Err(bad(id, "", fault));
    }
    if settings.contains_key("emulator") {
        return Err(bad(id, "emulator", "only the catalogue's own files have an emulator"));
    }
    let below = tables.entry(id.to_owned()).or_default();
    move_hosts(below, settings);
    merge(below, settings);
    Ok(())
}

/// A base URL in the settings stands for every host of its kind that they do not name themselves.
fn move_hosts(below: &mut toml::Table, settings: &toml::Table) {
    let Some(toml::Value::Table(hosts)) = below.get_mut("hosts") else { return };
    for (_, url) in hosts.iter_mut() {
        let is_socket = url.as_str().is_some_and(|url| url.starts_with("ws"));
        let member = if is_socket { "websocket_url" } else { "base_url" };
        if let Some(moved) = settings.get(member) {
            url.clone_from(moved);
        }
    }
}

fn merge(below: &mut toml::Table, above: &toml::Table) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => merge(lower, upper),
            (_, value) => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Reads and checks one entry.
/// `origin` is the catalogue's own form of it, where the settings changed it.
pub(super) fn provider(
    id: &str,
    table: toml::Table,
    origin: Option<&toml::Table>,
) -> Result<Provider, BadProvider> {
    let raw = read(id, table)?;
    let home = base_url(id, &raw)?;
    let fields = fields(id, &raw)?;
    let inject = placements(id, &raw, &fields)?;
    let socket = SocketWays::of(id, &raw.socket, &fields)?;
    let slots = slots(&raw, inject.iter().chain(socket.inject.iter().flatten()));
    let named = named_hosts(id, &raw)?;
    let hosts = Hosts::new(id, home, &raw, (Kind::Calls, &named))?;
    let sockets = websocket_url(id, &raw)?
        .map(|home| Hosts::new(id, home, &raw, (Kind::Sockets, &named)))
        .transpose()?;
    if inject.iter().all(|placement| placement.template().fields().next().is_none()) {
        return Err(bad(id, "inject", "places no field of the secret anywhere"));
    }
    let timeouts = timeouts(&raw.timeouts);
    let http2 = http2(id, &raw)?;
    let mut known_bases: Vec<BaseUrl> = hosts.iter().map(|host| host.base.clone()).collect();
    known_bases.extend(origin.map(catalogue_urls).unwrap_or_default());
    Ok(Provider {
        title: raw.title.unwrap_or_else(|| id.to_owned()),
        category: raw.category.ok_or_else(|| bad(id, "category", "is missing"))?,
        docs_url: docs_url(id, raw.docs_url)?,
        hosts,
        sockets,
        socket,
        fields,
        inject,
        slots,
        rewrite: Rewrite::new(&raw.rewrite.json, &known_bases),
        probe: raw.probe.map(|raw| Probe::read(id, raw)).transpose()?,
        allow_private_network: raw.allow_private_network,
        ca_file: raw.ca_file.filter(|path| !path.is_empty()).map(Into::into),
        max_wait: Duration::from_secs(raw.max_wait_seconds.unwrap_or(5)),
        pool: raw.pool,
        requests_per_minute: raw.requests_per_minute.filter(|limit| *limit > 0),
        limits: OwnLimits::read(id, &raw.limits, raw.requests_per_minute)?,
        max_waiting: raw
            .max_waiting
            .map_or(MOST_WAITING, |most| usize::try_from(most).unwrap_or(MOST_WAITING)),
        timeouts,
        http2,
        price: price(id, &raw.price)?,
        fresh_seconds: raw.fresh_seconds.min(MOST_FRESH_SECONDS),
        max_concurrent: raw
            .max_concurrent
            .and_then(|most| usize::try_from(most).ok())
            .filter(|most| *most > 0),
        emulation: raw.emulator.map(emulation),
        id: id.into(),
    })
}

fn read(id: &str, table: toml::Table) -> Result<Raw, BadProvider> {
    table.clone().try_into().map_err(|error: toml::de::Error| {
        // Every member may stand alone: the one that is wrong is wrong by itself, too.
        let wrong = table.into_iter().find_map(|(member, value)| {
            let alone = toml::Table::from_iter([(member.clone(), value)]);
            let fault = alone.try_into::<Raw>().err()?;
            Some(bad(id, &member, fault.message()))
        });
        wrong.unwrap_or_else(|| bad(id, "", error.message()))
    })
}

/// What the catalogue's own form of an entry calls its hosts.
fn catalogue_urls(origin: &toml::Table) -> Vec<BaseUrl> {
    let hosts = origin.get("hosts").and_then(toml::Value::as_table);
    let named = hosts.into_iter().flat_map(|hosts| hosts.values());
    let urls = origin.get("base_url").into_iter().chain(named);
    let bases = urls.filter_map(|url| BaseUrl::parse(url.as_str()?).ok());
    bases.filter(|base| Kind::Calls.holds(base)).collect()
}

/// The console makes a link of it.
fn docs_url(id: &str, given: Option<String>) -> Result<Option<String>, BadProvider> {
    let is_page = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    match given {
        Some(url) if !is_page(&url) => {
            Err(bad(id, "docs_url", "must begin with https:// or http://"))
        }
        given => Ok(given),
    }
}

pub(super) fn bad(id: &str, member: &str, fault: impl Into<String>) -> BadProvider {
    let key = if member.is_empty() {
        format!("providers.{id}")
    } else {
        format!("providers.{id}.{member}")
    };
    BadProvider { key, fault: fault.into() }
}

fn base_url(id: &str, raw: &Raw) -> Result<BaseUrl, BadProvider> {
    let text = raw.base_url.as_deref().ok_or_else(|| bad(id, "base_url", "is missing"))?;
    let base = BaseUrl::parse(text).map_err(|fault| bad(id, "base_url", fault))?;
    if !Kind::Calls.holds(&base) {
        return Err(bad(id, "base_url", "must begin with https://"));
    }
    plain_stays_inside(id, "base_url", &base, raw.allow_private_network)?;
    Ok(base)
}

fn websocket_url(id: &str, raw: &Raw) -> Result<Option<BaseUrl>, BadProvider> {
    let Some(text) = raw.websocket_url.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let base = BaseUrl::parse(text).map_err(|fault| bad(id, "websocket_url", fault))?;
    if !Kind::Sockets.holds(&base) {
        return Err(bad(id, "websocket_url", "must begin with wss://"));
    }
    plain_stays_inside(id, "websocket_url", &base, raw.allow_private_network)?;
    Ok(Some(base))
}

fn named_hosts(id: &str, raw: &Raw) -> Result<BTreeMap<String, BaseUrl>, BadProvider> {
    let host = |(name, text): (&String, &String)| {
        let member = format!("hosts.{name}");
        let base = BaseUrl::parse(text).map_err(|fault| bad(id, &member, fault))?;
        plain_stays_inside(id, &member, &base, raw.allow_private_network)?;
        Ok((name.clone(), base))
    };
    raw.hosts.iter().map(host).collect()
}

/// A key never crosses a network in clear.
fn plain_stays_inside(
    id: &str,
    member: &str,
    base: &BaseUrl,
    allowed: bool,
) -> Result<(), BadProvider> {
    if base.scheme.is_tls() || (allowed && base.is_private_literal()) {
        return Ok(());
    }
    let fault = "is not encrypted; http:// and ws:// are accepted only with allow_private_network = true \
                 and a loopback or private address";
    Err(bad(id, member, fault))
}

fn fields(id: &str, raw: &Raw) -> Result<Vec<Field>, BadProvider> {
    let names = raw.fields.clone().unwrap_or_else(|| vec![String::from("api_key")]);
    if let Some(unknown) = raw.formats.keys().find(|name| !names.contains(name)) {
        return Err(bad(id, &format!("formats.{unknown}"), "names no field of this provider"));
    }
    let field = |name: String| {
        let mut format = KeyFormat::default();
        if let Some(given) = raw.formats.get(&name) {
            format.prefixes.clone_from(&given.prefixes);
            format.min_length = given.min_length.unwrap_or(format.min_length);
            format.max_length = given.max_length.unwrap_or(format.max_length);
        }
        Field { name, format }
    };
    Ok(names.into_iter().map(field).collect())
}

fn timeouts(raw: &RawTimeouts) -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(raw.connect_seconds.unwrap_or(5)),
        first_byte: Duration::from_secs(raw.first_byte_seconds.unwrap_or(60)),
        idle: Duration::from_secs(raw.idle_seconds.unwrap_or(600)),
        total: raw.total_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
    }
}

fn http2(id: &str, raw: &Raw) -> Result<Http2, BadProvider> {
    let Some(text) = raw.http2.as_deref() else { return Ok(Http2::default()) };
    let known = Http2::ALL.into_iter().find(|known| known.as_str() == text);
    let fault = || format!("`{text}` is neither auto, never nor always");
    known.ok_or_else(|| bad(id, "http2", fault()))
}

fn emulation(raw: RawEmulation) -> Emulation {
    Emulation {
        unauthorized: raw
            .unauthorized
            .map(|given| canned(given.status, given.content_type, given.body))
            .unwrap_or_else(|| canned(401, None, String::from("{\"error\":\"unauthorized\"}"))),
        not_found: raw
            .not_found
            .map(|given| canned(given.status, given.content_type, given.body))
            .unwrap_or_default(),
        too_many: raw
            .too_many
            .map(|given| canned(given.status, given.content_type, given.body))
            .unwrap_or_else(|| {
                canned(429, None, String::from("{\"error\":\"too many requests\"}"))
            }),
        headers: raw.headers.into_iter().collect(),
        routes: raw.routes.into_iter().map(route).collect(),
        sockets: raw.sockets.into_iter().map(emulated_socket).collect(),
    }
}

fn emulated_socket(raw: RawEmulatedSocket) -> EmulatedSocket {
    let word = |raw: RawEmulatedWord| EmulatedWord { on: raw.on, says: raw.says };
    EmulatedSocket {
        path: raw.path,
        opens: raw.opens,
        answers: raw.answers.into_iter().map(word).collect(),
    }
}

fn canned(status: u16, content_type: Option<String>, body: String) -> Canned {
    let content_type = content_type.unwrap_or_else(|| String::from("application/json"));
    Canned { status, content_type, body }
}

fn route(raw: RawRoute) -> EmulatedRoute {
    EmulatedRoute {
        method: raw.method.unwrap_or_else(|| String::from("GET")),
        path: raw.path,
        answer: canned(raw.status.unwrap_or(200), raw.content_type, raw.body),
        candles: raw.candles.unwrap_or(false),
        pages: raw.pages.unwrap_or(1),
        next: raw.next.unwrap_or_else(|| String::from("next_url")),
        cursor: raw.cursor.unwrap_or_else(|| String::from("cursor")),
        events: raw.events,
        event_gap_ms: raw.event_gap_ms.unwrap_or(0),
    }
}
