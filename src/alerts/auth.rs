//! What one node alone knows of what comes in: bursts of failed authentications, and answers in
//! which a provider sent the real key back.
//! Must never take an address for more than the place that connected.

use super::Alerts;
use super::rule::{is_old, seen, subject};
use crate::store::{AlertKind, AlertRow, Move, Severity};

impl Alerts {
    /// Each look at a burst that goes on says so; its end is that nothing was seen for a while.
    pub(super) fn bursts(&self, standing: &[AlertRow], now_ms: i64) -> Vec<Move> {
        let least = self.parts.settings.auth_failures_per_minute;
        if least == 0 {
            return Vec::new();
        }
        let told = |(address, failures): (Option<std::net::IpAddr>, u64)| {
            let (id, from) = match address {
                Some(address) => (address.to_string(), format!("from {address}")),
                None => (String::from("many"), String::from("from many addresses together")),
            };
            let detail = format!(
                "{failures} failed authentications within a minute, {from}: somebody guesses, or a \
                 program has a key that is none any more"
            );
            let what = (AlertKind::AuthFailures, Severity::Warning);
            let one = seen(what, subject("address", &id, &id), &detail, now_ms);
            let is_of = |row: &&AlertRow| row.kind == one.kind && row.subject == one.subject;
            let is_news = standing.iter().find(is_of).is_none_or(|row| is_old(row, now_ms));
            is_news.then_some(Move::IsSo(one))
        };
        self.parts.roster.bursts(least).into_iter().filter_map(told).collect()
    }

    pub(super) fn echoes(&self, now_ms: i64) -> Vec<(Move, (String, u64))> {
        let told = |(provider, count): (String, u64)| {
            let detail = format!(
                "answers of {provider} held the real key, {count} of them at the last look; it was \
                 taken out, or the answer was ended. Ask the provider why, and rotate the key if \
                 others may have seen such an answer"
            );
            let what = (AlertKind::KeyEchoed, Severity::Critical);
            let about = subject("provider", &provider, &provider);
            (Move::Happened(seen(what, about, &detail, now_ms)), (provider, count))
        };
        self.parts.echoes.take().into_iter().map(told).collect()
    }
}
