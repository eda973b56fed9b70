//! What is said on sockets of market data about subscriptions, in the providers' own words: what a
//! client asks for, what the provider is asked, what it answers, and whose an element is. Pure.
//! Must never take what it does not know for nobody's.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::pieces::Piece;
use super::wants::{EVERY, Topic};
use crate::provider::Dialect;

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    More(Vec<Topic>),
    Fewer(Vec<Topic>),
    /// To be let in once more.
    Again,
    /// What nobody can ask of a socket that many share.
    Other,
}

/// What an element of the provider's is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'m> {
    /// About these symbols; to all where there are none.
    Data(Cow<'m, str>, Vec<Cow<'m, str>>),
    /// A subscription has begun.
    Began(Topic),
    Ended,
    /// All subscriptions of the socket.
    List,
    /// A no, or a trouble: to those who have asked.
    No(Cow<'m, str>),
    /// It ends the socket.
    Kicked,
    /// It was for us.
    Ours,
}

/// What an error of Alpaca's is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The request that has waited longest.
    Answer,
    /// The socket, which is of no use any more.
    End,
    Other,
}

pub(super) fn trouble(said: Option<&Value>) -> Trouble {
    match said.and_then(|said| said.get("code")).and_then(Value::as_u64) {
        Some(400 | 405 | 409 | 410) => Trouble::Answer,
        Some(401 | 402 | 404 | 406) => Trouble::End,
        Some(_) | None => Trouble::Other,
    }
}

/// Members by which an element is known: its kind, its symbols, and what a status says.
pub(super) fn members(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Polygon => &["ev", "status", "message", "sym", "pair", "p", "T"],
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
            &["T", "msg", "S", "symbols"]
        }
    }
}

pub(super) fn asked(dialect: Dialect, said: &Value) -> Ask {
    let action = said.get("action").and_then(Value::as_str).unwrap_or_default();
    let topics = match dialect {
        Dialect::Polygon => {
            let params = said.get("params").and_then(Value::as_str).unwrap_or_default();
            params.split(',').filter_map(of_polygon).collect::<Vec<_>>()
        }
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => of_alpaca(said),
    };
    // Where the whole list is told, whoever asks for nothing hears what he has.
    let is_said = !topics.is_empty() || dialect != Dialect::Polygon;
    match action {
        "subscribe" if is_said => Ask::More(topics),
        "unsubscribe" if is_said => Ask::Fewer(topics),
        "auth" => Ask::Again,
        _ => Ask::Other,
    }
}

/// `T.AAPL`, `XQ.BTC-USD`, `T.*`; some write a pair with a slash.
fn of_polygon(text: &str) -> Option<Topic> {
    let text = text.trim();
    if text == EVERY {
        return Some(Topic::new(EVERY, EVERY));
    }
    let (kind, symbol) = text.split_once('.')?;
    let is_whole = is_name(kind) && is_name(symbol) && text.len() <= LONGEST_TOPIC;
    is_whole.then(|| Topic::new(kind, &symbol.replace('/', "-")))
}

/// No provider's symbol is longer.
const LONGEST_TOPIC: usize = 64;

/// Nothing that could end the words in which it is told on.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/*+^=$&".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_TOPIC && text.bytes().all(fits)
}

fn of_alpaca(said: &Value) -> Vec<Topic> {
    let members = said.as_object().into_iter().flatten();
    let known = members.filter(|(kind, _)| KINDS.iter().any(|(_, known)| kind == known));
    let lists = known.filter_map(|(kind, list)| Some((kind, list.as_array()?)));
    let topics = lists.flat_map(|(kind, list)| {
        let symbols = list.iter().filter_map(Value::as_str).filter(|symbol| is_name(symbol));
        symbols.map(move |symbol| Topic::new(kind, symbol))
    });
    topics.collect()
}

