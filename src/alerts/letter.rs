//! What is told of an alert: the body, the same for every try and every way, and what Standard
//! Webhooks puts around it: an id, the time, and a signature over the three.
//! Must never hold more than the alert itself.

use serde_json::json;

use super::Letter;
use crate::clock::rfc3339;
use crate::crypto::{self, CryptoError, webhook_signature};
use crate::secret::Key;
use crate::store::{AlertRow, DeliveryRow, Event};

/// The body that is delivered.
pub(super) fn telling(row: &AlertRow, event: Event, at_ms: i64) -> String {
    let subject = &row.subject;
    body(
        event,
        at_ms,
        &json!({
            "id": row.id.to_string(),
            "kind": row.kind.as_str(),
            "severity": row.severity.as_str(),
            "state": row.state.as_str(),
            "subject": {"type": subject.sort, "id": subject.id, "name": subject.name},
            "detail": row.detail,
            "first_seen": rfc3339(row.first_seen),
            "last_seen": rfc3339(row.last_seen),
            "count": row.count,
        }),
    )
}

/// Of a test: nothing is amiss.
pub(super) fn test_body(name: &str, at_ms: i64) -> String {
    let detail = format!("this is a test of the destination {name}; nothing is amiss");
    body(Event::Test, at_ms, &json!({"detail": detail, "severity": "info"}))
}

fn body(event: Event, at_ms: i64, data: &serde_json::Value) -> String {
    let kind = format!("alert.{}", event.as_str());
    json!({"type": kind, "timestamp": rfc3339(at_ms), "data": data}).to_string()
}

/// By which a receiver knows a message that comes twice.
pub(super) fn message_id(row: &DeliveryRow) -> String {
    format!("msg_{}", row.id.simple())
}

/// One try: the time is of now, id and body are of the message.
pub(super) fn webhook(url: String, key: &Key, row: &DeliveryRow, now_ms: i64) -> Letter {
    let (id, time) = (message_id(row), now_ms.div_euclid(1000).to_string());
    let signature = webhook_signature(key, (&id, &time), &row.body);
    let headers = vec![
        ("content-type", String::from("application/json")),
        ("webhook-id", id),
        ("webhook-timestamp", time),
        ("webhook-signature", signature),
    ];
    Letter { url, headers, body: row.body.clone() }
}

pub(super) fn fresh_key() -> Result<Key, CryptoError> {
    Key::fill_with(crypto::fill_random)
}
