//! One socket of a provider's and all who listen to it: what a client says becomes what the
//! provider is asked, what the provider says goes to those whose it is. No socket is touched here:
//! words come in, and go out into boxes. Must never let anybody hear what he did not ask for, nor
//! lose what he did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::dialect::{self, No};
use super::super::frames;
use super::mail::{Mail, Over};
use super::pieces::{Piece, joined, pieces};
use super::speech::{self, Ask, Heard, Word};
use super::wants::{Topic, Wants, Who};
use crate::provider::{Codec, Dialect};

pub(super) struct Board {
    dialect: Dialect,
    codec: Codec,
    wants: Wants,
    listeners: BTreeMap<Who, Listener>,
    next: Who,
    /// For the provider, in order.
    outbox: VecDeque<Vec<u8>>,
    /// What the provider has said yes to on this connection.
    confirmed: BTreeSet<Topic>,
    /// What it was asked for and has not answered.
    in_flight: BTreeSet<Topic>,
    /// The same by request, where each gets one answer.
    asked: VecDeque<Vec<Topic>>,
    is_open: bool,
}

struct Listener {
    mail: Arc<Mail>,
    /// What it asked for and was not answered.
    waiting: BTreeSet<Topic>,
    /// Lists that it is to hear once nothing waits.
    owed: usize,
    /// It was told of a gap, and not of its end.
    in_gap: bool,
}

/// The provider ends the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kicked;

/// Of topics in one request.
const MOST_AT_ONCE: usize = 500;

