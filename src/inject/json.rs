//! Where in a JSON body a member stands, and the body with another value there: every other byte
//! stays as it came. Reads strictly, so that no provider can read it otherwise: one object, each
//! member on the way once. Must never parse into values and write again.

use std::ops::Range;

use crate::provider::Pointer;
use crate::secret::SecretBytes;

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonFault {
    NoObject,
    Twice,
    NoWay,
}

impl std::fmt::Display for JsonFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NoObject => {
                "The body is not one plain JSON object, and this provider's key stands in it."
            }
            Self::Twice => "The body holds the member of the key twice, or in another spelling.",
            Self::NoWay => {
                "A part of the body that should hold the member of the key is no object."
            }
        })
    }
}

/// Where a member's value is, or where it would come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    Value(Range<usize>),
    /// Behind the brace at this place; so many names of the pointer are there already.
    Absent {
        at: usize,
        is_empty: bool,
        known: usize,
    },
}

/// Objects within objects beyond this are nobody's request.
const DEEPEST: usize = 128;

/// Finds the member, and checks the whole text on the way.
pub(crate) fn locate(text: &[u8], pointer: &Pointer) -> Result<Located, JsonFault> {
    let mut reader = Reader { text, at: 0, depth: 0, faults: None };
    reader.space();
    if reader.peek() != Some(b'{') {
        return Err(JsonFault::NoObject);
    }
    let located = reader.object(Some((pointer.names(), 0)));
    reader.space();
    if reader.at != text.len() || std::str::from_utf8(text).is_err() {
        return Err(JsonFault::NoObject);
    }
    match (located, reader.faults) {
        (None, _) => Err(JsonFault::NoObject),
        (_, Some(fault)) => Err(fault),
        (Some(located), None) => located.ok_or(JsonFault::NoWay),
    }
}

/// The text of a string in its quotes, unescaped; None where the value is no string.
pub(crate) fn string(text: &[u8]) -> Option<Vec<u8>> {
    let value: String = serde_json::from_slice(text).ok()?;
    Some(value.into_bytes())
}

/// The text with this value, written in JSON, at the place.
pub(super) fn filled(
    text: &[u8],
    (pointer, located): (&Pointer, &Located),
    value: &[u8],
) -> SecretBytes {
    let (before, within, after) = match located {
        Located::Value(range) => {
            (text.get(..range.start), (String::new(), String::new()), text.get(range.end..))
        }
        Located::Absent { at, is_empty, known } => {
            let names = pointer.names().get(*known..).unwrap_or_default();
            (text.get(..*at), around(names, *is_empty), text.get(*at..))
        }
    };
    let parts = [
        before.unwrap_or_default(),
        within.0.as_bytes(),
        value,
        within.1.as_bytes(),
        after.unwrap_or_default(),
    ];
    // Exactly as long as needed: a vector that grows leaves copies behind.
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    SecretBytes::new(whole)
}

/// What stands before and behind the value of a member that was not there.
fn around(names: &[String], is_empty: bool) -> (String, String) {
    let mut before = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            before.push('{');
        }
        before.push_str(&serde_json::Value::from(name.as_str()).to_string());
        before.push(':');
    }
    let mut after = "}".repeat(names.len().saturating_sub(1));
    if !is_empty {
        after.push(',');
    }
    (before, after)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// Found on the way; the text is read to its end all the same, because no JSON comes first.
    faults: Option<JsonFault>,
}

