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
    ways: HashMap<Who, Arc<Way>>,
    /// Of whoever keeps the connection.
    keeper: Option<Waker>,
}

impl Fanout {
    /// A place among those who listen; true where nobody keeps the connection yet.
    fn join(
        &self,
        key: &Key,
        (dialect, codec): (Dialect, Codec),
        (mail, way): (Arc<Mail>, Arc<Way>),
    ) -> Result<(Arc<Trunk>, Who, bool), Refusal> {
        let mut trunks = self.trunks();
        let mut is_new = false;
        let trunk = trunks.entry(key.clone()).or_insert_with(|| {
            is_new = true;
            let (board, ways) = (Board::new(dialect, codec), HashMap::new());
            let inner = Mutex::new(Inner { board, ways, keeper: None });
            Arc::new(Trunk { key: key.clone(), codec, inner })
        });
        if trunk.codec != codec {
            let detail = "The provider allows one socket there, and those who share it speak another \
                          codec: JSON or MessagePack, and not both.";
            return Err(Refusal::new(Reason::Overloaded, detail));
        }
        let trunk = Arc::clone(trunk);
        let mut inner = trunk.inner();
        let who = inner.board.join(mail);
        inner.ways.insert(who, way);
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

    fn leave(&self, who: Who) {
        let mut inner = self.inner();
        inner.board.leave(who);
        inner.ways.remove(&who);
        inner.wake();
    }

    /// The way of whoever came last: it knows the provider as it is now.
    fn way(&self) -> Option<Arc<Way>> {
        let inner = self.inner();
        let mut good: Vec<_> = inner.ways.iter().filter(|(_, way)| way.is_in_standing()).collect();
        good.sort_unstable_by_key(|(who, _)| **who);
        good.pop().map(|(_, way)| Arc::clone(way))
    }

    /// Nobody listens any more; else the keeper is woken when it comes to that.
    fn is_deserted(&self, context: &Context<'_>) -> bool {
        let mut inner = self.inner();
        inner.keeper = Some(context.waker().clone());
        inner.board.is_empty()
    }

    /// What the provider is to be told; the keeper is woken when there is more.
    fn outbox(&self, context: &Context<'_>) -> (VecDeque<Vec<u8>>, bool) {
        let mut inner = self.inner();
        inner.keeper = Some(context.waker().clone());
        (inner.board.take_outbox(), inner.board.is_empty())
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }
}
