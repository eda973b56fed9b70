//! Frames of HTTP/2 that no client library writes: pseudo headers, sizes, orders and floods. What
//! is malformed ends its stream or its connection, and never becomes a request of HTTP/1.1.

use crate::case::{Case, Placement, Then, Words};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, PUSH,
    RESET, SETTINGS, WINDOW, block, frame,
};
use crate::run::attack;

const NO: Then = Then::No(400, "bad_request");
const ALL: u8 = END_HEADERS | END_STREAM;

/// The pseudo headers of a plain call and its credential.
fn usual(words: &Words) -> Vec<(String, String)> {
    let path = format!("{}/x", words.prefix);
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gate.test"),
        (":path", path.as_str()),
        ("x-api-key", words.key.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn head(pairs: &[(String, String)]) -> Vec<u8> {
    let pairs: Vec<(&str, &str)> =
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    block(&pairs)
}

/// A call with a small body of JSON.
fn call(stream: u32, pairs: &[(String, String)]) -> Vec<u8> {
    let data = frame(DATA, END_STREAM, stream, b"{\"a\":1}");
    [frame(HEADERS, END_HEADERS, stream, &head(pairs)), data].concat()
}

fn with(words: &Words, name: &str, value: &str) -> Vec<u8> {
    let mut pairs = usual(words);
    pairs.push((name.to_owned(), value.to_owned()));
    call(1, &pairs)
}

fn instead(words: &Words, name: &str, value: &str) -> Vec<u8> {
    let mut pairs = usual(words);
    pairs
        .iter_mut()
        .filter(|(known, _)| known == name)
        .for_each(|pair| value.clone_into(&mut pair.1));
    call(1, &pairs)
}

fn without(words: &Words, name: &str) -> Vec<u8> {
    let mut pairs = usual(words);
    pairs.retain(|(known, _)| known != name);
    call(1, &pairs)
}

/// A plain call behind these frames.
fn behind(words: &Words, frames: &[u8]) -> Vec<u8> {
    [frames, &call(1, &usual(words))].concat()
}

fn ended() -> Then {
    Then::Any(vec![
        Then::Cut,
        NO,
        Then::Bare(400),
        Then::Bare(431),
        Then::No(405, "method_not_allowed"),
    ])
}

pub(crate) fn heads() -> Vec<Case> {
    type Frames = fn(&Words) -> Vec<u8>;
    let malformed: &[(&str, Frames)] = &[
        ("no method", |w| without(w, ":method")),
        ("no path", |w| without(w, ":path")),
        ("no scheme", |w| without(w, ":scheme")),
        ("an empty method", |w| instead(w, ":method", "")),
        ("an empty path", |w| instead(w, ":path", "")),
        ("an asterisk for a path", |w| instead(w, ":path", "*")),
        ("a path without a slash", |w| instead(w, ":path", "x")),
        ("a whole URL for a path", |w| instead(w, ":path", "http://evil.test/x")),
        ("an authority for a path", |w| instead(w, ":path", "evil.test:443")),
        ("a path with a blank", |w| instead(w, ":path", &format!("{}/x HTTP/1.1", w.prefix))),
        ("a path with a line end", |w| {
            instead(w, ":path", &format!("{}/x\r\nHost: evil.test", w.prefix))
        }),
        ("a path with a line feed", |w| instead(w, ":path", &format!("{}/x\nX: y", w.prefix))),
        ("a path with a zero byte", |w| instead(w, ":path", &format!("{}/x\0", w.prefix))),
        ("a path with a tab", |w| instead(w, ":path", &format!("{}/\tx", w.prefix))),
        ("a method with a line end", |w| {
            instead(w, ":method", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET")
        }),
        ("a method with a blank", |w| instead(w, ":method", "GET /x")),
        ("a scheme with a host", |w| instead(w, ":scheme", "http://evil.test/?")),
        ("a scheme with a line end", |w| instead(w, ":scheme", "http\r\nA: b")),
        ("an authority with a user", |w| instead(w, ":authority", "a:b@gate.test")),
        ("an authority with a path", |w| instead(w, ":authority", "evil.test/x")),
        ("an authority with a blank", |w| instead(w, ":authority", "gate.test evil.test")),
        ("an authority with a line end", |w| instead(w, ":authority", "gate.test\r\nA: b")),
        ("two methods", |w| with(w, ":method", "GET")),
        ("two paths", |w| with(w, ":path", "/x")),
        ("two authorities", |w| with(w, ":authority", "evil.test")),
        ("a status", |w| with(w, ":status", "200")),
        ("an unknown pseudo header", |w| with(w, ":other", "x")),
        ("a protocol that was not agreed on", |w| with(w, ":protocol", "websocket")),
        ("another host", |w| with(w, "host", "evil.test")),
        ("two other hosts", |w| {
            let mut pairs = usual(w);
            pairs.extend(
                [("host", "evil.test"), ("host", "gate.test")].map(|(n, v)| (n.into(), v.into())),
            );
            call(1, &pairs)
        }),
        ("a pseudo header behind others", |w| {
            let mut pairs = usual(w);
            pairs.rotate_left(1);
            call(1, &pairs)
        }),
        ("capitals in a name", |w| with(w, "X-Capital", "a")),
        ("capitals in a slot", |w| with(w, "Authorization", "Bearer x")),
        ("a name with a colon", |w| with(w, "x:a", "b")),
        ("a name with a blank", |w| with(w, "x a", "b")),
        ("a name with a line end", |w| with(w, "x\r\ny", "b")),
        ("an empty name", |w| with(w, "", "b")),
        ("a name with a zero byte", |w| with(w, "x\0", "b")),
        ("a value with a line end", |w| with(w, "x-a", "b\r\nhost: evil.test")),
        ("a value with a request", |w| with(w, "x-a", "b\r\n\r\nGET /smuggled HTTP/1.1\r\n")),
        ("a value with a line feed", |w| with(w, "x-a", "b\nc")),
        ("a value with a carriage return", |w| with(w, "x-a", "b\rc")),
        ("a value with a zero byte", |w| with(w, "x-a", "b\0c")),
        ("connection", |w| with(w, "connection", "close")),
        ("connection that nominates", |w| with(w, "connection", "authorization, x-provider-key")),
        ("keep-alive", |w| with(w, "keep-alive", "timeout=5")),
        ("proxy-connection", |w| with(w, "proxy-connection", "keep-alive")),
        ("upgrade", |w| with(w, "upgrade", "h2c")),
        ("transfer-encoding", |w| with(w, "transfer-encoding", "chunked")),
        ("transfer-encoding, identity", |w| with(w, "transfer-encoding", "identity")),
        ("te that is no trailers", |w| with(w, "te", "gzip")),
        ("a length too short", |w| with(w, "content-length", "3")),
        ("a length of nothing", |w| with(w, "content-length", "0")),
        ("a length too long", |w| with(w, "content-length", "99")),
        ("a length that is none", |w| with(w, "content-length", "seven")),
        ("a length with a sign", |w| with(w, "content-length", "+7")),
        ("two lengths", |w| {
            let mut pairs = usual(w);
            pairs.extend(
                [("content-length", "7"), ("content-length", "8")]
                    .map(|(n, v)| (n.into(), v.into())),
            );
            call(1, &pairs)
        }),
        ("a length and no body", |w| {
            let mut pairs = usual(w);
            pairs.push(("content-length".into(), "7".into()));
            frame(HEADERS, ALL, 1, &head(&pairs))
        }),
    ];
    let mut cases: Vec<Case> = malformed
        .iter()
        .map(|(name, frames)| {
            let case = Case::frames("T20", name, *frames, ended());
            // What does not fit its length is seen when a part of it has gone on.
            if name.contains("length") { case.streams() } else { case }
        })
        .collect();
    let fine: &[(&str, Frames)] = &[
        ("as it should be", |w| call(1, &usual(w))),
        ("no authority, but a host", |w| {
            let mut pairs = usual(w);
            pairs.retain(|(name, _)| name != ":authority");
            pairs.push(("host".into(), "gate.test".into()));
            call(1, &pairs)
        }),
        ("a right length", |w| with(w, "content-length", "7")),
        ("te as it may be", |w| with(w, "te", "trailers")),
        ("cookies in crumbs", |w| {
            let mut pairs = usual(w);
            pairs.extend([("cookie", "a=b"), ("cookie", "c=d")].map(|(n, v)| (n.into(), v.into())));
            call(1, &pairs)
        }),
        ("the same host", |w| with(w, "host", "gate.test")),
        ("https for a scheme", |w| instead(w, ":scheme", "https")),
        ("a long body in small pieces", |w| {
            let pieces = b"{\"a\":1}".map(|byte| frame(DATA, 0, 1, &[byte])).concat();
            let start = frame(HEADERS, END_HEADERS, 1, &head(&usual(w)));
            [start, pieces, frame(DATA, END_STREAM, 1, b"")].concat()
        }),
        ("padding", |w| {
            let padded = [&[4][..], b"{\"a\":1}", &[0; 4]].concat();
            let start = frame(HEADERS, END_HEADERS, 1, &head(&usual(w)));
            [start, frame(DATA, END_STREAM | 8, 1, &padded)].concat()
        }),
        ("a frame of no known kind", |w| behind(w, &frame(0xEE, 0xFF, 0, b"abc"))),
        ("a head in many frames", |w| {
            let whole = head(&usual(w));
            let mut pieces: Vec<Vec<u8>> =
                whole.chunks(60).map(|piece| frame(CONTINUATION, 0, 1, piece)).collect();
            pieces[0][3] = HEADERS;
            pieces.last_mut().unwrap()[4] = END_HEADERS;
            [pieces.concat(), frame(DATA, END_STREAM, 1, b"{\"a\":1}")].concat()
        }),
    ];
    cases.extend(fine.iter().map(|(name, frames)| {
        Case::frames("T20", name, *frames, Then::Any(vec![Then::Passes, NO]))
    }));
    for trailer in [":path", "authorization", "x-api-key", "content-length", "x-trailer"] {
        let frames: Frames = match trailer {
            ":path" => |w| trailed(w, ":path", "/y"),
            "authorization" => |w| trailed(w, "authorization", "Bearer dummy"),
            "x-api-key" => |w| trailed(w, "x-api-key", &w.other.clone()),
            "content-length" => |w| trailed(w, "content-length", "99"),
            _ => |w| trailed(w, "x-trailer", "dummy"),
        };
        let name = format!("a trailer {trailer}");
        let then = Then::Any(vec![Then::Passes, Then::Cut, NO]);
        cases.push(Case::frames("T20", &name, frames, then).misses("dummy").streams());
    }
    cases
}

fn trailed(words: &Words, name: &str, value: &str) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, 1, &head(&usual(words))),
        frame(DATA, 0, 1, b"{\"a\":1}"),
        frame(HEADERS, ALL, 1, &block(&[(name, value)])),
    ]
    .concat()
}

