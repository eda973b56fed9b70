//! `POST …/api-keys/{id}/tokens`: a short-lived token of a client key, for somebody who must not be
//! given the key. Whoever sees the token can use it, so this must never be easier than making the
//! key.

use axum::extract::Path;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::super::words;
use super::grant::{Grant, may_grant};
use super::wanted::name_bad_scopes;
use super::{WHAT, refusal_of, row};
use crate::client::Tier;
use crate::clock::rfc3339;
use crate::refusal::Refusal;
use crate::roster::{TOO_MANY, TokenFault, WantedToken, compiled};

/// The body of a new token; may be left out. Nothing in it may be wider than the client key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `issue_token` reads it")]
pub(super) struct NewToken {
    #[schema(example = json!(["polygon:GET:/v2/aggs/**"]))]
    scopes: Option<Vec<String>>,
    tier: Option<words::Tier>,
    /// The one page that may use it.
    #[schema(example = "https://app.example")]
    origin: Option<String>,
    /// The address or network from which alone it may be used.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// At most, and by default, `auth.max_token_seconds`.
    #[schema(default = 900, minimum = 1)]
    ttl_seconds: Option<u64>,
}

/// A token with the token itself.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenShown {
    /// Shown this once.
    #[schema(pattern = "^mdt_[0-9A-Za-z]{46}$")]
    token: String,
    #[serde(flatten)]
    rest: Token,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    #[schema(format = DateTime)]
    expires_at: String,
    /// The client key that it belongs to.
    client_key_id: String,
}

/// Make a short-lived token of a client key.
///
/// No wider than the key, it ends with the key: when that is revoked, deleted, expired or rotated
/// at once. What is done with it stands in the trail under the key's id.
#[utoipa::path(post, path = "/api/v1/admin/api-keys/{id}/tokens", tag = "Client keys",
    params(("id" = String, Path)), request_body = Option<NewToken>,
    responses((status = 201, description = "Made. `token` is shown this once.",
        body = TokenShown)))]
pub(in super::super) async fn issue_token(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let mut members = sent.members()?;
    let scopes = members.texts("scopes").value();
    name_bad_scopes(&mut members, scopes.as_deref().unwrap_or_default(), &call.house);
    let wanted = WantedToken {
        scopes,
        tier: members.word("tier", &Tier::ALL, Tier::as_str).value(),
        origin: members.text("origin").value(),
        address: members.text("address").value(),
        ttl_seconds: members
            .whole("ttl_seconds", 1, call.house.roster.most_token_seconds())
            .value(),
    };
    members.finish()?;
    let row = row(&call, id).await?;
    may_grant(&call.caller, &Grant::of(&row), &call.house.tiers)?;
    call.demand_step_up_for(row.role)?;
    let client = compiled(&row).map_err(refusal_of)?;

    let asked = json!({
        "client_key_id": id.to_string(),
        "token": {"scopes": wanted.scopes, "tier": wanted.tier.map(Tier::as_str),
            "origin": wanted.origin, "address": wanted.address,
            "ttl_seconds": wanted.ttl_seconds},
    });
    let act = Act::begin(&call, "", None, &asked)?;
    let issued = match call.house.roster.issue_token(&client, None, wanted, None).await {
        Ok(issued) => issued,
        Err(fault) => return Err(act.refused(refused(fault))),
    };
    let expires_at = rfc3339(issued.row.expires_at);
    let after = json!({"client_key_id": id.to_string(),
        "token": {"id": issued.row.id.to_string(), "expires_at": expires_at}});
    act.done(201, Some(&after));
    let shown = Token { expires_at, client_key_id: id.to_string() };
    Ok(Answer::created(&shown)?.showing_once("token", issued.token))
}

fn refused(fault: TokenFault) -> Refused {
    match fault {
        TokenFault::Invalid(fields) => Refusal::invalid(fields).into(),
        TokenFault::Wider(member) => Refused::forbidden(member.sentence()),
        TokenFault::NoKey => Refused::forbidden("Only a client key has tokens."),
        TokenFault::TooMany(exceeded) => {
            Refusal::rate_limited(exceeded, exceeded.sentence(TOO_MANY)).into()
        }
        TokenFault::Ended => {
            Refused::conflict("The client key is revoked or expired, so it has no tokens.")
        }
        TokenFault::Store(fault) => Refused::internal(fault),
        TokenFault::Crypto(fault) => Refused::internal(fault),
    }
}
