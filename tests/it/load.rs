//! The real binary under load: a thousand streams at once, and everything together for long. What
//! it holds (memory, descriptors, threads, calls under way) is read from outside.
//! Short every day; `make proof` sets PROOF to 1000, and the mixed load lasts an hour then.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::crash::rounds;
use crate::house::{Emulator, Ground, Mill, Server, Speaks, event, packed_text};

const STREAMS: usize = 1_000;
const EVENTS: u64 = 5;
/// Both connections of a stream, with their TLS and buffers, in a build without optimisation.
const MOST_KIB_A_STREAM: u64 = 96;
const SILENT: u32 = 300;
/// Of a connection that was used once and stays.
const MOST_KIB_OF_A_SILENT_ONE: f64 = 12.0;
const SOON: Duration = Duration::from_secs(30);
const REAL_KEY: &str = "sk-emulated-real-key-0123456789";
const BODY_BYTES: usize = 5 * 1024 * 1024;

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
struct Holds {
    /// Everything that is resident, mapped files included.
    resident_kib: u64,
    /// What is its own.
    own_kib: u64,
    /// None where only root may count them.
    descriptors: Option<usize>,
    threads: u64,
    /// Of the threads that carry traffic; only where they were asked for.
    tasks: u64,
}

impl Holds {
    fn now(server: &Server) -> Self {
        let process = server.process();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"));
        Self {
            resident_kib: figure("VmRSS:"),
            own_kib: figure("RssAnon:"),
            descriptors: descriptors.ok().map(Iterator::count),
            threads: figure("Threads:"),
            tasks: 0,
        }
    }
}

/// The real binary before providers, and a caller's key.
struct Site {
    ground: Ground,
    server: Server,
    key: String,
    mill: Mill,
    _emulators: (Vec<Emulator>, tempfile::TempDir),
    /// The callers' and the provider's.
    near: Runtime,
    _far: Runtime,
    http: reqwest::Client,
}

