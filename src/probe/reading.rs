//! What an answer tells beside its status: limits in headers and members, the key's end, the kind
//! of account. Figures and times alone are taken out of it.
//! Must never hand on a text that a provider wrote.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;

use crate::clock::parse_rfc3339;
use crate::provider::{Account, AccountKind, Probe};

/// Figures that are kept.
const MOST: usize = 32;
/// Parts of the names of headers that tell a limit.
const OF_LIMITS: [&str; 4] = ["ratelimit", "rate-limit", "api-credits-", "x-mbx-used-weight"];
/// The names' words, and no others: a name is a text that a provider writes, too.
const WORDS: [&str; 36] = [
    "x",
    "ratelimit",
    "rate",
    "limit",
    "remaining",
    "used",
    "left",
    "reset",
    "requests",
    "request",
    "tokens",
    "input",
    "output",
    "day",
    "hour",
    "minute",
    "second",
    "month",
    "daily",
    "monthly",
    "api",
    "credits",
    "mbx",
    "weight",
    "order",
    "count",
    "1s",
    "10s",
    "1m",
    "5m",
    "1h",
    "1d",
    "anthropic",
    "after",
    "burst",
    "capacity",
];
/// A number of seconds since 1970 has fewer digits than one of milliseconds.
const MOST_SECONDS: i64 = 100_000_000_000;

pub(super) fn limits(
    probe: &Probe,
    (headers, body): (&HeaderMap, Option<&Value>),
) -> BTreeMap<String, u64> {
    let mut limits = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        let is_one = OF_LIMITS.iter().any(|part| name.contains(part))
            && name.split('-').all(|word| WORDS.contains(&word));
        let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
        if let (true, Some(number)) = (is_one && limits.len() < MOST, number) {
            limits.insert(name.to_owned(), number);
        }
    }
    for (name, pointer) in &probe.limits {
        let found = body.and_then(|body| body.pointer(pointer));
        let number = found.and_then(|found| match found {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        limits.extend(number.map(|number| (name.clone(), number)));
    }
    limits
}

/// When the key ends, where the answer tells.
pub(super) fn end_ms(probe: &Probe, (headers, body): (&HeaderMap, Option<&Value>)) -> Option<i64> {
    let place = probe.expires.as_deref()?;
    let text = match place.starts_with('/') {
        true => match body?.pointer(place)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        },
        false => headers.get(place)?.to_str().ok()?.to_owned(),
    };
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(seconds) if (1..MOST_SECONDS).contains(&seconds) => Some(seconds * 1000),
        Ok(ms) => Some(ms).filter(|ms| *ms > 0),
        // Some write `2027-01-31 00:00:00 UTC`.
        Err(_) => parse_rfc3339(text)
            .or_else(|| parse_rfc3339(&text.replace(" UTC", "Z").replacen(' ', "T", 1))),
    }
}

/// Which kind of account it is, where the answer tells.
pub(super) fn account(account: &Account, body: Option<&Value>) -> Option<AccountKind> {
    if account.at.is_empty() {
        return Some(account.is);
    }
    let name = body?.pointer(&account.at)?.as_str()?;
    let is_paper = account.paper.iter().any(|begin| name.starts_with(begin.as_str()));
    Some(if is_paper { AccountKind::Paper } else { AccountKind::Live })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::Catalogue;

    fn acme(probe: &str) -> Catalogue {
        let text = format!(
            "base_url = \"https://a.example\"\ncategory = \"c\"\n\
             inject = [{{ at = \"query\", name = \"k\" }}]\nprobe = {probe}"
        );
        Catalogue::build(&[(String::from("acme"), text.parse().unwrap())]).unwrap()
    }

    #[test]
    fn figures_alone_are_taken_out_of_an_answer() {
        let catalogue =
            acme(r#"{ path = "/me", limits = { day = "/plan/day", word = "/plan/word" } }"#);
        let probe = catalogue.get("acme").unwrap().probe.as_ref().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-limit", "200".parse().unwrap());
        headers.insert("x-ratelimit-reset-requests", "12ms".parse().unwrap());
        headers.insert("x-mbx-used-weight-1m", " 7 ".parse().unwrap());
        headers.insert("content-length", "9".parse().unwrap());
        headers.insert("x-ratelimit-a-key-that-came-back", "9".parse().unwrap());
        let body = json!({"plan": {"day": "800", "word": "a-key-that-came-back"}});
        let told = limits(probe, (&headers, Some(&body)));
        let expected = [("day", 800), ("x-mbx-used-weight-1m", 7), ("x-ratelimit-limit", 200)];
        assert_eq!(told, expected.map(|(name, n)| (name.to_owned(), n)).into());
    }

    #[test]
    fn an_end_is_read_however_it_is_written() {
        let end = |place: &str, header: &str, body: Value| {
            let catalogue = acme(&format!("{{ path = \"/me\", expires = \"{place}\" }}"));
            let probe = catalogue.get("acme").unwrap().probe.as_ref().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("x-ends", header.parse().unwrap());
            end_ms(probe, (&headers, Some(&body)))
        };
        let at = Some(1_801_440_000_000);
        assert_eq!(end("x-ends", "2027-02-01 00:00:00 UTC", json!({})), at);
        assert_eq!(end("/end", "", json!({"end": "2027-02-01T00:00:00Z"})), at);
        assert_eq!(end("/end", "", json!({"end": 1_801_440_000})), at);
        assert_eq!(end("/end", "", json!({"end": 1_801_440_000_000_i64})), at);
        assert_eq!(end("/end", "", json!({"end": "never"})), None);
        assert_eq!(end("/end", "", json!({"end": null})), None);
    }
}
