//! The record of every request and change: seats in a mapped journal, one writer that chains what
//! they hold and stores it in blocks, and the way back (search, verification, recovery). Who may
//! read is decided elsewhere. Must never let a call go on without a seat, and never alter what was
//! written.
//!
//! `mapping` the files · `slot` the bytes of one record while it grows · `frame`, `view` written
//! and read · `lane`, `seat` the hot path · `block` chain and packing · `writer`, `recovery` into
//! the database · `query` and back, `marks` where to look · `checkpoint`, `cover` what is signed,
//! `push` carried out, `walk`, `verify` checked · `export`, `offline` for others · `archive` old
//! records into files, `archived` where the chain goes on behind them.

mod archive;
mod archived;
mod block;
mod checkpoint;
mod commit;
mod cover;
mod end;
mod export;
mod frame;
mod heed;
mod journal;
mod lane;
mod look;
mod mapping;
mod marks;
mod merkle;
mod offline;
mod open;
mod packing;
mod proof;
mod push;
mod query;
mod record;
mod recovery;
mod repeats;
mod rollup;
mod room;
mod routes;
mod seat;
mod served;
mod sink;
mod slot;
mod sums;
mod tail;
mod tally;
#[cfg(test)]
mod tests;
mod unarchived;
mod verify;
mod view;
mod walk;
mod writer;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use self::block::Link;
use self::commit::Committing;
use self::frame::{CLOSE_BYTES, STEP_BYTES};
use self::journal::Journal;
use self::lane::Shared;
use self::proof::Proof;
use self::sink::Sink;
use self::sums::Sums;
use self::writer::Writer;
use crate::clock::Clock;
use crate::crypto::sha256;
use crate::refusal::Reason;

pub(crate) use self::archive::Archiving;
pub(crate) use self::checkpoint::{hex, public_key_of, public_key_text};
pub(crate) use self::commit::Kept;
pub(crate) use self::export::{Export, Exported};
pub(crate) use self::lane::Lane;
pub(crate) use self::look::{examine, owner_of};
pub(crate) use self::offline::{FORM, Offline};
pub(crate) use self::open::{Error, Opening};
pub(crate) use self::packing::{Packing, unpacked, whole_pieces};
pub(crate) use self::push::{Post, read_lines};
pub(crate) use self::query::{Cursor, Filter};
pub(crate) use self::record::{ActorKind, ActorRef, Begin, Kind, Metered, StoredRecord};
pub(crate) use self::seat::{BytesIn, Record};
pub(crate) use self::tail::{Passed, Places, Tail};
pub(crate) use self::tally::{Counting, Meter};
pub(crate) use self::unarchived::Unarchived;
pub(crate) use self::verify::{Covered, verify_stored};

#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the journal: `{data_dir}/journal`.
    pub folder: PathBuf,
    /// How long records stay in the database; 0: for good.
    pub retention_days: u32,
    /// Where they go then.
    pub archives: PathBuf,
    /// Whether a record is on disk before its call is answered, or merely outlives the process.
    pub is_strict: bool,
    /// How much of the disk all segments together may take; beyond it calls are refused.
    pub budget_bytes: u64,
    /// Where checkpoints are pushed: a file, or a folder for one by the node's name.
    pub checkpoints: Option<PathBuf>,
}

/// No seat is free: the caller answers `audit_unavailable` and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A finished event of the admin face or of the house.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    pub(crate) actor: ActorRef<'a>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) method: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) status: u16,
    pub(crate) reason: Option<Reason>,
    pub(crate) request_id: &'a str,
    /// Before and after, or what was found; never a secret.
    pub(crate) detail: Option<serde_json::Value>,
}

/// A change that is in the journal before it is made. Dropped undone, it is recorded as broken off.
#[must_use]
pub(crate) struct Change {
    record: Record,
    request_id: String,
}

