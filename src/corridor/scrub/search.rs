//! The search for keys in a body on its way out: plain bytes are blanked where a key stands in
//! them, packed ones are let out once nothing was found in what they unpack to. Holds back only
//! what is undecided. Must never let out a whole key.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::super::codings::Coding;
use super::super::meter::Meter;
use super::packed::Packed;
use crate::secret::{self, Needles, Sighting};

/// One body's search.
pub(super) enum Search {
    Plain(Plain),
    Packed(Box<Packed>),
}

/// A packed body unpacks to a key, or to more than anybody looks through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leak {
    Key,
    Endless,
}

pub(super) struct Plain {
    needles: Arc<Needles>,
    /// The end of what came, if it may be the beginning of a key.
    held: BytesMut,
    meter: Option<Box<Meter>>,
    blanked: usize,
}

impl Search {
    /// The meter, if there is one, sees everything, unpacked.
    pub(super) fn new(
        needles: Arc<Needles>,
        coding: Option<Coding>,
        meter: Option<Box<Meter>>,
    ) -> Self {
        match coding {
            Some(coding) => Self::Packed(Box::new(Packed::new(coding, needles, meter))),
            None => Self::Plain(Plain { needles, held: BytesMut::new(), meter, blanked: 0 }),
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// What can go out now.
    pub(super) fn next(&mut self, chunk: Bytes) -> Result<Bytes, Leak> {
        match self {
            Self::Plain(plain) => Ok(plain.next(chunk)),
            Self::Packed(packed) => packed.next(chunk),
        }
    }

    /// What was held back when the body ended, with a last chunk behind it.
    pub(super) fn last(&mut self, chunk: &Bytes) -> Result<Bytes, Leak> {
        match self {
            Self::Plain(plain) => Ok(plain.last(chunk)),
            Self::Packed(packed) => packed.last(chunk),
        }
    }

    /// With what it has seen.
    pub(super) fn take_meter(&mut self) -> Option<Box<Meter>> {
        match self {
            Self::Plain(plain) => plain.meter.take(),
            Self::Packed(packed) => packed.take_meter(),
        }
    }

    /// How many keys were blanked; of a packed body none is.
    pub(super) fn blanked(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.blanked,
            Self::Packed(_) => 0,
        }
    }

    /// Asked behind the last bytes alone.
    pub(super) fn is_whole(&mut self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Packed(packed) => packed.is_whole(),
        }
    }

    pub(super) fn holds_nothing(&self) -> bool {
        self.holds() == 0
    }

    /// Bytes that came and have not gone out.
    pub(super) fn holds(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.held.len(),
            Self::Packed(packed) => packed.holds(),
        }
    }
}

impl Plain {
    /// Without a copy where nothing stands in it.
    fn next(&mut self, chunk: Bytes) -> Bytes {
        if let Some(meter) = &mut self.meter {
            meter.see(&chunk);
        }
        if self.held.is_empty() && self.needles.look(&chunk, 0, true) == Sighting::Nothing {
            return chunk;
        }
        let mut joined = self.held.split();
        joined.extend_from_slice(&chunk);
        let (decided, blanked) = blank(&self.needles, &mut joined, true);
        self.blanked += blanked;
        self.held = joined.split_off(decided);
        joined.freeze()
    }

    fn last(&mut self, chunk: &[u8]) -> Bytes {
        if let Some(meter) = &mut self.meter {
            meter.see(chunk);
        }
        let mut last = self.held.split();
        last.extend_from_slice(chunk);
        self.blanked += blank(&self.needles, &mut last, false).1;
        last.freeze()
    }
}

