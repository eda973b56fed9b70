//! `[[reports.schedules]]`: reports that are sent by themselves, when, of which time, and to whom.
//! What is written is judged here, member by member.
//! Must never take a report that is never due.

use serde::Deserialize as _;

use super::fault::Fault;
use super::ground::Ground;
use super::limits;
use super::nearest::nearest;
use super::raw::RawReport;
use crate::report::{Plan, ReportKind};
use crate::schedule::Schedule;

const KEY: &str = "reports.schedules";
const MOST_DAYS: u32 = 400;

pub(super) fn plans(ground: &Ground<'_>, raw: &[toml::Value]) -> Result<Vec<Plan>, Fault> {
    let plans = raw.iter().enumerate().map(|(index, value)| plan(ground, index + 1, value));
    plans.collect()
}

fn plan(ground: &Ground<'_>, place: usize, value: &toml::Value) -> Result<Plan, Fault> {
    let fault = |what: String| ground.fault(KEY, format!("number {place}: {what}"));
    let raw =
        RawReport::deserialize(value.clone()).map_err(|error| fault(error.message().to_owned()))?;
    let kind = ReportKind::parse(&raw.kind).ok_or_else(|| {
        let kinds = ReportKind::ALL.map(ReportKind::as_str);
        let meant = nearest(&raw.kind, kinds);
        let all = kinds.join(", ");
        fault(format!("kind {:?} is none of {all}; did you mean {meant:?}?", raw.kind))
    })?;
    let zone = limits::time_zone(ground, KEY, &raw.time_zone)?;
    let schedule = Schedule::parse(&raw.schedule, zone)
        .map_err(|wrong| fault(format!("schedule {:?} {wrong}", raw.schedule)))?;
    if raw.days == 0 || raw.days > MOST_DAYS {
        return Err(fault(format!("days must be 1 to {MOST_DAYS}")));
    }
    if raw.to.trim().is_empty() {
        return Err(fault(String::from("to is empty; name a destination of alerts")));
    }
    let named = |text: String| Some(text).filter(|text| !text.is_empty());
    let (client, provider) = (named(raw.client), named(raw.provider));
    Ok(Plan { kind, schedule, days: raw.days, to: raw.to, client, provider })
}
