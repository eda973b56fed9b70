//! Every reason to say no, with its code, status, whose fault it is and its sentence, and the one
//! body that both faces answer with. A refusal never carries its cause: causes go to the log,
//! sentences out.

mod exceeded;

use std::borrow::Cow;

pub(crate) use self::exceeded::{Exceeded, LimitKind};
use crate::clock;

/// A closed set; every column below is an exhaustive match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    StepUpRequired,
    UnknownProvider,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    Invalid,
    RateLimited,
    HeadersTooLarge,
    Internal,
    UpstreamUnreachable,
    UpstreamInvalid,
    Sealed,
    NoSecret,
    Overloaded,
    AuditUnavailable,
    UpstreamTimeout,
}

/// Whose fault a failed call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    Client,
    Provider,
    Us,
}

impl Fault {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Provider => "provider",
            Self::Us => "us",
        }
    }
}

/// One fault of a well-formed but wrong body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldFault {
    pub field: String,
    pub fault: String,
}

/// A no, ready to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub reason: Reason,
    pub detail: Cow<'static, str>,
    /// The connection must not be used again: what follows on it cannot be trusted.
    pub close: bool,
    /// Nothing of the call has left.
    is_unsent: bool,
    /// Boxed: few refusals have it, and a refusal travels through every step's result.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default)]
struct More {
    exceeded: Option<Exceeded>,
    fields: Vec<FieldFault>,
    retry_after_seconds: Option<u64>,
    /// What a check of a key found.
    report: Option<serde_json::Value>,
}

