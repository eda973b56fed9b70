//! One answer of a provider to the question for candles, read without a floating point: whether it
//! is an answer at all, its candles, and where the next page is. Pure.
//! Must never take a 200 for a yes before its body says so.

use super::candle::Written;
use super::json::{Broken, Reader};

/// An answer that is one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page<'a> {
    pub(super) candles: Vec<Written<'a>>,
    /// Path and query of the next page, without the provider's address.
    pub(super) next: Option<String>,
}

/// Why there is no page in an answer with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoText,
    NoJson {
        at: usize,
    },
    /// It says so itself, with these words of its own.
    Error {
        status: String,
        message: String,
    },
    /// Its next page is none of this call.
    StrangeNext,
    /// More candles than it was asked for.
    TooMany,
    /// Candles that are no list, or fewer than it says itself.
    Incomplete,
}

const PATH: &str = "/v2/aggs/ticker/";
const LONGEST_NEXT: usize = 4096;
/// What a page is asked for, and a few.
const MOST_CANDLES: usize = 60_000;
const LONGEST_MESSAGE: usize = 300;

#[derive(Default)]
struct Members<'a> {
    status: Option<&'a str>,
    error: Option<&'a str>,
    message: Option<&'a str>,
    next: Option<&'a str>,
    /// How many it says there are.
    count: Option<&'a str>,
    candles: Vec<Written<'a>>,
    /// More than are kept.
    has_more: bool,
    /// Something stands in the place of the list.
    is_odd: bool,
}

pub(super) fn read(body: &[u8]) -> Result<Page<'_>, Fault> {
    let text = text(body)?;
    let members = members(text).map_err(|Broken { at }| Fault::NoJson { at })?;
    if members.has_more {
        return Err(Fault::TooMany);
    }
    let status = members.status.map(string).unwrap_or_default();
    // Late data is data.
    if !matches!(status.as_str(), "OK" | "DELAYED") || members.error.is_some() {
        let message = members.error.or(members.message).map(string).unwrap_or_default();
        let message = message.chars().filter(|sign| !sign.is_control());
        let message = message.take(LONGEST_MESSAGE).collect();
        let status = status.chars().filter(char::is_ascii_graphic).take(40).collect();
        return Err(Fault::Error { status, message });
    }
    let said = members.count.and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    if members.is_odd || said > members.candles.len() {
        return Err(Fault::Incomplete);
    }
    let next = members.next.filter(|next| *next != "null").map(|next| {
        let next: String = serde_json::from_str(next).map_err(|_| Fault::StrangeNext)?;
        Ok((!next.is_empty()).then_some(next))
    });
    let next = next.transpose()?.flatten().map(|next| path_of(&next)).transpose()?;
    Ok(Page { candles: members.candles, next })
}

/// Did it break off before its end?
pub(super) fn is_cut(body: &[u8]) -> bool {
    match std::str::from_utf8(body) {
        Ok(text) => members(text).is_err_and(|Broken { at }| at >= text.trim_end().len()),
        Err(fault) => fault.error_len().is_none(),
    }
}

/// Some begin with a mark of its coding.
fn text(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::NoText)?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// What an answer with another status says of itself, if it is text for people.
pub(super) fn message(body: &[u8]) -> Option<String> {
    match read(body) {
        Err(Fault::Error { message, .. }) if !message.is_empty() => Some(message),
        Ok(_) | Err(_) => None,
    }
}

fn members(text: &str) -> Result<Members<'_>, Broken> {
    let mut found = Members::default();
    let mut reader = Reader::new(text);
    reader.members(|reader, name| {
        match name {
            "status" => found.status = Some(reader.value()?),
            "error" => found.error = Some(reader.value()?),
            "message" => found.message = Some(reader.value()?),
            "next_url" => found.next = Some(reader.value()?),
            "results" if reader.next_sign() == Some(b'[') => {
                reader.items(|reader| {
                    let candle = candle(reader)?;
                    match found.candles.len() < MOST_CANDLES {
                        true => found.candles.push(candle),
                        false => found.has_more = true,
                    }
                    Ok(())
                })?;
            }
            "results" => found.is_odd = reader.value()? != "null",
            "resultsCount" => found.count = Some(reader.value()?),
            _ => drop(reader.value()?),
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(found)
}

fn candle<'a>(reader: &mut Reader<'a>) -> Result<Written<'a>, Broken> {
    let mut written = Written::default();
    reader.members(|reader, name| {
        let value = Some(reader.value()?);
        match name {
            "t" => written.time = value,
            "o" => written.open = value,
            "h" => written.high = value,
            "l" => written.low = value,
            "c" => written.close = value,
            "v" => written.volume = value,
            "vw" => written.vwap = value,
            "n" => written.trades = value,
            _ => {}
        }
        Ok(())
    })?;
    Ok(written)
}

/// What is between the quotes; what is no string says nothing.
fn string(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_default()
}

