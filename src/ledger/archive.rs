//! Old records on their way out of the database: into a file that is an export of its own, verified
//! as any other with nothing but the public key. The file is written, brought to disk, read back
//! and verified before a row goes.
//! Must never remove a record that does not stand in such a file, nor the newest block of a chain.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Ledger;
use super::archived::{self, Beginning};
use super::block::{Bad, Link, Unpacked, verify_each};
use super::export::Export;
use super::offline::{FORM, Offline, Shown};
use super::packing::{self, Packing};
use super::unarchived::Unarchived;
use super::walk::{Vouchers, Walk};
use crate::clock;
use crate::crypto::Sha256;
use crate::store::{self, BlockSpan, RecordArchive};

/// A file holds the records of a day or more, and not many more than these.
const LEAST_MS: i64 = 86_400_000;
const MOST_RECORDS: u64 = 1_000_000;
/// They are removed in one transaction.
const MOST_BLOCKS: u64 = 20_000;
const BLOCKS_A_READ: u32 = 8;
const SPANS_A_READ: u32 = 256;
const AFTER: &str = ".ndjson.zst";
const PART: &str = ".part";
const READ_BYTES: usize = 1 << 16;

/// How records become files.
#[derive(Clone, Debug)]
pub(crate) struct Archiving {
    pub(crate) folder: PathBuf,
    /// What is older than this goes.
    pub(crate) keep_ms: i64,
    pub(crate) shown: Shown,
}

/// What goes into the next file.
#[derive(Clone, Copy)]
struct Plan {
    link: Link,
    last: u64,
    first_time: i64,
    last_time: i64,
}

impl Plan {
    fn with(held: Option<Self>, link: Link, span: BlockSpan) -> Self {
        let (first_time, last_time) = held
            .map_or((span.first_time, span.last_time), |held| (held.first_time, held.last_time));
        Self {
            link,
            last: span.last,
            first_time: first_time.min(span.first_time),
            last_time: last_time.max(span.last_time),
        }
    }

    fn records(&self) -> u64 {
        self.last.saturating_add(1).saturating_sub(self.link.next_sequence)
    }

    fn name(&self, node: &str) -> String {
        let day = clock::rfc3339(self.first_time);
        let day = day.split('T').next().unwrap_or_default();
        // Sorted by name is sorted by record.
        format!("{node}-{:012}-{:012}-{day}{AFTER}", self.link.next_sequence, self.last)
    }
}

impl Ledger {
    /// Carries the oldest of this node's records out, if they are old enough, and if whoever gets
    /// checkpoints outside has those of them. None: there is nothing to do.
    pub(crate) async fn archive(
        &self,
        archiving: &Archiving,
    ) -> Result<Option<RecordArchive>, Unarchived> {
        let key = self.0.proof.signing.public_key();
        let Beginning { link, bad } =
            archived::beginning(self.0.sink.store(), &self.0.node, Some(key)).await?;
        if let Some(bad) = bad {
            return Err(Unarchived::Broken(bad));
        }
        let Some(plan) = self.plan(archiving, link).await? else { return Ok(None) };
        let mut archive = self.write(archiving, plan).await?;
        archive.sign(&self.0.proof.signing);
        self.0.sink.store().archive_records(&archive).await?;
        self.noted(serde_json::json!({
            "archived": archive.file,
            "records": plan.records(),
            "through": archive.last,
            "sha256": super::checkpoint::hex(&archive.digest),
        }));
        Ok(Some(archive))
    }

    /// Of all nodes, the oldest first.
    pub(crate) async fn archives(&self) -> Result<Vec<RecordArchive>, store::Error> {
        self.0.sink.store().all_record_archives().await
    }

