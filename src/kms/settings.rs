//! Where the master key is, as the settings say it.
//! Secrets in it are references to files, or text that wipes itself; it has no `Debug`. A file is
//! read when it is needed, so that what it holds is not kept.

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
    /// Without the line break that editors leave.
    pub(super) fn read(&self) -> Result<SecretBytes, KmsError> {
        let path = match self {
            Self::Given(text) => return Ok(SecretBytes::copy_of(text.expose())),
            Self::File(path) => path,
        };
        let unreadable = |cause: String| KmsError::Unreadable { path: path.clone(), cause };
        let bytes = std::fs::read(path).map_err(|cause| unreadable(cause.to_string()))?;
        let bytes = SecretBytes::new(bytes);
        match bytes.expose().trim_ascii_end() {
            [] => Err(unreadable(String::from("it is empty"))),
            text => Ok(SecretBytes::copy_of(text)),
        }
    }
}
