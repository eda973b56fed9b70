//! `DELETE …/api-keys/{id}`: the key stops working at once and is
//! gone. Its trail stays; must never take the last active admin
//! away.

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::json;

use super::super::act::Act;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::grant::may_touch;
use super::view::alterable;
use super::{WHAT, refusal_of, role_to_touch, standing};

/// Delete a client key.
///
/// It stops working at once; what it did stays in the trail. The last active admin key stays.
#[utoipa::path(delete, path = "/api/v1/admin/api-keys/{id}", tag = "Client keys",
    params(("id" = String, Path)), responses((status = 204, description = "Gone.")))]
pub(in super::super) async fn delete(
    call: Call,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = identified(&id, WHAT)?;
    let _turn = call.house.key_changes.lock().await;
    let standing = standing(&call, id).await?;
    may_touch(&call.caller, role_to_touch(&standing))?;
    let row = standing.key;
    let act = Act::begin(&call, "", Some(alterable(&row)), &json!({"deleted": true}))?;
    match call.house.roster.delete(id).await {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}
