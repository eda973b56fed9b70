//! A stand-in for the transit engine of Vault and OpenBao, after their public API: encrypt, decrypt,
//! renew-self, with their statuses and words for what goes wrong. What it wraps it keeps, instead
//! of computing; it can be sealed and can refuse a token, as the real one does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "hvs.a-token-that-is-nowhere-else";

pub(crate) struct Transit {
    address: SocketAddr,
    engine: Arc<Mutex<Engine>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Engine {
    sealed: bool,
    /// Ciphertext to plaintext and associated data.
    kept: HashMap<String, (String, String)>,
    asked: u64,
}

impl Transit {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let engine = Arc::new(Mutex::new(Engine::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&engine)));
        Self { address, engine, accepting }
    }

    /// The house's settings of it; the token lies in this file.
    pub(crate) fn settings(&self, token: &std::path::Path, cache_seconds: u64) -> String {
        super::private(token, &format!("{TOKEN}\n"));
        format!(
            "master_key = {{ kind = \"vault-transit\", address = \"http://{}\", key = \"sealgate\", \
             namespace = \"team\", token = {{ file = \"{}\" }}, cache_seconds = {cache_seconds} }}\n",
            self.address,
            token.display()
        )
    }

    /// The same as members of `[master_key]`.
    pub(crate) fn members(&self, token: &std::path::Path) -> String {
        super::private(token, &format!("{TOKEN}\n"));
        format!(
            "kind = \"vault-transit\", address = \"http://{}\", key = \"sealgate\", \
             namespace = \"team\", token = {{ file = \"{}\" }}",
            self.address,
            token.display()
        )
    }

    pub(crate) fn seal(&self, sealed: bool) {
        self.engine().sealed = sealed;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.engine().asked
    }

    fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, engine: Arc<Mutex<Engine>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let respond = service_fn(move |request| reply(Arc::clone(&engine), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

async fn reply(
    engine: Arc<Mutex<Engine>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    engine.asked += 1;
    let (status, answer) = if engine.sealed {
        (503, json!({"errors": ["Vault is sealed"]}))
    } else if head.method != Method::POST {
        (405, json!({"errors": ["unsupported operation"]}))
    } else if header("x-vault-token") != Some(TOKEN) || header("x-vault-namespace") != Some("team")
    {
        (403, json!({"errors": ["permission denied"]}))
    } else {
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        engine.answer(head.uri.path(), &body)
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

impl Engine {
    fn answer(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let associated = text("associated_data");
        match path {
            "/v1/auth/token/renew-self" => (200, json!({"auth": {"renewable": true}})),
            "/v1/transit/encrypt/sealgate" => {
                let plain = text("plaintext");
                if STANDARD.decode(&plain).is_err() || STANDARD.decode(&associated).is_err() {
                    return (400, json!({"errors": ["failed to base64-decode plaintext"]}));
                }
                let number = self.kept.len();
                let wrapped = format!("vault:v1:{}", STANDARD.encode(format!("{number:040}")));
                self.kept.insert(wrapped.clone(), (plain, associated));
                (200, json!({"data": {"ciphertext": wrapped, "key_version": 1}}))
            }
            "/v1/transit/decrypt/sealgate" => match self.kept.get(&text("ciphertext")) {
                Some((plain, bound)) if *bound == associated => {
                    (200, json!({"data": {"plaintext": plain}}))
                }
                Some(_) => (400, json!({"errors": ["cipher: message authentication failed"]})),
                None => (400, json!({"errors": ["invalid ciphertext: could not decode base64"]})),
            },
            _ => (404, json!({"errors": ["no handler for route"]})),
        }
    }
}
