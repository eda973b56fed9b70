//! Secrets that are looked for in what comes back, in every dress in which they may come back:
//! plain, hexadecimal, base64 at any offset, and each of these with characters escaped as URLs and
//! JSON do. A filter of short stretches lets innocent text pass in long steps. Must never hand out
//! the bytes of a secret, only where they stand.

mod dress;
mod escape;

use std::ops::Range;

use self::dress::{Dress, dresses};
use self::escape::Read;
use super::{KeptBytes, Locked};

/// Everything that must not come back with one answer.
pub(crate) struct Needles {
    texts: Vec<KeptBytes>,
    /// The shortest that any text in any dress can be, at most `LONGEST_STEP`.
    window: usize,
    /// Which stretches of `GRAM` bytes stand within the first window of any dress.
    filter: Locked<Filter>,
}

/// What a look at some bytes saw first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    Nothing,
    /// A secret begins here, and this is what must go.
    Whole(usize, Range<usize>),
    /// From here on the bytes may be the beginning of one: more of them must come.
    Begun(usize),
}

/// The answer of one place.
enum Verdict {
    Other,
    Whole(usize, Dress),
    Begun,
}

const GRAM: usize = 4;
const LONGEST_STEP: usize = 24;
const FILTER_BITS: u32 = 13;
/// Of secrets that stand one in another without end.
const MOST_HELD: usize = 64 * 1024;

struct Filter {
    stretches: [u64; 1 << (FILTER_BITS - 6)],
    /// Single characters.
    signs: [u64; 4],
}

impl Needles {
    /// Texts shorter than a stretch of the filter are not looked for.
    pub(crate) fn new(mut texts: Vec<KeptBytes>) -> Self {
        texts.retain(|text| text.expose().len() >= GRAM);
        let worn = || texts.iter().flat_map(|text| dresses(text.expose()));
        let window = worn().map(|worn| worn.len()).min().unwrap_or(0).min(LONGEST_STEP);
        let mut filter =
            Locked::new(Filter { stretches: [0; 1 << (FILTER_BITS - 6)], signs: [0; 4] });
        for worn in worn() {
            for at in 0..=window.saturating_sub(GRAM) {
                for signs in worn.signs(at) {
                    filter.add(signs);
                }
            }
        }
        Self { texts, window, filter }
    }

    /// False where some of it is too long for protected memory.
    pub(crate) fn may_stay(&self) -> bool {
        self.texts.iter().all(KeptBytes::may_stay)
    }

    /// The first of them at or behind `from`. With `more` to come, what may be a beginning counts.
    pub(crate) fn look(&self, bytes: &[u8], from: usize, more: bool) -> Sighting {
        if self.texts.is_empty() {
            return Sighting::Nothing;
        }
        let unescaped = self.look_unescaped(bytes, from, more);
        let until = match &unescaped {
            Sighting::Nothing => bytes.len(),
            Sighting::Whole(at, _) | Sighting::Begun(at) => {
                // An escape within the window of one that begins before it.
                (at + self.window).min(bytes.len())
            }
        };
        let escaped = self.look_escaped(bytes, from..until, more);
        match (escaped.at(), unescaped.at()) {
            (None, _) => unescaped,
            (Some(here), Some(there)) if there <= here => unescaped,
            (Some(_), _) => escaped,
        }
    }

    /// Blanks every secret that stands whole in the bytes; yields from where on they may be the
    /// beginning of one, and how many were blanked.
    pub(crate) fn blank(&self, bytes: &mut [u8], more: bool) -> (usize, usize) {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        let mut undecided = loop {
            match self.look(bytes, from, more) {
                Sighting::Nothing => break bytes.len(),
                Sighting::Begun(at) => break at,
                Sighting::Whole(at, range) => {
                    from = at + 1;
                    found.push(range);
                }
            }
        };
        // One that begins within another waits together with it, or its end would stand alone.
        while let Some(range) = found.pop_if(|range| range.end > undecided) {
            undecided = undecided.min(range.start);
            if bytes.len() - undecided > MOST_HELD {
                found.push(range.start..bytes.len());
                undecided = bytes.len();
            }
        }
        for range in &found {
            if let Some(stretch) = bytes.get_mut(range.clone()) {
                stretch.fill(BLANK);
            }
        }
        (undecided, found.len())
    }

