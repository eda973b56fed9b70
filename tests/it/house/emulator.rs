//! `sealgate emulate` as a process of its own: one provider's stand-in.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Emulator {
    child: Child,
    url: String,
    ca_file: PathBuf,
}

impl Emulator {
    /// Its certificate's authority is left in the folder.
    pub(crate) fn of(provider: &str, secret: &str, folder: &Path) -> Self {
        let ca_file = folder.join(format!("{provider}.pem"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["emulate", provider, "--listen", "127.0.0.1:0", "--key-stdin", "--ca-file-out"])
            .arg(&ca_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        Self { child, url: url.to_owned(), ca_file }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its entry in the settings.
    pub(crate) fn settings(&self, provider: &str) -> String {
        format!(
            "[providers.{provider}]\nbase_url = \"{}\"\nwebsocket_url = \"{}\"\n\
             allow_private_network = true\nca_file = \"{}\"\n",
            self.url,
            self.url.replace("https", "wss"),
            self.ca_file.display()
        )
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
