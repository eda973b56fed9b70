//! Where a real key is put: path, Basic, a member of the body, by method, several at once, and at
//! which of a provider's hosts. What the client put there is gone, every other byte stays.

use std::path::Path;

use base64::Engine;
use http::Method;
use serde_json::json;

use crate::house::{Client, House, Outpost, Plan, Speaks};

/// A house with one provider more, and a client key for it.
struct Scene {
    house: House,
    outpost: Outpost,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn of(inject: &str, more: impl FnOnce(&Outpost, &Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outpost = Outpost::open(Speaks::Both).await;
        let pem = folder.path().join("placed.pem");
        std::fs::write(&pem, &outpost.ca_pem).unwrap();
        let settings = outpost.settings("placed", &pem, inject) + &more(&outpost, &pem);
        let house = House::planned(Plan { settings, ..Plan::default() }).await;
        let secret = json!({
            "provider": "placed",
            "fields": {"api_key": house.canary.plain()},
            "validate": false,
        });
        let added = house.admin.post("/api/v1/admin/secrets").json(&secret).send().await;
        assert_eq!(added.status, 201, "{}", added.text());
        let client = house.client().await;
        Self { house, outpost, client, _folder: folder }
    }

    async fn alone(inject: &str) -> Self {
        Self::of(inject, |_, _| String::new()).await
    }

    fn key(&self) -> &str {
        self.house.canary.plain()
    }

    /// No request that reached the provider holds the client's own key.
    async fn leave(self) {
        for seen in self.outpost.seen() {
            let bytes = seen.bytes();
            let key = self.client.key.as_bytes();
            assert!(!bytes.windows(key.len()).any(|window| window == key), "{seen:?}");
        }
        self.house.leave().await;
    }
}

#[tokio::test]
async fn a_key_stands_between_the_base_path_and_the_rest() {
    let scene = Scene::alone("[{ at = \"path\", prefix = \"/bot{api_key}\" }]").await;
    let answer = scene.client.get("/placed/getMe?a=%20b").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let escaped: String = scene
        .key()
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    assert_eq!(scene.outpost.last().path, format!("/base/bot{escaped}/getMe?a=%20b"));
    scene.leave().await;
}

#[tokio::test]
async fn a_key_is_the_user_of_basic_and_its_echo_is_blanked() {
    let scene = Scene::alone(
        "[{ at = \"basic\", user = \"{api_key}\", password = \"x\" }, \
          { at = \"header\", name = \"X-Second\", value = \"k={api_key}\" }]",
    )
    .await;
    let pair = base64::prelude::BASE64_STANDARD.encode(format!("{}:x", scene.key()));
    let answer = scene.client.get("/placed/echo").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = scene.outpost.last();
    assert_eq!(seen.header("authorization"), Some(format!("Basic {pair}").as_str()));
    assert_eq!(seen.header("x-second"), Some(format!("k={}", scene.key()).as_str()));
    assert!(!answer.text().contains(&pair), "{}", answer.text());
    scene.leave().await;
}

const IN_BODY: &str = "[{ at = \"query\", name = \"secret\", methods = [\"GET\"] }, \
                        { at = \"json\", pointer = \"/secret\", methods = [\"POST\"] }]";

#[tokio::test]
async fn a_key_in_the_body_takes_the_place_of_the_clients_and_every_other_byte_stays() {
    let scene = Scene::alone(IN_BODY).await;
    let (real, key) = (scene.key().to_owned(), scene.client.key.clone());
    let escaped = real.replace('\\', "\\\\").replace('"', "\\\"");
    for (sent, wanted) in [
        (format!("{{\"secret\":\"{key}\"}}"), format!("{{\"secret\":\"{escaped}\"}}")),
        (
            format!("{{ \"b\" : 1.0e5, \"secret\" : \"{key}\" ,\n\"c\":\"\\u00e9\"}}\n"),
            format!("{{ \"b\" : 1.0e5, \"secret\" : \"{escaped}\" ,\n\"c\":\"\\u00e9\"}}\n"),
        ),
    ] {
        // No credential in the head: it stands in the body alone.
        let call = scene.client.bare_call(Method::POST, "/placed/bulk?secret=dummy");
        let answer = call.body(sent.clone()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = scene.outpost.last();
        assert_eq!(String::from_utf8_lossy(&seen.body), wanted, "{sent}");
        // The query's slot is emptied for every method and filled for one.
        assert_eq!(seen.path, "/base/bulk");
        let length = wanted.len().to_string();
        assert!(seen.header("content-length").is_none_or(|told| told == length));
    }
    // A credential in the head does for a body without one; a body that is none has no place.
    let call = scene.client.call(Method::POST, "/placed/bulk").body("{\"a\":[]}");
    assert_eq!(call.send().await.status, 200);
    let wanted = format!("{{\"secret\":\"{escaped}\",\"a\":[]}}");
    assert_eq!(String::from_utf8_lossy(&scene.outpost.last().body), wanted);
    assert_eq!(scene.client.call(Method::POST, "/placed/bulk").send().await.status, 200);
    assert_eq!(scene.outpost.last().body.len(), 0);
    assert_eq!(scene.client.get("/placed/x?a=b").send().await.status, 200);
    assert!(scene.outpost.last().path.starts_with("/base/x?a=b&secret="));
    scene.leave().await;
}

#[tokio::test]
async fn a_body_that_can_be_read_in_two_ways_is_refused_and_goes_nowhere() {
    let scene = Scene::alone(IN_BODY).await;
    let key = scene.client.key.clone();
    let post = |body: String| scene.client.bare_call(Method::POST, "/placed/bulk").body(body);
    let large = format!("{{\"secret\":\"{key}\",\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    for body in [
        String::from("[1]"),
        String::from("a=b"),
        format!("{{\"secret\":\"{key}\",\"secret\":\"{key}\"}}"),
        format!("{{\"secret\":\"{key}\",\"s\\u0065cret\":\"dummy\"}}"),
        format!("{{\"Secret\":\"{key}\"}}"),
        format!("{{\"secret\":\"{key}\"}}{{}}"),
        format!("\u{feff}{{\"secret\":\"{key}\"}}"),
        large,
    ] {
        post(body).send().await.is_refusal(400, "bad_request");
    }
    let packed = post(format!("{{\"secret\":\"{key}\"}}")).header("content-encoding", "gzip");
    packed.send().await.is_refusal(400, "bad_request");
    // Two different credentials, one in the head and one in the body.
    let other = scene.house.client().await;
    let both = post(format!("{{\"secret\":\"{key}\"}}")).header("x-api-key", &other.key);
    both.send().await.is_refusal(400, "bad_request");
    // One that stands in the body and once more where it is no slot.
    let twice = post(format!("{{\"secret\":\"{key}\"}}")).header("x-note", &key);
    twice.send().await.is_refusal(400, "bad_request");
    // None at all, and one of nobody.
    post(String::from("{}")).send().await.is_refusal(401, "unauthorized");
    let nobody = format!("{{\"secret\":\"mdw_{}\"}}", "0".repeat(46));
    post(nobody).send().await.is_refusal(401, "unauthorized");
    assert_eq!(scene.outpost.seen().len(), 0);
    scene.leave().await;
}

#[tokio::test]
async fn the_path_selects_among_the_hosts_of_one_provider() {
    let two = Outpost::open(Speaks::Both).await;
    let bearer = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let scene = Scene::of(bearer, |one, pem| {
        std::fs::write(pem, format!("{}{}", one.ca_pem, two.ca_pem)).unwrap();
        format!(
            "hosts = {{ data = \"https://localhost:{}/base/data\" }}\n\
             paths = [{{ under = [\"/v2/stocks\", \"/v1beta1\"], host = \"data\" }}]\n",
            two.address.port(),
        )
    })
    .await;
    for path in ["/v2/stocks/bars?a=1", "/v2/stocks", "/v1beta1/news", "/placed/v2/stocks"] {
        let answer = scene.client.get(&format!("/placed{path}")).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = two.last();
        assert_eq!(seen.path, format!("/base/data{}", path.trim_start_matches("/placed")));
        let own = format!("localhost:{}", two.address.port());
        assert!(seen.header("host").is_none_or(|host| host == own), "{seen:?}");
        let bearer = format!("Bearer {}", scene.key());
        assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
    }
    assert_eq!(scene.outpost.seen().len(), 0);
    for path in ["/v2/account", "/v2/stocksy", "/v2/%73tocks/bars", "/x/v2/stocks"] {
        let answer = scene.client.get(&format!("/placed{path}")).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(scene.outpost.last().path, format!("/base{path}"));
    }
    assert_eq!(two.seen().len(), 4);
    scene.leave().await;
}
