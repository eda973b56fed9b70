//! Symbols whose history is to come from a provider of which there is no key.
//! A note and no fault: somebody may be about to add it.
//! Must never ask a provider.

use std::collections::BTreeMap;

use super::check::Check;
use crate::market::Settings;
use crate::store::SymbolRow;

/// A provider of which history is wanted, and of which there is no key: its runs will fail.
pub(super) fn check(settings: &Settings, symbols: &[SymbolRow], named: &[String]) -> Vec<Check> {
    let mut lacking: BTreeMap<&str, usize> = BTreeMap::new();
    for symbol in symbols.iter().filter(|symbol| symbol.active) {
        // Without a schedule nobody may ever ask for those that name none.
        let usual = settings.schedule.as_ref().map(|_| settings.provider.as_str());
        if let Some(provider) = symbol.provider.as_deref().or(usual)
            && !named.iter().any(|known| known == provider)
        {
            *lacking.entry(provider).or_default() += 1;
        }
    }
    let check = |(provider, count): (&str, usize)| {
        let detail = format!(
            "the history of {count} tracked symbols comes from {provider}, of which there is no key"
        );
        let remedy = format!("`sealgate secret add {provider}`, or see `backfill.provider`");
        Check::note("history", detail, remedy)
    };
    lacking.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Span;
    use crate::schedule::Schedule;
    use crate::store::{AssetClass, BackfillStatus};

    #[test]
    fn history_that_nobody_can_fetch_is_told() {
        let symbol = |provider: Option<&str>, active| SymbolRow {
            id: 1,
            symbol: String::from("IBM"),
            asset_class: AssetClass::Stock,
            active,
            date_added: 0,
            backfill_status: BackfillStatus::Pending,
            backfill_error: None,
            last_backfill: None,
            provider: provider.map(str::to_owned),
            span: None,
        };
        let symbols = [symbol(None, true), symbol(Some("polygno"), true), symbol(Some("x"), false)];
        let told = |schedule: Option<&str>, named: &[&str]| {
            let zone = jiff::tz::TimeZone::UTC;
            let schedule = schedule.map(|text| Schedule::parse(text, zone).ok().unwrap());
            let settings = Settings {
                provider: String::from("polygon"),
                span: Span::Day,
                days: 1,
                at_once: 1,
                schedule,
            };
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            check(&settings, &symbols, &named).len()
        };
        assert_eq!((told(None, &[]), told(Some("every 6h"), &[])), (1, 2));
        assert_eq!(told(Some("every 6h"), &["polygon", "polygno"]), 0);
    }
}
