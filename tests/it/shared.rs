//! Two nodes on one database that share the limits through Redis, which goes away and comes back.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::clients::second_node_with;
use crate::house::{House, Kind, Plan, send_signal};

/// A Redis for one test, that it may stop.
struct Redis {
    port: u16,
    process: Option<Child>,
}

impl Redis {
    async fn start() -> Self {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut redis = Self { port, process: None };
        redis.boot().await;
        redis
    }

    async fn boot(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.process = Some(process);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&self, name: &str) {
        send_signal(self.process.as_ref().expect("it runs").id(), name);
    }

    /// STOP: connections hold, and nothing is answered. KILL: all is lost.
    fn end(&mut self, how: &str) {
        self.signal(how);
        if how == "KILL" {
            self.process.take().expect("it runs").wait().unwrap();
        }
    }

    async fn mend(&mut self, how: &str) {
        match how {
            "STOP" => self.signal("CONT"),
            _ => self.boot().await,
        }
    }

    fn settings(&self) -> String {
        format!(
            "limits.backend = \"redis\"\nlimits.redis_url = \"redis://127.0.0.1:{}\"\n",
            self.port
        )
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _killed = process.kill();
            let _status = process.wait();
        }
    }
}

async fn figure(house: &House, line: &str) -> bool {
    let page = house.admin.get("/metrics").send().await.text();
    page.lines().any(|found| found == line)
}

async fn until_figure(house: &House, line: &str) {
    for _ in 0..400 {
        if figure(house, line).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no line {line:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_let_in_one_quota_together_and_a_share_each_while_redis_is_away() {
    let mut redis = Redis::start().await;
    let settings = redis.settings();
    let plan = Plan { database: Kind::Postgres, settings: settings.clone(), ..Plan::default() };
    let house = House::planned(plan).await;
    let folder = tempfile::tempdir().unwrap();
    let inject = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let provider = house.provider.settings("acme", &house.path().join("outpost.pem"), inject);
    let other = second_node_with(&house, folder.path(), &format!("{settings}{provider}")).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let doors = [house.proxy_address(), other.proxy_address().unwrap()];
    let call = async |door: usize, key: &str| {
        let url = format!("http://{}/acme/x", doors[door]);
        let answer = http.get(&url).header("x-api-key", key).send().await.unwrap();
        answer.status().as_u16()
    };
    let spend = async |key: &str, each: usize| {
        let mut admitted = [0, 0];
        for caller in 0..each * 2 {
            match call(caller % 2, key).await {
                200 => admitted[caller % 2] += 1,
                status => assert_eq!(status, 429),
            }
        }
        admitted
    };
    let client = house.client_with(json!({"limit": 10, "monthly_quota": 100})).await;
    assert_eq!(spend(&client.key, 8).await, [5, 5]);
    let me = client.get("/api/v1/me").send().await.json();
    assert_eq!((&me["limits"]["used"], &me["limits"]["month"]["used"]), (&json!(10), &json!(10)));
    let refusal = client.get("/acme/x").send().await;
    let body = refusal.is_refusal(429, "rate_limited");
    assert_eq!((&body["limit"], &body["quota"]), (&json!("client"), &json!(10)));
    assert!(figure(&house, "sealgate_limiter_redis_up 1").await);

    for how in ["STOP", "KILL"] {
        let (fresh, part) =
            (house.client_with(json!({"limit": 10})).await, client_of(&house).await);
        assert_eq!(spend(&part.key, 3).await, [3, 3]);
        redis.end(how);
        assert_eq!(spend(&fresh.key, 9).await, [5, 5], "{how}");
        assert_eq!(spend(&part.key, 9).await, [2, 2], "{how}");
        assert_eq!(spend(&client.key, 2).await, [0, 0], "{how}");
        assert!(figure(&house, "sealgate_limiter_redis_up 0").await);
        assert_eq!(house.admin.get("/readyz").send().await.status, 200, "{how}");
        redis.mend(how).await;
        until_figure(&house, "sealgate_limiter_redis_up 1").await;
        // The other node, too.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for used_up in [&fresh, &part, &client] {
            assert_eq!(spend(&used_up.key, 2).await, [0, 0], "{how}");
        }
        let next = house.client_with(json!({"limit": 10})).await;
        assert_eq!(spend(&next.key, 8).await, [5, 5], "{how}");
    }
    assert!(figure(&house, "sealgate_alerts_total{kind=\"limiter_degraded\"} 2").await);
    other.stop().await;
    house.leave().await;
}

async fn client_of(house: &House) -> crate::house::Client {
    house.client_with(json!({"limit": 10})).await
}
