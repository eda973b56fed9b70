//! Every built-in provider against its own stand-in, through the proxy: the client's key in each of
//! its places, the real one where the file says, its answers as they are, and no key in them; its probe
//! tells a good key from a bad one.

use serde_json::Value;

use crate::house::{Emulator, Ground, Server};

/// One provider as the installation shows it, with its stand-in and two secrets: a right one and one
/// that the stand-in does not know.
struct Stand {
    shown: Value,
    emulator: Emulator,
    fields: Vec<(String, String)>,
}

struct Scene {
    stands: Vec<Stand>,
    server: Server,
    /// Of two client keys: one for everything, one for the secrets that are refused.
    keys: [String; 2],
    http: reqwest::Client,
    _ground: Ground,
    _folder: tempfile::TempDir,
}

/// A value as long and with the beginning that the file asks for.
fn value_of(shown: &Value, field: &str, sign: char) -> String {
    let format = &shown["formats"][field];
    let prefix = format["prefixes"][0].as_str().unwrap_or_default();
    let least = format["min_length"].as_u64().unwrap_or(24).max(24);
    let most = format["max_length"].as_u64().unwrap_or(64);
    let length = usize::try_from(least.min(most)).unwrap();
    let provider = shown["id"].as_str().unwrap().replace('-', "");
    let mut value = format!("{prefix}{provider}{field}").replace('_', "");
    value.truncate(length - 8);
    while value.len() < length {
        value.push(sign);
    }
    value
}

fn as_lines(fields: &[(String, String)]) -> String {
    match fields {
        [(_, value)] => format!("{value}\n"),
        several => several.iter().map(|(name, value)| format!("{name}={value}\n")).collect(),
    }
}

impl Stand {
    fn of(ground: &Ground, id: &str, folder: &std::path::Path) -> Self {
        let shown = ground.json(&["provider", "show", id, "--json"]);
        let names = shown["fields"].as_array().unwrap().iter();
        let names: Vec<String> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
        let fields: Vec<(String, String)> =
            names.iter().map(|name| (name.clone(), value_of(&shown, name, 'r'))).collect();
        let emulator = Emulator::of(id, &as_lines(&fields), folder);
        Self { shown, emulator, fields }
    }

    fn id(&self) -> &str {
        self.shown["id"].as_str().unwrap()
    }

    fn probe(&self) -> &str {
        self.shown["probe"]["path"].as_str().unwrap()
    }

    fn method(&self) -> reqwest::Method {
        self.shown["probe"]["method"].as_str().unwrap().parse().unwrap()
    }

    fn refused_fields(&self) -> Vec<(String, String)> {
        let names = self.fields.iter().map(|(name, _)| name.clone());
        names.map(|name| (name.clone(), value_of(&self.shown, &name, 'w'))).collect()
    }

    fn filled(&self, template: &str) -> String {
        self.fields.iter().fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }

