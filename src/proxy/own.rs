//! The callers' own paths, beside the providers: names that no provider may take. Health, tokens
//! and the keys that sign them, what a caller may do and has done. Must never forward anything, and
//! never take a path from a provider that is addressed by its host.

mod form;
mod market;
mod me;
mod oauth;
mod tokens;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::corridor::{self, Answer, AnswerBody, Corridor, OwnCall, Raw};
use crate::provider::RESERVED_NAMES;
use crate::refusal::{Reason, Refusal};
use crate::roster::{TOO_MANY, TokenFault};
use crate::vault::{Published, VaultError};

/// What is asked of the house itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Preflight,
    Health,
    /// A token for a client key.
    Token,
    /// The same, as OAuth 2.0 has it.
    OauthToken,
    /// The public halves of the keys that sign tokens.
    SigningKeys,
    Me,
    Stats,
    /// Candles of a symbol.
    Market,
    Nothing,
}

/// None where the request is for a provider.
pub(super) fn asked(parts: &Parts, corridor: &Corridor) -> Option<Asked> {
    let domain = corridor.domain();
    // A preflight is never forwarded nor authenticated.
    let headers = &parts.headers;
    if parts.method == Method::OPTIONS
        && headers.contains_key(http::header::ORIGIN)
        && headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return Some(Asked::Preflight);
    }
    let path = parts.uri.path();
    let name = path.strip_prefix('/')?.split('/').next()?;
    if !RESERVED_NAMES.contains(&name) || (!domain.is_empty() && is_host_form(parts, domain)) {
        return None;
    }
    Some(match path {
        "/healthz" => Asked::Health,
        "/api/v1/tokens" => Asked::Token,
        "/oauth/token" => Asked::OauthToken,
        "/.well-known/jwks.json" => Asked::SigningKeys,
        "/api/v1/me" => Asked::Me,
        "/api/v1/stats" => Asked::Stats,
        path if path.starts_with(market::PATH) => Asked::Market,
        _ => Asked::Nothing,
    })
}

pub(super) async fn answer(asked: Asked, raw: Raw, corridor: &Corridor) -> Answer {
    if let Some(no) = wrong_method(asked, &raw.parts.method) {
        return no;
    }
    match asked {
        Asked::Preflight => {
            let detail = "No page of this origin may call the proxy: list the origin in \
                          [[browser.origins]] of the settings; a key's allowed_origins alone do \
                          not let a page call.";
            let no = || corridor::refused(&Refusal::new(Reason::Forbidden, detail));
            corridor.preflight(&raw.parts).unwrap_or_else(no)
        }
        Asked::Health => {
            let mut answer = Answer::new(AnswerBody::own(br#"{"status":"ok"}"#.to_vec()));
            let json = HeaderValue::from_static("application/json");
            answer.headers_mut().insert(CONTENT_TYPE, json);
            answer
        }
        Asked::Token => {
            let answer = tokens::answer(OwnCall::new(corridor, raw)).await;
            corridor.once_on_disk(answer).await
        }
        Asked::OauthToken => {
            let answer = oauth::answer(OwnCall::new(corridor, raw)).await;
            corridor.once_on_disk(answer).await
        }
        Asked::SigningKeys => signing_keys(OwnCall::new(corridor, raw)).await,
        Asked::Me => me::me(OwnCall::new(corridor, raw)).await,
        Asked::Stats => me::stats(OwnCall::new(corridor, raw)).await,
        Asked::Market => market::candles(OwnCall::new(corridor, raw)).await,
        Asked::Nothing => {
            let detail = "There is nothing at this path.";
            corridor::refused(&Refusal::new(Reason::NotFound, detail))
        }
    }
}

fn wrong_method(asked: Asked, method: &Method) -> Option<Answer> {
    let (fits, allowed) = match asked {
        Asked::Preflight | Asked::Nothing => (true, ""),
        Asked::Token | Asked::OauthToken => (*method == Method::POST, "POST"),
        Asked::Health | Asked::SigningKeys | Asked::Me | Asked::Stats | Asked::Market => {
            (matches!(*method, Method::GET | Method::HEAD), "GET,HEAD")
        }
    };
    if fits {
        return None;
    }
    let detail = "This path does not take this method; see Allow.";
    let mut answer = corridor::refused(&Refusal::new(Reason::MethodNotAllowed, detail));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    Some(answer)
}

/// A JSON Web Key Set. Anybody may have it, and keep it for a while: a new key is in it long before
/// it signs.
async fn signing_keys(call: OwnCall<'_>) -> Answer {
    let key = |key: &Published| {
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id,
            "x": key.public})
    };
    match call.rooms().vault.published_keys().await {
        Ok(keys) => {
            let keys: Vec<serde_json::Value> = keys.iter().map(key).collect();
            let body = json!({ "keys": keys }).to_string().into_bytes();
            let mut answer = call.answered(StatusCode::OK, body);
            let kept = HeaderValue::from_static("public, max-age=300");
            answer.headers_mut().insert(CACHE_CONTROL, kept);
            answer
        }
        Err(fault) => call.refused(&closed(&fault)),
    }
}

/// No signing key can be had.
fn closed(fault: &VaultError) -> Refusal {
    if matches!(fault, VaultError::Sealed) {
        let detail = "Sealgate is sealed; an administrator has to unseal it.";
        return Refusal::new(Reason::Sealed, detail);
    }
    tracing::error!(%fault, "no signing key can be had");
    let detail = "Sealgate has no key that signs tokens at the moment; its log says why, and an \
                  administrator learns from `sealgate doctor` what to do.";
    Refusal::new(Reason::Internal, detail)
}

/// Why there is no token, for its caller.
fn refusal_of(fault: TokenFault) -> Refusal {
    match fault {
        TokenFault::Invalid(fields) => Refusal::invalid(fields),
        TokenFault::Wider(member) => Refusal::new(Reason::Forbidden, member.sentence()),
        TokenFault::NoKey => {
            let detail = "Tokens are made with a client key; neither a token nor a page makes one.";
            Refusal::new(Reason::Forbidden, detail)
        }
        TokenFault::TooMany(exceeded) => {
            Refusal::rate_limited(exceeded, exceeded.sentence(TOO_MANY))
        }
        TokenFault::Ended => Refusal::unauthorized(),
        TokenFault::Store(fault) => {
            tracing::error!(%fault, "a token could not be stored");
            let detail = "The database does not answer, so no token can be made; try again.";
            Refusal::new(Reason::Overloaded, detail)
        }
        TokenFault::Crypto(fault) => {
            tracing::error!(%fault, "a token could not be made");
            Refusal::internal()
        }
    }
}

fn is_host_form(parts: &Parts, domain: &str) -> bool {
    let header = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(header);
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _port)| name));
    name.and_then(|name| name.strip_suffix(domain)).is_some_and(|under| under.ends_with('.'))
}
