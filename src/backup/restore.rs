//! From a file back to a house. First unpacked into a scratch database, brought to this program's
//! schema and proven there: every envelope opened, every chain recomputed. Only then copied into
//! the house, in one transaction, each key-encryption key wrapped by the new master key. Must never
//! leave a house between two states: killed at any moment, it is the old one or the new one.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::create::{kek, put_wrapped};
use super::frame::{Frame, Frames, Head};
use super::scratch::Scratch;
use super::{Fault, Step, Unlock};
use crate::clock::Clock;
use crate::kms::{Context, Master, Masters};
use crate::ledger;
use crate::store::{ARCHIVED, Archived, Cell, Loading, MasterKind, Store};
use crate::vault;

const QUEUE: usize = 64;
/// Rows that are put in at once.
const BATCH: usize = 100;

/// What a backup holds, and what of it does not hold together.
#[derive(Debug)]
pub struct Verdict {
    pub installation: Uuid,
    pub created_at_ms: i64,
    /// Of the program that made it.
    pub version: String,
    pub secrets: u64,
    /// Versions of secrets, each opened.
    pub values: u64,
    pub records: u64,
    /// What was damaged in the house already when it was backed up.
    pub faults: Vec<String>,
}

/// The house that a backup is restored into.
pub(crate) struct Target<'a> {
    pub(crate) store: &'a Store,
    pub(crate) master: &'a Master,
    /// Holds the scratch database for the while.
    pub(crate) folder: &'a Path,
    pub(crate) replace: bool,
    pub(crate) clock: &'a Clock,
    /// Stands in the database once this restore is committed, and not before.
    pub(crate) mark: &'a str,
}

/// Told after each step; a fault of its own ends the restore there.
pub(crate) type Steps<'a> = &'a (dyn Fn(Step) -> std::io::Result<()> + Sync);

/// A backup in its scratch place; gone when this is dropped.
struct Unpacked {
    store: Store,
    head: Head,
    installation: Uuid,
    masters: Arc<Masters>,
    _scratch: Scratch,
}

/// Opens, decrypts every envelope and checks the trail; changes nothing but its scratch folder.
pub(crate) async fn verify(
    file: File,
    unlock: Unlock,
    (folder, clock): (&Path, &Clock),
) -> Result<Verdict, Fault> {
    let unpacked = unpack(file, unlock, (folder, clock)).await?;
    let verdict = prove(&unpacked).await;
    unpacked.store.close().await;
    verdict
}

/// `step` is told how far it is; whatever it does then, the house is whole.
pub(crate) async fn restore(
    file: File,
    unlock: Unlock,
    target: Target<'_>,
    step: Steps<'_>,
) -> Result<Verdict, Fault> {
    if !target.replace && !target.store.is_fresh().await? {
        return Err(Fault::NotEmpty);
    }
    let unpacked = unpack(file, unlock, (target.folder, target.clock)).await?;
    step(Step::Unpacked)?;
    let restored = prove_and_copy(&unpacked, &target, step).await;
    unpacked.store.close().await;
    restored
}

/// What does not open was damaged in the house already, and closes its own secrets in the new one
/// as well; everything else must not be lost for it.
async fn prove_and_copy(
    unpacked: &Unpacked,
    target: &Target<'_>,
    step: Steps<'_>,
) -> Result<Verdict, Fault> {
    let verdict = prove(unpacked).await?;
    if unpacked.store.installation().await?.map(|stored| stored.id) != Some(unpacked.installation) {
        return Err(Fault::Damaged("its installation is not the one that its head names"));
    }
    step(Step::Proven)?;
    copy(unpacked, target, step).await?;
    Ok(verdict)
}

async fn unpack(
    file: File,
    unlock: Unlock,
    (folder, clock): (&Path, &Clock),
) -> Result<Unpacked, Fault> {
    let (sender, mut frames) = mpsc::channel(QUEUE);
    let reading = tokio::task::spawn_blocking(move || read(file, &unlock, &sender));
    let loaded = load(&mut frames, (folder, clock)).await;
    drop(frames);
    // The reader's fault comes first: the loader has only noticed that nothing comes any more.
    reading.await.map_err(|_| Fault::BrokenOff)??;
    loaded
}

fn read(file: File, unlock: &Unlock, frames: &mpsc::Sender<Frame>) -> Result<(), Fault> {
    let decrypting = unlock.open(BufReader::new(file))?;
    let unpacking = zstd::stream::read::Decoder::new(decrypting)?;
    let mut reader = Frames::begin(unpacking)?;
    loop {
        let frame = reader.next()?;
        let is_end = matches!(frame, Frame::End { .. });
        // The loader has ended by a fault of its own, which it will tell.
        if frames.blocking_send(frame).is_err() || is_end {
            return Ok(());
        }
    }
}

