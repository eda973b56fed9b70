//! `PUT …/secrets/{id}`: metadata, disabled or back in
//! service. Must never touch a value: a new value is a new
//! version.

use std::collections::BTreeMap;

use axum::extract::Path;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::house::House;
use super::super::members::Patch;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::add::{LONGEST_OWNER, future, name};
use super::view::{Secret, alterable};
use super::{WHAT, refusal_of, resource, shown};
use crate::clock::rfc3339;
use crate::probe::{self, Live};
use crate::refusal::{Reason, Refusal};
use crate::store::Cause;
use crate::vault::{SecretPatch, SecretView};

/// Client keys in one look.
const PAGE: u32 = 500;

/// The body of `PUT …/secrets/{id}`: only what is sent changes, null clears.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct SecretChange {
    /// Unique within the provider. Refused while client keys are bound to the old name.
    name: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    owner: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// `false` disables at once, `true` puts back into service what its provider still takes.
    active: Option<bool>,
    /// `false`: it is put back into service without asking the provider.
    validate: Option<bool>,
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
    let (patch, validate) = read(&call, &sent)?;
    let wanted = serde_json::json!({
        "name": patch.name,
        "active": patch.active,
        "owner": patch.owner,
        "expires_at": patch.expires_at_ms.map(|time| time.map(rfc3339)),
    });
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &wanted)?;
    if validate
        && patch.active == Some(true)
        && !before.active
        && let Err(refused) = still_taken(&call, id).await
    {
        return Err(act.refused(refused));
    }
    // Nobody is bound to the old name while it is looked at and changed.
    let _bindings_stand = call.house.key_changes.lock().await;
    if let Some(name) = &patch.name
        && *name != before.name
        && let Some(bound) = bound_to(&call.house, &before).await?
    {
        let detail = format!("The client key {bound} is bound to this name; bind it anew first.");
        return Err(act.refused(Refused::conflict(detail)));
    }
    match call.house.vault.set(id, patch).await {
        Ok(Some(secret)) => {
            act.done(200, Some(&alterable(&secret)));
            Answer::ok(&resource(&call, &secret).await?)
        }
        Ok(None) => Err(act.refused(Refused::not_found(WHAT))),
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}

/// What came out of service may be revoked by now. An outage keeps nobody from anything.
async fn still_taken(call: &Call, id: Uuid) -> Result<(), Refused> {
    let actor = call.caller.actor();
    let asked = probe::Asked { cause: Cause::Asked, actor: &actor };
    let checked = call.house.prober.stored((id, None), asked, &mut |_| {}).await;
    let Some((_, report)) = checked.map_err(refusal_of)? else {
        return Err(Refused::not_found(WHAT));
    };
    match report.live {
        Live::Good | Live::AnyString | Live::NotAsked | Live::Unreached | Live::Untold => Ok(()),
        Live::Refused => {
            let detail = format!(
                "{} It stays disabled; send `validate: false` (`--no-validate`) to enable it all \
                 the same.",
                report.why()
            );
            Err(Refusal::new(Reason::Invalid, detail).with_report(report.json()).into())
        }
    }
}

fn read(call: &Call, sent: &Sent) -> Result<(SecretPatch, bool), Refused> {
    let mut members = sent.members()?;
    let name = name(&mut members);
    members.fixed("fields", "a new value is not taken here");
    let active = members.flag("active");
    let validate = members.flag("validate");
    let patch = SecretPatch {
        name: members.unclearable("name", name),
        active: members.unclearable("active", active),
        owner: patched(members.text_up_to("owner", LONGEST_OWNER)),
        labels: patched(members.pairs("labels")).map(Option::unwrap_or_default),
        expires_at_ms: patched(future(&mut members, call)),
    };
    members.finish()?;
    Ok((patch, validate.value().unwrap_or(true)))
}

/// The first client key that is bound to this secret, which happens by name.
async fn bound_to(house: &House, secret: &SecretView) -> Result<Option<String>, Refused> {
    let mut after = None;
    loop {
        let page = house.store.client_keys_page(after, PAGE).await.map_err(Refused::internal)?;
        let is_bound = |(provider, name): &(String, String)| {
            *provider == secret.provider && *name == secret.name
        };
        let found = page.iter().find(|listed| listed.key.secrets.iter().any(is_bound));
        if let Some(found) = found {
            return Ok(Some(format!("{:?} ({})", found.key.name, found.key.id)));
        }
        match page.last() {
            Some(last) => after = Some(last.key.id),
            None => return Ok(None),
        }
    }
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
