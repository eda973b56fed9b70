//! The load: wrk on CPU 1, and what it cost whoever served it. Plain requests of its own for the
//! checks before and for connections that lie idle.
//! Must never report a round in which a request failed.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::peers::Target;
use crate::process;

/// Only the end is scripted: requests stay wrk's own, which is its fast way.
const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
"#;

/// The writer of records looks every tenth of a second: its share is waited for.
const SETTLE: Duration = Duration::from_millis(300);
const IDLE_CONNECTIONS: u32 = 400;

pub(crate) struct Wrk {
    script: PathBuf,
}

pub(crate) struct Load {
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// One round of one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Of the whole process tree, per request.
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Wrk {
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let script = folder.join("done.lua");
        fs::write(&script, SCRIPT).map_err(|cause| format!("{}: {cause}", script.display()))?;
        Ok(Self { script })
    }

    pub(crate) fn load(&self, target: &Target, load: &Load) -> Outcome<Taken> {
        let before = target.pid.map_or(Ok(0.0), process::cpu_us)?;
        let output = Command::new("wrk")
            .args(["-t", "1", "-c", &load.connections.to_string()])
            .args(["-d", &format!("{}s", load.seconds), "--timeout", "5s", "-s"])
            .arg(&self.script)
            .args(["-H", &target.header(Some(&target.key)), &target.url])
            .output()
            .map_err(|cause| format!("wrk: {cause}"))?;
        std::thread::sleep(SETTLE);
        let after = target.pid.map_or(Ok(0.0), process::cpu_us)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let words = line.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok());
        let numbers: Vec<f64> = words.collect();
        let &[requests, duration_us, p50_us, p99_us, errors] = numbers.as_slice() else {
            return Err(format!("{}: wrk said\n{text}", target.name));
        };
        if errors > 0.0 || requests < 1.0 {
            return Err(format!("{}: {errors} of {requests} requests failed", target.name));
        }
        let per_second = requests / duration_us * 1_000_000.0;
        Ok(Taken { cpu_us: (after - before) / requests, per_second, p50_us, p99_us })
    }
}

/// The status of one request on a connection of its own.
pub(crate) fn status_of(target: &Target, key: Option<&str>) -> Outcome<u16> {
    let mut stream = open(target)?;
    let head = ask(&mut stream, target, key)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| format!("{}: no status in {head:?}", target.name))
}

/// Opens many connections, has one request served on each, and sees what they cost while idle.
pub(crate) fn idle_connections_kib(target: &Target, pid: u32) -> Outcome<f64> {
    let before = process::rss_kib(pid)?;
    let mut streams = Vec::new();
    for _ in 0..IDLE_CONNECTIONS {
        let mut stream = open(target)?;
        ask(&mut stream, target, Some(&target.key))?;
        streams.push(stream);
    }
    // Longer than it takes a server to tidy up behind clients who fell silent.
    std::thread::sleep(Duration::from_secs(8));
    let after = process::rss_kib(pid)?;
    drop(streams);
    Ok((after - before) / f64::from(IDLE_CONNECTIONS))
}

fn open(target: &Target) -> Outcome<TcpStream> {
    let fault = |cause: std::io::Error| format!("{}: {cause}", target.name);
    let stream = TcpStream::connect(("127.0.0.1", target.port)).map_err(fault)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(fault)?;
    Ok(stream)
}

/// The answer's head; its body has been read.
fn ask(stream: &mut TcpStream, target: &Target, key: Option<&str>) -> Outcome<String> {
    let fault = |cause: std::io::Error| format!("{}: {cause}", target.name);
    let path = target.url.splitn(4, '/').nth(3).unwrap_or_default();
    let header = target.header(key);
    let request = format!("GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(fault)?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap_or(0))
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(head.to_owned());
            }
        }
        let count = stream.read(&mut buffer).map_err(fault)?;
        if count == 0 {
            return Err(format!("{}: closed after {text:?}", target.name));
        }
        seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}