/// What breaks a rule of the protocol ends the connection, or is passed over; a call that stands
/// behind it is answered or is not.
pub(crate) fn rules() -> Vec<Case> {
    type Frames = fn(&Words) -> Vec<u8>;
    let broken: &[(&str, Frames)] = &[
        ("data on stream 0", |w| behind(w, &frame(DATA, 0, 0, b"x"))),
        ("data on a stream that is idle", |w| behind(w, &frame(DATA, 0, 5, b"x"))),
        ("a head on stream 0", |w| behind(w, &frame(HEADERS, ALL, 0, &head(&usual(w))))),
        ("a head on a stream of the server's", |w| {
            behind(w, &frame(HEADERS, ALL, 2, &head(&usual(w))))
        }),
        ("streams that go back", |w| {
            [frame(HEADERS, ALL, 7, &block(&[(":method", "GET")])), call(1, &usual(w))].concat()
        }),
        ("settings on a stream", |w| behind(w, &frame(SETTINGS, 0, 1, &[]))),
        ("settings of five bytes", |w| behind(w, &frame(SETTINGS, 0, 0, &[0; 5]))),
        ("an acknowledgement with a payload", |w| behind(w, &frame(SETTINGS, 1, 0, &[0; 6]))),
        ("a window beyond all", |w| behind(w, &frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]))),
        ("frames of no size", |w| behind(w, &frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 0]))),
        ("frames beyond all", |w| behind(w, &frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]))),
        ("push that is 2", |w| behind(w, &frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]))),
        ("a window that grows by nothing", |w| behind(w, &frame(WINDOW, 0, 0, &[0; 4]))),
        ("a window that overflows", |w| {
            let most = frame(WINDOW, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF]);
            behind(w, &[most.clone(), most].concat())
        }),
        ("a window of three bytes", |w| behind(w, &frame(WINDOW, 0, 0, &[0; 3]))),
        ("a ping of seven bytes", |w| behind(w, &frame(PING, 0, 0, &[0; 7]))),
        ("a ping on a stream", |w| behind(w, &frame(PING, 0, 1, &[0; 8]))),
        ("a promise from a client", |w| behind(w, &frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2]))),
        ("a goodbye and a call", |w| behind(w, &frame(GOAWAY, 0, 0, &[0; 8]))),
        ("a goodbye on a stream", |w| behind(w, &frame(GOAWAY, 0, 1, &[0; 8]))),
        ("a continuation of nothing", |w| behind(w, &frame(CONTINUATION, END_HEADERS, 1, &[]))),
        ("a head that another frame interrupts", |w| {
            let start = frame(HEADERS, END_STREAM, 1, &head(&usual(w)));
            [start, frame(PING, 0, 0, &[0; 8]), frame(CONTINUATION, END_HEADERS, 1, &[])].concat()
        }),
        ("a head that another head interrupts", |w| {
            [frame(HEADERS, END_STREAM, 3, &head(&usual(w))), call(1, &usual(w))].concat()
        }),
        ("padding beyond the frame", |w| {
            let start = frame(HEADERS, END_HEADERS, 1, &head(&usual(w)));
            [start, frame(DATA, END_STREAM | 8, 1, b"\xffabc")].concat()
        }),
        ("a frame beyond the agreed size", |w| behind(w, &frame(DATA, 0, 1, &vec![0; 100_000]))),
        ("a reset of an idle stream", |w| behind(w, &frame(RESET, 0, 9, &[0; 4]))),
        ("a reset of three bytes", |w| behind(w, &frame(RESET, 0, 1, &[0; 3]))),
        ("a priority of itself", |w| behind(w, &frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]))),
        ("a priority of four bytes", |w| behind(w, &frame(PRIORITY, 0, 1, &[0; 4]))),
        ("an index that is nobody's", |w| behind(w, &frame(HEADERS, ALL, 3, &[0xFF, 0xFF, 0x7F]))),
        ("index 0", |w| behind(w, &frame(HEADERS, ALL, 3, &[0x80]))),
        ("a text that is cut", |w| behind(w, &frame(HEADERS, ALL, 3, &[0, 0x7F, 0xFF, 1, b'a']))),
        ("a number without end", |w| behind(w, &frame(HEADERS, ALL, 3, &[0xFF; 20]))),
        ("a code that is none", |w| {
            behind(w, &frame(HEADERS, ALL, 3, &[0, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 1, b'a']))
        }),
        ("a table beyond all", |w| {
            behind(w, &frame(HEADERS, ALL, 3, &[0x3F, 0xE1, 0xFF, 0xFF, 0x7F]))
        }),
        ("data behind the end", |w| [call(1, &usual(w)), frame(DATA, 0, 1, b"more")].concat()),
        ("a second head behind the end", |w| [call(1, &usual(w)), call(1, &usual(w))].concat()),
        ("a second preface", |w| behind(w, PREFACE)),
        ("a request of HTTP/1.1", |w| {
            let request = format!("GET {}/smuggled HTTP/1.1\r\nHost: gate.test\r\n\r\n", w.prefix);
            behind(w, request.as_bytes())
        }),
    ];
    let case = |(name, frames): &(&str, Frames)| {
        let then = Then::Any(vec![Then::Passes, Then::Cut, NO]);
        Case::frames("T20", name, *frames, then).misses("smuggled").streams()
    };
    broken.iter().map(case).collect()
}

