//! Limits shared through a Redis that speaks TLS alone: counted over it where its certificate is
//! trusted, and refused with a sentence that says what to do where it is not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::house::{Ground, House, Plan};

struct Server {
    port: u16,
    plain_port: u16,
    ca: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
}

/// An authority, and what it says of a server of these names.
fn identity(folder: &Path, names: &[&str]) -> PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut above = CertificateParams::default();
    above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(|name| String::from(*name)).collect();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("redis.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("redis.key"), key.serialize_pem()).unwrap();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    ca
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    async fn start(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = identity(folder.path(), names);
        let (port, plain_port) = (free_port(), free_port());
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--tls-auth-clients", "no"])
            .args(["--port", &plain_port.to_string(), "--tls-port", &port.to_string()])
            .args(["--tls-cert-file", "redis.pem", "--tls-key-file", "redis.key"])
            .args(["--tls-ca-cert-file", "ca.pem"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { port, plain_port, ca, folder, process }
    }

    fn settings(url: &str, ca: Option<&Path>) -> String {
        let ca = ca.map(|ca| format!("limits.redis_ca_file = \"{}\"\n", ca.display()));
        let ca = ca.unwrap_or_default();
        format!("limits.backend = \"redis\"\nlimits.redis_url = \"{url}\"\n{ca}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _status = self.process.wait();
    }
}

/// What `doctor` says of Redis.
fn doctor(settings: &str) -> String {
    let ground = Ground::new(settings);
    ground.json(&["init", "--json"]);
    let told = ground.run(&["doctor", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let line = |check: &&serde_json::Value| check["name"] == "redis";
    told["checks"].as_array().unwrap().iter().find(line).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_over_tls() {
    let server = Server::start(&["localhost", "127.0.0.1"]).await;
    let url = format!("rediss://localhost:{}", server.port);
    let settings = Server::settings(&url, Some(&server.ca));
    let house = House::planned(Plan { settings: settings.clone(), ..Plan::default() }).await;
    let client = house.client_with(json!({"limit": 2})).await;
    for status in [200, 200, 429] {
        assert_eq!(client.get("/acme/x").send().await.status, status);
    }
    let page = house.admin.get("/metrics").send().await.text();
    assert!(page.lines().any(|line| line == "sealgate_limiter_redis_up 1"), "{page}");
    let windows = Command::new("redis-cli")
        .args(["-p", &server.plain_port.to_string(), "KEYS", "sealgate:*:w3600:*"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&windows.stdout).contains("w3600:"), "it was counted there");
    house.leave().await;
    assert!(doctor(&settings).contains("\"ok\":true"), "{}", doctor(&settings));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_refused_and_said() {
    let server = Server::start(&["localhost"]).await;
    let stranger = tempfile::tempdir().unwrap();
    let other = identity(stranger.path(), &["localhost"]);
    let wrong = [
        // Another authority, nobody in particular, another name.
        (format!("rediss://localhost:{}", server.port), Some(other.as_path())),
        (format!("rediss://localhost:{}", server.port), None),
        (format!("rediss://127.0.0.1:{}", server.port), Some(server.ca.as_path())),
    ];
    for (url, ca) in wrong {
        let said = doctor(&Server::settings(&url, ca));
        assert!(said.contains("\"ok\":false"), "{url}: {said}");
        assert!(said.contains("its certificate is not trusted for this host"), "{url}: {said}");
        assert!(said.contains("limits.redis_ca_file"), "{url}: {said}");
    }
    let url = format!("rediss://localhost:{}", server.port);
    let plain = format!("rediss://localhost:{}", server.plain_port);
    let said = doctor(&Server::settings(&plain, Some(&server.ca)));
    assert!(said.contains("that its port speaks TLS"), "{said}");
    let settings = Server::settings(&url, Some(&other));
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let client = house.client_with(json!({"limit": 2})).await;
    for status in [200, 200, 429] {
        assert_eq!(client.get("/acme/x").send().await.status, status, "counted by itself");
    }
    let page = house.admin.get("/metrics").send().await.text();
    for line in
        ["sealgate_limiter_redis_up 0", "sealgate_limiter_redis_faults_total{reason=\"tls\"} "]
    {
        assert!(page.contains(line), "{page}");
    }
    house.leave().await;
    // What is no certificate is refused before anything starts.
    let text = server.folder.path().join("redis.key");
    let told = Ground::new(&Server::settings(&url, Some(&text))).run(&["doctor"]);
    let line = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(!told.status.success() && line.contains("limits.redis_ca_file"), "{line}");
}
