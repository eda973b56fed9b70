//! One character of a text in which some are escaped: `%41` as URLs do, `\u0041`, `\/` and `\n` as
//! JSON does. What is no escape stands for itself.
//! Must never look beyond one escape.

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A character, and how many bytes it takes.
    Is(u8, usize),
    /// The bytes end before that is known.
    Out,
}

pub(super) fn read(bytes: &[u8], at: usize) -> Read {
    match bytes.get(at) {
        None => Read::Out,
        Some(b'%') => digits(bytes, at, 1, 2),
        Some(b'\\') => match bytes.get(at + 1) {
            None => Read::Out,
            Some(b'u') => digits(bytes, at, 2, 4),
            Some(b'n') => Read::Is(b'\n', 2),
            Some(b'r') => Read::Is(b'\r', 2),
            Some(b't') => Read::Is(b'\t', 2),
            Some(sign @ (b'/' | b'"' | b'\\')) => Read::Is(*sign, 2),
            Some(_) => Read::Is(b'\\', 1),
        },
        Some(sign) => Read::Is(*sign, 1),
    }
}

/// `lead` signs and then `count` digits; without them the sign stands for itself.
fn digits(bytes: &[u8], at: usize, lead: usize, count: usize) -> Read {
    let mut value = 0_u32;
    for place in at + lead..at + lead + count {
        let Some(sign) = bytes.get(place) else { return Read::Out };
        let itself = || Read::Is(bytes.get(at).copied().unwrap_or_default(), 1);
        let Some(digit) = (*sign as char).to_digit(16) else { return itself() };
        value = value << 4 | digit;
    }
    match u8::try_from(value) {
        Ok(sign) => Read::Is(sign, lead + count),
        // No secret holds it.
        Err(_) => Read::Is(0, lead + count),
    }
}
