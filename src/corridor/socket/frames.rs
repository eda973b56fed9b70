//! The heads of frames (RFC 6455, 5.2) as bytes pass by, however they are cut: where payload
//! stands, where messages end, how many there were. Must never keep, copy or change what a frame
//! holds, nor allocate.

/// Which end of a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Masks what it sends.
    Client,
    /// Does not.
    Provider,
}

/// What was sent is no frame that may stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Follows one end's frames.
#[derive(Clone)]
pub(super) struct Walker {
    speaker: Speaker,
    head: [u8; LONGEST_HEAD],
    /// Bytes of the head that have come.
    filled: usize,
    /// Bytes of the payload that have not.
    left: u64,
    within: Within,
    /// A message of several frames has begun and not ended.
    is_open: bool,
    messages: u64,
    has_closed: bool,
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Head,
    Payload(Piece),
}

/// What a frame is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) is_control: bool,
    /// Its message ends with this frame.
    is_last: bool,
}

/// What was seen: some bytes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes that it is about, from the first.
    pub(super) taken: usize,
    /// How many of these, the last ones, are payload.
    pub(super) payload: usize,
    pub(super) is_control: bool,
    /// The message ends with them.
    pub(super) ends: bool,
}

const LONGEST_HEAD: usize = 14;
const LONGEST_CONTROL: u64 = 125;
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

impl Walker {
    pub(super) fn of(speaker: Speaker) -> Self {
        Self {
            speaker,
            head: [0; LONGEST_HEAD],
            filled: 0,
            left: 0,
            within: Within::Head,
            is_open: false,
            messages: 0,
            has_closed: false,
        }
    }

    /// Whole messages so far; pings and their like are none.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Has this end said that it goes?
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// May another frame begin here?
    pub(super) fn is_between(&self) -> bool {
        self.within == Within::Head && self.filled == 0
    }

    /// All of the bytes, frame by frame.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        bytes = bytes.get(self.pass_whole(bytes)..).unwrap_or_default();
        while !bytes.is_empty() {
            let step = self.step(bytes)?;
            bytes = bytes.get(step.taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Goes past messages of one frame each that have come whole, as nearly all do; how many bytes
    /// they are. What is anything else, or wrong, stands behind them still.
    pub(super) fn pass_whole(&mut self, bytes: &[u8]) -> usize {
        if !self.is_between() || self.is_open {
            return 0;
        }
        let (bit, mask) = match self.speaker {
            Speaker::Client => (0x80, 4),
            Speaker::Provider => (0, 0),
        };
        let (mut rest, mut messages) = (bytes, 0);
        while let Some([0x81 | 0x82, length, extended @ ..]) = rest.first_chunk::<4>() {
            let whole = match length ^ bit {
                short @ ..126 => 2 + mask + usize::from(short),
                126 => 4 + mask + usize::from(u16::from_be_bytes(*extended)),
                _ => break,
            };
            let Some(behind) = rest.get(whole..) else { break };
            (rest, messages) = (behind, messages + 1);
        }
        self.messages += messages;
        bytes.len() - rest.len()
    }

    /// The next frame, or as much of it as has come; takes at least one byte where there is one.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let head = match self.within {
            Within::Head => self.take_head(bytes)?,
            Within::Payload(_) => 0,
        };
        let Within::Payload(piece) = self.within else {
            return Ok(Step { taken: head, payload: 0, is_control: false, ends: false });
        };
        let come = bytes.len().saturating_sub(head);
        let payload = usize::try_from(self.left).map_or(come, |left| left.min(come));
        self.left = self.left.saturating_sub(u64::try_from(payload).unwrap_or(u64::MAX));
        let is_whole = self.left == 0;
        if is_whole {
            self.within = Within::Head;
            self.messages += u64::from(piece.is_last && !piece.is_control);
        }
        let ends = is_whole && piece.is_last;
        Ok(Step { taken: head + payload, payload, is_control: piece.is_control, ends })
    }

    /// How many of the bytes are the head; where it is whole now, payload follows.
    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut taken = 0;
        while self.filled < self.wanted() {
            let Some(byte) = bytes.get(taken) else { return Ok(taken) };
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = *byte;
            }
            self.filled += 1;
            taken += 1;
            if self.filled == 2 {
                self.check()?;
            }
        }
        let [first, length, extended @ ..] = &self.head;
        self.left = match length & 0x7f {
            126 => extended.first_chunk().map_or(0, |two| u64::from(u16::from_be_bytes(*two))),
            127 => extended.first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight)),
            short => u64::from(short),
        };
        if self.left > u64::MAX / 2 {
            return Err(Malformed);
        }
        let (is_control, is_last) = (first & 0x08 != 0, first & 0x80 != 0);
        if !is_control {
            self.is_open = !is_last;
        }
        self.has_closed |= first & 0x0f == CLOSE;
        self.filled = 0;
        self.within = Within::Payload(Piece { is_control, is_last });
        Ok(taken)
    }

    /// The length of the head, as far as is known.
    fn wanted(&self) -> usize {
        let [_, length, ..] = self.head;
        if self.filled < 2 {
            return 2;
        }
        let extended = match length & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if length & 0x80 != 0 { 4 } else { 0 }
    }

    /// What can be told from the first two bytes. Nobody has agreed on an extension, so a bit that
    /// belongs to one would hide what the payload says.
    fn check(&self) -> Result<(), Malformed> {
        let [first, length, ..] = self.head;
        let is_masked = length & 0x80 != 0;
        let is_whole = first & 0x80 != 0;
        let fits = match first & 0x0f {
            CONTINUATION => self.is_open,
            TEXT | BINARY => !self.is_open,
            CLOSE | PING | PONG => is_whole && u64::from(length & 0x7f) <= LONGEST_CONTROL,
            _ => false,
        };
        let is_plain = first & 0x70 == 0;
        match fits && is_plain && is_masked == (self.speaker == Speaker::Client) {
            true => Ok(()),
            false => Err(Malformed),
        }
    }
}

