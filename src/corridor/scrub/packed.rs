//! A packed body (gzip, deflate, br, zstd), unpacked beside for the search alone: what goes out are
//! the provider's own bytes, once all that they unpack to was seen. Must never hold more than one
//! block of them, nor unpack without end.

use std::io::{self, Write};
use std::sync::Arc;

use brotli_decompressor::DecompressorWriter;
use bytes::{Bytes, BytesMut};
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation as _, OutBuffer};

use super::super::codings::Coding;
use super::super::meter::Meter;
use super::search::Leak;
use crate::secret::{self, Needles, Sighting};

/// A body that unpacks to more than this is looked at askance,
const ALWAYS_UNPACKED: u64 = 16 << 20;
/// and may not be more than this many times as long as it came.
const MOST_TIMES: u64 = 256;
/// Longer than the longest block of any coding whose blocks unpack as a whole.
const MOST_HELD: usize = 256 * 1024;
/// Of 8 MiB, the most that HTTP allows.
const ZSTD_WINDOW_LOG: u32 = 23;
const PIECE: usize = 16 * 1024;

/// One packed body.
pub(super) struct Packed {
    coding: Coding,
    /// From the first byte on.
    unpacker: Option<Unpacker>,
    eyes: Option<Eyes>,
    /// On what came, as it is: behind the end of what is packed anything may stand.
    raw: Eyes,
    /// It is not packed as it says, or has come to its end; nothing is unpacked any more.
    spoilt: bool,
    /// It begins as nothing else does.
    is_surely: bool,
    /// What came and has not gone out yet.
    waiting: BytesMut,
}

enum Unpacker {
    Gzip(Box<Gunzip>),
    Zlib(ZlibDecoder<Eyes>),
    Bare(DeflateDecoder<Eyes>),
    Brotli(Box<DecompressorWriter<Eyes>>),
    Zstd(Box<ZstdUnpacker>),
}

/// One member behind another; some readers skip zeros between them, and so does this.
struct Gunzip {
    member: GzDecoder<Eyes>,
    has_ended: bool,
    /// That came whole.
    members: u64,
}

struct ZstdUnpacker {
    decoder: Zstd<'static>,
    eyes: Eyes,
    /// Blocks unpack as a whole: what came of one has not been seen yet.
    within_block: bool,
    /// The last frame has come whole.
    has_ended: bool,
}

/// Sees what was unpacked, and keeps only what may be the beginning of a key.
struct Eyes {
    needles: Arc<Needles>,
    tail: Vec<u8>,
    leak: Option<Leak>,
    came: u64,
    unpacked: u64,
    meter: Option<Box<Meter>>,
}

impl Packed {
    pub(super) fn new(coding: Coding, needles: Arc<Needles>, meter: Option<Box<Meter>>) -> Self {
        let raw = Eyes::new(Arc::clone(&needles), None);
        let (eyes, waiting) = (Some(Eyes::new(needles, meter)), BytesMut::new());
        Self { coding, unpacker: None, eyes, raw, spoilt: false, is_surely: false, waiting }
    }

    /// What can go out now: everything, unless a key may have begun in it.
    pub(super) fn next(&mut self, chunk: Bytes) -> Result<Bytes, Leak> {
        if self.looked_through(&chunk)? {
            if self.waiting.is_empty() {
                return Ok(chunk);
            }
            self.waiting.extend_from_slice(&chunk);
            return Ok(self.waiting.split().freeze());
        }
        if self.waiting.len() + chunk.len() > MOST_HELD {
            return Err(Leak::Endless);
        }
        self.waiting.extend_from_slice(&chunk);
        Ok(Bytes::new())
    }

    /// At the body's end nothing more can become a key.
    pub(super) fn last(&mut self, chunk: &[u8]) -> Result<Bytes, Leak> {
        self.looked_through(chunk)?;
        self.waiting.extend_from_slice(chunk);
        Ok(self.waiting.split().freeze())
    }

    pub(super) fn holds(&self) -> usize {
        self.waiting.len()
    }

    /// None where nothing could be unpacked.
    pub(super) fn take_meter(&mut self) -> Option<Box<Meter>> {
        let eyes = match &mut self.unpacker {
            Some(unpacker) => Some(unpacker.eyes()),
            None => self.eyes.as_mut(),
        };
        eyes?.meter.take()
    }

