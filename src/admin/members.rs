//! The members of a request body or of a query string, taken out one by one. It collects every
//! fault before it refuses, counts what nobody asked for as a fault, and keeps all text in wiping
//! buffers. A fault names what was expected and must never repeat the value that was sent.

mod node;
mod numbers;

use axum::extract::Query;
use axum::http::Uri;

use crate::client;
use crate::clock;
use crate::provider::is_like_a_field;
use crate::refusal::{FieldFault, Refusal};
use crate::secret::SecretBytes;

use self::node::Node;
use super::refused::Refused;

/// A member of a change: absent, null, or a new value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Patch<T> {
    Keep,
    Clear,
    Set(T),
}

/// What was sent, less what was already taken.
pub(super) struct Members {
    left: Vec<(String, Node)>,
    faults: Vec<FieldFault>,
    /// Query strings carry numbers and times as text.
    is_query: bool,
}

/// What stands behind one of these is shown in another order than it is written.
const TURNS: &str = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                     \u{2066}\u{2067}\u{2068}\u{2069}";
/// How long a text may be where nothing else is said.
const LONGEST_TEXT: usize = 1000;
/// How many items a list may have.
const MOST_ITEMS: usize = 1000;

impl<T> Patch<T> {
    /// Null and absent alike: the meaning of null where something is made.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Writes the change over what stands; null clears.
    pub(super) fn over(self, place: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *place = None,
            Self::Set(value) => *place = Some(value),
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> Option<U>) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            // A value that was refused has left its fault behind; the reader stops at `finish`.
            Self::Set(value) => change(value).map_or(Patch::Keep, Patch::Set),
        }
    }
}

impl Members {
    /// An empty body is an empty object: some calls need no member at all.
    pub(super) fn of_body(body: &SecretBytes) -> Result<Self, Refused> {
        if body.is_empty() {
            return Ok(Self { left: Vec::new(), faults: Vec::new(), is_query: false });
        }
        let node: Node = serde_json::from_slice(body.expose()).map_err(|error| {
            // The parser's own sentence may quote the value; its position cannot.
            let place = format!("line {} column {}", error.line(), error.column());
            Refusal::bad_request(format!("The body is not one JSON value; see {place}."))
        })?;
        let Node::Object(left) = node else {
            return Err(Refusal::invalid_field("", "the body must be a JSON object").into());
        };
        Ok(Self::of_pairs(left, false))
    }