/// A whole frame that says goodbye; masked where a provider gets it.
pub(super) fn close(code: u16, why: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let why = why.as_bytes().get(..LONGEST_REASON).unwrap_or(why.as_bytes());
    whole(CLOSE, &[&code.to_be_bytes()[..], why].concat(), mask)
}

const LONGEST_REASON: usize = 123;

/// A message in one frame; masked where a provider gets it. As long as it needs to be and no
/// longer, so that no copy is left behind.
pub(super) fn whole(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LONGEST_HEAD + payload.len());
    let bit = if mask.is_some() { 0x80 } else { 0 };
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => frame.push(bit | short),
        (_, Ok(middle)) => {
            frame.push(bit | 126);
            frame.extend(middle.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(bit | 127);
            frame.extend(u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    let mask_bytes = mask.unwrap_or_default();
    frame.extend(mask.iter().flatten());
    frame.extend(payload.iter().zip(mask_bytes.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(walker: &mut Walker, bytes: &[u8]) -> Result<Vec<(usize, bool)>, Malformed> {
        let (mut at, mut seen) = (0, Vec::new());
        while at < bytes.len() {
            let step = walker.step(&bytes[at..])?;
            assert!(step.taken > 0);
            at += step.taken;
            seen.push((step.payload, step.ends));
        }
        Ok(seen)
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut wire = vec![0x01, 3, b'a', b'b', b'c', 0x89, 1, b'p', 0x80, 0, 0x82, 126, 1, 0];
        wire.extend([7; 256]);
        wire.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        wire.extend([7; 65_536]);
        for cut in [1, 2, 3, 7, 100, wire.len()] {
            let mut walker = Walker::of(Speaker::Provider);
            let mut payload = 0;
            for piece in wire.chunks(cut) {
                payload +=
                    steps(&mut walker, piece).unwrap().iter().map(|step| step.0).sum::<usize>();
            }
            assert!(walker.is_between());
            assert_eq!((payload, walker.messages()), (3 + 1 + 256 + 65_536, 3), "{cut}");
        }
        let mut walker = Walker::of(Speaker::Provider);
        assert_eq!(
            steps(&mut walker, &wire[..10]).unwrap(),
            [(3, false), (1, true), (0, true)],
            "a message ends with an empty frame"
        );
    }

    /// Frames good and bad, cut anywhere: whole ones that are passed at once leave the walker as it
    /// is after one step at a time.
    #[test]
    fn whole_messages_that_are_passed_at_once_are_counted_as_one_by_one() {
        let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |limit: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from((dice >> 11) % limit).unwrap()
        };
        let (mut messages, mut bad) = (0, 0);
        for round in 0..2_000 {
            let speaker = [Speaker::Provider, Speaker::Client][round % 2];
            let (bit, mask) = if round % 2 == 0 { (0, 0) } else { (0x80, 4) };
            let mut wire = Vec::new();
            for _ in 0..below(12) {
                let odd = [0x01, 0x80, 0x83, 0xc1][below(4)];
                let first = [0x81, 0x82, 0x81, 0x82, 0x81, 0x82, 0x81, 0x89, odd][below(9)];
                let size = [0, 1, 2, 5, 125, 126, 300][below(7)];
                let bit = if below(40) == 0 { bit ^ 0x80 } else { bit };
                wire.push(first);
                match u8::try_from(size) {
                    Ok(short @ ..126) => wire.push(bit | short),
                    _ => wire.extend([bit | 126, u8::try_from(size >> 8).unwrap(), size as u8]),
                }
                wire.extend(vec![0x5a; mask + size]);
            }
            let (mut quick, mut slow) = (Walker::of(speaker), Walker::of(speaker));
            let cut = 1 + below(400);
            for piece in wire.chunks(cut) {
                let (said, stepped) = (quick.walk(piece), steps(&mut slow, piece).map(drop));
                assert_eq!(said, stepped, "{cut} {wire:x?}");
                if said.is_err() {
                    bad += 1;
                    break;
                }
                assert_eq!(quick.messages(), slow.messages(), "{cut} {wire:x?}");
                assert_eq!(quick.is_between(), slow.is_between(), "{cut} {wire:x?}");
            }
            messages += quick.messages();
        }
        assert!(messages > 4_000 && bad > 400, "{messages} {bad}");
    }

    #[test]
    fn a_client_masks_and_a_provider_does_not() {
        let masked = [0x81, 0x81, 1, 2, 3, 4, 5];
        assert_eq!(steps(&mut Walker::of(Speaker::Client), &masked), Ok(vec![(1, true)]));
        assert_eq!(Walker::of(Speaker::Provider).walk(&masked), Err(Malformed));
        assert_eq!(Walker::of(Speaker::Client).walk(&[0x81, 1, 5]), Err(Malformed));
    }

    #[test]
    fn what_is_no_frame_is_none() {
        for wrong in [
            &[0xc1, 0][..],
            &[0xa1, 0],
            &[0x91, 0],
            &[0x83, 0],
            &[0x8b, 0],
            &[0x80, 0],
            &[0x09, 0],
            &[0x89, 126],
            &[0x01, 0, 0x81, 0],
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Walker::of(Speaker::Provider).walk(wrong), Err(Malformed), "{wrong:x?}");
        }
        let mut closing = Walker::of(Speaker::Provider);
        closing.walk(&[0x88, 2, 3, 0xe8]).unwrap();
        assert!(closing.has_closed());
    }
}
