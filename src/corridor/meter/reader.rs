//! Reads one JSON document as it passes by and picks out the members that tell something. Keeps the
//! place where it is, and no more of the text than one name or one value. Must never allocate for
//! what passes, nor trust it: a document that is none tells nothing, and stops nothing.

use crate::provider::{Places, Told};

/// Deeper than any member that tells something.
const MOST_DEEP: usize = 8;
/// Longer than any name that is looked for; the longest model's name that is kept.
pub(super) const MOST_KEPT: usize = 64;

/// A member that tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
}

/// A short text, kept in place; longer ones are no longer told apart.
#[derive(Clone, Copy)]
struct Kept {
    bytes: [u8; MOST_KEPT],
    length: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a name or a value, behind one, or between.
    Between,
    /// Within a string; the flag says that the next byte is escaped.
    Text { escaped: bool },
    /// Within a number or a word.
    Bare,
}

pub(super) struct Reader {
    state: State,
    /// The objects that lead to where we are, by their node.
    path: [usize; MOST_DEEP],
    depth: usize,
    /// Containers open beyond those in which something may be told.
    beyond: u64,
    /// The next string is a name.
    wants_name: bool,
    /// Where the value at hand belongs; None where it tells nothing.
    node: Option<usize>,
    kept: Kept,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            state: State::Between,
            path: [0; MOST_DEEP],
            depth: 0,
            beyond: 0,
            wants_name: false,
            // The document itself.
            node: Some(0),
            kept: Kept { bytes: [0; MOST_KEPT], length: 0 },
        }
    }

    /// The next part of the document.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        places: &Places,
        tell: &mut impl FnMut(Told, Value<'_>),
    ) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Text { .. } => self.text(bytes, places, tell),
                State::Bare if is_bare(*byte) => {
                    self.kept.push(&[*byte]);
                    rest
                }
                State::Bare => {
                    self.number(places, tell);
                    self.state = State::Between;
                    bytes
                }
                State::Between => {
                    self.between(*byte);
                    rest
                }
            };
        }
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.kept.length = 0;
                self.state = State::Text { escaped: false };
            }
            b'{' => self.enter(true),
            b'[' => self.enter(false),
            b'}' | b']' => self.leave(),
            b',' => {
                self.wants_name = self.beyond == 0 && self.depth > 0;
                self.node = None;
            }
            byte if is_bare(byte) => {
                self.kept.length = 0;
                self.kept.push(&[byte]);
                self.state = State::Bare;
            }
            // Blanks and colons say nothing more.
            _ => {}
        }
    }

    /// Elements of a list have no names: nothing is told in one.
    fn enter(&mut self, is_object: bool) {
        let place = self.path.get_mut(self.depth);
        match (self.node.take(), place) {
            (Some(node), Some(place)) if is_object && self.beyond == 0 => {
                *place = node;
                self.depth += 1;
                self.wants_name = true;
            }
            (_, _) => self.beyond = self.beyond.saturating_add(1),
        }
    }

    fn leave(&mut self) {
        match self.beyond {
            0 => self.depth = self.depth.saturating_sub(1),
            _ => self.beyond -= 1,
        }
        self.wants_name = false;
        self.node = None;
    }

    /// A name or a value, up to its end or the end of what has come.
    fn text<'a>(
        &mut self,
        bytes: &'a [u8],
        places: &Places,
        tell: &mut impl FnMut(Told, Value<'_>),
    ) -> &'a [u8] {
        if self.state == (State::Text { escaped: true }) {
            self.state = State::Text { escaped: false };
            // Whatever is escaped is nothing that is looked for.
            self.kept.spoil();
            return bytes.get(1..).unwrap_or_default();
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', bytes) else {
            self.keep(bytes);
            return &[];
        };
        let (before, rest) = bytes.split_at(at);
        self.keep(before);
        if rest.first() == Some(&b'\\') {
            self.state = State::Text { escaped: true };
        } else {
            self.state = State::Between;
            self.texted(places, tell);
        }
        rest.get(1..).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.wants_name || self.node.is_some() {
            self.kept.push(bytes);
        }
    }

    fn texted(&mut self, places: &Places, tell: &mut impl FnMut(Told, Value<'_>)) {
        if self.wants_name {
            self.wants_name = false;
            let object = self.depth.checked_sub(1).and_then(|at| self.path.get(at));
            let name = self.kept.whole();
            self.node = object.zip(name).and_then(|(object, name)| places.below(*object, name));
            return;
        }
        let told = self.node.take().and_then(|node| places.told(node));
        if let (Some(told), Some(text)) = (told, self.kept.whole()) {
            tell(told, Value::Text(text));
        }
    }

    fn number(&mut self, places: &Places, tell: &mut impl FnMut(Told, Value<'_>)) {
        let told = self.node.take().and_then(|node| places.told(node));
        let text = self.kept.whole().and_then(|digits| std::str::from_utf8(digits).ok());
        if let (Some(told), Some(Ok(number))) = (told, text.map(str::parse)) {
            tell(told, Value::Number(number));
        }
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
        }
        self.length = end;
    }

    fn spoil(&mut self) {
        self.length = usize::MAX;
    }

    /// None if it was too long.
    fn whole(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::built_in;

    /// Everything that is told, the document cut into pieces of that size.
    fn told(text: &str, size: usize) -> Vec<String> {
        let prices = built_in("openai").unwrap().price.tokens.unwrap();
        let mut told = Vec::new();
        let mut reader = Reader::new();
        for piece in text.as_bytes().chunks(size) {
            reader.read(piece, &prices.places, &mut |what, value| {
                let value = match value {
                    Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                    Value::Number(number) => number.to_string(),
                };
                told.push(format!("{what:?} {value}"));
            });
        }
        told
    }

    #[test]
    fn members_are_found_by_their_place_however_the_text_is_cut() {
        let text = r#" {"id":"x \" \\","choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":9}}",
            "usage":{"prompt_tokens":7}}}, [1, {"model":"no"}]], "model" : "gpt-4o",
            "usage":{"prompt_tokens":12,"deep":{"prompt_tokens":5,"a":{"b":{"c":{"d":{"e":{}}}}}},
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens" : 34 },
            "usage_":{"prompt_tokens":8},"tail":[true,null,-1.5e3]} "#;
        let wanted = ["Model gpt-4o", "Tokens(Input) 12", "Tokens(Cached) 4", "Tokens(Output) 34"];
        for size in 1..text.len() {
            assert_eq!(told(text, size), wanted, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_count_tells_nothing() {
        for text in [
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#,
            r#"{"usage":{"prompt_tokens":99999999999999999999,"completion_tokens":1e3}}"#,
            r#"{"usage":{"prompt_tokens":null,"completion_tokens":{"x":1}}}"#,
            r#"{"usage":[{"prompt_tokens":1}],"\u0075sage":{"prompt_tokens":1}}"#,
            r#"[{"usage":{"prompt_tokens":1}}]"#,
            "}}}]]]{\"",
        ] {
            assert!(told(text, 3).is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = told(&text, 7);
        }

        #[test]
        fn how_a_text_is_cut_changes_nothing(
            text in "[\\[\\]{}\",:\\\\ 0-9a\\n]{0,80}", size in 1_usize..9,
        ) {
            let text = format!("{{\"model\":\"m\",\"usage\":{{\"prompt_tokens\":1 ,{text}");
            prop_assert_eq!(told(&text, size), told(&text, text.len()));
        }
    }
}
