//! Windows that several nodes share through Redis: one script counts a call on all of them or on
//! none. While Redis is away each node spends its share of what was left, and tells it afterwards.
//! Must never let a call wait for a Redis that does not answer longer than once, refuse one without
//! asking while Redis answers, nor let the nodes together pass a quota.

mod accord;
mod alone;
mod asking;
mod bucket;
mod diary;
mod fault;
mod judging;
mod keeper;
mod learning;
mod lease;
mod link;
mod look;
mod mirror;
mod owner;
mod pace;
mod parting;
mod span;
mod standing;
mod tally;
mod telling;
#[cfg(test)]
mod tests;
mod time;
mod turns;
mod unheard;
mod wait;

/// What the tests put loom in the place of.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

pub(super) use self::accord::{Plea, Word, found, knows};
pub(super) use self::bucket::Bucket;
use self::bucket::Span;
use self::diary::Diary;
pub(crate) use self::fault::Why;
pub(super) use self::link::Link;
use self::link::Scripts;
pub(crate) use self::link::is_url;
pub(crate) use self::look::look_at;
use self::mirror::{Held, Mirror, Mirrors};
pub(super) use self::mirror::{Seen, Verdict};
pub(super) use self::parting::Kept;
use self::parting::Parting;
pub(super) use self::standing::Standing;
pub(super) use self::tally::Tally;
use self::time::Time;
use self::turns::Turns;
use self::unheard::{Sent, Unheard};
pub(super) use self::wait::now_ns as hand_ns;
use crate::clock::Clock;
use crate::crypto;
use crate::quota::Period;
use crate::secret::SecretBytes;
use crate::telemetry::Metrics;

/// A process that was there so short a time ago knows what its successor may count on.
const RECALLED_WITHIN_MS: i64 = 30_000;
/// In the data folder.
const DIARY: &str = "limits.alone";
#[derive(Clone)]
pub(crate) struct Settings {
    /// May hold a password.
    pub(crate) url: Arc<SecretBytes>,
    /// Whom to trust at a `rediss://` address; None: whom the system trusts.
    pub(crate) ca_file: Option<std::path::PathBuf>,
    /// How long a call waits for an answer before this node judges alone.
    pub(crate) timeout: Duration,
    /// That share a quota while Redis is away; 0: as many as Redis has seen.
    pub(crate) nodes: u64,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Settings");
        shown.field("timeout", &self.timeout).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// What becomes of the sharing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tidings {
    Away(Why),
    Back,
    /// Somebody else wrote this key. It was thrown away, and what it held is told anew.
    Healed {
        key: String,
    },
    /// What this node let in by itself stood in a file that was lost, or is damaged.
    Lost,
}

pub(crate) type Bell = Box<dyn Fn(Tidings) + Send + Sync>;

/// What the sharing is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) installation: uuid::Uuid,
    pub(crate) node: String,
    /// Of this node alone.
    pub(crate) data_dir: std::path::PathBuf,
    pub(crate) bell: Bell,
}

pub(super) struct Shared {
    settings: Settings,
    metrics: Metrics,
    bell: Bell,
    node: String,
    /// Of this node, another one after each start.
    process: String,
    /// Of all keys: one hash tag, as one script names several of them.
    prefix: String,
    scripts: Scripts,
    /// None while Redis is away.
    link: ArcSwapOption<Link>,
    /// The id of the one that learns or has learnt what was counted.
    newest_link: AtomicU64,
    /// The link ended a moment ago, and the next may be there at once.
    is_between: watch::Sender<bool>,
    /// The keeper has something to do now.
    ended: Notify,
    last_fault: Mutex<Option<Why>>,
    /// The bell was rung for it.
    is_said_away: AtomicBool,
    /// When the bell was last rung for a key that was healed; 0: never.
    said_healed_at_ms: AtomicU64,
    mirrors: Mirrors,
    diary: Diary,
    /// Since when a former process was alone.
    recalled_ms: Option<i64>,
    /// Those that have something to tell.
    news: Mutex<Vec<Arc<Mirror>>>,
    /// Calls that nobody waits for any more, and Redis may have counted.
    unheard: Mutex<Vec<Unheard>>,
    /// Those that hold a lease.
    leased: Mutex<Vec<Arc<Mirror>>>,
    time: Time,
    turns: Arc<Turns>,
    nodes: AtomicU64,
    names: Mutex<Vec<String>>,
    /// Nodes whose share is kept though they are not here.
    kept: Mutex<Vec<Kept>>,
    parting: Parting,
    /// Of what Redis remembers; another one where it has lost its memory.
    era: Mutex<String>,
    /// Redis was told what this node let in by itself.
    is_settled: AtomicBool,
    /// This node has just come: nothing is let in yet.
    is_held: watch::Sender<bool>,
    /// For whoever tells the other nodes.
    stirred: Notify,
    /// Of which more is known than Redis was told.
    behind: Mutex<Vec<Arc<Mirror>>>,
    lost: Lost,
}

/// What is missing of the file in which a former process noted what it let in by itself.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    is_missing: bool,
    is_damaged: bool,
    /// When it began, if that can be read; 0: it cannot.
    since_ms: i64,
}

