//! Which secret is meant: an id, a provider, or PROVIDER/NAME.
//! What was typed in its place may be a value.
//! Must never repeat what it does not find.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::link::Link;
use super::{INTEGRITY, SECRETS};

/// An id as it is; else the secret of that provider and name.
pub(super) async fn find(link: &Link, wanted: &str, name: Option<&str>) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let (provider, name) = match (wanted.split_once('/'), name) {
        (Some((provider, name)), None) => (provider, name),
        (Some(_), Some(_)) => return Err(Failure::usage("give the name once")),
        (None, name) => (wanted, name.unwrap_or("default")),
    };
    let list = link.list(SECRETS).await?;
    // What was typed in a secret's place may be its value.
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let mut providers = items.filter_map(|item| item.get("provider").and_then(Value::as_str));
    if !providers.any(|known| known == provider) {
        if is_named_by_a_finding(link, wanted).await {
            return Ok(wanted.to_owned());
        }
        return Err(Failure::new(
            "there is no such secret, nor any of such a provider; the first argument is an id, a \
             provider or PROVIDER/NAME, and `sealgate secret list` shows all",
        ));
    }
    let is = |item: &Value, member: &str, text: &str| {
        item.get(member).and_then(Value::as_str) == Some(text)
    };
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let mut found = items.filter(|item| is(item, "provider", provider) && is(item, "name", name));
    let id = found.next().and_then(|item| item.get("id")).and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| {
        Failure::new(format!(
            "{provider} has no secret named {name:?}; `sealgate secret list` shows all"
        ))
    })
}

/// A row whose very id was edited is in no list; a finding says what to write here.
async fn is_named_by_a_finding(link: &Link, wanted: &str) -> bool {
    let found = link.get(INTEGRITY).await.unwrap_or_default();
    let findings = found.get("findings").and_then(Value::as_array);
    let remedy = format!("`sealgate secret destroy {wanted}`");
    let mut lines = findings.into_iter().flatten().filter_map(Value::as_str);
    lines.any(|line| line.contains(&remedy))
}
