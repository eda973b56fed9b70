//! A destination as it is shown,
//! and as it stands in the trail.
//! Must never hold the path of a URL, nor what signs.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::words;
use crate::alerts::{Destination, Tested, Way};
use crate::clock::rfc3339;
use crate::store::DestinationRow;

/// Who is told of alerts.
#[derive(Serialize, ToSchema)]
pub(super) struct AlertDestination {
    id: String,
    name: String,
    /// Null where the row is not as Sealgate left it.
    #[schema(value_type = Option<words::DestinationKind>)]
    kind: Option<&'static str>,
    /// Of a webhook's URL what stands before the path.
    address: Option<String>,
    /// Of e-mail.
    to: Option<Vec<String>>,
    /// Null: every kind.
    #[schema(value_type = Option<Vec<words::AlertKind>>)]
    kinds: Option<Vec<&'static str>>,
    #[schema(value_type = Option<words::Severity>)]
    min_severity: Option<&'static str>,
    resolved: Option<bool>,
    active: Option<bool>,
    /// Why nobody is told by it as it stands.
    fault: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// All destinations.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct AlertDestinations {
    items: Vec<AlertDestination>,
    next_cursor: Option<String>,
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct TestOfDestination {
    /// True if it was confirmed.
    ok: bool,
    detail: String,
    /// The id of the delivery.
    delivery: String,
}

impl TestOfDestination {
    pub(super) fn of(tested: Tested) -> Self {
        Self {
            ok: tested.fault.is_none(),
            detail: tested.fault.unwrap_or_else(|| String::from("It was delivered.")),
            delivery: tested.delivery.to_string(),
        }
    }
}

impl AlertDestination {
    pub(super) fn of(row: &DestinationRow, opened: Option<&Destination>) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            kind: opened.map(|one| one.way.sort().as_str()),
            address: opened.and_then(|one| one.way.address()),
            to: opened.and_then(|one| recipients(&one.way)),
            kinds: opened.and_then(kinds),
            min_severity: opened.map(|one| one.least.as_str()),
            resolved: opened.map(|one| one.resolved),
            active: opened.map(|one| one.active),
            fault: opened.is_none().then_some(super::EDITED),
            created_at: rfc3339(row.created_at),
            created_by: row.created_by.clone(),
            updated_at: rfc3339(row.updated_at),
        }
    }
}

/// For the trail.
pub(super) fn alterable(name: &str, destination: &Destination) -> Value {
    json!({"destination": {
        "name": name,
        "kind": destination.way.sort().as_str(),
        "address": destination.way.address(),
        "to": recipients(&destination.way),
        "kinds": kinds(destination),
        "min_severity": destination.least.as_str(),
        "resolved": destination.resolved,
        "active": destination.active,
    }})
}

fn recipients(way: &Way) -> Option<Vec<String>> {
    match way {
        Way::Email { to } => Some(to.clone()),
        Way::Webhook { .. } | Way::Syslog => None,
    }
}

fn kinds(destination: &Destination) -> Option<Vec<&'static str>> {
    let kinds = destination.kinds.as_ref()?;
    Some(kinds.iter().map(|kind| kind.as_str()).collect())
}
