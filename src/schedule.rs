//! When something is due by itself: five fields as cron has them, or an interval (`every 6h`), in a
//! time zone. Written here because it is a page, and every crate for it brings a second calendar
//! beside the one that the house has. Pure. Must never skip a time that a change of clocks removes.

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// What was written, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    when: When,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Every { ms: i64 },
    At(Box<Fields>),
}

/// A bit for each value that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Where both are restricted, either is enough, as cron has it.
    either_day: bool,
}

/// Eight years hold every date that there is, a leap day too.
const MOST_DAYS: usize = 8 * 366;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// The fault says what is wrong with the text.
    pub(crate) fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let when = match text.strip_prefix("every ") {
            Some(interval) => When::Every { ms: interval_ms(interval)? },
            None => When::At(Box::new(fields(&text)?)),
        };
        let schedule = Self { when, zone };
        match schedule.next_after(0) {
            Some(_) => Ok(schedule),
            None => Err(String::from("names a day that never comes")),
        }
    }

    /// The same, with intervals that are counted from 1970 on: when it was last due is of no weight
    /// then, and several may share one mark of how far they were looked after.
    pub(crate) fn next_fixed_after(&self, ms: i64) -> Option<i64> {
        match &self.when {
            When::Every { ms: every } => {
                let step = (*every).max(1);
                ms.div_euclid(step).checked_add(1)?.checked_mul(step)
            }
            When::At(fields) => self.next_of(fields, ms),
        }
    }

    /// The first time behind this one.
    pub(crate) fn next_after(&self, ms: i64) -> Option<i64> {
        match &self.when {
            When::Every { ms: every } => ms.checked_add(*every),
            When::At(fields) => self.next_of(fields, ms),
        }
    }

    fn next_of(&self, fields: &Fields, ms: i64) -> Option<i64> {
        let after = jiff::Timestamp::from_millisecond(ms).ok()?.to_zoned(self.zone.clone());
        let mut day = after.date();
        for _ in 0..MOST_DAYS {
            if fields.is_on(day) {
                let found = fields.times().filter_map(|(hour, minute)| {
                    // A time that is left out when clocks go forward comes right behind that.
                    let at = day.at(hour, minute, 0, 0).to_zoned(self.zone.clone()).ok()?;
                    Some(at.timestamp().as_millisecond())
                });
                if let Some(next) = found.filter(|at| *at > ms).min() {
                    return Some(next);
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

impl Fields {
    fn is_on(&self, day: Date) -> bool {
        let weekday = day.weekday().to_sunday_zero_offset();
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, weekday);
        let fits = if self.either_day { of_month || of_week } else { of_month && of_week };
        fits && has(self.months, day.month())
    }

    fn times(&self) -> impl Iterator<Item = (i8, i8)> + '_ {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            (0..60).filter(|minute| has(self.minutes, *minute)).map(move |minute| (hour, minute))
        })
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits.checked_shr(value).unwrap_or(0) & 1 == 1)
}

fn interval_ms(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let unit = [("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let parsed = unit.iter().find_map(|(unit, ms)| {
        let number: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        (1..=10_000).contains(&number).then(|| number * ms)
    });
    parsed.ok_or_else(|| format!("{text:?} is no interval; give minutes, hours or days, as in 6h"))
}

fn fields(text: &str) -> Result<Fields, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
        return Err(String::from(
            "is neither five fields (minute, hour, day, month, day of the week) nor an interval \
             like \"every 6h\"",
        ));
    };
    let weekday_bits = bits(weekdays, (0, 7), &WEEKDAYS, 0)?;
    Ok(Fields {
        minutes: bits(minutes, (0, 59), &[], 0)?,
        hours: bits(hours, (0, 23), &[], 0)?,
        days: bits(days, (1, 31), &[], 0)?,
        months: bits(months, (1, 12), &MONTHS, 1)?,
        // Sunday is 0 and 7.
        weekdays: weekday_bits | (weekday_bits >> 7 & 1),
        either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
    })
}

/// `*`, `5`, `1-5`, `*/15`, `mon-fri`, and lists of these.
fn bits(field: &str, (least, most): (u32, u32), names: &[&str], base: u32) -> Result<u64, String> {
    let fault = || format!("the field {field:?} must have values from {least} to {most}");
    let value = |text: &str| -> Result<u32, String> {
        let named = names.iter().position(|name| *name == text);
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + base);
        let value = named.or_else(|| text.parse().ok()).ok_or_else(fault)?;
        if (least..=most).contains(&value) { Ok(value) } else { Err(fault()) }
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().map_err(|_| fault())?),
            None => (part, 1),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((from, to))) => (value(from)?, value(to)?),
            (one, None) if part.contains('/') => (value(one)?, most),
            (one, None) => (value(one)?, value(one)?),
        };
        if step == 0 || from > to {
            return Err(fault());
        }
        for value in (from..=to).step_by(step) {
            bits |= 1_u64 << value;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, zone: &str, after: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let after: jiff::Timestamp = after.parse().unwrap();
        let next = Schedule::parse(text, zone).unwrap().next_after(after.as_millisecond());
        jiff::Timestamp::from_millisecond(next.unwrap()).unwrap().to_string()
    }

    #[test]
    fn an_interval_that_is_fixed_comes_however_often_somebody_looks() {
        let weekly = Schedule::parse("every 7d", TimeZone::UTC).unwrap();
        let (day, week) = (86_400_000, 7 * 86_400_000);
        let due = (0..30).filter(|today| {
            weekly.next_fixed_after(today * day) != weekly.next_fixed_after((today + 1) * day)
        });
        assert_eq!(due.map(|today| today + 1).collect::<Vec<i64>>(), [7, 14, 21, 28]);
        assert_eq!(weekly.next_fixed_after(week - 1), Some(week));
    }

    #[test]
    fn the_next_time_is_found_in_its_zone() {
        let new_york = "America/New_York";
        for (text, zone, after, expected) in [
            ("30 17 * * 1-5", new_york, "2026-01-16T23:00:00Z", "2026-01-19T22:30:00Z"),
            ("30 17 * * mon-fri", new_york, "2026-07-16T10:00:00Z", "2026-07-16T21:30:00Z"),
            ("*/15 * * * *", "UTC", "2026-01-15T12:00:00Z", "2026-01-15T12:15:00Z"),
            ("0 0 29 feb *", "UTC", "2026-01-15T12:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 1 * 7", "UTC", "2026-01-15T12:00:00Z", "2026-01-18T12:00:00Z"),
            ("0 9,21 * * *", "UTC", "2026-01-15T12:00:00Z", "2026-01-15T21:00:00Z"),
            // Left out when clocks go forward.
            ("30 2 * * *", new_york, "2026-03-08T05:00:00Z", "2026-03-08T07:30:00Z"),
            ("every 6h", "UTC", "2026-01-15T12:00:00Z", "2026-01-15T18:00:00Z"),
            ("every 1d", "UTC", "2026-01-15T12:00:00Z", "2026-01-16T12:00:00Z"),
        ] {
            assert_eq!(next(text, zone, after), expected, "{text} {zone} {after}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_told_why() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "0 0 30 2 *",
            "every",
            "every 0h",
            "every 5s",
            "every -1h",
            "every 99999d",
        ] {
            assert!(Schedule::parse(text, TimeZone::UTC).is_err(), "{text}");
        }
    }
}
