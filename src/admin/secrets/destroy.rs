//! `DELETE …/secrets/{id}`: every version is overwritten; nothing brings it back
//! but the provider. For admins alone; must never be the side effect of another
//! call.

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::json;

use super::super::act::Act;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::view::alterable;
use super::{WHAT, refusal_of};
use crate::vault::VaultError;

/// Destroy a secret for good.
#[utoipa::path(delete, path = "/api/v1/admin/secrets/{id}", tag = "Secrets",
    params(("id" = String, Path)), responses((status = 204, description = "Gone for good.")))]
pub(in super::super) async fn destroy(
    call: Call,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    call.demand_step_up()?;
    let Ok(id) = identified(&id, WHAT) else { return destroy_row(&call, &id).await };
    let wanted = json!({"destroyed": true});
    // One whose rows somebody has deleted is struck off; all that is known of it is its id.
    let act = match call.house.vault.show(id).await {
        Ok(Some(secret)) => Act::begin(&call, &secret.provider, Some(alterable(&secret)), &wanted)?,
        Err(VaultError::Unreadable(_)) => {
            let before = json!({"id": id.to_string(), "unreadable": true});
            Act::begin(&call, "", Some(before), &wanted)?
        }
        Err(fault) => return Err(refusal_of(fault)),
        Ok(None) if call.house.vault.is_missing(id) => {
            let before = json!({"id": id.to_string(), "deleted_outside": true});
            Act::begin(&call, "", Some(before), &wanted)?
        }
        Ok(None) => return Err(Refused::not_found(WHAT)),
    };
    told(act, call.house.vault.destroy(id).await)
}

/// One whose very id was edited: `doctor` names the row by what stands there now.
async fn destroy_row(call: &Call, row: &str) -> Result<StatusCode, Refused> {
    if !call.house.vault.has_nameless(row).await.map_err(refusal_of)? {
        return Err(Refused::not_found(WHAT));
    }
    let before = json!({"id": row, "unreadable": true});
    let act = Act::begin(call, "", Some(before), &json!({"destroyed": true}))?;
    told(act, call.house.vault.destroy_row(row).await)
}

fn told(act: Act, outcome: Result<bool, VaultError>) -> Result<StatusCode, Refused> {
    match outcome {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}
