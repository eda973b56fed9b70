//! `GET /api/v1/me` and `GET /api/v1/stats`: what a caller may do, what he has done and what is
//! left to him. Counts nothing. Must never tell anybody of others: without a key there are only
//! figures of the house as a whole.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, Networks, Right, Scopes, Shows};
use crate::clock::rfc3339;
use crate::corridor::{Answer, House, OwnCall};
use crate::limiter::Figures;
use crate::refusal::{Reason, Refusal};
use crate::store::ClientKeyRow;

pub(super) async fn me(mut call: OwnCall<'_>) -> Answer {
    let told = async {
        let Some(caller) = call.caller().await? else { return Err(call.nobody().await) };
        let limits = limits(&call, &caller.client).await?;
        Ok(seen(&caller.client, limits))
    };
    match told.await {
        Ok(body) => call.answered(StatusCode::OK, body.to_string().into_bytes()),
        Err(refusal) => call.refused(&refusal),
    }
}

pub(super) async fn stats(mut call: OwnCall<'_>) -> Answer {
    let told = async {
        let caller = call.caller().await?;
        let house = call.rooms();
        let Some(client) = caller.map(|caller| caller.client).filter(|client| !client.is_page())
        else {
            return Ok(json!({
                "uptime_seconds": house.metrics.uptime_seconds(),
                "providers": house.catalogue.now().iter().count(),
                "calls_under_way": house.limiter.in_flight(),
            }));
        };
        let row = row(house, &client).await?;
        let row = row.as_ref();
        Ok(json!({
            "requests": row.map_or(0, |row| row.request_count),
            "last_used_at": row.and_then(|row| row.last_used_at).map(rfc3339),
            "last_used_endpoint": row.and_then(|row| row.last_used_endpoint.as_deref()),
            "last_used_address": row.and_then(|row| row.last_used_address.as_deref()),
            "limits": limits(&call, &client).await?,
        }))
    };
    match told.await {
        Ok(body) => call.answered(StatusCode::OK, body.to_string().into_bytes()),
        Err(refusal) => call.refused(&refusal),
    }
}

/// What he may do as he is: of a token that is what it and its client key both allow.
fn seen(client: &Client, limits: Value) -> Value {
    let (shows, id) = match &client.shows {
        Shows::Key => ("key", Some(client.id.to_string())),
        Shows::Token(_) => ("token", Some(client.id.to_string())),
        Shows::Page => ("page", None),
    };
    let rights = &client.rights;
    let token = client.token();
    let texts = |scopes: &Scopes| scopes.texts().map(str::to_owned).collect::<Vec<String>>();
    let tier = token.and_then(|token| token.tier).filter(|tier| tier.rank() < rights.tier.rank());
    let of_token = token.and_then(|token| token.scopes.as_ref());
    let scopes = match (&rights.scopes, of_token) {
        (Some(own), Some(narrower)) => Some(own.met(narrower)),
        (own, of_token) => own.as_ref().or(of_token).map(texts),
    };
    let address = token.and_then(|token| token.address.as_ref()).map(Networks::texts);
    let origin = token.and_then(|token| token.origin.clone()).map(|origin| vec![origin]);
    let own_networks = || rights.allowed_ips.as_ref().map(Networks::texts);
    let methods = match (client.may(Right::Proxy), client.may(Right::ProxyRead)) {
        (true, _) => json!(["*"]),
        (false, true) => json!(["GET", "HEAD"]),
        (false, false) => json!([]),
    };
    let secrets: BTreeMap<&str, &str> =
        rights.secrets.iter().map(|(provider, name)| (&**provider, &**name)).collect();
    json!({
        "id": id,
        "name": client.name,
        "shows": shows,
        "role": rights.role.as_str(),
        "tier": tier.unwrap_or(rights.tier).as_str(),
        "methods": methods,
        "scopes": scopes,
        "allowed_ips": address.clone().or_else(own_networks),
        "allowed_origins": origin.or_else(|| rights.allowed_origins.clone()),
        "secrets": secrets,
        "expires_at": client.expires_at_ms.map(rfc3339),
        "monthly_quota": rights.monthly_quota,
        "max_concurrent": rights.max_concurrent,
        // What a token has less than its client key.
        "token": token.map(|token| json!({
            "id": token.id.to_string(),
            "tier": token.tier.map(crate::client::Tier::as_str),
            "scopes": token.scopes.as_ref().map(texts),
            "origin": token.origin,
            "address": address.as_ref().and_then(|networks| networks.first()),
        })),
        "limits": limits,
    })
}

/// What is left in the window and in the month; null where limits are switched off.
async fn limits(call: &OwnCall<'_>, client: &Client) -> Result<Value, Refusal> {
    let house = call.rooms();
    let left = house.limiter.left(client, call.address()).await.map_err(|fault| {
        tracing::error!(%fault, "a monthly quota could not be read");
        Refusal::new(Reason::Overloaded, "The database does not answer; try again.")
    })?;
    let Some(left) = left else { return Ok(Value::Null) };
    let figures = |figures: Figures| {
        json!({
            "limit": figures.quota,
            "used": figures.used,
            "remaining": figures.remaining,
            "reset_at": rfc3339(figures.reset_unix_seconds.saturating_mul(1000)),
        })
    };
    let mut told = figures(left.window);
    if let Some(told) = told.as_object_mut() {
        told.insert(String::from("window_seconds"), house.limiter.window_seconds().into());
        told.insert(String::from("month"), left.month.map(figures).into());
    }
    Ok(told)
}

/// What admins see of it, too; none for a page.
async fn row(house: &House, client: &Client) -> Result<Option<ClientKeyRow>, Refusal> {
    if client.is_page() {
        return Ok(None);
    }
    house.roster.row(client.id).await.map_err(|fault| {
        tracing::error!(%fault, "a client key could not be read");
        let detail = "The database does not answer; try again.";
        Refusal::new(Reason::Overloaded, detail)
    })
}
