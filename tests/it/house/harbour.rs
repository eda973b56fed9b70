//! A provider of sockets: what it does with a handshake and what it says afterwards stands in the
//! path. It keeps every head, so that a test sees what left, and says how many are open.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;

use super::frames::{self, BINARY, CLOSE, CONTINUATION, Frame, PING, TEXT, accept_of};
use super::outpost::{Certificate, Speaks, identity};

pub(crate) struct Harbour {
    pub address: SocketAddr,
    ca_file: PathBuf,
    pier: Arc<Pier>,
    _folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Pier {
    heads: Mutex<Vec<String>>,
    /// Every message that came, by opcode.
    messages: Mutex<Vec<(u8, Vec<u8>)>>,
    open: AtomicUsize,
    /// Bytes that came behind a head that was not answered with a socket.
    stray: AtomicUsize,
}

type Line = TlsStream<TcpStream>;

impl Harbour {
    pub(crate) async fn open() -> Self {
        // Both, so that HTTP/2 would be spoken if it were asked for.
        let (ca_pem, acceptor) = identity(Speaks::Both, Certificate::Right);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("harbour.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        let pier = Arc::new(Pier::default());
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&pier)));
        Self { address, ca_file, pier, _folder: folder, accepting }
    }

    /// Its entry in the settings, as `sea`; `more` are further lines.
    pub(crate) fn settings(&self, more: &str) -> String {
        let port = self.address.port();
        format!(
            "[providers.sea]\nbase_url = \"https://localhost:{port}\"\n\
             websocket_url = \"wss://localhost:{port}/sea\"\ncategory = \"tests\"\n\
             allow_private_network = true\nca_file = \"{}\"\n\
             inject = [{{ at = \"header\", name = \"Authorization\", value = \"Bearer {{api_key}}\" }}]\n\
             {more}\n",
            self.ca_file.display()
        )
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.pier.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn messages(&self) -> Vec<(u8, Vec<u8>)> {
        self.pier.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn stray(&self) -> usize {
        self.pier.stray.load(Ordering::SeqCst)
    }

    /// Until so many connections are open.
    pub(crate) async fn wait_for_open(&self, wanted: usize) {
        for _ in 0..500 {
            if self.pier.open.load(Ordering::SeqCst) == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} are open, not {wanted}", self.pier.open.load(Ordering::SeqCst));
    }
}

impl Drop for Harbour {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One that is open.
struct Moored(Arc<Pier>);

impl Drop for Moored {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor, pier: Arc<Pier>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, pier) = (acceptor.clone(), Arc::clone(&pier));
        connections.spawn(async move {
            let Ok(mut line) = acceptor.accept(stream).await else { return };
            pier.open.fetch_add(1, Ordering::SeqCst);
            let _moored = Moored(Arc::clone(&pier));
            let Some(head) = read_head(&mut line).await else { return };
            pier.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
            // Whoever hangs up has his reasons.
            let _ = serve(&mut line, &head, &pier).await;
        });
    }
}

async fn read_head(line: &mut Line) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(line.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// The value of a header in a head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

async fn serve(line: &mut Line, head: &str, pier: &Pier) -> std::io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix("/sea").unwrap_or("/outside");
    let word = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    let key = header(head, "sec-websocket-key").unwrap_or_default();
    let accept = format!("Sec-WebSocket-Accept: {}\r\n", accept_of(key));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let lines = match word {
        "refuse" => {
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\
                          Content-Length: 9\r\n\r\nno berth!";
            line.write_all(answer.as_bytes()).await?;
            let mut rest = [0; 1024];
            while let Ok(count @ 1..) = line.read(&mut rest).await {
                pier.stray.fetch_add(count, Ordering::SeqCst);
            }
            return Ok(());
        }
        "wrong-accept" => {
            format!("{upgrade}Sec-WebSocket-Accept: {}\r\n", accept_of("another key"))
        }
        "no-accept" => upgrade.to_owned(),
        "no-upgrade" => format!("Connection: Upgrade\r\n{accept}"),
        "other-protocol" => format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{accept}"),
        "unnominated" => format!("Upgrade: websocket\r\n{accept}"),
        "extension" => {
            format!("{upgrade}{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n")
        }
        "strange-choice" => format!("{upgrade}{accept}Sec-WebSocket-Protocol: never-offered\r\n"),
        "choice" => format!("{upgrade}{accept}Sec-WebSocket-Protocol: realtime\r\n"),
        "key-in-head" => {
            let real = header(head, "authorization").unwrap_or_default();
            format!("{upgrade}{accept}X-Echoed: {real}\r\n")
        }
        _ => format!("{upgrade}{accept}X-Pier: seven\r\n"),
    };
    if let Some((_, text)) = path.split_once("n=").filter(|_| word.starts_with("slow")) {
        pause(&mut *line, text.parse().unwrap()).await?;
    }
    let mut answer = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n").into_bytes();
    if word == "early" {
        answer.extend(frames::written(true, TEXT, b"early", None));
    }
    line.write_all(&answer).await?;
    let real = header(head, "authorization").unwrap_or_default().replace("Bearer ", "");
    act(line, (word, path), &real, pier).await
}

