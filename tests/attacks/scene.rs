//! A house with a provider for every placement, each with a recorder and client keys of its own, so
//! that whatever a recorder gets belongs to the case that runs in its lane.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use base64::Engine;
use serde_json::json;

use crate::case::{PLACEMENTS, Placement, Words};
use crate::certificates::Authority;
use crate::house::{Canary, House, Plan};
use crate::recorder::{Recorder, Seen};
use crate::wire::Way;

/// What the house takes of a body.
pub(crate) const MOST_BODY_BYTES: usize = 2 << 20;

pub(crate) struct Scene {
    pub house: House,
    pub lanes: Vec<Arc<Lane>>,
    pub ways: Ways,
    _folder: tempfile::TempDir,
}

/// How a client of either protocol reaches the house.
#[derive(Clone)]
pub(crate) struct Ways {
    pub http1: Way,
    pub http2: Way,
}

pub(crate) struct Lane {
    pub placement: Placement,
    pub id: &'static str,
    pub recorder: Recorder,
    pub key: String,
    pub other: String,
    /// The provider's real key.
    pub secret: Canary,
    pub client_keys: Vec<Canary>,
}

impl Placement {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Bearer => "bearer",
            Self::Query => "query",
            Self::Json => "json",
            Self::Path => "path",
            Self::Basic => "basic",
            Self::Several => "several",
        }
    }

    fn inject(self) -> &'static str {
        match self {
            Self::Header => "[{ at = \"header\", name = \"X-Provider-Key\" }]",
            Self::Bearer => {
                "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]"
            }
            Self::Query => "[{ at = \"query\", name = \"apikey\" }]",
            Self::Json => "[{ at = \"json\", pointer = \"/secret\" }]",
            Self::Path => "[{ at = \"path\", prefix = \"/bot{api_key}\" }]",
            Self::Basic => "[{ at = \"basic\", user = \"{api_key}\", password = \"x\" }]",
            Self::Several => {
                "[{ at = \"header\", name = \"X-Provider-Key\" }, \
                  { at = \"query\", name = \"apikey\" }, \
                  { at = \"header\", name = \"Authorization\", value = \"Token {api_key}\" }]"
            }
        }
    }
}

impl Scene {
    pub(crate) async fn plain() -> Self {
        Self::planned(false, "").await
    }

    pub(crate) async fn over_tls() -> Self {
        Self::planned(true, "").await
    }

    /// `settings` are lines of the settings' top.
    pub(crate) async fn planned(tls: bool, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let ca = folder.path().join("authority.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let identity = authority.identity();
        // Refusals without number, and none of them slowed down.
        let mut text = format!(
            "auth.free_failures_per_minute = 1000000\nproxy.max_body_bytes = {MOST_BODY_BYTES}\n\
             {settings}"
        );
        if tls {
            let (certificate, key) = identity.pems();
            let paths = ["gate.pem", "gate.key"].map(|name| folder.path().join(name));
            std::fs::write(&paths[0], certificate).unwrap();
            std::fs::write(&paths[1], key).unwrap();
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&paths[1], private).unwrap();
            let [cert, key] = paths.map(|path| path.display().to_string());
            text.push_str(&format!("proxy.tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n"));
        }
        let mut recorders = Vec::new();
        for placement in PLACEMENTS {
            let recorder = Recorder::open(placement.id(), identity.acceptor()).await;
            let (id, port) = (placement.id(), recorder.address.port());
            text.push_str(&format!(
                "[providers.{id}]\nbase_url = \"https://localhost:{port}/base-{id}\"\n\
                 category = \"tests\"\nallow_private_network = true\nca_file = \"{}\"\n\
                 inject = {}\n",
                ca.display(),
                placement.inject(),
            ));
            recorders.push((placement, recorder));
        }
        let house = House::planned(Plan { settings: text, ..Plan::default() }).await;
        let mut lanes = Vec::new();
        for (placement, recorder) in recorders {
            lanes.push(Arc::new(Lane::open(&house, placement, recorder).await));
        }
        let way = |protocol: &[u8]| Way {
            address: house.proxy_address(),
            tls: tls.then(|| authority.connector(protocol)),
        };
        let ways = Ways { http1: way(b"http/1.1"), http2: way(b"h2") };
        Self { house, lanes, ways, _folder: folder }
    }

