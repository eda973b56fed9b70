//! The sections that bound: tiers and windows, the trail's retention, and the settings
//! of the contract that this version refuses because what they ask for is not built
//! yet.

use super::fault::Fault;
use super::ground::Ground;
use super::raw::{Raw, RawLimits};
use crate::limiter;

pub(super) fn limits(ground: &Ground<'_>, raw: &RawLimits) -> Result<limiter::Settings, Fault> {
    if raw.backend != "memory" {
        let what = "this version does not have \"redis\" yet; use \"memory\" with one node";
        return Err(ground.fault("limits.backend", what));
    }
    Ok(limiter::Settings {
        enabled: raw.enabled,
        window_seconds: raw.window_seconds,
        unlimited: raw.tiers.unlimited,
        premium: raw.tiers.premium,
        standard: raw.tiers.standard,
        limited: raw.tiers.limited,
        time_zone: time_zone(ground, raw)?,
    })
}

fn time_zone(ground: &Ground<'_>, raw: &RawLimits) -> Result<jiff::tz::TimeZone, Fault> {
    if raw.time_zone == "UTC" {
        return Ok(jiff::tz::TimeZone::UTC);
    }
    jiff::tz::TimeZone::get(&raw.time_zone).map_err(|_| {
        let what = format!(
            "{:?} is no time zone of this machine; write it like \"Europe/Berlin\", and see that \
             tzdata is installed",
            raw.time_zone
        );
        ground.fault("limits.time_zone", what)
    })
}

/// What the contract names and this version does not have.
pub(super) fn not_yet(ground: &Ground<'_>, raw: &Raw) -> Result<(), Fault> {
    if raw.audit.durability != "journal" {
        let what = "this version does not have \"strict\" yet; use \"journal\", whose records \
                    outlive a killed process";
        return Err(ground.fault("audit.durability", what));
    }
    // Settings whose work is not built yet: taken at their default, never silently without effect.
    let unbuilt = [("audit.retention_days", raw.audit.retention_days != 90)];
    match unbuilt.iter().find(|(_, is_set)| *is_set) {
        Some((key, _)) => {
            let what = "this version does not act on it yet; leave it out";
            Err(ground.fault(key, what))
        }
        None => Ok(()),
    }
}
