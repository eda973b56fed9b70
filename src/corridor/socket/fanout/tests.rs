//! The board against a naive model: whatever is joined, left, subscribed to, given up, said and
//! broken, in whatever order, everybody hears exactly what is his, in order, and the provider is
//! asked for exactly what somebody wants. The provider here is a set and a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::dialect;
use super::super::parley::{Heard, Parley};
use super::board::{Board, MOST_TOPICS};
use super::mail::{Mail, Over};
use super::wants::Who;
use crate::provider::{Codec, Dialect};

/// As much of a provider as a board sees.
#[derive(Default)]
struct Provider {
    wanted: BTreeSet<String>,
}

struct Client {
    mail: Arc<Mail>,
    /// By the model.
    wants: BTreeSet<String>,
    heard: Vec<u64>,
    due: Vec<u64>,
}

struct Scene {
    dialect: Dialect,
    codec: Codec,
    board: Board,
    provider: Provider,
    clients: BTreeMap<Who, Client>,
    count: u64,
}

const SYMBOLS: [&str; 5] = ["A", "B", "C", "D", "*"];

#[derive(Clone, Debug)]
enum Step {
    Join,
    Leave(usize),
    More(usize, Vec<usize>),
    Fewer(usize, Vec<usize>),
    Say(Vec<usize>),
    Break,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let symbols = || proptest::collection::vec(0..SYMBOLS.len(), 1..4);
    let step = prop_oneof![
        2 => Just(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => (any::<usize>(), symbols()).prop_map(|(who, what)| Step::More(who, what)),
        2 => (any::<usize>(), symbols()).prop_map(|(who, what)| Step::Fewer(who, what)),
        6 => proptest::collection::vec(0..SYMBOLS.len() - 1, 1..6).prop_map(Step::Say),
        1 => Just(Step::Break),
    ];
    proptest::collection::vec(step, 1..80)
}

impl Scene {
    fn new(dialect: Dialect, codec: Codec) -> Self {
        let (board, provider) = (Board::new(dialect, codec), Provider::default());
        let mut scene =
            Self { dialect, codec, board, provider, clients: BTreeMap::new(), count: 0 };
        scene.board.opened();
        scene
    }

    fn nth(&self, number: usize) -> Option<Who> {
        let count = self.clients.len();
        (count > 0).then(|| *self.clients.keys().nth(number % count).unwrap())
    }

    fn says(&mut self, who: Who, action: &str, symbols: &[usize]) {
        let symbols: Vec<&str> = symbols.iter().map(|number| SYMBOLS[*number]).collect();
        let said = match self.dialect {
            Dialect::Polygon => {
                let params: Vec<String> = symbols.iter().map(|one| format!("T.{one}")).collect();
                json!({"action": action, "params": params.join(",")})
            }
            Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
                json!({"action": action, "trades": symbols})
            }
        };
        self.board.said(who, &dialect::worded(self.codec, &said.to_string()));
        let client = self.clients.get_mut(&who).unwrap();
        for symbol in symbols {
            if action == "subscribe" {
                client.wants.insert(symbol.to_owned());
            } else {
                client.wants.remove(symbol);
            }
        }
    }

