//! A provider of market data that allows one socket and kicks a second: Polygon's words, trades of
//! whatever is subscribed to, numbered by symbol as they are sent. It keeps what it was asked for,
//! says how many sockets it ever saw at once, and can be restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;

use super::frames::{self, CLOSE, PING, TEXT, accept_of};
use super::outpost::{Certificate, Speaks, identity};

pub(crate) struct Exchange {
    pub address: SocketAddr,
    ca_file: PathBuf,
    floor: Arc<Floor>,
    restarts: watch::Sender<u64>,
    _folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Floor {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    open: usize,
    most_open: usize,
    kicked: usize,
    logins: Vec<String>,
    wanted: BTreeSet<String>,
    /// Of each symbol, how many trades were told.
    told: BTreeMap<String, u64>,
    /// Topics that this plan does not have.
    barred: BTreeSet<String>,
    is_shut: bool,
}

type Line = TlsStream<TcpStream>;

const EVERY: Duration = Duration::from_millis(50);
/// What is traded where all are asked for.
pub(crate) const LISTED: usize = 24;

impl Exchange {
    pub(crate) async fn open() -> Self {
        let (ca_pem, acceptor) = identity(Speaks::Both, Certificate::Right);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("exchange.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        let floor = Arc::new(Floor::default());
        let (restarts, restarted) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, acceptor, (Arc::clone(&floor), restarted)));
        Self { address, ca_file, floor, restarts, _folder: folder, accepting }
    }

    /// Its entry in the settings, as `sea`.
    pub(crate) fn settings(&self) -> String {
        let port = self.address.port();
        format!(
            "[providers.sea]\nbase_url = \"https://localhost:{port}\"\n\
             websocket_url = \"wss://localhost:{port}\"\ncategory = \"tests\"\n\
             allow_private_network = true\nca_file = \"{}\"\n\
             inject = [{{ at = \"header\", name = \"Authorization\", value = \"Bearer {{api_key}}\" }}]\n\
             [providers.sea.socket]\ninject = []\n\
             dialects = [{{ speaks = \"polygon\", reads_only = true, fan_out = true }}]\n",
            self.ca_file.display()
        )
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.floor.book()
    }

    pub(crate) fn wanted(&self) -> BTreeSet<String> {
        self.book().wanted.clone()
    }

    /// Most sockets at once, those that were kicked, and the keys that were shown.
    pub(crate) fn seen(&self) -> (usize, usize, Vec<String>) {
        let book = self.book();
        (book.most_open, book.kicked, book.logins.clone())
    }

    pub(crate) fn open_now(&self) -> usize {
        self.book().open
    }

    pub(crate) fn bar(&self, topic: &str) {
        self.book().barred.insert(topic.to_owned());
    }

    /// Every connection breaks.
    pub(crate) fn restart(&self) {
        self.restarts.send_modify(|count| *count += 1);
    }

    /// Takes nobody in, or does again.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.book().is_shut = is_shut;
    }

    pub(crate) async fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it is never so: {what}");
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Floor {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Open(Arc<Floor>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut book = self.0.book();
        book.open -= 1;
        if book.open == 0 {
            book.wanted.clear();
        }
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    (floor, restarted): (Arc<Floor>, watch::Receiver<u64>),
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, floor) = (acceptor.clone(), Arc::clone(&floor));
        let mut restarted = restarted.clone();
        restarted.mark_unchanged();
        connections.spawn(async move {
            let Ok(line) = acceptor.accept(stream).await else { return };
            tokio::select! {
                _ended = serve(line, floor) => {}
                _restart = restarted.changed() => {}
            }
        });
    }
}

fn status(status: &str, message: &str) -> String {
    json!([{"ev": "status", "status": status, "message": message}]).to_string()
}

