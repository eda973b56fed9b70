//! `GET …/integrity`: is every row as Sealgate left it, and does all that is sealed open? Looked at
//! anew in the database, for `doctor` and for whoever watches. Must never answer with a value, nor
//! mend anything by itself: what was taken as it stood waits for somebody who has looked.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::refusal_of;
use crate::store;

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
    let findings = look(&call).await?;
    Answer::ok(&Integrity { ok: findings.is_empty(), findings })
}

async fn look(call: &Call) -> Result<Vec<String>, Refused> {
    let mut findings = call.house.vault.examine().await.map_err(refusal_of)?;
    match call.house.ledger.examine().await {
        Ok(found) => findings.extend(found),
        // What is missing was named with the rest of the schema.
        Err(store::Error::Lacking { .. }) if !findings.is_empty() => {}
        Err(fault) => return Err(Refused::internal(fault)),
    }
    Ok(findings)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    /// The findings that are settled by it.
    settled: Vec<String>,
    /// What is left, each with its own remedy.
    findings: Vec<String>,
}

/// Say that the lists of secrets are meant as they stand.
///
/// After the database was put back on purpose, or the data folder was lost. Look at the secrets
/// first. Rows that were edited, and client keys, are no part of it.
#[utoipa::path(post, path = "/api/v1/admin/integrity/accept", tag = "Secrets",
    responses((status = 200, description = "What is settled, and what is left.", body = Accepted)))]
pub(in super::super) async fn accept(call: Call, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let act = Act::begin(&call, "", None, &json!({"lists": "accept"}))?;
    let settled = match call.house.vault.accept_lists().await {
        Ok(settled) => settled,
        Err(fault) => return Err(act.refused(refusal_of(fault))),
    };
    act.done(200, Some(&json!({"settled": settled})));
    let findings = look(&call).await?;
    Answer::ok(&Accepted { settled, findings })
}