/// What is said to the provider.
pub(super) fn request(dialect: Dialect, is_more: bool, topics: &[Topic]) -> String {
    let action = if is_more { "subscribe" } else { "unsubscribe" };
    match dialect {
        Dialect::Polygon => {
            let params: Vec<String> = topics.iter().map(text).collect();
            json!({"action": action, "params": params.join(",")}).to_string()
        }
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
            let mut said = lists(topics.iter());
            said.insert(String::from("action"), Value::from(action));
            Value::Object(said).to_string()
        }
    }
}

fn text(topic: &Topic) -> String {
    match (topic.kind.as_str(), topic.symbol.as_str()) {
        (EVERY, EVERY) => String::from(EVERY),
        (kind, symbol) => format!("{kind}.{symbol}"),
    }
}

fn lists<'t>(topics: impl Iterator<Item = &'t Topic>) -> Map<String, Value> {
    let mut lists = Map::new();
    for topic in topics {
        let list = lists.entry(topic.kind.clone()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(Value::from(topic.symbol.clone()));
        }
    }
    lists
}

/// What a client hears of a topic that it asked for, or gave up. None where the whole list is told.
pub(super) fn confirmed(dialect: Dialect, is_more: bool, topic: &Topic) -> Option<String> {
    let word = if is_more { "subscribed" } else { "unsubscribed" };
    match dialect {
        Dialect::Polygon => {
            let message = format!("{word} to: {}", text(topic));
            Some(json!([{"ev": "status", "status": "success", "message": message}]).to_string())
        }
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => None,
    }
}

/// The whole list, as one client has it. None where each topic is told.
pub(super) fn list<'t>(
    dialect: Dialect,
    topics: impl Iterator<Item = &'t Topic>,
) -> Option<String> {
    match dialect {
        Dialect::Polygon => None,
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
            let mut said = lists(topics);
            // Whoever has trades has what is said of them later, too.
            let trades = said.get("trades").cloned().unwrap_or_else(|| json!([]));
            for kind in ["trades", "quotes", "bars"] {
                said.entry(kind).or_insert_with(|| json!([]));
            }
            for kind in ["corrections", "cancelErrors"] {
                said.insert(kind.to_owned(), trades.clone());
            }
            said.insert(String::from("T"), Value::from("subscription"));
            Some(Value::Array(vec![Value::Object(said)]).to_string())
        }
    }
}

/// What we have to say ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Unknown,
    AlreadyIn,
    /// The client takes too little of what comes.
    Slow,
    /// More topics than one client may have.
    TooMany,
    /// The provider's connection broke: what is said meanwhile is lost.
    Gap,
    GapOver,
}

pub(super) fn word(dialect: Dialect, word: Word) -> String {
    let status = |status: &str, message: &str| {
        json!([{"ev": "status", "status": status, "message": message}]).to_string()
    };
    let error =
        |code: u16, msg: &str| json!([{"T": "error", "code": code, "msg": msg}]).to_string();
    let told = |msg: &str| json!([{"T": "success", "msg": msg}]).to_string();
    match (dialect, word) {
        (Dialect::Polygon, Word::Unknown) => status("error", "unknown action"),
        (Dialect::Polygon, Word::AlreadyIn) => status("auth_success", "authenticated"),
        (Dialect::Polygon, Word::Slow) => status("force_disconnect", "slow consumer"),
        (Dialect::Polygon, Word::TooMany) => status("error", "too many subscriptions"),
        (Dialect::Polygon, Word::Gap) => status("gap", GAP),
        (Dialect::Polygon, Word::GapOver) => status("gap_over", GAP_OVER),
        (_, Word::Unknown) => error(400, "invalid syntax"),
        (_, Word::AlreadyIn) => error(403, "already authenticated"),
        (_, Word::Slow) => error(407, "slow client"),
        (_, Word::TooMany) => error(405, "symbol limit exceeded"),
        (_, Word::Gap) => told(GAP),
        (_, Word::GapOver) => told(GAP_OVER),
    }
}

const GAP: &str = "gap: the provider's connection broke; connecting again";
const GAP_OVER: &str = "gap over: connected and subscribed again; what was said meanwhile is lost";

