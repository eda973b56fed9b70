//! `…/admin/operators`: the accounts of the console, for admins. Made and reset by an invitation,
//! which is shown once; password and codes are chosen by whoever holds it.
//! Must never show a password's hash, a code's secret, nor anything that could be tried.

mod view;

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::view::{Operator, alterable};
use super::act::Act;
use super::answer::{Answer, Page};
use super::call::{Call, identified};
use super::caller::{Caller, Errand};
use super::guard::is_due;
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::sent::Sent;
use super::session::refusal_of;
use super::words;
use crate::client::Role;
use crate::clock::rfc3339;
use crate::operators::{Invited, MOST_NAME, is_name};
use crate::refusal::Refusal;
use crate::store::StandingOperator;

const WHAT: &str = "operator";
/// The others may do nothing on this face.
const ROLES: [Role; 3] = [Role::Admin, Role::Operator, Role::Auditor];
const LONGEST_EMAIL: usize = 254;
const EDITED: &str = "The row of this operator is not as Sealgate left it: edited in the database, \
                      it signs nobody in. Remove the operator, and add a new one.";

/// For admins.
pub(super) fn administering() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(invite))
        .routes(routes!(show))
        .routes(routes!(change))
        .routes(routes!(remove))
        .routes(routes!(reset))
}

/// The body of `POST …/operators`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `invite` reads it")]
struct NewOperator {
    /// What is typed to sign in; taken in lower case.
    #[schema(pattern = "^[a-z0-9][a-z0-9._@+-]{0,63}$")]
    name: String,
    email: Option<String>,
    role: words::RoleOfOperator,
}

/// The body of `PUT …/operators/{id}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `change` reads it")]
struct OperatorChange {
    email: Option<String>,
    /// Another one ends every session.
    role: Option<words::RoleOfOperator>,
}

/// An operator with an invitation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; the invitation is laid beside")]
struct OperatorInvited {
    /// Shown this once: whoever holds it chooses password and codes.
    #[schema(pattern = "^sgi_[0-9A-Za-z_-]{43}$")]
    invitation: String,
    operator: Operator,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// The same without it, as it is kept for a repeat.
#[derive(Serialize)]
struct Invitation {
    operator: Operator,
    expires_at: String,
}

/// A page of operators, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct Operators {
    items: Vec<Operator>,
    next_cursor: Option<String>,
}

/// List operators, newest first.
#[utoipa::path(get, path = "/api/v1/admin/operators", tag = "Operators",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Operators)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    query.finish()?;
    let rows = call.house.operators.page(after, limit + 1).await.map_err(refusal_of)?;
    let (rows, next_cursor) = page::split(rows, limit, |standing| standing.row.id.to_string());
    let now_ms = call.house.clock.unix_ms();
    let items: Vec<Operator> = rows.iter().map(|one| Operator::of(one, now_ms)).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show an operator.
#[utoipa::path(get, path = "/api/v1/admin/operators/{id}", tag = "Operators",
    params(("id" = String, Path)),
    responses((status = 200, description = "The operator.", body = Operator)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let standing = standing(&call, identified(&id, WHAT)?).await?;
    Answer::ok(&Operator::of(&standing, call.house.clock.unix_ms()))
}

/// Invite an operator.
///
/// Whoever holds the invitation chooses a password and sets up an authenticator app. An admin is
/// invited with a fresh code alone, and the first operator is one.
#[utoipa::path(post, path = "/api/v1/admin/operators", tag = "Operators",
    request_body = NewOperator,
    responses((status = 201, description = "Invited. `invitation` is shown this once.",
        body = OperatorInvited)))]
