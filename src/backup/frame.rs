//! What stands inside a backup, under encryption and compression: a head, the backup's own key,
//! tables with their rows, an end that counts them. Parses foreign bytes: must never panic, never
//! take more memory than a frame may have, and never accept a backup without its end.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::secret::{Key, SecretBytes};
use crate::store::Cell;

const MAGIC: &[u8; 8] = b"SEALGATE";
pub(super) const FORMAT: u16 = 1;
/// A block of records has at most a few mebibytes.
const MOST_BYTES: usize = 64 << 20;

/// What kind of house it was, readable before anything else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) installation: String,
    pub(super) created_at_ms: i64,
    pub(super) version: String,
    pub(super) schema: i64,
}

pub(super) enum Frame {
    Head(Head),
    Key(Key),
    Table { name: String, columns: Vec<String> },
    Row(Vec<Cell>),
    End { rows: u64 },
}

#[derive(Serialize, Deserialize)]
struct TableHead {
    table: String,
    columns: Vec<String>,
}

const HEAD: u8 = 1;
const KEY: u8 = 2;
const TABLE: u8 = 3;
const ROW: u8 = 4;
const END: u8 = 5;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

pub(super) fn begin(sink: &mut impl Write) -> std::io::Result<()> {
    sink.write_all(MAGIC)?;
    sink.write_all(&FORMAT.to_be_bytes())
}

impl Frame {
    pub(super) fn write(&self, sink: &mut impl Write) -> std::io::Result<()> {
        let json = |value: serde_json::Result<Vec<u8>>| value.map_err(std::io::Error::other);
        let (kind, body) = match self {
            Self::Head(head) => (HEAD, json(serde_json::to_vec(head))?),
            Self::Key(key) => {
                let body = SecretBytes::copy_of(key.expose());
                return put(sink, KEY, body.expose());
            }
            Self::Table { name, columns } => {
                let head = TableHead { table: name.clone(), columns: columns.clone() };
                (TABLE, json(serde_json::to_vec(&head))?)
            }
            Self::Row(cells) => (ROW, row(cells)?),
            Self::End { rows } => (END, rows.to_be_bytes().to_vec()),
        };
        put(sink, kind, &body)
    }
}

fn put(sink: &mut impl Write, kind: u8, body: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
    sink.write_all(&[kind])?;
    sink.write_all(&length.to_be_bytes())?;
    sink.write_all(body)
}

fn row(cells: &[Cell]) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for cell in cells {
        match cell {
            Cell::Null => body.push(NULL),
            Cell::Integer(number) => {
                body.push(INTEGER);
                body.extend_from_slice(&number.to_be_bytes());
            }
            Cell::Text(text) => sized(&mut body, TEXT, text.as_bytes())?,
            Cell::Bytes(bytes) => sized(&mut body, BYTES, bytes)?,
        }
    }
    if body.len() > MOST_BYTES {
        return Err(std::io::Error::other("a row is larger than a backup can hold"));
    }
    Ok(body)
}

fn sized(body: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    body.push(kind);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(bytes);
    Ok(())
}

/// Reads frames to their end, and makes sure that nothing follows it.
pub(super) struct Frames<R>(R);

impl<R: Read> Frames<R> {
    pub(super) fn begin(mut source: R) -> Result<Self, Fault> {
        let mut start = [0; 10];
        source.read_exact(&mut start).map_err(cut)?;
        let [b'S', b'E', b'A', b'L', b'G', b'A', b'T', b'E', high, low] = start else {
            return Err(Fault::Damaged("it holds something else than a backup of Sealgate"));
        };
        let format = u16::from_be_bytes([high, low]);
        if format != FORMAT {
            return Err(Fault::Newer { format, schema: 0 });
        }
        Ok(Self(source))
    }

