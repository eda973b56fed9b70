//! What this node learns of the others: all windows when it connects, each change after it, and
//! which keys somebody else had written over.
//! Must never take what cannot be read for a reason to believe nothing at all.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::alone::month;
use super::bucket::{DAY_MS, OF_MONTHS};
use super::fault::Why;
use super::keeper::PATIENCE;
use super::link::{self, Link, Told};
use super::tally::{Cell, Tally};
use super::{Shared, Span, Tidings};

/// A message of the feed: Redis begins anew, and wants to know who is there.
const SAY_ALL: &str = "!";
/// Another one: a key was thrown away, by name.
const HEALED: &str = "?";
const SAY_HEALED_EVERY_MS: u64 = 60_000;
const WINDOWS_AT_ONCE: usize = 500;
const LONGEST_NAME: usize = 200;
/// More than any count; the scripts have the same.
const MOST: u64 = 1 << 52;
/// The nodes' times differ by less, and so does a time that was put right.
const TOLERANCE_US: u64 = 10_000_000;

impl Shared {
    /// What all nodes have counted until now; from here on the feed says it.
    pub(super) async fn learn(&self, link: &Link) -> Result<(), Why> {
        let mut all = redis::cmd("ZRANGE");
        all.arg(self.key("active")).arg(0).arg(-1);
        let names: Vec<String> = link.ask(&all, PATIENCE).await?;
        for names in names.chunks(WINDOWS_AT_ONCE) {
            let mut pipe = redis::pipe();
            for name in names {
                pipe.cmd("HGETALL").arg(self.key(name));
            }
            // One that cannot be read says nothing of the others.
            pipe.ignore_errors();
            let mut connection = link.connection.clone();
            let asked = pipe.query_async(&mut connection);
            let windows: Vec<redis::RedisResult<HashMap<String, String>>> =
                match self.turns.within(PATIENCE, asked).await {
                    Some(Ok(windows)) => windows,
                    Some(Err(error)) => return Err(Why::of(&error)),
                    None => return Err(Why::Slow),
                };
            for (name, fields) in names.iter().zip(windows) {
                if let Some(fields) = fields.ok().as_ref().and_then(numbers) {
                    self.learn_one(name, &fields);
                }
            }
        }
        Ok(())
    }

    fn learn_one(&self, name: &str, fields: &HashMap<&str, u64>) {
        let version = fields.get("version").copied().unwrap_or(0);
        let at = fields.get("at").copied().unwrap_or(0);
        let Some(span) = span_or_month(name, at) else { return };
        if !self.can_be(&Told { name, part: at, calls: 0, version }, span) {
            return;
        }
        let mirror = self.mirrors.named(name, span);
        let mut held = mirror.held();
        held.go_on_to(span);
        // What is known of a newer version is right; of an older one it is not.
        if version < held.version {
            return;
        }
        if version > held.version {
            held.changed_us = self.time.now_us();
        }
        held.version = version;
        held.known = Tally::default();
        let running = fields.get("at").zip(fields.get("running"));
        for (part, calls) in fields {
            if let Some(part) = part.parse().ok().filter(|part| *part < at) {
                held.known.set(part, *calls);
            }
        }
        if let Some((part, calls)) = running {
            held.known.set(*part, *calls);
        }
    }

    /// A message of the feed. What comes over a link that has a successor is old: `learn` has
    /// read what came of it, and has heard since what was taken back.
    pub(super) fn hear(&self, id: u64, data: &[redis::Value]) {
        if id < self.newest_link.load(Ordering::Acquire) {
            return;
        }
        let Some(text) = link::message(data) else { return };
        if text == SAY_ALL {
            self.ended.notify_one();
            return;
        }
        if let Some(name) = text.strip_prefix(HEALED) {
            self.was_healed(name);
            return;
        }
        for told in text.lines().filter_map(link::told) {
            let span = span_or_month(told.name, told.part);
            let Some(span) = span.filter(|span| self.can_be(&told, *span)) else { continue };
            let mirror = self.mirrors.named(told.name, span);
            let mut held = mirror.held();
            held.go_on_to(span);
            let cell = Cell { part: told.part, calls: told.calls };
            held.see(cell, told.version, self.time.now_us());
        }
    }

    /// Nothing is counted in a time to come, nor beyond reason: somebody else said that.
    fn can_be(&self, told: &Told<'_>, span: Span) -> bool {
        let now_us = self.time.now_us();
        let latest = match span {
            Span::Window { .. } => span.part(now_us.saturating_add(TOLERANCE_US)),
            // Nodes' clocks differ by less, and so do the settings' time zones.
            Span::Month(_) => {
                let unix_ms = self.time.clock.unix_ms().saturating_add(DAY_MS);
                u64::try_from(unix_ms).unwrap_or(0)
            }
        };
        told.part <= latest && told.calls <= MOST && told.version <= MOST
    }

    pub(in super::super) fn tell_lost(&self) {
        self.diary.is_missed();
        self.metrics.limits().lost();
        (self.bell)(Tidings::Lost);
    }

    /// A script found what it did not write. Said now and then: whoever writes there may do it
    /// often.
    fn was_healed(&self, name: &str) {
        self.metrics.limits().healed();
        let now_ms = self.time.clock.monotonic_ns() / 1_000_000;
        let before_ms = self.said_healed_at_ms.load(Ordering::Acquire);
        if before_ms != 0 && now_ms.saturating_sub(before_ms) < SAY_HEALED_EVERY_MS {
            return;
        }
        self.said_healed_at_ms.store(now_ms.max(1), Ordering::Release);
        let key = format!("{}{}", self.prefix, printable(name));
        (self.bell)(Tidings::Healed { key });
    }
}

/// The fields of a window. None where one of them is no count: the scripts throw such a key away.
fn numbers(fields: &HashMap<String, String>) -> Option<HashMap<&str, u64>> {
    const OWN: [&str; 5] = ["at", "past", "running", "oldest", "version"];
    let is_ours = |name: &str| OWN.contains(&name) || name.parse::<u64>().is_ok();
    let number = |text: &String| text.parse().ok().filter(|number| *number <= MOST);
    let fields = fields.iter().filter(|(name, _)| is_ours(name));
    fields.map(|(name, text)| Some((name.as_str(), number(text)?))).collect()
}

/// A name that somebody else may have chosen, for a line of a log.
pub(super) fn printable(name: &str) -> String {
    let known = |letter: &char| letter.is_ascii_alphanumeric() || "._:{}-".contains(*letter);
    name.chars().filter(known).take(LONGEST_NAME).collect()
}

/// Of a window, as its name says; of a month, as its part does.
fn span_or_month(name: &str, part: u64) -> Option<Span> {
    span_of(name).or_else(|| name.starts_with(OF_MONTHS).then(|| month(part)))
}

/// Of a window, as its name says.
pub(super) fn span_of(name: &str) -> Option<Span> {
    let (seconds, _) = name.strip_prefix('w')?.split_once(':')?;
    Some(Span::Window { seconds: seconds.parse().ok()? })
}
