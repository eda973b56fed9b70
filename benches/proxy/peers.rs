//! Who is measured: Sealgate with everything on, and nginx and HAProxy with the same work: keys
//! told apart, the real one injected, a rate counted, a line of log for each request, upstream
//! connections kept and their certificates checked. All on CPU 0, one serving thread each.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::process::{self, Running};
use crate::upstream::{REAL_KEY, Upstream};

/// Somebody who serves the load.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) port: u16,
    /// Whose CPU time counts; none for the upstream itself.
    pub(crate) pid: Option<u32>,
    /// Its own client key.
    pub(crate) key: String,
}

impl Target {
    /// The same one, asked for another answer.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { url: format!("{}{path}", self.url), ..self.clone() }
    }

    /// Without a proxy between there is no client key, only a mark that says so.
    pub(crate) fn header(&self, key: Option<&str>) -> String {
        match (self.pid, key) {
            (_, None) => String::from("X-Nothing: 1"),
            (Some(_), Some(key)) => format!("X-API-Key: {key}"),
            (None, Some(_)) => String::from("X-Bench-Direct: 1"),
        }
    }
}

pub(crate) struct Sealgate {
    running: Running,
    port: u16,
    key: String,
}

impl Sealgate {
    /// Starts the binary on an empty folder, stores the real key and mints a client key.
    pub(crate) fn start(home: PathBuf, upstream: &Upstream, program: &str) -> Outcome<Self> {
        fs::create_dir(&home).map_err(|cause| format!("{}: {cause}", home.display()))?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let settings = home.join("sealgate.toml");
        // A field this short is not looked for in answers.
        let (lead, short) = REAL_KEY.split_at(REAL_KEY.len() - 5);
        let ca_file = upstream.ca_file.display();
        let provider = |name: &str, port: u16, (value, more): (&str, &str)| {
            format!(
                "[providers.{name}]\n{more}base_url = \"https://localhost:{port}\"\n\
                 category = \"market-data\"\nallow_private_network = true\n\
                 ca_file = \"{ca_file}\"\n\
                 inject = [{{ at = \"header\", name = \"Authorization\", \
                 value = \"Bearer {value}\" }}]\n"
            )
        };
        let whole = ("{api_key}", "");
        // More than anybody calls.
        let bound = "limits = { calls = 1000000000, window_seconds = 60 }\n";
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:{port}\"\nworkers = 1\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n{}{}{}{}{}",
            provider("bench", upstream.h1_port, whole),
            provider("bench-h2", upstream.h2_port, whole),
            provider("bench-bare", upstream.h1_port, (&format!("{lead}{{api_key}}"), "")),
            provider("bench-bound", upstream.h1_port, (whole.0, bound)),
            provider("bench-pool", upstream.h1_port, (whole.0, &format!("{bound}pool = true\n"))),
        );
        fs::write(&settings, text).map_err(|cause| format!("{}: {cause}", settings.display()))?;
        let mut command = process::pinned(0, program);
        command.arg("serve").env("SEALGATE_CONFIG", &settings).current_dir(&home);
        let log = home.join("log");
        let mut running = Running::start(command, &log)?;
        running.wait_for(port, &log)?;
        running.wait_for(admin_port, &log)?;
        let cli = Cli { program: program.to_owned(), settings, home };
        for (provider, value) in [
            ("bench", REAL_KEY),
            ("bench-h2", REAL_KEY),
            ("bench-bare", short),
            ("bench-bound", REAL_KEY),
            ("bench-pool", REAL_KEY),
        ] {
            cli.run(&["secret", "add", provider, "--no-validate"], value)?;
        }
        let second = ["secret", "add", "bench-pool", "--name", "second", "--no-validate"];
        cli.run(&second, REAL_KEY)?;
        let made = cli.run(&["client", "create", "bench", "--tier", "unlimited", "--json"], "")?;
        let made: serde_json::Value =
            serde_json::from_str(&made).map_err(|cause| format!("client create: {cause}"))?;
        let key = made.get("key").and_then(serde_json::Value::as_str);
        let key = key.ok_or("client create printed no key")?.to_owned();
        Ok(Self { running, port, key })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn target(&self, name: &'static str) -> Target {
        self.at_provider(name, "bench")
    }

    pub(crate) fn target_over_h2(&self, name: &'static str) -> Target {
        self.at_provider(name, "bench-h2")
    }

    /// Its answers are not searched for a key.
    pub(crate) fn target_unsearched(&self, name: &'static str) -> Target {
        self.at_provider(name, "bench-bare")
    }

    /// Each call is counted for the provider as well.
    pub(crate) fn target_bound(&self, name: &'static str) -> Target {
        self.at_provider(name, "bench-bound")
    }

    /// Two keys take turns.
    pub(crate) fn target_pooled(&self, name: &'static str) -> Target {
        self.at_provider(name, "bench-pool")
    }

    fn at_provider(&self, name: &'static str, provider: &str) -> Target {
        Target {
            name,
            url: format!("http://127.0.0.1:{}/{provider}/", self.port),
            port: self.port,
            pid: Some(self.pid()),
            key: self.key.clone(),
        }
    }
}

/// The command line of the installation under test.
struct Cli {
    program: String,
    settings: PathBuf,
    home: PathBuf,
}