    pub(super) fn next(&mut self) -> Result<Frame, Fault> {
        let mut start = [0; 5];
        self.0.read_exact(&mut start).map_err(cut)?;
        let [kind, length @ ..] = start;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MOST_BYTES {
            return Err(Fault::Damaged("a frame is longer than any can be"));
        }
        let mut body = SecretBytes::new(Vec::new()).into_zeroizing();
        // Grows as bytes come, so that a length that lies takes no memory.
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut self.0).take(bound).read_to_end(&mut body).map_err(cut)?;
        if body.len() != length {
            return Err(Fault::Damaged("it ends in the midst of a frame"));
        }
        match kind {
            HEAD => Ok(Frame::Head(serde_json::from_slice(&body).map_err(|_| UNREADABLE)?)),
            KEY => Ok(Frame::Key(Key::from_slice(&body).ok_or(UNREADABLE)?)),
            TABLE => {
                let head: TableHead = serde_json::from_slice(&body).map_err(|_| UNREADABLE)?;
                Ok(Frame::Table { name: head.table, columns: head.columns })
            }
            ROW => Ok(Frame::Row(read_row(&body)?)),
            END => {
                let rows = body.as_slice().try_into().map_err(|_| UNREADABLE)?;
                self.finish()?;
                Ok(Frame::End { rows: u64::from_be_bytes(rows) })
            }
            _ => Err(UNREADABLE),
        }
    }

    /// Only at its very end is the last piece of an age file known to be the last.
    fn finish(&mut self) -> Result<(), Fault> {
        match self.0.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Fault::Damaged("something follows its end")),
            Err(cause) => Err(cut(cause)),
        }
    }
}

const UNREADABLE: Fault = Fault::Damaged("a frame cannot be read");

/// Under authenticated encryption a fault of reading is a cut or an edit.
fn cut(_: std::io::Error) -> Fault {
    Fault::Damaged("it was cut or edited")
}

fn read_row(body: &[u8]) -> Result<Vec<Cell>, Fault> {
    let mut rest = body;
    let mut cells = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        cells.push(match *kind {
            NULL => Cell::Null,
            INTEGER => Cell::Integer(i64::from_be_bytes(array(&mut rest)?)),
            TEXT => {
                let text = String::from_utf8(counted(&mut rest)?.to_vec());
                Cell::Text(text.map_err(|_| UNREADABLE)?)
            }
            BYTES => Cell::Bytes(counted(&mut rest)?.to_vec()),
            _ => return Err(UNREADABLE),
        });
    }
    Ok(cells)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (taken, after) = rest.split_at_checked(N).ok_or(UNREADABLE)?;
    *rest = after;
    taken.try_into().map_err(|_| UNREADABLE)
}

fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let length = usize::try_from(u32::from_be_bytes(array(rest)?)).map_err(|_| UNREADABLE)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(UNREADABLE)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Frame>, Fault> {
        let mut frames = Frames::begin(bytes)?;
        let mut all = Vec::new();
        loop {
            all.push(frames.next()?);
            if let Some(Frame::End { .. }) = all.last() {
                return Ok(all);
            }
        }
    }

    fn written(row: Vec<Cell>) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(&mut bytes).unwrap();
        Frame::Row(row).write(&mut bytes).unwrap();
        Frame::End { rows: 1 }.write(&mut bytes).unwrap();
        bytes
    }

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Null),
            any::<i64>().prop_map(Cell::Integer),
            ".*".prop_map(Cell::Text),
            proptest::collection::vec(any::<u8>(), 0..100).prop_map(Cell::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(row in proptest::collection::vec(cell(), 0..8)) {
            let frames = read(&written(row.clone())).unwrap();
            let Some(Frame::Row(found)) = frames.first() else { panic!("no row") };
            prop_assert_eq!(found, &row);
        }

        #[test]
        fn any_bytes_are_no_backup_and_no_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in any::<proptest::sample::Index>(),
        ) {
            prop_assert!(read(&bytes).is_err());
            let mut dressed = Vec::new();
            begin(&mut dressed).unwrap();
            dressed.extend_from_slice(&bytes);
            // Without encryption around it such bytes may be frames by chance; never a panic.
            let _ = read(&dressed);
            let whole = written(vec![Cell::Bytes(bytes)]);
            prop_assert!(read(&whole[..cut.index(whole.len())]).is_err());
            prop_assert!(read(&[&whole[..], &[0]].concat()).is_err());
        }
    }
}
