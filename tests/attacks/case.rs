//! What a case is: a name, the threat that it belongs to, what is sent, and what must become of it.
//! In what is sent, `{p}` is the provider's prefix, `{key}` the client's key, `{other}` another
//! client's, `{host}` a Host line and `{auth}` the usual credential's line.

use crate::recorder::replaced;
use crate::scene::Lane;

/// Where the provider wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placement {
    Header,
    Bearer,
    Query,
    Json,
    Path,
    Basic,
    Several,
}

pub(crate) const PLACEMENTS: [Placement; 7] = [
    Placement::Header,
    Placement::Bearer,
    Placement::Query,
    Placement::Json,
    Placement::Path,
    Placement::Basic,
    Placement::Several,
];

#[derive(Clone)]
pub(crate) struct Case {
    pub name: String,
    pub threat: &'static str,
    pub what: What,
    pub then: Then,
    /// Where HTTP/2 makes another thing of it.
    pub over_h2: Option<Then>,
    /// Stands in the request that the provider sees.
    pub sees: Vec<String>,
    /// Does not.
    pub misses: Vec<String>,
    /// Empty: everywhere.
    pub at: Vec<Placement>,
    /// Its connection is good for nothing afterwards, though it may be open.
    pub alone: bool,
    /// A refusal that comes when the provider has had a part of the request.
    pub streams: bool,
    /// It makes calls without number, which are its own affair.
    pub crowd: bool,
}

#[derive(Clone)]
pub(crate) enum What {
    /// Over both protocols.
    Ask(Ask),
    /// Bytes of HTTP/1.1.
    Raw(Vec<u8>),
    /// Frames behind the preface; the first stream is looked at.
    Frames(fn(&Words) -> Vec<u8>),
}

/// What stands for the placeholders.
pub(crate) struct Words {
    pub prefix: String,
    pub key: String,
    pub other: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The provider's own answer, for one request with the key in its place.
    Passes,
    /// A refusal as the contract has it.
    No(u16, &'static str),
    /// The provider's own answer, with this status.
    Status(u16),
    /// The provider's own answer, which breaks off.
    Half,
    /// The house's own answer, which concerns no provider.
    Own(u16),
    /// What cannot be parsed: a status alone, and a closed connection.
    Bare(u16),
    /// Closed, or reset, without an answer.
    Cut,
    /// One of these.
    Any(Vec<Then>),
    /// One answer after the other on the same connection.
    Turns(Vec<Then>),
}

/// A request in parts, to be written in either protocol.
#[derive(Clone)]
pub(crate) struct Ask {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// The usual credential is sent along.
    pub credential: bool,
}

pub(crate) fn ask(method: &str, target: &str) -> Ask {
    let (method, target) = (method.to_owned(), target.to_owned());
    Ask { method, target, headers: Vec::new(), body: None, credential: true }
}

pub(crate) fn fetch(target: &str) -> Ask {
    ask("GET", target)
}

impl Ask {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn bare(mut self) -> Self {
        self.credential = false;
        self
    }

    /// A body where the key stands in it and none is given.
    pub(crate) fn for_lane(&self, lane: &Lane) -> Self {
        let mut ask = self.clone();
        if lane.placement == Placement::Json && ask.body.is_none() {
            ask.body = Some(b"{\"a\":1}".to_vec());
        }
        let words = lane.words();
        ask.target = words.fill_text(&ask.target);
        for (_, value) in &mut ask.headers {
            *value = words.fill_text(value);
        }
        ask.body = ask.body.map(|body| words.fill(&body));
        if ask.credential {
            ask.headers.insert(0, (String::from("X-API-Key"), words.key));
        }
        ask
    }