impl Board {
    pub(super) fn new(dialect: Dialect, codec: Codec) -> Self {
        Self {
            dialect,
            codec,
            wants: Wants::default(),
            listeners: BTreeMap::new(),
            next: 0,
            outbox: VecDeque::new(),
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
        std::mem::take(&mut self.outbox)
    }

    /// All that anybody wants.
    #[cfg(test)]
    pub(super) fn union(&self) -> BTreeSet<Topic> {
        self.wants.union().cloned().collect()
    }

    pub(super) fn join(&mut self, mail: Arc<Mail>) -> Who {
        let who = self.next;
        self.next += 1;
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
        self.wants.add(who, &topics);
        let (known, unknown): (Vec<Topic>, Vec<Topic>) =
            topics.into_iter().partition(|topic| self.confirmed.contains(topic));
        let needed: BTreeSet<Topic> =
            unknown.iter().filter(|topic| !self.in_flight.contains(*topic)).cloned().collect();
        if let Some(listener) = self.listeners.get_mut(&who) {
            listener.waiting.extend(unknown);
            listener.owed += 1;
        }
        self.ask(true, needed.into_iter().collect());
        for topic in known {
            self.confirm(who, true, &topic);
        }
        self.settle(who);
    }

    fn fewer(&mut self, who: Who, topics: &[Topic]) {
        let gone = self.wants.remove(who, topics);
        self.give_up(gone);
        if let Some(listener) = self.listeners.get_mut(&who) {
            listener.waiting.retain(|topic| !topics.contains(topic));
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
        // What was asked for by name stays, though all others of its kind go.
        let wide: BTreeSet<&str> =
            gone.iter().filter(|topic| topic.is_for_all()).map(kind).collect();
        let again = self.wants.union().filter(|topic| wide.contains(kind(topic)));
        let again: Vec<Topic> = again.cloned().collect();
        self.ask(false, gone);
        self.ask(true, again);
    }

    /// Tells the provider; while it is not there, all is asked for when it is.
    fn ask(&mut self, is_more: bool, topics: Vec<Topic>) {
        if !self.is_open {
            return;
        }
        for topics in topics.chunks(MOST_AT_ONCE) {
            let words = speech::request(self.dialect, is_more, topics);
            self.outbox.push_back(dialect::worded(self.codec, &words));
            if is_more {
                self.in_flight.extend(topics.iter().cloned());
            }
            self.asked.push_back(if is_more { topics.to_vec() } else { Vec::new() });
        }
    }

    /// The provider has taken the key: whoever waited is in, and all that is wanted is asked for.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
        self.outbox.clear();
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
        self.ask(true, all);
    }

    /// The connection broke: what is said meanwhile is lost, and whoever listens is told.
    pub(super) fn broke(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
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

    /// A whole message of the provider's.
    pub(super) fn heard(&mut self, message: &[u8]) -> Result<(), Kicked> {
        let found = pieces(self.codec, message, speech::members(self.dialect));
        let Some(found) = found else {
            // Nobody knows whose it is.
            let frame = framed(self.codec, message);
            self.listeners.values().for_each(|listener| listener.mail.put(frame.clone()));
            return Ok(());
        };
        let mut shares: BTreeMap<Who, Vec<usize>> = BTreeMap::new();
        for (number, piece) in found.iter().enumerate() {
            let heard = speech::heard(self.dialect, piece);
            if let Heard::Data(kind, symbols) = &heard {
                for who in self.audience(kind, symbols) {
                    shares.entry(who).or_default().push(number);
                }
                continue;
            }
            self.deliver(std::mem::take(&mut shares), &found);
            match heard {
                Heard::Data(..) | Heard::Ended | Heard::Ours => {}
                Heard::Began(topic) => self.began(&[topic]),
                Heard::List => {
                    let answered = self.asked.pop_front().unwrap_or_default();
                    self.began(&answered);
                }
                Heard::No(message) => self.refused(&message, piece.bytes),
                Heard::Kicked => return Err(Kicked),
            }
        }
        self.deliver(shares, &found);
        self.turn_out_the_slow();
        Ok(())
    }

    fn audience(&self, kind: &str, symbols: &[std::borrow::Cow<'_, str>]) -> BTreeSet<Who> {
        if symbols.is_empty() {
            return self.listeners.keys().copied().collect();
        }
        let mut audience = BTreeSet::new();
        symbols.iter().for_each(|symbol| self.wants.audience(kind, symbol, &mut audience));
        audience
    }

    /// Whoever gets the same gets the same bytes.
    fn deliver(&self, shares: BTreeMap<Who, Vec<usize>>, found: &[Piece<'_>]) {
        let mut written: BTreeMap<Vec<usize>, Bytes> = BTreeMap::new();
        for (who, share) in shares {
            let Some(listener) = self.listeners.get(&who) else { continue };
            let frame = written.entry(share).or_insert_with_key(|share| {
                let chosen = share.iter().filter_map(|number| found.get(*number));
                let chosen: Vec<&[u8]> = chosen.map(|piece| piece.bytes).collect();
                framed(self.codec, &joined(self.codec, &chosen))
            });
            listener.mail.put(frame.clone());
        }
    }

    fn began(&mut self, topics: &[Topic]) {
        for topic in topics {
            self.in_flight.remove(topic);
            if self.wants.holds(topic) {
                self.confirmed.insert(topic.clone());
            }
        }
        let listeners: Vec<Who> = self.listeners.keys().copied().collect();
        for who in listeners {
            for topic in topics {
                let Some(listener) = self.listeners.get_mut(&who) else { continue };
                if listener.waiting.remove(topic) {
                    self.confirm(who, true, topic);
                }
            }
            self.settle(who);
        }
    }

    /// The provider says no: to those who asked for what it speaks of, in its own bytes.
    fn refused(&mut self, message: &str, bytes: &[u8]) {
        let frame = framed(self.codec, &joined(self.codec, &[bytes]));
        let asked = match self.dialect {
            Dialect::Polygon => {
                let named = self.in_flight.iter().filter(|topic| speech::names(message, topic));
                let named: Vec<Topic> = named.cloned().collect();
                if named.is_empty() {
                    // It may be any of them: whoever waits hears it, and asks again as he likes.
                    let all = std::mem::take(&mut self.in_flight);
                    let concerned = |listener: &&Listener| !listener.waiting.is_disjoint(&all);
                    let concerned = self.listeners.values().filter(concerned);
                    concerned.for_each(|listener| listener.mail.put(frame.clone()));
                    return;
                }
                named
            }
            Dialect::AlpacaData | Dialect::AlpacaTrading => {
                self.asked.pop_front().unwrap_or_default()
            }
        };
        if asked.is_empty() {
            self.listeners.values().for_each(|listener| listener.mail.put(frame.clone()));
            return;
        }
        let asked_set: BTreeSet<Topic> = asked.iter().cloned().collect();
        let mut concerned = Vec::new();
        for (who, listener) in &mut self.listeners {
            let wants = self.wants.of(*who).any(|topic| asked_set.contains(topic));
            if wants {
                concerned.push(*who);
                listener.mail.put(frame.clone());
                listener.owed = listener.owed.saturating_sub(1);
                listener.waiting.retain(|topic| !asked_set.contains(topic));
            }
        }
        for topic in &asked {
            self.in_flight.remove(topic);
            self.confirmed.remove(topic);
        }
        for who in concerned {
            // The provider has none of them: there is nothing to give up.
            self.wants.remove(who, &asked);
            self.settle(who);
        }
    }

    fn confirm(&self, who: Who, is_more: bool, topic: &Topic) {
        if let Some(words) = speech::confirmed(self.dialect, is_more, topic) {
            self.tell(who, &words);
        }
    }

    /// Where the whole list is told: as soon as nothing waits any more.
    fn settle(&mut self, who: Who) {
        let Some(listener) = self.listeners.get_mut(&who) else { return };
        if !listener.waiting.is_empty() {
            return;
        }
        let owed = std::mem::take(&mut listener.owed);
        if let Some(list) = speech::list(self.dialect, self.wants.of(who)) {
            (0..owed).for_each(|_| self.tell(who, &list));
        }
    }

    fn tell(&self, who: Who, words: &str) {
        if let Some(listener) = self.listeners.get(&who) {
            listener.mail.put(self.framed(words));
        }
    }

    fn turn_out_the_slow(&mut self) {
        let slow = self.listeners.iter().filter(|(_, listener)| listener.mail.is_too_slow());
        let slow: Vec<Who> = slow.map(|(who, _)| *who).collect();
        for who in slow {
            let word = self.framed(&speech::word(self.dialect, Word::Slow));
            if let Some(listener) = self.listeners.get(&who) {
                listener.mail.end(Over::Slow, Some(word));
            }
            self.leave(who);
        }
    }

    fn framed(&self, words: &str) -> Bytes {
        framed(self.codec, &dialect::worded(self.codec, words))
    }
}

fn kind(topic: &Topic) -> &str {
    &topic.kind
}

fn framed(codec: Codec, message: &[u8]) -> Bytes {
    let opcode = if codec == Codec::Json { frames::TEXT } else { frames::BINARY };
    Bytes::from(frames::whole(opcode, message, None))
}
