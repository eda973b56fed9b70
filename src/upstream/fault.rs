//! Why a call did not come back with an answer, in the words of a refusal.
//! Must never hand out what hyper or TLS say about bytes: causes go to the log, sentences of our
//! own to the caller.

use crate::inject::{BodyFault, Flaw};
use crate::ledger::BytesIn;
use crate::net::{ConnectError, whole_seconds};
use crate::provider::Provider;
use crate::refusal::{Reason, Refusal};

pub(super) fn unconnected(provider: &Provider, fault: &ConnectError) -> Refusal {
    match fault {
        ConnectError::TimedOut => {
            tracing::warn!(provider = %provider.id, "a provider accepted no connection in time");
            let detail = format!("{} did not accept a connection in time.", provider.title);
            Refusal::new(Reason::UpstreamTimeout, detail).unsent(true)
        }
        ConnectError::Rests { rest, .. } => {
            let detail = format!("{} cannot be reached: {fault}.", provider.title);
            let refusal = Refusal::new(Reason::UpstreamUnreachable, detail);
            refusal.retry_after(whole_seconds(*rest)).unsent(true)
        }
        ConnectError::Unresolved(_)
        | ConnectError::Forbidden
        | ConnectError::Unreachable(_)
        | ConnectError::Tls(_) => unreachable(provider, &fault.to_string()),
    }
}

pub(super) fn unreachable(provider: &Provider, cause: &str) -> Refusal {
    tracing::warn!(provider = %provider.id, cause, "a provider cannot be reached");
    let detail = format!("{} cannot be reached: {cause}.", provider.title);
    Refusal::new(Reason::UpstreamUnreachable, detail).unsent(true)
}

/// No head came in time. Where the client holds its own body up, nobody else is to blame.
pub(super) fn silent(provider: &Provider, is_clients: bool) -> Refusal {
    if is_clients {
        let detail = "The request's body stood still for too long.";
        return Refusal::new(Reason::Timeout, detail).closing();
    }
    let detail = format!("{} did not begin to answer in time.", provider.title);
    Refusal::new(Reason::UpstreamTimeout, detail)
}

pub(super) fn too_long(provider: &Provider) -> Refusal {
    let detail = format!("{} took longer than timeouts.total_seconds allows.", provider.title);
    Refusal::new(Reason::UpstreamTimeout, detail)
}

/// Did the connection end, rather than the call?
pub(super) fn is_death(fault: &hyper::Error) -> bool {
    let is_reset = h2_fault(fault).is_some_and(h2::Error::is_reset);
    body_fault(fault).is_none() && !fault.is_parse() && !fault.is_user() && !is_reset
}

/// Did the provider say that it has not looked at this call? By a GOAWAY that ends before it, or by
/// turning its stream away; then any method may be sent again (RFC 9113, 8.7).
pub(super) fn is_unprocessed(fault: &hyper::Error) -> bool {
    h2_fault(fault).is_some_and(|fault| {
        let is_refused = fault.is_reset() && fault.reason() == Some(h2::Reason::REFUSED_STREAM);
        fault.is_remote() && (fault.is_go_away() || is_refused)
    })
}

fn h2_fault(fault: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(fault).and_then(|cause| cause.downcast_ref::<h2::Error>())
}

/// The client's own body broke off, or was broken off here.
fn unsendable(flaw: Flaw) -> Refusal {
    let refusal = match flaw {
        Flaw::TooLarge => {
            let detail = "The request's body is larger than proxy.max_body_bytes allows.";
            Refusal::new(Reason::TooLarge, detail)
        }
        Flaw::Misplaced => {
            let detail = "A client key stands in a trailer of the request; it belongs in the head.";
            Refusal::bad_request(detail)
        }
        Flaw::Client => {
            Refusal::bad_request("The request's body broke off, or its framing is wrong.")
        }
    };
    refusal.closing()
}

/// hyper's errors name no header and no body; still, the public sentence is our own.
pub(super) fn broken(
    provider: &Provider,
    fault: &hyper::Error,
    progress: Option<&BytesIn>,
) -> Refusal {
    tracing::warn!(provider = %provider.id, cause = %Chain(fault), "a call to a provider failed");
    let flaw = body_fault(fault).map(BodyFault::flaw);
    if let Some(flaw) = flaw.or_else(|| progress.and_then(Flaw::of)) {
        return unsendable(flaw);
    }
    if fault.is_parse_too_large() {
        let detail = format!(
            "{} answered with a head of more than 100 headers or more than 64 KiB.",
            provider.title
        );
        return Refusal::new(Reason::UpstreamInvalid, detail);
    }
    if fault.is_parse() {
        let detail = format!("{} gave an answer that is no HTTP.", provider.title);
        return Refusal::new(Reason::UpstreamInvalid, detail);
    }
    let detail = format!("The connection to {} broke before it answered.", provider.title);
    Refusal::new(Reason::UpstreamUnreachable, detail)
}

fn body_fault(fault: &hyper::Error) -> Option<&BodyFault> {
    std::error::Error::source(fault).and_then(|cause| cause.downcast_ref::<BodyFault>())
}

/// An error with its sources, in one line.
struct Chain<'a>(&'a hyper::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
