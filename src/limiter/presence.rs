//! Nodes that share a database know of each other through it, so that those which cannot ask Redis
//! share what is left, and those which start where Redis knows nothing wait for what the others
//! have to tell. Four times a second, and more often while a share is asked for.
//! Must never let a node that has just come spend anything before the others know of it, or before
//! they are given up; nor find an accord in rows that were read before its own was written.

use std::sync::Arc;
use std::time::Duration;

use super::Limiter;
use super::rows::{Seen, kept, sharing, told_to};
use super::shared::{Link, Plea, Shared, Standing, Word, found, hand_ns, knows};
use crate::crypto;
use crate::store::{self, NodeRow};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// While calls wait for what the others say.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// A row is written anew so many looks after the last time, or when it has changed.
const SAY_EVERY: u32 = 4;
/// Whoever does not come back within so many looks is given up: thirty seconds.
const PATIENT_LOOKS: u32 = 120;
/// Where the database does not answer for so long, nobody is asked.
const UNHEARD_AFTER: Duration = Duration::from_secs(5);

/// What a node has said and seen.
pub(super) struct Presence {
    own: NodeRow,
    looks: u32,
    said_at: u32,
    said_ns: u64,
    /// Under this plea of its own it has said to others that it knows theirs.
    known_as: String,
    known: Vec<String>,
    /// Whose share it has said is kept.
    words: Vec<Word>,
    seen: Seen,
    /// It has just come, and has not been let into the sharing yet.
    is_held: bool,
    /// The memory of Redis that a former process met last.
    former_era: Option<String>,
    /// It goes on with a share that it had as it was killed.
    goes_on: bool,
}

impl Presence {
    pub(super) fn new(node: &str, former: Option<&NodeRow>, goes_on: bool) -> Self {
        // Without randomness it is at least another one than before.
        let boot = crypto::random_bytes::<8>().map(u64::from_le_bytes);
        let boot = format!("{:016x}", boot.unwrap_or_else(|_| std::process::id().into()));
        let former_era = former.map(|row| row.era.clone());
        let own = NodeRow {
            node: node.to_owned(),
            boot,
            era: former.map(|row| row.era.clone()).unwrap_or_default(),
            alone_since: former.map_or(0, |row| row.alone_since),
            // What a former process promised holds.
            spent: former.map(|row| row.spent.clone()).unwrap_or_default(),
            ..NodeRow::default()
        };
        let words = former.map(|row| Word::all_of(row).collect()).unwrap_or_default();
        let (known_as, known) = (String::new(), Vec::new());
        let (looks, said_at, said_ns) = (0, 0, 0);
        Self {
            own,
            looks,
            said_at,
            said_ns,
            known_as,
            known,
            words,
            seen: Seen::default(),
            is_held: true,
            former_era,
            goes_on,
        }
    }
}

impl Limiter {
    /// Before the doors open: says that this node comes, and sees who is there.
    pub(super) async fn arrive(&self, shared: &Arc<Shared>) {
        let mut held = self.presence.lock().await;
        let Some(presence) = held.as_mut() else { return };
        shared.is_attended();
        shared.hold(true);
        if let Err(fault) = self.attend_once(shared, presence).await {
            tracing::error!(%fault, "nodes cannot know of each other");
        }
    }

    /// Never ends.
    pub(super) async fn attend(self: Arc<Self>, shared: Arc<Shared>) {
        let mut is_said = false;
        loop {
            let pause = if shared.asks_for().is_some() { LOOK_SOON } else { LOOK_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.stirred() => {}
            }
            let mut held = self.presence.lock().await;
            let Some(presence) = held.as_mut() else { return };
            match self.attend_in_time(&shared, presence).await {
                Ok(()) => is_said = false,
                Err(fault) => {
                    if !is_said {
                        tracing::error!(%fault, "nodes cannot know of each other");
                    }
                    is_said = true;
                    // Without a database nobody comes who has to be waited for.
                    if presence.is_held && presence.looks >= PATIENT_LOOKS {
                        presence.is_held = false;
                        shared.hold(false);
                    }
                }
            }
        }
    }

