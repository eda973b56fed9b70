//! What a provider allows of its own accord, as its entry tells: so many calls with one key in a
//! window, the headers of its answers that say what is left, and the statuses of one call too
//! many. Reads those headers. Pure: the time is handed in.
//! Must never make a limit of a figure that has no time to go with it.

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::BadProvider;
use super::file::bad;
use super::raw::RawLimits;
use crate::clock::parse_rfc3339;
use crate::quota::Notice;

/// The limits that hold for one secret.
#[derive(Debug)]
pub(crate) struct OwnLimits {
    /// Calls, and the window's length in nanoseconds.
    pub(super) window: Option<(u64, u64)>,
    names: Option<Names>,
    /// What it gives comes little by little: the time of reset is when all of it is there.
    refills: bool,
    too_many: Vec<u16>,
}

#[derive(Debug)]
struct Names {
    limit: Option<HeaderName>,
    remaining: Option<HeaderName>,
    used: Option<HeaderName>,
    reset: Option<HeaderName>,
}

/// What a provider says whose entry names no headers: limit, what is left, when it is full again.
static USUAL: [[HeaderName; 3]; 4] = [
    [
        HeaderName::from_static("x-ratelimit-limit"),
        HeaderName::from_static("x-ratelimit-remaining"),
        HeaderName::from_static("x-ratelimit-reset"),
    ],
    [
        HeaderName::from_static("ratelimit-limit"),
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("ratelimit-reset"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-rate-limit-limit"),
        HeaderName::from_static("x-rate-limit-remaining"),
        HeaderName::from_static("x-rate-limit-reset"),
    ],
];
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Weights used of a minute, which begins with the minute of the clock.
static USED_WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");
static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_MS: i64 = 60_000;
/// Numbers above are times, in seconds or milliseconds since 1970.
const EARLIEST_UNIX_SECONDS: f64 = 1e9;
const EARLIEST_UNIX_MS: f64 = 1e12;
const USUAL_NO: [u16; 1] = [429];

impl OwnLimits {
    pub(super) fn read(
        id: &str,
        raw: &RawLimits,
        requests_per_minute: Option<u32>,
    ) -> Result<Self, BadProvider> {
        let seconds = raw.window_seconds.unwrap_or(60);
        if seconds == 0 {
            return Err(bad(id, "limits.window_seconds", "must be at least 1"));
        }
        let window = match (requests_per_minute, raw.calls) {
            (Some(calls), _) if calls > 0 => Some((u64::from(calls), 60)),
            (_, Some(calls)) if calls > 0 => Some((u64::from(calls), u64::from(seconds))),
            _ => None,
        };
        let header = |member: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => text.to_ascii_lowercase().parse().map(Some).map_err(|_| {
                bad(id, &format!("limits.{member}"), format!("`{text}` is no header's name"))
            }),
        };
        let names = Names {
            limit: header("limit", &raw.limit)?,
            remaining: header("remaining", &raw.remaining)?,
            used: header("used", &raw.used)?,
            reset: header("reset", &raw.reset)?,
        };
        let names = (names.remaining.is_some() || names.used.is_some()).then_some(names);
        if let Some(wrong) = raw.too_many.iter().find(|status| !(400..600).contains(*status)) {
            let fault = format!("{wrong} is no status that refuses a call");
            return Err(bad(id, "limits.too_many", fault));
        }
        let too_many = match raw.too_many.is_empty() {
            true => USUAL_NO.to_vec(),
            false => raw.too_many.clone(),
        };
        let window = window.map(|(calls, seconds)| (calls, seconds.saturating_mul(SECOND_NS)));
        Ok(Self { window, names, refills: raw.refills, too_many })
    }

    pub(crate) fn is_too_many(&self, status: u16) -> bool {
        self.too_many.contains(&status)
    }

    /// What an answer says of the limit; None where it says nothing. The time is asked for where
    /// something is said.
    pub(crate) fn notice(
        &self,
        status: u16,
        headers: &HeaderMap,
        now_ms: impl Fn() -> i64,
    ) -> Option<Notice> {
        let is_refusal = self.is_too_many(status);
        let mut said = match &self.names {
            Some(names) => self.named(names, headers, &now_ms),
            None => usual(headers, &now_ms).or_else(|| self.weighed(headers, &now_ms)),
        };
        if let Some(said) = said.as_mut().filter(|said| self.refills && !said.refills) {
            said.refills = true;
            // Cut off to whole seconds.
            said.reset_in_ns = said.reset_in_ns.map(|ns| ns.saturating_add(SECOND_NS));
        }
        if !is_refusal {
            return said;
        }
        let said = said.unwrap_or_default();
        let retry_in_ns = retry_in_ns(headers, now_ms());
        Some(Notice { is_refusal: true, retry_in_ns, ..said })
    }

    fn named(
        &self,
        names: &Names,
        headers: &HeaderMap,
        now_ms: &impl Fn() -> i64,
    ) -> Option<Notice> {
        let limit = number(headers, names.limit.as_ref());
        let limit = limit.or_else(|| self.window.map(|(calls, _)| calls));
        let remaining = number(headers, names.remaining.as_ref())
            .or_else(|| limit?.checked_sub(number(headers, names.used.as_ref())?))?;
        let reset = names.reset.as_ref().and_then(|name| headers.get(name));
        Some(notice((limit, remaining), reset, (headers, now_ms())))
    }

    /// What was used of this minute, where the entry says how much there is.
    fn weighed(&self, headers: &HeaderMap, now_ms: &impl Fn() -> i64) -> Option<Notice> {
        let used = number(headers, Some(&USED_WEIGHT))?;
        let (limit, _) = self.window?;
        let theirs_ms = date_ms(headers).unwrap_or_else(now_ms);
        let left_ms = MINUTE_MS - theirs_ms.rem_euclid(MINUTE_MS);
        Some(Notice {
            limit: Some(limit),
            remaining: Some(limit.saturating_sub(used)),
            reset_in_ns: Some(ns_of_ms(left_ms)),
            ..Notice::default()
        })
    }
}

