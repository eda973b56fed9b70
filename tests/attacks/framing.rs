//! How long a message is, and how its lines are written: everything that could make two readers
//! disagree about where one ends and the next begins.

use crate::case::{Case, Then, ask, fetch};
use crate::run::attack;

const NO: Then = Then::No(400, "bad_request");

fn passes_or(then: Then) -> Then {
    Then::Any(vec![Then::Passes, then])
}

/// What a reader who ends the first message sooner would take for a request.
const SECOND: &str = "GET {p}/smuggled HTTP/1.1\r\n{host}{auth}\r\n";

fn post(framing: &str, body: &str) -> String {
    format!("POST {{p}}/x HTTP/1.1\r\n{{host}}{{auth}}{framing}\r\n{body}")
}

pub(crate) fn codings() -> Vec<Case> {
    let mut cases = Vec::new();
    // The parser takes chunks for the truth, as the standard allows, and ends the connection.
    let both = ["Content-Length: 6", "Transfer-Encoding: chunked"];
    for (name, order) in [("length, then chunks", [0, 1]), ("chunks, then length", [1, 0])] {
        let framing = order.map(|at| both[at]).join("\r\n");
        let bytes = post(&format!("{framing}\r\n"), "7\r\n{\"a\":1}\r\n0\r\n\r\n") + SECOND;
        let then = Then::Turns(vec![Then::Passes, Then::Cut]);
        cases.push(Case::raw("T01", name, bytes, then).misses("smuggled"));
    }
    for coding in [
        "xchunked",
        "chunked, gzip",
        "gzip, chunked",
        ", chunked",
        "chunked,",
        "chunked, chunked",
        "chunked;q=1",
        "chunked identity",
        "identity",
        "gzip",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\u{0}",
        "chu\u{212a}ed",
        "",
    ] {
        let framing = format!("Transfer-Encoding: {coding}\r\n");
        let bytes = post(&framing, "7\r\n{\"a\":1}\r\n0\r\n\r\n") + SECOND;
        let then = Then::Any(vec![NO, Then::Bare(400)]);
        let name = format!("Transfer-Encoding: {}", coding.escape_debug());
        cases.push(Case::raw("T01", &name, bytes, then));
    }
    for (name, framing, then) in [
        ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", NO),
        ("twice, other", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", NO),
        ("twice, hidden", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", NO),
        ("space before the colon", "Transfer-Encoding : chunked\r\n", Then::Bare(400)),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n", Then::Bare(400)),
        ("folded name", "X-A: b\r\n Transfer-Encoding: chunked\r\n", Then::Bare(400)),
        ("carriage return inside", "X-A: b\rTransfer-Encoding: chunked\r\n", Then::Bare(400)),
    ] {
        let bytes = post(framing, "7\r\n{\"a\":1}\r\n0\r\n\r\n") + SECOND;
        let then = if then == NO { Then::Any(vec![NO, Then::Bare(400)]) } else { then };
        cases.push(Case::raw("T01", &format!("chunked {name}"), bytes, then));
    }
    let upper = post("TRANSFER-ENCODING: CHUNKED\r\n", "7\r\n{\"a\":1}\r\n0\r\n\r\n");
    cases.push(Case::raw("T01", "chunked in capitals", upper, Then::Passes));
    let older = "POST {p}/x HTTP/1.0\r\n{host}{auth}Transfer-Encoding: chunked\r\n\r\n\
                 7\r\n{\"a\":1}\r\n0\r\n\r\n";
    cases.push(Case::raw("T01", "chunks in HTTP/1.0", older, Then::Any(vec![NO, Then::Bare(400)])));
    // A server that takes an underscore for a hyphen would read a second framing.
    for (name, line) in [
        ("Transfer_Encoding", "Transfer_Encoding: chunked"),
        ("Content_Length", "Content_Length: 99"),
        ("Transfer-Encoding_", "Transfer-Encoding_: chunked"),
    ] {
        let bytes = post(&format!("{line}\r\nContent-Length: 7\r\n"), "{\"a\":1}");
        let case = Case::raw("T01", name, bytes, Then::Passes);
        cases.push(if name.ends_with('_') { case } else { case.misses(line) });
    }
    cases
}

pub(crate) fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [
        "+7",
        "-7",
        "0x7",
        "7,8",
        "7, 7",
        "7 7",
        "7;",
        "\u{ff17}",
        "7e0",
        "7.0",
        "seven",
        "",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "7\u{0}",
        "7\u{b}",
    ] {
        let bytes = post(&format!("Content-Length: {length}\r\n"), "{\"a\":1}") + SECOND;
        let name = format!("Content-Length: {}", length.escape_debug());
        let then = Then::Any(vec![NO, Then::Bare(400), Then::Bare(431)]);
        cases.push(Case::raw("T02", &name, bytes, then));
    }
    for (name, framing, then) in [
        ("two that differ", "Content-Length: 7\r\nContent-Length: 6\r\n", Then::Bare(400)),
        ("two that agree", "Content-Length: 7\r\nContent-Length: 7\r\n", passes_or(NO)),
        ("space before the colon", "Content-Length : 7\r\n", Then::Bare(400)),
        ("folded", "Content-Length:\r\n 7\r\n", Then::Bare(400)),
        ("blanks around", "Content-Length: \t7 \r\n", Then::Passes),
        ("zeroes before", "Content-Length: 007\r\n", Then::Passes),
    ] {
        let bytes = post(framing, "{\"a\":1}");
        cases.push(Case::raw("T02", &format!("length, {name}"), bytes, then));
    }
    // Nothing of what stands behind a length is dropped, nor read as a request of its own.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let inner = "GET /bearer/smuggled HTTP/1.1\r\n\r\n";
        let case = ask(method, "{p}/x").body(format!("{{\"a\":\"{}\"}}", inner.len()));
        let name = format!("{method} with a body");
        cases.push(Case::ask("T02", &name, case, Then::Passes).sees("{\"").misses("smuggled"));
    }
    cases
}