    /// Did all of it come? True too where nobody can tell. Nothing may be unpacked behind this.
    pub(super) fn is_whole(&mut self) -> bool {
        match &mut self.unpacker {
            Some(unpacker) if !self.spoilt => unpacker.is_whole(),
            Some(_) | None => true,
        }
    }

    /// True where all of it was seen and none of it may be the beginning of a key.
    fn looked_through(&mut self, chunk: &[u8]) -> Result<bool, Leak> {
        let Some(first) = chunk.first() else { return Ok(self.waiting.is_empty()) };
        if let Some(eyes) = self.eyes.take() {
            self.is_surely = is_mark(self.coding, *first);
            // With no memory to look through it, it does not go out.
            self.unpacker = Some(Unpacker::new(self.coding, *first, eyes).ok_or(Leak::Endless)?);
        }
        self.raw.see(chunk);
        self.raw.verdict()?;
        let rests = match &mut self.unpacker {
            Some(unpacker) if !self.spoilt => {
                let rests = unpacker.look_at(chunk)?;
                // Another reader may go on where this one cannot.
                let is_torn = rests.is_none() && !unpacker.has_ended();
                if is_torn && (self.is_surely || unpacker.eyes().unpacked > 0) {
                    return Err(Leak::Endless);
                }
                rests
            }
            Some(_) | None => None,
        };
        self.spoilt = rests.is_none();
        Ok(rests.unwrap_or(self.raw.tail.is_empty()))
    }
}

/// Two codings begin with a byte that hardly anything else does.
fn is_mark(coding: Coding, first: u8) -> bool {
    match coding {
        Coding::Gzip => first == 0x1f,
        Coding::Zstd => first == 0x28,
        Coding::Deflate | Coding::Brotli => false,
    }
}

impl Unpacker {
    /// None where the machine has no memory for it.
    fn new(coding: Coding, first: u8, eyes: Eyes) -> Option<Self> {
        Some(match coding {
            Coding::Gzip => {
                let member = GzDecoder::new(eyes);
                Self::Gzip(Box::new(Gunzip { member, has_ended: false, members: 0 }))
            }
            // Some servers leave the wrapping away; it begins with its method.
            Coding::Deflate if first & 15 == 8 => Self::Zlib(ZlibDecoder::new(eyes)),
            Coding::Deflate => Self::Bare(DeflateDecoder::new(eyes)),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(eyes, PIECE))),
            Coding::Zstd => {
                let mut decoder = Zstd::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
                let (within_block, has_ended) = (false, false);
                Self::Zstd(Box::new(ZstdUnpacker { decoder, eyes, within_block, has_ended }))
            }
        })
    }

    /// Whether nothing of it is undecided; None where it is not packed as it says.
    fn look_at(&mut self, chunk: &[u8]) -> Result<Option<bool>, Leak> {
        self.eyes().came += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let unpacked = self.unpack(chunk);
        if unpacked.is_err() {
            // What it unpacked to before it failed is still to be seen; it cannot fail more.
            let _ = self.flush();
        }
        let within_block = match self {
            Self::Zstd(unpacker) => unpacker.within_block,
            Self::Gzip(_) | Self::Zlib(_) | Self::Bare(_) | Self::Brotli(_) => false,
        };
        let eyes = self.eyes();
        eyes.verdict()?;
        Ok(unpacked.ok().map(|()| eyes.tail.is_empty() && !within_block))
    }

    /// Flushed, so that nothing unpacked is left unseen.
    fn unpack(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(unpacker) => unpacker.unpack(chunk).and_then(|()| unpacker.member.flush()),
            Self::Zlib(writer) => writer.write_all(chunk).and_then(|()| writer.flush()),
            Self::Bare(writer) => writer.write_all(chunk).and_then(|()| writer.flush()),
            Self::Brotli(writer) => writer.write_all(chunk),
            Self::Zstd(unpacker) => unpacker.unpack(chunk),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(unpacker) => unpacker.member.flush(),
            Self::Zlib(writer) => writer.flush(),
            Self::Bare(writer) => writer.flush(),
            Self::Brotli(writer) => writer.flush(),
            Self::Zstd(_) => Ok(()),
        }
    }

    /// What failed stands behind the end.
    fn has_ended(&mut self) -> bool {
        match self {
            Self::Gzip(unpacker) => unpacker.is_behind(),
            Self::Zlib(writer) => matches!(writer.write(&[0]), Ok(0)),
            Self::Bare(writer) => matches!(writer.write(&[0]), Ok(0)),
            Self::Brotli(_) => false,
            Self::Zstd(unpacker) => unpacker.has_ended,
        }
    }

    /// A decoder that is at its end takes not one byte more.
    fn is_whole(&mut self) -> bool {
        let takes_nothing = |took: io::Result<usize>| matches!(took, Ok(0));
        match self {
            Self::Gzip(unpacker) => {
                unpacker.has_ended || takes_nothing(unpacker.member.write(&[0]))
            }
            Self::Zlib(writer) => takes_nothing(writer.write(&[0])),
            Self::Bare(writer) => takes_nothing(writer.write(&[0])),
            Self::Brotli(writer) => writer.close().is_ok(),
            Self::Zstd(unpacker) => unpacker.has_ended,
        }
    }

    fn eyes(&mut self) -> &mut Eyes {
        match self {
            Self::Gzip(unpacker) => unpacker.member.get_mut(),
            Self::Zlib(writer) => writer.get_mut(),
            Self::Bare(writer) => writer.get_mut(),
            Self::Brotli(writer) => writer.get_mut(),
            Self::Zstd(unpacker) => &mut unpacker.eyes,
        }
    }
}

