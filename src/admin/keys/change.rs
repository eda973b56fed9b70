//! `PUT …/api-keys/{id}`: change, revoke, restore.
//! Only what was sent changes; whatever hands out more is judged like a new key.
//! Must never leave the house without an active admin.

use axum::extract::Path;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::grant::{Grant, may_grant, may_touch};
use super::view::{ClientKey, alterable};
use super::wanted::{ClientKeyChange, Wanted};
use super::{WHAT, refusal_of, row};

/// Change a client key.
///
/// Only the members sent change; `null` clears. `active: false` revokes at once, `active: true`
/// restores. Whatever hands out more is judged like a new key. The last active admin key stays.
#[utoipa::path(put, path = "/api/v1/admin/api-keys/{id}", tag = "Client keys",
    params(("id" = String, Path)), request_body = ClientKeyChange,
    responses((status = 200, description = "As it stands now.", body = ClientKey)))]
pub(in super::super) async fn change(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    // Read, altered and written by one at a time, or two changes at once would undo each other.
    let _turn = call.house.key_changes.lock().await;
    let mut row = row(&call, id).await?;
    let before = alterable(&row);
    may_touch(&call.caller, row.role)?;

    let mut members = sent.members()?;
    let wanted = Wanted::read(&mut members, &call).await?;
    let active = members.flag("active");
    let active = members.unclearable("active", active);
    let is_grant = wanted.grants(active == Some(true) && !row.active);
    wanted.over(&mut row, &mut members);
    members.finish()?;
    row.active = active.unwrap_or(row.active);
    may_touch(&call.caller, row.role)?;
    if is_grant {
        may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    }

    let act = Act::begin(&call, "", Some(before), &alterable(&row))?;
    let row = match call.house.roster.change(row).await {
        Ok(row) => row,
        Err(error) => return Err(act.refused(refusal_of(error))),
    };
    act.done(200, Some(&alterable(&row)));
    let previews = call.house.store.client_key_previews(id).await.map_err(Refused::internal)?;
    Answer::ok(&ClientKey::of(&row, &previews, call.house.clock.unix_ms()))
}