fn usual(headers: &HeaderMap, now_ms: &impl Fn() -> i64) -> Option<Notice> {
    for [limit, remaining, reset] in &USUAL {
        let Some(left) = number(headers, Some(remaining)) else { continue };
        let figures = (number(headers, Some(limit)), left);
        return Some(notice(figures, headers.get(reset), (headers, now_ms())));
    }
    structured(headers.get(&RATELIMIT)?.to_str().ok()?)
}

fn notice(
    (limit, remaining): (Option<u64>, u64),
    reset: Option<&HeaderValue>,
    (headers, now_ms): (&HeaderMap, i64),
) -> Notice {
    let reset = reset.and_then(|value| reset_in_ns(value.to_str().ok()?.trim(), headers, now_ms));
    let (reset_in_ns, refills) = reset.map_or((None, false), |(ns, refills)| (Some(ns), refills));
    Notice { limit, remaining: Some(remaining), reset_in_ns, refills, ..Notice::default() }
}

/// `limit=100, remaining=50, reset=5`, or `"default";r=50;t=30`: the one of which least is left.
fn structured(text: &str) -> Option<Notice> {
    let is_list = text.contains("remaining=");
    let items: Vec<&str> = if is_list { vec![text] } else { text.split(',').collect() };
    let notices = items.into_iter().filter_map(|item| {
        let value = |names: [&str; 2]| {
            let mut pairs = item.split([',', ';']).filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| names.contains(&name.trim()))?;
            found.1.trim().parse::<u64>().ok()
        };
        Some(Notice {
            limit: value(["limit", "q"]),
            remaining: Some(value(["remaining", "r"])?),
            reset_in_ns: value(["reset", "t"]).map(|seconds| seconds.saturating_mul(SECOND_NS)),
            ..Notice::default()
        })
    });
    notices.min_by_key(|notice| notice.remaining)
}

