//! `[[browser.origins]]`: pages that may call the proxy with no
//! key. What is written is judged here, member by member. Must never
//! let a page be more than a guest, nor an origin be a pattern.

use serde::Deserialize as _;

use super::fault::Fault;
use super::ground::Ground;
use super::raw::RawOrigin;
use crate::client::{Scopes, Tier, fault_of_origin};
use crate::corridor::{PageSettings, Pages};

const KEY: &str = "browser.origins";

pub(super) fn pages(ground: &Ground<'_>, raw: &[toml::Value]) -> Result<Vec<PageSettings>, Fault> {
    let pages = raw.iter().map(|value| page(ground, value)).collect::<Result<Vec<_>, _>>()?;
    for (index, page) in pages.iter().enumerate() {
        if pages.iter().take(index).any(|other| other.origin == page.origin) {
            return Err(ground.fault(KEY, format!("{} is listed twice", page.origin)));
        }
    }
    for route in pages.iter().flat_map(|page| &page.routes) {
        if let Some(fault) = Scopes::fault_of(route) {
            return Err(ground.fault(KEY, format!("routes: {route:?}: {fault}")));
        }
    }
    Pages::compile(&pages)
        .map_err(|bad| ground.fault(KEY, format!("routes: {:?}: {}", bad.scope, bad.fault)))?;
    Ok(pages)
}

fn page(ground: &Ground<'_>, value: &toml::Value) -> Result<PageSettings, Fault> {
    let raw = RawOrigin::deserialize(value.clone())
        .map_err(|error| ground.fault(KEY, error.message().to_owned()))?;
    if let Some(fault) = fault_of_origin(&raw.origin) {
        return Err(ground.fault(KEY, format!("{:?} {fault}", raw.origin)));
    }
    if raw.role != "guest" {
        let what = "a page that holds no key is a guest; leave role out, or write \"guest\"";
        return Err(ground.fault(KEY, what));
    }
    let tier = Tier::parse(&raw.tier).ok_or_else(|| {
        let tiers = Tier::ALL.map(Tier::as_str).join(", ");
        ground.fault(KEY, format!("tier {:?} is none of {tiers}", raw.tier))
    })?;
    Ok(PageSettings { origin: raw.origin, tier, limit: raw.limit, routes: raw.routes })
}
