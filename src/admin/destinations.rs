//! `…/admin/alert-destinations`: who is told of alerts. A webhook's secret is shown once, when it
//! is made; of its URL what stands before the path.
//! Must never show what was shown once, nor let a webhook be pointed where none may be.

mod view;

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::view::{AlertDestination, AlertDestinations, TestOfDestination, alterable};
use super::act::Act;
use super::answer::{Answer, Page};
use super::call::{Call, identified};
use super::house::House;
use super::members::{Members, Patch};
use super::page;
use super::refused::Refused;
use super::sent::Sent;
use super::words;
use crate::alerts::{Destination, DestinationError, Sort, Way, is_mailbox, webhook_secret};
use crate::net;
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;
use crate::store::{AlertKind, DestinationRow, Severity};

const WHAT: &str = "alert destination";
const LONGEST_NAME: usize = 100;
const LONGEST_URL: usize = 2048;
const MOST_RECIPIENTS: usize = 50;

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(change, remove)).routes(routes!(test))
}

/// The body of `POST …/alert-destinations`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `add` reads it")]
struct NewAlertDestination {
    name: String,
    kind: words::DestinationKind,
    /// Of a webhook: `https://…`.
    url: Option<String>,
    /// Of e-mail: who gets it.
    to: Option<Vec<String>>,
    /// Every kind where null or left out.
    kinds: Option<Vec<words::AlertKind>>,
    /// `info` where left out.
    min_severity: Option<words::Severity>,
    /// Tell also that a cause is gone; true where left out.
    resolved: Option<bool>,
    active: Option<bool>,
}

/// The body of `PUT …/alert-destinations/{id}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `change` reads it")]
struct AlertDestinationChange {
    name: Option<String>,
    url: Option<String>,
    to: Option<Vec<String>>,
    kinds: Option<Vec<words::AlertKind>>,
    min_severity: Option<words::Severity>,
    resolved: Option<bool>,
    active: Option<bool>,
}

/// A destination that was just made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; the secret is laid beside")]
struct AlertDestinationMade {
    /// Of a webhook, shown this once: with it the receiver checks signatures.
    #[schema(pattern = "^whsec_[0-9A-Za-z+/=]{44}$")]
    secret: Option<String>,
    #[serde(flatten)]
    destination: AlertDestination,
}

/// List who is told of alerts.
#[utoipa::path(get, path = "/api/v1/admin/alert-destinations", tag = "Alerts",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = AlertDestinations)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    query.finish()?;
    let rows = call.house.store.destinations().await;
    let rows = rows.map_err(|fault| Refused::of_store(&fault))?;
    // There are few of them.
    let rows = rows.into_iter().filter(|row| after.is_none_or(|after| row.id > after)).collect();
    let (rows, next_cursor) = page::split(rows, limit, |row: &DestinationRow| row.id.to_string());
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let opened = call.house.alerts.open_destination(&row).map_err(refusal_of)?;
        items.push(AlertDestination::of(&row, opened.as_ref()));
    }
    Answer::ok(&Page { items, next_cursor })
}

/// Show a destination.
#[utoipa::path(get, path = "/api/v1/admin/alert-destinations/{id}", tag = "Alerts",
    params(("id" = String, Path)),
    responses((status = 200, description = "The destination.", body = AlertDestination)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let row = found(&call, &id).await?;
    let opened = call.house.alerts.open_destination(&row).map_err(refusal_of)?;
    Answer::ok(&AlertDestination::of(&row, opened.as_ref()))
}

/// Tell somebody of alerts.
///
/// Webhooks are signed as Standard Webhooks says. Mail goes through the server of the settings
/// (`alerts.smtp`), messages of syslog to where they say (`alerts.syslog`).
#[utoipa::path(post, path = "/api/v1/admin/alert-destinations", tag = "Alerts",
    request_body = NewAlertDestination,
    responses((status = 201, description = "From now on it is told. `secret` is shown this once.",
        body = AlertDestinationMade)))]
