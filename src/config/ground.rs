//! What the checks of one section stand on: where relative paths count from, where each value came
//! from, where a secret's text is. Opens files only to see that they are there and of the right
//! kind.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fault::Fault;
use super::layers::Layers;
use super::raw::{RawSecret, RawTls};
use crate::net::TlsFiles;
use crate::secret::SecretBytes;

pub(super) struct Ground<'a> {
    pub(super) layers: &'a Layers,
    pub(super) environment: &'a Environment,
    /// The folder of the settings file, or the current one.
    pub(super) base: &'a Path,
}

impl Ground<'_> {
    pub(super) fn fault(&self, key: &str, what: impl Into<String>) -> Fault {
        self.layers.fault(key, what)
    }

    /// Relative paths count from the settings file.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// One that need not be there. None where the setting is empty.
    pub(super) fn optional_path(&self, text: &str) -> Option<PathBuf> {
        (!text.is_empty()).then(|| self.path(text))
    }

    /// A file that must be there. None where the setting is empty.
    pub(super) fn file(&self, key: &str, text: &str) -> Result<Option<PathBuf>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        let path = self.path(text);
        if path.is_file() {
            return Ok(Some(path));
        }
        let what = if path.is_dir() { "is a folder; name a file" } else { "there is no such file" };
        Err(self.fault(key, format!("{}: {what}", path.display())))
    }

    /// A file of certificates that must be there and look like it.
    pub(super) fn certificates(&self, key: &str, text: &str) -> Result<Option<PathBuf>, Fault> {
        let Some(path) = self.file(key, text)? else { return Ok(None) };
        let content = std::fs::read_to_string(&path)
            .map_err(|error| self.fault(key, format!("{}: {error}", path.display())))?;
        if holds_certificates(&content) {
            return Ok(Some(path));
        }
        let what = "holds no certificate in PEM; it must have -----BEGIN CERTIFICATE-----";
        Err(self.fault(key, format!("{} {what}", path.display())))
    }

    /// Both files or neither. `section`: the dotted key of the table.
    pub(super) fn tls(&self, section: &str, raw: &RawTls) -> Result<Option<TlsFiles>, Fault> {
        let (cert_key, key_key) = (format!("{section}.cert"), format!("{section}.key"));
        match (raw.cert.is_empty(), raw.key.is_empty()) {
            (true, true) => return Ok(None),
            (false, true) => {
                let what = "is missing beside the certificate; give both files or neither";
                return Err(self.layers.fault_beside(&key_key, &cert_key, what));
            }
            (true, false) => {
                let what = "is missing beside the private key; give both files or neither";
                return Err(self.layers.fault_beside(&cert_key, &key_key, what));
            }
            (false, false) => {}
        }
        let cert = self.certificates(&cert_key, &raw.cert)?;
        let key = self.file(&key_key, &raw.key)?;
        Ok(cert.zip(key).map(|(cert, key)| TlsFiles { cert, key }))
    }

    /// The text of a secret, wherever it stands; without the line break that editors leave.
    pub(super) fn secret(&self, key: &str, raw: RawSecret) -> Result<SecretBytes, Fault> {
        match raw {
            RawSecret::Inline(text) => Ok(SecretBytes::from_string(text)),
            RawSecret::File { file } => {
                let path = self.path(&file);
                let text = std::fs::read(&path).map_err(|error| {
                    self.fault(key, format!("{}: {}", path.display(), reason(&error)))
                })?;
                let bytes = SecretBytes::new(text);
                let trimmed = bytes.expose().trim_ascii_end();
                if trimmed.is_empty() {
                    return Err(self.fault(key, format!("{} is empty", path.display())));
                }
                Ok(SecretBytes::copy_of(trimmed))
            }
            RawSecret::Env { env } => match self.environment.value(&env) {
                Some(Ok(text)) if !text.is_empty() => Ok(SecretBytes::copy_of(text.as_bytes())),
                Some(Ok(_)) => Err(self.fault(key, format!("the variable {env} is empty"))),
                Some(Err(_)) => Err(self.fault(key, format!("the variable {env} is not UTF-8"))),
                None => Err(self.fault(key, format!("the variable {env} is not set"))),
            },
        }
    }
}

/// What went wrong with a file, in a few words that do not depend on the system.
pub(super) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    if error.kind() == ErrorKind::NotFound {
        return String::from("there is no such file");
    }
    if error.kind() == ErrorKind::PermissionDenied {
        return String::from("may not be read by this user");
    }
    if error.kind() == ErrorKind::IsADirectory {
        return String::from("is a folder; name a file");
    }
    error.to_string()
}

/// At least one block, each closed, with Base64 between. Whether the certificates are good is seen
/// when they are used.
fn holds_certificates(text: &str) -> bool {
    let mut blocks = text.split("-----BEGIN CERTIFICATE-----");
    blocks.next();
    let mut blocks = blocks.peekable();
    let base64 = |letter: u8| letter.is_ascii_alphanumeric() || b"+/=\r\n\t ".contains(&letter);
    let whole = |block: &str| match block.split_once("-----END CERTIFICATE-----") {
        Some((body, _)) => body.trim().len() >= 64 && body.bytes().all(base64),
        None => false,
    };
    blocks.peek().is_some() && blocks.all(whole)
}