impl Site {
    fn open(emulated: &[&str], more: &str) -> Self {
        let (near, far) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        let mill = far.block_on(Mill::open(Speaks::Both));
        let mut settings = mill.settings("mill", "mill.pem", more);
        settings.push_str(&mill.settings("mill-h1", "mill.pem", "http2 = \"never\""));
        let folder = tempfile::tempdir().unwrap();
        let emulators: Vec<Emulator> = emulated
            .iter()
            .map(|provider| Emulator::of(provider, REAL_KEY, folder.path()))
            .collect();
        for (provider, emulator) in emulated.iter().zip(&emulators) {
            settings.push_str(&emulator.settings(provider));
        }
        let ground = Ground::new(&settings);
        std::fs::write(ground.path().join("mill.pem"), &mill.ca_pem).unwrap();
        ground.json(&["init", "--json"]);
        for provider in ["mill", "mill-h1"].iter().chain(emulated) {
            let add = ["secret", "add", provider, "--no-validate", "--json"];
            let added = ground.run_with_input(&add, &format!("{REAL_KEY}\n"));
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let made = ground.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
        let key = made["key"].as_str().unwrap().to_owned();
        let server = ground.serve(&[]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { ground, server, key, mill, _emulators: (emulators, folder), near, _far: far, http }
    }

    /// What the house says of itself.
    fn figure(&self, name: &str) -> u64 {
        let url = format!("{}/metrics", self.server.admin);
        let metrics =
            self.near.block_on(async { self.http.get(url).send().await.unwrap().text().await });
        let metrics = metrics.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {metrics}")).parse().unwrap()
    }

    /// Once the server has seen that its callers have gone: what is left are the connections that
    /// its pools keep.
    fn after_hanging_up(&self) -> Holds {
        let most = 256 * proxy_threads() + 100;
        for _ in 0..100 {
            let holds = Holds::now(&self.server);
            if holds.descriptors.is_none_or(|descriptors| descriptors <= most) {
                return holds;
            }
            pause(Duration::from_millis(100));
        }
        panic!("{most} descriptors at most: {:?}", Holds::now(&self.server));
    }

    /// Until no call is under way.
    fn settle(&self) {
        for _ in 0..100 {
            if self.figure("sealgate_calls_in_flight") == 0 {
                return;
            }
            pause(Duration::from_millis(100));
        }
        panic!("calls are under way that nobody waits for");
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what the proof command is run for")]
fn tell(figures: String) {
    println!("{figures}");
}

fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "another process has no future to await")]
    std::thread::sleep(time);
}

#[test]
fn a_thousand_streams_at_once_get_every_event_in_order_as_it_is_sent() {
    let site = Site::open(&[], "");
    let start = Holds::now(&site.server);
    let mut peaks = Vec::new();
    for round in 0..stream_rounds() {
        let provider = ["mill", "mill-h1"][round % 2];
        let during = site.near.block_on(stream_all(&site, provider, round));
        site.settle();
        let after = site.after_hanging_up();
        let grown_kib = during.own_kib.saturating_sub(start.own_kib);
        tell(format!(
            "round {round}, {STREAMS} streams through {provider}: {} KiB at first, {} KiB now \
             ({:.1} KiB a stream), {} KiB after; descriptors {:?}, {:?}, {:?}",
            start.own_kib,
            during.own_kib,
            grown_kib as f64 / STREAMS as f64,
            after.own_kib,
            start.descriptors,
            during.descriptors,
            after.descriptors,
        ));
        if round < 2 {
            let most_kib = MOST_KIB_A_STREAM * STREAMS as u64;
            assert!(grown_kib <= most_kib, "{grown_kib} KiB for {STREAMS} streams");
        }
        peaks.push(during.own_kib);
    }
    // What the rounds of the first half took is used again.
    let half = peaks.len() / 2;
    let (early, late) = (peaks[half - 1].max(peaks[half]), peaks[peaks.len() - 1]);
    assert!(late * 10 <= early * 11, "{peaks:?} KiB");
    site.server.stop();
    drop(site.ground);
}

/// Both kinds of connection to the provider in turn.
fn stream_rounds() -> usize {
    if rounds() == 1000 { 40 } else { 6 }
}

fn proxy_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A thousand callers, each on a connection of its own; each event is awaited by all before the
/// next one is sent.
async fn stream_all(site: &Site, provider: &str, round: usize) -> Holds {
    site.mill.tell(0);
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let url = format!("{}/{provider}/told?n={}", site.server.proxy, EVENTS + 1);
    let opening: Vec<_> = (0..STREAMS)
        .map(|_| tokio::spawn(http.get(&url).header("x-api-key", &site.key).send()))
        .collect();
    let mut streams = Vec::new();
    for opening in opening {
        let opened = tokio::time::timeout(SOON, opening).await.expect("no head").unwrap().unwrap();
        assert_eq!(opened.status(), 200, "round {round}");
        streams.push(opened);
    }
    for number in 1..=EVENTS {
        site.mill.tell(number);
        for (index, stream) in streams.iter_mut().enumerate() {
            let chunk = tokio::time::timeout(SOON, stream.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("stream {index}: {number} held back"));
            assert_eq!(chunk.unwrap().unwrap(), event(number), "stream {index}");
        }
    }
    // All of them wait for one more event now.
    let holds = Holds::now(&site.server);
    site.mill.tell(EVENTS + 1);
    for mut stream in streams {
        assert_eq!(stream.chunk().await.unwrap().unwrap(), event(EVENTS + 1));
        assert_eq!(stream.chunk().await.unwrap(), None);
    }
    holds
}

#[test]
fn clients_that_fall_silent_leave_little_behind() {
    let site = Site::open(&["polygon"], "");
    let address = site.server.proxy.strip_prefix("http://").unwrap();
    let key = &site.key;
    let call = format!(
        "GET /polygon/v3/reference/tickers/AAPL HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\n\r\n"
    );
    let start = Holds::now(&site.server);
    let clients: Vec<std::net::TcpStream> = (0..SILENT)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(call.as_bytes()).unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            // The rest of the answer; the end of its body is not looked for.
            stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
            let mut rest = [0; 16 << 10];
            while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
            stream
        })
        .collect();
    let kib_each = || {
        let grown_kib = Holds::now(&site.server).own_kib.saturating_sub(start.own_kib);
        grown_kib as f64 / f64::from(SILENT)
    };
    let mut each = kib_each();
    for _ in 0..60 {
        if each <= MOST_KIB_OF_A_SILENT_ONE {
            break;
        }
        pause(Duration::from_millis(500));
        each = kib_each();
    }
    tell(format!("{SILENT} silent clients: {each:.1} KiB each"));
    assert_eq!(site.figure("sealgate_client_connections"), u64::from(SILENT));
    assert!(each <= MOST_KIB_OF_A_SILENT_ONE, "{each} KiB each");
    drop(clients);
    site.server.stop();
}

/// An hour where PROOF is 1000, less where it is less, and twenty seconds every day.
fn load_time() -> Duration {
    Duration::from_secs(if rounds() < 100 { 20 } else { rounds() * 18 / 5 })
}