fn number(headers: &HeaderMap, name: Option<&HeaderName>) -> Option<u64> {
    let text = headers.get(name?)?.to_str().ok()?.trim();
    // `100, 100;w=60` names the window behind the limit.
    let text = text.split([',', ';']).next().unwrap_or_default().trim();
    text.parse().ok()
}

/// How long until then, and whether it fills up little by little: seconds, a time since 1970, a
/// date, or a duration such as `6m0s` or `12ms`.
fn reset_in_ns(text: &str, headers: &HeaderMap, now_ms: i64) -> Option<(u64, bool)> {
    if let Ok(number) = text.parse::<f64>() {
        let at_ms = if number >= EARLIEST_UNIX_MS {
            number
        } else if number >= EARLIEST_UNIX_SECONDS {
            number * 1000.0
        } else {
            return (number >= 0.0).then(|| (ns_of_seconds(number), false));
        };
        return Some((until_ns(ms(at_ms), headers, now_ms), false));
    }
    if let Some(at_ms) = parse_rfc3339(text) {
        return Some((until_ns(at_ms, headers, now_ms), false));
    }
    Some((ns_of_seconds(duration(text)?), true))
}

/// By the provider's own clock, where it shows it.
fn until_ns(at_ms: i64, headers: &HeaderMap, now_ms: i64) -> u64 {
    ns_of_ms(at_ms.saturating_sub(date_ms(headers).unwrap_or(now_ms)))
}

/// In seconds.
fn duration(text: &str) -> Option<f64> {
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..letters)? {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            "ns" => 0.000_000_001,
            _ => return None,
        };
        total += number * unit;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(total)
}

fn retry_in_ns(headers: &HeaderMap, now_ms: i64) -> Option<u64> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text(&RETRY_AFTER_MS).and_then(|text| text.parse::<f64>().ok()) {
        return Some(ns_of_seconds(ms / 1000.0));
    }
    let text = text(&RETRY_AFTER)?;
    match text.parse::<f64>() {
        Ok(seconds) => Some(ns_of_seconds(seconds)),
        Err(_) => Some(until_ns(http_date_ms(text)?, headers, now_ms)),
    }
}

pub(super) fn date_ms(headers: &HeaderMap) -> Option<i64> {
    http_date_ms(headers.get(DATE)?.to_str().ok()?)
}

pub(super) fn http_date_ms(text: &str) -> Option<i64> {
    let read = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(read.as_millisecond())
}

