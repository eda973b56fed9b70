//! What Redis is told of one window: calls that were let in without it, what of leases was not
//! used, and all that is known of a window that it has lost.
//! Must never tell twice what was done once, however often an answer is lost.

use std::sync::Arc;

use super::bucket::{Bucket, Span};
use super::fault::Why;
use super::keeper::PATIENCE;
use super::link::{Link, Reply};
use super::mirror::Mirror;
use super::turns::MOST;
use super::{Shared, lock};

/// Of all corrections of a process the last: made by another one in its name.
const LAST_TURN: u64 = 1 << 52;

/// Those that have something to tell; goes back into the list where it was not told.
struct News<'a> {
    shared: &'a Shared,
    left: Vec<Arc<Mirror>>,
}

impl Drop for News<'_> {
    fn drop(&mut self) {
        lock(&self.shared.news).append(&mut self.left);
    }
}

/// Whose correction it is, and which.
struct Turn<'a> {
    node: &'a str,
    process: &'a str,
    number: u64,
    /// When it was first sent, where nobody heard what became of it; 0: it was not.
    first_us: u64,
}

impl Shared {
    /// Tells what was let in without asking, and what of leases was not used. What could not be
    /// told stays to be told.
    pub(super) async fn tell_news(&self, link: &Link, news: Vec<Arc<Mirror>>) -> Result<(), Why> {
        let mut news = News { shared: self, left: news };
        while let Some(mirror) = news.left.last().cloned() {
            self.tell_news_of(link, &mirror).await?;
            news.left.pop();
            let mut held = mirror.held();
            held.is_listed = held.has_news();
            if held.is_listed {
                lock(&self.news).push(Arc::clone(&mirror));
            }
        }
        Ok(())
    }

    async fn tell_news_of(&self, link: &Link, mirror: &Arc<Mirror>) -> Result<(), Why> {
        let Some(telling) = mirror.held().begin_telling() else { return Ok(()) };
        let more = telling.alone.cells().iter().map(|cell| (cell.part, signed(cell.calls)));
        let less = telling.unused.cells().iter().map(|cell| (cell.part, -signed(cell.calls)));
        let pairs: Vec<(u64, i64)> = more.chain(less).collect();
        let now_us = self.time.now_us().max(1);
        // Until an answer comes.
        mirror.held().is_sent(now_us);
        let turn = Turn {
            node: &self.node,
            process: &self.process,
            number: telling.turn,
            first_us: telling.first_us,
        };
        self.tell_whole(link, mirror, (&turn, &pairs)).await?;
        let mut held = mirror.held();
        // The feed says what the parts hold now.
        held.end_telling();
        self.diary.told(mirror, &held, telling.alone.cells());
        Ok(())
    }

    /// What another node let in by itself, and will never tell: of months that somebody counts.
    /// All nodes may say so, and it is added once. False where it could not be told.
    pub(in super::super) async fn tell_for(
        &self,
        (node, process): (&str, &str),
        months: impl Iterator<Item = (Bucket, u64)>,
    ) -> bool {
        let Some(link) = self.link.load_full() else { return false };
        let turn = Turn { node, process, number: LAST_TURN, first_us: 0 };
        for (bucket, calls) in months {
            let Some(mirror) = self.mirrors.find(&bucket.name) else { continue };
            let pairs = [(bucket.span.part(0), signed(calls))];
            if let Err(why) = self.tell_whole(&link, &mirror, (&turn, &pairs)).await {
                self.end(&link, why);
                return false;
            }
        }
        true
    }

    /// What Redis has lost of the window comes first.
    async fn tell_whole(
        &self,
        link: &Link,
        mirror: &Mirror,
        (turn, pairs): (&Turn<'_>, &[(u64, i64)]),
    ) -> Result<(), Why> {
        if self.tell(link, mirror, Some(turn), pairs).await? {
            return Ok(());
        }
        self.tell_all_of(link, mirror, PATIENCE).await?;
        match self.tell(link, mirror, Some(turn), pairs).await? {
            true => Ok(()),
            false => Err(Why::Odd),
        }
    }

    /// Everything that this node knows of a window that Redis has lost, or a part of it.
    pub(super) async fn tell_all_of(
        &self,
        link: &Link,
        mirror: &Mirror,
        wait: std::time::Duration,
    ) -> Result<(), Why> {
        let pairs: Vec<(u64, i64)> = {
            let held = mirror.held();
            held.known.cells().iter().map(|cell| (cell.part, signed(cell.calls))).collect()
        };
        let told = self.tell(link, mirror, None, &pairs);
        self.turns.within(wait, told).await.unwrap_or(Err(Why::Slow)).map(|_| ())
    }

    /// False where Redis has lost a part of this window, which must be told first. Whose turn it
    /// is where calls are added; None: what is known of each part.
    async fn tell(
        &self,
        link: &Link,
        mirror: &Mirror,
        turn: Option<&Turn<'_>>,
        pairs: &[(u64, i64)],
    ) -> Result<bool, Why> {
        let now_us = self.time.now_us();
        let (span, version): (Span, u64) = {
            let held = mirror.held();
            (held.span, held.version)
        };
        let mut call = self.scripts.tell.prepare_invoke();
        call.key(self.key("state")).key(self.key(&mirror.name));
        call.arg(self.time.late_us(PATIENCE * MOST)).arg(span.part_us()).arg(span.part(now_us));
        call.arg(span.ttl_ms(self.time.clock.unix_ms())).arg(version);
        match turn {
            None => call.arg("most").arg("").arg("").arg(0).arg(0),
            Some(Turn { node, process, number, first_us }) => {
                call.arg("add").arg(*node).arg(*process).arg(*number).arg(*first_us)
            }
        };
        for (part, calls) in pairs {
            call.arg(*part).arg(*calls);
        }
        match link.invoke(&call, PATIENCE).await? {
            Reply::Counted { .. } => Ok(true),
            Reply::Behind { .. } => Ok(false),
            Reply::Late { now_us } => {
                self.time.synchronise(now_us, true);
                Err(Why::Slow)
            }
            Reply::Forgotten => Err(Why::Forgot),
            Reply::Over { .. } => Err(Why::Odd),
        }
    }
}

fn signed(calls: u64) -> i64 {
    i64::try_from(calls).unwrap_or(i64::MAX)
}
