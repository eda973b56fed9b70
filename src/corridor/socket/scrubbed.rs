//! What a provider says on a socket, with the real key blanked wherever it stands in a message,
//! also across the frames of one: stars of the same number, so that no head of a frame is wrong.
//! Holds back only what may be the beginning of a key. Must never let a whole key out.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;

use super::super::scrub::blank;
use super::frames::{Malformed, Speaker, Walker};
use crate::secret::Needles;

pub(super) struct Scrubbed {
    walker: Walker,
    needles: Arc<Needles>,
    /// What came and has not gone out, as it came.
    held: BytesMut,
    /// Where in it stands what may be the beginning of a key: of the message that is open, and of a
    /// ping or its like between its frames.
    begun: [Vec<Range<usize>>; 2],
    blanked: usize,
}

/// What can go out now.
pub(super) enum Ready {
    /// So many of the bytes that came, from the first.
    First(usize),
    /// These instead.
    Own(BytesMut),
}

/// Of frames that hold nothing and never end.
const MOST_HELD: usize = 256 * 1024;

impl Scrubbed {
    pub(super) fn new(needles: Arc<Needles>) -> Self {
        Self {
            walker: Walker::of(Speaker::Provider),
            needles,
            held: BytesMut::new(),
            begun: [Vec::new(), Vec::new()],
            blanked: 0,
        }
    }

    pub(super) fn walker(&self) -> &Walker {
        &self.walker
    }

    pub(super) fn blanked(&self) -> usize {
        self.blanked
    }

    /// Has all that came gone out, up to the end of a frame?
    pub(super) fn is_between(&self) -> bool {
        self.held.is_empty() && self.walker.is_between()
    }

    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<Ready, Malformed> {
        if self.held.is_empty() {
            let decided = self.look(bytes, 0)?;
            self.held.extend_from_slice(bytes.get(decided..).unwrap_or_default());
            return Ok(Ready::First(decided));
        }
        let mut joined = std::mem::take(&mut self.held);
        let known = joined.len();
        joined.extend_from_slice(bytes);
        let decided = self.look(&mut joined, known)?;
        self.held = joined.split_off(decided);
        Ok(Ready::Own(joined))
    }

    /// Looks through what stands behind `from`; yields up to where nothing is undecided.
    fn look(&mut self, bytes: &mut [u8], from: usize) -> Result<usize, Malformed> {
        // One look over all that came costs less than one for each frame, and what begins nowhere
        // in the whole begins in no frame of it.
        let clean = self.needles.look(bytes, from, true).at().unwrap_or(bytes.len());
        let mut at = from;
        if self.begun.iter().all(Vec::is_empty) {
            at += self.walker.pass_whole(bytes.get(at..clean).unwrap_or_default());
        }
        while at < bytes.len() {
            let step = self.walker.step(bytes.get(at..).unwrap_or_default())?;
            at += step.taken;
            let [message, control] = &mut self.begun;
            let begun = if step.is_control { control } else { message };
            // Behind a frame that does not end its message another one may end what begins here.
            let is_alone = begun.is_empty() && (step.ends || at == bytes.len());
            if is_alone && at <= clean {
                continue;
            }
            begun.push(at - step.payload..at);
            self.blanked += settle(&self.needles, begun, bytes, !step.ends);
        }
        let starts = self.begun.iter().filter_map(|begun| begun.first().map(|range| range.start));
        let decided = starts.min().unwrap_or(bytes.len());
        if bytes.len() - decided > MOST_HELD {
            return Err(Malformed);
        }
        for range in self.begun.iter_mut().flatten() {
            *range = range.start - decided..range.end - decided;
        }
        Ok(decided)
    }
}

