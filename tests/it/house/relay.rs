//! A way over TCP that the test can close and open again: what lies behind it is then away, and
//! back, without knowing of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    pub address: SocketAddr,
    open: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let accepting = tokio::spawn(accept(listener, behind, Arc::clone(&open)));
        Self { address, open, accepting }
    }

    /// Closed, connections end at once, old ones at their next byte.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, behind: SocketAddr, open: Arc<AtomicBool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            if !open.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut far) = TcpStream::connect(behind).await else { return };
            // One exchange a connection would do; it is cut as soon as the way is closed.
            let closed = async {
                while open.load(Ordering::SeqCst) {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = closed => {}
            }
        });
    }
}
