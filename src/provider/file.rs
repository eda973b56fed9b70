//! Catalogue files and the settings' `[providers.*]`: one raw form, read strictly,
//! checked, and turned into a `Provider`. The only place of this room that knows
//! TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::{Raw, RawEmulation, RawPlacement, RawProbe, RawRoute, RawTimeouts};
use super::{
    BaseUrl, Canned, EmulatedRoute, Emulation, Field, KeyFormat, Placement, Probe, Provider,
    Rewrite, Scheme, Slots, Template, Timeouts,
};

const FILES: [(&str, &str); 5] = [
    ("anthropic", include_str!("catalogue/anthropic.toml")),
    ("massive", include_str!("catalogue/massive.toml")),
    ("openai", include_str!("catalogue/openai.toml")),
    ("polygon", include_str!("catalogue/polygon.toml")),
    ("sandbox", include_str!("catalogue/sandbox.toml")),
];

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
    merge(tables.entry(id.to_owned()).or_default(), settings);
    Ok(())
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
    let raw: Raw =
        table.try_into().map_err(|error: toml::de::Error| bad(id, "", error.message()))?;
    let base = base_url(id, &raw)?;
    let fields = fields(id, &raw)?;
    let inject = placements(id, &raw, &fields)?;
    let slots = slots(&raw, &inject);
    let websocket = websocket_url(id, &raw)?;
    let timeouts = timeouts(&raw.timeouts);
    let catalogue_url = origin.and_then(|origin| origin.get("base_url")?.as_str());
    let mut known_bases = vec![base.clone()];
    known_bases.extend(catalogue_url.and_then(|text| BaseUrl::parse(text).ok()));
    known_bases.dedup();
    let host = host_header(&base).ok_or_else(|| bad(id, "base_url", "has no usable host"))?;
    Ok(Provider {
        host,
        title: raw.title.unwrap_or_else(|| id.to_owned()),
        category: raw.category.ok_or_else(|| bad(id, "category", "is missing"))?,
        docs_url: raw.docs_url,
        websocket,
        base,
        fields,
        inject,
        slots,
        rewrite: Rewrite::new(&raw.rewrite.json, &known_bases),
        probe: raw.probe.map(probe),
        allow_private_network: raw.allow_private_network,
        ca_file: raw.ca_file.filter(|path| !path.is_empty()).map(Into::into),
        max_wait: Duration::from_secs(raw.max_wait_seconds.unwrap_or(5)),
        pool: raw.pool,
        requests_per_minute: raw.requests_per_minute.filter(|limit| *limit > 0),
        timeouts,
        emulation: raw.emulator.map(emulation),
        id: id.into(),
    })
}

pub(super) fn host_header(base: &BaseUrl) -> Option<http::HeaderValue> {
    http::HeaderValue::from_str(&base.authority()).ok()
}

fn bad(id: &str, member: &str, fault: impl Into<String>) -> BadProvider {
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
    let http = matches!(base.scheme, Scheme::Http | Scheme::Https);
    if !http {
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
    if !matches!(base.scheme, Scheme::Ws | Scheme::Wss) {
        return Err(bad(id, "websocket_url", "must begin with wss://"));
    }
    plain_stays_inside(id, "websocket_url", &base, raw.allow_private_network)?;
    Ok(Some(base))
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

fn placements(id: &str, raw: &Raw, fields: &[Field]) -> Result<Vec<Placement>, BadProvider> {
    let given = raw.inject.as_ref().ok_or_else(|| bad(id, "inject", "is missing"))?;
    let mut placements = Vec::with_capacity(given.len());
    for (index, entry) in given.iter().enumerate() {
        let key = format!("inject[{index}]");
        let placement = placement(entry).map_err(|fault| bad(id, &key, fault))?;
        let known = |name: &str| fields.iter().any(|field| field.name == name);
        if let Some(unknown) = placement.template().fields().find(|name| !known(name)) {
            return Err(bad(id, &key, format!("`{{{unknown}}}` is no field of this provider")));
        }
        placements.push(placement);
    }
    Ok(placements)
}

fn placement(entry: &RawPlacement) -> Result<Placement, String> {
    let value = Template::parse(entry.value.as_deref().unwrap_or("{api_key}"))?;
    let name = entry.name.as_deref().ok_or("`name` is missing")?;
    match entry.at.as_str() {
        "header" => {
            let name: http::HeaderName =
                name.parse().map_err(|_| format!("`{name}` is no header name"))?;
            Ok(Placement::Header { name, value })
        }
        "query" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(format!("`{name}` is no plain query name"));
            }
            Ok(Placement::Query { name: name.to_owned(), value })
        }
        "json" | "path" | "basic" => Err(format!(
            "`at = \"{}\"` is not part of this version; header and query are",
            entry.at
        )),
        other => Err(format!("`at = \"{other}\"` is no placement; header or query")),
    }
}

/// What is filled is a slot too: whatever a client put there is emptied.
fn slots(raw: &Raw, inject: &[Placement]) -> Slots {
    let mut slots = Slots {
        headers: raw.slots.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        query: raw.slots.query.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    for placement in inject {
        match placement {
            Placement::Header { name, .. } => slots.headers.push(name.as_str().to_owned()),
            Placement::Query { name, .. } => slots.query.push(name.to_ascii_lowercase()),
        }
    }
    slots
}

fn probe(raw: RawProbe) -> Probe {
    Probe {
        method: raw.method.unwrap_or_else(|| String::from("GET")),
        path: raw.path,
        ok: if raw.ok.is_empty() { vec![200] } else { raw.ok },
        bad: if raw.bad.is_empty() { vec![401, 403] } else { raw.bad },
        bad_body: raw.bad_body,
    }
}

fn timeouts(raw: &RawTimeouts) -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(raw.connect_seconds.unwrap_or(5)),
        first_byte: Duration::from_secs(raw.first_byte_seconds.unwrap_or(60)),
        idle: Duration::from_secs(raw.idle_seconds.unwrap_or(600)),
        total: raw.total_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
    }
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
        headers: raw.headers.into_iter().collect(),
        routes: raw.routes.into_iter().map(route).collect(),
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
        pages: raw.pages.unwrap_or(1),
        events: raw.events,
        event_gap_ms: raw.event_gap_ms.unwrap_or(0),
    }
}
