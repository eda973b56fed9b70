//! The dresses of a secret, sign by sign and computed from its plain bytes, so that no encoded copy
//! of it has to lie anywhere. A base64 dress has the signs that the secret alone decides, whatever
//! stands around it. Must never take a sign for two.

use std::ops::Range;

use super::escape::{self, Read};
use super::{GRAM, Verdict};

/// How a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    Plain,
    /// Large or small digits.
    Hex,
    /// Of either alphabet; the bits between the secret's beginning and its first whole sign.
    Base64 {
        skipped: usize,
    },
}

const ALL: [Dress; 5] = [
    Dress::Plain,
    Dress::Hex,
    Dress::Base64 { skipped: 0 },
    Dress::Base64 { skipped: 4 },
    Dress::Base64 { skipped: 2 },
];

/// A secret in one dress.
#[derive(Clone, Copy)]
pub(super) struct Worn<'t> {
    text: &'t [u8],
    dress: Dress,
}

pub(super) fn dresses(text: &[u8]) -> impl Iterator<Item = Worn<'_>> {
    ALL.into_iter().map(move |dress| Worn { text, dress })
}

impl Worn<'_> {
    pub(super) fn len(&self) -> usize {
        match self.dress {
            Dress::Plain => self.text.len(),
            Dress::Hex => self.text.len() * 2,
            Dress::Base64 { skipped } => (self.text.len() * 8 - skipped) / 6,
        }
    }

    /// The stretches that can stand at a place of it, letters of one size.
    pub(super) fn signs(&self, at: usize) -> impl Iterator<Item = [u8; GRAM]> {
        let written = |alphabet: &[u8; 64]| {
            let mut signs = [0; GRAM];
            for (place, sign) in signs.iter_mut().enumerate() {
                *sign = self.sign(at + place, alphabet)?;
            }
            Some(signs)
        };
        [written(STANDARD), written(URL)].into_iter().flatten()
    }

    fn sign(&self, at: usize, alphabet: &[u8; 64]) -> Option<u8> {
        match self.dress {
            Dress::Plain => self.text.get(at).copied(),
            Dress::Hex => DIGITS.get(self.nibble(at)?).copied(),
            Dress::Base64 { skipped } => alphabet.get(self.sextet(skipped, at)?).copied(),
        }
    }

    fn nibble(&self, at: usize) -> Option<usize> {
        let byte = *self.text.get(at / 2)?;
        Some(usize::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }))
    }

    fn sextet(&self, skipped: usize, at: usize) -> Option<usize> {
        let bit = skipped + 6 * at;
        let first = *self.text.get(bit / 8)?;
        let second = self.text.get(bit / 8 + 1).copied();
        if second.is_none() && bit % 8 > 2 {
            return None;
        }
        let pair = u16::from_be_bytes([first, second.unwrap_or(0)]);
        Some(usize::from((pair >> (10 - bit % 8)) & 63))
    }

    /// Does a sign of it read like this?
    fn is_sign(&self, at: usize, sign: u8) -> bool {
        match self.dress {
            Dress::Plain => self.text.get(at) == Some(&sign),
            Dress::Hex => {
                self.nibble(at) == (sign as char).to_digit(16).map(|digit| digit as usize)
            }
            Dress::Base64 { skipped } => {
                value_of(sign).is_some_and(|value| self.sextet(skipped, at) == Some(value))
            }
        }
    }

    /// Does it stand at the beginning of the bytes, as it is or with signs of it escaped?
    pub(super) fn stands_at(&self, bytes: &[u8]) -> Verdict {
        match self.compared(bytes, |bytes, at| match bytes.get(at) {
            Some(sign) => Read::Is(*sign, 1),
            None => Read::Out,
        }) {
            Verdict::Other => self.compared(bytes, escape::read),
            verdict @ (Verdict::Whole(..) | Verdict::Begun) => verdict,
        }
    }

    fn compared(&self, bytes: &[u8], read: impl Fn(&[u8], usize) -> Read) -> Verdict {
        let mut at = 0;
        for place in 0..self.len() {
            match read(bytes, at) {
                Read::Out => return Verdict::Begun,
                Read::Is(sign, length) if self.is_sign(place, sign) => at += length,
                Read::Is(..) => return Verdict::Other,
            }
        }
        Verdict::Whole(at, self.dress)
    }
}

impl Dress {
    /// The signs of base64 on either side hold bits of the secret too.
    pub(super) fn with_edges(self, bytes: &[u8], range: Range<usize>) -> Range<usize> {
        match self {
            Self::Plain | Self::Hex => range,
            Self::Base64 { .. } => {
                let is_sign =
                    |at: usize| bytes.get(at).is_some_and(|sign| value_of(*sign).is_some());
                let before = range.start.checked_sub(1).filter(|at| is_sign(*at));
                let end = if is_sign(range.end) { range.end + 1 } else { range.end };
                before.unwrap_or(range.start)..end
            }
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a sign of either alphabet stands for.
fn value_of(sign: u8) -> Option<usize> {
    let value = match sign {
        b'A'..=b'Z' => sign - b'A',
        b'a'..=b'z' => sign - b'a' + 26,
        b'0'..=b'9' => sign - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(usize::from(value))
}
