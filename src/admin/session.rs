//! `…/session`: who is signed in, signing in and out, and what an operator does with his own
//! session. Whatever is wrong with what was typed is one and the same answer.
//! Must never answer or record a password, a code or what a browser holds; recovery codes and the
//! secret of codes leave once, to whoever they are for.

mod invitation;
mod own;
mod view;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::view::Session;
pub(super) use self::view::seen;
use super::answer::Answer;
use super::caller::{Caller, Errand};
use super::cookie;
use super::guard::{UNATTENDED, by_cookie, check_whence, is_due, known};
use super::house::House;
use super::refused::Refused;
use super::visit::Visit;
use crate::client::Right;
use crate::ledger::{ActorKind, ActorRef};
use crate::operators::{Cookie, Credentials, OperatorFault};
use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};
use crate::secret::SecretBytes;

/// Open to whoever comes.
pub(super) fn open() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(invitation::open))
        .routes(routes!(invitation::accept))
}

/// For operators who are signed in.
pub(super) fn own() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(own::step_up))
        .routes(routes!(own::change_password))
        .routes(routes!(own::renew_recovery))
}

/// What is typed to sign in; or an admin key, where there is no operator yet or the house is
/// sealed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `sign_in` reads it")]
struct SigningIn {
    name: Option<String>,
    password: Option<String>,
    /// Of the authenticator app, or a recovery code.
    #[schema(example = "123456")]
    code: Option<String>,
    admin_key: Option<String>,
}

/// Who is signed in.
///
/// Open: `state` says whether somebody has to set the console up first.
#[utoipa::path(get, path = "/api/v1/session", tag = "Session",
    responses((status = 200, description = "How it stands.", body = Session)))]
async fn show(visit: Visit) -> Result<Response, Refused> {
    // To look is no use of it.
    let mut headers = visit.headers.clone();
    headers.insert(UNATTENDED, HeaderValue::from_static("1"));
    let caller = by_cookie(&visit.house, &headers).await?;
    let held = cookie::held(&visit.headers, visit.house.is_under_tls);
    let session = match caller {
        Some(Caller::Operator(signed)) => seen(&visit.house, &signed),
        Some(Caller::ByKey(_, errand)) => {
            let ends_at = held.and_then(|held| visit.house.errands.ends_at(held));
            Session::by_key(&visit.house, errand, ends_at)
        }
        Some(Caller::Local | Caller::Key(_)) | None => {
            let has_any = visit.house.operators.has_any().await.map_err(refusal_of)?;
            Session::of_nobody(&visit.house, has_any)
        }
    };
    Ok(Answer::ok(&session)?.into_response())
}

/// Sign in.
///
/// With name, password and code. Whatever is wrong is the same 401; after several failures of a
/// name from one address each further try waits (429), and nobody else does. With `admin_key`, an
/// admin's client key, alone: while there is no operator (the session may invite the first one),
/// and while the house is sealed (it may unseal). The session is in a cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "Session", request_body = SigningIn,
    responses((status = 200, description = "Signed in.", body = Session)))]
async fn sign_in(visit: Visit) -> Result<Response, Refused> {
    let mut members = visit.sent.members()?;
    let by_key = members.secret("admin_key");
    let (name, password) = (members.text("name"), members.secret("password"));
    let code = members.secret("code");
    if let Some(key) = by_key.value() {
        members.finish()?;
        return sign_in_by_key(&visit, &key).await;
    }
    members.required("name", &name);
    members.required("password", &password);
    members.required("code", &code);
    members.finish()?;
    let (Some(name), Some(password), Some(code)) = (name.value(), password.value(), code.value())
    else {
        return Err(Refused::internal("a member that is required is gone"));
    };
    let typed = Credentials { name, password, code };
    match visit.house.operators.sign_in(typed, &visit.whence()).await {
        Ok(cookie) => begun(&visit, cookie, "signed_in"),
        Err(fault) => Err(failed(&visit, fault, "sign_in_failed")),
    }
}

/// Sign out.
///
/// Ends the session and takes the cookie away; where nobody is signed in, nothing.
#[utoipa::path(delete, path = "/api/v1/session", tag = "Session",
    responses((status = 204, description = "Nobody is signed in any more.")))]
