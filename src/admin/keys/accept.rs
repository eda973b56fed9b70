//! `POST …/api-keys/{id}/accept`: takes a client key whose row was edited outside as it stands now.
//! Until then it is no credential, and no change builds on it. Must never be done by the house
//! itself.

use axum::extract::Path;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::view::{ClientKey, alterable};
use super::{WHAT, refusal_of, row};

/// Accept a client key as its row stands, after somebody has edited it in the database.
///
/// Look at it first: role, tier, scopes, networks, expiry and the number of its keys.
#[utoipa::path(post, path = "/api/v1/admin/api-keys/{id}/accept", tag = "Client keys",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands.", body = ClientKey)))]
pub(in super::super) async fn accept(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    sent.members()?.finish()?;
    let _turn = call.house.key_changes.lock().await;
    let row = row(&call, id).await?;
    let act = Act::begin(&call, "", None, &alterable(&row))?;
    match call.house.roster.accept(id).await {
        Ok(true) => act.done(200, Some(&alterable(&row))),
        Ok(false) => return Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => return Err(act.refused(refusal_of(error))),
    }
    let previews = call.house.store.client_key_previews(id).await.map_err(Refused::internal)?;
    Answer::ok(&ClientKey::of(&row, &previews, call.house.clock.unix_ms()))
}
