//! `GET …/integrity`: is every row as Sealgate left it, and does all that is sealed open? Looked at
//! anew in the database, for `doctor` and for whoever watches. Must never answer with a value, nor
//! mend anything.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::refused::Refused;
use super::refusal_of;

#[derive(Serialize, ToSchema)]
pub(super) struct Integrity {
    /// True if nothing was found.
    ok: bool,
    /// A sentence for each thing, with its remedy.
    findings: Vec<String>,
}

/// Look at every stored row: is it as it was left, does it open?
#[utoipa::path(get, path = "/api/v1/admin/integrity", tag = "Secrets",
    responses((status = 200, description = "What was found.", body = Integrity)))]
pub(in super::super) async fn integrity(call: Call) -> Result<Answer, Refused> {
    let findings = call.house.vault.examine().await.map_err(refusal_of)?;
    Answer::ok(&Integrity { ok: findings.is_empty(), findings })
}