/// Yields from where on the bytes may be the beginning of a key, and how many were blanked.
pub(in super::super) fn blank(needles: &Needles, bytes: &mut [u8], more: bool) -> (usize, usize) {
    let (decided, blanked) = needles.blank(bytes, more);
    if blanked > 0 {
        // The buffer that it came in is not ours to blank; it is wiped when it is freed.
        secret::spare_nothing();
    }
    (decided, blanked)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;
    use crate::secret::KeptBytes;

    const KEYS: [&str; 5] = [
        "sk-real-Zq8+/w7Kp==XyAb01%2Fcd",
        "AKJ3F0Q9D8S7A6P5L4K3",
        "abc123",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        "-----BEGIN KEY-----\nMIIB/+aZ\n\"x\\y\"\n-----END KEY-----",
    ];

    /// Reproducible, and nothing that is wanted of it is unpredictability.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 11).unwrap() % limit
        }

        fn cuts(&mut self, bytes: &[u8]) -> Vec<Bytes> {
            let mut cuts: Vec<usize> =
                (0..self.below(6)).map(|_| self.below(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.windows(2).map(|cut| Bytes::copy_from_slice(&bytes[cut[0]..cut[1]])).collect()
        }

        fn innocent(&mut self) -> Vec<u8> {
            const TEXT: &[u8] =
                br#" {"next":"https:\/\/a.b\/c?d=%2Fe","t":[1,20.5],"s":"\n\u00e9"} "#;
            let from = self.below(TEXT.len());
            let until = from + self.below(TEXT.len() - from);
            TEXT[from..until].to_vec()
        }

        fn escaped(&mut self, text: &str, share: usize) -> Vec<u8> {
            let mut written = Vec::new();
            for byte in text.bytes() {
                let must = matches!(byte, b'\n' | b'"' | b'\\' | b'%');
                match (self.below(100) < share || must, self.below(3)) {
                    (false, _) => written.push(byte),
                    (true, 0) => written.extend(format!("%{byte:02X}").bytes()),
                    (true, 1) => written.extend(format!("%{byte:02x}").bytes()),
                    (true, _) if byte == b'/' => written.extend(b"\\/"),
                    (true, _) => written.extend(format!("\\u{byte:04x}").bytes()),
                }
            }
            written
        }

        /// A key as it may come back, and how many bytes of that before and behind are not its own.
        fn dressed(&mut self, key: &str) -> Vec<u8> {
            let lead = &"xy:"[..self.below(4)];
            let around = [lead, key, &"z!"[..self.below(3)]].concat();
            let hex = |small: bool| {
                let digits = key.bytes().map(|byte| format!("{byte:02x}"));
                let digits: String = digits.collect();
                if small { digits } else { digits.to_uppercase() }
            };
            match self.below(9) {
                0 => key.as_bytes().to_vec(),
                1 => self.escaped(key, 100),
                2 => self.escaped(key, 20),
                3 => hex(true).into_bytes(),
                4 => hex(false).into_bytes(),
                5 => STANDARD.encode(&around).into_bytes(),
                6 => URL_SAFE_NO_PAD.encode(&around).into_bytes(),
                7 => self.escaped(&STANDARD.encode(&around), 30),
                _ => self.escaped(&hex(true), 30),
            }
        }
    }

    fn needles(keys: &[&str]) -> Arc<Needles> {
        Arc::new(Needles::new(keys.iter().map(|key| KeptBytes::copy_of(key.as_bytes())).collect()))
    }

    fn through(needles: &Arc<Needles>, chunks: Vec<Bytes>) -> Vec<u8> {
        let mut search = Search::new(Arc::clone(needles), None, None);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&search.next(chunk).unwrap());
        }
        out.extend_from_slice(&search.last(&Bytes::new()).unwrap());
        out
    }

    /// Where the first stretch of blanks begins, and where the last one ends.
    fn blanked(bytes: &[u8]) -> Option<(usize, usize)> {
        let first = memchr::memchr(b'*', bytes)?;
        Some((first, memchr::memrchr(b'*', bytes)? + 1))
    }

    #[test]
    fn no_key_passes_in_any_dress_however_it_is_cut() {
        let mut dice = Dice(0x5EA1_6A7E);
        for round in 0..20_000 {
            let key = KEYS[dice.below(KEYS.len())];
            let needles =
                needles(if dice.below(2) == 0 { &KEYS } else { std::slice::from_ref(&key) });
            let (before, worn, behind) = (dice.innocent(), dice.dressed(key), dice.innocent());
            // A neighbour that base64 or hexadecimal could take for its own is no neighbour.
            let whole = [&before[..], b"=", &worn, b"=", &behind].concat();
            let out = through(&needles, dice.cuts(&whole));
            let shown = || format!("{round}: {}", String::from_utf8_lossy(&whole));
            assert_eq!(out.len(), whole.len(), "{}", shown());
            let (from, until) = blanked(&out).unwrap_or_else(|| panic!("{}", shown()));
            assert_eq!(out[..from], whole[..from]);
            assert_eq!(out[until..], whole[until..]);
            let (starts, ends) = (before.len() + 1, before.len() + 1 + worn.len());
            // Of base64 with something around it, the bits of that may stay.
            assert!(from >= starts && from <= starts + 30, "{}", shown());
            assert!(until <= ends && until + 30 >= ends, "{}", shown());
            assert!(memchr::memmem::find(&out, key.as_bytes()).is_none());
        }
    }

    #[test]
    fn innocent_text_passes_as_it_is_and_at_once() {
        let mut dice = Dice(42);
        let needles = needles(&KEYS);
        for _ in 0..20_000 {
            let text = dice.innocent();
            assert_eq!(through(&needles, dice.cuts(&text)), text);
        }
        let event = Bytes::from_static(b"data: {\"delta\":\"a\\nb\"}\n\n");
        let mut search = Search::new(needles, None, None);
        assert_eq!(search.next(event.clone()).unwrap(), event);
        assert!(search.holds_nothing());
    }

    #[test]
    fn keys_that_stand_one_in_another_leave_no_end() {
        let needles = needles(&["abcdefgh", "abcdefghijkl", "defghijklmno"]);
        for (text, wanted) in [
            ("-abcdefghijkl-", "-************-"),
            ("-abcdefghijklmno-", "-***************-"),
            ("-abcdefghij-", "-********ij-"),
        ] {
            for cut in 0..text.len() {
                let chunks = [&text[..cut], &text[cut..]].map(|part| Bytes::from(part.to_owned()));
                let out = through(&needles, chunks.to_vec());
                assert_eq!(String::from_utf8_lossy(&out), wanted, "{cut}");
            }
        }
    }

    #[test]
    fn what_only_begins_like_a_key_comes_out_at_the_end() {
        let needles = needles(&KEYS);
        for text in ["sk-real-", "414b", "%73%6b-%", "\\u00", "QUtKM0YwUT", "abc12"] {
            assert_eq!(
                through(&needles, vec![Bytes::from_static(text.as_bytes())]),
                text.as_bytes()
            );
        }
    }
}
