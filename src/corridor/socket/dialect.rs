//! What a provider says on a socket before and around a client's key, and what a client says: the
//! words alone. Polygon (and Massive, its new name), Alpaca's two streams, and Tiingo. Must never
//! find a key where the provider itself would not look for one.

use serde_json::Value;

use super::msgpack;
use crate::provider::{Codec, Dialect};

/// Why a client is not let in, in the words that its provider has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// Nobody knows this key, or it may not do that.
    Unknown,
    /// Something else came first.
    Unasked,
    Late,
    /// A limit of any kind.
    Crowded,
    /// Nothing that the client could change.
    Failed,
}

/// The word that opens, where the provider's side speaks first.
pub(crate) fn greeting(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Polygon => {
            Some(r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#)
        }
        Dialect::AlpacaData => Some(r#"[{"T":"success","msg":"connected"}]"#),
        Dialect::AlpacaTrading | Dialect::Tiingo => None,
    }
}

/// What stands behind the word that opens, in the same message; None where this is another word.
pub(super) fn behind_greeting(dialect: Dialect, said: &Value) -> Option<&[Value]> {
    let (first, rest) = said.as_array()?.split_first()?;
    let says = |member: &str, text: &str| first.get(member).and_then(Value::as_str) == Some(text);
    let opens = match dialect {
        Dialect::Polygon => says("status", "connected"),
        Dialect::AlpacaData => says("T", "success") && says("msg", "connected"),
        Dialect::AlpacaTrading | Dialect::Tiingo => false,
    };
    opens.then_some(rest)
}

/// What the provider says to the key that it was shown; None where it speaks of something else.
pub(super) fn takes(dialect: Dialect, said: &Value) -> Option<bool> {
    let word = |said: &Value, member: &str| {
        said.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let of_one = |one: &Value| match dialect {
        Dialect::Polygon if word(one, "ev") == "status" => match word(one, "status").as_str() {
            "auth_success" => Some(true),
            "auth_failed" | "auth_timeout" | "max_connections" | "force_disconnect" => Some(false),
            _ => None,
        },
        Dialect::AlpacaData => match word(one, "T").as_str() {
            "success" if word(one, "msg") == "authenticated" => Some(true),
            "error" => Some(false),
            _ => None,
        },
        Dialect::Polygon | Dialect::AlpacaTrading | Dialect::Tiingo => None,
    };
    match dialect {
        Dialect::Polygon | Dialect::AlpacaData => said.as_array()?.iter().find_map(of_one),
        Dialect::AlpacaTrading if word(said, "stream") == "authorization" => {
            Some(word(said.get("data")?, "status") == "authorized")
        }
        Dialect::AlpacaTrading => None,
        // An error that is not about the key shows that the key was taken.
        Dialect::Tiingo => tiingo_code(said).map(|code| !matches!(code, 401 | 403)),
    }
}

/// Of the answer to a subscription.
fn tiingo_code(said: &Value) -> Option<u64> {
    let is_answer = matches!(said.get("messageType")?.as_str()?, "I" | "E");
    said.get("response").filter(|_| is_answer)?.get("code")?.as_u64()
}

/// Why it was no: for the key's sake, for want of room, or for anything else, which passes.
pub(super) fn why_not(dialect: Dialect, said: &Value) -> No {
    if dialect == Dialect::Tiingo && tiingo_code(said) == Some(401) {
        return No::Unknown;
    }
    let elements = said.as_array().map(Vec::as_slice).unwrap_or_default();
    let why = elements.iter().find_map(|one| {
        let status = one.get("status").and_then(Value::as_str);
        match (dialect, status, one.get("code").and_then(Value::as_u64)) {
            (Dialect::Polygon, Some("auth_failed"), _) => Some(No::Unknown),
            (Dialect::Polygon, Some("max_connections"), _) => Some(No::Crowded),
            (Dialect::AlpacaData, _, Some(402)) => Some(No::Unknown),
            (Dialect::AlpacaData, _, Some(406)) => Some(No::Crowded),
            (
                Dialect::Polygon | Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo,
                _,
                _,
            ) => None,
        }
    });
    why.unwrap_or(No::Failed)
}

/// The key that a client shows; None where it says something else.
pub(crate) fn key_in(dialect: Dialect, said: &Value) -> Option<&str> {
    let word = |member: &str| said.get(member).and_then(Value::as_str);
    let said_to_do = if dialect == Dialect::Tiingo { "eventName" } else { "action" };
    let shown = match (dialect, word(said_to_do)?) {
        (Dialect::Polygon, "auth") => word("params"),
        (Dialect::AlpacaData | Dialect::AlpacaTrading, "auth") => word("key"),
        (Dialect::AlpacaTrading, "authenticate") => {
            let data = said.get("data").and_then(|data| data.get("key_id")).and_then(Value::as_str);
            data.or_else(|| word("key"))
        }
        (Dialect::Tiingo, "subscribe") => word("authorization"),
        (Dialect::Polygon | Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo, _) => {
            None
        }
    };
    shown.map(str::trim)
}

/// What a client hears that was let in; for stand-ins.
pub(crate) fn welcome(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Polygon => {
            r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#
        }
        Dialect::AlpacaData => r#"[{"T":"success","msg":"authenticated"}]"#,
        Dialect::AlpacaTrading => {
            r#"{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}"#
        }
        Dialect::Tiingo => {
            r#"{"messageType":"I","data":{"subscriptionId":1},"response":{"code":200,"message":"Success"}}"#
        }
    }
}

/// What a client hears that is not.
pub(crate) fn refusal(dialect: Dialect, no: No) -> &'static str {
    match (dialect, no) {
        (Dialect::Polygon, No::Unknown) => {
            r#"[{"ev":"status","status":"auth_failed","message":"authentication failed"}]"#
        }
        (Dialect::Polygon, No::Unasked) => {
            r#"[{"ev":"status","status":"auth_failed","message":"not authenticated"}]"#
        }
        (Dialect::Polygon, No::Late) => {
            r#"[{"ev":"status","status":"auth_timeout","message":"authentication timed out"}]"#
        }
        (Dialect::Polygon, No::Crowded) => {
            r#"[{"ev":"status","status":"max_connections","message":"a limit was reached"}]"#
        }
        (Dialect::Polygon, No::Failed) => {
            r#"[{"ev":"status","status":"error","message":"internal error"}]"#
        }
        (Dialect::AlpacaData, No::Unknown) => r#"[{"T":"error","code":402,"msg":"auth failed"}]"#,
        (Dialect::AlpacaData, No::Unasked) => {
            r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#
        }
        (Dialect::AlpacaData, No::Late) => r#"[{"T":"error","code":404,"msg":"auth timeout"}]"#,
        (Dialect::AlpacaData, No::Crowded) => {
            r#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#
        }
        (Dialect::AlpacaData, No::Failed) => r#"[{"T":"error","code":500,"msg":"internal error"}]"#,
        (Dialect::AlpacaTrading, No::Unknown | No::Unasked) => {
            r#"{"stream":"authorization","data":{"status":"unauthorized","action":"authenticate"}}"#
        }
        (Dialect::AlpacaTrading, No::Late) => {
            r#"{"stream":"authorization","data":{"status":"unauthorized","action":"timeout"}}"#
        }
        (Dialect::AlpacaTrading, No::Crowded | No::Failed) => {
            r#"{"stream":"authorization","data":{"status":"unauthorized","action":"error"}}"#
        }
        (Dialect::Tiingo, No::Unknown | No::Unasked) => {
            r#"{"messageType":"E","response":{"code":401,"message":"Invalid token."}}"#
        }
        (Dialect::Tiingo, No::Late) => {
            r#"{"messageType":"E","response":{"code":408,"message":"no subscription came in time"}}"#
        }
        (Dialect::Tiingo, No::Crowded) => {
            r#"{"messageType":"E","response":{"code":429,"message":"a limit was reached"}}"#
        }
        (Dialect::Tiingo, No::Failed) => {
            r#"{"messageType":"E","response":{"code":500,"message":"internal error"}}"#
        }
    }
}

