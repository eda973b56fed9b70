//! A provider's message cut into its elements, as bytes: each goes on as it came, no number is
//! written anew. Of an element some members are read, by which it is known whose it is. Pure. Must
//! never trust a length, nor go on behind what it does not understand.

use std::borrow::Cow;

use crate::provider::Codec;

/// One element of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'m> {
    pub(super) bytes: &'m [u8],
    /// The texts of members that were asked for, by their number; several where it is a list.
    pub(super) words: Vec<(usize, Cow<'m, str>)>,
}

/// None where the message is no list of objects.
pub(super) fn pieces<'m>(
    codec: Codec,
    message: &'m [u8],
    names: &[&str],
) -> Option<Vec<Piece<'m>>> {
    match codec {
        Codec::Json => Json { bytes: message, at: 0 }.pieces(names),
        Codec::Msgpack => packed::pieces(message, names),
    }
}

/// A message of these elements.
pub(super) fn joined(codec: Codec, pieces: &[&[u8]]) -> Vec<u8> {
    match codec {
        Codec::Json => [b"[", pieces.join(&b","[..]).as_slice(), b"]"].concat(),
        Codec::Msgpack => {
            let mut bytes = packed::list(pieces.len());
            pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
            bytes
        }
    }
}

struct Json<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Json<'m> {
    fn pieces(mut self, names: &[&str]) -> Option<Vec<Piece<'m>>> {
        self.take(b'[')?;
        let mut pieces = Vec::new();
        if !self.takes(b']') {
            loop {
                self.blank();
                let from = self.at;
                let words = self.object(names)?;
                pieces.push(Piece { bytes: self.bytes.get(from..self.at)?, words });
                if !self.takes(b',') {
                    self.take(b']')?;
                    break;
                }
            }
        }
        self.blank();
        (self.at == self.bytes.len()).then_some(pieces)
    }

    fn object(&mut self, names: &[&str]) -> Option<Vec<(usize, Cow<'m, str>)>> {
        self.take(b'{')?;
        let mut words = Vec::new();
        if self.takes(b'}') {
            return Some(words);
        }
        loop {
            self.blank();
            let name = self.string()?;
            self.take(b':')?;
            self.blank();
            let from = self.at;
            self.value()?;
            if let Some(number) = names.iter().position(|known| *known == name) {
                let value = Json { bytes: self.bytes.get(..self.at)?, at: from };
                value.texts(number, &mut words);
            }
            if !self.takes(b',') {
                self.take(b'}')?;
                return Some(words);
            }
        }
    }

    /// A string, or those of a list.
    fn texts(mut self, number: usize, to: &mut Vec<(usize, Cow<'m, str>)>) {
        let is_list = self.takes(b'[');
        loop {
            self.blank();
            let Some(text) = self.string() else { return };
            to.push((number, text));
            if !is_list || !self.takes(b',') {
                return;
            }
        }
    }

    fn value(&mut self) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.nest(),
            _ => {
                let rest = self.bytes.get(self.at..)?;
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}".contains(byte);
                let length = rest.iter().position(ends)?;
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }

    /// Whatever stands between two brackets that belong together.
    fn nest(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'m, str>> {
        let rest = self.bytes.get(self.at..)?;
        let (b'"', inner) = rest.split_first()? else { return None };
        let mut length = 0;
        let mut is_plain = true;
        loop {
            match inner.get(length)? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    length += 2;
                }
                _ => length += 1,
            }
        }
        self.at += length + 2;
        match is_plain {
            true => std::str::from_utf8(inner.get(..length)?).ok().map(Cow::Borrowed),
            false => serde_json::from_slice(rest.get(..length + 2)?).ok().map(Cow::Owned),
        }
    }

    fn blank(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.blank();
        let is_there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }
}

mod packed {
    use super::{Cow, Piece};

    /// What a value begins with.
    enum Head {
        List(usize),
        Map(usize),
        Text(usize),
        /// So many bytes more.
        Other(usize),
    }