    async fn plan(&self, archiving: &Archiving, link: Link) -> Result<Option<Plan>, Unarchived> {
        let (store, node) = (self.0.sink.store(), self.0.node.as_str());
        let old_before = self.0.clock.unix_ms().saturating_sub(archiving.keep_ms);
        let now = self.0.clock.unix_ms();
        let first = store.block_spans(node, link.next_sequence, 1).await?;
        let is_old = |span: &BlockSpan| {
            let is_old = span.first_time < old_before.saturating_sub(LEAST_MS);
            // Of a clock that was wrong: as old as what stands behind it.
            is_old || span.first_time > now
        };
        if !first.first().is_some_and(is_old) {
            return Ok(None);
        }
        // A try that was not finished may have been, for all that anybody knows: the same again.
        let tried = tried_before(&archiving.folder, node, link.next_sequence);
        let tried =
            tried.map_err(|error| Unarchived::Disk { path: archiving.folder.clone(), error })?;
        let mut plan: Option<Plan> = None;
        // Go only when another old one stands behind them.
        let mut held: Vec<BlockSpan> = Vec::new();
        let (mut next, mut blocks) = (link.next_sequence, 0);
        'all: loop {
            let page = store.block_spans(node, next, SPANS_A_READ).await?;
            if page.is_empty() {
                break;
            }
            for span in page {
                let is_to_come = |span: &BlockSpan| span.last_time > now;
                let is_old = !is_to_come(&span) && span.last_time < old_before;
                let sure = held.iter().take_while(|one| is_old || !is_to_come(one)).count();
                for former in held.drain(..sure) {
                    plan = Some(Plan::with(plan, link, former));
                }
                let is_enough = plan.is_some_and(|plan| plan.records() >= MOST_RECORDS)
                    || blocks >= MOST_BLOCKS
                    || tried.is_some_and(|last| span.last > last);
                if !(is_old || is_to_come(&span)) || is_enough {
                    break 'all;
                }
                blocks += 1;
                next = span.last.saturating_add(1);
                held.push(span);
            }
        }
        let Some(plan) = plan else { return Ok(None) };
        let newest = store.checkpoint_within(node, plan.last).await?.map(|one| one.last);
        let is_vouched = newest
            .is_some_and(|last| last >= link.next_sequence && self.0.proof.is_everywhere(last));
        if is_vouched && self.is_covered(plan).await? {
            return Ok(Some(plan));
        }
        // A day is time enough for the slowest place.
        let late = plan.first_time < old_before.saturating_sub(2 * LEAST_MS);
        let through = plan.last;
        if late { Err(Unarchived::Unvouched { through }) } else { Ok(None) }
    }

    /// Up to the first checkpoint that covers all of it, if there is one yet: this node will sign
    /// for what goes, and what is behind the last checkpoint within has only the chain.
    async fn is_covered(&self, plan: Plan) -> Result<bool, Unarchived> {
        let (store, node) = (self.0.sink.store(), self.0.node.as_str());
        let from = plan.last.saturating_sub(1);
        let Some(next) = store.checkpoints_after(node, from, 1).await?.into_iter().next() else {
            return Ok(false);
        };
        let signed = store.checkpoint_within(node, from).await?.into_iter().chain([next.clone()]);
        let keys = vec![self.0.proof.signing.public_key()];
        let vouchers = Vouchers { signed: signed.collect(), outside: Vec::new(), keys };
        let Some(block) = store.last_record_block(node, plan.last.saturating_add(1)).await? else {
            return Ok(false);
        };
        let hash = Unpacked::read(&block.body).map_or([0; 32], |unpacked| unpacked.before);
        let mut link = Link { next_sequence: block.first_sequence, hash };
        let mut walk = Walk::new(vouchers, link.next_sequence);
        while link.next_sequence <= next.last {
            let page = store.record_blocks_from(node, link.next_sequence, BLOCKS_A_READ).await?;
            if page.is_empty() {
                break;
            }
            for block in &page {
                let mut each = |sequence, hash: &[u8; 32]| walk.step(sequence, hash);
                link = verify_each(block, &link, &mut each).map_err(Unarchived::Broken)?;
            }
        }
        Ok(link.next_sequence > next.last)
    }

    async fn write(&self, archiving: &Archiving, plan: Plan) -> Result<RecordArchive, Unarchived> {
        let name = plan.name(&self.0.node);
        let path = archiving.folder.join(&name);
        let failed = |error| Unarchived::Disk { path: path.clone(), error };
        let mut part = Part::begin(&archiving.folder, &name).map_err(failed)?;
        let mut export = Export::of_old(self, plan.last);
        let mut piece = format!("{{\"export\":{FORM},\"whole\":true}}\n");
        loop {
            part = blocking(move || part.add(&piece)).await.map_err(failed)?;
            let lines = export.next().await?;
            if lines.is_empty() {
                break;
            }
            let lines = lines.into_iter().filter_map(|line| line.into_line(archiving.shown, true));
            piece = lines.map(|line| line + "\n").collect();
        }
        let key = self.0.proof.signing.public_key();
        let (shown, node) = (archiving.shown, self.0.node.clone());
        let read = blocking(move || {
            part.sync()?;
            let judged = judge(&part.path, (&node, plan), (key, shown))?;
            Ok((judged, part))
        });
        let (judged, part) = read.await.map_err(failed)?;
        let Judged { head, digest, bytes } = judged.map_err(Unarchived::Broken)?;
        blocking(move || part.finish()).await.map_err(failed)?;
        Ok(RecordArchive {
            node: self.0.node.clone(),
            first: plan.link.next_sequence,
            last: plan.last,
            before: plan.link.hash,
            head,
            first_time: plan.first_time,
            last_time: plan.last_time,
            file: name,
            bytes,
            digest,
            created_at: self.0.clock.unix_ms(),
            public_key: [0; 32],
            signature: Vec::new(),
        })
    }
}

