//! `POST /oauth/token`: the client credentials grant of OAuth 2.0 (RFC 6749, 4.4). The client's id
//! is that of its client key, its secret the key; what it gets is a signed JWT (RFC 9068) that
//! other services can check, and that dies here with its key like any token. Refusals have the
//! members of both worlds. Must never take a token for a secret.

use base64::Engine as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::form::{Form, decoded};
use super::{closed, refusal_of};
use crate::client::{Client, Tier};
use crate::corridor::{Answer, AnswerBody, Identified, OwnCall};
use crate::crypto::Signer;
use crate::policy;
use crate::refusal::{Reason, Refusal};
use crate::roster::{TokenFault, WantedToken};
use crate::secret::SecretBytes;
use crate::store::ClientTokenRow;

/// RFC 6749, 5.2; and what happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    InvalidRequest,
    InvalidClient,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
    TemporarilyUnavailable,
    ServerError,
}

struct No {
    code: Code,
    refusal: Refusal,
}

/// What a client shows: its id and its key.
struct Shown {
    id: String,
    key: SecretBytes,
}

/// Longer ones would not fit into a header.
const MOST_SCOPE_BYTES: usize = 2000;

pub(super) async fn answer(mut call: OwnCall<'_>) -> Answer {
    match grant(&mut call).await {
        Ok(body) => call.answered(StatusCode::OK, body),
        Err(no) => refused(call, &no),
    }
}

async fn grant(call: &mut OwnCall<'_>) -> Result<Vec<u8>, No> {
    let body = call.body().await.map_err(|refusal| No { code: Code::InvalidRequest, refusal })?;
    if !is_form(call.parts(), body.expose()) {
        let detail = "The body must be form-encoded, as OAuth 2.0 has it: Content-Type: \
                      application/x-www-form-urlencoded, and grant_type=client_credentials with \
                      client_id and client_secret. JSON is not read here.";
        return Err(Code::InvalidRequest.of(detail));
    }
    let form = Form::read(body.expose())
        .ok_or_else(|| Code::InvalidRequest.of("A member of the body is given twice."))?;
    let basic = call.parts().headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = shown(basic, &form)?;
    let caller = identified(call, shown).await?;
    match form.text("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            let detail = "The one grant type here is client_credentials.";
            return Err(Code::UnsupportedGrantType.of(detail));
        }
        None => return Err(Code::InvalidRequest.of("grant_type is missing.")),
    }
    let scopes = form
        .text("scope")
        .map(|text| text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect());
    let wanted = WantedToken { scopes, ..WantedToken::default() };
    let asked = wanted.scopes.as_deref().unwrap_or_default();
    if let Some((index, fault)) =
        policy::faults_of_scopes(asked, &call.rooms().catalogue.now()).first()
    {
        let which = index + 1;
        return Err(Code::InvalidScope.of(format!("The scope in place {which} {fault}.")));
    }
    let signer = call.rooms().vault.signer().await.map_err(|fault| of_refusal(closed(&fault)))?;
    call.begin_record().map_err(of_refusal)?;
    issue(call, &caller, wanted, &signer).await
}

async fn issue(
    call: &OwnCall<'_>,
    caller: &Identified,
    wanted: WantedToken,
    signer: &Signer,
) -> Result<Vec<u8>, No> {
    let house = call.rooms();
    let client = &*caller.client;
    let own = || client.rights.scopes.as_ref().map(|own| own.texts().map(str::to_owned).collect());
    let scopes: Option<Vec<String>> = wanted.scopes.clone().or_else(own);
    let scope = scopes.map(|scopes| scopes.join(" "));
    if scope.as_ref().is_some_and(|scope| scope.len() > MOST_SCOPE_BYTES) {
        let detail = "The scopes are too long for a signed token; ask for fewer in `scope`.";
        return Err(Code::InvalidScope.of(detail));
    }
    let issuer = &house.settings.public_url;
    let sign = |row: &ClientTokenRow| {
        let claims = claims(issuer, client, (row, scope.as_deref()));
        signer.jwt(claims.to_string().as_bytes())
    };
    let issuing = house.roster.issue_token(client, caller.proof.as_ref(), wanted, Some(&sign));
    let issued = issuing.await.map_err(|fault| match fault {
        TokenFault::Invalid(fields) => {
            let first = fields.first().map(|fault| format!("scope: {}", fault.fault));
            Code::InvalidScope.of(first.unwrap_or_default())
        }
        TokenFault::Wider(member) => Code::InvalidScope.of(member.sentence()),
        TokenFault::Ended => Code::InvalidClient.because(no_such_client()),
        TokenFault::NoKey => Code::UnauthorizedClient.because(refusal_of(fault)),
        TokenFault::TooMany(_) | TokenFault::Store(_) | TokenFault::Crypto(_) => {
            of_refusal(refusal_of(fault))
        }
    })?;
    let token = issued.token.expose_str().unwrap_or_default();
    let seconds = (issued.row.expires_at - issued.row.created_at) / 1000;
    let mut body = json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds});
    if let (Some(scope), Some(members)) = (scope, body.as_object_mut()) {
        members.insert(String::from("scope"), scope.into());
    }
    Ok(body.to_string().into_bytes())
}