impl Gunzip {
    /// Of a member that came whole, with something behind it that is none.
    fn is_behind(&self) -> bool {
        self.members > 0 && self.member.header().is_none()
    }

    fn unpack(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() {
            if self.has_ended {
                let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
                chunk = chunk.get(zeros..).unwrap_or_default();
                if chunk.is_empty() {
                    break;
                }
                let blind = Eyes::new(Arc::clone(&self.member.get_ref().needles), None);
                let eyes = std::mem::replace(self.member.get_mut(), blind);
                let members = self.members + 1;
                *self = Self { member: GzDecoder::new(eyes), has_ended: false, members };
            }
            let taken = self.member.write(chunk)?;
            chunk = chunk.get(taken..).unwrap_or_default();
            self.has_ended = taken == 0;
        }
        Ok(())
    }
}

impl ZstdUnpacker {
    fn unpack(&mut self, chunk: &[u8]) -> io::Result<()> {
        /// What the decoder asks for where it stands before a block or a frame.
        const MOST_BEFORE_A_BLOCK: usize = 5;
        let mut input = InBuffer::around(chunk);
        let mut piece = [0; PIECE];
        loop {
            let mut output = OutBuffer::around(&mut piece);
            let before = input.pos();
            let wanted = self.decoder.run(&mut input, &mut output)?;
            self.within_block = wanted > MOST_BEFORE_A_BLOCK;
            let unpacked = output.as_slice();
            // Asked once more behind a frame, it wants the beginning of the next one.
            let idled = unpacked.is_empty() && input.pos() == before;
            self.has_ended = wanted == 0 || (self.has_ended && idled);
            self.eyes.write_all(unpacked)?;
            if input.pos() == chunk.len() && unpacked.len() < PIECE {
                return Ok(());
            }
        }
    }
}

impl Eyes {
    fn new(needles: Arc<Needles>, meter: Option<Box<Meter>>) -> Self {
        Self { needles, tail: Vec::new(), leak: None, came: 0, unpacked: 0, meter }
    }

    fn verdict(&self) -> Result<(), Leak> {
        self.leak.map_or(Ok(()), Err)
    }

    fn see(&mut self, bytes: &[u8]) {
        let joined;
        let bytes = if self.tail.is_empty() {
            bytes
        } else {
            self.tail.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.tail);
            &joined
        };
        match self.needles.look(bytes, 0, true) {
            Sighting::Nothing => {}
            Sighting::Begun(at) => self.tail = bytes.get(at..).unwrap_or_default().to_vec(),
            Sighting::Whole(..) => {
                // It has passed through buffers that are large, and not ours.
                secret::spare_nothing();
                self.leak = Some(Leak::Key);
            }
        }
    }
}