/// The ledger as everybody but a worker sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    node: String,
    clock: Clock,
    /// What the start found that must not be forgotten.
    found: Vec<String>,
    sink: Sink,
    journal: Journal,
    proof: Proof,
    /// The workers' lanes and, last, the house's own.
    lanes: Vec<Arc<Shared>>,
    house: Mutex<Lane>,
    /// Refusals that are being summed up, a lane each.
    sums: Vec<Arc<Mutex<Sums>>>,
    /// The end of the chain as this node stored it.
    head: Mutex<Link>,
    _committing: Option<Committing>,
    /// Why records wait; None while they do not.
    degraded: Mutex<Option<String>>,
    writer: Mutex<Option<Box<Writer>>>,
    stopping: AtomicBool,
    /// Somebody wants all that is stored to be signed now.
    sign_asked: AtomicBool,
    wake: Notify,
    /// The house's own lane, whose segments are small, was found more than half full.
    crowded: Notify,
    /// The end of this node's chain as it was stored last: wakes whoever follows the trail.
    stored: watch::Sender<u64>,
    /// Numbers of the flushes that were asked for, and of the last one that the writer went
    /// through.
    asked: AtomicU64,
    served: watch::Sender<Served>,
}

/// Goes with the writer, however it goes: nobody waits for it any longer, and a writer that was
/// lost is seen.
struct Ended(Arc<Inner>);

#[derive(Clone, Copy, Default)]
struct Served {
    number: u64,
    all_stored: bool,
}

impl Ledger {
    /// The one writer: moves records from the journal into the database until `stop`, then stores
    /// the rest and ends. Only the first call gets a writer that does anything.
    pub(crate) fn writer(&self) -> impl Future<Output = ()> + Send + 'static {
        let writer = lock(&self.0.writer).take();
        let inner = Arc::clone(&self.0);
        async move {
            let Some(writer) = writer else {
                tracing::error!("The ledger's writer was asked for twice.");
                return;
            };
            let _ended = Ended(Arc::clone(&inner));
            writer.run(inner).await;
        }
    }

    /// Lets the writer end once everything closed is stored.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    /// Waits until all that was closed before this call is in the database, so that whoever reads
    /// the trail finds what just happened. False if the database did not take it.
    pub(crate) async fn flush(&self) -> bool {
        let mut served = self.0.served.subscribe();
        let number = self.0.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.wake.notify_one();
        match served.wait_for(|served| served.number >= number).await {
            Ok(served) => served.all_stored,
            Err(_) => false,
        }
    }

    /// Whether everything that was written until now is on disk; None where nobody waits for that.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.0.journal.commit.as_ref().map(|commit| commit.ask())
    }

    /// Writes an event down at once. From any thread.
    pub(crate) fn append(&self, entry: &Entry<'_>) -> Result<(), Full> {
        self.0.append(entry)
    }

    /// A call that the house itself is about to make; it is in the journal before it leaves.
    pub(crate) fn begin_call(&self, begin: &Begin<'_>) -> Result<Record, Full> {
        self.0.open(begin)
    }

    /// Writes down that a change is about to be made, and what is known of it.
    pub(crate) fn begin_change(
        &self,
        begin: &Begin<'_>,
        intent: Option<&serde_json::Value>,
    ) -> Result<Change, Full> {
        let mut record = self.0.open(begin)?;
        if let Some(intent) = intent {
            let most = record.bytes_left() / 2;
            record.put_detail(intent, most);
        }
        Ok(Change { record, request_id: begin.request_id.to_owned() })
    }

    /// A no that was said before anything was written: a record, or one of many in a record.
    pub(crate) fn refused(&self, reason: Reason, begin: &Begin<'_>) {
        lock(&self.0.house).refused(reason, begin);
    }

    /// What the house itself has found goes into the trail and the log.
    pub(crate) fn found(&self, detail: serde_json::Value) {
        self.0.append_finding(detail);
    }

    /// The same for what is as it should be: a backup was made, a house waits for its passphrase.
    pub(crate) fn noted(&self, detail: serde_json::Value) {
        tracing::info!(%detail, "Written into the trail.");
        self.0.append_noted(detail);
    }

    /// What the start found amiss, to be kept until somebody has looked.
    pub(crate) fn found_at_start(&self) -> &[String] {
        &self.0.found
    }

    /// Why records wait in the journal; None while they reach the database.
    pub(crate) fn degraded(&self) -> Option<String> {
        lock(&self.0.degraded).clone()
    }

    /// Refusals that stand in the trail as counts.
    pub(crate) fn refusals_summed(&self) -> u64 {
        self.0.sums.iter().map(|sums| lock(sums).total()).sum()
    }

    /// Slots taken and slots made, of all lanes.
    pub(crate) fn fill(&self) -> (u64, u64) {
        let lanes = &self.0.lanes;
        (lanes.iter().map(|l| l.in_use()).sum(), lanes.iter().map(|l| l.slots()).sum())
    }
}

