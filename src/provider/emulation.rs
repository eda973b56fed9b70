//! What a provider's stand-in answers, as its catalogue file tells it.
//! Data alone: the server that speaks it is the emulator.
//! Must never become code: a new provider is a new file alone.

/// The provider's behaviour as far as its official clients need it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emulation {
    /// The answer to a missing or wrong key, in the provider's own shape.
    pub unauthorized: Canned,
    /// The answer where no route fits.
    pub not_found: Canned,
    /// The answer to one call too many.
    pub too_many: Canned,
    /// Sent with every answer.
    pub headers: Vec<(String, String)>,
    pub routes: Vec<EmulatedRoute>,
    pub sockets: Vec<EmulatedSocket>,
}

/// What is said on a socket at a path, as JSON.
#[derive(Clone, Debug)]
pub(crate) struct EmulatedSocket {
    pub path: String,
    /// As soon as the key is known to be right.
    pub opens: Vec<String>,
    pub answers: Vec<EmulatedWord>,
}

/// What is answered to a message.
#[derive(Clone, Debug)]
pub(crate) struct EmulatedWord {
    /// Stands in the message, written without blanks.
    pub on: String,
    pub says: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Canned {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// One route: `{name}` in the path is any one segment and can stand in the body too.
#[derive(Clone, Debug)]
pub(crate) struct EmulatedRoute {
    pub method: String,
    pub path: String,
    pub answer: Canned,
    /// Above 1: so many pages; `{page}` stands in the body, and `{more}` for true or false.
    pub pages: u32,
    /// The member that leads to the next page: `next_url` holds an absolute URL, another one what
    /// the parameter takes, null on the last page. Empty: none is added, and the parameter ends in
    /// the number of the page before.
    pub next: String,
    /// Candles of the time that is asked for, made up, in place of the body.
    pub candles: bool,
    /// The parameter that asks for a page.
    pub cursor: String,
    /// Server-sent events, sent where the request's JSON body has `"stream": true`.
    pub events: Vec<String>,
    /// Milliseconds between two events.
    pub event_gap_ms: u64,
}

impl Default for Canned {
    fn default() -> Self {
        Self {
            status: 404,
            content_type: String::from("application/json"),
            body: String::from("{}"),
        }
    }
}
