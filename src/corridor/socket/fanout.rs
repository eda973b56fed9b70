//! One socket to a provider that allows one alone, and as many clients on it as there are: whoever
//! comes joins the trunk of that path and secret, and it lives as long as anybody listens. Must
//! never open a second one to the same place with the same secret while the first is open.

mod board;
mod dial;
mod join;
mod keeper;
mod mail;
mod member;
mod pieces;
mod speech;
#[cfg(test)]
mod tests;
mod told;
mod wants;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use uuid::Uuid;

use self::board::Board;
use self::dial::Way;
use self::mail::Mail;
pub(in crate::corridor) use self::member::Member;
use self::wants::Who;
use crate::corridor::Corridor;
use crate::provider::{Codec, Dialect};
use crate::refusal::{Reason, Refusal};

/// Every trunk of the house.
#[derive(Default)]
pub(crate) struct Fanout(Mutex<HashMap<Key, Arc<Trunk>>>);

/// What a provider allows one socket of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    provider: Arc<str>,
    path: String,
    secret: Uuid,
}

/// One socket and those who listen to it, on whichever thread.
struct Trunk {
    key: Key,
    codec: Codec,
    inner: Mutex<Inner>,
}

struct Inner {
    board: Board,
    /// How each of them would have come in alone.
    ways: HashMap<Who, Comer>,
    /// Of whoever keeps the connection.
    keeper: Option<Waker>,
    /// Of those who are not listened to until the provider has taken more.
    held_up: HashMap<Who, Waker>,
}

/// Its box, and how it would have come in.
type Comer = (Arc<Mail>, Arc<Way>);

impl Fanout {
    /// A place among those who listen; true where nobody keeps the connection yet.
    fn join(
        &self,
        key: &Key,
        (dialect, codec): (Dialect, Codec),
        (mail, way): Comer,
    ) -> Result<(Arc<Trunk>, Who, bool), Refusal> {
        let mut trunks = self.trunks();
        let mut is_new = false;
        let trunk = trunks.entry(key.clone()).or_insert_with(|| {
            is_new = true;
            let (board, ways) = (Board::new(dialect, codec), HashMap::new());
            let inner = Inner { board, ways, keeper: None, held_up: HashMap::new() };
            Arc::new(Trunk { key: key.clone(), codec, inner: Mutex::new(inner) })
        });
        if trunk.codec != codec {
            let detail = "The provider allows one socket there, and those who share it speak another \
                          codec: JSON or MessagePack, and not both.";
            return Err(Refusal::new(Reason::Overloaded, detail));
        }
        let trunk = Arc::clone(trunk);
        let mut inner = trunk.inner();
        let who = inner.board.join(Arc::clone(&mail));
        inner.ways.insert(who, (mail, way));
        inner.wake();
        drop(inner);
        Ok((trunk, who, is_new))
    }

    /// True where nobody listens any more: whoever comes now begins another one.
    fn forget_if_empty(&self, trunk: &Trunk) -> bool {
        let mut trunks = self.trunks();
        let is_empty = trunk.inner().board.is_empty();
        if is_empty {
            trunks.remove(&trunk.key);
        }
        is_empty
    }

    fn trunks(&self) -> MutexGuard<'_, HashMap<Key, Arc<Trunk>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trunk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole message of one of those who listen.
    fn said(&self, who: Who, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.board.said(who, bytes);
        inner.wake();
    }

    /// A whole message of the provider's, from which its key was taken out so often.
    fn heard(&self, message: &[u8], hits: usize) -> Result<(), ()> {
        let mut inner = self.inner();
        if hits > 0 {
            inner.ways.values().for_each(|(mail, _)| mail.blanked(hits));
        }
        inner.board.heard(message).map_err(drop)
    }

    fn leave(&self, who: Who) {
        let mut inner = self.inner();
        inner.board.leave(who);
        inner.ways.remove(&who);
        inner.held_up.remove(&who);
        inner.wake();
    }

    /// The way of whoever came last among those whom this secret serves still, and in which
    /// version; whoever another one serves now, or none, is sent away to ask anew.
    fn way(&self, corridor: &Corridor) -> Option<(Arc<Way>, u32)> {
        let stays = |(mail, way): &Comer| !mail.is_over() && way.is_in_standing();
        let staying = |(who, comer): (&Who, &Comer)| stays(comer).then(|| (*who, comer.1.clone()));
        let mut ways: Vec<_> = self.inner().ways.iter().filter_map(staying).collect();
        ways.sort_unstable_by_key(|(who, _)| *who);
        let mut last = None;
        for (who, way) in ways {
            match way.selected(corridor, self.key.secret) {
                Ok(selected) => last = Some((way, selected.version())),
                Err(_elsewhere) => self.inner().board.send_away(who),
            }
        }
        last
    }

    /// The connection broke, or was closed.
    fn broke(&self) {
        let mut inner = self.inner();
        inner.board.broke();
        inner.hear_again();
    }

    /// The provider takes too little for now; whoever asks is woken when it has taken more.
    fn is_congested(&self, who: Who, context: &Context<'_>) -> bool {
        let mut inner = self.inner();
        let is_congested = inner.board.is_congested();
        if is_congested {
            inner.held_up.insert(who, context.waker().clone());
        }
        is_congested
    }

    /// Nobody listens any more; else the keeper is woken when it comes to that.
    fn is_deserted(&self, context: &Context<'_>) -> bool {
        let mut inner = self.inner();
        inner.keeper = Some(context.waker().clone());
        inner.board.is_empty()
    }

    /// What the provider is to be told, where it takes anything; the keeper is woken when there is
    /// more.
    fn outbox(&self, takes: bool, context: &Context<'_>) -> (VecDeque<Vec<u8>>, bool) {
        let mut inner = self.inner();
        inner.keeper = Some(context.waker().clone());
        let mut words = VecDeque::new();
        if takes {
            words = inner.board.take_outbox();
            inner.hear_again();
        }
        (words, inner.board.is_empty())
    }
}

impl Inner {
    fn hear_again(&mut self) {
        self.held_up.drain().for_each(|(_, waker)| waker.wake());
    }

    fn wake(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }
}
