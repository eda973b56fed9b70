//! The real binary, ended politely and not.

use std::time::Duration;

use serde_json::json;

use crate::house::{Canary, Ground, Outpost, Server, Speaks, files_below};

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
async fn killed_during_writes_again_and_again_it_loses_no_answered_call() {
    let site = Site::new().await;
    let key = site.prepare();
    let mut answered = 0;
    for round in 0..rounds() {
        let server = site.ground.serve(&[]);
        answered += busy(&server, &key, Duration::from_millis(150 + round * 37 % 300)).await;
        server.kill();
    }
    assert!(answered > 0);
    assert_healthy(&site);
    let audit = site.ground.json(&["audit", "verify", "--json"]);
    assert_eq!((&audit["ok"], &audit["first_bad"]), (&json!(true), &json!(null)));
    assert!(audit["records"].as_u64().unwrap() >= answered, "{audit} for {answered} answers");
}

/// Calls and new keys from several sides for a while; the number of answered proxied calls.
async fn busy(server: &Server, key: &str, while_for: Duration) -> u64 {
    let mut callers = Vec::new();
    for _ in 0..4 {
        let (url, key) = (format!("{}/acme/x", server.proxy), key.to_owned());
        callers.push(tokio::spawn(async move {
            let http = http();
            let mut answered = 0;
            let until = tokio::time::sleep(while_for);
            tokio::pin!(until);
            loop {
                let call = async {
                    let answer = http.get(&url).header("x-api-key", &key).send().await?;
                    answer.bytes().await
                };
                tokio::select! {
                    () = &mut until => return answered,
                    done = call => answered += u64::from(done.is_ok()),
                }
            }
        }));
    }
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    answered
}

fn assert_healthy(site: &Site) {
    let told = site.ground.run(&["doctor"]);
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{lines}{}", String::from_utf8_lossy(&told.stderr));
    site.canary.is_nowhere_in("what doctor says", &told.stdout);
    for (path, bytes) in files_below(site.ground.path()) {
        site.canary.is_nowhere_in(&path.display().to_string(), &bytes);
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