/// Why there is no verdict yet.
enum Snag {
    Again,
    Broken(Why),
    /// There is room, but it is kept for a node that may be away.
    Kept(Verdict),
    /// Somebody asks for a lease of this one, which is that of that bucket.
    Leased(usize, Arc<Mirror>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Look,
    Count,
    /// Without waiting for a lease that somebody else asks for.
    CountNow,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { settings, clock, metrics, installation, node, data_dir, bell } = parts;
        metrics.limits().are_shared(Why::ALL.iter().map(|why| why.label()));
        let (diary, found) = Diary::open(data_dir.join(DIARY));
        let mut shared = Self {
            nodes: AtomicU64::new(settings.nodes.max(1)),
            turns: Arc::new(Turns::new(settings.timeout)),
            settings,
            time: Time::new(clock),
            metrics,
            bell,
            node,
            process: process(),
            prefix: prefix(installation),
            scripts: Scripts::default(),
            link: ArcSwapOption::empty(),
            newest_link: AtomicU64::new(0),
            is_between: watch::Sender::new(false),
            ended: Notify::new(),
            last_fault: Mutex::new(None),
            is_said_away: AtomicBool::new(false),
            said_healed_at_ms: AtomicU64::new(0),
            mirrors: Mirrors::default(),
            diary,
            recalled_ms: None,
            news: Mutex::default(),
            unheard: Mutex::default(),
            leased: Mutex::default(),
            names: Mutex::default(),
            kept: Mutex::default(),
            parting: Parting::default(),
            era: Mutex::default(),
            is_settled: AtomicBool::new(false),
            is_held: watch::Sender::new(false),
            stirred: Notify::new(),
            behind: Mutex::default(),
            lost: Lost {
                is_missing: found.began.is_none() && !found.is_ended,
                is_damaged: found.is_damaged,
                since_ms: found.began.map_or(0, |began| began.unix_ms),
            },
        };
        // Later than this Redis may have been back meanwhile, and the others with it: then what
        // the database knows of them counts, and not what was known here.
        let now_ms = shared.time.clock.unix_ms();
        let is_fresh = (now_ms - found.last_ms).abs() <= RECALLED_WITHIN_MS;
        let is_whole = is_fresh && found.is_noted && !found.is_damaged;
        shared.recalled_ms = found.began.filter(|_| is_whole).map(|began| began.unix_ms);
        shared.recall(&found);
        Arc::new(shared)
    }

    /// Counts a call in all of these, or in none.
    pub(super) async fn admit(self: &Arc<Self>, buckets: &[Bucket]) -> Verdict {
        self.judge(buckets, How::Count).await
    }

    /// What is used, with nothing counted. One to each bucket.
    pub(super) async fn look(self: &Arc<Self>, buckets: &[Bucket]) -> Vec<Seen> {
        match self.judge(buckets, How::Look).await {
            Verdict::Counted(seen) => seen,
            Verdict::Over(_, seen) => vec![seen; buckets.len()],
        }
    }

    /// The part of a window in which calls of so long ago are counted.
    pub(super) fn part_ago(&self, bucket: &Bucket, age_us: u64) -> u64 {
        bucket.span.part(self.time.now_us().saturating_sub(age_us))
    }

    /// Calls of before this node was started. Whichever node asks first tells them to a Redis that
    /// does not know the window.
    #[cfg(test)]
    fn remember(&self, bucket: &Bucket, age_us: u64, calls: u64) {
        let mut tally = Tally::default();
        tally.add(self.part_ago(bucket, age_us), calls);
        self.learn_database(bucket, &tally);
    }

    /// What was used of a month, as the database knows it. True where that is more than is known
    /// here: then Redis has to be told.
    pub(super) fn remember_month(&self, bucket: &Bucket, calls: u64) -> bool {
        let mirror = self.mirrors.of(bucket);
        let mut held = mirror.held();
        let part = bucket.span.part(0);
        (held.span, held.looked_up) = (bucket.span, part);
        held.forget(0);
        let before = held.known.used();
        // What this node let in by itself stands by itself.
        let of_all = calls.saturating_sub(held.alone.used());
        held.known.at_least(part, of_all);
        held.version = held.version.max(1);
        let is_more = held.known.used() > before;
        if is_more {
            drop(held);
            lock(&self.behind).push(mirror);
        }
        is_more
    }

    /// It was looked up what the database knows of this month.
    pub(super) fn has_looked_up(&self, bucket: &Bucket) -> bool {
        let mirror = self.mirrors.find(&bucket.name);
        mirror.is_some_and(|mirror| mirror.held().looked_up == bucket.span.part(0))
    }

    /// Where the database does not answer: Redis has told of this month, or of one before it, and
    /// nobody has used any of a month before it begins.
    pub(super) fn follows(&self, bucket: &Bucket) -> bool {
        self.mirrors.find(&bucket.name).is_some_and(|mirror| {
            let held = mirror.held();
            held.version > 0 && held.span.part(0) <= bucket.span.part(0)
        })
    }

    /// The month of this client key that is known here.
    pub(super) fn month_of(&self, client: uuid::Uuid) -> Option<Period> {
        match self.mirrors.find(&Bucket::name_of_month(client))?.held().span {
            Span::Month(period) => Some(period),
            Span::Window { .. } => None,
        }
    }

    /// None while Redis counts.
    pub(super) fn fault(&self) -> Option<Why> {
        match self.link.load().is_some() {
            true => None,
            false => Some(lock(&self.last_fault).unwrap_or(Why::Unreachable)),
        }
    }

    /// How many nodes there were, as far as anybody remembers.
    pub(super) fn suppose_nodes(&self, nodes: u64) {
        self.nodes.fetch_max(nodes, Ordering::AcqRel);
    }

    pub(super) fn sweep(&self) {
        self.mirrors.sweep(self.time.now_us(), self.time.clock.unix_ms());
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Of all keys of an installation.
fn prefix(installation: uuid::Uuid) -> String {
    format!("sealgate:{{{}}}:", installation.simple())
}

/// Without randomness it is at least another one than before.
fn process() -> String {
    let number = crypto::random_bytes::<8>().map(u64::from_le_bytes);
    format!("{:016x}", number.unwrap_or_else(|_| std::process::id().into()))
}

/// Nothing behind these locks is left half-changed by a panic.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
