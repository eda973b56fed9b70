//! Where the master key is, as the settings say it.
//! Secrets in it are references to files, or text that wipes itself; it has no `Debug`. A file is
//! read when it is needed, so that what it holds is not kept.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::KmsError;
use crate::secret::SecretBytes;

#[derive(Clone)]
pub(crate) enum Settings {
    File {
        path: PathBuf,
    },
    /// Without a source, somebody types it.
    Passphrase {
        source: Option<Source>,
    },
    AwsKms(AwsSettings),
    VaultTransit(TransitSettings),
}

/// Where a secret text is.
#[derive(Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Given(Arc<SecretBytes>),
}

#[derive(Clone)]
#[cfg_attr(not(feature = "aws-kms"), expect(dead_code, reason = "read by the kind aws-kms"))]
pub(crate) struct AwsSettings {
    /// Id, ARN, alias name or alias ARN.
    pub(crate) key_id: String,
    /// None: as the SDK finds them.
    pub(crate) region: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) endpoint: Option<String>,
    /// How long keys that were unwrapped live on while the KMS is away.
    pub(crate) cache: Duration,
}

#[derive(Clone)]
pub(crate) struct TransitSettings {
    /// Without a trailing slash.
    pub(crate) address: String,
    pub(crate) mount: String,
    pub(crate) key: String,
    pub(crate) namespace: Option<String>,
    pub(crate) token: Source,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cache: Duration,
}

impl Settings {
    /// None where the master key is in this process and cannot be away.
    pub(crate) fn cache(&self) -> Option<Duration> {
        match self {
            Self::File { .. } | Self::Passphrase { .. } => None,
            Self::AwsKms(aws) => Some(aws.cache),
            Self::VaultTransit(transit) => Some(transit.cache),
        }
    }

    /// Must somebody type a passphrase?
    pub(crate) fn needs_typing(&self) -> bool {
        matches!(self, Self::Passphrase { source: None })
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File { path } => path.display().to_string(),
            Self::Passphrase { .. } => String::from("passphrase"),
            Self::AwsKms(aws) => format!("aws-kms {}", aws.key_id),
            Self::VaultTransit(transit) => {
                format!("vault-transit {}/{} at {}", transit.mount, transit.key, transit.address)
            }
        }
    }
}

impl Source {
    /// Without the line break that editors leave. A file that others can read is refused, as the
    /// master key itself would be. `what` it holds, as the setting is called.
    pub(super) fn read(&self, what: &'static str) -> Result<SecretBytes, KmsError> {
        let path = match self {
            Self::Given(text) => return Ok(SecretBytes::copy_of(text.expose())),
            Self::File(path) => path,
        };
        let unreadable = |cause: String| KmsError::Source { what, path: path.clone(), cause };
        let failed = |cause: std::io::Error| unreadable(cause.to_string());
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if !is_private(mode, metadata.uid()) {
            return Err(KmsError::OpenSource { what, path: path.clone(), mode });
        }
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes);
        let bytes = SecretBytes::new(bytes);
        read.map_err(failed)?;
        match bytes.expose().trim_ascii_end() {
            [] => Err(unreadable(String::from("it is empty"))),
            text => Ok(SecretBytes::copy_of(text)),
        }
    }
}

/// Nobody but its owner reads it. Of root's files a group may: so systemd and Kubernetes hand a
/// credential to the one user or group that it is for.
fn is_private(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    mode & forbidden == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_or_token_that_others_can_read_is_refused_and_a_handed_over_one_is_not() {
        for (mode, owner, expected) in [
            (0o600, 1000, true),
            (0o400, 0, true),
            (0o440, 0, true),
            (0o440, 1000, false),
            (0o444, 0, false),
            (0o644, 1000, false),
            (0o660, 0, false),
        ] {
            assert_eq!(is_private(mode, owner), expected, "{mode:o} of {owner}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = Source::File(path.clone());
        let missing = source.read("token").err().unwrap().to_string();
        assert!(missing.starts_with("cannot read the token of the master key from"), "{missing}");
        std::fs::write(&path, "x\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(source.read("token"), Err(KmsError::OpenSource { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(source.read("token").ok().unwrap().expose(), b"x");
    }
}
