//! A market-data provider with a ledger of its own: candles by ticker and length, served in pages
//! as Polygon does, with planted faults and a limit of calls in a minute on the test's clock. It
//! keeps what it was asked and how much it sent.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sealgate::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One candle, its numbers as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub ms: i64,
    /// Open, high, low, close, volume, vwap.
    pub texts: [String; 6],
    pub trades: i64,
}

/// What is wrong with a ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// 200 with an error in the body.
    ErrorBody,
    /// The same, and it repeats the key.
    EchoesKey,
    /// The candle of this index has NaN, and the next a negative price.
    BadCandles(usize),
    /// The second page is the first one again.
    Repeats,
    /// The next page of every page is the first.
    Loops,
    /// The first answer is a 500, the second breaks off.
    Stumbles,
    Unknown,
    /// It says that there is one candle more than it sends.
    Fewer,
    /// The candle of this index begins at no full minute.
    OffGrid(usize),
    /// 429, and to come back in two hours.
    Later,
    /// Whatever order is asked for.
    NewestFirst,
    /// No candle has a price.
    AllBad,
}

const LATER: &str = r#"{"status":"ERROR","error":"not now"}"#;

pub(crate) struct Bourse {
    pub address: SocketAddr,
    pub floor: Arc<Floor>,
    accepting: JoinHandle<()>,
}

pub(crate) struct Floor {
    address: SocketAddr,
    book: Mutex<Book>,
}

struct Book {
    clock: Clock,
    ledger: BTreeMap<(String, String), Vec<Bar>>,
    plants: HashMap<String, Plant>,
    page: usize,
    pause: Duration,
    /// Calls in a minute.
    limit: Option<usize>,
    /// The key turns bad with this call.
    bad_from: Option<usize>,
    minute: Vec<u64>,
    refused: usize,
    asked: Vec<String>,
    /// When each call came, on the test's clock.
    came: Vec<u64>,
    sent: usize,
    stumbled: HashMap<String, usize>,
}

impl Bourse {
    pub(crate) async fn open(page: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let floor = Arc::new(Floor { address, book: Mutex::new(Book::of(page)) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&floor)));
        Self { address, floor, accepting }
    }

    /// Its entry, and that history comes from it.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[providers.bourse]\nbase_url = \"http://{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\n\
             inject = [{{ at = \"header\", name = \"Authorization\", value = \"Bearer {{api_key}}\" }}]\n\
             {more}\n[backfill]\nprovider = \"bourse\"\n",
            self.address
        )
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.floor.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its minutes are those of the test.
    pub(crate) fn runs_on(&self, clock: &Clock) {
        self.book().clock = clock.clone();
    }

    pub(crate) fn list(&self, ticker: &str, span: &str, bars: Vec<Bar>) {
        self.book().ledger.insert((ticker.to_owned(), span.to_owned()), bars);
    }

    pub(crate) fn plant(&self, ticker: &str, plant: Option<Plant>) {
        let mut book = self.book();
        match plant {
            Some(plant) => book.plants.insert(ticker.to_owned(), plant),
            None => book.plants.remove(ticker),
        };
    }

    pub(crate) fn limit(&self, calls: usize) {
        self.book().limit = Some(calls);
    }

    pub(crate) fn pause(&self, pause: Duration) {
        self.book().pause = pause;
    }

    pub(crate) fn turns_bad(&self, from: Option<usize>) {
        self.book().bad_from = from;
    }

    /// Calls that were refused by count.
    pub(crate) fn refused(&self) -> usize {
        self.book().refused
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.book().asked.clone()
    }

    /// When each call came, in nanoseconds of the test's clock.
    pub(crate) fn came(&self) -> Vec<u64> {
        self.book().came.clone()
    }

    /// Candles that were sent.
    pub(crate) fn sent(&self) -> usize {
        self.book().sent
    }
}

impl Drop for Bourse {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, floor: Arc<Floor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let floor = Arc::clone(&floor);
        tokio::spawn(async move {
            let answering = service_fn(move |request: Request<Incoming>| {
                let floor = Arc::clone(&floor);
                async move { Ok::<_, Infallible>(floor.answer(&request).await) }
            });
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answering)
                .await;
        });
    }
}

impl Floor {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body, pause) = {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let (status, body) = book.answer(request, self.address);
            (status, body, book.pause)
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let mut answer =
            Response::builder().status(status).header("content-type", "application/json");
        if body == LATER {
            answer = answer.header("retry-after", "7200");
        }
        answer.body(Full::new(Bytes::from(body))).unwrap()
    }
}

impl Book {
    fn of(page: usize) -> Self {
        Self {
            clock: Clock::system(),
            ledger: BTreeMap::new(),
            plants: HashMap::new(),
            page,
            pause: Duration::ZERO,
            limit: None,
            bad_from: None,
            minute: Vec::new(),
            refused: 0,
            asked: Vec::new(),
            came: Vec::new(),
            sent: 0,
            stumbled: HashMap::new(),
        }
    }