    /// Those whose first window bears no escape.
    fn look_unescaped(&self, bytes: &[u8], from: usize, more: bool) -> Sighting {
        let mut at = from;
        loop {
            at = self.skipped(bytes, at);
            if at + self.window > bytes.len() {
                break;
            }
            // From the window's end backwards: a strange stretch rules out all that hold it.
            let last = at + self.window - GRAM;
            match (at..=last).rev().find(|place| !self.filter.knows(bytes, *place)) {
                Some(strange) => at = strange + 1,
                None => {
                    if let Some(seen) = self.seen(bytes, at, more) {
                        return seen;
                    }
                    at += 1;
                }
            }
        }
        if !more {
            return Sighting::Nothing;
        }
        // Less than a window is left: nothing whole. A beginning holds the last stretch.
        if bytes.len() >= at + GRAM && !self.filter.knows(bytes, bytes.len() - GRAM) {
            at = bytes.len() - GRAM + 1;
        }
        let may_begin = |at: &usize| bytes.get(*at).is_some_and(|sign| self.filter.begins(*sign));
        let mut begun = (at..bytes.len()).filter(may_begin);
        begun.find_map(|at| self.seen(bytes, at, more)).unwrap_or(Sighting::Nothing)
    }

    /// Leaves out windows that end in a strange stretch, several in one go.
    fn skipped(&self, bytes: &[u8], mut at: usize) -> usize {
        const TOGETHER: usize = 4;
        let step = self.window - GRAM + 1;
        let reach = step * (TOGETHER - 1) + self.window;
        while let Some(rest) = bytes.get(at..at + reach) {
            let stretches: [u64; TOGETHER] =
                std::array::from_fn(|nth| self.filter.bit(rest, nth * step + step - 1));
            if stretches.iter().fold(0, |all, bit| all | bit) != 0 {
                break;
            }
            at += step * TOGETHER;
        }
        at
    }

    /// Those whose first escape stands in their first window.
    fn look_escaped(&self, bytes: &[u8], range: Range<usize>, more: bool) -> Sighting {
        let Some(searched) = bytes.get(range.clone()) else { return Sighting::Nothing };
        for escape in memchr::memchr2_iter(b'%', b'\\', searched).map(|at| range.start + at) {
            match escape::read(bytes, escape) {
                // A plain percent or backslash, which is no escape.
                Read::Is(_, 1) => continue,
                Read::Is(sign, _) if !self.filter.holds(sign) => continue,
                Read::Out if !more => continue,
                Read::Is(..) | Read::Out => {}
            }
            if let Some(seen) = self.seen_around(bytes, (range.start, escape), more) {
                return seen;
            }
        }
        Sighting::Nothing
    }

    /// One whose first escape is this one.
    fn seen_around(
        &self,
        bytes: &[u8],
        (from, escape): (usize, usize),
        more: bool,
    ) -> Option<Sighting> {
        let mut at = escape;
        let mut behind = [0; GRAM];
        for sign in &mut behind {
            match escape::read(bytes, at) {
                Read::Is(read, length) => (*sign, at) = (read, at + length),
                // The bytes end here: whatever begins in time is undecided.
                Read::Out if more => {
                    let earliest = escape.saturating_sub(self.window - 1).max(from);
                    return (earliest..=escape).find_map(|start| self.seen(bytes, start, more));
                }
                Read::Out => break,
            }
        }
        let before = escape - from;
        if before >= GRAM && self.filter.knows(bytes, escape - GRAM) {
            let earliest = escape.saturating_sub(self.window - 1).max(from);
            let mut starts = earliest..=escape - GRAM;
            if let Some(seen) = starts.find_map(|start| self.seen(bytes, start, more)) {
                return Some(seen);
            }
        }
        // The first stretch: some unescaped signs, and then what was read.
        (0..GRAM.min(before + 1)).rev().find_map(|unescaped| {
            let start = escape - unescaped;
            let mut signs = behind;
            signs.copy_within(..GRAM - unescaped, unescaped);
            for (sign, byte) in signs.iter_mut().zip(bytes.get(start..escape)?) {
                *sign = *byte;
            }
            if self.filter.knows_signs(signs) { self.seen(bytes, start, more) } else { None }
        })
    }

