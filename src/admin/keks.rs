//! The key hierarchy: which generations there are and how far the work on them is; a new
//! generation, and the beginning of jobs, which run in the background.
//! Must never answer with a key, wrapped or not.

pub(super) mod master;
mod view;

use std::sync::Arc;

use axum::extract::Path;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::view::{Generation, Job};
use super::act::Act;
use super::answer::Answer;
use super::call::{Call, identified};
use super::house::House;
use super::refused::Refused;
use super::secrets::refusal_of;
use super::sent::Sent;
use crate::store;
use crate::vault::{JobKind, VaultError};

/// For whoever may read metadata.
pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(job))
}

/// For admins.
pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(rotate))
        .routes(routes!(rewrap))
        .routes(routes!(rekey))
        .routes(routes!(cancel))
}

/// The hierarchy as it stands.
#[derive(serde::Serialize, ToSchema)]
struct Generations {
    items: Vec<Generation>,
    next_cursor: Option<String>,
    /// The job that runs, else the one that began last.
    job: Option<Job>,
    /// What is wrong with the rows of generations, each with its remedy.
    faults: Vec<String>,
    /// Why the job cannot be shown, and what to do.
    job_fault: Option<String>,
}

#[derive(serde::Serialize, ToSchema)]
struct Cancelled {
    /// False: none was running.
    cancelled: bool,
}

/// The body of `POST …/keks/rotate`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `rotate` reads it")]
struct RotateBody {
    /// One category alone; all by default.
    #[schema(example = "market-data")]
    category: Option<String>,
}

/// List the generations of every category's key-encryption key, and the job on them.
#[utoipa::path(get, path = "/api/v1/admin/keks", tag = "Key hierarchy",
    responses((status = 200, description = "Every generation.", body = Generations)))]
async fn status(call: Call) -> Result<Answer, Refused> {
    let keks = call.house.vault.keks().await.map_err(refusal_of)?;
    // A row that cannot be read hides none of the generations.
    let (job, job_fault) = match call.house.vault.latest_job().await {
        Ok(job) => (job, None),
        Err(VaultError::Store(fault @ store::Error::Contradiction { .. })) => {
            (None, Some(format!("{fault} If it blocks others, `sealgate kek cancel` ends it.")))
        }
        Err(fault) => return Err(refusal_of(fault)),
    };
    let faults = call.house.vault.kek_faults().await.map_err(refusal_of)?;
    let now_ms = call.house.clock.unix_ms();
    Answer::ok(&Generations {
        faults,
        items: keks.iter().map(|kek| Generation::of(kek, now_ms)).collect(),
        next_cursor: None,
        job: job.as_ref().map(Job::of),
        job_fault,
    })
}

/// Show how far a job on the key hierarchy is.
#[utoipa::path(get, path = "/api/v1/admin/keks/jobs/{id}", tag = "Key hierarchy",
    params(("id" = String, Path)),
    responses((status = 200, description = "As far as it is.", body = Job)))]
async fn job(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let found = call.house.vault.job(identified(&id, WHAT)?).await.map_err(refusal_of)?;
    Answer::ok(&Job::of(&found.ok_or_else(|| Refused::not_found(WHAT))?))
}

/// Make a new active generation; what hangs on the former ones is moved by `rewrap`.
#[utoipa::path(post, path = "/api/v1/admin/keks/rotate", tag = "Key hierarchy",
    request_body = RotateBody,
    responses((status = 201, description = "The new generations.", body = Generations)))]
async fn rotate(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let category = members.text_up_to("category", 100).value();
    members.finish()?;
    let act = Act::begin(&call, "", None, &json!({"kek": "rotate", "category": category}))?;
    match call.house.vault.rotate_keks(category.as_deref()).await {
        Ok(keks) => {
            let now_ms = call.house.clock.unix_ms();
            let items: Vec<Generation> =
                keks.iter().map(|kek| Generation::of(kek, now_ms)).collect();
            act.done(201, Some(&json!({"generations": view::named(&keks)})));
            let (faults, next_cursor) = (Vec::new(), None);
            Answer::created(&Generations { items, next_cursor, job: None, job_fault: None, faults })
        }
        Err(VaultError::UnknownCategory) => {
            Err(act.refused(Refused::conflict(VaultError::UnknownCategory.to_string())))
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Move every data key from old generations to the active one, in the background.
#[utoipa::path(post, path = "/api/v1/admin/keks/rewrap", tag = "Key hierarchy",
    responses((status = 202, description = "It has begun.", body = Job)))]
async fn rewrap(call: Call, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    begin(&call, JobKind::Rewrap, None).await
}

/// Give every secret a new data key and seal its values anew, in the background.
#[utoipa::path(post, path = "/api/v1/admin/keks/rekey", tag = "Key hierarchy",
    responses((status = 202, description = "It has begun.", body = Job)))]
async fn rekey(call: Call, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    begin(&call, JobKind::Rekey, None).await
}

/// End the job that runs, on whichever node, as failed.
///
/// What it has moved stays moved; a new job goes on from there. Also ends a row of the table that
/// no node can work on.
#[utoipa::path(post, path = "/api/v1/admin/keks/cancel", tag = "Key hierarchy",
    responses((status = 200, description = "None runs now.", body = Cancelled)))]
async fn cancel(call: Call, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let act = Act::begin(&call, "", None, &json!({"job": "cancel"}))?;
    match call.house.vault.cancel_job(&call.caller.actor()).await {
        Ok(cancelled) => {
            act.done(200, Some(&json!({"cancelled": cancelled})));
            Answer::ok(&Cancelled { cancelled })
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

async fn begin(call: &Call, kind: JobKind, detail: Option<Value>) -> Result<Answer, Refused> {
    let wanted = json!({"job": kind.as_str(), "detail": detail});
    let act = Act::begin(call, "", None, &wanted)?;
    let detail = detail.map(|detail| detail.to_string());
    match call.house.vault.start_job(kind, &call.caller.actor(), detail).await {
        Ok(job) => {
            let job = Job::of(&job);
            act.done(202, Some(&json!({"job": job})));
            Answer::accepted(&job)
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

const WHAT: &str = "job";
