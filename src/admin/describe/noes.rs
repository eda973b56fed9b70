//! Every refusal as the description knows it: one response a status, with the body that the
//! house itself would write as its example. Must never name a code that the house does not
//! know.

use serde_json::{Map, Value, json};

use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};

/// One reason a status stands for the description: the commonest on this face.
const REASONS: [(&str, Reason, &str); 15] = [
    ("400", Reason::BadRequest, "Malformed or ambiguous."),
    ("401", Reason::Unauthorized, "No valid credential; always the same body."),
    ("403", Reason::Forbidden, "A valid credential without the right."),
    ("404", Reason::NotFound, "There is no such thing."),
    ("408", Reason::Timeout, "It took more than 30 seconds."),
    ("409", Reason::Conflict, "A duplicate, or a state that forbids the change."),
    ("413", Reason::TooLarge, "The body has more than 1 MiB."),
    ("415", Reason::UnsupportedMediaType, "Bodies are application/json."),
    ("422", Reason::Invalid, "Well-formed but wrong; `fields` names each fault."),
    ("429", Reason::RateLimited, "Too many calls; see Retry-After."),
    ("500", Reason::Internal, "Sealgate failed; its log has the cause."),
    ("502", Reason::UpstreamUnreachable, "The provider cannot be reached or answered wrongly."),
    ("503", Reason::Sealed, "`sealed`, `no_secret`, `overloaded` or `audit_unavailable`."),
    ("504", Reason::UpstreamTimeout, "The provider did not answer in time."),
    ("405", Reason::MethodNotAllowed, "The path does not take that method; see Allow."),
];

pub(super) fn responses() -> Value {
    let one = |(status, reason, about): (&str, Reason, &str)| {
        let example: Value =
            serde_json::from_slice(&example(reason).body("0198c0de-7a11-7c0d-8e5a-5ea19a7e0003"))
                .unwrap_or_default();
        let mut headers = json!({
            "X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"},
            "X-Sealgate-Error": {"$ref": "#/components/headers/X-Sealgate-Error"},
        });
        if status == "429" {
            let reference = json!({"$ref": "#/components/headers/Retry-After"});
            super::put(&mut headers, "Retry-After", reference);
        }
        let response = json!({
            "description": about,
            "headers": headers,
            "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": example,
            }},
        });
        (status.to_owned(), response)
    };
    Value::Object(REASONS.into_iter().map(one).collect::<Map<_, _>>())
}

/// The one body of every refusal on either face.
pub(super) fn schema() -> Value {
    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    json!({
        "type": "object",
        "required": ["error", "code", "detail", "request_id"],
        "properties": {
            "error": {"type": "string", "description": "For people."},
            "code": {"type": "string", "enum": codes, "description": "For programs; stable."},
            "detail": {"type": "string", "description": "What, why, and what to do."},
            "request_id": {"type": "string"},
            "quota": {"type": "integer", "description": "With 429."},
            "reset_at": {"type": ["string", "null"], "format": "date-time", "description": "With 429."},
            "limit": {
                "type": "string",
                "enum": ["client", "address", "origin", "concurrency", "monthly", "provider"],
                "description": "With 429: whose limit it was.",
            },
            "fields": {
                "type": "array", "description": "With 422: each fault.",
                "items": {
                    "type": "object", "required": ["field", "fault"],
                    "properties": {"field": {"type": "string"}, "fault": {"type": "string"}},
                },
            },
        },
    })
}

fn example(reason: Reason) -> Refusal {
    match reason {
        Reason::Unauthorized => Refusal::unauthorized(),
        Reason::Internal => Refusal::internal(),
        Reason::Invalid => Refusal::invalid_field("name", "is required"),
        Reason::RateLimited => {
            let exceeded = Exceeded {
                limit: LimitKind::Client,
                quota: 600,
                used: 600,
                free_at_ms: 1_768_487_400_000,
                retry_after_seconds: 30,
            };
            Refusal::rate_limited(exceeded, exceeded.sentence("requests per minute"))
        }
        Reason::BadRequest
        | Reason::Forbidden
        | Reason::StepUpRequired
        | Reason::UnknownProvider
        | Reason::NotFound
        | Reason::MethodNotAllowed
        | Reason::Timeout
        | Reason::Conflict
        | Reason::TooLarge
        | Reason::UriTooLong
        | Reason::UnsupportedMediaType
        | Reason::HeadersTooLarge
        | Reason::UpstreamUnreachable
        | Reason::UpstreamInvalid
        | Reason::Sealed
        | Reason::NoSecret
        | Reason::Overloaded
        | Reason::AuditUnavailable
        | Reason::UpstreamTimeout => Refusal::new(reason, "What, why, and what to do."),
    }
}