pub(super) fn heard<'m>(dialect: Dialect, piece: &Piece<'m>) -> Heard<'m> {
    let names = members(dialect);
    let word = |name: &str| {
        let number = names.iter().position(|known| *known == name);
        let found = piece.words.iter().find(|(known, _)| Some(*known) == number);
        found.map(|(_, text)| text.clone())
    };
    match dialect {
        Dialect::Polygon => match word("ev") {
            Some(kind) if kind == "status" => {
                status_of_polygon(&word("status").unwrap_or_default(), word("message"))
            }
            None => Heard::Data(Cow::default(), Vec::new()),
            Some(kind) => {
                let symbols = ["sym", "pair", "T", "p"].into_iter().filter_map(word).take(1);
                let plain = |symbol: Cow<'m, str>| match symbol.contains('/') {
                    true => Cow::Owned(symbol.replace('/', "-")),
                    false => symbol,
                };
                Heard::Data(kind, symbols.map(plain).collect())
            }
        },
        Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
            let letter = word("T").unwrap_or_default();
            match letter.as_ref() {
                "subscription" => return Heard::List,
                "error" => return Heard::No(word("msg").unwrap_or_default()),
                "success" => return Heard::Ours,
                _ => {}
            }
            let kind = KINDS.iter().find(|(known, _)| *known == letter);
            let Some((_, kind)) = kind else { return Heard::Data(letter, Vec::new()) };
            let of_symbols = |number: &usize| matches!(names.get(*number), Some(&"S" | &"symbols"));
            let words = piece.words.iter().filter(|(number, _)| of_symbols(number));
            Heard::Data((*kind).into(), words.map(|(_, symbol)| symbol.clone()).collect())
        }
    }
}

/// What Alpaca's elements are, and what they are subscribed to by.
const KINDS: [(&str, &str); 12] = [
    ("t", "trades"),
    ("q", "quotes"),
    ("b", "bars"),
    ("u", "updatedBars"),
    ("d", "dailyBars"),
    ("s", "statuses"),
    ("l", "lulds"),
    ("o", "orderbooks"),
    ("n", "news"),
    ("i", "imbalances"),
    // They come with the trades.
    ("c", "trades"),
    ("x", "trades"),
];

fn status_of_polygon<'m>(status: &str, message: Option<Cow<'m, str>>) -> Heard<'m> {
    let message = message.unwrap_or_default();
    match status {
        "success" => match message.strip_prefix("subscribed to: ").and_then(of_polygon) {
            Some(topic) => Heard::Began(topic),
            None => Heard::Ended,
        },
        "connected" | "auth_success" => Heard::Ours,
        "max_connections" | "force_disconnect" | "auth_failed" | "auth_timeout" => Heard::Kicked,
        _ => Heard::No(message),
    }
}

/// Does a no name this topic?
pub(super) fn names(message: &str, topic: &Topic) -> bool {
    let text = text(topic);
    let mut words = message.split([' ', ',', ':', '"', '\'']);
    words.any(|word| word.trim_end_matches('.') == text)
}

#[cfg(test)]
mod tests {
    use super::super::pieces::pieces;
    use super::*;
    use crate::provider::Codec;

    fn of(dialect: Dialect, element: &str) -> String {
        let message = format!("[{element}]");
        let found = pieces(Codec::Json, message.as_bytes(), members(dialect)).unwrap();
        format!("{:?}", heard(dialect, &found[0]))
    }

