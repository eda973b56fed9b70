//! `POST`, `PUT` and `DELETE …/providers`: entries that operators write, checked as strictly as
//! settings before anything is stored, in force at once here and within a second on every other
//! node. Must never change what the settings file names.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::{ProviderView, unknown};
use crate::net::Trust;
use crate::provider::{BadProvider, Stored};
use crate::refusal::{FieldFault, Refusal};
use crate::store::ProviderRow;

/// Brings what was stored into force: catalogue, ways out, secrets.
pub(crate) type Refresh =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The members of `[providers.NAME]` in the settings, and `id`. Those that are left out are as in
/// the catalogue.
#[derive(ToSchema)]
#[schema(as = NewProvider)]
#[expect(dead_code, reason = "stands in the description alone; the catalogue reads it")]
pub(super) struct NewProvider {
    /// In the path of a PUT.
    #[schema(example = "acme")]
    id: String,
    #[schema(example = "https://api.acme.example/v1")]
    base_url: Option<String>,
    #[schema(example = "market-data")]
    category: Option<String>,
    #[schema(value_type = Option<Vec<Object>>,
        example = json!([{"at": "header", "name": "Authorization", "value": "Bearer {api_key}"}]))]
    inject: Option<Vec<Value>>,
    #[schema(example = json!(["api_key"]))]
    fields: Option<Vec<String>>,
    websocket_url: Option<String>,
    hosts: Option<std::collections::BTreeMap<String, String>>,
    #[schema(value_type = Option<Vec<Object>>)]
    paths: Option<Vec<Value>>,
    #[schema(value_type = Option<Object>)]
    probe: Option<Value>,
    #[schema(value_type = Option<Object>)]
    slots: Option<Value>,
    #[schema(value_type = Option<Object>)]
    rewrite: Option<Value>,
    #[schema(value_type = Option<Object>)]
    timeouts: Option<Value>,
    allow_private_network: Option<bool>,
    /// On the machine of every node.
    ca_file: Option<String>,
    max_wait_seconds: Option<u64>,
    requests_per_minute: Option<u32>,
    /// What the provider allows with one secret: `calls`, `window_seconds`, and the headers of its
    /// answers that tell it: `limit`, `remaining`, `used`, `reset`, `refills`; `too_many`: its
    /// statuses.
    #[schema(value_type = Option<Object>, example = json!({"calls": 10, "window_seconds": 1}))]
    limits: Option<Value>,
    max_waiting: Option<u32>,
    max_concurrent: Option<u32>,
    /// How long an answer holds that says nothing of it, for reports.
    fresh_seconds: Option<u32>,
    #[schema(example = "auto")]
    http2: Option<String>,
    pool: Option<bool>,
}

/// Add a provider.
#[utoipa::path(post, path = "/api/v1/admin/providers", tag = "Providers",
    request_body = NewProvider,
    responses((status = 201, description = "In force.", body = ProviderView)))]
pub(in super::super) async fn add(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = read(&sent)?;
    let Some(Value::String(id)) = members.remove("id") else {
        return Err(nameless(&call, members));
    };
    let catalogue = call.house.catalogue.clone();
    let _changing = catalogue.changing().await;
    if catalogue.get(&id).is_some() {
        let detail = "The catalogue has a provider of that id; PUT changes it.";
        return Err(Refused::conflict(detail));
    }
    let entry = checked(&call, id, without_nulls(members))?;
    let wanted = Value::Object(object(&entry.members));
    let act = Act::begin(&call, &entry.id, None, &wanted)?;
    match stored(&call, &entry).await {
        Ok(view) => {
            act.done(201, Some(&wanted));
            Answer::created(&view)
        }
        Err(refused) => Err(act.refused(refused)),
    }
}

/// Change a provider: the members that are sent; null takes one back.
#[utoipa::path(put, path = "/api/v1/admin/providers/{id}", tag = "Providers",
    params(("id" = String, Path, example = "polygon")), request_body = NewProvider,
    responses((status = 200, description = "In force. Where its destinations changed, its secrets \
        are closed until they are resealed.", body = ProviderView)))]
pub(in super::super) async fn set(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let members = read(&sent)?;
    let catalogue = call.house.catalogue.clone();
    let _changing = catalogue.changing().await;
    changeable(&call, &id)?;
    let before = catalogue.stored(&id).map(|entry| object(&entry.members));
    let mut after = before.clone().unwrap_or_default();
    if members.contains_key("id") {
        let fault = "cannot be changed; it stands in the path";
        return Err(Refusal::invalid_field("id", fault).into());
    }
    after.extend(members);
    let entry = checked(&call, id, without_nulls(after))?;
    let wanted = Value::Object(object(&entry.members));
    let act = Act::begin(&call, &entry.id, before.map(Value::Object), &wanted)?;
    match stored(&call, &entry).await {
        Ok(view) => {
            act.done(200, Some(&wanted));
            Answer::ok(&view)
        }
        Err(refused) => Err(act.refused(refused)),
    }
}

