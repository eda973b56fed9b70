//! Which rule decided, and why: what `judge` says, in words, for
//! whoever wonders about a call. Asks the same evaluator as every
//! call does. Must never decide anything by itself.

use super::{Denied, Request, judge};
use crate::client::{Client, State};

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    /// What decided: a scope as it was written, or the member of the client key.
    pub(crate) rule: String,
    pub(crate) reason: String,
}

pub(crate) fn explain(client: &Client, state: State, request: &Request<'_>) -> Verdict {
    let deny =
        |rule: &str, reason: String| Verdict { allowed: false, rule: rule.to_owned(), reason };
    if state != State::Active {
        let reason = format!("The client key is {}; every call with it is a 401.", state.as_str());
        return deny("state", reason);
    }
    let rights = &client.rights;
    let deciding = rights
        .scopes
        .as_ref()
        .and_then(|scopes| scopes.decide(&request.provider.id, request.method, request.segments));
    match judge(client, request) {
        Err(denied @ (Denied::Role | Denied::Method)) => {
            let role = format!("role {}", rights.role.as_str());
            deny(&role, denied.sentence().to_owned())
        }
        Err(denied @ Denied::Address) => {
            let reason = format!("{} It is {}.", denied.sentence(), request.from.address);
            deny("allowed_ips", reason)
        }
        Err(denied @ Denied::Origin) => deny("allowed_origins", denied.sentence().to_owned()),
        Err(Denied::Scope) => match deciding {
            Some(decided) if decided.respelt => {
                let reason = "This scope denies another spelling of this path, which some servers \
                              take for the same, and a denial wins over every allowance.";
                deny(decided.rule, reason.to_owned())
            }
            Some(decided) => {
                let reason = "This scope denies the call, and a denial wins over every allowance.";
                deny(decided.rule, reason.to_owned())
            }
            None => deny("scopes", Denied::Scope.sentence().to_owned()),
        },
        Err(denied @ Denied::Secret) => deny("secrets", denied.sentence().to_owned()),
        Ok(_) => {
            let (rule, reason) = match deciding {
                Some(decided) => (decided.rule.to_owned(), "This scope allows the call."),
                None => (
                    format!("role {}", rights.role.as_str()),
                    "The client key has no scopes, so all that its role allows is allowed.",
                ),
            };
            Verdict { allowed: true, rule, reason: reason.to_owned() }
        }
    }
}