/// The last record of a file that was made of the records from `first` on.
fn tried_before(folder: &Path, node: &str, first: u64) -> io::Result<Option<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let before = format!("{node}-{first:012}-");
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let last = name.strip_prefix(&before).filter(|_| name.ends_with(AFTER));
        if let Some(last) = last.and_then(|rest| rest.split('-').next()?.parse().ok()) {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// What the file says when it is read back.
struct Judged {
    head: [u8; 32],
    digest: [u8; 32],
    bytes: u64,
}

fn judge(
    path: &Path,
    (node, plan): (&str, Plan),
    (key, shown): ([u8; 32], Shown),
) -> io::Result<Result<Judged, Bad>> {
    let mut offline = Offline::new(vec![key], Vec::new(), shown);
    offline.goes_on_behind(node, plan.link);
    let each = |take: &mut dyn FnMut(&str) -> bool| -> io::Result<()> {
        let mut reader = packing::unpacked(File::open(path)?)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && take(line.trim_end()) {
            line.clear();
        }
        Ok(())
    };
    each(&mut |line| {
        offline.take_voucher(line);
        true
    })?;
    each(&mut |line| offline.take(line))?;
    let end = offline.end_of(node);
    if let Some(bad) = offline.finish().first_bad {
        return Ok(Err(bad));
    }
    let Some(end) = end.filter(|end| end.next_sequence == plan.last.saturating_add(1)) else {
        return Ok(Err(Bad::here(node, &plan.link, "its archive does not end where it should")));
    };
    let (mut hash, mut bytes) = (Sha256::new(b""), 0);
    let (mut file, mut buffer) = (File::open(path)?, vec![0; READ_BYTES]);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(some) = buffer.get(..read).filter(|some| !some.is_empty()) else {
            return Ok(Ok(Judged { head: end.hash, digest: hash.finish(), bytes }));
        };
        hash.update(some);
        bytes += some.len() as u64;
    }
}

/// A file that gets its name when it is whole, and goes if it never is.
struct Part {
    path: PathBuf,
    named: PathBuf,
    file: File,
}

impl Part {
    /// One of the same name was left by a process that died before its rows were removed: nothing
    /// points to it, and its records still stand in the database.
    fn begin(folder: &Path, name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let named = folder.join(name);
        let path = folder.join(format!("{name}{PART}"));
        remove(&path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, named, file })
    }

    fn add(mut self, piece: &str) -> io::Result<Self> {
        self.file.write_all(&Packing::Zstd.pack(piece.as_bytes())?)?;
        Ok(self)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn finish(self) -> io::Result<()> {
        fs::rename(&self.path, &self.named)?;
        match self.named.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Whole or not, the unfinished name has no use any more.
        let _gone = remove(&self.path);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
