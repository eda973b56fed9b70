//! Three servers on one PostgreSQL, each with a way of its own to Redis: one of them is cut off
//! while the others count there. What they let in together is never more than the quota.

use std::time::Duration;

use sealgate::clock::Clock;

use crate::house::{Relay, Server};
use crate::nodes::{Cluster, a_moment};
use crate::shared::Redis;

const QUOTA: usize = 90;

struct Ways {
    _redis: Redis,
    relays: Vec<Relay>,
    cluster: Cluster,
    servers: Vec<Server>,
}

impl Ways {
    async fn new() -> Self {
        let redis = Redis::start().await;
        let mut relays = Vec::new();
        for _ in 0..3 {
            relays.push(Relay::to(([127, 0, 0, 1], redis.port).into()).await);
        }
        let settings = |place: usize| {
            let address = relays[place].address;
            format!("limits.backend = \"redis\"\nlimits.redis_url = \"redis://{address}\"\n")
        };
        let cluster = Cluster::reaching([settings(0), settings(1), settings(2)]).await;
        let servers: Vec<Server> = (0..3).map(|place| cluster.serve(place)).collect();
        // Each has heard of the others.
        a_moment(1_000).await;
        Self { _redis: redis, relays, cluster, servers }
    }

    fn client(&self, name: &str) -> String {
        let limit = QUOTA.to_string();
        let make = ["client", "create", name, "--limit", &limit, "--json"];
        self.cluster.grounds[0].json(&make)["key"].as_str().unwrap().to_owned()
    }

    /// So many callers at once on each of them: how many calls each let in.
    async fn burst(&self, key: &str, callers: usize) -> [usize; 3] {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let clock = Clock::system();
        let mut calls = Vec::new();
        for caller in 0..callers * 3 {
            let url = format!("{}/acme/x", self.servers[caller % 3].proxy);
            let (http, key, clock) = (http.clone(), key.to_owned(), clock.clone());
            calls.push(tokio::spawn(async move {
                let before = clock.monotonic_ns();
                let answer = http.get(url).header("x-api-key", key).send().await.unwrap();
                let took = Duration::from_nanos(clock.monotonic_ns() - before);
                assert!(took < Duration::from_secs(12), "{took:?}");
                (caller % 3, answer.status().as_u16())
            }));
        }
        let mut admitted = [0; 3];
        for call in calls {
            match call.await.unwrap() {
                (place, 200) => admitted[place] += 1,
                (_, status) => assert_eq!(status, 429),
            }
        }
        admitted
    }

    async fn until_all_share(&self) {
        let ready = async |server: &Server| {
            let page = reqwest::get(format!("{}/metrics", server.admin)).await.unwrap();
            page.text().await.unwrap().contains("\nsealgate_limiter_redis_up 1\n")
        };
        for server in &self.servers {
            while !ready(server).await {
                a_moment(50).await;
            }
        }
        a_moment(1_000).await;
    }

    async fn close(self) {
        self.cluster.close(self.servers).await;
    }
}

fn sum(admitted: &[usize; 3]) -> usize {
    admitted.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_alone_is_cut_off_has_its_share_and_the_sum_never_passes_the_quota() {
    let ways = Ways::new().await;
    for round in 0..6 {
        let key = ways.client(&format!("caller-{round}"));
        let cut = round % 3;
        let before = ways.burst(&key, 3).await;
        let cutting = async {
            a_moment(u64::try_from(round).unwrap() * 10).await;
            ways.relays[cut].set_open(false);
        };
        let (first, ()) = tokio::join!(ways.burst(&key, 60), cutting);
        let mut admitted = [before, first];
        for _ in 0..3 {
            let more = ways.burst(&key, 20).await;
            for place in 0..3 {
                admitted[1][place] += more[place];
            }
            let all = sum(&before) + sum(&admitted[1]);
            assert!(all <= QUOTA, "round {round}: {admitted:?}");
        }
        ways.relays[cut].set_open(true);
        ways.until_all_share().await;
        let rest = ways.burst(&key, 60).await;
        let all = sum(&before) + sum(&admitted[1]) + sum(&rest);
        assert_eq!(all, QUOTA, "round {round}: {admitted:?}, {rest:?}");
    }
    ways.close().await;
}

/// Its process stands still when it has just lost Redis, or when it has its share, for less than
/// the others wait for it and for more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_and_stands_still_goes_on_with_no_old_idea() {
    let ways = Ways::new().await;
    for (round, (has_share, for_ms)) in
        [(false, 3_000), (true, 3_000), (false, 7_000), (true, 7_000)].into_iter().enumerate()
    {
        let key = ways.client(&format!("caller-{round}"));
        let before = sum(&ways.burst(&key, 3).await);
        ways.relays[0].set_open(false);
        if has_share {
            a_moment(1_500).await;
        }
        ways.servers[0].signal("STOP");
        let server = async {
            a_moment(for_ms).await;
            ways.servers[0].signal("CONT");
        };
        let (admitted, ()) = tokio::join!(ways.burst(&key, 60), server);
        let more = ways.burst(&key, 60).await;
        let all = before + sum(&admitted) + sum(&more);
        assert!(all <= QUOTA, "round {round}: {before} {admitted:?} {more:?}");
        ways.relays[0].set_open(true);
        ways.until_all_share().await;
        let rest = sum(&ways.burst(&key, 60).await);
        assert_eq!(all + rest, QUOTA, "round {round}: {before} {admitted:?} {more:?}");
    }
    ways.close().await;
}
