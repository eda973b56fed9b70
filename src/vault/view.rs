//! What may be asked of the vault and what it answers.
//! A value goes in by what is asked, and is wiped with it.
//! Must never answer with a value: answers are metadata.

use uuid::Uuid;

use crate::crypto::CryptoError;
use crate::kms::KmsError;
use crate::refusal::FieldFault;
use crate::secret::SecretBytes;
use crate::store::{self, SecretRow, StoredSecret};

/// A secret to be added; its fields are wiped when this is dropped.
pub(crate) struct NewSecret {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, SecretBytes)>,
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) owner: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) created_by: String,
}

/// What to change; None leaves as it is, `Some(None)` clears.
#[derive(Default)]
#[expect(clippy::option_option, reason = "the outer one is 'sent', the inner one is 'null'")]
pub(crate) struct SecretPatch {
    pub(crate) name: Option<String>,
    pub(crate) active: Option<bool>,
    pub(crate) owner: Option<Option<String>>,
    pub(crate) labels: Option<Vec<(String, String)>>,
    pub(crate) expires_at_ms: Option<Option<i64>>,
}

/// A secret as operators see it.
pub(crate) struct SecretView {
    pub(crate) id: Uuid,
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) owner: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) active: bool,
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) fingerprint: String,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) versions: Vec<VersionView>,
    /// Why no call is served with it as it stands, though it may be switched on.
    pub(crate) fault: Option<&'static str>,
}

pub(crate) struct VersionView {
    pub(crate) version: u32,
    pub(crate) state: &'static str,
    pub(crate) created_at_ms: i64,
    pub(crate) created_by: String,
    pub(crate) last_used_at_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) enum VaultError {
    UnknownProvider,
    Duplicate,
    BadFields(Vec<FieldFault>),
    Sealed,
    /// What was just written is not there any more.
    Vanished,
    /// Somebody else was faster; what was read has to be read again.
    Stale,
    /// The rows are not as they were left; what was edited is not taken over.
    Tampered,
    /// A row of it contradicts the model; what it says is for people.
    Unreadable(String),
    /// The category's key-encryption key has wrapped as often as one may.
    Worn,
    /// Another piece of work on the key hierarchy is under way.
    JobRuns,
    UnknownCategory,
    /// A new version of it is on its way already.
    Rotates,
    /// No version of it is in service.
    NothingToReplace,
    /// None of the category's generations is active; somebody edited the table.
    NoActiveKek(String),
    /// Nothing can be told of the category's rows; what it says is for people.
    Closed(String),
    /// The master key at hand is not the one that this house was made with.
    OtherMasterKey,
    Store(store::Error),
    Crypto(CryptoError),
    /// The master key cannot be used.
    Kms(KmsError),
}

impl SecretPatch {
    pub(super) fn lay_over(&self, row: &mut SecretRow) {
        row.active = self.active.unwrap_or(row.active);
        if let Some(name) = &self.name {
            row.name.clone_from(name);
        }
        if let Some(owner) = &self.owner {
            row.owner.clone_from(owner);
        }
        if let Some(labels) = &self.labels {
            row.labels.clone_from(labels);
        }
        if let Some(expires_at) = self.expires_at_ms {
            row.expires_at = expires_at;
        }
    }
}

impl SecretView {
    pub(super) fn of(stored: &StoredSecret) -> Self {
        let secret = stored.secret.clone();
        let version = |row: &store::VersionRow| VersionView {
            version: row.version,
            state: row.state.as_str(),
            created_at_ms: row.created_at,
            created_by: row.created_by.clone(),
            last_used_at_ms: row.last_used_at,
        };
        Self {
            id: secret.id,
            provider: secret.provider,
            name: secret.name,
            category: secret.category,
            owner: secret.owner,
            labels: secret.labels,
            active: secret.active,
            expires_at_ms: secret.expires_at,
            fingerprint: secret.fingerprint,
            created_at_ms: secret.created_at,
            updated_at_ms: secret.updated_at,
            versions: stored.versions.iter().map(version).collect(),
            fault: None,
        }
    }
}

impl From<store::Error> for VaultError {
    fn from(fault: store::Error) -> Self {
        match fault {
            store::Error::Duplicate { .. } => Self::Duplicate,
            store::Error::Stale => Self::Stale,
            store::Error::Worn => Self::Worn,
            other @ (store::Error::Open { .. }
            | store::Error::Newer { .. }
            | store::Error::Damaged { .. }
            | store::Error::Lacking { .. }
            | store::Error::Orphaned
            | store::Error::MasterGone
            | store::Error::Miscounted { .. }
            | store::Error::Contradiction { .. }
            | store::Error::LastAdmin
            | store::Error::LeaseLost
            | store::Error::Unreachable { .. }
            | store::Error::Full { .. }
            | store::Error::Failed { .. }) => Self::Store(other),
        }
    }
}

impl From<KmsError> for VaultError {
    fn from(fault: KmsError) -> Self {
        Self::Kms(fault)
    }
}

impl From<CryptoError> for VaultError {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}

impl std::fmt::Display for VaultError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownProvider => formatter.write_str("there is no provider of that name"),
            Self::Duplicate => formatter.write_str("this provider has a secret of that name already"),
            Self::BadFields(_) => formatter.write_str("the fields do not fit the provider"),
            Self::Sealed => formatter.write_str("the vault is sealed; unseal it first"),
            Self::Vanished => {
                formatter.write_str("the row was removed while it was being worked on; try again")
            }
            Self::Stale => formatter.write_str(
                "the row was changed by somebody else at the same moment; repeat the call",
            ),
            Self::Tampered => formatter.write_str(
                "the stored rows are not as Sealgate left them; destroy the secret and enter the \
                 provider's key again, or restore a backup",
            ),
            Self::Worn => store::Error::Worn.fmt(formatter),
            Self::JobRuns => formatter.write_str(
                "another job on the key hierarchy is running; `sealgate kek status` shows how far it \
                 is, and one runs at a time",
            ),
            Self::UnknownCategory => formatter.write_str(
                "this category has no key-encryption key yet; it gets one with its first secret",
            ),
            Self::Rotates => formatter.write_str(
                "a new version of this secret is on its way already; promote it or roll it back first",
            ),
            Self::NothingToReplace => formatter.write_str(
                "no version of this secret is in service; destroy it and enter the key anew",
            ),
            Self::NoActiveKek(category) => write!(
                formatter,
                "category {category} has generations in the table keks, but none of them is active: \
                 its rows were changed outside Sealgate; run `sealgate kek rotate --category \
                 {category}`, which makes the next one"
            ),
            Self::Closed(what) | Self::Unreadable(what) => formatter.write_str(what),
            Self::OtherMasterKey => formatter.write_str(
                "the master key is not the one that this database was made with; bring the right file \
                 back, or set master_key.path to where it lies",
            ),
            Self::Store(fault) => fault.fmt(formatter),
            Self::Crypto(fault) => fault.fmt(formatter),
            Self::Kms(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for VaultError {}