pub(crate) fn chunks() -> Vec<Case> {
    let mut cases = Vec::new();
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for (name, body) in [
        ("size beyond 64 bits", "10000000000000007\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("size below zero", "-7\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("size with a sign", "+7\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("size with 0x", "0x7\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("no size", "\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("size that is none", "G\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("size with an underscore", "0_7\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("carriage return alone", "7\r{\"a\":1}\r\n0\r\n\r\n"),
        ("longer than its size", "7\r\n{\"a\":1}X\r\n0\r\n\r\n"),
        ("shorter than its size", "8\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("line feed in an extension", "7;a=\"\n\"\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("two sizes", "7 7\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("zero byte behind the size", "7\0\r\n{\"a\":1}\r\n0\r\n\r\n"),
    ] {
        let then = Then::Any(vec![NO, Then::Bare(400), Then::Cut]);
        cases.push(Case::raw("T03", name, chunked(body) + SECOND, then).streams());
    }
    let extension = format!("7;{}\r\n{{\"a\":1}}\r\n0\r\n\r\n", "a".repeat(20_000));
    let long = Case::raw("T03", "an endless extension", chunked(&extension), NO).streams();
    cases.push(long);
    for (name, body) in [
        ("extension", "7;a=b\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("quoted extension", "7;a=\"b;c\"\r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("zeroes before the size", "0000007\r\n{\"a\":1}\r\n000\r\n\r\n"),
        ("blank behind the size", "7 \r\n{\"a\":1}\r\n0\r\n\r\n"),
        ("pieces", "1\r\n{\r\n5\r\n\"a\":1\r\n1\r\n}\r\n0\r\n\r\n"),
    ] {
        let case = Case::raw("T03", &format!("chunk, {name}"), chunked(body), Then::Passes);
        cases.push(case.misses(";a"));
    }
    // A quoted line end ends the line all the same.
    let quoted = "7;a=\"\r\n{\"a\":1}\r\n0\r\n\r\n";
    let then = passes_or(NO);
    cases
        .push(Case::raw("T03", "an extension with an open quote", chunked(quoted), then).streams());
    for trailer in [
        "Authorization: Bearer dummy-trailer",
        "X-API-Key: {key}",
        "X-Provider-Key: dummy-trailer",
        "Content-Length: 99",
        "Transfer-Encoding: chunked",
        "Host: evil.test",
        "X-Trailer: dummy-trailer",
        "Connection: close",
    ] {
        let body = format!("7\r\n{{\"a\":1}}\r\n0\r\n{trailer}\r\n\r\n");
        let name = format!("trailer {trailer}");
        let case = Case::raw("T03", &name, chunked(&body), passes_or(NO)).streams();
        cases.push(case.misses("dummy-trailer").misses("evil.test"));
        // Announced, it still does not go on where it could be taken for more than a trailer.
        if trailer.starts_with("X-Trailer") {
            continue;
        }
        let announced = trailer.split(':').next().unwrap_or_default();
        let bytes = post(&format!("Trailer: {announced}\r\nTransfer-Encoding: chunked\r\n"), &body);
        let name = format!("announced trailer {trailer}");
        let case = Case::raw("T03", &name, bytes, passes_or(NO)).streams();
        cases.push(case.misses("dummy-trailer").misses("evil.test"));
    }
    // A client key behind the body, under a name that may go on. Of a body that is read whole
    // before it leaves nothing behind it goes on.
    let body = "7\r\n{\"a\":1}\r\n0\r\nX-Checksum: {key}\r\n\r\n";
    let bytes = post("Trailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n", body);
    cases.push(Case::raw("T03", "a client key in a trailer", bytes, passes_or(NO)).streams());
    cases
}

pub(crate) fn lines() -> Vec<Case> {
    let mut cases = Vec::new();
    let no = || Then::Any(vec![NO, Then::Bare(400), Then::Cut]);
    let mut head = |name: &str, bytes: &str, then: Then| {
        cases.push(Case::raw("T04", name, bytes.as_bytes(), then));
    };
    for (name, line) in [
        ("zero byte in a value", "X-A: a\0b"),
        ("zero byte in a name", "X-\0A: a"),
        ("carriage return in a value", "X-A: a\rX-B: b"),
        ("blank in a name", "X A: a"),
        ("blank before the colon", "X-A : a"),
        ("tab before the colon", "X-A\t: a"),
        ("no name", ": a"),
        ("no colon", "X-A"),
        ("bracket in a name", "X(A): a"),
        ("letters beyond ASCII in a name", "X-\u{e4}: a"),
        ("folded line", "X-A: a\r\n b"),
        ("folded with a tab", "X-A: a\r\n\tb"),
        ("delete character", "X-A: a\u{7f}b"),
        ("escape character", "X-A: a\u{1b}[2Jb"),
        ("backspace", "X-A: a\u{8}"),
    ] {
        let bytes = format!("GET {{p}}/x HTTP/1.1\r\n{{host}}{{auth}}{line}\r\n\r\n");
        head(name, &bytes, no());
    }
    for (name, first) in [
        ("HTTP/0.9", "GET {p}/x"),
        ("HTTP/2.0 in a line", "GET {p}/x HTTP/2.0"),
        ("HTTP/1.2", "GET {p}/x HTTP/1.2"),
        ("HTTP/1.10", "GET {p}/x HTTP/1.10"),
        ("HTTP/11", "GET {p}/x HTTP/11"),
        ("version in small letters", "GET {p}/x http/1.1"),
        ("no version's name", "GET {p}/x 1.1"),
        ("words behind the version", "GET {p}/x HTTP/1.1 x"),
        ("blank within the target", "GET {p}/x y HTTP/1.1"),
        ("tab for a blank", "GET\t{p}/x\tHTTP/1.1"),
        ("two blanks", "GET  {p}/x HTTP/1.1"),
        ("zero byte in the target", "GET {p}/\0x HTTP/1.1"),
        ("zero byte in the method", "GE\0T {p}/x HTTP/1.1"),
        ("bracket in the method", "GE(T {p}/x HTTP/1.1"),
        ("no target", "GET  HTTP/1.1"),
        ("no method", " {p}/x HTTP/1.1"),
        ("a greeting of TLS", "\u{16}\u{3}\u{1}"),
        ("a proxy's preamble", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET {p}/x HTTP/1.1"),
        ("a relative target", "GET x HTTP/1.1"),
        ("an asterisk", "GET * HTTP/1.1"),
        ("a backslash for a slash", "GET \\x HTTP/1.1"),
        ("an authority for a target", "GET gate.test:80 HTTP/1.1"),
        ("another scheme", "GET ftp://gate.test{p}/x HTTP/1.1"),
        ("a script for a target", "GET javascript:x HTTP/1.1"),
    ] {
        head(name, &format!("{first}\r\n{{host}}{{auth}}\r\n"), no());
    }
    head("a whole URL", "GET http://gate.test{p}/x HTTP/1.1\r\n{host}{auth}\r\n", no());
    // As hyper reads them; what goes on is written anew.
    head(
        "line feeds alone",
        "GET {p}/x HTTP/1.1\nHost: gate.test\nX-API-Key: {key}\n\n",
        passes_or(no()),
    );
    head("empty lines before", "\r\n\r\nGET {p}/x HTTP/1.1\r\n{host}{auth}\r\n", passes_or(no()));
    head("HTTP/1.0", "GET {p}/x HTTP/1.0\r\n{host}{auth}\r\n", Then::Passes);
    head("HTTP/1.0 without a host", "GET {p}/x HTTP/1.0\r\n{auth}\r\n", Then::Passes);
    head("no host", "GET {p}/x HTTP/1.1\r\n{auth}\r\n", NO);
    cases.push(Case::ask("T04", "a plain call", fetch("{p}/x?a=b"), Then::Passes).sees("/x?a=b"));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_one_length_and_one_beginning() {
    attack([codings(), lengths(), chunks(), lines()].concat()).await;
}
