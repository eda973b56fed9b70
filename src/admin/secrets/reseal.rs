//! `POST …/secrets/{id}/reseal`: allows the provider's present destinations, where the catalogue or
//! the settings have changed them on purpose. The value stays what it is, and stays unseen. Must
//! never allow a destination that a request names.

use axum::extract::Path;
use serde_json::json;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::view::{Secret, alterable};
use super::{WHAT, refusal_of, resource, shown};

/// Allow the provider's present destinations to a secret.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/reseal", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "Sealed for where the provider is now.", body = Secret)))]
pub(in super::super) async fn reseal(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    sent.members()?.finish()?;
    let before = shown(&call, id).await?;
    let provider = call.house.catalogue.get(&before.provider);
    let destinations = provider.map(|provider| provider.destinations()).unwrap_or_default();
    let wanted = json!({"resealed_for": destinations});
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &wanted)?;
    match call.house.vault.reseal(id).await {
        Ok(Some(secret)) => {
            act.done(200, Some(&alterable(&secret)));
            Answer::ok(&resource(&call, &secret).await?)
        }
        Ok(None) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}
