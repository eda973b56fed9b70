//! One socket of a provider's and all who listen to it: what a client says becomes what the
//! provider is asked. No socket is touched here: words come in, and go out into boxes.
//! Must never lose what somebody asked for, nor hold more of it than its bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::dialect::{self, No};
use super::super::frames;
use super::mail::{Mail, Over};
use super::speech::{self, Ask, Word};
use super::wants::{EVERY, Topic, Wants, Who};
use crate::provider::{Codec, Dialect};

pub(super) struct Board {
    pub(super) dialect: Dialect,
    pub(super) codec: Codec,
    pub(super) wants: Wants,
    pub(super) listeners: BTreeMap<Who, Listener>,
    next: Who,
    /// For the provider, in order.
    outbox: VecDeque<Vec<u8>>,
    outbox_bytes: usize,
    /// What the provider has said yes to on this connection.
    pub(super) confirmed: BTreeSet<Topic>,
    /// What it was asked for and has not answered.
    pub(super) in_flight: BTreeSet<Topic>,
    /// The same by request, where each gets one answer; kept for Alpaca alone.
    pub(super) asked: VecDeque<Asked>,
    is_open: bool,
}

/// One request that gets one answer.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) topics: Vec<Topic>,
    /// Put together from what several asked for: a no to it is not yet one to each of them.
    pub(super) is_merged: bool,
}

pub(super) struct Listener {
    pub(super) mail: Arc<Mail>,
    /// What it asked for and was not answered.
    pub(super) waiting: BTreeSet<Topic>,
    /// Requests that wait for the list, which is told once nothing waits.
    pub(super) owed: usize,
    /// It was told of a gap, and not of its end.
    in_gap: bool,
}

/// Of topics in one request.
const MOST_AT_ONCE: usize = 500;
/// Of topics that one client may have.
pub(super) const MOST_TOPICS: usize = 5_000;
/// Of bytes that wait for the provider.
pub(super) const MOST_OUT: usize = 1024 * 1024;

