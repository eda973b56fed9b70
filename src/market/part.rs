//! One symbol's part of a run: page after page from its checkpoint to its end, each stored with the
//! checkpoint behind it; what fails for a moment is tried again, what fails for good is told.
//! Must never count as done what was not asked for to its end.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::call::{Answer, MOST_CLOSED_MS};
use super::candle::{Fault, Judge, Reasons};
use super::page::{self, Page};
use super::span::Span;
use super::{Market, calendar, quality, symbol};
use crate::provider::Provider;
use crate::refusal::{Reason, Refusal};
use crate::store::{self, NewCandle, PageEnd, PartProgress, PartRow, Quality, SymbolRow};

/// Why a part does not go on.
pub(super) enum Stop {
    /// For good; a sentence for people.
    Failed(String),
    /// The house is sealed, or somebody else goes on: nothing is lost.
    Later,
}

/// What is asked for, of whom.
pub(super) struct Job<'a> {
    pub(super) part: &'a PartRow,
    pub(super) symbol: &'a SymbolRow,
    pub(super) span: Span,
    pub(super) provider: Arc<Provider>,
}

const MS_NS: i64 = 1_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
const PAGE_LIMIT: u32 = 50_000;
/// Pauses before the next tries of one page; the last is the last.
const PAUSES_MS: [u64; 4] = [1_000, 5_000, 20_000, 60_000];
/// How long a provider that says no more is left alone after a 429.
const LEFT_ALONE_MS: u64 = 61_000;
const MOST_EMPTY: usize = 50;
/// From so many pages on there must be some candles in each, as a rule.
const FEW_PAGES: i64 = 50;
const LEAST_A_PAGE: i64 = 10;
/// Of fewer candles, none of which is good, a part still goes well: the newest may be unfinished.
const MOST_REFUSED: i64 = 10;

/// Where a part is.
struct Place {
    next: i64,
    /// Path and query of the page that is due.
    path: String,
    reasons: Reasons,
    judge: Judge,
    asked: HashSet<String>,
    empty: usize,
    pages: i64,
    candles: i64,
    /// Of them, with those of before a break.
    good: i64,
    is_over: bool,
}

impl Place {
    fn is_crawling(&self) -> bool {
        self.pages > FEW_PAGES && self.candles < self.pages * LEAST_A_PAGE
    }
}

impl Market {
    pub(super) async fn fetch(&self, job: &Job<'_>) -> Result<Quality, Stop> {
        let part = job.part;
        // Somebody may have edited it, and it stands in a path.
        if symbol::parse(&job.symbol.symbol, Some(job.symbol.asset_class)).is_err() {
            let line = "its name in the database is none that a symbol has";
            return Err(Stop::Failed(String::from(line)));
        }
        let mut place = Place {
            next: part.tally.next,
            path: job.first_path(),
            reasons: Reasons::read(&part.tally.reasons),
            judge: Judge::of(job.span, (part.tally.next, part.to)),
            asked: HashSet::new(),
            empty: 0,
            pages: 0,
            candles: 0,
            good: part.tally.candles,
            is_over: part.tally.next >= part.to,
        };
        while !place.is_over {
            if place.is_crawling() {
                let line = "the provider sends page after page with hardly a candle in it";
                return Err(Stop::Failed(String::from(line)));
            }
            if !place.asked.insert(place.path.clone()) {
                let line = "the provider's next page is one that was read already";
                return Err(Stop::Failed(String::from(line)));
            }
            let answer = self.patiently(job, &place.path).await?;
            let page = page::read(&answer.body).map_err(|fault| Stop::Failed(told(&fault)))?;
            if page.next.as_deref().is_some_and(|next| !job.is_own(next)) {
                return Err(Stop::Failed(told(&page::Fault::StrangeNext)));
            }
            self.keep(job, &mut place, page).await?;
        }
        if place.good == 0 && place.reasons.count() >= MOST_REFUSED {
            let (count, why) = (place.reasons.count(), place.reasons.json());
            let line = format!("none of the {count} candles that came is a good one: {why}");
            return Err(Stop::Failed(line));
        }
        self.judge_whole(job).await
    }

