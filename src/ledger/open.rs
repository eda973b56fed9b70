//! Opening the ledger: the folder, what an earlier process left in it, and
//! fresh lanes. Must never remove a segment before everything in it is in the
//! database.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::journal::Journal;
use super::lane::Lane;
use super::proof::Proof;
use super::push::Post;
use super::sink::Sink;
use super::tally::{Counting, Meter};
use super::writer::Writer;
use super::{Inner, Ledger, Served, Settings, recovery};
use crate::clock::Clock;
use crate::crypto;
use crate::store::{self, Store};

/// What a ledger is made of.
pub(crate) struct Opening {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) installation: Uuid,
    /// Names this node's own chain.
    pub(crate) node: String,
    pub(crate) workers: usize,
    pub(crate) meter: Meter,
    pub(crate) counting: Counting,
    /// The webhook to which checkpoints are pushed.
    pub(crate) post: Option<Post>,
}

/// Why there is no ledger.
#[derive(Debug)]
pub(crate) enum Error {
    Folder { folder: PathBuf, error: io::Error },
    Budget { budget_bytes: u64, workers: u32 },
    Key { path: PathBuf, error: io::Error },
    Unreadable { path: PathBuf },
    Foreign { path: PathBuf },
    NoRandomness,
    Store(store::Error),
}

impl Ledger {
    /// Stores what an earlier process left in the journal, then makes fresh lanes: one for each
    /// worker, in order.
    pub(crate) async fn open(opening: Opening) -> Result<(Self, Vec<Lane>), Error> {
        let Opening { settings, store, clock, installation, node, workers, .. } = opening;
        let (meter, counting) = (opening.meter, opening.counting);
        let sink = Sink::new(store);
        let journal = Journal::new(&settings, installation, &node, workers)?;
        let recovered = recovery::run(&journal, &sink, &clock, (&node, &counting)).await?;
        let proof = Proof::open(&settings, &journal, (&node, opening.post))?;
        let (cover, doubts) = proof.resume(sink.store(), (&node, recovered.link), &clock).await?;

        let shared = journal.lanes(&clock)?;
        let committing = journal.commit.as_ref().map(|commit| commit.begin(shared.clone()));
        let committing = committing.transpose();
        let committing =
            committing.map_err(|error| Error::Folder { folder: settings.folder.clone(), error })?;
        let mut lanes = Vec::with_capacity(shared.len());
        for lane in &shared {
            let random = crypto::random_bytes().map_err(|_| Error::NoRandomness)?;
            lanes.push(Lane::new(Arc::clone(lane), u64::from_le_bytes(random)));
        }
        let sums = lanes.iter().map(Lane::sums).collect();
        let house = lanes.pop().ok_or(Error::Budget { budget_bytes: 0, workers: 0 })?;
        let chain = (node.as_str(), recovered.link, cover);
        let writer = Writer::new(chain, &recovered.batch, (meter, counting));
        let of_sentences = recovered.findings.iter().filter(|finding| finding["alert"].is_string());
        let found = of_sentences.filter_map(|finding| finding["finding"].as_str());
        let found = found.filter(|sentence| sentence.contains(' ')).map(str::to_owned).collect();
        let inner = Inner {
            node,
            clock,
            found,
            sink,
            journal,
            proof,
            lanes: shared,
            house: Mutex::new(house),
            sums,
            head: Mutex::new(recovered.link),
            _committing: committing,
            degraded: Mutex::new(None),
            writer: Mutex::new(Some(Box::new(writer))),
            stopping: AtomicBool::new(false),
            sign_asked: AtomicBool::new(false),
            wake: Notify::new(),
            crowded: Notify::new(),
            stored: watch::Sender::new(recovered.link.next_sequence),
            asked: AtomicU64::new(0),
            served: watch::Sender::new(Served::default()),
        };
        for finding in recovered.findings.into_iter().chain(doubts) {
            inner.append_finding(finding);
        }
        Ok((Self(Arc::new(inner)), lanes))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { folder, error } => write!(
                f,
                "The journal in {} cannot be used: {error}. Make the folder writable for this user \
                 and leave room on its disk.",
                folder.display()
            ),
            Self::Budget { budget_bytes, workers } => write!(
                f,
                "The journal's budget of {budget_bytes} bytes is too small for {workers} workers. \
                 Raise it, or take fewer workers."
            ),
            Self::Key { path, error } => write!(
                f,
                "The key in {} that signs the trail cannot be used: {error}. Make it readable for \
                 this user, or bring it back from a copy.",
                path.display()
            ),
            Self::Unreadable { path } => write!(
                f,
                "{} is not a journal of this program: another version wrote it, or it is damaged. \
                 Start the version that wrote it once, so that it stores its records, or move the \
                 file away and keep it as evidence.",
                path.display()
            ),
            Self::Foreign { path } => write!(
                f,
                "{} was written by another installation or node. Use that one's database and node \
                 name, or another data folder.",
                path.display()
            ),
            Self::NoRandomness => f.write_str(
                "The operating system gave no random bytes. Check the machine and start again.",
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
