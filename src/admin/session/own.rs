//! What an operator does with his own session: shows a fresh code, takes another password, takes
//! new recovery codes. Each asks for a code, which is used up by it.
//! Must never be done by a client key, which has no codes.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::caller::Caller;
use super::super::cookie;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::super::visit::{note, whence};
use super::invitation::{answer, words};
use super::view::Session;
use super::{count, refused_of, seen, session_id};
use crate::operators::{OperatorFault, Signed};
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;

/// The body of `POST …/session/step-up` and of `…/recovery-codes`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `code` reads it")]
pub(super) struct FreshCode {
    /// Of the authenticator app, not used before.
    #[schema(example = "123456")]
    code: String,
}

/// The body of `PUT …/session/password`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `change_password` reads it")]
pub(super) struct NewPassword {
    old: String,
    /// At least twelve characters; not the name, and none of those that are tried first.
    #[schema(min_length = 12)]
    new: String,
    /// Of the authenticator app, not used before.
    code: String,
}

/// Recovery codes, each good for one sign-in.
#[derive(Serialize, ToSchema)]
pub(super) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Show a fresh code, for what hurts.
///
/// For five minutes what is refused with `step_up_required` may be done. The session goes on under
/// a new id.
#[utoipa::path(post, path = "/api/v1/session/step-up", tag = "Session", request_body = FreshCode,
    responses((status = 200, description = "Shown.", body = Session)))]
pub(super) async fn step_up(
    call: Call,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let code = code(&sent)?;
    let signed = signed(&call)?;
    let from = whence(&call.trace, &headers);
    let cookie = call.house.operators.step_up(signed, &code, &from).await;
    let cookie = cookie.map_err(|fault| failed(&call, fault, "step_up_failed"))?;
    noted(&call, 200, json!({"event": "stepped_up", "session": session_id(&cookie)}))?;
    let mut response = Answer::ok(&seen(&call.house, &cookie.signed))?.into_response();
    cookie::put(response.headers_mut(), &cookie.value, call.house.is_under_tls);
    Ok(response)
}

/// Take another password.
///
/// Every other session of the operator ends; this one goes on under a new id.
#[utoipa::path(put, path = "/api/v1/session/password", tag = "Session",
    request_body = NewPassword, responses((status = 204, description = "It holds from now on.")))]
pub(super) async fn change_password(
    call: Call,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let mut members = sent.members()?;
    let typed = ["old", "new", "code"].map(|name| {
        let member = members.secret(name);
        members.required(name, &member);
        member.value()
    });
    members.finish()?;
    let [Some(old), Some(new), Some(code)] = typed else {
        return Err(Refused::internal("a member that is required is gone"));
    };
    let signed = signed(&call)?;
    let from = whence(&call.trace, &headers);
    let cookie = call.house.operators.change_password(signed, [old, new, code], &from).await;
    let cookie = cookie.map_err(|fault| {
        if let OperatorFault::Weak(what) = fault {
            return Refusal::invalid_field("new", what).into();
        }
        failed(&call, fault, "password_change_failed")
    })?;
    noted(&call, 204, json!({"event": "password_changed", "session": session_id(&cookie)}))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookie::put(response.headers_mut(), &cookie.value, call.house.is_under_tls);
    Ok(response)
}

/// Take ten new recovery codes; those before are none any more.
#[utoipa::path(post, path = "/api/v1/session/recovery-codes", tag = "Session",
    request_body = FreshCode,
    responses((status = 200, description = "Shown this once.", body = RecoveryCodes)))]
pub(super) async fn renew_recovery(call: Call, sent: Sent) -> Result<Response, Refused> {
    let code = code(&sent)?;
    let signed = signed(&call)?;
    let codes = call.house.operators.renew_recovery(signed, &code).await;
    let codes = codes.map_err(|fault| failed(&call, fault, "recovery_renewal_failed"))?;
    noted(&call, 200, json!({"event": "recovery_codes_renewed"}))?;
    Ok(answer(words(b"{\"recovery_codes\":", &codes, b"}")))
}

fn signed(call: &Call) -> Result<&Signed, Refused> {
    match &call.caller {
        Caller::Operator(signed) => Ok(signed),
        Caller::Local | Caller::Key(_) | Caller::ByKey(..) => {
            Err(Refused::forbidden("Only an operator who is signed in has a session of his own."))
        }
    }
}

fn code(sent: &Sent) -> Result<SecretBytes, Refused> {
    let mut members = sent.members()?;
    let code = members.secret("code");
    members.required("code", &code);
    members.finish()?;
    code.value().ok_or_else(|| Refused::internal("a code that is required is gone"))
}

fn noted(call: &Call, status: u16, detail: serde_json::Value) -> Result<(), Refused> {
    note((&call.house, &call.trace), call.caller.actor_ref(), (status, None), detail)
}

fn failed(call: &Call, fault: OperatorFault, event: &'static str) -> Refused {
    count(&call.house, call.trace.address(), &fault);
    if let OperatorFault::Wrong { what, .. } = &fault {
        let detail = json!({"event": event, "wrong": what});
        let outcome = (401, Some(Reason::Unauthorized));
        let whose = call.caller.actor_ref();
        if let Err(unwritten) = note((&call.house, &call.trace), whose, outcome, detail) {
            return unwritten;
        }
    }
    refused_of(&call.house, fault)
}