async fn invite(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let name = members.text_up_to("name", MOST_NAME);
    let role = members.word("role", &ROLES, Role::as_str);
    members.required("name", &name);
    members.required("role", &role);
    let email = email(&mut members).flatten();
    let name = name.value().unwrap_or_default().trim().to_lowercase();
    if !name.is_empty() && !is_name(&name) {
        let what = "has letters, digits and . _ @ + - alone, and begins with a letter or digit";
        members.fault("name", what);
    }
    members.finish()?;
    let Some(role) = role.value() else {
        return Err(Refused::internal("a role that is required is gone"));
    };
    check_first(&call, role).await?;
    call.demand_step_up_for(role)?;
    let wanted = json!({"name": name, "role": role.as_str(), "email": email});
    let act = Act::begin(&call, "", None, &json!({"operator": wanted}))?;
    let by = call.caller.actor();
    match call.house.operators.invite((name, email), role, &by).await {
        Ok(invited) => {
            act.done(201, Some(&alterable(&invited.row)));
            shown_once(&call, invited)
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Change what an operator may do, or where he is written to.
#[utoipa::path(put, path = "/api/v1/admin/operators/{id}", tag = "Operators",
    params(("id" = String, Path)), request_body = OperatorChange,
    responses((status = 200, description = "As it stands now.", body = Operator)))]
async fn change(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let mut members = sent.members()?;
    members.fixed("name", "remove the operator and add one of the other name");
    let email = email(&mut members);
    let role = members.word("role", &ROLES, Role::as_str);
    let role = members.unclearable("role", role);
    members.finish()?;
    let row = fitting(&call, id).await?.row;
    call.demand_step_up_for(row.role)?;
    call.demand_step_up_for(role.unwrap_or(row.role))?;
    let mut wanted = row.clone();
    wanted.role = role.unwrap_or(wanted.role);
    wanted.email = email.clone().unwrap_or(wanted.email);
    let act = Act::begin(&call, "", Some(alterable(&row)), &alterable(&wanted))?;
    match call.house.operators.alter(id, email, role).await {
        Ok(row) => {
            act.done(200, Some(&alterable(&row)));
            let standing = StandingOperator { row, fits: true };
            Answer::ok(&Operator::of(&standing, call.house.clock.unix_ms()))
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Remove an operator; every session of his ends, and his trail stays.
#[utoipa::path(delete, path = "/api/v1/admin/operators/{id}", tag = "Operators",
    params(("id" = String, Path)), responses((status = 204, description = "Gone.")))]
async fn remove(call: Call, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id = identified(&id, WHAT)?;
    // One whose row cannot be read is removed without a look at it.
    let before = match call.house.operators.standing(id).await {
        Ok(Some(standing)) => {
            let role = if standing.fits { standing.row.role } else { Role::Admin };
            call.demand_step_up_for(role)?;
            alterable(&standing.row)
        }
        Ok(None) => return Err(Refused::not_found(WHAT)),
        Err(_) => {
            call.demand_step_up()?;
            json!({"operator": {"id": id.to_string(), "unreadable": true}})
        }
    };
    let act = Act::begin(&call, "", Some(before), &json!({"removed": true}))?;
    match call.house.operators.remove(id).await {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Begin anew with an operator: password, codes and sessions are void, an invitation follows.
#[utoipa::path(post, path = "/api/v1/admin/operators/{id}/reset", tag = "Operators",
    params(("id" = String, Path)),
    responses((status = 201, description = "Void. `invitation` is shown this once.",
        body = OperatorInvited)))]
async fn reset(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    sent.members()?.finish()?;
    let row = fitting(&call, id).await?.row;
    call.demand_step_up_for(row.role)?;
    let act = Act::begin(&call, "", Some(alterable(&row)), &json!({"reset": true}))?;
    match call.house.operators.reset(id).await {
        Ok(invited) => {
            act.done(201, Some(&alterable(&invited.row)));
            shown_once(&call, invited)
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// A session that an admin key made invites the first one, who can invite all others.
async fn check_first(call: &Call, role: Role) -> Result<(), Refused> {
    let Caller::ByKey(_, errand) = &call.caller else { return Ok(()) };
    if *errand != Errand::SetUp || !is_due(&call.house, *errand).await? {
        return Err(Refused::forbidden("There is an operator already."));
    }
    if role != Role::Admin {
        return Err(Refusal::invalid_field("role", "of the first operator is admin").into());
    }
    Ok(())
}

fn email(members: &mut Members) -> Option<Option<String>> {
    use super::members::Patch;
    match members.text_up_to("email", LONGEST_EMAIL) {
        Patch::Keep => None,
        Patch::Clear => Some(None),
        Patch::Set(text) => {
            let parts = text.split_once('@');
            let is_whole = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
            if !parts.is_some_and(|(name, host)| is_whole(name) && is_whole(host)) {
                members.fault("email", "is no address");
            }
            Some(Some(text))
        }
    }
}

async fn standing(call: &Call, id: Uuid) -> Result<StandingOperator, Refused> {
    let found = call.house.operators.standing(id).await.map_err(refusal_of)?;
    found.ok_or_else(|| Refused::not_found(WHAT))
}

/// The same, for what builds on it.
async fn fitting(call: &Call, id: Uuid) -> Result<StandingOperator, Refused> {
    let standing = standing(call, id).await?;
    if standing.fits { Ok(standing) } else { Err(Refused::conflict(EDITED)) }
}

fn shown_once(call: &Call, invited: Invited) -> Result<Answer, Refused> {
    let Invited { row, invitation, expires_at } = invited;
    let standing = StandingOperator { row, fits: true };
    let operator = Operator::of(&standing, call.house.clock.unix_ms());
    let shown = Invitation { operator, expires_at: rfc3339(expires_at) };
    Ok(Answer::created(&shown)?.showing_once("invitation", invitation))
}
