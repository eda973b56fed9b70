//! A reader of JSON that hands out every value as the text that stands there, so that no number
//! goes through a floating point. Takes `NaN` and its like for a value, as some providers write
//! them. Pure. Must never go deeper than it was told, nor read behind the end.

/// What is left to read.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// It is no JSON, from about here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) at: usize,
}

type Read<T> = Result<T, Broken>;

const DEEPEST: usize = 32;

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Each member of an object; the reader must take its value.
    pub(super) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Read<()>,
    ) -> Read<()> {
        self.listed((b'{', b'}'), |reader| {
            let name = reader.string()?;
            reader.expect(b':')?;
            member(reader, name.trim_matches('"'))
        })
    }

    /// Each item of a list; the reader must take it.
    pub(super) fn items(&mut self, item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.listed((b'[', b']'), item)
    }

    /// Any value, as it stands there.
    pub(super) fn value(&mut self) -> Read<&'a str> {
        let next = self.next_sign().ok_or_else(|| self.broken())?;
        let from = self.at;
        match next {
            b'"' => return self.string(),
            b'{' => self.members(|reader, _| reader.value().map(drop))?,
            b'[' => self.items(|reader| reader.value().map(drop))?,
            _ => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let rest = self.rest().bytes().take_while(is_part).count();
                if rest == 0 {
                    return Err(self.broken());
                }
                self.at += rest;
            }
        }
        self.text.get(from..self.at).ok_or_else(|| self.broken())
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Read<()> {
        match self.next_sign() {
            None => Ok(()),
            Some(_) => Err(self.broken()),
        }
    }

    /// The first sign of the next value.
    pub(super) fn next_sign(&mut self) -> Option<u8> {
        let blank = |byte: &u8| b" \t\r\n".contains(byte);
        self.at += self.rest().bytes().take_while(blank).count();
        self.rest().bytes().next()
    }

    fn listed(
        &mut self,
        (open, close): (u8, u8),
        mut one: impl FnMut(&mut Self) -> Read<()>,
    ) -> Read<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.broken());
        }
        self.expect(open)?;
        if self.next_sign() == Some(close) {
            self.at += 1;
        } else {
            loop {
                one(self)?;
                let next = self.next_sign();
                self.at += 1;
                match next {
                    Some(b',') => {}
                    Some(sign) if sign == close => break,
                    Some(_) | None => return Err(self.broken()),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// With its quotes and escapes.
    fn string(&mut self) -> Read<&'a str> {
        if self.next_sign() != Some(b'"') {
            return Err(self.broken());
        }
        let rest = self.rest();
        let mut is_escaped = true;
        for (index, byte) in rest.bytes().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    self.at += index + 1;
                    return rest.get(..=index).ok_or_else(|| self.broken());
                }
                _ => {}
            }
        }
        // Only the end of the text ends it so.
        Err(Broken { at: self.text.len() })
    }

    fn expect(&mut self, sign: u8) -> Read<()> {
        match self.next_sign() {
            Some(found) if found == sign => {
                self.at += 1;
                Ok(())
            }
            Some(_) | None => Err(self.broken()),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn broken(&self) -> Broken {
        Broken { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Read<&str> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end().map(|()| value)
    }

    #[test]
    fn a_value_is_handed_out_as_it_stands_there() {
        for text in ["1.50", "-0.0e+7", "NaN", "null", r#""a\"b\\""#, r#"{"a":[1,{"b":2}]}"#, "[]"]
        {
            assert_eq!(whole(&format!(" {text}\n")), Ok(text));
        }
        for text in ["", "{", "[1", "[1,]x", "\"a", r#"{"a"}"#, r#"{a:1}"#, "1 2", "]", "[1 2]"] {
            assert!(whole(text).is_err(), "{text}");
        }
        assert!(whole(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn what_others_write_is_read_whole(numbers in prop::collection::vec(any::<i64>(), 0..20),
            name in "\\PC{0,12}") {
            let text = serde_json::json!({"n": numbers, "name": name, "x": {"y": [null, true]}});
            let text = text.to_string();
            prop_assert_eq!(whole(&text), Ok(text.as_str()));
        }

        #[test]
        fn no_text_is_too_strange(text in "[\\[\\]{}\",:\\\\a0 é]{0,40}") {
            let _read = whole(&text);
        }
    }
}
