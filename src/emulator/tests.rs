//! The stand-in as a client meets it: over TLS, with both protocols.
//! Every answer is compared whole, the refusal of a wrong key first.
//! Must never reach beyond this machine.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::provider::{Placement, Spot, Template, built_in};

const KEY: &str = "emulated-real-key-0123456789";
const AGGS: &str = "v2/aggs/ticker/X:BTCUSD/range/1/day/2024-01-01/2024-01-06";

struct Scene {
    emulator: Emulator,
    client: reqwest::Client,
}

impl Scene {
    async fn of(provider: Provider) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let identity = Identity::fresh().unwrap();
        let field = |name: &str| (name.to_owned(), SecretBytes::copy_of(KEY.as_bytes()));
        let fields = provider.fields.iter().map(|known| field(&known.name)).collect();
        let emulator = Emulator::start(Arc::new(provider), fields, listen, identity).await.unwrap();
        let client = Self::client(&emulator, reqwest::Client::builder());
        Self { emulator, client }
    }

    fn client(emulator: &Emulator, builder: reqwest::ClientBuilder) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap();
        builder.tls_certs_only([authority]).no_proxy().build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.emulator.address().port())
    }

    async fn call(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).bearer_auth(KEY).send().await.unwrap()
    }
}

async fn sandbox() -> Scene {
    Scene::of(built_in("sandbox").unwrap()).await
}

#[tokio::test]
async fn without_the_real_key_the_provider_says_no_in_its_own_words() {
    let scene = sandbox().await;
    for wrong in [None, Some("wrong"), Some("emulated-real-key-0123456788")] {
        let mut request = scene.client.get(scene.url(AGGS));
        if let Some(key) = wrong {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.text().await.unwrap(),
            r#"{"status":"ERROR","request_id":"emulated","error":"Unknown API Key"}"#
        );
    }
    let twice = scene.client.get(scene.url(AGGS)).bearer_auth(KEY).header("authorization", "x");
    assert_eq!(twice.send().await.unwrap().status(), 401);
    assert_eq!(scene.emulator.seen().len(), 4);
}

#[tokio::test]
async fn a_key_in_the_query_is_demanded_there() {
    let mut provider = built_in("sandbox").unwrap();
    let value = Template::parse("k-{api_key}").unwrap();
    let spot = Spot::Query { name: String::from("apikey"), value };
    provider.inject = vec![Placement { spot, methods: Vec::new() }];
    let scene = Scene::of(provider).await;
    let status = async |query: &str| {
        let url = scene.url(&format!("v1/marketstatus/now?{query}"));
        scene.client.get(url).send().await.unwrap().status()
    };
    assert_eq!(status(&format!("a=b&apikey=k-{KEY}")).await, 200);
    assert_eq!(status(&format!("apikey=k%2D{KEY}")).await, 200);
    assert_eq!(status(&format!("apikey={KEY}")).await, 401);
    assert_eq!(status(&format!("apikey=k-{KEY}&apikey=x")).await, 401);
}

#[tokio::test]
async fn three_pages_follow_each_other_by_absolute_urls() {
    let scene = sandbox().await;
    let mut url = scene.url(AGGS);
    let mut seen = Vec::new();
    loop {
        let response = scene.client.get(&url).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["ticker"], "X:BTCUSD");
        assert_eq!(body["results"].as_array().unwrap().len(), 2);
        seen.push(body["request_id"].as_str().unwrap().to_owned());
        match body.get("next_url") {
            Some(next) => url = next.as_str().unwrap().to_owned(),
            None => break,
        }
        let expected = format!("{}?cursor={}", scene.url(AGGS), seen.len() + 1);
        assert_eq!(url, expected);
    }
    assert_eq!(seen, ["emulated-1", "emulated-2", "emulated-3"]);
}

#[tokio::test]
async fn both_protocols_head_and_unknown_paths_are_served() {
    let scene = sandbox().await;
    assert_eq!(scene.call(AGGS).await.version(), http::Version::HTTP_2);
    let old = Scene::client(&scene.emulator, reqwest::Client::builder().http1_only());
    let response = old.get(scene.url(AGGS)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_11);
    let next_url = response.json::<serde_json::Value>().await.unwrap()["next_url"].clone();
    assert_eq!(next_url, format!("{}?cursor=2", scene.url(AGGS)));

    let response = old.head(scene.url(AGGS)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(length > 300, "{length}");

    let response = scene.call("v9/nothing").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["x-request-id"], "emulated-4");
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"status":"NOT_FOUND","request_id":"emulated","message":"Data not found."}"#
    );
}

#[tokio::test]
async fn events_are_streamed_one_by_one_where_the_body_asks_for_it() {
    let scene = Scene::of(built_in("openai").unwrap()).await;
    let ask = async |body: &str| {
        let request = scene.client.post(scene.url("v1/chat/completions")).bearer_auth(KEY);
        request.body(body.to_owned()).send().await.unwrap()
    };
    let whole = ask(r#"{"stream": false}"#).await;
    assert_eq!(whole.headers()["content-type"], "application/json");
    assert_eq!(whole.json::<serde_json::Value>().await.unwrap()["object"], "chat.completion");

    let mut response = ask(r#"{"model":"m","stream": true}"#).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
    }
    assert_eq!(chunks.len(), 5);
    assert!(chunks.iter().all(|chunk| chunk.starts_with("data: ") && chunk.ends_with("\n\n")));
    assert_eq!(chunks[4], "data: [DONE]\n\n");
}

#[tokio::test]
async fn faults_come_on_demand() {
    let scene = sandbox().await;
    let limited = scene.call(&format!("{AGGS}?x-emulate=429")).await;
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(scene.call(&format!("{AGGS}?x-emulate=500")).await.status(), 500);
    assert_eq!(scene.call(&format!("{AGGS}?x-emulate=401")).await.status(), 401);
    assert_eq!(scene.call(&format!("{AGGS}?x-emulate=other")).await.status(), 200);
    for builder in [reqwest::Client::builder(), reqwest::Client::builder().http1_only()] {
        let client = Scene::client(&scene.emulator, builder);
        let request = client.get(scene.url(AGGS)).bearer_auth(KEY).header("x-emulate", "cut");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err());
    }
    let slow = scene.client.get(scene.url(&format!("{AGGS}?x-emulate=slow"))).bearer_auth(KEY);
    let slow = slow.timeout(Duration::from_millis(200)).send().await;
    assert!(slow.unwrap_err().is_timeout());
}