impl Cli {
    fn run(&self, arguments: &[&str], input: &str) -> Outcome<String> {
        let fault = |cause: std::io::Error| format!("{arguments:?}: {cause}");
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("SEALGATE_CONFIG", &self.settings)
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(fault)?;
        }
        let output = child.wait_with_output().map_err(fault)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("sealgate {arguments:?} failed: {said}"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

pub(crate) struct Nginx {
    running: Running,
    port: u16,
    key: String,
}

impl Nginx {
    pub(crate) fn start(folder: &Path, upstream: &Upstream, key: &str) -> Outcome<Self> {
        let home = folder.join("nginx");
        fs::create_dir(&home).map_err(|cause| format!("{}: {cause}", home.display()))?;
        let port = free_port()?;
        let text = nginx_conf(port, upstream, key);
        let conf = home.join("nginx.conf");
        fs::write(&conf, text).map_err(|cause| format!("{}: {cause}", conf.display()))?;
        let program = process::find("nginx").ok_or("nginx is gone")?;
        let mut command = process::pinned(0, &program);
        command.arg("-p").arg(&home).arg("-c").arg(&conf).args(["-e", "error.log"]);
        let log = home.join("log");
        let mut running = Running::start(command, &log)?;
        running.wait_for(port, &log)?;
        Ok(Self { running, port, key: key.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            name: "nginx",
            url: format!("http://127.0.0.1:{}/bench/", self.port),
            port: self.port,
            pid: Some(self.pid()),
            key: self.key.clone(),
        }
    }
}

/// The same job in nginx's words; limits that never bite, as with the tier `unlimited`.
fn nginx_conf(port: u16, upstream: &Upstream, key: &str) -> String {
    let (h1_port, ca_file) = (upstream.h1_port, upstream.ca_file.display());
    format!(
        r#"worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  map_hash_bucket_size 128;
  map $http_x_api_key $known {{ default 0; "{key}" 1; }}
  limit_req_zone $http_x_api_key zone=keys:10m rate=999999r/s;
  log_format records '$time_iso8601 $remote_addr $request_method $uri $status $body_bytes_sent '
    '$request_time $upstream_response_time $request_id';
  access_log access.log records buffer=64k flush=1s;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  upstream provider {{
    server 127.0.0.1:{h1_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /bench/ {{
      if ($known = 0) {{ return 401; }}
      limit_req zone=keys burst=10000 nodelay;
      proxy_pass https://provider/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_set_header X-API-Key "";
      proxy_set_header Authorization "Bearer {REAL_KEY}";
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate "{ca_file}";
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.3;
      location /bench/events {{
        limit_req zone=keys burst=10000 nodelay;
        proxy_pass https://provider/events;
        proxy_buffering off;
      }}
    }}
  }}
}}
"#
    )
}

pub(crate) struct Haproxy {
    running: Running,
    port: u16,
    key: String,
}

impl Haproxy {
    pub(crate) fn start(folder: &Path, upstream: &Upstream, key: &str) -> Outcome<Self> {
        let home = folder.join("haproxy");
        fs::create_dir(&home).map_err(|cause| format!("{}: {cause}", home.display()))?;
        let port = free_port()?;
        let fault = |cause: std::io::Error| format!("{}: {cause}", home.display());
        let conf = home.join("haproxy.cfg");
        fs::write(&conf, haproxy_conf(port, upstream)).map_err(fault)?;
        fs::write(home.join("keys.map"), format!("{} known\n", sha256_hex(key))).map_err(fault)?;
        let program = process::find("haproxy").ok_or("haproxy is gone")?;
        let mut command = process::pinned(0, &program);
        command.arg("-db").arg("-f").arg(&conf).current_dir(&home);
        let log = home.join("log");
        let mut running = Running::start(command, &log)?;
        running.wait_for(port, &log)?;
        Ok(Self { running, port, key: key.to_owned() })
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            name: "haproxy",
            url: format!("http://127.0.0.1:{}/bench/", self.port),
            port: self.port,
            pid: Some(self.running.pid()),
            key: self.key.clone(),
        }
    }
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The same job in its words: the key's digest looked up, a rate counted, a line of log each.
fn haproxy_conf(port: u16, upstream: &Upstream) -> String {
    let (h1_port, ca_file) = (upstream.h1_port, upstream.ca_file.display());
    format!(
        r#"global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  http-reuse always
  timeout connect 10s
  timeout client 300s
  timeout server 300s
frontend callers
  bind 127.0.0.1:{port} backlog 4096
  http-request set-var(txn.who) req.hdr(X-API-Key),sha2(256),hex
  http-request deny deny_status 401 unless {{ var(txn.who),map(keys.map) -m found }}
  stick-table type string len 64 size 100k expire 1m store http_req_rate(1s)
  http-request track-sc0 var(txn.who)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 999999 }}
  http-request set-path %[path,regsub(^/bench,)]
  http-request del-header X-API-Key
  http-request set-header Authorization "Bearer {REAL_KEY}"
  http-request set-header Host localhost
  default_backend provider
backend provider
  server one 127.0.0.1:{h1_port} ssl verify required ca-file "{ca_file}" sni str(localhost) verifyhost localhost alpn http/1.1 ssl-min-ver TLSv1.3 pool-max-conn 256
"#
    )
}

/// Free at this moment; whoever binds it next says if it no longer is.
fn free_port() -> Outcome<u16> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0");
    let address = probe.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|cause| format!("no free port: {cause}"))
}
