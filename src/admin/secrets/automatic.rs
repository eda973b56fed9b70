//! Keys that the house gets by itself: asked for at once, or only what would be done; and what is
//! shown of a secret's policy.
//! Must never answer with a value.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::refused::Refused;
use super::rotate::not_moved;
use super::view::alterable;
use super::{resource, shown};
use crate::clock::rfc3339;
use crate::refusal::{Reason, Refusal};
use crate::rotation::PolicyView;
use crate::store::{RenewalRow, RenewalState};

/// By what a key is renewed, and when.
#[derive(Serialize, ToSchema)]
#[schema(as = RotationPolicy)]
pub(super) struct Policy {
    /// `openai`, `webhook`, `command`, or `manual`: somebody does it by hand.
    #[schema(example = "openai")]
    kind: &'static str,
    #[schema(example = "every 30d")]
    schedule: Option<String>,
    max_age_days: Option<u32>,
    /// Of the version that calls use.
    age_days: i64,
    /// When it is renewed next, or tried again; of `manual`, when it is too old.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    /// Of the renewal that is under way: `making`, `storing`, `moving`, `retiring`, `undoing`.
    state: Option<&'static str>,
    /// When the last one ended.
    #[schema(format = DateTime)]
    last_at: Option<String>,
    /// `done`; `former_left`: the former key still stands at its provider; `rolled_back`; `failed`;
    /// `policy_gone`.
    last_result: Option<&'static str>,
    /// Why it is not renewed.
    fault: Option<String>,
}

/// What a renewal would do.
#[derive(Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView {
    kind: &'static str,
    /// Could it be done now, as far as that can be told without making a key?
    ok: bool,
    /// In this order.
    would: Vec<String>,
    checks: Vec<CheckView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DryRunCheck)]
pub(super) struct CheckView {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Policy {
    pub(super) fn of(view: PolicyView) -> Self {
        Self {
            kind: view.kind,
            schedule: view.schedule,
            max_age_days: view.max_age_days,
            age_days: view.age_days,
            next_at: view.next_at.map(rfc3339),
            state: view.state,
            last_at: view.last_at.map(rfc3339),
            last_result: view.last_result,
            fault: view.fault,
        }
    }
}

pub(super) async fn renew(call: &Call, id: Uuid) -> Result<Answer, Refused> {
    let before = shown(call, id).await?;
    let intent = json!({"new_version": {"auto": true}});
    let act = Act::begin(call, &before.provider, Some(alterable(&before)), &intent)?;
    let renewed = call.house.rotor.renew_now(id, &call.caller.actor()).await;
    match renewed.map_err(not_moved).and_then(|row| came_of(&row)) {
        Ok(()) => {
            let secret = shown(call, id).await?;
            act.done(201, Some(&alterable(&secret)));
            Answer::created(&resource(call, &secret).await?)
        }
        Err(refused) => Err(act.refused(refused)),
    }
}

fn came_of(row: &RenewalRow) -> Result<(), Refused> {
    let Some(fault) = &row.fault else { return Ok(()) };
    let then = match row.state {
        RenewalState::Idle => "Nothing has changed; ask again when it is mended.",
        RenewalState::Making
        | RenewalState::Storing
        | RenewalState::Moving
        | RenewalState::Retiring
        | RenewalState::Undoing => "It is tried again by itself.",
    };
    let detail = format!("The key was not renewed: {fault}. {then}");
    Err(Refusal::new(Reason::UpstreamInvalid, detail).into())
}

pub(super) async fn dry_run(call: &Call, id: Uuid) -> Result<Answer, Refused> {
    let before = shown(call, id).await?;
    let intent = json!({"new_version": {"auto": true, "dry_run": true}});
    let act = Act::begin(call, &before.provider, Some(alterable(&before)), &intent)?;
    match call.house.rotor.dry_run(id).await {
        Ok(run) => {
            act.done(200, None);
            let ok = run.is_ok();
            let check = |check: crate::rotation::Check| CheckView {
                name: check.name,
                ok: check.ok,
                detail: check.detail,
            };
            let checks = run.checks.into_iter().map(check).collect();
            Answer::ok(&DryRunView { kind: run.kind, ok, would: run.would, checks })
        }
        Err(fault) => Err(act.refused(not_moved(fault))),
    }
}
