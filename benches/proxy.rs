//! What a call costs, beside nginx doing the same job: a whole-process bench. Starts a TLS upstream
//! (CPU 1, with the load), the release binary and nginx (both CPU 0, one serving thread each), loads
//! them in turns, and prints CPU time per request, requests per second and added latency as medians
//! over rounds. Must never be read for absolute figures: the machine is shared, only ratios stand.
//!
//! `cargo bench --bench proxy -- --rounds 9 --seconds 2 --bar 0.90`; `--help` names the rest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench is no part of the house: it may wait")]

#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/options.rs"]
mod options;
#[path = "proxy/peers.rs"]
mod peers;
#[path = "proxy/process.rs"]
mod process;
#[path = "proxy/report.rs"]
mod report;
#[path = "proxy/steady.rs"]
mod steady;
#[path = "proxy/upstream.rs"]
mod upstream;

use std::process::ExitCode;

use crate::load::{Load, Wrk};
use crate::options::Options;
use crate::peers::{Haproxy, Nginx, Sealgate, Target};
use crate::report::Row;
use crate::upstream::Upstream;

/// What went wrong, in one line.
type Outcome<T> = Result<T, String>;

/// Chunks of one event stream: the costs of a chunk are those of a request over this.
const CHUNKS: u32 = 50;
const MOST_CONNECTIONS: u32 = 64;

fn main() -> ExitCode {
    let outcome = Options::parse(std::env::args().skip(1)).and_then(|options| match options {
        Some(options) => run(&options),
        None => Ok(true),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// True if the bar was kept, or none was given.
fn run(options: &Options) -> Outcome<bool> {
    process::demand(&["wrk", "nginx", "taskset"])?;
    process::pin_self(1)?;
    let folder = tempfile::tempdir().map_err(|cause| format!("no temporary folder: {cause}"))?;
    let upstream = Upstream::start(folder.path())?;
    let start =
        |name, program: &String| Sealgate::start(folder.path().join(name), &upstream, program);
    let sealgate = start("sealgate", &options.sealgate)?;
    let other = options.other.as_ref().map(|program| start("other", program)).transpose()?;
    let nginx = Nginx::start(folder.path(), &upstream, sealgate.key())?;
    let mut targets = vec![sealgate.target("sealgate"), nginx.target()];
    targets.extend(other.as_ref().map(|other| other.target("other build")));
    let haproxy = match options.haproxy {
        true => Some(Haproxy::start(folder.path(), &upstream, sealgate.key())?),
        false => None,
    };
    targets.extend(haproxy.as_ref().map(Haproxy::target));
    if options.more {
        targets.push(sealgate.target_unsearched("without search"));
        targets.push(sealgate.target_bound("with a limit"));
        targets.push(sealgate.target_pooled("in a pool of two"));
    }
    if options.h2 {
        targets.push(sealgate.target_over_h2("sealgate over h2"));
        targets.extend(other.as_ref().map(|other| other.target_over_h2("other over h2")));
    }
    check(&targets)?;
    upstream.verdict()?;
    if options.more {
        // Before any load, which would leave room that idle connections then take for nothing.
        targets.iter().take(2).try_for_each(memory)?;
    }
    targets.push(upstream.direct());
    let wrk = Wrk::new(folder.path())?;
    let mut kept = true;
    for row in rows(options) {
        let ratio = measure(&wrk, &row, &targets, options)?.print();
        let is_main = row.path == "small" && row.connections == MOST_CONNECTIONS;
        if let (true, Some(bar)) = (is_main, options.bar) {
            println!("bar: {ratio:.3} of nginx, at most {bar:.2} allowed");
            kept = ratio <= bar;
        }
    }
    if options.more {
        steady::measure(&targets, options)?;
    }
    upstream.verdict()?;
    if !kept {
        eprintln!("bench: sealgate costs more than the bar allows");
    }
    Ok(kept)
}

fn rows(options: &Options) -> Vec<Row> {
    let small = |connections| Row { what: "0.5 KB answer", path: "small", connections, per: 1 };
    let mut rows: Vec<Row> = options.connections.iter().copied().map(small).collect();
    if options.more {
        let connections = MOST_CONNECTIONS;
        rows.push(Row { what: "10 KB answer", path: "large", connections, per: 1 });
        rows.push(Row { what: "1 MB answer", path: "huge", connections: 8, per: 1 });
        rows.push(Row { what: "event chunk", path: "events", connections, per: CHUNKS });
    }
    rows
}

/// In turns, and each round begins with another one, so that drift hits all alike.
fn measure(
    wrk: &Wrk,
    row: &Row,
    targets: &[Target],
    options: &Options,
) -> Outcome<report::Measured> {
    let mut measured = report::Measured::new(*row, targets.iter().map(|target| target.name));
    for round in 0..=options.rounds {
        for turn in 0..targets.len() {
            let place = (turn + usize::try_from(round).unwrap_or(0)) % targets.len();
            let Some(target) = targets.get(place) else { continue };
            // Round 0 only warms up: connections, caches, the journal's segments.
            let seconds = if round == 0 { 1 } else { options.seconds };
            let load = Load { connections: row.connections, seconds };
            let taken = wrk.load(&target.at(row.path), &load)?;
            if round > 0 {
                measured.add(place, taken);
            }
        }
    }
    Ok(measured)
}

/// No figure is worth anything if a peer does another job than the one that is claimed.
fn check(targets: &[Target]) -> Outcome<()> {
    for target in targets {
        let target = target.at("small");
        let expect = |key: Option<&str>, wanted: u16| {
            let status = load::status_of(&target, key)?;
            if status == wanted {
                return Ok(());
            }
            Err(format!("{}: answered {status} where {wanted} was expected", target.name))
        };
        expect(Some(&target.key), 200)?;
        expect(Some("mdw_000000000000000000000000000000000000000000000"), 401)?;
        expect(None, 401)?;
    }
    Ok(())
}

fn memory(target: &Target) -> Outcome<()> {
    let Some(pid) = target.pid else { return Ok(()) };
    let idle = process::rss_kib(pid)?;
    let each = load::idle_connections_kib(&target.at("small"), pid)?;
    println!("{:<16} {idle:>7.0} KiB idle, {each:.1} KiB more for an idle connection", target.name);
    Ok(())
}