impl Board {
    pub(super) fn new(dialect: Dialect, codec: Codec) -> Self {
        Self {
            dialect,
            codec,
            wants: Wants::default(),
            listeners: BTreeMap::new(),
            next: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            confirmed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            asked: VecDeque::new(),
            is_open: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    pub(super) fn take_outbox(&mut self) -> VecDeque<Vec<u8>> {
        self.outbox_bytes = 0;
        std::mem::take(&mut self.outbox)
    }

    /// The provider takes too little: nobody is listened to until it has taken this.
    pub(super) fn is_congested(&self) -> bool {
        self.outbox_bytes > MOST_OUT
    }

    /// All that anybody wants.
    #[cfg(test)]
    pub(super) fn union(&self) -> BTreeSet<Topic> {
        self.wants.union().cloned().collect()
    }

    pub(super) fn join(&mut self, mail: Arc<Mail>) -> Who {
        let who = self.next;
        self.next += 1;
        mail.say_when_slow(self.framed(&speech::word(self.dialect, Word::Slow)));
        if self.is_open {
            mail.put(self.framed(dialect::welcome(self.dialect)));
            mail.open();
        }
        let listener = Listener { mail, waiting: BTreeSet::new(), owed: 0, in_gap: false };
        self.listeners.insert(who, listener);
        who
    }

    pub(super) fn leave(&mut self, who: Who) {
        self.listeners.remove(&who);
        let gone = self.wants.leave(who);
        self.give_up(gone);
    }

    /// A whole message of a client's.
    pub(super) fn said(&mut self, who: Who, bytes: &[u8]) {
        let said = dialect::understood(self.codec, bytes);
        let ask = said.map_or(Ask::Other, |said| speech::asked(self.dialect, &said));
        match ask {
            Ask::More(topics) => self.more(who, topics),
            Ask::Fewer(topics) => self.fewer(who, &topics),
            Ask::Again => self.tell(who, &speech::word(self.dialect, Word::AlreadyIn)),
            Ask::Other => self.tell(who, &speech::word(self.dialect, Word::Unknown)),
        }
    }

    fn more(&mut self, who: Who, topics: Vec<Topic>) {
        if !self.listeners.contains_key(&who) {
            return;
        }
        if self.wants.count_with(who, &topics) > MOST_TOPICS {
            self.tell(who, &speech::word(self.dialect, Word::TooMany));
            return;
        }
        self.wants.add(who, &topics);
        let (known, unknown): (Vec<Topic>, Vec<Topic>) =
            topics.into_iter().partition(|topic| self.confirmed.contains(topic));
        let needed: BTreeSet<Topic> =
            unknown.iter().filter(|topic| !self.in_flight.contains(*topic)).cloned().collect();
        if let Some(listener) = self.listeners.get_mut(&who) {
            listener.waiting.extend(unknown);
            listener.owed += 1;
        }
        self.ask(Request::Of(needed.into_iter().collect()));
        for topic in known {
            self.confirm(who, true, &topic);
        }
        self.settle(who);
    }

    fn fewer(&mut self, who: Who, topics: &[Topic]) {
        let gone = self.wants.remove(who, topics);
        self.give_up(gone);
        if let Some(listener) = self.listeners.get_mut(&who) {
            for topic in topics {
                listener.waiting.remove(topic);
            }
            listener.owed += 1;
        }
        for topic in topics {
            self.confirm(who, false, topic);
        }
        self.settle(who);
    }

    /// Nobody wants these any more.
    fn give_up(&mut self, gone: Vec<Topic>) {
        for topic in &gone {
            self.confirmed.remove(topic);
            self.in_flight.remove(topic);
        }
        // What was asked for by name stays, though all others of its kind go; so does what is wider
        // still.
        let wide: BTreeSet<&str> =
            gone.iter().filter(|topic| topic.is_for_all()).map(kind).collect();
        let stays = |topic: &&Topic| {
            let is_wider = kind(topic) == EVERY && !wide.is_empty();
            is_wider || wide.contains(kind(topic)) || wide.contains(EVERY)
        };
        let again: Vec<Topic> = self.wants.union().filter(stays).cloned().collect();
        self.ask(Request::Fewer(gone));
        self.ask(Request::Merged(again));
    }

    /// A no to what several had asked for: each half is asked for alone, until it is known whose it
    /// is. False where it is known.
    pub(super) fn asked_by_halves(&mut self, asked: &Asked) -> bool {
        if !asked.is_merged || asked.topics.len() < 2 {
            return false;
        }
        let (one, other) = asked.topics.split_at(asked.topics.len() / 2);
        for half in [one, other] {
            // What nobody wants any more is not asked for again.
            let wanted = half.iter().filter(|topic| self.wants.holds(topic)).cloned().collect();
            self.ask(Request::Merged(wanted));
        }
        true
    }

    /// Tells the provider; while it is not there, all is asked for when it is.
    fn ask(&mut self, request: Request) {
        if !self.is_open {
            return;
        }
        let (is_more, is_merged, topics) = match request {
            Request::Of(topics) => (true, false, topics),
            Request::Merged(topics) => (true, true, topics),
            Request::Fewer(topics) => (false, false, topics),
        };
        for topics in topics.chunks(MOST_AT_ONCE) {
            let words = speech::request(self.dialect, is_more, topics);
            let words = dialect::worded(self.codec, &words);
            self.outbox_bytes += words.len();
            self.outbox.push_back(words);
            if is_more {
                self.in_flight.extend(topics.iter().cloned());
            }
            if self.dialect != Dialect::Polygon {
                let topics = if is_more { topics.to_vec() } else { Vec::new() };
                self.asked.push_back(Asked { topics, is_merged });
            }
        }
    }

    /// The provider has taken the key: whoever waited is in, and all that is wanted is asked for.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
        let _stale = self.take_outbox();
        self.confirmed.clear();
        self.in_flight.clear();
        self.asked.clear();
        let welcome = self.framed(dialect::welcome(self.dialect));
        let over = self.framed(&speech::word(self.dialect, Word::GapOver));
        for listener in self.listeners.values_mut() {
            if !listener.mail.is_open() {
                listener.mail.put(welcome.clone());
                listener.mail.open();
            } else if std::mem::take(&mut listener.in_gap) {
                listener.mail.put(over.clone());
            }
        }
        let all: Vec<Topic> = self.wants.union().cloned().collect();
        self.ask(Request::Merged(all));
    }

    /// One of them is to ask anew: another secret serves it now, or none.
    pub(super) fn send_away(&self, who: Who) {
        let word = self.framed(dialect::refusal(self.dialect, No::Failed));
        if let Some(listener) = self.listeners.get(&who) {
            listener.mail.end(Over::Altered, Some(word));
        }
    }

    /// The connection broke: what is said meanwhile is lost, and whoever listens is told.
    pub(super) fn broke(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let _lost = self.take_outbox();
        let gap = self.framed(&speech::word(self.dialect, Word::Gap));
        for listener in self.listeners.values_mut() {
            listener.in_gap = true;
            listener.mail.put(gap.clone());
        }
    }

    /// It could not be opened: whoever has not been let in hears so. The others wait on, unless it
    /// is for good.
    pub(super) fn failed(&mut self, no: No, for_good: Option<Over>) {
        let word = self.framed(dialect::refusal(self.dialect, no));
        for listener in self.listeners.values() {
            match for_good {
                Some(over) => listener.mail.end(over, Some(word.clone())),
                None if !listener.mail.is_open() => {
                    listener.mail.end(Over::No(no), Some(word.clone()));
                }
                None => {}
            }
        }
    }

    pub(super) fn confirm(&self, who: Who, is_more: bool, topic: &Topic) {
        if let Some(words) = speech::confirmed(self.dialect, is_more, topic) {
            self.tell(who, &words);
        }
    }

    /// Where the whole list is told: as soon as nothing waits any more.
    pub(super) fn settle(&mut self, who: Who) {
        let Some(listener) = self.listeners.get_mut(&who) else { return };
        if !listener.waiting.is_empty() || std::mem::take(&mut listener.owed) == 0 {
            return;
        }
        // It is the same for all requests that waited.
        if let Some(list) = speech::list(self.dialect, self.wants.of(who)) {
            self.tell(who, &list);
        }
    }

    pub(super) fn tell(&self, who: Who, words: &str) {
        if let Some(listener) = self.listeners.get(&who) {
            listener.mail.put(self.framed(words));
        }
    }

    /// Whoever took too little is out, and what he asked for is nobody's.
    pub(super) fn turn_out_the_slow(&mut self) {
        let slow = self.listeners.iter().filter(|(_, listener)| listener.mail.is_too_slow());
        let slow: Vec<Who> = slow.map(|(who, _)| *who).collect();
        slow.into_iter().for_each(|who| self.leave(who));
    }

    fn framed(&self, words: &str) -> Bytes {
        framed(self.codec, &dialect::worded(self.codec, words))
    }
}

/// What the provider is asked.
enum Request {
    /// For more, as one client has said it.
    Of(Vec<Topic>),
    /// For more, of several clients.
    Merged(Vec<Topic>),
    Fewer(Vec<Topic>),
}

fn kind(topic: &Topic) -> &str {
    &topic.kind
}

pub(super) fn framed(codec: Codec, message: &[u8]) -> Bytes {
    let opcode = if codec == Codec::Json { frames::TEXT } else { frames::BINARY };
    Bytes::from(frames::whole(opcode, message, None))
}
