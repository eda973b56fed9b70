//! `POST …/secrets/{id}/versions`, and what can be asked of a rotation: a new value takes over
//! step by step, or at once where the old one has leaked.
//! Must never answer with a value.

use std::collections::BTreeMap;

use axum::extract::Path;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::add::{entered, hinted};
use super::automatic::{self, DryRunView};
use super::view::{Secret, alterable};
use super::{WHAT, refusal_of, resource, shown};
use crate::client::Right;
use crate::probe::Asked;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::rotation::{RotationError, Strategy, Wish};
use crate::secret::SecretBytes;
use crate::store::Cause;
use crate::vault::{SecretView, VaultError, faults};

/// The body of `POST …/secrets/{id}/versions`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct NewVersionBody {
    /// As the provider's catalogue entry names them.
    #[schema(example = json!({"api_key": "the provider's new key"}))]
    fields: Option<BTreeMap<String, String>>,
    strategy: Option<StrategyBody>,
    /// `true`: it takes over at once, and the former value is destroyed. With `validate: false`
    /// for admins alone.
    #[schema(default = false)]
    now: Option<bool>,
    /// `false`: the provider is not asked; a bad key is rolled back by what it does.
    #[schema(default = true)]
    validate: Option<bool>,
    /// `true`: the rotator that the settings name for this secret makes the new key; nothing else
    /// is sent beside it but `dry_run`.
    #[schema(default = false)]
    auto: Option<bool>,
    /// With `auto`: nothing is made; a 200 says what would be done, and whether it could be.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// By which steps a new version takes over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct StrategyBody {
    /// Percent of the calls, rising, the last one 100.
    #[schema(example = json!([1, 10, 50, 100]))]
    steps: Option<Vec<u64>>,
    /// How long each step is held.
    #[schema(default = 300)]
    hold_seconds: Option<u64>,
}

struct Wanted {
    fields: Vec<(String, SecretBytes)>,
    strategy: Strategy,
    now: bool,
    validate: bool,
}

const UNPROVEN: &str = "`now` destroys the former value, and with `validate: false` nobody knows \
     whether the new one is any good: that is for an admin. Leave `validate` out, or `now`.";
const SAME: &str =
    "what is in use already is no new version; make a new key at the provider and enter that";
const LONGEST_HOLD: u64 = 7 * 86_400;
const PENDING: &str = "pending";

/// Move a new value in, step by step or at once.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/versions", tag = "Secrets",
    params(("id" = String, Path)), request_body = NewVersionBody,
    responses((status = 201, description = "Stored; the rotation has begun.", body = Secret),
        (status = 200, description = "With `dry_run`: what would be done.", body = DryRunView)))]
pub(in super::super) async fn version(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let wanted = match read(&sent)? {
        Asks::New(wanted) => wanted,
        Asks::Auto => return automatic::renew(&call, id).await,
        Asks::DryRun => return automatic::dry_run(&call, id).await,
    };
    if wanted.now && !wanted.validate && !call.caller.may(Right::Administer) {
        return Err(Refusal::new(Reason::Forbidden, UNPROVEN).into());
    }
    if wanted.now {
        // Nobody watches what becomes of it.
        call.demand_step_up()?;
    }
    let before = shown(&call, id).await?;
    let intent = json!({
        "new_version": {"now": wanted.now, "validate": wanted.validate,
            "steps": wanted.strategy.steps, "hold_seconds": wanted.strategy.hold_ms / 1000},
    });
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &intent)?;
    match moved_in(&call, (id, &before), wanted).await {
        Ok(secret) => {
            act.done(201, Some(&alterable(&secret)));
            Answer::created(&resource(&call, &secret).await?)
        }
        Err(refused) => Err(act.refused(refused)),
    }
}