async fn add(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let name = members.text_up_to("name", LONGEST_NAME);
    members.required("name", &name);
    let name = name_of(&mut members, name).unwrap_or_default();
    let sort = members.word("kind", &Sort::ALL, Sort::as_str);
    members.required("kind", &sort);
    let way = match sort.value() {
        Some(sort) => way(&mut members, sort, &call),
        // Whose they are shows with the kind.
        None => {
            let (_, _) = (members.secret("url"), members.texts("to"));
            None
        }
    };
    let mut destination = Destination {
        way: Way::Syslog,
        kinds: None,
        least: Severity::Info,
        resolved: true,
        active: true,
    };
    wishes(&mut members, &mut destination);
    members.finish()?;
    let Some(way) = way else { return Err(Refused::internal("a way that is required is gone")) };
    destination.way = way;
    let wanted = alterable(&name, &destination);
    let act = Act::begin(&call, "", None, &wanted)?;
    let by = call.caller.actor();
    match call.house.alerts.add_destination((&name, &by), &destination).await {
        Ok(row) => {
            act.done(StatusCode::CREATED.as_u16(), Some(&wanted));
            let answer = Answer::created(&AlertDestination::of(&row, Some(&destination)))?;
            Ok(match &destination.way {
                Way::Webhook { key, .. } => answer.showing_once("secret", webhook_secret(key)),
                Way::Email { .. } | Way::Syslog => answer,
            })
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Change a destination. Another URL keeps the secret; remove and add one for another secret.
#[utoipa::path(put, path = "/api/v1/admin/alert-destinations/{id}", tag = "Alerts",
    params(("id" = String, Path)), request_body = AlertDestinationChange,
    responses((status = 200, description = "As it is now.", body = AlertDestination)))]
async fn change(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    let row = found(&call, &id).await?;
    let opened = call.house.alerts.open_destination(&row).map_err(refusal_of)?;
    let mut destination = opened.ok_or_else(|| Refused::conflict(EDITED))?;
    let before = alterable(&row.name, &destination);
    let mut members = sent.members()?;
    members.fixed("kind", "remove the destination and add one of the other kind");
    let name = members.text_up_to("name", LONGEST_NAME);
    let name = name_of(&mut members, name).unwrap_or_else(|| row.name.clone());
    let is_elsewhere = redirect(&mut members, &mut destination.way, &call);
    wishes(&mut members, &mut destination);
    members.finish()?;
    let mut after = alterable(&name, &destination);
    if let (true, Some(Value::Object(shown))) = (is_elsewhere, after.get_mut("destination")) {
        // Of one host many are told: which path it is now, nobody may read.
        shown.insert(String::from("url"), json!("another one"));
    }
    let act = Act::begin(&call, "", Some(before), &after)?;
    let row = DestinationRow { name, ..row };
    match call.house.alerts.change_destination(row, &destination).await {
        Ok(row) => {
            act.done(200, Some(&after));
            Answer::ok(&AlertDestination::of(&row, Some(&destination)))
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

/// Tell it nothing any more; what it was still to be told is dropped.
#[utoipa::path(delete, path = "/api/v1/admin/alert-destinations/{id}", tag = "Alerts",
    params(("id" = String, Path)), responses((status = 204, description = "Gone.")))]
async fn remove(call: Call, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id = identified(&id, WHAT)?;
    let row = match call.house.store.destination(id).await {
        Ok(Some(row)) => Some(row),
        Ok(None) => return Err(Refused::not_found(WHAT)),
        // One whose row cannot be read is removed without a look at it.
        Err(_) => None,
    };
    let before = json!({"destination": {
        "id": id.to_string(), "name": row.map(|row| row.name),
    }});
    let act = Act::begin(&call, "", Some(before), &json!({"removed": true}))?;
    match call.house.store.drop_destination(id).await {
        Ok(true) => {
            act.done(204, None);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(act.refused(Refused::not_found(WHAT))),
        Err(fault) => Err(act.refused(Refused::of_store(&fault))),
    }
}

/// Send a test, now: `ok` says whether it was confirmed.
#[utoipa::path(post, path = "/api/v1/admin/alert-destinations/{id}/test", tag = "Alerts",
    params(("id" = String, Path)),
    responses((status = 200, description = "What came of it.", body = TestOfDestination)))]
async fn test(call: Call, Path(id): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    sent.members()?.finish()?;
    let row = found(&call, &id).await?;
    let opened = call.house.alerts.open_destination(&row).map_err(refusal_of)?;
    let destination = opened.ok_or_else(|| Refused::conflict(EDITED))?;
    let wanted = json!({"destination": {"id": id, "name": row.name}, "test": true});
    let act = Act::begin(&call, "", None, &wanted)?;
    match call.house.alerts.test(&row, &destination).await {
        Ok(tested) => {
            act.done(200, Some(&json!({"ok": tested.fault.is_none(), "fault": tested.fault})));
            Answer::ok(&TestOfDestination::of(tested))
        }
        Err(fault) => Err(act.refused(Refused::of_store(&fault))),
    }
}

const EDITED: &str = "The row of this destination is not as Sealgate left it: edited in the \
                      database, it tells nobody. Remove it, and add it anew.";

async fn found(call: &Call, id: &str) -> Result<DestinationRow, Refused> {
    let row = call.house.store.destination(identified(id, WHAT)?).await;
    let row = row.map_err(|fault| Refused::of_store(&fault))?;
    row.ok_or_else(|| Refused::not_found(WHAT))
}

fn refusal_of(fault: DestinationError) -> Refused {
    match fault {
        DestinationError::Sealed => {
            let detail = "Sealgate is sealed; an administrator has to unseal it.";
            Refusal::new(Reason::Sealed, detail).into()
        }
        DestinationError::Duplicate => Refused::conflict("Another destination has this name."),
        DestinationError::Gone => Refused::not_found(WHAT),
        DestinationError::Crypto(fault) => Refused::internal(fault),
        DestinationError::Store(fault) => Refused::of_store(&fault),
    }
}

fn name_of(members: &mut Members, name: Patch<String>) -> Option<String> {
    let name = members.unclearable("name", name)?;
    let name = name.trim().to_owned();
    if name.is_empty() {
        members.fault("name", "must not be empty");
    }
    Some(name)
}

/// What the kind demands; what it does not know is no member.
fn way(members: &mut Members, sort: Sort, call: &Call) -> Option<Way> {
    match sort {
        Sort::Webhook => {
            let url = members.secret("url");
            members.required("url", &url);
            let url = fit_url(members, url.value()?, call)?;
            Way::webhook(url).ok()
        }
        Sort::Email => {
            let to = members.texts("to");
            members.required("to", &to);
            fit_recipients(members, to.value()?).map(|to| Way::Email { to })
        }
        Sort::Syslog => Some(Way::Syslog),
    }
}

/// True where a webhook goes to another URL than before.
fn redirect(members: &mut Members, way: &mut Way, call: &Call) -> bool {
    match way {
        Way::Webhook { url, .. } => {
            members.fixed("to", "a webhook has a url");
            let sent = members.secret("url");
            let sent = members.unclearable("url", sent);
            let Some(new) = sent.and_then(|new| fit_url(members, new, call)) else { return false };
            let is_other = new.expose() != url.expose();
            *url = new;
            is_other
        }
        Way::Email { to } => {
            let sent = members.texts("to");
            let sent = members.unclearable("to", sent);
            if let Some(new) = sent.and_then(|new| fit_recipients(members, new)) {
                *to = new;
            }
            members.fixed("url", "e-mail goes to addresses");
            false
        }
        Way::Syslog => {
            members.fixed("url", "the settings say where messages of syslog go");
            members.fixed("to", "the settings say where messages of syslog go");
            false
        }
    }
}

/// Told without being repeated: it may hold a token.
fn fit_url(members: &mut Members, url: SecretBytes, call: &Call) -> Option<SecretBytes> {
    let text = url.expose_str().unwrap_or_default();
    let is_private = net::is_private_webhook(text);
    let fault = if !net::is_webhook(text) || text.len() > LONGEST_URL {
        "must begin with https:// and name a host"
    } else if is_private && !call.house.allow_private_webhooks {
        "names an address that is loopback, private or link-local; the settings allow that with \
         egress.allow_private_networks"
    } else {
        return Some(url);
    };
    members.fault("url", fault);
    None
}

fn fit_recipients(members: &mut Members, to: Vec<String>) -> Option<Vec<String>> {
    if to.is_empty() || to.len() > MOST_RECIPIENTS {
        members.fault("to", format!("must have one to {MOST_RECIPIENTS} addresses"));
        return None;
    }
    for (index, one) in to.iter().enumerate() {
        if !is_mailbox(one) {
            members.fault(&format!("to[{index}]"), "is not an address of e-mail");
        }
    }
    Some(to)
}

fn wishes(members: &mut Members, destination: &mut Destination) {
    let kinds = members.texts("kinds");
    let mut read = |kinds: Vec<String>| {
        let mut known = Vec::with_capacity(kinds.len());
        for (index, word) in kinds.iter().enumerate() {
            match AlertKind::parse(word) {
                Some(kind) => known.push(kind),
                None => members.fault(&format!("kinds[{index}]"), "is no kind of alert"),
            }
        }
        known
    };
    match kinds {
        Patch::Keep => {}
        Patch::Clear => destination.kinds = None,
        Patch::Set(kinds) => destination.kinds = Some(read(kinds)),
    }
    let least = members.word("min_severity", &Severity::ALL, Severity::as_str);
    let resolved = members.flag("resolved");
    let active = members.flag("active");
    if let Some(least) = members.unclearable("min_severity", least) {
        destination.least = least;
    }
    if let Some(resolved) = members.unclearable("resolved", resolved) {
        destination.resolved = resolved;
    }
    if let Some(active) = members.unclearable("active", active) {
        destination.active = active;
    }
}
