//! `POST …/api-keys/{id}/accept`: takes a client key whose row was edited outside as it stands now.
//! Until then it is no credential, and no change builds on it. Must never be done by the house
//! itself.

use axum::extract::Path;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::grant::{Grant, may_grant};
use super::view::{ClientKey, alterable};
use super::{WHAT, refusal_of, shown, standing};
use crate::roster::compiled;
use crate::store::{RowFault, StandingKey};

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
    let standing = standing(&call, id).await?;
    match standing.fault {
        Some(fault @ (RowFault::Unreadable { .. } | RowFault::Lost)) => {
            return Err(Refused::conflict(fault.to_string()));
        }
        Some(RowFault::Edited) | None => {}
    }
    let row = standing.key;
    // What it says becomes true, so this is a grant.
    compiled(&row).map_err(refusal_of)?;
    may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    call.demand_step_up_for(row.role)?;
    let act = Act::begin(&call, "", None, &alterable(&row))?;
    match call.house.roster.accept(id).await {
        Ok(true) => act.done(200, Some(&alterable(&row))),
        Ok(false) => return Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => return Err(act.refused(refusal_of(error))),
    }
    Answer::ok(&shown(&call, &StandingKey { key: row, fault: None }).await?)
}
