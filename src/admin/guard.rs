//! Who calls, may he, and how often: the layer before every route that is not open. A
//! credential stands in `X-API-Key` or `Authorization: Bearer`, or, where neither is sent, in the
//! console's cookie; every failure of it is one and the same 401.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::{Caller, Errand};
use super::cookie;
use super::house::House;
use super::refused::Refused;
use super::session;
use super::trace::{Peer, Trace};
use crate::client::{Client, Right};
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

/// A page says by it that no hand asked for this: such a call puts off no session's end.
pub(super) const UNATTENDED: &str = "x-sealgate-unattended";
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
    check_errand(&caller, &request)?;
    if let Some(whose) = caller.counted_as() {
        let (left, admitted) = needs.house.rate.admit(whose);
        trace.set_left(left);
        admitted?;
    }
    if !caller.may(needs.right) {
        let role = caller.role().as_str();
        let what = caller.what();
        return Err(Refused::forbidden(format!("{what} of the role {role} may not do this.")));
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
        if let Some(caller) = by_cookie(house, headers).await? {
            return Ok(caller);
        }
        house.roster.missing();
        return Err(Refusal::unauthorized().into());
    };
    known(house, trace, credential).await.map(Caller::Key)
}

/// Who is signed in, where a session that stands is named.
pub(super) async fn by_cookie(
    house: &House,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Refused> {
    let Some(held) = cookie::held(headers, house.is_under_tls) else { return Ok(None) };
    if let Some((client, errand)) = house.errands.of(held, &house.clock)
        && is_due(house, errand).await?
    {
        return Ok(Some(Caller::ByKey(client, errand)));
    }
    let is_use = !headers.contains_key(UNATTENDED);
    let signed = house.operators.authenticate(held, is_use).await.map_err(session::refusal_of)?;
    Ok(signed.map(|signed| Caller::Operator(Arc::new(signed))))
}

/// Is there still that to be done for which an admin key may make a session?
pub(super) async fn is_due(house: &House, errand: Errand) -> Result<bool, Refused> {
    match errand {
        Errand::Unseal => Ok(house.vault.is_sealed()),
        Errand::SetUp => {
            let has_any = house.operators.has_any().await.map_err(session::refusal_of)?;
            Ok(!has_any && !house.vault.is_sealed())
        }
    }
}

/// A session that a key made does its one errand and nothing else.
fn check_errand(caller: &Caller, request: &Request) -> Result<(), Refused> {
    let Caller::ByKey(_, errand) = caller else { return Ok(()) };
    let route = match errand {
        Errand::SetUp => "/api/v1/admin/operators",
        Errand::Unseal => "/api/v1/admin/unseal",
    };
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if path == Some(route) && request.method() == Method::POST {
        return Ok(());
    }
    Err(Refused::forbidden(format!(
        "A session that an admin key made may call POST {route} alone."
    )))
}

/// The client key that this proves.
pub(super) async fn known(
    house: &House,
    trace: &Trace,
    credential: &[u8],
) -> Result<Arc<Client>, Refused> {
    if credential.len() > LONGEST_CREDENTIAL && !token::is_jwt_shaped(credential) {
        return Err(Refusal::unauthorized().into());
    }
    let found =
        house.roster.authenticate(credential, Place::Open).await.map_err(Refused::internal)?;
    if let (None, Some(address)) = (&found, trace.address()) {
        house.roster.slow_down(address).await;
    }
    found.ok_or_else(|| Refusal::unauthorized().into())
}

/// A key that is bound to networks or origins is bound to them on this face, too.
pub(super) fn check_whence(
    caller: &Caller,
    trace: &Trace,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let (Caller::Key(client) | Caller::ByKey(client, _), Some(address)) = (caller, trace.address())
    else {
        return Ok(());
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none());
    let from = policy::Whence { address, origin: origin.map(HeaderValue::as_bytes) };
    policy::admits(client, &from).map_err(|denied| Refused::forbidden(denied.sentence()))
}

/// The one credential of the request. Two that differ are a 400, because either could be meant.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, Refused> {
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
