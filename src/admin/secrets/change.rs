//! `PUT …/secrets/{id}`: metadata, disabled or back in
//! service. Must never touch a value: a new value is a new
//! version.

use std::collections::BTreeMap;

use axum::extract::Path;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::members::Patch;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::add::{LONGEST_OWNER, future};
use super::view::{Secret, alterable};
use super::{WHAT, refusal_of, shown};
use crate::clock::rfc3339;
use crate::vault::SecretPatch;

/// The body of `PUT …/secrets/{id}`: only what is sent changes, null clears.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct SecretChange {
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    owner: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// `false` disables at once, `true` puts back into service.
    active: Option<bool>,
}

/// Change a secret's metadata, disable it, or put it back into service.
#[utoipa::path(put, path = "/api/v1/admin/secrets/{id}", tag = "Secrets",
    params(("id" = String, Path)), request_body = SecretChange,
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn change(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let before = shown(&call, id).await?;
    let patch = read(&call, &sent)?;
    let wanted = serde_json::json!({
        "active": patch.active,
        "owner": patch.owner,
        "expires_at": patch.expires_at_ms.map(|time| time.map(rfc3339)),
    });
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &wanted)?;
    match call.house.vault.set(id, patch).await {
        Ok(Some(secret)) => {
            act.done(200, Some(&alterable(&secret)));
            Answer::ok(&Secret::of(&secret))
        }
        Ok(None) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}

fn read(call: &Call, sent: &Sent) -> Result<SecretPatch, Refused> {
    let mut members = sent.members()?;
    members.fixed("name", "add the secret anew under the other name");
    members.fixed("fields", "a new value is not taken here");
    let active = members.flag("active");
    let patch = SecretPatch {
        active: members.unclearable("active", active),
        owner: patched(members.text_up_to("owner", LONGEST_OWNER)),
        labels: patched(members.pairs("labels")).map(Option::unwrap_or_default),
        expires_at_ms: patched(future(&mut members, call)),
    };
    members.finish()?;
    Ok(patch)
}

#[expect(
    clippy::option_option,
    reason = "the vault's form: outside kept or not, inside set or clear"
)]
fn patched<T>(patch: Patch<T>) -> Option<Option<T>> {
    match patch {
        Patch::Keep => None,
        Patch::Clear => Some(None),
        Patch::Set(value) => Some(Some(value)),
    }
}
