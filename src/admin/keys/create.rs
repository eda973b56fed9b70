//! `POST …/api-keys`: a new client key, shown this one time. The defaults are the least
//! that is of any use; must never keep the key itself, nor write it anywhere but into the
//! answer.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::grant::{Grant, may_grant, take_over_bounds};
use super::view::{ClientKey, alterable};
use super::wanted::{NewClientKey, Wanted};
use super::{refusal_of, shown_once};
use crate::client::{Role, Tier};
use crate::roster::NewClient;
use crate::store::{ClientKeyRow, KeyPreview};

/// Make a client key.
///
/// Needs the right to operate; keys of the roles admin, operator and auditor are made by admins
/// alone, and nobody grants a role, tier, quota or scopes above his own. An admin or operator key
/// ends with its maker's key at the latest and stays within its `allowed_ips` and
/// `allowed_origins`, which are taken over where they are left out. The key is in this answer and
/// nowhere else: only its SHA-256 is kept.
#[utoipa::path(post, path = "/api/v1/admin/api-keys", tag = "Client keys",
    request_body = NewClientKey,
    responses((status = 201, description = "Made. `key` is shown this once.", body = ClientKeyShown)))]
pub(in super::super) async fn create(call: Call, sent: Sent) -> Result<Answer, Refused> {
    // A secret to which this key will be bound keeps its name meanwhile.
    let _turn = call.house.key_changes.lock().await;
    let row = read(&call, &sent).await?;
    may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    call.demand_step_up_for(row.role)?;
    let act = Act::begin(&call, "", None, &alterable(&row))?;
    let issued = match call.house.roster.issue(NewClient { row }).await {
        Ok(issued) => issued,
        Err(error) => return Err(act.refused(refusal_of(error))),
    };
    act.done(201, Some(&alterable(&issued.row)));
    let preview = KeyPreview {
        preview: Some(issued.preview),
        created_at: issued.row.created_at,
        valid_until: None,
    };
    let now_ms = call.house.clock.unix_ms();
    shown_once(&ClientKey::of(&issued.row, &[preview], now_ms), issued.key)
}

/// A client key with the key itself.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientKeyShown {
    /// Shown this once.
    #[schema(pattern = "^mdw_[0-9A-Za-z]{46}$")]
    key: String,
    #[serde(flatten)]
    rest: ClientKey,
}

async fn read(call: &Call, sent: &Sent) -> Result<ClientKeyRow, Refused> {
    let mut members = sent.members()?;
    let wanted = Wanted::read(&mut members, call).await?;
    members.required("name", &wanted.name);
    // The least that is of any use, never more than asked for.
    let mut row = ClientKeyRow::new("", Role::User, Tier::Standard, &call.caller.actor());
    let unsaid = wanted.unsaid();
    wanted.for_new().over(&mut row, &mut members);
    members.finish()?;
    take_over_bounds(&call.caller, &mut row, unsaid);
    Ok(row)
}
