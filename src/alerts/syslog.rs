//! An alert as a message of syslog (RFC 5424), to where the settings say: a datagram, a socket of
//! this machine, or a TCP connection (RFC 6587, counted octets).
//! Must never call a TCP message delivered before the other side has taken the end of it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host};

use super::Alerts;
use super::deliver::Fault;
use crate::clock::rfc3339;
use crate::store::{DeliveryRow, Event};

/// `local0`, which every installation may sort as it likes.
const FACILITY: u8 = 16;
/// How long the other side may take to close what it has read.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);
const UNSET: &str = "nobody takes messages of syslog: see alerts.syslog in the settings";

/// Who takes messages of syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Logger {
    /// `host:port`.
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

impl Logger {
    /// `udp://host:port`, `tcp://host:port`, `unix:/path`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Some(Self::Unix(PathBuf::from(path)));
        }
        let (scheme, address) = text.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let address = (!host.is_empty() && is_port).then(|| address.to_owned())?;
        match scheme {
            "udp" => Some(Self::Udp(address)),
            "tcp" => Some(Self::Tcp(address)),
            _ => None,
        }
    }

    async fn send(&self, message: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(address) => {
                let to = lookup_host(address.as_str()).await?.next();
                let to = to.ok_or_else(|| std::io::Error::other("its name has no address"))?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(from).await?;
                socket.connect(to).await?;
                socket.send(message).await.map(drop)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address.as_str()).await?;
                carry(stream, message).await
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                match socket.connect(path) {
                    Ok(()) => socket.send(message).await.map(drop),
                    // A socket of the other sort.
                    Err(_) => carry(UnixStream::connect(path).await?, message).await,
                }
            }
        }
    }
}

impl Alerts {
    pub(super) async fn log(&self, row: &DeliveryRow) -> Result<(), Fault> {
        let logger = self.parts.settings.syslog.as_ref();
        let logger = logger.ok_or_else(|| Fault::passing(UNSET))?;
        let message = message(&self.parts.node, row);
        logger.send(message.as_bytes()).await.map_err(|fault| Fault::passing(fault.to_string()))
    }
}

/// The whole of it was taken once the other side closes after our end.
async fn carry<S>(mut stream: S, message: &[u8]) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let length = format!("{} ", message.len());
    stream.write_all(&[length.as_bytes(), message].concat()).await?;
    stream.shutdown().await?;
    let mut rest = [0; 64];
    let closed = async {
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    match tokio::time::timeout(CLOSES_WITHIN, closed).await {
        Ok(closed) => closed,
        Err(_) => Err(std::io::Error::other("it did not close what it was sent")),
    }
}

fn message(node: &str, row: &DeliveryRow) -> String {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let text = |name: &str| body.get("data").and_then(|data| data.get(name)?.as_str());
    let severity = match (row.event, text("severity")) {
        (Event::Raised, Some("critical")) => 2,
        (Event::Raised, Some("warning")) => 4,
        // What is over, what is for knowing alone, and a test.
        (Event::Raised | Event::Resolved | Event::Test | Event::Report, _) => 6,
    };
    let priority = FACILITY * 8 + severity;
    let (at, kind) = (rfc3339(row.created_at), text("kind").unwrap_or("test"));
    let host = word(node, 255);
    format!("<{priority}>1 {at} {host} sealgate - {} - {}", word(kind, 32), row.body)
}

/// Printable ASCII without a space, as its fields are.
fn word(text: &str, longest: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if word.is_empty() { String::from("-") } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_datagram_a_connection_or_a_socket_of_this_machine() {
        let udp = Logger::Udp(String::from("log.example:514"));
        assert_eq!(Logger::parse("udp://log.example:514"), Some(udp));
        assert_eq!(Logger::parse("tcp://[::1]:601"), Some(Logger::Tcp(String::from("[::1]:601"))));
        assert_eq!(Logger::parse("unix:/dev/log"), Some(Logger::Unix(PathBuf::from("/dev/log"))));
        for text in ["", "log.example:514", "udp://log.example", "udp://:514", "unix:dev/log"] {
            assert_eq!(Logger::parse(text), None, "{text}");
        }
    }
}