fn ns_of_ms(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000)
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates, and nobody waits so long")]
fn ms(at_ms: f64) -> i64 {
    at_ms as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and what is negative is over"
)]
fn ns_of_seconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-15T12:00:00Z
    const NOW_MS: i64 = 1_768_478_400_000;

    fn limits(text: &str) -> OwnLimits {
        OwnLimits::read("acme", &toml::from_str(text).unwrap(), None).unwrap()
    }

    fn notice_of(limits: &OwnLimits, status: u16, lines: &[(&str, &str)]) -> Option<Notice> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        limits.notice(status, &headers, || NOW_MS)
    }

    fn seconds(seconds: u64) -> Option<u64> {
        Some(seconds * SECOND_NS)
    }

    #[test]
    fn every_known_form_says_what_is_left_and_until_when() {
        let usual = limits("");
        let x = |reset| {
            let lines = [
                ("x-ratelimit-limit", "200"),
                ("x-ratelimit-remaining", "7"),
                ("x-ratelimit-reset", reset),
            ];
            notice_of(&usual, 200, &lines).unwrap()
        };
        for (reset, expected) in [
            ("30", seconds(30)),
            ("1768478430", seconds(30)),
            ("1768478430000", seconds(30)),
            ("2026-01-15T12:00:30Z", seconds(30)),
            ("soon", None),
        ] {
            let said = x(reset);
            assert_eq!((said.limit, said.remaining), (Some(200), Some(7)));
            assert_eq!((said.reset_in_ns, said.refills), (expected, false), "{reset}");
        }
        let mut lines = vec![("ratelimit", "\"burst\";r=9;t=1, \"day\";r=3;t=40")];
        let said = notice_of(&usual, 200, &lines).unwrap();
        assert_eq!((said.remaining, said.reset_in_ns), (Some(3), seconds(40)));
        lines = vec![("ratelimit", "limit=100, remaining=50, reset=5")];
        let said = notice_of(&usual, 200, &lines).unwrap();
        assert_eq!((said.limit, said.remaining), (Some(100), Some(50)));
        assert_eq!(said.reset_in_ns, seconds(5));
        assert_eq!(notice_of(&usual, 200, &[("content-type", "text/plain")]), None);
    }

    #[test]
    fn what_fills_up_little_by_little_is_told_by_its_duration() {
        let lines = [
            ("x-ratelimit-limit-requests", "5000"),
            ("x-ratelimit-remaining-requests", "4990"),
            ("x-ratelimit-reset-requests", "1m0.5s"),
            ("x-ratelimit-remaining-tokens", "0"),
        ];
        let said = notice_of(&limits(""), 200, &lines).unwrap();
        assert_eq!((said.remaining, said.refills), (Some(4990), true));
        assert_eq!(said.reset_in_ns, Some(60_500_000_000));
        assert_eq!(duration("12ms"), Some(0.012));
        assert_eq!((duration("12"), duration(""), duration("ms")), (None, None, None));
    }

    #[test]
    fn a_clock_that_is_wrong_here_does_not_matter_where_the_provider_shows_its_own() {
        let lines = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1768482030"),
            ("date", "Thu, 15 Jan 2026 13:00:00 GMT"),
        ];
        let said = notice_of(&limits(""), 200, &lines).unwrap();
        assert_eq!(said.reset_in_ns, seconds(30));
        let lines = [("retry-after", "Thu, 15 Jan 2026 12:00:09 GMT")];
        let said = notice_of(&limits(""), 429, &lines).unwrap();
        assert_eq!((said.is_refusal, said.retry_in_ns), (true, seconds(9)));
    }

    #[test]
    fn an_entry_names_its_own_headers_statuses_and_weights() {
        let own = limits(
            "calls = 50\nremaining = \"Acme-Left\"\nreset = \"Acme-Reset\"\ntoo_many = [418, 429]",
        );
        let said = notice_of(&own, 418, &[("acme-left", "4"), ("retry-after-ms", "1500")]).unwrap();
        assert_eq!((said.limit, said.remaining), (Some(50), Some(4)));
        assert_eq!((said.is_refusal, said.retry_in_ns), (true, Some(1_500_000_000)));
        assert_eq!(notice_of(&limits(""), 418, &[]), None);
        let weighed = limits("calls = 6000");
        let said = notice_of(&weighed, 200, &[("x-mbx-used-weight-1m", "5990")]).unwrap();
        assert_eq!((said.remaining, said.reset_in_ns), (Some(10), seconds(60)));
        assert!(OwnLimits::read("a", &toml::from_str("too_many = [200]").unwrap(), None).is_err());
        let refilling = limits("remaining = \"left\"\nreset = \"full\"\nrefills = true");
        let lines = [("left", "49"), ("full", "2026-01-15T12:00:02Z")];
        let said = notice_of(&refilling, 200, &lines).unwrap();
        assert_eq!((said.refills, said.reset_in_ns), (true, seconds(3)));
        let settings = OwnLimits::read("a", &toml::from_str("calls = 9").unwrap(), Some(5));
        assert_eq!(settings.unwrap().window, Some((5, 60 * SECOND_NS)));
    }
}
