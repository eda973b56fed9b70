//! How exports are packed: every piece by itself, as gzip or zstd allow it, so that one that broke
//! off is whole up to its last piece and can be taken up behind it. Any tool unpacks the file.
//! Must never take a piece for whole that is not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use zstd::stream::read::Decoder as Zstd;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_LEVEL: i32 = 3;
/// More than any piece unpacks to: a file that was made up fills no memory.
const MOST_PIECE_BYTES: u64 = 256 << 20;
const READ_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// The better one first.
    pub(crate) const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    /// As HTTP names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// One whole piece.
    pub(crate) fn pack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::default());
                writer.write_all(bytes)?;
                writer.finish()
            }
            Self::Zstd => zstd::stream::encode_all(bytes, ZSTD_LEVEL),
        }
    }

    /// How a file is packed, by its first bytes; None where it is not. Leaves it at its beginning.
    pub(crate) fn of(file: &mut File) -> io::Result<Option<Self>> {
        let mut start = Vec::with_capacity(ZSTD_MAGIC.len());
        file.seek(SeekFrom::Start(0))?;
        file.take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(match start.as_slice() {
            start if start.starts_with(&GZIP_MAGIC) => Some(Self::Gzip),
            start if start.starts_with(&ZSTD_MAGIC) => Some(Self::Zstd),
            _ => None,
        })
    }
}

/// What a file holds, unpacked where it is packed.
pub(crate) fn unpacked(mut file: File) -> io::Result<Box<dyn BufRead>> {
    let packing = Packing::of(&mut file)?;
    let reader = BufReader::with_capacity(READ_BYTES, file);
    Ok(match packing {
        None => Box::new(reader),
        Some(Packing::Gzip) => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
        Some(Packing::Zstd) => Box::new(BufReader::new(Zstd::with_buffer(reader)?)),
    })
}

/// Unpacks a file piece by piece; `take` sees each whole one, and where the next begins. Ends at
/// the first that is broken off.
pub(crate) fn whole_pieces(
    file: &mut File,
    packing: Packing,
    mut take: impl FnMut(&[u8], u64),
) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut piece = Vec::new();
    while !reader.fill_buf()?.is_empty() {
        piece.clear();
        let is_whole = match packing {
            Packing::Gzip => {
                let decoder = GzDecoder::new(&mut reader);
                decoder.take(MOST_PIECE_BYTES).read_to_end(&mut piece).is_ok()
            }
            Packing::Zstd => {
                let decoder = Zstd::with_buffer(&mut reader)?.single_frame();
                decoder.take(MOST_PIECE_BYTES).read_to_end(&mut piece).is_ok()
            }
        };
        if !is_whole {
            return Ok(());
        }
        let end = reader.stream_position()?;
        take(&piece, end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn pieces_are_one_file_and_each_is_whole_by_itself() {
        let pieces: Vec<String> =
            (0..5).map(|piece| format!("line {piece}\n").repeat(900)).collect();
        for packing in Packing::ALL {
            let packed: Vec<Vec<u8>> =
                pieces.iter().map(|piece| packing.pack(piece.as_bytes()).unwrap()).collect();
            let whole = packed.concat();
            let mut text = String::new();
            unpacked(file(&whole)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, pieces.concat());
            // Cut anywhere within the fourth: three are whole, and where they end is known.
            let three = packed[..3].concat().len();
            for length in [three, three + 1, three + 9, three + packed[3].len() - 1] {
                let mut had = Vec::new();
                let mut cut = file(&whole[..length]);
                assert_eq!(Packing::of(&mut cut).unwrap(), Some(packing));
                let take = |piece: &[u8], end| had.push((piece.to_vec(), end));
                whole_pieces(&mut cut, packing, take).unwrap();
                assert_eq!(had.len(), 3, "{packing:?} {length}");
                assert_eq!(had[2], (pieces[2].clone().into_bytes(), three as u64));
            }
        }
        let mut plain = file(b"{\"export\":1}\n");
        assert_eq!(Packing::of(&mut plain).unwrap(), None);
    }
}
