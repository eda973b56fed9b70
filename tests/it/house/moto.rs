//! AWS KMS, played by moto, unmodified, as a process of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// moto on a port of its own; ends with the test.
pub(crate) struct Moto {
    child: Child,
    pub address: SocketAddr,
}

impl Moto {
    pub(crate) async fn start() -> Self {
        // A port that was free a moment ago may be somebody else's when it is taken.
        for _ in 0..5 {
            if let Some(moto) = Self::attempt().await {
                return moto;
            }
        }
        panic!("moto ended five times; see tests/kms/run.sh");
    }

    async fn attempt() -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kms/run.sh");
        let mut command = Command::new(script);
        command.args(["serve", &address.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut moto = Self { child: command.spawn().unwrap(), address };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        // Three minutes: the first time it is installed.
        for _ in 0..3600 {
            if TcpStream::connect(address).is_ok() {
                let asked = http.get(format!("http://{address}/moto-api/")).send().await;
                if asked.is_ok_and(|answer| answer.status().is_success()) {
                    return Some(moto);
                }
            }
            if moto.child.try_wait().unwrap().is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("moto does not answer; see tests/kms/run.sh");
    }

    /// A new key's id.
    pub(crate) async fn key(&self) -> String {
        let made = self.call("CreateKey", &json!({})).await;
        made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// A call of the API as it goes over the wire; moto checks no signature.
    pub(crate) async fn call(&self, action: &str, body: &Value) -> Value {
        let credential = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/kms/aws4_request, \
                          SignedHeaders=host, Signature=0";
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request
            .post(format!("http://{}/", self.address))
            .header("x-amz-target", format!("TrentService.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", credential)
            .body(body.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{action}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
