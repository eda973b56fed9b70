//! `POST …/api-keys/{id}/rotate`: a new key for the same client; the old one lives on for a
//! while. Whoever sees the new key can use it, so this must never be easier than making
//! one.

use axum::extract::Path;
use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::members::Members;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::create::ClientKeyShown;
use super::grant::{Grant, may_grant};
use super::view::{ClientKey, Previous, state};
use super::{WHAT, refusal_of, row, shown_once};
use crate::client::State;
use crate::clock::rfc3339;
use crate::store::KeyPreview;

/// The body of a rotation; may be left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `overlap` reads it")]
pub(super) struct Rotation {
    /// How long the old key still works; 0: not at all.
    #[schema(default = 86400, minimum = 0, maximum = 31_536_000)]
    overlap_seconds: Option<u64>,
}

const REVOKED: &str = "This client key is revoked, and a new key would pass no more than the old \
                       one. Restore it first (`sealgate client restore`, active: true), or make \
                       another client key.";
const EXPIRED: &str = "This client key has expired, and a new key would pass no more than the old \
                       one. Give it a later expires_at first, or make another client key.";
const A_DAY: u64 = 86_400;
const A_YEAR: u64 = 31_536_000;

/// Give a client a new key.
///
/// The id stays, the old key works until `previous.valid_until`. At most two keys live at once: a
/// second rotation ends the older one. One that is revoked or expired has no new key (409).
#[utoipa::path(post, path = "/api/v1/admin/api-keys/{id}/rotate", tag = "Client keys",
    params(("id" = String, Path)), request_body = Option<Rotation>,
    responses((status = 201, description = "Rotated. `key` is shown this once.",
        body = ClientKeyShown)))]
pub(in super::super) async fn rotate(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let mut members = sent.members()?;
    let overlap_seconds = overlap(&mut members);
    members.finish()?;
    let _turn = call.house.key_changes.lock().await;
    let row = row(&call, id).await?;
    match state(&row, call.house.clock.unix_ms()) {
        State::Active => {}
        State::Revoked => return Err(Refused::conflict(REVOKED)),
        State::Expired => return Err(Refused::conflict(EXPIRED)),
    }
    // Whoever is shown the key can use it, so this is a grant.
    may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    call.demand_step_up_for(row.role)?;

    let wanted = json!({"id": id.to_string(), "overlap_seconds": overlap_seconds});
    let act = Act::begin(&call, "", None, &wanted)?;
    let rotated = match call.house.roster.rotate(id, overlap_seconds).await {
        Ok(Some(rotated)) => rotated,
        Ok(None) => return Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => return Err(act.refused(refusal_of(error))),
    };
    let issued = rotated.issued;
    let previous = Previous {
        key_preview: rotated.previous_preview,
        valid_until: rfc3339(rotated.valid_until_ms),
    };
    let after = json!({
        "id": id.to_string(),
        "key_preview": issued.preview,
        "previous": {"key_preview": previous.key_preview, "valid_until": previous.valid_until},
    });
    act.done(201, Some(&after));
    let now_ms = call.house.clock.unix_ms();
    let present =
        KeyPreview { preview: Some(issued.preview), created_at: now_ms, valid_until: None };
    let shown = ClientKey::of(&issued.row, &[present], now_ms).with_previous(previous);
    shown_once(&shown, issued.key)
}

fn overlap(members: &mut Members) -> u64 {
    members.whole("overlap_seconds", 0, A_YEAR).value().unwrap_or(A_DAY)
}
