//! A provider whose keys can be made by programs: its API, which takes the keys that live; service
//! accounts by OpenAI's admin API; and a rotator, which answers signed letters with keys of the
//! same mint. A test changes how it feels at any time. Plain HTTP on this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) struct Mint {
    pub address: SocketAddr,
    stage: Arc<Mutex<Stage>>,
    accepting: JoinHandle<()>,
}

/// What the rotator does with a letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    Status(u16),
    /// Longer than anybody waits.
    Slow,
    Says(&'static str),
    Huge,
    /// It makes keys that the API does not take.
    Bad,
    /// It is well, and the API is out of order.
    Closed,
}

/// A key, and by what it was made.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    pub value: String,
    /// The service account's name, or the id of the letter's body.
    pub of: String,
    pub id: String,
    pub lives: bool,
    pub calls: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Default)]
struct Stage {
    coins: Vec<Coin>,
    letters: Vec<Letter>,
    admin: String,
    mood: Mood,
    /// Calls of the API, good and refused.
    served: u64,
    made: u64,
}

pub(crate) const PROJECT: &str = "proj_tests";
const SLOW: Duration = Duration::from_secs(20);

impl Mint {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = Arc::new(Mutex::new(Stage::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&stage)));
        let mint = Self { address, stage, accepting };
        mint.stage().admin = key_of("admin");
        mint
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        locked(&self.stage)
    }

    /// A key that somebody has made by hand.
    pub(crate) fn by_hand(&self) -> String {
        self.stage().coin("by hand", true).value
    }

    pub(crate) fn admin_key(&self) -> String {
        self.stage().admin.clone()
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.stage().mood = mood;
    }

    /// Every key, in the order in which they were made.
    pub(crate) fn coins(&self) -> Vec<Coin> {
        self.stage().coins.clone()
    }

    /// Those that live and were not made by hand.
    pub(crate) fn living(&self) -> Vec<Coin> {
        let mut coins = self.coins();
        coins.retain(|coin| coin.lives && coin.of != "by hand");
        coins
    }

    pub(crate) fn kill(&self, value: &str) {
        let mut stage = self.stage();
        let coin = stage.coins.iter_mut().find(|coin| coin.value == value);
        coin.unwrap().lives = false;
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.stage().letters.clone()
    }

    /// Its entry in the settings, which behaves as OpenAI's does.
    pub(crate) fn settings(&self, id: &str) -> String {
        format!(
            "[providers.{id}]\nbase_url = \"http://{}\"\ncategory = \"tests\"\n\
             allow_private_network = true\nprobe = {{ path = \"/v1/models\" }}\n\
             inject = [{{ at = \"header\", name = \"Authorization\", value = \"Bearer {{api_key}}\" \
             }}]\n",
            self.address
        )
    }
}

impl Drop for Mint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Stage {
    fn coin(&mut self, of: &str, lives: bool) -> Coin {
        self.made += 1;
        let id = format!("svc_acct_{}", self.made);
        let calls = 0;
        let coin = Coin { value: key_of("mint"), of: of.to_owned(), id, lives, calls };
        self.coins.push(coin.clone());
        coin
    }

    fn api(&mut self, key: &str) -> (u16, Value) {
        if self.mood == Mood::Closed {
            return (503, json!({}));
        }
        let Some(coin) = self.coins.iter_mut().find(|coin| coin.value == key && coin.lives) else {
            return (401, json!({"error": {"code": "invalid_api_key"}}));
        };
        coin.calls += 1;
        self.served += 1;
        (200, json!({"object": "list", "data": []}))
    }