    /// The provider takes what it is told, and answers.
    fn carry(&mut self) {
        loop {
            let words = self.board.take_outbox();
            if words.is_empty() {
                return;
            }
            for word in words {
                let said = dialect::understood(self.codec, &word).unwrap();
                let is_more = said["action"] == "subscribe";
                let list: Vec<String> = match self.dialect {
                    Dialect::Polygon => {
                        let params = said["params"].as_str().unwrap().split(',');
                        params.map(|one| one.strip_prefix("T.").unwrap().to_owned()).collect()
                    }
                    Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
                        serde_json::from_value(said["trades"].clone()).unwrap()
                    }
                };
                let mut answer = Vec::new();
                for symbol in list {
                    let word = if is_more { "subscribed" } else { "unsubscribed" };
                    let message = format!("{word} to: T.{symbol}");
                    answer.push(json!({"ev": "status", "status": "success", "message": message}));
                    if is_more {
                        self.provider.wanted.insert(symbol);
                    } else {
                        self.provider.wanted.remove(&symbol);
                    }
                }
                if self.dialect == Dialect::AlpacaData {
                    answer = vec![json!({"T": "subscription", "trades": self.provider.wanted})];
                }
                self.provider_says(&Value::from(answer));
            }
        }
    }

    fn provider_says(&mut self, message: &Value) {
        let bytes = dialect::worded(self.codec, &message.to_string());
        self.board.heard(&bytes).unwrap();
    }

    fn data(&mut self, symbols: &[usize]) {
        let mut elements = Vec::new();
        for number in symbols {
            let symbol = SYMBOLS[*number];
            let is_wanted = |all: &BTreeSet<String>| all.contains(symbol) || all.contains("*");
            if !is_wanted(&self.provider.wanted) {
                continue;
            }
            self.count += 1;
            let number = self.count;
            elements.push(match self.dialect {
                Dialect::Polygon => json!({"ev": "T", "sym": symbol, "n": number}),
                Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
                    json!({"T": "t", "S": symbol, "n": number})
                }
            });
            for client in self.clients.values_mut().filter(|client| is_wanted(&client.wants)) {
                client.due.push(number);
            }
        }
        if !elements.is_empty() {
            self.provider_says(&Value::from(elements));
        }
    }

    /// What is in the boxes.
    fn deliver(&mut self) {
        let context = Context::from_waker(Waker::noop());
        for client in self.clients.values_mut() {
            while let Poll::Ready(Ok(letter)) = client.mail.poll_next(&context) {
                let mut parley = parley_of(&letter.frame);
                let Some(Heard::Message(message)) = parley.next().unwrap() else { panic!() };
                let said = dialect::understood(self.codec, &message.bytes).unwrap();
                let numbers = said.as_array().unwrap().iter().filter_map(|one| one["n"].as_u64());
                client.heard.extend(numbers);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join => {
                let mail = Arc::new(Mail::default());
                let who = self.board.join(Arc::clone(&mail));
                let (wants, heard, due) = (BTreeSet::new(), Vec::new(), Vec::new());
                self.clients.insert(who, Client { mail, wants, heard, due });
            }
            Step::Leave(number) => {
                if let Some(who) = self.nth(number) {
                    self.board.leave(who);
                    self.clients.remove(&who);
                }
            }
            Step::More(number, symbols) => {
                if let Some(who) = self.nth(number) {
                    self.says(who, "subscribe", &symbols);
                }
            }
            Step::Fewer(number, symbols) => {
                if let Some(who) = self.nth(number) {
                    self.says(who, "unsubscribe", &symbols);
                }
            }
            Step::Say(symbols) => self.data(&symbols),
            Step::Break => {
                self.board.broke();
                self.provider.wanted.clear();
                self.board.opened();
            }
        }
        self.carry();
        self.deliver();
    }

    fn check(&self) {
        let union: BTreeSet<&String> =
            self.clients.values().flat_map(|client| &client.wants).collect();
        let asked: BTreeSet<&String> = self.provider.wanted.iter().collect();
        assert_eq!(asked, union, "the provider is asked for what somebody wants");
        assert_eq!(self.board.union().len(), union.len());
        for (who, client) in &self.clients {
            assert_eq!(client.heard, client.due, "{who}");
        }
    }
}

proptest! {
    #[test]
    fn everybody_hears_his_own_in_order_whatever_happens(steps in steps(), kind in 0..3_usize) {
        let kinds = [
            (Dialect::Polygon, Codec::Json),
            (Dialect::AlpacaData, Codec::Json),
            (Dialect::AlpacaData, Codec::Msgpack),
        ];
        let (dialect, codec) = kinds[kind];
        let mut scene = Scene::new(dialect, codec);
        for step in steps {
            scene.step(step);
            scene.check();
        }
    }
}

fn parley_of(frame: &[u8]) -> Parley {
    Parley::with_provider(bytes::BytesMut::from(frame)).up_to(1 << 20)
}