#[tokio::test]
async fn an_echo_shows_what_arrived_and_is_remembered() {
    let scene = sandbox().await;
    let url = scene.url("any/where%2Fat?x-emulate=echo&b=c");
    let request = scene.client.put(url).bearer_auth(KEY).header("x-own", "1").body("hello");
    let echo: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["path"], "/any/where%2Fat");
    assert_eq!(echo["query"], "x-emulate=echo&b=c");
    assert_eq!(echo["body"], "hello");
    let headers = echo["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!(["x-own", "1"])));
    assert!(headers.contains(&serde_json::json!(["authorization", format!("Bearer {KEY}")])));

    let large = vec![0_u8; 200_000];
    let request = scene.client.post(scene.url("large")).bearer_auth(KEY).body(large);
    assert_eq!(request.send().await.unwrap().status(), 404);
    let seen = scene.emulator.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].path_and_query, "/any/where%2Fat?x-emulate=echo&b=c");
    assert_eq!((seen[1].body_len, seen[1].method.as_str()), (200_000, "POST"));
}

/// The call with the key in every slot of the provider.
fn dressed(
    scene: &Scene,
    provider: &Provider,
    route: &crate::provider::EmulatedRoute,
) -> reqwest::RequestBuilder {
    let method: http::Method = route.method.parse().unwrap();
    let path = route.path.trim_start_matches('/').replace(['{', '}'], "");
    let mut request = scene.client.request(method.clone(), scene.url(&path));
    for placement in provider.inject.iter().filter(|placement| placement.is_for(&method)) {
        let filled = placement.template().fill(|_| Some(KEY.as_bytes())).unwrap();
        let value = filled.expose_str().unwrap();
        request = match &placement.spot {
            Spot::Header { name, .. } => request.header(name, value),
            Spot::Query { name, .. } => request.query(&[(name, value)]),
            Spot::Json { pointer, .. } => {
                request.json(&serde_json::json!({&pointer.names()[0]: value}))
            }
            Spot::Path { .. } | Spot::Basic { .. } => panic!("no built-in file has it yet"),
        };
    }
    request
}

#[tokio::test]
async fn every_route_of_every_file_answers_the_real_key_and_nobody_else() {
    for known in crate::provider::Catalogue::build(&[]).unwrap().iter() {
        let emulation = known.emulation.clone().expect("every built-in file has an emulator");
        let scene = Scene::of(built_in(&known.id).unwrap()).await;
        assert!(!emulation.routes.is_empty(), "{}", known.id);
        for route in &emulation.routes {
            let answer = dressed(&scene, known, route).send().await.unwrap();
            let what = format!("{} {} {}", known.id, route.method, route.path);
            assert_eq!(answer.status(), route.answer.status, "{what}");
            for (name, value) in &emulation.headers {
                assert_eq!(answer.headers()[name.as_str()], value.as_str(), "{what}");
            }
            let body = answer.text().await.unwrap();
            if route.answer.content_type == "application/json" && !body.is_empty() {
                serde_json::from_str::<serde_json::Value>(&body).expect(&what);
            }
            let bare = dressed(&scene, known, route).build().unwrap();
            let mut url = bare.url().clone();
            url.set_query(None);
            let stranger =
                scene.client.request(bare.method().clone(), url).json(&serde_json::json!({}));
            let answer = stranger.send().await.unwrap();
            assert_eq!(answer.status(), emulation.unauthorized.status, "{what}");
            assert_eq!(answer.text().await.unwrap(), emulation.unauthorized.body);
        }
        let probe = known.probe.as_ref().expect("every built-in file has a probe");
        let path = probe.path.split('?').next().unwrap();
        let routed = emulation
            .routes
            .iter()
            .any(|route| (&*route.path, &*route.method) == (path, probe.method.as_str()));
        assert!(routed, "{}: its probe is answered", known.id);
    }
}

#[tokio::test]
async fn stopped_it_ends_its_connections_and_frees_its_port() {
    let scene = sandbox().await;
    assert_eq!(scene.call(AGGS).await.status(), 200);
    let url = scene.url(AGGS);
    let address = scene.emulator.address();
    scene.emulator.stop().await;
    assert!(scene.client.get(url).bearer_auth(KEY).send().await.is_err());
    assert!(TcpListener::bind(address).await.is_ok());
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let start = async |provider: Provider, listen: &str| {
        let key = vec![(String::from("api_key"), SecretBytes::copy_of(KEY.as_bytes()))];
        let identity = Identity::fresh().unwrap();
        let listen = listen.parse().unwrap();
        Emulator::start(Arc::new(provider), key, listen, identity).await.err().unwrap().to_string()
    };
    let mut mute = built_in("sandbox").unwrap();
    mute.emulation = None;
    let fault = start(mute, "127.0.0.1:0").await;
    assert!(fault.starts_with("provider `sandbox` has no emulator: "), "{fault}");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let fault = start(built_in("sandbox").unwrap(), &address).await;
    assert!(fault.starts_with(&format!("the emulator cannot listen on {address}: ")), "{fault}");
}
