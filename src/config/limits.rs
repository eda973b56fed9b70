//! The section that bounds: tiers and windows, and through what nodes share
//! them. Must never let a wrong value pass because another setting leaves it
//! without effect.

use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::ground::Ground;
use super::raw::RawLimits;
use crate::limiter;
use crate::secret::SecretBytes;

pub(super) fn limits(ground: &Ground<'_>, raw: &RawLimits) -> Result<limiter::Settings, Fault> {
    Ok(limiter::Settings {
        enabled: raw.enabled,
        window_seconds: raw.window_seconds,
        unlimited: raw.tiers.unlimited,
        premium: raw.tiers.premium,
        standard: raw.tiers.standard,
        limited: raw.tiers.limited,
        time_zone: time_zone(ground, "limits.time_zone", &raw.time_zone)?,
        shared: None,
    })
}

/// Through what nodes share the limits; checked where they do not, too: a wrong value is not to be
/// found a year later.
pub(super) fn shared(
    ground: &Ground<'_>,
    raw: RawLimits,
) -> Result<Option<limiter::SharedSettings>, Fault> {
    const KEY: &str = "limits.redis_url";
    let url = ground.secret(KEY, raw.redis_url)?;
    let known = |text: &str| text.starts_with("redis://") || text.starts_with("rediss://");
    // The text is not repeated: it may hold a password.
    if !url.expose_str().is_some_and(|text| known(text) && limiter::is_url(text)) {
        return Err(ground.fault(KEY, "must begin with redis:// or rediss:// and name a host"));
    }
    let ca_file = ground.certificates("limits.redis_ca_file", &raw.redis_ca_file)?;
    Ok((raw.backend == "redis").then(|| limiter::SharedSettings {
        url: Arc::new(SecretBytes::copy_of(url.expose())),
        ca_file,
        timeout: Duration::from_millis(raw.redis_timeout_ms),
        nodes: raw.nodes,
    }))
}

pub(super) fn time_zone(
    ground: &Ground<'_>,
    key: &str,
    name: &str,
) -> Result<jiff::tz::TimeZone, Fault> {
    if name == "UTC" {
        return Ok(jiff::tz::TimeZone::UTC);
    }
    jiff::tz::TimeZone::get(name).map_err(|_| {
        let what = format!(
            "{name:?} is no time zone of this machine; write it like \"Europe/Berlin\", and see that \
             tzdata is installed"
        );
        ground.fault(key, what)
    })
}
