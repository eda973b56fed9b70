//! May this caller do that? `judge` is the one place that decides; `authorize` makes a `Permit` of
//! its yes, and is the only maker of one for a client's call; `explain` tells what decided. Pure:
//! no I/O, no clock, no HTTP server. Must never look at a Host header.

mod explain;
mod written;

use std::net::IpAddr;
use std::sync::Arc;

use crate::client::{Client, Right, Scopes};
use crate::provider::Provider;

pub(crate) use self::explain::{Verdict, explain};
pub(crate) use self::written::faults_of_scopes;

/// What is asked for, after it was made clean.
pub(crate) struct Request<'a> {
    pub(crate) provider: &'a Arc<Provider>,
    pub(crate) method: &'a str,
    /// The path behind the provider, cut at its slashes, each segment decoded once.
    pub(crate) segments: &'a [&'a str],
    /// The secret that the caller named, if any.
    pub(crate) secret: Option<&'a str>,
    pub(crate) from: Whence<'a>,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whence<'a> {
    pub(crate) address: IpAddr,
    /// What the page's browser says of it; None where the caller is no page.
    pub(crate) origin: Option<&'a [u8]>,
}

/// The right to make one call. Only this room makes one.
pub(crate) struct Permit {
    client: Arc<Client>,
    provider: Arc<Provider>,
    secret: Option<String>,
}

/// What the house itself calls a provider for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Is this key good?
    Probe,
    /// The history of tracked symbols.
    Backfill,
    /// A new key, or the end of one.
    Rotation,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Backfill => "backfill",
            Self::Rotation => "rotation",
        }
    }
}

/// The right of the house to a call of its own. It goes the way of every other; which key opens for
/// it, whoever asks has to show.
pub(crate) fn house(purpose: Purpose, provider: &Arc<Provider>) -> Permit {
    let client = Arc::new(Client::house(purpose.as_str()));
    Permit { client, provider: Arc::clone(provider), secret: None }
}

/// Why not. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Role,
    Method,
    Address,
    Origin,
    Scope,
    Secret,
}

impl Denied {
    /// For the one who is refused: a page with no key has none that one could speak of.
    pub(crate) fn sentence_for(self, client: &Client) -> &'static str {
        if !client.is_page() {
            return self.sentence();
        }
        match self {
            Self::Role | Self::Method => "A page with no key may only read (GET and HEAD).",
            Self::Address => "A page with no key may not be used from this address.",
            Self::Origin => "No page of this origin may call with no key.",
            Self::Scope => {
                "This method and path are not among the routes that are listed for this page's \
                 origin."
            }
            Self::Secret => "A page with no key cannot choose a secret of this provider.",
        }
    }

    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Role => "The role of this client key may not use the proxy.",
            Self::Method => "The role of this client key may only read (GET and HEAD).",
            Self::Address => "This client key may not be used from this address.",
            Self::Origin => "This client key may not be used by pages of this origin.",
            Self::Scope => {
                "No scope of this client key allows this method and path at this provider."
            }
            Self::Secret => "This client key is bound to another secret of this provider.",
        }
    }
}

/// After this, the caller may make this call; which secret opens for it is the vault's business.
pub(crate) fn authorize(client: &Arc<Client>, request: &Request<'_>) -> Result<Permit, Denied> {
    let secret = judge(client, request)?;
    Ok(Permit {
        client: Arc::clone(client),
        provider: Arc::clone(request.provider),
        secret: secret.map(str::to_owned),
    })
}

/// May this client key be used from there at all, on whichever face?
pub(crate) fn admits(client: &Client, from: &Whence<'_>) -> Result<(), Denied> {
    let rights = &client.rights;
    if let Some(networks) = &rights.allowed_ips
        && !networks.hold(from.address)
    {
        return Err(Denied::Address);
    }
    if let Some(origins) = &rights.allowed_origins {
        let listed = |origin: &[u8]| origins.iter().any(|known| known.as_bytes() == origin);
        if !from.origin.is_some_and(listed) {
            return Err(Denied::Origin);
        }
    }
    let Some(token) = client.token() else { return Ok(()) };
    if token.address.as_ref().is_some_and(|networks| !networks.hold(from.address)) {
        return Err(Denied::Address);
    }
    if token.origin.as_ref().is_some_and(|origin| from.origin != Some(origin.as_bytes())) {
        return Err(Denied::Origin);
    }
    Ok(())
}

/// May this caller read what the house itself keeps under this name? Scopes speak of it as of a
/// provider.
pub(crate) fn may_read_own(client: &Client, name: &str, segments: &[&str]) -> Result<(), Denied> {
    if !client.rights.role.may(Right::ProxyRead) {
        return Err(Denied::Role);
    }
    if client.scopes().any(|scopes| !scopes.allows(name, "GET", segments)) {
        return Err(Denied::Scope);
    }
    Ok(())
}

/// The decision: the secret to be used, where one is named or bound.
fn judge<'a>(client: &'a Client, request: &Request<'a>) -> Result<Option<&'a str>, Denied> {
    let rights = &client.rights;
    if !rights.role.may(Right::ProxyRead) {
        return Err(Denied::Role);
    }
    let reads = matches!(request.method, "GET" | "HEAD");
    if !reads && !rights.role.may(Right::Proxy) {
        return Err(Denied::Method);
    }
    admits(client, &request.from)?;
    let denies =
        |scopes: &Scopes| !scopes.allows(&request.provider.id, request.method, request.segments);
    if client.scopes().any(denies) {
        return Err(Denied::Scope);
    }
    let bound = client.bound_secret(&request.provider.id);
    if let (Some(wanted), Some(bound)) = (request.secret, bound)
        && wanted != bound
    {
        return Err(Denied::Secret);
    }
    Ok(request.secret.or(bound))
}

