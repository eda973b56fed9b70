//! Three servers on one PostgreSQL that share the limits through a Redis which is not there, or has
//! lost all it knew: what they let in together is never more than the quota.

use std::time::Duration;

use crate::house::{Canary, Database, Ground, Kind, Outpost, Server, Speaks};
use crate::shared::Redis;

const QUOTA: usize = 99;

pub(crate) struct Cluster {
    pub(crate) grounds: Vec<Ground>,
    pub(crate) provider: Outpost,
    database: Database,
    key: String,
}

impl Cluster {
    async fn new(redis: &Redis) -> Self {
        Self::reaching([redis.settings(), redis.settings(), redis.settings()]).await
    }

    /// Each node with a way of its own to Redis.
    pub(crate) async fn reaching(ways: [String; 3]) -> Self {
        let provider = Outpost::open(Speaks::Both).await;
        let bearer =
            "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
        let ca = std::path::Path::new("outpost.pem");
        let database = Database::fresh(Kind::Postgres, std::path::Path::new("")).await;
        let rest = provider.settings("acme", ca, bearer);
        let ways = ways.map(|way| format!("proxy.workers = 1\n{}{way}{rest}", database.settings()));
        let [first, others @ ..] = ways;
        let first = Ground::new(&first);
        let master = first.path().join("keys/master.key");
        let master =
            format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
        let mut grounds = vec![first];
        grounds.extend(others.iter().map(|other| Ground::new(&format!("{master}{other}"))));
        for ground in &grounds {
            std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
        }
        grounds[0].json(&["init", "--json"]);
        let secret = format!("{}\n", Canary::hatch().plain());
        let add = ["secret", "add", "acme", "--no-validate", "--json"];
        assert!(grounds[0].run_with_input(&add, &secret).status.success());
        let make = ["client", "create", "caller", "--limit", "99", "--json"];
        let key = grounds[0].json(&make)["key"].as_str().unwrap().to_owned();
        Self { grounds, provider, database, key }
    }

    pub(crate) fn serve(&self, place: usize) -> Server {
        self.grounds[place].serve(&[])
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

    /// Once all have told what they let in by themselves, what is left is had, and no more.
    async fn spends_the_rest(&self, servers: &[Server]) {
        for _ in 0..40 {
            for server in servers {
                self.spend(server, 5).await;
            }
            a_moment(250).await;
        }
        assert_eq!(self.admitted(), QUOTA);
    }

    /// By all that were ever here.
    fn admitted(&self) -> usize {
        self.provider.seen().len()
    }

    pub(crate) async fn close(self, servers: Vec<Server>) {
        servers.into_iter().for_each(Server::kill);
        self.database.drop_it().await;
    }
}

pub(crate) async fn a_moment(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_without_redis_share_one_quota() {
    let mut redis = Redis::start().await;
    let cluster = Cluster::new(&redis).await;
    redis.end("KILL");
    let mut servers = vec![cluster.serve(0)];
    assert_eq!(cluster.spend(&servers[0], 20).await, 20, "alone it has all of it");
    for place in [1, 2] {
        servers.push(cluster.serve(place));
        // At once: it may spend when the others know of it, and not before.
        cluster.spend(&servers[place], 5).await;
    }
    a_moment(2_000).await;
    for server in &servers {
        cluster.spend(server, QUOTA).await;
    }
    let admitted = cluster.admitted();
    assert!((75..=QUOTA).contains(&admitted), "{admitted}");
    redis.mend("KILL").await;
    cluster.spends_the_rest(&servers).await;
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_of_everything_gives_nobody_a_fresh_window() {
    for is_redis_back in [true, false] {
        let mut redis = Redis::start().await;
        let cluster = Cluster::new(&redis).await;
        let servers: Vec<Server> = (0..3).map(|place| cluster.serve(place)).collect();
        for server in &servers {
            assert_eq!(cluster.spend(server, 20).await, 20);
        }
        redis.end("KILL");
        servers.into_iter().for_each(Server::kill);
        if is_redis_back {
            redis.mend("KILL").await;
        }
        let mut servers = Vec::new();
        for place in 0..3 {
            servers.push(cluster.serve(place));
            cluster.spend(&servers[place], 40).await;
            let admitted = cluster.admitted();
            assert!(admitted <= QUOTA, "{is_redis_back} {place}: {admitted}");
        }
        a_moment(3_000).await;
        for server in &servers {
            cluster.spend(server, 40).await;
        }
        let admitted = cluster.admitted();
        assert!(admitted <= QUOTA, "{is_redis_back}: {admitted}");
        if !is_redis_back {
            redis.mend("KILL").await;
        }
        cluster.spends_the_rest(&servers).await;
        cluster.close(servers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_let_in_alone_is_kept_for_it_until_it_is_back() {
    let mut redis = Redis::start().await;
    let cluster = Cluster::new(&redis).await;
    let mut servers: Vec<Server> = (0..3).map(|place| cluster.serve(place)).collect();
    a_moment(1_000).await;
    redis.end("KILL");
    for server in &servers {
        assert_eq!(cluster.spend(server, 40).await, 33);
    }
    a_moment(1_500).await;
    servers.pop().unwrap().kill();
    redis.mend("KILL").await;
    // Longer than a silent node is counted in.
    a_moment(8_000).await;
    for server in &servers {
        cluster.spend(server, QUOTA).await;
    }
    assert_eq!(cluster.admitted(), QUOTA, "its thirty-three are kept");
    servers.push(cluster.serve(2));
    a_moment(1_500).await;
    for server in &servers {
        cluster.spend(server, 20).await;
    }
    assert_eq!(cluster.admitted(), QUOTA);
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_one_node_is_told_of_is_reached_through_all() {
    let redis = Redis::start().await;
    let cluster = Cluster::new(&redis).await;
    let servers = vec![cluster.serve(0), cluster.serve(1)];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str| {
        let call = http.get(format!("{}{path}", servers[1].proxy));
        call.header("x-api-key", &cluster.key).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/second/x").await, 404);
    let outpost = Outpost::open(Speaks::Both).await;
    let ground = &cluster.grounds[0];
    let pem = ground.path().join("second.pem");
    std::fs::write(&pem, &outpost.ca_pem).unwrap();
    let base = format!("https://localhost:{}/base", outpost.address.port());
    let header = "X-Real={api_key}";
    let add = ["provider", "add", "second", "--base-url", &base, "--category", "tests"];
    let rest = ["--header", header, "--allow-private-network", "--ca-file", pem.to_str().unwrap()];
    let shown = ground.json(&[&add[..], &rest, &["--json"]].concat());
    assert_eq!(shown["allow_private_network"], true, "{shown}");
    assert_eq!(shown["ca_file"], pem.to_str().unwrap(), "{shown}");
    let canary = Canary::hatch();
    let secret = ["secret", "add", "second", "--no-validate", "--json"];
    let added = ground.run_with_input(&secret, &format!("{}\n", canary.plain()));
    assert!(added.status.success());
    let within = Duration::from_secs(5);
    let reached = async {
        while ask("/second/x").await != 200 {
            a_moment(50).await;
        }
    };
    tokio::time::timeout(within, reached).await.expect("the other node does not know of it");
    assert_eq!(outpost.last().header("x-real"), Some(canary.plain()));
    // And what is changed is changed for all.
    let changed = ["provider", "set", "second", "--base-url", "https://localhost:1/", "--json"];
    ground.json(&changed);
    let left = async {
        while ask("/second/x").await == 200 {
            a_moment(50).await;
        }
    };
    tokio::time::timeout(within, left).await.expect("the other node goes on as before");
    cluster.close(servers).await;
}
