//! The real binary as a process of its own: started on free ports in a fresh folder, read, killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than any command that is meant to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with settings in which the binary runs.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
}

/// A file that nobody else can read.
pub(crate) fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub proxy: String,
    pub admin: String,
    lines: mpsc::Receiver<String>,
    pub told: Vec<String>,
}

impl Ground {
    /// Ports of the system's choice; `more` is appended to the settings.
    pub(crate) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "data_dir = \"data\"\nproxy.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
             sandbox.listen = \"127.0.0.1:0\"\n\
             {}{more}",
            super::master_key(more)
        );
        std::fs::write(folder.path().join("sealgate.toml"), settings).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.args(arguments).current_dir(self.path()).env_clear();
        // For those whose master key is in AWS KMS; its stand-in takes any.
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments).spawn().unwrap())
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        finish(child)
    }

    /// Exit 0; what it printed, as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit 1 and one line on standard error, nothing on standard output.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        one_line(self.command(arguments))
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut all = vec!["serve"];
        all.extend_from_slice(arguments);
        Server::of(self.command(&all))
    }

    /// With everything in its log that any library has to say.
    pub(crate) fn serve_telling_all(&self) -> Server {
        let mut command = self.command(&["serve"]);
        command.env("RUST_LOG", "trace");
        Server::of(command)
    }
}

#[cfg(feature = "failpoints")]
impl Ground {
    /// A server that kills itself where it passes this place, as often as is said behind a colon.
    pub(crate) fn serve_until(&self, place: &str) -> Server {
        let mut command = self.command(&["serve"]);
        command.env("SEALGATE_TEST_FAILPOINT", place);
        Server::of(command)
    }
}

/// Exit 1 and one line on standard error, nothing on standard output.
pub(crate) fn one_line(mut command: Command) -> String {
    let output = finish(command.spawn().unwrap());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {told}{said}");
    assert_eq!(told.lines().count(), 1, "{command:?}: {told}");
    assert_eq!(said, "", "{command:?}");
    told.trim_end().to_owned()
}

/// What a process said until it ended; one that goes on is ended, so that no test waits for ever.
fn finish(child: Child) -> Output {
    let process = child.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        send_signal(process, "TERM");
        ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            send_signal(process, "KILL");
            ended.recv().unwrap()
        })
    })
}

/// `kill -NAME`; the system's own word for it needs no further crate feature.
pub(crate) fn send_signal(process: u32, name: &str) {
    let (name, process) = (format!("-{name}"), process.to_string());
    let status = Command::new("kill").args([name, process]).status().unwrap();
    assert!(status.success());
}

impl Server {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut server =
            Self { child, proxy: String::new(), admin: String::new(), lines, told: Vec::new() };
        server.wait_until_ready();
        server
    }

    /// Reads what it prints until both addresses were named.
    fn wait_until_ready(&mut self) {
        while self.proxy.is_empty() || self.admin.is_empty() {
            let Ok(line) = self.lines.recv_timeout(Duration::from_secs(30)) else {
                let status = self.child.try_wait();
                panic!("the server did not come up ({status:?}): {:#?}", self.told);
            };
            self.note(line);
        }
    }

    fn note(&mut self, line: String) {
        let url = |name: &str| {
            let (_, rest) = line.split_once("http://")?;
            let end = rest.find(|character: char| {
                !(character.is_alphanumeric() || ".:[]".contains(character))
            });
            let url = format!("http://{}", rest.split_at(end.unwrap_or(rest.len())).0);
            line.to_ascii_lowercase().contains(name).then_some(url)
        };
        if let (true, Some(url)) = (self.proxy.is_empty(), url("proxy")) {
            self.proxy = url;
        }
        if let (true, Some(url)) = (self.admin.is_empty(), url("admin")) {
            self.admin = url;
        }
        self.told.push(line);
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.child.id(), name);
    }

    /// Bounded: a server that does not end is a failed test, not a hung one.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                while let Ok(line) = self.lines.try_recv() {
                    self.note(line);
                }
                return status;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a child process has no future to await"
            )]
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not end within 30 s: {:#?}", self.told);
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        assert!(self.wait().success());
        std::mem::take(&mut self.told)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
