//! Runs that are killed, and runs of two nodes: the history is the provider's to the digit all the
//! same, and nothing comes twice but the pages that were open.

use std::time::Duration;

use serde_json::{Value, json};

use super::{daily, kept_by, lines};
use crate::crash::rounds;
use crate::house::{Bar, Bourse, Database, Dice, Ground, Kind, Server};

const PAGE: usize = 40;
const AT_ONCE: usize = 3;
const KEY: &str = "a-key-of-the-bourse-0123456789\n";

/// Houses whose history comes from one provider, and what it has.
struct Scene {
    bourse: Bourse,
    grounds: Vec<Ground>,
    ledger: Vec<(String, Vec<Bar>)>,
    reader: String,
}

impl Scene {
    async fn new(nodes: usize, database: &str) -> Self {
        let bourse = Bourse::open(PAGE).await;
        bourse.pause(Duration::from_millis(15));
        let at_once = format!("[backfill]\nat_once = {AT_ONCE}\n");
        let settings =
            format!("{database}{}", bourse.settings("").replace("[backfill]\n", &at_once));
        let first = Ground::new(&settings);
        let master = first.path().join("keys/master.key");
        let master =
            format!("master_key = {{ kind = \"file\", path = \"{}\" }}\n", master.display());
        let mut grounds = vec![first];
        grounds.extend((1..nodes).map(|_| Ground::new(&format!("{master}{settings}"))));
        let ground = &grounds[0];
        ground.json(&["init", "--json"]);
        let secret = ground.run_with_input(&["secret", "add", "bourse", "--no-validate"], KEY);
        assert!(secret.status.success(), "{}", String::from_utf8_lossy(&secret.stderr));
        let make = ["client", "create", "reader", "--scope", "market:GET:/**", "--json"];
        let reader = ground.json(&make)["key"].as_str().unwrap().to_owned();
        let mut dice = Dice(19);
        let mut ledger = Vec::new();
        for number in 0..12 {
            let symbol = format!("SYM{number}");
            let bars = daily(&mut dice, false, &[]);
            bourse.list(&symbol, "1/day", bars.clone());
            ledger.push((symbol, bars));
        }
        let mut add = vec!["symbols", "add"];
        add.extend(ledger.iter().map(|(symbol, _)| symbol.as_str()));
        assert!(ground.run(&add).status.success());
        Self { bourse, grounds, ledger, reader }
    }

    /// Of those symbols, at that node; its number.
    fn ask(&self, node: usize, symbols: std::ops::Range<usize>) -> String {
        let mut ask = vec!["backfill", "run", "--detach", "--json", "--from"];
        ask.extend(["2024-01-16T00:00:00Z", "--to", "2026-01-15T00:00:00Z"]);
        ask.extend(self.ledger[symbols].iter().map(|(symbol, _)| symbol.as_str()));
        self.grounds[node].json(&ask)["id"].as_str().unwrap().to_owned()
    }

    async fn ended(&self, node: usize, id: &str) -> Value {
        let mut done = Value::Null;
        for _ in 0..600 {
            done = self.grounds[node].json(&["backfill", "status", id, "--json"]);
            if !["in_progress", "pending"].contains(&done["state"].as_str().unwrap()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(done["state"], "completed", "{done:#}");
        done
    }

    fn candles(&self) -> usize {
        self.ledger.iter().map(|(_, bars)| bars.len()).sum()
    }

    /// What is stored is what the provider has, to the digit.
    async fn is_whole(&self, server: &Server) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |path: String| {
            let url = format!("{}{path}", server.proxy);
            let answer = http.get(url).header("x-api-key", &self.reader).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            answer.text().await.unwrap()
        };
        for (symbol, bars) in &self.ledger {
            assert_eq!(kept_by(&ask, symbol, "1d").await, lines(bars), "{symbol}");
        }
    }

    /// Beside what there is, at most the pages that were open so many times.
    fn came_once_but(&self, breaks: usize) {
        let again = self.bourse.sent() - self.candles();
        assert!(again <= breaks * AT_ONCE * PAGE, "{again} candles were fetched again");
    }
}

async fn killed_again_and_again(database: &str) {
    let scene = Scene::new(1, database).await;
    let ground = &scene.grounds[0];
    let kills = if rounds() > 8 { 30 } else { 6 };
    let mut dice = Dice(29);
    let server = ground.serve(&[]);
    let id = scene.ask(0, 0..12);
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    for _ in 1..kills {
        let server = ground.serve(&[]);
        tokio::time::sleep(Duration::from_millis(100 + dice.roll(500))).await;
        server.kill();
    }
    let server = ground.serve(&[]);
    let done = scene.ended(0, &id).await;
    assert_eq!(done["candles"], scene.candles());
    scene.is_whole(&server).await;
    scene.came_once_but(kills);
    for (symbol, bars) in &scene.ledger {
        let shown = ground.json(&["symbols", "show", symbol, "--json"]);
        assert_eq!(shown["record_count"], bars.len(), "{symbol}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_killed_goes_on_and_fetches_nothing_again_but_the_open_pages() {
    killed_again_and_again("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_killed_on_postgresql_goes_on_and_fetches_nothing_again_but_the_open_pages() {
    let database = Database::fresh(Kind::Postgres, std::path::Path::new("")).await;
    killed_again_and_again(&database.settings()).await;
    database.drop_it().await;
}

/// Each asks for a part; nothing is fetched by both. The one that is at it is killed, and the other
/// goes on from where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_fetches_at_a_time_and_the_other_goes_on_where_it_is_killed() {
    let database = Database::fresh(Kind::Postgres, std::path::Path::new("")).await;
    let scene = Scene::new(2, &database.settings()).await;
    let servers: Vec<Server> = scene.grounds.iter().map(|ground| ground.serve(&[])).collect();
    let ids = [scene.ask(0, 0..4), scene.ask(1, 4..8)];
    for id in &ids {
        scene.ended(1, id).await;
    }
    let early: usize = scene.ledger[..8].iter().map(|(_, bars)| bars.len()).sum();
    assert_eq!(scene.bourse.sent(), early, "nothing comes twice");

    // The other one comes when the first is at it.
    let [first, second] = <[Server; 2]>::try_from(servers).ok().unwrap();
    second.stop();
    // Slowly, so that it is there in time.
    scene.bourse.pause(Duration::from_millis(500));
    let id = scene.ask(0, 8..12);
    while scene.bourse.sent() < early + 5 * PAGE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = scene.grounds[1].serve(&[]);
    let shown = scene.grounds[1].json(&["backfill", "status", &id, "--json"]);
    assert_eq!(shown["state"], "in_progress", "the other node sees it");
    first.kill();
    scene.bourse.pause(Duration::from_millis(15));
    let sent = scene.bourse.sent();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(scene.bourse.sent() <= sent + AT_ONCE * PAGE, "its turn has not ended yet");
    // A minute later.
    database.tamper("UPDATE leases SET held_until = held_until - 60000 WHERE held_until > 0").await;
    let done = scene.ended(1, &id).await;
    assert_eq!(done["error"], json!(null), "{done:#}");
    scene.is_whole(&second).await;
    scene.came_once_but(1);
    second.stop();
    database.drop_it().await;
}
