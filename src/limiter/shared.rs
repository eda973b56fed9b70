//! Windows that several nodes share through Redis: one script counts a call on all of them or on
//! none. While Redis is away each node spends its share of what was left, and tells it afterwards.
//! Must never let a call wait for a Redis that does not answer longer than once, refuse one without
//! asking while Redis answers, nor let the nodes together pass a quota.

mod alone;
mod asking;
mod bucket;
mod diary;
mod fault;
mod keeper;
mod learning;
mod link;
mod look;
mod mirror;
mod tally;
#[cfg(test)]
mod tests;
mod time;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

pub(super) use self::bucket::Bucket;
use self::bucket::Span;
use self::diary::Diary;
pub(crate) use self::fault::Why;
pub(crate) use self::link::is_url;
use self::link::{Link, Scripts};
pub(crate) use self::look::look_at;
use self::mirror::{Held, Mirror, Mirrors};
pub(super) use self::mirror::{Seen, Verdict};
use self::time::Time;
use crate::clock::Clock;
use crate::secret::SecretBytes;
use crate::telemetry::Metrics;

/// A process that was there so short a time ago knows what its successor may count on.
const RECALLED_WITHIN_MS: i64 = 30_000;
/// In the data folder.
const DIARY: &str = "limits.alone";
/// Answers that ask to be asked again: more of them than this make no sense.
const MOST_ROUNDS: usize = 5;
/// Room that is kept for a node which may be away is free soon, where that node is back already.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);
const MOST_KEPT_ROUNDS: usize = 8;
const MOST_LEASE_ROUNDS: usize = 20;

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
    /// Those that hold a lease.
    leased: Mutex<Vec<Arc<Mirror>>>,
    time: Time,
    nodes: AtomicU64,
    names: Mutex<Vec<String>>,
}

/// Why there is no verdict yet.
enum Snag {
    Again,
    Broken(Why),
    /// There is room, but it is kept for a node that may be away.
    Kept(Verdict),
    /// Somebody asks for a lease of this one.
    Leased(Arc<Mirror>),
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
            settings,
            time: Time::new(clock),
            metrics,
            bell,
            node,
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
            leased: Mutex::default(),
            names: Mutex::default(),
        };
        // Later than this Redis may have been back meanwhile, and the others with it: then what
        // the database knows of them counts, and not what was known here.
        let now_ms = shared.time.clock.unix_ms();
        let is_fresh = (now_ms - found.last_ms).abs() <= RECALLED_WITHIN_MS;
        shared.recalled_ms = found.began.filter(|_| is_fresh).map(|began| began.unix_ms);
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

    /// Calls of before this node was started, as the database knows them. Whichever node asks first
    /// tells them to a Redis that does not know the window.
    pub(super) fn remember(&self, bucket: &Bucket, age_us: u64, calls: u64) {
        let now_us = self.time.now_us();
        let mirror = self.mirrors.of(bucket);
        let part = bucket.span.part(now_us.saturating_sub(age_us));
        let mut held = mirror.held();
        held.known.add(part, calls);
        held.version = held.version.max(1);
    }

    /// What was used of a month, as the database knows it.
    pub(super) fn remember_month(&self, bucket: &Bucket, calls: u64) {
        let mirror = self.mirrors.of(bucket);
        let mut held = mirror.held();
        let part = bucket.span.part(0);
        if held.span != bucket.span {
            (held.span, held.version) = (bucket.span, 0);
            held.forget(0);
        }
        // What this node let in by itself stands by itself.
        let of_all = calls.saturating_sub(held.alone.used());
        held.known.at_least(part, of_all);
        held.version = held.version.max(1);
    }

    pub(super) fn knows(&self, bucket: &Bucket) -> bool {
        self.mirrors.find(&bucket.name).is_some_and(|mirror| {
            let held = mirror.held();
            held.span == bucket.span && held.version > 0
        })
    }

    /// How many nodes there were, as far as anybody remembers.
    pub(super) fn suppose_nodes(&self, nodes: u64) {
        self.nodes.fetch_max(nodes, Ordering::AcqRel);
    }

    pub(super) fn sweep(&self) {
        self.mirrors.sweep(self.time.now_us());
    }

    async fn judge(self: &Arc<Self>, buckets: &[Bucket], mut how: How) -> Verdict {
        if buckets.is_empty() {
            return Verdict::Counted(Vec::new());
        }
        let (mut rounds, mut kept_rounds, mut lease_rounds) = (0, 0, 0);
        loop {
            let mirrors: Vec<_> = buckets.iter().map(|bucket| self.mirrors.of(bucket)).collect();
            let Some(link) = self.link().await else {
                match self.alone(buckets, &mirrors, how != How::Look) {
                    Some(verdict) => return verdict,
                    None => continue,
                }
            };
            rounds += 1;
            match self.ask(&link, buckets, &mirrors, how).await {
                Ok(verdict) => return verdict,
                Err(Snag::Again) if rounds < MOST_ROUNDS => {}
                Err(Snag::Kept(verdict)) if kept_rounds == MOST_KEPT_ROUNDS => return verdict,
                Err(Snag::Kept(_)) => {
                    (rounds, kept_rounds) = (0, kept_rounds + 1);
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                Err(Snag::Leased(mirror)) => {
                    (rounds, lease_rounds) = (0, lease_rounds + 1);
                    if lease_rounds == MOST_LEASE_ROUNDS {
                        how = How::CountNow;
                    }
                    let answered = mirror.leased.notified();
                    let _late = tokio::time::timeout(ASK_AGAIN_AFTER, answered).await;
                }
                Err(Snag::Again) => self.end(&link, Why::Odd),
                Err(Snag::Broken(why)) => self.end(&link, why),
            }
        }
    }

    /// The link to Redis. Where it ended a moment ago, the next one is waited for.
    async fn link(&self) -> Option<Arc<Link>> {
        let link = self.link.load_full();
        if link.is_some() || !*self.is_between.borrow() {
            return link;
        }
        let mut between = self.is_between.subscribe();
        let settled = between.wait_for(|is_between| !is_between);
        let _late = tokio::time::timeout(self.between(), settled).await;
        self.link.load_full()
    }

    /// How long a new link may take, where Redis ended the last one. One that is not there says so
    /// at once.
    fn between(&self) -> Duration {
        self.settings.timeout * 4
    }

    /// Nobody asks through this link any more.
    fn end(&self, link: &Link, why: Why) {
        let held = self.link.load();
        let is_it = held.as_ref().is_some_and(|held| held.id == link.id);
        if !is_it {
            return;
        }
        let former = self.link.compare_and_swap(&*held, None);
        if former.as_ref().is_none_or(|former| former.id != link.id) {
            return;
        }
        *lock(&self.last_fault) = Some(why);
        // A connection that ended may be made anew at once; one that is slow may not.
        if matches!(why, Why::Unreachable | Why::Forgot) {
            self.is_between.send_replace(true);
        }
        self.metrics.limits().away(why.label());
        self.ended.notify_one();
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Of all keys of an installation.
fn prefix(installation: uuid::Uuid) -> String {
    format!("sealgate:{{{}}}:", installation.simple())
}

/// Nothing behind these locks is left half-changed by a panic.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