impl Write for Eyes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unpacked += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.unpacked > ALWAYS_UNPACKED.max(self.came.saturating_mul(MOST_TIMES)) {
            self.leak = Some(Leak::Endless);
        }
        if self.leak.is_none() {
            if let Some(meter) = &mut self.meter {
                meter.see(bytes);
            }
            self.see(bytes);
        }
        let stopped = |_| io::Error::other("nothing more of this body is looked at");
        self.verdict().map_err(stopped).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::secret::KeptBytes;

    const KEY: &str = "sk-real-Zq8w7KpXyAb01cdEf";
    /// The second `Deflate` is the bare one.
    const NAMES: [&str; 5] = ["gzip", "deflate", "Deflate", "br", "zstd"];

    fn needles() -> Arc<Needles> {
        Arc::new(Needles::new(vec![KeptBytes::copy_of(KEY.as_bytes())]))
    }

    fn packed(name: &str) -> Packed {
        Packed::new(Coding::named(name.as_bytes()).unwrap(), needles(), None)
    }

    /// Packed, and flushed after every part of it.
    fn pack(name: &str, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        fn all<W: Write>(
            mut writer: W,
            parts: &[&[u8]],
            taken: impl Fn(&mut W) -> Vec<u8>,
        ) -> (W, Vec<Vec<u8>>) {
            let packed = parts.iter().map(|part| {
                writer.write_all(part).unwrap();
                writer.flush().unwrap();
                taken(&mut writer)
            });
            let packed = packed.collect();
            (writer, packed)
        }
        let taken = std::mem::take::<Vec<u8>>;
        let (mut packed, last) = match name {
            "gzip" => {
                let writer = GzEncoder::new(Vec::new(), Compression::default());
                let (writer, packed) = all(writer, parts, |writer| taken(writer.get_mut()));
                (packed, writer.finish().unwrap())
            }
            "deflate" => {
                let writer = ZlibEncoder::new(Vec::new(), Compression::default());
                let (writer, packed) = all(writer, parts, |writer| taken(writer.get_mut()));
                (packed, writer.finish().unwrap())
            }
            "Deflate" => {
                let writer = DeflateEncoder::new(Vec::new(), Compression::default());
                let (writer, packed) = all(writer, parts, |writer| taken(writer.get_mut()));
                (packed, writer.finish().unwrap())
            }
            "br" => {
                let writer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
                let (writer, packed) = all(writer, parts, |writer| taken(writer.get_mut()));
                (packed, writer.into_inner())
            }
            _ => {
                let writer = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
                let (writer, packed) = all(writer, parts, |writer| taken(writer.get_mut()));
                (packed, writer.finish().unwrap())
            }
        };
        packed.push(last);
        packed
    }

    fn events(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|at| format!("data: {{\"token\":\"word {at}\"}}\n\n").into_bytes()).collect()
    }

    #[test]
    fn what_holds_no_key_goes_out_as_it_came_and_at_once() {
        for name in NAMES {
            let events = events(200);
            let parts: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
            let mut search = packed(name);
            for part in pack(name, &parts) {
                let out = search.next(Bytes::from(part.clone())).unwrap();
                assert_eq!(out, part, "{name}");
            }
            assert!(search.holds() == 0);
            assert_eq!(search.last(&[]).unwrap(), b"".as_slice());
        }
    }

    #[test]
    fn a_key_within_never_goes_out_however_the_body_is_cut() {
        let mut noise = 88_172_645_463_325_252_u64;
        for name in NAMES {
            for size in 1..200_usize {
                let mut body = Vec::new();
                for at in 0..size * 3 {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    body.extend_from_slice(
                        format!("{{\"n\":{at},\"x\":\"{noise:x}\"}}").as_bytes(),
                    );
                }
                let middle = body.len() / 2;
                let whole = [&body[..middle], KEY.as_bytes(), &body[middle..]].concat();
                let bytes = pack(name, &[&whole]).concat();
                let mut search = packed(name);
                let mut out = Vec::new();
                let leak = bytes.chunks(size).find_map(|chunk| {
                    search.next(Bytes::copy_from_slice(chunk)).map(|part| out.extend(part)).err()
                });
                assert_eq!(leak, Some(Leak::Key), "{name} in pieces of {size}");
                let shown = unpacked(name, &out);
                assert!(memchr::memmem::find(&shown, &KEY.as_bytes()[..6]).is_none(), "{name}");
            }
        }
    }

    /// What the bytes that went out unpack to, as far as they do.
    fn unpacked(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        let _ = match name {
            "gzip" => {
                let mut writer = flate2::write::MultiGzDecoder::new(&mut shown);
                writer.write_all(bytes).and_then(|()| writer.flush())
            }
            "deflate" => {
                let mut writer = ZlibDecoder::new(&mut shown);
                writer.write_all(bytes).and_then(|()| writer.flush())
            }
            "Deflate" => {
                let mut writer = DeflateDecoder::new(&mut shown);
                writer.write_all(bytes).and_then(|()| writer.flush())
            }
            "br" => DecompressorWriter::new(&mut shown, PIECE).write_all(bytes),
            _ => zstd::stream::copy_decode(bytes, &mut shown),
        };
        shown
    }

    #[test]
    fn a_body_that_unpacks_without_end_is_cut() {
        let zeros = vec![0; 64 << 20];
        for name in NAMES {
            let bytes = pack(name, &[&zeros]).concat();
            let mut search = packed(name);
            let cut = bytes
                .chunks(4096)
                .find_map(|chunk| search.next(Bytes::copy_from_slice(chunk)).err());
            assert_eq!(cut, Some(Leak::Endless), "{name}");
        }
    }

    #[test]
    fn a_body_that_is_not_what_it_says_is_searched_as_it_is() {
        // To the others anything may be a beginning.
        for name in ["gzip", "zstd"] {
            let mut search = packed(name);
            let plain = Bytes::from_static(b"{\"not\":\"packed at all\", \"but\":\"plain\"}");
            let mut out = search.next(plain.clone()).unwrap().to_vec();
            out.extend(search.last(&[]).unwrap());
            assert_eq!(out, plain, "{name}");
            let mut search = packed(name);
            let leak = search.next(Bytes::from(format!("{{\"key\":\"{KEY}\"}} and more of it")));
            let leak = leak.and_then(|_| search.last(&[]));
            assert_eq!(leak, Err(Leak::Key), "{name}");
        }
        for name in NAMES {
            // Whole, and then something behind it.
            let mut search = packed(name);
            let mut bytes = pack(name, &[b"innocent"]).concat();
            bytes.extend_from_slice(KEY.as_bytes());
            let leak = search.next(Bytes::from(bytes)).and_then(|_| search.last(&[]));
            assert_eq!(leak, Err(Leak::Key), "{name}");
        }
    }

    #[test]
    fn what_was_cut_is_told_from_what_came_whole() {
        for name in NAMES {
            let bytes = pack(name, &[b"a few words", b"and a few more"]).concat();
            for size in [1, 7, bytes.len()] {
                for end in 1..=bytes.len() {
                    let mut search = packed(name);
                    for chunk in bytes[..end].chunks(size) {
                        search.next(Bytes::copy_from_slice(chunk)).unwrap();
                    }
                    search.last(&[]).unwrap();
                    assert_eq!(search.is_whole(), end == bytes.len(), "{name} {end} by {size}");
                }
            }
            assert!(packed(name).is_whole(), "nothing came at all");
        }
    }

    #[test]
    fn a_member_behind_zeros_is_looked_through_too() {
        for zeros in [0, 1, 512, 40_000] {
            let mut bytes = pack("gzip", &[b"innocent"]).concat();
            bytes.extend(vec![0; zeros]);
            let whole = bytes.clone();
            bytes.extend(pack("gzip", &[KEY.as_bytes()]).concat());
            for size in [1, 97, bytes.len()] {
                let through = |bytes: &[u8]| {
                    let mut search = packed("gzip");
                    let mut chunks = bytes.chunks(size);
                    let leak =
                        chunks.find_map(|part| search.next(Bytes::copy_from_slice(part)).err());
                    (leak, search)
                };
                assert_eq!(through(&bytes).0, Some(Leak::Key), "{zeros} by {size}");
                let (leak, mut search) = through(&whole);
                assert!(leak.is_none() && search.is_whole(), "{zeros} by {size}");
            }
        }
    }

    #[test]
    fn what_stops_to_unpack_in_its_middle_goes_no_further() {
        for name in NAMES {
            let words: Vec<String> = (0..3000).map(|at| format!("{at} and on, ")).collect();
            let mut bytes = pack(name, &[words.concat().as_bytes()]).concat();
            let middle = bytes.len() / 2;
            bytes.truncate(middle);
            bytes.extend([0xff; 64]);
            bytes.extend_from_slice(&[0x55; 4096]);
            let mut search = packed(name);
            let cut = bytes
                .chunks(100)
                .find_map(|chunk| search.next(Bytes::copy_from_slice(chunk)).err());
            assert!(cut.is_some() || !search.is_whole(), "{name}");
        }
        // A window that no client of HTTP has to have.
        let mut writer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        writer.long_distance_matching(true).unwrap();
        writer.window_log(24).unwrap();
        writer.write_all(&vec![7; 20 << 20]).unwrap();
        let bytes = writer.finish().unwrap();
        let mut search = packed("zstd");
        let outcome = search.next(Bytes::from(bytes));
        assert_eq!(outcome.err(), Some(Leak::Endless));
    }
}