/// Remove a provider that was added, or take back what was changed of a built-in one.
#[utoipa::path(delete, path = "/api/v1/admin/providers/{id}", tag = "Providers",
    params(("id" = String, Path)), responses((status = 204, description = "Removed.")))]
pub(in super::super) async fn remove(
    call: Call,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let catalogue = call.house.catalogue.clone();
    let _changing = catalogue.changing().await;
    let is_left_out = catalogue.get(&id).is_none() && catalogue.stored(&id).is_some();
    let is_doubted = catalogue.is_doubted(&id) || is_left_out;
    if !is_doubted {
        changeable(&call, &id)?;
    }
    let before = catalogue.stored(&id);
    if before.is_none() && !is_doubted {
        let detail = "This provider is built in, and nothing of it was changed.";
        return Err(Refused::conflict(detail));
    }
    let is_built_in = crate::provider::built_in(&id).is_ok();
    let secrets = call.house.vault.list().await.map_err(Refused::internal)?;
    if !is_built_in && !is_doubted && secrets.iter().any(|secret| secret.provider == id) {
        let detail = "Secrets of this provider are stored; destroy them first.";
        return Err(Refused::conflict(detail));
    }
    let wanted = serde_json::json!({"removed": true});
    let before = before.map(|before| Value::Object(object(&before.members)));
    let act = Act::begin(&call, &id, before, &wanted)?;
    match catalogue.drop_stored(&id).await {
        Ok(_) => {
            refreshed(&call).await;
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Err(fault) => Err(act.refused(Refused::internal(fault))),
    }
}

fn changeable(call: &Call, id: &str) -> Result<(), Refused> {
    if call.house.catalogue.is_doubted(id) {
        let detail = "The row of this provider was touched outside Sealgate, and nothing of it is \
                      taken over: POST it as it is meant, or DELETE it.";
        return Err(Refused::conflict(detail));
    }
    if call.house.catalogue.get(id).is_none() {
        return Err(unknown());
    }
    if call.house.catalogue.is_of_settings(id) {
        let detail =
            "The settings file names this provider (managed_by: settings); change it there.";
        return Err(Refused::conflict(detail));
    }
    Ok(())
}

/// There is no secret in it, so plain JSON does.
fn read(sent: &Sent) -> Result<Map<String, Value>, Refused> {
    // Refuses what is no object, and members that are given twice.
    sent.members()?;
    serde_json::from_slice(sent.bytes().expose()).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Refusal::bad_request(format!("The body is not one JSON object; see {place}.")).into()
    })
}

fn without_nulls(members: Map<String, Value>) -> Map<String, Value> {
    members.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn object(members: &str) -> Map<String, Value> {
    serde_json::from_str(members).unwrap_or_default()
}

/// As the settings would be, at the start.
fn checked(call: &Call, id: String, members: Map<String, Value>) -> Result<Stored, Refused> {
    let entry = Stored { id, members: Value::Object(members).to_string() };
    match fault(call, &entry) {
        None => Ok(entry),
        Some(fault) => Err(Refusal::invalid(vec![fault]).into()),
    }
}

fn fault(call: &Call, entry: &Stored) -> Option<FieldFault> {
    if let Err(BadProvider { key, fault }) = call.house.catalogue.check(entry) {
        let own = format!("providers.{}", entry.id);
        let member = key.strip_prefix(&own).unwrap_or(&key).trim_start_matches('.');
        let field = if member.is_empty() { "id" } else { member }.to_owned();
        return Some(FieldFault { field, fault });
    }
    let members = object(&entry.members);
    let path = members.get("ca_file").and_then(Value::as_str).filter(|path| !path.is_empty())?;
    let fault = Trust::read_file(std::path::Path::new(path)).err()?;
    Some(FieldFault { field: String::from("ca_file"), fault: fault.to_string() })
}

/// Without a name, what else is wrong is told all the same.
fn nameless(call: &Call, members: Map<String, Value>) -> Refused {
    let field = String::from("id");
    let mut faults = vec![FieldFault { field, fault: String::from("is required, and is a text") }];
    let members = Value::Object(without_nulls(members)).to_string();
    let found = fault(call, &Stored { id: String::from("nameless"), members });
    faults.extend(found.filter(|fault| fault.field != "id"));
    Refusal::invalid(faults).into()
}

async fn stored(call: &Call, entry: &Stored) -> Result<ProviderView, Refused> {
    let row = ProviderRow { id: entry.id.clone(), members: entry.members.clone() };
    let catalogue = &call.house.catalogue;
    catalogue.put(&row, &call.caller.actor()).await.map_err(Refused::internal)?;
    refreshed(call).await;
    let provider = call.house.catalogue.get(&entry.id).ok_or_else(unknown)?;
    Ok(ProviderView::of(&provider, &call.house.catalogue))
}

/// What is stored is stored: what fails here is taken over with the next change, or the next start.
async fn refreshed(call: &Call) {
    if let Err(fault) = (call.house.refresh)().await {
        tracing::error!(fault, "a changed provider could not be taken over");
    }
}