async fn sign_out(visit: Visit) -> Result<Response, Refused> {
    let house = &visit.house;
    if let Some(held) = cookie::held(&visit.headers, house.is_under_tls) {
        if let Some(Caller::Operator(signed)) = by_cookie(house, &visit.headers).await? {
            house.operators.end(signed.session_id()).await.map_err(refusal_of)?;
            let actor = Caller::Operator(signed);
            visit.note(actor.actor_ref(), (204, None), json!({"event": "signed_out"}))?;
        }
        house.errands.end(held);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookie::take_away(response.headers_mut(), house.is_under_tls);
    Ok(response)
}

/// An admin key makes a session for one errand, where there is one.
async fn sign_in_by_key(visit: &Visit, key: &SecretBytes) -> Result<Response, Refused> {
    let house = &visit.house;
    let client = known(house, &visit.trace, key.expose()).await?;
    let caller = Caller::Key(Arc::clone(&client));
    check_whence(&caller, &visit.trace, &visit.headers)?;
    let refuse = |why: &'static str| {
        let outcome = (403, Some(Reason::Forbidden));
        let detail = json!({"event": "sign_in_by_key_refused", "why": why});
        visit.note(caller.actor_ref(), outcome, detail)?;
        Err(Refused::forbidden(why))
    };
    if !client.may(Right::Administer) || client.token().is_some() {
        return refuse("Only an admin's client key sets the console up.");
    }
    let errand = if house.vault.is_sealed() { Errand::Unseal } else { Errand::SetUp };
    if !is_due(house, errand).await? {
        return refuse("There are operators: sign in with name, password and code.");
    }
    let begun = house.errands.begin(client, errand, &house.clock).map_err(Refused::internal)?;
    let Some((value, ends_at)) = begun else {
        let detail = "Too many sessions were begun with admin keys; wait a quarter of an hour.";
        return Err(Refusal::new(Reason::Overloaded, detail).into());
    };
    visit.note(caller.actor_ref(), (200, None), json!({"event": "signed_in_by_key"}))?;
    let session = Session::by_key(house, errand, Some(ends_at));
    let mut response = Answer::ok(&session)?.into_response();
    cookie::put(response.headers_mut(), &value, house.is_under_tls);
    Ok(response)
}

/// The answer to whoever has a new session.
fn begun(visit: &Visit, cookie: Cookie, event: &'static str) -> Result<Response, Refused> {
    let house = &visit.house;
    let actor = of(&cookie);
    visit.note(actor, (200, None), json!({"event": event, "session": session_id(&cookie)}))?;
    let mut response = Answer::ok(&seen(house, &cookie.signed))?.into_response();
    cookie::put(response.headers_mut(), &cookie.value, house.is_under_tls);
    Ok(response)
}

fn session_id(cookie: &Cookie) -> String {
    cookie.signed.session_id().to_string()
}

fn of(cookie: &Cookie) -> ActorRef<'_> {
    let id = Some(cookie.signed.operator_id());
    ActorRef { kind: ActorKind::Operator, id, name: &cookie.signed.name }
}

/// The trail is told whose it was and what was wrong; whoever tried is not.
fn failed(visit: &Visit, fault: OperatorFault, event: &'static str) -> Refused {
    count(&visit.house, visit.trace.address(), &fault);
    if let OperatorFault::Wrong { who: Some((id, name)), what } = &fault {
        let actor = ActorRef { kind: ActorKind::Operator, id: Some(*id), name };
        let outcome = (401, Some(Reason::Unauthorized));
        let detail = json!({"event": event, "wrong": what});
        if let Err(unwritten) = visit.note(actor, outcome, detail) {
            return unwritten;
        }
    }
    refused_of(&visit.house, fault)
}

/// Who guesses passwords is a burst as who guesses keys is.
pub(super) fn count(house: &House, address: Option<IpAddr>, fault: &OperatorFault) {
    let is_guess = matches!(fault, OperatorFault::Wrong { .. } | OperatorFault::TooSoon { .. });
    if let Some(address) = address.filter(|_| is_guess) {
        house.roster.failed(address);
    }
}

/// With the moment at which the next try is taken.
pub(super) fn refused_of(house: &House, fault: OperatorFault) -> Refused {
    let OperatorFault::TooSoon { wait } = fault else { return refusal_of(fault) };
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let exceeded = Exceeded {
        limit: LimitKind::Client,
        quota: 1,
        used: 1,
        free_at_ms: house.clock.unix_ms().saturating_add_unsigned(wait_ms),
        retry_after_seconds: wait_ms.div_ceil(1000).max(1),
    };
    let detail = "After several failures the next try is taken later, each time twice as long.";
    Refusal::rate_limited(exceeded, detail.to_owned()).into()
}

pub(super) fn refusal_of(fault: OperatorFault) -> Refused {
    match fault {
        OperatorFault::Wrong { .. } | OperatorFault::Ended => Refusal::unauthorized().into(),
        OperatorFault::TooSoon { wait } => {
            let seconds = wait.as_secs().max(1);
            Refusal::new(Reason::Overloaded, "Try again later.").retry_after(seconds).into()
        }
        OperatorFault::Busy => {
            let detail = "Too many sign-ins are being checked at once; try again in a moment.";
            Refusal::new(Reason::Overloaded, detail).into()
        }
        OperatorFault::Sealed => {
            let detail = "Sealgate is sealed, so that no operator can be checked; an admin's client \
                          key opens a session that unseals, and so does `sealgate unseal`.";
            Refusal::new(Reason::Sealed, detail).into()
        }
        OperatorFault::Weak(what) => Refusal::invalid_field("password", what).into(),
        OperatorFault::NotFound => Refused::not_found("operator"),
        OperatorFault::NameTaken => Refused::conflict("An operator of this name is there already."),
        OperatorFault::Store(fault @ crate::store::Error::Contradiction { .. }) => {
            Refused::conflict(fault.to_string())
        }
        OperatorFault::Store(fault) => Refused::of_store(&fault),
        OperatorFault::Crypto(fault) => Refused::internal(fault),
    }
}
