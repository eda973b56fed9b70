//! What the search for keys costs a body: the time to look through a chunk in which none stands,
//! beside the time to move that chunk through two loopback connections without TLS, which any
//! proxy spends on it at the least.
//! The house shows its rooms to nobody outside, so they are compiled in here once more.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and ends where it fails"
)]

#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the bench calls what it measures and nothing else"
)]
#[path = "../src"]
mod house {
    pub mod secret;
}

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use house::secret::{KeptBytes, Needles};
use nix::time::{ClockId, clock_gettime};

const CHUNK: usize = 16 * 1024;
const ROUNDS: usize = 9;
const TIMES: usize = 4_000;

fn main() {
    let keys =
        [b"sk-ant-api03-Zq8w7KpXyAb01cdEfGhIjKlMnOpQrStUv".as_slice(), b"PKJ3F0Q9D8S7A6P5L4K3"];
    let one = Needles::new(keys.iter().take(1).map(|key| KeptBytes::copy_of(key)).collect());
    let two = Needles::new(keys.iter().map(|key| KeptBytes::copy_of(key)).collect());
    let floor = least(move_through_two_connections);
    println!("{:<44} {:>9.0} ns a chunk of 16 KiB", "floor: moved through two connections", floor);
    for (name, body) in bodies() {
        for (keys, needles) in [("one key", &one), ("two keys", &two)] {
            let cost = least(|| {
                time(|| {
                    black_box(needles.look(&body, 0, true));
                })
            });
            let share = cost / floor;
            let shown = format!("{name}, {keys}");
            println!("{shown:<44} {cost:>9.0} ns, {share:.2} of the floor");
        }
    }
}

/// What providers send: prices, text of a model as events, links with escaped slashes, images.
fn bodies() -> [(&'static str, Vec<u8>); 4] {
    let repeated = |text: &str| text.bytes().cycle().take(CHUNK).collect::<Vec<u8>>();
    let bar = r#"{"v":70790813.0,"vw":131.6292,"o":130.465,"c":130.15,"h":133.41,"t":1673240400000,"n":645365},"#;
    let event = "data: {\"id\":\"chatcmpl-8Xq2\",\"choices\":[{\"delta\":{\"content\":\" of\\nthe\"}}]}\n\n";
    let links =
        r#"{"url":"https:\/\/api.example.com\/v3\/reference?cursor=YXA9JTdCJTIySUQlMjI%3D"},"#;
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = Vec::with_capacity(CHUNK);
    while noise.len() < CHUNK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    [
        ("JSON, numbers", repeated(bar)),
        ("events of a model", repeated(event)),
        ("JSON, escaped links", repeated(links)),
        ("binary", noise),
    ]
}

/// The least of the rounds: nothing but others on the machine makes it more.
fn least(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn time(act: impl Fn()) -> f64 {
    let begun = own_time();
    for _ in 0..TIMES {
        black_box(&act)();
    }
    per_chunk(begun)
}

fn move_through_two_connections() -> f64 {
    let pair = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        out.set_nodelay(true).unwrap();
        (out, listener.accept().unwrap().0)
    };
    let ((mut provider, mut ours), (mut out, mut client)) = (pair(), pair());
    let (mut chunk, sent) = (vec![0; CHUNK], vec![7; CHUNK]);
    let begun = own_time();
    for _ in 0..TIMES {
        provider.write_all(&sent).unwrap();
        ours.read_exact(&mut chunk).unwrap();
        out.write_all(&chunk).unwrap();
        client.read_exact(&mut chunk).unwrap();
    }
    // Of the four calls two are the neighbours'.
    per_chunk(begun) / 2.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_chunk(begun: Duration) -> f64 {
    (own_time() - begun).as_nanos() as f64 / TIMES as f64
}

fn own_time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::from(now)
}
