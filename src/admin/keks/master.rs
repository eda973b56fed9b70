//! `POST …/master-key/rotate`: begins the move to another master key, which is a job like the
//! others, and is shown like them.
//! Must never take a key.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use std::sync::Arc;

use serde_json::json;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::house::House;
use super::super::refused::Refused;
use super::super::secrets::refusal_of;
use super::super::sent::Sent;
use super::view::Job;

/// For admins.
pub(in super::super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(rotate))
}

/// Move to a new master key of the same kind, or to the one that the settings name now.
#[utoipa::path(post, path = "/api/v1/admin/master-key/rotate", tag = "Key hierarchy",
    responses((status = 202, description = "It has begun.", body = Job)))]
async fn rotate(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let typed = members.secret("passphrase").value();
    members.finish()?;
    let act = Act::begin(&call, "", None, &json!({"job": "master_key"}))?;
    match call.house.vault.rotate_master(&call.caller.actor(), typed).await {
        Ok(job) => {
            let job = Job::of(&job);
            act.done(202, Some(&json!({"job": job})));
            Answer::accepted(&job)
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}
