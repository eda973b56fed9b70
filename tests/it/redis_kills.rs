//! The real binary, killed while Redis is away; and what `doctor` says of a Redis in which somebody
//! else writes.

use std::time::Duration;

use serde_json::json;

use crate::house::{Canary, Ground, Outpost, Relay, Server, Speaks};
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
    tokio::time::sleep(Duration::from_millis(2_500)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_readyz_say_what_keeps_redis_from_counting() {
    let mut redis = Redis::start().await;
    let relay = Relay::to(([127, 0, 0, 1], redis.port).into()).await;
    let settings =
        format!("limits.backend = \"redis\"\nlimits.redis_url = \"redis://{}\"\n", relay.address);
    let site = Site::new(&settings).await;
    let server = site.ground.serve(&[]);
    let part = async || {
        let url = format!("{}/readyz", server.admin);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "each node has its share");
        let body: serde_json::Value = answer.json().await.unwrap();
        body.to_string()
    };
    assert!(!part().await.contains("Redis"), "{}", part().await);
    let slow = |slow| Duration::from_millis(slow);
    let faults = [
        ("full", "maxmemory"),
        ("replica", "replica"),
        ("slow", "answer within"),
        ("killed", "start Redis"),
    ];
    for (how, word) in faults {
        match how {
            "killed" => redis.end("KILL"),
            "full" => assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "1"]), "OK"),
            "replica" => assert_eq!(redis.ask(&["REPLICAOF", "127.0.0.1", "1"]), "OK"),
            _ => relay.slow_down(slow(450)),
        }
        let told = site.doctor();
        assert_eq!(told["ok"], json!(false), "{how}: {told}");
        assert!(told["remedy"].as_str().unwrap().contains(word), "{how}: {told}");
        let mut said = part().await;
        for _ in 0..200 {
            if said.contains(word) {
                break;
            }
            tokio::time::sleep(slow(25)).await;
            said = part().await;
        }
        assert!(said.contains(word), "{how}: {said}");
        if how == "killed" {
            redis.mend("KILL").await;
        }
        redis.ask(&["REPLICAOF", "NO", "ONE"]);
        redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        relay.slow_down(slow(0));
        for _ in 0..200 {
            if !part().await.contains("Redis") {
                break;
            }
            tokio::time::sleep(slow(25)).await;
        }
        assert_eq!(site.doctor()["ok"], json!(true), "{how}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_of_calls_without_redis_that_is_lost_or_damaged_gives_no_share_again_and_is_told() {
    for how in ["lost", "damaged", "emptied"] {
        let mut redis = Redis::start().await;
        let site = Site::new(&format!("{}limits.nodes = 3\n", redis.settings())).await;
        let server = site.ground.serve(&[]);
        redis.end("KILL");
        assert_eq!(site.spend(&server, 20).await, 20);
        // Its row in the database says that it is alone.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.kill();
        let note = site.ground.data().join("limits.alone");
        match how {
            "lost" => std::fs::remove_file(&note).unwrap(),
            "emptied" => std::fs::write(&note, "").unwrap(),
            _ => {
                let text = std::fs::read_to_string(&note).unwrap();
                let spoilt = text.lines().map(|line| match line.starts_with("a ") {
                    true => line.replace(['1', '2', '3'], "0") + "\n",
                    false => line.to_owned() + "\n",
                });
                std::fs::write(&note, spoilt.collect::<String>()).unwrap();
            }
        }
        for _ in 0..2 {
            let server = site.ground.serve(&[]);
            let more = site.spend(&server, 40).await;
            let sum = site.provider.seen().len();
            assert!(sum <= 30, "{how}: {more} more are {sum}");
            let page = reqwest::get(format!("{}/metrics", server.admin)).await.unwrap();
            let page = page.text().await.unwrap();
            assert!(page.contains("sealgate_limiter_lost_notes_total"), "{how}");
            let told = site.doctor();
            assert!(told.to_string().contains("limits.damaged"), "{how}: {told}");
            server.kill();
        }
        redis.mend("KILL").await;
    }
}