async fn load(
    frames: &mut mpsc::Receiver<Frame>,
    (folder, clock): (&Path, &Clock),
) -> Result<Unpacked, Fault> {
    let Some(Frame::Head(head)) = frames.recv().await else { return Err(UNORDERED) };
    let Some(Frame::Key(key)) = frames.recv().await else { return Err(UNORDERED) };
    if head.schema > Store::newest_schema() || head.schema < 1 {
        return Err(Fault::Newer { format: super::frame::FORMAT, schema: head.schema });
    }
    let installation: Uuid = head.installation.parse().map_err(|_| UNORDERED)?;
    let scratch = Scratch::make(folder)?;
    let store = Store::create_at(&scratch.file(), head.schema, clock.clone()).await?;
    let filled = fill(&store, frames).await;
    store.close().await;
    filled?;
    // Opened anew, which brings an older schema up to date.
    let target = crate::store::Target::Sqlite(scratch.file());
    let store = Store::open(&crate::store::Settings { target }, clock.clone()).await?;
    let masters = Arc::new(Masters::of(Master::local(MasterKind::File, key)));
    Ok(Unpacked { store, head, installation, masters, _scratch: scratch })
}

const UNORDERED: Fault = Fault::Damaged("its parts do not stand in their order");

async fn fill(store: &Store, frames: &mut mpsc::Receiver<Frame>) -> Result<(), Fault> {
    let mut loading = store.load().await?;
    let mut at: Option<(&Archived, Vec<String>)> = None;
    let mut waiting = Vec::new();
    let mut rows = 0_u64;
    loop {
        let frame = frames.recv().await.ok_or(Fault::BrokenOff)?;
        if let Frame::Row(row) = frame {
            rows += 1;
            waiting.push(row);
            if waiting.len() >= BATCH {
                put(&mut loading, at.as_ref(), std::mem::take(&mut waiting)).await?;
            }
            continue;
        }
        put(&mut loading, at.as_ref(), std::mem::take(&mut waiting)).await?;
        match frame {
            Frame::Table { name, columns } => {
                let table = ARCHIVED.iter().find(|table| table.name == name);
                at = Some((table.ok_or(UNORDERED)?, columns));
            }
            Frame::End { rows: told } if told == rows => break,
            Frame::End { .. } => return Err(Fault::Damaged("rows are missing")),
            Frame::Head(_) | Frame::Key(_) | Frame::Row(_) => return Err(UNORDERED),
        }
    }
    Ok(loading.commit().await?)
}

async fn put(
    loading: &mut Loading,
    at: Option<&(&Archived, Vec<String>)>,
    rows: Vec<Vec<Cell>>,
) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let (table, columns) = at.ok_or(UNORDERED)?;
    Ok(loading.rows(table, columns, rows).await?)
}

async fn prove(unpacked: &Unpacked) -> Result<Verdict, Fault> {
    let store = &unpacked.store;
    let masters = Arc::clone(&unpacked.masters);
    let proof = vault::prove(store, masters, unpacked.installation).await?;
    let trail = ledger::verify_stored(store).await?;
    let mut faults = proof.faults;
    if let Some(bad) = trail.first_bad {
        let (node, sequence, reason) = (bad.node, bad.sequence, bad.reason);
        faults.push(format!("trail: record {sequence} of node {node}: {reason}"));
    }
    Ok(Verdict {
        installation: unpacked.installation,
        created_at_ms: unpacked.head.created_at_ms,
        version: unpacked.head.version.clone(),
        secrets: proof.secrets,
        values: proof.versions,
        records: trail.records,
        faults,
    })
}

/// Everything in one transaction: a process that dies before its end has changed nothing.
async fn copy(unpacked: &Unpacked, target: &Target<'_>, step: Steps<'_>) -> Result<(), Fault> {
    // Older lists come back, and that is meant: as later ones than any node has seen.
    let masters = Arc::clone(&unpacked.masters);
    let epoch = u64::try_from(target.clock.unix_ms()).unwrap_or(1);
    vault::lift_lists(&unpacked.store, masters, (unpacked.installation, epoch)).await?;
    let mut snapshot = unpacked.store.snapshot().await?;
    let mut loading = target.store.load().await?;
    step(Step::Emptied)?;
    for table in ARCHIVED {
        let columns = snapshot.columns(table).await?;
        let mut last: Option<Vec<Cell>> = None;
        loop {
            let mut page = snapshot.page(table, last.as_deref()).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.clone());
            if table.name == "keks" {
                for row in &mut page {
                    take_over(unpacked, target.master, (&columns, row)).await?;
                }
            }
            loading.rows(table, &columns, page).await?;
        }
    }
    loading.is_restore(target.mark, target.clock.unix_ms()).await?;
    step(Step::Loaded)?;
    loading.commit().await?;
    step(Step::Committed)?;
    Ok(())
}

/// From the backup's key to the new house's own master key.
async fn take_over(
    unpacked: &Unpacked,
    master: &Master,
    (columns, row): (&[String], &mut [Cell]),
) -> Result<(), Fault> {
    let Some(kek) = kek(columns, row) else { return Ok(()) };
    let context = Context {
        installation: unpacked.installation,
        category: &kek.category,
        generation: kek.generation,
        id: kek.id,
    };
    let key = unpacked.masters.unwrap(&context, &kek.master, &kek.wrapped).await;
    let Ok(key) = key else { return Ok(()) };
    let wrapped = master.wrap(&context, &key).await?;
    put_wrapped(columns, row, (wrapped, &master.id()));
    Ok(())
}
