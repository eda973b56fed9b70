//! The way to the admin API: the local socket while a server runs, the same app without listeners
//! while none does, a remote server where its URL is given. Must never send a key over a network in
//! clear, and never follow a redirect with it.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::failure::{Failure, one_line};
use super::house::{self, Offline};
use super::progress::Transfer;
use super::{Ground, Reach};
use crate::config::Config;

/// Longer than any answer takes, adding a secret included: its provider is asked first.
const PATIENCE: Duration = Duration::from_secs(120);
/// A backup may be large and its way slow.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// A year, where nobody knows how long it goes on.
const WITHOUT_END: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const PAGE: usize = 1_000;
/// More pages than a list for people can have; ends a server that never ends.
const MOST_PAGES: usize = 10_000;

/// The header with the name under which the list of backups shows how far one is.
const BACKUP: &str = "x-sealgate-backup";
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// The header that names what is damaged in a house that was backed up.
const DAMAGED: &str = "x-sealgate-damaged";

/// What came, and what the server said of it beforehand.
pub(super) struct Downloaded {
    pub(super) bytes: u64,
    pub(super) faults: Vec<String>,
}

/// An admin API that answers.
pub(super) struct Link {
    client: reqwest::Client,
    base: Url,
    /// The app that this command started for itself.
    offline: Option<Offline>,
}

/// Connects, does the work, and lets go in good order, whatever the outcome.
pub(super) fn with<T>(
    ground: &Ground,
    reach: &Reach,
    work: impl AsyncFnOnce(&Link) -> Result<T, Failure>,
) -> Result<T, Failure> {
    house::runtime()?.block_on(async {
        let link = match reach.url.as_deref().or_else(|| ground.environment.url()) {
            Some(url) => remote(ground, url)?,
            None => connect(&ground.config()?).await?,
        };
        let outcome = work(&link).await;
        match link.offline {
            Some(offline) => {
                offline.close().await;
                outcome.map_err(Failure::with_nobody_to_unseal)
            }
            None => outcome,
        }
    })
}

/// The local installation: through its running server, else by an app started for this command.
pub(super) async fn connect(config: &Config) -> Result<Link, Failure> {
    let offline = match answers(&config.socket)? {
        true => None,
        false => house::offline(config).await?,
    };
    let client = reqwest::Client::builder().unix_socket(config.socket.as_path());
    Ok(Link { client: built(client)?, base: address("http://local/")?, offline })
}

/// Does somebody listen on the socket? A file that a killed server left behind does not count.
pub(super) fn answers(socket: &Path) -> Result<bool, Failure> {
    use std::io::ErrorKind;
    let Err(error) = UnixStream::connect(socket) else { return Ok(true) };
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
        return Ok(false);
    }
    let remedy = if error.kind() == ErrorKind::PermissionDenied {
        "run this as the user that the server runs as"
    } else {
        "set data_dir to the folder of this installation"
    };
    Err(Failure::new(format!("cannot reach the server at {}: {error}; {remedy}", socket.display())))
}

fn remote(ground: &Ground, url: &str) -> Result<Link, Failure> {
    let base = remote_address(url)?;
    let key = ground.environment.key().ok_or_else(|| {
        Failure::usage(
            "SEALGATE_KEY is not set; a remote server needs a client key that may administer it",
        )
    })?;
    let mut value = HeaderValue::from_bytes(key.expose())
        .map_err(|_| Failure::usage("SEALGATE_KEY holds characters that no key has"))?;
    value.set_sensitive(true);
    let headers =
        HeaderMap::from_iter([(reqwest::header::HeaderName::from_static("x-api-key"), value)]);
    let client = built(reqwest::Client::builder().default_headers(headers))?;
    Ok(Link { client, base, offline: None })
}