    /// `/v1/organization/projects/{project}/service_accounts`.
    fn accounts(
        &mut self,
        (method, rest, key): (&Method, &str, &str),
        body: &[u8],
    ) -> (u16, Value) {
        if key != self.admin {
            return (401, json!({"error": {"code": "invalid_api_key"}}));
        }
        match (method.as_str(), rest) {
            ("POST", "") => {
                let body: Value = serde_json::from_slice(body).unwrap();
                let lives = self.mood != Mood::Bad;
                let coin = self.coin(body["name"].as_str().unwrap(), lives);
                let key = json!({
                    "object": "organization.project.service_account.api_key", "value": coin.value,
                    "name": "Secret Key", "created_at": 1_711_471_533, "id": "key_abc",
                });
                let made = json!({
                    "object": "organization.project.service_account", "id": coin.id,
                    "name": coin.of, "role": "member", "created_at": 1_711_471_533, "api_key": key,
                });
                (200, made)
            }
            // Two to a page, so that there are several.
            ("GET", query) => {
                let after = query.split("after=").nth(1);
                let mut all: Vec<&Coin> =
                    self.coins.iter().filter(|coin| coin.id != "gone").collect();
                if let Some(after) = after {
                    let at = all.iter().position(|coin| coin.id == after).unwrap();
                    all.drain(..=at);
                }
                let page: Vec<Value> = all
                    .iter()
                    .take(2)
                    .map(|coin| {
                        json!({
                            "object": "organization.project.service_account", "id": coin.id,
                            "name": coin.of, "role": "member", "created_at": 1_711_471_533,
                        })
                    })
                    .collect();
                let last = page.last().map(|one| one["id"].clone());
                (
                    200,
                    json!({"object": "list", "data": page, "last_id": last,
                    "has_more": all.len() > 2}),
                )
            }
            ("DELETE", id) => {
                let id = id.trim_start_matches('/');
                match self.coins.iter_mut().find(|coin| coin.id == id) {
                    Some(coin) => {
                        coin.lives = false;
                        let gone = std::mem::replace(&mut coin.id, String::from("gone"));
                        (
                            200,
                            json!({"object": "organization.project.service_account.deleted",
                            "id": gone, "deleted": true}),
                        )
                    }
                    None => (404, json!({"error": {"code": "not_found"}})),
                }
            }
            _ => (404, json!({})),
        }
    }

    /// The same id, the same key.
    fn rotator(&mut self, letter: Letter) -> (u16, String) {
        let body: Value = serde_json::from_str(&letter.body).unwrap();
        self.letters.push(letter);
        match self.mood {
            Mood::Status(status) => return (status, String::from("{}")),
            Mood::Says(text) => return (200, text.to_owned()),
            Mood::Huge => return (200, "x".repeat(1_000_000)),
            Mood::Well | Mood::Slow | Mood::Bad | Mood::Closed => {}
        }
        let id = body["id"].as_str().unwrap().to_owned();
        let known = self.coins.iter().position(|coin| coin.of == id);
        if body["action"] == "retire" {
            if let Some(known) = known {
                self.coins[known].lives = false;
            }
            return (200, String::from("{}"));
        }
        let coin = match known {
            Some(at) => self.coins[at].clone(),
            None => self.coin(&id, self.mood != Mood::Bad),
        };
        let made = json!({"fields": {"api_key": coin.value}, "handle": coin.id});
        (200, made.to_string())
    }
}

fn key_of(who: &str) -> String {
    format!("sk-{who}-{}", uuid::Uuid::now_v7().simple())
}

fn locked(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, stage: Arc<Mutex<Stage>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let stage = Arc::clone(&stage);
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let respond = service_fn(move |request| reply(Arc::clone(&stage), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

async fn reply(
    stage: Arc<Mutex<Stage>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let key = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let path = head.uri.path();
    let accounts = format!("/v1/organization/projects/{PROJECT}/service_accounts");
    let (status, text) = if path == "/rotate" {
        if locked(&stage).mood == Mood::Slow {
            tokio::time::sleep(SLOW).await;
        }
        let body = String::from_utf8(body.to_vec()).unwrap();
        match head.method {
            Method::HEAD => (405, String::new()),
            _ => locked(&stage).rotator(Letter { headers: head.headers.clone(), body }),
        }
    } else if let Some(rest) = path.strip_prefix(&accounts) {
        let rest = head.uri.query().unwrap_or(rest);
        let (status, said) = locked(&stage).accounts((&head.method, rest, key), &body);
        (status, said.to_string())
    } else if path.starts_with("/v1/organization/") {
        (404, String::from("{}"))
    } else {
        let (status, said) = locked(&stage).api(key);
        (status, said.to_string())
    };
    let answer = Response::builder().status(status).header("content-type", "application/json");
    Ok(answer.body(Full::new(Bytes::from(text))).unwrap())
}
