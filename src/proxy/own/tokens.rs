//! `POST /api/v1/tokens`: a short-lived token of the client key that calls, no wider than that key.
//! The token is in this answer and nowhere else. Must never make one for a token: it would outlive
//! its parent by a chain.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::refusal_of;
use crate::client::Tier;
use crate::clock::rfc3339;
use crate::corridor::{Answer, OwnCall};
use crate::policy;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::roster::WantedToken;

pub(super) async fn answer(mut call: OwnCall<'_>) -> Answer {
    match issue(&mut call).await {
        Ok(body) => call.answered(StatusCode::CREATED, body),
        Err(refusal) => call.refused(&refusal),
    }
}

async fn issue(call: &mut OwnCall<'_>) -> Result<Vec<u8>, Refusal> {
    let Some(caller) = call.caller().await? else { return Err(call.nobody().await) };
    let is_json = call.parts().headers.get(CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if !is_json {
        let detail = "The body must be JSON: Content-Type: application/json.";
        return Err(Refusal::new(Reason::UnsupportedMediaType, detail));
    }
    let body = call.body().await?;
    let wanted = wanted(body.expose())?;
    let scopes = wanted.scopes.as_deref().unwrap_or_default();
    let faults = policy::faults_of_scopes(scopes, &call.rooms().catalogue.now());
    if !faults.is_empty() {
        let field = |(index, fault)| FieldFault { field: format!("scopes[{index}]"), fault };
        return Err(Refusal::invalid(faults.into_iter().map(field).collect()));
    }
    call.begin_record()?;
    let roster = &call.rooms().roster;
    let issued = roster.issue_token(&caller.client, caller.proof.as_ref(), wanted, None).await;
    let issued = issued.map_err(refusal_of)?;
    let token = issued.token.expose_str().unwrap_or_default();
    let body = json!({"token": token, "expires_at": rfc3339(issued.row.expires_at)});
    Ok(body.to_string().into_bytes())
}

fn wanted(body: &[u8]) -> Result<WantedToken, Refusal> {
    if body.is_empty() {
        return Ok(WantedToken::default());
    }
    let parsed: Value = serde_json::from_slice(body).map_err(|fault| {
        // The parser's own sentence may quote the value; its position cannot.
        let (line, column) = (fault.line(), fault.column());
        let place = format!("see line {line} column {column}");
        Refusal::bad_request(format!("The body is not one JSON value; {place}."))
    })?;
    let Value::Object(mut members) = parsed else {
        return Err(Refusal::invalid_field("", "the body must be a JSON object"));
    };
    let mut faults = Vec::new();
    let wanted = WantedToken {
        scopes: taken(&mut members, &mut faults, ("scopes", "must be a list of scopes"), texts),
        tier: taken(&mut members, &mut faults, ("tier", TIERS), |value| {
            value.as_str().and_then(Tier::parse)
        }),
        origin: taken(&mut members, &mut faults, ("origin", "must be an origin"), text),
        address: taken(&mut members, &mut faults, ("address", "must be an address"), text),
        ttl_seconds: taken(
            &mut members,
            &mut faults,
            ("ttl_seconds", "must be a whole number of seconds"),
            Value::as_u64,
        ),
    };
    for (name, _) in members {
        let name = name.chars().take(100).collect();
        let fault = String::from("is not a member of this request");
        faults.push(FieldFault { field: name, fault });
    }
    if faults.is_empty() { Ok(wanted) } else { Err(Refusal::invalid(faults)) }
}

const TIERS: &str = "must be one of unlimited, premium, standard, limited";

/// Null and absent alike: nothing is asked for.
fn taken<T>(
    members: &mut Map<String, Value>,
    faults: &mut Vec<FieldFault>,
    (name, fault): (&str, &str),
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let value = members.remove(name).filter(|value| !value.is_null())?;
    let read = read(&value);
    if read.is_none() {
        faults.push(FieldFault { field: name.to_owned(), fault: fault.to_owned() });
    }
    read
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_every_fault_is_named() {
        let all = br#"{"scopes":["a:GET:/x"],"tier":"limited","origin":null,"ttl_seconds":60}"#;
        let read = wanted(all).unwrap();
        assert_eq!(read.scopes.as_deref(), Some(&[String::from("a:GET:/x")][..]));
        assert_eq!(
            (read.tier, read.origin, read.ttl_seconds),
            (Some(Tier::Limited), None, Some(60))
        );
        assert!(wanted(b"").unwrap().scopes.is_none());
        let wrong = br#"{"scopes":"a","tier":"vip","origin":1,"ttl_seconds":-1,"role":"admin"}"#;
        let fields: Vec<String> =
            wanted(wrong).unwrap_err().fields().iter().map(|fault| fault.field.clone()).collect();
        assert_eq!(fields, ["scopes", "tier", "origin", "ttl_seconds", "role"]);
        assert_eq!(wanted(b"{").unwrap_err().reason, Reason::BadRequest);
        assert_eq!(wanted(b"[]").unwrap_err().reason, Reason::Invalid);
    }
}