async fn serve(mut line: Line, floor: Arc<Floor>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(line.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if floor.book().is_shut {
        return line.write_all(b"HTTP/1.1 503 Shut\r\nContent-Length: 0\r\n\r\n").await;
    }
    let key = super::harbour::header(&head, "sec-websocket-key").unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_of(key)
    );
    line.write_all(answer.as_bytes()).await?;
    let is_second = {
        let mut book = floor.book();
        book.open += 1;
        book.most_open = book.most_open.max(book.open);
        book.kicked += usize::from(book.open > 1);
        book.open > 1
    };
    let _open = Open(Arc::clone(&floor));
    if is_second {
        let no = status("max_connections", "Maximum number of connections exceeded.");
        return frames::write(&mut line, true, TEXT, no.as_bytes(), None).await;
    }
    let first = status("connected", "Connected Successfully");
    frames::write(&mut line, true, TEXT, first.as_bytes(), None).await?;
    let shown: Value = serde_json::from_slice(&frames::read(&mut line).await?.payload)?;
    floor.book().logins.push(shown["params"].as_str().unwrap_or_default().to_owned());
    let yes = status("auth_success", "authenticated");
    frames::write(&mut line, true, TEXT, yes.as_bytes(), None).await?;
    let (reading, writing) = tokio::io::split(line);
    let (said, hears) = tokio::sync::mpsc::unbounded_channel();
    tokio::select! {
        ended = listen(reading, &floor, said) => ended,
        ended = talk(writing, &floor, hears) => ended,
    }
}

type Said = (u8, Vec<u8>);

async fn listen(
    mut reading: ReadHalf<Line>,
    floor: &Floor,
    answers: tokio::sync::mpsc::UnboundedSender<Said>,
) -> std::io::Result<()> {
    loop {
        let frame = frames::read(&mut reading).await?;
        match frame.opcode {
            CLOSE => {
                let _ = answers.send((CLOSE, frame.payload));
                // Whoever said goodbye goes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Ok(());
            }
            PING => drop(answers.send((frames::PONG, frame.payload))),
            TEXT => {
                let said: Value = serde_json::from_slice(&frame.payload)?;
                let params = said["params"].as_str().unwrap_or_default();
                let mut statuses = Vec::new();
                let mut book = floor.book();
                for topic in params.split(',') {
                    let word = match said["action"].as_str() {
                        Some("subscribe") if book.barred.contains(topic) => {
                            let message = format!("You are not entitled to {topic}.");
                            statuses.push(
                                json!({"ev": "status", "status": "error", "message": message}),
                            );
                            continue;
                        }
                        Some("subscribe") => {
                            book.wanted.insert(topic.to_owned());
                            "subscribed"
                        }
                        _ => {
                            book.wanted.remove(topic);
                            "unsubscribed"
                        }
                    };
                    let message = format!("{word} to: {topic}");
                    statuses.push(json!({"ev": "status", "status": "success", "message": message}));
                }
                // Under the lock, so that no trade comes between.
                let _ = answers.send((TEXT, Value::from(statuses).to_string().into_bytes()));
            }
            _ => {}
        }
    }
}

async fn talk(
    mut writing: WriteHalf<Line>,
    floor: &Floor,
    mut answers: tokio::sync::mpsc::UnboundedReceiver<Said>,
) -> std::io::Result<()> {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            biased;
            answer = answers.recv() => {
                let Some((opcode, payload)) = answer else { return Ok(()) };
                frames::write(&mut writing, true, opcode, &payload, None).await?;
            }
            _ = ticks.tick() => {
                let trades = floor.book().trades();
                // What was answered before these were made goes out before them.
                while let Ok((opcode, payload)) = answers.try_recv() {
                    frames::write(&mut writing, true, opcode, &payload, None).await?;
                }
                if let Some(trades) = trades {
                    frames::write(&mut writing, true, TEXT, trades.as_bytes(), None).await?;
                }
            }
        }
    }
}

impl Book {
    fn trades(&mut self) -> Option<String> {
        let all = self.wanted.contains("T.*");
        let listed = (0..LISTED).map(|number| format!("S{number}"));
        let wanted: Vec<String> =
            listed.filter(|symbol| all || self.wanted.contains(&format!("T.{symbol}"))).collect();
        let mut trades = Vec::new();
        for symbol in wanted {
            let told = self.told.entry(symbol.clone()).or_default();
            *told += 1;
            trades.push(json!({"ev": "T", "sym": symbol, "n": *told}));
        }
        (!trades.is_empty()).then(|| Value::from(trades).to_string())
    }
}
