//! `POST …/master-key/rotate`: begins the move to another master key, which is a job like the
//! others, and is shown like them.
//! Must never take a key.

use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use std::sync::Arc;

use serde_json::json;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::house::House;
use super::super::refused::Refused;
use super::super::sealing::too_soon;
use super::super::secrets::refusal_of;
use super::super::sent::Sent;
use super::view::Job;
use crate::kms::KmsError;
use crate::refusal::Refusal;
use crate::vault::{UnsealError, VaultError};

/// For admins.
pub(in super::super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(rotate))
}

/// The body of `POST …/master-key/rotate`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `rotate` reads it")]
struct Remastering {
    /// Where the master key is held by a passphrase that the settings do not name, and none is
    /// named that it takes over from.
    passphrase: Option<String>,
}

/// Move to a new master key of the same kind, or to the one that the settings name now.
#[utoipa::path(post, path = "/api/v1/admin/master-key/rotate", tag = "Key hierarchy",
    request_body = Remastering,
    responses((status = 202, description = "It has begun.", body = Job)))]
async fn rotate(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let typed = members.secret("passphrase").value();
    members.finish()?;
    let act = Act::begin(&call, "", None, &json!({"job": "master_key"}))?;
    match call.house.warden.rotate_master(&call.caller.actor(), typed).await {
        Ok(job) => {
            let job = Job::of(&job);
            act.done(202, Some(&json!({"job": job})));
            Answer::accepted(&job)
        }
        Err(error) => Err(act.refused(not_begun(&call, error))),
    }
}

fn not_begun(call: &Call, error: UnsealError) -> Refused {
    let fault = match error {
        UnsealError::TooSoon { wait } => return too_soon(call, wait),
        UnsealError::Vault(fault) => fault,
    };
    let what = if matches!(fault, VaultError::Kms(KmsError::NeedsPassphrase)) {
        "is required: it is to open the new master key too; `sealgate master-key rotate \
         --passphrase` asks for it"
    } else if matches!(fault, VaultError::Kms(KmsError::WrongPassphrase)) {
        "opens no master key; nothing was changed, give the one that `unseal` takes"
    } else {
        return refusal_of(fault);
    };
    Refusal::invalid_field("passphrase", what).into()
}