async fn moved_in(
    call: &Call,
    (id, before): (Uuid, &SecretView),
    wanted: Wanted,
) -> Result<SecretView, Refused> {
    let house = &call.house;
    let Some(provider) = house.catalogue.get(&before.provider) else {
        return Err(refusal_of(VaultError::UnknownProvider));
    };
    let wrong = faults(&provider, &wanted.fields);
    if !wrong.is_empty() {
        let hint = house.catalogue.now().lookalike(&provider, &wanted.fields);
        return Err(refusal_of(VaultError::BadFields(hinted(wrong, hint))));
    }
    if house.vault.is_in_use(id, &wanted.fields).await.map_err(refusal_of)? {
        // Whoever enters the leaked key once more must not think that it is off.
        let (field, fault) = (String::from("fields"), String::from(SAME));
        return Err(refusal_of(VaultError::BadFields(vec![FieldFault { field, fault }])));
    }
    // Before anybody is asked about a key that could not be moved in.
    if !wanted.now && before.versions.iter().any(|version| version.state == PENDING) {
        return Err(refusal_of(VaultError::Rotates));
    }
    let report = match wanted.validate {
        true => Some(entered(call, &provider, (&wanted.fields, None), &mut |_| {}).await?),
        false => None,
    };
    let by = call.caller.actor();
    let (secret, version) = match wanted.now {
        true => {
            let replaced = house.rotor.replace((id, wanted.fields), &by).await;
            let secret = replaced.map_err(not_moved)?.ok_or_else(|| Refused::not_found(WHAT))?;
            let newest = secret.versions.iter().map(|version| version.version).max();
            (secret, newest.unwrap_or(0))
        }
        false => {
            let begun = house.rotor.start((id, &wanted.fields), wanted.strategy, &by).await;
            begun.map_err(not_moved)?.ok_or_else(|| Refused::not_found(WHAT))?
        }
    };
    if let Some(report) = report {
        let asked = Asked { cause: Cause::Rotation, actor: &by };
        house.prober.note((&secret, version), asked, &report).await;
    }
    Ok(secret)
}

/// What a body asks for.
enum Asks {
    New(Wanted),
    Auto,
    DryRun,
}

fn read(sent: &Sent) -> Result<Asks, Refused> {
    let mut members = sent.members()?;
    let auto = members.flag("auto").value().unwrap_or(false);
    let dry_run = members.flag("dry_run").value().unwrap_or(false);
    if auto {
        // The settings say how, and the rotator what.
        for name in ["fields", "strategy", "now", "validate"] {
            members.fixed(name, "with auto the settings say how the key is renewed");
        }
        members.finish()?;
        return Ok(if dry_run { Asks::DryRun } else { Asks::Auto });
    }
    if dry_run {
        members.fault("dry_run", "goes with auto alone");
    }
    let fields = members.secrets("fields");
    members.required("fields", &fields);
    let usual = Strategy::default();
    let strategy = members.within("strategy", |inner| {
        let steps = inner.wholes("steps", (1, 100)).value();
        let hold = inner.whole("hold_seconds", 0, LONGEST_HOLD).value();
        let steps = match steps {
            None => usual.steps.clone(),
            Some(steps) => {
                let rises = steps.is_sorted_by(|one, next| one < next);
                if !rises || steps.last() != Some(&100) {
                    inner.fault("steps", "must rise, and end with 100");
                }
                steps.into_iter().filter_map(|step| u32::try_from(step).ok()).collect()
            }
        };
        let hold_ms = hold.and_then(|hold| i64::try_from(hold * 1000).ok());
        Some(Strategy { steps, hold_ms: hold_ms.unwrap_or(usual.hold_ms) })
    });
    let strategy = strategy.value().unwrap_or(usual);
    let now = members.flag("now").value().unwrap_or(false);
    let validate = members.flag("validate").value().unwrap_or(true);
    members.finish()?;
    let fields = fields.value().unwrap_or_default();
    Ok(Asks::New(Wanted { fields, strategy, now, validate }))
}

pub(super) fn not_moved(fault: RotationError) -> Refused {
    match fault {
        RotationError::Vault(fault) => refusal_of(fault),
        RotationError::Store(fault) => Refused::of_store(&fault),
        RotationError::Not(why) => Refused::conflict(format!("There is nothing to do: {why}.")),
    }
}

async fn wished(call: Call, id: &str, sent: &Sent, wish: Wish) -> Result<Answer, Refused> {
    let id = identified(id, WHAT)?;
    sent.members()?.finish()?;
    let before = shown(&call, id).await?;
    let word = match wish {
        Wish::Promote => "promote",
        Wish::RollBack => "rollback",
        Wish::Pause => "pause",
        Wish::Resume => "resume",
    };
    let intent = json!({"rotation": word});
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &intent)?;
    match call.house.rotor.wish(id, wish).await {
        Ok(rotation) => {
            act.done(200, Some(&json!({"rotation": rotation.state.as_str()})));
            let secret = shown(&call, id).await?;
            Answer::ok(&resource(&call, &secret).await?)
        }
        Err(fault) => Err(act.refused(not_moved(fault))),
    }
}

/// Let the new version take over now.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/rotation/promote", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn promote(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    wished(call, &id, &sent, Wish::Promote).await
}

/// Give the new version up.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/rotation/rollback", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn rollback(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    wished(call, &id, &sent, Wish::RollBack).await
}

/// Hold the rotation at its step.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/rotation/pause", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn pause(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    wished(call, &id, &sent, Wish::Pause).await
}

/// Let a paused rotation go on.
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/rotation/resume", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn resume(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    wished(call, &id, &sent, Wish::Resume).await
}
