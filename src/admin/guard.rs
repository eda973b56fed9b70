//! Who calls, may he, and how often: the layer before every route that is not open. A
//! credential stands in `X-API-Key` or `Authorization: Bearer`; every failure of it is one and
//! the same 401.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::Caller;
use super::house::House;
use super::refused::Refused;
use super::trace::{Peer, Trace};
use crate::client::Right;
use crate::crypto::token;
use crate::policy;
use crate::refusal::{Reason, Refusal};
use crate::roster::Place;
use crate::secret;

/// What a route demands of its caller.
#[derive(Clone)]
pub(super) struct Needs {
    pub(super) house: Arc<House>,
    pub(super) right: Right,
    pub(super) while_sealed: WhileSealed,
}

/// What a route does while the vault is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhileSealed {
    Answers,
    Refuses,
}

/// Longer ones were never issued; hashing them would only serve whoever sends them.
const LONGEST_CREDENTIAL: usize = 512;

pub(super) async fn guard(
    State(needs): State<Needs>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let Some(trace) = request.extensions().get::<Arc<Trace>>().map(Arc::clone) else {
        return Err(Refused::internal("a route stands outside the frame"));
    };
    let caller = authenticate(&needs.house, &trace, request.headers()).await?;
    trace.set_caller(caller.clone());
    check_whence(&caller, &trace, request.headers())?;
    if let Some(key) = caller.key_id() {
        let (left, admitted) = needs.house.rate.admit(key);
        trace.set_left(left);
        admitted?;
    }
    if !caller.may(needs.right) {
        let role = caller.role().as_str();
        let what = caller.what();
        return Err(Refused::forbidden(format!("A {what} of the role {role} may not do this.")));
    }
    if needs.while_sealed == WhileSealed::Refuses && needs.house.vault.is_sealed() {
        let detail = "Sealgate is sealed; an administrator has to unseal it.";
        return Err(Refusal::new(Reason::Sealed, detail).into());
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

async fn authenticate(
    house: &House,
    trace: &Trace,
    headers: &HeaderMap,
) -> Result<Caller, Refused> {
    // The kernel has said who is at the other end of the local socket, which is more than any key
    // says.
    if trace.peer == Some(Peer::Local) {
        return Ok(Caller::Local);
    }
    let Some(credential) = presented(headers)? else {
        house.roster.missing();
        return Err(Refusal::unauthorized().into());
    };
    if credential.len() > LONGEST_CREDENTIAL && !token::is_jwt_shaped(credential) {
        return Err(Refusal::unauthorized().into());
    }
    let found =
        house.roster.authenticate(credential, Place::Open).await.map_err(Refused::internal)?;
    if let (None, Some(address)) = (&found, trace.address()) {
        house.roster.slow_down(address).await;
    }
    found.map(Caller::Key).ok_or_else(|| Refusal::unauthorized().into())
}

/// A key that is bound to networks or origins is bound to them on this face, too.
fn check_whence(caller: &Caller, trace: &Trace, headers: &HeaderMap) -> Result<(), Refused> {
    let (Caller::Key(client), Some(address)) = (caller, trace.address()) else { return Ok(()) };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none());
    let from = policy::Whence { address, origin: origin.map(HeaderValue::as_bytes) };
    policy::admits(client, &from).map_err(|denied| Refused::forbidden(denied.sentence()))
}

/// The one credential of the request. Two that differ are a 400, because either could be meant.
fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, Refused> {
    let keys = headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii());
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    let mut found: Option<&[u8]> = None;
    for credential in keys.chain(bearers) {
        match found {
            Some(other) if !secret::same(other, credential) => {
                let detail = "The request carries two different credentials; send one.";
                return Err(Refusal::bad_request(detail).into());
            }
            Some(_) => {}
            None => found = Some(credential),
        }
    }
    Ok(found.filter(|credential| !credential.is_empty()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_credential_is_found_in_either_place_and_twice_the_same_is_one() {
        for (pairs, expected) in [
            (&[("x-api-key", "mdw_a")][..], Some("mdw_a")),
            (&[("authorization", "Bearer mdw_a")], Some("mdw_a")),
            (&[("authorization", "bearer  mdw_a ")], Some("mdw_a")),
            (&[("authorization", "Bearer mdw_a"), ("x-api-key", "mdw_a")], Some("mdw_a")),
            (&[("authorization", "Basic bWR3X2E=")], None),
            (&[("x-api-key", "")], None),
            (&[], None),
        ] {
            let headers = headers(pairs);
            let found = presented(&headers).map_err(|_| ()).unwrap();
            assert_eq!(found, expected.map(str::as_bytes), "{pairs:?}");
        }
    }

    #[test]
    fn two_different_credentials_are_ambiguous() {
        for pairs in [
            [("x-api-key", "mdw_a"), ("authorization", "Bearer mdw_b")],
            [("x-api-key", "mdw_a"), ("x-api-key", "mdw_b")],
        ] {
            let headers = headers(&pairs);
            let refused = presented(&headers).err().unwrap();
            assert_eq!(refused.refusal().reason.status(), 400);
        }
    }
}
