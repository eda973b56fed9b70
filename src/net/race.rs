//! Happy eyeballs (RFC 8305): connections to several addresses, one begun a moment after the other,
//! the first that stands wins. Must never begin two at once, and never let one that hangs hold up
//! the rest.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::health::Candidate;
use crate::clock::Clock;

/// What RFC 8305 recommends as the delay between two attempts.
const STAGGER: Duration = Duration::from_millis(250);

pub(super) struct Race {
    waiting: VecDeque<Candidate>,
    running: Vec<Candidate>,
    /// Aborted when the race is dropped.
    sockets: JoinSet<(SocketAddr, io::Result<TcpStream>)>,
    clock: Clock,
}

impl Race {
    pub(super) fn of(candidates: Vec<Candidate>, clock: Clock) -> Self {
        Self { waiting: candidates.into(), running: Vec::new(), sockets: JoinSet::new(), clock }
    }

    /// Is there nobody left who could win?
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// The next connection that stands; why the last one failed, if none does. Whoever finds it of
    /// no use asks for the next.
    pub(super) async fn winner(&mut self) -> Result<(TcpStream, Candidate), Option<io::Error>> {
        let mut last = None;
        loop {
            if self.running.is_empty() && !self.begin_next() {
                return Err(last);
            }
            let ended = tokio::select! {
                ended = self.sockets.join_next() => ended,
                () = tokio::time::sleep(STAGGER), if !self.waiting.is_empty() => {
                    self.begin_next();
                    continue;
                }
            };
            // A task that was neither aborted nor panicked always tells.
            let Some(Ok((address, outcome))) = ended else { return Err(last) };
            let at = self.running.iter().position(|running| running.address == address);
            let Some(at) = at else { continue };
            match outcome {
                Ok(socket) => {
                    // Those before it had a head start, and lost it.
                    self.running.iter().take(at).for_each(|slow| self.failed(slow));
                    return Ok((socket, self.running.remove(at)));
                }
                Err(cause) => {
                    let candidate = self.running.remove(at);
                    self.failed(&candidate);
                    last = Some(cause);
                    self.begin_next();
                }
            }
        }
    }

    /// Time is up for all that were begun.
    pub(super) fn all_failed(&self) {
        self.running.iter().for_each(|slow| self.failed(slow));
    }

    fn failed(&self, candidate: &Candidate) {
        candidate.breaker.failed(self.clock.monotonic_ns(), candidate.is_probe);
    }

    fn begin_next(&mut self) -> bool {
        let Some(next) = self.waiting.pop_front() else { return false };
        let address = next.address;
        self.running.push(next);
        self.sockets.spawn(async move { (address, TcpStream::connect(address).await) });
        true
    }
}
