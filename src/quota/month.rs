//! The months of a monthly quota: each begins at midnight of the day of the month on which the key
//! was made, in the time zone of the settings.
//! Pure. Must never leave a gap between two of them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use uuid::Uuid;

/// One month of a key, from its first millisecond to the first one of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Period {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Period {
    /// The month in which a client key finds itself. Its id holds the moment at which it was made.
    pub(crate) fn of(client: Uuid, now_ms: i64, zone: &TimeZone) -> Self {
        let made_ms = client.get_timestamp().map_or(0, |made| {
            let (seconds, nanoseconds) = made.to_unix();
            i64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
                + i64::from(nanoseconds / 1_000_000)
        });
        Self::since(made_ms, now_ms, zone).unwrap_or(Self { start_ms: 0, end_ms: i64::MAX })
    }

    /// None for times that no calendar has.
    fn since(made_ms: i64, now_ms: i64, zone: &TimeZone) -> Option<Self> {
        let day = local(made_ms, zone)?.day();
        let today = local(now_ms, zone)?.date();
        let this = beginning(today, day)?;
        let (first, next) = match today < this {
            true => (beginning(this.checked_sub(Span::new().months(1)).ok()?, day)?, this),
            false => (
                this,
                beginning(this.first_of_month().checked_add(Span::new().months(1)).ok()?, day)?,
            ),
        };
        Some(Self { start_ms: midnight(first, zone)?, end_ms: midnight(next, zone)? })
    }
}

/// The day within the month of `within`; its last one where the month is too short.
fn beginning(within: Date, day: i8) -> Option<Date> {
    let first = within.first_of_month();
    first.with().day(day.min(first.days_in_month())).build().ok()
}

/// The first moment of the day: some days have no midnight.
fn midnight(day: Date, zone: &TimeZone) -> Option<i64> {
    day.to_zoned(zone.clone()).ok().map(|start| start.timestamp().as_millisecond())
}

fn local(unix_ms: i64, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(unix_ms).ok()?.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        crate::clock::parse_rfc3339(text).unwrap()
    }

    fn period(made: &str, now: &str, zone: &str) -> (String, String) {
        let zone = TimeZone::get(zone).unwrap();
        let period = Period::since(ms(made), ms(now), &zone).unwrap();
        (crate::clock::rfc3339(period.start_ms), crate::clock::rfc3339(period.end_ms))
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn a_month_begins_on_the_day_on_which_the_key_was_made() {
        let made = "2026-01-15T10:00:00Z";
        let first = pair("2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z");
        assert_eq!(period(made, "2026-01-15T10:00:00Z", "UTC"), first);
        assert_eq!(period(made, "2026-02-14T23:59:59.999Z", "UTC"), first);
        let second = pair("2026-02-15T00:00:00Z", "2026-03-15T00:00:00Z");
        assert_eq!(period(made, "2026-02-15T00:00:00Z", "UTC"), second);
        let winter = pair("2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z");
        assert_eq!(period(made, "2027-01-01T00:00:00Z", "UTC"), winter);
    }

    #[test]
    fn a_month_that_is_too_short_ends_on_its_last_day() {
        let made = "2026-01-31T12:00:00Z";
        let short = pair("2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z");
        assert_eq!(period(made, "2026-02-27T12:00:00Z", "UTC"), short);
        let next = pair("2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(period(made, "2026-03-30T12:00:00Z", "UTC"), next);
    }

    #[test]
    fn midnight_is_that_of_the_settings_time_zone() {
        let made = "2026-03-09T23:30:00Z";
        let berlin = pair("2026-03-09T23:00:00Z", "2026-04-09T22:00:00Z");
        assert_eq!(period(made, "2026-04-09T21:59:00Z", "Europe/Berlin"), berlin);
    }

    #[test]
    fn no_moment_is_outside_its_month_and_no_gap_is_between_two() {
        for zone in ["UTC", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"] {
            let zone = TimeZone::get(zone).unwrap();
            for made in ["2024-02-29T01:00:00Z", "2025-12-31T23:00:00Z", "2026-03-29T12:00:00Z"] {
                let mut now = ms(made);
                let end = now + 3 * 366 * 86_400_000;
                while now < end {
                    let period = Period::since(ms(made), now, &zone).unwrap();
                    assert!((period.start_ms..period.end_ms).contains(&now));
                    let next = Period::since(ms(made), period.end_ms, &zone).unwrap();
                    assert_eq!(next.start_ms, period.end_ms);
                    now = period.end_ms + 12 * 3_600_000;
                }
            }
        }
    }

    #[test]
    fn a_keys_id_tells_when_it_was_made() {
        let made = ms("2026-01-15T10:00:00Z");
        let at =
            uuid::Timestamp::from_unix(uuid::NoContext, u64::try_from(made).unwrap() / 1000, 0);
        let period = Period::of(Uuid::new_v7(at), made, &TimeZone::UTC);
        assert_eq!(period.start_ms, ms("2026-01-15T00:00:00Z"));
    }
}
