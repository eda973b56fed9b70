//! Who stands before the house: the operator on the admin face, the holder of a client key on the
//! proxy. Every answer that either sees goes to the scribe.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};

/// Keeps all that was answered, for the search at the end.
#[derive(Clone, Default)]
pub(crate) struct Scribe(Arc<Mutex<Vec<u8>>>);

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub version: http::Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub(crate) struct Admin(Face);

pub(crate) struct Client {
    pub id: String,
    pub key: String,
    face: Face,
}

struct Face {
    base: String,
    key: String,
    http: reqwest::Client,
    scribe: Scribe,
}

/// A call that is being made.
pub(crate) struct Call {
    request: reqwest::RequestBuilder,
    scribe: Scribe,
}

/// An answer whose body is still coming.
pub(crate) struct Stream {
    pub status: u16,
    pub headers: HeaderMap,
    response: reqwest::Response,
    scribe: Scribe,
}

impl Scribe {
    pub(crate) fn note(&self, answer: &Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note_headers(&mut kept, &answer.headers);
        kept.extend_from_slice(&answer.body);
    }

    pub(super) fn note_bytes(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    pub(crate) fn all(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note_headers(kept: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        kept.extend_from_slice(name.as_str().as_bytes());
        kept.extend_from_slice(b": ");
        kept.extend_from_slice(value.as_bytes());
        kept.push(b'\n');
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// One of Sealgate's own answers, whole: status, mark, headline, and no member too many.
    pub(crate) fn is_refusal(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(
            (self.status, self.header("x-sealgate-error")),
            (status, Some(code)),
            "{self:?}"
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        assert_eq!(body["code"], code);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        for member in ["error", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        let members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let usual = ["error", "code", "detail", "request_id"];
        let allowed: &[&str] = match code {
            "rate_limited" => &["quota", "reset_at", "limit"],
            "invalid" => &["fields", "report"],
            _ => &[],
        };
        for member in members {
            assert!(usual.contains(&member) || allowed.contains(&member), "{body}");
        }
        body
    }
}

impl Face {
    fn new(address: SocketAddr, key: &str, scribe: Scribe) -> Self {
        let http = plain().build().unwrap();
        Self { base: format!("http://{address}"), key: key.to_owned(), http, scribe }
    }

    fn bare(&self, method: Method, path: &str) -> Call {
        let request = self.http.request(method, format!("{}{path}", self.base));
        Call { request, scribe: self.scribe.clone() }
    }

    fn call(&self, method: Method, path: &str) -> Call {
        match self.key.as_str() {
            "" => self.bare(method, path),
            key => self.bare(method, path).header("x-api-key", key),
        }
    }
}

/// No redirects, no environment: what is answered is what is seen.
fn plain() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none())
}

impl Admin {
    pub(crate) fn new(address: SocketAddr, key: &str, scribe: Scribe) -> Self {
        Self(Face::new(address, key, scribe))
    }

    /// Whoever may read the data folder: over the socket there, with no key.
    pub(crate) fn local(socket: &std::path::Path, scribe: Scribe) -> Self {
        let http = plain().unix_socket(socket).build().unwrap();
        Self(Face { base: String::from("http://local"), key: String::new(), http, scribe })
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.0.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.0.call(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call {
        self.0.call(Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.0.call(Method::DELETE, path)
    }

    /// Without a credential.
    pub(crate) fn bare(&self, method: Method, path: &str) -> Call {
        self.0.bare(method, path)
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, id: String, key: String, scribe: Scribe) -> Self {
        let face = Face::new(address, &key, scribe);
        Self { id, key, face }
    }

    /// The same holder on a connection that speaks HTTP/2 from its first byte.
    pub(crate) fn over_http2(&self) -> Self {
        self.over(plain().http2_prior_knowledge())
    }

    /// The same holder with a fresh connection for each call.
    pub(crate) fn over_new_connections(&self) -> Self {
        self.over(plain().pool_max_idle_per_host(0))
    }

    fn over(&self, connections: reqwest::ClientBuilder) -> Self {
        let http = connections.build().unwrap();
        let face = Face {
            base: self.face.base.clone(),
            key: self.key.clone(),
            http,
            scribe: self.face.scribe.clone(),
        };
        Self { id: self.id.clone(), key: self.key.clone(), face }
    }

    /// With the key in `X-API-Key`.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.face.call(Method::GET, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.face.call(method, path)
    }

    /// Without a credential.
    pub(crate) fn bare(&self, path: &str) -> Call {
        self.face.bare(Method::GET, path)
    }

    pub(crate) fn bare_call(&self, method: Method, path: &str) -> Call {
        self.face.bare(method, path)
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|(fault, _)| panic!("no whole answer: {fault:?}"))
    }

    /// The error, and as much of the head as came.
    pub(crate) async fn try_send(self) -> Result<Answer, (reqwest::Error, Option<u16>)> {
        let response = self.request.send().await.map_err(|fault| (fault, None))?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            version: response.version(),
            headers: response.headers().clone(),
            body: Bytes::new(),
        };
        self.scribe.note(&answer);
        answer.body = response.bytes().await.map_err(|fault| (fault, Some(answer.status)))?;
        self.scribe.note_bytes(&answer.body);
        Ok(answer)
    }

    pub(crate) async fn open(self) -> Stream {
        let response = self.request.send().await.unwrap();
        Stream {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            scribe: self.scribe,
        }
    }
}

impl Stream {
    /// The next bytes. An empty piece says nothing and is passed over.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.try_next().await.unwrap()
    }

    /// The same, where the answer may be cut.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Bytes>, reqwest::Error> {
        loop {
            let chunk = self.response.chunk().await?;
            self.scribe.note_bytes(chunk.as_deref().unwrap_or_default());
            if chunk.as_ref().is_none_or(|chunk| !chunk.is_empty()) {
                return Ok(chunk);
            }
        }
    }
}
