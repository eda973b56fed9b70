//! A way to Redis on which the answers are late, or never come: what was asked has been done then,
//! and nobody was told. Asking itself is never held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Relay {
    port: u16,
    late_ms: Arc<AtomicU64>,
    /// Grows with every cut.
    cuts: watch::Sender<u64>,
    is_open: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(super) async fn to(behind: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let late_ms = Arc::new(AtomicU64::new(0));
        let cuts = watch::Sender::new(0);
        let is_open = Arc::new(AtomicBool::new(true));
        let may_pass = Arc::clone(&is_open);
        let (late, sender) = (Arc::clone(&late_ms), cuts.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if !may_pass.load(Ordering::SeqCst) {
                    continue;
                }
                let (late, mut cut) = (Arc::clone(&late), sender.subscribe());
                let Ok(far) = TcpStream::connect(("127.0.0.1", behind)).await else { continue };
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(near, far, &late) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, late_ms, cuts, is_open, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on every answer comes so much later.
    pub(super) fn delay_answers(&self, by_ms: u64) {
        self.late_ms.store(by_ms, Ordering::SeqCst);
    }

    /// Every connection ends, and none is made until it is opened.
    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.cut();
    }

    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// Every connection ends, and the answers that were on their way are lost.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(near: TcpStream, far: TcpStream, late_ms: &AtomicU64) {
    let _set = (near.set_nodelay(true), far.set_nodelay(true));
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
        (near.into_split(), far.into_split());
    let there = async {
        let _ended = tokio::io::copy(&mut from_near, &mut to_far).await;
        let _ended = to_far.shutdown().await;
    };
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel::<(u64, Vec<u8>)>();
    let hear = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
            let due = super::hand_ns() + late_ms.load(Ordering::SeqCst) * 1_000_000;
            if sender.send((due, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let back = async {
        while let Some((due, bytes)) = answers.recv().await {
            let wait = due.saturating_sub(super::hand_ns());
            tokio::time::sleep(Duration::from_nanos(wait)).await;
            if to_near.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ended = to_near.shutdown().await;
    };
    tokio::join!(there, hear, back);
}
