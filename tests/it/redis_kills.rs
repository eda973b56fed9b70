//! The real binary, killed while Redis is away; and what `doctor` says of a Redis in which somebody
//! else writes.

use serde_json::json;

use crate::house::{Canary, Ground, Outpost, Server, Speaks};
use crate::shared::Redis;

struct Site {
    ground: Ground,
    provider: Outpost,
    key: String,
}

impl Site {
    async fn new(settings: &str) -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let ca = std::path::Path::new("outpost.pem");
        let ground = Ground::new(&format!("{settings}{}", provider.settings("acme", ca, bearer)));
        std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        ground.json(&["init", "--json"]);
        let secret = format!("{}\n", Canary::hatch().plain());
        let add = ["secret", "add", "acme", "--no-validate", "--json"];
        assert!(ground.run_with_input(&add, &secret).status.success());
        let make = ["client", "create", "caller", "--limit", "90", "--json"];
        let key = ground.json(&make)["key"].as_str().unwrap().to_owned();
        Self { ground, provider, key }
    }

    async fn spend(&self, server: &Server, calls: usize) -> usize {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut admitted = 0;
        for _ in 0..calls {
            let call = http.get(format!("{}/acme/x", server.proxy)).header("x-api-key", &self.key);
            match call.send().await.unwrap().status().as_u16() {
                200 => admitted += 1,
                status => assert_eq!(status, 429),
            }
        }
        admitted
    }

    fn doctor(&self) -> serde_json::Value {
        let told = self.ground.run(&["doctor", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        let line = |check: &&serde_json::Value| check["name"] == "redis";
        told["checks"].as_array().unwrap().iter().find(line).unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_redis_is_away_spends_its_share_once() {
    let mut redis = Redis::start().await;
    let site = Site::new(&format!("{}limits.nodes = 3\n", redis.settings())).await;
    let server = site.ground.serve(&[]);
    assert_eq!(site.spend(&server, 30).await, 30);
    redis.end("KILL");
    // Its share of the sixty that are left.
    assert_eq!(site.spend(&server, 12).await, 12);
    server.kill();
    let server = site.ground.serve(&[]);
    assert_eq!(site.spend(&server, 30).await, 8);
    server.kill();
    let server = site.ground.serve(&[]);
    assert_eq!(site.spend(&server, 30).await, 0);
    redis.mend("KILL").await;
    // The two that were never seen keep their shares; nothing is left to this one.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(site.spend(&server, 30).await, 0);
    assert_eq!(site.provider.seen().len(), 50);
    assert_eq!(site.doctor()["ok"], json!(true));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_the_nodes_and_the_keys_that_somebody_else_wrote() {
    let redis = Redis::start().await;
    let site = Site::new(&redis.settings()).await;
    let server = site.ground.serve(&[]);
    assert_eq!(site.spend(&server, 2).await, 2);
    let node = std::fs::read_to_string(site.ground.data().join("node")).unwrap();
    let told = site.doctor();
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("nodes: {}", node.trim())), "{detail}");
    let window = redis.ask(&["KEYS", "sealgate:*:w3600:*"]);
    redis.ask(&["SET", &window, "hello"]);
    assert_eq!(site.spend(&server, 90).await, 88, "what the node knows is counted");
    let told = site.doctor();
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("somebody else wrote {window}")), "{detail}");
    assert!(told["remedy"].as_str().unwrap().contains("account of its own"), "{told}");
    server.stop();
}