impl Reason {
    pub(crate) const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::StepUpRequired,
        Self::UnknownProvider,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::UpstreamUnreachable,
        Self::UpstreamInvalid,
        Self::Sealed,
        Self::NoSecret,
        Self::Overloaded,
        Self::AuditUnavailable,
        Self::UpstreamTimeout,
    ];

    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::StepUpRequired => 403,
            Self::UnknownProvider | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamUnreachable | Self::UpstreamInvalid => 502,
            Self::Sealed | Self::NoSecret | Self::Overloaded | Self::AuditUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// Stable: clients branch on it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::StepUpRequired => "step_up_required",
            Self::UnknownProvider => "unknown_provider",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::UriTooLong => "uri_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid => "invalid",
            Self::RateLimited => "rate_limited",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Internal => "internal",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::Sealed => "sealed",
            Self::NoSecret => "no_secret",
            Self::Overloaded => "overloaded",
            Self::AuditUnavailable => "audit_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// The public headline: the member `error` of the body.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::StepUpRequired => "Fresh code needed",
            Self::UnknownProvider => "Unknown provider",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Timeout => "Request timeout",
            Self::Conflict => "Conflict",
            Self::TooLarge => "Payload too large",
            Self::UriTooLong => "URI too long",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Invalid => "Invalid request",
            Self::RateLimited => "Rate limit exceeded",
            Self::HeadersTooLarge => "Request header fields too large",
            Self::Internal => "Internal error",
            Self::UpstreamUnreachable => "Provider unreachable",
            Self::UpstreamInvalid => "Provider answered wrongly",
            Self::Sealed => "Sealed",
            Self::NoSecret => "No usable secret",
            Self::Overloaded => "Overloaded",
            Self::AuditUnavailable => "Audit unavailable",
            Self::UpstreamTimeout => "Provider timeout",
        }
    }

    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::BadRequest
            | Self::Unauthorized
            | Self::Forbidden
            | Self::StepUpRequired
            | Self::UnknownProvider
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Timeout
            | Self::Conflict
            | Self::TooLarge
            | Self::UriTooLong
            | Self::UnsupportedMediaType
            | Self::Invalid
            | Self::RateLimited
            | Self::HeadersTooLarge => Fault::Client,
            Self::UpstreamUnreachable | Self::UpstreamInvalid | Self::UpstreamTimeout => {
                Fault::Provider
            }
            Self::Internal
            | Self::Sealed
            | Self::NoSecret
            | Self::Overloaded
            | Self::AuditUnavailable => Fault::Us,
        }
    }
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), close: false, is_unsent: false, more: None }
    }

    /// One sentence for unknown, malformed, revoked and expired alike: the difference is nobody's
    /// business.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            Reason::Unauthorized,
            "A valid Sealgate client key is needed, for example in the header X-API-Key.",
        )
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::BadRequest, detail)
    }

    /// The cause belongs to the log of whoever calls this, never into the answer.
    pub(crate) fn internal() -> Self {
        Self::new(
            Reason::Internal,
            "Sealgate could not finish this request; its log has the cause.",
        )
    }

    pub(crate) fn invalid(fields: Vec<FieldFault>) -> Self {
        let mut refusal =
            Self::new(Reason::Invalid, "Some members of the request are wrong; see fields.");
        refusal.more = Some(Box::new(More { fields, ..More::default() }));
        refusal
    }

    pub(crate) fn invalid_field(field: &str, fault: impl Into<String>) -> Self {
        Self::invalid(vec![FieldFault { field: field.to_owned(), fault: fault.into() }])
    }

    pub(crate) fn rate_limited(exceeded: Exceeded, detail: String) -> Self {
        let mut refusal = Self::new(Reason::RateLimited, detail);
        refusal.more = Some(Box::new(More { exceeded: Some(exceeded), ..More::default() }));
        refusal
    }

    /// With what a check of a key found, step by step.
    #[must_use]
    pub(crate) fn with_report(mut self, report: serde_json::Value) -> Self {
        self.more.get_or_insert_default().report = Some(report);
        self
    }

    /// From then on another try may pass.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.more.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// In how many seconds a caller may try again, where that is known.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        let more = self.more.as_deref();
        let exceeded = more.and_then(|more| more.exceeded.as_ref());
        match (more.and_then(|more| more.retry_after_seconds), exceeded) {
            (Some(seconds), _) => Some(seconds),
            (None, Some(exceeded)) => Some(exceeded.retry_after_seconds),
            // A queue moves soon.
            (None, None) => (self.reason == Reason::Overloaded).then_some(1),
        }
    }

    #[must_use]
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Did anything of the call leave? Nobody knows, as a rule.
    #[must_use]
    pub(crate) fn unsent(mut self, is_unsent: bool) -> Self {
        self.is_unsent = is_unsent;
        self
    }

    pub(crate) fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// What a 429 says beside its sentence.
    pub(crate) fn exceeded(&self) -> Option<&Exceeded> {
        self.more.as_ref()?.exceeded.as_ref()
    }

    /// The faults that a 422 names.
    pub(crate) fn fields(&self) -> &[FieldFault] {
        self.more.as_ref().map_or(&[], |more| &more.fields)
    }

    /// The JSON body of both faces.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let mut body = serde_json::json!({
            "error": self.reason.sentence(),
            "code": self.reason.code(),
            "detail": self.detail,
            "request_id": request_id,
        });
        if let Some(exceeded) = self.exceeded() {
            if exceeded.is_known() {
                put(&mut body, "quota", exceeded.quota.into());
            }
            put(&mut body, "reset_at", exceeded.reset_at_ms().map(clock::rfc3339).into());
            put(&mut body, "limit", exceeded.limit.as_str().into());
        }
        if !self.fields().is_empty() {
            let fields = self
                .fields()
                .iter()
                .map(|fault| serde_json::json!({"field": fault.field, "fault": fault.fault}))
                .collect();
            put(&mut body, "fields", serde_json::Value::Array(fields));
        }
        if let Some(report) = self.more.as_ref().and_then(|more| more.report.as_ref()) {
            put(&mut body, "report", report.clone());
        }
        body.to_string().into_bytes()
    }
}

fn put(body: &mut serde_json::Value, name: &str, value: serde_json::Value) {
    if let serde_json::Value::Object(members) = body {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_contracts() {
        let exceeded = Exceeded {
            limit: LimitKind::Client,
            quota: 100,
            used: 100,
            free_at_ms: 1_768_487_400_000,
            retry_after_seconds: 60,
        };
        let refusal =
            Refusal::rate_limited(exceeded, String::from("Limit: 100 requests per hour."));
        let body = String::from_utf8(refusal.body("req-1")).unwrap();
        assert_eq!(
            body,
            r#"{"error":"Rate limit exceeded","code":"rate_limited","detail":"Limit: 100 requests per hour.","request_id":"req-1","quota":100,"reset_at":"2026-01-15T14:30:00Z","limit":"client"}"#
        );
    }

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
