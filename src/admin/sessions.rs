//! `…/admin/sessions`: where operators are signed in, and the end of a session. Everybody sees and
//! ends his own; an admin those of all.
//! Must never show what a browser holds.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::act::Act;
use super::answer::{Answer, Page};
use super::call::{Call, identified};
use super::caller::Caller;
use super::house::House;
use super::members::{Members, Patch};
use super::page;
use super::refused::Refused;
use super::session::refusal_of;
use crate::client::Right;
use crate::clock::rfc3339;
use crate::store::ListedSession;

const WHAT: &str = "session";
/// In the place of an operator's id.
const OF_ALL: &str = "all";

/// For whoever may be signed in.
pub(super) fn own() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end))
}

/// Where an operator is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = OperatorSession)]
struct Shown {
    id: String,
    operator: Whose,
    address: Option<String>,
    user_agent: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// At most a minute late.
    #[schema(format = DateTime)]
    last_seen: String,
    #[schema(format = DateTime)]
    ends_at: String,
    /// The session of this call.
    current: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OperatorNamed)]
struct Whose {
    id: String,
    name: String,
}

/// A page of sessions, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct Sessions {
    items: Vec<Shown>,
    next_cursor: Option<String>,
}

/// List sessions, newest first.
///
/// One's own; an admin's `operator` names another one, or `all`. To a key or the local socket,
/// which have none, an admin's list is of all.
#[utoipa::path(get, path = "/api/v1/admin/sessions", tag = "Operators",
    params(("operator" = Option<String>, Query, description = "An operator's id, or `all`."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Sessions)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    let asked = match query.text("operator") {
        Patch::Set(text) if text == OF_ALL => Some(None),
        Patch::Set(text) => match Uuid::try_parse(&text) {
            Ok(id) => Some(Some(id)),
            Err(_) => {
                query.fault("operator", "is neither an operator's id nor `all`");
                None
            }
        },
        Patch::Keep | Patch::Clear => None,
    };
    query.finish()?;
    let own = own_id(&call);
    let is_admin = call.caller.may(Right::Administer);
    let of = match (asked, own) {
        (Some(of), own) if is_admin || of.is_some() && of == own => of,
        (Some(_), _) => return Err(Refused::forbidden("The sessions of others are an admin's.")),
        (None, Some(own)) => Some(own),
        (None, None) if is_admin => None,
        // A key has no sessions.
        (None, None) => Some(Uuid::nil()),
    };
    let rows = call.house.operators.sessions(of, after, limit + 1).await.map_err(refusal_of)?;
    let (rows, next_cursor) = page::split(rows, limit, |one| one.session.id.to_string());
    let current = current(&call);
    let items: Vec<Shown> = rows.into_iter().map(|one| shown(one, current)).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// End a session, at once and on every node.
#[utoipa::path(delete, path = "/api/v1/admin/sessions/{id}", tag = "Operators",
    params(("id" = String, Path)), responses((status = 204, description = "Ended.")))]
async fn end(call: Call, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id = identified(&id, WHAT)?;
    let found = call.house.operators.session(id).await.map_err(refusal_of)?;
    let Some(session) = found else { return Err(Refused::not_found(WHAT)) };
    let is_own = own_id(&call) == Some(session.operator_id);
    if !is_own && !call.caller.may(Right::Administer) {
        return Err(Refused::not_found(WHAT));
    }
    let before = json!({
        "session": id.to_string(), "operator": session.operator_id.to_string(),
    });
    let act = Act::begin(&call, "", Some(before), &json!({"ended": true}))?;
    match call.house.operators.end(id).await {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

fn own_id(call: &Call) -> Option<Uuid> {
    match &call.caller {
        Caller::Operator(signed) => Some(signed.operator_id()),
        Caller::Local | Caller::Key(_) | Caller::ByKey(..) => None,
    }
}

fn current(call: &Call) -> Option<Uuid> {
    match &call.caller {
        Caller::Operator(signed) => Some(signed.session_id()),
        Caller::Local | Caller::Key(_) | Caller::ByKey(..) => None,
    }
}

fn shown(listed: ListedSession, current: Option<Uuid>) -> Shown {
    let ListedSession { session, operator } = listed;
    Shown {
        id: session.id.to_string(),
        operator: Whose { id: session.operator_id.to_string(), name: operator },
        address: session.address,
        user_agent: session.user_agent,
        created_at: rfc3339(session.created_at),
        last_seen: rfc3339(session.last_seen_at),
        ends_at: rfc3339(session.ends_at),
        current: current == Some(session.id),
    }
}
