//! What waits for one of those who listen: whole frames, in order, bounded. Whoever takes too
//! little is told so and is out; nobody waits for him.
//! Must never hold more than its bound, nor deliver anything behind the last word.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::dialect::No;

/// Whoever has so much to take is too slow.
const MOST: usize = 1024 * 1024;
/// What a letter weighs beside its bytes: many that say nothing are much, too.
const COST: usize = 64;

#[derive(Default)]
pub(super) struct Mail(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    frames: VecDeque<Letter>,
    bytes: usize,
    /// The provider has taken the key.
    is_open: bool,
    over: Option<Over>,
    /// The last word for whoever takes too little.
    when_slow: Option<Bytes>,
    /// How often the provider's key was taken out of what came on the socket.
    hits: usize,
    waker: Option<Waker>,
}

pub(super) struct Letter {
    pub(super) frame: Bytes,
    /// Not a pong or its like.
    pub(super) is_message: bool,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Too much waited.
    Slow,
    /// Nobody was let in, and the provider's words for it were said.
    No(No),
    /// The provider did not take our key.
    Refused,
    /// The provider's entry or its secret are others now: ask anew.
    Altered,
    /// The client itself said goodbye, and was answered.
    Client,
}

impl Mail {
    pub(super) fn put(&self, frame: Bytes) {
        self.lodge(Letter { frame, is_message: true });
    }

    pub(super) fn put_control(&self, frame: Bytes) {
        self.lodge(Letter { frame, is_message: false });
    }

    fn lodge(&self, letter: Letter) {
        let mut letters = self.letters();
        if letters.over.is_some() {
            return;
        }
        letters.add(letter);
        if letters.bytes > MOST {
            let last = letters.when_slow.take();
            letters.end(Over::Slow, last);
        }
        letters.wake();
    }

    pub(super) fn say_when_slow(&self, frame: Bytes) {
        self.letters().when_slow = Some(frame);
    }

    pub(super) fn is_too_slow(&self) -> bool {
        self.letters().over == Some(Over::Slow)
    }

    /// For whoever cannot take what is on its way to him: has too much come behind it?
    pub(super) fn poll_too_slow(&self, context: &Context<'_>) -> Poll<()> {
        let mut letters = self.letters();
        if letters.over == Some(Over::Slow) {
            return Poll::Ready(());
        }
        letters.waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn blanked(&self, hits: usize) {
        let mut letters = self.letters();
        letters.hits = letters.hits.saturating_add(hits);
    }

    pub(super) fn hits(&self) -> usize {
        self.letters().hits
    }

    /// What is left in it, as one piece.
    pub(super) fn rest(&self) -> Vec<u8> {
        let mut letters = self.letters();
        letters.bytes = 0;
        letters.frames.drain(..).flat_map(|letter| letter.frame).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        self.letters().over.is_some()
    }

    pub(super) fn open(&self) {
        let mut letters = self.letters();
        letters.is_open = true;
        letters.wake();
    }

    pub(super) fn is_open(&self) -> bool {
        self.letters().is_open
    }

    /// Behind what waits already; where that is too much, in its place.
    pub(super) fn end(&self, over: Over, last: Option<Bytes>) {
        let mut letters = self.letters();
        if letters.over.is_some() {
            return;
        }
        letters.end(over, last);
        letters.wake();
    }

    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Result<Letter, Over>> {
        let mut letters = self.letters();
        if let Some(letter) = letters.frames.pop_front() {
            letters.bytes = letters.bytes.saturating_sub(letter.weight());
            return Poll::Ready(Ok(letter));
        }
        match letters.over {
            Some(over) => Poll::Ready(Err(over)),
            None => {
                letters.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letter {
    fn weight(&self) -> usize {
        self.frame.len() + COST
    }
}

impl Letters {
    fn add(&mut self, letter: Letter) {
        self.bytes += letter.weight();
        self.frames.push_back(letter);
    }

    fn end(&mut self, over: Over, last: Option<Bytes>) {
        if over == Over::Slow {
            self.frames.clear();
            self.bytes = 0;
        }
        if let Some(frame) = last {
            self.add(Letter { frame, is_message: true });
        }
        self.over = Some(over);
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
