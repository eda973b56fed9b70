//! A refusal on its way out of the admin face. Whatever refuses returns a `Refused`; the frame,
//! which alone knows the request id, writes the body. A cause goes to the log and must never reach
//! an answer.

use std::any::Any;
use std::fmt::Display;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::refusal::{Reason, Refusal};
use crate::roster::RosterError;
use crate::store;
use crate::vault::VaultError;

/// A commit whose answer was lost may have been done.
const AWAY: &str = "The database does not answer in time. Whether a change was made is not known: \
                    look, then try again.";

/// A no, with the cause that only the log may see. Cheap to clone, because it travels as an
/// extension of the answer.
#[derive(Clone)]
pub(super) struct Refused(Arc<Inner>);

struct Inner {
    refusal: Refusal,
    cause: Option<String>,
}

impl Refused {
    /// Something of ours failed. The cause must be free of secrets, as every error of the house is.
    /// What the database says of itself, and somebody can mend, is said to whoever asks.
    pub(super) fn internal(cause: impl Display + 'static) -> Self {
        let any: &dyn Any = &cause;
        let of_store = match (any.downcast_ref(), any.downcast_ref(), any.downcast_ref()) {
            (Some(fault), _, _)
            | (_, Some(VaultError::Store(fault)), _)
            | (_, _, Some(RosterError::Store(fault))) => Self::named(fault),
            _ => None,
        };
        if let Some(named) = of_store {
            return named;
        }
        let cause = cause.to_string();
        if is_full(&cause) {
            let detail = format!("{cause}: the disk is full; free space there, then try again.");
            return Self::because(Refusal::new(Reason::AuditUnavailable, detail), cause);
        }
        Self(Arc::new(Inner { refusal: Refusal::internal(), cause: Some(cause) }))
    }

    /// The database's answer where it is no answer. A row that contradicts the model is named, with
    /// what to do: its sentence repeats no value.
    pub(super) fn of_store(fault: &store::Error) -> Self {
        Self::named(fault).unwrap_or_else(|| {
            let cause = Some(fault.to_string());
            Self(Arc::new(Inner { refusal: Refusal::internal(), cause }))
        })
    }

    fn named(fault: &store::Error) -> Option<Self> {
        match fault {
            // Somebody has edited a client key; the sentence names the remedy.
            store::Error::Contradiction {
                table: "client_keys" | "key_jobs",
                column: "seal",
                ..
            }
            | store::Error::Orphaned
            | store::Error::MasterGone
            | store::Error::Miscounted { .. } => Some(Self::conflict(fault.to_string())),
            store::Error::Contradiction { .. }
            | store::Error::Damaged { .. }
            | store::Error::Lacking { .. } => {
                Some(Self::because(Refusal::new(Reason::Internal, fault.to_string()), fault))
            }
            store::Error::Full { .. } => {
                let refusal = Refusal::new(Reason::AuditUnavailable, fault.to_string());
                Some(Self::because(refusal, fault))
            }
            // Its sentence may name the database's address: that is for the log alone.
            store::Error::Unreachable { .. } => {
                Some(Self::because(Refusal::new(Reason::Overloaded, AWAY), fault))
            }
            store::Error::Open { .. }
            | store::Error::Newer { .. }
            | store::Error::Duplicate { .. }
            | store::Error::LastAdmin
            | store::Error::Stale
            | store::Error::LeaseLost
            | store::Error::Worn
            | store::Error::Failed { .. } => None,
        }
    }

    /// Our own state forbids it; the log says more.
    pub(super) fn because(refusal: Refusal, cause: impl Display) -> Self {
        Self(Arc::new(Inner { refusal, cause: Some(cause.to_string()) }))
    }

    pub(super) fn not_found(what: &str) -> Self {
        Refusal::new(Reason::NotFound, format!("There is no {what} of that id.")).into()
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Refusal::new(Reason::Forbidden, detail.into()).into()
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Refusal::new(Reason::Conflict, detail.into()).into()
    }

    /// What a bare status means: the answers that axum and hyper make by themselves.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (reason, detail) = match status.as_u16() {
            400 => (Reason::BadRequest, "The request is malformed."),
            404 => (Reason::NotFound, "There is nothing at this path; /openapi.json lists all."),
            405 => (Reason::MethodNotAllowed, "This path does not take that method; see Allow."),
            408 => (Reason::Timeout, "The request took too long."),
            413 => (Reason::TooLarge, "The body is too large."),
            414 => (Reason::UriTooLong, "The request target is too long."),
            415 => (Reason::UnsupportedMediaType, "Send the body as application/json."),
            422 => (Reason::Invalid, "The request is well-formed but wrong."),
            431 => (Reason::HeadersTooLarge, "The header fields are too large."),
            _ => return Refusal::internal().into(),
        };
        Refusal::new(reason, detail).into()
    }

    pub(super) fn refusal(&self) -> &Refusal {
        &self.0.refusal
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }
}

/// As the system says it, whoever passed it on.
fn is_full(cause: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|said| cause.contains(said))
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(Arc::new(Inner { refusal, cause: None }))
    }
}

/// The status and the refusal itself; the frame adds body and headers.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.refusal().reason.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_a_framework_answers_by_itself_has_its_reason() {
        for status in [400, 404, 405, 408, 413, 414, 415, 422, 431, 500] {
            let refused = Refused::of_status(StatusCode::from_u16(status).unwrap());
            assert_eq!(refused.refusal().reason.status(), status);
        }
    }

    #[test]
    fn a_full_disk_is_a_503_that_names_it() {
        let io = std::io::Error::from_raw_os_error(28);
        let full = store::Error::Full { place: String::from("/srv/sealgate.db") };
        for (refused, named) in [
            (Refused::internal(io), "No space left on device"),
            (Refused::internal(full.clone()), "/srv/sealgate.db"),
            (Refused::internal(VaultError::Store(full.clone())), "/srv/sealgate.db"),
            (Refused::of_store(&full), "/srv/sealgate.db"),
        ] {
            assert_eq!(refused.refusal().reason.status(), 503);
            let detail = &refused.refusal().detail;
            assert!(detail.contains(named) && detail.contains("free space there"), "{detail}");
        }
    }

    #[test]
    fn a_database_that_is_away_is_a_503_and_its_address_is_for_the_log() {
        let away = store::Error::Unreachable { fault: String::from("no route to 10.0.0.7") };
        for refused in [
            Refused::internal(away.clone()),
            Refused::internal(VaultError::Store(away.clone())),
            Refused::internal(RosterError::Store(away.clone())),
            Refused::of_store(&away),
        ] {
            assert_eq!(refused.refusal().reason.status(), 503);
            let body = String::from_utf8(refused.refusal().body("r")).unwrap();
            assert!(body.contains("does not answer") && !body.contains("10.0.0.7"), "{body}");
            assert!(refused.cause().is_some_and(|cause| cause.contains("10.0.0.7")));
        }
    }

    #[test]
    fn a_cause_stays_out_of_the_body() {
        let refused = Refused::internal("disk on fire");
        let body = String::from_utf8(refused.refusal().body("r")).unwrap();
        assert!(!body.contains("fire"), "{body}");
        assert_eq!(refused.cause(), Some("disk on fire"));
    }
}
