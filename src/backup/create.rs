//! One encrypted file of one moment: rows are read in a snapshot on the runtime, packed and
//! encrypted on a thread of their own; between the two stands a short queue, so that memory is
//! bounded and a slow disk slows the reading. Must never hold up those who write meanwhile.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::frame::{self, Frame, Head};
use super::{Fault, Lock};
use crate::clock::Clock;
use crate::crypto;
use crate::kms::Master;
use crate::ledger::Ledger;
use crate::secret::Key;
use crate::store::{ARCHIVED, Cell, KekRow, KekState, MasterId, MasterKind, Store};
use crate::vault::Vault;

/// Frames on their way to the packing thread.
const QUEUE: usize = 64;
/// zstd's own default: most of the gain at a tenth of the time.
const LEVEL: i32 = 3;

/// The house that is backed up.
pub(crate) struct Source<'a> {
    pub(crate) store: &'a Store,
    pub(crate) vault: &'a Vault,
    pub(crate) ledger: &'a Ledger,
    pub(crate) clock: &'a Clock,
    pub(crate) progress: Arc<Progress>,
}

/// How far a backup is: rows that were read, of those that there are.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    rows: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Nought of nought before it is known how many there are.
    pub(crate) fn rows_of_total(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) rows: u64,
    pub(crate) created_at_ms: i64,
    /// Keys that did not open: what hangs on them comes back closed.
    pub(crate) faults: Vec<String>,
}

/// Writes a backup; the sink is whole when this returns, and worth nothing if it fails.
pub(crate) async fn create<W>(source: Source<'_>, lock: Lock, sink: W) -> Result<Made, Fault>
where
    W: Write + Send + 'static,
{
    // What was answered before this call is in the backup.
    let _all_stored = source.ledger.flush().await;
    let (sender, frames) = mpsc::channel(QUEUE);
    let packing = tokio::task::spawn_blocking(move || pack(frames, &lock, sink));
    let read = read(&source, &sender).await;
    drop(sender);
    // The packing's own fault comes first: the reading has only noticed that nobody listens.
    packing.await.map_err(|_| Fault::BrokenOff)??;
    read
}

fn pack<W: Write>(mut frames: mpsc::Receiver<Frame>, lock: &Lock, sink: W) -> Result<(), Fault> {
    let encrypting = lock.around(sink)?;
    let mut packing = zstd::stream::write::Encoder::new(encrypting, LEVEL)?;
    frame::begin(&mut packing)?;
    let mut ended = false;
    while let Some(frame) = frames.blocking_recv() {
        frame.write(&mut packing)?;
        ended = matches!(frame, Frame::End { .. });
    }
    if !ended {
        return Err(Fault::BrokenOff);
    }
    packing.finish()?.finish()?.flush()?;
    Ok(())
}

type Frames = mpsc::Sender<Frame>;

async fn read(source: &Source<'_>, frames: &Frames) -> Result<Made, Fault> {
    let mut snapshot = source.store.snapshot().await?;
    let created_at_ms = source.clock.unix_ms();
    let head = Head {
        installation: source.vault.installation().to_string(),
        created_at_ms,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: Store::newest_schema(),
    };
    send(frames, Frame::Head(head)).await?;
    for table in ARCHIVED {
        source.progress.total.fetch_add(snapshot.count(table).await?, Ordering::Relaxed);
    }
    let key = Key::fill_with(crypto::fill_random)?;
    let master = Master::local(MasterKind::File, Key::copy_of(key.expose()));
    send(frames, Frame::Key(key)).await?;
    let (mut rows, mut faults) = (0, Vec::new());
    for table in ARCHIVED {
        let columns = snapshot.columns(table).await?;
        let name = table.name.to_owned();
        send(frames, Frame::Table { name, columns: columns.clone() }).await?;
        let mut last: Option<Vec<Cell>> = None;
        loop {
            let page = snapshot.page(table, last.as_deref()).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.clone());
            for mut row in page {
                if table.name == "keks" {
                    let fault = rewrap_with(source.vault, &master, (&columns, &mut row)).await?;
                    faults.extend(fault);
                }
                rows += 1;
                source.progress.rows.store(rows, Ordering::Relaxed);
                send(frames, Frame::Row(row)).await?;
            }
        }
    }
    send(frames, Frame::End { rows }).await?;
    Ok(Made { rows, created_at_ms, faults })
}

async fn send(frames: &Frames, frame: Frame) -> Result<(), Fault> {
    frames.send(frame).await.map_err(|_| Fault::BrokenOff)
}

/// The row of a key-encryption key, as the backup's own key wraps it. One that is damaged goes
/// along as it is: it closes its own secrets here already, and a backup must not fail for it. What
/// is said of it comes back, because nothing but this one row tells that the backup lacks the key.
async fn rewrap_with(
    vault: &Vault,
    master: &Master,
    (columns, row): (&[String], &mut [Cell]),
) -> Result<Option<String>, Fault> {
    let Some(kek) = kek(columns, row) else {
        return Ok(Some(String::from("a row of the table keks cannot be read")));
    };
    if kek.is_gone() {
        return Ok(None);
    }
    match vault.wrap_for(&kek, master).await {
        Ok(wrapped) => {
            put_wrapped(columns, row, (wrapped, &master.id()));
            Ok(None)
        }
        Err(fault @ crate::vault::VaultError::Sealed) => Err(fault.into()),
        Err(fault) => {
            let KekRow { id, category, generation, .. } = kek;
            tracing::error!(kek = %id, %fault, "a key does not open and is backed up as it is");
            Ok(Some(format!(
                "key {id} of category {category} (generation {generation}) does not open, so the \
                 backup holds it only as it is wrapped here: {fault}"
            )))
        }
    }
}

/// What the columns of the table `keks` mean. None where they mean nothing.
pub(super) fn kek(columns: &[String], row: &[Cell]) -> Option<KekRow> {
    let cell = |name: &str| row.get(columns.iter().position(|column| column == name)?);
    let text = |name: &str| match cell(name)? {
        Cell::Text(text) => Some(text.clone()),
        Cell::Null | Cell::Integer(_) | Cell::Bytes(_) => None,
    };
    let number = |name: &str| match cell(name)? {
        Cell::Integer(number) => Some(*number),
        Cell::Null | Cell::Text(_) | Cell::Bytes(_) => None,
    };
    let Cell::Bytes(wrapped) = cell("wrapped")? else { return None };
    Some(KekRow {
        id: text("id")?.parse().ok()?,
        category: text("category")?,
        generation: u32::try_from(number("generation")?).ok()?,
        wrapped: wrapped.clone(),
        master: MasterId {
            kind: MasterKind::parse(&text("master_kind")?)?,
            id: text("master_id")?,
        },
        state: KekState::parse(&text("state")?)?,
        wraps: number("wraps")?,
        wraps_seal: None,
        created_at: number("created_at")?,
    })
}

pub(super) fn put_wrapped(
    columns: &[String],
    row: &mut [Cell],
    (wrapped, by): (Vec<u8>, &MasterId),
) {
    let mut put = |name: &str, cell: Cell| {
        let place = columns.iter().position(|column| column == name);
        if let Some(place) = place.and_then(|at| row.get_mut(at)) {
            *place = cell;
        }
    };
    put("wrapped", Cell::Bytes(wrapped));
    put("master_kind", Cell::Text(by.kind.as_str().to_owned()));
    put("master_id", Cell::Text(by.id.clone()));
}