    fn answer(&mut self, request: &Request<Incoming>, address: SocketAddr) -> (u16, String) {
        let uri = request.uri();
        let now = self.clock.monotonic_ns();
        self.asked.push(uri.to_string());
        self.came.push(now);
        if let Some(limit) = self.limit {
            self.minute.retain(|at| now - at < 60_000_000_000);
            if self.minute.len() >= limit {
                self.refused += 1;
                return (429, String::from(r#"{"status":"ERROR","error":"too many"}"#));
            }
            self.minute.push(now);
        }
        if self.bad_from.is_some_and(|from| self.asked.len() >= from) {
            return (401, String::from(r#"{"status":"ERROR","error":"Unknown API Key"}"#));
        }
        let segments: Vec<&str> = uri.path().split('/').collect();
        let [_, "v2", "aggs", "ticker", ticker, "range", multiplier, span, from, to] =
            segments.as_slice()
        else {
            return (404, String::from(r#"{"status":"NOT_FOUND","message":"no such route"}"#));
        };
        let plant = self.plants.get(*ticker).copied();
        let at = uri.query().and_then(|query| query.split_once("cursor="));
        let at: usize = at.map_or(0, |(_, at)| at.parse().unwrap());
        if let Some(no) = self.stumble(ticker, plant, request) {
            return no;
        }
        let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
        let key = ((*ticker).to_owned(), format!("{multiplier}/{span}"));
        let all = self.ledger.get(&key).cloned().unwrap_or_default();
        let mut fitting: Vec<(usize, Bar)> =
            all.into_iter().enumerate().filter(|(_, bar)| (from..=to).contains(&bar.ms)).collect();
        if plant == Some(Plant::NewestFirst) {
            fitting.reverse();
        }
        let first = if plant == Some(Plant::Repeats) { 0 } else { at };
        let page: Vec<_> = fitting.iter().skip(first).take(self.page).collect();
        self.sent += page.len();
        let written: Vec<String> =
            page.iter().map(|(index, bar)| written(*index, bar, plant)).collect();
        let next = match plant {
            Some(Plant::Loops) => Some(0),
            _ => Some(at + self.page).filter(|next| *next < fitting.len()),
        };
        let next = next.map_or_else(String::new, |next| {
            let path = uri.path();
            format!(r#","next_url":"http://{address}{path}?cursor={next}""#)
        });
        let count = page.len() + usize::from(plant == Some(Plant::Fewer));
        let body = format!(
            r#"{{"ticker":"{ticker}","adjusted":true,"resultsCount":{count},"results":[{}],"status":"OK"{next}}}"#,
            written.join(",")
        );
        (200, body)
    }

    /// An answer that is none, where one is planted.
    fn stumble(
        &mut self,
        ticker: &str,
        plant: Option<Plant>,
        request: &Request<Incoming>,
    ) -> Option<(u16, String)> {
        match plant {
            Some(Plant::ErrorBody) => {
                return Some((
                    200,
                    String::from(r#"{"status":"ERROR","error":"not for your plan"}"#),
                ));
            }
            Some(Plant::EchoesKey) => {
                let shown = request.headers().get("authorization").unwrap().to_str().unwrap();
                return Some((
                    200,
                    format!(r#"{{"status":"ERROR","error":"{shown} is no good"}}"#),
                ));
            }
            Some(Plant::Stumbles) => {
                let count = self.stumbled.entry(ticker.to_owned()).or_default();
                *count += 1;
                match *count {
                    1 => return Some((500, String::from("oops"))),
                    2 => return Some((200, String::from(r#"{"status":"OK","results":[{"t":1"#))),
                    _ => {}
                }
            }
            Some(Plant::Unknown) => {
                return Some((
                    200,
                    format!(r#"{{"ticker":"{ticker}","status":"OK","resultsCount":0}}"#),
                ));
            }
            Some(Plant::Later) => return Some((429, LATER.to_owned())),
            Some(
                Plant::BadCandles(_)
                | Plant::Repeats
                | Plant::Loops
                | Plant::Fewer
                | Plant::OffGrid(_)
                | Plant::NewestFirst
                | Plant::AllBad,
            )
            | None => {}
        }
        None
    }
}

fn written(index: usize, bar: &Bar, plant: Option<Plant>) -> String {
    let [open, high, low, close, volume, vwap] = &bar.texts;
    let (open, low) = match plant {
        Some(Plant::BadCandles(at)) if at == index => ("NaN", low.as_str()),
        Some(Plant::AllBad) => ("NaN", low.as_str()),
        Some(Plant::BadCandles(at)) if at + 1 == index => (open.as_str(), "-1.5"),
        _ => (open.as_str(), low.as_str()),
    };
    let ms = if plant == Some(Plant::OffGrid(index)) { bar.ms + 17_000 } else { bar.ms };
    format!(
        r#"{{"v":{volume},"vw":{vwap},"o":{open},"c":{close},"h":{high},"l":{low},"t":{ms},"n":{}}}"#,
        bar.trades
    )
}

/// Whole numbers that look like chance and are the same each time.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// A candle whose numbers have digits that no floating point keeps.
    pub(crate) fn bar(&mut self, ms: i64) -> Bar {
        let low = 1_000_000 + self.roll(1_000_000);
        let high = low + self.roll(50_000);
        let between = |dice: &mut Self| low + dice.roll(high - low + 1);
        let (open, close, vwap) = (between(self), between(self), between(self));
        let text = |cents: u64| format!("{}.{:04}", cents / 10_000, cents % 10_000);
        let volume = format!("{}.{:018}", self.roll(1_000_000), self.roll(u64::MAX >> 34));
        let texts = [text(open), text(high), text(low), text(close), volume, text(vwap)];
        Bar { ms, texts, trades: i64::try_from(self.roll(100_000)).unwrap() }
    }
}