/// What was said, as far as it is a value; either codec may come as text or binary.
pub(crate) fn understood(codec: Codec, bytes: &[u8]) -> Option<Value> {
    match codec {
        Codec::Json => serde_json::from_slice(bytes).ok(),
        Codec::Msgpack => msgpack::read(bytes),
    }
}

/// Words of ours, which are JSON, as this client writes.
pub(crate) fn worded(codec: Codec, json: &str) -> Vec<u8> {
    match codec {
        Codec::Json => json.as_bytes().to_vec(),
        Codec::Msgpack => {
            serde_json::from_str(json).map(|value| msgpack::written(&value)).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dialect; 4] =
        [Dialect::Polygon, Dialect::AlpacaData, Dialect::AlpacaTrading, Dialect::Tiingo];

    #[test]
    fn a_key_is_found_where_the_provider_looks_for_one_and_nowhere_else() {
        for (dialect, said, key) in [
            (Dialect::Polygon, r#"{"action":"auth","params":"k"}"#, Some("k")),
            (Dialect::Polygon, r#"{"params":"k"}"#, None),
            (Dialect::Polygon, r#"{"action":"subscribe","params":"k"}"#, None),
            (Dialect::Polygon, r#"[{"action":"auth","params":"k"}]"#, None),
            (Dialect::Polygon, r#"{"action":"auth","params":["k"]}"#, None),
            (Dialect::AlpacaData, r#"{"action":"auth","key":"k","secret":"s"}"#, Some("k")),
            (Dialect::AlpacaData, r#"{"action":"authenticate","key":"k"}"#, None),
            (Dialect::AlpacaTrading, r#"{"action":"auth","key":"k","secret":"s"}"#, Some("k")),
            (
                Dialect::AlpacaTrading,
                r#"{"action":"authenticate","data":{"key_id":"k","secret_key":"s"}}"#,
                Some("k"),
            ),
            (Dialect::AlpacaTrading, r#"{"action":"listen","data":{"streams":[]}}"#, None),
            (Dialect::Tiingo, r#"{"eventName":"subscribe","authorization":"k"}"#, Some("k")),
            (Dialect::Tiingo, r#"{"eventName":"subscribe","eventData":{"authToken":"k"}}"#, None),
            (Dialect::Tiingo, r#"{"eventName":"unsubscribe","authorization":"k"}"#, None),
            (Dialect::Tiingo, r#"{"authorization":"k"}"#, None),
        ] {
            let said: Value = serde_json::from_str(said).unwrap();
            assert_eq!(key_in(dialect, &said), key, "{said}");
        }
    }

    #[test]
    fn every_word_of_ours_is_a_value_in_both_codecs() {
        for dialect in ALL {
            let nos = [No::Unknown, No::Unasked, No::Late, No::Crowded, No::Failed];
            let mut words: Vec<&str> = nos.map(|no| refusal(dialect, no)).to_vec();
            words.push(welcome(dialect));
            words.extend(greeting(dialect));
            for word in words {
                let value: Value = serde_json::from_str(word).unwrap();
                for codec in Codec::ALL {
                    assert_eq!(understood(codec, &worded(codec, word)), Some(value.clone()));
                }
                let opens = behind_greeting(dialect, &value);
                assert_eq!(opens, (greeting(dialect) == Some(word)).then_some(&[][..]));
                let is_no = nos.iter().any(|no| refusal(dialect, *no) == word);
                // Of a fault of its own Polygon's side says nothing about the key.
                let is_fault = word == refusal(dialect, No::Failed) && dialect == Dialect::Polygon;
                // What Tiingo's side says of anything but the key shows that it took that.
                let is_of_the_key = dialect != Dialect::Tiingo || word.contains(":401");
                let is_no = is_no && is_of_the_key;
                let is_yes = word == welcome(dialect) || !is_of_the_key;
                let verdict = Some(is_yes);
                let verdict = verdict.filter(|yes| (*yes || is_no) && !is_fault);
                assert_eq!(takes(dialect, &value), verdict, "{word}");
            }
        }
    }

    #[test]
    fn a_no_is_for_the_keys_sake_only_where_the_provider_says_so() {
        let polygon = |status: &str| format!(r#"[{{"ev":"status","status":"{status}"}}]"#);
        let alpaca = |code: u64| format!(r#"[{{"T":"error","code":{code},"msg":"no"}}]"#);
        let tiingo = |code: u64| format!(r#"{{"messageType":"E","response":{{"code":{code}}}}}"#);
        for (dialect, said, why) in [
            (Dialect::Polygon, polygon("auth_failed"), No::Unknown),
            (Dialect::Polygon, polygon("max_connections"), No::Crowded),
            (Dialect::Polygon, polygon("auth_timeout"), No::Failed),
            (Dialect::Polygon, polygon("force_disconnect"), No::Failed),
            (Dialect::AlpacaData, alpaca(402), No::Unknown),
            (Dialect::AlpacaData, alpaca(406), No::Crowded),
            (Dialect::AlpacaData, alpaca(404), No::Failed),
            (Dialect::AlpacaData, alpaca(500), No::Failed),
            (Dialect::Tiingo, tiingo(401), No::Unknown),
            (Dialect::Tiingo, tiingo(403), No::Failed),
        ] {
            let said: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(takes(dialect, &said), Some(false), "{said}");
            assert_eq!(why_not(dialect, &said), why, "{said}");
        }
    }
}
