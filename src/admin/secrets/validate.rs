//! `POST …/secrets/{id}/validate`: is what lies in the vault still good? This version opens it
//! and judges its format; it must never claim to have asked the provider. Nothing is changed by
//! it.

use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::{WHAT, refusal_of, shown};
use crate::vault::VaultError;

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

/// Check a secret: does it open, does it have the provider's format?
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
    shown(&call, id).await?;
    let started_ns = call.house.clock.monotonic_ns();
    let checked = call.house.vault.check_stored(id).await;
    let ms = call.house.clock.monotonic_ns().saturating_sub(started_ns) / 1_000_000;
    let mut steps = taken(checked, ms)?;
    steps.push(Step {
        name: "live",
        ok: None,
        detail: String::from("The call to the provider is not part of this version."),
        ms: 0,
    });
    let ok = steps.iter().all(|step| step.ok != Some(false));
    Answer::ok(&Report { ok, steps })
}

fn taken(
    checked: Result<Option<Vec<crate::refusal::FieldFault>>, VaultError>,
    ms: u64,
) -> Result<Vec<Step>, Refused> {
    let open =
        |ok, detail: &str| Step { name: "open", ok: Some(ok), detail: detail.to_owned(), ms };
    let faults = match checked {
        Ok(Some(faults)) => faults,
        Ok(None) => {
            return Ok(vec![open(false, "No version of this secret is in service.")]);
        }
        Err(VaultError::Crypto(_)) => {
            let detail = "The stored secret does not open: its row was changed outside Sealgate.";
            return Ok(vec![open(false, detail)]);
        }
        Err(error) => return Err(refusal_of(error)),
    };
    let sentences: Vec<String> =
        faults.iter().map(|fault| format!("{} {}", fault.field, fault.fault)).collect();
    let format = Step {
        name: "format",
        ok: Some(faults.is_empty()),
        detail: if faults.is_empty() {
            String::from("The fields have the provider's format.")
        } else {
            sentences.join("; ")
        },
        ms: 0,
    };
    Ok(vec![open(true, "The active version opens."), format])
}
