//! The only place that knows the time. Everything else is handed a `Clock`, so that a test can
//! hold time still or jump with it. Nothing outside this file may name `SystemTime` or
//! `Instant`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2024-01-01: a clock before this was never set, and expiries judged by it would be wrong.
const EARLIEST_PLAUSIBLE_MS: i64 = 1_704_067_200_000;

/// Wall time and monotonic time from one source; cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Instant },
    Set(Arc<SetClock>),
}

/// The hands of a clock that stands still until it is told to move.
struct SetClock {
    unix_ms: AtomicI64,
    monotonic_ns: AtomicU64,
}

/// Both hands, read once and handed on: clocks are among the dearest things a call can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub unix_ms: i64,
    pub monotonic_ns: u64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this file is the home of time")]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now() })
    }

    /// A clock for tests: stands at the given wall time and moves only by `advance` and
    /// `jump_wall`.
    pub fn settable(unix_ms: i64) -> Self {
        let hands = SetClock { unix_ms: AtomicI64::new(unix_ms), monotonic_ns: AtomicU64::new(1) };
        Self(Source::Set(Arc::new(hands)))
    }

    pub fn now(&self) -> Moment {
        Moment { unix_ms: self.unix_ms(), monotonic_ns: self.monotonic_ns() }
    }

    /// Milliseconds since 1970, as the wall clock says; may jump.
    #[expect(clippy::disallowed_methods, reason = "this file is the home of time")]
    pub fn unix_ms(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
            },
            Source::Set(hands) => hands.unix_ms.load(Ordering::Acquire),
        }
    }

    /// Nanoseconds since this clock was made; never goes back.
    pub fn monotonic_ns(&self) -> u64 {
        match &self.0 {
            Source::System { origin } => {
                u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
            }
            Source::Set(hands) => hands.monotonic_ns.load(Ordering::Acquire),
        }
    }

    /// Both hands move on together. Does nothing on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Set(hands) = &self.0 {
            let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            hands.unix_ms.fetch_add(ms, Ordering::AcqRel);
            let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            hands.monotonic_ns.fetch_add(ns, Ordering::AcqRel);
        }
    }

    /// The wall hand alone jumps, as when an administrator sets the clock.
    pub fn jump_wall(&self, by_ms: i64) {
        if let Source::Set(hands) = &self.0 {
            hands.unix_ms.fetch_add(by_ms, Ordering::AcqRel);
        }
    }

    /// False where the machine's clock was plainly never set (a board without a battery starts in
    /// 1970).
    pub fn is_plausible(&self) -> bool {
        self.unix_ms() >= EARLIEST_PLAUSIBLE_MS
    }
}

/// RFC 3339 in UTC with `Z`, milliseconds where there are any.
pub fn rfc3339(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => String::from("out of range"),
    }
}

/// Is this a time that can be written?
pub fn is_in_range(unix_ms: i64) -> bool {
    jiff::Timestamp::from_millisecond(unix_ms).is_ok()
}

/// Reads RFC 3339 with any offset, to the end of the year 9999. None if it is not a time.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    // The last day of that year lies behind what the calendar can turn into every time zone; it is
    // written for "never", and becomes the last time that there is.
    let last_day = text.get(..11).is_some_and(|date| matches!(date, "9999-12-30T" | "9999-12-31T"));
    let day_before = format!("9999-12-29T{}", text.get(11..)?);
    let is_time = last_day && day_before.parse::<jiff::Timestamp>().is_ok();
    is_time.then(|| jiff::Timestamp::MAX.as_second() * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settable_clock_moves_only_when_told() {
        let clock = Clock::settable(1_000);
        assert_eq!((clock.unix_ms(), clock.monotonic_ns()), (1_000, 1));
        clock.advance(Duration::from_millis(5));
        assert_eq!((clock.unix_ms(), clock.monotonic_ns()), (1_005, 5_000_001));
        clock.jump_wall(-2_000);
        assert_eq!((clock.unix_ms(), clock.monotonic_ns()), (-995, 5_000_001));
        assert!(!clock.is_plausible());
    }

    #[test]
    fn times_are_read_with_any_offset_and_written_in_utc() {
        assert_eq!(parse_rfc3339("2026-01-15T15:30:00+01:00"), Some(1_768_487_400_000));
        assert_eq!(rfc3339(1_768_487_400_000), "2026-01-15T14:30:00Z");
        assert_eq!(rfc3339(1_768_487_400_120), "2026-01-15T14:30:00.12Z");
        assert_eq!(parse_rfc3339("yesterday"), None);
        for last in ["9999-12-31T23:59:59Z", "9999-12-31T00:00:00.5+01:00"] {
            let read = parse_rfc3339(last).unwrap();
            assert_eq!(rfc3339(read), "9999-12-30T22:00:00Z", "{last}");
        }
        assert_eq!(parse_rfc3339("9999-12-31T25:00:00Z"), None);
        assert_eq!(parse_rfc3339("9999-12-31T"), None);
    }
}
