//! The section of runs that fetch the history of symbols: whom they ask, how far back they go, and
//! when they are due by themselves.
//! Must never let a schedule pass that is never due.

use super::fault::Fault;
use super::ground::Ground;
use super::limits;
use super::raw::RawBackfill;
use crate::market::{Settings, Span};
use crate::provider::Catalogue;
use crate::schedule::Schedule;

pub(super) fn backfill(
    ground: &Ground<'_>,
    raw: &RawBackfill,
    providers: &[(String, toml::Table)],
) -> Result<Settings, Fault> {
    const KEY: &str = "backfill.schedule";
    let zone = limits::time_zone(ground, "backfill.time_zone", &raw.time_zone)?;
    let schedule = match raw.schedule.trim() {
        "" => None,
        text => Some(Schedule::parse(text, zone).map_err(|fault| ground.fault(KEY, fault))?),
    };
    // An entry that only the database has is as good; what is misspelt is told by the run.
    let is_known = Catalogue::build(providers).is_ok_and(|all| all.get(&raw.provider).is_some());
    if !is_known && !crate::provider::is_provider_id(&raw.provider) {
        let what = format!("{:?} is no name of a provider", raw.provider);
        return Err(ground.fault("backfill.provider", what));
    }
    Ok(Settings {
        provider: raw.provider.clone(),
        span: Span::parse(&raw.interval).unwrap_or(Span::Day),
        days: raw.days,
        at_once: raw.at_once,
        schedule,
    })
}
