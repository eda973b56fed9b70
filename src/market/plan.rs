//! What a run is to fetch: a part for each symbol, from where it was left, or from where something
//! may have come late, or as far back as is kept.
//! Must never leave a time out that nobody has asked for.

use super::run::nothing;
use super::{Market, Span, quality};
use crate::store::{self, BackfillStatus, PartRow, RunRow, SeriesRow, SymbolRow, Tally};

const MS_NS: i64 = 1_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// What a provider brings late, it brings within so long.
const LATE_NS: i64 = 7 * DAY_NS;

impl Market {
    /// A part for each symbol that is meant and active at this moment.
    pub(super) async fn plan(
        &self,
        run: &RunRow,
        symbols: &[SymbolRow],
    ) -> Result<Vec<PartRow>, store::Error> {
        let series = self.store.series(None).await?;
        let is_meant = |symbol: &&SymbolRow| {
            let named = run.wanted.as_ref().is_none_or(|wanted| wanted.contains(&symbol.symbol));
            symbol.active && named
        };
        let part = |symbol: &SymbolRow| {
            let own = symbol.span.unwrap_or_else(|| self.settings.span.seconds());
            let span = Span::of_seconds(run.span.unwrap_or(own)).unwrap_or(self.settings.span);
            let to = run.to_ms.saturating_mul(MS_NS);
            let of_symbol: Vec<&SeriesRow> =
                series.iter().filter(|series| series.symbol_id == symbol.id).collect();
            let from = match run.from_ms {
                Some(from_ms) => from_ms.saturating_mul(MS_NS),
                None => self.begin(symbol, span, (&of_symbol, to)),
            };
            // Nothing is left of a time that is covered, or a clock ran ahead.
            let from = if from < to { from } else { self.far_back(to) };
            PartRow {
                run: run.id,
                symbol_id: symbol.id,
                symbol: symbol.symbol.clone(),
                provider: symbol.provider.as_ref().unwrap_or(&self.settings.provider).clone(),
                span: span.seconds(),
                state: BackfillStatus::Pending,
                error: None,
                from,
                to,
                tally: Tally {
                    next: from,
                    pages: 0,
                    candles: 0,
                    rejected: 0,
                    reasons: String::from("{}"),
                },
                quality: nothing(),
                started_at: None,
                finished_at: None,
            }
        };
        Ok(symbols.iter().filter(is_meant).map(part).collect())
    }

    /// From the last candle that may have been unfinished then, or from where something may have
    /// come late; else as far back as is kept.
    fn begin(&self, symbol: &SymbolRow, span: Span, (series, to): (&[&SeriesRow], i64)) -> i64 {
        let own = series.iter().find(|series| series.span == span.seconds());
        // A series without a candle is none that anything joins on to.
        let covered = own.filter(|series| series.latest.is_some());
        let covered = covered.and_then(|series| series.covered_to);
        // Where an older warehouse has it, that is where it goes on here.
        let is_empty = series.iter().all(|series| series.latest.is_none());
        let imported = symbol.last_backfill.filter(|_| is_empty);
        let covered = covered.or_else(|| imported.map(|ms| ms.saturating_mul(MS_NS)));
        match covered {
            Some(covered) => {
                let last = covered.div_euclid(span.ns()).saturating_sub(1);
                last.saturating_mul(span.ns()).min(own.map_or(covered, |own| late(own, covered)))
            }
            None => self.far_back(to),
        }
    }

    /// As far as is kept.
    pub(super) fn far_back(&self, to: i64) -> i64 {
        let back = self.settings.days.saturating_mul(DAY_NS);
        to.saturating_sub(back).div_euclid(DAY_NS) * DAY_NS
    }
}

/// From where on a provider may have brought what it did not have when it was asked last: behind
/// the last candle, and in gaps that are young.
fn late(series: &SeriesRow, covered: i64) -> i64 {
    let since = covered.saturating_sub(LATE_NS).div_euclid(DAY_NS) * DAY_NS;
    let gap = quality::first_since(&series.gaps, since.div_euclid(MS_NS));
    let gap = gap.map_or(covered, |ms| ms.saturating_mul(MS_NS));
    series.latest.unwrap_or(since).min(gap).max(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(latest: Option<i64>, gaps: &str) -> SeriesRow {
        SeriesRow {
            symbol_id: 1,
            span: 86_400,
            records: 1,
            earliest: latest,
            latest,
            seen: 1,
            rejected: 0,
            covered_to: None,
            days_expected: 1,
            days_present: 1,
            gaps: gaps.to_owned(),
        }
    }

    #[test]
    fn what_may_come_late_is_asked_for_again_for_a_week() {
        // 2026-01-15 is day 20468.
        let covered = 20_468 * DAY_NS;
        let of = |latest: i64, gaps: &str| {
            late(&series(Some(latest * DAY_NS), gaps), covered).div_euclid(DAY_NS)
        };
        assert_eq!(of(20_467, "[]"), 20_467);
        assert_eq!(of(20_463, "[]"), 20_463);
        assert_eq!(of(20_400, "[]"), 20_461);
        let gaps = r#"[{"from":"2025-12-01","to":"2025-12-02","days":2},{"from":"2026-01-12","to":"2026-01-12","days":1}]"#;
        assert_eq!(of(20_467, gaps), 20_465);
        assert_eq!(late(&series(None, "[]"), covered).div_euclid(DAY_NS), 20_461);
    }
}
