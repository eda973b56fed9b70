//! Latency at a moderate rate that is the same for all: requests leave on a schedule, whether or
//! not the former ones were answered, and are timed from when they were due.
//! Must never wait for an answer before the next request is sent on another connection.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::options::Options;
use crate::peers::Target;

const PER_SECOND: u32 = 2_000;
const CONNECTIONS: u32 = 32;

/// Interleaved like the other rows; the upstream alone speaks TLS and is left out.
pub(crate) fn measure(targets: &[Target], options: &Options) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| cause.to_string())?;
    let measured: Vec<&Target> = targets.iter().filter(|target| target.pid.is_some()).collect();
    let mut rounds: Vec<Vec<[f64; 2]>> = measured.iter().map(|_| Vec::new()).collect();
    for round in 0..=options.rounds {
        for (target, rounds) in measured.iter().zip(&mut rounds) {
            let seconds = if round == 0 { 1 } else { options.seconds };
            let figures = runtime.block_on(one_round(&target.at("small"), seconds))?;
            if round > 0 {
                rounds.push(figures);
            }
        }
    }
    println!("\n0.5 KB answer, {PER_SECOND} requests a second, {CONNECTIONS} connections");
    println!("{:<17}{:>10}{:>10}{:>10}", "", "p50 us", "p99 us", "of nginx");
    let median = |rounds: &[[f64; 2]], which: usize| {
        let mut values: Vec<f64> =
            rounds.iter().filter_map(|round| round.get(which).copied()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let nginx = rounds.get(1).map_or(f64::NAN, |rounds| median(rounds, 1));
    for (target, rounds) in measured.iter().zip(&rounds) {
        let (p50, p99) = (median(rounds, 0), median(rounds, 1));
        println!("{:<17}{p50:>10.0}{p99:>10.0}{:>10.2}", target.name, p99 / nginx);
    }
    Ok(())
}

/// The median and the 99th percentile of a round, in microseconds.
async fn one_round(target: &Target, seconds: u32) -> Outcome<[f64; 2]> {
    let each = Duration::from_secs(1) * CONNECTIONS / PER_SECOND;
    let count = seconds * PER_SECOND / CONNECTIONS;
    let begun = Instant::now() + Duration::from_millis(50);
    let connections = (0..CONNECTIONS).map(|nth| {
        let (target, first) = (target.clone(), begun + each * nth / CONNECTIONS);
        tokio::spawn(async move { connection(&target, (first, each), count).await })
    });
    let connections: Vec<_> = connections.collect();
    let mut all = Vec::new();
    for connection in connections {
        all.extend(connection.await.map_err(|cause| cause.to_string())??);
    }
    all.sort_by(f64::total_cmp);
    let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or(f64::NAN);
    Ok([at(50), at(99)])
}

async fn connection(
    target: &Target,
    (first, each): (Instant, Duration),
    count: u32,
) -> Outcome<Vec<f64>> {
    let fault = |cause: std::io::Error| format!("{}: {cause}", target.name);
    let mut stream = TcpStream::connect(("127.0.0.1", target.port)).await.map_err(fault)?;
    stream.set_nodelay(true).map_err(fault)?;
    let path = target.url.splitn(4, '/').nth(3).unwrap_or_default();
    let header = target.header(Some(&target.key));
    let request = format!("GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n\r\n");
    let mut took = Vec::new();
    let mut buffer = Vec::with_capacity(8192);
    for nth in 0..count {
        let due = first + each * nth;
        tokio::time::sleep_until(due.into()).await;
        stream.write_all(request.as_bytes()).await.map_err(fault)?;
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await.map_err(fault)? == 0 {
                return Err(format!("{}: closed early", target.name));
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(format!("{}: {}", target.name, String::from_utf8_lossy(&buffer)));
        }
        took.push(due.elapsed().as_secs_f64() * 1e6);
    }
    Ok(took)
}

/// The answer of the bench ends with its JSON or, where no length was known, with the last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.ends_with(b"]}") || bytes.ends_with(b"\r\n0\r\n\r\n")
}