#[test]
fn mixed_load_leaves_memory_descriptors_and_threads_as_they_were() {
    let site = Site::open(&["polygon", "openai"], "");
    let time = load_time();
    let load = Arc::new(Load::of(&site));
    let workers: Vec<_> = Protocol::BOTH
        .into_iter()
        .flat_map(|protocol| Kind::ALL.map(|kind| (protocol, kind)))
        .map(|(protocol, kind)| site.near.spawn(Arc::clone(&load).work(protocol, kind)))
        .collect();
    let samples = sample(&site, time);
    load.is_over.store(true, Ordering::Relaxed);
    for worker in workers {
        site.near.block_on(worker).unwrap();
    }
    let made: Vec<String> = Kind::ALL
        .iter()
        .zip(&load.made)
        .map(|(kind, made)| format!("{} {kind:?}", made.load(Ordering::Relaxed)))
        .collect();
    assert!(load.made.iter().all(|made| made.load(Ordering::Relaxed) > 5), "{made:?}");
    site.settle();
    let tenth = samples.len() / 10;
    let first = Holds::median(&samples[tenth..2 * tenth]);
    let last = Holds::median(&samples[samples.len() - tenth..]);
    tell(format!(
        "{made:?} calls in {} s; after a tenth {first:?}, at the end {last:?}",
        time.as_secs()
    ));
    let limit = |first: u64| first + first / 10;
    // Two MiB more for what the allocator comes to keep within its first half minute.
    assert!(last.own_kib <= limit(first.own_kib) + 2_048, "{first:?} {last:?}");
    assert!(last.resident_kib <= limit(first.resident_kib), "{first:?} {last:?}");
    // Threads for files come and go.
    assert!(last.threads <= first.threads + 4, "{first:?} {last:?}");
    assert!(last.tasks <= limit(first.tasks) + 8, "{first:?} {last:?}");
    if let (Some(first), Some(last)) = (first.descriptors, last.descriptors) {
        assert!(last <= first + first / 10 + 8, "{first} descriptors, then {last}");
    }
    site.server.stop();
}

/// A hundred moments of the whole time.
fn sample(site: &Site, time: Duration) -> Vec<Holds> {
    (0..100)
        .map(|_| {
            pause(time / 100);
            let tasks = site.figure("sealgate_proxy_tasks");
            Holds { tasks, ..Holds::now(&site.server) }
        })
        .collect()
}

impl Holds {
    fn median(samples: &[Self]) -> Self {
        fn middle<T: Ord + Copy>(mut figures: Vec<T>) -> T {
            figures.sort_unstable();
            figures[figures.len() / 2]
        }
        let of = |figure: fn(&Self) -> u64| middle(samples.iter().map(figure).collect());
        Self {
            resident_kib: of(|holds| holds.resident_kib),
            own_kib: of(|holds| holds.own_kib),
            descriptors: middle(samples.iter().map(|holds| holds.descriptors).collect()),
            threads: of(|holds| holds.threads),
            tasks: of(|holds| holds.tasks),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

/// What is done over and over.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Rest,
    Pages,
    Upload,
    Download,
    Events,
    Completion,
    Cancelled,
    Refused,
    Packed,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Rest,
        Self::Pages,
        Self::Upload,
        Self::Download,
        Self::Events,
        Self::Completion,
        Self::Cancelled,
        Self::Refused,
        Self::Packed,
    ];
}

struct Load {
    proxy: String,
    key: String,
    is_over: AtomicBool,
    made: [AtomicU64; Kind::ALL.len()],
}

impl Load {
    fn of(site: &Site) -> Self {
        Self {
            proxy: site.server.proxy.clone(),
            key: site.key.clone(),
            is_over: AtomicBool::new(false),
            made: Default::default(),
        }
    }

    async fn work(self: Arc<Self>, protocol: Protocol, kind: Kind) {
        let builder = reqwest::Client::builder().no_proxy().timeout(SOON);
        let http = match protocol {
            Protocol::Http1 => builder.build().unwrap(),
            Protocol::Http2 => builder.http2_prior_knowledge().build().unwrap(),
        };
        let mut turn = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            turn += 1;
            let provider = if turn % 2 == 0 { "mill" } else { "mill-h1" };
            match kind {
                Kind::Rest => self.rest(&http).await,
                Kind::Pages => self.pages(&http).await,
                Kind::Upload => self.upload(&http, provider).await,
                Kind::Download => self.download(&http, provider).await,
                Kind::Events => self.events(&http, provider).await,
                Kind::Completion => self.completion(&http).await,
                Kind::Cancelled => self.cancelled(&http, provider).await,
                Kind::Refused => self.refused(&http).await,
                Kind::Packed => self.packed(&http, provider).await,
            }
            self.made[kind as usize].fetch_add(1, Ordering::Relaxed);
            // Callers that think: the load is meant to be long, not to be all that the machine has.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn get(&self, http: &reqwest::Client, path: &str) -> reqwest::RequestBuilder {
        http.get(format!("{}{path}", self.proxy)).header("x-api-key", &self.key)
    }

