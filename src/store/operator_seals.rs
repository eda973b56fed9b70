//! The seals of operators and of their sessions, and the envelopes of their codes: under keys that
//! come from the vault and go with it, like the seals of client keys. Without them nobody signs in,
//! and nothing of an operator is written.
//! Must never take a row that does not fit for one that does.

use super::columns::Place;
use super::operator_sessions::SessionRow;
use super::operators::OperatorRow;
use super::{Error, RowKey, Store};
use crate::crypto::{self, Aad, CryptoError, Layer, Parent, hmac_sha256, label};
use crate::secret::{Key, SecretBytes};

/// What is said of an operator whose row somebody has edited.
pub(super) const UNFIT: &str = "somebody has edited it, so it signs nobody in; `sealgate operator \
                                remove` the operator and add a new one";
const LOST: &str =
    "it cannot be judged, because the key of the seals is lost; `sealgate doctor` says why";

impl Store {
    /// Can operators be judged now? Not while the vault is sealed.
    pub(crate) fn judges_operators(&self) -> bool {
        match &*self.row_key() {
            RowKey::Here(_) => true,
            RowKey::Absent | RowKey::Lost => false,
        }
    }

    /// None while nothing can be sealed.
    pub(super) fn seal_of_operator(&self, row: &OperatorRow) -> Option<[u8; 32]> {
        match &*self.row_key() {
            RowKey::Here(key) => Some(made(key, row)),
            RowKey::Absent | RowKey::Lost => None,
        }
    }

    pub(super) fn seal_of_session(
        &self,
        session: &SessionRow,
        operator: &OperatorRow,
    ) -> Option<[u8; 32]> {
        match &*self.row_key() {
            RowKey::Here(key) => Some(made_of_session(key, session, operator)),
            RowKey::Absent | RowKey::Lost => None,
        }
    }

    /// Where a seal is needed and none can be made.
    pub(super) fn unsealable(&self, id: &str) -> Error {
        match &*self.row_key() {
            RowKey::Lost => Place { table: "operators", row: id }.contradiction("seal", LOST),
            // Sealed between the look and the deed: the same call may succeed later.
            RowKey::Absent | RowKey::Here(_) => Error::Stale,
        }
    }

    /// The secret of an operator's codes as it may be stored.
    pub(crate) fn enveloped_codes(
        &self,
        operator: uuid::Uuid,
        secret: &SecretBytes,
    ) -> Result<Vec<u8>, CryptoError> {
        let RowKey::Here(key) = &*self.row_key() else { return Err(CryptoError::WrongParent) };
        let key = codes_key(key);
        crypto::seal(parent(&key), Layer::OperatorCodes, &aad(operator), secret.expose())
    }

    pub(crate) fn opened_codes(
        &self,
        operator: uuid::Uuid,
        envelope: &[u8],
    ) -> Result<SecretBytes, CryptoError> {
        let RowKey::Here(key) = &*self.row_key() else { return Err(CryptoError::WrongParent) };
        let key = codes_key(key);
        crypto::open(parent(&key), Layer::OperatorCodes, &aad(operator), envelope)
    }
}

/// Over all of an operator: nothing of the row can be changed without it.
pub(super) fn made(key: &Key, row: &OperatorRow) -> [u8; 32] {
    let text = |text: Option<&str>| optional(text.map(str::as_bytes));
    let said = Aad::new("operator")
        .with(row.id.as_bytes())
        .with(row.name.as_bytes())
        .with(&text(row.email.as_deref()))
        .with(row.role.as_str().as_bytes())
        .with(&text(row.password.as_deref()))
        .with(&optional(row.totp.as_deref()))
        .with(&row.totp_step.to_be_bytes())
        .with(&row.recovery)
        .with(&optional(row.invitation.as_deref()))
        .with(&optional(row.invitation_ends_at.map(i64::to_be_bytes).as_ref().map(|n| &n[..])))
        .with(&row.created_at.to_be_bytes())
        .with(row.created_by.as_bytes())
        .with(&row.updated_at.to_be_bytes());
    hmac_sha256(key, &[label::OPERATOR_ROW, said.as_bytes()])
}

/// Over what lets somebody in, and over the password and the role that he came in with: whoever
/// changes either ends every session, also one that is put back into the table. When and from where
/// it was used last is for people, and may change without it.
fn made_of_session(key: &Key, session: &SessionRow, operator: &OperatorRow) -> [u8; 32] {
    let said = Aad::new("operator-session")
        .with(&session.digest)
        .with(session.id.as_bytes())
        .with(session.operator_id.as_bytes())
        .with(&session.created_at.to_be_bytes())
        .with(&session.ends_at.to_be_bytes())
        .with(&optional(session.stepped_up_at.map(i64::to_be_bytes).as_ref().map(|n| &n[..])))
        .with(operator.password.as_deref().unwrap_or_default().as_bytes())
        .with(operator.role.as_str().as_bytes());
    hmac_sha256(key, &[label::OPERATOR_SESSION, said.as_bytes()])
}

fn optional(bytes: Option<&[u8]>) -> Vec<u8> {
    match bytes {
        None => vec![0],
        Some(bytes) => [&[1], bytes].concat(),
    }
}

fn codes_key(key: &Key) -> Key {
    Key::copy_of(&hmac_sha256(key, &[label::OPERATOR_CODES]))
}

fn parent(key: &Key) -> Parent<'_> {
    Parent { id: crypto::key_id(key, label::OPERATOR_CODES), key }
}

fn aad(operator: uuid::Uuid) -> Aad {
    Aad::new("operator-codes").with(operator.as_bytes())
}