impl Inner {
    fn open(&self, begin: &Begin<'_>) -> Result<Record, Full> {
        let seat = lock(&self.house).seat_or_call_for(&self.crowded);
        seat.map(|seat| seat.open(begin)).ok_or(Full)
    }

    fn append(&self, entry: &Entry<'_>) -> Result<(), Full> {
        let mut record = self.open(&Begin {
            kind: entry.kind,
            actor: entry.actor,
            address: entry.address,
            provider: "",
            method: entry.method,
            path: entry.endpoint,
            request_id: entry.request_id,
        })?;
        if let Some(detail) = &entry.detail {
            record.put_detail(detail, usize::MAX);
        }
        record.answered(entry.status, entry.request_id, entry.reason);
        record.complete();
        Ok(())
    }

    /// Sums whose window is over become records; all of them when the house stops.
    fn settle_sums(&self, now_ns: u64, stopping: bool) {
        for sums in &self.sums {
            if !stopping && !lock(sums).is_due(now_ns) {
                continue;
            }
            // In this order, as whoever is refused on the house's own lane takes the two.
            let house = lock(&self.house);
            let mut sums = lock(sums);
            sums.settle(|| if stopping { house.seat() } else { house.spare_seat() });
        }
    }

    /// What the house itself has found. With no room left it stands in the log alone.
    fn append_finding(&self, detail: serde_json::Value) {
        tracing::error!(%detail, "The house is not as it was left.");
        self.append_noted(detail);
    }

    fn append_noted(&self, detail: serde_json::Value) {
        let finding = Entry {
            kind: Kind::Security,
            actor: ActorRef::house("ledger"),
            address: None,
            method: "",
            endpoint: "",
            status: 0,
            reason: None,
            request_id: "",
            detail: Some(detail),
        };
        if self.append(&finding).is_err() {
            tracing::error!("The journal has no room for this finding.");
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.0.stopping.load(Ordering::Acquire) {
            let lost = "The ledger's writer ended. Restart Sealgate; its log has the cause.";
            *lock(&self.0.degraded) = Some(lost.to_owned());
        }
        self.0.served.send_replace(Served { number: u64::MAX, all_stored: false });
    }
}

impl Change {
    /// What became of it.
    pub(crate) fn done(mut self, status: u16, detail: Option<&serde_json::Value>) {
        if let Some(detail) = detail {
            self.record.put_detail(detail, usize::MAX);
        }
        self.record.answered(status, &self.request_id, None);
        self.record.complete();
    }

    /// It was refused after all.
    pub(crate) fn refused(mut self, reason: Reason) {
        self.record.answered(reason.status(), &self.request_id, Some(reason));
        self.record.complete();
    }
}

impl Record {
    /// What does not fit is named by length and digest instead, so that it can be recognised.
    fn put_detail(&mut self, detail: &serde_json::Value, most_bytes: usize) {
        let reserve = STEP_BYTES + CLOSE_BYTES;
        let json = detail.to_string();
        let fits = json.len() + 16 <= most_bytes;
        if fits && self.detail(json.as_bytes(), reserve) {
            return;
        }
        let digest = sha256(json.as_bytes()).map(|byte| format!("{byte:02x}")).concat();
        let short = serde_json::json!({"cut": true, "bytes": json.len(), "sha256": digest});
        self.detail(short.to_string().as_bytes(), reserve);
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "The journal has no room for another record, because the database takes none or the \
             disk is full. See the log; it goes on by itself once there is room.",
        )
    }
}

impl std::error::Error for Full {}

/// Nothing behind these locks is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