    /// What the stand-in answers those who know its key.
    async fn directly(&self, http: &reqwest::Client, asks: Option<&str>) -> (u16, String) {
        let mut url: reqwest::Url = self.emulator.url().parse().unwrap();
        let (path, query) = self.probe().split_once('?').unwrap_or_else(|| (self.probe(), ""));
        url.set_path(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut call = http.request(self.method(), url);
        for placement in self.shown["inject"].as_array().unwrap() {
            let methods = placement["methods"].as_array();
            if methods
                .is_some_and(|methods| !methods.contains(&Value::from(self.method().as_str())))
            {
                continue;
            }
            let name = placement["name"].as_str().unwrap();
            let value = self.filled(placement["value"].as_str().unwrap());
            call = match placement["at"].as_str().unwrap() {
                "header" => call.header(name, value),
                "query" => call.query(&[(name, value)]),
                other => panic!("{}: {other}", self.id()),
            };
        }
        if let Some(asks) = asks {
            call = call.header("x-emulate", asks);
        }
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bare = Ground::new("");
        bare.json(&["init", "--json"]);
        let listed = bare.json(&["provider", "list", "--json"]);
        let ids = listed["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        assert!(ids.len() >= 19, "{ids:?}");
        let stands: Vec<Stand> = ids.iter().map(|id| Stand::of(&bare, id, folder.path())).collect();
        let settings = stands.iter().map(|stand| stand.emulator.settings(stand.id()));
        let ground = Ground::new(&settings.collect::<String>());
        ground.json(&["init", "--json"]);
        let mut bound = vec!["client", "create", "refused", "--json"];
        let pairs: Vec<String> = ids.iter().map(|id| format!("{id}=stale")).collect();
        for stand in &stands {
            for (name, fields) in [("default", &stand.fields), ("stale", &stand.refused_fields())] {
                let mut add = vec!["secret", "add", stand.id(), "--name", name, "--json"];
                if name == "stale" {
                    // A wrong one does not come in unless somebody says so.
                    let refused = ground.run_with_input(&add, &as_lines(fields));
                    let said = String::from_utf8_lossy(&refused.stderr);
                    assert!(said.contains("refuses the key"), "{}: {said}", stand.id());
                    add.push("--no-validate");
                }
                let added = ground.run_with_input(&add, &as_lines(fields));
                let said = String::from_utf8_lossy(&added.stderr);
                assert!(added.status.success(), "{}: {said}", stand.id());
                let shown: Value = serde_json::from_slice(&added.stdout).unwrap();
                // Of one that takes any text for a key, nobody can tell.
                let health = match (name, stand.shown["probe"]["accepts_any"] == true) {
                    ("default", false) => "healthy",
                    (_, _) => "unknown",
                };
                assert_eq!(shown["health"], health, "{}: {shown}", stand.id());
            }
        }
        pairs.iter().for_each(|pair| bound.extend(["--secret", pair]));
        let key = |shown: Value| shown["key"].as_str().unwrap().to_owned();
        let keys = [
            key(ground.json(&["client", "create", "caller", "--limit", "100000", "--json"])),
            key(ground.json(&bound)),
        ];
        let server = ground.serve(&[]);
        let mut http = reqwest::Client::builder().no_proxy();
        for id in &ids {
            let pem = std::fs::read(folder.path().join(format!("{id}.pem"))).unwrap();
            http = http.add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
        }
        let http = http.build().unwrap();
        Self { stands, server, keys, http, _ground: ground, _folder: folder }
    }

    fn call(&self, stand: &Stand) -> reqwest::RequestBuilder {
        let url = format!("{}/{}{}", self.server.proxy, stand.id(), stand.probe());
        self.http.request(stand.method(), url)
    }
}

/// The answer's status, whether it is Sealgate's own, and its body, in which no real key stands.
async fn told(stand: &Stand, call: reqwest::RequestBuilder) -> (u16, bool, String) {
    let answer = call.send().await.unwrap();
    let (status, ours) =
        (answer.status().as_u16(), answer.headers().contains_key("x-sealgate-error"));
    let body = answer.text().await.unwrap();
    for (name, value) in &stand.fields {
        assert!(!body.contains(value.as_str()), "{}: {name} in {body}", stand.id());
    }
    (status, ours, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_built_in_provider_serves_its_stand_in_and_gives_no_key_away() {
    let scene = Scene::new().await;
    let [key, refused] = &scene.keys;
    for stand in &scene.stands {
        let id = stand.id();
        let direct = stand.directly(&scene.http, None).await;
        assert_eq!(direct.0, 200, "{id}: {}", direct.1);
        // Wherever the provider's own clients put a key, and in the usual place.
        let headers = stand.shown["slots"]["headers"].as_array().unwrap().iter();
        let mut places: Vec<(bool, &str)> =
            headers.map(|name| (true, name.as_str().unwrap())).collect();
        let query = stand.shown["slots"]["query"].as_array().unwrap().iter();
        places.extend(query.map(|name| (false, name.as_str().unwrap())));
        places.push((true, "x-api-key"));
        for (is_header, name) in places {
            let call = scene.call(stand);
            let call = if is_header { call.header(name, key) } else { call.query(&[(name, key)]) };
            let (status, _, body) = told(stand, call).await;
            assert_eq!((status, &body), (200, &direct.1), "{id}: {name}");
        }
        // A key that the provider refuses is its own answer, word for word.
        let (status, ours, body) =
            told(stand, scene.call(stand).header("x-api-key", refused)).await;
        let probe = &stand.shown["probe"];
        let in_body = probe["bad_body"].as_str().is_some_and(|text| body.contains(text));
        let by_status = probe["bad"].as_array().unwrap().contains(&Value::from(status));
        assert!(!ours && (in_body || by_status || matches!(status, 401 | 403)), "{id}: {body}");
        // It sends back all that it got: no key of either side stands in it.
        let call = scene.call(stand).header("x-api-key", key).header("x-emulate", "echo");
        let (status, _, body) = told(stand, call.header("x-own", "kept")).await;
        assert_eq!(status, 200, "{id}: {body}");
        assert!(body.contains("kept") && !body.contains(key.as_str()), "{id}: {body}");
        // Its limits and its faults are its own, too; behind a limit everybody waits.
        for asks in ["500", "429"] {
            let direct = stand.directly(&scene.http, Some(asks)).await;
            let call = scene.call(stand).header("x-api-key", key).header("x-emulate", asks);
            let (status, ours, body) = told(stand, call).await;
            assert_eq!((status, &body, ours), (direct.0, &direct.1, false), "{id}: {asks}");
        }
    }
}