    /// One page, tried again where that may help.
    async fn patiently(&self, job: &Job<'_>, path: &str) -> Result<Answer, Stop> {
        let (mut failed, mut waited_ms) = (0_usize, 0_u64);
        loop {
            let (line, pause_ms) = match self.caller.ask(&job.provider, path).await {
                Ok(answer) if answer.status == 200 && page::is_cut(&answer.body) => {
                    let line = String::from("the provider answers 200 with no whole JSON");
                    (line, PAUSES_MS.get(failed).copied())
                }
                Ok(answer) if answer.status == 200 => return Ok(answer),
                Ok(answer) if answer.status == 429 => {
                    // Being early is no failure.
                    failed = failed.saturating_sub(1);
                    let pause_ms = answer.retry_in_ms.unwrap_or(LEFT_ALONE_MS).max(1000);
                    waited_ms = pause_ms.saturating_add(waited_ms);
                    (too_many(pause_ms), Some(pause_ms).filter(|_| waited_ms <= MOST_CLOSED_MS))
                }
                Ok(answer) if answer.status >= 500 || answer.status == 408 => {
                    (status_line(&answer), PAUSES_MS.get(failed).copied())
                }
                Ok(answer) => return Err(Stop::Failed(status_line(&answer))),
                Err(refusal) if refusal.reason == Reason::Sealed => return Err(Stop::Later),
                Err(refusal) if may_pass(refusal.reason) => {
                    (sentence(&refusal), PAUSES_MS.get(failed).copied())
                }
                Err(refusal) => return Err(Stop::Failed(sentence(&refusal))),
            };
            let Some(pause_ms) = pause_ms else { return Err(Stop::Failed(line)) };
            failed += 1;
            self.pause(pause_ms).await;
        }
    }

    async fn keep(&self, job: &Job<'_>, place: &mut Place, page: Page<'_>) -> Result<(), Stop> {
        let mut came = page.candles.len();
        let mut good: Vec<NewCandle<'_>> = Vec::with_capacity(came);
        let (mut is_new, mut disordered) = (false, 0);
        for written in &page.candles {
            match place.judge.judge(written) {
                Ok(candle) => good.push(candle),
                // Some begin with the candle that the range begins in.
                Err(Fault::Before) => came -= 1,
                Err(fault) => {
                    disordered += usize::from(fault == Fault::OutOfOrder);
                    is_new |= !fault.is_of_place();
                    place.reasons.add(fault);
                }
            }
        }
        if !good.is_empty() && disordered > good.len() {
            let line =
                "the provider sends the newest candles first, though the oldest are asked for";
            return Err(Stop::Failed(String::from(line)));
        }
        if good.is_empty() && page.next.is_some() {
            place.empty += 1;
            let is_again = came > 0 && !is_new;
            if is_again || place.empty > MOST_EMPTY {
                let line = match is_again {
                    true => "the provider sent a page again, and says that there are more",
                    false => "the provider sends one page without a good candle after another",
                };
                return Err(Stop::Failed(String::from(line)));
            }
        }
        let next = match (&page.next, good.last()) {
            (None, _) => job.part.to,
            (Some(_), Some(last)) => last.time + 1,
            (Some(_), None) => place.next,
        };
        let reasons = place.reasons.json();
        let end = PageEnd {
            run: job.part.run,
            symbol_id: job.part.symbol_id,
            span: job.part.span,
            from: place.next,
            progress: PartProgress {
                next,
                candles: counted(good.len()),
                rejected: counted(came - good.len()),
                reasons: &reasons,
            },
        };
        self.store.store_page(&good, &end).await.map_err(|fault| lost(&fault))?;
        place.next = next;
        place.pages += 1;
        place.candles += counted(came);
        place.good += counted(good.len());
        place.is_over = page.next.is_none();
        place.path = page.next.unwrap_or_default();
        Ok(())
    }

    /// What is missing of the part's range, and whether anything came at all.
    async fn judge_whole(&self, job: &Job<'_>) -> Result<Quality, Stop> {
        let part = job.part;
        let series = self.series_of(part).await?;
        let Some(earliest) = series.as_ref().and_then(|series| series.earliest) else {
            let kind = (job.symbol.asset_class, job.span);
            let seen = series.map_or(0, |series| series.seen);
            if seen == 0 && calendar::days(kind, (part.from, part.to)).next().is_some() {
                let ticker = job.ticker();
                let line = format!("the provider knows no candles of {ticker}");
                return Err(Stop::Failed(line));
            }
            return self.quality(job, (part.from, part.to), i64::MIN).await;
        };
        self.quality(job, (job.begin(part.from, earliest), part.to), earliest).await
    }

    /// The same of all that there is.
    pub(super) async fn whole(&self, job: &Job<'_>) -> Result<Quality, Stop> {
        let series = self.series_of(job.part).await?;
        let earliest = series.as_ref().and_then(|series| series.earliest);
        let from = earliest.map_or(job.part.to, |earliest| job.begin(i64::MIN, earliest));
        let covered = series.and_then(|series| series.covered_to).unwrap_or(job.part.to);
        self.quality(job, (from, covered.max(job.part.to)), earliest.unwrap_or(from)).await
    }

    async fn series_of(&self, part: &PartRow) -> Result<Option<store::SeriesRow>, Stop> {
        let all = self.store.series(Some(part.symbol_id)).await.map_err(|fault| lost(&fault))?;
        Ok(all.into_iter().find(|series| series.span == part.span))
    }

