//! `POST …/secrets/{id}/validate`: is what lies in the vault still good? This version looks at
//! its rows, opens it and judges its format; it must never claim to have asked the provider.
//! Nothing is changed by it.

use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::{WHAT, refusal_of, shown};
use crate::refusal::FieldFault;
use crate::vault::{Checked, Value};

#[derive(Serialize, ToSchema)]
pub(super) struct Report {
    /// True if no step that was taken has failed.
    ok: bool,
    steps: Vec<Step>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Step {
    #[schema(value_type = String, example = "format")]
    name: &'static str,
    /// Null: the step was not taken.
    ok: Option<bool>,
    detail: String,
    ms: u64,
}

/// Check a secret: are its rows untouched, does it open, does it fit, does it serve?
#[utoipa::path(post, path = "/api/v1/admin/secrets/{id}/validate", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "What each step found.", body = Report)))]
pub(in super::super) async fn validate(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    sent.members()?.finish()?;
    let started_ns = call.house.clock.monotonic_ns();
    let checked = call.house.vault.check_stored(id).await.map_err(refusal_of)?;
    // One that contradicts the model says so; else there is none.
    let Some(checked) = checked else {
        return shown(&call, id).await.and(Err(Refused::not_found(WHAT)));
    };
    let ms = call.house.clock.monotonic_ns().saturating_sub(started_ns) / 1_000_000;
    let mut steps = taken(&checked, ms);
    steps.push(Step {
        name: "live",
        ok: None,
        detail: String::from("The call to the provider is not part of this version."),
        ms: 0,
    });
    let ok = steps.iter().all(|step| step.ok != Some(false));
    Answer::ok(&Report { ok, steps })
}

fn taken(checked: &Checked, ms: u64) -> Vec<Step> {
    let step = |name, ok, detail: &str| Step { name, ok, detail: detail.to_owned(), ms: 0 };
    let rows = match checked.untouched {
        true => step("rows", Some(true), BOUND),
        false => step("rows", Some(false), checked.fault.unwrap_or(EDITED)),
    };
    let mut steps = vec![rows];
    let open = match &checked.value {
        Value::None => step("open", Some(false), "No version of this secret is in service."),
        Value::DoesNotOpen => step("open", Some(false), CLOSED),
        Value::Opens(_) => step("open", Some(true), "The active version opens."),
    };
    steps.push(Step { ms, ..open });
    if let Value::Opens(faults) = &checked.value {
        steps.push(format(faults.as_deref()));
    }
    steps.push(match (checked.fault, checked.active) {
        (Some(why), _) => step("serve", Some(false), why),
        (None, false) => step("serve", None, DISABLED),
        (None, true) => step("serve", Some(true), "Calls are served with it."),
    });
    steps
}

fn format(faults: Option<&[FieldFault]>) -> Step {
    let (ok, detail) = match faults {
        None => (None, String::from("The provider of this secret is not configured.")),
        Some([]) => (Some(true), String::from("The fields have the provider's format.")),
        Some(faults) => {
            let sentences: Vec<String> =
                faults.iter().map(|fault| format!("{} {}", fault.field, fault.fault)).collect();
            (Some(false), sentences.join("; "))
        }
    };
    Step { name: "format", ok, detail, ms: 0 }
}

const BOUND: &str = "All that is stored of it is as Sealgate left it: id, provider, name, category, \
     active, fingerprint, owner, labels, expires_at, created_at, created_by, updated_at, and every \
     version's number, state, destinations, envelope, created_at and created_by; the data key is \
     bound by itself. last_used_at of a version changes with use and is not bound.";
const EDITED: &str = "Its rows are not as Sealgate left them.";
const CLOSED: &str = "The stored secret does not open: its row was changed outside Sealgate.";
const DISABLED: &str = "It is disabled, and no call is served with it; `sealgate secret set --active true` enables it.";