impl Permit {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// The secret that was named by the caller or is bound to its key.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Networks, Role, Shows, Token};
    use crate::provider::Catalogue;

    fn client(role: Role, scopes: Option<&[&str]>) -> Client {
        let mut client = Client::of_role(role);
        Arc::make_mut(&mut client.rights).scopes =
            scopes.map(|texts| Scopes::parse(texts).unwrap());
        Arc::make_mut(&mut client.rights).secrets =
            vec![(String::from("polygon"), String::from("desk"))];
        client
    }

    fn check(
        client: Client,
        provider: &str,
        method: &str,
        secret: Option<&str>,
    ) -> Result<Option<String>, Denied> {
        check_from(client, (provider, method, secret), "192.0.2.7", None)
    }

    fn check_from(
        client: Client,
        (provider, method, secret): (&str, &str, Option<&str>),
        address: &str,
        origin: Option<&str>,
    ) -> Result<Option<String>, Denied> {
        let catalogue = Catalogue::build(&[]).unwrap();
        let provider = catalogue.get(provider).unwrap();
        let origin = origin.map(str::as_bytes);
        let from = Whence { address: address.parse().unwrap(), origin };
        let request = Request { provider, method, segments: &["v2", "aggs"], secret, from };
        authorize(&Arc::new(client), &request).map(|permit| permit.secret().map(str::to_owned))
    }

    #[test]
    fn a_role_decides_before_a_scope() {
        assert_eq!(check(client(Role::Auditor, None), "openai", "GET", None), Err(Denied::Role));
        assert_eq!(check(client(Role::Guest, None), "openai", "POST", None), Err(Denied::Method));
        assert_eq!(check(client(Role::Guest, None), "openai", "HEAD", None), Ok(None));
        let narrow = client(Role::User, Some(&["openai:GET:/v1/**"]));
        assert_eq!(check(narrow, "openai", "GET", None), Err(Denied::Scope));
    }

    #[test]
    fn a_bound_key_uses_its_secret_and_no_other() {
        let user = || client(Role::User, None);
        assert_eq!(check(user(), "polygon", "GET", None), Ok(Some(String::from("desk"))));
        assert_eq!(check(user(), "polygon", "GET", Some("other")), Err(Denied::Secret));
        assert_eq!(check(user(), "openai", "GET", Some("o")), Ok(Some(String::from("o"))));
    }

    #[test]
    fn a_key_with_a_list_of_networks_works_from_nowhere_else() {
        for (networks, address, allowed) in [
            (&["192.0.2.0/24"][..], "192.0.2.7", true),
            (&["192.0.2.0/24"], "::ffff:192.0.2.7", true),
            (&["192.0.2.0/24"], "192.0.3.7", false),
            (&["192.0.2.0/24"], "2001:db8::1", false),
            (&[], "192.0.2.7", false),
        ] {
            let mut client = client(Role::User, None);
            Arc::make_mut(&mut client.rights).allowed_ips =
                Some(Networks::parse(networks).unwrap());
            let decided = check_from(client, ("openai", "GET", None), address, None);
            let expected = if allowed { Ok(None) } else { Err(Denied::Address) };
            assert_eq!(decided, expected, "{networks:?} {address}");
        }
    }

    #[test]
    fn a_token_and_its_client_key_must_both_allow_a_call() {
        let check = |own: &[&str], token: Token, expected| {
            let mut client = client(Role::User, Some(own));
            client.shows = Shows::Token(Box::new(token));
            assert_eq!(check(client, "openai", "GET", None), expected);
        };
        let scopes = |text| Some(Scopes::parse(&[text]).unwrap());
        let token = |text| Token { scopes: scopes(text), ..Token::default() };
        check(&["openai:GET:/v2/**"], token("*:*:/**"), Ok(None));
        check(&["openai:GET:/v2/**"], token("*:POST:/**"), Err(Denied::Scope));
        // Narrowed since the token was made.
        check(&["openai:GET:/v3/**"], token("openai:GET:/v2/**"), Err(Denied::Scope));
        let address = Some(Networks::parse(&["198.51.100.0/24"]).unwrap());
        check(&["*:*:/**"], Token { address, ..Token::default() }, Err(Denied::Address));
        let origin = Some(String::from("https://app.example"));
        check(&["*:*:/**"], Token { origin, ..Token::default() }, Err(Denied::Origin));
    }

    #[test]
    fn a_key_with_a_list_of_origins_works_on_no_other_page_and_in_no_program() {
        for (origin, allowed) in [
            (Some("https://app.example"), true),
            (Some("https://app.example.evil.example"), false),
            (Some("http://app.example"), false),
            (Some("https://APP.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut client = client(Role::User, None);
            Arc::make_mut(&mut client.rights).allowed_origins =
                Some(vec![String::from("https://app.example")]);
            let decided = check_from(client, ("openai", "GET", None), "192.0.2.7", origin);
            let expected = if allowed { Ok(None) } else { Err(Denied::Origin) };
            assert_eq!(decided, expected, "{origin:?}");
        }
    }
}