    async fn rest(&self, http: &reqwest::Client) {
        let answer = self.get(http, "/polygon/v3/reference/tickers/AAPL").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.contains("AAPL"), "{text}");
    }

    async fn pages(&self, http: &reqwest::Client) {
        let path = "/polygon/v2/aggs/ticker/AAPL/range/1/day/2024-01-01/2024-01-31";
        let mut url = Some(format!("{}{path}", self.proxy));
        let mut pages = 0;
        while let Some(next) = url {
            assert!(next.starts_with(&self.proxy), "{next}");
            let answer = http.get(next).header("x-api-key", &self.key).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let page: serde_json::Value = answer.json().await.unwrap();
            url = page["next_url"].as_str().map(str::to_owned);
            pages += 1;
        }
        assert_eq!(pages, 3);
    }

    async fn upload(&self, http: &reqwest::Client, provider: &str) {
        let url = format!("{}/{provider}/up", self.proxy);
        let call = http.post(url).header("x-api-key", &self.key).body(vec![b'u'; BODY_BYTES]);
        let answer = call.send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), format!("{{\"taken\":{BODY_BYTES}}}"));
    }

    async fn download(&self, http: &reqwest::Client, provider: &str) {
        let path = format!("/{provider}/down?bytes={BODY_BYTES}");
        let mut answer = self.get(http, &path).send().await.unwrap();
        let mut taken = 0;
        while let Some(chunk) = answer.chunk().await.unwrap() {
            taken += chunk.len();
        }
        assert_eq!(taken, BODY_BYTES);
    }

    async fn events(&self, http: &reqwest::Client, provider: &str) {
        let answer = self.get(http, &format!("/{provider}/ticks?n=10&gap=5")).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert_eq!(text, (1..=10).map(event).collect::<String>());
    }

    async fn completion(&self, http: &reqwest::Client) {
        let asked = serde_json::json!({"model": "gpt", "stream": true, "messages": []});
        let call = http.post(format!("{}/openai/v1/chat/completions", self.proxy)).json(&asked);
        let answer = call.bearer_auth(&self.key).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.trim_end().ends_with("[DONE]"), "{text}");
    }

    /// Whoever calls hangs up: in the middle of a stream, of a large answer, before any answer.
    async fn cancelled(&self, http: &reqwest::Client, provider: &str) {
        for path in ["ticks?n=1000&gap=5".to_owned(), format!("down?bytes={}", 64 * BODY_BYTES)] {
            let path = format!("/{provider}/{path}");
            let mut stream = self.get(http, &path).send().await.unwrap();
            assert!(stream.chunk().await.unwrap().is_some());
        }
        let late = self.get(http, &format!("/{provider}/late?ms=1000")).send();
        assert!(tokio::time::timeout(Duration::from_millis(30), late).await.is_err());
    }

    async fn refused(&self, http: &reqwest::Client) {
        let strange = http.get(format!("{}/mill/x", self.proxy)).header("x-api-key", "mdw_none");
        assert_eq!(strange.send().await.unwrap().status(), 401);
        assert_eq!(self.get(http, "/nobody/x").send().await.unwrap().status(), 404);
        let dotted = http.get(format!("{}/mill/a/%2e%2e/b", self.proxy));
        let dotted = dotted.header("x-api-key", &self.key).send().await.unwrap().status();
        assert!([200, 400].contains(&dotted.as_u16()), "{dotted}");
        let failing = self.get(http, "/polygon/v3/reference/tickers/AAPL?x-emulate=500");
        assert_eq!(failing.send().await.unwrap().status(), 500);
        // A pace at which no address is slowed down.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    async fn packed(&self, http: &reqwest::Client, provider: &str) {
        let answer = self.get(http, &format!("/{provider}/packed")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut text = String::new();
        let packed = answer.bytes().await.unwrap();
        flate2::read::GzDecoder::new(packed.as_ref()).read_to_string(&mut text).unwrap();
        assert!(text == packed_text());
    }
}
