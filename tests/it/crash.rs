//! The real binary, ended politely and not.

use std::time::{Duration, Instant};

use crate::house::{Canary, Ground, Outpost, Speaks, files_below};
use crate::outages::{self, assert_all_are_there, ready};

struct Site {
    ground: Ground,
    provider: Outpost,
    canary: Canary,
}

impl Site {
    async fn new() -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let ca = std::path::Path::new("outpost.pem");
        let ground = Ground::new(&provider.settings("acme", ca, bearer));
        std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        Self { ground, provider, canary: Canary::hatch() }
    }

    /// Init, the canary sealed, a client key minted; all through the command line.
    fn prepare(&self) -> String {
        self.ground.json(&["init", "--json"]);
        let key = format!("{}\n", self.canary.plain());
        let added =
            self.ground.run_with_input(&["secret", "add", "acme", "--no-validate", "--json"], &key);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let made =
            self.ground.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
        made["key"].as_str().unwrap().to_owned()
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_it_finishes_what_is_in_flight_and_takes_nothing_new() {
    let site = Site::new().await;
    let key = site.prepare();
    let mut server = site.ground.serve(&[]);
    let http = http();
    let call = |path: &str| {
        http.get(format!("{}/acme/{path}", server.proxy)).header("x-api-key", &key).send()
    };
    assert_eq!(call("x").await.unwrap().status(), 200);
    let mut stream = call("events?n=2").await.unwrap();
    site.provider.release(1);
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: {\"event\":0}\n\n");
    let slow = tokio::spawn(call("slow?ms=1500"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = call("x");

    server.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(late);
    let fresh = self::http().get(format!("{}/acme/x", server.proxy)).header("x-api-key", &key);
    assert!(fresh.send().await.is_err(), "a draining server takes no new connection");
    site.provider.release(1);
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: {\"event\":1}\n\n");
    assert_eq!(stream.chunk().await.unwrap(), None);
    let slow = slow.await.unwrap().unwrap();
    assert_eq!(
        (slow.status().as_u16(), slow.text().await.unwrap()),
        (200, "{\"slow\":true}".into())
    );
    let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success());
    assert_healthy(&site);
}

/// Every day a few; `make proof` sets PROOF to the rounds it wants.
#[expect(clippy::disallowed_methods, reason = "the proof command asks for more rounds")]
pub(crate) fn rounds() -> u64 {
    std::env::var("PROOF").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "another process starts by the machine's own clock")]
#[expect(clippy::print_stdout, reason = "the figures are what the proof command is run for")]
async fn killed_during_writes_again_and_again_it_loses_no_answered_call() {
    let site = outages::Site::on(Ground::new).await;
    let (mut answered, mut starts) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let begun = Instant::now();
        let server = site.ground.serve(&[]);
        ready(&server).await;
        starts.push(begun.elapsed());
        let load = site.load(&server, 4, Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(150 + round * 37 % 300)).await;
        server.kill();
        answered.extend(load.end_of_killed().await);
    }
    assert!(!answered.is_empty());
    assert_sound(&site.ground, &site.canary);
    let trail = tokio::task::block_in_place(|| site.trail());
    assert_all_are_there(&answered, &trail);
    starts.sort_unstable();
    let (half, slowest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!("{} answered; started in {half:?}, at most {slowest:?}", answered.len());
    assert!(half < Duration::from_secs(2), "{half:?}");
}

fn assert_healthy(site: &Site) {
    assert_sound(&site.ground, &site.canary);
}

fn assert_sound(ground: &Ground, canary: &Canary) {
    let told = ground.run(&["doctor"]);
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{lines}{}", String::from_utf8_lossy(&told.stderr));
    canary.is_nowhere_in("what doctor says", &told.stdout);
    for (path, bytes) in files_below(ground.path()) {
        canary.is_nowhere_in(&path.display().to_string(), &bytes);
    }
}

/// Calls that were counted before a kill are counted after it, to the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_gives_nobody_a_fresh_quota() {
    let site = Site::new().await;
    site.prepare();
    let make = ["client", "create", "small", "--tier", "limited", "--monthly-quota", "8", "--json"];
    let key = site.ground.json(&make)["key"].as_str().unwrap().to_owned();
    let (mut admitted, mut last) = (0, String::new());
    for _ in 0..5 {
        let server = site.ground.serve(&[]);
        for _ in 0..2 {
            let call = http().get(format!("{}/acme/x", server.proxy)).header("x-api-key", &key);
            let answer = call.send().await.unwrap();
            admitted += u64::from(answer.status() == 200);
            last = answer.text().await.unwrap();
        }
        server.kill();
    }
    assert_eq!(admitted, 8, "{last}");
    assert!(last.contains("\"limit\":\"monthly\""), "{last}");
    assert_healthy(&site);
}