fn claims(
    issuer: &str,
    client: &Client,
    (row, scope): (&ClientTokenRow, Option<&str>),
) -> serde_json::Value {
    let id = client.id.to_string();
    let mut claims = json!({
        "iss": issuer,
        "aud": issuer,
        "sub": id,
        "client_id": id,
        "iat": row.created_at.div_euclid(1000),
        "exp": row.expires_at.div_euclid(1000),
        "jti": row.id.to_string(),
        "role": client.rights.role.as_str(),
        "tier": row.tier.map_or(client.rights.tier.as_str(), Tier::as_str),
    });
    if let (Some(scope), Some(members)) = (scope, claims.as_object_mut()) {
        members.insert(String::from("scope"), scope.into());
    }
    claims
}

/// In Basic authentication or in the body, not in both.
fn shown(basic: Option<&[u8]>, form: &Form) -> Result<Shown, No> {
    let in_body = (form.text("client_id"), form.value("client_secret"));
    let Some(header) = basic else {
        let (Some(id), Some(key)) = in_body else {
            let detail =
                "Send client_id and client_secret, in the body or in Basic authentication.";
            return Err(Code::InvalidClient.because(Refusal::new(Reason::Unauthorized, detail)));
        };
        return Ok(Shown { id: id.to_owned(), key: SecretBytes::copy_of(key.expose()) });
    };
    if in_body.1.is_some() {
        let detail = "The request authenticates its client twice; do it once.";
        return Err(Code::InvalidRequest.of(detail));
    }
    let shown = of_basic(header);
    let fits = |shown: &Shown| in_body.0.is_none_or(|id| id == shown.id);
    shown.filter(fits).ok_or_else(|| Code::InvalidClient.because(no_such_client()))
}

/// One sentence for whatever is wrong with the two.
fn no_such_client() -> Refusal {
    let detail = "client_id must be the id of a client key (not its name) and client_secret that key, \
                  and the key one that may be used now.";
    Refusal::new(Reason::Unauthorized, detail)
}

/// Whoever sends JSON under another name, as some programs do, is told so, too.
fn is_form(parts: &Parts, body: &[u8]) -> bool {
    let is_named = parts.headers.get(CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    body.is_empty() || (is_named && !body.trim_ascii_start().starts_with(b"{"))
}

fn of_basic(header: &[u8]) -> Option<Shown> {
    let (scheme, rest) = header.trim_ascii().split_at_checked(b"basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let plain = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii()).ok()?;
    let plain = SecretBytes::new(plain);
    let mut halves = plain.expose().splitn(2, |byte| *byte == b':');
    let id = String::from_utf8(decoded(halves.next()?)).ok()?;
    Some(Shown { id, key: SecretBytes::new(decoded(halves.next()?)) })
}

async fn identified(call: &mut OwnCall<'_>, shown: Shown) -> Result<Identified, No> {
    let found = call.known(shown.key.expose()).await.map_err(|refusal| {
        // A key that may not be used from there.
        let is_elsewhere = refusal.reason == Reason::Forbidden;
        let code =
            if is_elsewhere { Code::UnauthorizedClient } else { Code::TemporarilyUnavailable };
        No { code, refusal }
    })?;
    let own = found.filter(|found| found.client.id.to_string() == shown.id);
    let Some(caller) = own.filter(|found| found.client.token().is_none()) else {
        let _slowed = call.stranger().await;
        return Err(Code::InvalidClient.because(no_such_client()));
    };
    Ok(caller)
}

fn refused(call: OwnCall<'_>, no: &No) -> Answer {
    let refusal = &no.refusal;
    let mut answer = call.refused(refusal);
    let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let body = json!({
        "error": no.code.as_str(),
        "error_description": refusal.detail,
        "code": refusal.reason.code(),
        "detail": refusal.detail,
        "request_id": id,
    });
    *answer.body_mut() = AnswerBody::own(body.to_string().into_bytes());
    let headers = answer.headers_mut();
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if no.code == Code::InvalidClient {
        let basic = HeaderValue::from_static("Basic realm=\"sealgate\"");
        headers.insert(WWW_AUTHENTICATE, basic);
    }
    answer
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// A 400, as the standard has it.
    fn of(self, detail: impl Into<std::borrow::Cow<'static, str>>) -> No {
        self.because(Refusal::bad_request(detail))
    }

    fn because(self, refusal: Refusal) -> No {
        No { code: self, refusal }
    }
}

/// Nothing that the client did.
fn of_refusal(refusal: Refusal) -> No {
    let is_passing = matches!(
        refusal.reason,
        Reason::Sealed | Reason::Overloaded | Reason::AuditUnavailable | Reason::RateLimited
    );
    let code = if is_passing { Code::TemporarilyUnavailable } else { Code::ServerError };
    code.because(refusal)
}