pub(crate) fn floods() -> Vec<Case> {
    type Frames = fn(&Words) -> Vec<u8>;
    let floods: &[(&str, Frames)] = &[
        ("resets", |w| {
            let start = head(&usual(w));
            let streams = (1..600).map(|at| at * 2 + 1);
            let one = |stream| {
                [frame(HEADERS, ALL, stream, &start), frame(RESET, 0, stream, &[0, 0, 0, 8])]
                    .concat()
            };
            [call(1, &usual(w)), streams.flat_map(one).collect()].concat()
        }),
        ("resets that the server makes", |w| {
            let start = head(&usual(w));
            let streams = (1..600).map(|at| at * 2 + 1);
            let one = |stream| {
                let wrong = frame(WINDOW, 0, stream, &[0; 4]);
                [frame(HEADERS, END_HEADERS, stream, &start), wrong].concat()
            };
            [call(1, &usual(w)), streams.flat_map(one).collect()].concat()
        }),
        ("continuations", |w| {
            let start = frame(HEADERS, END_STREAM, 1, &head(&usual(w)));
            let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"v".repeat(4000))]));
            [start, more.repeat(500)].concat()
        }),
        ("continuations of nothing", |w| {
            let start = frame(HEADERS, END_STREAM, 1, &head(&usual(w)));
            [start, frame(CONTINUATION, 0, 1, &[]).repeat(2000)].concat()
        }),
        ("settings", |w| behind(w, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(2000))),
        ("pings", |w| behind(w, &frame(PING, 0, 0, &[7; 8]).repeat(2000))),
        ("priorities", |w| behind(w, &frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9]).repeat(2000))),
        ("data of nothing", |w| {
            let start = frame(HEADERS, END_HEADERS, 1, &head(&usual(w)));
            [start, frame(DATA, 0, 1, &[]).repeat(5000)].concat()
        }),
        ("padding", |w| {
            let start = frame(HEADERS, END_HEADERS, 1, &head(&usual(w)));
            let padding = [&[255][..], &[0; 255]].concat();
            [start, frame(DATA, 8, 1, &padding).repeat(1000)].concat()
        }),
        ("windows that grow", |w| behind(w, &frame(WINDOW, 0, 0, &[0, 0, 0, 1]).repeat(2000))),
        ("frames of no known kind", |w| behind(w, &frame(0xEE, 0, 0, &[1; 100]).repeat(2000))),
        ("a bomb of headers", |w| {
            // One large value in the table, named again and again.
            let mut block = head(&usual(w));
            block.extend([0x40, 6]);
            block.extend(b"x-bomb");
            block.extend([0x7F, 0xA1, 0x1E]);
            block.extend(vec![b'b'; 4000]);
            block.extend(vec![0xBE; 12_000]);
            frame(HEADERS, ALL, 1, &block[..block.len().min(16_384)])
        }),
        ("streams beyond what was agreed", |w| {
            let start = head(&usual(w));
            let streams = (1..600).map(|at| at * 2 + 1);
            let open = streams.flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &start));
            [call(1, &usual(w)), open.collect()].concat()
        }),
    ];
    let case = |(name, frames): &(&str, Frames)| {
        let then = vec![Then::Passes, Then::Cut, NO, Then::Bare(431), Then::Bare(400)];
        let name = format!("a flood of {name}");
        Case::frames("T21", &name, *frames, Then::Any(then))
            .streams()
            .alone()
            .crowd()
            .at(&[Placement::Bearer])
    };
    floods.iter().map(case).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_of_http2_becomes_another_request() {
    attack([heads(), rules(), floods()].concat()).await;
}
