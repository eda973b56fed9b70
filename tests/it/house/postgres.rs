//! A PostgreSQL of a test's own: one that it may stop, pause and kill. As root it runs as an
//! unprivileged user, which PostgreSQL demands. Must never touch another one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::send_signal;

pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = Self { folder, programs: programs(), port, server: None };
        let owner = Command::new("chown").arg("postgres").arg(postgres.folder.path()).output();
        drop(owner);
        let mut initdb = postgres.program("initdb");
        initdb.arg("-D").arg(postgres.data()).args(["-U", "sealgate", "--auth=trust", "--no-sync"]);
        let made = initdb.args(["-E", "UTF8", "--locale=C"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.go_on().await;
        postgres
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://sealgate@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again where it was stopped or killed.
    pub(crate) async fn go_on(&mut self) {
        let mut server = self.program("postgres");
        let port = self.port.to_string();
        server.arg("-D").arg(self.data()).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", "unix_socket_directories="]);
        let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.server = Some(server);
        for _ in 0..300 {
            let mut ready = self.program("pg_isready");
            let ready = ready.args(["-q", "-h", "127.0.0.1", "-U", "sealgate", "-p", &port]);
            if ready.status().unwrap().success() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("PostgreSQL does not answer");
    }

    /// `INT` ends it in good order, `QUIT` at once, as a crash does.
    pub(crate) async fn stop(&mut self, signal: &str) {
        let mut server = self.server.take().unwrap();
        send_signal(server.id(), signal);
        while server.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `STOP` and `CONT`, for the server and all that it has started.
    pub(crate) fn signal_all(&self, signal: &str) {
        let server = self.server.as_ref().unwrap().id();
        let children = Command::new("pgrep").args(["-P", &server.to_string()]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let children = children.lines().filter_map(|line| line.parse().ok());
        for process in children.chain([server]) {
            // One may have ended since it was listed.
            let (name, process) = (format!("-{signal}"), u32::to_string(&process));
            let _gone = Command::new("kill").args([name, process]).output();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
                command.args(["--pdeathsig", "TERM", "--"]).arg(self.programs.join(name));
                command
            }
            false => Command::new(self.programs.join(name)),
        };
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.signal_all("CONT");
        }
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args(["-QUIT", &server.id().to_string()]).output();
            let _ = server.wait();
        }
    }
}

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// Debian keeps them off the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = folders.filter(|f| f.join("initdb").exists()).collect();
    folders.sort();
    folders.pop().unwrap_or_else(|| Path::new("/usr/bin").to_owned())
}
