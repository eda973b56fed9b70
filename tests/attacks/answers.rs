//! A provider that means harm, or is broken: it sends its key back in every dress, frames its
//! answers badly, answers twice or too soon, floods and stalls. No client gets the key, and none
//! gets another one's answer.

use std::sync::Arc;

use base64::Engine;

use crate::awaited::AWAITED;
use crate::case::{Ask, Case, PLACEMENTS, Then, ask, fetch};
use crate::frames::Frames;
use crate::recorder::{Script, Step};
use crate::run::{Client, Outcome, Protocol, judge, outcome};
use crate::scene::{Lane, Scene, Ways, escaped};
use crate::wire::Wire;

/// One answer, and what may become of it.
pub(crate) struct Reply {
    pub name: &'static str,
    pub threat: &'static str,
    pub ask: Ask,
    /// Said before the request's body has come.
    early: bool,
    /// Of the real key.
    steps: fn(&str) -> Vec<Step>,
    then: Then,
    /// Stands in what the client gets.
    gets: &'static str,
    /// So often may the provider be asked.
    most: usize,
    /// The provider does not read the request to its end.
    cut_short: bool,
}

fn say(text: String) -> Vec<Step> {
    vec![Step::Say(text.into_bytes())]
}

/// A whole answer with these header lines and this body.
fn whole(lines: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    say(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n{body}"))
}

/// A body that is, or calls itself, packed.
fn encoded(coding: &str, body: &[u8]) -> Vec<Step> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    vec![Step::Say([head.as_bytes(), body].concat())]
}

