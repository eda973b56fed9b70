//! The header compression of HTTP/2 (RFC 7541), as much as a hostile client needs: writes literals
//! without a table, so that anything can be written; reads whatever a server writes.

use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

/// Beyond `:status`, which is 8 to 14; names from 15 on.
const STATIC: [&str; 47] = [
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];

/// The code of appendix B is canonical: its lengths say all of it.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Names and values as literals that no table keeps.
pub(crate) fn written(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            number(text.len(), 7, &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

fn number(value: usize, bits: u8, block: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The byte of each code, by its length and bits.
static CODES: LazyLock<HashMap<(u8, u32), u8>> = LazyLock::new(|| {
    let mut order: Vec<(u8, u8)> =
        (0..=255_u8).map(|byte| (LENGTHS[usize::from(byte)], byte)).collect();
    order.sort_unstable();
    let (mut code, mut before) = (0_u32, 0);
    let codes = order.into_iter().map(|(length, byte)| {
        code <<= length - before;
        before = length;
        code += 1;
        ((length, code - 1), byte)
    });
    codes.collect()
});

/// What one connection's blocks are read with.
#[derive(Default)]
pub(crate) struct Reader {
    /// Newest first. Nothing is evicted: that changes no index.
    table: VecDeque<(String, String)>,
}

impl Reader {
    pub(crate) fn read(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut rest = block;
        let mut headers = Vec::new();
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let index = take_number(&mut rest, 7);
                headers.push(self.entry(index));
            } else if first & 0xE0 == 0x20 {
                take_number(&mut rest, 5);
            } else {
                let kept = first & 0x40 != 0;
                let index = take_number(&mut rest, if kept { 6 } else { 4 });
                let name = match index {
                    0 => take_text(&mut rest),
                    _ => self.entry(index).0,
                };
                let value = take_text(&mut rest);
                if kept {
                    self.table.push_front((name.clone(), value.clone()));
                }
                headers.push((name, value));
            }
        }
        headers
    }

    fn entry(&self, index: usize) -> (String, String) {
        let fixed = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match index {
            8..=14 => fixed(":status", STATUSES[index - 8]),
            15..=61 => fixed(STATIC[index - 15], ""),
            62.. => self.table[index - 62].clone(),
            _ => fixed(":request", ""),
        }
    }
}

fn take_text(rest: &mut &[u8]) -> String {
    let packed = rest[0] & 0x80 != 0;
    let length = take_number(rest, 7);
    let (text, after) = rest.split_at(length);
    *rest = after;
    let text = if packed { unpacked(text) } else { text.to_vec() };
    String::from_utf8_lossy(&text).into_owned()
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let (mut code, mut length) = (0_u32, 0_u8);
    for bit in packed.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some(byte) = CODES.get(&(length, code)) {
            text.push(*byte);
            (code, length) = (0, 0);
        }
    }
    text
}

fn take_number(rest: &mut &[u8], bits: u8) -> usize {
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(rest[0]) & most;
    *rest = &rest[1..];
    if value < most {
        return value;
    }
    let mut shift = 0;
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value += usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return value;
        }
    }
}

#[test]
fn what_is_written_is_read_again_and_compressed_text_too() {
    let long = vec![b'x'; 300];
    let block = written(&[(b"x-a".to_vec(), b"b\r\n".to_vec()), (b"x-l".to_vec(), long.clone())]);
    let read = Reader::default().read(&block);
    let long = String::from_utf8(long).unwrap();
    assert_eq!(read, [("x-a".into(), "b\r\n".into()), ("x-l".into(), long)]);
    // RFC 7541, C.4.1 and C.6.1.
    let block = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b";
    let read = Reader::default().read(block);
    assert_eq!(read[0], (":status".into(), "302".into()));
    assert_eq!(read[1], ("cache-control".into(), "private".into()));
}
