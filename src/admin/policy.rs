//! `POST …/policy/explain`: would this client key be allowed that call, and which rule says so?
//! Asks the evaluator that every call goes through. Sends nothing anywhere.
//! Must never count as a use of the key.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::keys::name_bad_scopes;
use super::members::Members;
use super::refused::Refused;
use super::sent::Sent;
use crate::client::{Client, Role, Tier};
use crate::corridor;
use crate::policy::{self, Verdict};
use crate::provider::{BaseUrl, Provider};
use crate::roster;
use crate::store::{ClientKeyRow, StandingKey};

pub(super) fn explaining() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// The call that is wondered about.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `explain` reads it")]
struct Question {
    /// The id of a client key, or in its place the role and scopes that one would have.
    key_id: Option<String>,
    role: Option<super::words::Role>,
    #[schema(example = json!(["polygon:GET:/v2/aggs/**"]))]
    scopes: Option<Vec<String>>,
    #[schema(example = "GET")]
    method: String,
    /// As a caller writes it, or the provider's own.
    #[schema(example = "/polygon/v2/aggs/ticker/AAPL")]
    url: String,
    /// Where it would come from; without it, `allowed_ips` is left out of the decision.
    address: Option<String>,
    /// The page it would come from; without it, `allowed_origins` is left out of the decision.
    origin: Option<String>,
    /// The secret that it would name.
    secret: Option<String>,
}

/// What was decided, and by what.
#[derive(Serialize, ToSchema)]
struct Explained {
    #[schema(value_type = String, example = "allow")]
    decision: &'static str,
    /// A scope as it was written, or the member of the client key that decided.
    #[schema(example = "polygon:GET:/v2/aggs/**")]
    rule: String,
    reason: String,
}

/// Explain a decision.
///
/// The same evaluator as for every call; nothing is sent. Limits, and whether the provider has a
/// usable secret, are no part of it.
#[utoipa::path(post, path = "/api/v1/admin/policy/explain", tag = "Client keys",
    request_body = Question,
    responses((status = 200, description = "The decision.", body = Explained),
        (status = 404, description = "No such client key, or provider.")))]
async fn explain(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let row = wondered(&mut members, &call).await?;
    let [method, url] = ["method", "url"].map(|name| {
        let patch = members.text(name);
        members.required(name, &patch);
        patch.value().unwrap_or_default()
    });
    let [address, origin, secret] =
        ["address", "origin", "secret"].map(|name| members.text(name).value());
    let address = read_address(&mut members, address.as_deref());
    let target = read_target(&mut members, &call.house, &url);
    members.finish()?;
    let StandingKey { key: row, fault } = row.ok_or_else(|| Refused::not_found("client key"))?;
    if let Some(fault) = fault {
        let reason = format!("{fault} Every call with it is a 401.");
        return Answer::ok(&Explained { decision: "deny", rule: String::from("fault"), reason });
    }
    let mut client = roster::compiled(&row).map_err(Refused::internal)?;
    let Some((provider, rest)) = target else { return Err(Refused::not_found("provider")) };
    leave_out(&mut client, address, origin.as_deref());

    let decoded = corridor::decoded_segments(&rest);
    let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    let whence = policy::Whence {
        address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        origin: origin.as_deref().map(str::as_bytes),
    };
    let request = policy::Request {
        provider: &provider,
        method: &method,
        segments: &segments,
        secret: secret.as_deref(),
        from: whence,
    };
    let state = client.state(&call.house.clock);
    let Verdict { allowed, rule, reason } = policy::explain(&client, state, &request);
    let decision = if allowed { "allow" } else { "deny" };
    Answer::ok(&Explained { decision, rule, reason })
}

/// The key that is named, or one that is not made yet. None: it is named, and there is none.
async fn wondered(members: &mut Members, call: &Call) -> Result<Option<StandingKey>, Refused> {
    let id = members.text("key_id").value();
    let role = members.word("role", &Role::ALL, Role::as_str).value();
    let scopes = members.texts("scopes").value();
    name_bad_scopes(members, scopes.as_deref().unwrap_or_default(), &call.house);
    match (id, role, scopes) {
        (Some(id), None, None) => {
            let Ok(id) = Uuid::try_parse(&id) else { return Ok(None) };
            let standing = call.house.store.standing_client_key(id).await;
            standing.map_err(|fault| Refused::of_store(&fault))
        }
        (None, Some(role), scopes) => {
            let made = ClientKeyRow::new("a key to come", role, Tier::Standard, "nobody");
            Ok(Some(StandingKey { key: ClientKeyRow { scopes, ..made }, fault: None }))
        }
        (Some(_) | None, _, _) => {
            members.fault("key_id", "says which client key; without it, role and scopes do");
            Ok(None)
        }
    }
}

/// What was not told cannot decide.
fn leave_out(client: &mut Client, address: Option<IpAddr>, origin: Option<&str>) {
    let rights = Arc::make_mut(&mut client.rights);
    if address.is_none() {
        rights.allowed_ips = None;
    }
    if origin.is_none() {
        rights.allowed_origins = None;
    }
}

fn read_address(members: &mut Members, text: Option<&str>) -> Option<IpAddr> {
    let address = text.map(str::parse::<IpAddr>);
    if matches!(address, Some(Err(_))) {
        members.fault("address", "must be an IPv4 or IPv6 address");
    }
    address.and_then(Result::ok).map(|address| address.to_canonical())
}

/// The provider and what follows it. None where there is no such provider.
fn read_target(members: &mut Members, house: &House, url: &str) -> Option<(Arc<Provider>, String)> {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.path().starts_with('/'));
    let Some(uri) = uri else {
        members.fault("url", "must be a path such as /polygon/v2/aggs, or a whole URL");
        return None;
    };
    if uri.scheme().is_some()
        && let Ok(asked) = BaseUrl::parse(url.split(['?', '#']).next().unwrap_or_default())
        && let Some(found) = providers_own(house, &asked)
    {
        return Some(found);
    }
    let (provider, rest) = match corridor::addressed(uri.path()) {
        Ok(found) => found,
        Err(fault) => {
            members.fault("url", fault);
            return None;
        }
    };
    Some((house.catalogue.get(provider)?, rest.to_owned()))
}

/// Written as the provider writes it: its own host, and its base path taken off.
fn providers_own(house: &House, asked: &BaseUrl) -> Option<(Arc<Provider>, String)> {
    house.catalogue.now().iter().find_map(|provider| {
        provider.hosts.iter().find_map(|host| {
            let base = &host.base;
            let is_its =
                (base.scheme, &base.host, base.port) == (asked.scheme, &asked.host, asked.port);
            let rest = asked.path.strip_prefix(base.path.as_str()).filter(|_| is_its)?;
            let is_whole = rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| (Arc::clone(provider), rest.to_owned()))
        })
    })
}