    #[test]
    fn what_a_client_asks_for_is_what_the_provider_is_asked() {
        let said = json!({"action": "subscribe", "params": "T.AAPL, XQ.BTC/USD,T.*,*,nothing,.x"});
        let Ask::More(topics) = asked(Dialect::Polygon, &said) else { panic!() };
        assert_eq!(
            request(Dialect::Polygon, true, &topics),
            r#"{"action":"subscribe","params":"T.AAPL,XQ.BTC-USD,T.*,*"}"#
        );
        let said = json!({"action": "unsubscribe", "trades": ["AAPL", "*"], "bars": ["X"], "n": 1});
        let Ask::Fewer(topics) = asked(Dialect::AlpacaData, &said) else { panic!() };
        let again: Value =
            serde_json::from_str(&request(Dialect::AlpacaData, false, &topics)).unwrap();
        assert_eq!(again, json!({"action": "unsubscribe", "trades": ["AAPL", "*"], "bars": ["X"]}));
        let long = "A".repeat(LONGEST_TOPIC + 1);
        let params = format!("T.{long},T.A B,T.A\"B,T.\u{e9},T.O:SPY251219C00650000,T.BRK.B");
        let said = json!({"action": "subscribe", "params": params});
        let whole = ["O:SPY251219C00650000", "BRK.B"].map(|symbol| Topic::new("T", symbol));
        assert_eq!(asked(Dialect::Polygon, &said), Ask::More(whole.to_vec()));
        let said = json!({"action": "subscribe", "gossip": ["A"], "trades": [long, "A\n", "A"]});
        let one = vec![Topic::new("trades", "A")];
        assert_eq!(asked(Dialect::AlpacaData, &said), Ask::More(one));
        for (dialect, other) in [
            (Dialect::Polygon, json!({"action": "subscribe", "params": ""})),
            (Dialect::Polygon, json!({"action": "subscribe", "params": "T.\u{0}"})),
            (Dialect::Polygon, json!({"action": "delete"})),
            (Dialect::AlpacaData, json!({"action": "list"})),
            (Dialect::AlpacaData, json!([])),
        ] {
            assert_eq!(asked(dialect, &other), Ask::Other, "{other}");
        }
    }

    #[test]
    fn an_element_is_known_by_its_kind_and_its_symbol() {
        for (dialect, element, wanted) in [
            (Dialect::Polygon, r#"{"ev":"T","sym":"A","p":1.5}"#, r#"Data("T", ["A"])"#),
            (Dialect::Polygon, r#"{"ev":"XT","pair":"B-USD","p":2}"#, r#"Data("XT", ["B-USD"])"#),
            (Dialect::Polygon, r#"{"ev":"C","p":"USD/EUR"}"#, r#"Data("C", ["USD-EUR"])"#),
            (Dialect::Polygon, r#"{"ev":"LULD","T":"MSFT"}"#, r#"Data("LULD", ["MSFT"])"#),
            (Dialect::Polygon, r#"{"ev":"new"}"#, r#"Data("new", [])"#),
            (
                Dialect::Polygon,
                r#"{"ev":"status","status":"success","message":"subscribed to: T.A"}"#,
                r#"Began(Topic { kind: "T", symbol: "A" })"#,
            ),
            (
                Dialect::Polygon,
                r#"{"ev":"status","status":"success","message":"unsubscribed to: T.A"}"#,
                "Ended",
            ),
            (Dialect::Polygon, r#"{"ev":"status","status":"error","message":"no"}"#, r#"No("no")"#),
            (Dialect::Polygon, r#"{"ev":"status","status":"max_connections"}"#, "Kicked"),
            (Dialect::AlpacaData, r#"{"T":"x","S":"A"}"#, r#"Data("trades", ["A"])"#),
            (
                Dialect::AlpacaData,
                r#"{"T":"n","symbols":["A","B"]}"#,
                r#"Data("news", ["A", "B"])"#,
            ),
            (Dialect::AlpacaData, r#"{"T":"z","S":"A"}"#, r#"Data("z", [])"#),
            (Dialect::AlpacaData, r#"{"T":"subscription"}"#, "List"),
            (Dialect::AlpacaData, r#"{"T":"error","code":409,"msg":"no"}"#, r#"No("no")"#),
        ] {
            assert_eq!(of(dialect, element), wanted, "{element}");
        }
    }

    #[test]
    fn a_no_names_the_topic_that_it_is_about() {
        let topic = Topic::new("T", "AAPL");
        assert!(names("You are not entitled to T.AAPL.", &topic));
        assert!(!names("You are not entitled to T.AAPLW", &topic));
        assert!(!names("not authorized", &topic));
    }
}
