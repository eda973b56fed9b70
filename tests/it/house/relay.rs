//! A way over TCP that the test can close and open again: what lies behind it is then away, and
//! back, without knowing of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    pub address: SocketAddr,
    open: Arc<AtomicBool>,
    /// How long what is asked is held up, in milliseconds.
    slow_ms: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let slow_ms = Arc::new(AtomicU64::new(0));
        let way = (behind, Arc::clone(&open), Arc::clone(&slow_ms));
        let accepting = tokio::spawn(accept(listener, way));
        Self { address, open, slow_ms, accepting }
    }

    /// Closed, connections end at once, old ones at their next byte.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    /// From now on all that is asked arrives so much later.
    pub(crate) fn slow_down(&self, by: Duration) {
        self.slow_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    (behind, open, slow_ms): (SocketAddr, Arc<AtomicBool>, Arc<AtomicU64>),
) {
    while let Ok((near, _)) = listener.accept().await {
        let (open, slow_ms) = (Arc::clone(&open), Arc::clone(&slow_ms));
        tokio::spawn(async move {
            if !open.load(Ordering::SeqCst) {
                return;
            }
            let Ok(far) = TcpStream::connect(behind).await else { return };
            // One exchange a connection would do; it is cut as soon as the way is closed.
            let closed = async {
                while open.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                () = carry(near, far, &slow_ms) => {}
                () = closed => {}
            }
        });
    }
}

/// Both ways, until either side ends.
async fn carry(near: TcpStream, far: TcpStream, slow_ms: &AtomicU64) {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
        (near.into_split(), far.into_split());
    let there = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_near.read(&mut bytes).await {
            let slow = Duration::from_millis(slow_ms.load(Ordering::SeqCst));
            tokio::time::sleep(slow).await;
            if to_far.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
        let _ended = to_far.shutdown().await;
    };
    let back = async {
        let _ended = tokio::io::copy(&mut from_far, &mut to_near).await;
        let _ended = to_near.shutdown().await;
    };
    tokio::join!(there, back);
}
