//! Does a client's HTTP/2 connection do anything but keep us busy? Frames that ask for nothing
//! (pings, settings, windows, priorities, resets, unknown ones) cost as much as those that do, and
//! nobody else counts them. Each takes from an allowance that calls, and what is answered, fill.
//! Must never look at what a frame holds.

use std::io;

/// Frames that may come before anything was asked.
const AT_FIRST: u64 = 500;
/// What can be saved up.
const AT_MOST: u64 = 20_000;
/// For each second: keeping a connection alive takes one or two.
const A_SECOND: u64 = 50;
/// For each call: it may be given up, reprioritised, and pinged about.
const A_CALL: u64 = 8;
/// A window is opened for so many bytes of answers at least, on the stream and the connection.
const BYTES_A_FRAME: u64 = 512;

const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// One connection's allowance.
pub(super) struct Calm {
    /// Of the frame that is passing, and of the preface before the first.
    left: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
    allowance: u64,
    /// Bytes of answers that have not made up a frame yet.
    written: u64,
    seconds: u64,
}

impl Calm {
    /// `preface_bytes` come before the first frame.
    pub(super) fn new(preface_bytes: usize, now_ns: u64) -> Self {
        Self {
            left: preface_bytes,
            head: [0; HEAD_BYTES],
            filled: 0,
            allowance: AT_FIRST,
            written: 0,
            seconds: seconds(now_ns),
        }
    }

    /// An error where the client asks for nothing any more, again and again.
    pub(super) fn read(&mut self, mut bytes: &[u8], now_ns: u64) -> io::Result<()> {
        let now = seconds(now_ns);
        self.earn(now.saturating_sub(self.seconds).saturating_mul(A_SECOND));
        self.seconds = self.seconds.max(now);
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = *first;
            }
            self.filled += 1;
            if self.filled == HEAD_BYTES {
                self.filled = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += u64::try_from(bytes).unwrap_or(0);
        self.earn(self.written / BYTES_A_FRAME);
        self.written %= BYTES_A_FRAME;
    }

    fn frame(&mut self) -> io::Result<()> {
        let [high, middle, low, kind, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            HEADERS => self.earn(A_CALL),
            // What a call brings; the parser bounds those that bring nothing.
            DATA | CONTINUATION => {}
            _ => {
                let Some(allowance) = self.allowance.checked_sub(1) else {
                    return Err(io::Error::other("too many frames that ask for nothing"));
                };
                self.allowance = allowance;
            }
        }
        Ok(())
    }

    fn earn(&mut self, frames: u64) {
        self.allowance = self.allowance.saturating_add(frames).min(AT_MOST);
    }
}

fn seconds(ns: u64) -> u64 {
    ns / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 0];
        frame.resize(HEAD_BYTES + length, 7);
        frame
    }

    const PING: u8 = 6;
    const WINDOW: u8 = 8;

    #[test]
    fn a_flood_of_pings_ends_however_it_is_cut() {
        let flood: Vec<u8> = (0..600).flat_map(|_| frame(PING, 8)).collect();
        for cut in [1, 7, 16, 1_000] {
            let mut calm = Calm::new(24, 0);
            calm.read(&[0; 24], 0).unwrap();
            assert!(flood.chunks(cut).any(|piece| calm.read(piece, 0).is_err()), "{cut}");
        }
    }

    #[test]
    fn whoever_pings_now_and_then_stays() {
        let mut calm = Calm::new(0, 0);
        for second in 0..10_000_u64 {
            for _ in 0..A_SECOND {
                calm.read(&frame(PING, 8), second * 1_000_000_000).unwrap();
            }
        }
    }

    #[test]
    fn whoever_reads_and_asks_may_open_windows() {
        let mut calm = Calm::new(0, 0);
        for _ in 0..100_000 {
            calm.wrote(1_024);
            calm.read(&frame(WINDOW, 4), 0).unwrap();
            calm.read(&frame(WINDOW, 4), 0).unwrap();
        }
        for _ in 0..100_000 {
            calm.read(&frame(HEADERS, 40), 0).unwrap();
            calm.read(&frame(3, 4), 0).unwrap();
        }
    }

    #[test]
    fn what_a_body_brings_is_no_frame() {
        let mut calm = Calm::new(0, 0);
        // The bytes of a body that look like thousands of pings.
        let inside: Vec<u8> = (0..900).flat_map(|_| frame(PING, 8)).collect();
        let mut data = frame(DATA, inside.len());
        data.truncate(HEAD_BYTES);
        data.extend(&inside);
        for piece in data.chunks(1_000) {
            calm.read(piece, 0).unwrap();
        }
    }
}
