//! `PUT …/api-keys/{id}`: change, revoke, restore. Reads, judges and writes in one turn, so
//! that two changes at once cannot undo each other; must never hand out more than its caller
//! has, nor let him lock himself out.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::members::{Members, Patch};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::grant::{Grant, may_grant, may_hand_out, may_touch, take_over_bounds};
use super::view::{ClientKey, alterable};
use super::wanted::{ClientKeyChange, Wanted};
use super::{WHAT, refusal_of, role_to_touch, shown, standing};
use crate::policy::{self, Denied, Whence};
use crate::roster::compiled;
use crate::store::{ClientKeyRow, StandingKey};

/// Change a client key.
///
/// Only the members sent change; `null` clears. `active: false` revokes at once, `active: true`
/// restores. Whatever hands out more is judged like a new key. The last active admin key stays, and
/// so does the last that has no end; nobody binds his own key to where he does not call from. A key
/// with a `fault` can only be revoked.
#[utoipa::path(put, path = "/api/v1/admin/api-keys/{id}", tag = "Client keys",
    params(("id" = String, Path)), request_body = ClientKeyChange,
    responses((status = 200, description = "As it stands now.", body = ClientKey)))]
pub(in super::super) async fn change(
    call: Call,
    Path(id): Path<String>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    // Read, altered and written by one at a time, or two changes at once would undo each other.
    let _turn = call.house.key_changes.lock().await;
    let standing = standing(&call, id).await?;
    may_touch(&call.caller, role_to_touch(&standing))?;
    let members = sent.members()?;
    let row = match standing.fault {
        Some(_) => return stop(&call, standing, members).await,
        None => standing.key,
    };
    let before = alterable(&row);
    let row = changed(&call, row, members, &headers).await?;

    let act = Act::begin(&call, "", Some(before), &alterable(&row))?;
    let row = match call.house.roster.change(row).await {
        Ok(row) => row,
        Err(error) => return Err(act.refused(refusal_of(error))),
    };
    act.done(200, Some(&alterable(&row)));
    Answer::ok(&shown(&call, &StandingKey { key: row, fault: None }).await?)
}

/// The row as it is wanted, if this caller may want it so.
async fn changed(
    call: &Call,
    mut row: ClientKeyRow,
    mut members: Members,
    headers: &HeaderMap,
) -> Result<ClientKeyRow, Refused> {
    let wanted = Wanted::read(&mut members, call).await?;
    let active = members.flag("active");
    let active = members.unclearable("active", active);
    let is_grant = wanted.grants(active == Some(true) && !row.active);
    let (unsaid, former_role) = (wanted.unsaid(), row.role);
    wanted.over(&mut row, &mut members);
    members.finish()?;
    row.active = active.unwrap_or(row.active);
    may_touch(&call.caller, row.role)?;
    // Only now can it hand out keys; before, its bounds were somebody's decision.
    if may_hand_out(row.role) && !may_hand_out(former_role) {
        take_over_bounds(&call.caller, &mut row, unsaid);
    }
    if is_grant {
        may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
        call.demand_step_up_for(row.role)?;
    }
    if !(unsaid.allowed_ips && unsaid.allowed_origins) {
        check_own_place(call, &row, headers)?;
    }
    Ok(row)
}

/// Who binds the key that he calls with to other places would be out with the next call.
fn check_own_place(call: &Call, row: &ClientKeyRow, headers: &HeaderMap) -> Result<(), Refused> {
    let is_own = call.caller.key_id() == Some(row.id);
    let (true, Some(address)) = (is_own, call.trace.address()) else { return Ok(()) };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none());
    let from = Whence { address, origin: origin.map(HeaderValue::as_bytes) };
    let client = compiled(row).map_err(refusal_of)?;
    match policy::admits(&client, &from) {
        Ok(()) => Ok(()),
        Err(Denied::Origin) => Err(Refused::conflict(
            "This call does not come from a page of these allowed_origins, and it is your own key: \
             you would lock yourself out. Change it with another admin key, or from such a page.",
        )),
        Err(Denied::Address | Denied::Role | Denied::Method | Denied::Scope | Denied::Secret) => {
            Err(Refused::conflict(format!(
                "These allowed_ips do not hold {address}, from which you call, and it is your own key: \
             you would lock yourself out. Add that address, or change it with another admin key."
            )))
        }
    }
}

/// Nothing builds on a row that somebody has edited, but it can be stopped.
async fn stop(call: &Call, standing: StandingKey, mut members: Members) -> Result<Answer, Refused> {
    let stops = members.flag("active") == Patch::Set(false) && members.finish().is_ok();
    if let (Some(fault), false) = (standing.fault, stops) {
        return Err(Refused::conflict(format!("{fault} Until then it can only be revoked.")));
    }
    let before = alterable(&standing.key);
    let act = Act::begin(call, "", Some(before), &json!({"active": false}))?;
    match call.house.roster.stop(standing.key.id).await {
        Ok(true) => act.done(200, Some(&json!({"active": false}))),
        Ok(false) => return Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => return Err(act.refused(refusal_of(error))),
    }
    let now = self::standing(call, standing.key.id).await?;
    Answer::ok(&shown(call, &now).await?)
}
