//! `POST …/seal` and `POST …/unseal`: for admins, sealed or not. A seal is answered when no call is
//! under way any more and every key is dropped. A passphrase goes from the body to the vault and
//! nowhere else: not into the trail, not into an answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::act::Act;
use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::refused::Refused;
use super::sent::Sent;
use crate::kms::KmsError;
use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};
use crate::vault::{UnsealError, VaultError};

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(seal)).routes(routes!(unseal))
}

/// How the vault stands after the call.
#[derive(Serialize, ToSchema)]
#[schema(as = Sealing)]
struct Sealed {
    sealed: bool,
    /// False: it stood so before.
    changed: bool,
}

/// The body of `POST …/unseal`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `unseal` reads it")]
struct Unsealing {
    /// Where the master key is held by a passphrase that the settings do not name.
    passphrase: Option<String>,
}

/// Seal: cut every call under way and drop every key.
///
/// Answered when it is done. Until somebody unseals, the proxy answers 503 `sealed`, and so does
/// this face but for health, metrics, the trail, `seal` and `unseal`.
#[utoipa::path(post, path = "/api/v1/admin/seal", tag = "Operation",
    responses((status = 200, description = "Sealed.", body = Sealed)))]
async fn seal(call: Call, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    call.demand_step_up()?;
    let before = json!({"sealed": call.house.vault.is_sealed()});
    let act = Act::begin(&call, "", Some(before), &json!({"sealed": true}))?;
    match call.house.warden.seal().await {
        Ok(changed) => {
            act.done(200, Some(&json!({"sealed": true})));
            Answer::ok(&Sealed { sealed: true, changed })
        }
        Err(held) => Err(act.refused(Refused::internal(held))),
    }
}

/// Unseal: take the master key up again.
#[utoipa::path(post, path = "/api/v1/admin/unseal", tag = "Operation", request_body = Unsealing,
    responses((status = 200, description = "Open.", body = Sealed)))]
async fn unseal(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let passphrase = members.secret("passphrase").value();
    members.finish()?;
    let before = json!({"sealed": call.house.vault.is_sealed()});
    let act = Act::begin(&call, "", Some(before), &json!({"sealed": false}))?;
    match call.house.warden.unseal(passphrase).await {
        Ok(changed) => {
            act.done(200, Some(&json!({"sealed": false})));
            Answer::ok(&Sealed { sealed: false, changed })
        }
        Err(error) => Err(act.refused(refusal_of(&call, error))),
    }
}

fn refusal_of(call: &Call, error: UnsealError) -> Refused {
    let fault = match error {
        UnsealError::TooSoon { wait } => return too_soon(call, wait),
        UnsealError::Vault(fault) => fault,
    };
    let VaultError::Kms(kms) = &fault else { return Refused::internal(fault) };
    match kms {
        KmsError::NeedsPassphrase => Refusal::invalid_field("passphrase", "is required").into(),
        KmsError::WrongPassphrase => {
            Refusal::invalid_field("passphrase", "opens no master key").into()
        }
        KmsError::NoPassphraseHere => {
            let what = "must be left out: the master key is not held by a passphrase";
            Refusal::invalid_field("passphrase", what).into()
        }
        // An admin asked, so he is told what the log is told; there is nothing secret in it.
        KmsError::Missing(_)
        | KmsError::TooOpen { .. }
        | KmsError::WrongSize { .. }
        | KmsError::Unreadable { .. }
        | KmsError::Unwritable { .. }
        | KmsError::Source { .. }
        | KmsError::OpenSource { .. }
        | KmsError::ShortPassphrase { .. }
        | KmsError::WeakPassphrase
        | KmsError::NotSetUp
        | KmsError::LostRow { .. }
        | KmsError::OtherMaster(_)
        | KmsError::Away { .. }
        | KmsError::Denied { .. }
        | KmsError::Crypto(_)
        | KmsError::Store(_) => stays_sealed(kms),
        #[cfg(not(feature = "aws-kms"))]
        KmsError::NotBuilt => stays_sealed(kms),
    }
}

/// Whether this guess would have been right is not told.
pub(super) fn too_soon(call: &Call, wait: Duration) -> Refused {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let free_at_ms = call.house.clock.unix_ms().saturating_add_unsigned(wait_ms);
    let exceeded = Exceeded {
        limit: LimitKind::Client,
        quota: 1,
        used: 1,
        free_at_ms,
        retry_after_seconds: wait_ms.div_ceil(1000).max(1),
    };
    let detail = String::from(
        "After a wrong passphrase the next one is taken a little later, each time twice as long.",
    );
    Refusal::rate_limited(exceeded, detail).into()
}

fn stays_sealed(fault: &KmsError) -> Refused {
    Refusal::new(Reason::Sealed, format!("Sealgate stays sealed: {fault}.")).into()
}