    pub(super) fn pieces<'m>(message: &'m [u8], names: &[&str]) -> Option<Vec<Piece<'m>>> {
        let mut rest = message;
        let Head::List(count) = head(&mut rest)? else { return None };
        let mut pieces = Vec::new();
        for _ in 0..count {
            let start = rest;
            let words = object(&mut rest, names)?;
            let bytes = start.get(..start.len() - rest.len())?;
            pieces.push(Piece { bytes, words });
        }
        rest.is_empty().then_some(pieces)
    }

    fn object<'m>(rest: &mut &'m [u8], names: &[&str]) -> Option<Vec<(usize, Cow<'m, str>)>> {
        let Head::Map(count) = head(rest)? else { return None };
        let mut words = Vec::new();
        for _ in 0..count {
            let Head::Text(length) = head(rest)? else { return None };
            let name = text(rest, length)?;
            let number = names.iter().position(|known| *known == name);
            let mut value = *rest;
            skip(rest)?;
            let Some(number) = number else { continue };
            match head(&mut value)? {
                Head::Text(length) => words.push((number, text(&mut value, length)?.into())),
                Head::List(count) => {
                    for _ in 0..count {
                        let Head::Text(length) = head(&mut value)? else { break };
                        words.push((number, text(&mut value, length)?.into()));
                    }
                }
                Head::Map(_) | Head::Other(_) => {}
            }
        }
        Some(words)
    }

    pub(super) fn list(count: usize) -> Vec<u8> {
        match (u8::try_from(count), u16::try_from(count)) {
            (Ok(few @ ..16), _) => vec![0x90 | few],
            (_, Ok(some)) => [&[0xdc][..], &some.to_be_bytes()].concat(),
            (_, Err(_)) => {
                let many = u32::try_from(count).unwrap_or(u32::MAX);
                [&[0xdd][..], &many.to_be_bytes()].concat()
            }
        }
    }

    fn text<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m str> {
        std::str::from_utf8(take(rest, length)?).ok()
    }

    /// One whole value, however deep.
    fn skip(rest: &mut &[u8]) -> Option<()> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            match head(rest)? {
                Head::List(count) => left = left.checked_add(count)?,
                Head::Map(count) => left = left.checked_add(count.checked_mul(2)?)?,
                Head::Text(length) | Head::Other(length) => {
                    take(rest, length)?;
                }
            }
        }
        Some(())
    }

    fn head(rest: &mut &[u8]) -> Option<Head> {
        let [tag] = *take(rest, 1)? else { return None };
        Some(match tag {
            0x80..=0x8f => Head::Map(usize::from(tag & 0x0f)),
            0x90..=0x9f => Head::List(usize::from(tag & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(tag & 0x1f)),
            0xc4 => Head::Other(number(rest, 1)?),
            0xc5 => Head::Other(number(rest, 2)?),
            0xc6 => Head::Other(number(rest, 4)?),
            // An extension has a byte for its kind.
            0xc7 => Head::Other(number(rest, 1)?.checked_add(1)?),
            0xc8 => Head::Other(number(rest, 2)?.checked_add(1)?),
            0xc9 => Head::Other(number(rest, 4)?.checked_add(1)?),
            0xcc | 0xd0 => Head::Other(1),
            0xcd | 0xd1 => Head::Other(2),
            0xca | 0xce | 0xd2 => Head::Other(4),
            0xcb | 0xcf | 0xd3 => Head::Other(8),
            0xd4 => Head::Other(2),
            0xd5 => Head::Other(3),
            0xd6 => Head::Other(5),
            0xd7 => Head::Other(9),
            0xd8 => Head::Other(17),
            0xd9 => Head::Text(number(rest, 1)?),
            0xda => Head::Text(number(rest, 2)?),
            0xdb => Head::Text(number(rest, 4)?),
            0xdc => Head::List(number(rest, 2)?),
            0xdd => Head::List(number(rest, 4)?),
            0xde => Head::Map(number(rest, 2)?),
            0xdf => Head::Map(number(rest, 4)?),
            0xc1 => return None,
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Head::Other(0),
        })
    }

    fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
        let bytes = take(rest, bytes)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn take<'m>(rest: &mut &'m [u8], count: usize) -> Option<&'m [u8]> {
        let (taken, behind) = rest.split_at_checked(count)?;
        *rest = behind;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::corridor::socket::worded;

    const NAMES: [&str; 3] = ["ev", "sym", "symbols"];

    #[test]
    fn elements_are_cut_where_they_are_and_stay_as_they_came() {
        let message = br#" [ {"ev":"T","p":1.50,"sym":"A\"B","c":[1,[2]],"x":{"sym":"no"}} ,{"ev":"n","symbols":["A", "B"]}] "#;
        let found = pieces(Codec::Json, message, &NAMES).unwrap();
        let words = |at: usize| -> Vec<(usize, &str)> {
            found[at].words.iter().map(|(number, text)| (*number, text.as_ref())).collect()
        };
        assert_eq!(words(0), [(0, "T"), (1, "A\"B")]);
        assert_eq!(words(1), [(0, "n"), (2, "A"), (2, "B")]);
        assert_eq!(found[1].bytes, br#"{"ev":"n","symbols":["A", "B"]}"#);
        let wrongs = ["", "{}", "[1]", "[{}", "[{}] x", "[{\"a\"}]", "[{\"a\":}]", "[{\"a\":\"b}]"];
        for wrong in wrongs {
            assert_eq!(pieces(Codec::Json, wrong.as_bytes(), &NAMES), None, "{wrong}");
        }
    }

    #[test]
    fn a_timestamp_of_messagepack_passes_as_it_is() {
        let mut packed = vec![0x91, 0x83, 0xa2, b'e', b'v', 0xa1, b'T', 0xa1, b't', 0xd7, 0xff];
        packed.extend([1, 2, 3, 4, 5, 6, 7, 8, 0xa3, b's', b'y', b'm', 0xa1, b'A']);
        let found = pieces(Codec::Msgpack, &packed, &NAMES).unwrap();
        assert_eq!(found[0].words, [(0, "T".into()), (1, "A".into())]);
        assert_eq!(joined(Codec::Msgpack, &[found[0].bytes]), packed);
        for cut in 0..packed.len() {
            assert_eq!(pieces(Codec::Msgpack, &packed[..cut], &NAMES), None, "{cut}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_message_holds_it_is_cut_and_joined_to_the_same(
            values in proptest::collection::vec(values(), 0..5), symbol in ".{0,12}",
        ) {
            let list: Vec<Value> = values
                .into_iter()
                .map(|value| json!({"other": value, "ev": "T", "sym": symbol}))
                .collect();
            let text = Value::from(list.clone()).to_string();
            for codec in Codec::ALL {
                let message = worded(codec, &text);
                let found = pieces(codec, &message, &NAMES).unwrap();
                prop_assert_eq!(found.len(), list.len());
                for piece in &found {
                    prop_assert!(piece.words.contains(&(1, symbol.as_str().into())));
                }
                let bytes: Vec<&[u8]> = found.iter().map(|piece| piece.bytes).collect();
                prop_assert_eq!(joined(codec, &bytes), message);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_no_danger(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for codec in Codec::ALL {
                let _any = pieces(codec, &bytes, &NAMES);
            }
        }
    }
}