/// Blanks what is whole; leaves of `begun` what is not decided. Says how many were blanked.
fn settle(needles: &Needles, begun: &mut Vec<Range<usize>>, bytes: &mut [u8], more: bool) -> usize {
    let (decided, blanked) = match begun.as_slice() {
        [range] => match bytes.get_mut(range.clone()) {
            Some(stretch) => blank(needles, stretch, more),
            None => (0, 0),
        },
        ranges => {
            // A key may stand across frames: what lies between them is not the message's.
            let parts = ranges.iter().filter_map(|range| bytes.get(range.clone()));
            let mut whole: Vec<u8> = parts.flatten().copied().collect();
            let found = blank(needles, &mut whole, more);
            let mut rest = whole.as_slice();
            for range in ranges {
                let (part, behind) = rest.split_at_checked(range.len()).unwrap_or((rest, &[]));
                if let Some(stretch) = bytes.get_mut(range.clone()) {
                    stretch.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                }
                rest = behind;
            }
            found
        }
    };
    let mut decided = if more { decided } else { usize::MAX };
    begun.retain_mut(|range| {
        let gone = range.len().min(decided);
        decided -= gone;
        range.start += gone;
        range.start < range.end
    });
    blanked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::KeptBytes;

    const KEY: &str = "sk-real-Zq8Kp7XyAb01cd";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first, u8::try_from(payload.len()).unwrap()];
        frame.extend(payload);
        frame
    }

    fn through(wire: &[u8], cut: usize) -> (Vec<u8>, usize) {
        let needles = Arc::new(Needles::new(vec![KeptBytes::copy_of(KEY.as_bytes())]));
        let mut scrubbed = Scrubbed::new(needles);
        let mut out = Vec::new();
        for piece in wire.chunks(cut) {
            let mut piece = piece.to_vec();
            match scrubbed.pass(&mut piece).unwrap() {
                Ready::First(count) => out.extend(&piece[..count]),
                Ready::Own(bytes) => out.extend(&bytes),
            }
        }
        assert!(scrubbed.is_between());
        (out, scrubbed.blanked())
    }

    #[test]
    fn no_key_passes_within_a_message_or_across_its_frames_however_it_is_cut() {
        let (one, two) = KEY.as_bytes().split_at(9);
        let stars = |count: usize| vec![b'*'; count];
        let cases = [
            (frame(0x81, KEY.as_bytes()), frame(0x81, &stars(KEY.len()))),
            (
                [frame(0x01, one), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, two)]
                    .concat(),
                [
                    frame(0x01, &stars(9)),
                    frame(0x89, b"ping"),
                    frame(0x00, b""),
                    frame(0x80, &stars(two.len())),
                ]
                .concat(),
            ),
            (
                [frame(0x01, one), frame(0x89, KEY.as_bytes()), frame(0x80, b"")].concat(),
                [frame(0x01, one), frame(0x89, &stars(KEY.len())), frame(0x80, b"")].concat(),
            ),
        ];
        for (wire, wanted) in cases {
            for cut in 1..=wire.len() {
                assert_eq!(through(&wire, cut), (wanted.clone(), 1), "{cut}");
            }
        }
    }

    /// Frames of any kind, with keys and beginnings of keys in several dresses, come in one piece,
    /// so that one look is over all of them, and by single bytes, so that none is: it is the same.
    #[test]
    fn one_look_over_many_frames_finds_what_a_look_at_each_finds() {
        let hex = KEY.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let url = KEY.replace('-', "%2D").replace('Z', "%5a");
        let json = KEY.replace('8', "\\u0038");
        let (half, rest) = KEY.split_at(11);
        let parts = [KEY, &hex, &url, &json, half, rest, "", "innocent", "%2", "\\u00", "sk-r"];
        let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |limit: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from(dice >> 11).unwrap() % limit
        };
        let mut hits = 0;
        for _ in 0..1_000 {
            let mut wire = Vec::new();
            let mut is_open = false;
            for _ in 0..1 + below(9) {
                let payload: String = (0..below(3)).map(|_| parts[below(parts.len())]).collect();
                let payload = &payload.as_bytes()[..payload.len().min(125)];
                if below(5) == 0 {
                    wire.extend(frame(0x89, payload));
                    continue;
                }
                let is_last = below(3) > 0;
                let kind = if is_open { 0 } else { 1 };
                wire.extend(frame(if is_last { 0x80 | kind } else { kind }, payload));
                is_open = !is_last;
            }
            if is_open {
                wire.extend(frame(0x80, b""));
            }
            let slow = through(&wire, 1);
            hits += slow.1;
            for cut in [wire.len(), 7 + below(60)] {
                assert_eq!(through(&wire, cut), slow, "{cut} {}", String::from_utf8_lossy(&wire));
            }
        }
        assert!(hits > 500, "{hits}");
    }

    #[test]
    fn two_messages_are_no_key_and_innocent_ones_pass_at_once() {
        let (one, two) = KEY.as_bytes().split_at(9);
        let wire = [frame(0x81, one), frame(0x81, two), frame(0x82, &[7; 99])].concat();
        for cut in 1..=wire.len() {
            assert_eq!(through(&wire, cut), (wire.clone(), 0), "{cut}");
        }
    }
}
