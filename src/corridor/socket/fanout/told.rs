//! What the provider says on a socket that many share: each element goes to those whose it is, a
//! yes and a no to those who asked. Pure as the board is.
//! Must never let anybody hear what he did not ask for, nor lose what he did.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::dialect;
use super::board::{Board, Listener, framed};
use super::pieces::{Piece, joined, pieces};
use super::speech::{self, Heard, Trouble};
use super::wants::{Topic, Who};
use crate::provider::Dialect;

/// The provider ends the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kicked;

impl Board {
    /// A whole message of the provider's.
    pub(super) fn heard(&mut self, message: &[u8]) -> Result<(), Kicked> {
        let found = pieces(self.codec, message, speech::members(self.dialect));
        let Some(found) = found else {
            // Nobody knows whose it is.
            self.tell_all(&framed(self.codec, message));
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
                    self.began(&answered.topics);
                }
                Heard::No(message) => self.refused(&message, piece.bytes)?,
                Heard::Kicked => return Err(Kicked),
            }
        }
        self.deliver(shares, &found);
        self.turn_out_the_slow();
        Ok(())
    }

    fn audience(&self, kind: &str, symbols: &[Cow<'_, str>]) -> BTreeSet<Who> {
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
    fn refused(&mut self, message: &str, bytes: &[u8]) -> Result<(), Kicked> {
        let frame = framed(self.codec, &joined(self.codec, &[bytes]));
        match self.dialect {
            Dialect::Polygon => self.refused_by_name(message, &frame),
            Dialect::AlpacaData | Dialect::AlpacaTrading | Dialect::Tiingo => {
                let said = dialect::understood(self.codec, bytes);
                match speech::trouble(said.as_ref()) {
                    Trouble::Answer => {
                        let asked = self.asked.pop_front().unwrap_or_default();
                        if !self.asked_by_halves(&asked) {
                            self.refuse(&asked.topics, &frame);
                        }
                    }
                    Trouble::End => return Err(Kicked),
                    Trouble::Other => self.tell_all(&frame),
                }
            }
        }
        Ok(())
    }

    fn refused_by_name(&mut self, message: &str, frame: &Bytes) {
        let named = self.in_flight.iter().filter(|topic| speech::names(message, topic));
        let named: Vec<Topic> = named.cloned().collect();
        let waits = |listener: &&Listener| !listener.waiting.is_disjoint(&self.in_flight);
        if !named.is_empty() {
            self.refuse(&named, frame);
        } else if self.listeners.values().any(|listener| waits(&listener)) {
            // It may be any of them: whoever waits hears it, and asks again as he likes.
            let concerned = self.listeners.values().filter(waits);
            concerned.for_each(|listener| listener.mail.put(frame.clone()));
            self.in_flight.clear();
        } else {
            // Nobody awaits it: it is about the socket, which is everybody's.
            self.tell_all(frame);
        }
    }

    fn tell_all(&self, frame: &Bytes) {
        self.listeners.values().for_each(|listener| listener.mail.put(frame.clone()));
    }

    fn refuse(&mut self, asked: &[Topic], frame: &Bytes) {
        if asked.is_empty() {
            self.tell_all(frame);
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
        for topic in asked {
            self.in_flight.remove(topic);
            self.confirmed.remove(topic);
        }
        for who in concerned {
            // The provider has none of them: there is nothing to give up.
            self.wants.remove(who, asked);
            self.settle(who);
        }
    }
}
