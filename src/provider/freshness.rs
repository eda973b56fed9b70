//! For how long an answer holds, as it says so itself and as a cache that belongs to one caller
//! reads it (RFC 9111), or as the settings say of a provider whose answers say nothing. Pure.
//! Must never call an answer fresh of which anything in it says otherwise.

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderValue, VARY};

use super::Provider;
use super::limits::{date_ms, http_date_ms};

/// Nobody is told to keep anything for longer.
pub(crate) const MOST_FRESH_SECONDS: u32 = 30 * 86_400;
/// What answers may differ by and still be the same for one caller: what he sends with `Accept`
/// tells his calls apart anyway, and how an answer is packed does not change what it says.
const ALIKE: [&str; 4] = ["accept", "accept-encoding", "authorization", "origin"];

/// What `Cache-Control` says.
enum Word {
    Nothing,
    /// That it is not to be kept, or what nobody understands.
    Never,
    Seconds(u64),
}

impl Provider {
    /// In seconds; None where it is over at once, is not to be kept, or nobody can tell.
    pub(crate) fn fresh_for(&self, headers: &HeaderMap, now_ms: i64) -> Option<u32> {
        let own = match word(headers) {
            Word::Never => return None,
            Word::Seconds(seconds) => Some(seconds),
            Word::Nothing => match headers.get(EXPIRES) {
                Some(end) => Some(until(end, headers, now_ms)?),
                None => None,
            },
        };
        let seconds = match own {
            Some(seconds) => seconds.saturating_sub(age(headers)),
            None => u64::from(self.fresh_seconds),
        };
        if seconds == 0 || is_event_stream(headers) || self.differs(headers) {
            return None;
        }
        Some(u32::try_from(seconds).unwrap_or(u32::MAX).min(MOST_FRESH_SECONDS))
    }

    /// By something that does not tell calls apart here.
    fn differs(&self, headers: &HeaderMap) -> bool {
        let is_alike = |name: &str| {
            let is = |other: &str| other.eq_ignore_ascii_case(name);
            name.is_empty() || ALIKE.into_iter().any(is) || self.slots.headers.iter().any(|s| is(s))
        };
        !headers.get_all(VARY).iter().flat_map(listed).all(is_alike)
    }
}

/// `max-age` is meant for whoever asked, `s-maxage` for caches that many share: it counts where the
/// other is not said.
fn word(headers: &HeaderMap) -> Word {
    let (mut own, mut shared) = (None, None);
    for directive in headers.get_all(CACHE_CONTROL).iter().flat_map(listed) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let is = |wanted: &str| name.trim().eq_ignore_ascii_case(wanted);
        if is("no-store") || is("no-cache") {
            return Word::Never;
        }
        let place = match (is("max-age"), is("s-maxage")) {
            (true, _) => &mut own,
            (_, true) => &mut shared,
            (false, false) => continue,
        };
        let Ok(seconds) = value.trim().trim_matches('"').parse::<u64>() else {
            return Word::Never;
        };
        *place = Some(place.map_or(seconds, |other: u64| other.min(seconds)));
    }
    own.or(shared).map_or(Word::Nothing, Word::Seconds)
}

/// What is no text is taken for a no.
fn listed(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or("no-store").split(',').map(str::trim)
}

/// By the provider's own clock, where it shows it. What is no date is over.
fn until(end: &HeaderValue, headers: &HeaderMap, now_ms: i64) -> Option<u64> {
    let end_ms = http_date_ms(end.to_str().ok()?)?;
    let left_ms = end_ms.saturating_sub(date_ms(headers).unwrap_or(now_ms));
    u64::try_from(left_ms / 1_000).ok()
}

/// How long it lay elsewhere.
fn age(headers: &HeaderMap) -> u64 {
    let text = headers.get(AGE).and_then(|age| age.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// What goes on is never what it was.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..EVENTS.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}

const EVENTS: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use super::super::{Catalogue, built_in};
    use super::*;

    /// 2026-01-15T12:00:00Z
    const NOW_MS: i64 = 1_768_478_400_000;

    /// Each line is a header.
    fn headers(text: &str) -> HeaderMap {
        let lines = text.split('\n').filter_map(|line| line.trim().split_once(": "));
        lines
            .map(|(name, value)| {
                let name: http::HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn fresh(text: &str) -> Option<u32> {
        built_in("polygon").unwrap().fresh_for(&headers(text), NOW_MS)
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_itself() {
        for (text, wanted) in [
            ("cache-control: max-age=60", Some(60)),
            ("cache-control: private, MAX-AGE=\"60\"", Some(60)),
            ("cache-control: public, s-maxage=300", Some(300)),
            // A caller's own cache goes by what is said to him.
            ("cache-control: max-age=60, s-maxage=300", Some(60)),
            ("cache-control: max-age=60\ncache-control: max-age=30", Some(30)),
            ("cache-control: max-age=60\nage: 50", Some(10)),
            ("cache-control: max-age=60\nexpires: Thu, 15 Jan 2026 13:00:00 GMT", Some(60)),
            ("expires: Thu, 15 Jan 2026 12:00:30 GMT", Some(30)),
            (
                "date: Thu, 15 Jan 2026 11:00:00 GMT\nexpires: Thu, 15 Jan 2026 11:01:00 GMT",
                Some(60),
            ),
            ("cache-control: max-age=99999999999", Some(MOST_FRESH_SECONDS)),
            ("cache-control: max-age=60\nvary: Accept-Encoding, Origin", Some(60)),
            // Where this provider's key stands.
            ("cache-control: max-age=60\nvary: Authorization", Some(60)),
        ] {
            assert_eq!(fresh(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_not_to_be_kept_or_not_understood_holds_for_no_time() {
        for text in [
            "",
            "cache-control: private",
            "cache-control: max-age=0",
            "cache-control: no-store, max-age=60",
            "cache-control: max-age=60, no-cache",
            "cache-control: no-cache=\"set-cookie\", max-age=60",
            "cache-control: max-age=soon",
            "cache-control: max-age=-1",
            "cache-control: max-age=60\nage: 60",
            "cache-control: max-age=60\nage: 61",
            "cache-control: max-age=60\nvary: *",
            "cache-control: max-age=60\nvary: accept, x-tenant",
            "cache-control: max-age=60\ncontent-type: text/event-stream; charset=utf-8",
            "expires: 0",
            "expires: Thu, 15 Jan 2026 11:59:59 GMT",
        ] {
            assert_eq!(fresh(text), None, "{text}");
        }
    }

    #[test]
    fn the_settings_say_it_of_a_provider_whose_answers_say_nothing() {
        let table = "fresh_seconds = 15".parse().unwrap();
        let catalogue = Catalogue::build(&[(String::from("polygon"), table)]).unwrap();
        let provider = catalogue.get("polygon").unwrap();
        for (text, wanted) in [
            ("", Some(15)),
            ("cache-control: private", Some(15)),
            ("age: 10", Some(15)),
            ("cache-control: max-age=60", Some(60)),
            ("cache-control: no-store", None),
            ("cache-control: max-age=0", None),
            ("expires: 0", None),
            ("vary: *", None),
            ("content-type: text/event-stream", None),
        ] {
            assert_eq!(provider.fresh_for(&headers(text), NOW_MS), wanted, "{text}");
        }
    }
}