    pub(super) fn of_query(uri: &Uri) -> Result<Self, Refused> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Refusal::bad_request("The query string is malformed."))?;
        let text = |(name, value)| (name, Node::Text(SecretBytes::from_string(value)));
        Ok(Self::of_pairs(pairs.into_iter().map(text).collect(), true))
    }

    fn of_pairs(pairs: Vec<(String, Node)>, is_query: bool) -> Self {
        let mut members = Self { left: Vec::new(), faults: Vec::new(), is_query };
        for (name, node) in pairs {
            if members.left.iter().any(|(other, _)| *other == name) {
                members.fault(&name, "is given twice");
            } else {
                members.left.push((name, node));
            }
        }
        members
    }

    pub(super) fn fault(&mut self, field: &str, fault: impl Into<String>) {
        self.faults.push(FieldFault { field: shortened(field), fault: fault.into() });
    }

    /// Every fault at once, or leave to use what was taken.
    pub(super) fn finish(mut self) -> Result<(), Refused> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.fault(&name, "is not a member of this request");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.faults).into()) }
    }

    /// A member that people would expect here and that no call can change.
    pub(super) fn fixed(&mut self, name: &str, instead: &str) {
        if self.take(name).is_some() {
            self.fault(name, format!("cannot be changed; {instead}"));
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Patch<String> {
        self.text_up_to(name, LONGEST_TEXT)
    }

    /// Counted in characters, as people count them.
    pub(super) fn text_up_to(&mut self, name: &str, longest: usize) -> Patch<String> {
        self.taken(name, |members, node| members.plain_text(name, &node, longest))
    }

    /// A SHA-256 as 64 hexadecimal digits.
    pub(super) fn digest(&mut self, name: &str) -> Patch<[u8; 32]> {
        self.taken(name, |members, node| {
            let digest = match &node {
                Node::Text(text) => digest_of(text.expose()),
                Node::Null
                | Node::Flag(_)
                | Node::Whole(_)
                | Node::Number
                | Node::List(_)
                | Node::Object(_) => None,
            };
            digest
                .or_else(|| members.refuse(name, "must be the 64 hexadecimal digits of a SHA-256"))
        })
    }

    pub(super) fn flag(&mut self, name: &str) -> Patch<bool> {
        self.taken(name, |members, node| match &node {
            Node::Flag(flag) => Some(*flag),
            Node::Text(text) if members.is_query => match text.expose() {
                b"true" => Some(true),
                b"false" => Some(false),
                _ => members.refuse(name, "must be true or false"),
            },
            Node::Null
            | Node::Whole(_)
            | Node::Number
            | Node::Text(_)
            | Node::List(_)
            | Node::Object(_) => members.refuse(name, "must be true or false"),
        })
    }

    pub(super) fn whole(&mut self, name: &str, least: u64, most: u64) -> Patch<u64> {
        self.taken(name, |members, node| {
            let number = match &node {
                Node::Whole(number) => Some(*number),
                Node::Text(text) if members.is_query => {
                    text.expose_str().and_then(|text| text.parse().ok())
                }
                Node::Null
                | Node::Flag(_)
                | Node::Number
                | Node::Text(_)
                | Node::List(_)
                | Node::Object(_) => None,
            };
            let fitting = number.filter(|number| (least..=most).contains(number));
            fitting.or_else(|| {
                members.refuse(name, format!("must be a whole number from {least} to {most}"))
            })
        })
    }

    pub(super) fn time(&mut self, name: &str) -> Patch<i64> {
        const EXPECTED: &str = "must be a time such as 2026-01-15T14:30:00Z (RFC 3339, any offset)";
        self.taken(name, |members, node| {
            let Node::Text(text) = &node else { return members.refuse(name, EXPECTED) };
            let time = text.expose_str().and_then(clock::parse_rfc3339);
            time.or_else(|| members.refuse(name, EXPECTED))
        })
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Patch<T> {
        self.taken(name, |members, node| {
            let found = match &node {
                Node::Text(text) => {
                    all.iter().copied().find(|one| as_str(*one).as_bytes() == text.expose())
                }
                Node::Null
                | Node::Flag(_)
                | Node::Whole(_)
                | Node::Number
                | Node::List(_)
                | Node::Object(_) => None,
            };
            found.or_else(|| {
                let words: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
                members.refuse(name, format!("must be one of {}", words.join(", ")))
            })
        })
    }

    pub(super) fn texts(&mut self, name: &str) -> Patch<Vec<String>> {
        self.taken(name, |members, node| {
            let Node::List(items) = node else {
                return members.refuse(name, "must be a list of texts");
            };
            if items.len() > MOST_ITEMS {
                return members.refuse(name, format!("has more than {MOST_ITEMS} items"));
            }
            let item = |(index, node): (usize, &Node)| {
                members.plain_text(&format!("{name}[{index}]"), node, LONGEST_TEXT)
            };
            items.iter().enumerate().map(item).collect()
        })
    }

    /// A list of objects of any length, each to be judged by itself.
    pub(super) fn lines(&mut self, name: &str) -> Patch<Vec<Self>> {
        self.taken(name, |members, node| {
            let Node::List(items) = node else {
                return members.refuse(name, "must be a list of objects");
            };
            let line = |node| match node {
                Node::Object(entries) => Self::of_pairs(entries, false),
                Node::Null
                | Node::Flag(_)
                | Node::Whole(_)
                | Node::Number
                | Node::Text(_)
                | Node::List(_) => {
                    let mut line = Self::of_pairs(Vec::new(), false);
                    line.fault("", "must be an object");
                    line
                }
            };
            Some(items.into_iter().map(line).collect())
        })
    }

    /// An object whose members are all texts.
    pub(super) fn pairs(&mut self, name: &str) -> Patch<Vec<(String, String)>> {
        self.object_of_texts(name).map(|pairs| {
            let text = |(key, node): (String, SecretBytes)| {
                let field = format!("{name}.{key}");
                let text = self.plain_text(&field, &Node::Text(node), LONGEST_TEXT)?;
                Some((key, text))
            };
            pairs.into_iter().map(text).collect()
        })
    }

    /// The fields of a secret: the texts stay where they are wiped.
    pub(super) fn secrets(&mut self, name: &str) -> Patch<Vec<(String, SecretBytes)>> {
        self.object_of_texts(name)
    }

    /// One text that stays where it is wiped.
    pub(super) fn secret(&mut self, name: &str) -> Patch<SecretBytes> {
        self.taken(name, |members, node| match node {
            Node::Text(text) if !text.is_empty() => Some(text),
            Node::Text(_) => members.refuse(name, "must not be empty"),
            Node::Null
            | Node::Flag(_)
            | Node::Whole(_)
            | Node::Number
            | Node::List(_)
            | Node::Object(_) => members.refuse(name, "must be a text"),
        })
    }

    /// A member without which nothing can be done.
    pub(super) fn required<T>(&mut self, name: &str, patch: &Patch<T>) {
        let is_of_it = |field: &str| {
            let rest = field.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let has_fault = self.faults.iter().any(|fault| is_of_it(&fault.field));
        match patch {
            Patch::Set(_) => {}
            Patch::Keep if has_fault => {}
            Patch::Keep | Patch::Clear => self.fault(name, "is required"),
        }
    }

    /// A member that can be changed but not cleared.
    pub(super) fn unclearable<T>(&mut self, name: &str, patch: Patch<T>) -> Option<T> {
        match patch {
            Patch::Set(value) => Some(value),
            Patch::Keep => None,
            Patch::Clear => self.refuse(name, "must not be null"),
        }
    }

    fn object_of_texts(&mut self, name: &str) -> Patch<Vec<(String, SecretBytes)>> {
        self.taken(name, |members, node| {
            let Node::Object(entries) = node else {
                return members.refuse(name, "must be an object of texts");
            };
            if entries.len() > MOST_ITEMS {
                return members.refuse(name, format!("has more than {MOST_ITEMS} members"));
            }
            let mut pairs: Vec<(String, SecretBytes)> = Vec::with_capacity(entries.len());
            for (key, node) in entries {
                let field = match name != "fields" || is_like_a_field(&key) {
                    true => format!("{name}.{key}"),
                    // It may be a value that was pasted in a name's place.
                    false => name.to_owned(),
                };
                if pairs.iter().any(|(other, _)| *other == key) {
                    return members.refuse(&field, "is given twice");
                }
                let Node::Text(text) = node else {
                    return members.refuse(&field, "must be a text");
                };
                pairs.push((key, text));
            }
            Some(pairs)
        })
    }

    fn plain_text(&mut self, field: &str, node: &Node, longest: usize) -> Option<String> {
        let Node::Text(text) = node else { return self.refuse(field, "must be a text") };
        let text = text.expose_str().unwrap_or_default();
        if text.is_empty() || text.chars().count() > longest {
            return self.refuse(field, format!("must have 1 to {longest} characters"));
        }
        if text.chars().any(|sign| sign.is_control() || TURNS.contains(sign)) {
            return self.refuse(field, "must not contain control characters");
        }
        if client::holds_key(text) {
            return self.refuse(field, "must not hold a client key or token");
        }
        Some(text.to_owned())
    }

    fn taken<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, Node) -> Option<T>,
    ) -> Patch<T> {
        match self.take(name) {
            None => Patch::Keep,
            Some(Node::Null) => Patch::Clear,
            Some(node) => read(self, node).map_or(Patch::Keep, Patch::Set),
        }
    }

    fn take(&mut self, name: &str) -> Option<Node> {
        let index = self.left.iter().position(|(other, _)| other == name)?;
        Some(self.left.swap_remove(index).1)
    }

    fn refuse<T>(&mut self, field: &str, fault: impl Into<String>) -> Option<T> {
        self.fault(field, fault);
        None
    }
}

fn digest_of(text: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 64)?;
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        let pair = text.get(2 * index..2 * index + 2)?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()?;
    }
    Some(digest)
}

