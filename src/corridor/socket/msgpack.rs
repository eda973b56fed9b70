//! Messages in MessagePack, as far as JSON has the same values: read from
//! a client that has not shown its key yet, written for one. Must never
//! trust a length, nor go deeper than anybody needs.

use serde_json::{Map, Number, Value};

/// Nobody shows a key deeper down.
const DEEPEST: u8 = 8;

/// None where the bytes are not one whole value that JSON could write, too.
pub(crate) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader(bytes);
    let value = reader.value(DEEPEST)?;
    reader.0.is_empty().then_some(value)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u8) -> Option<Value> {
        let [tag] = self.array()?;
        Some(match tag {
            0x00..=0x7f => Value::from(tag),
            0x80..=0x8f => self.map(usize::from(tag & 0x0f), depth)?,
            0x90..=0x9f => self.list(usize::from(tag & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(tag & 0x1f))?,
            0xc0 => Value::Null,
            0xc2 | 0xc3 => Value::from(tag == 0xc3),
            0xca => float(f64::from(f32::from_be_bytes(self.array()?)))?,
            0xcb => float(f64::from_be_bytes(self.array()?))?,
            0xcc => Value::from(u8::from_be_bytes(self.array()?)),
            0xcd => Value::from(u16::from_be_bytes(self.array()?)),
            0xce => Value::from(u32::from_be_bytes(self.array()?)),
            0xcf => Value::from(u64::from_be_bytes(self.array()?)),
            0xd0 => Value::from(i8::from_be_bytes(self.array()?)),
            0xd1 => Value::from(i16::from_be_bytes(self.array()?)),
            0xd2 => Value::from(i32::from_be_bytes(self.array()?)),
            0xd3 => Value::from(i64::from_be_bytes(self.array()?)),
            0xc4 | 0xd9 => {
                let length = usize::from(u8::from_be_bytes(self.array()?));
                self.text(length)?
            }
            0xc5 | 0xda => {
                let length = usize::from(u16::from_be_bytes(self.array()?));
                self.text(length)?
            }
            0xdc => {
                let count = usize::from(u16::from_be_bytes(self.array()?));
                self.list(count, depth)?
            }
            0xde => {
                let count = usize::from(u16::from_be_bytes(self.array()?));
                self.map(count, depth)?
            }
            0xe0..=0xff => Value::from(i8::from_be_bytes([tag])),
            // Extensions, and what is longer than any message here.
            _ => return None,
        })
    }

    fn map(&mut self, count: usize, depth: u8) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let mut map = Map::new();
        for _ in 0..count {
            let Value::String(name) = self.value(depth)? else { return None };
            // A member that stands there twice has two meanings.
            if map.insert(name, self.value(depth)?).is_some() {
                return None;
            }
        }
        Some(Value::Object(map))
    }

    fn list(&mut self, count: usize, depth: u8) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        (0..count).map(|_| self.value(depth)).collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn text(&mut self, length: usize) -> Option<Value> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Value::from(std::str::from_utf8(text).ok()?))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

fn float(number: f64) -> Option<Value> {
    Number::from_f64(number).map(Value::Number)
}

pub(crate) fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Null => to.push(0xc0),
        Value::Bool(yes) => to.push(if *yes { 0xc3 } else { 0xc2 }),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => write_whole(whole, to),
            (None, Some(whole)) => {
                to.push(0xd3);
                to.extend(whole.to_be_bytes());
            }
            (None, None) => {
                to.push(0xcb);
                to.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => {
            head(text.len(), (0xa0, 32, 0xda), to);
            to.extend(text.bytes());
        }
        Value::Array(list) => {
            head(list.len(), (0x90, 16, 0xdc), to);
            list.iter().for_each(|value| write(value, to));
        }
        Value::Object(map) => {
            head(map.len(), (0x80, 16, 0xde), to);
            for (name, value) in map {
                head(name.len(), (0xa0, 32, 0xda), to);
                to.extend(name.bytes());
                write(value, to);
            }
        }
    }
}

/// In as few bytes as it takes: some clients take a number of eight for one of another type, which
/// is no code that they know.
fn write_whole(number: u64, to: &mut Vec<u8>) {
    if let Ok(tiny @ 0..=0x7f) = u8::try_from(number) {
        to.push(tiny);
    } else if let Ok(short) = u8::try_from(number) {
        to.extend([0xcc, short]);
    } else if let Ok(middle) = u16::try_from(number) {
        to.push(0xcd);
        to.extend(middle.to_be_bytes());
    } else if let Ok(long) = u32::try_from(number) {
        to.push(0xce);
        to.extend(long.to_be_bytes());
    } else {
        to.push(0xcf);
        to.extend(number.to_be_bytes());
    }
}

/// One byte where the length is small, else two more; nothing here is longer than those can say.
fn head(length: usize, (small, below, large): (u8, usize, u8), to: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short) if length < below => to.push(small | short),
        Ok(_) | Err(_) => {
            to.push(large);
            to.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!([
            {"action": "auth", "key": "k".repeat(40), "n": [0, 127, 128, -1, -200, 1.5], "x": null},
            true, "", {"deep": [[["er"]]]}, (0..20).collect::<Vec<u32>>(),
        ]);
        assert_eq!(read(&written(&value)), Some(value));
    }

    #[test]
    fn a_number_takes_no_more_bytes_than_it_needs() {
        for (number, bytes) in [
            (127_u64, &[0x7f][..]),
            (128, &[0xcc, 128]),
            (402, &[0xcd, 1, 146]),
            (65_536, &[0xce, 0, 1, 0, 0]),
            (1 << 32, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            assert_eq!(written(&json!(number)), bytes);
            assert_eq!(read(bytes), Some(json!(number)));
        }
    }

    #[test]
    fn what_is_no_value_or_says_two_things_is_none() {
        let twice = [0x82, 0xa1, b'k', 1, 0xa1, b'k', 2];
        let deep: Vec<u8> = std::iter::repeat_n(0x91, 20).chain([1]).collect();
        for wrong in [
            &[][..],
            &[0xa5, b'x'],
            &[0x81, 1, 1],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xdc, 0xff, 0xff],
            &[0xc0, 0xc0],
            &[0xc1],
            &[0xa1, 0xff],
            &[0xd4, 1, 1],
            &twice,
            &deep,
        ] {
            assert_eq!(read(wrong), None, "{wrong:x?}");
        }
    }
}