    async fn attend_in_time(
        &self,
        shared: &Arc<Shared>,
        presence: &mut Presence,
    ) -> Result<(), String> {
        let (stalls, is_held) = (shared.stalls(), presence.is_held);
        let attending = self.attend_once(shared, presence);
        // One that comes has much to read.
        let attended = match is_held {
            true => Ok(attending.await),
            false => tokio::time::timeout(UNHEARD_AFTER, attending).await,
        };
        shared.has_looked(stalls);
        let fault = match attended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(fault)) => fault.to_string(),
            Err(late) => late.to_string(),
        };
        // Nobody knows what became of what was said.
        presence.own.seen_at = 0;
        if shared.asks_for().is_some_and(|asked| asked + LOOK_EVERY >= UNHEARD_AFTER) {
            shared.grant_unsaid(self.until_ns(hand_ns()));
        }
        Err(fault)
    }

    /// By the wall, and by the hand.
    fn moment(&self) -> (i64, u64) {
        (self.clock.unix_ms(), hand_ns())
    }

    /// Until when the others keep the share of a node that said at this time that it is alone.
    fn until_ns(&self, said_ns: u64) -> u64 {
        let window_ms = u64::try_from(self.settings.window_ms()).unwrap_or(0);
        said_ns.saturating_add(window_ms.saturating_mul(1_000_000))
    }

    /// Nobody need wait for this node, nor keep its share. It stays known while it has something
    /// to tell.
    pub(super) async fn depart(&self, has_told_all: bool) {
        let Some(presence) = self.presence.lock().await.take() else { return };
        if !has_told_all {
            return;
        }
        if let Err(fault) = self.store.forget_node(&presence.own.node, i64::MAX).await {
            tracing::error!(%fault, "the other nodes are not told that this one left");
        }
    }

    async fn attend_once(
        &self,
        shared: &Arc<Shared>,
        presence: &mut Presence,
    ) -> Result<(), store::Error> {
        presence.looks = presence.looks.saturating_add(1);
        let returning = shared.returning();
        if presence.looks == 1 && !shared.standing().is_up {
            // With how many it shares must be known before it asks for its share.
            let rows = self.others(shared, presence).await?;
            shared.count_with(sharing(&rows, self.clock.unix_ms()));
        }
        // Whoever comes is seen by all who come after it; and what is asked is read by those who
        // are not in the rows that are read after it.
        self.say(shared, presence).await?;
        let pleaded = Plea::of(&presence.own).filter(Plea::is_asking);
        let others = self.others(shared, presence).await?;
        let now = self.moment();
        presence.seen.see(&others, now.1);
        let is_there = |row: &&NodeRow| presence.seen.is_there(row, now);
        let there: Vec<&NodeRow> = others.iter().filter(is_there).collect();
        let pleas: Vec<Plea> = there.iter().filter_map(|row| Plea::of(row)).collect();
        presence.words.retain(|word| pleas.iter().any(|plea| plea.name == word.plea));
        shared.keep_for(there.iter().filter_map(|row| kept(row, &presence.words)).collect());
        let is_up = shared.standing().is_up;
        if !is_up {
            shared.count_with(sharing(&others, now.0));
        }
        let is_kept = match is_up || returning.is_some() {
            true => self.keep_shares(shared, presence, (&pleas, returning.as_deref())).await,
            false => true,
        };
        self.know(shared, presence, &pleas);
        self.say(shared, presence).await?;
        if let Some(link) = returning.filter(|_| is_kept) {
            shared.is_cleared(&link);
        }
        if let Some(plea) = pleaded {
            let is_silent = |row: &NodeRow| presence.seen.is_silent(row, now);
            if let Some(accord) = found(&plea, &presence.own, (&there, is_silent)) {
                shared.learn_counted(accord.told_by.iter().map(|row| row.spent.as_str()));
                shared.grant(&plea, accord.share, self.until_ns(presence.said_ns));
                self.say(shared, presence).await?;
            }
        }
        if presence.is_held && is_kept {
            self.settle(shared, presence, &others).await?;
        }
        Ok(())
    }

    /// The rows of all other nodes that may still matter.
    async fn others(
        &self,
        shared: &Arc<Shared>,
        presence: &Presence,
    ) -> Result<Vec<NodeRow>, store::Error> {
        let mut others = self.store.nodes().await?;
        others.retain(|row| row.node != presence.own.node);
        let window_ms = self.settings.window_ms();
        let oldest_ms = self.clock.unix_ms().saturating_sub(window_ms).saturating_sub(60_000);
        for gone in others.iter().filter(|row| row.seen_at < oldest_ms) {
            // What it let in by itself has left the windows, and not the months.
            let is_told = gone.alone_since == 0 || self.tell_for(shared, gone).await?;
            if is_told {
                self.store.forget_node(&gone.node, gone.seen_at).await?;
            }
        }
        others.retain(|row| row.seen_at >= oldest_ms);
        Ok(others)
    }

    /// Shuts those out of Redis that asked for their share, and notes whose share is kept there.
    /// False where Redis did not answer.
    async fn keep_shares(
        &self,
        shared: &Shared,
        presence: &mut Presence,
        (pleas, returning): (&[Plea], Option<&Link>),
    ) -> bool {
        let has_word = |plea: &Plea| presence.words.iter().any(|word| word.plea == plea.name);
        if returning.is_none() && pleas.iter().all(has_word) {
            return true;
        }
        let Some(shut) = shared.shut_out(returning).await else { return false };
        let is_new = |word: &Word| {
            pleas.iter().any(|plea| plea.name == word.plea) && !presence.words.contains(word)
        };
        let new: Vec<Word> = shut.into_iter().filter(is_new).collect();
        if !new.is_empty() {
            presence.words.retain(|word| !new.iter().any(|one| one.plea == word.plea));
            presence.words.extend(new);
            presence.own.spent = told_to(shared, pleas);
        }
        true
    }

    /// While it has no Redis it says to the others that it knows of them, and what it knows.
    fn know(&self, shared: &Shared, presence: &mut Presence, pleas: &[Plea]) {
        let own = Plea::of(&presence.own).filter(|plea| !plea.is_leaving);
        let own = own.map_or_else(String::new, |plea| plea.name);
        if own != presence.known_as {
            presence.known.clear();
            presence.known_as = own;
        }
        if !pleas.iter().any(Plea::is_asking) {
            presence.own.spent.clear();
        }
        if presence.known_as.is_empty() {
            return;
        }
        let is_new = |plea: &&Plea| !presence.known.contains(&plea.name);
        if pleas.iter().any(|plea| is_new(&plea) && plea.is_asking()) {
            presence.own.spent = told_to(shared, pleas);
        }
        presence.known = pleas.iter().map(|plea| plea.name.clone()).collect();
    }

    /// The own row, where it has something new to say or has not been said for long.
    async fn say(&self, shared: &Shared, presence: &mut Presence) -> Result<(), store::Error> {
        let (Standing { is_up, era }, plea) = (shared.standing(), shared.plea());
        let mut row = presence.own.clone();
        if is_up && plea.is_none() {
            (row.era, row.alone_since) = (era, 0);
        } else if row.alone_since == 0 {
            // In the data folder first: who finds this row and no file there lacks something.
            shared.begin_diary();
            row.alone_since = self.clock.unix_ms();
        }
        // What it knew when it last asked says nothing of what it knows now.
        let is_same = plea.as_ref().is_some_and(|plea| plea.name == presence.known_as);
        let known = presence.known.iter().filter(|_| is_same).cloned();
        let words = presence.words.iter().map(Word::said);
        let left = Plea::of(&presence.own).filter(|_| plea.is_none() && !is_up);
        // Its share is kept until it has told what it let in.
        let left = left.map(|plea| Plea { is_granted: false, is_leaving: true, ..plea });
        let own = plea.iter().chain(&left).map(Plea::said);
        row.knows = own.chain(known).chain(words).collect::<Vec<_>>().join(" ");
        // `spent` is changed in the own row itself, with what it is said for.
        let is_new = row.knows != presence.own.knows
            || row.alone_since != presence.own.alone_since
            || row.era != presence.own.era
            || presence.own.seen_at == 0;
        if !is_new && presence.looks.saturating_sub(presence.said_at) < SAY_EVERY {
            return Ok(());
        }
        let said_ns = hand_ns();
        row.seen_at = self.clock.unix_ms();
        self.store.say_node(&row).await?;
        (presence.own, presence.said_at, presence.said_ns) = (row, presence.looks, said_ns);
        shared.renew(self.until_ns(said_ns));
        Ok(())
    }

    /// Lets this node into the sharing where nobody is left to be waited for.
    async fn settle(
        &self,
        shared: &Arc<Shared>,
        presence: &mut Presence,
        others: &[NodeRow],
    ) -> Result<(), store::Error> {
        let Standing { is_up, era } = shared.standing();
        let own = Plea::of(&presence.own).map_or_else(String::new, |plea| plea.name);
        let is_told =
            |row: &NodeRow| knows(row, &own) || Word::all_of(row).any(|word| word.plea == own);
        let is_waited_for = |row: &&NodeRow| match is_up {
            // What it counted before is in Redis, or in the database by now.
            true => row.era != era,
            false => !presence.goes_on && (own.is_empty() || !is_told(row)),
        };
        let waited_for: Vec<&NodeRow> = others.iter().filter(is_waited_for).collect();
        if !waited_for.is_empty() && presence.looks < PATIENT_LOOKS {
            return Ok(());
        }
        if is_up {
            for row in waited_for {
                self.store.give_up_node(row, &era).await?;
            }
        }
        let has_lost_it = presence.former_era.as_ref().is_some_and(|former| *former != era);
        if presence.looks > 1 || has_lost_it {
            // More is known by now than when this node began.
            self.remember_others(shared, (&presence.own.node, None)).await?;
            shared.forget_months();
        }
        if !is_up && !presence.goes_on {
            shared.learn_spent(others.iter().map(|row| row.spent.as_str()));
        }
        shared.tell_known().await;
        // Redis went away or came back meanwhile: then somebody else is to be waited for.
        if shared.standing() == (Standing { is_up, era }) {
            presence.is_held = false;
            shared.hold(false);
        }
        Ok(())
    }
}