/// Wherever it points to, it is asked for at the provider that is known; a key in it is left out.
fn path_of(url: &str) -> Result<String, Fault> {
    let at = url.find(PATH).ok_or(Fault::StrangeNext)?;
    let path = url.get(at..).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#\\\"<>".contains(&byte);
    if path.len() > LONGEST_NEXT || !path.bytes().all(is_plain) || path.contains("..") {
        return Err(Fault::StrangeNext);
    }
    let Some((path, query)) = path.split_once('?') else { return Ok(path.to_owned()) };
    let is_key = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("apikey") || name.eq_ignore_ascii_case("api_key")
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_key(pair)).collect();
    Ok(format!("{path}?{}", kept.join("&")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let body = br#"{"status":"OK","results":[{"v":1.50,"vw":187.1001,"o":186.0,"c":187.15,
            "h":188.44,"l":183.885,"t":1704201000000,"n":10081,"x":[1]}],"resultsCount":1,
            "next_url":"https://api.polygon.io/v2/aggs/ticker/A/range/1/day/1/2?cursor=Zm9v&apiKey=x"}"#;
        let page = read(body).unwrap();
        let next = "/v2/aggs/ticker/A/range/1/day/1/2?cursor=Zm9v";
        assert_eq!(page.next.as_deref(), Some(next));
        assert_eq!(page.candles.len(), 1);
        assert_eq!((page.candles[0].volume, page.candles[0].trades), (Some("1.50"), Some("10081")));
        for empty in [r#"{"status":"OK"}"#, r#"{"status":"DELAYED","results":null}"#] {
            assert_eq!(read(empty.as_bytes()), Ok(Page::default()));
        }
    }

    #[test]
    fn a_200_that_is_no_answer_is_none() {
        let told = |body: &str| read(body.as_bytes()).unwrap_err();
        let error = |status: &str, message: &str| Fault::Error {
            status: status.to_owned(),
            message: message.to_owned(),
        };
        let body = r#"{"status":"ERROR","error":"Unknown API Key","results":[]}"#;
        assert_eq!(told(body), error("ERROR", "Unknown API Key"));
        let body = r#"{"status":"NOT_AUTHORIZED","message":"not your plan"}"#;
        assert_eq!(told(body), error("NOT_AUTHORIZED", "not your plan"));
        assert_eq!(told("{}"), error("", ""));
        assert_eq!(told(r#"{"status":"OK","error":"no"}"#), error("OK", "no"));
        assert!(matches!(told("<html>"), Fault::NoJson { .. }));
        assert!(matches!(told(r#"{"status":"OK","results":[{"t":1"#), Fault::NoJson { .. }));
        assert_eq!(read(b"\xff").unwrap_err(), Fault::NoText);
        for next in ["5", "{}", "[]", "true"] {
            let body = format!(r#"{{"status":"OK","next_url":{next}}}"#);
            assert_eq!(told(&body), Fault::StrangeNext, "{next}");
        }
        for next in ["https://evil.example/x", "/v2/aggs/ticker/../../v1/x", "/v2/aggs/ticker/A b"]
        {
            let body = format!(r#"{{"status":"OK","next_url":"{next}"}}"#);
            assert_eq!(told(&body), Fault::StrangeNext, "{next}");
        }
    }

    #[test]
    fn more_candles_than_a_page_holds_are_no_page() {
        let body = |count: usize| {
            let candles = vec!["{}"; count].join(",");
            format!(r#"{{"status":"OK","results":[{candles}]}}"#)
        };
        assert_eq!(read(body(MOST_CANDLES).as_bytes()).unwrap().candles.len(), MOST_CANDLES);
        assert_eq!(read(body(MOST_CANDLES + 1).as_bytes()), Err(Fault::TooMany));
    }

    #[test]
    fn what_says_that_there_is_more_than_there_is_is_no_page() {
        for body in [
            r#"{"status":"OK","results":{}}"#,
            r#"{"status":"OK","results":"none"}"#,
            r#"{"status":"OK","resultsCount":2,"results":[{"t":1}]}"#,
            r#"{"status":"OK","resultsCount":1}"#,
        ] {
            assert_eq!(read(body.as_bytes()), Err(Fault::Incomplete), "{body}");
        }
        let fine = br#"{"status":"OK","resultsCount":1,"results":[{"t":1}],"queryCount":9}"#;
        assert_eq!(read(fine).unwrap().candles.len(), 1);
        assert_eq!(read("\u{feff}{\"status\":\"OK\"}".as_bytes()), Ok(Page::default()));
    }

    #[test]
    fn what_broke_off_is_told_from_what_is_no_json() {
        let whole = r#"{"status":"OK","results":[{"t":1,"o":"é"}]}"#.as_bytes();
        for end in 0..whole.len() {
            assert!(is_cut(&whole[..end]), "{end}");
        }
        for other in [whole, b"<html></html>", b"{\"a\":1}}", b"\xff{}"] {
            assert!(!is_cut(other), "{other:?}");
        }
    }

    #[test]
    fn a_candle_that_is_no_number_costs_no_other() {
        let body = br#"{"status":"OK","results":[{"t":1,"o":NaN},{"t":2,"o":-Infinity},{"t":3}]}"#;
        let page = read(body).unwrap();
        let opens: Vec<_> = page.candles.iter().map(|candle| candle.open).collect();
        assert_eq!(opens, [Some("NaN"), Some("-Infinity"), None]);
    }

    proptest! {
        #[test]
        fn digits_pass_unchanged(whole in 0_u64.., part in "[0-9]{0,12}") {
            let price = if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") };
            let body = format!(r#"{{"results":[{{"o":{price},"t":1}}],"status":"OK"}}"#);
            prop_assert_eq!(read(body.as_bytes()).unwrap().candles[0].open, Some(price.as_str()));
        }
    }
}