    /// Of what is there from `earliest` on.
    async fn quality(
        &self,
        job: &Job<'_>,
        (from, to): (i64, i64),
        earliest: i64,
    ) -> Result<Quality, Stop> {
        let kind = (job.symbol.asset_class, job.span);
        let series = (job.part.symbol_id, job.part.span);
        let units = match job.span {
            Span::Day => (calendar::offset_ns(kind.0, kind.1), DAY_NS),
            Span::Minute | Span::FiveMinutes | Span::Quarter | Span::Hour => (0, HOUR_NS),
        };
        let there = self.store.candle_times(series, (from, to), units).await;
        let there: BTreeSet<i64> = there.map_err(|fault| lost(&fault))?.into_iter().collect();
        let days = calendar::days(kind, (from, to));
        Ok(match job.span {
            Span::Day => quality::of_days(days, &there),
            Span::Minute | Span::FiveMinutes | Span::Quarter | Span::Hour => {
                quality::of_hours(kind.0, days, (&there, earliest.div_euclid(HOUR_NS)))
            }
        })
    }

    /// By the house's clock.
    async fn pause(&self, ms: u64) {
        let until = self.clock.monotonic_ns().saturating_add(ms.saturating_mul(1_000_000));
        while self.clock.monotonic_ns() < until {
            tokio::time::sleep(super::LOOK_EVERY).await;
        }
    }
}

impl Job<'_> {
    /// Before the first candle that there is, none is missing: the symbol may be younger.
    fn begin(&self, from: i64, earliest: i64) -> i64 {
        let kind = (self.symbol.asset_class, self.span);
        if earliest < from { from } else { calendar::day_begin(kind, earliest) }
    }

    /// Is this a page of the same symbol and length? A colon may be written otherwise.
    fn is_own(&self, next: &str) -> bool {
        let own = format!("/v2/aggs/ticker/{}/range/{}/", self.ticker(), self.span.asked());
        let head = next.split('?').next().unwrap_or_default();
        head.replace("%3A", ":").replace("%3a", ":").starts_with(&own)
    }

    fn ticker(&self) -> String {
        symbol::ticker(&self.symbol.symbol, self.symbol.asset_class)
    }

    /// From the checkpoint on: what was stored is not asked for again.
    fn first_path(&self) -> String {
        let from = self.part.tally.next.saturating_add(MS_NS - 1).div_euclid(MS_NS);
        // The provider counts the end in.
        let to = self.part.to.saturating_sub(1).div_euclid(MS_NS);
        let (ticker, span) = (self.ticker(), self.span.asked());
        format!(
            "/v2/aggs/ticker/{ticker}/range/{span}/{from}/{to}?adjusted=true&sort=asc&limit={PAGE_LIMIT}"
        )
    }
}

/// Nothing of the page was stored.
fn lost(fault: &store::Error) -> Stop {
    if matches!(fault, store::Error::LeaseLost) {
        return Stop::Later;
    }
    tracing::error!(%fault, "candles could not be stored");
    if matches!(fault, store::Error::Unreachable { .. }) {
        return Stop::Later;
    }
    Stop::Failed(String::from("the database did not take it; the log says why"))
}

/// What may be otherwise in a moment.
fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UpstreamUnreachable
            | Reason::UpstreamTimeout
            | Reason::UpstreamInvalid
            | Reason::Overloaded
            | Reason::AuditUnavailable
    )
}

fn sentence(refusal: &Refusal) -> String {
    refusal.detail.to_string()
}

fn status_line(answer: &Answer) -> String {
    let status = answer.status;
    let meaning = match status {
        401 | 403 => "the provider refuses the key, or the plan does not cover this",
        404 => "the provider does not know the symbol",
        _ => "the provider does not answer",
    };
    match page::message(&answer.body) {
        Some(message) => format!("{meaning}: {status} {message}"),
        None => format!("{meaning}: {status}"),
    }
}

fn too_many(pause_ms: u64) -> String {
    let seconds = pause_ms / 1000;
    format!(
        "the provider answers 429, and wants to be left alone for {seconds} seconds; the next run \
         goes on from there (`requests_per_minute` in its entry keeps within the plan)"
    )
}

fn told(fault: &page::Fault) -> String {
    match fault {
        page::Fault::NoText | page::Fault::NoJson { .. } => {
            String::from("the provider answers 200 with no JSON")
        }
        page::Fault::Error { status, message } => {
            format!("the provider answers 200 with an error: {status} {message}")
        }
        page::Fault::StrangeNext => {
            String::from("the provider's next page lies elsewhere and is not asked for")
        }
        page::Fault::TooMany => {
            String::from("the provider sends more candles at once than it was asked for")
        }
        page::Fault::Incomplete => {
            String::from("the provider's list of candles is none, or shorter than it says itself")
        }
    }
}

fn counted(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
