//! `DELETE …/secrets/{id}`: every version is
//! overwritten; nothing brings it back but the
//! provider.

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::json;

use super::super::act::Act;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::view::alterable;
use super::{WHAT, refusal_of, shown};

/// Destroy a secret for good.
#[utoipa::path(delete, path = "/api/v1/admin/secrets/{id}", tag = "Secrets",
    params(("id" = String, Path)), responses((status = 204, description = "Gone for good.")))]
pub(in super::super) async fn destroy(
    call: Call,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = identified(&id, WHAT)?;
    let secret = shown(&call, id).await?;
    let wanted = json!({"destroyed": true});
    let act = Act::begin(&call, &secret.provider, Some(alterable(&secret)), &wanted)?;
    match call.house.vault.destroy(id).await {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}