/// The names that lead on, and how many of them were followed.
type Sought<'a> = Option<(&'a [String], usize)>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Outer None: no JSON. Inner None: nothing was sought, or it cannot be there.
    fn value(&mut self, sought: Sought<'_>) -> Option<Option<Located>> {
        match self.peek()? {
            b'{' => self.object(sought),
            b'[' => self.array().map(|()| None),
            b'"' => self.text().map(|_| None),
            b't' => self.word(b"true").map(|()| None),
            b'f' => self.word(b"false").map(|()| None),
            b'n' => self.word(b"null").map(|()| None),
            _ => self.number().map(|()| None),
        }
    }

    fn object(&mut self, sought: Sought<'_>) -> Option<Option<Located>> {
        self.deeper()?;
        self.take(b'{')?;
        let begins = self.at;
        let mut found: Option<Option<Located>> = None;
        self.space();
        let is_empty = self.peek()? == b'}';
        while self.peek()? != b'}' {
            let name = self.text()?;
            self.space();
            self.take(b':')?;
            self.space();
            let value_at = self.at;
            let leads = sought.and_then(|(names, known)| {
                let (wanted, rest) = names.split_first()?;
                self.is_it(&name, wanted).then_some((rest, known + 1))
            });
            // The last name's own value is not looked into.
            let inner = self.value(leads.filter(|(rest, _)| !rest.is_empty()))?;
            if let Some((rest, _)) = leads {
                if found.is_some() {
                    self.faults = Some(JsonFault::Twice);
                }
                let own = rest.is_empty().then_some(Located::Value(value_at..self.at));
                found = Some(own.or(inner));
            }
            self.space();
            if self.peek()? == b',' {
                self.at += 1;
                self.space();
                // A comma before the brace is no JSON.
                (self.peek()? == b'"').then_some(())?;
            } else if self.peek()? != b'}' {
                return None;
            }
        }
        self.at += 1;
        self.depth -= 1;
        let (_, known) = sought.unwrap_or_default();
        let absent = sought.map(|_| Located::Absent { at: begins, is_empty, known });
        Some(found.unwrap_or(absent))
    }

    /// Some servers take a name in any case: what they would take and others would not, is both.
    fn is_it(&mut self, name: &[u8], wanted: &str) -> bool {
        let is_it = string(name).is_some_and(|name| name == wanted.as_bytes());
        let nearly = string(name).is_some_and(|name| name.eq_ignore_ascii_case(wanted.as_bytes()));
        if nearly && !is_it {
            self.faults = Some(JsonFault::Twice);
        }
        is_it
    }

    fn array(&mut self) -> Option<()> {
        self.deeper()?;
        self.take(b'[')?;
        self.space();
        if self.peek()? != b']' {
            loop {
                self.space();
                self.value(None)?;
                self.space();
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b']')?;
        self.depth -= 1;
        Some(())
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(())
    }

    /// A string with its quotes.
    fn text(&mut self) -> Option<Vec<u8>> {
        let begins = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                byte if byte < 0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(self.text.get(begins..self.at)?.to_vec())
    }

    fn escape(&mut self) -> Option<()> {
        let digits = match self.text.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return None,
        };
        let hex = self.text.get(self.at + 2..self.at + 2 + digits)?;
        self.at += 2 + digits;
        hex.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text.get(self.at..)?.starts_with(word);
        found.then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let begins = self.at;
        let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        while self.peek().is_some_and(is_part) {
            self.at += 1;
        }
        let text = self.text.get(begins..self.at)?;
        serde_json::from_slice::<serde_json::Number>(text).ok().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Catalogue, Spot};

    fn pointer(text: &str) -> Pointer {
        let entry = format!(
            "base_url = \"https://a.example\"\ncategory = \"x\"\n\
             inject = [{{ at = \"json\", pointer = \"{text}\" }}]"
        );
        let settings = [(String::from("acme"), entry.parse().unwrap())];
        let catalogue = Catalogue::build(&settings).unwrap();
        let Spot::Json { pointer, .. } = &catalogue.get("acme").unwrap().inject[0].spot else {
            panic!("no pointer");
        };
        pointer.clone()
    }

    fn put(text: &str, at: &str) -> Result<String, JsonFault> {
        let pointer = pointer(at);
        let located = locate(text.as_bytes(), &pointer)?;
        let whole = filled(text.as_bytes(), (&pointer, &located), b"\"K\"");
        Ok(String::from_utf8(whole.expose().to_vec()).unwrap())
    }

    #[test]
    fn the_value_alone_changes_and_every_other_byte_stays() {
        for (text, wanted) in [
            (r#"{"secret":"mdw_x"}"#, r#"{"secret":"K"}"#),
            (
                "{ \"a\" : 1e3 ,\n\"secret\" : null , \"b\":[{\"secret\":1}]} \n",
                "{ \"a\" : 1e3 ,\n\"secret\" : \"K\" , \"b\":[{\"secret\":1}]} \n",
            ),
            (r#"{"secret":{"a":[1,2]},"z":"é\u00e9"}"#, r#"{"secret":"K","z":"é\u00e9"}"#),
            (r#"{"s\u0065cret":"x"}"#, r#"{"s\u0065cret":"K"}"#),
            ("{}", r#"{"secret":"K"}"#),
            (r#"{ "a":1}"#, r#"{"secret":"K", "a":1}"#),
            (
                r#"{"construct":{"secret":"theirs"}}"#,
                r#"{"secret":"K","construct":{"secret":"theirs"}}"#,
            ),
        ] {
            assert_eq!(put(text, "/secret").as_deref(), Ok(wanted), "{text}");
        }
        assert_eq!(put(r#"{"a":{"k":1}}"#, "/a/k").unwrap(), r#"{"a":{"k":"K"}}"#);
        assert_eq!(put(r#"{"a":{}}"#, "/a/k").unwrap(), r#"{"a":{"k":"K"}}"#);
        assert_eq!(put(r#"{"b":1}"#, "/a/k").unwrap(), r#"{"a":{"k":"K"},"b":1}"#);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":01}",
            "{\"a\":tru}",
            "{a:1}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{}{}",
            "{\"a\":[1,]}",
            "{\"a\":\"\\u12g4\"}",
            "\u{feff}{}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":-}",
            "{,}",
        ] {
            assert_eq!(put(text, "/secret"), Err(JsonFault::NoObject), "{text}");
        }
        assert_eq!(locate(b"{\"a\":\"\xff\"}", &pointer("/secret")), Err(JsonFault::NoObject));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(put(&deep, "/secret"), Err(JsonFault::NoObject));
        for text in [
            r#"{"secret":1,"secret":2}"#,
            r#"{"secret":1,"s\u0065cret":2}"#,
            r#"{"Secret":1}"#,
            r#"{"secret":1,"SECRET":2}"#,
        ] {
            assert_eq!(put(text, "/secret"), Err(JsonFault::Twice), "{text}");
        }
        assert_eq!(put(r#"{"a":1}"#, "/a/k"), Err(JsonFault::NoWay));
        assert_eq!(put(r#"{"a":[{}]}"#, "/a/k"), Err(JsonFault::NoWay));
    }
}