/// A long one ends with its client.
async fn pause(line: &mut Line, milliseconds: usize) -> std::io::Result<()> {
    let pause = tokio::time::sleep(Duration::from_millis(milliseconds as u64));
    if milliseconds < 5_000 {
        pause.await;
        return Ok(());
    }
    tokio::select! {
        () = pause => Ok(()),
        _said = line.read_u8() => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Says the first word, hears the key, and lets it in after so many milliseconds.
async fn polygon(
    line: &mut Line,
    word: &str,
    after_ms: Option<usize>,
    pier: &Pier,
) -> std::io::Result<()> {
    let said = |status: &str, text: &str| {
        format!("[{{\"ev\":\"status\",\"status\":\"{status}\",\"message\":\"{text}\"}}]")
    };
    let status = if word == "full-polygon" { "max_connections" } else { "connected" };
    let mut first = said(status, "Connected Successfully");
    if word == "wordy-polygon" {
        let more = "{\"ev\":\"status\",\"status\":\"notice\",\"message\":\"delayed\"}";
        first = format!("{},{more}]", first.trim_end_matches(']'));
    }
    frames::write(line, true, TEXT, first.as_bytes(), None).await?;
    let Frame { opcode, payload, .. } = frames::read(line).await?;
    pier.messages.lock().unwrap_or_else(PoisonError::into_inner).push((opcode, payload));
    let after_ms = after_ms.filter(|_| !word.starts_with("slow"));
    pause(line, after_ms.unwrap_or(0)).await?;
    if word == "no-polygon" {
        let wait = said("notice", "please wait");
        frames::write(line, true, TEXT, wait.as_bytes(), None).await?;
        let no = said("auth_failed", "authentication failed");
        return frames::write(line, true, TEXT, no.as_bytes(), None).await;
    }
    let then = said("auth_success", "authenticated");
    frames::write(line, true, TEXT, then.as_bytes(), None).await
}

/// What it does once the socket is open.
async fn act(
    line: &mut Line,
    (word, path): (&str, &str),
    real: &str,
    pier: &Pier,
) -> std::io::Result<()> {
    let number = path.split_once("n=").and_then(|(_, text)| text.parse::<usize>().ok());
    if matches!(word, "masked" | "reserved") {
        // Not with the head.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    match word {
        "leak" => {
            let said = format!("{{\"your key\":\"{real}\"}}");
            frames::write(line, true, TEXT, said.as_bytes(), None).await?;
            let (one, two) = said.as_bytes().split_at(said.len() / 2);
            frames::write(line, false, BINARY, one, None).await?;
            frames::write(line, true, PING, b"between", None).await?;
            frames::write(line, true, CONTINUATION, two, None).await?;
        }
        _ if word.ends_with("polygon") => polygon(line, word, number, pier).await?,
        "flood" => {
            let block = vec![b'f'; 64 * 1024];
            for _ in 0..number.unwrap_or(1) {
                frames::write(line, true, BINARY, &block, None).await?;
            }
        }
        "masked" => frames::write(line, true, TEXT, b"hidden", Some([1, 2, 3, 4])).await?,
        "reserved" => line.write_all(&[0xc1, 1, b'x']).await?,
        "vanish" => {
            let _ = frames::read(line).await?;
            return Ok(());
        }
        "stall" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Ok(());
        }
        "farewell" => {
            let why = [&4321_u16.to_be_bytes()[..], b"enough"].concat();
            frames::write(line, true, CLOSE, &why, None).await?;
        }
        _ => {}
    }
    answer_all(line, pier).await
}

/// Says back whatever is said, until the client goes.
async fn answer_all(line: &mut Line, pier: &Pier) -> std::io::Result<()> {
    loop {
        let Frame { is_last, opcode, payload } = frames::read(line).await?;
        pier.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((opcode, payload.clone()));
        match opcode {
            CLOSE => {
                frames::write(line, true, CLOSE, &payload, None).await?;
                line.shutdown().await?;
                return Ok(());
            }
            PING => frames::write(line, true, frames::PONG, &payload, None).await?,
            TEXT | BINARY | CONTINUATION => {
                frames::write(line, is_last, opcode, &payload, None).await?;
            }
            _ => {}
        }
    }
}