/// `https://…`, or `http://` to this machine; no user, no query.
fn remote_address(text: &str) -> Result<Url, Failure> {
    let usage = |what: &str| Failure::usage(format!("--url: {what}"));
    let with_slash = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let url: Url = with_slash
        .parse()
        .map_err(|_| usage("is not a URL; write it like https://gate.example:8000"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(usage("takes no user and no query; the key belongs in SEALGATE_KEY"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(url.host_str().unwrap_or_default()) => Ok(url),
        "http" => Err(usage("http:// would send the key in clear; use https://")),
        _ => Err(usage("must begin with https://")),
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn address(text: &str) -> Result<Url, Failure> {
    text.parse().map_err(|_| Failure::new(format!("{text:?} is not a URL")))
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(PATIENCE)
        .build()
        .map_err(|error| Failure::new(format!("cannot set up a client: {}", causes(&error))))
}

impl Link {
    /// Does it speak to an app that ends with this command?
    pub(super) fn is_offline(&self) -> bool {
        self.offline.is_some()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        self.call(Method::POST, path, body).await
    }

    pub(super) async fn put(&self, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        self.call(Method::PUT, path, body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// Every page of a list as one.
    pub(super) async fn list(&self, path: &str) -> Result<Value, Failure> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        for _ in 0..MOST_PAGES {
            let page = self.get(&format!("{path}{joint}limit={PAGE}{cursor}")).await?;
            if let Some(Value::Array(some)) = page.get("items") {
                items.extend(some.iter().cloned());
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => return Ok(json!({"items": items, "next_cursor": null})),
            }
        }
        Err(Failure::new("the list does not end; ask for a part of it"))
    }

    /// `path` is what follows the host, query included; Null where the answer has no body.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let url = self.url(path)?;
        let mut request = self.client.request(method, url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| {
            let (place, why) = (self.place(), causes(&error));
            Failure::new(format!("no answer from {place}: {why}; is it running there?"))
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() { Ok(body) } else { Err(Failure::answered(status.as_u16(), &body)) }
    }

    /// An answer that is no JSON, into a file as it comes; yields its bytes. One that breaks off is
    /// a failure.
    pub(super) async fn download(
        &self,
        path: &str,
        body: Value,
        file: &mut File,
        transfer: &Transfer,
    ) -> Result<Downloaded, Failure> {
        let url = self.url(path)?;
        let broken = |error: reqwest::Error| {
            Failure::new(format!("{} broke off: {}; try again", self.place(), causes(&error)))
        };
        let request = self.client.post(url).timeout(DOWNLOAD_PATIENCE).json(&body);
        let mut answer = request.send().await.map_err(broken)?;
        let status = answer.status();
        if !status.is_success() {
            let bytes = answer.bytes().await.map_err(broken)?;
            let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            return Err(Failure::answered(status.as_u16(), &body));
        }
        let faults = answer.headers().get_all(DAMAGED).iter();
        let faults = faults.map(|fault| one_line(&String::from_utf8_lossy(fault.as_bytes())));
        let faults = faults.collect();
        let id = answer.headers().get(BACKUP).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let reading = async {
            let mut bytes = 0;
            while let Some(piece) = answer.chunk().await.map_err(broken)? {
                file.write_all(&piece)
                    .map_err(|error| Failure::new(format!("cannot write: {error}")))?;
                bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                transfer.add(piece.len());
            }
            Ok(Downloaded { bytes, faults })
        };
        tokio::select! {
            read = reading => read,
            never = self.watch(path, id, transfer) => match never {},
        }
    }

    /// An answer of lines, as it comes, packed where that is wanted; yields its bytes. One that
    /// breaks off is a failure.
    pub(super) async fn stream(
        &self,
        path: &str,
        packing: Option<&'static str>,
        out: &mut dyn Write,
    ) -> Result<u64, Failure> {
        let broken = |error: reqwest::Error| {
            Failure::new(format!("{} broke off: {}; try again", self.place(), causes(&error)))
        };
        let mut request = self.client.get(self.url(path)?).timeout(DOWNLOAD_PATIENCE);
        if let Some(packing) = packing {
            request = request.header(ACCEPT_ENCODING, packing);
        }
        let mut answer = successful(request.send().await.map_err(broken)?).await?;
        let coding = answer.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if coding != packing.map(str::as_bytes) {
            return Err(Failure::new("the server cannot pack it so; leave --compress out"));
        }
        let mut bytes = 0;
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            out.write_all(&piece)
                .map_err(|error| Failure::new(format!("cannot write: {error}")))?;
            bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        out.flush().map_err(|error| Failure::new(format!("cannot write: {error}")))?;
        Ok(bytes)
    }

    /// An answer without an end, piece by piece; done when the server ends it.
    pub(super) async fn follow(
        &self,
        path: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = self.url(path)?;
        let broken = |error: reqwest::Error| {
            Failure::new(format!("{} broke off: {}; try again", self.place(), causes(&error)))
        };
        let request = self.client.get(url).timeout(WITHOUT_END);
        let mut answer = successful(request.send().await.map_err(broken)?).await?;
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            take(&piece)?;
        }
        Ok(())
    }

    /// The same of a call that does something, and tells how far it is.
    pub(super) async fn post_events(
        &self,
        path: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = self.url(path)?;
        let broken = |error: reqwest::Error| {
            Failure::new(format!("{} broke off: {}; try again", self.place(), causes(&error)))
        };
        let request = self.client.post(url).header(ACCEPT, "text/event-stream");
        let mut answer = successful(request.send().await.map_err(broken)?).await?;
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            take(&piece)?;
        }
        Ok(())
    }

    /// Shows how far the server is, for as long as it is asked; what it does not say is not shown.
    async fn watch(&self, path: &str, id: Option<String>, transfer: &Transfer) -> Infallible {
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let Some(id) = &id else { continue };
            let Ok(list) = self.get(path).await else { continue };
            let making = list.get("making").and_then(Value::as_array).into_iter().flatten();
            let ours = making.filter(|one| one.get("id").and_then(Value::as_str) == Some(id));
            for one in ours {
                let number = |name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0);
                transfer.show(number("rows"), number("total"));
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let joined = self.base.join(path.trim_start_matches('/'));
        joined.map_err(|_| Failure::new(format!("{path:?} is no path")))
    }

    fn place(&self) -> String {
        match self.base.host_str() {
            Some("local") => String::from("the local server"),
            _ => self.base.origin().ascii_serialization(),
        }
    }
}

/// The answer, or what it refuses with.
async fn successful(answer: reqwest::Response) -> Result<reqwest::Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let bytes = answer.bytes().await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Err(Failure::answered(status.as_u16(), &body))
}

/// An error and what caused it, without the URL that reqwest adds to it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut source = error.source();
    let mut deepest = None;
    while let Some(cause) = source {
        deepest = Some(cause.to_string());
        source = cause.source();
    }
    deepest.unwrap_or_else(|| error.to_string())
}

/// One segment of a path, or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                safe.push(char::from(byte));
            }
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::config::{Environment, load};

    /// A server on the socket of a folder that answers these, one connection each; gives back what
    /// it was asked.
    fn server(socket: &Path, answers: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let mut asked = Vec::new();
            // The first connection only looks whether somebody listens.
            drop(listener.accept().unwrap());
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).unwrap();
                asked.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        })
    }

    fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    fn ground(folder: &Path, variables: &[(&str, &str)]) -> Ground {
        Ground { environment: Environment::of(folder, variables), named: None }
    }

    fn reach(url: Option<&str>) -> Reach {
        Reach { url: url.map(str::to_owned), print: super::super::Print { json: false } }
    }

    #[test]
    fn a_list_is_gathered_over_the_local_socket_page_by_page() {
        let folder = tempfile::tempdir().unwrap();
        let ground = ground(folder.path(), &[]);
        let config = load(None, &ground.environment).ok().unwrap().config;
        std::fs::create_dir(&config.data_dir).unwrap();
        let pages = vec![
            answer("200 OK", r#"{"items": [1, 2], "next_cursor": "a b"}"#),
            answer("200 OK", r#"{"items": [3], "next_cursor": null}"#),
        ];
        let server = server(&config.socket, pages);
        let list = with(&ground, &reach(None), async |link| link.list("/api/v1/x?kind=y").await);
        assert_eq!(list.ok().unwrap(), json!({"items": [1, 2, 3], "next_cursor": null}));
        let asked = server.join().unwrap();
        assert!(asked[0].starts_with("GET /api/v1/x?kind=y&limit=1000 HTTP/1.1\r\n"), "{asked:?}");
        assert!(asked[1].starts_with("GET /api/v1/x?kind=y&limit=1000&cursor=a%20b "), "{asked:?}");
    }

    #[test]
    fn a_refusal_is_a_failure_with_its_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let ground = ground(folder.path(), &[]);
        let config = load(None, &ground.environment).ok().unwrap().config;
        std::fs::create_dir(&config.data_dir).unwrap();
        let body =
            r#"{"error":"Conflict","code":"conflict","detail":"It stands.","request_id":"r"}"#;
        let server = server(&config.socket, vec![answer("409 Conflict", body)]);
        let outcome =
            with(&ground, &reach(None), async |link| link.post("/x", Some(json!({"a": 1}))).await);
        assert_eq!(outcome.unwrap_err().line(), "Conflict: It stands. (conflict, request r)");
        assert!(server.join().unwrap()[0].ends_with("{\"a\":1}"));
    }

    #[test]
    fn a_key_is_never_sent_in_clear() {
        for url in ["http://gate.example", "http://10.0.0.5:8000", "ftp://x", "https://a:b@c", "x"]
        {
            assert!(remote_address(url).is_err_and(|failure| failure.is_usage()), "{url}");
        }
        let kept = ["https://gate.example:8000", "http://127.0.0.1:8000/", "http://[::1]:1"];
        for url in kept.into_iter().chain(["http://localhost:8000"]) {
            assert!(remote_address(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_remote_server_needs_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let reach = reach(Some("https://gate.example"));
        let outcome = with(&ground(folder.path(), &[]), &reach, async |_| Ok(()));
        assert!(outcome.unwrap_err().line().starts_with("SEALGATE_KEY is not set; "));
    }

    #[test]
    fn whatever_is_in_a_path_segment_stays_in_it() {
        assert_eq!(encoded("a/b?c d&é"), "a%2Fb%3Fc%20d%26%C3%A9");
    }
}