    fn seen(&self, bytes: &[u8], at: usize, more: bool) -> Option<Sighting> {
        let rest = bytes.get(at..)?;
        let mut longest: Option<(usize, Dress)> = None;
        for worn in self.texts.iter().flat_map(|text| dresses(text.expose())) {
            match worn.stands_at(rest) {
                Verdict::Other => {}
                Verdict::Begun if more => return Some(Sighting::Begun(at)),
                Verdict::Begun => {}
                Verdict::Whole(length, dress) => {
                    if longest.is_none_or(|(longest, _)| longest < length) {
                        longest = Some((length, dress));
                    }
                }
            }
        }
        let (length, dress) = longest?;
        Some(Sighting::Whole(at, dress.with_edges(bytes, at..at + length)))
    }
}

const BLANK: u8 = b'*';

impl Sighting {
    /// From where on the bytes are not innocent.
    pub(crate) fn at(&self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Whole(at, _) | Self::Begun(at) => Some(*at),
        }
    }
}

impl Filter {
    fn add(&mut self, signs: [u8; GRAM]) {
        let bit = place_of(signs);
        if let Some(word) = self.stretches.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
        for sign in signs.map(folded) {
            if let Some(word) = self.signs.get_mut(usize::from(sign / 64)) {
                *word |= 1 << (sign % 64);
            }
        }
    }

    /// What it does not know stands in no dress.
    fn knows(&self, bytes: &[u8], at: usize) -> bool {
        let signs = bytes.get(at..).and_then(|rest| rest.first_chunk::<GRAM>());
        signs.is_none_or(|signs| self.knows_signs(*signs))
    }

    fn knows_signs(&self, signs: [u8; GRAM]) -> bool {
        self.bit_of(signs) != 0
    }

    fn bit(&self, bytes: &[u8], at: usize) -> u64 {
        let signs = bytes.get(at..).and_then(|rest| rest.first_chunk::<GRAM>());
        signs.map_or(1, |signs| self.bit_of(*signs))
    }

    fn bit_of(&self, signs: [u8; GRAM]) -> u64 {
        let bit = place_of(signs);
        self.stretches.get(bit / 64).map_or(1, |word| word >> (bit % 64) & 1)
    }

    /// Can a dress begin with it, as it is or escaped?
    fn begins(&self, sign: u8) -> bool {
        matches!(sign, b'%' | b'\\') || self.holds(sign)
    }

    fn holds(&self, sign: u8) -> bool {
        let sign = folded(sign);
        let word = self.signs.get(usize::from(sign / 64));
        word.is_some_and(|word| word & (1 << (sign % 64)) != 0)
    }
}

/// Large and small letters are one: hexadecimal comes in both.
fn folded(sign: u8) -> u8 {
    sign | 0x20
}

fn place_of(signs: [u8; GRAM]) -> usize {
    let folded = u32::from_le_bytes(signs.map(folded));
    (folded.wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS)) as usize
}

/// Where a proper beginning of `needle` ends the bytes.
pub(crate) fn begun_at(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let from = bytes.len().saturating_sub(needle.len().saturating_sub(1));
    let tail = bytes.get(from..)?;
    let begins = |at: &usize| tail.get(*at..).is_some_and(|part| needle.starts_with(part));
    memchr::memchr_iter(*first, tail).find(begins).map(|at| from + at)
}
