//! Calls whose answers nobody heard: the connection ended, Redis was too slow, or the caller hung
//! up. Redis has noted each under its number, so it can be told what nobody waits for any more.
//! Must never take back a call that was let in, nor leave one counted that was not.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redis::Cmd;

use super::bucket::Bucket;
use super::fault::Why;
use super::keeper::PATIENCE;
use super::link::{Link, Reply};
use super::mirror::Seen;
use super::turns::Patience;
use super::{Shared, lock};

/// So many answers are said to be heard with one call: now and then, and not with each.
const HEARD_AT_LEAST: usize = 8;
const HEARD_AT_ONCE: usize = 16;
const UNHEARD_AT_ONCE: usize = 500;

/// The numbers of one link's calls.
pub(super) struct Asked {
    /// The key in Redis, without what all have in common.
    name: Arc<str>,
    next: AtomicU64,
    /// Counted, and Redis need not remember it any more.
    heard: Mutex<Vec<u64>>,
}

/// A call that Redis may have counted, or may count yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unheard {
    link: Arc<str>,
    number: u64,
    until_us: u64,
}

/// What a call has asked so far and heard no answer to. It says so itself when it asks again; what
/// is left of it when it ends is told by the keeper.
pub(super) struct Sent<'a> {
    shared: &'a Shared,
    unheard: Vec<Unheard>,
}

impl Asked {
    pub(super) fn new(name: String) -> Self {
        Self { name: name.into(), next: AtomicU64::new(1), heard: Mutex::default() }
    }

    /// The link and the number of a call; 0: it only looks.
    pub(super) fn name_call(&self, command: &mut Cmd, counts: bool) -> u64 {
        let number = if counts { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
        command.arg(&*self.name).arg(number);
        number
    }

    fn take_heard(&self) -> Vec<u64> {
        let mut heard = lock(&self.heard);
        if heard.len() < HEARD_AT_LEAST {
            return Vec::new();
        }
        let from = heard.len().saturating_sub(HEARD_AT_ONCE);
        heard.split_off(from)
    }
}

impl<'a> Sent<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, unheard: Vec::new() }
    }

    /// What the script is told of calls before this one.
    pub(super) fn say_former(&self, link: &Link, command: &mut Cmd) {
        let heard = link.asked.take_heard();
        command.arg(heard.len()).arg(heard);
        self.unheard.iter().for_each(|one| one.say(command));
    }

    /// From here on Redis may count it, whether its answer is heard or not.
    pub(super) async fn count(
        &mut self,
        link: &Link,
        (call, patience): (&Cmd, &Patience),
        (number, until_us): (u64, u64),
    ) -> Result<Reply, Why> {
        self.unheard.push(Unheard { link: Arc::clone(&link.asked.name), number, until_us });
        link.count(call, patience).await
    }

    /// What was said to the call that went last: whether it was counted, and whether the script
    /// came as far as those before it. One that came too late was not heard.
    pub(super) fn came(&mut self, link: &Link, reply: &Reply, is_late: bool) {
        match reply {
            Reply::Counted { .. } if is_late => {}
            Reply::Counted { .. } => {
                if let Some(last) = self.unheard.last() {
                    lock(&link.asked.heard).push(last.number);
                }
                self.unheard.clear();
            }
            Reply::Over { .. } | Reply::Behind { .. } => self.unheard.clear(),
            Reply::Late { .. } | Reply::Forgotten => {
                self.unheard.pop();
            }
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.unheard.is_empty() {
            lock(&self.shared.unheard).append(&mut self.unheard);
        }
    }
}

impl Unheard {
    fn say(&self, command: &mut Cmd) {
        command.arg(&*self.link).arg(self.number).arg(self.until_us);
    }
}

impl Shared {
    /// Calls that were counted, and are not made after all. One part to each bucket.
    pub(in super::super) fn take_back(&self, buckets: &[Bucket], seen: &[Seen]) {
        for (bucket, seen) in buckets.iter().zip(seen) {
            let mirror = self.mirrors.of(bucket);
            let mut held = mirror.held();
            if let Some(cell) = held.take_back(seen.at) {
                self.diary.told(&mirror, &held, &[cell]);
            }
            if held.has_news() && !held.is_listed {
                held.is_listed = true;
                lock(&self.news).push(Arc::clone(&mirror));
            }
        }
    }

    /// Nobody waits for these. What could not be told stays to be told.
    pub(super) async fn tell_unheard(&self, link: &Link) -> Result<(), Why> {
        loop {
            let some: Vec<Unheard> =
                lock(&self.unheard).iter().take(UNHEARD_AT_ONCE).cloned().collect();
            if some.is_empty() {
                return Ok(());
            }
            let mut call = self.scripts.unheard(self.key("state"));
            some.iter().for_each(|one| one.say(&mut call));
            let said: Vec<i64> = link.ask(&call, PATIENCE).await?;
            match Reply::read(&said) {
                Some(Reply::Counted { .. }) => {}
                Some(Reply::Forgotten) => return Err(Why::Forgot),
                Some(_) | None => return Err(Why::Odd),
            }
            let told: HashSet<Unheard> = some.into_iter().collect();
            lock(&self.unheard).retain(|one| !told.contains(one));
        }
    }
}