fn texts(mail: &Mail, codec: Codec) -> Vec<Value> {
    let context = Context::from_waker(Waker::noop());
    let mut texts = Vec::new();
    while let Poll::Ready(Ok(letter)) = mail.poll_next(&context) {
        let mut parley = parley_of(&letter.frame);
        let Some(Heard::Message(message)) = parley.next().unwrap() else { panic!() };
        texts.push(dialect::understood(codec, &message.bytes).unwrap());
    }
    texts
}

fn joined(board: &mut Board) -> (Who, Arc<Mail>) {
    let mail = Arc::new(Mail::default());
    (board.join(Arc::clone(&mail)), mail)
}

#[test]
fn a_no_reaches_those_who_asked_and_nobody_else() {
    let mut board = Board::new(Dialect::Polygon, Codec::Json);
    board.opened();
    let ((one, ones), (two, twos)) = (joined(&mut board), joined(&mut board));
    board.said(one, br#"{"action":"subscribe","params":"T.A"}"#);
    board.said(two, br#"{"action":"subscribe","params":"T.B"}"#);
    let no = br#"[{"ev":"status","status":"error","message":"not entitled to T.A"},
                  {"ev":"status","status":"success","message":"subscribed to: T.B"}]"#;
    board.heard(no).unwrap();
    assert!(texts(&ones, Codec::Json)[1].to_string().contains("not entitled"));
    let heard = texts(&twos, Codec::Json);
    assert_eq!(heard.len(), 2, "the welcome and the yes: {heard:?}");
    assert!(heard[1].to_string().contains("subscribed to: T.B"));
    assert_eq!(board.union().len(), 1, "nobody has what the provider does not give");
    // Whoever comes later asks anew.
    board.take_outbox();
    board.said(two, br#"{"action":"subscribe","params":"T.A"}"#);
    assert_eq!(board.take_outbox().len(), 1);

    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    board.opened();
    let ((one, ones), (two, twos)) = (joined(&mut board), joined(&mut board));
    board.said(one, br#"{"action":"subscribe","trades":["A"]}"#);
    board.said(two, br#"{"action":"subscribe","quotes":["B"]}"#);
    board.heard(br#"[{"T":"error","code":409,"msg":"insufficient subscription"}]"#).unwrap();
    board.heard(br#"[{"T":"subscription","trades":[],"quotes":["B"]}]"#).unwrap();
    assert_eq!(texts(&ones, Codec::Json)[1][0]["code"], 409);
    let heard = texts(&twos, Codec::Json);
    assert_eq!((heard.len(), &heard[1][0]["quotes"]), (2, &json!(["B"])), "{heard:?}");
}

#[test]
fn a_no_to_what_several_asked_for_is_not_one_to_each_of_them() {
    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    let ((one, ones), (two, twos)) = (joined(&mut board), joined(&mut board));
    board.said(one, br#"{"action":"subscribe","trades":["A","B","C"]}"#);
    board.said(two, br#"{"action":"subscribe","trades":["D","X"]}"#);
    board.opened();
    // The provider refuses a whole request in which X is.
    let mut holds = BTreeSet::new();
    let mut words = board.take_outbox();
    while let Some(word) = words.pop_front() {
        let said: Value = serde_json::from_slice(&word).unwrap();
        let list: Vec<String> = serde_json::from_value(said["trades"].clone()).unwrap();
        if list.iter().any(|symbol| symbol == "X") {
            let no = br#"[{"T":"error","code":409,"msg":"insufficient subscription"}]"#;
            board.heard(no).unwrap();
        } else {
            holds.extend(list);
            let yes = json!([{"T": "subscription", "trades": holds}]);
            board.heard(yes.to_string().as_bytes()).unwrap();
        }
        words.extend(board.take_outbox());
    }
    assert_eq!(holds.iter().map(String::as_str).collect::<Vec<_>>(), ["A", "B", "C", "D"]);
    assert_eq!(board.union().len(), 4);
    let is_no = |said: &Value| said.to_string().contains("insufficient");
    assert!(!texts(&ones, Codec::Json).iter().any(is_no), "it asked for nothing that is refused");
    assert_eq!(texts(&twos, Codec::Json).iter().filter(|said| is_no(said)).count(), 1);
}

#[test]
fn trouble_that_answers_nothing_takes_nothing_from_anybody() {
    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    board.opened();
    let (one, ones) = joined(&mut board);
    board.said(one, br#"{"action":"subscribe","trades":["A"]}"#);
    board.heard(br#"[{"T":"error","code":500,"msg":"internal error"}]"#).unwrap();
    board.heard(br#"[{"T":"subscription","trades":["A"]}]"#).unwrap();
    let heard = texts(&ones, Codec::Json);
    assert_eq!((&heard[1][0]["code"], &heard[2][0]["trades"]), (&json!(500), &json!(["A"])));
    let ends = br#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#;
    assert!(board.heard(ends).is_err(), "another socket is opened");

    let mut board = Board::new(Dialect::Polygon, Codec::Json);
    board.opened();
    let ((_, ones), (_, twos)) = (joined(&mut board), joined(&mut board));
    board.heard(br#"[{"ev":"status","status":"error","message":"maintenance at noon"}]"#).unwrap();
    for mail in [ones, twos] {
        assert!(texts(&mail, Codec::Json)[1].to_string().contains("maintenance"));
    }
}

#[test]
fn where_what_is_wide_goes_the_rest_is_asked_for_again() {
    for (gone, stays) in [("*", "T.A"), ("T.*", "*"), ("T.*", "T.A")] {
        let mut board = Board::new(Dialect::Polygon, Codec::Json);
        board.opened();
        let ((one, _), (two, _)) = (joined(&mut board), joined(&mut board));
        for (who, params) in [(one, gone), (two, stays)] {
            let said = json!({"action": "subscribe", "params": params});
            board.said(who, said.to_string().as_bytes());
        }
        board.take_outbox();
        board.leave(one);
        let words: Vec<Value> =
            board.take_outbox().iter().map(|word| serde_json::from_slice(word).unwrap()).collect();
        let wanted = [
            json!({"action": "unsubscribe", "params": gone}),
            json!({"action": "subscribe", "params": stays}),
        ];
        assert_eq!(words, wanted);
    }
}

#[test]
fn what_is_left_for_whoever_is_too_slow_is_his_last_word_even_behind_a_full_window() {
    let mail = Mail::default();
    mail.say_when_slow(Bytes::from_static(b"slow"));
    let context = Context::from_waker(Waker::noop());
    assert!(mail.poll_too_slow(&context).is_pending());
    for _ in 0..40 {
        mail.put(Bytes::from(vec![0; 32 * 1024]));
    }
    assert!(mail.poll_too_slow(&context).is_ready());
    assert_eq!(mail.rest(), b"slow");
}

#[test]
fn what_stands_already_is_confirmed_at_once_and_the_provider_hears_nothing() {
    let mut board = Board::new(Dialect::Polygon, Codec::Json);
    board.opened();
    let ((one, _), (two, twos)) = (joined(&mut board), joined(&mut board));
    board.said(one, br#"{"action":"subscribe","params":"T.A"}"#);
    let yes = br#"[{"ev":"status","status":"success","message":"subscribed to: T.A"}]"#;
    board.heard(yes).unwrap();
    assert_eq!(board.take_outbox().len(), 1);
    board.said(two, br#"{"action":"subscribe","params":"T.A"}"#);
    assert!(board.take_outbox().is_empty());
    assert!(texts(&twos, Codec::Json)[1].to_string().contains("subscribed to: T.A"));
    board.leave(one);
    assert!(board.take_outbox().is_empty(), "somebody wants it still");
    board.leave(two);
    assert_eq!(board.take_outbox().len(), 1);
}

#[test]
fn whoever_is_too_slow_is_told_and_is_out_and_hurts_nobody() {
    let mut board = Board::new(Dialect::Polygon, Codec::Json);
    board.opened();
    let ((one, slow), (two, quick)) = (joined(&mut board), joined(&mut board));
    for who in [one, two] {
        board.said(who, br#"{"action":"subscribe","params":"T.*"}"#);
    }
    let data = format!("[{{\"ev\":\"T\",\"sym\":\"A\",\"x\":\"{}\"}}]", "x".repeat(50_000));
    let context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        board.heard(data.as_bytes()).unwrap();
        assert!(!texts(&quick, Codec::Json).is_empty());
    }
    let last = texts(&slow, Codec::Json);
    assert_eq!(last.len(), 1, "what waited is gone");
    assert!(last[0].to_string().contains("slow consumer"));
    assert!(matches!(slow.poll_next(&context), Poll::Ready(Err(Over::Slow))));
    assert!(quick.poll_next(&context).is_pending(), "{two}");
}

#[test]
fn a_gap_and_its_end_are_said_and_nothing_else_of_it() {
    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    let (one, ones) = joined(&mut board);
    assert!(texts(&ones, Codec::Json).is_empty(), "nobody is in before the provider's yes");
    board.opened();
    board.said(one, br#"{"action":"subscribe","trades":["A"]}"#);
    board.heard(br#"[{"T":"subscription","trades":["A"]}]"#).unwrap();
    assert_eq!(texts(&ones, Codec::Json).len(), 2);
    board.broke();
    board.broke();
    board.opened();
    board.heard(br#"[{"T":"subscription","trades":["A"]}]"#).unwrap();
    let said = texts(&ones, Codec::Json);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].to_string().contains("gap") && said[1].to_string().contains("gap over"));
}

#[test]
fn a_client_that_reads_nothing_is_out_though_the_market_is_quiet() {
    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    board.opened();
    let (one, ones) = joined(&mut board);
    for _ in 0..40_000 {
        ones.put_control(Bytes::from_static(&[0x8a, 0]));
    }
    assert!(ones.is_too_slow());
    let last = texts(&ones, Codec::Json);
    assert_eq!((last.len(), &last[0][0]["code"]), (1, &json!(407)), "{last:?}");
    assert!(!board.is_empty(), "its seat is given back when it goes");
    board.leave(one);
    assert!(board.is_empty());
}

#[test]
fn nobody_has_more_topics_than_the_most_and_the_list_is_told_once() {
    let mut board = Board::new(Dialect::AlpacaData, Codec::Json);
    board.opened();
    let (one, ones) = joined(&mut board);
    let ask = |symbols: &[String]| json!({"action": "subscribe", "trades": symbols}).to_string();
    let many: Vec<String> = (0..MOST_TOPICS).map(|number| format!("S{number}")).collect();
    board.said(one, ask(&many).as_bytes());
    for symbol in many.iter().take(100) {
        board.said(one, ask(std::slice::from_ref(symbol)).as_bytes());
    }
    assert_eq!(board.union().len(), MOST_TOPICS);
    texts(&ones, Codec::Json);
    board.said(one, ask(&[String::from("ONE.MORE")]).as_bytes());
    assert_eq!(texts(&ones, Codec::Json)[0][0]["code"], 405);
    assert_eq!(board.union().len(), MOST_TOPICS);
    for _ in 0..MOST_TOPICS.div_ceil(500) {
        board.heard(br#"[{"T":"subscription"}]"#).unwrap();
    }
    let lists = texts(&ones, Codec::Json);
    assert_eq!(lists.len(), 1, "one list for all that waited");
    assert_eq!(lists[0][0]["trades"].as_array().unwrap().len(), MOST_TOPICS);
}

#[test]
fn what_the_provider_does_not_take_is_bounded() {
    let mut board = Board::new(Dialect::Polygon, Codec::Json);
    board.opened();
    let (one, _ones) = joined(&mut board);
    let topics: Vec<String> = (0..4_000).map(|number| format!("T.SYMBOL{number}")).collect();
    let topics = topics.join(",");
    let mut rounds = 0;
    while !board.is_congested() {
        for action in ["subscribe", "unsubscribe"] {
            let said = json!({"action": action, "params": topics}).to_string();
            board.said(one, said.as_bytes());
        }
        rounds += 1;
        assert!(rounds < 100, "it is never too much");
    }
    assert!(!board.take_outbox().is_empty());
    assert!(!board.is_congested());
}
