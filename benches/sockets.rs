//! What an open socket costs: CPU time for each MiB that passes, beside nginx relaying the same
//! with the same TLS, and the memory of thousands that lie open. The provider and the load run on
//! CPU 1, the proxies on CPU 0. Only ratios stand: the machine is shared.
//!
//! `cargo bench --bench sockets -- --bar`; `--rounds N`, `--mib N` and `--open N` change the load.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench is no part of the house: it may wait")]

#[path = "sockets/frames.rs"]
mod frames;
#[path = "sockets/peers.rs"]
mod peers;
#[path = "proxy/process.rs"]
mod process;
#[path = "sockets/provider.rs"]
mod provider;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::peers::{Relay, Sealgate, Target};
use crate::provider::Provider;

/// What went wrong, in one line.
type Outcome<T> = Result<T, String>;

struct Options {
    rounds: usize,
    mib: usize,
    open: usize,
    is_barred: bool,
}

/// From the client to the provider, and back; at most of the relay's CPU time.
const UP_BAR: f64 = 1.1;
const DOWN_BAR: f64 = 1.25;
/// Of open sockets, for each thousand.
const MIB_PER_THOUSAND: f64 = 20.0;
const MIB: usize = 1024 * 1024;
const SIZES: [usize; 3] = [200, 2_000, 16_000];

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: a socket costs more than its bar");
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Outcome<Options> {
    let mut options = Options { rounds: 7, mib: 256, open: 5_000, is_barred: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.parse::<usize>().ok());
            value.ok_or_else(|| format!("{argument} needs a number"))
        };
        match argument.as_str() {
            "--rounds" => options.rounds = number()?.max(1),
            "--mib" => options.mib = number()?.max(1),
            "--open" => options.open = number()?,
            "--bar" => options.is_barred = true,
            // What cargo itself passes.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(options)
}

/// True if every bar was kept, or none was asked for.
fn run(options: &Options) -> Outcome<bool> {
    process::demand(&["nginx", "taskset"])?;
    process::pin_self(1)?;
    let folder = tempfile::tempdir().map_err(|cause| format!("no temporary folder: {cause}"))?;
    let provider = Provider::start(folder.path())?;
    let sealgate = Sealgate::start(folder.path().join("sealgate"), &provider, options.open)?;
    let relay = Relay::start(folder.path(), &provider)?;
    let (ours, theirs) = (sealgate.target(), relay.target());
    // Before any load, which would leave room that open sockets then take for nothing.
    let memory = memory(&ours, options.open)?;
    let mut kept = memory <= MIB_PER_THOUSAND;
    for (way, what, bar) in
        [("to the provider", "sink", UP_BAR), ("from the provider", "flood", DOWN_BAR)]
    {
        for size in SIZES {
            let ratio = measure((&ours, &theirs), what, size, options)?;
            println!("frames of {size} bytes {way}: {ratio:.2} of the relay, at most {bar:.2}");
            kept &= ratio <= bar;
        }
    }
    Ok(kept || !options.is_barred)
}

/// The median ratio of neighbours in time.
fn measure(
    (ours, theirs): (&Target, &Target),
    what: &str,
    size: usize,
    options: &Options,
) -> Outcome<f64> {
    let mut ratios = Vec::new();
    for round in 0..=options.rounds {
        let mut cpu = [0.0, 0.0];
        let mut order = [(0, ours), (1, theirs)];
        if round % 2 == 1 {
            order.reverse();
        }
        for (at, target) in order {
            let before = process::cpu_us(target.pid)?;
            pass(target, what, size, options.mib * MIB)?;
            // The writer of records has its turn, too.
            std::thread::sleep(Duration::from_millis(300));
            let after = process::cpu_us(target.pid)?;
            if let Some(cpu) = cpu.get_mut(at) {
                *cpu = after - before;
            }
        }
        // The first one warms both up.
        if round > 0 {
            ratios.push((cpu[0] / cpu[1], cpu[0]));
        }
    }
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, us) = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    let mib = f64::from(u32::try_from(options.mib).unwrap_or(u32::MAX));
    println!("  {:.0} us of CPU for each MiB", us / mib);
    Ok(ratio)
}

/// So many bytes on a socket of their own.
fn pass(target: &Target, what: &str, size: usize, bytes: usize) -> Outcome<()> {
    let fault = |cause: std::io::Error| format!("{}: {cause}", target.name);
    let mut socket = opened(target, &format!("{what}/{size}/{bytes}"))?;
    let mut room = vec![0; 256 * 1024];
    let awaited = if what == "flood" {
        bytes
    } else {
        let block = frames::block(size, Some([1, 2, 3, 4]));
        let mut said = 0;
        while said < bytes {
            socket.write_all(&block).map_err(fault)?;
            said += block.len();
        }
        1
    };
    let mut heard = 0;
    while heard < awaited {
        let count = socket.read(&mut room).map_err(fault)?;
        if count == 0 {
            return Err(format!("{}: closed after {heard} of {awaited} bytes", target.name));
        }
        heard += count;
    }
    Ok(())
}

/// What a thousand open sockets hold, in MiB.
fn memory(target: &Target, open: usize) -> Outcome<f64> {
    if open == 0 {
        return Ok(0.0);
    }
    pass(target, "flood", 200, 1)?;
    let before = process::rss_kib(target.pid)?;
    let sockets: Vec<TcpStream> =
        (0..open).map(|_| opened(target, "idle/0/0")).collect::<Outcome<_>>()?;
    std::thread::sleep(Duration::from_secs(3));
    let mib = (process::rss_kib(target.pid)? - before) / 1024.0;
    drop(sockets);
    let thousands = f64::from(u32::try_from(open).unwrap_or(u32::MAX)) / 1_000.0;
    println!("{open} open sockets hold {mib:.1} MiB, at most {:.0}", MIB_PER_THOUSAND * thousands);
    Ok(mib / thousands)
}

fn opened(target: &Target, path: &str) -> Outcome<TcpStream> {
    let fault = |cause: std::io::Error| format!("{}: {cause}", target.name);
    let mut socket = TcpStream::connect(("127.0.0.1", target.port)).map_err(fault)?;
    socket.set_nodelay(true).map_err(fault)?;
    socket.set_read_timeout(Some(Duration::from_secs(30))).map_err(fault)?;
    let head = format!(
        "GET /sea/{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-API-Key: {}\r\n\r\n",
        target.key
    );
    socket.write_all(head.as_bytes()).map_err(fault)?;
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).map_err(fault)? == 0 {
            return Err(format!("{}: {}", target.name, String::from_utf8_lossy(&seen)));
        }
        seen.extend(byte);
    }
    match seen.starts_with(b"HTTP/1.1 101") {
        true => Ok(socket),
        false => Err(format!("{}: {}", target.name, String::from_utf8_lossy(&seen))),
    }
}