/// A name is the caller's own and may be of any length; an answer is not.
fn shortened(field: &str) -> String {
    client::masked(field).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(json: &str) -> Members {
        match Members::of_body(&SecretBytes::copy_of(json.as_bytes())) {
            Ok(members) => members,
            Err(refused) => panic!("{}", refused.refusal().detail),
        }
    }

    fn faults(members: Members) -> Vec<String> {
        match members.finish() {
            Ok(()) => Vec::new(),
            Err(refused) => {
                let fields = refused.refusal().fields();
                fields.iter().map(|fault| format!("{}: {}", fault.field, fault.fault)).collect()
            }
        }
    }

    #[test]
    fn absent_null_and_value_are_three_things() {
        let mut members = members(r#"{"a": null, "b": "x"}"#);
        assert_eq!(members.text("a"), Patch::Clear);
        assert_eq!(members.text("b"), Patch::Set(String::from("x")));
        assert_eq!(members.text("c"), Patch::Keep);
        assert!(members.finish().is_ok());

        let mut place = Some(1);
        Patch::Keep.over(&mut place);
        assert_eq!(place, Some(1));
        Patch::Set(2).over(&mut place);
        assert_eq!(place, Some(2));
        Patch::Clear.over(&mut place);
        assert_eq!(place, None);
    }

    #[test]
    fn every_fault_is_named_at_once_and_an_unknown_member_is_one() {
        let mut members =
            members(r#"{"name": "", "limit": -3, "flag": "yes", "bogus": 1, "t": "noon"}"#);
        let _ = members.text("name");
        let _ = members.whole("limit", 1, 10);
        let _ = members.flag("flag");
        let _ = members.time("t");
        let missing = members.text("needed");
        members.required("needed", &missing);
        assert_eq!(
            faults(members),
            [
                "name: must have 1 to 1000 characters",
                "limit: must be a whole number from 1 to 10",
                "flag: must be true or false",
                "t: must be a time such as 2026-01-15T14:30:00Z (RFC 3339, any offset)",
                "needed: is required",
                "bogus: is not a member of this request",
            ]
        );
    }

    #[test]
    fn a_member_given_twice_is_refused_wherever_it_stands() {
        assert_eq!(faults(members(r#"{"a": 1, "a": 2}"#)).first().unwrap(), "a: is given twice");
        let mut inner = members(r#"{"fields": {"k": "1", "k": "2"}}"#);
        let _ = inner.secrets("fields");
        assert_eq!(faults(inner), ["fields.k: is given twice"]);
    }

    #[test]
    fn a_value_never_comes_back_in_a_fault() {
        let canary = "sk-canary-value";
        for json in [
            format!(r#"{{"fields": "{canary}"}}"#),
            format!(r#"{{"fields": ["{canary}"]}}"#),
            format!(r#"{{"fields": {{"k": ["{canary}"]}}}}"#),
        ] {
            let mut members = members(&json);
            let _ = members.secrets("fields");
            let faults = faults(members);
            assert_eq!(faults.len(), 1);
            assert!(!faults[0].contains(canary), "{faults:?}");
        }
        let broken = SecretBytes::copy_of(format!(r#"{{"fields": "{canary}""#).as_bytes());
        let refused = Members::of_body(&broken).err().unwrap();
        assert_eq!(refused.refusal().reason.status(), 400);
        assert!(!refused.refusal().detail.contains(canary));
    }

    #[test]
    fn what_is_no_object_is_refused_and_nothing_is_an_empty_object() {
        for json in ["[]", "1", "\"x\"", "null"] {
            let refused = Members::of_body(&SecretBytes::copy_of(json.as_bytes())).err().unwrap();
            assert_eq!(refused.refusal().reason.status(), 422, "{json}");
        }
        for json in ["{", "{} {}", "{'a': 1}", "\u{feff}{}"] {
            let refused = Members::of_body(&SecretBytes::copy_of(json.as_bytes())).err().unwrap();
            assert_eq!(refused.refusal().reason.status(), 400, "{json}");
        }
        assert!(members("").finish().is_ok());
    }

    #[test]
    fn a_query_reads_numbers_times_and_flags_from_text() {
        let uri: Uri =
            "/x?limit=5&from=2026-01-15T15:30:00%2B01:00&on=true&word=b".parse().unwrap();
        let mut query = Members::of_query(&uri).map_err(|_| ()).unwrap();
        assert_eq!(query.whole("limit", 1, 10), Patch::Set(5));
        assert_eq!(query.time("from"), Patch::Set(1_768_487_400_000));
        assert_eq!(query.flag("on"), Patch::Set(true));
        assert_eq!(query.word("word", &["a", "b"], |word| word), Patch::Set("b"));
        assert!(query.finish().is_ok());
    }
}
