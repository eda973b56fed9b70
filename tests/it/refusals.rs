//! Refusals under a magnifying glass: that nothing tells an unknown, a revoked and an expired key
//! apart by the time of the answer, and that not one call that begins after an acknowledged
//! revocation is forwarded, with 200 callers at it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sealgate::clock::Clock;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Client, House, Plan};

const KEYS: &str = "/api/v1/admin/api-keys";
const CLASSES: [&str; 3] = ["unknown", "revoked", "expired"];
const KEYS_EACH: usize = 8;
/// As the usual test of leaks has it: beyond it two means are held to differ.
const BOUND: f64 = 4.5;
/// What differs does so every time; what a busy machine does, it does not.
const ATTEMPTS: usize = 3;

/// Keys that once worked, and how each class of them ended.
async fn ended(house: &House) -> Vec<Vec<String>> {
    let mut classes = Vec::new();
    for class in CLASSES {
        let mut keys = Vec::new();
        for _ in 0..KEYS_EACH {
            let expires = json!({"expires_at": "2026-01-15T13:00:00Z"});
            let members = if class == "expired" { expires } else { json!({}) };
            let client = house.client_with(members).await;
            let target = format!("{KEYS}/{}", client.id);
            let status = match class {
                "unknown" => house.admin.delete(&target).send().await.status,
                "revoked" => {
                    house.admin.put(&target).json(&json!({"active": false})).send().await.status
                }
                _ => 200,
            };
            assert!(status < 300, "{status}");
            keys.push(client.key);
        }
        classes.push(keys);
    }
    house.clock.advance(Duration::from_secs(2 * 60 * 60));
    classes
}

/// From the first byte of a request to the last of its answer, on one connection.
struct Wire {
    stream: TcpStream,
    clock: Clock,
    buffer: Vec<u8>,
}

impl Wire {
    async fn to(house: &House) -> Self {
        let stream = TcpStream::connect(house.proxy_address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, clock: Clock::system(), buffer: vec![0; 4096] }
    }

    async fn refused_after(&mut self, key: &str) -> f64 {
        let request =
            format!("GET /acme/x HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {key}\r\n\r\n");
        let before = self.clock.monotonic_ns();
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = 0;
        // A refusal's body is one object with no other in it.
        while !self.buffer[..filled].ends_with(b"}") {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&self.buffer[..filled]));
            filled += read;
        }
        let took = self.clock.monotonic_ns() - before;
        assert!(self.buffer.starts_with(b"HTTP/1.1 401 "));
        took as f64
    }
}

async fn samples(wire: &mut Wire, keys: &[Vec<String>], each: usize) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::with_capacity(each); keys.len()];
    for key in keys.iter().flatten().chain(keys.iter().flatten()) {
        wire.refused_after(key).await;
    }
    let mut state = 0x5EED_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(state >> 33).unwrap() % bound
    };
    while samples.iter().any(|class| class.len() < each) {
        let class = below(keys.len());
        let took = wire.refused_after(&keys[class][below(KEYS_EACH)]).await;
        if samples[class].len() < each {
            samples[class].push(took);
        }
    }
    samples
}

fn welch(one: &[f64], other: &[f64]) -> f64 {
    let moments = |samples: &[f64]| {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let squares = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>();
        (mean, squares / (count - 1.0) / count)
    };
    let ((mean, variance), (other_mean, other_variance)) = (moments(one), moments(other));
    (mean - other_mean) / (variance + other_variance).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_wire_no_time_tells_which_refusal_it_is() {
    let settings = String::from("auth.free_failures_per_minute = 1000000000\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let each = if crate::crash::rounds() >= 1000 { 100_000 } else { 3_000 };
    let keys = ended(&house).await;
    let mut wire = Wire::to(&house).await;
    let mut found = Vec::new();
    while found.len() < ATTEMPTS {
        let samples = samples(&mut wire, &keys, each).await;
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let all = pairs.map(|(one, other)| welch(&samples[one], &samples[other]));
        let line = format!("{each} a class over the wire: t = {all:.2?} of {CLASSES:?}");
        writeln!(std::io::stdout(), "{line}").unwrap();
        found.push(all);
        if all.iter().all(|t| t.abs() < BOUND) {
            break;
        }
    }
    let last = found.last().unwrap();
    assert!(last.iter().all(|t| t.abs() < BOUND), "{each} a class, each time: {found:?}");
    drop(wire);
    house.leave().await;
}

/// What ends a client key's life, or that of the key that callers hold.
async fn end(house: &House, client: &Client, how: &str) {
    let target = format!("{KEYS}/{}", client.id);
    let at_once = json!({"overlap_seconds": 0});
    let answer = match how {
        "revoked" => house.admin.put(&target).json(&json!({"active": false})).send().await,
        "deleted" => house.admin.delete(&target).send().await,
        _ => house.admin.post(&format!("{target}/rotate")).json(&at_once).send().await,
    };
    assert!(answer.status < 300, "{how}: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_that_begins_after_the_end_was_acknowledged_is_forwarded() {
    let house = House::open().await;
    for how in ["revoked", "deleted", "rotated at once"] {
        let client = house.client().await;
        let holders = [Arc::new(client.over_http2()), Arc::new(house.holder(&client))];
        let ended = Arc::new(AtomicBool::new(false));
        let passed = Arc::new(AtomicUsize::new(0));
        let mut callers = Vec::new();
        for number in 0..200 {
            let (client, ended) = (Arc::clone(&holders[number % 2]), Arc::clone(&ended));
            let passed = Arc::clone(&passed);
            callers.push(tokio::spawn(async move {
                let mut refused = 0;
                while refused < 3 {
                    let is_late = ended.load(Ordering::SeqCst);
                    let path = if is_late { "/acme/late" } else { "/acme/x" };
                    match client.get(path).try_send().await.map(|answer| answer.status) {
                        Ok(200) if !is_late => _ = passed.fetch_add(1, Ordering::SeqCst),
                        Ok(401) => refused += 1,
                        Ok(503) if !is_late => {}
                        Ok(other) => panic!("{path}: {other}"),
                        // An answer that was under way is cut.
                        Err(_) => {}
                    }
                }
            }));
        }
        while passed.load(Ordering::SeqCst) < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        end(&house, &client, how).await;
        ended.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await.unwrap();
        }
        let late = house.provider.seen().iter().filter(|seen| seen.path.contains("late")).count();
        assert_eq!(late, 0, "{how}: calls that began after it were forwarded");
    }
    house.leave().await;
}
