//! `…/session/invitation`: whoever holds an invitation is shown what his codes are made of, then
//! chooses a password and proves that his app shows the right codes. Shown here and nowhere else:
//! the secret of the codes, and once the recovery codes.
//! Must never go through anything that keeps answers.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use utoipa::ToSchema;

use super::super::answer::Wiped;
use super::super::cookie;
use super::super::refused::Refused;
use super::super::visit::Visit;
use super::super::words as sets;
use super::view::Session;
use super::{failed, of, seen, session_id};
use crate::secret::SecretBytes;

/// The body of `POST …/session/invitation`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `open` reads it")]
pub(super) struct Invitation {
    #[schema(example = "sgi_…")]
    invitation: String,
}

/// The body of `POST …/session/invitation/accept`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `accept` reads it")]
pub(super) struct Accepting {
    invitation: String,
    /// At least twelve characters; not the name, and none of those that are tried first.
    #[schema(min_length = 12)]
    password: String,
    /// What the app shows for the secret of the invitation.
    code: String,
}

/// What is offered with an invitation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `open` writes it")]
pub(super) struct Offer {
    name: String,
    role: sets::RoleOfOperator,
    /// For an authenticator app, in base 32.
    totp_secret: String,
    /// The same as a link, or as a picture of it.
    totp_uri: String,
}

/// A session with its operator's recovery codes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `accept` writes it")]
pub(super) struct Accepted {
    #[serde(flatten)]
    session: Session,
    /// Shown this once; each is good for one sign-in without the app.
    recovery_codes: Vec<String>,
}

/// Open an invitation: what codes are to be made of.
///
/// The same when it is asked again, until the invitation is accepted or ends.
#[utoipa::path(post, path = "/api/v1/session/invitation", tag = "Session",
    request_body = Invitation, responses((status = 200, description = "The offer.", body = Offer)))]
pub(super) async fn open(visit: Visit) -> Result<Response, Refused> {
    let mut members = visit.sent.members()?;
    let invitation = members.secret("invitation");
    members.required("invitation", &invitation);
    members.finish()?;
    let invitation = invitation.value().unwrap_or_else(|| SecretBytes::new(Vec::new()));
    let offered = visit.house.operators.open_invitation(&invitation).await;
    let offered = offered.map_err(|fault| failed(&visit, fault, "invitation_refused"))?;
    // Both are of a closed set of characters that need no escape.
    let (name, role) = (&offered.name, offered.role.as_str());
    let head = format!("{{\"name\":\"{name}\",\"role\":\"{role}\",\"totp_secret\":\"");
    Ok(answer(joined(&[
        head.as_bytes(),
        offered.secret.expose(),
        b"\",\"totp_uri\":\"",
        offered.uri.expose(),
        b"\"}",
    ])))
}

/// Accept an invitation: choose a password, and show the first code.
///
/// Signs in. The recovery codes are in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/session/invitation/accept", tag = "Session",
    request_body = Accepting,
    responses((status = 200, description = "Signed in.", body = Accepted)))]
pub(super) async fn accept(visit: Visit) -> Result<Response, Refused> {
    let mut members = visit.sent.members()?;
    let typed = ["invitation", "password", "code"].map(|name| {
        let member = members.secret(name);
        members.required(name, &member);
        member.value()
    });
    members.finish()?;
    let [Some(invitation), Some(password), Some(code)] = typed else {
        return Err(Refused::internal("a member that is required is gone"));
    };
    let house = &visit.house;
    let accepted = house.operators.accept(&invitation, [password, code], &visit.whence()).await;
    let (cookie, codes) = accepted.map_err(|fault| failed(&visit, fault, "invitation_failed"))?;
    let detail = json!({"event": "invitation_accepted", "session": session_id(&cookie)});
    visit.note(of(&cookie), (200, None), detail)?;
    let session = serde_json::to_string(&seen(house, &cookie.signed));
    let session = session.map_err(Refused::internal)?;
    let head = format!("{},\"recovery_codes\":", session.strip_suffix('}').unwrap_or_default());
    let mut response = answer(words(head.as_bytes(), &codes, b"}"));
    cookie::put(response.headers_mut(), &cookie.value, house.is_under_tls);
    Ok(response)
}

/// A list of plain words between a head and a tail.
pub(super) fn words(head: &[u8], words: &[SecretBytes], tail: &[u8]) -> SecretBytes {
    let mut parts: Vec<&[u8]> = vec![head, b"["];
    for (place, word) in words.iter().enumerate() {
        parts.push(if place == 0 { b"\"" } else { b",\"" });
        parts.push(word.expose());
        parts.push(b"\"");
    }
    parts.extend([&b"]"[..], tail]);
    joined(&parts)
}

/// Exactly as long as needed: a vector that grows leaves copies behind.
fn joined(parts: &[&[u8]]) -> SecretBytes {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    SecretBytes::new(whole)
}

/// Wiped when it has gone out, and kept for no repeat.
pub(super) fn answer(json: SecretBytes) -> Response {
    let mut response = Body::from(Bytes::from_owner(Wiped(json))).into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
