//! Who is measured: Sealgate with everything on, and nginx, which relays the bytes and does nothing
//! else. Both on CPU 0, one serving thread each.
//! Must never let the relay do less TLS than Sealgate does.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::process::{self, Running};
use crate::provider::{Provider, REAL_KEY};

pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) pid: u32,
    pub(crate) key: String,
}

pub(crate) struct Sealgate {
    running: Running,
    port: u16,
    key: String,
}

impl Sealgate {
    /// On an empty folder, with the real key stored and a client key made.
    pub(crate) fn start(home: PathBuf, provider: &Provider, open: usize) -> Outcome<Self> {
        fs::create_dir(&home).map_err(|cause| format!("{}: {cause}", home.display()))?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let (far, most) = (provider.port, open + 100);
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:{port}\"\nworkers = 1\nmax_sockets = {most}\n\
             max_connections = {most}\nmax_connections_per_address = {most}\nmax_concurrent = {most}\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n\
             [providers.sea]\nbase_url = \"https://localhost:{far}\"\n\
             websocket_url = \"wss://localhost:{far}\"\ncategory = \"market-data\"\n\
             allow_private_network = true\nca_file = \"{}\"\n\
             inject = [{{ at = \"header\", name = \"Authorization\", \
             value = \"Bearer {{api_key}}\" }}]\n",
            provider.ca_file.display()
        );
        let settings = home.join("sealgate.toml");
        fs::write(&settings, text).map_err(|cause| format!("{}: {cause}", settings.display()))?;
        let mut command = process::pinned(0, env!("CARGO_BIN_EXE_sealgate"));
        command.arg("serve").env("SEALGATE_CONFIG", &settings).current_dir(&home);
        let log = home.join("log");
        let mut running = Running::start(command, &log)?;
        running.wait_for(port, &log)?;
        running.wait_for(admin_port, &log)?;
        let cli = |arguments: &[&str], input: &str| said(&settings, &home, arguments, input);
        cli(&["secret", "add", "sea", "--no-validate"], REAL_KEY)?;
        let most = most.to_string();
        let made = cli(
            &[
                "client",
                "create",
                "sea",
                "--tier",
                "unlimited",
                "--max-concurrent",
                &most,
                "--json",
            ],
            "",
        )?;
        let made: serde_json::Value =
            serde_json::from_str(&made).map_err(|cause| format!("client create: {cause}"))?;
        let key = made.get("key").and_then(serde_json::Value::as_str);
        let key = key.ok_or("client create printed no key")?.to_owned();
        Ok(Self { running, port, key })
    }

    pub(crate) fn target(&self) -> Target {
        let (port, pid, key) = (self.port, self.running.pid(), self.key.clone());
        Target { name: "sealgate", port, pid, key }
    }
}

/// A command of the installation under test.
fn said(settings: &Path, home: &Path, arguments: &[&str], input: &str) -> Outcome<String> {
    let fault = |cause: std::io::Error| format!("{arguments:?}: {cause}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(arguments)
        .env("SEALGATE_CONFIG", settings)
        .current_dir(home)
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

pub(crate) struct Relay {
    running: Running,
    port: u16,
}

impl Relay {
    pub(crate) fn start(folder: &Path, provider: &Provider) -> Outcome<Self> {
        let home = folder.join("nginx");
        fs::create_dir(&home).map_err(|cause| format!("{}: {cause}", home.display()))?;
        let port = free_port()?;
        let (far, ca_file) = (provider.port, provider.ca_file.display());
        let text = format!(
            r#"worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 16384; }}
http {{
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  access_log access.log;
  tcp_nodelay on;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /sea/ {{
      proxy_pass https://127.0.0.1:{far}/;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host localhost;
      proxy_set_header X-API-Key "";
      proxy_set_header Authorization "Bearer {REAL_KEY}";
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate "{ca_file}";
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.3;
    }}
  }}
}}
"#
        );
        let conf = home.join("nginx.conf");
        fs::write(&conf, text).map_err(|cause| format!("{}: {cause}", conf.display()))?;
        let program = process::find("nginx").ok_or("nginx is gone")?;
        let mut command = process::pinned(0, &program);
        command.arg("-p").arg(&home).arg("-c").arg(&conf).args(["-e", "error.log"]);
        let log = home.join("log");
        let mut running = Running::start(command, &log)?;
        running.wait_for(port, &log)?;
        Ok(Self { running, port })
    }

    pub(crate) fn target(&self) -> Target {
        Target { name: "nginx", port: self.port, pid: self.running.pid(), key: String::from("-") }
    }
}

/// Free at this moment; whoever binds it next says if it no longer is.
fn free_port() -> Outcome<u16> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0");
    let address = probe.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|cause| format!("no free port: {cause}"))
}