    pub(crate) fn as_http1(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str("Host: gate.test\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding")
        });
        if let (Some(body), false) = (&self.body, framed) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// The header block's pairs.
    pub(crate) fn as_http2(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let host = self.headers.iter().find(|(name, _)| name == "Host");
        let host = host.map_or("gate.test", |(_, value)| value.as_str());
        let fixed = [
            (":method", self.method.as_str()),
            (":scheme", "http"),
            (":authority", host),
            (":path", self.target.as_str()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let others = self.headers.iter().filter(|(name, _)| name != "Host");
        let others = others.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let pairs = fixed.into_iter().chain(others);
        pairs.map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect()
    }
}

impl Words {
    pub(crate) fn fill(&self, bytes: &[u8]) -> Vec<u8> {
        let host = "Host: gate.test\r\n";
        let auth = format!("X-API-Key: {}\r\n", self.key);
        let pairs = [
            ("{p}", self.prefix.as_str()),
            ("{host}", host),
            ("{auth}", auth.as_str()),
            ("{key}", self.key.as_str()),
            ("{other}", self.other.as_str()),
        ];
        let start = bytes.to_vec();
        let filled = pairs
            .iter()
            .fold(start, |bytes, (what, by)| replaced(&bytes, what.as_bytes(), by.as_bytes()));
        measured(filled)
    }

    pub(crate) fn fill_text(&self, text: &str) -> String {
        String::from_utf8(self.fill(text.as_bytes())).unwrap()
    }
}

/// `{length}` and `{size}` are how long what stands between `{body}` and `{end}` is.
fn measured(bytes: Vec<u8>) -> Vec<u8> {
    let find = |what: &[u8]| memchr::memmem::find(&bytes, what);
    let (Some(from), Some(to)) = (find(b"{body}"), find(b"{end}")) else { return bytes };
    let length = to - from - b"{body}".len();
    let texts = [
        ("{length}", length.to_string()),
        ("{size}", format!("{length:x}")),
        ("{body}", String::new()),
        ("{end}", String::new()),
    ];
    texts.iter().fold(bytes, |bytes, (what, by)| replaced(&bytes, what.as_bytes(), by.as_bytes()))
}

impl Case {
    fn new(threat: &'static str, name: &str, what: What, then: Then) -> Self {
        Self {
            name: name.to_owned(),
            threat,
            what,
            then,
            over_h2: None,
            sees: Vec::new(),
            misses: Vec::new(),
            at: Vec::new(),
            alone: false,
            streams: false,
            crowd: false,
        }
    }

    pub(crate) fn ask(threat: &'static str, name: &str, ask: Ask, then: Then) -> Self {
        Self::new(threat, name, What::Ask(ask), then)
    }

    pub(crate) fn raw(
        threat: &'static str,
        name: &str,
        bytes: impl AsRef<[u8]>,
        then: Then,
    ) -> Self {
        Self::new(threat, name, What::Raw(bytes.as_ref().to_vec()), then)
    }

    pub(crate) fn frames(
        threat: &'static str,
        name: &str,
        frames: fn(&Words) -> Vec<u8>,
        then: Then,
    ) -> Self {
        Self::new(threat, name, What::Frames(frames), then)
    }

    pub(crate) fn over_h2(mut self, then: Then) -> Self {
        self.over_h2 = Some(then);
        self
    }

    pub(crate) fn sees(mut self, text: &str) -> Self {
        self.sees.push(text.to_owned());
        self
    }

    pub(crate) fn misses(mut self, text: &str) -> Self {
        self.misses.push(text.to_owned());
        self
    }

    pub(crate) fn at(mut self, placements: &[Placement]) -> Self {
        self.at = placements.to_vec();
        self
    }

    /// At every placement but these.
    pub(crate) fn not_at(self, placements: &[Placement]) -> Self {
        let others: Vec<Placement> =
            PLACEMENTS.into_iter().filter(|placement| !placements.contains(placement)).collect();
        self.at(&others)
    }

    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn streams(mut self) -> Self {
        self.streams = true;
        self
    }

    pub(crate) fn crowd(mut self) -> Self {
        self.crowd = true;
        self
    }

    pub(crate) fn is_for(&self, placement: Placement) -> bool {
        self.at.is_empty() || self.at.contains(&placement)
    }
}