/// One member with one block, stored as it is.
fn gzip(key: &str) -> Vec<u8> {
    let bytes = key.as_bytes();
    let length = u16::try_from(bytes.len()).unwrap();
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend_from_slice(bytes);
    packed.extend(crc32fast::hash(bytes).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn chunked(lines: &str, chunks: &[&str]) -> Vec<Step> {
    let chunks: String = chunks.iter().map(|text| chunk(text)).collect();
    say(format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"))
}

fn reply(
    threat: &'static str,
    name: &'static str,
    then: Then,
    steps: fn(&str) -> Vec<Step>,
) -> Reply {
    let ask = ask("POST", "{p}/x").body("{\"a\":1}");
    Reply { name, threat, ask, early: false, steps, then, gets: "", most: 1, cut_short: false }
}

impl Reply {
    fn gets(mut self, text: &'static str) -> Self {
        self.gets = text;
        self
    }

    fn asks(mut self, ask: Ask) -> Self {
        self.ask = ask;
        self.most = 2;
        self
    }

    fn cut_short(mut self) -> Self {
        self.cut_short = true;
        self
    }

    fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

const INVALID: Then = Then::No(502, "upstream_invalid");
const UNREACHABLE: Then = Then::No(502, "upstream_unreachable");

fn broken() -> Then {
    Then::Any(vec![INVALID, UNREACHABLE, Then::Half, Then::Cut])
}

fn json(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

pub(crate) fn echoes() -> Vec<Reply> {
    let echo = |name, steps| reply("T22", name, Then::Passes, steps);
    vec![
        echo("in a header", |key| whole(&format!("X-Echo: {key}\r\n"), "steady")),
        echo("in a cookie", |key| whole(&format!("Set-Cookie: k={key}; Path=/\r\n"), "steady")),
        echo("in a header, and in the key's own", |key| {
            whole(&format!("Authorization: Bearer {key}\r\nX-Provider-Key: {key}\r\n"), "steady")
        }),
        echo("twice in a header", |key| whole(&format!("X-Echo: {key}{key},{key}\r\n"), "steady")),
        echo("in an entity tag", |key| whole(&format!("ETag: \"{key}\"\r\n"), "steady")),
        echo("in a challenge", |key| {
            whole(&format!("WWW-Authenticate: Bearer realm=\"{key}\"\r\n"), "steady")
        }),
        echo("in a link", |key| {
            let key = escaped(key, b"-_.~");
            whole(&format!("Link: <https://localhost/x?apikey={key}>; rel=next\r\n"), "steady")
        }),
        echo("in what pages may read", |key| {
            whole(&format!("Access-Control-Allow-Headers: {key}\r\n"), "steady")
        }),
        echo("behind the status", |key| {
            say(format!("HTTP/1.1 200 {key}\r\nContent-Length: 6\r\n\r\nsteady"))
        }),
        echo("in the body", |key| whole("", &format!("key={key}&x"))).gets("&x"),
        echo("as the whole body", |key| whole("", key)).gets("***"),
        echo("many times in the body", |key| whole("", &format!("{key} ").repeat(200))).gets("* *"),
        echo("in JSON", |key| {
            whole("Content-Type: application/json\r\n", &format!("{{\"k\":{}}}", json(key)))
        })
        .gets("{\"k\":"),
        echo("in JSON with slashes", |key| {
            let text = json(key).replace('/', "\\/");
            whole("Content-Type: application/json\r\n", &format!("{{\"k\":{text}}}"))
        }),
        echo("in a URL", |key| whole("", &format!("https://x/?apikey={}", escaped(key, b"-_.~")))),
        echo("in a URL, small letters", |key| {
            let mut text = escaped(key, b"-_.~");
            for capital in ["%2B", "%2F"] {
                text = text.replace(capital, &capital.to_ascii_lowercase());
            }
            whole("", &text)
        }),
        echo("in events", |key| {
            let event = format!("data: {{\"k\":{}}}\n\n", json(key));
            chunked("Content-Type: text/event-stream\r\n", &[&event, &event, "data: end\n\n"])
        })
        .gets("data: end"),
        echo("split in two chunks", |key| {
            let (one, two) = key.split_at(9);
            chunked("", &["a", one, two, "z"])
        })
        .gets("z"),
        echo("a letter a chunk", |key| {
            let letters: Vec<String> = key.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            chunked("", &letters)
        })
        .gets("***"),
        echo("a letter a chunk, with pauses", |key| {
            let mut steps = say(String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
            for letter in key.chars() {
                steps.extend([Step::Say(chunk(&letter.to_string()).into_bytes()), Step::Pause(2)]);
            }
            steps.extend(say(String::from("0\r\n\r\n")));
            steps
        })
        .gets("***"),
        echo("begun twice", |key| {
            let begun = &key[..key.len() - 1];
            chunked("", &[begun, key, begun])
        }),
        echo("in a body without end", |key| {
            let mut steps = say(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{key} end"));
            steps.push(Step::Close);
            steps
        })
        .gets(" end"),
        echo("in a trailer", |key| {
            say(format!(
                "HTTP/1.1 200 OK\r\nTrailer: X-Echo\r\nTransfer-Encoding: chunked\r\n\r\n\
                 6\r\nsteady\r\n0\r\nX-Echo: {key}\r\n\r\n"
            ))
        }),
        echo("in an extension of a chunk", |key| {
            say(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6;k=\"{key}\"\r\nsteady\r\n0\r\n\r\n"
            ))
        }),
        echo("in an interim answer", |key| {
            let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: <{key}>\r\n\r\n");
            let mut steps = say(interim);
            steps.extend(whole("", "steady"));
            steps
        }),
        echo("in a range", |key| {
            let body = key;
            say(format!(
                "HTTP/1.1 200 OK\r\nContent-Range: bytes 0-9/99\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
        }),
        reply("T22", "in an error", Then::Status(401), |key| {
            let body = format!("{{\"error\":\"Invalid API key {key}\"}}");
            say(format!("HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        })
        .gets("Invalid API key *"),
        reply("T24", "a redirect with it", Then::Status(302), |key| {
            let key = escaped(key, b"-_.~");
            say(format!(
                "HTTP/1.1 302 Found\r\nLocation: https://evil.test/?apikey={key}\r\nContent-Length: 0\r\n\r\n"
            ))
        })
        .gets("evil.test"),
        reply("T24", "a redirect with it before the host", Then::Status(307), |key| {
            say(format!(
                "HTTP/1.1 307 Go\r\nLocation: //{key}@evil.test/\r\nContent-Length: 0\r\n\r\n"
            ))
        }),
        reply("T24", "a redirect to where it came from", Then::Status(308), |_| {
            say(String::from(
                "HTTP/1.1 308 Go\r\nLocation: /base-bearer/../x\r\nRefresh: 0; url=https://evil.test\r\nContent-Length: 0\r\n\r\n",
            ))
        }),
        echo("as a word, over and over", |key| whole("", &key[..12].repeat(50))),
    ]
}

/// What is not blanked yet stands in the list of what is awaited.
pub(crate) fn dresses() -> Vec<Reply> {
    let echo = |name, steps| reply("T23", name, Then::Any(vec![Then::Passes, broken()]), steps);
    vec![
        echo("base64", |key| whole("", &base64::prelude::BASE64_STANDARD.encode(key))),
        echo("base64, one letter on", |key| {
            whole("", &base64::prelude::BASE64_STANDARD.encode(format!("x{key}")))
        }),
        echo("base64, two letters on", |key| {
            whole("", &base64::prelude::BASE64_STANDARD.encode(format!("xy{key}")))
        }),
        echo("base64 for URLs", |key| whole("", &base64::prelude::BASE64_URL_SAFE.encode(key))),
        echo("base64 in a header", |key| {
            let text = base64::prelude::BASE64_STANDARD.encode(key);
            whole(&format!("X-Echo: {text}\r\n"), "steady")
        }),
        echo("base64 over two chunks", |key| {
            let text = base64::prelude::BASE64_STANDARD.encode(key);
            let (one, two) = text.split_at(11);
            chunked("", &[one, two])
        }),
        echo("hexadecimal", |key| {
            whole("", &key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
        }),
        echo("hexadecimal in capitals", |key| {
            whole("", &key.bytes().map(|byte| format!("{byte:02X}")).collect::<String>())
        }),
        echo("packed by gzip", |key| encoded("gzip", &gzip(key))).with(INVALID),
        echo("packed, and the same", |key| encoded("gzip, identity", &gzip(key))).with(INVALID),
        echo("the same, and packed", |key| encoded("identity, gzip", &gzip(key))).with(INVALID),
        echo("packed, and nothing", |key| encoded("gzip,", &gzip(key))).with(INVALID),
        echo("nothing, and packed", |key| encoded(", GZIP", &gzip(key))).with(INVALID),
        echo("said to be packed twice", |key| encoded("gzip, gzip", &gzip(key))).with(INVALID),
        echo("packed, with a weight", |key| encoded("gzip;q=1", &gzip(key))).with(INVALID),
        echo("packed by zstd", |key| {
            let text = format!("{}{key}", "a".repeat(500));
            encoded("zstd", &zstd::encode_all(text.as_bytes(), 19).unwrap())
        })
        .with(INVALID),
        echo("said to be packed", |key| encoded("gzip", key.as_bytes())),
        echo("said to be packed by nobody knows what", |key| encoded("x-own", key.as_bytes()))
            .with(INVALID),
        echo("every letter percent", |key| {
            whole("", &key.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())
        }),
    ]
}

/// Answers that are not well framed, too many, too soon or too large.
pub(crate) fn framings() -> Vec<Reply> {
    let bad = |name, steps| reply("T25", name, broken(), steps);
    let ok = |name, steps| reply("T25", name, Then::Any(vec![Then::Passes, broken()]), steps);
    vec![
        reply("T25", "a length beside chunks", INVALID, |_| {
            chunked("Content-Length: 1\r\n", &["steady"])
        }),
        reply("T25", "a length that is two", INVALID, |_| {
            say(String::from("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"))
        }),
        reply("T25", "chunks that are packed on the way", INVALID, |_| {
            say(String::from(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n6\r\nsteady\r\n0\r\n\r\n",
            ))
        }),
        bad("no HTTP", |_| say(String::from("hello there\r\n\r\n"))),
        bad("a greeting of mail", |_| say(String::from("220 mail.test ESMTP\r\n"))),
        bad("HTTP/2 unasked", |_| vec![Step::Say(b"\0\0\0\x04\0\0\0\0\0".to_vec()), Step::Close]),
        bad("a version from nowhere", |_| {
            say(String::from("HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"))
        }),
        bad("a status of two digits", |_| {
            say(String::from("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"))
        }),
        bad("a status of letters", |_| {
            say(String::from("HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"))
        }),
        bad("a status of nothing", |_| {
            say(String::from("HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"))
        }),
        bad("a zero byte in a value", |_| whole("X-A: a\0b\r\n", "steady")),
        bad("a name with a blank", |_| whole("X A: b\r\n", "steady")),
        bad("two lengths", |_| whole("Content-Length: 3\r\n", "steady")),
        bad("a length with a sign", |_| {
            say(String::from("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde"))
        }),
        bad("a length below zero", |_| {
            say(String::from("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde"))
        }),
        bad("a length beyond all", |_| {
            vec![
                Step::Say(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na".to_vec(),
                ),
                Step::Close,
            ]
        }),
        bad("a body that is cut", |_| {
            vec![
                Step::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc".to_vec()),
                Step::Close,
            ]
        }),
        bad("a packed body that is cut, and has no length", |_| {
            let packed = gzip("steady and a little more");
            let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
            let cut = packed.get(..packed.len() - 12).unwrap_or_default();
            vec![Step::Say([&head[..], cut].concat()), Step::Close]
        }),
        bad("chunks that are cut", |_| {
            vec![
                Step::Say(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc".to_vec(),
                ),
                Step::Close,
            ]
        }),
        bad("chunks without their end", |_| {
            vec![
                Step::Say(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec(),
                ),
                Step::Close,
            ]
        }),
        bad("a chunk beyond all", |_| {
            say(String::from(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
            ))
        }),
        bad("a chunk of no size", |_| {
            say(String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc"))
        }),
        bad("a chunk longer than its size", |_| {
            say(String::from(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
            ))
        }),
        bad("closed without a word", |_| vec![Step::Close]),
        bad("closed within the head", |_| {
            vec![Step::Say(b"HTTP/1.1 200 OK\r\nX-A: ".to_vec()), Step::Close]
        }),
        bad("a head of 200 KB", |_| whole(&format!("X-A: {}\r\n", "a".repeat(200_000)), "steady")),
        bad("a thousand headers", |_| whole(&"X-A: b\r\n".repeat(1000), "steady")),
        bad("another protocol unasked", |_| {
            say(String::from(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc",
            ))
        }),
        ok("length and chunks", |_| {
            say(String::from(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ))
        }),
        ok("a coding that is none", |_| {
            vec![
                Step::Say(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                        .to_vec(),
                ),
                Step::Close,
            ]
        }),
        ok("chunks twice", |_| {
            vec![Step::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()), Step::Close]
        }),
        ok("line feeds alone", |_| say(String::from("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"))),
        ok("a folded line", |_| whole("X-A: b\r\n c\r\n", "steady")),
        ok("a carriage return in a value", |_| whole("X-A: b\rSet-Cookie: c=d\r\n", "steady")),
        ok("a blank before the colon", |_| whole("X-A : b\r\n", "steady")),
        ok("HTTP/1.0 without a length", |_| {
            vec![Step::Say(b"HTTP/1.0 200 OK\r\n\r\nabc".to_vec()), Step::Close]
        }),
        ok("a split answer in a value", |_| {
            whole("X-A: b%0d%0aSet-Cookie: c=d\r\nX-B: \u{e4}\r\n", "steady")
        }),
        ok("hop-by-hop headers", |_| {
            whole(
                "Connection: x-gone, x-mark\r\nX-Gone: dummy-gone\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Sealgate-Error: internal-lie\r\nX-Sealgate-RateLimit-Limit: 7777\r\n",
                "steady",
            )
        }),
        ok("a hundred interim answers", |_| {
            let mut steps = say("HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
            steps.extend(whole("", "steady"));
            steps
        }),
        ok("interim answers of all kinds", |_| {
            let mut steps = say(String::from(
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 199 X\r\n\r\n",
            ));
            steps.extend(whole("", "steady"));
            steps
        }),
    ]
}

/// More than one answer for one request: no other request may get it.
pub(crate) fn poisons() -> Vec<Reply> {
    let bad = |name, steps| reply("T26", name, Then::Any(vec![Then::Passes, broken()]), steps);
    vec![
        bad("two answers at once", |_| {
            let mut steps = whole("", "steady");
            steps.extend(whole("", "poisoned"));
            steps
        }),
        bad("a second one a little later", |_| {
            let mut steps = whole("", "steady");
            steps.push(Step::Pause(20));
            steps.extend(whole("", "poisoned"));
            steps
        }),
        bad("half of a second one", |_| {
            let mut steps = whole("", "steady");
            steps.extend(say(String::from("HTTP/1.1 200 OK\r\nContent-Le")));
            steps
        }),
        bad("letters behind the body", |_| {
            let mut steps = whole("", "steady");
            steps.extend(say(String::from("poisoned")));
            steps
        }),
        bad("a line end behind the body", |_| {
            let mut steps = whole("", "steady");
            steps.extend(say(String::from("\r\n")));
            steps
        }),
        bad("an answer behind chunks", |_| {
            let mut steps = chunked("", &["steady"]);
            steps.extend(whole("", "poisoned"));
            steps
        }),
        bad("a body where none may be", |_| {
            say(String::from("HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\npoisoned"))
        })
        .with(Then::Any(vec![Then::Status(204), broken()])),
        bad("a body behind a 304", |_| {
            say(String::from("HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\npoisoned"))
        })
        .with(Then::Any(vec![Then::Status(304), broken()])),
        bad("a body behind HEAD", |_| whole("", "poisoned")).asks(ask("HEAD", "{p}/x")),
        bad("an answer behind HEAD's", |_| {
            say(String::from("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"))
        })
        .asks(ask("HEAD", "{p}/x")),
        bad("a close that is promised and not kept", |_| {
            let mut steps = whole("Connection: close\r\n", "steady");
            steps.extend(whole("", "poisoned"));
            steps
        }),
        bad("an answer before the request's end", |_| whole("", "steady")).early(),
        bad("two answers before the request's end", |_| {
            let mut steps = whole("", "steady");
            steps.extend(whole("", "poisoned"));
            steps
        })
        .early(),
        bad("closed before the request's end", |_| {
            let mut steps = whole("Connection: close\r\n", "steady");
            steps.push(Step::Close);
            steps
        })
        .early()
        .cut_short(),
        bad("a call that closes without a word", |_| vec![Step::Close]).asks(fetch("{p}/x")),
    ]
}

impl Reply {
    fn with(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

impl Lane {
    async fn replied(&self, ways: &Ways, reply: &Reply, protocol: Protocol) -> Result<(), String> {
        self.recorder.take();
        // A connection that has served: its next users are who would be harmed.
        let mut client = match protocol {
            Protocol::One => Client::One(Wire::open(&ways.http1).await),
            Protocol::Two => Client::Two(Box::new(Frames::open(&ways.http2).await), 1),
        };
        self.good(&mut client, true).await?;
        if let Client::Two(_, stream) = &mut client {
            *stream = 3;
        }
        let mut marks = self.recorder.take().marks;
        let outcome = self.asked(&mut client, reply).await;
        judge(&reply.then, &outcome)?;
        if let (Outcome::Answered(heard), false) = (&outcome, reply.gets.is_empty()) {
            let all = heard.bytes();
            if memchr::memmem::find(&all, reply.gets.as_bytes()).is_none() {
                let all = String::from_utf8_lossy(&all).into_owned();
                return Err(format!("the client did not get {:?}: {all}", reply.gets));
            }
        }
        // What comes late has time to come.
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        let taken = self.recorder.take();
        marks.extend(taken.marks.iter().cloned());
        self.recorder.play(Script::Usual);
        if taken.seen.len() > reply.most {
            return Err(format!("the provider was asked {} times", taken.seen.len()));
        }
        let mut case = Case::ask(reply.threat, reply.name, reply.ask.clone(), Then::Passes);
        case.streams = reply.cut_short;
        self.check(&case, &taken, taken.seen.len())?;
        if let Client::Two(_, stream) = &mut client {
            *stream = 5;
        }
        for _ in 0..2 {
            self.good(&mut client, false).await?;
            marks.extend(self.recorder.take().marks);
            if let Client::Two(_, stream) = &mut client {
                *stream += 2;
            }
        }
        self.search(&client, &marks)?;
        // On as many connections as the house has threads, and more.
        for _ in 0..2 {
            let mut fresh = Client::One(Wire::open(&ways.http1).await);
            self.good(&mut fresh, true).await?;
            self.search(&fresh, &self.recorder.take().marks)?;
        }
        Ok(())
    }

    /// The request, on stream 3 where there are streams, and what is answered to it.
    async fn asked(&self, client: &mut Client, reply: &Reply) -> Outcome {
        let steps = (reply.steps)(self.secret.plain());
        let script = if reply.early { Script::Early(steps) } else { Script::Play(steps) };
        self.recorder.play(script);
        let ask = reply.ask.for_lane(self);
        match client {
            Client::One(wire) => {
                wire.send(&ask.as_http1()).await;
                match wire.answer(ask.method == "HEAD").await {
                    Some(heard) if heard.whole => Outcome::Answered(heard),
                    Some(heard) => Outcome::Cut(Some(heard)),
                    None if wire.closed => Outcome::Cut(None),
                    None => Outcome::Hung,
                }
            }
            Client::Two(frames, _) => {
                frames.ask(3, &ask.as_http2(), ask.body.as_deref()).await;
                outcome(frames.end_of(3).await)
            }
        }
    }
}

/// Every reply in every lane over both protocols; faults with the name of their reply.
async fn faults_of(scene: &Scene, replies: fn() -> Vec<Reply>) -> Vec<(&'static str, String)> {
    let mut lanes = tokio::task::JoinSet::new();
    for lane in &scene.lanes {
        let (lane, ways) = (Arc::clone(lane), scene.ways.clone());
        lanes.spawn(async move {
            let mut faults = Vec::new();
            for (at, reply) in replies().into_iter().enumerate() {
                // Under TLS the lanes share them: there it is the transport that matters.
                if ways.http1.tls.is_some() && PLACEMENTS[at % PLACEMENTS.len()] != lane.placement {
                    continue;
                }
                for protocol in [Protocol::One, Protocol::Two] {
                    if let Err(fault) = lane.replied(&ways, &reply, protocol).await {
                        let (threat, name, id) = (reply.threat, reply.name, lane.id);
                        faults
                            .push((name, format!("{threat} {name} ({id}, {protocol:?}): {fault}")));
                        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    }
                }
            }
            faults
        });
    }
    lanes.join_all().await.concat()
}

async fn played(scene: Scene, replies: fn() -> Vec<Reply>) {
    let faults = faults_of(&scene, replies).await;
    scene.leave().await;
    let faults: Vec<String> = faults.into_iter().map(|(_, fault)| fault).collect();
    assert!(faults.is_empty(), "{} failed:\n{}", faults.len(), faults.join("\n"));
}

fn harmful() -> Vec<Reply> {
    [echoes(), framings(), poisons()].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_provider_harms_a_client() {
    played(Scene::plain().await, harmful).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_provider_harms_a_client_under_tls() {
    played(Scene::over_tls().await, harmful).await;
}

/// A dress that is blanked by now must leave the list, and one that is not on it must be blanked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_awaited_is_still_missing_and_nothing_else_is() {
    let scene = Scene::plain().await;
    let faults = faults_of(&scene, dresses).await;
    scene.leave().await;
    for (name, reason) in AWAITED {
        let leaks =
            faults.iter().any(|(found, fault)| found == name && fault.contains("the real key"));
        assert!(leaks, "{name} ({reason}) is caught now: take it off the list");
    }
    let others: Vec<&String> = faults
        .iter()
        .filter(|(found, _)| !AWAITED.iter().any(|(name, _)| name == found))
        .map(|(_, fault)| fault)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}
