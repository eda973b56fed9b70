//! `POST …/api-keys/import`: keys that an older system issued, known by their SHA-256 alone. Each
//! line is judged like a new key and has a result of its own; a broken one refuses only itself.
//! Must never be shown a key.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::members::{Members, Patch};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::super::words;
use super::grant::{Grant, may_grant, take_over_bounds};
use super::refusal_of;
use super::wanted::Wanted;
use crate::client::{Role, Tier};
use crate::refusal::{Reason, Refusal};
use crate::store::{ClientKeyRow, ImportedKey};

/// Rows of one transaction: enough to be quick, few enough to let others in between.
const AT_ONCE: usize = 1000;

/// The body of an import.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct ClientKeyImport {
    keys: Vec<ImportedClientKey>,
}

/// A key of an older system. May have every other member of a new client key, too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct ImportedClientKey {
    /// The SHA-256 of the key, as 64 hexadecimal digits.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    key_hash: String,
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[schema(default = "user")]
    role: Option<words::Role>,
    #[schema(default = "standard")]
    tier: Option<words::Tier>,
    #[schema(default = true)]
    active: Option<bool>,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

/// What became of an import.
#[derive(Serialize, ToSchema)]
pub(super) struct Imported {
    imported: usize,
    refused: usize,
    items: Vec<ImportedLine>,
}

/// What became of one line: an id, or the reason why there is none.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportedLine {
    /// Its place in `keys`, from 1.
    line: usize,
    ok: bool,
    id: Option<String>,
    name: Option<String>,
    /// As in an error answer: `invalid`, `forbidden`, `conflict`.
    #[schema(value_type = Option<String>)]
    code: Option<&'static str>,
    detail: Option<String>,
}

/// Take over the keys of an older system.
///
/// Known by their SHA-256 alone, in whatever shape they were issued. A line that cannot be taken
/// refuses only itself. Their keys pass in `X-API-Key` and `Authorization: Bearer`.
#[utoipa::path(post, path = "/api/v1/admin/api-keys/import", tag = "Client keys",
    request_body = ClientKeyImport,
    responses((status = 200, description = "A result for each line.", body = Imported)))]
pub(in super::super) async fn import(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let lines = members.lines("keys");
    members.required("keys", &lines);
    members.finish()?;
    let mut lines = lines.value().unwrap_or_default().into_iter().enumerate();

    let act = Act::begin(&call, "", None, &json!({"keys": lines.len()}))?;
    let mut items = Vec::with_capacity(lines.len());
    loop {
        let some: Vec<(usize, Members)> = lines.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        match take(&call, some).await {
            Ok(taken) => items.extend(taken),
            // What went before stands; to send everything again does no harm.
            Err(refused) => return Err(act.refused(refused)),
        }
    }
    let imported = items.iter().filter(|line| line.ok).count();
    let done = Imported { imported, refused: items.len() - imported, items };
    let after = json!({"imported": done.imported, "refused": done.refused});
    act.done(StatusCode::OK.as_u16(), Some(&after));
    Answer::ok(&done)
}

async fn take(call: &Call, some: Vec<(usize, Members)>) -> Result<Vec<ImportedLine>, Refused> {
    let _turn = call.house.key_changes.lock().await;
    let mut lines = Vec::with_capacity(some.len());
    let mut keys = Vec::with_capacity(some.len());
    for (index, members) in some {
        match read(call, members).await {
            Ok(key) => {
                lines.push(ImportedLine::taken(index, &key.row));
                keys.push(key);
            }
            Err(refused) => lines.push(ImportedLine::refused(index, None, refused.refusal())),
        }
    }
    let taken = call.house.roster.import(&mut keys).await.map_err(refusal_of)?;
    let accepted = lines.iter_mut().filter(|line| line.ok);
    for ((line, key), taken) in accepted.zip(&keys).zip(taken) {
        if taken {
            line.id = Some(key.row.id.to_string());
        } else {
            let detail = "A key of this SHA-256 is known already.";
            let refusal = Refusal::new(Reason::Conflict, detail);
            *line = ImportedLine::refused(line.line - 1, line.name.take(), &refusal);
        }
    }
    Ok(lines)
}

async fn read(call: &Call, mut members: Members) -> Result<ImportedKey, Refused> {
    let digest = members.digest("key_hash");
    members.required("key_hash", &digest);
    let wanted = Wanted::read(&mut members, call).await?;
    members.required("name", &wanted.name);
    let active = members.flag("active");
    let last_used_at = members.time("last_used_at");
    let mut row = ClientKeyRow::new("", Role::User, Tier::Standard, &call.caller.actor());
    let unsaid = wanted.unsaid();
    wanted.for_new().over(&mut row, &mut members);
    members.finish()?;
    take_over_bounds(&call.caller, &mut row, unsaid);
    row.active = active.value().unwrap_or(true);
    row.last_used_at = last_used_at.value();
    may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    call.demand_step_up_for(row.role)?;
    match digest {
        Patch::Set(digest) => Ok(ImportedKey { row, digest }),
        Patch::Keep | Patch::Clear => Err(Refused::internal("a digest that is required is gone")),
    }
}

impl ImportedLine {
    fn taken(index: usize, row: &ClientKeyRow) -> Self {
        let name = Some(row.name.clone());
        Self { line: index + 1, ok: true, id: None, name, code: None, detail: None }
    }

    fn refused(index: usize, name: Option<String>, refusal: &Refusal) -> Self {
        let faults = refusal.fields().iter().map(|fault| match fault.field.as_str() {
            "" => fault.fault.clone(),
            field => format!("{field} {}", fault.fault),
        });
        let faults: Vec<String> = faults.collect();
        let detail = if faults.is_empty() { refusal.detail.to_string() } else { faults.join("; ") };
        let code = Some(refusal.reason.code());
        Self { line: index + 1, ok: false, id: None, name, code, detail: Some(detail) }
    }
}
