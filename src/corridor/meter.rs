//! Counts what a call costs by the tokens that its answer tells, in a JSON document or in a
//! stream's events, as it passes by. Only for calls of providers whose tokens have a price; all
//! others never meet it. Must never hold back, alter or keep a byte of the answer.

mod reader;

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use self::reader::{MOST_KEPT, Reader, Value};
use crate::ledger::Metered;
use crate::provider::{Provider, TokenPrices, Tokens, Told};

/// What a call may cost, known before it leaves.
#[derive(Default)]
pub(super) struct Toll {
    /// In millionths of a dollar.
    per_call: u64,
    tokens: Option<Arc<TokenPrices>>,
}

/// Reads one answer.
pub(super) struct Meter {
    prices: Arc<TokenPrices>,
    form: Form,
    reader: Reader,
    model: [u8; MOST_KEPT],
    model_bytes: usize,
    told: Tokens,
    has_told: bool,
}

/// How an answer is written.
enum Form {
    Document,
    Events(Line),
    /// Nothing in it can be told.
    Other,
}

/// Where in a line of a stream we are.
#[derive(Clone, Copy)]
enum Line {
    /// So many bytes of it are as those of a line of data.
    Begins(usize),
    Data,
    /// An event's name, a comment, or what nobody knows.
    Else,
    /// Behind its end; another end makes the event whole.
    Ended,
}

const DATA: &[u8] = b"data:";

impl Toll {
    pub(super) fn of(provider: &Provider, method: &str, path: &str) -> Self {
        let price = &provider.price;
        let tokens = price.tokens.as_ref().filter(|tokens| tokens.concerns(method, path));
        Self { per_call: price.per_call, tokens: tokens.map(Arc::clone) }
    }

    /// For an answer that is none of a failure.
    pub(super) fn meter(&self, headers: &HeaderMap) -> Option<Box<Meter>> {
        let prices = Arc::clone(self.tokens.as_ref()?);
        Some(Box::new(Meter::new(prices, Form::of(headers))))
    }

    /// Costs it anything at all?
    pub(super) fn is_due(&self) -> bool {
        self.per_call > 0 || self.tokens.is_some()
    }

    /// What it came to; `meter` read its answer.
    pub(super) fn metered<'a>(&self, meter: Option<&'a Meter>) -> Metered<'a> {
        match meter {
            Some(meter) => meter.metered(self.per_call),
            None => Metered {
                cost: self.tokens.is_none().then_some(self.per_call),
                ..Metered::default()
            },
        }
    }
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        match kind.to_ascii_lowercase() {
            kind if kind.starts_with(b"text/event-stream") => Self::Events(Line::Begins(0)),
            kind if memchr::memmem::find(&kind, b"json").is_some() => Self::Document,
            _ => Self::Other,
        }
    }
}

impl Meter {
    fn new(prices: Arc<TokenPrices>, form: Form) -> Self {
        Self {
            prices,
            form,
            reader: Reader::new(),
            model: [0; MOST_KEPT],
            model_bytes: 0,
            told: Tokens::default(),
            has_told: false,
        }
    }

