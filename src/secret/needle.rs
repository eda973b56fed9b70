//! A secret that is looked for in what comes back. It is searched by its rarest byte, so that a
//! search costs little where it finds nothing, which is nearly always. Must never hand out its
//! bytes, only where they stand.

use super::KeptBytes;

/// One text to be found.
pub(crate) struct Needle {
    bytes: KeptBytes,
    rarest: usize,
}

/// Everything that must not come back with one answer.
pub(crate) struct Needles(Vec<Needle>);

impl Needles {
    pub(crate) fn new(texts: Vec<KeptBytes>) -> Self {
        Self(texts.into_iter().map(Needle::new).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Needle> {
        self.0.iter()
    }
}

impl Needle {
    fn new(bytes: KeptBytes) -> Self {
        let places = bytes.expose().iter().enumerate();
        let rarest = places.min_by_key(|(_, byte)| commonness(**byte)).map_or(0, |(at, _)| at);
        Self { bytes, rarest }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.expose().len()
    }

    /// Where it stands first.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let needle = self.bytes.expose();
        // Neither end of the searched text can hold the rare byte of a whole needle.
        let last = bytes.len().checked_sub(needle.len())? + self.rarest;
        let searched = bytes.get(self.rarest..=last)?;
        let rare = *needle.get(self.rarest)?;
        memchr::memchr_iter(rare, searched)
            .find(|at| bytes.get(*at..*at + needle.len()) == Some(needle))
    }

    pub(crate) fn stands_in(&self, bytes: &[u8]) -> bool {
        self.find(bytes).is_some()
    }

    /// Where a proper beginning of it ends the bytes.
    pub(crate) fn begun_at(&self, bytes: &[u8]) -> Option<usize> {
        begun_at(bytes, self.bytes.expose())
    }
}

/// Where a proper beginning of `needle` ends the bytes.
pub(crate) fn begun_at(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let from = bytes.len().saturating_sub(needle.len().saturating_sub(1));
    let tail = bytes.get(from..)?;
    let begins = |at: &usize| tail.get(*at..).is_some_and(|part| needle.starts_with(part));
    memchr::memchr_iter(*first, tail).find(begins).map(|at| from + at)
}

/// How often a byte stands in texts that APIs send, roughly. A wrong rank costs time, nothing else.
fn commonness(byte: u8) -> u8 {
    match byte {
        b'Q' | b'X' | b'Z' | b'J' | b'K' | b'W' | b'V' | b'Y' | b'G' | b'H' => 0,
        b'A'..=b'Z' => 1,
        b'q' | b'x' | b'z' | b'j' | b'k' | b'w' | b'y' => 2,
        b'b' | b'f' | b'g' | b'p' | b'v' => 3,
        b'a'..=b'z' => 5,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needle(text: &[u8]) -> Needle {
        Needle::new(KeptBytes::copy_of(text))
    }

    #[test]
    fn a_needle_is_found_by_all_of_its_bytes() {
        let text = b"0123456789abcdefghij0123456789abcdefghiX";
        let with = |middle: &[u8]| [b"before ".as_slice(), middle, b" after"].concat();
        let needle = needle(text);
        assert_eq!(needle.find(&with(text)), Some(7));
        assert_eq!(needle.find(text), Some(0));
        assert_eq!(needle.find(&with(&text[..39])), None);
        assert_eq!(needle.find(&text[1..]), None);
        assert_eq!(needle.find(&[&text[..35], text].concat()), Some(35));
        assert_eq!(needle.find(&[text.as_slice(), text].concat()), Some(0));
        assert_eq!(needle.find(b"X"), None);
    }

    #[test]
    fn every_place_and_every_rare_byte_is_found() {
        for rare in 0..8 {
            let mut text = *b"eeeeeeee";
            text[rare] = b'Q';
            let needle = needle(&text);
            for before in 0..20 {
                let hay = [vec![b'Q'; before], text.to_vec(), vec![b'e'; 9]].concat();
                let wanted = hay.windows(8).position(|window| window == text);
                assert_eq!(needle.find(&hay), wanted, "{rare} {before}");
            }
        }
    }

    #[test]
    fn a_beginning_at_the_end_is_seen() {
        assert_eq!(begun_at(b"abcXY", b"XYZ"), Some(3));
        assert_eq!(begun_at(b"abcXYZ", b"XYZ"), None);
        assert_eq!(begun_at(b"QQQ", b"QQY"), Some(1));
    }
}
