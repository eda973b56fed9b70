//! The work of a connection, on the thread that made it. Tells the pool how many calls at once an
//! HTTP/2 connection takes, as soon as the provider has said it: only then is it shared.
//! Must never hold a connection open that nobody has a use for.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;

use super::{Making, Pool, Shared};
use crate::inject::OutboundBody;
use crate::net::Stream;
use crate::secret;

/// What no provider can say: its settings have not come yet.
pub(super) const UNSAID: usize = 1 << 32;

/// A connection's own work, until it closes; how it ended is told to the calls that it carried. Its
/// buffers have held keys: they are wiped when they grow, and with it.
pub(super) async fn driven<C: Future>(connection: C) {
    let mut connection = Box::pin(connection);
    poll_fn(|context| secret::wiping_all(|| connection.as_mut().poll(context).map(drop))).await;
    secret::wiping_all(|| drop(connection));
}

/// HTTP/2 hands the work on its frames, which is where keys are compressed, to tasks of its own.
#[derive(Clone, Default)]
pub(super) struct Driver(Arc<Word>);

/// Wakes whoever waits for the provider's settings when anything was read: nothing else does.
#[derive(Default)]
struct Word {
    is_said: AtomicBool,
    awaits: Mutex<Option<Waker>>,
}

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Driver {
    fn execute(&self, task: F) {
        let word = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut task = Box::pin(task);
            poll_fn(|context| {
                let polled = secret::wiping_all(|| task.as_mut().poll(context).map(drop));
                word.may_be_said();
                polled
            })
            .await;
            secret::wiping_all(|| drop(task));
        });
    }
}

impl Word {
    fn may_be_said(&self) {
        if self.is_said.load(Ordering::Relaxed) {
            return;
        }
        let waker = self.awaits.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait(&self, context: &Context<'_>) {
        let waker = Some(context.waker().clone());
        *self.awaits.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }
}

/// What is left to do when the provider's settings have come.
pub(super) struct Landing {
    pub(super) pool: Pool,
    pub(super) host: Arc<str>,
    /// Of the call that made it, so that one that it gave up closes.
    pub(super) shared: Weak<Shared>,
    /// Whoever waits, looks around again when this is dropped.
    pub(super) _making: Option<Making>,
}

/// The work of an HTTP/2 connection.
pub(super) async fn driven_shared(
    connection: http2::Connection<TokioIo<Stream>, OutboundBody, Driver>,
    Driver(word): Driver,
    most: Arc<AtomicUsize>,
    landing: Landing,
) {
    let mut connection = Box::pin(connection);
    let mut landing = Some(landing);
    poll_fn(|context| {
        let polled = secret::wiping_all(|| connection.as_mut().poll(context).map(drop));
        if polled.is_ready() {
            landing = None;
            return Poll::Ready(());
        }
        let said = connection.current_max_send_streams();
        if said == UNSAID {
            word.wait(context);
            return Poll::Pending;
        }
        most.store(said, Ordering::Relaxed);
        if let Some(Landing { pool, host, shared, _making }) = landing.take() {
            word.is_said.store(true, Ordering::Relaxed);
            if let Some(shared) = shared.upgrade() {
                pool.share(&host, shared);
            }
        }
        Poll::Pending
    })
    .await;
    secret::wiping_all(|| drop(connection));
}
