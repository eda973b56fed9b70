//! A request written byte by byte: what a polite client library would never send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Answer;

/// Sends the bytes, reads until the other side closes, and reads the first answer out of it.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut all = Vec::new();
    let reading = stream.read_to_end(&mut all);
    let done = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(done.is_ok(), "not closed: {}", String::from_utf8_lossy(&all));
    parse(&all)
}

fn parse(all: &[u8]) -> Answer {
    let end = memchr::memmem::find(all, b"\r\n\r\n").expect("no head was answered");
    let head = std::str::from_utf8(&all[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.trim().parse().unwrap());
    }
    Answer {
        status,
        version: http::Version::HTTP_11,
        headers,
        body: Bytes::copy_from_slice(&all[end + 4..]),
    }
}
