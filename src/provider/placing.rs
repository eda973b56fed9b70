//! `inject` as a file writes it, read into placements: which members belong to which `at`, and
//! whether every field that is named exists. Must never let a member pass that has no meaning
//! where it stands.

use super::file::bad;
use super::raw::{Raw, RawPlacement};
use super::{BadProvider, Field, Placement, Pointer, Slots, Spot, Template};

pub(super) fn placements(
    id: &str,
    raw: &Raw,
    fields: &[Field],
) -> Result<Vec<Placement>, BadProvider> {
    let given = raw.inject.as_ref().ok_or_else(|| bad(id, "inject", "is missing"))?;
    listed(id, ("inject", given), fields)
}

/// One list of placements; `member` is what the file calls it.
pub(super) fn listed(
    id: &str,
    (member, given): (&str, &[RawPlacement]),
    fields: &[Field],
) -> Result<Vec<Placement>, BadProvider> {
    let mut placements = Vec::with_capacity(given.len());
    for (index, entry) in given.iter().enumerate() {
        let key = format!("{member}[{index}]");
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
    check_members(entry)?;
    let value = || Template::parse(entry.value.as_deref().unwrap_or("{api_key}"));
    let spot = match entry.at.as_str() {
        "header" => Spot::Header { name: header_name(entry)?, value: value()? },
        "query" => Spot::Query { name: query_name(entry)?, value: value()? },
        "json" => {
            let pointer = entry.pointer.as_deref().ok_or("`pointer` is missing")?;
            Spot::Json { pointer: Pointer::parse(pointer)?, value: value()? }
        }
        "path" => Spot::Path { value: path_prefix(entry)? },
        "basic" => Spot::Basic { value: user_and_password(entry)? },
        other => {
            return Err(format!(
                "`at = \"{other}\"` is no placement; header, query, json, path or basic"
            ));
        }
    };
    let methods = entry.methods.iter().map(|name| method(name)).collect::<Result<_, _>>()?;
    Ok(Placement { spot, methods })
}

/// Which members mean something, by `at`; `methods` does everywhere.
fn check_members(entry: &RawPlacement) -> Result<(), String> {
    let known: &[&str] = match entry.at.as_str() {
        "header" | "query" => &["name", "value"],
        "json" => &["pointer", "value"],
        "path" => &["prefix"],
        "basic" => &["user", "password"],
        _ => return Ok(()),
    };
    let given = [
        ("name", &entry.name),
        ("value", &entry.value),
        ("pointer", &entry.pointer),
        ("prefix", &entry.prefix),
        ("user", &entry.user),
        ("password", &entry.password),
    ];
    let mut given = given.iter().filter(|(_, text)| text.is_some());
    match given.find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(format!(
            "`{name}` means nothing with `at = \"{}\"`, which takes {}",
            entry.at,
            known.join(" and ")
        )),
        None => Ok(()),
    }
}

fn header_name(entry: &RawPlacement) -> Result<http::HeaderName, String> {
    let name = entry.name.as_deref().ok_or("`name` is missing")?;
    let parsed: http::HeaderName =
        name.parse().map_err(|_| format!("`{name}` is no header name"))?;
    if NO_SLOTS.contains(&parsed.as_str()) || parsed.as_str().starts_with("x-sealgate-") {
        return Err(format!(
            "`{name}` frames the message or belongs to the connection or to Sealgate; no key goes \
             there"
        ));
    }
    Ok(parsed)
}

/// What is set for each message, and would break it.
const NO_SLOTS: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "via",
    "x-request-id",
];

fn query_name(entry: &RawPlacement) -> Result<String, String> {
    let name = entry.name.as_deref().ok_or("`name` is missing")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!("`{name}` is no plain query name"));
    }
    Ok(name.to_owned())
}

fn path_prefix(entry: &RawPlacement) -> Result<Template, String> {
    let prefix = entry.prefix.as_deref().ok_or("`prefix` is missing")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:{}".contains(&byte);
    let dotted = prefix.split('/').any(|segment| segment == "." || segment == "..");
    let whole = prefix.len() > 1 && prefix.starts_with('/') && !prefix.ends_with('/');
    if !whole || dotted || !prefix.bytes().all(plain) {
        return Err(format!("`{prefix}` is no plain beginning of a path such as /bot{{api_key}}"));
    }
    Template::parse(prefix)
}

fn user_and_password(entry: &RawPlacement) -> Result<Template, String> {
    let user = entry.user.as_deref().unwrap_or("{api_key}");
    if user.contains(':') {
        return Err(format!("`{user}` has a colon, which ends the user"));
    }
    Template::parse(&format!("{user}:{}", entry.password.as_deref().unwrap_or_default()))
}

fn method(name: &str) -> Result<http::Method, String> {
    let upper = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = name.parse().ok().filter(|_| upper);
    method.ok_or_else(|| format!("`{name}` is no method; they are written like GET"))
}

/// What is filled is a slot too: whatever a client put there is emptied.
pub(super) fn slots<'p>(raw: &Raw, inject: impl Iterator<Item = &'p Placement>) -> Slots {
    let mut slots = Slots {
        headers: raw.slots.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        query: raw.slots.query.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    for placement in inject {
        match &placement.spot {
            Spot::Header { name, .. } => slots.headers.push(name.as_str().to_owned()),
            Spot::Query { name, .. } => slots.query.push(name.to_ascii_lowercase()),
            Spot::Basic { .. } => slots.headers.push(String::from("authorization")),
            // The body's member is emptied by being filled; a path is no slot of a client's.
            Spot::Json { .. } | Spot::Path { .. } => {}
        }
    }
    slots
}