    pub(crate) async fn leave(self) {
        self.house.leave().await;
    }
}

impl Lane {
    async fn open(house: &House, placement: Placement, recorder: Recorder) -> Self {
        // It begins like the house's canary, which is searched for everywhere in the end.
        let secret = Canary::of(format!("{}-{}", house.canary.plain(), placement.id()));
        let stored = json!({
            "provider": placement.id(),
            "fields": {"api_key": secret.plain()},
            "validate": false,
        });
        let answer = house.admin.post("/api/v1/admin/secrets").json(&stored).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let (key, other) = (house.client().await.key, house.client().await.key);
        let client_keys = [&key, &other].map(|key| Canary::of(key.clone())).into();
        Self { placement, id: placement.id(), recorder, key, other, secret, client_keys }
    }

    pub(crate) fn words(&self) -> Words {
        let prefix = format!("/{}", self.id);
        Words { prefix, key: self.key.clone(), other: self.other.clone() }
    }

    /// What is wrong with a request that the provider saw: outside of its base path, or without the
    /// key in each of its places once.
    pub(crate) fn fault_in(&self, seen: &Seen) -> Option<String> {
        let base = format!("/base-{}", self.id);
        let within =
            seen.target.strip_prefix(&base).is_some_and(|rest| rest.starts_with(['/', '?']));
        if !within || climbs(&seen.target) {
            return Some(format!("{} is not within {base}", seen.target));
        }
        let key = self.secret.plain();
        let header = |name: &str, wanted: &str| {
            let values = header_values(&seen.head, name);
            (values != [wanted]).then(|| format!("{name} is there {} times", values.len()))
        };
        match self.placement {
            Placement::Header => header("x-provider-key", key),
            Placement::Bearer => header("authorization", &format!("Bearer {key}")),
            Placement::Basic => {
                let pair = base64::prelude::BASE64_STANDARD.encode(format!("{key}:x"));
                header("authorization", &format!("Basic {pair}"))
            }
            Placement::Query => self.fault_in_query(seen),
            Placement::Path => {
                let wanted = format!("{base}/bot{}/", escaped(key, b"-_.~/:"));
                (!seen.target.starts_with(&wanted)).then(|| String::from("no key in the path"))
            }
            Placement::Json if seen.body.is_empty() => None,
            Placement::Json => {
                let body: Result<serde_json::Value, _> = serde_json::from_slice(&seen.body);
                let fits = body.is_ok_and(|body| body["secret"] == key);
                (!fits).then(|| format!("no key in {}", String::from_utf8_lossy(&seen.body)))
            }
            Placement::Several => header("x-provider-key", key)
                .or_else(|| header("authorization", &format!("Token {key}")))
                .or_else(|| self.fault_in_query(seen)),
        }
    }

    fn fault_in_query(&self, seen: &Seen) -> Option<String> {
        let query = seen.target.split_once('?').map_or("", |(_, query)| query);
        let slots: Vec<&str> = query
            .split(['&', ';'])
            .filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                decoded(name.as_bytes()).eq_ignore_ascii_case(b"apikey")
            })
            .collect();
        let wanted = format!("apikey={}", escaped(self.secret.plain(), b"-_.~"));
        (slots != [wanted]).then(|| format!("apikey is there {} times", slots.len()))
    }
}

fn header_values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let pairs = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let own = pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    own.map(|(_, value)| value.trim()).collect()
}

pub(crate) fn escaped(text: &str, plain: &[u8]) -> String {
    let letter = |byte: u8| match byte.is_ascii_alphanumeric() || plain.contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// As a server may undo it, once.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], value) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Does any segment mean "here" or "up", however often a server decodes?
fn climbs(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut path = path.as_bytes().to_vec();
    loop {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
        if segments.any(|segment| {
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            matches!(name.trim_ascii(), b"." | b"..")
        }) {
            return true;
        }
        let next = decoded(&path);
        if next == path {
            return false;
        }
        path = next;
    }
}