    /// The next bytes of the answer, unpacked.
    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        match self.form {
            Form::Other => {}
            Form::Document => self.read(bytes),
            Form::Events(mut line) => {
                while !bytes.is_empty() {
                    bytes = self.see_line(&mut line, bytes);
                }
                self.form = Form::Events(line);
            }
        }
    }

    /// Goes on in a line; yields what was not looked at.
    fn see_line<'a>(&mut self, line: &mut Line, bytes: &'a [u8]) -> &'a [u8] {
        let Some((first, rest)) = bytes.split_first() else { return &[] };
        match *line {
            Line::Ended if matches!(first, b'\n' | b'\r') => {
                // What comes now is another document.
                self.reader = Reader::new();
                rest
            }
            Line::Ended => {
                *line = Line::Begins(0);
                bytes
            }
            Line::Begins(at) if DATA.get(at) == Some(first) => {
                *line = if at + 1 == DATA.len() { Line::Data } else { Line::Begins(at + 1) };
                rest
            }
            Line::Begins(_) => {
                *line = Line::Else;
                bytes
            }
            Line::Data | Line::Else => {
                let end = memchr::memchr2(b'\n', b'\r', bytes);
                let (within, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
                if matches!(line, Line::Data) {
                    self.read(within);
                }
                if end.is_some() {
                    *line = Line::Ended;
                    // Numbers end with their line.
                    self.read(b" ");
                    return if behind.starts_with(b"\r\n") {
                        behind.get(2..).unwrap_or_default()
                    } else {
                        behind.get(1..).unwrap_or_default()
                    };
                }
                behind
            }
        }
    }

    /// What is told later stands: streams tell the whole count with every event that tells one.
    fn read(&mut self, bytes: &[u8]) {
        let Self { reader, prices, model, model_bytes, told, has_told, .. } = self;
        reader.read(bytes, &prices.places, &mut |what, value| match (what, value) {
            (Told::Model, Value::Text(name)) => {
                if let Some(room) = model.get_mut(..name.len()) {
                    room.copy_from_slice(name);
                    *model_bytes = name.len();
                }
            }
            (Told::Tokens(kind), Value::Number(count)) => {
                if let Some(place) = told.get_mut(kind.place()) {
                    *place = count;
                    *has_told = true;
                }
            }
            (Told::Model, Value::Number(_)) | (Told::Tokens(_), Value::Text(_)) => {}
        });
    }

    fn metered(&self, per_call: u64) -> Metered<'_> {
        let model = self.model.get(..self.model_bytes).unwrap_or_default();
        let model = std::str::from_utf8(model).unwrap_or_default();
        let tokens = self.prices.apart(&self.told);
        let rates = self.prices.rates(model).filter(|_| self.has_told);
        let cost = rates.map(|rates| rates.cost(&tokens).saturating_add(per_call));
        Metered { model, tokens: self.has_told.then_some(tokens), cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::built_in;

    fn meter(provider: &str, media_type: &'static str) -> Meter {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let prices = built_in(provider).unwrap().price.tokens.unwrap();
        Meter::new(prices, Form::of(&headers))
    }

    /// Model, tokens and cost, however the answer is cut.
    fn metered(
        (provider, media_type): (&str, &'static str),
        answer: &str,
    ) -> (String, Option<Tokens>, Option<u64>) {
        let mut found = Vec::new();
        for size in (1..40).chain([answer.len()]) {
            let mut meter = meter(provider, media_type);
            answer.as_bytes().chunks(size).for_each(|piece| meter.see(piece));
            let metered = meter.metered(0);
            found.push((metered.model.to_owned(), metered.tokens, metered.cost));
        }
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_stream_of_openai_tells_its_tokens_in_its_last_event() {
        let stream = "data: {\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"delta\":{\"content\":\"a\\n\\ndata: {}\"}}],\"usage\":null}\n\n\
            : a comment\n\n\
            data: {\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\
            \"completion_tokens\":100,\"prompt_tokens_details\":{\"cached_tokens\":400}}}\n\n\
            data: [DONE]\n\n";
        let wanted = (String::from("gpt-4o-2024-08-06"), Some([600, 400, 0, 0, 100]), Some(3_000));
        let of = ("openai", "text/event-stream; charset=utf-8");
        assert_eq!(metered(of, stream), wanted);
        assert_eq!(metered(of, &stream.replace('\n', "\r\n")), wanted);
        assert_eq!(metered(of, &stream.replace("data: ", "data:")), wanted);
        let responses = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\
            {\"model\":\"gpt-4o\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n";
        let wanted = (String::from("gpt-4o"), Some([10, 0, 0, 0, 1]), Some(35));
        assert_eq!(metered(of, responses), wanted);
    }

    #[test]
    fn a_stream_of_anthropic_tells_what_came_first_and_what_went_out_last() {
        let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\
            \"claude-sonnet-4-20250514\",\"usage\":{\"input_tokens\":100,\"cache_read_input_tokens\":1000,\
            \"cache_creation_input_tokens\":500,\"cache_creation\":{\"ephemeral_5m_input_tokens\":300,\
            \"ephemeral_1h_input_tokens\":200},\"output_tokens\":1}}}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":10}}\n\n";
        let wanted = Some([100, 1_000, 300, 200, 10]);
        let of = ("anthropic", "text/event-stream");
        let (model, tokens, cost) = metered(of, stream);
        assert_eq!(
            (model.as_str(), tokens, cost),
            ("claude-sonnet-4-20250514", wanted, Some(3_075))
        );
        // Broken off before its end: what came is paid all the same.
        let begun = stream.split("event: message_delta").next().unwrap();
        assert_eq!(metered(of, begun).1, Some([100, 1_000, 300, 200, 1]));
    }

    #[test]
    fn what_tells_nothing_has_no_known_cost() {
        let chunk = "data: {\"model\":\"gpt-4o\",\"choices\":[]}\n\ndata: [DONE]\n\n";
        let of = ("openai", "text/event-stream");
        assert_eq!(metered(of, chunk), (String::from("gpt-4o"), None, None));
        let unknown = "{\"model\":\"gpt-99\",\"usage\":{\"prompt_tokens\":5}}";
        let of = ("openai", "application/json");
        let tokens = Some([5, 0, 0, 0, 0]);
        assert_eq!(metered(of, unknown), (String::from("gpt-99"), tokens, None));
        assert_eq!(metered(("openai", "audio/mpeg"), unknown), (String::new(), None, None));
    }
}
