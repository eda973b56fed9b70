//! Decimal numbers as they are written, compared exactly and without a floating point. What is
//! stored is the text; this is for judging it. Pure.
//! Must never round.

use std::cmp::Ordering;

/// A number that is not below zero: `digits` times ten to the power of `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// NaN, a text, nothing.
    NoNumber,
    Negative,
    /// More digits than anybody means.
    TooLong,
}

const MOST_DIGITS: u32 = 30;
const MOST_EXPONENT: i32 = 30;
const MOST_BYTES: usize = 48;

impl Decimal {
    /// As JSON writes numbers.
    pub(crate) fn parse(text: &str) -> Result<Self, Flaw> {
        if text.len() > MOST_BYTES {
            return Err(Flaw::TooLong);
        }
        let (is_negative, bare) = match text.strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, text),
        };
        let (mantissa, power) = match bare.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, exponent(power)?),
            None => (bare, 0),
        };
        let (whole, part) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(Flaw::NoNumber),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let has_zero_in_front = whole.len() > 1 && whole.starts_with('0');
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || has_zero_in_front || !is_digits(whole) || !is_digits(part) {
            return Err(Flaw::NoNumber);
        }
        // Zeros at the end say nothing, however many there are.
        let part = part.trim_end_matches('0');
        let mut digits: i128 = 0;
        let mut count = 0;
        for byte in whole.bytes().chain(part.bytes()) {
            count += u32::from(digits > 0 || byte != b'0');
            if count > MOST_DIGITS {
                return Err(Flaw::TooLong);
            }
            digits = digits * 10 + i128::from(byte - b'0');
        }
        if is_negative && digits > 0 {
            return Err(Flaw::Negative);
        }
        let places = i32::try_from(part.len()).unwrap_or(i32::MAX);
        Ok(Self { digits, exponent: power - places })
    }

    pub(crate) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// With so many more digits behind it, which is none the other has.
    fn shifted(self, by: i32) -> Option<i128> {
        let factor = 10_i128.checked_pow(u32::try_from(by).ok()?)?;
        self.digits.checked_mul(factor)
    }
}

/// Is it a number that a candle may hold?
pub(crate) fn is_number(text: &str) -> bool {
    Decimal::parse(text).is_ok()
}

fn exponent(text: &str) -> Result<i32, Flaw> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Flaw::NoNumber);
    }
    let power: i32 = text.parse().map_err(|_| Flaw::TooLong)?;
    if power.abs() > MOST_EXPONENT { Err(Flaw::TooLong) } else { Ok(power) }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.is_zero() || other.is_zero() {
            return Some(self.digits.cmp(&other.digits));
        }
        let apart = self.exponent - other.exponent;
        Some(match apart.cmp(&0) {
            Ordering::Equal => self.digits.cmp(&other.digits),
            // What has no room with the other's places is greater than all that has.
            Ordering::Greater => {
                self.shifted(apart).map_or(Ordering::Greater, |own| own.cmp(&other.digits))
            }
            Ordering::Less => {
                other.shifted(-apart).map_or(Ordering::Less, |theirs| self.digits.cmp(&theirs))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        for (less, more) in [
            ("0.1", "0.10000000000000000000001"),
            ("187.15", "187.150001"),
            ("9e-30", "1"),
            ("1", "1e30"),
            ("999999999999999999999999999999", "1e30"),
            ("0", "1e-30"),
        ] {
            assert!(read(less) < read(more), "{less} {more}");
            assert!(read(more) > read(less), "{more} {less}");
        }
        for (one, other) in [("1.50", "1.5"), ("15e-1", "1.5"), ("0.0", "0"), ("-0", "0")] {
            assert_eq!(read(one).partial_cmp(&read(other)), Some(Ordering::Equal), "{one}");
        }
    }

    #[test]
    fn what_is_no_number_is_named() {
        for (text, flaw) in [
            ("NaN", Flaw::NoNumber),
            ("", Flaw::NoNumber),
            ("1.", Flaw::NoNumber),
            (".5", Flaw::NoNumber),
            ("01", Flaw::NoNumber),
            ("1e", Flaw::NoNumber),
            ("0x1", Flaw::NoNumber),
            ("+1", Flaw::NoNumber),
            ("--1", Flaw::NoNumber),
            ("-1e-9", Flaw::Negative),
            ("1e31", Flaw::TooLong),
            ("1234567890123456789012345678901", Flaw::TooLong),
        ] {
            assert_eq!(Decimal::parse(text), Err(flaw), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_whole_numbers(a in 0_u64.., b in 0_u64.., places in 0_usize..12) {
            let point = |number: u64| {
                let text = format!("{number:0>width$}", width = places + 1);
                let (whole, part) = text.split_at(text.len() - places);
                if places == 0 { whole.to_owned() } else { format!("{whole}.{part}") }
            };
            prop_assert_eq!(read(&point(a)).partial_cmp(&read(&point(b))), Some(a.cmp(&b)));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}") {
            let _read = Decimal::parse(&text);
        }
    }
}
